package run

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/window"
)

var update = flag.Bool("update", false, "write the stories anew")

// A story is a run against a pretend server, told as its history. The golden
// files are there to be read: they are what an operator would see.
type story struct {
	t      *testing.T
	run    Run
	target fleet.Target
	now    time.Time
	world  World
	host   host
	orders []Order // given and not answered
	log    strings.Builder
}

// host is the pretend server: it does as it is told unless the story says otherwise.
type host struct {
	boot    int
	takes   map[action.Kind]time.Duration
	fails   map[string]string // package → why its installation fails
	stuck   map[string]bool   // packages whose failure a repair does not mend
	reboots map[string]bool   // packages that want a reboot
	deaf    bool              // it takes no orders
	dead    int               // so many refreshes fail
	breaks  map[string]int    // command → so many times it fails
	did     []string          // every order that it has begun, once
}

var saturday = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newStory(t *testing.T, policy fleet.Policy, length time.Duration, pending ...action.Pending) *story {
	t.Helper()
	rec, err := window.ParseRRule("DTSTART;TZID=Europe/Berlin:20200803T134000 RRULE:FREQ=WEEKLY;BYDAY=SA")
	if err != nil {
		t.Fatal(err)
	}
	w, err := window.New(rec, length)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{t: t, now: saturday}
	s.host = host{boot: 1, takes: map[action.Kind]time.Duration{
		action.Refresh: 3 * time.Second, action.Download: 5 * time.Second, action.Install: 30 * time.Second,
		action.Repair: 10 * time.Second, action.Restore: 10 * time.Second, action.Reboot: 40 * time.Second,
		action.Backup: 4 * time.Minute, action.Command: 2 * time.Second, action.Check: time.Second,
	}, breaks: map[string]int{}, fails: map[string]string{}, stuck: map[string]bool{}, reboots: map[string]bool{}}
	s.target = fleet.Target{ID: "srv", Project: "shop", Name: "web-1", Kind: fleet.Server, Group: "web"}
	s.target.Observed = &action.Observation{BootID: "boot-1", System: "Debian 12", Pending: pending}
	opening := Opening{ID: "r1", Target: s.target, Schedule: "sch", By: "schedule/weekend", Policy: policy, Window: w}
	r, facts := Open(opening, s.now)
	s.run = r
	s.tell(Next{Facts: facts})
	s.world.Answers = map[string]action.Result{}
	return s
}

func (s *story) tell(n Next) {
	for _, f := range n.Facts {
		who := f.Who
		if f.Step != "" {
			who += " " + f.Step
		}
		fmt.Fprintf(&s.log, "%s  %-24s %s\n", f.At.In(s.run.Window.Recurrence.Zone()).Format("Mon 15:04:05"), who, f.Text)
	}
}

// tick moves the run once, and checks that a second tick starts nothing.
func (s *story) tick() Next {
	s.t.Helper()
	s.world.Now, s.world.Target = s.now, s.target
	moved, next := Tick(s.run, s.world)
	if len(next.Orders) > 0 {
		again, second := Tick(moved, s.world)
		if len(second.Orders) > 0 || again.Plan.ID != moved.Plan.ID {
			s.t.Fatalf("at %v a second tick gives the orders %v", s.now, second.Orders)
		}
	}
	s.run = moved
	s.run.Revision++
	s.tell(next)
	for _, o := range next.Orders {
		s.target.Generation++
		o.Generation = s.target.Generation
		s.orders = append(s.orders, o)
	}
	for _, key := range next.Withdraw {
		if i := slices.IndexFunc(s.orders, func(o Order) bool { return o.Key() == key }); i >= 0 && s.host.deaf {
			s.orders = slices.Delete(s.orders, i, i+1)
			s.world.Answers[key] = action.Result{Outcome: action.Expired}
		}
	}
	return next
}

// play lets the story run until the run ends or the time is over.
func (s *story) play(until time.Duration) {
	s.t.Helper()
	end := s.now.Add(until)
	for turn := 0; !s.run.State.Ended() && s.now.Before(end); turn++ {
		if turn > 2000 {
			s.t.Fatalf("the run turns in circles:\n%s", s.log.String())
		}
		next := s.tick()
		if len(s.orders) > 0 && !s.host.deaf {
			o := s.orders[0]
			s.orders = s.orders[1:]
			s.carryOut(o)
			continue
		}
		if s.run.State.Ended() {
			return
		}
		if next.Wake.After(s.now) && next.Wake.Before(end) {
			s.now = next.Wake
		} else if !next.Wake.After(s.now) && len(next.Withdraw) == 0 {
			s.t.Fatalf("at %v the run wants to be woken at %v", s.now, next.Wake)
		} else if len(next.Withdraw) == 0 {
			s.now = end
		}
	}
}

