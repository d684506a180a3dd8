package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/wire"
)

// work carries out orders, oldest first, and looks at the host between them,
// until ctx ends. Looking and acting never overlap: an observation is of a
// host at rest, or at least not of one that we are changing.
func (a *Agent) work(ctx context.Context) {
	for ctx.Err() == nil {
		if rec, ok := a.book.next(); ok {
			a.carry(ctx, rec)
			continue
		}
		wait := a.untilLook()
		if wait <= 0 {
			a.lookAround(ctx)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-a.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// untilLook is how long until the host is to be looked at without an order.
func (a *Agent) untilLook() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lookNow {
		return 0
	}
	return time.Until(a.lookAt)
}

// lookAround looks at the host and keeps what it saw for the next poll. An order
// that comes meanwhile goes first: somebody may be out of service until it is
// done, and a look takes seconds.
func (a *Agent) lookAround(ctx context.Context) {
	looking, stop := a.untilOrder(ctx)
	defer stop()
	a.mu.Lock()
	asked := a.lookNow
	a.lookNow = false
	a.mu.Unlock()
	var obs *action.Observation
	err := a.looks.Wait(looking)
	if err == nil {
		obs, err = a.look(looking, a.book.lastEnded())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if looking.Err() != nil { // it is looked at after the order
		a.lookNow = a.lookNow || asked
		return
	}
	if err != nil {
		a.log.Error("look at the host", "error", err)
		a.lookAt = time.Now().Add(lookRetry)
		return
	}
	a.lookAt = time.Now().Add(a.every)
	a.observed = wire.FromObservation(obs)
	a.tell()
}

// untilOrder is a context that ends when there is an order to carry out. The
// caller is the worker, and calls stop.
func (a *Agent) untilOrder(ctx context.Context) (looking context.Context, stop func()) {
	looking, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-looking.Done():
				return
			case <-a.wake:
				if _, ok := a.book.next(); ok {
					cancel()
				}
			}
		}
	})
	return looking, func() {
		cancel()
		watch.Wait()
	}
}

// look looks at the host. The packages that the owner's file holds are told
// as held, so that nobody plans to touch them.
func (a *Agent) look(ctx context.Context, after string) (*action.Observation, error) {
	obs, err := a.cfg.Hands.Look(ctx)
	if err != nil {
		return nil, err
	}
	obs.After = after
	obs.BootID = a.boot
	obs.Held = append(slices.Clone(obs.Held), a.cfg.Allow.held(obs.Pending)...)
	slices.Sort(obs.Held)
	obs.Held = slices.Compact(obs.Held)
	return &obs, nil
}

// carry brings one order to its end, unless ctx ends first.
func (a *Agent) carry(ctx context.Context, rec Record) {
	order := rec.Order.Order()
	var res action.Result
	var err error
	if rec.Stage == Begun {
		a.log.Info("an order was begun before; looking what became of it", "order", rec.Key)
		res, err = a.adopt(ctx, order, rec)
	} else {
		res, err = a.begin(ctx, order, rec)
	}
	if ctx.Err() != nil {
		return // whoever runs next takes it from here
	}
	if err != nil {
		res = action.Result{Outcome: action.Failed, Reason: err.Error(), Failures: []action.Failure{{Reason: err.Error()}}}
	}
	if res.Started.IsZero() {
		res.Started = a.book.started(rec.Key)
	}
	if res.Finished.IsZero() {
		res.Finished = time.Now()
	}
	a.end(ctx, rec.Key, order.Brief, res)
}

// begin carries out an order that was not begun before.
func (a *Agent) begin(ctx context.Context, order action.Order, rec Record) (action.Result, error) {
	deadline, ok := a.deadline(rec)
	switch {
	case !ok:
		return expired("the agent was restarted before it was begun, and does not know how long ago it was asked for"), nil
	case late(time.Now(), deadline):
		return expired(tooLate(rec)), nil
	}
	if why := a.refusal(order, rec); why != "" {
		return action.Result{Outcome: action.Refused, Reason: why}, nil
	}
	prepareCtx, cancel := context.WithTimeout(ctx, time.Until(deadline))
	defer cancel()
	memo, err := a.cfg.Hands.Prepare(prepareCtx, order)
	var refusal *RefusalError
	switch {
	case ctx.Err() != nil:
		return action.Result{}, ctx.Err()
	case errors.As(err, &refusal):
		return action.Result{Outcome: action.Refused, Reason: refusal.Reason}, nil
	case prepareCtx.Err() != nil && err != nil:
		return expired(err.Error()), nil
	case err != nil:
		return action.Result{}, fmt.Errorf("not begun: %w", err)
	}
	if err := a.writeBegun(ctx, rec, deadline, memo); err != nil {
		return expired(err.Error()), nil
	}
	a.log.Info("order begun", "order", rec.Key)
	return a.cfg.Hands.Begin(ctx, order, memo)
}

