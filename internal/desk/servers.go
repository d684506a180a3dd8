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
)

// Server is a server with what concerns it now.
type Server struct {
	Target    fleet.Target
	Agent     Agent        // zero if none is enrolled
	Image     *ServerImage // what it was made from; nil: unknown
	Schedules []fleet.Schedule
	Open      []run.Run // runs that have not ended
}

// Agent is the host's end of a server.
type Agent struct {
	Version  string
	LastSeen time.Time // to the minute; to five where very many agents are connected
	Expires  time.Time // when its certificate ends unless it renews it
}

// ServerSpec is what a caller says of a server.
type ServerSpec struct {
	Project string
	Name    string
	Group   string
	Labels  map[string]string
	Image   string // id, CHANNEL:VERSION[@ARCH], or CHANNEL for its active one; empty: as it was; fleet.NoImage: unknown
}

// Enrolment is a one-time secret for an agent.
type Enrolment struct {
	Secret  string
	Expires time.Time
}

// PutServer creates the server of that name, or changes it. made tells which.
func (d *Desk) PutServer(ctx context.Context, c Caller, s ServerSpec) (out fleet.Target, made bool, err error) {
	s.Project = c.project(s.Project)
	if err := c.may(identity.Write, s.Project, "project", s.Project); err != nil {
		return out, false, err
	}
	wanted := fleet.Target{Project: s.Project, Name: s.Name, Kind: fleet.Server, Group: s.Group, Labels: s.Labels}
	if err := wanted.Validate(); err != nil {
		return out, false, err
	}
	err = d.once(ctx, c, fmt.Sprintf("server %+v", s), func(tx store.Tx) (string, error) {
		t, err := tx.TargetNamed(s.Project, s.Name)
		switch {
		case err == nil && t.Kind != fleet.Server:
			return "", fault.Conflict("%s is the name of a %s in this project", s.Name, t.Kind)
		case err == nil:
			made = false
			t.Group, t.Labels = wanted.Group, wanted.Labels
		case fault.Is(err, fault.KindNotFound):
			made, t = true, wanted
			t.ID, t.Created = d.newID(), time.Now()
		default:
			return "", err
		}
		if t.Image, err = imageFor(tx, c, t, s.Image); err != nil {
			return "", err
		}
		if out, err = tx.PutTarget(t); err != nil {
			return "", err
		}
		verb := "changed"
		if made {
			verb = "created"
		}
		return put(out.ID, made), tx.AddFacts(c.fact(out.Project, out.ID, history.TargetChanged, "server %s %s", out.Name, verb))
	}, func(tx store.Tx, did string) error {
		var id string
		id, made = wasPut(did)
		out, err = tx.Target(id)
		return err
	})
	return out, made, err
}

// Server finds one by id or by name.
func (d *Desk) Server(ctx context.Context, c Caller, project, idOrName string) (s Server, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		t, err := findServer(tx, c, identity.Read, project, idOrName)
		if err != nil {
			return err
		}
		if s, err = describe(tx, t); err != nil {
			return err
		}
		one := []Server{s}
		err = addImages(tx, one)
		s = one[0]
		return err
	})
	return s, err
}

// Servers lists by id, those after the given id.
func (d *Desk) Servers(ctx context.Context, c Caller, project, after string, limit int) (all []Server, err error) {
	project = c.scope(project)
	if err := c.May(identity.Read, project); err != nil {
		return nil, err
	}
	if limit, err = page(limit); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all = nil
		targets, err := tx.Targets(store.TargetFilter{Kind: fleet.Server, Project: project, After: after, Limit: limit})
		if err != nil {
			return err
		}
		for _, t := range targets {
			s, err := describe(tx, t)
			if err != nil {
				return err
			}
			all = append(all, s)
		}
		return addImages(tx, all)
	})
	return all, err
}

// DeleteServer removes a server with its schedules. Its runs are ended by the
// engine; its history stays.
func (d *Desk) DeleteServer(ctx context.Context, c Caller, project, idOrName string) error {
	return d.once(ctx, c, "delete server "+c.project(project)+"/"+idOrName, func(tx store.Tx) (string, error) {
		t, err := findServer(tx, c, identity.Write, project, idOrName)
		if err != nil {
			return "", err
		}
		open, err := tx.Runs(store.RunFilter{Target: t.ID, Open: true})
		if err != nil {
			return "", err
		}
		for _, r := range open {
			if r.State == run.Working {
				return "", fault.Conflict("server %s is being worked on by run %s: abort it and wait for its end", t.Name, r.ID)
			}
			if err := tx.Wake(store.RunKey(r.ID), time.Now()); err != nil {
				return "", err
			}
		}
		if err := tx.DeleteAgent(t.ID); err != nil && !fault.Is(err, fault.KindNotFound) {
			return "", err
		}
		if err := tx.DeleteTarget(t.ID); err != nil {
			return "", err
		}
		return t.ID, tx.AddFacts(c.fact(t.Project, t.ID, history.TargetChanged, "server %s removed", t.Name))
	}, func(store.Tx, string) error { return nil })
}

// Enrol makes a one-time secret with which an agent becomes this server's.
func (d *Desk) Enrol(ctx context.Context, c Caller, project, idOrName string) (e Enrolment, err error) {
	err = d.db.Update(ctx, func(tx store.Tx) error {
		t, err := findServer(tx, c, identity.Write, project, idOrName)
		if err != nil {
			return err
		}
		secret, row := identity.NewEnrolment(t.ID, identity.EnrolmentTTL, time.Now())
		e = Enrolment{Secret: secret, Expires: row.Expires}
		if err := tx.PutEnrolment(row); err != nil {
			return err
		}
		return tx.AddFacts(c.fact(t.Project, t.ID, history.Enrolled, "enrolment token made, good until %s", row.Expires.UTC().Format(time.RFC3339)))
	})
	return e, err
}

// findServer finds a server that the caller may use so.
func findServer(tx store.Tx, c Caller, verb identity.Verb, project, idOrName string) (fleet.Target, error) {
	t, err := tx.Target(idOrName)
	if fault.Is(err, fault.KindNotFound) {
		t, err = tx.TargetNamed(c.project(project), idOrName)
	}
	if fault.Is(err, fault.KindNotFound) || err == nil && t.Kind != fleet.Server {
		return fleet.Target{}, fault.NotFound("server", idOrName)
	}
	if err != nil {
		return t, err
	}
	return t, c.may(verb, t.Project, "server", idOrName)
}

func describe(tx store.Tx, t fleet.Target) (Server, error) {
	s := Server{Target: t}
	a, err := tx.Agent(t.ID)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return s, err
	}
	s.Agent = Agent{Version: a.Version, LastSeen: a.LastSeen, Expires: a.Expires}
	if s.Schedules, err = tx.Schedules(store.ScheduleFilter{Target: t.ID}); err != nil {
		return s, err
	}
	s.Open, err = tx.Runs(store.RunFilter{Target: t.ID, Open: true})
	return s, err
}
