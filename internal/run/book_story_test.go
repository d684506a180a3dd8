package run

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

// apiExtension is the seed's own: the container of an API is restarted on each
// of three control nodes in turn.
func apiExtension() runbook.Book {
	health := map[string]string{"url": "{{member.url}}{{param.health}}", "times": "2"}
	state := func(s string) map[string]string {
		return map[string]string{"proxy": "{{proxy.socket}}", "backend": "{{service.backend}}", "server": "{{member.name}}", "state": s}
	}
	return runbook.Book{
		Name: "api-extension-restart", MaxUnavailable: 1, Budget: 5 * time.Minute,
		Params: []runbook.Param{{Name: "health", Type: action.String, Default: "/healthcheck"}},
		Prove: []runbook.Check{
			{Step: runbook.Step{Name: "others-up", Kind: action.HTTP, On: runbook.Others, With: health, Estimate: 2 * time.Second}, Settle: 5 * time.Second},
		},
		Member: runbook.Member{
			Drain: []runbook.Step{{Name: "drain", Kind: action.Balance, On: runbook.Proxies, With: state("drain"), Estimate: 10 * time.Second}},
			Do:    []runbook.Step{{Name: "restart", Kind: action.Command, On: runbook.Self, Command: "restart-api", Estimate: 20 * time.Second}},
			Await: []runbook.Step{{Name: "alive", Kind: action.HTTP, With: health, Estimate: 10 * time.Second}},
			Ready: []runbook.Step{{Name: "ready", Kind: action.Balance, On: runbook.Proxies, With: state("ready"), Estimate: 5 * time.Second}},
		},
	}
}

func threeNodes(proxies int) fleet.Service {
	s := fleet.Service{Quorum: 2, With: map[string]string{"backend": "api_back"}}
	for i := range 3 {
		name := fmt.Sprint("ctl", i+1)
		s.Members = append(s.Members, fleet.Member{Name: name, Server: name, With: map[string]string{"url": "http://" + name + ":8090"}})
	}
	for i := range proxies {
		name := string(rune('a' + i))
		s.Proxies = append(s.Proxies, fleet.Proxy{Name: name, With: map[string]string{"socket": "unix:/run/" + name}})
	}
	return s
}

// replica is one member of the pretended service.
type replica struct {
	out      map[string]bool // by proxy: it is drained there
	loaded   time.Time       // it answers from then on
	broken   bool            // its restart brings nothing back
	broke    time.Time       // when it went down by itself
	restarts int
	touched  bool // it was restarted since it was taken out
}

func (r *replica) up(now time.Time) bool { return !r.broken && !now.Before(r.loaded) }

// judge is what fails a story.
type judge interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// bookStory is a run of a runbook against a pretended service.
type bookStory struct {
	t        judge
	run      Run
	target   fleet.Target
	service  fleet.Service
	now      time.Time
	world    World
	members  map[string]*replica
	orders   []Order
	did      map[string]bool
	lies     time.Duration // so long after a change a check still says what was
	changed  time.Time
	takes    map[action.Kind]time.Duration
	log      strings.Builder
	between  func(s *bookStory, o Order) // called before each order is carried out
	approves bool
	users    *users // who ask the service; nil: nobody
}

func newBookStory(t judge, b runbook.Book, length time.Duration, proxies int) *bookStory {
	t.Helper()
	return openBookStory(t, b, length, threeNodes(proxies))
}

