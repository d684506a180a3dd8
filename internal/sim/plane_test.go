package sim

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/engine"
	"upkeep/internal/fault"
	"upkeep/internal/hub"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
	"upkeep/internal/wire"
)

// dice is a stream of choices of its own, so that what one part of the world
// draws does not depend on when another does.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64, name string) *dice {
	h := uint64(14695981039346656037)
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return &dice{r: rand.New(rand.NewPCG(seed, h))}
}

func (d *dice) chance(p float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64() < p
}

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) between(least, most time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return least + time.Duration(d.r.Int64N(int64(most-least)))
}

// cloud is the control plane's side: one SQLite file, and replicas on it.
type cloud struct {
	ctx      context.Context
	path     string
	mu       sync.Mutex
	db       store.DB
	replicas []*replica
	ids      atomic.Int64
	faults   atomic.Bool
	dice     *dice
	crashes  int
	over     sync.WaitGroup

	hands map[action.Kind]engine.Hand         // of every replica
	die   func(*replica) (before, after bool) // when replicas crash; nil: as the dice say
	away  time.Duration                       // how long crashed ones are down; 0: as the dice say
	idle  time.Duration                       // the longest pause between two looks for work; 0: an hour
}

// replica is one control plane process.
type replica struct {
	c      *cloud
	dice   *dice
	ctx    context.Context
	crash  context.CancelFunc
	engine *engine.Engine
	hub    *hub.Hub
	door   http.Handler
	dead   chan struct{} // closed when nothing of it moves any more
}

var errCrashed = errors.New("the process crashed")

// faulty is the database as a replica sees it: the process may crash right
// before a commit, or right after one whose success it never learns of.
type faulty struct {
	store.DB
	r *replica
}

const crashRate = 1.0 / 150 // of the writes

func (f faulty) Update(ctx context.Context, do func(store.Tx) error) error {
	if f.r.ctx.Err() != nil {
		return fault.Unavailable("write", errCrashed)
	}
	before, after := f.r.c.strikes(f.r)
	if before {
		f.r.crash()
		return fault.Unavailable("write", errCrashed)
	}
	err := f.DB.Update(ctx, do)
	if after {
		f.r.crash()
		return fault.Unavailable("write", errCrashed)
	}
	return err
}

// strikes says whether a replica crashes before or after the write that it begins.
func (c *cloud) strikes(r *replica) (before, after bool) {
	if c.die != nil {
		return c.die(r)
	}
	crash := c.faults.Load() && r.dice.chance(crashRate)
	before = crash && r.dice.chance(0.5)
	return before, crash && !before
}

func (f faulty) View(ctx context.Context, do func(store.Tx) error) error {
	if f.r.ctx.Err() != nil {
		return fault.Unavailable("read", errCrashed)
	}
	return f.DB.View(ctx, do)
}

func (c *cloud) open() error {
	db, err := sqlite.Open(c.ctx, c.path, sqlite.Unsafe())
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.db = db
	c.mu.Unlock()
	return nil
}

// start brings a replica up.
func (c *cloud) start(i int) {
	r := &replica{c: c, dice: newDice(uint64(c.dice.n(1<<62)), "replica"), dead: make(chan struct{})}
	r.ctx, r.crash = context.WithCancel(c.ctx)
	db := faulty{DB: c.db, r: r}
	r.hub = hub.New(hub.Config{
		DB: db, Peer: peer, Woken: c.nudgeEngines, Jitter: func() float64 { return 0.5 },
		Timing: hub.Timing{Hold: 6 * time.Hour, Sweep: time.Hour, Busy: time.Minute, Presence: 24 * time.Hour, Observe: 24 * time.Hour},
	})
	r.door = r.hub.Handler()
	r.engine = engine.New(engine.Config{
		DB: db, Owner: fmt.Sprintf("replica-%d-%d", i, c.ids.Add(1)), NewID: c.newID, Orders: c.nudge,
		Log: slog.New(slog.DiscardHandler), Idle: cmp.Or(c.idle, time.Hour), Hands: c.hands,
		Silent: 30 * 24 * time.Hour, // polls are held for hours here: silence says nothing
	})
	c.mu.Lock()
	c.replicas[i] = r
	c.mu.Unlock()
	var parts sync.WaitGroup
	parts.Go(func() { _ = r.engine.Run(r.ctx) })
	parts.Go(func() { _ = r.hub.Run(r.ctx) })
	c.over.Go(func() {
		parts.Wait()
		close(r.dead)
	})
}

