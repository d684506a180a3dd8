package engine_test

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/engine"
	"upkeep/internal/evidence"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/probe"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/store"
)

// front is a real HTTP server behind pipes, so that it lives in a bubble.
type front struct {
	conns  chan net.Conn
	down   atomic.Bool
	asked  atomic.Int64
	server *http.Server
}

func newFront() *front {
	f := &front{conns: make(chan net.Conn)}
	f.server = &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { f.asked.Add(1) })}
	go f.server.Serve(f)
	return f
}

func (f *front) Accept() (net.Conn, error) {
	if c, ok := <-f.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (f *front) Close() error   { return nil }
func (f *front) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (f *front) dial(_ context.Context, network, _ string) (net.Conn, error) {
	if f.down.Load() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	f.conns <- theirs
	return ours, nil
}

func (f *front) hands(c *engine.Config) {
	c.Prober = probe.Probe{Dial: f.dial}
	c.Hands = map[action.Kind]engine.Hand{action.HTTP: probe.Hand{Dial: f.dial}}
}

// roll opens a run of a small runbook on a service of two members that is asked
// ten times a second.
func (b *bench) roll(budget runbook.ErrorBudget) string {
	b.t.Helper()
	s := fleet.Service{Members: []fleet.Member{{Name: "one", Server: "one"}, {Name: "two", Server: "two"}}, Probe: fleet.Probe{
		Rate: 10, Slow: time.Second, Endpoints: []fleet.Endpoint{{Name: "list", URL: "http://front/v3"}, {Name: "token", URL: "http://front/token"}},
	}}
	book := runbook.Book{Name: "restart", ErrorBudget: budget, Member: runbook.Member{
		Do:    []runbook.Step{{Name: "restart", Kind: action.Command, On: runbook.Self, Command: "restart", Estimate: time.Second}},
		Await: []runbook.Step{{Name: "alive", Kind: action.HTTP, With: map[string]string{"url": "http://front/health"}, Estimate: time.Second}},
	}}
	hosts := map[string]string{"one": b.server("one", "").ID, "two": b.server("two", "").ID}
	t := fleet.Target{ID: b.newID(), Project: "shop", Name: "api", Kind: fleet.ServiceKind, Service: &s, Created: time.Now()}
	o, err := run.Now(b.newID(), t, fleet.DefaultPolicy(), "user/ada", "", time.Hour, false, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	r, facts, err := run.OpenBook(o, run.Book{Runbook: book, Service: s, Hosts: hosts}, nil, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	b.update(func(tx store.Tx) error {
		if _, err := tx.PutTarget(t); err != nil {
			return err
		}
		if _, err := tx.PutRun(r); err != nil {
			return err
		}
		if err := tx.AddFacts(facts); err != nil {
			return err
		}
		return tx.Wake(store.RunKey(r.ID), time.Now())
	})
	b.engine.Nudge()
	return r.ID
}

// seen is what is known of a run's users.
func (b *bench) seen(id string) (w evidence.Watch, sum evidence.Total) {
	b.t.Helper()
	err := b.db.View(b.t.Context(), func(tx store.Tx) (err error) {
		if w, err = tx.Watch(id); err != nil {
			return err
		}
		sum, err = tx.SumSeconds(id, time.Time{})
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return w, sum
}

// A service is asked from before its first member is taken out until the run
// has ended. A control plane that dies leaves a gap, which the result tells.
func TestServicesAreAskedWhileARunIsOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		f := newFront()
		defer close(f.conns)
		b, end := newBench(t, path, f.hands)
		id := b.roll(runbook.ErrorBudget{})
		later(4 * time.Second)
		if r := b.run(id); !r.Started.IsZero() || len(r.Waits) == 0 || r.Waits[0].Reason.What != plan.FactWatched {
			t.Fatalf("nobody has seen how it answers, and it has begun: %+v", r.Waits)
		}
		later(4 * time.Second)
		w, sum := b.seen(id)
		if r := b.run(id); r.Started.Sub(w.Began) < 5*time.Second || w.Total.Sent < 50 || sum != w.Total || w.Gap != 0 || sum.Bad() != 0 {
			t.Fatalf("begun %s after %s; %+v, %s", r.Started, w.Began, w, sum)
		}
		end()
		before := f.asked.Load()
		time.Sleep(time.Minute)
		if f.asked.Load() != before {
			t.Fatal("somebody still asks")
		}
		b, end = newBench(t, path, f.hands)
		defer end()
		for range 10 {
			later(3 * time.Second)
			b.answerAll()
		}
		r := b.run(id)
		w, sum = b.seen(id)
		if r.State != run.Succeeded || !strings.Contains(r.Result.Text, " requests unanswered, not asked for ") || strings.Contains(r.Result.Text, "failed") {
			t.Fatalf("it is %s: %s; %+v", r.State, r.Result.Text, r.Waits)
		}
		if w.On || sum != w.Total || w.Gap < 55*time.Second || w.Gap > 65*time.Second || int64(sum.Sent) > f.asked.Load() {
			t.Errorf("%+v, %s, asked %d times", w, sum, f.asked.Load())
		}
		later(10 * time.Second)
		before = f.asked.Load()
		later(time.Minute)
		if f.asked.Load() != before {
			t.Error("the run has ended, and the service is still asked")
		}
	})
}

// An error budget stops the run before the next member, and is told by the
// users' own figures.
func TestErrorBudgetHaltsARun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		f := newFront()
		defer close(f.conns)
		b, end := newBench(t, path, f.hands)
		defer end()
		id := b.roll(runbook.ErrorBudget{Unanswered: "1%", Over: time.Minute})
		later(8 * time.Second)
		f.down.Store(true) // the restart of the first member takes all with it
		later(2 * time.Second)
		b.answerAll()
		later(3 * time.Second)
		f.down.Store(false)
		later(30 * time.Second)
		r := b.run(id)
		if r.State != run.Paused || !strings.Contains(r.Halted(), "requests in the last 60s were unanswered or failed, and 1% may be") || !r.Book.Members["one"].Through || len(r.Book.Outages) != 1 {
			t.Fatalf("it is %s: %q, %+v", r.State, r.Halted(), r.Book.Members)
		}
		r, facts, err := r.Resume("user/ada", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		b.update(func(tx store.Tx) error {
			if err := tx.SetRun(r); err != nil {
				return err
			}
			if err := tx.AddFacts(facts); err != nil {
				return err
			}
			return tx.Wake(store.RunKey(id), time.Now())
		})
		b.engine.Nudge()
		for range 10 {
			later(2 * time.Second)
			b.answerAll()
		}
		if r := b.run(id); r.State != run.Succeeded || r.Book.Outages[1].Member != "two" {
			t.Errorf("it is %s: %q, %+v", r.State, r.Halted(), r.Waits)
		}
	})
}
