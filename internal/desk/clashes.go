package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// Limits of a preview of clashes.
const (
	ClashDays    = 14
	maxClashDays = 31
	maxClashes   = 500    // that are told
	maxBooked    = 10_000 // schedules that are looked at
	maxOpenings  = 40     // of one schedule
)

// Clashes is what schedules and rollouts want at once in a project in the coming
// days, or somebody holds whom they will meet.
type Clashes struct {
	From, To time.Time
	Found    []run.Clash // by start, the first maxClashes
	Total    int
	Looked   int  // how many schedules were looked at
	Partial  bool // there are more schedules than are looked at
}

// Clashes looks through the windows of the coming days: which schedules want
// the same thing at once, and what freezes leave no time for. Those of services
// and of servers that others depend on are looked at first, and of all together
// at most maxBooked, so that a very large fleet has its answer too.
func (d *Desk) Clashes(ctx context.Context, c Caller, project string, days int) (out Clashes, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "project", project); err != nil {
		return out, err
	}
	if days < 1 || days > maxClashDays {
		return out, fault.Invalid("days", "must be from 1 to %d, not %d", maxClashDays, days)
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		now := time.Now()
		b := booker{tx: tx, from: now, to: now.AddDate(0, 0, days), project: project, places: map[string]int{}, seen: map[string]bool{}}
		if err := b.book(); err != nil {
			return err
		}
		freezes, err := tx.Freezes(project, now)
		if err != nil {
			return err
		}
		found := slices.Concat(b.unable, run.Clashes(b.all, b.places, freezes))
		out = Clashes{From: b.from, To: b.to, Found: found[:min(len(found), maxClashes)], Total: len(found), Looked: b.looked, Partial: b.partial}
		return nil
	})
	return out, err
}

// booker gathers what schedules and rollouts want, and what is held by hand.
type booker struct {
	tx       store.Tx
	from, to time.Time
	project  string

	all     []run.Booking
	unable  []run.Clash
	places  map[string]int
	seen    map[string]bool // targets whose schedules were looked at
	looked  int
	partial bool
}

func (b *booker) book() error {
	if err := b.holds(); err != nil {
		return err
	}
	if err := b.rollouts(); err != nil {
		return err
	}
	shared, err := b.tx.SharedTargets(b.project, maxBooked)
	if err != nil {
		return err
	}
	for _, id := range shared {
		if err := b.target(id); err != nil || b.partial {
			return err
		}
	}
	f := store.ScheduleFilter{Project: b.project, Limit: MaxPage}
	for !b.partial {
		page, err := b.tx.Schedules(f)
		if err != nil {
			return err
		}
		for _, s := range page {
			if err := b.target(s.Target); err != nil {
				return err
			}
			f.After = s.ID
		}
		if len(page) < MaxPage {
			return nil
		}
	}
	return nil
}

// target books all schedules of a target, once.
func (b *booker) target(id string) error {
	if b.seen[id] || b.partial {
		return nil
	}
	b.seen[id] = true
	schedules, err := b.tx.Schedules(store.ScheduleFilter{Target: id})
	if err != nil || len(schedules) == 0 {
		return err
	}
	t, err := b.tx.Target(id)
	if err != nil {
		return err
	}
	for _, s := range schedules {
		if !s.Enabled || s.Resting {
			continue
		}
		if b.looked++; b.looked > maxBooked {
			b.looked, b.partial = maxBooked, true
			return nil
		}
		if err := b.schedule(t, s); err != nil {
			return err
		}
	}
	return nil
}

