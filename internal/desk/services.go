package desk

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// ServiceSpec is what a caller says of a service.
type ServiceSpec struct {
	Project string
	Name    string
	Labels  map[string]string
	Service fleet.Service
}

// Service is a service with what concerns it now.
type Service struct {
	Target    fleet.Target // its Service is set
	Schedules []fleet.Schedule
	Open      []run.Run // runs that have not ended
}

// PutService creates the service of that name, or changes it. made tells which.
func (d *Desk) PutService(ctx context.Context, c Caller, s ServiceSpec) (out fleet.Target, made bool, err error) {
	s.Project = c.project(s.Project)
	if err := c.may(identity.Write, s.Project, "project", s.Project); err != nil {
		return out, false, err
	}
	wanted := fleet.Target{Project: s.Project, Name: s.Name, Kind: fleet.ServiceKind, Labels: s.Labels, Service: &s.Service}
	if err := wanted.Validate(); err != nil {
		return out, false, err
	}
	if err := s.Service.Validate(); err != nil {
		return out, false, err
	}
	err = d.once(ctx, c, fmt.Sprintf("service %+v", s), func(tx store.Tx) (string, error) {
		t, err := tx.TargetNamed(s.Project, s.Name)
		switch {
		case err == nil && t.Kind != fleet.ServiceKind:
			return "", fault.Conflict("%s is the name of a %s in this project", s.Name, t.Kind)
		case err == nil:
			made = false
			t.Labels, t.Service = wanted.Labels, wanted.Service
		case fault.Is(err, fault.KindNotFound):
			made, t = true, wanted
			t.ID, t.Created = d.newID(), time.Now()
		default:
			return "", err
		}
		if _, err := store.Hosts(tx, t); err != nil {
			return "", err
		}
		if _, err := store.Manager(tx, t); err != nil {
			return "", err
		}
		if out, err = tx.PutTarget(t); err != nil {
			return "", err
		}
		verb := "changed"
		if made {
			verb = "created"
		}
		text := "service %s %s: %d members, quorum %d"
		return put(out.ID, made), tx.AddFacts(c.fact(out.Project, out.ID, history.ServiceSet, text, out.Name, verb, len(s.Service.Members), s.Service.Quorum))
	}, func(tx store.Tx, did string) error {
		var id string
		id, made = wasPut(did)
		out, err = tx.Target(id)
		return err
	})
	return out, made, err
}

// Services lists by name.
func (d *Desk) Services(ctx context.Context, c Caller, project string) (all []Service, err error) {
	project = c.scope(project)
	if err := c.May(identity.Read, project); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		targets, err := tx.Targets(store.TargetFilter{Project: project, Kind: fleet.ServiceKind})
		all = nil
		for _, t := range targets {
			s, err := describeService(tx, t)
			if err != nil {
				return err
			}
			all = append(all, s)
		}
		return err
	})
	return all, err
}

// Service finds one by id or by name.
func (d *Desk) Service(ctx context.Context, c Caller, project, idOrName string) (s Service, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		t, err := findService(tx, c, identity.Read, project, idOrName)
		if err != nil {
			return err
		}
		s, err = describeService(tx, t)
		return err
	})
	return s, err
}

func describeService(tx store.Tx, t fleet.Target) (s Service, err error) {
	s.Target = t
	if s.Schedules, err = tx.Schedules(store.ScheduleFilter{Target: t.ID}); err != nil {
		return s, err
	}
	s.Open, err = tx.Runs(store.RunFilter{Target: t.ID, Open: true})
	return s, err
}

// DeleteService removes a service with its schedules. Conflict: something is
// being done to it.
func (d *Desk) DeleteService(ctx context.Context, c Caller, project, idOrName string) error {
	return d.once(ctx, c, "delete service "+c.project(project)+"/"+idOrName, func(tx store.Tx) (string, error) {
		t, err := findService(tx, c, identity.Write, project, idOrName)
		if err != nil {
			return "", err
		}
		open, err := tx.Runs(store.RunFilter{Target: t.ID, Open: true, Limit: 1})
		if err != nil {
			return "", err
		}
		if len(open) > 0 {
			return "", fault.Conflict("run %s is at work on service %s: abort it and wait for its end", open[0].ID, t.Name)
		}
		if err := tx.DeleteTarget(t.ID); err != nil {
			return "", err
		}
		return t.ID, tx.AddFacts(c.fact(t.Project, t.ID, history.ServiceSet, "service %s removed", t.Name))
	}, func(store.Tx, string) error { return nil })
}

