package desk

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/rollout"
	"upkeep/internal/store"
)

// Rollout is a rollout with what concerns it now.
type Rollout struct {
	rollout.Rollout
	World rollout.World // the train and the release as they are; empty if the train was removed
}

// StartRollout starts a release through its train. Everything that it would
// open is planned at once, so that what is missing is told here. Conflict:
// another release is on its way through that train.
func (d *Desk) StartRollout(ctx context.Context, c Caller, project, train, version, reason string) (out Rollout, err error) {
	if err := reasoned(reason, false); err != nil {
		return out, err
	}
	project = c.project(project)
	err = d.once(ctx, c, fmt.Sprintf("rollout %s/%s %s %s", project, train, version, reason), func(tx store.Tx) (string, error) {
		if err := c.may(identity.Run, project, "train", train); err != nil {
			return "", err
		}
		open, err := tx.Rollouts(store.RolloutFilter{Project: project, Train: train, Open: true, Limit: 1})
		if err != nil {
			return "", err
		}
		if len(open) > 0 {
			return "", fault.Conflict("release %s is on its way through train %s, by rollout %s: abort it first", open[0].Version, train, open[0].ID)
		}
		r, facts, err := d.openRollout(tx, c, identity.Run, project, train, version, reason, d.newID())
		if err != nil {
			return "", err
		}
		out, err = putRollout(tx, r, facts)
		return out.ID, err
	}, func(tx store.Tx, id string) error {
		out, err = seeRollout(tx, id)
		return err
	})
	return out, err
}

// openRollout makes a rollout and sees whether it could be carried out.
func (d *Desk) openRollout(tx store.Tx, c Caller, verb identity.Verb, project, train, version, reason, id string) (r rollout.Rollout, facts []history.Fact, err error) {
	if err := c.may(identity.Read, project, "train", train); err != nil {
		return r, nil, err
	}
	t, err := tx.Train(project, train)
	if err != nil {
		return r, nil, err
	}
	release, err := tx.TrainRelease(project, train, version)
	if err != nil {
		return r, nil, err
	}
	if err := mayWork(c, verb, t.Train, project); err != nil {
		return r, nil, err
	}
	now := time.Now()
	r, facts, err = rollout.Open(rollout.Opening{ID: id, Project: project, By: c.Who(), Reason: reason, Train: t.Train, Release: release}, now)
	if err != nil {
		return r, nil, err
	}
	w, err := store.RolloutWorld(tx, r, now)
	if err != nil {
		return r, nil, err
	}
	return r, facts, r.Check(w)
}

// mayWork reports whether the caller has a right in every project that a train
// works in.
func mayWork(c Caller, verb identity.Verb, t rollout.Train, project string) error {
	for _, e := range t.Environments {
		in := e.Project
		if in == "" {
			in = project
		}
		if err := c.May(verb, in); err != nil {
			return err
		}
	}
	return nil
}

func putRollout(tx store.Tx, r rollout.Rollout, facts []history.Fact) (out Rollout, err error) {
	if _, err := tx.PutRollout(r); err != nil {
		return out, err
	}
	if err := tx.AddFacts(facts); err != nil {
		return out, err
	}
	if err := tx.Wake(store.RolloutKey(r.ID), time.Now()); err != nil {
		return out, err
	}
	return seeRollout(tx, r.ID)
}

// seeRollout reads a rollout with its world.
func seeRollout(tx store.Tx, id string) (out Rollout, err error) {
	if out.Rollout, err = tx.Rollout(id); err != nil {
		return out, err
	}
	out.World, err = store.RolloutWorld(tx, out.Rollout, time.Now())
	if fault.Is(err, fault.KindNotFound) {
		out.World, err = rollout.World{}, nil
	}
	return out, err
}

// findRollout finds one by its id, or the newest of a train by its name.
func findRollout(tx store.Tx, c Caller, verb identity.Verb, project, idOrTrain string) (out Rollout, err error) {
	out, err = seeRollout(tx, idOrTrain)
	if fault.Is(err, fault.KindNotFound) {
		all, listed := tx.Rollouts(store.RolloutFilter{Project: c.project(project), Train: idOrTrain, Limit: 1})
		if listed != nil {
			return out, listed
		}
		if len(all) == 0 {
			return out, fault.NotFound("rollout", idOrTrain)
		}
		out, err = seeRollout(tx, all[0].ID)
	}
	if err != nil {
		return out, err
	}
	return out, c.may(verb, out.Project, "rollout", idOrTrain)
}

// Rollout finds one by its id, or the newest of a train by its name.
func (d *Desk) Rollout(ctx context.Context, c Caller, project, idOrTrain string) (out Rollout, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		out, err = findRollout(tx, c, identity.Read, project, idOrTrain)
		return err
	})
	return out, err
}