// writeBegun writes down that an order is begun, while there is time to begin it.
func (a *Agent) writeBegun(ctx context.Context, rec Record, deadline time.Time, memo json.RawMessage) error {
	for pause := retryFirst; ; pause = min(2*pause, saveRetryMax) {
		// Asked again before each try: it is the last look at the clock.
		if late(time.Now(), deadline) {
			return errors.New(tooLate(rec))
		}
		err := a.book.begin(rec.Key, a.boot, time.Now(), memo)
		if err == nil {
			return nil
		}
		a.log.Error("write the journal", "order", rec.Key, "error", err)
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// adopt finds out what became of an order that was begun before.
func (a *Agent) adopt(ctx context.Context, order action.Order, rec Record) (action.Result, error) {
	// One that was only played is played again: this boot has another reason.
	if order.Kind == action.Reboot && rec.BootID != a.boot && !order.DryRun && !a.cfg.Allow.DryRun {
		return action.Result{Outcome: action.Done}, nil
	}
	return a.cfg.Hands.Adopt(ctx, order, rec.Memo)
}

// refusal says why an order is not tried; empty if it may be.
func (a *Agent) refusal(o action.Order, rec Record) string {
	switch {
	case !o.Kind.Valid():
		return fmt.Sprintf("this agent does not know how to %q", o.Kind)
	case o.Kind == action.Balance || o.Kind == action.Serving || o.Kind == action.HTTP || o.Kind == action.Query:
		return fmt.Sprintf("to %s is not for a host", o.Kind)
	case o.Key() != rec.Key:
		return fmt.Sprintf("the order's key is %q, its parts say %q", rec.Key, o.Key())
	case a.cfg.Target != "" && o.Target != a.cfg.Target:
		return fmt.Sprintf("it is for %q, this is %q", o.Target, a.cfg.Target)
	case o.Generation < a.book.generation():
		return fmt.Sprintf("it is of generation %d, and generation %d has been seen", o.Generation, a.book.generation())
	case o.Kind == action.Reboot && o.BootID != a.boot:
		return fmt.Sprintf("it is for boot %q, the host now runs boot %q", o.BootID, a.boot)
	}
	return a.cfg.Allow.forbids(o)
}

// deadline is the last instant at which an order may begin; not ok if nobody
// knows when it was given. It carries a monotonic reading: see late.
func (a *Agent) deadline(rec Record) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.given[rec.Key]
	return at.Add(rec.Order.Begin()), ok
}

// late reports whether now is past the deadline by either clock: the monotonic
// one stands still while a host is suspended, the wall clock may be set back.
// To be wrongly late is harmless, the order is given again.
func late(now, deadline time.Time) bool {
	return !now.Before(deadline) || !now.Round(0).Before(deadline.Round(0))
}

func tooLate(rec Record) string {
	return fmt.Sprintf("it could no longer begin within %s of being given", max(0, rec.Order.Begin()))
}

func expired(why string) action.Result {
	return action.Result{Outcome: action.Expired, Reason: why}
}

// end looks at the host, unless the answer is wanted at once, and writes the
// answer down, from when on it never changes; then it is told.
func (a *Agent) end(ctx context.Context, key string, brief bool, res action.Result) {
	if !brief {
		after := key
		if res.Outcome == action.Expired {
			// It was never started: the last order that ended is another one.
			after = a.book.lastEnded()
		}
		obs, err := a.look(ctx, after)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.log.Error("look at the host", "error", err)
			res.Reason = joinSentences(res.Reason, "afterwards the host could not be looked at: "+err.Error())
		}
		res.Observation = obs
	}
	// As a journal reads it back: the answer is the same after a restart.
	res.Started, res.Finished = res.Started.Round(0).UTC(), res.Finished.Round(0).UTC()
	answer := wire.FromResult(key, res)
	for pause := retryFirst; ; pause = min(2*pause, saveRetryMax) {
		err := a.book.end(key, answer)
		if err == nil {
			break
		}
		a.log.Error("write the journal", "order", key, "error", err)
		if !sleep(ctx, pause) {
			return
		}
	}
	if err := a.cfg.Hands.Forget(key); err != nil {
		a.log.Warn("remove what an order left", "order", key, "error", err) // done again when the order is forgotten
	}
	a.log.Info("order ended", "order", key, "outcome", res.Outcome, "reason", res.Reason, "changes", len(res.Changes))

	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.given, key)
	a.lookAt = time.Now().Add(a.every)
	if res.Observation == nil {
		a.lookAt = time.Now().Add(lookRetry)
	}
	a.observed = nil // what the answer carries is newer
	a.tell()
}

func joinSentences(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// sleep waits, and reports whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