func (b *booker) schedule(t fleet.Target, s fleet.Schedule) error {
	openings := s.Window.Between(b.from, b.to, maxOpenings)
	if len(openings) == 0 {
		return nil
	}
	one := run.Booking{Who: t.Name + "/" + s.Title()}
	wants := b.update
	if t.Kind == fleet.ServiceKind {
		wants = b.roll
	}
	if err := wants(t, s, &one); fault.Is(err, fault.KindInvalid) || fault.Is(err, fault.KindNotFound) {
		b.unable = append(b.unable, run.Clash{
			Kind: run.ClashUnable, What: fleet.ClaimService + "/" + t.Name, Span: openings[0], Who: []string{one.Who}, Most: 1, Places: 1, Why: err.Error(),
		})
		return nil
	} else if err != nil {
		return err
	}
	for _, span := range openings {
		one.Open = span
		b.all = append(b.all, one)
	}
	return nil
}

// update is what a server's own update wants: the server, a place of its group,
// and to be spared by the services that it has members of.
func (b *booker) update(t fleet.Target, s fleet.Schedule, one *run.Booking) error {
	one.Need = run.ServerNeeds(t, s.Policy)
	one.Whole = []string{fleet.ClaimServer + "/" + t.Name}
	one.Within = called(run.Within(t))
	if t.Group != "" {
		if err := b.place(t.Group, one); err != nil {
			return err
		}
	}
	services, err := b.tx.ServicesOn(t.Project, t.Name)
	for _, svc := range services {
		if spare := len(svc.Service.Members) - svc.Service.Quorum; svc.Service.Quorum > 0 {
			what := fmt.Sprintf("quorum of %s", svc.Name)
			b.places[what] = spare
			one.Places = append(one.Places, what)
		}
	}
	return err
}

// place is that one of a group's places is wanted.
func (b *booker) place(group string, one *run.Booking) error {
	what := fleet.ClaimGroup + "/" + group
	if b.places[what] == 0 {
		g, err := b.tx.Group(b.project, group)
		if err != nil && !fault.Is(err, fault.KindNotFound) {
			return err
		}
		b.places[what] = g.Room()
	}
	one.Places = append(one.Places, what)
	return nil
}

// roll is what a run of a runbook wants.
func (b *booker) roll(t fleet.Target, s fleet.Schedule, one *run.Booking) error {
	r, _, err := store.OpenBook(b.tx, run.ForSchedule(forecastID, s, t, window.Span{}), s.Runbook, s.Params, b.from)
	if err != nil {
		return err
	}
	if one.Need, err = run.BookNeeds(r, t.Pace); err != nil {
		return err
	}
	one.Within = called(run.Within(t))
	one.Whole, err = b.names(r.ClaimKeys())
	return err
}

