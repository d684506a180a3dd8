package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/agenttest"
	"upkeep/internal/agent/apt"
	"upkeep/internal/agent/host"
	"upkeep/internal/fault"
)

// The test binary stands for an agent in a process of its own: it carries out
// the order in its environment, and writes the answer down.
func TestMain(m *testing.M) {
	if text := os.Getenv("HOST_TEST_AGENT"); text != "" {
		var is errand
		if err := json.Unmarshal([]byte(text), &is); err != nil {
			panic(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(is.carryOut(context.Background())); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// errand is what an agent is started for.
type errand struct {
	Dir   string
	Owned agent.Owned
	File  string // if it says one, the owner's file to read instead of Owned
	Order action.Order
	Adopt bool // somebody else has begun it
}

// answer is what the hands have answered to an errand.
type answer struct {
	Result action.Result
	Error  string // why they did not begin, if they did not
}

func (is errand) carryOut(ctx context.Context) (a answer) {
	r, err := is.hand(ctx)
	if a.Result = r; err != nil {
		a.Error = err.Error()
	}
	return a
}

func (is errand) hand(ctx context.Context) (action.Result, error) {
	if is.File != "" {
		allow, err := agent.LoadAllow(is.File)
		if err != nil {
			return action.Result{}, err
		}
		is.Owned = allow.Owned
	}
	hands, err := host.New(host.Config{Dir: is.Dir, Owned: is.Owned, AllowFile: is.File}, apt.New)
	if err != nil {
		return action.Result{}, err
	}
	if is.Adopt {
		return hands.Adopt(ctx, is.Order, nil)
	}
	memo, err := hands.Prepare(ctx, is.Order)
	if err != nil {
		return action.Result{}, err
	}
	return hands.Begin(ctx, is.Order, memo)
}

// owner is a host whose owner has named commands.
type owner struct {
	*testing.T
	dir      string
	commands map[string]agent.Command
	owned    agent.Owned // with these commands
	hands    *host.Hands
}

// named makes a host with the given shell scripts; in them $0 is the folder
// for what they leave behind.
func named(t *testing.T, scripts map[string]string) *owner {
	t.Helper()
	o := &owner{T: t, dir: t.TempDir(), commands: map[string]agent.Command{}}
	for name, script := range scripts {
		o.commands[name] = agent.Command{Run: []string{"/bin/sh", "-c", script, o.dir}}
	}
	o.owned.Commands = o.commands
	o.restart()
	return o
}

func (o *owner) restart() {
	o.Helper()
	var err error
	o.hands, err = host.New(host.Config{Dir: filepath.Join(o.dir, "agent"), Owned: o.owned, AllowFile: "/etc/upkeep/agent.yaml"}, apt.New)
	if err != nil {
		o.Fatal(err)
	}
}

func (o *owner) text(name string) string {
	text, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		return ""
	}
	return string(text)
}

// until waits for what a command leaves behind.
func (o *owner) until(name string) {
	o.Helper()
	for end := time.Now().Add(10 * time.Second); o.text(name) == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			o.Fatalf("no %s", name)
		}
	}
}

func order(kind action.Kind, name string) action.Order {
	return action.Order{Run: "run-1", Step: name, Attempt: 1, Target: "target-1", Kind: kind, Command: name, Timeout: time.Minute}
}

// begin carries an order out, and adopts it.
func (o *owner) begin(ord action.Order) action.Result {
	o.Helper()
	r, err := o.hands.Begin(o.Context(), ord, nil)
	if err != nil {
		o.Fatal(err)
	}
	return r
}

func (o *owner) adopt(ord action.Order) action.Result {
	o.Helper()
	r, err := o.hands.Adopt(o.Context(), ord, nil)
	if err != nil {
		o.Fatal(err)
	}
	return r
}

func TestNamedCommands(t *testing.T) {
	o := named(t, map[string]string{"well": `echo x >>"$0/well"`, "ill": `echo x >>"$0/ill"; echo; echo no beat >&2; echo; exit 1`})
	agenttest.TestNamed(t, agenttest.Named{Hands: o.hands, Ran: func(name string) int { return strings.Count(o.text(name), "x") }})
}

// A command gets a fixed list of arguments, a small environment and no terminal.
func TestWhatACommandGets(t *testing.T) {
	t.Setenv("SECRET", "of the agent")
	o := named(t, nil)
	o.commands["args"] = agent.Command{Run: []string{"/usr/bin/printf", "%s\n", "a b", "$(id)", "; exit 9"}}
	o.commands["env"] = agent.Command{Run: []string{"/usr/bin/env"}}
	if r := o.begin(order(action.Command, "args")); r.Outcome != action.Done || r.Output != "a b\n$(id)\n; exit 9\n" {
		t.Errorf("%+v", r)
	}
	r := o.begin(order(action.Command, "env"))
	for _, want := range []string{"UPKEEP_RUN=run-1", "UPKEEP_STEP=env", "UPKEEP_TARGET=target-1", "LC_ALL=C", "PWD=/"} {
		if !strings.Contains(r.Output, want+"\n") {
			t.Errorf("no %s in %q", want, r.Output)
		}
	}
	if strings.Contains(r.Output, "SECRET") {
		t.Errorf("the agent's own environment was handed on: %q", r.Output)
	}
}

func TestUnknownName(t *testing.T) {
	o := named(t, nil)
	_, err := o.hands.Prepare(t.Context(), order(action.Check, "healthy"))
	const want = `this host's owner has no command named "healthy": add the line "healthy: [/path/to/program, argument]" below "commands:" in /etc/upkeep/agent.yaml there, and restart its agent`
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// A command that takes too long ends with all that it has started, even what
// does not listen.
func TestTooLong(t *testing.T) {
	o := named(t, map[string]string{"slow": `echo started; (trap "" TERM; exec 4>"$0/alive"; read x <"$0/gate") & wait`})
	for _, name := range []string{"gate", "alive"} {
		if err := syscall.Mkfifo(filepath.Join(o.dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ord := order(action.Command, "slow")
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		// It is read to its end when nobody can write to it any more.
		alive, err := os.Open(filepath.Join(o.dir, "alive"))
		cancel()
		if err == nil {
			defer alive.Close()
			_, err = io.ReadAll(alive)
		}
		gone <- err
	}()
	if _, err := o.hands.Begin(ctx, ord, nil); err == nil {
		t.Fatal("it ended")
	}
	ord.Timeout = time.Millisecond
	if r := o.adopt(ord); r.Outcome != action.Failed || !strings.HasPrefix(r.Reason, `the command "slow" was stopped after 1ms: started`) || !strings.HasPrefix(r.Output, "started\n") {
		t.Errorf("%+v", r)
	}
	select {
	case err := <-gone:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("what it has started is still there")
		if gate, err := os.OpenFile(filepath.Join(o.dir, "gate"), os.O_RDWR, 0); err == nil {
			gate.Close() // it goes on, and ends
		}
	}
}

// Killed with -9 in the middle, the agent finds its command again: it has
// run once, to its end.
func TestAgentIsKilled(t *testing.T) {
	o := named(t, map[string]string{"copy": `echo x >>"$0/ran"; read x <"$0/gate"; echo "copied $x"`})
	gate := filepath.Join(o.dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	ord := order(action.Backup, "copy")
	o.kill(ord, "ran")
	if err := os.WriteFile(gate, []byte("all\n"), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r := o.adopt(ord); r.Outcome != action.Done || r.Output != "copied all\n" || o.text("ran") != "x\n" {
			t.Errorf("%+v, ran %q", r, o.text("ran"))
		}
	}
}

// kill lets another process begin an order, and kills it when the command has
// written a file.
func (o *owner) kill(ord action.Order, file string) {
	o.Helper()
	text, err := json.Marshal(errand{Dir: filepath.Join(o.dir, "agent"), Owned: o.owned, Order: ord})
	if err != nil {
		o.Fatal(err)
	}
	starter := exec.CommandContext(o.Context(), os.Args[0])
	starter.Env = append(os.Environ(), "HOST_TEST_AGENT="+string(text))
	said, err := starter.StderrPipe()
	if err != nil {
		o.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		o.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(said); lines.Scan(); {
			o.Log(lines.Text())
		}
	}()
	o.until(file)
	if err := starter.Process.Kill(); err != nil {
		o.Fatal(err)
	}
	_ = starter.Wait() // it was killed
}

// Nobody saw how it ended, as after a crash of the host: a check is made
// again, once; anything else may have had its effect.
func TestNobodySawTheEnd(t *testing.T) {
	script := `echo x >>"$0/ran"; kill -9 $PPID; kill -9 $$`
	o := named(t, map[string]string{"deadly": script})
	if r := o.begin(order(action.Command, "deadly")); r.Outcome != action.Interrupted || !strings.Contains(r.Reason, "was cut off") {
		t.Errorf("a command: %+v", r)
	}
	if r := o.adopt(order(action.Command, "deadly")); r.Outcome != action.Interrupted || o.text("ran") != "x\n" {
		t.Errorf("a command, adopted: %+v, ran %q", r, o.text("ran"))
	}
	check := order(action.Check, "deadly")
	check.Step = "check"
	o.begin(check)
	for range 2 {
		if r := o.adopt(check); r.Outcome != action.Interrupted || o.text("ran") != "x\nx\nx\n" {
			t.Errorf("a check: %+v, ran %q", r, o.text("ran"))
		}
	}
	o.commands["deadly"] = agent.Command{Run: []string{"/bin/echo", "mended"}}
	check.Step = "another"
	if r := o.adopt(check); r.Outcome != action.Done || r.Output != "mended\n" {
		t.Errorf("a check that was never begun: %+v", r)
	}
	if err := o.hands.Forget(check.Key()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(o.dir, "agent", "orders")); err != nil || len(left) != 3 {
		t.Errorf("left: %v, %v", left, err) // of the command, and of the first check and its second time
	}
}

func TestNew(t *testing.T) {
	none := func(*host.Machine) (host.Manager, error) { return nil, fault.NotFound("program", "pacman") }
	if _, err := host.New(host.Config{Dir: t.TempDir()}, none); !fault.Is(err, fault.KindInvalid) || !strings.Contains(err.Error(), `no program "pacman"`) {
		t.Errorf("%v", err)
	}
	if h, err := host.New(host.Config{Dir: t.TempDir()}, none, apt.New); err != nil || h == nil {
		t.Errorf("the second one: %v", err)
	}
	if _, err := host.New(host.Config{}, apt.New); !fault.Is(err, fault.KindInvalid) {
		t.Errorf("without a folder: %v", err)
	}
	broken := func(*host.Machine) (host.Manager, error) { return nil, fault.Internal("ask dpkg", os.ErrPermission) }
	if _, err := host.New(host.Config{Dir: t.TempDir()}, broken, apt.New); !fault.Is(err, fault.KindInternal) {
		t.Errorf("broken: %v", err)
	}
}

var _ agent.Hands = (*host.Hands)(nil)