// RolloutMark is another one when a rollout has changed, or its train, or a
// release of that train. It costs next to nothing, so that many can look often.
func (d *Desk) RolloutMark(ctx context.Context, c Caller, id string) (mark string, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		m, err := tx.RolloutMark(id)
		if err != nil {
			return err
		}
		mark = fmt.Sprintf("%d %d %d", m.Rollout, m.Train, m.Releases)
		return c.may(identity.Read, m.Project, "rollout", id)
	})
	return mark, err
}

// RolloutFilter selects rollouts.
type RolloutFilter struct {
	Project string
	Train   string
	Open    bool
	Before  string // only rollouts older than this id
	Limit   int
}

// Rollouts lists, newest first.
func (d *Desk) Rollouts(ctx context.Context, c Caller, f RolloutFilter) (all []rollout.Rollout, err error) {
	if err := c.May(identity.Read, c.scope(f.Project)); err != nil {
		return nil, err
	}
	limit, err := page(f.Limit)
	if err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all, err = tx.Rollouts(store.RolloutFilter{Project: c.scope(f.Project), Train: f.Train, Open: f.Open, Before: f.Before, Limit: limit})
		return err
	})
	return all, err
}

// moveRollout does what a person says to a rollout. The person must have the
// right to run things in the project of the environment that it is about, and
// in all of the train's if it is about none.
func (d *Desk) moveRollout(ctx context.Context, c Caller, project, idOrTrain, env, request string, f func(Rollout) (rollout.Rollout, []history.Fact, error)) (out Rollout, err error) {
	err = d.once(ctx, c, fmt.Sprintf("rollout %s/%s %s %s", c.project(project), idOrTrain, env, request), func(tx store.Tx) (string, error) {
		r, err := findRollout(tx, c, identity.Run, project, idOrTrain)
		if err != nil {
			return "", err
		}
		if r.World.Now.IsZero() {
			return "", fault.Conflict("train %s or its release %s was removed", r.Train, r.Version)
		}
		about := r.World.Train.Train
		if env != "" {
			e, ok := about.Environment(env)
			if !ok {
				return "", fault.NotFound("environment of train "+r.Train, env)
			}
			about.Environments = []rollout.Environment{e}
		}
		if err := mayWork(c, identity.Run, about, r.Project); err != nil {
			return "", err
		}
		moved, facts, err := f(r)
		if err != nil {
			return "", err
		}
		if len(facts) == 0 {
			out = r
			return r.ID, nil
		}
		out, err = putRollout(tx, moved, facts)
		return r.ID, err
	}, func(tx store.Tx, id string) error {
		out, err = seeRollout(tx, id)
		return err
	})
	return out, err
}

// RolloutSpec says which rollout, and what of it a person means.
type RolloutSpec struct {
	Project     string
	Rollout     string // id, or the train's name
	Environment string
	Reason      string
}

func (s RolloutSpec) check() error {
	if err := reasoned(s.Reason, false); err != nil {
		return err
	}
	return nil
}

// ApproveRollout is a person's word for the plan of an environment, by its hash.
func (d *Desk) ApproveRollout(ctx context.Context, c Caller, s RolloutSpec, plan string) (Rollout, error) {
	return d.moveRollout(ctx, c, s.Project, s.Rollout, s.Environment, "approve "+plan, func(r Rollout) (rollout.Rollout, []history.Fact, error) {
		return r.Approve(r.World, s.Environment, plan, c.Who())
	})
}

// AckRollout is a person's word that a known issue is accepted.
func (d *Desk) AckRollout(ctx context.Context, c Caller, s RolloutSpec, issue string) (out Rollout, err error) {
	if err := s.check(); err != nil {
		return out, err
	}
	return d.moveRollout(ctx, c, s.Project, s.Rollout, "", "ack "+issue+" "+s.Reason, func(r Rollout) (rollout.Rollout, []history.Fact, error) {
		return r.Ack(r.World, issue, s.Reason, c.Who())
	})
}

// DecideRollout is a person's decision about a gate that is inconclusive.
func (d *Desk) DecideRollout(ctx context.Context, c Caller, s RolloutSpec, gate string, result rollout.Result) (out Rollout, err error) {
	if err := s.check(); err != nil {
		return out, err
	}
	request := fmt.Sprintf("decide %s %s %s", gate, result, s.Reason)
	return d.moveRollout(ctx, c, s.Project, s.Rollout, s.Environment, request, func(r Rollout) (rollout.Rollout, []history.Fact, error) {
		return r.Decide(s.Environment, gate, result, s.Reason, c.Who(), time.Now())
	})
}

// PinRollout has one component of one environment brought to another digest.
func (d *Desk) PinRollout(ctx context.Context, c Caller, s RolloutSpec, component, digest string, now bool) (out Rollout, err error) {
	if err := s.check(); err != nil {
		return out, err
	}
	request := fmt.Sprintf("pin %s %s %v %s", component, digest, now, s.Reason)
	p := rollout.Pinning{Environment: s.Environment, Component: component, Digest: digest, Now: now, Reason: s.Reason}
	return d.moveRollout(ctx, c, s.Project, s.Rollout, s.Environment, request, func(r Rollout) (rollout.Rollout, []history.Fact, error) {
		return r.Pin(r.World, p, c.Who())
	})
}

