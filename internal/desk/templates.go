package desk

import (
	"context"
	"fmt"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// TemplateSpec is what a caller says of a template. An empty project is every
// project.
type TemplateSpec struct {
	Project     string
	Name        string
	Description string
	Default     bool
	Enabled     bool
	Spread      bool   // each server at its own time of the weekend
	RRule       string // with Spread: nothing but its zone counts, which may stand alone, such as "Europe/Berlin"
	Duration    time.Duration
	Policy      fleet.Policy
	Missed      fleet.MissedRule
}

// PutTemplate creates the project's template of that name, or replaces it.
// made tells which. Schedules that were made from it stay as they are. A new
// default takes the place of the one that was it before in the same project.
func (d *Desk) PutTemplate(ctx context.Context, c Caller, s TemplateSpec) (out fleet.Template, made bool, err error) {
	s.Project = c.scope(s.Project)
	if err := c.May(identity.Write, s.Project); err != nil {
		return out, false, err
	}
	next, err := templateOf(s)
	if err != nil {
		return out, false, err
	}
	err = d.once(ctx, c, fmt.Sprintf("template %+v", s), func(tx store.Tx) (string, error) {
		all, err := tx.Templates("")
		if err != nil {
			return "", err
		}
		next.ID, next.Revision, next.Created, made = d.newID(), 0, time.Now(), true
		for _, o := range all {
			switch {
			case o.Project != s.Project:
			case o.Name == s.Name:
				next.ID, next.Revision, next.Created, made = o.ID, o.Revision, o.Created, false
			case o.Default && next.Default:
				o.Default = false
				if _, err := tx.PutTemplate(o); err != nil {
					return "", err
				}
			}
		}
		if out, err = tx.PutTemplate(next); err != nil {
			return "", err
		}
		verb := "changed"
		if made {
			verb = "created"
		}
		return put(out.ID, made), tx.AddFacts(c.fact(s.Project, "", history.TemplateSet, "policy %q %s", out.Name, verb))
	}, func(tx store.Tx, did string) error {
		var id string
		id, made = wasPut(did)
		out, err = tx.Template(id)
		return err
	})
	return out, made, err
}

func templateOf(s TemplateSpec) (fleet.Template, error) {
	t := fleet.Template{
		Project: s.Project, Name: s.Name, Description: s.Description, Default: s.Default, Enabled: s.Enabled,
		Spread: s.Spread, Policy: s.Policy.WithDefaults(), Missed: s.Missed,
	}
	if s.Default && !s.Enabled {
		return t, fault.Invalid("enabled", "must be true for the default policy: managed servers are given it")
	}
	var err error
	if zone, e := time.LoadLocation(s.RRule); s.Spread && s.RRule != "" && e == nil {
		t.Window = fleet.WeekendWindow("", zone.String(), s.Duration)
		if t.Window.Recurrence.IsZero() {
			return t, fault.Invalid("duration", "must be one that a window can have, and fit into a weekend, not %v", s.Duration)
		}
		return t, t.Validate()
	}
	if t.Window, err = parseWindow(s.RRule, s.Duration); err != nil {
		return t, err
	}
	return t, t.Validate()
}

// Templates lists those that a project may use, the built-in one first; its
// Default is set where the project has no other default.
func (d *Desk) Templates(ctx context.Context, c Caller, project string) (all []fleet.Template, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "project", project); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all, err = d.templates(tx, project)
		return err
	})
	return all, err
}

func (d *Desk) templates(tx store.Templates, project string) ([]fleet.Template, error) {
	stored, err := tx.Templates(project)
	if err != nil {
		return nil, err
	}
	// The project's own default goes before that of all projects, and both
	// before the built-in one.
	best := -1
	for i, t := range stored {
		if t.Default && t.Enabled && (best < 0 || t.Project == project) {
			best = i
		}
	}
	for i := range stored {
		stored[i].Default = i == best
	}
	builtin := fleet.DefaultTemplate(d.zone)
	builtin.Default = best < 0
	return append([]fleet.Template{builtin}, stored...), nil
}

// Template finds one that a project may use, by id or name.
func (d *Desk) Template(ctx context.Context, c Caller, project, idOrName string) (t fleet.Template, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "policy", idOrName); err != nil {
		return t, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		t, err = d.findTemplate(tx, project, idOrName)
		return err
	})
	return t, err
}

func (d *Desk) findTemplate(tx store.Templates, project, idOrName string) (found fleet.Template, err error) {
	all, err := d.templates(tx, project)
	if err != nil {
		return found, err
	}
	for _, t := range all {
		// The project's own goes before one of the same name for all.
		if t.ID == idOrName || t.Name == idOrName && (found.ID == "" || t.Project == project) {
			found = t
		}
	}
	if found.ID == "" {
		return found, fault.NotFound("policy", idOrName)
	}
	return found, nil
}

// template finds one that a project may use, by id or name, and that is enabled.
func (d *Desk) template(tx store.Templates, project, idOrName string) (fleet.Template, error) {
	t, err := d.findTemplate(tx, project, idOrName)
	if err == nil && !t.Enabled {
		err = fault.Conflict("policy %q is not enabled", t.Name)
	}
	return t, err
}

