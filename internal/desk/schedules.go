package desk

import (
	"context"
	"fmt"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// ScheduleSpec is what a caller says of a schedule.
type ScheduleSpec struct {
	Project  string
	Server   string // id or name
	Name     string
	Enabled  bool
	RRule    string
	Duration time.Duration
	Policy   fleet.Policy
}

// PutSchedule creates the server's schedule of that name, or replaces it. made tells which.
func (d *Desk) PutSchedule(ctx context.Context, c Caller, s ScheduleSpec) (out fleet.Schedule, made bool, err error) {
	w, err := parseWindow(s.RRule, s.Duration)
	if err != nil {
		return out, false, err
	}
	err = d.once(ctx, c, fmt.Sprintf("schedule %+v", s), func(tx store.Tx) (string, error) {
		t, err := findServer(tx, c, identity.Write, s.Project, s.Server)
		if err != nil {
			return "", err
		}
		next := fleet.Schedule{
			Project: t.Project, Target: t.ID, Name: s.Name, Enabled: s.Enabled,
			Window: w, Policy: s.Policy.WithDefaults(), Created: time.Now(),
		}
		if err := next.Validate(); err != nil {
			return "", err
		}
		old, err := scheduleNamed(tx, t.ID, s.Name)
		if err != nil {
			return "", err
		}
		if made = old.ID == ""; made {
			next.ID = d.newID()
		} else {
			next.ID, next.Created, next.Revision = old.ID, old.Created, old.Revision
		}
		if out, err = d.writeSchedule(tx, c, next, made); err != nil {
			return "", err
		}
		return put(out.ID, made), nil
	}, func(tx store.Tx, did string) error {
		var id string
		id, made = wasPut(did)
		out, err = tx.Schedule(id)
		return err
	})
	return out, made, err
}

// writeSchedule keeps a schedule, tells its open runs, and wakes what opens new ones.
func (d *Desk) writeSchedule(tx store.Tx, c Caller, s fleet.Schedule, made bool) (fleet.Schedule, error) {
	now := time.Now()
	s.Next = window.Span{} // the engine finds it
	kept, err := tx.PutSchedule(s)
	if err != nil {
		return kept, err
	}
	verb := "changed"
	if made {
		verb = "created"
	}
	state := "disabled"
	if s.Enabled {
		state = "enabled"
	}
	if err := tx.AddFacts(c.fact(s.Project, s.Target, history.ScheduleSet, "schedule %q %s, %s: %s, for %v", s.Name, verb, state, s.Window.Recurrence.Words("en"), s.Window.Duration)); err != nil {
		return kept, err
	}
	open, err := tx.Runs(store.RunFilter{Schedule: s.ID, Open: true})
	if err != nil {
		return kept, err
	}
	for _, r := range open {
		moved, facts := r.Reschedule(c.Who(), s.Window, s.Policy, now)
		if !s.Enabled {
			moved, facts, err = r.Abort(c.Who(), fmt.Sprintf("schedule %q was disabled", s.Name), now)
			if err != nil {
				return kept, err
			}
		}
		if err := putRun(tx, moved, facts); err != nil {
			return kept, err
		}
	}
	return kept, tx.Wake(store.ScheduleKey(s.ID), now)
}

// Schedule finds one by its id.
func (d *Desk) Schedule(ctx context.Context, c Caller, id string) (s fleet.Schedule, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		s, err = findSchedule(tx, c, identity.Read, id)
		return err
	})
	return s, err
}

// Schedules lists those of a project, or of a server.
func (d *Desk) Schedules(ctx context.Context, c Caller, project, server, after string, limit int) (all []fleet.Schedule, err error) {
	if err := c.May(identity.Read, c.scope(project)); err != nil {
		return nil, err
	}
	if limit, err = page(limit); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		f := store.ScheduleFilter{Project: c.scope(project), After: after, Limit: limit}
		if server != "" {
			t, err := findServer(tx, c, identity.Read, project, server)
			if err != nil {
				return err
			}
			f.Target = t.ID
		}
		all, err = tx.Schedules(f)
		return err
	})
	return all, err
}