func findService(tx store.Tx, c Caller, verb identity.Verb, project, idOrName string) (fleet.Target, error) {
	t, err := tx.Target(idOrName)
	if fault.Is(err, fault.KindNotFound) {
		t, err = tx.TargetNamed(c.project(project), idOrName)
	}
	if fault.Is(err, fault.KindNotFound) || err == nil && t.Kind != fleet.ServiceKind {
		return fleet.Target{}, fault.NotFound("service", idOrName)
	}
	if err != nil {
		return t, err
	}
	return t, c.may(verb, t.Project, "service", idOrName)
}

// findTarget finds a server or a service.
func findTarget(tx store.Tx, c Caller, verb identity.Verb, project, idOrName string) (fleet.Target, error) {
	t, err := findServer(tx, c, verb, project, idOrName)
	if !fault.Is(err, fault.KindNotFound) {
		return t, err
	}
	t, err = findService(tx, c, verb, project, idOrName)
	if fault.Is(err, fault.KindNotFound) {
		err = fault.NotFound("server or service", idOrName)
	}
	return t, err
}

// CheckRunbook blames the first field of a runbook that can't be. It stores nothing.
func (d *Desk) CheckRunbook(c Caller, b runbook.Book) error {
	if err := c.May(identity.Read, c.scope("")); err != nil {
		return err
	}
	return b.Validate()
}

// PutRunbook creates the project's runbook of that name, or replaces it. made
// tells which. Runs that are open keep the book that they were opened with.
func (d *Desk) PutRunbook(ctx context.Context, c Caller, project string, b runbook.Book) (out runbook.Stored, made bool, err error) {
	project = c.project(project)
	if err := c.may(identity.Write, project, "project", project); err != nil {
		return out, false, err
	}
	if err := b.Validate(); err != nil {
		return out, false, err
	}
	err = d.once(ctx, c, fmt.Sprintf("runbook %s %+v", project, b), func(tx store.Tx) (string, error) {
		old, err := tx.Runbook(project, b.Name)
		if made = fault.Is(err, fault.KindNotFound); err != nil && !made {
			return "", err
		}
		if out, err = tx.PutRunbook(runbook.Stored{Project: project, Book: b, Changed: time.Now(), Revision: old.Revision}); err != nil {
			return "", err
		}
		verb := "changed"
		if made {
			verb = "created"
		}
		return put(b.Name, made), tx.AddFacts(c.fact(project, "", history.RunbookSet, "runbook %s %s", b.Name, verb))
	}, func(tx store.Tx, did string) error {
		_, made = wasPut(did)
		out, err = tx.Runbook(project, b.Name)
		return err
	})
	return out, made, err
}

// Runbooks lists those of a project, by name.
func (d *Desk) Runbooks(ctx context.Context, c Caller, project string) (all []runbook.Stored, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "project", project); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all, err = tx.Runbooks(project)
		return err
	})
	return all, err
}

// Runbook finds one by its name.
func (d *Desk) Runbook(ctx context.Context, c Caller, project, name string) (b runbook.Stored, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "runbook", name); err != nil {
		return b, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		b, err = tx.Runbook(project, name)
		return err
	})
	return b, err
}

// DeleteRunbook removes a runbook. Runs that are open go on with theirs.
func (d *Desk) DeleteRunbook(ctx context.Context, c Caller, project, name string) error {
	project = c.project(project)
	if err := c.may(identity.Write, project, "runbook", name); err != nil {
		return err
	}
	return d.once(ctx, c, "delete runbook "+project+"/"+name, func(tx store.Tx) (string, error) {
		if err := tx.DeleteRunbook(project, name); err != nil {
			return "", err
		}
		return name, tx.AddFacts(c.fact(project, "", history.RunbookSet, "runbook %s removed", name))
	}, func(store.Tx, string) error { return nil })
}

// BookSpec is what a caller says of a run of a runbook.
type BookSpec struct {
	Project        string
	Service        string // id or name
	Runbook        string
	Params         map[string]string
	Only           string        // the one member that is maintained; empty: all that the runbook is for
	Duration       time.Duration // how long it may take
	Schedule       string        // id or name: in its windows, as it says; in place of runbook, parameters and duration
	Reason         string
	OverrideFreeze bool
}

// StartBook runs a runbook on a service: in the schedule's windows if one is
// named, else now.
func (d *Desk) StartBook(ctx context.Context, c Caller, s BookSpec) (run.Run, error) {
	if err := reasoned(s.Reason, s.OverrideFreeze); err != nil {
		return run.Run{}, err
	}
	return d.start(ctx, c, fmt.Sprintf("book %+v", s), func(tx store.Tx) (run.Run, []history.Fact, error) {
		return d.openBook(tx, c, identity.Run, s, d.newID())
	})
}

