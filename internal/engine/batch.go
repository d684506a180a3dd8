package engine

import (
	"context"
	"errors"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

// news is what others are told of a transaction once it is committed.
type news struct {
	ordered map[string]bool // targets whose agents have an order
}

// work ticks keys under their leases: all in one transaction, which costs
// little more than one of them does. If one fails, each goes alone.
func (e *Engine) work(ctx context.Context, leases []store.Lease) {
	if len(leases) > 1 {
		err := e.tickAll(ctx, leases)
		if err == nil || ctx.Err() != nil {
			return
		}
		e.cfg.Log.Debug("ticks go on one by one", "keys", len(leases), "err", err)
	}
	for _, l := range leases {
		e.workAlone(ctx, l)
	}
}

// workAlone ticks one key.
func (e *Engine) workAlone(ctx context.Context, l store.Lease) {
	err := e.tickAll(ctx, []store.Lease{l})
	switch {
	case err == nil || ctx.Err() != nil || errors.Is(err, errSlow):
	case fault.Is(err, fault.KindConflict):
		// Somebody else wrote first, or has the lease: look again, soon.
		e.giveBack(ctx, l, 20*time.Millisecond)
	default:
		e.cfg.Log.Error("tick failed", "key", l.Key, "err", err)
		e.giveBack(ctx, l, time.Second)
	}
}

// errSlow is why a tick ended that took too long, or lost its lease: whoever has
// the lease next does the work.
var errSlow = errors.New("the tick took too long")

// tickAll ticks keys in one transaction, and renews their leases meanwhile.
func (e *Engine) tickAll(ctx context.Context, leases []store.Lease) error {
	ctx, cancel := context.WithTimeoutCause(ctx, e.cfg.Tick, errSlow)
	defer cancel()
	var renew *time.Timer
	renew = time.AfterFunc(e.cfg.Lease/3, func() {
		for _, l := range leases {
			if err := e.cfg.DB.Extend(ctx, l, e.cfg.Lease); err != nil {
				cancel() // whoever has the lease now does the work
				return
			}
		}
		renew.Reset(e.cfg.Lease / 3)
	})
	defer renew.Stop()
	n := news{ordered: map[string]bool{}}
	err := e.update(ctx, func(tx store.Tx) error {
		clear(n.ordered)
		for _, l := range leases {
			if err := e.tick(tx, l, &n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		if ctx.Err() != nil {
			return errSlow
		}
		return err
	}
	for target := range n.ordered {
		e.cfg.Orders(target)
	}
	return nil
}

func (e *Engine) tick(tx store.Tx, l store.Lease, n *news) error {
	switch {
	case strings.HasPrefix(l.Key, store.RunWork):
		return e.tickRun(tx, l, strings.TrimPrefix(l.Key, store.RunWork), n)
	case strings.HasPrefix(l.Key, store.ScheduleWork):
		return e.tickSchedule(tx, l, strings.TrimPrefix(l.Key, store.ScheduleWork), n)
	case strings.HasPrefix(l.Key, store.RolloutWork):
		return e.tickRollout(tx, l, strings.TrimPrefix(l.Key, store.RolloutWork))
	case strings.HasPrefix(l.Key, store.HoldWork):
		return tickHold(tx, l, strings.TrimPrefix(l.Key, store.HoldWork))
	case l.Key == houseKey:
		return e.keepHouse(tx, l)
	}
	return fault.Internal("tick", errors.New("no loop knows the key "+l.Key))
}

// giveBack releases a lease whose tick has come to nothing. If that fails too
// the lease runs out by itself.
func (e *Engine) giveBack(ctx context.Context, l store.Lease, after time.Duration) {
	err := e.update(ctx, func(tx store.Tx) error { return tx.Release(l, time.Now().Add(after)) })
	if err != nil && ctx.Err() == nil && !fault.Is(err, fault.KindConflict) {
		e.cfg.Log.Warn("can't give work back", "key", l.Key, "err", err)
	}
}
