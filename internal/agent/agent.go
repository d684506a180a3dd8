// Package agent is the host's end of Upkeep: it asks the control plane what is
// to be done, lets the host's Hands do it, and answers what became of it.
//
// The agent always dials; nobody can dial it. Of ours it knows only the words
// (wire, action, fault), and it decides nothing except what its host's owner
// has forbidden.
//
// An order goes through four stages, each written down before it is entered:
//
//	waiting ──► begun ──► ended ──► acknowledged ──► forgotten
//	   └── refused, expired ──▲
//
// The Journal is authoritative for what was begun here, the Hands for what is
// under way, the control plane for what is wanted. After a crash
//
//   - a waiting order is expired: nobody knows any more how long it has waited;
//   - a begun order is adopted: its command outlives the agent. It is never
//     begun a second time. After a crash of the host it is interrupted, and the
//     answer says what it had changed until then;
//   - an ended order's answer is sent again, unchanged, until acknowledged.
//
// Two goroutines share the work: the worker carries out one order at a time
// and looks at the host between orders, the poller talks to the control plane
// all the while.
package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"upkeep/internal/fault"
	"upkeep/internal/wire"
)

// Timing of the agent's own. The control plane may ask for a slower pace.
const (
	pollWait       = 30 * time.Second // how long a poll may be held open, unless told otherwise
	pollGrace      = 30 * time.Second // and how much longer its answer may be on its way
	pollPaceMax    = 10 * time.Minute // the longest pause that is obeyed
	retryFirst     = 200 * time.Millisecond
	retryMax       = time.Minute
	observeDefault = 15 * time.Minute
	observeMin     = 10 * time.Second
	observeMax     = 24 * time.Hour
	lookRetry      = 30 * time.Second // after a look that failed
	saveRetryMax   = 30 * time.Second // between tries to write the journal

	// maxAnswers bounds a poll: eight answers with 16 KiB of output and an
	// observation each stay below wire.MaxBody.
	maxAnswers = 8
)

// Door is the way to the control plane.
type Door interface {
	// Poll says what the agent has to say and waits for orders, at most
	// req.WaitMillis and some seconds for the way. Errors: denied (this host
	// is not or no longer enrolled), unavailable, and ctx's.
	Poll(ctx context.Context, req wire.PollRequest) (wire.PollAnswer, error)
}

// Config is what an agent is made of. Hands, Door and either Dir or Journal
// must be set.
type Config struct {
	Dir     string  // where the journal is kept; made with mode 0700
	Journal Journal // instead of Dir: for simulation
	Target  string  // the target's id; if set, orders for others are refused, and its journal is its own
	After   string  // Identity.After: what to say until an order has ended here
	Hands   Hands
	Door    Door
	Allow   Allow // what the host's owner allows; the zero value allows all
	Version string
	Log     *slog.Logger // nil: silent
	Rand    *rand.Rand   // for jitter; nil: seeded by the system

	// PollWait is how long a poll may be held open; 0: 30 s.
	PollWait time.Duration

	// ObserveEvery is how often the host is looked at without being asked,
	// until the control plane says how often; 0: 15 min.
	ObserveEvery time.Duration
}

// Agent is one host's agent. It is made by New and runs once.
type Agent struct {
	cfg  Config
	log  *slog.Logger
	rand *rand.Rand // used by the poller alone
	boot string     // of this boot; no process sees two
	book *book

	polls *rate.Limiter // so that no answer of a control plane makes a busy loop
	looks *rate.Limiter
	wake  chan struct{} // the worker has something new to do

	mu       sync.Mutex           // guards what follows
	given    map[string]time.Time // when orders were given, with a monotonic reading
	observed *wire.Observation    // not sent yet
	lookNow  bool                 // somebody asks for a look
	lookAt   time.Time            // the next look without being asked
	every    time.Duration
	cut      context.CancelFunc // ends the poll under way, or the pause after it
	news     bool               // there is something to say since the last request was made
}

