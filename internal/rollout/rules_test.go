package rollout

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/action"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
)

// ledger is what the world has seen of an environment, kept by the test and
// not by what is tested.
type ledger struct {
	has     map[string]string // component → digest; missing: unknown
	changed time.Time         // when something last changed there
	bad     time.Time         // when a gate there last failed
	failed  bool              // and nobody has said retry since
	pinned  bool
}

// judgeRules looks at every run that is opened.
type judgeRules struct {
	t     *rapid.T
	s     *story
	books map[string]*ledger
	fails []string // environments whose gates have failed, and nobody could know it yet
}

func (j *judgeRules) of(env string) *ledger {
	if j.books[env] == nil {
		j.books[env] = &ledger{has: map[string]string{}}
	}
	return j.books[env]
}

// opened holds a new run to the rules.
func (j *judgeRules) opened(env, phase string) {
	s, release := j.s, j.s.w.Release
	if j.of(env).pinned && phase == "rabbitmq" {
		return // a person has ordered it
	}
	for name, l := range j.books {
		if l.failed && name != env {
			j.t.Fatalf("rule 7: %s %s is begun at %v, and %s has failed", env, phase, s.now, name)
		}
	}
	switch {
	case release.Veto != nil:
		j.t.Fatalf("%s %s is begun in spite of a veto", env, phase)
	case s.r.PausedBy != "":
		j.t.Fatalf("%s %s is begun while paused", env, phase)
	}
	e, _ := s.w.Train.Train.Environment(env)
	if e.After == "" {
		return
	}
	parent, _ := s.w.Train.Train.Environment(e.After)
	l := j.of(e.After)
	if !maps.Equal(l.has, release.Release.Digests) {
		j.t.Fatalf("%s is begun, and %s has %v where the release has %v", env, e.After, l.has, release.Release.Digests)
	}
	since := l.changed
	if l.bad.After(since) {
		since = l.bad
	}
	if s.now.Before(since.Add(parent.Soak)) {
		j.t.Fatalf("%s is begun at %v, and %s was last changed or bad at %v, with a soak of %v", env, s.now, e.After, since, parent.Soak)
	}
}

// ended keeps book of a run that has ended.
func (j *judgeRules) ended(env, phase string, r run.Run) {
	l := j.of(env)
	l.changed = j.s.now
	if r.State != run.Succeeded {
		l.failed = true
		delete(l.has, phase)
		return
	}
	if d := r.Book.Params["image"]; d != "" {
		l.has[phase] = d
	}
}

// randomTrain is a tree of environments.
func randomTrain(t *rapid.T) Train {
	train := region(t)
	train.Environments, train.Catalogue = nil, Catalogue{}
	for i := range rapid.IntRange(2, 5).Draw(t, "environments") {
		e := Environment{
			Name: fmt.Sprint("env", i), Region: rapid.Bool().Draw(t, "region"),
			Soak: time.Duration(rapid.IntRange(0, 72).Draw(t, "soak")) * time.Hour,
			With: map[string]string{"prometheus": "http://p"},
		}
		if i > 0 {
			e.After = fmt.Sprint("env", rapid.IntRange(max(0, i-2), i-1).Draw(t, "after"))
		}
		if rapid.Bool().Draw(t, "window") {
			e.Window = evenings(t)
		}
		train.Environments = append(train.Environments, e)
	}
	for i := range train.Phases { // each environment has services of its own
		train.Phases[i].Service += "-{{environment.name}}"
	}
	return train
}

func newRules(t *rapid.T) *judgeRules {
	train := randomTrain(t)
	s := newStory(t, train, zed())
	s.quiet = true
	for _, e := range train.Environments {
		for _, name := range []string{"database", "rabbitmq", "keystone"} {
			svc := s.w.Services["cloud/"+name]
			svc.Target.ID += "-" + e.Name
			s.w.Services["cloud/"+name+"-"+e.Name] = svc
		}
	}
	j := &judgeRules{t: t, s: s, books: map[string]*ledger{}}
	odd := rapid.IntRange(0, 3).Draw(t, "trouble")
	s.gate = func(env, gate string) action.Result {
		switch n := rapid.IntRange(0, 30).Draw(t, "gate"); {
		case n < odd:
			j.fails = append(j.fails, env)
			return action.Result{Outcome: action.Failed, Reason: "too slow"}
		case n < 2*odd:
			return action.Result{Outcome: action.Failed, Reason: action.Inconclusive + "no data"}
		case n == 30:
			return action.Result{Outcome: action.Expired}
		}
		return pass(env, gate)
	}
	return j
}

