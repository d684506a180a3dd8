package process

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary stands for an agent that is killed: it starts a command in
// the folder that it is given, says so, and waits for its end.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PROCESS_TEST_DIR"); dir != "" {
		if _, err := Start(dir, []string{"PATH=" + os.Getenv("PATH")}, os.Args[1:]); err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
		}
		os.Stdout.WriteString("started\n")
		select {}
	}
	m.Run()
}

// fifo makes a pipe on which a command can be made to wait.
func fifo(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// open lets a command that waits on a fifo go on, and waits until it waits.
func open(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
}

func env() []string { return []string{"PATH=" + os.Getenv("PATH"), "WORD=passed on"} }

func wait(t *testing.T, p *Process) Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	e, err := p.Wait(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "orders", "a")
	p, err := Start(dir, env(), []string{"/bin/sh", "-c", `echo "$WORD: $1"; echo $HOME >&2; pwd; exit 3`, "sh", `a "b" $(c); d`})
	if err != nil {
		t.Fatal(err)
	}
	if e := wait(t, p); e != (Exit{Code: 3, Known: true}) {
		t.Errorf("exit %+v", e)
	}
	if out := Output(dir, 1<<20); out != "passed on: a \"b\" $(c); d\n\n/\n" {
		t.Errorf("output %q", out)
	}
	if out := Output(dir, 2); out != "/\n" {
		t.Errorf("end of output %q", out)
	}
	if _, err := Start(dir, env(), []string{"true"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second start: %v", err)
	}
	if _, err := Open(dir + "x"); !errors.Is(err, ErrNone) {
		t.Errorf("open nothing: %v", err)
	}
}

// A command whose starter is killed lives on, and is adopted while it runs and
// after it has ended.
func TestOutlivesItsStarter(t *testing.T) {
	gate := fifo(t)
	dir := filepath.Join(t.TempDir(), "a")
	starter := exec.Command(os.Args[0], "/bin/sh", "-c", `read x <"$0"; echo "$x"; exit 7`, gate)
	starter.Env = append(os.Environ(), "PROCESS_TEST_DIR="+dir)
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "started\n" || err != nil {
		t.Fatalf("%q %v", line, err)
	}
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = starter.Wait()

	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if running, err := p.Running(); !running || err != nil {
		t.Fatalf("running %v %v", running, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.Wait(short, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("wait: %v", err)
	}
	open(t, gate)
	for _, when := range []string{"running", "ended"} {
		p, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if e := wait(t, p); e != (Exit{Code: 7, Known: true}) {
			t.Errorf("%s: exit %+v", when, e)
		}
	}
	if out := Output(dir, 100); out != "go\n" {
		t.Errorf("output %q", out)
	}
}

// What the command leaves running does not keep it from having ended.
func TestDaemonsDoNotHoldTheLock(t *testing.T) {
	gate := fifo(t)
	p, err := Start(filepath.Join(t.TempDir(), "a"), env(), []string{"/bin/sh", "-c", `read x <"$0" & exit 0`, gate})
	if err != nil {
		t.Fatal(err)
	}
	if e := wait(t, p); !e.Known {
		t.Errorf("exit %+v", e)
	}
	if running, err := p.Running(); running || err != nil {
		t.Errorf("running %v %v", running, err)
	}
	open(t, gate)
}

// A command that takes too long is asked to end, and its exit code is kept.
func TestGivesUp(t *testing.T) {
	gate := fifo(t)
	for _, adopted := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "a")
		ready := filepath.Join(t.TempDir(), "ready")
		p, err := Start(dir, env(), []string{"/bin/sh", "-c", `trap 'echo asked; exit 9' TERM; : >"$1"; read x <"$0"`, gate, ready})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := os.Stat(ready); err != nil; _, err = os.Stat(ready) {
			time.Sleep(time.Millisecond)
		}
		if adopted {
			if p, err = Open(dir); err != nil {
				t.Fatal(err)
			}
		}
		e, err := p.Wait(t.Context(), 0)
		if err != nil || e != (Exit{Code: 9, Known: true, GaveUp: true}) {
			t.Errorf("adopted %v: exit %+v, %v", adopted, e, err)
		}
		if out := Output(dir, 100); !strings.HasSuffix(out, "asked\n") {
			t.Errorf("output %q", out)
		}
	}
}

// If the shell is killed nobody knows how the command ended.
func TestUnknownEnd(t *testing.T) {
	gate := fifo(t)
	dir := filepath.Join(t.TempDir(), "a")
	p, err := Start(dir, env(), []string{"/bin/sh", "-c", `echo ready; read x <"$0"`, gate})
	if err != nil {
		t.Fatal(err)
	}
	for Output(dir, 100) != "ready\n" {
		time.Sleep(time.Millisecond)
	}
	p.signal(syscall.SIGKILL)
	if e := wait(t, p); e.Known {
		t.Errorf("own: exit %+v", e)
	}
	adopted, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if e := wait(t, adopted); e.Known {
		t.Errorf("adopted: exit %+v", e)
	}
	// As after a crash of the host in the middle of the last write.
	if err := os.WriteFile(filepath.Join(dir, "rc"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, adopted); e.Known {
		t.Errorf("empty: exit %+v", e)
	}
}

func TestAge(t *testing.T) {
	stat := "4711 (a) b) S 1 4711 4711 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 " + "12345 0 0"
	if got := age(stat, "223.45 400.00\n"); got != 100*time.Second {
		t.Errorf("age %s", got)
	}
	for _, bad := range []string{"", "1 (sh", "1 (sh) S 1 2", strings.Replace(stat, "12345", "x", 1)} {
		if got := age(bad, "223.45"); got != 0 {
			t.Errorf("age of %q is %s", bad, got)
		}
	}
	gate := fifo(t)
	dir := filepath.Join(t.TempDir(), "a")
	p, err := Start(dir, env(), []string{"/bin/sh", "-c", `read x <"$0"`, gate})
	if err != nil {
		t.Fatal(err)
	}
	open(t, gate)
	wait(t, p)
	if p, err = Open(dir); err != nil || p.age() != 0 {
		t.Errorf("age of what has ended: %s %v", p.age(), err)
	}
}
