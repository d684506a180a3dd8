package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/store"
)

// Hand carries out what the control plane itself can do. What it is told may
// be told again after a crash: doing it twice must come to the same. It gives
// up when ctx ends.
type Hand interface {
	Do(ctx context.Context, o action.Order) action.Result
}

// How much hands may do.
const (
	maxHands = 64               // at once
	handTime = 15 * time.Second // each time; what takes longer is asked for again by its run
)

// takeInHand begins the orders and the probes among the leases, and returns the
// other leases. What is begun is under way outside of any transaction: its
// lease says who does it.
func (e *Engine) takeInHand(ctx context.Context, leases []store.Lease, under *sync.WaitGroup) []store.Lease {
	begin := func(l store.Lease, id string, places chan struct{}, pause time.Duration, do func(context.Context, store.Lease, string) error) {
		select {
		case places <- struct{}{}:
		default:
			e.giveBack(ctx, l, pause)
			return
		}
		under.Go(func() {
			defer func() { <-places }()
			err := do(ctx, l, id)
			if err != nil && ctx.Err() == nil && !fault.Is(err, fault.KindConflict) {
				e.cfg.Log.Error("what was begun outside of a transaction has failed", "key", l.Key, "err", err)
				e.giveBack(ctx, l, time.Second)
			}
		})
	}
	return slices.DeleteFunc(leases, func(l store.Lease) bool {
		if key, ok := strings.CutPrefix(l.Key, store.OrderWork); ok {
			begin(l, key, e.hands, 100*time.Millisecond, e.carry)
			return true
		}
		if run, ok := strings.CutPrefix(l.Key, store.ProbeWork); ok {
			begin(l, run, e.probes, time.Second, e.probe)
			return true
		}
		return false
	})
}

// keep renews a lease until held is called, which says whether it was never
// lost. lost is called if it is.
func (e *Engine) keep(ctx context.Context, l store.Lease, lost func()) (held func() bool) {
	var mu sync.Mutex
	gone, over := false, false
	var renew *time.Timer
	mu.Lock()
	defer mu.Unlock()
	renew = time.AfterFunc(e.cfg.Lease/3, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		if err := e.cfg.DB.Extend(ctx, l, e.cfg.Lease); err != nil {
			gone = true
			lost()
			return
		}
		renew.Reset(e.cfg.Lease / 3)
	})
	return func() bool {
		renew.Stop()
		mu.Lock()
		defer mu.Unlock()
		over = true
		return !gone
	}
}

// carry carries one order out and keeps its answer.
func (e *Engine) carry(ctx context.Context, l store.Lease, key string) error {
	var o store.Order
	err := e.update(ctx, func(tx store.Tx) (err error) {
		o, err = tx.Order(key)
		switch {
		case fault.Is(err, fault.KindNotFound):
			return tx.Finish(l)
		case err != nil:
			return err
		case o.Result != nil:
			return tx.Finish(l)
		case time.Now().After(o.StartBy) && o.HandedAt.IsZero():
			if _, err := tx.ExpireOrder(key, time.Now()); err != nil {
				return err
			}
			o.Result = &action.Result{Outcome: action.Expired}
			return errors.Join(tx.Wake(store.OwnerKey(o.Run), time.Now()), tx.Finish(l))
		case time.Now().After(o.StartBy):
			// Whoever had it died, perhaps before it did anything: beginning now is too late.
			o.Result = &action.Result{Outcome: action.Interrupted, Finished: time.Now(), Reason: "the control plane stopped while it was under way, and it may not begin so late"}
			_, err := tx.Answer(key, *o.Result, time.Now())
			return errors.Join(err, tx.Wake(store.OwnerKey(o.Run), time.Now()), tx.Finish(l))
		}
		return tx.MarkHanded(key, time.Now())
	})
	if err != nil || o.Key() != key || o.Result != nil {
		return err
	}
	res, sure := e.do(ctx, l, o)
	if !sure {
		return nil // whoever has the lease next does it
	}
	return e.update(ctx, func(tx store.Tx) error {
		if _, err := tx.Answer(key, res, time.Now()); err != nil {
			return err
		}
		if err := tx.Wake(store.OwnerKey(o.Run), time.Now()); err != nil {
			return err
		}
		return tx.Finish(l)
	})
}

// do has the hand do it, and keeps the lease meanwhile. It is not sure if the
// lease was lost.
func (e *Engine) do(ctx context.Context, l store.Lease, o store.Order) (res action.Result, sure bool) {
	hand := e.cfg.Hands[o.Kind]
	if hand == nil {
		return action.Result{Outcome: action.Refused, Reason: fmt.Sprintf("this control plane has no hand for %q", o.Kind)}, true
	}
	doing, cancel := context.WithTimeout(ctx, min(max(o.Timeout, time.Second), handTime))
	defer cancel()
	held := e.keep(ctx, l, cancel)
	started := time.Now()
	res = hand.Do(doing, o.Order.Order)
	if !held() || ctx.Err() != nil {
		return res, false
	}
	if res.Started.IsZero() {
		res.Started, res.Finished = started, time.Now()
	}
	return res, true
}
