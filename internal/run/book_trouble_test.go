package run

import (
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/plan"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

// These are troubles that the simulation of internal/sim/rolls has found, each
// told once by itself.

// until plays turn by turn until an order is written down whose step contains a
// word, and returns it. It is not carried out.
func (s *bookStory) until(word string) Order {
	s.t.Helper()
	for range 500 {
		if i := slices.IndexFunc(s.orders, func(o Order) bool { return strings.Contains(o.Step, word) }); i >= 0 {
			o := s.orders[i]
			s.orders = slices.Delete(s.orders, i, i+1)
			return o
		}
		if next := s.tick(); len(next.Orders) > 0 {
			continue
		} else if len(s.orders) > 0 {
			o := s.orders[0]
			s.orders = s.orders[1:]
			s.carryOut(o)
		} else {
			s.now = next.Wake
		}
	}
	s.t.Fatalf("%s is never ordered\n%s", word, s.log.String())
	return Order{}
}

func (s *bookStory) answer(o Order, outcome action.Outcome) {
	s.world.Answers[o.Key()] = action.Result{Outcome: outcome, Started: s.now, Finished: s.now, Reason: "so it is told"}
}

// What was proved says nothing any more when its order lay somewhere.
func TestProofsAreNotReliedOnLater(t *testing.T) {
	s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
	proof := s.until("others-up")
	s.orders = append(s.orders, proof)
	if o := s.until("ctl1.drain"); o.StartBy.Sub(s.now) > runbook.DefaultFresh {
		t.Errorf("the drain may begin %v after it was ordered, and its proofs are good for %v", o.StartBy.Sub(s.now), runbook.DefaultFresh)
	}
}

// twoAtOnce is a story in which two of three members may be out at once.
func twoAtOnce(t *testing.T) *bookStory {
	t.Helper()
	b, service := apiExtension(), threeNodes(1)
	b.MaxUnavailable, service.Quorum = 2, 1
	return openBookStory(t, b, 3*time.Hour, service)
}

// While the run puts one member back, nothing that is asked about another tells.
func TestProofsWaitForWhatIsUnderWay(t *testing.T) {
	s := twoAtOnce(t)
	s.until("ctl1.ready")
	s.now = s.now.Add(20 * time.Second)
	s.world.Handed = map[string]time.Time{}
	for range 10 {
		s.tick()
		for _, o := range s.orders {
			if strings.Contains(o.Step, "others-up") {
				t.Fatalf("%s is asked while ctl1 is put back", o.Step)
			}
		}
		s.now = s.now.Add(time.Second)
	}
}

// What was asked before the run began to change something, and is answered while
// it does, tells of before.
func TestProofsOfBeforeAChangeDoNotTell(t *testing.T) {
	s := twoAtOnce(t)
	alive := s.until("ctl1.alive")
	s.now = s.now.Add(20 * time.Second)
	proofs := []Order{s.until("ctl2.others-up.ctl1"), s.until("ctl2.others-up.ctl3")}
	s.answer(alive, action.Done)
	back := s.until("ctl1.ready")
	for _, o := range proofs {
		s.answer(o, action.Done)
	}
	s.world.Handed = map[string]time.Time{back.Key(): s.now}
	for range 5 {
		s.now = s.now.Add(time.Second)
		for _, o := range s.tick().Orders {
			if strings.Contains(o.Step, "ctl2.drain") {
				t.Fatalf("%s is ordered on what was asked before %s", o.Step, back.Step)
			}
		}
	}
}

// A drain failed after it had its effect, and its second attempt was never
// begun: the member is out all the same, and is put back.
func TestNotBegunAgainIsStillOut(t *testing.T) {
	b := apiExtension()
	b.Budget = 0
	s := newBookStory(t, b, 3*time.Hour, 1)
	first := s.until("ctl1.drain")
	s.members["ctl1"].out["unix:/run/a"] = true
	s.answer(first, action.Failed)
	second := s.until("ctl1.drain")
	s.answer(second, action.Expired)
	s.now = saturday.Add(5 * time.Hour)
	s.play(8 * 24 * time.Hour)
	if !strings.Contains(s.log.String(), "what is out is put back") {
		t.Errorf("ctl1 was drained, and nobody puts it back before the next window\n%s", s.log.String())
	}
}

// What is ordered and was not fetched is taken back when the run halts, or a
// freeze is declared.
func TestUnfetchedIsTakenBack(t *testing.T) {
	for name, trouble := range map[string]func(s *bookStory){
		"halt":   func(s *bookStory) { s.run.Book.Halt = "something failed" },
		"freeze": func(s *bookStory) { s.world.Freezes = freezeNow(s.now) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
			o := s.until("ctl1.restart")
			trouble(s)
			if next := s.tick(); !slices.Contains(next.Withdraw, o.Key()) {
				t.Errorf("it takes back %v", next.Withdraw)
			}
			s.world.Handed = map[string]time.Time{o.Key(): s.now}
			if next := s.tick(); slices.Contains(next.Withdraw, o.Key()) {
				t.Error("it takes back what was handed out")
			}
		})
	}
}

func freezeNow(now time.Time) []window.Freeze {
	return []window.Freeze{{ID: "f", Span: window.Span{Start: now, End: now.Add(time.Hour)}, Reason: "trade fair"}}
}

