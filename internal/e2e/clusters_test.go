//go:build linux && e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// systemctl stands in for the real one on servers without systemd. It knows one
// verb and one unit, and refuses all else. What it calls stops the real daemon
// and starts it again.
const systemctl = `#!/bin/sh
set -eu
if [ "$*" != "restart %s" ]; then
	echo "stand-in for systemctl: asked for: $*" >&2
	exit 64
fi
date +%%s.%%N >> /var/log/restarts
/usr/local/sbin/stop-daemon
/usr/local/sbin/start-daemon
`

// site is three members of a real cluster on lab servers with agents, and a
// control plane. The owner of the servers lets runbooks run what the head of
// the shipped runbook says, word for word, by the scripts beside it.
type site struct {
	*plane
	members []*lab.Server
	book    string // the shipped runbook's name
	unit    string // what it restarts, if that is a real unit of systemd
}

// newSite makes a lab of n servers; the first three are the members. unit is
// what the runbook restarts, started by start, stopped by stop, both shell, and
// log is what it writes.
func newSite(t *testing.T, n int, book, unit, start, stop, log string, debian ...string) *site {
	t.Helper()
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	programs := map[string]string{agentProgram: program}
	hostScripts(t, programs)
	l := lab.New(t, n, lab.Base{Debian: debian, Programs: programs})
	p := startPlane(t, l, program, filepath.Join(t.TempDir(), "data"), planeAddress)
	l.Boot(t)
	s := &site{plane: p, members: l.Servers[:3], book: book}
	for _, m := range s.members {
		t.Cleanup(func() {
			if text, err := m.ReadFile(log); t.Failed() && err == nil {
				t.Logf("%s of %s:\n%s", unit, m.Name, tail(string(text), 8000))
			}
		})
		write(t, m, "/usr/bin/systemctl", fmt.Sprintf(systemctl, unit), 0o755)
		write(t, m, "/usr/local/sbin/start-daemon", "#!/bin/sh\nset -eu\n"+start, 0o755)
		write(t, m, "/usr/local/sbin/stop-daemon", "#!/bin/sh\nset -eu\n"+stop, 0o755)
	}
	return s
}

// hostScripts adds the scripts of runbooks/hosts to what servers have.
func hostScripts(t testing.TB, programs map[string]string) {
	t.Helper()
	scripts, err := filepath.Glob("../../runbooks/hosts/*")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("the hosts' scripts: %q, %v", scripts, err)
	}
	for _, file := range scripts {
		programs["/usr/local/sbin/"+filepath.Base(file)] = file
	}
}

// ownersCommands are the lines that the head of a shipped runbook gives to the
// owner of a host.
func ownersCommands(t testing.TB, book string) string {
	t.Helper()
	text, err := os.ReadFile("../../runbooks/" + book + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "\n#   commands:\n")
	if !ok {
		t.Fatalf("the head of %s has no commands", book)
	}
	lines := "commands:\n"
	for line := range strings.Lines(after) {
		command, ok := strings.CutPrefix(line, "#     ")
		if !ok {
			break
		}
		lines += "  " + command
	}
	return lines
}

// enrolAll gives the members their agents. more are lines for the owner's file,
// beside what the runbook's head says.
func (s *site) enrolAll(more string) {
	s.t.Helper()
	for _, m := range s.members {
		write(s.t, m, "/etc/upkeep/agent.yaml", ownersCommands(s.t, s.book)+more, 0o644)
		s.enrol(m)
	}
}

// upkeep runs the command line, as an operator does, and returns what it says.
func (s *site) upkeep(args ...string) string {
	s.t.Helper()
	cmd := s.l.Command(context.Background(), s.program, args...)
	cmd.Env = append(os.Environ(), "UPKEEP_SERVER=https://"+planeAddress, "UPKEEP_TOKEN_FILE="+filepath.Join(s.dir, "operator.token"), "UPKEEP_CA="+filepath.Join(s.dir, "ca.pem"))
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("upkeep %s: %v\n%s%s", strings.Join(args, " "), err, out, errs.String())
	}
	return string(out)
}

// apply has the command line apply a text.
func (s *site) apply(text string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "apply.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.upkeep("apply", "-f", file)
}

// describe applies the service of the three members and the shipped runbook.
func (s *site) describe(more string) {
	s.t.Helper()
	text := "kind: Service\nname: cluster\nquorum: 2\n" + more + "members:\n"
	for _, m := range s.members {
		text += fmt.Sprintf("  - {name: %s, server: %s}\n", m.Name, m.Name)
	}
	s.apply(text)
	s.upkeep("apply", "-f", "../../runbooks/"+s.book+".yaml")
}

// rollBook starts a runbook on the service, with more words of the command line,
// and returns the run.
func (s *site) rollBook(book string, more ...string) string {
	s.t.Helper()
	var r runOf
	if err := json.Unmarshal([]byte(s.upkeep(append([]string{"roll", "cluster", book, "--duration", "2h", "--reason", "PCO-1981", "-o", "json"}, more...)...)), &r); err != nil {
		s.t.Fatal(err)
	}
	return r.ID
}