// tick ticks; now and then all that it has come to is lost, as in a crash.
func (j *judgeRules) tick(lost bool) {
	s := j.s
	if lost {
		w := s.world()
		w.Now = s.now
		Tick(s.r, w)
		return
	}
	was := len(s.opened)
	before := s.r
	s.tick()
	for _, o := range s.opened[was:] {
		env, phase, _ := strings.Cut(o, " ")
		j.opened(env, phase)
		// Two regions are at work only where a person has said now.
		if work := s.r.AtWork(); len(work) > len(before.AtWork()) && len(work) > 1 && !j.of(env).pinned {
			t := s.w.Train.Train
			if e, _ := t.Environment(env); e.Region {
				j.t.Fatalf("rule 8: %s is begun, and %v are at work", env, work)
			}
		}
	}
	for _, env := range j.fails {
		j.of(env).bad, j.of(env).failed = s.now, true
	}
	j.fails = nil
	for _, e := range s.w.Train.Train.Environments {
		if n := len(s.r.Standings[e.Name].phasesRunning()); n > 1 {
			j.t.Fatalf("%d runs at once in %s", n, e.Name)
		}
		if s.r.Standings[e.Name].Pinning == "" {
			j.of(e.Name).pinned = false
		}
	}
}

// step lets time go on to the next thing that happens.
func (j *judgeRules) step() {
	s := j.s
	s.now = s.now.Add(time.Duration(rapid.IntRange(1, 240).Draw(j.t, "minutes")) * time.Minute)
	for _, id := range s.r.OpenRuns() {
		r := s.runs[id]
		if r.State.Ended() || r.PausedBy != "" || s.ends[id].After(s.now) {
			continue
		}
		at := strings.Split(strings.TrimPrefix(r.Reason, "release R4, environment "), ", ")
		r.State, r.Finished, r.Result.Text = run.Succeeded, s.now, "done"
		if rapid.IntRange(0, 20).Draw(j.t, "run") == 0 {
			r.State = run.Failed
		}
		s.runs[id] = r
		j.ended(at[0], strings.TrimPrefix(at[1], "phase "), r)
	}
}

// meddle is what persons do.
func (j *judgeRules) meddle() {
	s := j.s
	env := rapid.SampledFrom(s.w.Train.Train.Environments).Draw(j.t, "environment").Name
	s.w.Now = s.now
	take := func(r Rollout, _ any, err error) {
		if err == nil {
			s.r = r
		}
	}
	switch rapid.IntRange(0, 11).Draw(j.t, "meddle") {
	case 0:
		s.w.Release.Veto = &Veto{By: "user/eve", Reason: "no"}
	case 1, 2:
		s.w.Release.Veto = nil
	case 3:
		digests := maps.Clone(s.w.Release.Release.Digests)
		digests["rabbitmq"] = sha(rapid.SampledFrom([]string{"b", "c", "d"}).Draw(j.t, "digest"))
		s.w.Release.Release.Digests = digests
	case 4:
		r, f, err := s.r.Pin(s.w, Pinning{Environment: env, Component: "rabbitmq", Digest: sha(rapid.SampledFrom([]string{"b", "9"}).Draw(j.t, "pin")), Now: rapid.Bool().Draw(j.t, "now"), Reason: "split"}, "user/ada")
		if take(r, f, err); err == nil {
			j.of(env).pinned, j.of(env).failed = true, false
		}
	case 5:
		r, f, err := s.r.Pause("user/bob", s.now)
		take(r, f, err)
	case 6:
		r, f, err := s.r.Resume("user/bob", s.now)
		take(r, f, err)
	case 7, 8, 10, 11:
		for _, name := range slices.Sorted(maps.Keys(j.books)) {
			if j.books[name].failed {
				env = name // mostly, who says retry knows where
			}
		}
		r, f, err := s.r.Retry(env, "user/ada", s.now)
		if take(r, f, err); err == nil {
			j.of(env).failed = false
		}
	case 9:
		for _, gate := range slices.Sorted(maps.Keys(s.r.Standings[env].Gates)) {
			r, f, err := s.r.Decide(env, gate, Pass, "looks good", "user/bob", s.now)
			take(r, f, err)
		}
	}
}

