package run

import (
	"fmt"
	"time"

	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/plan"
)

// leaving reports whether the present plan only brings back and looks, and is
// not over.
func (t *ticker) leaving() bool {
	if t.r.Plan.ID == "" {
		return false
	}
	over := true
	for s := range t.r.Plan.Root.All() {
		if !s.Closing {
			return false
		}
		at := t.r.Progress[s.ID].Stage
		over = over && (at == plan.Done || at == plan.Failed)
	}
	return !over
}

// stop ends the run, once what an earlier step took away has been brought
// back. It returns false if the run has ended already.
func (t *ticker) stop(s State, text string) bool {
	t.r.Made.Stop, t.r.Made.StopState = text, s
	if root, why, ok := plan.Server(t.leavingView(), t.r.Plan.Generation+1); ok {
		return t.adopt(root, why)
	}
	return t.stopped()
}

// stopped ends the run as stop was told, unless looking has shown worse.
func (t *ticker) stopped() bool {
	s, text := t.r.Made.StopState, t.r.Made.Stop
	if s == Succeeded && len(t.r.Result.Failures) > 0 {
		s, text = Failed, t.lastFailure("the last look")
	}
	t.end(s, text)
	return false
}

// mustLeave reports whether what was taken away is to be brought back, or what
// was changed to be looked at, now, because nothing more starts before this
// window ends.
func (t *ticker) mustLeave(d plan.Decision) bool {
	if !t.r.Made.Entered && !t.r.Made.Unproved || len(d.Start) > 0 || len(d.Waits) == 0 || !t.quiet() || t.leaving() {
		return false
	}
	switch d.Waits[0].Reason.Code { //nolint:exhaustive // the others are over soon, or a person sees to them
	case plan.WindowClosed, plan.DoesNotFit, plan.NeverFits, plan.Frozen, plan.NoNotice, plan.BudgetUsed,
		plan.GroupStopped, plan.CanaryFirst, plan.MissedStart:
		return true
	case plan.Paused:
		return t.open.IsZero() && t.slotOpen.IsZero()
	}
	return false
}

// leave brings back what was taken away; the rest waits for the next
// occurrence. It returns false if the run ended.
func (t *ticker) leave() bool {
	root, why, ok := plan.Server(t.leavingView(), t.r.Plan.Generation+1)
	if ok {
		return t.adopt(root, why)
	}
	// There is nothing to bring back; the next occurrence begins anew.
	t.r.Made.Entered, t.r.Made.Unproved = false, false
	return t.replan()
}

func (t *ticker) leavingView() plan.ServerView {
	v := t.view()
	v.Leave = true
	return v
}

// mayMiss reports whether the open occurrence could still turn out to be missed.
func (t *ticker) mayMiss() bool {
	m := t.r.Made
	if t.open.IsZero() || t.r.Override.By != "" || t.r.PausedBy != "" || t.r.AbortedBy != "" || t.r.Schedule == "" {
		return false
	}
	return !m.BegunFor.Equal(t.open.Start) && !m.MissedFor.Equal(t.open.Start) && len(t.w.Handed) == 0
}

// missedAt is when the open occurrence counts as missed.
func (t *ticker) missedAt() time.Time {
	at := t.open.Start
	if t.r.Since.After(at) {
		at = t.r.Since
	}
	return at.Add(fleet.MissedAfter)
}

// missedStart notices that the server has not begun anything in an occurrence,
// says what becomes of it, and sees to it.
func (t *ticker) missedStart() {
	if !t.mayMiss() || t.w.Now.Before(t.missedAt()) {
		return
	}
	t.r.Made.MissedFor = t.open.Start
	what := "it begins late, in what is left of the window"
	switch t.r.Missed {
	case fleet.MissedSkip:
		what = "it is left to the next window"
	case fleet.MissedAsk:
		what = "it waits until a person says resume"
		t.r.PausedBy = "the rule for missed starts"
	case fleet.MissedLate, "":
	}
	t.say(engineName, history.Missed, "", fmt.Sprintf("%s had begun nothing %s after the window opened, its start was missed: %s",
		t.r.Name, plan.Round(t.w.Now.Sub(t.missedAt().Add(-fleet.MissedAfter))), what))
}

// skips reports whether the open occurrence is to be left alone.
func (t *ticker) skips() bool {
	return t.r.Missed == fleet.MissedSkip && !t.open.IsZero() && t.r.Made.MissedFor.Equal(t.open.Start)
}
