package desk

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"regexp"
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
	Service  string // id or name, in place of a server
	Name     string // empty with a template: the template's
	Enabled  bool
	RRule    string        // empty with a template: the template's
	Duration time.Duration // 0 with a template: the template's
	Policy   fleet.Policy  // zero with a template: the template's
	Missed   fleet.MissedRule
	Template string // id or name; may be empty

	Runbook string            // what is done on a service
	Params  map[string]string // of the runbook

	// AllowOverlap lets it be open while another schedule of the server is.
	// Else that is a conflict, which names the other and the first such time.
	AllowOverlap bool

	// ShareName lets it have a name that another schedule of the server has.
	// It is then kept under fleet.Numbered, and its Title is the name. Else
	// that is a conflict.
	ShareName bool
}

// PutSchedule creates the server's schedule of that name, or replaces it. made tells which.
func (d *Desk) PutSchedule(ctx context.Context, c Caller, s ScheduleSpec) (out fleet.Schedule, made bool, err error) {
	err = d.once(ctx, c, fmt.Sprintf("schedule %+v", s), func(tx store.Tx) (string, error) {
		t, err := s.target(tx, c, identity.Write)
		if err != nil {
			return "", err
		}
		old, err := scheduleNamed(tx, t.ID, s.Name)
		if err != nil {
			return "", err
		}
		made = old.ID == ""
		if out, err = d.setSchedule(tx, c, t, old, s); err != nil {
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

// target is what the schedule is to be on.
func (s ScheduleSpec) target(tx store.Tx, c Caller, verb identity.Verb) (fleet.Target, error) {
	if s.Service == "" {
		return findServer(tx, c, verb, s.Project, s.Server)
	}
	if s.Server != "" {
		return fleet.Target{}, fault.Invalid("service", "goes without a server: a schedule is on one of them")
	}
	return findService(tx, c, verb, s.Project, s.Service)
}

// CreateSchedule makes a schedule. Conflict: the server or service has one of that name.
func (d *Desk) CreateSchedule(ctx context.Context, c Caller, s ScheduleSpec) (out fleet.Schedule, err error) {
	err = d.once(ctx, c, fmt.Sprintf("new schedule %+v", s), func(tx store.Tx) (string, error) {
		t, err := s.target(tx, c, identity.Write)
		if err != nil {
			return "", err
		}
		out, err = d.setSchedule(tx, c, t, fleet.Schedule{}, s)
		return out.ID, err
	}, func(tx store.Tx, id string) error {
		out, err = tx.Schedule(id)
		return err
	})
	return out, err
}

// ReplaceSchedule replaces the schedule with that id, its name included. What
// s says of project and server is not looked at.
func (d *Desk) ReplaceSchedule(ctx context.Context, c Caller, id string, s ScheduleSpec) (out fleet.Schedule, err error) {
	err = d.once(ctx, c, fmt.Sprintf("replace schedule %s %+v", id, s), func(tx store.Tx) (string, error) {
		old, err := findSchedule(tx, c, identity.Write, id)
		if err != nil {
			return "", err
		}
		t, err := tx.Target(old.Target)
		if err != nil {
			return "", err
		}
		out, err = d.setSchedule(tx, c, t, old, s)
		return id, err
	}, func(tx store.Tx, id string) error {
		out, err = tx.Schedule(id)
		return err
	})
	return out, err
}

// EnableSchedule switches a schedule on or off and leaves the rest of it.
func (d *Desk) EnableSchedule(ctx context.Context, c Caller, id string, enabled, allowOverlap bool) (out fleet.Schedule, err error) {
	err = d.once(ctx, c, fmt.Sprintf("schedule %s enabled %t overlap %t", id, enabled, allowOverlap), func(tx store.Tx) (string, error) {
		s, err := findSchedule(tx, c, identity.Write, id)
		if err != nil {
			return "", err
		}
		if out = s; s.Enabled == enabled {
			return id, nil
		}
		s.Enabled, s.Changed = enabled, time.Now()
		if enabled && !allowOverlap {
			if err := refuseOverlap(tx, s); err != nil {
				return "", err
			}
		}
		out, err = d.writeSchedule(tx, c, s, false)
		return id, err
	}, func(tx store.Tx, id string) error {
		out, err = tx.Schedule(id)
		return err
	})
	return out, err
}

// setSchedule makes a schedule of what a caller says, in the place of old;
// old without an id is none.
func (d *Desk) setSchedule(tx store.Tx, c Caller, t fleet.Target, old fleet.Schedule, s ScheduleSpec) (fleet.Schedule, error) {
	if err := managed(t); err != nil {
		return old, err
	}
	next, err := d.scheduleOf(tx, t, s)
	if err != nil {
		return old, err
	}
	made := old.ID == ""
	if made {
		next.ID = d.newID()
	} else {
		next.ID, next.Number, next.Created, next.Revision = old.ID, old.Number, old.Created, old.Revision
	}
	if next, err = named(tx, t, next, s.ShareName); err != nil {
		return old, err
	}
	if !s.AllowOverlap {
		if err := refuseOverlap(tx, next); err != nil {
			return old, err
		}
	}
	return d.writeSchedule(tx, c, next, made)
}

// endsInNumber tells names that Title would take for numbered ones.
var endsInNumber = regexp.MustCompile(` #[0-9]+$`)

// named gives a schedule a name that no other one of its server has.
func named(tx store.Schedules, t fleet.Target, s fleet.Schedule, share bool) (fleet.Schedule, error) {
	other, err := scheduleNamed(tx, t.ID, s.Name)
	if err != nil {
		return s, err
	}
	taken := other.ID != "" && other.ID != s.ID
	switch {
	case taken && !share:
		return s, fault.Conflict("%s %s has a schedule named %q already, number %d: change that one, or choose another name", t.Kind, t.Name, other.Name, other.Number)
	case !share || !taken && !endsInNumber.MatchString(s.Name):
		return s, nil
	}
	name := s.Name
	if s.Number == 0 { // the store knows its number once it keeps it
		s.Name = s.ID
		if s, err = tx.PutSchedule(s); err != nil {
			return s, err
		}
	}
	s.Name = fleet.Numbered(name, s.Number)
	return s, nil
}

// scheduleOf is the schedule that a caller means, without what the store gives it.
func (d *Desk) scheduleOf(tx store.Tx, t fleet.Target, s ScheduleSpec) (fleet.Schedule, error) {
	now := time.Now()
	next := fleet.Schedule{
		Project: t.Project, Target: t.ID, Name: s.Name, Enabled: s.Enabled,
		Policy: s.Policy, Missed: s.Missed, Runbook: s.Runbook, Params: s.Params, Created: now, Changed: now,
	}
	if err := s.suits(t); err != nil {
		return next, err
	}
	var w window.Window
	if s.Template != "" {
		m, err := d.template(tx, t.Project, s.Template)
		if err != nil {
			return next, err
		}
		w = m.For(t.ID)
		next.Template = m.ID
		next.Name = cmp.Or(s.Name, m.Name)
		next.Missed = cmp.Or(s.Missed, m.Missed)
		if reflect.ValueOf(s.Policy).IsZero() {
			next.Policy = m.Policy
		}
	}
	if s.RRule != "" || s.Template == "" {
		r, err := window.ParseRRule(s.RRule)
		if err != nil {
			return next, err
		}
		w.Recurrence = r
	}
	var err error
	if next.Window, err = window.New(w.Recurrence, cmp.Or(s.Duration, w.Duration)); err != nil {
		return next, err
	}
	next.Policy = next.Policy.WithDefaults()
	if err := next.Validate(); err != nil {
		return next, err
	}
	return next, suitsService(tx, t, next)
}

// suits blames what a schedule can't have on a target of this kind.
func (s ScheduleSpec) suits(t fleet.Target) error {
	switch {
	case t.Kind != fleet.ServiceKind && s.Runbook != "":
		return fault.Invalid("runbook", "goes with a service: a server is updated as its policy says")
	case t.Kind != fleet.ServiceKind:
		return nil
	case s.Runbook == "":
		return fault.Invalid("runbook", "is missing: which runbook is carried out on service %s", t.Name)
	case s.Template != "":
		return fault.Invalid("updatePolicy", "goes with a server: it says how packages are updated")
	}
	return s.Policy.ForRunbook()
}

// suitsService opens the run of a service's schedule, and keeps nothing of it:
// what the service or the runbook lacks is told to who writes the schedule.
func suitsService(tx store.Tx, t fleet.Target, s fleet.Schedule) error {
	if s.Runbook == "" {
		return nil
	}
	_, _, err := store.OpenBook(tx, run.ForSchedule("check", s, t, window.Span{}), s.Runbook, s.Params, time.Now())
	if fault.Is(err, fault.KindNotFound) {
		return fault.Invalid("runbook", "there is no runbook %q in project %s", s.Runbook, t.Project)
	}
	return err
}

// managed refuses a server whose owner patches it.
func managed(t fleet.Target) error {
	if t.Management != fleet.Unmanaged {
		return nil
	}
	return fault.Conflict("server %s is unmanaged: its owner installs its updates, and nothing is done to it from here. To have that changed, switch its management on first (upkeep manage %s)", t.Name, t.Name)
}

// writeSchedule keeps a schedule, tells its open runs, and wakes what opens new ones.
func (d *Desk) writeSchedule(tx store.Tx, c Caller, s fleet.Schedule, made bool) (fleet.Schedule, error) {
	now := time.Now()
	s.Next, s.Refused = window.Span{}, ""
	if s.Enabled && !s.Resting {
		s.Next = run.Upcoming(s.Window, now)
	}
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
	what := ""
	if s.Runbook != "" {
		what = ", runbook " + s.Runbook
	}
	if err := tx.AddFacts(c.fact(s.Project, s.Target, history.ScheduleSet, "schedule %q %s, %s: %s, for %v%s", s.Name, verb, state, s.Window.Recurrence.Words("en"), s.Window.Duration, what)); err != nil {
		return kept, err
	}
	open, err := tx.Runs(store.RunFilter{Schedule: s.ID, Open: true})
	if err != nil {
		return kept, err
	}
	for _, r := range open {
		moved, facts := r.Reschedule(c.Who(), s, now)
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

// Schedules lists those of a project, or of a server or service: on is its id
// or name, or empty.
func (d *Desk) Schedules(ctx context.Context, c Caller, project, on, after string, limit int) (all []fleet.Schedule, err error) {
	if err := c.May(identity.Read, c.scope(project)); err != nil {
		return nil, err
	}
	if limit, err = page(limit); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		f := store.ScheduleFilter{Project: c.scope(project), After: after, Limit: limit}
		if on != "" {
			t, err := findTarget(tx, c, identity.Read, project, on)
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

func findSchedule(tx store.Tx, c Caller, verb identity.Verb, id string) (fleet.Schedule, error) {
	s, err := tx.Schedule(id)
	if err != nil {
		return s, err
	}
	return s, c.may(verb, s.Project, "schedule", id)
}

// scheduleOn finds a target's schedule by name or id.
func scheduleOn(tx store.Schedules, t fleet.Target, nameOrID string) (fleet.Schedule, error) {
	s, err := scheduleNamed(tx, t.ID, nameOrID)
	if err == nil && s.ID == "" {
		s, err = tx.Schedule(nameOrID)
	}
	if err == nil && s.Target != t.ID {
		err = fault.NotFound("schedule", nameOrID)
	}
	return s, err
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
