//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Install is one line of a server's logs: a package that was configured.
type Install struct {
	Name, Version string
	At            time.Time
}

// Installs returns what was configured with success on the server since it was
// made, oldest first: a package that stands here twice was installed twice.
func (s *Server) Installs() ([]Install, error) { return s.installs(installLog) }

// Begins returns when configuring began, of what failed or was cut off too.
func (s *Server) Begins() ([]Install, error) { return s.installs(beginLog) }

// Version returns the version of a package, and what state dpkg says it is in,
// such as "installed" or "half-configured".
func (s *Server) Version(name string) (version, state string, err error) {
	out, err := s.Exec("dpkg-query", "--show", "--showformat=${Version} ${db:Status-Status}", name)
	if err != nil {
		return "", "", err
	}
	version, state, _ = strings.Cut(out, " ")
	return version, state, nil
}

// Hold keeps a package from being upgraded.
func (s *Server) Hold(name string) error {
	_, err := s.Exec("apt-mark", "hold", name)
	return err
}

// HoldLocks takes dpkg's locks, as another apt would that never ends. Release
// gives them back; so does a Kill or a reboot.
func (s *Server) HoldLocks() (release func(), err error) {
	ctx, cancel := context.WithTimeout(s.lab.ctx, 10*time.Second)
	defer cancel()
	cmd, err := s.Command(s.lab.ctx, "lab-lock")
	if err != nil {
		return nil, fmt.Errorf("lock dpkg: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("lock dpkg: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("lock dpkg: %w", err)
	}
	release = func() {
		// Not the command, which is the lab's way in, but the holder.
		if err := s.Signal(unix.SIGKILL, "lab-lock"); err != nil && !errors.Is(err, ErrOff) {
			cmd.Process.Kill()
		}
		cmd.Wait()
	}
	locked := make(chan bool, 1)
	go func() { locked <- bufio.NewScanner(out).Scan() }()
	select {
	case ok := <-locked:
		if !ok {
			release()
			return nil, errors.New("lock dpkg: the holder ended")
		}
	case <-ctx.Done():
		release()
		return nil, fmt.Errorf("lock dpkg: somebody else holds the lock: %w", ctx.Err())
	}
	return release, nil
}

// Signal signals every process of the server that has this name, which is that
// of its program: "dpkg" is dpkg, "web.postinst" a maintainer script.
func (s *Server) Signal(signal unix.Signal, name string) error {
	pids, err := s.Pids(name)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := s.signalPID(signal, pid); err != nil {
			return err
		}
	}
	return nil
}

// KillService kills the service's own process, and nothing that it started.
// PID 1 starts it again.
func (s *Server) KillService() error {
	pid, err := s.ServicePID()
	if err != nil {
		return err
	}
	return s.signalPID(unix.SIGKILL, pid)
}

// Pids returns the processes of the server that have this name, in the
// server's numbers.
func (s *Server) Pids(name string) ([]int, error) {
	top, err := s.running()
	if err != nil {
		return nil, fmt.Errorf("processes of %s: %w", s.Name, err)
	}
	comms, err := filepath.Glob(fmt.Sprintf("/proc/%d/root/proc/[1-9]*/comm", top))
	if err != nil {
		return nil, fmt.Errorf("processes of %s: %w", s.Name, err)
	}
	if len(name) > 15 {
		name = name[:15] // all that the kernel keeps
	}
	var pids []int
	for _, path := range comms {
		comm, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && strings.TrimSpace(string(comm)) == name {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// WaitBegin waits until a package of this name and version is being configured
// for the first time, or has been.
func (s *Server) WaitBegin(ctx context.Context, name, version string) error {
	for {
		begins, err := s.Begins()
		if err != nil {
			return err
		}
		for _, b := range begins {
			if b.Name == name && b.Version == version {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: wait for %s %s to be configured: %w", s.Name, name, version, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// InterruptDpkg leaves the server as a dpkg does that is killed in the middle
// of a postinst: apt does nothing more until `dpkg --configure -a`. The package
// must be one of Sleeps, published, and long enough to be caught.
func (s *Server) InterruptDpkg(name, version string) error {
	ctx, cancel := context.WithTimeout(s.lab.ctx, 30*time.Second)
	defer cancel()
	if _, err := s.Exec("apt-get", "-q", "update"); err != nil {
		return fmt.Errorf("interrupt dpkg: %w", err)
	}
	apt, err := s.Command(ctx, "apt-get", "-q", "-y", "install", name+"="+version)
	if err != nil {
		return fmt.Errorf("interrupt dpkg: %w", err)
	}
	if err := apt.Start(); err != nil {
		return fmt.Errorf("interrupt dpkg: %w", err)
	}
	err = s.WaitBegin(ctx, name, version)
	for _, process := range []string{"apt-get", "dpkg", name + ".postinst"} {
		err = errors.Join(err, s.Signal(unix.SIGKILL, process))
	}
	apt.Wait() // it was killed, whatever it says
	if err != nil {
		return fmt.Errorf("interrupt dpkg: %w", err)
	}
	return nil
}

// signalPID signals one process by the shell's kill: the root has no other,
// and the number means something only inside.
func (s *Server) signalPID(signal unix.Signal, pid int) error {
	_, err := s.Exec("sh", "-c", fmt.Sprintf("kill -%d %d", int(signal), pid))
	return err
}

func (s *Server) installs(log string) ([]Install, error) {
	text, err := s.ReadFile(log)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Install
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue // a line that a power cut left half-written
		}
		seconds, nanos, _ := strings.Cut(fields[2], ".")
		sec, err1 := strconv.ParseInt(seconds, 10, 64)
		nsec, err2 := strconv.ParseInt(nanos, 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s of %s: %w", log, s.Name, err)
		}
		list = append(list, Install{Name: fields[0], Version: fields[1], At: time.Unix(sec, nsec)})
	}
	return list, nil
}
