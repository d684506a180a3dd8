package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/engine"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
	"upkeep/internal/window"
)

// bench is an engine on a database, and a host that answers when told to.
type bench struct {
	t   *testing.T
	db  store.DB
	ids atomic.Int64

	engine *engine.Engine
}

func newBench(t *testing.T, path string, more ...func(*engine.Config)) (b *bench, end func()) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Unsafe())
	if err != nil {
		t.Fatal(err)
	}
	b = &bench{t: t, db: db}
	cfg := engine.Config{
		DB: db, Owner: "one", NewID: b.newID, Orders: func(string) {}, Log: slog.New(slog.DiscardHandler), Idle: time.Hour, // it is woken by what is due
	}
	for _, f := range more {
		f(&cfg)
	}
	b.engine = engine.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.engine.Run(ctx) }()
	return b, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (b *bench) newID() string { return fmt.Sprintf("%04d", b.ids.Add(1)) }

func (b *bench) update(f func(store.Tx) error) {
	b.t.Helper()
	if err := b.db.Update(b.t.Context(), f); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) server(name, group string) fleet.Target {
	b.t.Helper()
	t := fleet.Target{ID: b.newID(), Project: "shop", Name: name, Kind: fleet.Server, Group: group, Created: time.Now()}
	t.Observed = &action.Observation{BootID: "boot", Commands: []string{"restart", "alive"}, Pending: []action.Pending{{Name: "curl", From: "1", To: "2"}}}
	b.update(func(tx store.Tx) (err error) {
		t, err = tx.PutTarget(t)
		return err
	})
	return t
}

// answerAll lets hosts do what they are told, but for the kinds given.
func (b *bench) answerAll(but ...action.Kind) (left []store.Order) {
	b.t.Helper()
	b.update(func(tx store.Tx) error {
		left = nil
		targets, err := tx.Targets(store.TargetFilter{})
		if err != nil {
			return err
		}
		for _, t := range targets {
			orders, err := tx.OpenOrders(t.ID)
			if err != nil {
				return err
			}
			for _, o := range orders {
				if slices.Contains(but, o.Kind) || t.Kind != fleet.Server {
					left = append(left, o)
					continue
				}
				if err := answer(tx, t, o); err != nil {
					return err
				}
			}
		}
		return nil
	})
	b.engine.Nudge()
	return left
}

func answer(tx store.Tx, t fleet.Target, o store.Order) error {
	obs := *t.Observed
	obs.After = o.Key()
	r := action.Result{Outcome: action.Done, Started: time.Now(), Finished: time.Now().Add(time.Second), Observation: &obs}
	if o.Kind == action.Install {
		obs.Pending = nil
		r.Changes = []action.Change{{Name: "curl", From: "1", To: "2"}}
	}
	t.Observed = &obs
	if _, err := tx.PutTarget(t); err != nil {
		return err
	}
	if _, err := tx.Answer(o.Key(), r, time.Now()); err != nil {
		return err
	}
	return tx.Wake(store.RunKey(o.Run), time.Now())
}

