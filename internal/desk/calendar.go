package desk

import (
	"context"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// Occurrence is one span of a window, and the freeze that overlaps it, if any.
type Occurrence struct {
	Span   window.Span
	Frozen string // the freeze's reason; empty: none
}

// Windows lists the next occurrences of a window as it would be on a project,
// whether or not a schedule has it. limit is at most 100.
func (d *Desk) Windows(ctx context.Context, c Caller, project, rrule string, duration time.Duration, from time.Time, limit int) (w window.Window, all []Occurrence, err error) {
	project = c.project(project)
	if err := c.May(identity.Read, project); err != nil {
		return w, nil, err
	}
	if limit < 1 || limit > 100 {
		return w, nil, fault.Invalid("limit", "must be from 1 to 100, not %d", limit)
	}
	if w, err = parseWindow(rrule, duration); err != nil {
		return w, nil, err
	}
	var freezes []window.Freeze
	err = d.db.View(ctx, func(tx store.Tx) error {
		freezes, err = tx.Freezes(project, from)
		return err
	})
	return w, occurrences(w, freezes, from, limit), err
}

// Overlap is a time at which two schedules of one server are both open.
type Overlap struct {
	Schedule string // the other one's id
	Name     string // and its name
	Span     window.Span
}

// Future is what a schedule has ahead: its next occurrences, and its first
// overlaps with each other schedule of its server that is enabled.
type Future struct {
	Occurrences []Occurrence
	Overlaps    []Overlap
}

// How far ahead a future is told.
const (
	tellOccurrences = 5
	tellOverlaps    = 3 // with each other schedule
	overlapHorizon  = 366 * 24 * time.Hour
)

// Futures tells what schedules have ahead, by their ids. One that is off, or
// rests with its server, has nothing ahead.
func (d *Desk) Futures(ctx context.Context, c Caller, schedules ...fleet.Schedule) (all map[string]Future, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		now := time.Now()
		all = make(map[string]Future, len(schedules))
		freezes := map[string][]window.Freeze{}
		siblings := map[string][]fleet.Schedule{}
		for _, s := range schedules {
			if err := c.may(identity.Read, s.Project, "schedule", s.ID); err != nil {
				return err
			}
			if _, known := freezes[s.Project]; !known {
				if freezes[s.Project], err = tx.Freezes(s.Project, now); err != nil {
					return err
				}
			}
			if _, known := siblings[s.Target]; !known {
				if siblings[s.Target], err = tx.Schedules(store.ScheduleFilter{Target: s.Target}); err != nil {
					return err
				}
			}
			all[s.ID] = futureOf(s, siblings[s.Target], freezes[s.Project], now)
		}
		return nil
	})
	return all, err
}

// Preview says what a schedule would be and have ahead, and stores nothing.
// The schedule that it would replace, if any, is named by its id.
func (d *Desk) Preview(ctx context.Context, c Caller, replaces string, s ScheduleSpec) (would fleet.Schedule, f Future, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		t, err := s.target(tx, c, identity.Read)
		if err != nil {
			return err
		}
		if err := managed(t); err != nil {
			return err
		}
		if would, err = d.scheduleOf(tx, t, s); err != nil {
			return err
		}
		would.ID = replaces
		now := time.Now()
		freezes, err := tx.Freezes(t.Project, now)
		if err != nil {
			return err
		}
		siblings, err := tx.Schedules(store.ScheduleFilter{Target: t.ID})
		if err != nil {
			return err
		}
		would.Enabled = true // what it would have ahead if it were
		f = futureOf(would, siblings, freezes, now)
		would.Enabled = s.Enabled
		return nil
	})
	return would, f, err
}

func futureOf(s fleet.Schedule, siblings []fleet.Schedule, freezes []window.Freeze, now time.Time) Future {
	if !s.Enabled || s.Resting {
		return Future{}
	}
	return Future{Occurrences: occurrences(s.Window, freezes, now, tellOccurrences), Overlaps: overlaps(s, siblings, now, tellOverlaps)}
}

// occurrences lists the next ones, each with the freeze that overlaps it.
func occurrences(w window.Window, freezes []window.Freeze, from time.Time, limit int) (all []Occurrence) {
	for _, span := range w.Between(from, from.AddDate(50, 0, 0), limit) {
		o := Occurrence{Span: span}
		if f, ok := window.Frozen(freezes, span); ok {
			o.Frozen = f.Reason
		}
		all = append(all, o)
	}
	return all
}

// overlaps lists when others of the server's schedules are open too, at most
// limit for each.
func overlaps(s fleet.Schedule, siblings []fleet.Schedule, now time.Time, limit int) (all []Overlap) {
	if !s.Enabled || s.Resting {
		return nil
	}
	for _, o := range siblings {
		if o.ID == s.ID || !o.Enabled || o.Resting {
			continue
		}
		for _, span := range window.Overlaps(s.Window, o.Window, now, now.Add(overlapHorizon), limit) {
			all = append(all, Overlap{Schedule: o.ID, Name: o.Name, Span: span})
		}
	}
	return all
}

// refuseOverlap is the conflict of a schedule with the others of its server.
func refuseOverlap(tx store.Schedules, s fleet.Schedule) error {
	siblings, err := tx.Schedules(store.ScheduleFilter{Target: s.Target})
	if err != nil {
		return err
	}
	found := overlaps(s, siblings, time.Now(), 1)
	if len(found) == 0 {
		return nil
	}
	at := found[0].Span
	return fault.Conflict("it would overlap schedule %q, first from %s to %s: choose another time, or allow the overlap (allowOverlap)",
		found[0].Name, at.Start.Format("2006-01-02 15:04"), at.End.Format("15:04 MST"))
}

func parseWindow(rrule string, d time.Duration) (window.Window, error) {
	r, err := window.ParseRRule(rrule)
	if err != nil {
		return window.Window{}, err
	}
	return window.New(r, d)
}