// DeleteTemplate removes a template that a project may use. Schedules that were
// made from it stay.
func (d *Desk) DeleteTemplate(ctx context.Context, c Caller, project, idOrName string) error {
	project = c.project(project)
	if err := c.may(identity.Read, project, "policy", idOrName); err != nil {
		return err
	}
	return d.once(ctx, c, "delete template "+project+"/"+idOrName, func(tx store.Tx) (string, error) {
		t, err := d.findTemplate(tx, project, idOrName)
		if err != nil {
			return "", err
		}
		if t.ID == fleet.BuiltinTemplate {
			return "", fault.Conflict("policy %q is built in: make another one the default instead", t.Name)
		}
		if err := c.May(identity.Write, t.Project); err != nil {
			return "", err
		}
		if err := tx.DeleteTemplate(t.ID); err != nil {
			return "", err
		}
		return t.ID, tx.AddFacts(c.fact(t.Project, "", history.TemplateSet, "policy %q removed", t.Name))
	}, func(store.Tx, string) error { return nil })
}

// Manage has a server's updates seen to from here: whoever has no schedule is
// given the default one, and the schedules that rested go on. A template adds
// a schedule made from it. Conflict: the server is managed already.
func (d *Desk) Manage(ctx context.Context, c Caller, project, server, template string) (out fleet.Target, err error) {
	err = d.once(ctx, c, "manage "+project+"/"+server+" "+template, func(tx store.Tx) (string, error) {
		t, err := findServer(tx, c, identity.Write, project, server)
		if err != nil {
			return "", err
		}
		if t.Management == fleet.Managed {
			return "", fault.Conflict("server %s is managed already", t.Name)
		}
		t.Management = fleet.Managed
		if out, err = tx.PutTarget(t); err != nil {
			return "", err
		}
		if err := tx.AddFacts(c.fact(t.Project, t.ID, history.TargetChanged, "server %s is managed from now on", t.Name)); err != nil {
			return "", err
		}
		return t.ID, d.giveSchedules(tx, c, out, template)
	}, func(tx store.Tx, id string) error {
		out, err = tx.Target(id)
		return err
	})
	return out, err
}

// giveSchedules lets a managed server's schedules go on, and gives it those
// that it lacks.
func (d *Desk) giveSchedules(tx store.Tx, c Caller, t fleet.Target, template string) error {
	had, err := tx.Schedules(store.ScheduleFilter{Target: t.ID})
	if err != nil {
		return err
	}
	for _, s := range had {
		if !s.Resting {
			continue
		}
		s.Resting, s.Changed = false, time.Now()
		if _, err := d.writeSchedule(tx, c, s, false); err != nil {
			return err
		}
	}
	if template == "" && len(had) > 0 {
		return nil
	}
	if template == "" {
		all, err := d.templates(tx, t.Project)
		if err != nil {
			return err
		}
		for _, m := range all {
			if m.Default {
				template = m.ID
			}
		}
	}
	m, err := d.template(tx, t.Project, template)
	if err != nil {
		return err
	}
	for _, s := range had {
		if s.Name == m.Name {
			return nil // it was made from the same template before
		}
	}
	_, err = d.setSchedule(tx, c, t, fleet.Schedule{}, ScheduleSpec{Name: m.Name, Enabled: true, Template: m.ID, AllowOverlap: true})
	return err
}

// Unmanage leaves a server to its owner: its open runs are aborted, and its
// schedules rest until it is managed again. It may be called again.
func (d *Desk) Unmanage(ctx context.Context, c Caller, project, server string) (out fleet.Target, err error) {
	err = d.once(ctx, c, "unmanage "+project+"/"+server, func(tx store.Tx) (string, error) {
		t, err := findServer(tx, c, identity.Write, project, server)
		if out = t; err != nil || t.Management == fleet.Unmanaged {
			return t.ID, err
		}
		t.Management = fleet.Unmanaged
		if out, err = tx.PutTarget(t); err != nil {
			return "", err
		}
		if err := tx.AddFacts(c.fact(t.Project, t.ID, history.TargetChanged, "server %s is left to its owner from now on", t.Name)); err != nil {
			return "", err
		}
		return t.ID, d.rest(tx, c, t)
	}, func(tx store.Tx, id string) error {
		out, err = tx.Target(id)
		return err
	})
	return out, err
}

// rest ends what is under way on a server, and lets its schedules rest.
func (d *Desk) rest(tx store.Tx, c Caller, t fleet.Target) error {
	schedules, err := tx.Schedules(store.ScheduleFilter{Target: t.ID})
	if err != nil {
		return err
	}
	for _, s := range schedules {
		s.Resting, s.Next = true, window.Span{}
		if _, err := tx.PutSchedule(s); err != nil {
			return err
		}
		if err := tx.Wake(store.ScheduleKey(s.ID), time.Now()); err != nil {
			return err
		}
	}
	open, err := tx.Runs(store.RunFilter{Target: t.ID, Open: true})
	if err != nil {
		return err
	}
	for _, r := range open {
		moved, facts, err := r.Abort(c.Who(), "the server was left to its owner", time.Now())
		if err != nil {
			return err
		}
		if err := putRun(tx, moved, facts); err != nil {
			return err
		}
	}
	return nil
}
