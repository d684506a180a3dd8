package desk

import (
	"context"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// Contact is whether an agent is heard of.
type Contact string

// The kinds of contact.
const (
	Fresh Contact = "fresh" // heard of lately
	Stale Contact = "stale" // not heard of for fleet.SilentAfter
	Never Contact = "never" // no agent has ever called
)

// Contact says whether the agent is heard of at now.
func (a Agent) Contact(now time.Time) Contact {
	switch {
	case a.LastSeen.IsZero():
		return Never
	case now.Sub(a.LastSeen) > fleet.SilentAfter:
		return Stale
	}
	return Fresh
}

// Overview lists all servers of a project (empty: of all that the caller may
// see) with what concerns them now, by id. It asks four questions of the
// database however many servers there are, and two for each image that they run.
func (d *Desk) Overview(ctx context.Context, c Caller, project string) (all []Server, err error) {
	project = c.scope(project)
	if err := c.May(identity.Read, project); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all, err = overview(tx, project)
		return err
	})
	return all, err
}

func overview(tx store.Tx, project string) ([]Server, error) {
	targets, err := tx.Targets(store.TargetFilter{Kind: fleet.Server, Project: project})
	if err != nil {
		return nil, err
	}
	agents, err := tx.Agents(nil)
	if err != nil {
		return nil, err
	}
	schedules, err := tx.Schedules(store.ScheduleFilter{Project: project})
	if err != nil {
		return nil, err
	}
	open, err := tx.Runs(store.RunFilter{Project: project, Open: true})
	if err != nil {
		return nil, err
	}
	all := make([]Server, len(targets))
	at := make(map[string]*Server, len(targets))
	for i, t := range targets {
		all[i].Target = t
		at[t.ID] = &all[i]
	}
	for _, a := range agents {
		if s := at[a.Target]; s != nil {
			s.Agent = Agent{Version: a.Version, LastSeen: a.LastSeen, Expires: a.Expires}
		}
	}
	for _, sc := range schedules {
		if s := at[sc.Target]; s != nil {
			s.Schedules = append(s.Schedules, sc)
		}
	}
	for _, r := range open {
		if s := at[r.Target]; s != nil {
			s.Open = append(s.Open, r)
		}
	}
	return all, addImages(tx, all)
}

// RunStory is a run with the answers that its orders got, by their keys
// ("RUN/STEP/ATTEMPT"), of one moment.
type RunStory struct {
	Run     run.Run
	Answers map[string]action.Result
}

// RunStory finds a run with what became of its orders.
func (d *Desk) RunStory(ctx context.Context, c Caller, id string) (s RunStory, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		if s.Run, err = findRun(tx, c, identity.Read, id); err != nil {
			return err
		}
		s.Answers, err = tx.Answers(id)
		return err
	})
	return s, err
}