// Of two that are out the first does not become ready; the other is put back
// all the same.
func TestOneThatStaysOutKeepsNoOtherOut(t *testing.T) {
	b, service := apiExtension(), threeNodes(1)
	b.MaxUnavailable, b.Prove, service.Quorum = 2, nil, 1
	b.Member.Await[0].Attempts = 2
	s := openBookStory(t, b, 3*time.Hour, service)
	s.between = func(s *bookStory, o Order) {
		if o.Kind == action.Command && strings.HasSuffix(o.Target, "ctl1") {
			s.members["ctl1"].broken = true
		}
	}
	s.orders = append(s.orders, s.until("ctl2.alive"))
	s.abort("")
	s.play(24 * time.Hour)
	if !s.run.State.Ended() || len(s.members["ctl2"].out) != 0 || len(s.members["ctl1"].out) != 1 || !strings.Contains(s.run.Result.Text, "ctl1") || strings.Contains(s.run.Result.Text, "ctl2") {
		t.Errorf("%s: %s; ctl1 is out at %v, ctl2 at %v\n%s", s.run.State, s.run.Result.Text, s.members["ctl1"].out, s.members["ctl2"].out, s.log.String())
	}
}

// One that is put back before all was done to it is not through: the rest is
// done in the next window, and only the rest.
func TestHalfDoneIsNotThrough(t *testing.T) {
	b := apiExtension()
	b.MaxUnavailable, b.Prove, b.Budget = 2, nil, 0
	b.Member.Do = append(b.Member.Do, runbook.Step{Name: "second", Kind: action.Command, On: runbook.Self, Command: "second", Estimate: 20 * time.Second})
	service := threeNodes(1)
	service.Quorum = 1
	s := openBookStory(t, b, 3*time.Hour, service)
	second := s.until("ctl1.second")
	s.answer(second, action.Expired)
	// A freeze of a day comes: ctl2 is drained and untouched, ctl1 half done.
	s.world.Freezes = []window.Freeze{{ID: "f", Span: window.Span{Start: s.now, End: s.now.Add(24 * time.Hour)}, Reason: "trade fair"}}
	for _, o := range s.orders { // what was ordered and not fetched
		s.answer(o, action.Expired)
	}
	s.orders = nil
	s.play(10 * 24 * time.Hour)
	text := s.log.String()
	if s.run.State != Succeeded || strings.Count(text, "ctl1 second done") != 1 || strings.Count(text, "ctl1 restart done") != 1 {
		t.Errorf("%s\n%s", s.run.State, text)
	}
}

// A soak between drain and work is time that the window must have.
func TestSoakCountsIntoTheWindow(t *testing.T) {
	b := apiExtension()
	b.Member.Do[0].Soak = time.Hour
	s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
	_, _, err := OpenBook(Opening{ID: "r2", Target: s.target, By: "user/ada", Window: window.Window{Recurrence: s.run.Window.Recurrence, Duration: 30 * time.Minute}},
		Book{Runbook: b, Service: s.service, Hosts: s.run.Book.Hosts}, nil, s.now)
	if err == nil || !strings.Contains(err.Error(), "duration") {
		t.Errorf("a member that soaks an hour is taken out in a window of 30 minutes: %v", err)
	}
}

// A member that is out past its budget is told of when it is, though the window
// is over.
func TestBudgetEndsOutsideOfTheWindow(t *testing.T) {
	b := apiExtension()
	b.Member.Do = append(b.Member.Do, runbook.Step{Name: "second", Kind: action.Command, On: runbook.Self, Command: "second", Estimate: 20 * time.Second, Approval: true})
	s := newBookStory(t, b, 4*time.Minute, 1)
	s.play(2 * time.Hour)
	if s.run.Halted() == "" || s.now.Sub(saturday.Add(40*time.Minute)) > 2*time.Hour {
		t.Errorf("it is %s, halted %q\n%s", s.run.State, s.run.Halted(), s.log.String())
	}
	if _, ok := s.run.Plan.Step("g1.ctl1.second"); !ok || s.run.Progress["g1.ctl1.restart"].Stage != plan.Done {
		t.Errorf("the story is another: %+v", s.run.Progress)
	}
}

// A host is given up an hour after it should have answered: it may not begin
// later what it was told then.
func TestGivenUpIsNotBegun(t *testing.T) {
	b := apiExtension()
	b.Budget = 0
	s := newBookStory(t, b, 10*time.Hour, 1)
	o := s.until("ctl1.restart")
	s.world.Handed = map[string]time.Time{o.Key(): s.now}
	for s.run.Halted() == "" {
		s.now = s.tick().Wake
	}
	if !s.now.After(o.StartBy) {
		t.Errorf("it is given up at %v, and may be begun until %v", s.now, o.StartBy)
	}
}

// What brings a member back is not taken back because nothing else may begin.
func TestClosingIsNotTakenBack(t *testing.T) {
	s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
	s.until("ctl1.ready")
	s.abort("")
	if next := s.tick(); len(next.Withdraw) > 0 {
		t.Errorf("it takes back %v", next.Withdraw)
	}
}

// A restart was given up, and its second attempt was never begun: perhaps the
// first was, so the member must show that it is ready before it is put back.
func TestGivenUpMayHaveBegun(t *testing.T) {
	b := apiExtension()
	b.Budget = 0
	s := newBookStory(t, b, 10*time.Hour, 1)
	first := s.until("ctl1.restart")
	s.world.Handed = map[string]time.Time{first.Key(): s.now}
	for s.run.Halted() == "" {
		s.now = s.tick().Wake
	}
	s.world.Handed = nil
	s.resume()
	s.answer(s.until("ctl1.restart"), action.Expired)
	s.abort("")
	if o := s.until("g2.ctl1."); strings.Contains(o.Step, "ready") {
		t.Errorf("%s is ordered, and nobody knows whether ctl1 is ready\n%s", o.Step, s.log.String())
	}
}