func openBookStory(t judge, b runbook.Book, length time.Duration, service fleet.Service) *bookStory {
	t.Helper()
	written := b
	written.Budget = max(b.Budget, time.Minute) // those without are of former versions
	if err := written.Validate(); err != nil {
		t.Fatal(err)
	}
	s := &bookStory{
		t: t, service: service, now: saturday, members: map[string]*replica{}, did: map[string]bool{}, approves: true,
		takes: map[action.Kind]time.Duration{action.Balance: 2 * time.Second, action.Command: 5 * time.Second, action.HTTP: time.Second, action.Check: time.Second},
	}
	if err := s.service.Validate(); err != nil {
		t.Fatal(err)
	}
	hosts := map[string]string{}
	for _, m := range s.service.Members {
		s.members[m.Name] = &replica{out: map[string]bool{}}
		hosts[m.Name] = "srv-" + m.Name
	}
	s.target = fleet.Target{ID: "svc", Project: "shop", Name: "api", Kind: fleet.ServiceKind, Service: &s.service}
	w, err := window.New(mustParse(t, "DTSTART;TZID=Europe/Berlin:20200803T134000 RRULE:FREQ=WEEKLY;BYDAY=SA"), length)
	if err != nil {
		t.Fatal(err)
	}
	r, facts, err := OpenBook(Opening{ID: "r1", Target: s.target, Schedule: "sch", By: "schedule/wednesday", Window: w},
		Book{Runbook: b, Service: s.service, Hosts: hosts}, nil, s.now)
	if err != nil {
		t.Fatal(err)
	}
	s.run, s.world.Answers = r, map[string]action.Result{}
	s.tell(Next{Facts: facts})
	return s
}

