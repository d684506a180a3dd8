// Package process runs commands that outlive the process which started them,
// so that an agent can be killed in the middle of an installation and neither
// stops it nor starts it again.
//
// Each command has a folder. A small shell in a session of its own runs it and
// keeps there
//
//	lock   held, by flock, exactly as long as the shell lives
//	pid    the shell's, and its session's and process group's, number
//	out    what the command printed
//	rc     its exit code, once it has ended
//
// The lock is authoritative for "it runs": it is taken before the shell is
// started and handed to it, so there is no instant in which a command is under
// way unseen; a pid that was given away again can't be mistaken for it; and a
// reboot frees it. Nothing that the command itself starts inherits it.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrNone says that no command was ever started in a folder.
var ErrNone = errors.New("no command was started")

const (
	adoptedPoll = 100 * time.Millisecond // how often an adopted command is asked after
	killGrace   = 30 * time.Second       // between asking a command to end and killing it
)

// supervisor runs "$@" and writes down how it ended. Nothing is interpolated:
// $0 is a name for ps, $1 the folder, $2 says whether the process group ends
// with a command that is stopped. The shell survives the signal that ends the
// command, so that the exit code is kept; the command does not inherit the trap.
const supervisor = `stopped=
trap 'stopped=1' TERM INT HUP
d=$1
group=$2
shift 2
echo $$ >"$d/pid.tmp" && mv "$d/pid.tmp" "$d/pid"
"$@" >"$d/out" 2>&1 </dev/null 3>&-
rc=$?
echo $rc >"$d/rc.tmp" && mv "$d/rc.tmp" "$d/rc"
test -z "$stopped" || test "$group" != all || kill -KILL 0
exit $rc`

// Exit is how a command ended.
type Exit struct {
	Code   int  // its exit code, 128 plus the signal if one ended it
	Known  bool // false: nobody saw its end; the host crashed, or the shell was killed
	GaveUp bool // it was stopped, for it took too long
}

// Process is one command, under way or ended.
type Process struct {
	dir   string
	ended chan struct{} // closed when our own child has ended; nil if adopted
	code  int           // valid once ended is closed
}

// Start runs argv with exactly the given environment in folder /, and keeps
// its state in dir, which must not exist: so a command is started once,
// whatever else goes wrong. dir's parent is made if missing. Error: fs.ErrExist
// if a command was started there before.
//
// When the command is stopped for it took too long, what it has started and
// left behind may live on: a package's service does.
func Start(dir string, env, argv []string) (*Process, error) {
	return start(dir, "own", env, argv)
}

// StartGroup is Start for a command that is stopped with all that it has
// started, as far as that is still in its process group. What a command that
// ends by itself leaves behind lives on here too.
func StartGroup(dir string, env, argv []string) (*Process, error) {
	return start(dir, "all", env, argv)
}

func start(dir, group string, env, argv []string) (*Process, error) {
	if len(argv) == 0 {
		return nil, errors.New("start: no command")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	// Our descriptor is closed when the shell has its own: then it alone holds the lock.
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	//nolint:noctx // it outlives us on purpose; Wait stops it when it takes too long
	cmd := exec.Command("/bin/sh", append([]string{"-c", supervisor, "upkeep-order", dir, group}, argv...)...)
	cmd.Dir, cmd.Env = "/", env
	cmd.ExtraFiles = []*os.File{lock} // becomes descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	p := &Process{dir: dir, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.code = -1
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			p.code = cmd.ProcessState.ExitCode()
		}
	}()
	return p, nil
}

// Open finds the command that an earlier process started in dir. Error: ErrNone.
func Open(dir string) (*Process, error) {
	if _, err := os.Stat(filepath.Join(dir, "lock")); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNone
		}
		return nil, err
	}
	return &Process{dir: dir}, nil
}

// Wait waits for the command's end. A command that has run for longer than
// limit, counted from its start, is asked to end, and killed 30 s later. If ctx
// ends first, Wait returns its error and the command goes on.
func (p *Process) Wait(ctx context.Context, limit time.Duration) (Exit, error) {
	timer := time.NewTimer(limit - p.age())
	defer timer.Stop()
	kill := syscall.SIGTERM
	gaveUp := false
	for {
		over, err := p.wait(ctx, timer.C)
		if err != nil {
			return Exit{}, err
		}
		if over {
			break
		}
		gaveUp = true
		p.signal(kill)
		kill = syscall.SIGKILL
		timer.Reset(killGrace)
	}
	e := Exit{GaveUp: gaveUp}
	e.Code, e.Known = p.exitCode()
	return e, nil
}

// wait returns true when the command has ended, false when alarm rang.
func (p *Process) wait(ctx context.Context, alarm <-chan time.Time) (bool, error) {
	if p.ended != nil {
		select {
		case <-p.ended:
			return true, nil
		case <-alarm:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	tick := time.NewTicker(adoptedPoll)
	defer tick.Stop()
	for {
		running, err := p.Running()
		if err != nil || !running {
			return !running, err
		}
		select {
		case <-tick.C:
		case <-alarm:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// Running reports whether the command is under way.
func (p *Process) Running() (bool, error) {
	lock, err := os.Open(filepath.Join(p.dir, "lock"))
	if err != nil {
		return false, err
	}
	defer lock.Close() // frees it as well
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// exitCode reads how the command ended. On a full disk nothing may have been
// written, then our own child's exit code is as good.
func (p *Process) exitCode() (code int, known bool) {
	if text, err := os.ReadFile(filepath.Join(p.dir, "rc")); err == nil {
		if code, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return code, true
		}
	}
	if p.ended != nil && p.code >= 0 {
		return p.code, true
	}
	return 0, false
}

// pid is the shell's number; 0 if it is not known.
func (p *Process) pid() int {
	text, err := os.ReadFile(filepath.Join(p.dir, "pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// signal signals the command and all that is in its process group. The number
// is valid while the shell lives, and that is looked at first.
func (p *Process) signal(s syscall.Signal) {
	pid := p.pid()
	if running, err := p.Running(); pid > 1 && err == nil && running {
		// An error says that it has just ended, which Wait sees.
		_ = syscall.Kill(-pid, s)
	}
}

// age is how long the command has been under way, by the host's clock of
// elapsed time; 0 if that can't be told.
func (p *Process) age() time.Duration {
	if p.ended != nil {
		return 0
	}
	pid := p.pid()
	if pid == 0 {
		return 0
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	return age(string(stat), string(uptime))
}

// age reads /proc/PID/stat and /proc/uptime. Field 22 of the former is the start in
// hundredths of a second since boot (USER_HZ is 100 on every Linux that runs Go);
// fields are counted from after the name, which may contain anything.
func age(stat, uptime string) time.Duration {
	_, rest, ok := cutLast(stat, ") ")
	fields, up := strings.Fields(rest), strings.Fields(uptime)
	if !ok || len(fields) < 20 || len(up) == 0 {
		return 0
	}
	start, err1 := strconv.ParseInt(fields[19], 10, 64)
	now, err2 := strconv.ParseFloat(up[0], 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return max(0, time.Duration(now*float64(time.Second))-time.Duration(start)*10*time.Millisecond)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// Output is the end of what the command has printed, at most limit bytes.
func Output(dir string, limit int64) string {
	f, err := os.Open(filepath.Join(dir, "out"))
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > limit {
		if _, err := f.Seek(-limit, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
