package rollout

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

var update = flag.Bool("update", false, "write the stories anew")

var monday = time.Date(2026, 11, 16, 8, 0, 0, 0, time.UTC)

var berlin = mustZone("Europe/Berlin")

func mustZone(name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return l
}

// judge is what fails a story.
type judge interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func sha(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// evenings is when production may be worked at.
func evenings(t judge) window.Window {
	t.Helper()
	r, err := window.ParseRRule("DTSTART;TZID=Europe/Berlin:20260105T180000 RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH")
	if err != nil {
		t.Fatal(err)
	}
	w, err := window.New(r, 5*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// region is the seed's way: dev, stage, and two regions of production.
func region(t judge) Train {
	latency := Gate{Name: "latency", Kind: QueryGate, At: []When{After, During}, Every: 12 * time.Hour, With: map[string]string{
		"url": "{{environment.prometheus}}", "query": "p95", "baseline": "p95 offset 1w", "op": "<=", "value": "1.2",
	}}
	login := Gate{Name: "login", Kind: HTTPGate, With: map[string]string{"url": "http://{{environment.name}}/v3"}}
	budget := Gate{Name: "error-budget", Kind: QueryGate, At: []When{Before}, Every: time.Hour, With: map[string]string{
		"url": "{{environment.prometheus}}", "query": "budget", "op": ">", "value": "0.3",
	}}
	prometheus := map[string]string{"prometheus": "http://prometheus:9090"}
	prod := Environment{Region: true, Soak: 72 * time.Hour, Window: evenings(t), Approvals: 2, With: prometheus, Runs: "R3", Gates: []Gate{login, latency, budget}}
	prod1, prod2 := prod, prod
	prod1.Name, prod1.After = "prod1", "stage"
	prod2.Name, prod2.After = "prod2", "stage"
	return Train{
		Name: "scs",
		Environments: []Environment{
			{Name: "dev", Soak: 24 * time.Hour, With: prometheus, Runs: "R3"},
			{Name: "stage", After: "dev", Soak: 7 * 24 * time.Hour, With: prometheus, Runs: "R3"},
			prod1, prod2,
		},
		Phases: []Phase{
			{Name: "backup", Service: "database", Runbook: "backup"},
			{Name: "rabbitmq", Component: "rabbitmq", Service: "rabbitmq", Runbook: "roll", Params: map[string]string{"image": "{{digest.rabbitmq}}"}},
			{Name: "keystone", Component: "keystone", Service: "keystone", Runbook: "roll", Params: map[string]string{"image": "{{digest.keystone}}"}},
		},
		Gates:     []Gate{login, latency},
		Catalogue: Catalogue{Releases: []Listed{{Version: "R3"}, {Version: "R4"}, {Version: "R5"}}},
	}
}

func zed() Release {
	return Release{Train: "scs", Version: "R4", Digests: map[string]string{"keystone": sha("a"), "rabbitmq": sha("b")}}
}

func roll() runbook.Book {
	ask := []runbook.Step{{Name: "alive", Kind: action.HTTP, With: map[string]string{"url": "http://{{member.name}}"}}}
	return runbook.Book{
		Name: "roll", Params: []runbook.Param{{Name: "image", Type: action.Digest, Required: true}},
		Member: runbook.Member{Do: []runbook.Step{{Name: "do", Kind: action.Balance, With: map[string]string{
			"proxy": "p", "backend": "b", "server": "{{member.name}}", "state": "{{param.image}}",
		}}}, Await: ask},
	}
}

// story is a rollout against a pretended world: runs take their time and end as
// the story says, gates answer as it says.
type story struct {
	t       judge
	r       Rollout
	w       World
	now     time.Time
	runs    map[string]run.Run
	ends    map[string]time.Time
	takes   time.Duration
	fails   func(env, phase string) bool
	gate    func(env, gate string) action.Result
	log     strings.Builder
	opened  []string // "ENVIRONMENT PHASE", in order
	keys    map[string]bool
	waits   string
	checked func(s *story) // called after every tick
	quiet   bool
}

func pass(string, string) action.Result {
	return action.Result{Outcome: action.Done, Output: "good"}
}

func newStory(t judge, train Train, release Release) *story {
	t.Helper()
	if err := train.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := release.Validate(); err != nil {
		t.Fatal(err)
	}
	s := &story{
		t: t, now: monday, runs: map[string]run.Run{}, ends: map[string]time.Time{}, takes: 40 * time.Minute,
		fails: func(string, string) bool { return false }, gate: pass, keys: map[string]bool{},
	}
	backup := roll()
	backup.Name, backup.Params = "backup", nil
	backup.Member.Do = []runbook.Step{{Name: "look", Kind: action.HTTP, With: map[string]string{"url": "http://{{member.name}}"}}}
	s.w = World{
		Train:    StoredTrain{Project: "cloud", Train: train, Installed: map[string]Installed{}},
		Release:  StoredRelease{Project: "cloud", Release: release},
		Services: map[string]Service{}, Answers: map[string]action.Result{},
		Books: map[string]runbook.Book{"cloud/roll": roll(), "cloud/backup": backup},
	}
	for _, name := range []string{"database", "rabbitmq", "keystone"} {
		s.w.Services["cloud/"+name] = Service{Target: fleet.Target{
			ID: "svc-" + name, Project: "cloud", Name: name, Kind: fleet.ServiceKind,
			Service: &fleet.Service{Quorum: 1, Members: []fleet.Member{{Name: "a"}, {Name: "b"}}},
		}}
	}
	r, facts, err := Open(Opening{ID: "r1", Project: "cloud", By: "user/ada", Train: train, Release: s.w.Release}, s.now)
	if err != nil {
		t.Fatal(err)
	}
	s.r = r
	s.tell(facts)
	return s
}

func (s *story) tell(facts []history.Fact) {
	if s.quiet {
		return
	}
	for _, f := range facts {
		if f.Run == "" { // what its runs say is told elsewhere
			fmt.Fprintf(&s.log, "%s  %-9s %s\n", f.At.In(berlin).Format("Mon 02 15:04"), f.Who, f.Text)
		}
	}
}

// tick reads the world, ticks, and writes down what comes of it.
func (s *story) tick() Next {
	s.t.Helper()
	s.w.Now, s.w.ID = s.now, fmt.Sprintf("run-%d", len(s.opened)+1)
	s.w.Runs = map[string]run.Run{}
	for _, id := range s.r.OpenRuns() {
		s.w.Runs[id] = s.runs[id]
	}
	moved, next := tick(s.r, s.w, forecastIdle) // what comes by itself must not need the idle ticks
	before := s.r
	s.r = moved
	for _, r := range next.Runs {
		at := strings.TrimPrefix(r.Reason, "release "+s.r.Version+", environment ")
		if key := fmt.Sprint(at, moved.OpenRuns()); s.keys[key] {
			s.t.Fatalf("%s is opened twice", key)
		} else {
			s.keys[key] = true
		}
		s.opened = append(s.opened, strings.ReplaceAll(strings.ReplaceAll(at, ", phase", ""), ", gate", ""))
		s.runs[r.ID], s.ends[r.ID] = r, s.now.Add(s.takes)
	}
	for _, m := range next.Moves {
		s.move(m)
	}
	for _, o := range next.Orders {
		if s.keys[o.Key()] {
			s.t.Fatalf("order %s is given twice", o.Key())
		}
		s.keys[o.Key()] = true
		env, gate, _ := strings.Cut(o.Step, ".")
		s.w.Answers[o.Key()] = s.gate(env, gate)
	}
	maps.Copy(s.w.Train.Installed, next.Installed)
	s.tell(next.Facts)
	s.say()
	if _, again := Tick(s.r, s.world()); len(again.Runs) > 0 && !slices.Equal(before.OpenRuns(), s.r.OpenRuns()) && len(next.Runs) > 0 && next.Wake.After(s.now) {
		s.t.Fatalf("a second tick opens %v", again.Runs[0].Reason)
	}
	if s.checked != nil {
		s.checked(s)
	}
	return next
}

// world is what the next tick would read.
func (s *story) world() World {
	w := s.w
	w.Runs = map[string]run.Run{}
	for _, id := range s.r.OpenRuns() {
		w.Runs[id] = s.runs[id]
	}
	w.ID = "again"
	return w
}

func (s *story) move(m Move) {
	r := s.runs[m.Run]
	switch m.Verb {
	case PauseRun:
		r.PausedBy, r.State = m.By, run.Paused
	case ResumeRun:
		r.PausedBy, r.State = "", run.Working
		s.ends[m.Run] = s.now.Add(s.takes)
	case AbortRun:
		r.AbortedBy, r.State, r.Finished, r.Result.Text = m.By, run.Aborted, s.now, "aborted by "+m.By
	}
	s.runs[m.Run] = r
}

// say tells what waits, where that has changed.
func (s *story) say() {
	var lines []string
	for _, w := range s.r.Waits {
		if w.Reason.Code != RunUnderWay && w.Reason.Code != GateAsked {
			lines = append(lines, fmt.Sprintf("%-5s %s", w.Environment, w.Reason.Words("en", berlin)))
		}
	}
	if text := strings.Join(lines, "\n              "); text != s.waits {
		s.waits = text
		if text != "" && !s.quiet {
			fmt.Fprintf(&s.log, "       waits  %s\n", text)
		}
	}
}

// play goes on for some time, or until the rollout has ended.
func (s *story) play(d time.Duration) {
	s.t.Helper()
	end := s.now.Add(d)
	for turn := 0; !s.r.State.Ended() && s.now.Before(end); turn++ {
		if turn > 20_000 {
			s.t.Fatalf("it turns in circles:\n%s", s.log.String())
		}
		next := s.tick()
		if s.r.State.Ended() {
			return
		}
		wake := next.Wake
		if len(next.Orders) > 0 {
			wake = s.now.Add(time.Second) // its hands answer
		}
		for _, id := range s.r.OpenRuns() {
			if at := s.ends[id]; s.runs[id].PausedBy == "" && at.Before(wake) && !s.runs[id].State.Ended() {
				wake = at
			}
			if s.runs[id].State.Ended() {
				wake = s.now.Add(time.Second)
			}
		}
		if wake.Before(s.now) {
			s.t.Fatalf("at %v it wants to be woken at %v", s.now, wake)
		}
		s.now = wake
		if wake.After(end) {
			s.now = end
		}
		s.endRuns()
	}
}

func (s *story) endRuns() {
	for _, id := range s.r.OpenRuns() {
		r := s.runs[id]
		if r.State.Ended() || r.PausedBy != "" || s.ends[id].After(s.now) {
			continue
		}
		at := strings.Split(strings.TrimPrefix(r.Reason, "release "+s.r.Version+", environment "), ", ")
		_, what, _ := strings.Cut(at[1], " ")
		r.State, r.Finished, r.Result.Text = run.Succeeded, s.now, "2 members through, at most 1 out at once"
		if s.fails(at[0], what) {
			r.State, r.Result.Text = run.Failed, "the window is over and does not open again; 1 member left"
		}
		s.runs[id] = r
	}
}

// person is what a person says.
func (s *story) person(r Rollout, facts []history.Fact, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.r = r
	s.tell(facts)
}

func (s *story) approve(env string, who ...string) {
	s.t.Helper()
	s.w.Now = s.now
	for _, by := range who {
		e, _ := s.w.Train.Train.Environment(env)
		s.person(s.r.Approve(s.w, env, s.r.PlanOf(s.w, e).Hash, "user/"+by))
	}
}

func (s *story) veto(by, reason string) {
	s.w.Release.Veto = &Veto{By: by, Reason: reason, At: s.now}
	fmt.Fprintf(&s.log, "%s  %-9s vetoes %s: %s\n", s.now.In(berlin).Format("Mon 02 15:04"), by, s.r.Version, reason)
}

// untouched fails the story if anything was begun in an environment.
func (s *story) untouched(envs ...string) {
	s.t.Helper()
	for _, o := range s.opened {
		if env, _, _ := strings.Cut(o, " "); slices.Contains(envs, env) {
			s.t.Fatalf("%s was begun:\n%s", o, s.log.String())
		}
	}
}

func (s *story) golden(t *testing.T, name string) {
	t.Helper()
	fmt.Fprintf(&s.log, "\nstate  %s\nresult %s\n", s.r.State, s.r.Text)
	for _, e := range s.w.Train.Train.Environments {
		st := s.r.Standings[e.Name]
		fmt.Fprintf(&s.log, "%-6s %-9s has %s\n", e.Name, st.Stage, shortly(st.Digests()))
		for _, v := range st.Evidence {
			by := ""
			if v.By != "" {
				by = ", decided by " + v.By
			}
			fmt.Fprintf(&s.log, "       %s (%s) %s, %d times%s: %s\n", v.Gate, v.At, v.Result, v.Times, by, v.Why)
		}
	}
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(s.log.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.log.String(); string(want) != got {
		t.Errorf("the story %s is told otherwise now (run with -update and read the difference):\n%s\nwas:\n%s", name, got, want)
	}
}

func shortly(digests map[string]string) string {
	var all []string
	for _, c := range slices.Sorted(maps.Keys(digests)) {
		all = append(all, c+"="+digests[c][:10])
	}
	return strings.Join(all, " ")
}