// carryOut is what the host does with an order, once.
func (s *story) carryOut(o Order) {
	s.t.Helper()
	if slices.Contains(s.host.did, o.Key()) {
		s.t.Fatalf("rule 6: %s is done twice", o.Key())
	}
	s.host.did = append(s.host.did, o.Key())
	s.rules(o)
	obs := *s.target.Observed
	obs.Pending = slices.Clone(obs.Pending)
	obs.After = o.Key()
	res := action.Result{Outcome: action.Done, Started: s.now, Observation: &obs}
	s.now = s.now.Add(s.host.takes[o.Kind])
	res.Finished = s.now
	if o.DryRun {
		res.DryRun = true
		s.target.Observed, s.target.ObservedAt = &obs, s.now
		s.world.Answers[o.Key()] = res
		return
	}
	switch o.Kind {
	case action.Backup, action.Command, action.Check:
		if s.host.breaks[o.Command] > 0 {
			s.host.breaks[o.Command]--
			res.Outcome, res.Reason = action.Failed, o.Command+": exit status 1"
		}
	case action.Refresh:
		if s.host.dead > 0 {
			s.host.dead--
			res.Outcome, res.Failures = action.Failed, []action.Failure{{Reason: "Could not connect to the repository"}}
		}
	case action.Install:
		for _, p := range o.Packages {
			s.install(p, &obs, &res)
		}
	case action.Repair:
		var still []string
		for _, name := range obs.HalfConfigured {
			if s.host.stuck[name] {
				still = append(still, name)
				res.Outcome, res.Failures = action.Failed, append(res.Failures, action.Failure{Name: name, Reason: s.host.fails[name]})
			}
		}
		obs.HalfConfigured = still
	case action.Restore:
		for _, p := range o.Packages {
			obs.HalfConfigured = slices.DeleteFunc(slices.Clone(obs.HalfConfigured), func(n string) bool { return n == p.Name })
			res.Changes = append(res.Changes, action.Change{Name: p.Name, From: "2.0", To: p.Version})
			obs.Pending = append(obs.Pending, action.Pending{Name: p.Name, From: p.Version, To: "2.0"})
		}
	case action.Reboot:
		s.host.boot++
		obs.BootID, obs.RebootRequired = fmt.Sprintf("boot-%d", s.host.boot), false
	}
	s.target.Observed, s.target.ObservedAt = &obs, s.now
	s.world.Answers[o.Key()] = res
}

func (s *story) install(p action.Package, obs *action.Observation, res *action.Result) {
	i := slices.IndexFunc(obs.Pending, func(q action.Pending) bool { return q.Name == p.Name })
	if i < 0 {
		s.t.Fatalf("%s is installed and is not pending", p.Name)
	}
	from := obs.Pending[i].From
	obs.Pending = slices.Delete(obs.Pending, i, i+1)
	res.Changes = append(res.Changes, action.Change{Name: p.Name, From: from, To: p.Version})
	obs.RebootRequired = obs.RebootRequired || s.host.reboots[p.Name]
	if why := s.host.fails[p.Name]; why != "" {
		obs.HalfConfigured = append(slices.Clone(obs.HalfConfigured), p.Name)
		res.Outcome, res.Failures = action.Failed, append(res.Failures, action.Failure{Name: p.Name, Reason: why})
	}
}

// rules are those that every story keeps, whatever else it tells.
func (s *story) rules(o Order) {
	s.t.Helper()
	step, _ := s.run.Plan.Step(o.Step)
	if !o.Kind.Disrupts() || o.DryRun || step.Closing {
		return
	}
	w := s.run.Window
	if step.OwnSlot {
		w = s.run.Policy.RebootWindow
	}
	open, ok := w.Current(s.now)
	if !ok {
		s.t.Fatalf("rule 1: %s at %v, outside the window", o.Key(), s.now)
	}
	if s.now.Add(step.Estimate + step.Tail).After(open.End) {
		s.t.Fatalf("rule 2: %s does not fit", o.Key())
	}
	if f, frozen := window.Frozen(s.world.Freezes, window.Span{Start: s.now, End: s.now.Add(1)}); frozen && !s.run.Override.Freeze {
		s.t.Fatalf("rule 1: %s in the freeze %q", o.Key(), f.Reason)
	}
	places := s.run.GroupKeys(s.world.Group.Rules.Room())
	if !slices.ContainsFunc(places, func(key string) bool { return slices.Contains(s.run.Holds, key) && s.world.Claims[key] == "" }) {
		s.t.Fatalf("rule 8: %s without a place of its group: it holds %v", o.Key(), s.run.Holds)
	}
	for _, key := range s.run.ClaimKeys() {
		if s.world.Claims[key] != "" {
			s.t.Fatalf("rule 8: %s while %s holds %s", o.Key(), s.world.Claims[key], key)
		}
		if !slices.Contains(s.run.Holds, key) {
			s.t.Fatalf("rule 8: %s without the claim on %s", o.Key(), key)
		}
	}
}