// restarted is how often each member's daemon was restarted by the runbook.
func (s *site) restarted() (n []int) {
	s.t.Helper()
	for _, m := range s.members {
		n = append(n, len(lines(s.t, m, "/var/log/restarts")))
	}
	return n
}

// rollWhole rolls the shipped runbook to its end, checks that each member was
// restarted once, and tells how long it took beside what was foretold.
func (s *site) rollWhole(before func(), then func(run string)) {
	s.t.Helper()
	var foretold struct {
		Steps []struct{ Start, End time.Time }
	}
	if err := json.Unmarshal([]byte(s.upkeep("simulate", "cluster", s.book, "--duration", "2h", "-o", "json")), &foretold); err != nil {
		s.t.Fatal(err)
	}
	had := s.restarted()
	before()
	from := time.Now()
	run := s.rollBook(s.book)
	then(run)
	s.waitSuccess(run)
	took := time.Since(from)
	for i, n := range s.restarted() {
		if n != had[i]+1 {
			s.t.Errorf("%s was restarted %d times, want once", s.members[i].Name, n-had[i])
		}
	}
	var back []string
	for _, f := range s.facts(run) {
		if strings.Contains(f.Text, " is back after ") {
			back = append(back, f.Text)
		}
	}
	forecast := foretold.Steps[len(foretold.Steps)-1].End.Sub(foretold.Steps[0].Start)
	s.t.Logf("%s: three members in %.1fs, foretold were %.1fs; %s", s.book, took.Seconds(), forecast.Seconds(), strings.Join(back, ", "))
}

// waitSuccess waits until a run has succeeded, and fails as soon as it can't.
func (s *site) waitSuccess(run string) {
	s.t.Helper()
	var r struct{ State, Halt string }
	poll(s.t, 4*time.Minute, "run "+run+" to end", func() bool {
		s.call("GET", "/v1/runs/"+run, nil, &r)
		return r.State == "succeeded" || r.State == "failed" || r.State == "aborted" || r.Halt != ""
	})
	s.t.Logf("run %s: %s %s\n%s", run, r.State, r.Halt, s.story(run))
	if r.State != "succeeded" {
		s.t.FailNow()
	}
}

// naiveGoesOn rolls a runbook that asks what a careless one would: the member
// that is to be restarted, and nobody else, at once, and believes it. It must go
// on with the first member though what breakIt does is bad enough to stop, or
// the trap is none. What it would do is only written down: it returns what the
// first member said then.
func (s *site) naiveGoesOn(command string, breakIt func()) (said string) {
	s.t.Helper()
	s.apply(`kind: Runbook
name: naive
prove:
  - {name: asked, kind: check, on: member, command: ` + command + `, estimate: 2s}
member:
  do:
    - {name: went-on, kind: command, on: member, command: went-on, estimate: 1s}
  await:
    - {name: still, kind: check, on: member, command: ` + command + `, attempts: 1, estimate: 1s}
`)
	breakIt()
	run := s.rollBook("naive")
	poll(s.t, 30*time.Second, "the naive runbook to go on", func() bool {
		if text, err := s.members[0].ReadFile("/run/went-on"); err == nil {
			said = strings.TrimSpace(string(text))
		}
		return said != ""
	})
	s.upkeep("abort", run)
	s.waitRun(run, 2*time.Minute)
	return said
}

// waitsFor waits until a run says that it waits, and this is why.
func (s *site) waitsFor(run, why string) {
	s.t.Helper()
	poll(s.t, time.Minute, "the run to wait for: "+why, func() bool {
		var r struct{ Waits []struct{ Words string } }
		s.call("GET", "/v1/runs/"+run, nil, &r)
		return len(r.Waits) > 0 && strings.Contains(r.Waits[0].Words, why)
	})
}

// hears waits until a fact of a run has this text.
func (s *site) hears(run, text string) {
	s.t.Helper()
	poll(s.t, time.Minute, text, func() bool {
		return slices.ContainsFunc(s.facts(run), func(f factOf) bool { return strings.Contains(f.Text, text) })
	})
}

// onAll does the same on members at once.
func onAll(t testing.TB, members []*lab.Server, do func(*lab.Server) error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, m := range members {
		wg.Go(func() {
			if err := do(m); err != nil {
				t.Errorf("%s: %v", m.Name, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// must runs a program on a server that can't fail.
func must(t testing.TB, s *lab.Server, name string, args ...string) string {
	t.Helper()
	out, err := s.Exec(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// until waits until a program on a server ends with 0.
func until(t testing.TB, s *lab.Server, within time.Duration, name string, args ...string) {
	t.Helper()
	var last error
	deadline := time.Now().Add(within)
	poll(t, within+time.Minute, name+" on "+s.Name, func() bool {
		if _, last = s.Exec(name, args...); last != nil && time.Now().After(deadline) {
			t.Fatalf("after %v still: %v", within, last)
		}
		return last == nil
	})
}
