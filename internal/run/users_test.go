package run

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/action"
	"upkeep/internal/evidence"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/runbook"
)

// users ask a pretended service ten times a second while the run has them
// asked, and it is known a second later what they saw.
type users struct {
	watch   evidence.Watch
	seconds []evidence.Second
	absent  time.Time // nobody has asked until then
	gone    bool      // nobody asks
	known   map[time.Time]seen
	pain    func() (unanswered, slow int) // of ten requests sent now
}

// seen is what was known at a tick, and when the run had last changed something.
type seen struct {
	evidence.Figures
	changed time.Time
}

// see is what is known of them at now.
func (u *users) see(r Run, now time.Time) evidence.Figures {
	switch {
	case r.Asking() && !u.watch.On:
		u.watch = u.watch.Start(r.ID, r.Book.Service.Probe.Late(), now)
	case !r.Asking() && u.watch.On:
		u.watch = u.watch.Stop(now)
	}
	at := u.watch.Since.Truncate(time.Second)
	if n := len(u.seconds); n > 0 && u.seconds[n-1].End().After(at) {
		at = u.seconds[n-1].End()
	}
	if u.gone {
		u.absent = now // what was not asked is not made up for
	}
	if u.absent.After(at) {
		at = u.absent
	}
	for ; u.watch.On && !at.Add(2*time.Second).After(now); at = at.Add(time.Second) {
		s := evidence.Second{At: at, Span: time.Second, Answered: 10}
		if u.pain != nil {
			s.Unanswered, s.Slow = u.pain()
			s.Answered -= s.Unanswered
		}
		u.seconds = append(u.seconds, s)
		u.watch = u.watch.Add([]evidence.Second{s})
	}
	f := evidence.Figures{Watch: u.watch}
	if r.Book != nil {
		since := r.Book.Renewed
		if over := r.Book.Runbook.ErrorBudget.Over; over > 0 && now.Add(-over).After(since) {
			since = now.Add(-over)
		}
		f.Recent = u.sum(since)
		if u.known == nil {
			u.known = map[time.Time]seen{}
		}
		u.known[now] = seen{f, r.Book.Changed}
	}
	return f
}

func (u *users) sum(since time.Time) (sum evidence.Total) {
	for _, s := range u.seconds {
		if s.End().After(since) {
			sum.Add(s)
		}
	}
	return sum
}

func probed() fleet.Service {
	s := threeNodes(1)
	s.Probe = fleet.Probe{Rate: 10, Endpoints: []fleet.Endpoint{{Name: "list", URL: "http://api/v3"}}}
	return s
}

// frugal is the runbook with an error budget.
func frugal() runbook.Book {
	b := apiExtension()
	b.ErrorBudget = runbook.ErrorBudget{Unanswered: "0.1%", Slow: "5%", Over: 2 * time.Minute}
	return b
}

func watchedStory(t judge, b runbook.Book) *bookStory {
	t.Helper()
	service := probed()
	service.Quorum -= max(b.MaxUnavailable, 1) - 1
	s := openBookStory(t, b, 3*time.Hour, service)
	s.users = &users{}
	return s
}