// New opens the journal and makes an agent. Errors: invalid for an incomplete
// Config, conflict if another agent uses Dir, internal for a journal or a host
// that can't be read.
func New(cfg Config) (*Agent, error) {
	if cfg.Hands == nil || cfg.Door == nil || (cfg.Dir == "" && cfg.Journal == nil) {
		return nil, fault.Invalid("agent", "hands, door and a folder or a journal are needed")
	}
	if cfg.Journal == nil {
		// A host that is enrolled again as another target starts anew:
		// generations and keys of the former one mean nothing to the new one.
		j, err := OpenJournal(filepath.Join(cfg.Dir, "journal", Hash(cfg.Target)))
		if err != nil {
			return nil, err
		}
		cfg.Journal = j
	}
	if cfg.ObserveEvery <= 0 {
		cfg.ObserveEvery = observeDefault
	}
	if cfg.PollWait <= 0 {
		cfg.PollWait = pollWait
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	boot, err := cfg.Hands.BootID()
	if err != nil {
		return nil, fault.Internal("read the boot id", err)
	}
	b, err := openBook(cfg.Journal, cfg.After)
	if err != nil {
		return nil, fault.Internal("read the journal", err)
	}
	return &Agent{
		cfg: cfg, log: cfg.Log, rand: cfg.Rand, boot: boot, book: b,
		polls:   rate.NewLimiter(rate.Every(250*time.Millisecond), 20),
		looks:   rate.NewLimiter(rate.Every(5*time.Second), 3),
		wake:    make(chan struct{}, 1),
		given:   map[string]time.Time{},
		lookNow: true,
		every:   cfg.ObserveEvery,
	}, nil
}

// Run polls and works until ctx ends, and then returns nil. Commands under way
// are not stopped; the next Run adopts them. It gives the journal back when it
// returns. Its only error is that of a journal which can't be closed.
func (a *Agent) Run(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(func() { a.work(ctx) })
	both.Go(func() { a.poll(ctx) })
	both.Wait()
	if c, ok := a.cfg.Journal.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// poll talks to the control plane until ctx ends.
func (a *Agent) poll(ctx context.Context) {
	failures, said := 0, ""
	for {
		if a.polls.Wait(ctx) != nil {
			return
		}
		pollCtx, req := a.request(ctx)
		sent := time.Now()
		answer, err := a.cfg.Door.Poll(pollCtx, req)
		pause := time.Duration(0)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if said != "" {
				a.log.Info("the control plane answers again", "failures", failures)
			}
			failures, said = 0, ""
			a.sent(req)
			pause = a.take(answer, sent)
		case pollCtx.Err() != nil && errors.Is(err, context.Canceled):
			// Cut short by ourselves, for there is news.
		default:
			if text := err.Error(); text != said {
				a.log.Warn("poll failed, will try again", "error", err)
				said = text
			}
			pause = a.backoff(failures, fault.KindOf(err))
			failures++
		}
		a.pause(ctx, pause)
	}
}

// request gathers what there is to say. Its context ends when there is more.
func (a *Agent) request(ctx context.Context) (context.Context, wire.PollRequest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cut != nil {
		a.cut()
	}
	ctx, a.cut = context.WithTimeout(ctx, a.cfg.PollWait+pollGrace)
	a.news = false
	return ctx, wire.PollRequest{
		Version: a.cfg.Version, BootID: a.boot, Generation: a.book.generation(),
		Holding: a.book.holding(), Answers: a.book.unsent(maxAnswers),
		Observation: a.observed, WaitMillis: a.cfg.PollWait.Milliseconds(),
	}
}

// sent notes what the control plane has received.
func (a *Agent) sent(req wire.PollRequest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.observed == req.Observation {
		a.observed = nil
	}
}

// take does what an answer says to a request sent then, and returns the pause
// that it asks for.
func (a *Agent) take(answer wire.PollAnswer, sent time.Time) time.Duration {
	for _, key := range answer.Acknowledged {
		if err := a.book.acknowledge(key); err != nil {
			// It is sent again, and acknowledged again.
			a.log.Error("write the journal", "order", key, "error", err)
		}
	}
	for _, key := range a.book.forgettable() {
		if err := a.forget(key); err != nil {
			a.log.Warn("forget an old order", "order", key, "error", err)
		}
	}
	// An answer may have lain in a buffer for long while the host was suspended:
	// time to begin is counted from when it was given, at the latest.
	given := time.Now()
	if t := sent.Add(time.Duration(max(0, answer.HeldMillis)) * time.Millisecond); t.Before(given) {
		given = t
	}
	for _, o := range answer.Orders {
		a.accept(o, given)
	}
	a.mu.Lock()
	if d := time.Duration(answer.ObserveMillis) * time.Millisecond; d > 0 {
		a.every = min(max(d, observeMin), observeMax)
		if soonest := time.Now().Add(a.every); a.lookAt.After(soonest) {
			a.lookAt = soonest
		}
	}
	a.lookNow = a.lookNow || answer.Observe
	a.mu.Unlock()
	a.wakeWorker()
	return min(time.Duration(max(0, answer.AfterMillis))*time.Millisecond, pollPaceMax)
}

// accept writes a new order down. An order that can't be written down is not
// carried out; the control plane gives it again.
func (a *Agent) accept(o wire.Order, given time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	isNew, err := a.book.accept(o)
	switch {
	case err != nil:
		a.log.Error("an order could not be taken", "order", o.Key, "error", err)
	case isNew:
		a.given[o.Key] = given
		a.log.Info("order received", "order", o.Key, "kind", o.Kind, "packages", len(o.Packages))
	}
}

func (a *Agent) forget(key string) error {
	if err := a.cfg.Hands.Forget(key); err != nil {
		return err
	}
	return a.book.forget(key)
}

// pause waits, but not when there is news.
func (a *Agent) pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	a.mu.Lock()
	if a.news {
		a.mu.Unlock()
		return
	}
	if a.cut != nil {
		a.cut()
	}
	ctx, a.cut = context.WithCancel(ctx)
	a.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// tell makes the poller say at once what is new. The caller holds a.mu.
func (a *Agent) tell() {
	a.news = true
	if a.cut != nil {
		a.cut()
	}
}

func (a *Agent) wakeWorker() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// backoff is the pause after the n-th failure in a row, from 0: full jitter, so
// that the hosts of a restarted control plane don't come all at once. Whoever
// is denied has no reason to hurry.
func (a *Agent) backoff(n int, kind fault.Kind) time.Duration {
	most := retryMax
	if kind != fault.KindDenied && n < 20 {
		most = min(retryFirst<<n, retryMax)
	}
	return 10*time.Millisecond + time.Duration(a.rand.Int64N(int64(most)))
}
