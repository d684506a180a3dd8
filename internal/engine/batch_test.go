package engine_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// Many keys are ticked in one transaction. One that can't be ticked must not
// hold up the others, and is tried again.
func TestAKeyThatFailsGoesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path)
		defer end()
		w, err := window.New(window.Once(time.Now().Add(time.Hour), "UTC"), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		const servers = 40
		for i := range servers {
			target := b.server(fmt.Sprint("web-", i), "")
			s := fleet.Schedule{ID: fmt.Sprint("s", i), Project: "shop", Target: target.ID, Name: "once", Enabled: true, Window: w, Policy: fleet.DefaultPolicy()}
			b.update(func(tx store.Tx) error {
				if _, err := tx.PutSchedule(s); err != nil {
					return err
				}
				if i%10 == 5 { // nobody knows what this is
					if err := tx.Wake(fmt.Sprint("riddle/", i), time.Now().Add(time.Hour)); err != nil {
						return err
					}
				}
				return tx.Wake(store.ScheduleKey(s.ID), time.Now().Add(time.Hour))
			})
		}
		b.engine.Nudge()
		time.Sleep(time.Hour + 10*time.Second)
		synctest.Wait()
		var runs []run.Run
		b.update(func(tx store.Tx) (err error) {
			if runs, err = tx.Runs(store.RunFilter{Open: true}); err != nil {
				return err
			}
			for _, r := range runs {
				facts, err := tx.Facts(store.FactFilter{Run: r.ID})
				if err != nil {
					return err
				}
				var kinds []history.Kind
				for _, f := range facts {
					kinds = append(kinds, f.Kind)
				}
				// Its first tick came with its opening, and once.
				if want := []history.Kind{history.RunOpened, history.PlanMade, history.StepStarted}; !slices.Equal(kinds, want) {
					t.Errorf("%s: %v", r.Name, kinds)
				}
				orders, err := tx.OpenOrders(r.Target)
				if err != nil || len(orders) != 1 {
					t.Errorf("%s has %d orders, %v", r.Name, len(orders), err)
				}
			}
			return nil
		})
		if len(runs) != servers {
			t.Errorf("%d runs, want %d", len(runs), servers)
		}
	})
}
