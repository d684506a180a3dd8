//go:build linux && e2e

package host_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/lab"
)

const (
	handsProgram   = "/usr/local/bin/hands" // this test binary, on a server of the lab
	serviceProgram = "/usr/local/bin/service"
	ownersFile     = "/etc/upkeep/agent.yaml"
)

// realParts are what the hands are tried on, as Debian packages them. One list,
// for a root takes a minute to make.
var realParts = []string{"ansible-core", "openssh-server", "openssh-client", "podman", "crun", "systemd", "dbus", "docker.io"}

// real is a server of the lab with the hands of an agent.
type real struct {
	*testing.T
	*lab.Server
	orders int
}

// service is the name of the agent's service. Each has its own: what an order
// leaves behind, such as a connection, stays in the agent's.
func service(o action.Order, adopt bool) string {
	return fmt.Sprintf("agent-%d-%t.service", o.Attempt, adopt)
}

// newReal makes n servers. The hands are on the first, whose owner's file is
// given.
func newReal(t *testing.T, n int, file string) (*real, *lab.Lab) {
	t.Helper()
	l := lab.New(t, n, lab.Base{Debian: realParts, Systemd: true, Programs: map[string]string{
		handsProgram: os.Args[0], serviceProgram: lab.GoBuild(t, "upkeep/internal/agent/host/testdata/service"),
	}})
	l.Boot(t)
	r := &real{T: t, Server: l.Servers[0]}
	t.Cleanup(func() {
		if log, err := r.Exec("journalctl", "-n", "50", "--no-pager"); t.Failed() && err == nil {
			t.Logf("its journal:\n%s", log)
		}
	})
	write(t, r.Server, ownersFile, file, 0o644)
	return r, l
}

func write(t *testing.T, s *lab.Server, name, text string, mode os.FileMode) {
	t.Helper()
	if err := s.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// must runs a program on a server, which must succeed, and returns what it wrote.
func must(t *testing.T, s *lab.Server, argv ...string) string {
	t.Helper()
	out, err := s.Exec(argv[0], argv[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// order is an order with a key of its own.
func (r *real) order(kind action.Kind, pairs ...string) action.Order {
	r.orders++
	o := step(kind, pairs...)
	o.Attempt = r.orders
	return o
}

// send sends an agent on an errand: as a service of systemd, as the agent is.
func (r *real) send(o action.Order, adopt bool) (answer, error) {
	text, err := json.Marshal(errand{Dir: "/var/lib/upkeep", File: ownersFile, Order: o, Adopt: adopt})
	if err != nil {
		return answer{}, err
	}
	cmd, err := r.Command(r.Context(), "systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--unit="+service(o, adopt), "--property=KillMode=process",
		"--setenv=HOST_TEST_AGENT="+string(text), handsProgram)
	if err != nil {
		return answer{}, err
	}
	var a answer
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &a)
	}
	return a, err
}

// carryOut has an order carried out, and expects an outcome and a reason that
// says each of some words.
func (r *real) carryOut(o action.Order, want action.Outcome, says ...string) action.Result {
	r.Helper()
	a, err := r.send(o, false)
	if err != nil {
		r.Fatalf("%v: %v", o.With, err)
	}
	r.expect(o, a, want, says...)
	return a.Result
}

func (r *real) expect(o action.Order, a answer, want action.Outcome, says ...string) {
	r.Helper()
	ok := a.Error == "" && a.Result.Outcome == want
	for _, words := range says {
		ok = ok && strings.Contains(a.Result.Reason, words)
	}
	if !ok {
		r.Errorf("%v: %s %s, want %s with %q: %s\n%s", o.With, a.Error, a.Result.Outcome, want, says, a.Result.Reason, a.Result.Output)
	}
	r.Logf("%v: %s: %s\n%s", o.With, a.Result.Outcome, a.Result.Reason, a.Result.Output)
}

// killed has an agent begin an order and kills it, with -9, when under way says
// so. Then another agent finds the order.
func (r *real) killed(o action.Order, underWay func() bool, then func()) answer {
	r.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := r.send(o, false)
		ended <- err
	}()
	r.until("the order to be under way", underWay)
	must(r.T, r.Server, "sh", "-c", `kill -9 "$(systemctl show --value -p MainPID `+service(o, false)+`)"`)
	if err := <-ended; err == nil {
		r.Fatal("it ended before it was killed")
	}
	then()
	a, err := r.send(o, true)
	if err != nil {
		r.Fatal(err)
	}
	return a
}

// until asks until yes.
func (r *real) until(what string, yes func() bool) {
	r.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !yes() {
		select {
		case <-tick.C:
		case <-deadline:
			r.Fatalf("waited a minute for %s", what)
		}
	}
}

// lines is how many lines a file of a server has; 0 if it is not there.
func lines(s *lab.Server, name string) int {
	text, err := s.ReadFile(name)
	if err != nil {
		return 0
	}
	return strings.Count(string(text), "\n")
}
