//go:build linux

package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// diskSize is how much a server can write before its disk is full.
const diskSize = "512m"

// ErrOff is the error of what needs a running server.
var ErrOff = errors.New("server is off")

// Server is one small Debian. All methods may be called from any goroutine.
type Server struct {
	Name string // host name: s1, s2 …
	Addr netip.Addr

	lab  *Lab
	dir  string // its disk, and its console beside it
	root string // its root, as the machine sees it
	init string
	ns   *os.File

	mu      sync.Mutex
	on      bool        // what is wanted; between two boots it is on with no process
	active  bool        // power runs; Kill waits for its end
	process *os.Process // PID 1, from its start
	pid     int         // PID 1 as the machine sees it, from when the server is up
	boots   []time.Time
	changed chan struct{} // closed and replaced whenever one of the above changes
}

// Boot switches the server on and waits until it is up. From then on it boots
// again by itself when something in it asks for a reboot.
func (s *Server) Boot() error {
	s.mu.Lock()
	if s.active {
		s.mu.Unlock()
		return fmt.Errorf("boot %s: already on", s.Name)
	}
	s.on, s.active = true, true
	count := len(s.boots)
	s.mu.Unlock()

	go s.power()
	ctx, cancel := context.WithTimeout(s.lab.ctx, 30*time.Second)
	defer cancel()
	if err := s.WaitBoot(ctx, count+1); err != nil {
		s.Kill()
		return err
	}
	if s.systemd() {
		return s.waitSystemd(ctx)
	}
	return nil
}

// systemd says whether the server has it.
func (s *Server) systemd() bool { return s.lab.groups != "" && s.Name != baseName }

// Kill cuts the power: every process is gone at once, without a last word.
// Boot brings the server back with all that it had written.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = false
	for s.active {
		if s.process != nil {
			s.process.Kill() // PID 1: the kernel takes the whole namespace with it
		}
		changed := s.changed
		s.mu.Unlock()
		<-changed
		s.mu.Lock()
	}
}

// Boots says how often the server has come up, and BootTimes when.
func (s *Server) Boots() int { return len(s.BootTimes()) }

// BootTimes returns when the server came up, oldest first.
func (s *Server) BootTimes() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.boots...)
}

// Up says whether the server runs now.
func (s *Server) Up() bool {
	_, err := s.running()
	return err == nil
}

// WaitBoot waits until the server is up for the n-th time, or later.
func (s *Server) WaitBoot(ctx context.Context, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.boots) < n || s.pid == 0 {
		if !s.on {
			return fmt.Errorf("boot %d of %s: %w; its console:\n%s", n, s.Name, ErrOff, tail(s.console()))
		}
		changed := s.changed
		s.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = fmt.Errorf("boot %d of %s: %w; its console:\n%s", n, s.Name, ctx.Err(), tail(s.console()))
		}
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// SetService says which program PID 1 keeps running: the program by its full
// path, and what is added to its environment. It works at any time; a service
// that already runs stays until it ends. Its output goes to ServiceLog.
func (s *Server) SetService(env []string, argv ...string) error {
	text, err := json.Marshal(map[string]any{"argv": argv, "env": env})
	if err != nil {
		return fmt.Errorf("set service: %w", err)
	}
	return s.WriteFile("/etc/lab/service", text, 0o644)
}

// ServiceLog returns what the service has written so far.
func (s *Server) ServiceLog() string {
	text, err := s.ReadFile("/var/log/service.log")
	if err != nil {
		return ""
	}
	return string(text)
}

// ServicePID returns the service's process, in the server's numbers.
func (s *Server) ServicePID() (int, error) {
	text, err := s.ReadFile("/run/lab/service.pid")
	if err != nil {
		return 0, fmt.Errorf("service of %s: %w", s.Name, err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return 0, fmt.Errorf("service of %s: %w", s.Name, err)
	}
	return pid, nil
}

// Command is exec.CommandContext for a program that runs in the server, which
// must be up. An end of ctx ends the waiting, not the program.
func (s *Server) Command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	pid, err := s.running()
	if err != nil {
		return nil, err
	}
	enter := []string{"--target=" + strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--", name}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.WaitDelay = time.Second
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive",
	}
	return cmd, nil
}