func TestUsersStories(t *testing.T) {
	week := 8 * 24 * time.Hour
	for name, tell := range map[string]func(t *testing.T) *bookStory{
		"users-see-nothing": func(t *testing.T) *bookStory {
			s := watchedStory(t, frugal())
			s.play(week)
			return s
		},
		// One restart costs three answers: the next member is not touched. A
		// person looks, resumes, and the rest costs nothing.
		"users-error-budget-used-up": func(t *testing.T) *bookStory {
			s := watchedStory(t, frugal())
			s.users.pain = func() (int, int) {
				if m := s.members["ctl1"]; m.restarts == 1 && m.touched {
					return 1, 0
				}
				return 0, 0
			}
			s.play(3 * time.Hour)
			if s.run.State != Paused || len(s.members["ctl1"].out) != 0 || s.members["ctl2"].restarts != 0 {
				t.Fatalf("it is %s\n%s", s.run.State, s.log.String())
			}
			s.resume()
			s.play(week)
			return s
		},
		// It is used up before anything was done to the member that is out: it is
		// put back untouched.
		"users-error-budget-used-up-by-draining": func(t *testing.T) *bookStory {
			s := watchedStory(t, frugal())
			s.takes[action.Balance] = 4 * time.Second
			s.users.pain = func() (int, int) { return 0, 10 * len(s.members["ctl2"].out) }
			s.play(3 * time.Hour)
			if s.members["ctl2"].restarts != 0 || len(s.members["ctl2"].out) != 0 || s.run.Halted() == "" {
				t.Errorf("ctl2 was restarted %d times, out at %v", s.members["ctl2"].restarts, s.members["ctl2"].out)
			}
			return s
		},
		// Who asks is gone after the first member, for an hour: no figure is no pass.
		"users-nobody-asks": func(t *testing.T) *bookStory {
			s := watchedStory(t, frugal())
			s.between = func(s *bookStory, o Order) { s.users.gone = s.users.gone || s.members["ctl1"].restarts == 1 }
			s.play(90 * time.Minute)
			if len(s.run.Waits) == 0 || s.run.Waits[0].Reason.Code != plan.Stale || s.run.Waits[0].Reason.What != plan.FactFigures {
				t.Fatalf("it waits for %+v", s.run.Waits)
			}
			fmt.Fprintf(&s.log, "waits   %s\n", s.run.Waits[0].Reason.Words("en", s.run.Window.Recurrence.Zone()))
			s.between, s.users.gone = nil, false
			s.play(week)
			return s
		},
		// The last member costs answers too: a person decides what that means.
		"users-error-budget-used-up-at-the-end": func(t *testing.T) *bookStory {
			b := frugal()
			b.ErrorBudget.Over = 0
			s := watchedStory(t, b)
			s.users.pain = func() (int, int) { return s.members["ctl3"].restarts * len(s.members["ctl3"].out), 0 }
			s.play(3 * time.Hour)
			if s.run.State != Paused || s.members["ctl3"].restarts != 1 {
				t.Fatalf("it is %s\n%s", s.run.State, s.log.String())
			}
			s.resume()
			s.play(week)
			return s
		},
		// One of two comes back while the other is still out: a third is not begun.
		"users-error-budget-two-at-once": func(t *testing.T) *bookStory {
			b := frugal()
			b.MaxUnavailable, b.Prove, b.ErrorBudget.Over = 2, nil, 0
			s := watchedStory(t, b)
			s.users.pain = func() (int, int) { return s.members["ctl1"].restarts * len(s.members["ctl1"].out), 0 }
			s.between = func(s *bookStory, o Order) {
				if o.Kind == action.HTTP && s.members["ctl2"].restarts == 1 {
					s.members["ctl2"].loaded, s.between = s.now.Add(time.Minute), nil
				}
			}
			s.play(3 * time.Hour)
			if s.members["ctl2"].restarts != 1 || s.members["ctl3"].restarts != 0 || s.run.Halted() == "" {
				t.Errorf("ctl3 was restarted %d times", s.members["ctl3"].restarts)
			}
			return s
		},
		// Without a budget nobody waits for figures, but they are told.
		"users-nobody-ever-asks": func(t *testing.T) *bookStory {
			s := watchedStory(t, apiExtension())
			s.users.gone = true
			s.play(week)
			return s
		},
	} {
		t.Run(name, func(t *testing.T) { tell(t).golden(t, name) })
	}
}

func TestOutagesAreKept(t *testing.T) {
	s := watchedStory(t, apiExtension())
	s.play(8 * 24 * time.Hour)
	if len(s.run.Book.Outages) != 3 {
		t.Fatalf("%+v", s.run.Book.Outages)
	}
	for i, o := range s.run.Book.Outages {
		if o.Member != fmt.Sprint("ctl", i+1) || o.To.Sub(o.From) < 10*time.Second || o.To.Sub(o.From) > time.Minute {
			t.Errorf("%+v", o)
		}
	}
	if s.run.Asking() {
		t.Error("the run has ended, and the service is still asked")
	}
}

