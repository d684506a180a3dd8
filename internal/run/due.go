package run

import (
	"fmt"
	"time"

	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/plan"
	"upkeep/internal/window"
)

// Due is what a schedule wants at a moment.
type Due struct {
	Schedule fleet.Schedule // with the next occurrence that it waits for
	Open     bool           // a run is to be opened, for the present window or its preparation
	For      window.Span    // the occurrence that it is opened for
	Facts    []history.Fact
	Wake     time.Time // when to look again; zero: never
}

// Look says what a schedule wants now. running says that a run which the
// schedule opened has not ended: it follows the window by itself, and no
// second one is opened beside it.
func Look(s fleet.Schedule, running bool, now time.Time) Due {
	d := Due{Schedule: s}
	if !s.Enabled || s.Resting {
		d.Schedule.Next = window.Span{}
		return d
	}
	if !s.Next.IsZero() && !now.Before(s.Next.End) {
		d.missed(running, now)
	}
	if d.Schedule.Next.IsZero() {
		d.Schedule.Next = Upcoming(s.Window, now)
	}
	next := d.Schedule.Next
	if next.IsZero() {
		return d
	}
	if opens := next.Start.Add(-s.Policy.Prepare); now.Before(opens) {
		d.Wake = opens
		return d
	}
	d.Open = !running
	d.For = next
	d.Schedule.Next, _ = s.Window.Next(next.Start)
	if !d.Schedule.Next.IsZero() {
		d.Wake = d.Schedule.Next.Start.Add(-s.Policy.Prepare)
	}
	return d
}

// Upcoming is the occurrence that is open, else the next one.
func Upcoming(w window.Window, now time.Time) window.Span {
	if open, ok := w.Current(now); ok {
		return open
	}
	next, _ := w.Next(now)
	return next
}

// missed passes over the occurrences that began and ended unseen: the control
// plane was down. Nothing is done outside a window; the history says so, and
// the next occurrence does the work, or a person is asked.
func (d *Due) missed(running bool, now time.Time) {
	s := d.Schedule
	first := s.Next
	d.Schedule.Next = Upcoming(s.Window, now)
	if running {
		return // its run waited through them and says why itself
	}
	d.Facts = append(d.Facts, history.Fact{
		At: now, Who: engineName, Project: s.Project, Target: s.Target, Kind: history.Missed,
		Text: fmt.Sprintf("schedule %q missed its window of %s: the control plane did not run; nothing was done%s", s.Name, first.Start.In(s.Window.Recurrence.Zone()).Format("2006-01-02 15:04 MST"), d.outcome(now)),
	})
}

// outcome says what becomes of the work of an occurrence that was missed.
func (d *Due) outcome(now time.Time) string {
	next := d.Schedule.Next
	switch {
	case next.IsZero():
		return ", and it does not open again"
	case next.Contains(now):
		return "; the window that is open now does the work"
	}
	return "; the next window does the work, " + next.Start.In(d.Schedule.Window.Recurrence.Zone()).Format("2006-01-02 15:04 MST")
}

// Refuse is a schedule whose occurrence opened no run, and the fact that says
// so. It stays, and its next occurrence is tried again.
func Refuse(s fleet.Schedule, occurrence window.Span, why string, now time.Time) (fleet.Schedule, history.Fact) {
	s.Refused = why
	return s, history.Fact{
		At: now, Who: engineName, Project: s.Project, Target: s.Target, Kind: history.Missed,
		Text: fmt.Sprintf("schedule %q opened no run for its window of %s: %s; its next window is tried again",
			s.Name, occurrence.Start.In(s.Window.Recurrence.Zone()).Format("2006-01-02 15:04 MST"), why),
	}
}

// ForSchedule is the opening that a schedule asks for. It could have begun at
// the start of the occurrence that it is for, or when the schedule was changed,
// if that is later.
func ForSchedule(id string, s fleet.Schedule, t fleet.Target, occurrence window.Span) Opening {
	since := occurrence.Start
	if s.Changed.After(since) {
		since = s.Changed
	}
	return Opening{
		ID: id, Target: t, Schedule: s.ID, By: "schedule/" + s.Name, Policy: s.Policy, Missed: s.Missed,
		Since: since, Window: s.Window,
	}
}

// Now is the opening that a named person asks for: one window that begins now,
// whatever the schedules say; and where overrideFreeze is set, whatever
// freezes say.
func Now(id string, t fleet.Target, p fleet.Policy, by, reason string, length time.Duration, overrideFreeze bool, now time.Time) (Opening, error) {
	w, err := window.New(window.Once(now.Truncate(time.Second), "UTC"), length)
	if err != nil {
		return Opening{}, err
	}
	return Opening{
		ID: id, Target: t, By: by, Reason: reason, Policy: p, Window: w,
		Override: plan.Override{By: by, Freeze: overrideFreeze},
	}, nil
}
