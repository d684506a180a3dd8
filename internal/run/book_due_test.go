package run

import (
	"strings"
	"testing"
	"time"

	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/window"
)

// A roll that does not fit into one window of its schedule goes on in the next
// one where it was, and holds nothing in between.
func TestBookGoesOnInTheNextWindow(t *testing.T) {
	s := newBookStory(t, apiExtension(), time.Minute, 1)
	s.play(3 * 24 * time.Hour)
	first := s.members["ctl1"].restarts + s.members["ctl2"].restarts + s.members["ctl3"].restarts
	if first == 0 || first == 3 || s.run.State != Waiting {
		t.Fatalf("%d members are through, and it is %s\n%s", first, s.run.State, s.log.String())
	}
	if len(s.run.Holds) > 0 {
		t.Errorf("between its windows it holds %v", s.run.Holds)
	}
	s.play(22 * 24 * time.Hour)
	if s.run.State != Succeeded {
		t.Fatalf("it is %s: %+v\n%s", s.run.State, s.run.Waits, s.log.String())
	}
	for name, m := range s.members {
		if m.restarts != 1 {
			t.Errorf("%s was restarted %d times", name, m.restarts)
		}
	}
}

// A halted roll with a member out keeps what it holds, however long it takes:
// others must not disrupt the rest meanwhile.
func TestHaltedBookKeepsItsClaims(t *testing.T) {
	s := newBookStory(t, apiExtension(), time.Hour, 1)
	s.members["ctl1"].broken = true
	s.play(3 * 24 * time.Hour)
	if s.run.State != Paused || len(s.run.Holds) == 0 {
		t.Errorf("it is %s and holds %v", s.run.State, s.run.Holds)
	}
}

// A start that nobody was there for goes by the schedule's rule; one that
// somebody was there for is none that was missed, however long it waits.
func TestBookMissedStart(t *testing.T) {
	for rule, restarts := range map[fleet.MissedRule]int{fleet.MissedLate: 3, fleet.MissedSkip: 0, fleet.MissedAsk: 0} {
		s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
		s.run.Missed, s.run.Since = rule, s.now
		s.now = saturday.Add(time.Hour) // 14:00, twenty minutes after the window has opened
		s.play(24 * time.Hour)
		did := 0
		for _, m := range s.members {
			did += m.restarts
		}
		if did != restarts || !strings.Contains(s.log.String(), "its start was missed") {
			t.Errorf("%q: %d restarts\n%s", rule, did, s.log.String())
		}
		if rule == fleet.MissedSkip {
			s.play(8 * 24 * time.Hour)
			if s.run.State != Succeeded {
				t.Errorf("it does not go on in the next window: %s %+v", s.run.State, s.run.Waits)
			}
		}
	}
	s := newBookStory(t, apiExtension(), 3*time.Hour, 1)
	s.run.Missed, s.members["ctl3"].broken = fleet.MissedSkip, true
	s.play(2 * time.Hour)
	if strings.Contains(s.log.String(), "missed") {
		t.Errorf("it waits for ctl3, and its start was not missed\n%s", s.log.String())
	}
}

func TestRefuseKeepsTheSchedule(t *testing.T) {
	at := window.Span{Start: saturday, End: saturday.Add(time.Hour)}
	s, fact := Refuse(fleet.Schedule{Project: "p", Target: "t", Name: "weekly", Enabled: true}, at, `there is no runbook "x"`, saturday)
	if !s.Enabled || s.Refused != `there is no runbook "x"` || fact.Kind != history.Missed || fact.Target != "t" || !strings.Contains(fact.Text, `there is no runbook "x"`) {
		t.Errorf("%+v\n%+v", s, fact)
	}
}