// DeleteSchedule removes a schedule and aborts the run that it has open.
func (d *Desk) DeleteSchedule(ctx context.Context, c Caller, id string) error {
	return d.once(ctx, c, "delete schedule "+id, func(tx store.Tx) (string, error) {
		s, err := findSchedule(tx, c, identity.Write, id)
		if err != nil {
			return "", err
		}
		open, err := tx.Runs(store.RunFilter{Schedule: id, Open: true})
		if err != nil {
			return "", err
		}
		for _, r := range open {
			moved, facts, err := r.Abort(c.Who(), fmt.Sprintf("schedule %q was removed", s.Name), time.Now())
			if err != nil {
				return "", err
			}
			if err := putRun(tx, moved, facts); err != nil {
				return "", err
			}
		}
		if err := tx.DeleteSchedule(id); err != nil {
			return "", err
		}
		return id, tx.AddFacts(c.fact(s.Project, s.Target, history.ScheduleSet, "schedule %q removed", s.Name))
	}, func(store.Tx, string) error { return nil })
}

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
	for _, span := range w.Between(from, from.AddDate(50, 0, 0), limit) {
		o := Occurrence{Span: span}
		if f, ok := window.Frozen(freezes, span); ok {
			o.Frozen = f.Reason
		}
		all = append(all, o)
	}
	return w, all, err
}

// FreezeSpec is what a caller says of a freeze. An empty project is every project.
type FreezeSpec struct {
	Project string
	Start   time.Time
	End     time.Time
	Reason  string
}

// maxFreeze bounds a freeze: what never ends is a policy, not a freeze.
const maxFreeze = 366 * 24 * time.Hour

// CreateFreeze makes a freeze.
func (d *Desk) CreateFreeze(ctx context.Context, c Caller, s FreezeSpec) (f window.Freeze, err error) {
	s.Project = c.scope(s.Project)
	switch err := c.May(identity.Write, s.Project); {
	case err != nil:
		return f, err
	case s.Start.IsZero():
		return f, fault.Invalid("start", "must be set")
	case !s.End.After(s.Start):
		return f, fault.Invalid("end", "must be after the start")
	case s.End.Sub(s.Start) > maxFreeze:
		return f, fault.Invalid("end", "must be at most %d days after the start", int(maxFreeze.Hours()/24))
	case s.Reason == "" || len(s.Reason) > fleet.MaxReasonBytes:
		return f, fault.Invalid("reason", "must have 1 to %d bytes: people will read it", fleet.MaxReasonBytes)
	}
	err = d.once(ctx, c, fmt.Sprintf("freeze %+v", s), func(tx store.Tx) (string, error) {
		f = window.Freeze{ID: d.newID(), Project: s.Project, Span: window.Span{Start: s.Start, End: s.End}, Reason: s.Reason}
		if err := tx.PutFreeze(f); err != nil {
			return "", err
		}
		text := "freeze from %s to %s: %s"
		return f.ID, tx.AddFacts(c.fact(s.Project, "", history.FreezeSet, text, s.Start.UTC().Format(time.RFC3339), s.End.UTC().Format(time.RFC3339), s.Reason))
	}, func(tx store.Tx, id string) error {
		f, err = tx.Freeze(id)
		return err
	})
	return f, err
}

// Freezes lists those that have not ended.
func (d *Desk) Freezes(ctx context.Context, c Caller, project string) (all []window.Freeze, err error) {
	if err := c.May(identity.Read, c.scope(project)); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all, err = tx.Freezes(c.scope(project), time.Now())
		return err
	})
	return all, err
}

// DeleteFreeze lifts a freeze.
func (d *Desk) DeleteFreeze(ctx context.Context, c Caller, id string) error {
	return d.once(ctx, c, "delete freeze "+id, func(tx store.Tx) (string, error) {
		f, err := tx.Freeze(id)
		if err != nil {
			return "", err
		}
		if err := c.may(identity.Write, f.Project, "freeze", id); err != nil {
			return "", err
		}
		if err := tx.DeleteFreeze(id); err != nil {
			return "", err
		}
		return id, tx.AddFacts(c.fact(f.Project, "", history.FreezeSet, "freeze lifted: %s", f.Reason))
	}, func(store.Tx, string) error { return nil })
}

func parseWindow(rrule string, d time.Duration) (window.Window, error) {
	r, err := window.ParseRRule(rrule)
	if err != nil {
		return window.Window{}, err
	}
	return window.New(r, d)
}

func findSchedule(tx store.Tx, c Caller, verb identity.Verb, id string) (fleet.Schedule, error) {
	s, err := tx.Schedule(id)
	if err != nil {
		return s, err
	}
	return s, c.may(verb, s.Project, "schedule", id)
}

func scheduleNamed(tx store.Schedules, target, name string) (fleet.Schedule, error) {
	all, err := tx.Schedules(store.ScheduleFilter{Target: target})
	for _, s := range all {
		if s.Name == name {
			return s, nil
		}
	}
	return fleet.Schedule{}, err
}

// putRun keeps a run that a person moved, and wakes it.
func putRun(tx store.Tx, r run.Run, facts []history.Fact) error {
	if _, err := tx.PutRun(r); err != nil {
		return err
	}
	if err := tx.AddFacts(facts); err != nil {
		return err
	}
	return tx.Wake(store.RunKey(r.ID), time.Now())
}
