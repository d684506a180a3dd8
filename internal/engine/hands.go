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

// takeInHand begins the orders among the leases, and returns the other leases.
// An order is under way outside of any transaction: its lease says who does it.
func (e *Engine) takeInHand(ctx context.Context, leases []store.Lease, under *sync.WaitGroup) []store.Lease {
	return slices.DeleteFunc(leases, func(l store.Lease) bool {
		key, ok := strings.CutPrefix(l.Key, store.OrderWork)
		if !ok {
			return false
		}
		select {
		case e.hands <- struct{}{}:
		default:
			e.giveBack(ctx, l, 100*time.Millisecond)
			return true
		}
		under.Go(func() {
			defer func() { <-e.hands }()
			err := e.carry(ctx, l, key)
			if err != nil && ctx.Err() == nil && !fault.Is(err, fault.KindConflict) {
				e.cfg.Log.Error("an order was not carried out", "key", l.Key, "err", err)
				e.giveBack(ctx, l, time.Second)
			}
		})
		return true
	})
}

// carry carries one order out and keeps its answer.
func (e *Engine) carry(ctx context.Context, l store.Lease, key string) error {
	var o store.Order
	err := e.cfg.DB.Update(ctx, func(tx store.Tx) (err error) {
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
			return errors.Join(tx.Wake(store.RunKey(o.Run), time.Now()), tx.Finish(l))
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
	return e.cfg.DB.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.Answer(key, res, time.Now()); err != nil {
			return err
		}
		if err := tx.Wake(store.RunKey(o.Run), time.Now()); err != nil {
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
	lost := false
	doing, cancel := context.WithTimeout(ctx, min(max(o.Timeout, time.Second), handTime))
	defer cancel()
	var mu sync.Mutex
	var renew *time.Timer
	mu.Lock()
	renew = time.AfterFunc(e.cfg.Lease/3, func() {
		mu.Lock()
		defer mu.Unlock()
		if err := e.cfg.DB.Extend(ctx, l, e.cfg.Lease); err != nil {
			lost = true
			cancel()
			return
		}
		renew.Reset(e.cfg.Lease / 3)
	})
	mu.Unlock()
	started := time.Now()
	res = hand.Do(doing, o.Order.Order)
	renew.Stop()
	mu.Lock()
	defer mu.Unlock()
	if lost || ctx.Err() != nil {
		return res, false
	}
	if res.Started.IsZero() {
		res.Started, res.Finished = started, time.Now()
	}
	return res, true
}