func (d *Desk) openBook(tx store.Tx, c Caller, verb identity.Verb, s BookSpec, id string) (r run.Run, facts []history.Fact, err error) {
	t, err := findService(tx, c, verb, s.Project, s.Service)
	if err != nil {
		return r, nil, err
	}
	if verb == identity.Run {
		if err := freeFor(tx, t); err != nil {
			return r, nil, err
		}
	}
	now := time.Now()
	o, err := bookOpening(tx, c, t, &s, id, now)
	if err != nil {
		return r, nil, err
	}
	o.Only = s.Only
	return store.OpenBook(tx, o, s.Runbook, s.Params, now)
}

// freeFor refuses a run on a service that one is at work on. One that waits for
// its schedule's window, with nobody out, is no hindrance.
func freeFor(tx store.Tx, t fleet.Target) error {
	open, err := tx.Runs(store.RunFilter{Target: t.ID, Open: true})
	if err != nil {
		return err
	}
	for _, r := range open {
		if r.Schedule == "" || r.State == run.Working || len(r.Holds) > 0 {
			return fault.Conflict("service %s is being maintained already, by run %s", t.Name, r.ID)
		}
	}
	return nil
}

// bookOpening turns a request into what is to be opened: in a schedule's
// windows with what that says, which is put into s, or now.
func bookOpening(tx store.Tx, c Caller, t fleet.Target, s *BookSpec, id string, now time.Time) (run.Opening, error) {
	if s.Schedule == "" {
		return run.Now(id, t, fleet.DefaultPolicy(), c.Who(), s.Reason, s.Duration, s.OverrideFreeze, now)
	}
	const own = "goes without a schedule, which has its own"
	switch {
	case s.Runbook != "":
		return run.Opening{}, fault.Invalid("runbook", own)
	case len(s.Params) > 0:
		return run.Opening{}, fault.Invalid("params", own)
	case s.Duration != 0:
		return run.Opening{}, fault.Invalid("duration", own)
	case s.OverrideFreeze:
		return run.Opening{}, fault.Invalid("overrideFreeze", "goes with a run that starts now, not with a schedule's window")
	}
	schedule, err := scheduleOn(tx, t, s.Schedule)
	if err != nil {
		return run.Opening{}, err
	}
	open, err := tx.Runs(store.RunFilter{Schedule: schedule.ID, Open: true, Limit: 1})
	if err != nil {
		return run.Opening{}, err
	}
	if len(open) > 0 && id != forecastID {
		return run.Opening{}, fault.Conflict("run %s waits for the next window of schedule %q already", open[0].ID, schedule.Name)
	}
	s.Runbook, s.Params = schedule.Runbook, maps.Clone(schedule.Params)
	o := run.ForSchedule(id, schedule, t, window.Span{Start: now})
	o.By, o.Reason = c.Who(), s.Reason
	return o, nil
}

// forecastID is the id of a run that is only forecast.
const forecastID = "forecast"

// SimulateBook forecasts what StartBook would do, and touches nothing.
func (d *Desk) SimulateBook(ctx context.Context, c Caller, s BookSpec) (f run.Forecast, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		r, _, err := d.openBook(tx, c, identity.Read, s, forecastID)
		if err != nil {
			return err
		}
		w := run.World{Now: time.Now()}
		if w.Target, err = tx.Target(r.Target); err != nil {
			return err
		}
		if w.Freezes, err = tx.Freezes(r.Project, w.Now); err != nil {
			return err
		}
		// What is forecast is the work, not whether people were told of it.
		r.Policy.NoticeLead = 0
		f = run.Predict(r, w)
		return nil
	})
	return f, err
}

// Approve lets a step of a run begin that waits for a person's approval.
func (d *Desk) Approve(ctx context.Context, c Caller, id, step string) (run.Run, error) {
	return d.move(ctx, c, id, "approve "+step, func(r run.Run) (run.Run, []history.Fact, error) {
		return r.Approve(c.Who(), step, time.Now())
	})
}

// Unapproved lists the steps of a run that wait for a person's approval now.
func Unapproved(r run.Run) (steps []string) {
	for _, w := range r.Waits {
		if step, ok := w.Reason.Approval(); ok && !slices.Contains(steps, step) {
			steps = append(steps, step)
		}
	}
	return steps
}
