package engine

import (
	"context"
	"sync"
	"time"

	"upkeep/internal/evidence"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// Prober asks a service what its users would ask, until ctx ends, and reports
// each second and endpoint, in order, from one goroutine. When ctx ends it
// waits for the answers to what it has sent.
type Prober interface {
	Run(ctx context.Context, p fleet.Probe, report func(evidence.Second)) error
}

// How services are asked.
const (
	maxProbes = 32                     // at once
	noteEvery = 500 * time.Millisecond // how often it is looked whether there is something to write down
	noteAfter = 50 * time.Millisecond  // all endpoints of a second are reported within that
	noteTime  = 5 * time.Second        // how long writing down may take at the end
)

// probe has a run's service asked as long as the run wants it, and writes down
// what came of it. A crash leaves a gap in what is known, and whoever has the
// lease next goes on. What was asked was asked, so a batch needs no fence: one
// who has lost the lease and still writes tells the truth.
func (e *Engine) probe(ctx context.Context, l store.Lease, id string) error {
	r, wanted, err := e.asks(ctx, id)
	if err != nil {
		return err
	}
	if wanted && e.cfg.Prober != nil {
		asking, stop := context.WithCancel(ctx)
		defer stop()
		held := e.keep(ctx, l, stop)
		n := notes{e: e, run: r, stop: stop}
		err = n.ask(asking)
		if !held() {
			return nil // whoever has the lease now asks
		}
		if ctx.Err() != nil {
			// We are going down: the next one need not wait for the lease's end.
			rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
			defer cancel()
			e.giveBack(rest, l, 0)
			return nil
		}
		if fault.Is(err, fault.KindInvalid) { // the same again would be refused again
			e.cfg.Log.Error("a service can't be asked", "run", id, "err", err)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return e.update(ctx, func(tx store.Tx) error { return tx.Finish(l) })
}

// asks reads a run, and whether its service is to be asked.
func (e *Engine) asks(ctx context.Context, id string) (r run.Run, wanted bool, err error) {
	err = e.cfg.DB.View(ctx, func(tx store.Tx) error {
		r, err = tx.Run(id)
		if fault.Is(err, fault.KindNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		w, err := tx.Watch(id)
		wanted = w.On && !w.Over(time.Now())
		return err
	})
	return r, wanted, err
}

// notes are what was seen and is not written down yet.
type notes struct {
	e    *Engine
	run  run.Run
	stop func() // ends the asking

	mu    sync.Mutex
	batch []evidence.Second
	heard time.Time // when the newest was reported
}

// ask asks until ctx ends, and writes down twice a second. What can't be
// written down is lost: a gap.
func (n *notes) ask(ctx context.Context) error {
	var writer sync.WaitGroup
	done := make(chan struct{})
	var failed error
	writer.Go(func() {
		every := time.NewTicker(noteEvery)
		defer every.Stop()
		for {
			select {
			case <-done:
				return
			case <-every.C:
			}
			if err := n.write(ctx, time.Now().Add(-noteAfter)); err != nil && failed == nil && ctx.Err() == nil {
				failed = err
				n.stop()
			}
		}
	})
	err := n.e.cfg.Prober.Run(ctx, n.run.Book.Service.Probe, func(s evidence.Second) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.batch, n.heard = append(n.batch, s), time.Now()
	})
	close(done)
	writer.Wait()
	if err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	return n.write(last, time.Now())
}

// write keeps what was reported until the given time, in one transaction.
func (n *notes) write(ctx context.Context, until time.Time) error {
	n.mu.Lock()
	batch := n.batch
	if len(batch) == 0 || n.heard.After(until) {
		n.mu.Unlock()
		return nil
	}
	n.batch = nil
	n.mu.Unlock()
	on := false
	err := n.e.update(ctx, func(tx store.Tx) error {
		w, err := tx.Watch(n.run.ID)
		if on = w.On && !w.Over(time.Now()); err != nil || !on {
			return err
		}
		rows := make([]evidence.Second, 0, len(batch))
		bad := false
		for _, s := range batch {
			rows = append(rows, w.Row(s))
			bad = bad || s.Bad() > 0 || s.Slow > 0
		}
		if err := tx.AddSeconds(w.Run, rows); err != nil {
			return err
		}
		if err := tx.PutWatch(w.Add(batch)); err != nil || !bad || n.run.Book.Runbook.ErrorBudget.IsZero() {
			return err
		}
		return tx.Wake(store.RunKey(w.Run), time.Now()) // it may be too much
	})
	if !on && err == nil {
		n.stop()
	}
	return err
}

// readUsers reads how the service of a run has answered its users.
func readUsers(tx store.Tx, r run.Run, now time.Time) (f evidence.Figures, err error) {
	if r.Book == nil || !r.Book.Service.Probe.Asks() {
		return f, nil
	}
	if f.Watch, err = tx.Watch(r.ID); err != nil {
		return f, err
	}
	since := r.FiguresSince(now)
	if since.IsZero() || r.Book.Runbook.ErrorBudget.IsZero() {
		f.Recent = f.Total
		return f, nil
	}
	f.Recent, err = tx.SumSeconds(r.ID, since)
	return f, err
}

// watch has a run's service asked from now on, or not any more, if a tick has
// changed that.
func watch(tx store.Tx, r, moved run.Run, now time.Time) error {
	if r.Asking() == moved.Asking() {
		return nil
	}
	w, err := tx.Watch(moved.ID)
	if err != nil {
		return err
	}
	if !moved.Asking() {
		return tx.PutWatch(w.Stop(now))
	}
	if err := tx.PutWatch(w.Start(moved.ID, moved.Book.Service.Probe.Late(), now)); err != nil {
		return err
	}
	return tx.Wake(store.ProbeKey(moved.ID), now)
}
