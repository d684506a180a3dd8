//go:build e2e

package start_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// show is "upkeep demo" under way.
type show struct {
	program string
	dir     string // what it uses for temporary files
	cmd     *exec.Cmd
	out     io.Closer   // nobody reads its output after that
	lines   chan string // of its output; closed at its end
	said    []string
}

func begin(t *testing.T, program string) *show {
	t.Helper()
	s := &show{program: program, dir: t.TempDir(), lines: make(chan string, 1000)}
	s.cmd = exec.Command(program, "demo")
	s.cmd.Env = append(os.Environ(), "TMPDIR="+s.dir)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // as a shell starts it
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out, s.cmd.Stderr = out, os.Stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		for line := range s.lines {
			s.said = append(s.said, line)
		}
		if t.Failed() {
			t.Log(strings.Join(s.said, "\n"))
		}
	})
	go func() {
		defer close(s.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			s.lines <- in.Text()
		}
	}()
	return s
}

// hears waits for a line and returns what its groups match.
func (s *show) hears(t *testing.T, pattern string) []string {
	t.Helper()
	re, late := regexp.MustCompile(pattern), time.After(3*time.Minute)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("it has ended without %q:\n%s", pattern, strings.Join(s.said, "\n"))
			}
			s.said = append(s.said, line)
			if m := re.FindStringSubmatch(line); m != nil {
				return m
			}
		case <-late:
			t.Fatalf("it does not say %q:\n%s", pattern, strings.Join(s.said, "\n"))
		}
	}
}

// interrupt is Ctrl-C in a terminal: all of its process group get it.
func (s *show) interrupt(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.hears(t, "nothing is left behind")
	s.leavesNothing(t)
}

// leavesNothing waits until it has ended.
func (s *show) leavesNothing(t *testing.T) {
	t.Helper()
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if left := running(t, s.program); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
}

// running lists the processes of a program.
func running(t *testing.T, program string) (all []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), program) {
			all = append(all, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return all
}

func TestDemo(t *testing.T) {
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	t.Run("rolled twice", func(t *testing.T) { demoRolls(t, program) })
	t.Run("interrupted in a restart", func(t *testing.T) {
		s := begin(t, program)
		s.hears(t, "ctl2 restarting")
		s.interrupt(t)
	})
	t.Run("nobody reads what it says", func(t *testing.T) {
		s := begin(t, program)
		s.hears(t, "ctl1 restarting")
		s.out.Close()
		s.leavesNothing(t)
	})
	t.Run("killed in a restart", func(t *testing.T) { demoKilled(t, program) })
}

// demoRolls looks at the demo's rolls from outside: who asks the service sees
// nothing of them, one replica is out at a time, and each is restarted once.
func demoRolls(t *testing.T, program string) {
	s := begin(t, program)
	portal := s.hears(t, `^    (http://\S+)/$`)[1]
	url := s.hears(t, `small proxy at (\S+)`)[1]
	u := use(t, url, filepath.Join(glob(t, s.dir, "upkeep-demo-*"), "admin.sock"))
	unseen := `succeeded: 3 members through, at most 1 out at once; 0 of [1-9][0-9,]+ requests unanswered(.*)`
	if more := s.hears(t, unseen)[1]; strings.Contains(more, "failed") {
		t.Errorf("it says %q", more)
	}
	u.rolled(t, 2)
	env := strings.Fields(s.hears(t, `^    export (.*)$`)[1])
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // a roll that is halted is watched for ever
		defer cancel()
		cmd := exec.CommandContext(ctx, program, strings.Fields(s.hears(t, `^    upkeep (.*)$`)[1])...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
		}
	}
	s.hears(t, unseen)
	u.rolled(t, 3)
	u.stop()
	if resp, err := http.Get(portal); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the portal after the roll: %v", err)
	}
	s.interrupt(t)
	t.Log(strings.Join(s.said, "\n"))
}

// demoKilled: nobody is there to end the parts, so they end themselves.
func demoKilled(t *testing.T, program string) {
	s := begin(t, program)
	s.hears(t, "ctl2 restarting")
	s.cmd.Process.Kill()
	s.cmd.Wait()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		left := running(t, s.program)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left running: %q", left)
		}
	}
}

func glob(t *testing.T, parts ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(parts...))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v: %q, %v", parts, found, err)
	}
	return found[0]
}

// users ask the service and look at the proxy all the time.
type users struct {
	stop func()

	mu     sync.Mutex
	asked  int
	bad    []string
	newest map[string]int // the start of each replica that has answered
	out    int            // replicas that were not up at once, at most
}

func use(t *testing.T, url, admin string) *users {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if up, err := lookAt(admin); err == nil && up == 3 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d replicas are up, %v", up, err)
		}
	}
	u := &users{newest: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	u.stop = func() { cancel(); all.Wait() }
	t.Cleanup(u.stop)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, f := range []func(){func() { u.ask(client, url) }, func() { u.look(admin) }} {
		all.Go(func() {
			for tick := time.Tick(20 * time.Millisecond); ctx.Err() == nil; <-tick {
				f()
			}
		})
	}
	return u
}

func (u *users) ask(client *http.Client, url string) {
	resp, err := client.Get(url)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked++
	if err != nil {
		u.bad = append(u.bad, err.Error())
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	name, start := "", 0
	if n, _ := fmt.Sscanf(string(body), "%s start %d", &name, &start); n != 2 || err != nil || resp.StatusCode != http.StatusOK {
		u.bad = append(u.bad, resp.Status+" "+string(body))
		return
	}
	u.newest[name] = max(u.newest[name], start)
}

// look counts replicas that get no requests.
func (u *users) look(admin string) {
	up, err := lookAt(admin)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		u.bad = append(u.bad, err.Error())
		return
	}
	u.out = max(u.out, 3-up)
}

// lookAt counts the replicas that the proxy says are up.
func lookAt(admin string) (up int, err error) {
	conn, err := net.Dial("unix", admin)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	fmt.Fprintln(conn, "show stat")
	text, err := io.ReadAll(conn)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(line, ","); fields[0] == "api" && strings.HasPrefix(fields[4], "UP") {
			up++
		}
	}
	return up, err
}

// rolled looks at what was seen so far.
func (u *users) rolled(t *testing.T, start int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		u.mu.Lock()
		all := u.newest["ctl1,"] == start && u.newest["ctl2,"] == start && u.newest["ctl3,"] == start
		u.mu.Unlock()
		if all {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("starts %v, want %d each", u.newest, start)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.bad) > 0 {
		t.Errorf("%d of %d requests: %q", len(u.bad), u.asked, u.bad[:min(len(u.bad), 5)])
	}
	if u.out != 1 {
		t.Errorf("%d replicas were out at once", u.out)
	}
	t.Logf("%d requests besides the demo's own, %d not well", u.asked, len(u.bad))
}
