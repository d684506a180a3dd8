//go:build linux && e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"upkeep/internal/lab"
	"upkeep/internal/store/postgrestest"
)

// chaosKills is how many times something is killed during one chaos test.
const chaosKills = 50

// leftAlone is how long a killed control plane stays away, at times, while
// another one is there: longer than a lease.
const leftAlone = 12 * time.Second

// seed names the random choices of a chaos test; UPKEEP_SEED repeats them.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("UPKEEP_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("UPKEEP_SEED=%d repeats the choices", n)
	return rand.New(rand.NewPCG(n, n))
}

// TestKillsOnSQLite kills the control plane, agents, or both, at random
// instants while five servers are updated.
func TestKillsOnSQLite(t *testing.T) {
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	l := chaosLab(t, program)
	p := startPlane(t, l, program, filepath.Join(t.TempDir(), "data"), planeAddress)
	chaos(t, l, []*plane{p})
}

// TestKillsOnPostgreSQL does the same with two control planes on one database:
// one is always left to take over.
func TestKillsOnPostgreSQL(t *testing.T) {
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	l := chaosLab(t, program)
	url := postgrestest.URL(t)
	dir := filepath.Join(t.TempDir(), "data")
	a := startPlane(t, l, program, dir, planeAddress, "--database", url)
	b := startPlane(t, l, program, dir, lab.Gateway+":8444", "--database", url)
	chaos(t, l, []*plane{a, b})
}

var chaosPackages = []string{"one", "two", "three", "four", "five", "six", "seven", "kern"}

func chaosLab(t *testing.T, program string) *lab.Lab {
	t.Helper()
	base := lab.Base{Programs: map[string]string{agentProgram: program}}
	for _, n := range chaosPackages {
		base.Packages = append(base.Packages, lab.Plain(n, "1.0"))
	}
	l := lab.New(t, 5, base)
	l.Boot(t)
	for i, n := range chaosPackages {
		if n == "kern" {
			add(t, l.Repo.Main, lab.NeedsReboot(n, "2.0"))
			continue
		}
		add(t, l.Repo.Main, lab.Sleeps(n, "2.0", 3+float64(i)/2))
	}
	l.Repo.Publish()
	return l
}

func chaos(t *testing.T, l *lab.Lab, planes []*plane) {
	t.Helper()
	random := seed(t)
	p := planes[0]
	for _, s := range l.Servers {
		p.enrol(s)
	}
	open := time.Now().Add(3 * time.Second).Truncate(time.Second)
	for _, s := range l.Servers {
		p.schedule(s.Name, rruleAt(open), time.Hour, policyFor(1))
	}
	var kills []time.Time
	var ready []time.Duration
	for range chaosKills {
		<-time.After(time.Duration(200+random.IntN(900)) * time.Millisecond)
		what := random.IntN(3)
		if what != 0 {
			s := l.Servers[random.IntN(len(l.Servers))]
			if err := s.KillService(); err != nil && s.Up() {
				t.Logf("%s: %v", s.Name, err) // it is just rebooting
			}
		}
		if what != 1 {
			victim := planes[random.IntN(len(planes))]
			victim.kill()
			kills = append(kills, time.Now())
			// Agents dial the first: with the other one away, what it had
			// claimed waits for its leases to run out, and nothing else does.
			if victim != planes[0] && random.IntN(3) == 0 {
				<-time.After(leftAlone)
			}
			victim.start()
			ready = append(ready, victim.waitReady())
		}
	}
	var facts []factOf
	for _, s := range l.Servers {
		r := p.waitEnded(s.Name, 8*time.Minute)
		of := p.facts(r.ID)
		facts = append(facts, of...)
		judge(t, l, s, r, of)
		if t.Failed() {
			t.Logf("%s: %s: %s\n%s\nagent:\n%s", s.Name, r.State, r.Result.Text, p.story(r.ID), tail(s.ServiceLog(), 3000))
		}
	}
	report(t, kills, ready, facts)
}

// judge holds what must be true of one server when all is over.
func judge(t *testing.T, l *lab.Lab, s *lab.Server, r runOf, facts []factOf) {
	t.Helper()
	if r.State != "succeeded" {
		t.Errorf("%s: the run %s: %s", s.Name, r.State, r.Result.Text)
	}
	for _, n := range chaosPackages {
		if v, state, err := s.Version(n); v != "2.0" || state != "installed" {
			t.Errorf("%s: %s is %s %s; %v", s.Name, n, v, state, err)
		}
	}
	installs, err := s.Installs()
	if err != nil {
		t.Fatal(err)
	}
	once(t, s.Name, installs)
	log, err := s.ReadFile("/var/log/apt/history.log")
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]int{}
	for line := range strings.Lines(string(log)) {
		if strings.HasPrefix(line, "Commandline:") && strings.Contains(line, "=2.0") {
			commands[line]++
		}
	}
	for line, n := range commands {
		if n > 1 {
			t.Errorf("%s ran %d times: %s", s.Name, n, line)
		}
	}
	if s.Boots() != 2 {
		t.Errorf("%s booted %d times, one reboot was required", s.Name, s.Boots())
	}
	count := map[string]int{}
	var last int64
	for _, f := range facts {
		if f.Seq <= last {
			t.Errorf("%s: fact %d comes after %d", s.Name, f.Seq, last)
		}
		last = f.Seq
		count[f.Kind]++
		if f.Kind == "package.changed" || f.Kind == "plan.made" && strings.Contains(f.Text, "reboot") {
			count[f.Text]++
			if count[f.Text] > 1 {
				t.Errorf("%s: the history says twice: %s", s.Name, f.Text)
			}
		}
	}
	if count["run.opened"] != 1 || count["run.ended"] != 1 || count["step.started"] != count["step.ended"] || count["package.changed"] != len(chaosPackages) {
		t.Errorf("%s: the history is not whole: %v", s.Name, count)
	}
}

// report prints how soon work went on after a kill of a control plane.
func report(t *testing.T, kills []time.Time, ready []time.Duration, facts []factOf) {
	t.Helper()
	slices.SortFunc(facts, func(a, b factOf) int { return a.At.Compare(b.At) })
	var gaps []time.Duration
	for _, k := range kills {
		i, _ := slices.BinarySearchFunc(facts, k, func(f factOf, at time.Time) int { return f.At.Compare(at) })
		if i < len(facts) {
			gaps = append(gaps, facts[i].At.Sub(k))
		}
	}
	slices.Sort(gaps)
	slices.Sort(ready)
	if len(gaps) == 0 {
		t.Fatal("no control plane was killed while there was work")
	}
	measured(t, fmt.Sprintf("%s: %d kills of a control plane while there was work; ready again after median %v, at most %v; next fact after median %v, at most %v", t.Name(), len(gaps),
		ready[len(ready)/2].Round(time.Millisecond), ready[len(ready)-1].Round(time.Millisecond),
		gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond)))
}

// measured tells a number: in the test's log, and in the file that
// UPKEEP_MEASURED names, for go test keeps the log of a test that passes to itself.
func measured(t *testing.T, line string) {
	t.Helper()
	t.Log(line)
	path := os.Getenv("UPKEEP_MEASURED")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, line); err != nil {
		t.Fatal(err)
	}
}
