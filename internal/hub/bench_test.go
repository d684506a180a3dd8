package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
	"upkeep/internal/wire"
)

// bench is a hub over a real database, without a network: servers t1 and t2
// with agents of keys k1 and k2, and an open run r1 on t1.
type bench struct {
	t   *testing.T
	db  *counted
	hub *Hub
	web http.Handler

	nudged int // how often the hub has said that runs were woken
}

// counted counts transactions.
type counted struct {
	store.DB
	views, updates atomic.Int64
}

func (c *counted) View(ctx context.Context, f func(store.Tx) error) error {
	c.views.Add(1)
	return c.DB.View(ctx, f)
}

func (c *counted) Update(ctx context.Context, f func(store.Tx) error) error {
	c.updates.Add(1)
	return c.DB.Update(ctx, f)
}

func newBench(t *testing.T, timing Timing) *bench {
	t.Helper()
	db, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "db"), sqlite.Unsafe())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{t: t, db: &counted{DB: db}}
	b.hub = b.another(timing)
	b.web = b.hub.Handler()
	b.do(func(tx store.Tx) error {
		for _, id := range []string{"1", "2"} {
			if _, err := tx.PutTarget(fleet.Target{ID: "t" + id, Project: "shop", Name: "web-" + id, Kind: fleet.Server}); err != nil {
				return err
			}
			// Seen long ago: the first poll is a first poll.
			if err := tx.PutAgent(store.Agent{Target: "t" + id, Key: "k" + id}); err != nil {
				return err
			}
		}
		return nil
	})
	b.putRun("r1", "t1", "")
	return b
}

// another is a hub of another process on the same database.
func (b *bench) another(timing Timing) *Hub {
	return New(Config{DB: b.db, Timing: timing, Woken: func() { b.nudged++ }, Peer: func(r *http.Request) (target, key string, err error) {
		if target = r.Header.Get("Target"); target == "" {
			return "", "", fault.Denied("who are you?")
		}
		return target, r.Header.Get("Key"), nil
	}})
}

func (b *bench) do(f func(store.Tx) error) {
	b.t.Helper()
	if err := b.db.DB.Update(context.Background(), f); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) putRun(id, target, lastOrder string) {
	b.t.Helper()
	b.do(func(tx store.Tx) error {
		r := run.Run{ID: id, Project: "shop", Target: target, State: run.Waiting, Made: run.Made{LastOrder: lastOrder}}
		if had, err := tx.Run(id); err == nil {
			r.Revision = had.Revision
		}
		_, err := tx.PutRun(r)
		return err
	})
}

// order writes an order that may begin for so long, and gives its key.
func (b *bench) order(runID, step, target string, begin time.Duration) string {
	b.t.Helper()
	o := run.Order{StartBy: time.Now().Add(begin), Order: action.Order{
		Run: runID, Step: step, Attempt: 1, Target: target, Kind: action.Install, Timeout: time.Hour,
		Packages: []action.Package{{Name: "curl", Version: "8"}},
	}}
	b.do(func(tx store.Tx) error { return tx.AddOrder(o) })
	return o.Key()
}

func (b *bench) stored(key string) store.Order {
	b.t.Helper()
	var o store.Order
	b.do(func(tx store.Tx) (err error) { o, err = tx.Order(key); return err })
	return o
}

func (b *bench) target(id string) fleet.Target {
	b.t.Helper()
	var t fleet.Target
	b.do(func(tx store.Tx) (err error) { t, err = tx.Target(id); return err })
	return t
}

func (b *bench) agent(id string) store.Agent {
	b.t.Helper()
	var a store.Agent
	b.do(func(tx store.Tx) (err error) { a, err = tx.Agent(id); return err })
	return a
}

// woken lists the keys that are due, and puts them to sleep again.
func (b *bench) woken() map[string]bool {
	b.t.Helper()
	leases, _, err := b.db.Claim(context.Background(), "test", 100, time.Second)
	if err != nil {
		b.t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, l := range leases {
		keys[l.Key] = true
		b.do(func(tx store.Tx) error { return tx.Finish(l) })
	}
	return keys
}

// said is what a call was answered.
type said struct {
	status  int
	answer  wire.PollAnswer
	problem wire.Problem
	cert    wire.Certificate
}

func (b *bench) call(ctx context.Context, h http.Handler, path, target, key string, body any) said {
	b.t.Helper()
	text, ok := body.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(body); err != nil {
			b.t.Error(err)
			return said{}
		}
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(text))
	r.Header.Set("Target", target)
	r.Header.Set("Key", key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	s := said{status: w.Code}
	var out any = &s.problem
	switch {
	case w.Code != http.StatusOK:
	case path == wire.PollPath:
		out = &s.answer
	default:
		out = &s.cert
	}
	if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
		b.t.Errorf("%s: %d %q: %v", path, w.Code, w.Body, err)
	}
	return s
}

// poll polls as t1's agent, and fails the test unless it succeeds.
func (b *bench) poll(req wire.PollRequest) wire.PollAnswer {
	b.t.Helper()
	s := b.call(context.Background(), b.web, wire.PollPath, "t1", "k1", req)
	if s.status != http.StatusOK {
		b.t.Fatalf("poll: %d %+v", s.status, s.problem)
	}
	return s.answer
}

// greet makes the agent's first poll, which is answered at once.
func (b *bench) greet() {
	b.t.Helper()
	if a := b.poll(wire.PollRequest{}); !a.Observe {
		b.t.Error("a host that nobody has looked at is not looked at")
	}
}

// done is an answer with an observation that names the kernel.
func done(key, kernel string) wire.Answer {
	return wire.Answer{Key: key, Outcome: string(action.Done), Observation: look(key, kernel)}
}

func look(after, kernel string) *wire.Observation {
	return &wire.Observation{After: after, Kernel: kernel, BootID: "b1"}
}

// kernel is what the target is known to run; a dash if nothing is known.
func (b *bench) kernel() string {
	b.t.Helper()
	if o := b.target("t1").Observed; o != nil {
		return o.Kernel
	}
	return "-"
}

func keys(orders []wire.Order) []string {
	var out []string
	for _, o := range orders {
		out = append(out, o.Key)
	}
	return out
}

func (b *bench) targetNamed(id string) fleet.Target {
	return fleet.Target{ID: id, Project: "shop", Name: "web-" + id, Kind: fleet.Server}
}
