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
