package desk

import (
	"context"
	"fmt"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/rollout"
	"upkeep/internal/store"
)

// PutTrain creates the project's train of that name, or replaces it. made tells
// which. A rollout that is open follows it; what was approved of another plan
// is approved no more. Conflict: an open rollout has begun an environment that
// would be gone, or could not be carried.
func (d *Desk) PutTrain(ctx context.Context, c Caller, project string, t rollout.Train) (out rollout.StoredTrain, made bool, err error) {
	project = c.project(project)
	if err := c.may(identity.Write, project, "project", project); err != nil {
		return out, false, err
	}
	if err := t.Validate(); err != nil {
		return out, false, err
	}
	if err := mayWork(c, identity.Run, t, project); err != nil {
		return out, false, err
	}
	err = d.once(ctx, c, fmt.Sprintf("train %s %+v", project, t), func(tx store.Tx) (string, error) {
		old, err := tx.Train(project, t.Name)
		if made = fault.Is(err, fault.KindNotFound); err != nil && !made {
			return "", err
		}
		if err := fitsOpen(tx, project, t); err != nil {
			return "", err
		}
		out, err = tx.PutTrain(rollout.StoredTrain{Project: project, Train: t, Installed: old.Installed, Changed: time.Now(), Revision: old.Revision})
		if err != nil {
			return "", err
		}
		if err := wakeTrain(tx, project, t.Name); err != nil {
			return "", err
		}
		return put(t.Name, made), tx.AddFacts(c.fact(project, "", history.TrainSet, "train %s %s: %d environments", t.Name, verbOf(made), len(t.Environments)))
	}, func(tx store.Tx, did string) error {
		_, made = wasPut(did)
		out, err = tx.Train(project, t.Name)
		return err
	})
	return out, made, err
}

func verbOf(made bool) string {
	if made {
		return "created"
	}
	return "changed"
}

// fitsOpen refuses a train that its open rollout could not go on with.
func fitsOpen(tx store.Tx, project string, t rollout.Train) error {
	open, err := tx.Rollouts(store.RolloutFilter{Project: project, Train: t.Name, Open: true})
	if err != nil {
		return err
	}
	for _, r := range open {
		if err := r.Carries(t); err != nil {
			return err
		}
		release, err := tx.TrainRelease(project, t.Name, r.Version)
		if err != nil {
			return err
		}
		if err := release.Release.Fits(t); err != nil {
			return err
		}
	}
	return nil
}

// wakeTrain has the open rollouts of a train look at what has changed.
func wakeTrain(tx store.Tx, project, train string) error {
	open, err := tx.Rollouts(store.RolloutFilter{Project: project, Train: train, Open: true})
	for _, r := range open {
		if err := tx.Wake(store.RolloutKey(r.ID), time.Now()); err != nil {
			return err
		}
	}
	return err
}

// Trains lists those of a project, by name.
func (d *Desk) Trains(ctx context.Context, c Caller, project string) (all []rollout.StoredTrain, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "project", project); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all, err = tx.Trains(project)
		return err
	})
	return all, err
}

// AllTrains lists those of every project that the caller may see, by project
// and name.
func (d *Desk) AllTrains(ctx context.Context, c Caller) (all []rollout.StoredTrain, err error) {
	if err := c.May(identity.Read, c.Project); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		all, err = tx.Trains(c.Project)
		return err
	})
	return all, err
}

// Train finds one by its name.
func (d *Desk) Train(ctx context.Context, c Caller, project, name string) (t rollout.StoredTrain, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "train", name); err != nil {
		return t, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		t, err = tx.Train(project, name)
		return err
	})
	return t, err
}

// DeleteTrain removes a train with its releases. Conflict: a rollout is open.
func (d *Desk) DeleteTrain(ctx context.Context, c Caller, project, name string) error {
	project = c.project(project)
	if err := c.may(identity.Write, project, "train", name); err != nil {
		return err
	}
	return d.once(ctx, c, "delete train "+project+"/"+name, func(tx store.Tx) (string, error) {
		if err := noneOpen(tx, project, name, ""); err != nil {
			return "", err
		}
		if err := tx.DeleteTrain(project, name); err != nil {
			return "", err
		}
		return name, tx.AddFacts(c.fact(project, "", history.TrainSet, "train %s removed, with its releases", name))
	}, func(store.Tx, string) error { return nil })
}

// noneOpen refuses what would take an open rollout's train or release away.
func noneOpen(tx store.Tx, project, train, version string) error {
	open, err := tx.Rollouts(store.RolloutFilter{Project: project, Train: train, Open: true})
	for _, r := range open {
		if version == "" || r.Version == version {
			return fault.Conflict("rollout %s is open: abort it first", r.ID)
		}
	}
	return err
}

