package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
)

// Simulations run the store in a bubble whose clock only moves when every
// goroutine waits for something in the bubble: the store may never wait for
// anything else, and must leave no goroutine behind.
func TestBubble(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
		defer cancel()
		db, err := sqlite.Open(ctx, path, sqlite.Unsafe())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		err = db.Update(ctx, func(tx store.Tx) error { return tx.Wake("k", begun.Add(time.Hour)) })
		if err != nil {
			t.Fatal(err)
		}
		claimed, next, err := db.Claim(ctx, "w", 1, time.Minute)
		if err != nil || len(claimed) != 0 || !next.Equal(begun.Add(time.Hour)) {
			t.Fatalf("%v, %v, %v", claimed, next, err)
		}
		time.Sleep(time.Until(next))
		claimed, _, err = db.Claim(ctx, "w", 1, time.Minute)
		if err != nil || len(claimed) != 1 || !claimed[0].Now.Equal(time.Now()) || !claimed[0].Until.Equal(time.Now().Add(time.Minute)) {
			t.Fatalf("%v, %v", claimed, err)
		}
		// Many at once, each holding its transaction while the clock moves.
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				f := func(tx store.Tx) error {
					time.Sleep(time.Second)
					_, err := tx.Tokens()
					return err
				}
				if err := db.View(ctx, f); err != nil {
					t.Error(err)
				}
				err := db.Update(ctx, func(tx store.Tx) error {
					time.Sleep(time.Second)
					return tx.Wake(fmt.Sprint(i), time.Now())
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(begun.Add(time.Hour)); took < 20*time.Second {
			t.Errorf("20 updates of a second took %v: they did not wait for each other", took)
		}
		// Who waits for its turn can give up.
		impatient, giveUp := context.WithCancel(ctx)
		err = db.Update(ctx, func(store.Tx) error {
			gaveUp := make(chan error)
			go func() {
				gaveUp <- db.Update(impatient, func(store.Tx) error { t.Error("it had its turn"); return nil })
			}()
			synctest.Wait()
			giveUp()
			if err := <-gaveUp; !fault.Is(err, fault.KindUnavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("giving up gives %v", err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		// Close waits for an update that waits for the clock.
		go func() {
			_ = db.Update(ctx, func(tx store.Tx) error { time.Sleep(time.Minute); return nil })
		}()
		synctest.Wait()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}
