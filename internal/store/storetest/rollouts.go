package storetest

import (
	"testing"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/rollout"
	"upkeep/internal/store"
)

func someTrain(project, name string) rollout.StoredTrain {
	return rollout.StoredTrain{Project: project, Changed: start, Train: rollout.Train{
		Name: name,
		Environments: []rollout.Environment{
			{Name: "dev", Soak: time.Hour},
			{Name: "prod", After: "dev", Region: true, Window: Window(time.Tuesday), With: map[string]string{"url": "http://p"}},
		},
		Phases: []rollout.Phase{{Name: "all", Service: "api", Runbook: "roll"}},
	}}
}

func someRelease(project, train, version string) rollout.StoredRelease {
	return rollout.StoredRelease{Project: project, Changed: start, Release: rollout.Release{
		Train: train, Version: version, Digests: map[string]string{"api": "sha256:a"},
	}}
}

// trains are kept whole, windows included, and go with their releases.
func trains(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	var stored rollout.StoredTrain
	update(t, db, func(tx store.Tx) (err error) {
		for _, name := range []string{"b", "a"} {
			if stored, err = tx.PutTrain(someTrain("p", name)); err != nil {
				return err
			}
		}
		_, err = tx.PutTrain(someTrain("q", "a"))
		return err
	})
	want := someTrain("p", "a")
	want.Revision = 1
	same(t, "train", stored, want)
	refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutTrain(someTrain("p", "a")); return err })
	update(t, db, func(tx store.Tx) (err error) {
		stored.Installed = map[string]rollout.Installed{"dev": {Version: "R4", Digests: map[string]string{"api": "sha256:a"}, Since: start}}
		stored, err = tx.PutTrain(stored)
		return err
	})
	old := want
	refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutTrain(old); return err })
	view(t, db, func(tx store.Tx) error {
		got, err := tx.Train("p", "a")
		if err != nil {
			return err
		}
		same(t, "train with what its environments have", got, stored)
		all, err := tx.Trains("p")
		same(t, "trains", ids(all, func(s rollout.StoredTrain) string { return s.Train.Name }), []string{"a", "b"})
		return err
	})
	releases(t, db)
	update(t, db, func(tx store.Tx) error { return tx.DeleteTrain("p", "a") })
	missing(t, db, func(tx store.Tx) error { _, err := tx.Train("p", "a"); return err })
	missing(t, db, func(tx store.Tx) error { _, err := tx.TrainRelease("p", "a", "R5"); return err })
	view(t, db, func(tx store.Tx) error { _, err := tx.TrainRelease("p", "b", "R4"); return err })
	refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.DeleteTrain("p", "a") })
}

func releases(t *testing.T, db store.DB) {
	update(t, db, func(tx store.Tx) error {
		for _, r := range []rollout.StoredRelease{someRelease("p", "a", "R5"), someRelease("p", "a", "R4"), someRelease("p", "b", "R4")} {
			if _, err := tx.PutTrainRelease(r); err != nil {
				return err
			}
		}
		r, err := tx.TrainRelease("p", "a", "R4")
		if err != nil {
			return err
		}
		r.Veto = &rollout.Veto{By: "user/eve", Reason: "no", At: start}
		_, err = tx.PutTrainRelease(r)
		return err
	})
	refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutTrainRelease(someRelease("p", "a", "R4")); return err })
	want := someRelease("p", "a", "R4")
	want.Veto, want.Revision = &rollout.Veto{By: "user/eve", Reason: "no", At: start}, 2
	view(t, db, func(tx store.Tx) error {
		got, err := tx.TrainRelease("p", "a", "R4")
		if err != nil {
			return err
		}
		same(t, "release", got, want)
		all, err := tx.TrainReleases("p", "a")
		same(t, "releases", ids(all, func(s rollout.StoredRelease) string { return s.Release.Version }), []string{"R4", "R5"})
		return err
	})
	update(t, db, func(tx store.Tx) error { return tx.DeleteTrainRelease("p", "a", "R4") })
	refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.DeleteTrainRelease("p", "a", "R4") })
}