// PutTrainRelease creates the train's release of that version, or replaces it. made
// tells which. A rollout that is open follows it: where a digest has changed it
// is brought in anew, and soaks anew. A veto stays.
func (d *Desk) PutTrainRelease(ctx context.Context, c Caller, project string, r rollout.Release) (out rollout.StoredRelease, made bool, err error) {
	project = c.project(project)
	if err := c.may(identity.Write, project, "project", project); err != nil {
		return out, false, err
	}
	if err := r.Validate(); err != nil {
		return out, false, err
	}
	err = d.once(ctx, c, fmt.Sprintf("release %s %+v", project, r), func(tx store.Tx) (string, error) {
		t, err := tx.Train(project, r.Train)
		if err != nil {
			return "", err
		}
		if err := mayWork(c, identity.Run, t.Train, project); err != nil {
			return "", err
		}
		if err := r.Fits(t.Train); err != nil {
			return "", err
		}
		old, err := tx.TrainRelease(project, r.Train, r.Version)
		if made = fault.Is(err, fault.KindNotFound); err != nil && !made {
			return "", err
		}
		out, err = tx.PutTrainRelease(rollout.StoredRelease{Project: project, Release: r, Veto: old.Veto, Changed: time.Now(), Revision: old.Revision})
		if err != nil {
			return "", err
		}
		if err := wakeTrain(tx, project, r.Train); err != nil {
			return "", err
		}
		return put(r.Version, made), tx.AddFacts(c.fact(project, "", history.ReleaseSet, "release %s of train %s %s", r.Version, r.Train, verbOf(made)))
	}, func(tx store.Tx, did string) error {
		_, made = wasPut(did)
		out, err = tx.TrainRelease(project, r.Train, r.Version)
		return err
	})
	return out, made, err
}

// TrainReleases lists those of a train, by version.
func (d *Desk) TrainReleases(ctx context.Context, c Caller, project, train string) (all []rollout.StoredRelease, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "train", train); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		if _, err := tx.Train(project, train); err != nil {
			return err
		}
		all, err = tx.TrainReleases(project, train)
		return err
	})
	return all, err
}

// TrainRelease finds one by its version.
func (d *Desk) TrainRelease(ctx context.Context, c Caller, project, train, version string) (r rollout.StoredRelease, err error) {
	project = c.project(project)
	if err := c.may(identity.Read, project, "train", train); err != nil {
		return r, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		r, err = tx.TrainRelease(project, train, version)
		return err
	})
	return r, err
}

// DeleteTrainRelease removes a release. Conflict: it is on its way.
func (d *Desk) DeleteTrainRelease(ctx context.Context, c Caller, project, train, version string) error {
	project = c.project(project)
	if err := c.may(identity.Write, project, "train", train); err != nil {
		return err
	}
	return d.once(ctx, c, "delete release "+project+"/"+train+"/"+version, func(tx store.Tx) (string, error) {
		if err := noneOpen(tx, project, train, version); err != nil {
			return "", err
		}
		if err := tx.DeleteTrainRelease(project, train, version); err != nil {
			return "", err
		}
		return version, tx.AddFacts(c.fact(project, "", history.ReleaseSet, "release %s of train %s removed", version, train))
	}, func(store.Tx, string) error { return nil })
}

// Veto stops a release in all environments, or lifts the veto. The history
// keeps the reason of either.
func (d *Desk) Veto(ctx context.Context, c Caller, project, train, version, reason string, lift bool) (out rollout.StoredRelease, err error) {
	project = c.project(project)
	if reason == "" || len(reason) > fleet.MaxReasonBytes {
		return out, fault.Invalid("reason", "must have 1 to %d bytes, not %d: the history keeps it", fleet.MaxReasonBytes, len(reason))
	}
	if err := c.may(identity.Run, project, "train", train); err != nil {
		return out, err
	}
	err = d.once(ctx, c, fmt.Sprintf("veto %s/%s/%s %v %s", project, train, version, lift, reason), func(tx store.Tx) (string, error) {
		r, err := tx.TrainRelease(project, train, version)
		if err != nil {
			return "", err
		}
		if lift == (r.Veto == nil) {
			out = r
			return version, nil
		}
		text := fmt.Sprintf("veto against release %s of train %s lifted: %s", version, train, reason)
		r.Veto = nil
		if !lift {
			r.Veto = &rollout.Veto{By: c.Who(), Reason: reason, At: time.Now()}
			text = fmt.Sprintf("veto against release %s of train %s: %s", version, train, reason)
		}
		if out, err = tx.PutTrainRelease(r); err != nil {
			return "", err
		}
		facts := c.fact(project, "", history.ReleaseVetoed, "%s", text)
		open, err := tx.Rollouts(store.RolloutFilter{Project: project, Train: train, Open: true})
		if err != nil {
			return "", err
		}
		for _, o := range open {
			if o.Version == version {
				facts[0].Rollout = o.ID
			}
		}
		if err := wakeTrain(tx, project, train); err != nil {
			return "", err
		}
		return version, tx.AddFacts(facts)
	}, func(tx store.Tx, _ string) error {
		out, err = tx.TrainRelease(project, train, version)
		return err
	})
	return out, err
}
