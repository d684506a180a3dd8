package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// ClaimSpec is what a person wants to hold.
type ClaimSpec struct {
	Project string
	Names   []string      // server/NAME, service/NAME, group/NAME, region/NAME, or what people have agreed upon
	For     time.Duration // until it ends by itself
	Reason  string
}

// Claim holds what is named, so that no run disrupts it meanwhile. Who holds
// just that already holds it for so long from now. Conflict: somebody else
// holds some of it.
func (d *Desk) Claim(ctx context.Context, c Caller, s ClaimSpec) (out fleet.Hold, err error) {
	s.Project = c.project(s.Project)
	if err := c.may(identity.Run, s.Project, "project", s.Project); err != nil {
		return out, err
	}
	switch {
	case len(s.Names) == 0 || len(s.Names) > fleet.MaxClaims:
		return out, fault.Invalid("claims", "must be 1 to %d, not %d", fleet.MaxClaims, len(s.Names))
	case s.For < fleet.MinHolding || s.For > fleet.MaxHolding:
		return out, fault.Invalid("for", "must be from %v to %d days, not %v", fleet.MinHolding, int(fleet.MaxHolding.Hours()/24), s.For)
	case s.Reason == "" || len(s.Reason) > fleet.MaxReasonBytes:
		return out, fault.Invalid("reason", "must have 1 to %d bytes: who waits will read it", fleet.MaxReasonBytes)
	}
	for _, name := range s.Names {
		if err := fleet.ValidClaim("claims", name); err != nil {
			return out, err
		}
	}
	err = d.once(ctx, c, fmt.Sprintf("claim %+v", s), func(tx store.Tx) (string, error) {
		out, err = d.claim(tx, c, s, time.Now())
		return out.ID, err
	}, func(tx store.Tx, id string) error {
		out, err = tx.Hold(id)
		return err
	})
	return out, err
}

func (d *Desk) claim(tx store.Tx, c Caller, s ClaimSpec, now time.Time) (fleet.Hold, error) {
	h := fleet.Hold{ID: d.newID(), Project: s.Project, Names: s.Names, By: c.Who(), Reason: s.Reason, Since: now, Until: now.Add(s.For)}
	all, err := tx.Holds(s.Project)
	if err != nil {
		return h, err
	}
	if len(all) >= fleet.MaxHolds {
		return h, fault.Conflict("%d claims are held in project %s, and no more can be: release some", len(all), s.Project)
	}
	for _, old := range all {
		if old.By == h.By && old.Node == "" && slices.Equal(old.Names, h.Names) {
			h.ID, h.Since = old.ID, old.Since
			if err := tx.DropHold(old.ID); err != nil {
				return h, err
			}
		}
	}
	var within []string
	for _, name := range s.Names {
		keys, in, err := keysOf(tx, c, s.Project, name)
		if err != nil {
			return h, err
		}
		if err := unclaimed(tx, append(slices.Clone(keys), in...), name); err != nil {
			return h, err
		}
		h.Keys = append(h.Keys, keys...)
		within = append(within, in...)
	}
	for _, key := range within {
		h.Keys = append(h.Keys, run.WithinKey(key, h.ID))
	}
	slices.Sort(h.Keys)
	h.Keys = slices.Compact(h.Keys)
	if err := tx.AddHold(h); err != nil {
		return h, err
	}
	if err := tx.Wake(store.HoldKey(h.ID), h.Until); err != nil {
		return h, err
	}
	return h, tx.AddFacts(c.fact(s.Project, "", history.ClaimTaken, "%s claimed until %s: %s", strings.Join(h.Names, ", "), h.Until.UTC().Format(time.RFC3339), h.Reason))
}

// keysOf is what a name comes to: what is held, and the wholes that it is in.
func keysOf(tx store.Tx, c Caller, project, name string) (keys, within []string, err error) {
	kind, of, _ := strings.Cut(name, "/")
	switch kind {
	case fleet.ClaimServer:
		t, err := findServer(tx, c, identity.Run, project, of)
		return []string{run.TargetKey(t.ID)}, run.Within(t), blameClaim(err)
	case fleet.ClaimService:
		t, err := findService(tx, c, identity.Run, project, of)
		if err != nil {
			return nil, nil, blameClaim(err)
		}
		hosts, err := store.Hosts(tx, t)
		if err != nil {
			return nil, nil, err
		}
		return run.Run{Target: t.ID, Book: &run.Book{Hosts: hosts}}.ClaimKeys(), run.Within(t), nil
	case fleet.ClaimGroup:
		all, err := groups(tx, project)
		for _, g := range all {
			if g.Rules.Name == of {
				return run.PlaceKeys(project, of, g.Rules.Room()), nil, nil
			}
		}
		if err == nil {
			err = fault.NotFound("group", of)
		}
		return nil, nil, blameClaim(err)
	}
	return []string{run.NameKey(project, name)}, nil, nil
}

