package demo_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"upkeep/internal/action"
	"upkeep/internal/balancer"
	"upkeep/internal/demo"
	"upkeep/internal/probe"
	"upkeep/internal/start"
)

// TestMain makes this program its own parts: with "demo" it is the command.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "demo" {
		os.Exit(m.Run())
	}
	root := &cobra.Command{Use: "upkeep", SilenceUsage: true}
	root.AddCommand(start.Demo("test"))
	if root.ExecuteContext(context.Background()) != nil {
		os.Exit(1)
	}
}

// The parts are quick here: what is to be seen does not depend on how long it takes.
func begin(t *testing.T) *demo.Service {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := demo.Start(t.Context(), demo.Config{Program: program, Dir: t.TempDir(), Pace: demo.Pace{Loading: 200 * time.Millisecond, Stopping: 600 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for _, name := range demo.Names {
		await(t, s, name)
		set(t, s, name, "ready") // and waits until it is up
	}
	return s
}

// set has the control plane's own hand set a replica's state, unmodified.
func set(t *testing.T, s *demo.Service, name, state string) {
	t.Helper()
	with := map[string]string{"proxy": s.Admin(), "backend": demo.Backend, "server": name, "state": state, "wait": "30s"}
	if state != "ready" {
		with["sessions"], with["min"] = "0", "2"
	}
	do(t, balancer.Hand{}, action.Balance, with)
}

// await has the other hand wait until a replica itself says that it is ready.
func await(t *testing.T, s *demo.Service, name string) {
	t.Helper()
	do(t, probe.Hand{}, action.HTTP, map[string]string{"url": s.Member(name) + demo.HealthPath, "times": "2", "every": "10ms", "wait": "30s"})
}

type hand interface {
	Do(ctx context.Context, o action.Order) action.Result
}

func do(t *testing.T, h hand, kind action.Kind, with map[string]string) {
	t.Helper()
	r := h.Do(t.Context(), action.Order{Run: "r", Step: "s", Attempt: 1, Target: "api", Kind: kind, With: with, Timeout: time.Minute})
	if r.Outcome != action.Done {
		t.Fatalf("%v: %s\n%s", with, r.Reason, r.Output)
	}
}

// TestNobodySeesARestartThatIsDrained restarts each replica in turn under load.
// Without the drain users notice; else the first half would prove nothing.
func TestNobodySeesARestartThatIsDrained(t *testing.T) {
	s := begin(t)
	l := ask(t, s.URL())
	for _, name := range demo.Names {
		set(t, s, name, "drain")
		if err := demo.AskRestart(t.Context(), s.Socket(), name); err != nil {
			t.Fatal(err)
		}
		await(t, s, name)
		set(t, s, name, "ready")
		l.sees(t, name+", start 2\n")
	}
	if bad := l.bad.Load(); bad > 0 {
		t.Errorf("%d requests failed", bad)
	}
	for _, name := range demo.Names {
		if n := l.starts(name); n != 2 {
			t.Errorf("%s was started %d times", name, n)
		}
	}
	if err := s.Restart("ctl2"); err != nil {
		t.Fatal(err)
	}
	l.sees(t, "ctl2, start 3\n")
	if l.bad.Load() == 0 {
		t.Error("nobody noticed a restart without a drain")
	}
	if err := demo.AskRestart(t.Context(), s.Socket(), "ctl9"); err == nil || !strings.Contains(err.Error(), `no replica "ctl9"`) {
		t.Errorf("a restart of ctl9: %v", err)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	s := begin(t)
	if n := len(running(t)); n != len(demo.Names)+1 {
		t.Fatalf("%d processes", n)
	}
	s.Close()
	if left := running(t); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
	if err := s.Restart("ctl1"); err == nil || !strings.Contains(err.Error(), "the demo ends") {
		t.Errorf("a restart after the end: %v", err)
	}
	if err := demo.AskRestart(t.Context(), s.Socket(), "ctl1"); err == nil {
		t.Error("a restart after the end")
	}
}

// A process must not outlive whoever started it, even if that is killed: its
// standard input ends then.
func TestAPartEndsWithItsInput(t *testing.T) {
	for _, args := range [][]string{
		{"demo", "replica", "ctl1"},
		{"demo", "proxy", "--admin", filepath.Join(t.TempDir(), "admin.sock"), "ctl1=127.0.0.1:1"},
	} {
		cmd := exec.Command(os.Args[0], args...)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		if _, err := out.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// running lists the command lines of parts of this program.
func running(t *testing.T) (all []string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		if words := strings.Split(string(text), "\x00"); len(words) > 1 && words[0] == program && words[1] == "demo" {
			all = append(all, strings.Join(words, " "))
		}
	}
	return all
}

// load asks all the time, each request on a connection of its own.
type load struct {
	bad atomic.Int64
	mu  sync.Mutex
	got map[string]int // by answer
}

func ask(t *testing.T, url string) *load {
	l := &load{got: map[string]int{}}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ctx, cancel := context.WithCancel(context.Background())
	var askers sync.WaitGroup
	for range 3 {
		askers.Go(func() {
			for ctx.Err() == nil {
				l.ask(client, url)
				select {
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); askers.Wait() })
	return l
}

func (l *load) ask(client *http.Client, url string) {
	resp, err := client.Get(url)
	if err != nil {
		l.bad.Add(1)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		l.bad.Add(1)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got[string(body)]++
}

// sees waits until an answer has come.
func (l *load) sees(t *testing.T, answer string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		l.mu.Lock()
		n := l.got[answer]
		l.mu.Unlock()
		if n > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody answers %q", answer)
		}
	}
}

// starts is the newest start of a replica that has answered.
func (l *load) starts(name string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for answer := range l.got {
		var start int
		if _, err := fmt.Sscanf(answer, name+", start %d\n", &start); err == nil {
			n = max(n, start)
		}
	}
	return n
}
