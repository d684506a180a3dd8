package run

import (
	"testing"
	"time"

	"upkeep/internal/fleet"
	"upkeep/internal/plan"
)

// TestBooksLearnTheirPace: the next plan expects what the steps have taken, with
// a quarter on top, all their attempts counted, and gives up no sooner.
func TestBooksLearnTheirPace(t *testing.T) {
	s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
	steps := func() map[string]plan.Step {
		root, _, err := plan.Service(s.run.serviceView(s.target.Pace), 1)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]plan.Step{}
		for _, step := range root.Steps() {
			all[step.Title] = step
		}
		return all
	}
	first := steps()
	s.play(8 * 24 * time.Hour)
	s.run.Book = s.run.Book.own()
	s.run.Book.Members = nil
	second := steps()
	for title, want := range map[string]time.Duration{
		"ctl1 drain a": 2500 * time.Millisecond, "ctl1 restart": 6250 * time.Millisecond, "ctl1 alive": 5 * time.Second, // refused, and asked again two seconds later
	} {
		if got := second[title]; got.Estimate != want || got.Timeout != first[title].Timeout {
			t.Errorf("%s is expected to take %s and given up after %s, want %s and %s", title, got.Estimate, got.Timeout, want, first[title].Timeout)
		}
	}
	if n := len(s.target.Pace[fleet.StepPace("api-extension-restart", "restart")]); n != 3 {
		t.Errorf("%d samples of three restarts", n)
	}
}