// Exec runs a program in the server and returns what it wrote, errors too.
func (s *Server) Exec(name string, args ...string) (string, error) {
	cmd, err := s.Command(s.lab.ctx, name, args...)
	if err != nil {
		return "", fmt.Errorf("%s on %s: %w", name, s.Name, err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s on %s: %w\n%s", name, strings.Join(args, " "), s.Name, err, tail(string(out)))
	}
	return string(out), nil
}

// ExitCode returns what a program of Exec ended with, 0 for no error and -1 if
// it did not end by itself.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}

// SetDown pulls the network cable, or puts it back.
func (s *Server) SetDown(down bool) error {
	state := "up"
	if down {
		state = "down"
	}
	if err := ip(s.lab.ns, nil, "link set "+s.Name+" "+state); err != nil {
		return fmt.Errorf("cable of %s: %w", s.Name, err)
	}
	return nil
}

// SetDiskFull makes the disk so small that nothing more fits on it, or gives it
// its size back.
func (s *Server) SetDiskFull(full bool) error {
	size := diskSize
	if full {
		var disk unix.Statfs_t
		if err := unix.Statfs(s.dir, &disk); err != nil {
			return fmt.Errorf("disk of %s: %w", s.Name, err)
		}
		size = strconv.FormatUint((disk.Blocks-disk.Bfree)*uint64(disk.Bsize), 10)
	}
	if err := unix.Mount("tmpfs", s.dir, "tmpfs", unix.MS_REMOUNT, "mode=755,size="+size); err != nil {
		return fmt.Errorf("disk of %s: %w", s.Name, err)
	}
	return nil
}

// newServer makes a server, off and without a cable, on the given lower
// folders of an overlay.
func (l *Lab) newServer(name, lower, initProgram string) (*Server, error) {
	s := &Server{
		Name: name, lab: l, dir: filepath.Join(l.dir, name), init: initProgram,
		changed: make(chan struct{}),
	}
	s.root = filepath.Join(s.dir, "root")
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	// In memory: a machine whose own root is an overlay can't carry another
	// one's upper folder, and dpkg's many syncs cost nothing.
	if err := unix.Mount("tmpfs", s.dir, "tmpfs", 0, "mode=755,size="+diskSize); err != nil {
		return nil, fmt.Errorf("mount disk of %s: %w", name, err)
	}
	upper, work := filepath.Join(s.dir, "upper"), filepath.Join(s.dir, "work")
	for _, dir := range []string{upper, work, s.root} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make %s: %w", name, err)
		}
	}
	options := "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", s.root, "overlay", 0, options); err != nil {
		return nil, fmt.Errorf("mount root of %s: %w", name, err)
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("draw a machine id: %w", err)
	}
	for path, text := range map[string]string{
		"/etc/hostname":   name + "\n",
		"/etc/machine-id": hex.EncodeToString(id[:]) + "\n",
	} {
		if err := s.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	ns, err := newNetNS()
	if err != nil {
		return nil, err
	}
	s.ns = ns
	l.undo = append(l.undo, ns.Close)
	return s, nil
}

// power boots the server, and boots it again, as long as it ends by a reboot.
func (s *Server) power() {
	for {
		again, err := s.bootOnce()
		if err != nil {
			s.note(err.Error())
		}
		s.change(func() {
			s.pid, s.process = 0, nil
			again = again && s.on
			s.on, s.active = again, again
		})
		if !again {
			return
		}
	}
}

// bootOnce runs PID 1 to its end, and says whether that was a reboot.
func (s *Server) bootOnce() (again bool, err error) {
	console, err := os.OpenFile(filepath.Join(s.dir, "console"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return false, fmt.Errorf("boot: %w", err)
	}
	defer console.Close()
	ready, tell, err := os.Pipe()
	if err != nil {
		return false, fmt.Errorf("boot: %w", err)
	}
	defer ready.Close()
	cmd := exec.Command(s.init, s.root, s.Name)
	cmd.Args[0] = "lab-init"
	cmd.Stdout, cmd.Stderr = console, console
	cmd.ExtraFiles = []*os.File{tell}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if s.systemd() {
		group, err := s.newGroup()
		if err != nil {
			return false, fmt.Errorf("boot: %w", err)
		}
		defer group.Close()
		cmd.Args = append(cmd.Args, systemd...)
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	}
	err = startIn(s.ns, cmd)
	tell.Close()
	if err != nil {
		return false, fmt.Errorf("boot: %w", err)
	}
	s.change(func() {
		s.process = cmd.Process
		if !s.on { // killed while it was starting
			s.process.Kill()
		}
	})
	if word, err := io.ReadAll(ready); err == nil && len(word) > 0 {
		s.change(func() {
			s.pid = cmd.Process.Pid
			s.boots = append(s.boots, time.Now())
		})
	}
	err = cmd.Wait()
	// The kernel reports a reboot(2) inside a pid namespace as this signal.
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() && status.Signal() == syscall.SIGHUP {
		return true, nil
	}
	return false, fmt.Errorf("PID 1 ended: %w", err)
}

// running returns PID 1 in the machine's numbers.
func (s *Server) running() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pid == 0 {
		return 0, ErrOff
	}
	return s.pid, nil
}

func (s *Server) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) console() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "console"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// note adds a line to the console, where PID 1's own are.
func (s *Server) note(line string) {
	f, err := os.OpenFile(filepath.Join(s.dir, "console"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return // the lab is being removed, nobody reads it any more
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}

// logAll tells the reader of a failed test what the servers said last.
func (l *Lab) logAll(t testing.TB) {
	t.Helper()
	for _, s := range l.Servers {
		t.Logf("console of %s:\n%s", s.Name, tail(s.console()))
		if log := s.ServiceLog(); log != "" {
			t.Logf("service of %s:\n%s", s.Name, tail(log))
		}
		if journal := s.journal(); journal != "" {
			t.Logf("journal of %s:\n%s", s.Name, tail(journal))
		}
	}
}

// tail returns the last lines of a text, some 4 KiB.
func tail(text string) string {
	const most = 4 << 10
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return text
}
