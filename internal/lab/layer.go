//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// baseName is the name of what all servers stand on, while it is made.
const baseName = "base"

// makeLayer makes what all servers of a lab have in common, as a layer over
// the Debian root, and returns its folder.
func (l *Lab) makeLayer(root, initProgram string, n int, base Base) (string, error) {
	s, err := l.newServer(baseName, root, initProgram)
	if err != nil {
		return "", err
	}
	if err := s.setUp(n); err != nil {
		return "", err
	}
	for guest, host := range base.Programs {
		if err := s.Install(host, guest); err != nil {
			return "", err
		}
	}
	if len(base.Packages) > 0 {
		if err := s.installBase(base.Packages); err != nil {
			return "", err
		}
	}
	if err := s.unmount(); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, "upper"), nil
}

// unmount takes the root of a layer away: an upper folder must not be in use
// when it becomes a lower one. What this process had open in it, any program
// that was being started meanwhile still has, for the moment until it has
// become that program; so a root that is busy is asked again.
func (s *Server) unmount() error {
	if err := whileBusy(func() error { return unix.Unmount(s.root, 0) }); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	return nil
}

// whileBusy does f again and again while the kernel says that something is
// still in use, for ten seconds at most. There is no signal to wait for.
func whileBusy(f func() error) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if err := f(); !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return err
		}
	}
}

// setUp writes what makes a Debian root a server of this lab.
func (s *Server) setUp(n int) error {
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n" + Gateway + " " + GatewayName + " " + RepoName + "\n")
	for i := range n {
		fmt.Fprintf(&hosts, "10.77.1.%d s%d\n", i+1, i+1)
	}
	files := map[string]string{
		"/etc/hosts":       hosts.String(),
		"/etc/resolv.conf": "", // the machine's name servers are out of reach
		// Neither mirror nor list of the root: only our archives exist here.
		"/etc/apt/sources.list":         s.lab.Repo.Main.source() + s.lab.Repo.Security.source(),
		"/etc/apt/apt.conf.d/00lab":     "APT::Sandbox::User \"root\";\n",
		"/etc/dpkg/dpkg.cfg.d/lab":      "force-unsafe-io\n",
		"/var/lib/lab/.keep":            "",
		"/etc/apt/preferences.d/.empty": "",
	}
	for name, text := range files {
		if err := s.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	// Nothing is supervised here but the lab's own service.
	if err := s.WriteFile("/usr/sbin/policy-rc.d", []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return err
	}
	programs := []string{"lab-lock"}
	if s.lab.groups == "" {
		programs = append(programs, "reboot", "shutdown") // or else they are systemd's
	}
	for _, name := range programs {
		if err := s.Install(s.init, "/usr/sbin/"+name); err != nil {
			return err
		}
	}
	if s.lab.groups != "" {
		if err := s.setUpSystemd(); err != nil {
			return err
		}
	}
	lists, err := filepath.Glob(filepath.Join(s.root, "etc/apt/sources.list.d/*"))
	if err != nil {
		return fmt.Errorf("list sources: %w", err)
	}
	for _, list := range lists {
		if err := os.Remove(list); err != nil {
			return fmt.Errorf("remove a source: %w", err)
		}
	}
	return nil
}

// installBase boots the layer to install packages into it, and forgets that it
// did: a server's logs begin with what happens on that server.
func (s *Server) installBase(packages []Package) error {
	if err := s.Boot(); err != nil {
		return err
	}
	defer s.Kill()
	args := []string{"--install"}
	for _, p := range packages {
		d, err := p.build()
		if err != nil {
			return err
		}
		name := "/run/" + d.name
		if err := s.WriteFile(name, d.file, 0o644); err != nil {
			return err
		}
		args = append(args, name)
	}
	if out, err := s.Exec("dpkg", args...); err != nil {
		return fmt.Errorf("install %d packages: %w\n%s", len(packages), err, strings.TrimSpace(out))
	}
	for _, log := range []string{beginLog, installLog, "/var/log/dpkg.log"} {
		if err := s.Remove(log); err != nil {
			return err
		}
	}
	return nil
}
