package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxRead is how many bytes are read of what a command that looks prints.
const maxRead = 8 << 20

// NeverRefreshed is the age of package lists that do not exist.
const NeverRefreshed = 10 * 365 * 24 * time.Hour

// Machine is the host as a Manager touches it.
type Machine struct {
	Root  string                 // what the host's files are in: empty but in tests
	Holds func(name string) bool // packages that the host's owner holds; never nil
	Log   *slog.Logger           // never nil

	dir string // the agent's folder
}

// environment is what every command gets, and no more.
func environment() []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	return []string{
		"PATH=" + path, "HOME=/root", "LC_ALL=C", "LANGUAGE=C", "TERM=dumb",
		"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
		"APT_LISTCHANGES_FRONTEND=none", "APT_LISTBUGS_FRONTEND=none", "NEEDRESTART_MODE=a",
	}
}

// Run is the output of a command that only looks, 8 MiB at most. What it says
// on stderr is in the error. Errors: ctx's, and *CommandError; the output so
// far comes with both.
func (m *Machine) Run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = environment(), "/"
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{&out, maxRead}, &limited{&errs, maxOutput}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return out.String(), ctx.Err()
		}
		return out.String(), &CommandError{Name: name, Said: errs.String(), Code: cmd.ProcessState.ExitCode(), Cause: err}
	}
	return out.String(), nil
}

// CommandError is a command that did not succeed.
type CommandError struct {
	Name  string
	Said  string // on stderr
	Code  int    // its exit code; -1 if it has none
	Cause error
}

// Error is the last thing that the command said.
func (e *CommandError) Error() string {
	if why := lastLine(e.Said); why != "" {
		return e.Name + ": " + why
	}
	return e.Name + ": " + e.Cause.Error()
}

// Unwrap is the cause.
func (e *CommandError) Unwrap() error { return e.Cause }

// Path is where one of the host's files is.
func (m *Machine) Path(name string) string { return m.Root + name }

// Text is a file's text; empty if it can't be read.
func (m *Machine) Text(name string) string {
	text, err := os.ReadFile(m.Path(name))
	if err != nil {
		return ""
	}
	return string(text)
}

// System is the host's name for its own system, such as "Debian GNU/Linux 12
// (bookworm)"; empty if it has none.
func (m *Machine) System() string { return parseSystem(m.Text("/etc/os-release")) }

// Kernel is the running kernel's release.
func (m *Machine) Kernel() string { return strings.TrimSpace(m.Text("/proc/sys/kernel/osrelease")) }

// LockHolder says who holds a lock by fcntl; empty if nobody does, or if that
// can't be told.
func (m *Machine) LockHolder(file string) string {
	f, err := os.Open(m.Path(file))
	if err != nil {
		return ""
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil || lock.Type == syscall.F_UNLCK {
		return ""
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", lock.Pid))
	if err != nil {
		name = []byte("a process")
	}
	return fmt.Sprintf("%s (%d) holds the lock %s", strings.TrimSpace(string(name)), lock.Pid, file)
}

// ListsAge is the time since the package lists were fetched, by us or by
// somebody else: the age of the newest of these files. Lists that have not
// changed keep their times, therefore our own success counts as well.
func (m *Machine) ListsAge(now time.Time, files ...string) time.Duration {
	var newest time.Time
	for i, f := range append([]string{m.stamp()}, files...) {
		if i > 0 {
			f = m.Path(f)
		}
		if info, err := os.Stat(f); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if newest.IsZero() {
		return NeverRefreshed
	}
	return max(0, now.Sub(newest))
}

// stamp is a file as old as our last refresh that succeeded.
func (m *Machine) stamp() string { return filepath.Join(m.dir, "refreshed") }

// Glob lists the host's files of a pattern, as Text and ListsAge name them.
func (m *Machine) Glob(pattern string) []string {
	files, err := filepath.Glob(m.Path(pattern))
	if err != nil {
		return nil
	}
	for i := range files {
		files[i] = strings.TrimPrefix(files[i], m.Root)
	}
	return files
}

// parseSystem reads PRETTY_NAME of an os-release file.
func parseSystem(text string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}

// limited drops what is too much, so that a command can't fill our memory.
type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.to.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}