// Rules 7 and 8, and that production never begins unless what comes before has
// soaked with the same digests, whatever fails, changes and gets lost.
func TestRulesHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := newRules(t)
		for range 120 {
			if j.s.r.State.Ended() {
				break
			}
			if rapid.IntRange(0, 5).Draw(t, "person") == 0 {
				j.meddle()
			}
			j.tick(rapid.IntRange(0, 4).Draw(t, "lost") == 0)
			j.step()
		}
	})
}

// Without trouble every release comes through every train.
func TestEveryTrainArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newRules(t).s
		s.gate = pass
		s.play(60 * day)
		if s.r.State != Succeeded {
			t.Fatalf("it is %s: %v", s.r.State, s.r.Waits)
		}
	})
}

// Runs in regions claim them whole, by the service's label or else by the
// environment's name, and what their runbooks claim; runs elsewhere only that.
func TestRunsClaimTheirRegion(t *testing.T) {
	s := newStory(t, region(t), zed())
	s.approve("prod1", "bob", "eve")
	keystone := s.w.Services["cloud/keystone"]
	keystone.Target.Labels = map[string]string{"region": "eu01"}
	keystone.Claims = map[string]Claims{"roll": {Keys: []string{"name/cloud/database/keystone"}}}
	s.w.Services["cloud/keystone"] = keystone
	s.play(9 * day)
	for reason, want := range map[string][]string{
		"release R4, environment stage, phase rabbitmq": nil,
		"release R4, environment stage, phase keystone": {"name/cloud/database/keystone"},
		"release R4, environment prod1, phase rabbitmq": {"name/cloud/region/prod1"},
		"release R4, environment prod1, phase keystone": {"name/cloud/region/eu01", "name/cloud/database/keystone"},
	} {
		found := false
		for _, r := range s.runs {
			if found = found || r.Reason == reason; r.Reason == reason && !slices.Equal(r.Claims, want) {
				t.Errorf("%s claims %v, want %v", reason, r.Claims, want)
			}
		}
		if !found {
			t.Errorf("there is no run for %s", reason)
		}
	}
}

// A tick never changes what it is given.
func TestTickKeepsItsInput(t *testing.T) {
	s := newStory(t, region(t), zed())
	s.play(3 * day)
	before := fmt.Sprintf("%+v", s.r)
	s.now = s.now.Add(10 * day)
	w := s.world()
	w.Now = s.now
	Tick(s.r, w)
	if after := fmt.Sprintf("%+v", s.r); after != before {
		t.Errorf("the tick has changed its input:\n%s\nwas\n%s", after, before)
	}
}

// An approval is for what the runbooks say. A pointer would print as a place in
// memory, which is another one after every restart.
func TestRunbooksHaveNoPointers(t *testing.T) {
	var look func(path string, of reflect.Type)
	look = func(path string, of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Func, reflect.Chan, reflect.Interface:
			t.Errorf("%s is a %s: tell fingerprint how to print it", path, of.Kind())
		case reflect.Struct:
			if of == reflect.TypeFor[time.Time]() {
				t.Errorf("%s is a time, which prints with its zone: tell fingerprint how to print it", path)
				return
			}
			for f := range of.Fields() {
				look(path+"."+f.Name, f.Type)
			}
		case reflect.Slice, reflect.Array, reflect.Map:
			look(path+"[]", of.Elem())
		}
	}
	look("Book", reflect.TypeFor[runbook.Book]())
}

