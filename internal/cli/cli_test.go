package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"upkeep/internal/agent"
	"upkeep/internal/agent/agenttest"
	"upkeep/internal/server"
)

// The scripts in testdata read like the manual and run the program against a
// real server, each against its own, with real agents on pretended hosts.

func TestMain(m *testing.M) {
	pauses = []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond} // the scripts' programs, too
	testscript.Main(m, map[string]func(){"upkeep": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := Main(ctx, os.Args[1:], "1.2.3", os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			p, err := newPlane(filepath.Join(env.WorkDir, ".plane"))
			if err != nil {
				return err
			}
			env.Defer(func() {
				if err := p.stop(); err != nil {
					t.Errorf("server: %v", err)
				}
			})
			env.Values["plane"] = p
			env.Setenv("UPKEEP_SERVER", p.url())
			token, _ := p.server.TokenFile()
			env.Setenv("UPKEEP_TOKEN_FILE", token)
			env.Setenv("UPKEEP_CA", p.server.CAFile())
			env.Setenv("TZ", "Europe/Berlin")
			env.Setenv("HOME", env.WorkDir)
			return setTimes(env, time.Now())
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit": scriptExit, "agent": scriptAgent, "poll": scriptPoll, "stopserver": scriptStopServer,
		},
	})
}

// setTimes fills in the script's files, and gives the script, words for times
// of Berlin that are as far from now as they say, whenever that is: a window that
// is to be closed must not be open for an hour of each week.
func setTimes(env *testscript.Env, now time.Time) error {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return err
	}
	day := func(n int) string { return now.In(berlin).AddDate(0, 0, n).Weekday().String() }
	later := "20"
	if now.In(berlin).Hour() >= 12 {
		later = "04"
	}
	words := []string{
		"DAY2", day(2), "DAY3", day(3), "DAY4", day(4), // a day of the week, in so many days
		"LATER", later, // an hour of every day, hours from now
		"SINCE", now.Add(-time.Hour).UTC().Format("20060102T150405Z"), // an hour ago
	}
	var fill []string
	for pair := range slices.Chunk(words, 2) {
		env.Setenv(pair[0], pair[1])
		fill = append(fill, "$"+pair[0], pair[1])
	}
	files, err := os.ReadDir(env.WorkDir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		name := filepath.Join(env.WorkDir, f.Name())
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(strings.NewReplacer(fill...).Replace(string(text))), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// scriptExit runs a command that must end with an exit code: exit 3 upkeep get server nope
func scriptExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE command args…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var e *exec.ExitError
		if !errors.As(err, &e) {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// scriptPoll repeats a command until its output matches: poll 'waiting' upkeep why web-1
func scriptPoll(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: poll PATTERN command args…")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		_ = ts.Exec(args[1], args[2:]...)
		if re.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("never matched %s", args[0])
}

var pasted = regexp.MustCompile(`(?m)^  echo (\S+) \| upkeep agent --server (\S+) --ca-pin (\S+) --token-file /dev/stdin$`)

// scriptAgent starts a host whose agent does what "upkeep enrol" has just
// printed: agent web-1 slow
func scriptAgent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: agent NAME [slow] [bad] [kernel]")
	}
	m := pasted.FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("no command for the host in what was printed last")
	}
	p := ts.Value("plane").(*plane)
	ts.Check(p.host(ts.MkAbs(".host-"+args[0]), args[0], m[2], m[1], agent.Trust{Pin: m[3]}, args[1:]))
}

func scriptStopServer(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Value("plane").(*plane).stop())
}

// plane is a control plane with pretended hosts.
type plane struct {
	server *server.Server
	ctx    context.Context
	cancel context.CancelFunc
	over   chan error
	hosts  sync.WaitGroup
	once   sync.Once
	err    error
}

