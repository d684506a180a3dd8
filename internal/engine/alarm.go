package engine

import (
	"context"
	"sync"
	"time"

	"upkeep/internal/store"
)

// update is a transaction of the engine's own. What it makes due is looked at
// then, also by a loop that pauses already.
func (e *Engine) update(ctx context.Context, f func(store.Tx) error) error {
	var due dueTx
	err := e.cfg.DB.Update(ctx, func(tx store.Tx) error {
		due = dueTx{Tx: tx} // it may be done more than once
		return f(&due)
	})
	if err == nil && !due.first.IsZero() {
		e.alarm.set(due.first)
	}
	return err
}

// dueTx notes when the first of what a transaction makes due is due.
type dueTx struct {
	store.Tx
	first time.Time
}

func (d *dueTx) note(at time.Time) {
	if d.first.IsZero() || at.Before(d.first) {
		d.first = at
	}
}

// Wake notes the time, too.
func (d *dueTx) Wake(key string, at time.Time) error {
	d.note(at)
	return d.Tx.Wake(key, at)
}

// Release notes the time, too.
func (d *dueTx) Release(l store.Lease, at time.Time) error {
	d.note(at)
	return d.Tx.Release(l, at)
}

// alarm is when the loop that claims is to look again, at the latest.
type alarm struct {
	mu     sync.Mutex
	first  time.Time
	sooner chan struct{} // told when first has become earlier
}

// at is when the loop is to look; zero: nobody has said.
func (a *alarm) at() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.first
}

// clear forgets all that was set.
func (a *alarm) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.first = time.Time{}
}

func (a *alarm) set(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.first.IsZero() && !at.Before(a.first) {
		return
	}
	a.first = at
	select {
	case a.sooner <- struct{}{}:
	default:
	}
}
