// Package hub is the server's end of agents: it lets them in, keeps what they
// answer, and hands them their orders. It decides nothing about runs; it wakes
// them.
//
//	agent ── poll ──► keep answers ──► keep observation ──► orders? ── yes ──► answer
//	                                                     ▲    │ no
//	                                                     │    ▼
//	                                                     └── held ── time is up, shutdown ──► answer
//	                         Nudge (this process), Run's sweep (others)
//
// The database is authoritative; a held poll is all that lives here. After a
// crash the agents dial again and say again what was not acknowledged. Any
// number of hubs may serve one database, and one agent may speak to all of them.
package hub

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
	"upkeep/internal/store"
	"upkeep/internal/wire"
)

// Timing is how often things happen. Zero fields take the value in brackets.
// All but Sweep and Presence are given with jitter, so that agents that came
// together do not stay together.
type Timing struct {
	Hold     time.Duration // how long a poll without orders is held (25 s)
	Sweep    time.Duration // how often orders of other servers are looked for (1 s); less often where a look takes long
	Busy     time.Duration // and how often for an agent that has an order under way (30 s)
	Presence time.Duration // how often it is written down that an agent was seen, at most (1 min)
	Observe  time.Duration // how often agents look at their hosts unasked (1 h)
	After    time.Duration // at most so long a pause follows a poll that was held (500 ms)
}

func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	def(&t.Hold, 25*time.Second)
	def(&t.Sweep, time.Second)
	def(&t.Busy, 30*time.Second)
	def(&t.Presence, time.Minute)
	def(&t.Observe, time.Hour)
	def(&t.After, 500*time.Millisecond)
	return t
}

// How often one address may enrol or renew late, and one agent poll. A roll-out
// behind one address gets through; a loop gone wrong does not cost a server.
const (
	enrolsPerSecond = 5
	enrolsAtOnce    = 50
	pollsPerSecond  = 20
	pollsAtOnce     = 100
)

// Config is what a hub is made of. DB is needed, and Authority where agents
// enrol or renew.
type Config struct {
	DB        store.DB
	Authority *identity.Authority
	Log       *slog.Logger // nil: silent
	Timing    Timing

	// Woken is called after a transaction that has woken runs, so that whoever
	// moves them looks at once. It must not wait. May be nil.
	Woken func()

	// Observe is told of each call when it has ended: its name (enrol, renew,
	// poll), the status that was answered, and how long the work took, without
	// the time for which a poll was held. May be nil.
	Observe func(call string, status int, took time.Duration)

	// Peer says whose agent is calling, and by which key. Nil: by the
	// connection's verified certificate. A simulation without TLS gives its own.
	Peer func(*http.Request) (target, key string, err error)

	// Jitter draws from [0, 1). Nil: at random.
	Jitter func() float64
}

// Hub is the server's end of agents.
type Hub struct {
	cfg    Config
	log    *slog.Logger
	timing Timing
	held   *held

	enrols *limit.Limiter // by remote address
	polls  *limit.Limiter // by key: who has lost a target's trust can't use up its agent's share

	closing   chan struct{}
	closeOnce sync.Once
}

// New makes a hub. Run it, or polls are answered by Nudge and time alone.
func New(c Config) *Hub {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.Woken == nil {
		c.Woken = func() {}
	}
	return &Hub{
		cfg: c, log: c.Log, timing: c.Timing.withDefaults(), held: newHeld(),
		enrols: limit.New(enrolsPerSecond, enrolsAtOnce), polls: limit.New(pollsPerSecond, pollsAtOnce),
		closing: make(chan struct{}),
	}
}

// Handler serves wire's three paths.
func (h *Hub) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(wire.EnrolPath, h.call("enrol", h.enrol))
	mux.Handle(wire.RenewPath, h.call("renew", h.renew))
	mux.Handle(wire.PollPath, h.call("poll", h.poll))
	mux.Handle("/", h.call("other", func(_ http.ResponseWriter, r *http.Request) (any, time.Duration, error) {
		return nil, 0, fault.NotFound("path", clip(r.URL.Path, maxName))
	}))
	return mux
}

// Nudge answers the polls that target's agent has waiting here, if there is
// something for it. Whoever has written an order calls it after the commit.
func (h *Hub) Nudge(target string) { h.held.wake(target) }

// Run looks for orders that other servers have written, until ctx ends; then it
// answers all held polls at once, and later ones are held no more.
func (h *Hub) Run(ctx context.Context) error {
	defer h.closeOnce.Do(func() { close(h.closing) })
	next := time.NewTimer(h.timing.Sweep)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		began := time.Now()
		if err := h.sweep(ctx); err != nil && ctx.Err() == nil {
			h.log.Warn("look for orders of other servers", "error", err)
		}
		next.Reset(max(h.timing.Sweep, restAfter*time.Since(began)))
	}
}

// restAfter is how many times as long as a sweep has taken the hub rests after
// it: with a hundred thousand agents one takes a good part of a second.
const restAfter = 20

// askAll is from how many waiting targets on the database is asked for all that
// have orders, instead of by a list that costs more than it saves.
const askAll = 500

// sweep wakes the held polls of targets that have orders: one query for all.
func (h *Hub) sweep(ctx context.Context) error {
	waiting := h.held.due(time.Now(), h.timing.Busy)
	if len(waiting) == 0 {
		return nil
	}
	var ask []string
	if len(waiting) < askAll {
		slices.Sort(waiting)
		ask = waiting
	}
	var with []string
	err := h.cfg.DB.View(ctx, func(tx store.Tx) (err error) {
		with, err = tx.TargetsWithOrders(ask)
		return err
	})
	if err != nil {
		return err
	}
	asked := make(map[string]bool, len(waiting))
	for _, target := range waiting {
		asked[target] = true
	}
	for _, target := range with {
		if asked[target] {
			h.held.wake(target)
		}
	}
	return nil
}

// around is d, give or take a fifth.
func (h *Hub) around(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*h.cfg.Jitter()))
}

// upTo is something from 0 to d.
func (h *Hub) upTo(d time.Duration) time.Duration {
	return time.Duration(float64(d) * h.cfg.Jitter())
}