func newPlane(dir string) (*plane, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := server.New(ctx, server.Config{Data: dir, Listen: "127.0.0.1:0", Version: "4.5.6", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		cancel()
		return nil, err
	}
	p := &plane{server: s, ctx: ctx, cancel: cancel, over: make(chan error, 1)}
	go func() { p.over <- s.Run(ctx) }()
	return p, nil
}

func (p *plane) url() string { return "https://" + p.server.Address() }

func (p *plane) stop() error {
	p.once.Do(func() {
		p.cancel()
		p.hosts.Wait()
		if err := <-p.over; !errors.Is(err, net.ErrClosed) { // it was told to end
			p.err = err
		}
		p.err = errors.Join(p.err, p.server.Close())
	})
	return p.err
}

// host starts a pretended host with a real agent on it.
func (p *plane) host(dir, name, url, token string, trust agent.Trust, traits []string) error {
	who, err := agent.Enrol(p.ctx, dir, url, token, trust, "test")
	if err != nil {
		return err
	}
	door, err := agent.Dial(dir, url)
	if err != nil {
		return err
	}
	w := agenttest.New(hostConfig(name, strings.Join(traits, " ")))
	p.hosts.Go(func() {
		_ = w.Run(p.ctx, func(l *agenttest.Life) agent.Config {
			return agent.Config{Journal: l.Journal(), Hands: l.Hands(), Door: door, Target: who.Target, Version: "test"}
		})
	})
	return nil
}

func hostConfig(name, traits string) agenttest.Config {
	const soon = 20 * time.Millisecond
	takes := soon
	if strings.Contains(traits, "slow") {
		takes = time.Minute
	}
	c := agenttest.Config{Name: name, LookTakes: soon, RefreshTakes: soon, FetchTakes: soon, Shutdown: soon, Down: soon, Restart: soon}
	c.Packages = []agenttest.Package{
		{Name: "curl", Installed: "8.1", Candidate: "8.2", Security: true, Takes: takes},
		{Name: "vim", Installed: "9.0", Candidate: "9.1", Takes: takes},
	}
	if strings.Contains(traits, "bad") {
		c.Packages = append(c.Packages, agenttest.Package{Name: "nginx", Installed: "1.0", Candidate: "1.1", Takes: soon, Fails: "postinst ended with status 1\x1b[2J"})
	}
	if strings.Contains(traits, "kernel") {
		c.Packages = append(c.Packages, agenttest.Package{Name: "linux-image-amd64", Installed: "6.1.1", Candidate: "6.1.2", Takes: soon, WantsReboot: true})
	}
	return c
}

// lab is an app in this process, against a server of its own.
func lab(t *testing.T) (*plane, func(args ...string) (code int, stdout, stderr string)) {
	t.Helper()
	t.Parallel()
	p, err := newPlane(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return p, func(args ...string) (int, string, string) {
		var out, errs strings.Builder
		a := p.app(&out, &errs)
		code := a.main(t.Context(), args)
		return code, out.String(), errs.String()
	}
}

// app is the program, with an environment that names this server.
func (p *plane) app(out, errs io.Writer) *app {
	token, _ := p.server.TokenFile()
	env := map[string]string{"UPKEEP_SERVER": p.url(), "UPKEEP_TOKEN_FILE": token, "UPKEEP_CA": p.server.CAFile(), "XDG_CONFIG_HOME": "/nonexistent"}
	return &app{
		version: "1.2.3", in: strings.NewReader(""), out: out, err: errs, now: time.Now, local: time.UTC,
		getenv: func(name string) string { return env[name] },
	}
}

// enrolled starts a host of a name.
func enrolled(t *testing.T, p *plane, upkeep func(...string) (int, string, string), name string, traits ...string) {
	t.Helper()
	code, out, errs := upkeep("enrol", name)
	m := pasted.FindStringSubmatch(out)
	if code != 0 || m == nil {
		t.Fatalf("enrol: %d\n%s%s", code, out, errs)
	}
	if err := p.host(filepath.Join(t.TempDir(), name), name, m[2], m[1], agent.Trust{Pin: m[3]}, traits); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		if _, out, _ := upkeep("get", "server", name); strings.Contains(out, "Pretended") {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the host was never looked at")
		}
	}
}

func ExampleMain() {
	code := Main(context.Background(), []string{"help", "nothing"}, "1.2.3", strings.NewReader(""), io.Discard, io.Discard)
	fmt.Println(code)
	// Output: 2
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