// names are what keys are called.
func (b *booker) names(keys []string) (names []string, err error) {
	for _, key := range keys {
		name, err := claimName(b.tx, key)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// holds books what is held by hand until its end; what has none, all the while.
func (b *booker) holds() error {
	all, err := b.tx.Holds(b.project)
	for _, h := range all {
		one := run.Booking{Who: "claim of " + h.By, Held: true, Open: window.Span{Start: b.from, End: b.to}}
		if !h.Until.IsZero() && h.Until.Before(b.to) {
			one.Open.End = h.Until
		}
		one.Need = one.Open.End.Sub(one.Open.Start)
		if one.Need <= 0 {
			continue
		}
		if err := b.held(h, &one); err != nil {
			return err
		}
		b.all = append(b.all, one)
	}
	return err
}

// held is what a hold has: of a group as many places as it has keys of it.
func (b *booker) held(h fleet.Hold, one *run.Booking) error {
	for _, key := range h.Keys {
		if whole, _, within := strings.Cut(key, "@"); within {
			one.Within = append(one.Within, run.CalledKey(whole))
			continue
		}
		name, err := claimName(b.tx, key)
		if err != nil {
			return err
		}
		group, ok := strings.CutPrefix(name, fleet.ClaimGroup+"/")
		if !ok {
			one.Whole = append(one.Whole, name)
		} else if err := b.place(group, one); err != nil {
			return err
		}
	}
	return nil
}

// rollouts books the next windows of environments into which a release is on
// its way, also of rollouts that work in this project from others.
func (b *booker) rollouts() error {
	open, err := b.tx.Rollouts(store.RolloutFilter{Open: true})
	for _, r := range open {
		w, err := store.RolloutWorld(b.tx, r, b.from)
		if fault.Is(err, fault.KindNotFound) { // its train was removed
			continue
		}
		if err != nil {
			return err
		}
		for _, one := range r.Bookings(w, b.project, b.to) {
			if one.Whole, err = b.names(one.Whole); err != nil {
				return err
			}
			one.Within = called(one.Within)
			b.all = append(b.all, one)
		}
	}
	return err
}

func called(keys []string) (names []string) {
	for _, key := range keys {
		names = append(names, run.CalledKey(key))
	}
	return names
}

// Around is what is planned beside a target's own schedules.
type Around struct {
	Services []fleet.Schedule // of services that have members on the server; named SERVICE/NAME
	Clashes  []run.Clash      // of the next ClashDays in which the target's schedules are, the first maxAround
}

// maxAround is how many clashes of one target are told.
const maxAround = 12

// Around tells what is planned around a server or service: it looks at its
// group, and at the services and servers that it has to do with.
func (d *Desk) Around(ctx context.Context, c Caller, id string) (a Around, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		a = Around{}
		t, err := tx.Target(id)
		if err != nil {
			return err
		}
		if err := c.may(identity.Read, t.Project, string(t.Kind), id); err != nil {
			return err
		}
		now := time.Now()
		b := booker{tx: tx, from: now, to: now.AddDate(0, 0, ClashDays), project: t.Project, places: map[string]int{}, seen: map[string]bool{}}
		services, err := b.around(t)
		if err != nil {
			return err
		}
		if err := b.holds(); err != nil {
			return err
		}
		if err := b.rollouts(); err != nil {
			return err
		}
		for _, svc := range services {
			all, err := tx.Schedules(store.ScheduleFilter{Target: svc.ID})
			if err != nil {
				return err
			}
			for _, s := range all {
				s.Name = svc.Name + "/" + s.Title()
				a.Services = append(a.Services, s)
			}
		}
		freezes, err := tx.Freezes(t.Project, now)
		if err != nil {
			return err
		}
		for _, clash := range slices.Concat(b.unable, run.Clashes(b.all, b.places, freezes)) {
			if len(a.Clashes) < maxAround && concerns(clash, t) {
				a.Clashes = append(a.Clashes, clash)
			}
		}
		return nil
	})
	return a, err
}

// concerns reports whether a target's schedules are in a clash.
func concerns(c run.Clash, t fleet.Target) bool {
	switch c.What {
	case string(t.Kind) + "/" + t.Name, fleet.ClaimGroup + "/" + t.Group:
		return true
	}
	return slices.ContainsFunc(c.Who, func(who string) bool { return strings.HasPrefix(who, t.Name+"/") })
}

// around books a target and what it has to do with. It returns the services
// that have members on it.
func (b *booker) around(t fleet.Target) (services []fleet.Target, err error) {
	ids := []string{t.ID}
	if t.Group != "" {
		members, err := b.tx.Targets(store.TargetFilter{Kind: fleet.Server, Project: t.Project, Group: t.Group, Limit: fleet.MaxMembers})
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			ids = append(ids, m.ID)
		}
	}
	if t.Kind == fleet.Server {
		if services, err = b.tx.ServicesOn(t.Project, t.Name); err != nil {
			return nil, err
		}
	}
	all := slices.Clone(services)
	if t.Service != nil {
		all = append(all, t)
	}
	for _, svc := range all {
		ids = append(ids, svc.ID)
		hosts, err := store.Hosts(b.tx, svc)
		if err != nil && !fault.Is(err, fault.KindInvalid) { // a server of it has gone: what is left is looked at
			return nil, err
		}
		for _, host := range hosts {
			ids = append(ids, host)
		}
	}
	for _, id := range ids {
		if err := b.target(id); err != nil {
			return nil, err
		}
	}
	return services, nil
}