// RetryRollout lets a failed environment go on.
func (d *Desk) RetryRollout(ctx context.Context, c Caller, s RolloutSpec) (Rollout, error) {
	return d.moveRollout(ctx, c, s.Project, s.Rollout, s.Environment, "retry", func(r Rollout) (rollout.Rollout, []history.Fact, error) {
		return r.Retry(s.Environment, c.Who(), time.Now())
	})
}

// PauseRollout holds a rollout.
func (d *Desk) PauseRollout(ctx context.Context, c Caller, s RolloutSpec) (Rollout, error) {
	return d.moveRollout(ctx, c, s.Project, s.Rollout, "", "pause", func(r Rollout) (rollout.Rollout, []history.Fact, error) {
		return r.Pause(c.Who(), time.Now())
	})
}

// ResumeRollout lets a paused rollout go on.
func (d *Desk) ResumeRollout(ctx context.Context, c Caller, s RolloutSpec) (Rollout, error) {
	return d.moveRollout(ctx, c, s.Project, s.Rollout, "", "resume", func(r Rollout) (rollout.Rollout, []history.Fact, error) {
		return r.Resume(c.Who(), time.Now())
	})
}

// AbortRollout ends a rollout as soon as its runs have ended.
func (d *Desk) AbortRollout(ctx context.Context, c Caller, s RolloutSpec) (out Rollout, err error) {
	if err := s.check(); err != nil {
		return out, err
	}
	return d.moveRollout(ctx, c, s.Project, s.Rollout, "", "abort "+s.Reason, func(r Rollout) (rollout.Rollout, []history.Fact, error) {
		return r.Abort(c.Who(), s.Reason, time.Now())
	})
}

// SimulateRollout forecasts what StartRollout would do, and touches nothing.
func (d *Desk) SimulateRollout(ctx context.Context, c Caller, project, train, version string) (f rollout.Forecast, err error) {
	project = c.project(project)
	var r rollout.Rollout
	var w rollout.World
	err = d.db.View(ctx, func(tx store.Tx) error {
		if r, _, err = d.openRollout(tx, c, identity.Read, project, train, version, "", forecastID); err != nil {
			return err
		}
		w, err = store.RolloutWorld(tx, r, time.Now())
		return err
	})
	if err != nil {
		return f, err
	}
	return rollout.Predict(r, w), nil // it may take a second: no transaction waits for it
}

// PlanDiff compares the plans of one environment for two releases.
type PlanDiff struct {
	Environment string
	From        string // the version on the one side; empty: nobody knows what runs there
	Kept        bool   // its release is kept; else every line of the other one is new
	Changes     []rollout.Change
}

// DiffReleases compares what two releases mean for each environment of a train.
// An empty from is what each environment has, with the digests that it has.
func (d *Desk) DiffReleases(ctx context.Context, c Caller, project, train, from, to string) (all []PlanDiff, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "train", train); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all = nil
		p := planner{tx: tx, project: project, train: train, now: time.Now(), worlds: map[string]rollout.World{}}
		w, err := p.world(to)
		if err != nil {
			return err
		}
		for _, e := range w.Train.Train.Environments {
			diff := PlanDiff{Environment: e.Name, From: from, Kept: true}
			has := w.Train.Installed[e.Name]
			if from == "" {
				diff.From = cmp.Or(has.Version, e.Runs)
			} else {
				has = rollout.Installed{}
			}
			old, err := p.plan(e, diff.From, has.Digests)
			if from == "" && fault.Is(err, fault.KindNotFound) {
				diff.Kept, err = false, nil
			}
			if err != nil {
				return err
			}
			next, err := p.plan(e, to, nil)
			if err != nil {
				return err
			}
			diff.Changes = rollout.Diff(old.Lines, next.Lines)
			all = append(all, diff)
		}
		return nil
	})
	return all, err
}

// planner says what releases of a train mean, and reads the world of each once.
type planner struct {
	tx             store.Tx
	project, train string
	now            time.Time
	worlds         map[string]rollout.World // by version
}

func (p planner) of(version string) rollout.Rollout {
	return rollout.Rollout{Project: p.project, Train: p.train, Version: version}
}

func (p planner) world(version string) (w rollout.World, err error) {
	w, known := p.worlds[version]
	if !known {
		if w, err = store.RolloutWorld(p.tx, p.of(version), p.now); err == nil {
			p.worlds[version] = w
		}
	}
	return w, err
}

// plan is what a release with those digests in place of its own means for an
// environment.
func (p planner) plan(e rollout.Environment, version string, digests map[string]string) (rollout.Plan, error) {
	w, err := p.world(version)
	if err != nil {
		return rollout.Plan{}, err
	}
	r := p.of(version)
	r.Standings = map[string]rollout.Standing{e.Name: {Pins: digests}}
	return r.PlanOf(w, e), nil
}
