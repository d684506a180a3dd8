package desk

import (
	"cmp"
	"context"
	"slices"
	"time"

	"upkeep/internal/identity"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// Standing is how far a server is behind.
type Standing struct {
	Server Server

	Pending  int       // updates that could be installed
	Security int       // how many of them come from a security archive
	Oldest   time.Time // since when the longest known one is known; zero: none, or nobody knows
	Behind   int       // whole days since Oldest

	Within time.Duration // the strictest promise of its enabled schedules; 0: none is made
	Due    time.Time     // when that promise is broken unless Oldest's update is installed; zero: there is none
	Next   window.Span   // the next occurrence of its enabled schedules; zero: there is none
	Level  Level
}

// Level sums a standing up.
type Level string

// The levels, the worst first.
const (
	LevelOverdue Level = "overdue" // a promise is broken
	LevelUnknown Level = "unknown" // it was never looked at, or not lately
	LevelBehind  Level = "behind"  // updates are pending
	LevelCurrent Level = "current" // none is
)

// lookedAtLately is how old what is known of a server may be for its standing.
const lookedAtLately = 48 * time.Hour

// Compliance tells how far each server of a project is behind (empty: of all
// that the caller may see), the worst first.
func (d *Desk) Compliance(ctx context.Context, c Caller, project string) (all []Standing, err error) {
	project = c.scope(project)
	if err := c.May(identity.Read, project); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		servers, err := overview(tx, project)
		all = make([]Standing, 0, len(servers))
		now := time.Now()
		for _, s := range servers {
			all = append(all, standingOf(s, now))
		}
		return err
	})
	order := []Level{LevelOverdue, LevelUnknown, LevelBehind, LevelCurrent}
	slices.SortStableFunc(all, func(a, b Standing) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Level), slices.Index(order, b.Level)),
			cmp.Compare(b.Behind, a.Behind),
			cmp.Compare(b.Security, a.Security),
			cmp.Compare(a.Server.Target.Name, b.Server.Target.Name))
	})
	return all, err
}

func standingOf(s Server, now time.Time) Standing {
	st := Standing{Server: s}
	for _, sch := range s.Schedules {
		if !sch.Enabled || sch.Resting {
			continue
		}
		if w := sch.Policy.Within; w > 0 && (st.Within == 0 || w < st.Within) {
			st.Within = w
		}
		if !sch.Next.IsZero() && (st.Next.IsZero() || sch.Next.Start.Before(st.Next.Start)) {
			zone := sch.Window.Recurrence.Zone()
			st.Next = window.Span{Start: sch.Next.Start.In(zone), End: sch.Next.End.In(zone)}
		}
	}
	obs := s.Target.Observed
	if obs == nil || now.Sub(s.Target.ObservedAt) > lookedAtLately {
		st.Level = LevelUnknown
	}
	if obs == nil {
		return st
	}
	for _, p := range obs.Pending {
		if p.From == "" {
			continue // it would only come along as a dependency
		}
		st.Pending++
		if p.Security {
			st.Security++
		}
		if at := s.Target.Seen.Known(p); !at.IsZero() && (st.Oldest.IsZero() || at.Before(st.Oldest)) {
			st.Oldest = at
		}
	}
	if !st.Oldest.IsZero() {
		st.Behind = int(now.Sub(st.Oldest) / (24 * time.Hour))
		if st.Within > 0 {
			st.Due = st.Oldest.Add(st.Within)
		}
	}
	switch {
	case !st.Due.IsZero() && now.After(st.Due):
		st.Level = LevelOverdue
	case st.Level == LevelUnknown:
	case st.Pending > 0:
		st.Level = LevelBehind
	default:
		st.Level = LevelCurrent
	}
	return st
}
