package engine

import (
	"maps"
	"reflect"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/rollout"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// tickRollout reads a rollout's world, asks its state machine, and writes what
// it says.
func (e *Engine) tickRollout(tx store.Tx, l store.Lease, id string) error {
	r, err := tx.Rollout(id)
	if fault.Is(err, fault.KindNotFound) || err == nil && r.State.Ended() {
		return tx.Finish(l)
	}
	if err != nil {
		return err
	}
	w, err := store.RolloutWorld(tx, r, time.Now())
	if err != nil {
		return err
	}
	w.ID = e.cfg.NewID()
	moved, next := rollout.Tick(r, w)
	if !reflect.DeepEqual(r, moved) {
		if _, err := tx.PutRollout(moved); err != nil {
			return err
		}
	}
	if err := writeRollout(tx, w, next); err != nil {
		return err
	}
	return release(tx, l, next.Wake)
}

// writeRollout keeps what a tick of a rollout has come to besides itself.
func writeRollout(tx store.Tx, w rollout.World, next rollout.Next) error {
	for _, r := range next.Runs {
		if err := tx.SetRun(r); err != nil {
			return err
		}
		if err := tx.Wake(store.RunKey(r.ID), w.Now); err != nil {
			return err
		}
	}
	for _, m := range next.Moves {
		if err := steer(tx, m, w.Now); err != nil {
			return err
		}
	}
	for _, o := range next.Orders {
		if err := tx.AddOrder(o); err != nil {
			return err
		}
		if err := tx.Wake(store.OrderKey(o.Key()), w.Now); err != nil {
			return err
		}
	}
	if len(next.Installed) > 0 {
		t := w.Train
		if t.Installed = maps.Clone(t.Installed); t.Installed == nil {
			t.Installed = map[string]rollout.Installed{}
		}
		maps.Copy(t.Installed, next.Installed)
		if _, err := tx.PutTrain(t); err != nil {
			return err
		}
	}
	return tx.AddFacts(next.Facts)
}

// tellRollout wakes the rollout that has opened a run, if there is news of it.
func tellRollout(tx store.Tx, r, moved run.Run, now time.Time) error {
	if !tells(r, moved) {
		return nil
	}
	return tx.Wake(store.RolloutKey(moved.Rollout), now)
}

// tells reports whether a run has news for the rollout that has opened it.
func tells(r, moved run.Run) bool {
	return moved.Rollout != "" && (moved.State != r.State || moved.Halted() != r.Halted() || waitsAnew(r, moved))
}

// waitsAnew reports whether a run waits for something else than before.
func waitsAnew(r, moved run.Run) bool {
	was, _ := r.Why()
	is, _ := moved.Why()
	return was.Code != is.Code || was.By != is.By || was.What != is.What || !was.Until.Equal(is.Until)
}

// steer does to a run what its rollout wants done. A run that has ended
// meanwhile is past it.
func steer(tx store.Tx, m rollout.Move, now time.Time) error {
	r, err := tx.Run(m.Run)
	if fault.Is(err, fault.KindNotFound) || err == nil && r.State.Ended() {
		return nil
	}
	if err != nil {
		return err
	}
	var facts []history.Fact
	switch m.Verb {
	case rollout.PauseRun:
		r, facts, err = r.Pause(m.By, now)
	case rollout.ResumeRun:
		r, facts, err = r.Resume(m.By, now)
	case rollout.AbortRun:
		r, facts, err = r.Abort(m.By, "", now)
	}
	if err != nil || len(facts) == 0 {
		return err
	}
	return putSteered(tx, r, facts, now)
}

func putSteered(tx store.Tx, r run.Run, facts []history.Fact, now time.Time) error {
	if err := tx.SetRun(r); err != nil {
		return err
	}
	if err := tx.AddFacts(facts); err != nil {
		return err
	}
	return tx.Wake(store.RunKey(r.ID), now)
}
