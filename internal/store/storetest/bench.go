package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"upkeep/internal/history"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// Bench measures what the engine does all day.
func Bench(b *testing.B, open func(testing.TB) store.DB) {
	b.Run("commit", func(b *testing.B) { benchCommit(b, open(b), 1) })
	b.Run("commit-16-at-once", func(b *testing.B) { benchCommit(b, open(b), 16) })
	b.Run("tick-16-at-once", func(b *testing.B) { benchTick(b, open(b), 16) })
	b.Run("claim-64-of-100000", func(b *testing.B) { benchClaim(b, open(b)) })
	b.Run("idle-claim", func(b *testing.B) {
		db := open(b)
		update(b, db, func(tx store.Tx) error { return tx.Wake("k", future(10)) })
		for b.Loop() {
			if _, _, err := db.Claim(context.Background(), "w", 64, time.Minute); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// spread shares b.N operations among so many goroutines.
func spread(b *testing.B, workers int, f func(worker, i int) error) {
	var next atomic.Int64
	b.ResetTimer()
	together(workers, func(worker int) {
		for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
			if err := f(worker, i); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

func benchCommit(b *testing.B, db store.DB, workers int) {
	spread(b, workers, func(_, i int) error {
		return db.Update(context.Background(), func(tx store.Tx) error { return tx.Wake(fmt.Sprint(i), past(1)) })
	})
}

// benchTick moves runs: read, write, tell, and give the key back.
func benchTick(b *testing.B, db store.DB, workers int) {
	keys := make([]store.Lease, workers)
	update(b, db, func(tx store.Tx) error {
		for i := range workers {
			id := fmt.Sprint("r", i)
			if _, err := tx.PutTarget(someTarget(id, id)); err != nil {
				return err
			}
			r := run.Run{ID: id, Target: id, Window: Window(time.Sunday), Progress: plan.Progress{}}
			if _, err := tx.PutRun(r); err != nil {
				return err
			}
			if err := tx.Wake(id, past(1)); err != nil {
				return err
			}
		}
		return nil
	})
	claim := func(worker int) error {
		for {
			some, _, err := db.Claim(context.Background(), fmt.Sprint(worker), 1, time.Hour)
			if err != nil {
				return err
			}
			if len(some) == 1 {
				keys[worker] = some[0]
				return nil
			}
		}
	}
	spread(b, workers, func(worker, i int) error {
		if err := claim(worker); err != nil {
			return err
		}
		l := keys[worker]
		return db.Update(context.Background(), func(tx store.Tx) error {
			r, err := tx.Run(l.Key)
			if err != nil {
				return err
			}
			if _, err := tx.Target(r.Target); err != nil {
				return err
			}
			if _, err := tx.Answers(r.ID); err != nil {
				return err
			}
			r.Reason = fmt.Sprint(i)
			if _, err := tx.PutRun(r); err != nil {
				return err
			}
			if err := tx.AddFacts([]history.Fact{{Run: r.ID, At: start, Kind: history.StepStarted, Text: "begun"}}); err != nil {
				return err
			}
			return tx.Release(l, past(1))
		})
	})
}

func benchClaim(b *testing.B, db store.DB) {
	for from := 0; from < 100_000; from += 5000 {
		update(b, db, func(tx store.Tx) error {
			for i := range 5000 {
				if err := tx.Wake(fmt.Sprint("key", from+i), past(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	claimed := 0
	for b.Loop() {
		some, _, err := db.Claim(context.Background(), "w", 64, blink) // and they are due again
		if err != nil || len(some) != 64 {
			b.Fatal(len(some), err)
		}
		claimed += len(some)
	}
	b.ReportMetric(float64(claimed)/b.Elapsed().Seconds(), "claims/s")
}
