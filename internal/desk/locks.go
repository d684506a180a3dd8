package desk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// nodeName is what a node that restarts itself may call itself.
var nodeName = regexp.MustCompile(`^[A-Za-z0-9._:@/-]{1,253}$`)

// NodeLabel is the label of a server that says by what other name its own
// system asks for the lock; without it, by the server's.
const NodeLabel = "fleetlock"

// Lock lets a node restart itself, if its group's window is open and a run of
// one of its members would be let now. It holds a place of the group, and its
// server, until it says that it is back. A node that has the lock is given it
// again. why is the reason that it must wait for; zero if it has the lock. Not
// found: nobody has described the group.
func (d *Desk) Lock(ctx context.Context, c Caller, project, group, node string) (why plan.Reason, err error) {
	project = c.project(project)
	if err := c.May(identity.Lock, project); err != nil {
		return why, err
	}
	if err := validNode(node); err != nil {
		return why, err
	}
	err = d.db.Update(ctx, func(tx store.Tx) error {
		why = plan.Reason{}
		g, err := tx.Group(project, group)
		if err != nil {
			return err
		}
		id := lockID(project, group, node)
		if _, err := tx.Hold(id); !fault.Is(err, fault.KindNotFound) {
			return err
		}
		if g.Window.Recurrence.IsZero() {
			return fault.Conflict("group %s has no window in which its nodes may restart: give it one (upkeep help files, kind Group)", group)
		}
		t, err := memberCalled(tx, g, node)
		if err != nil {
			return err
		}
		r, now := run.Lock(id, g, node, t), time.Now()
		w, err := store.ReadWorld(tx, r, t, now, fleet.SilentAfter)
		if err != nil {
			return err
		}
		h := fleet.Hold{
			ID: id, Project: project, Names: []string{fleet.ClaimGroup + "/" + group}, By: "node/" + node, Reason: "it restarts itself (FleetLock)",
			Group: group, Node: node, Since: now,
		}
		if h.Keys, why = run.MayLock(r, w); why.Code != "" {
			return nil
		}
		if err := tx.AddHold(h); err != nil {
			return err
		}
		return tx.AddFacts(c.fact(project, t.ID, history.ClaimTaken, "node %s may restart: it holds a place of group %s", node, group))
	})
	return why, err
}

// Unlock takes the lock back from a node that is up again. It is no error if it
// has none.
func (d *Desk) Unlock(ctx context.Context, c Caller, project, group, node string) error {
	project = c.project(project)
	if err := c.May(identity.Lock, project); err != nil {
		return err
	}
	if err := validNode(node); err != nil {
		return err
	}
	err := d.db.Update(ctx, func(tx store.Tx) error {
		id := lockID(project, group, node)
		h, err := tx.Hold(id)
		if fault.Is(err, fault.KindNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := tx.DropHold(id); err != nil {
			return err
		}
		t, err := memberCalled(tx, fleet.Group{Project: project, Name: group}, node)
		if err != nil {
			return err
		}
		took := plan.Round(time.Since(h.Since))
		return tx.AddFacts(c.fact(project, t.ID, history.ClaimReleased, "node %s is back after %s; its place of group %s is free", node, took, group))
	})
	return err
}

func validNode(node string) error {
	if !nodeName.MatchString(node) {
		return fault.Invalid("client_params.id", "must be 1 to %d letters, digits, dots, dashes, underscores, colons, slashes and at signs", fleet.MaxNodeKey)
	}
	return nil
}

// lockID is the hold of a node in a group.
func lockID(project, group, node string) string {
	sum := sha256.Sum256([]byte(project + "\x00" + group + "\x00" + node))
	return "lock-" + hex.EncodeToString(sum[:12])
}

// memberCalled is the group's server that is the node; zero if there is none.
func memberCalled(tx store.Targets, g fleet.Group, node string) (fleet.Target, error) {
	members, err := tx.Targets(store.TargetFilter{Kind: fleet.Server, Project: g.Project, Group: g.Name, Limit: fleet.MaxMembers})
	for _, t := range members {
		if t.Name == node || t.Labels[NodeLabel] == node {
			return t, err
		}
	}
	return fleet.Target{}, err
}
