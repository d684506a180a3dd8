package desk

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// GroupSpec is what a caller says of a redundancy group.
type GroupSpec struct {
	Project        string
	Name           string
	MaxUnavailable int // 0: 1
	Canaries       []string
	Soak           time.Duration
	StopAfter      int
	RRule          string        // of the window in which its nodes may restart themselves; empty: they may not
	Duration       time.Duration // of that window
}

// Group is a redundancy group with its members. One that nobody has described
// has the rules of the zero fleet.Group.
type Group struct {
	Rules   fleet.Group
	Members []fleet.Target // by name
	Held    []Claimed      // its places that are held; only where one group is asked for
}

// PutGroup describes the group of that name, or describes it anew. made tells
// which. Canaries need not be members yet: until they are, the others wait.
func (d *Desk) PutGroup(ctx context.Context, c Caller, s GroupSpec) (out fleet.Group, made bool, err error) {
	s.Project = c.project(s.Project)
	if err := c.may(identity.Write, s.Project, "project", s.Project); err != nil {
		return out, false, err
	}
	next := fleet.Group{
		Project: s.Project, Name: s.Name, MaxUnavailable: max(s.MaxUnavailable, 0), Canaries: s.Canaries, Soak: s.Soak, StopAfter: s.StopAfter,
	}
	if s.MaxUnavailable < 0 {
		return out, false, fault.Invalid("maxUnavailable", "must be from 1 to %d, not %d", fleet.MaxMembers, s.MaxUnavailable)
	}
	next.MaxUnavailable = next.Room()
	if err := s.window(&next); err != nil {
		return out, false, err
	}
	if err := next.Validate(); err != nil {
		return out, false, err
	}
	err = d.once(ctx, c, fmt.Sprintf("group %+v", s), func(tx store.Tx) (string, error) {
		old, err := tx.Group(s.Project, s.Name)
		if err != nil && !fault.Is(err, fault.KindNotFound) {
			return "", err
		}
		made = err != nil
		next.Revision = old.Revision
		if out, err = tx.PutGroup(next); err != nil {
			return "", err
		}
		if err := d.wakeMembers(tx, out); err != nil {
			return "", err
		}
		text := "group %s: at most %d unavailable, canaries %q, soak %v, stop after %d failures, nodes restart themselves %s"
		return put(out.Project+"/"+out.Name, made), tx.AddFacts(c.fact(s.Project, "", history.GroupSet, text, s.Name, out.Room(), out.Canaries, out.Soak, out.StopAfter, when(out.Window)))
	}, func(tx store.Tx, did string) error {
		_, made = wasPut(did)
		out, err = tx.Group(s.Project, s.Name)
		return err
	})
	return out, made, err
}

// window puts the window of a group's nodes into it.
func (s GroupSpec) window(g *fleet.Group) (err error) {
	switch {
	case s.RRule != "":
		g.Window, err = parseWindow(s.RRule, s.Duration)
	case s.Duration != 0:
		err = fault.Invalid("duration", "goes with rrule or weekly: when the nodes of the group may restart themselves")
	}
	return err
}

// when is when a window opens, in words.
func when(w window.Window) string {
	if w.Recurrence.IsZero() {
		return "never"
	}
	return fmt.Sprintf("%s, for %v", w.Recurrence.Words("en"), w.Duration)
}

// wakeMembers lets the open runs of a group's members see its new rules.
func (d *Desk) wakeMembers(tx store.Tx, g fleet.Group) error {
	members, err := tx.Targets(store.TargetFilter{Kind: fleet.Server, Project: g.Project, Group: g.Name, Limit: fleet.MaxMembers})
	if err != nil {
		return err
	}
	for _, t := range members {
		open, err := tx.Runs(store.RunFilter{Target: t.ID, Open: true})
		if err != nil {
			return err
		}
		for _, r := range open {
			if err := tx.Wake(store.RunKey(r.ID), time.Now()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Groups lists a project's groups by name: those that are described, and those
// that servers name.
func (d *Desk) Groups(ctx context.Context, c Caller, project string) (all []Group, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "project", project); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all, err = groups(tx, project)
		return err
	})
	return all, err
}

// Group finds one by its name.
func (d *Desk) Group(ctx context.Context, c Caller, project, name string) (g Group, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "project", project); err != nil {
		return g, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all, err := groups(tx, project)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(g Group) bool { return g.Rules.Name == name })
		if i < 0 {
			return fault.NotFound("group", name)
		}
		g = all[i]
		keys := run.PlaceKeys(project, name, g.Rules.Room())
		held, err := tx.ClaimsOn(keys)
		if err != nil {
			return err
		}
		var rows []store.Claim
		for _, key := range keys {
			if held[key] != "" {
				rows = append(rows, store.Claim{Key: key, Holder: held[key], Project: project})
			}
		}
		g.Held, err = claimed(tx, rows)
		return err
	})
	return g, err
}

func groups(tx store.Tx, project string) ([]Group, error) {
	rules, err := tx.Groups(project)
	if err != nil {
		return nil, err
	}
	targets, err := tx.Targets(store.TargetFilter{Kind: fleet.Server, Project: project})
	if err != nil {
		return nil, err
	}
	byName := map[string]*Group{}
	for _, r := range rules {
		byName[r.Name] = &Group{Rules: r}
	}
	for _, t := range targets {
		if t.Group == "" {
			continue
		}
		if byName[t.Group] == nil {
			byName[t.Group] = &Group{Rules: fleet.Group{Project: project, Name: t.Group, MaxUnavailable: 1}}
		}
		byName[t.Group].Members = append(byName[t.Group].Members, t)
	}
	var all []Group
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		g := *byName[name]
		slices.SortFunc(g.Members, func(a, b fleet.Target) int { return strings.Compare(a.Name, b.Name) })
		all = append(all, g)
	}
	return all, nil
}

// DeleteGroup forgets a group's description; its members stay in it, one at a time.
func (d *Desk) DeleteGroup(ctx context.Context, c Caller, project, name string) error {
	project = c.project(project)
	if err := c.may(identity.Write, project, "group", name); err != nil {
		return err
	}
	return d.once(ctx, c, "delete group "+project+"/"+name, func(tx store.Tx) (string, error) {
		if err := tx.DeleteGroup(project, name); err != nil {
			return "", err
		}
		if err := d.wakeMembers(tx, fleet.Group{Project: project, Name: name}); err != nil {
			return "", err
		}
		return name, tx.AddFacts(c.fact(project, "", history.GroupSet, "group %s is described no more", name))
	}, func(store.Tx, string) error { return nil })
}