func (b *bench) run(id string) (r run.Run) {
	b.t.Helper()
	err := b.db.View(b.t.Context(), func(tx store.Tx) (err error) {
		r, err = tx.Run(id)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) open(t fleet.Target) string {
	b.t.Helper()
	o, err := run.Now(b.newID(), t, fleet.DefaultPolicy(), "user/ada", "", time.Hour, false, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	r, facts := run.Open(o, time.Now())
	b.update(func(tx store.Tx) error {
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

// later lets the engine work for a while.
func later(d time.Duration) {
	time.Sleep(d) // in the bubble: until everything that is due by then is done
	synctest.Wait()
}

func TestOneOfAPairWaitsAndSaysForWhom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path)
		defer end()
		first, second := b.open(b.server("a", "pair")), b.open(b.server("b", "pair"))
		var installs []store.Order
		for range 10 {
			later(time.Second)
			installs = b.answerAll(action.Install)
		}
		if len(installs) != 1 {
			t.Fatalf("%d of a pair are being installed on", len(installs))
		}
		working, waiting := first, second
		if installs[0].Run == second {
			working, waiting = second, first
		}
		later(time.Minute)
		r := b.run(waiting)
		if len(r.Waits) == 0 || r.Waits[0].Reason.Code != plan.Claimed || r.Waits[0].Reason.By != working {
			t.Errorf("the other one waits for %+v", r.Waits)
		}
		for range 60 {
			later(time.Second)
			b.answerAll()
		}
		for _, id := range []string{first, second} {
			if r := b.run(id); r.State != run.Succeeded || len(r.Holds) != 0 {
				t.Errorf("run %s is %s: %s", id, r.State, r.Result.Text)
			}
		}
	})
}

func TestScheduleOpensItsRunOnTimeAndTellsOfMissedOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path)
		target := b.server("a", "")
		at := time.Now().Add(26 * time.Hour).Truncate(time.Second)
		rec, err := window.ParseRRule("DTSTART:" + at.UTC().Format("20060102T150405Z") + " RRULE:FREQ=WEEKLY")
		if err != nil {
			t.Fatal(err)
		}
		s := fleet.Schedule{
			ID: b.newID(), Project: "shop", Target: target.ID, Name: "weekly", Enabled: true,
			Window: window.Window{Recurrence: rec, Duration: time.Hour}, Policy: fleet.DefaultPolicy(),
		}
		b.update(func(tx store.Tx) error {
			if _, err := tx.PutSchedule(s); err != nil {
				return err
			}
			return tx.Wake(store.ScheduleKey(s.ID), time.Now())
		})
		b.engine.Nudge()
		later(time.Until(at) - time.Millisecond)
		if n := len(b.runs()); n != 0 {
			t.Fatalf("%d runs before the window", n)
		}
		later(10 * time.Millisecond)
		runs := b.runs()
		if len(runs) != 1 || runs[0].Created.Before(at) || runs[0].Created.After(at.Add(5*time.Millisecond)) {
			t.Fatalf("at the window's start: %+v", runs)
		}
		for range 20 {
			later(time.Second)
			b.answerAll()
		}
		if r := b.run(runs[0].ID); r.State != run.Succeeded {
			t.Fatalf("the run is %s: %+v", r.State, r.Waits)
		}
		end()

		// The control plane is away for two weeks: what was missed is told,
		// nothing is done late, and the next window is kept.
		time.Sleep(15 * 24 * time.Hour)
		b, end = newBench(t, path)
		defer end()
		later(time.Second)
		var missed []history.Fact
		err = b.db.View(t.Context(), func(tx store.Tx) error {
			facts, err := tx.Facts(store.FactFilter{Target: target.ID})
			for _, f := range facts {
				if f.Kind == history.Missed {
					missed = append(missed, f)
				}
			}
			return err
		})
		if err != nil || len(missed) != 1 || len(b.runs()) != 1 {
			t.Errorf("missed %+v, %d runs, %v", missed, len(b.runs()), err)
		}
		later(7 * 24 * time.Hour)
		if n := len(b.runs()); n != 2 {
			t.Errorf("%d runs after the next window", n)
		}
	})
}

func (b *bench) runs() (all []run.Run) {
	b.t.Helper()
	err := b.db.View(b.t.Context(), func(tx store.Tx) (err error) {
		all, err = tx.Runs(store.RunFilter{})
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// What a tick puts off is looked at when its time has come, though the loop has
// paused already by then, and by itself looks only once an hour.
func TestPutOffIsLookedAtInTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path)
		defer end()
		until := time.Now().Add(7 * time.Second)
		h := fleet.Hold{ID: "h1", Project: "shop", Names: []string{"server/a"}, Keys: []string{run.TargetKey("a")}, By: "user/ada", Until: until}
		b.update(func(tx store.Tx) error { return errors.Join(tx.AddHold(h), tx.Wake(store.HoldKey(h.ID), time.Now())) })
		b.engine.Nudge()
		later(7*time.Second + 10*time.Millisecond)
		b.update(func(tx store.Tx) error {
			if _, err := tx.Hold(h.ID); !fault.Is(err, fault.KindNotFound) {
				t.Errorf("the hold is still there: %v", err)
			}
			return nil
		})
	})
}