// What a book does not say is nothing, whatever fields there are; all that it
// says counts.
func TestFingerprint(t *testing.T) {
	one := fingerprint(roll())
	if again := fingerprint(roll()); again != one {
		t.Errorf("the same book is %s and %s", one, again)
	}
	// What was approved stays approved when books can say more: this was
	// printed by a version that knew fewer fields, or more.
	if want := "315ae142ac33"; one != want {
		t.Errorf("the fingerprint of a book that has not changed is %s now, and was %s", one, want)
	}
	seen := map[string]string{one: "as it is"}
	for what, change := range map[string]func(b *runbook.Book){
		"max":     func(b *runbook.Book) { b.MaxUnavailable = 2 },
		"kind":    func(b *runbook.Book) { b.Member.Do[0].Kind = action.HTTP },
		"with":    func(b *runbook.Book) { b.Member.Do[0].With = map[string]string{"url": "0, x:false"} },
		"with 2":  func(b *runbook.Book) { b.Member.Do[0].With = map[string]string{"url": "x:false"} },
		"title":   func(b *runbook.Book) { b.Title = "Name:0, " },
		"quoted":  func(b *runbook.Book) { b.Title = `Name:"", "` },
		"flag":    func(b *runbook.Book) { b.Member.Do[0].NoReturn = true },
		"moved":   func(b *runbook.Book) { b.Before, b.After = b.Member.Await, nil },
		"moved 2": func(b *runbook.Book) { b.Before, b.After = nil, b.Member.Await },
	} {
		b := roll()
		change(&b)
		if other := seen[fingerprint(b)]; other != "" {
			t.Errorf("a book with another %s is taken for the one %s", what, other)
		}
		seen[fingerprint(b)] = "with another " + what
	}
}

func TestCatalogue(t *testing.T) {
	c := Catalogue{
		Releases: []Listed{
			{Version: "R3", Components: map[string]string{"ceph": "nautilus", "mariadb": "10.5"}},
			{Version: "R4", Components: map[string]string{"ceph": "pacific", "mariadb": "10.6"}},
			{Version: "R5", Slurp: true, Components: map[string]string{"ceph": "quincy", "rabbitmq": "3.8"}},
			{Version: "R6", Components: map[string]string{"rabbitmq": "3.12"}},
			{Version: "R7", Slurp: true, Components: map[string]string{"ceph": "reef", "rabbitmq": "3.13"}},
			{Version: "R8", Components: map[string]string{"mariadb": "10.5", "ceph": "nautilus"}},
		},
		Rules: []Rule{
			{Component: "ceph", Versions: []string{"nautilus", "octopus", "pacific", "quincy", "reef"}, Step: 2},
			{Component: "rabbitmq", Versions: []string{"3.8", "3.9", "3.10", "3.11", "3.12", "3.13"}, Jumps: []Jump{{"3.8", "3.12"}}},
			{Component: "mariadb", Versions: []string{"10.5", "10.6"}},
		},
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ from, to, why string }{
		{"R3", "R4", ""}, {"R4", "R5", ""}, {"R5", "R6", ""}, {"R4", "R4", ""},
		{"R3", "R5", "R5 does not follow R3: next is R4"},
		{"R5", "R7", "rabbitmq may not go from 3.8 to 3.13 at once"},
		{"R4", "R6", "R6 does not follow R4: next is R5"},
		{"R5", "R8", "R8 does not follow R5: next is R6 or R7"},
		{"R5", "R4", "R4 is older than R5"},
		{"R7", "R8", "ceph would go back from reef to nautilus"},
		{"", "R4", "it is not known"},
		{"R99", "R4", "does not have both"},
	} {
		if got := c.Refuses(tt.from, tt.to); (got == "") != (tt.why == "") || !strings.HasPrefix(got, tt.why) && !strings.Contains(got, tt.why) {
			t.Errorf("%s to %s: %q, want %q", tt.from, tt.to, got, tt.why)
		}
	}
	c.Rules[1].Jumps = append(c.Rules[1].Jumps, Jump{"3.8", "3.13"})
	if got := c.Refuses("R5", "R7"); got != "" {
		t.Errorf("a listed jump from one SLURP release to the next is refused: %s", got)
	}
}

func TestDiff(t *testing.T) {
	var got []string
	for _, c := range Diff([]string{"a", "b", "c", "d"}, []string{"a", "x", "c", "d", "e"}) {
		got = append(got, string(c.Op)+c.Line)
	}
	if want := []string{" a", "-b", "+x", " c", " d", "+e"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