// blameClaim says of what there is not that it can't be claimed.
func blameClaim(err error) error {
	if fault.Is(err, fault.KindNotFound) {
		return fault.Invalid("claims", "%s", err)
	}
	return err
}

// unclaimed refuses keys that somebody holds, or works within.
func unclaimed(tx store.Tx, keys []string, name string) error {
	held, err := tx.ClaimsOn(keys)
	if err != nil {
		return err
	}
	for _, key := range keys {
		who := held[key]
		if who == "" && run.Named(key) && run.CalledKey(key) == name {
			if who, err = tx.ClaimWithin(key, ""); err != nil {
				return err
			}
		}
		if who == "" {
			continue
		}
		h, err := store.HolderOf(tx, who)
		if err != nil {
			return err
		}
		called, err := store.CalledKey(tx, key)
		switch {
		case err != nil:
			return err
		case h.By != "":
			return fault.Conflict("%s: %s holds %s: %s", name, h.By, called, h.Reason)
		}
		return fault.Conflict("%s: run %s of %s is working on %s: wait for its end, or abort it", name, who, h.Name, called)
	}
	return nil
}

// Release gives back what a person, or a node that does not come back, holds.
func (d *Desk) Release(ctx context.Context, c Caller, id string) error {
	return d.once(ctx, c, "release "+id, func(tx store.Tx) (string, error) {
		h, err := tx.Hold(id)
		if err != nil {
			return "", err
		}
		if err := c.may(identity.Run, h.Project, "claim", id); err != nil {
			return "", err
		}
		if err := tx.DropHold(id); err != nil {
			return "", err
		}
		return id, tx.AddFacts(c.fact(h.Project, "", history.ClaimReleased, "%s released, which %s held: %s", strings.Join(h.Names, ", "), h.By, h.Reason))
	}, func(store.Tx, string) error { return nil })
}

// Claimed is something that is held.
type Claimed struct {
	Key    string
	Name   string // as people say it
	Within bool   // its holder only works within it
	Hold   fleet.Hold
	Run    run.Run // if it has an id, this holds it; else Hold does
}

// Claims lists what is held in a project, by key, after the given one; or only
// what no run holds.
func (d *Desk) Claims(ctx context.Context, c Caller, project, after string, limit int, byHand bool) (all []Claimed, err error) {
	project = c.scope(project)
	if err := c.May(identity.Read, project); err != nil {
		return nil, err
	}
	if limit, err = page(limit); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		list := tx.Claims
		if byHand {
			list = func(f store.ClaimFilter) ([]store.Claim, error) { return heldByHand(tx, f) }
		}
		rows, err := list(store.ClaimFilter{Project: project, After: after, Limit: limit})
		if err != nil {
			return err
		}
		all, err = claimed(tx, rows)
		return err
	})
	return all, err
}

// heldByHand is what store.Claims lists, without what runs hold.
func heldByHand(tx store.Claims, f store.ClaimFilter) (rows []store.Claim, err error) {
	all, err := tx.Holds(f.Project)
	for _, h := range all {
		for _, key := range h.Keys {
			if key > f.After {
				rows = append(rows, store.Claim{Key: key, Holder: h.ID, Project: h.Project})
			}
		}
	}
	slices.SortFunc(rows, func(a, b store.Claim) int { return strings.Compare(a.Key, b.Key) })
	return rows[:min(len(rows), f.Limit)], err
}

func claimed(tx store.Tx, rows []store.Claim) (all []Claimed, err error) {
	holders := map[string]Claimed{}
	for _, row := range rows {
		h, known := holders[row.Holder]
		if !known {
			if h.Hold, err = tx.Hold(row.Holder); fault.Is(err, fault.KindNotFound) {
				h.Run, err = tx.Run(row.Holder)
			}
			if err != nil {
				return nil, err
			}
			holders[row.Holder] = h
		}
		key, _, within := strings.Cut(row.Key, "@")
		h.Key, h.Within = row.Key, within
		if h.Name, err = claimName(tx, key); err != nil {
			return nil, err
		}
		if row.Key == run.TargetKey(row.Holder) { // a node that is no server here
			h.Name = h.Hold.By
		}
		all = append(all, h)
	}
	return all, nil
}

// claimName is how people say a key.
func claimName(tx store.Tx, key string) (string, error) {
	id, ok := strings.CutPrefix(key, run.TargetKey(""))
	if !ok {
		return run.CalledKey(key), nil
	}
	t, err := tx.Target(id)
	if fault.Is(err, fault.KindNotFound) {
		return "node/" + id, nil
	}
	return string(t.Kind) + "/" + t.Name, err
}