// rollouts are listed newest first, and facts are found by them.
func rollouts(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	var full rollout.Rollout
	Fill(&full)
	full.ID, full.Project, full.Train, full.State, full.Revision = "r3", "p", "a", rollout.Active, 0
	update(t, db, func(tx store.Tx) error {
		for _, r := range []rollout.Rollout{
			{ID: "r1", Project: "p", Train: "a", State: rollout.Aborted}, {ID: "r2", Project: "p", Train: "b", State: rollout.Active}, full,
		} {
			if _, err := tx.PutRollout(r); err != nil {
				return err
			}
		}
		return tx.AddFacts([]history.Fact{{Rollout: "r2", Text: "other"}, {Rollout: "r3", Text: "mine"}, {Text: "nobody's"}})
	})
	full.Revision = 1
	view(t, db, func(tx store.Tx) error {
		got, err := tx.Rollout("r3")
		if err != nil {
			return err
		}
		same(t, "rollout", got, full)
		for _, c := range []struct {
			filter store.RolloutFilter
			want   []string
		}{
			{store.RolloutFilter{}, []string{"r3", "r2", "r1"}},
			{store.RolloutFilter{Train: "a"}, []string{"r3", "r1"}},
			{store.RolloutFilter{Project: "p", Train: "a", Open: true}, []string{"r3"}},
			{store.RolloutFilter{Open: true, Limit: 1}, []string{"r3"}},
			{store.RolloutFilter{Before: "r3"}, []string{"r2", "r1"}},
			{store.RolloutFilter{Project: "q"}, []string{}},
		} {
			all, err := tx.Rollouts(c.filter)
			if err != nil {
				return err
			}
			same(t, "rollouts", ids(all, func(r rollout.Rollout) string { return r.ID }), c.want)
		}
		facts, err := tx.Facts(store.FactFilter{Rollout: "r3"})
		same(t, "facts", ids(facts, func(f history.Fact) string { return f.Text + " " + f.Rollout }), []string{"mine r3"})
		return err
	})
	update(t, db, func(tx store.Tx) error {
		full.State = rollout.Succeeded
		_, err := tx.PutRollout(full)
		return err
	})
	refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutRollout(full); return err })
	missing(t, db, func(tx store.Tx) error { _, err := tx.Rollout("r4"); return err })
	rolloutMarks(t, db)
}

// rolloutMarks: a mark is another one whenever something that it stands for is.
func rolloutMarks(t *testing.T, db store.DB) {
	want := store.RolloutMark{Project: "p", Rollout: 2}
	look := func(when string) {
		t.Helper()
		view(t, db, func(tx store.Tx) error {
			got, err := tx.RolloutMark("r3")
			same(t, "mark "+when, got, want)
			return err
		})
	}
	look("of a rollout whose train was removed")
	update(t, db, func(tx store.Tx) error {
		if _, err := tx.PutTrain(someTrain("p", "a")); err != nil {
			return err
		}
		_, err := tx.PutTrainRelease(someRelease("p", "a", "R4"))
		return err
	})
	want.Train, want.Releases = 1, 1
	look("with a train and a release")
	update(t, db, func(tx store.Tx) error {
		again := someRelease("p", "a", "R4")
		again.Revision = 1
		if _, err := tx.PutTrainRelease(again); err != nil {
			return err
		}
		for _, other := range []rollout.StoredRelease{someRelease("q", "a", "R4"), someRelease("p", "b", "R4")} {
			if _, err := tx.PutTrainRelease(other); err != nil {
				return err
			}
		}
		r, err := tx.Rollout("r3")
		if err != nil {
			return err
		}
		_, err = tx.PutRollout(r)
		return err
	})
	want.Rollout, want.Releases = 3, 2
	look("after changes, some of them of others")
	missing(t, db, func(tx store.Tx) error { _, err := tx.RolloutMark("r4"); return err })
}
