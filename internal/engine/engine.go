// Package engine is WHAT TIME DOES: it claims due work and moves it by one
// short tick. A tick reads, asks the pure core, and writes the answer in one
// transaction; it may be lost or repeated at any instant. It is woken by a
// nudge and by time. No rule lives here.
//
// The database is authoritative. A crash loses at most ticks that had not
// committed; their leases run out and another worker claims them.
package engine

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// houseKey is the work row of house-keeping.
const houseKey = "house/keeping"

// Config is what an engine needs.
type Config struct {
	DB     store.DB
	Owner  string              // names this process among those that share the database
	NewID  func() string       // ids of new runs; they grow with time
	Orders func(target string) // called after an order for target has been committed
	Log    *slog.Logger

	Lease   time.Duration        // default 10 s
	Tick    time.Duration        // the longest a tick may take; default 20 s
	Idle    time.Duration        // the longest pause between two looks for work; default 1 s
	Workers int                  // transactions at once; default 8
	Batch   int                  // ticks in one transaction at most; default 32
	Hands   map[action.Kind]Hand // what the control plane itself can do
	Prober  Prober               // asks services while runs are open on them; nil: nobody does
	Silent  time.Duration        // how long an agent may be unheard of before its server counts as down; default fleet.SilentAfter
}

// Engine moves what is due.
type Engine struct {
	cfg    Config
	nudge  chan struct{}
	alarm  alarm
	hands  chan struct{} // as many as are at work
	probes chan struct{} // as many services as are asked
}

// New makes an engine; Run starts it.
func New(cfg Config) *Engine {
	if cfg.Lease == 0 {
		cfg.Lease = 10 * time.Second
	}
	if cfg.Tick == 0 {
		cfg.Tick = 20 * time.Second
	}
	if cfg.Idle == 0 {
		cfg.Idle = time.Second
	}
	if cfg.Workers == 0 {
		cfg.Workers = 8
	}
	if cfg.Batch == 0 {
		cfg.Batch = 32
	}
	if cfg.Silent == 0 {
		cfg.Silent = fleet.SilentAfter
	}
	return &Engine{cfg: cfg, nudge: make(chan struct{}, 1), alarm: alarm{sooner: make(chan struct{}, 1)}, hands: make(chan struct{}, maxHands), probes: make(chan struct{}, maxProbes)}
}

