//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// systemd is what a server with it boots. What is below multi-user.target is
// not of such a server: consoles to log in at.
var systemd = []string{"/lib/systemd/systemd", "--unit=multi-user.target", "--show-status=no"}

// masked are units of Debian's that would do something at a time of their own:
// an empty file means that there is none.
var masked = []string{"apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"}

// dockersFile lets a docker start on a server: the kernel's settings for a
// network of its own can't be written there, nor its images be laid over the
// overlay that the server is.
const dockersFile = `{"storage-driver": "vfs", "bridge": "none", "iptables": false, "ip-forward": false}
`

// setUpSystemd writes what a server needs besides if it has systemd.
func (s *Server) setUpSystemd() error {
	for _, unit := range masked {
		if err := s.WriteFile("/etc/systemd/system/"+unit, nil, 0o644); err != nil {
			return err
		}
	}
	return s.WriteFile("/etc/docker/daemon.json", []byte(dockersFile), 0o644)
}

// makeGroups makes a control group for this lab, below which each server has
// one that looks like the root to its systemd. The mount is the lab's own:
// where the machine has its groups differs.
func (l *Lab) makeGroups() error {
	at := filepath.Join(l.dir, groupsMount)
	if err := os.Mkdir(at, 0o755); err != nil {
		return fmt.Errorf("control groups: %w", err)
	}
	if err := unix.Mount("cgroup2", at, "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mount control groups: %w", err)
	}
	l.groups = groupOf(l.dir)
	if err := os.Mkdir(l.groups, 0o755); err != nil {
		return fmt.Errorf("control groups: %w", err)
	}
	return nil
}

const groupsMount = "groups"

// groupOf is the control group of the lab in dir.
func groupOf(dir string) string {
	return filepath.Join(dir, groupsMount, "upkeep-"+filepath.Base(dir))
}

// newGroup opens an empty control group for the server to boot in. What an
// earlier boot has left there is removed: its processes are gone.
func (s *Server) newGroup() (*os.File, error) {
	dir := filepath.Join(s.lab.groups, s.Name)
	if err := removeGroup(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	return os.Open(dir)
}

// removeGroup removes a control group and those below it, and kills what is
// still in one: its lab or its server has ended.
func removeGroup(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end what is in a control group: %w", err)
	}
	return whileBusy(func() error { return removeEmpty(dir) })
}

func removeEmpty(dir string) error {
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // or no more
		}
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list control groups: %w", err)
	}
	slices.Reverse(all) // those below first
	for _, dir := range all {
		if err := unix.Rmdir(dir); err != nil {
			return fmt.Errorf("remove control group %s: %w", dir, err)
		}
	}
	return nil
}

// waitSystemd waits until systemd has started what is wanted.
func (s *Server) waitSystemd(ctx context.Context) error {
	for {
		cmd, err := s.Command(ctx, "systemctl", "is-system-running", "--wait")
		if err != nil {
			return fmt.Errorf("systemd of %s: %w", s.Name, err)
		}
		out, err := cmd.CombinedOutput() // an error says that it is not, or not yet
		switch state := strings.TrimSpace(string(out)); {
		case state == "running":
			return nil
		case state == "degraded":
			failed, _ := s.Exec("systemctl", "list-units", "--failed", "--plain", "--no-legend")
			return fmt.Errorf("systemd of %s has units that failed:\n%s", s.Name, failed)
		case ctx.Err() != nil:
			return fmt.Errorf("systemd of %s: %w: %s", s.Name, err, state)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// journal returns what a server's systemd has noted last, if it has one and is
// up.
func (s *Server) journal() string {
	if !s.systemd() {
		return ""
	}
	text, err := s.Exec("journalctl", "--no-pager", "--lines=50")
	if err != nil {
		return ""
	}
	return text
}
