package store

import (
	"slices"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
)

// readGroup reads the redundancy group that a run's target is in.
func readGroup(tx Tx, r run.Run, now time.Time, silent time.Duration) (plan.Group, error) {
	g := plan.Group{Self: r.Name}
	var err error
	if g.Rules, err = tx.Group(r.Project, r.Group); err != nil && !fault.Is(err, fault.KindNotFound) {
		return g, err
	}
	members, err := tx.Targets(TargetFilter{Kind: fleet.Server, Project: r.Project, Group: r.Group, Limit: fleet.MaxMembers})
	if err != nil {
		return g, err
	}
	members = slices.DeleteFunc(members, func(t fleet.Target) bool { return t.ID == r.Target })
	if len(members) == 0 {
		return g, nil
	}
	ids, keys := make([]string, len(members)), make([]string, len(members))
	for i, t := range members {
		ids[i], keys[i] = t.ID, run.TargetKey(t.ID)
	}
	agents, err := tx.Agents(ids)
	if err != nil {
		return g, err
	}
	seen := make(map[string]time.Time, len(agents))
	for _, a := range agents {
		seen[a.Target] = a.LastSeen
	}
	busy, err := tx.ClaimsOn(keys)
	for i, t := range members {
		_, held := busy[keys[i]]
		g.Others = append(g.Others, plan.Member{Name: t.Name, Down: t.Down(seen[t.ID], now, silent), Busy: held, Last: t.Last})
	}
	slices.SortFunc(g.Others, func(a, b plan.Member) int { return strings.Compare(a.Name, b.Name) })
	return g, err
}