// Nudge makes the engine look for work now. It may get lost: nobody relies on it.
func (e *Engine) Nudge() {
	select {
	case e.nudge <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, then waits for the ticks that are under way.
func (e *Engine) Run(ctx context.Context) error {
	err := e.update(ctx, func(tx store.Tx) error { return tx.Wake(houseKey, time.Now()) })
	if err != nil && ctx.Err() == nil {
		return fault.Internal("start the engine", err)
	}
	var under sync.WaitGroup
	defer under.Wait()
	free := make(chan struct{}, e.cfg.Workers)
	for ctx.Err() == nil {
		// Only as much is claimed as can be begun at once: a lease that waits
		// for a worker is a lease that runs out.
		free <- struct{}{}
		workers := cap(free) - len(free) + 1
		n := min(workers*e.cfg.Batch, store.MaxClaim)
		e.alarm.clear() // what was written until now is seen
		leases, next, err := e.cfg.DB.Claim(ctx, e.cfg.Owner, n, e.cfg.Lease)
		<-free
		if err != nil && ctx.Err() == nil {
			e.cfg.Log.Error("can't claim work", "err", err)
			next = time.Now().Add(e.cfg.Idle)
		}
		leases = e.takeInHand(ctx, leases, &under)
		for part := range slices.Chunk(leases, max(1, (len(leases)+workers-1)/workers)) {
			free <- struct{}{}
			under.Go(func() {
				defer func() { <-free }()
				e.work(ctx, part)
			})
		}
		if len(leases) < n {
			e.pause(ctx, next)
		}
	}
	return nil
}

// pause waits for a nudge, for the next due row, or for the time to look anyway.
func (e *Engine) pause(ctx context.Context, next time.Time) {
	end := time.Now().Add(e.cfg.Idle)
	if !next.IsZero() && next.Before(end) {
		end = next
	}
	for {
		if at := e.alarm.at(); !at.IsZero() && at.Before(end) {
			end = at
		}
		timer := time.NewTimer(max(time.Until(end), time.Millisecond))
		select {
		case <-e.alarm.sooner:
			timer.Stop()
			continue
		case <-ctx.Done():
		case <-e.nudge:
		case <-timer.C:
		}
		timer.Stop()
		return
	}
}

// release gives the key back for its next tick, or ends it.
func release(tx store.Work, l store.Lease, wake time.Time) error {
	if wake.IsZero() {
		return tx.Finish(l)
	}
	return tx.Release(l, wake)
}

// tickRun reads a run's world, asks the state machine, and writes what it says.
func (e *Engine) tickRun(tx store.Tx, l store.Lease, id string, n *news) error {
	r, err := tx.Run(id)
	if fault.Is(err, fault.KindNotFound) {
		return tx.Finish(l)
	}
	if err != nil {
		return err
	}
	t, err := tx.Target(r.Target)
	if err != nil && !fault.Is(err, fault.KindNotFound) {
		return err
	}
	wake, err := e.move(tx, r, t, n)
	if err != nil {
		return err
	}
	return release(tx, l, wake)
}

// move ticks a run and says when it wants to be ticked again.
func (e *Engine) move(tx store.Tx, r run.Run, t fleet.Target, n *news) (wake time.Time, err error) {
	w, err := e.readWorld(tx, r, t)
	if err != nil {
		return wake, err
	}
	moved, next := run.Tick(r, w)
	if err := write(tx, r, moved, next, w); err != nil {
		return wake, err
	}
	for _, o := range next.Orders {
		if !o.Here {
			n.ordered[o.Target] = true
		}
	}
	return next.Wake, nil
}

// readWorld reads all that a tick may know besides its target.
func (e *Engine) readWorld(tx store.Tx, r run.Run, t fleet.Target) (run.World, error) {
	w, err := store.ReadWorld(tx, r, t, time.Now(), e.cfg.Silent)
	if err != nil {
		return w, err
	}
	if r.Plan.ID != "" { // without a plan there were no orders
		if w.Answers, err = tx.Answers(r.ID); err != nil {
			return w, err
		}
		if w.Handed, err = tx.Handed(r.ID); err != nil {
			return w, err
		}
	}
	w.Users, err = readUsers(tx, r, w.Now)
	return w, err
}

// write keeps what a tick has come to, all of it in the caller's transaction.
func write(tx store.Tx, r, moved run.Run, next run.Next, w run.World) error {
	if r.Revision == 0 || !reflect.DeepEqual(r, moved) {
		if err := tx.SetRun(moved); err != nil {
			return err
		}
	}
	if err := watch(tx, r, moved, w.Now); err != nil {
		return err
	}
	if err := tellRollout(tx, r, moved, w.Now); err != nil {
		return err
	}
	for _, o := range next.Orders {
		if err := tx.AddOrder(o); err != nil {
			return err
		}
		if !o.Here {
			continue
		}
		if err := tx.Wake(store.OrderKey(o.Key()), w.Now); err != nil {
			return err
		}
	}
	for _, key := range next.Withdraw {
		expired, err := tx.ExpireOrder(key, w.Now)
		if err != nil {
			return err
		}
		if expired {
			if err := tx.Wake(store.RunKey(r.ID), w.Now); err != nil {
				return err
			}
		}
	}
	if (len(next.Samples) > 0 || next.Last != nil) && w.Target.ID != "" {
		t := w.Target
		if next.Last != nil {
			t.Last = *next.Last
		}
		for _, s := range next.Samples {
			t.Pace = t.Pace.With(s.Kind, s.Units, s.Took)
		}
		if err := tx.SetTarget(t); err != nil {
			return err
		}
	}
	return tx.AddFacts(next.Facts)
}

// tickSchedule opens what a schedule wants opened.
func (e *Engine) tickSchedule(tx store.Tx, l store.Lease, id string, n *news) error {
	s, err := tx.Schedule(id)
	if fault.Is(err, fault.KindNotFound) {
		return tx.Finish(l)
	}
	if err != nil {
		return err
	}
	running, err := tx.Runs(store.RunFilter{Target: s.Target, Schedule: s.ID, Open: true, Limit: 1})
	if err != nil {
		return err
	}
	now := time.Now()
	due := run.Look(s, len(running) > 0, now)
	if err := tx.AddFacts(due.Facts); err != nil {
		return err
	}
	if due.Open {
		if due.Schedule, err = e.open(tx, due, now, n); err != nil {
			return err
		}
	}
	if !due.Schedule.Next.Start.Equal(s.Next.Start) || due.Schedule.Refused != s.Refused {
		if err := tx.SetSchedule(due.Schedule); err != nil {
			return err
		}
	}
	return release(tx, l, due.Wake)
}

// open opens a schedule's run, or notes why it can't. Its first tick comes
// along: when a whole fleet is due, a transaction more for each run would take
// as long as all the rest.
func (e *Engine) open(tx store.Tx, due run.Due, now time.Time, n *news) (fleet.Schedule, error) {
	s := due.Schedule
	t, err := tx.Target(s.Target)
	if err != nil {
		return s, err
	}
	r, facts, err := openFor(tx, run.ForSchedule(e.cfg.NewID(), s, t, due.For), s, now)
	if fault.Is(err, fault.KindInvalid) || fault.Is(err, fault.KindNotFound) {
		refused, fact := run.Refuse(s, due.For, err.Error(), now)
		return refused, tx.AddFacts([]history.Fact{fact})
	}
	if err != nil {
		return s, err
	}
	s.Refused = ""
	return s, e.begin(tx, r, t, facts, n)
}

// openFor makes the run that a schedule asks for: of its runbook, or else an
// update. Invalid, not found: the runbook can't be carried out.
func openFor(tx store.Tx, o run.Opening, s fleet.Schedule, now time.Time) (run.Run, []history.Fact, error) {
	if s.Runbook == "" {
		r, facts := run.Open(o, now)
		return r, facts, nil
	}
	return store.OpenBook(tx, o, s.Runbook, s.Params, now)
}

// begin gives a run that was just opened its first tick.
func (e *Engine) begin(tx store.Tx, r run.Run, t fleet.Target, facts []history.Fact, n *news) error {
	if err := tx.AddFacts(facts); err != nil {
		return err
	}
	wake, err := e.move(tx, r, t, n)
	if err != nil || wake.IsZero() {
		return err
	}
	return tx.Wake(store.RunKey(r.ID), wake)
}

// How long house-keeping keeps, and how often it sweeps.
const (
	keepRequests = 24 * time.Hour
	keepEvidence = 400 * 24 * time.Hour // of what users saw; the sums stay with the run
	forgetRuns   = 20                   // so many runs' seconds in one sweep
	sweepEvery   = time.Hour
)

// keepHouse forgets what has served its time.
func (e *Engine) keepHouse(tx store.Tx, l store.Lease) error {
	now := time.Now()
	if err := tx.ForgetRequests(now.Add(-keepRequests)); err != nil {
		return err
	}
	if err := tx.ForgetSeconds(now.Add(-keepEvidence), forgetRuns); err != nil {
		return err
	}
	return tx.Release(l, now.Add(sweepEvery))
}