// keep starts crashed replicas again. When all are down at once the file is
// closed and opened anew, as a restarted process would.
func (c *cloud) keep() {
	for i := range c.replicas {
		c.start(i)
	}
	for c.ctx.Err() == nil {
		alive := 0
		for _, r := range c.replicas {
			if r.ctx.Err() == nil {
				alive++
			}
		}
		switch {
		case alive == len(c.replicas):
			c.waitForCrash()
			continue
		case alive == 0 || c.dice.chance(0.3):
			for _, r := range c.replicas {
				r.crash()
				<-r.dead
			}
			c.mu.Lock()
			_ = c.db.Close()
			c.mu.Unlock()
			c.down()
			if c.ctx.Err() != nil || c.open() != nil {
				return
			}
			for i := range c.replicas {
				c.crashes++
				c.start(i)
			}
		default:
			c.down()
			for i, r := range c.replicas {
				if r.ctx.Err() != nil && c.ctx.Err() == nil {
					<-r.dead
					c.crashes++
					c.start(i)
				}
			}
		}
	}
}

// waitForCrash returns when some replica has crashed, or the world ends.
func (c *cloud) waitForCrash() {
	crashed := make(chan struct{}, len(c.replicas))
	for _, r := range c.replicas {
		stop := context.AfterFunc(r.ctx, func() { crashed <- struct{}{} })
		defer stop()
	}
	<-crashed
}

// down is how long a crashed process stays away: mostly seconds, sometimes
// longer than a window.
func (c *cloud) down() {
	d := c.dice.between(100*time.Millisecond, 20*time.Second)
	if c.dice.chance(0.05) {
		d = c.dice.between(time.Hour, 5*time.Hour)
	}
	if c.away > 0 {
		d = c.away
	}
	select {
	case <-time.After(d):
	case <-c.ctx.Done():
	}
}

// nudge tells the hubs of an order; it may get lost.
func (c *cloud) nudge(target string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.replicas {
		if r != nil && !(c.faults.Load() && c.dice.chance(0.1)) {
			r.hub.Nudge(target)
		}
	}
}

func (c *cloud) nudgeEngines() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.replicas {
		if r != nil {
			r.engine.Nudge()
		}
	}
}

func (c *cloud) newID() string {
	return fmt.Sprintf("%013x-%06x", time.Now().UnixMilli(), c.ids.Add(1))
}

// ask asks as a person would: past the faults, and again while all is down.
func (c *cloud) ask(do func(store.DB) error) error {
	for {
		c.mu.Lock()
		db := c.db
		c.mu.Unlock()
		err := do(db)
		if !fault.Is(err, fault.KindUnavailable) || c.ctx.Err() != nil {
			return err
		}
		time.Sleep(10 * time.Second)
	}
}

func (c *cloud) update(do func(store.Tx) error) error {
	return c.ask(func(db store.DB) error { return db.Update(c.ctx, do) })
}

func (c *cloud) view(do func(store.Tx) error) error {
	return c.ask(func(db store.DB) error { return db.View(c.ctx, do) })
}

const (
	targetHeader = "Sim-Target"
	agentKey     = "key"
)

func peer(r *http.Request) (target, key string, err error) {
	return r.Header.Get(targetHeader), agentKey, nil
}

// way is an agent's way to the control plane, with its faults.
type way struct {
	c      *cloud
	target string
	dice   *dice
}

// Poll takes the request to some replica: it may get lost on the way there,
// arrive twice, late, or its answer may get lost.
func (d way) Poll(ctx context.Context, req wire.PollRequest) (wire.PollAnswer, error) {
	var none wire.PollAnswer
	lost := fault.Unavailable("poll", errors.New("lost on the way"))
	faults := d.c.faults.Load()
	if faults && d.dice.chance(0.02) {
		return none, lost
	}
	if faults && d.dice.chance(0.02) { // a double of it arrives later, and nobody reads the answer
		late := d.dice.between(time.Millisecond, 10*time.Minute)
		d.c.over.Go(func() {
			select {
			case <-time.After(late):
				hurried := req
				hurried.WaitMillis = 0
				_, _ = d.ask(d.c.ctx, hurried)
			case <-d.c.ctx.Done():
			}
		})
	}
	a, err := d.ask(ctx, req)
	if err == nil && faults && d.dice.chance(0.02) {
		return none, lost
	}
	return a, err
}

func (d way) ask(ctx context.Context, req wire.PollRequest) (wire.PollAnswer, error) {
	var a wire.PollAnswer
	d.c.mu.Lock()
	r := d.c.replicas[d.dice.n(len(d.c.replicas))]
	d.c.mu.Unlock()
	if r == nil || r.ctx.Err() != nil {
		return a, fault.Unavailable("poll", errCrashed)
	}
	body, err := json.Marshal(req)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	hr := httptest.NewRequestWithContext(ctx, http.MethodPost, wire.PollPath, bytes.NewReader(body))
	hr.Header.Set(targetHeader, d.target)
	hr.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	r.door.ServeHTTP(rec, hr)
	if ctx.Err() != nil || r.ctx.Err() != nil {
		return a, fault.Unavailable("poll", errCrashed)
	}
	if rec.Code != http.StatusOK {
		return a, fault.Unavailable("poll", fmt.Errorf("%d %s", rec.Code, rec.Body))
	}
	return a, json.Unmarshal(rec.Body.Bytes(), &a)
}