func mustParse(t judge, text string) window.Recurrence {
	t.Helper()
	r, err := window.ParseRRule(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *bookStory) tell(n Next) {
	for _, f := range n.Facts {
		fmt.Fprintf(&s.log, "%s  %-20s %s\n", f.At.In(s.run.Window.Recurrence.Zone()).Format("Mon 15:04:05"), f.Who, f.Text)
	}
}

func (s *bookStory) tick() Next {
	s.t.Helper()
	s.world.Now, s.world.Target = s.now, s.target
	if s.users != nil {
		s.world.Users = s.users.see(s.run, s.now)
	}
	moved, next := Tick(s.run, s.world)
	if len(next.Orders) > 0 {
		if _, second := Tick(moved, s.world); len(second.Orders) > 0 {
			s.t.Fatalf("a second tick orders %v", second.Orders)
		}
	}
	s.run = moved
	s.run.Revision++
	for _, k := range next.Samples {
		s.target.Pace = s.target.Pace.With(k.Kind, k.Units, k.Took)
	}
	s.tell(next)
	s.orders = append(s.orders, next.Orders...)
	return next
}

func (s *bookStory) play(d time.Duration) {
	s.t.Helper()
	end := s.now.Add(d)
	for turn := 0; !s.run.State.Ended() && s.now.Before(end); turn++ {
		if turn > 5000 {
			s.t.Fatalf("the run turns in circles:\n%s", s.log.String())
		}
		next := s.tick()
		switch {
		case s.run.State.Ended():
			return
		case len(s.orders) > 0:
			o := s.orders[0]
			s.orders = s.orders[1:]
			s.carryOut(o)
		case next.Wake.After(s.now) && next.Wake.Before(end):
			s.now = next.Wake
		case !next.Wake.After(s.now):
			s.t.Fatalf("at %v it wants to be woken at %v", s.now, next.Wake)
		default:
			s.now = end
		}
	}
}

func (s *bookStory) carryOut(o Order) {
	s.t.Helper()
	if s.did[o.Key()] {
		s.t.Fatalf("rule 6: %s is done twice", o.Key())
	}
	s.did[o.Key()] = true
	if s.between != nil {
		s.between(s, o)
	}
	if s.now.After(o.StartBy) { // who carries it out refuses to begin so late
		s.world.Answers[o.Key()] = action.Result{Outcome: action.Expired}
		return
	}
	asked := s.now
	s.now = s.now.Add(s.takes[o.Kind])
	res := action.Result{Outcome: action.Done, Started: asked, Finished: s.now}
	fail := func(why string) { res.Outcome, res.Reason = action.Failed, why }
	switch o.Kind {
	case action.Balance:
		m := s.members[o.With["server"]]
		if o.With["state"] == "ready" {
			delete(m.out, o.With["proxy"])
			// Whom nobody has touched is put back as it was.
			if m.touched && !m.up(asked) {
				s.t.Fatalf("a member that is not ready is put back: %v", o.With)
			}
			m.touched = m.touched && len(m.out) > 0
			break
		}
		s.quorum(o.With["server"], asked)
		m.out[o.With["proxy"]] = true
	case action.Command:
		m := s.members[strings.TrimPrefix(o.Target, "srv-")]
		if len(s.service.Proxies) != len(m.out) {
			s.t.Fatalf("%s is restarted and drained only at %v", o.Target, m.out)
		}
		s.inWindow(o)
		m.restarts, m.touched = m.restarts+1, true
		m.loaded = s.now.Add(4 * time.Second)
	case action.HTTP:
		name := strings.TrimSuffix(strings.TrimPrefix(o.With["url"], "http://"), ":8090/healthcheck")
		if m := s.members[name]; !m.up(s.now) && asked.Sub(s.changed) >= s.lies {
			fail("connection refused")
		}
	}
	s.world.Answers[o.Key()] = res
}

// quorum is rule 3, at the instant when a member is taken out.
func (s *bookStory) quorum(who string, at time.Time) {
	s.t.Helper()
	proved := at // what went down by itself since then nobody could know
	for fact, p := range s.run.Book.Proofs {
		if strings.Contains(fact, "."+who+".") && p.Seen.Before(proved) {
			proved = p.Seen
		}
	}
	serving := 0
	for name, m := range s.members {
		if name != who && (m.up(at) || m.broke.After(proved)) && len(m.out) == 0 {
			serving++
		}
	}
	if serving < s.service.Quorum {
		s.t.Fatalf("rule 3: %s is taken out at %v, and only %d others serve\n%s", who, at, serving, s.log.String())
	}
}

func (s *bookStory) inWindow(o Order) {
	s.t.Helper()
	step, _ := s.run.Plan.Step(o.Step)
	if open, ok := s.run.Window.Current(s.now.Add(-s.takes[o.Kind])); !ok || s.now.Add(-s.takes[o.Kind]).Add(step.Estimate).After(open.End) {
		s.t.Fatalf("rules 1 and 2: %s at %v", o.Key(), s.now)
	}
}

func (s *bookStory) golden(t *testing.T, name string) {
	t.Helper()
	var states []string
	for _, m := range s.service.Members {
		r := s.members[m.Name]
		states = append(states, fmt.Sprintf("%s: %d restarts, out at %d proxies", m.Name, r.restarts, len(r.out)))
	}
	fmt.Fprintf(&s.log, "\nstate   %s\nresult  %s\n%s\n", s.run.State, s.run.Result.Text, strings.Join(states, "\n"))
	for _, w := range s.run.Waits {
		fmt.Fprintf(&s.log, "waits   %s: %s\n", w.Step, w.Reason.Words("en", s.run.Window.Recurrence.Zone()))
	}
	compareGolden(t, name, s.log.String())
}

func (s *bookStory) abort(reason string) {
	s.t.Helper()
	r, facts, err := s.run.Abort("user/ada", reason, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	s.run = r
	s.tell(Next{Facts: facts})
}

func (s *bookStory) resume() {
	s.t.Helper()
	r, facts, err := s.run.Resume("user/ada", s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	s.run = r
	s.tell(Next{Facts: facts})
}

func TestBookStories(t *testing.T) {
	week := 8 * 24 * time.Hour
	stories := map[string]func(t *testing.T) *bookStory{
		"book-three-in-turn": func(t *testing.T) *bookStory {
			s := newBookStory(t, apiExtension(), 3*time.Hour, 2)
			s.play(week)
			return s
		},
		"book-member-does-not-come-back": func(t *testing.T) *bookStory {
			s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
			s.between = func(s *bookStory, o Order) {
				if o.Kind == action.Command && o.Target == "srv-ctl2" {
					s.members["ctl2"].broken = true
				}
			}
			s.play(3 * time.Hour)
			if s.run.State != Paused || len(s.members["ctl2"].out) != 1 || s.members["ctl3"].restarts != 0 {
				t.Fatalf("it is %s, and ctl3 was restarted %d times\n%s", s.run.State, s.members["ctl3"].restarts, s.log.String())
			}
			s.members["ctl2"].broken = false
			s.between = nil
			s.resume()
			s.play(week)
			return s
		},
		"book-member-does-not-come-back-and-abort": func(t *testing.T) *bookStory {
			s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
			s.between = func(s *bookStory, o Order) {
				s.members["ctl1"].broken = s.members["ctl1"].broken || o.Kind == action.Command
			}
			s.play(2 * time.Hour)
			s.abort("tomorrow is another day")
			s.play(week)
			return s
		},
		"book-other-member-is-down": func(t *testing.T) *bookStory {
			s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
			s.members["ctl3"].broken = true
			asked := 0
			s.between = func(s *bookStory, o Order) {
				if strings.HasSuffix(o.Step, "others-up.ctl3") {
					asked++
				}
			}
			s.play(90 * time.Minute)
			if most := int(50 * time.Minute / askAgain); asked < most*9/10 || asked > most {
				t.Errorf("in 50 minutes ctl3 was asked %d times whether it is up, want some %d", asked, most)
			}
			s.members["ctl3"].broken = false
			s.play(week)
			return s
		},
		// Another member goes down right after the first is through, and for some
		// seconds its check still says that it is up: a gate that asks at once
		// would go on.
		"book-stale-check": func(t *testing.T) *bookStory {
			s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
			s.lies = 4 * time.Second
			s.between = func(s *bookStory, o Order) {
				if o.Kind == action.Balance && o.With["state"] == "ready" && o.With["server"] == "ctl1" {
					s.members["ctl3"].broken, s.changed = true, s.now
				}
			}
			s.play(100 * time.Minute)
			if s.members["ctl2"].restarts != 0 {
				t.Errorf("ctl2 was restarted while ctl3 is down")
			}
			return s
		},
		"book-window-ends-while-draining": func(t *testing.T) *bookStory {
			b := apiExtension()
			s := newBookStory(t, b, 2*time.Minute, 1)
			s.between = func(s *bookStory, o Order) {
				if o.Kind == action.Balance && o.With["server"] == "ctl2" && o.With["state"] == "drain" && s.now.Before(saturday.Add(24*time.Hour)) {
					s.takes[o.Kind] = 100 * time.Second // sessions that do not end
				} else {
					s.takes[action.Balance] = 2 * time.Second
				}
			}
			s.play(2 * week)
			return s
		},
		"book-aborted-while-out": func(t *testing.T) *bookStory {
			s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
			s.between = func(s *bookStory, o Order) {
				if o.Kind != action.Command || o.Target != "srv-ctl2" {
					return
				}
				s.abort("customers complain")
			}
			s.play(week)
			return s
		},
		"book-over-budget": func(t *testing.T) *bookStory {
			b := apiExtension()
			b.Member.Await[0].Attempts = 100
			b.Budget = time.Minute
			s := newBookStory(t, b, 3*time.Hour, 1)
			s.between = func(s *bookStory, o Order) {
				if o.Kind == action.HTTP && s.members["ctl1"].restarts == 1 && !s.members["ctl1"].broken && s.run.Book.Halt == "" {
					s.members["ctl1"].loaded = s.now.Add(90 * time.Second)
				}
			}
			s.play(100 * time.Minute)
			s.between = nil
			s.resume()
			s.play(week)
			return s
		},
		"book-approval-and-soak": func(t *testing.T) *bookStory {
			b := apiExtension()
			b.After = []runbook.Step{
				{Name: "soak", Kind: action.HTTP, On: runbook.All, With: map[string]string{"url": "{{member.url}}/healthcheck"}, Soak: time.Hour, Estimate: time.Second},
				{Name: "contract", Kind: action.Check, Command: "db-contract", On: runbook.All, NoReturn: true, Estimate: time.Second},
			}
			s := newBookStory(t, b, 3*time.Hour, 1)
			s.play(2 * time.Hour)
			for _, w := range slices.Clone(s.run.Waits) {
				if !strings.HasPrefix(w.Reason.What, plan.FactApproved) {
					continue
				}
				r, facts, err := s.run.Approve("user/bob", w.Step, s.now)
				if err != nil {
					t.Fatal(err)
				}
				s.run = r
				s.tell(Next{Facts: facts})
				s.play(time.Minute)
			}
			s.play(20 * time.Minute)
			return s
		},
	}
	for name, tell := range stories {
		t.Run(name, func(t *testing.T) { tell(t).golden(t, name) })
	}
}