func (s *story) golden(name string) {
	s.t.Helper()
	var b strings.Builder
	b.WriteString(s.log.String())
	fmt.Fprintf(&b, "\nstate   %s\nresult  %s\n", s.run.State, s.run.Result.Text)
	for _, w := range s.run.Waits {
		fmt.Fprintf(&b, "waits   %s: %s\n        %s\n", w.Step, w.Reason.Words("en", s.run.Window.Recurrence.Zone()), w.Reason.Words("de", s.run.Window.Recurrence.Zone()))
	}
	compareGolden(s.t, name, b.String())
}

// compareGolden compares a story with how it was told before.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("the story %s is told otherwise now (run with -update and read the difference):\n%s\nwas:\n%s", name, got, want)
	}
}

func pending(names ...string) []action.Pending {
	var all []action.Pending
	for _, n := range names {
		all = append(all, action.Pending{Name: n, From: "1.0", To: "2.0"})
	}
	return all
}

func TestStories(t *testing.T) {
	policy := fleet.DefaultPolicy()
	week := 8 * 24 * time.Hour
	expect := map[action.Kind]time.Duration{
		action.Refresh: 5 * time.Second, action.Download: 5 * time.Second, action.Install: time.Minute,
		action.Repair: time.Minute, action.Restore: time.Minute, action.Reboot: 2 * time.Minute,
	}
	stories := map[string]func(t *testing.T) *story{
		"plain-update": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl", "openssl")...)
			s.target.Observed.Pending[1].Security = true
			s.play(week)
			return s
		},
		"nothing-pending": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour)
			s.play(week)
			return s
		},
		"reboot": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("linux-image-amd64", "curl")...)
			s.host.reboots["linux-image-amd64"] = true
			s.play(week)
			return s
		},
		"reboot-forbidden": func(t *testing.T) *story {
			p := policy
			p.Reboot = fleet.RebootNever
			s := newStory(t, p, 2*time.Hour, pending("linux-image-amd64")...)
			s.host.reboots["linux-image-amd64"] = true
			s.play(week)
			return s
		},
		"postinst-fails": func(t *testing.T) *story {
			p := policy
			p.Batch = 1
			s := newStory(t, p, 2*time.Hour, pending("broken", "curl")...)
			s.host.fails["broken"], s.host.stuck["broken"] = "post-installation script returned error exit status 1", true
			s.play(week)
			return s
		},
		"interrupted-before": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl")...)
			s.target.Observed.HalfConfigured = []string{"bash"}
			s.play(week)
			return s
		},
		"stays-half-configured": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl")...)
			s.target.Observed.HalfConfigured = []string{"bash"}
			s.host.fails["bash"], s.host.stuck["bash"] = "post-installation script returned error exit status 1", true
			s.play(week)
			return s
		},
		"window-too-short": func(t *testing.T) *story {
			p := policy
			p.Batch, p.Expect = 1, expect
			s := newStory(t, p, 3*time.Minute, pending("a", "b", "c", "d", "e")...)
			s.host.takes[action.Install] = 50 * time.Second
			s.play(2 * week)
			return s
		},
		"never-fits": func(t *testing.T) *story {
			p := policy
			p.Expect = map[action.Kind]time.Duration{action.Install: time.Hour}
			s := newStory(t, p, 30*time.Minute, pending("big")...)
			s.play(week - 24*time.Hour)
			return s
		},
		"prepared-before": func(t *testing.T) *story {
			p := policy
			p.Prepare = 30 * time.Minute
			s := newStory(t, p, 2*time.Hour, pending("curl")...)
			s.play(week)
			return s
		},
		"freeze": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl")...)
			s.world.Freezes = []window.Freeze{{ID: "f", Reason: "Black Friday", Span: window.Span{Start: saturday, End: saturday.Add(48 * time.Hour)}}}
			s.play(2 * week)
			return s
		},
		"claimed": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl")...)
			s.world.Claims = map[string]string{"group/shop/web": "r0"}
			s.play(time.Hour)
			s.world.Claims = nil
			s.play(time.Hour)
			return s
		},
		"notice-first": func(t *testing.T) *story {
			p := policy
			p.NoticeLead = 24 * time.Hour
			s := newStory(t, p, 2*time.Hour, pending("curl")...)
			s.play(3 * time.Hour)
			r, facts, err := s.run.Announce("user/ada", "status page, PCO-1981", s.now)
			if err != nil {
				t.Fatal(err)
			}
			s.run = r
			s.tell(Next{Facts: facts})
			s.play(2 * week)
			return s
		},
		"not-begun-in-time": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl")...)
			s.host.deaf = true
			s.play(24 * time.Hour)
			s.host.deaf = false
			s.play(week)
			return s
		},
		"now-too-short": func(t *testing.T) *story {
			p := policy
			p.Batch, p.Expect = 1, expect
			s := newStory(t, p, time.Hour, pending("a", "b")...)
			o, err := Now("r2", s.target, p, "user/ada", "customer asked", 2*time.Minute, true, s.now)
			if err != nil {
				t.Fatal(err)
			}
			s.log.Reset()
			r, facts := Open(o, s.now)
			s.run = r
			s.tell(Next{Facts: facts})
			s.host.takes[action.Install] = 70 * time.Second
			s.play(time.Hour)
			return s
		},
		"repository-dead-for-a-while": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl")...)
			s.host.dead = 2
			s.play(week)
			return s
		},
		"aborted-while-installing": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl")...)
			for len(s.orders) == 0 || s.orders[0].Kind != action.Install {
				if next := s.tick(); len(s.orders) == 0 {
					s.now = next.Wake
				} else if s.orders[0].Kind != action.Install {
					o := s.orders[0]
					s.orders = nil
					s.carryOut(o)
				}
			}
			r, facts, err := s.run.Abort("user/ada", "wrong server", s.now)
			if err != nil {
				t.Fatal(err)
			}
			s.run = r
			s.tell(Next{Facts: facts})
			s.tick()
			if s.run.State != Working || len(s.run.Holds) == 0 {
				t.Errorf("rule 10: while the installation is under way the run is %s and holds %v", s.run.State, s.run.Holds)
			}
			s.play(time.Hour)
			return s
		},
		"repository-dead": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl")...)
			s.host.dead = 9
			s.play(week)
			// Rule 5 counts a grace from the first attempt, whatever has failed since.
			st := s.run.Progress["g1-1-refresh"]
			if st.Attempt != 3 || !st.First.Before(st.Ordered) || st.First.After(saturday.Add(40*time.Minute)) {
				t.Errorf("three attempts, first at %v, last at %v: %d", st.First, st.Ordered, st.Attempt)
			}
			return s
		},
		"aborted": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl")...)
			s.play(30 * time.Minute)
			r, facts, err := s.run.Abort("user/ada", "wrong server", s.now)
			if err != nil {
				t.Fatal(err)
			}
			s.run = r
			s.tell(Next{Facts: facts})
			s.play(week)
			return s
		},
		"paused": func(t *testing.T) *story {
			s := newStory(t, policy, 2*time.Hour, pending("curl")...)
			r, facts, err := s.run.Pause("user/ada", s.now)
			if err != nil {
				t.Fatal(err)
			}
			s.run = r
			s.tell(Next{Facts: facts})
			s.play(2 * time.Hour)
			return s
		},
	}
	for name, tell := range stories {
		t.Run(name, func(t *testing.T) { tell(t).golden(name) })
	}
}

func TestForecastAgreesWithTheStory(t *testing.T) {
	p := fleet.DefaultPolicy()
	p.Batch = 1
	p.Expect = map[action.Kind]time.Duration{action.Install: time.Minute, action.Refresh: time.Second, action.Download: time.Second}
	s := newStory(t, p, 3*time.Minute, pending("a", "b", "c", "d", "e")...)
	s.host.takes[action.Install], s.host.takes[action.Refresh], s.host.takes[action.Download] = time.Minute, time.Second, 5*time.Second
	f := Predict(s.run, World{Now: s.now, Target: s.target})
	if f.Outcome != Succeeded || f.Windows != 3 {
		t.Fatalf("forecast %+v", f)
	}
	var installs []string
	for _, step := range f.Steps {
		for _, pkg := range step.Packages {
			if step.Action == action.Install {
				installs = append(installs, pkg.Name)
			}
		}
	}
	if got := strings.Join(installs, ""); got != "abcde" {
		t.Fatalf("forecast installs %q", got)
	}
	if len(f.Waits) == 0 || f.Waits[0].Reason.Code != plan.WindowClosed {
		t.Fatalf("forecast waits %+v", f.Waits)
	}
}