func TestErrorBudgetWithoutAProbe(t *testing.T) {
	open := func(b runbook.Book) error {
		service := threeNodes(1)
		target := fleet.Target{ID: "svc", Project: "shop", Name: "api", Kind: fleet.ServiceKind, Service: &service}
		o, err := Now("r1", target, fleet.DefaultPolicy(), "user/ada", "", time.Hour, false, saturday)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = OpenBook(o, Book{Runbook: b, Service: service, Hosts: map[string]string{"ctl1": "1", "ctl2": "2", "ctl3": "3"}}, nil, saturday)
		return err
	}
	var f *fault.Error
	if err := open(frugal()); !errors.As(err, &f) || f.Field != "probe" || f.Kind != fault.KindInvalid {
		t.Errorf("a budget that nobody can keep: %v", err)
	}
	optional := frugal()
	optional.ErrorBudget.Optional = true
	if err := open(optional); err != nil {
		t.Error(err)
	}
}

// TestErrorBudgetsAreKept lets users suffer at random, figures be missing, and
// persons resume. Whenever a member is taken out, the figures of the users
// themselves must allow it, and be of now.
func TestErrorBudgetsAreKept(t *testing.T) {
	took, stopped, waited := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		b := frugal()
		b.ErrorBudget.Over = rapid.SampledFrom([]time.Duration{0, 30 * time.Second, 2 * time.Minute}).Draw(t, "over")
		if rapid.Bool().Draw(t, "two at once") {
			b.MaxUnavailable, b.Prove = 2, nil
		}
		s := watchedStory(t, b)
		pains := rapid.SliceOfN(rapid.IntRange(0, 40), 60, 60).Draw(t, "what users see")
		n := 0
		s.users.pain = func() (unanswered, slow int) {
			n++
			switch pains[n%len(pains)] {
			case 0:
				return 3, 0
			case 1:
				return 0, 10
			}
			return 0, 0
		}
		absent := rapid.SliceOfN(rapid.IntRange(0, 5), 20, 20).Draw(t, "who asks")
		orders, out := 0, ""
		s.between = func(s *bookStory, o Order) {
			orders++
			s.users.gone = absent[orders%len(absent)] == 0
			if len(s.run.Waits) > 0 && s.run.Waits[0].Reason.What == plan.FactFigures {
				waited++
			}
			step, ok := s.run.Plan.Step(o.Step)
			if !ok || step.Phase != plan.PhaseDrain || step.Member == out {
				return
			}
			out = step.Member
			took++
			s.budgetKept(t, s.run.Progress[o.Step].Ordered)
		}
		for turn := range 6 {
			s.play(time.Duration(rapid.IntRange(1, 60).Draw(t, "minutes")) * time.Minute)
			if s.run.Halted() != "" && rapid.Bool().Draw(t, fmt.Sprint("resume ", turn)) {
				stopped++
				s.resume()
			}
			s.users.gone = false
		}
		if s.run.State == Succeeded && !strings.Contains(s.run.Result.Text, "requests unanswered") {
			t.Fatalf("nobody is told what users saw: %s", s.run.Result.Text)
		}
	})
	if took == 0 || stopped == 0 || waited == 0 {
		t.Fatalf("the test looks at little: %d taken out, %d stopped, %d waited", took, stopped, waited)
	}
}

// budgetKept is rule 7, at the instant when a member was ordered to be taken out.
func (s *bookStory) budgetKept(t *rapid.T, at time.Time) {
	seen, ok := s.users.known[at]
	switch sum := seen.Recent; {
	case !ok || sum.Sent == 0 || at.Sub(seen.Newest) > s.service.Probe.Late():
		t.Fatalf("at %v a member is taken out, and how the service answers is known until %v only", at, seen.Newest)
	case seen.Newest.Before(seen.changed):
		t.Fatalf("at %v a member is taken out, and what the change at %v has cost is not known", at, seen.changed)
	case sum.Bad()*1000 > sum.Sent || sum.Slow*20 > sum.Sent:
		t.Fatalf("at %v a member is taken out, and users saw %s\n%s", at, sum, s.log.String())
	}
}

// A forecast has content users: it waits for them no longer than a run must.
func TestForecastOfAServiceThatIsAsked(t *testing.T) {
	s := watchedStory(t, frugal())
	f := Predict(s.run, World{Now: saturday, Target: s.target})
	if f.Outcome != Succeeded || len(f.Steps) != 12 {
		t.Fatalf("%s with %d steps, %+v", f.Outcome, len(f.Steps), f.Waits)
	}
	if took := f.End.Sub(f.Steps[0].Span.Start); took > 5*time.Minute {
		t.Errorf("it takes %s", took)
	}
}
