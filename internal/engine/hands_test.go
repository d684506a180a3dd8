package engine_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/engine"
	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// quick is a hand that takes a second and succeeds.
type quick struct{}

func (quick) Do(context.Context, action.Order) action.Result {
	r := action.Result{Outcome: action.Done, Started: time.Now()}
	time.Sleep(time.Second)
	r.Finished = time.Now()
	return r
}

// TestHandsFollowOnEachOther: what a hand has answered is taken in at once, and
// not at the next look for work, which is an hour away here.
func TestHandsFollowOnEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path, func(cfg *engine.Config) { cfg.Hands = map[action.Kind]engine.Hand{action.HTTP: quick{}} })
		defer end()
		look := func(name string) runbook.Step {
			return runbook.Step{Name: name, Kind: action.HTTP, With: map[string]string{"url": "http://api"}}
		}
		book := runbook.Book{
			Name: "look", Before: []runbook.Step{look("one"), look("two"), look("three")},
			Member: runbook.Member{
				Do:    []runbook.Step{{Name: "restart", Kind: action.Command, On: runbook.Self, Command: "restart"}},
				Await: []runbook.Step{look("alive")},
			},
		}
		host := b.server("host", "")
		service := fleet.Target{
			ID: b.newID(), Project: "shop", Name: "api", Kind: fleet.ServiceKind, Created: time.Now(),
			Service: &fleet.Service{Members: []fleet.Member{{Name: "ctl1", Server: "host"}}},
		}
		r, facts, err := run.OpenBook(run.Opening{ID: b.newID(), Target: service, By: "user/ada", Window: window.Window{Recurrence: window.Once(time.Now(), "UTC"), Duration: time.Hour}},
			run.Book{Runbook: book, Service: *service.Service, Hosts: map[string]string{"ctl1": host.ID}}, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		b.update(func(tx store.Tx) error {
			if _, err := tx.PutTarget(service); err != nil {
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
		later(3*time.Second + 100*time.Millisecond)
		if left := b.answerAll(action.Command); len(left) != 1 {
			t.Errorf("after three looks of a second each, %d commands are ordered", len(left))
		}
	})
}

// TestTooLateToDoAgain: an order whose control plane died over it is done again
// only while it may still begin, for perhaps nothing was done yet.
func TestTooLateToDoAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path, func(cfg *engine.Config) { cfg.Hands = map[action.Kind]engine.Hand{action.HTTP: quick{}} })
		defer end()
		host := b.server("host", "")
		order := func(step string, startBy time.Time) string {
			o := run.Order{Here: true, StartBy: startBy, Order: action.Order{Run: "gone", Step: step, Attempt: 1, Target: host.ID, Kind: action.HTTP}}
			b.update(func(tx store.Tx) error {
				if err := tx.AddOrder(o); err != nil {
					return err
				}
				if err := tx.MarkHanded(o.Key(), time.Now().Add(-2*time.Minute)); err != nil {
					return err
				}
				return tx.Wake(store.OrderKey(o.Key()), time.Now())
			})
			return o.Key()
		}
		late, soon := order("late", time.Now().Add(-time.Minute)), order("soon", time.Now().Add(time.Minute))
		b.engine.Nudge()
		later(5 * time.Second)
		for key, want := range map[string]action.Outcome{late: action.Interrupted, soon: action.Done} {
			b.update(func(tx store.Tx) error {
				o, err := tx.Order(key)
				if err == nil && (o.Result == nil || o.Result.Outcome != want) {
					t.Errorf("%s: %+v, want %s", key, o.Result, want)
				}
				return err
			})
		}
	})
}
