package storetest

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

func transactions(t *testing.T, open func(*testing.T) store.DB) {
	// stored asks whether secret name is there; write puts it there.
	stored := func(t *testing.T, db store.DB, name string) bool {
		t.Helper()
		err := db.View(context.Background(), func(tx store.Tx) error {
			_, err := tx.Secret(name)
			return err
		})
		if err != nil {
			wantKind(t, err, fault.KindNotFound)
		}
		return err == nil
	}
	write := func(tx store.Tx, name string) error {
		_, err := tx.PutSecret(name, []byte(name))
		return err
	}

	t.Run("an error rolls back and comes back", func(t *testing.T) {
		db := open(t)
		mine := errors.New("mine")
		err := db.Update(context.Background(), func(tx store.Tx) error { return errors.Join(write(tx, "a"), mine) })
		if !errors.Is(err, mine) {
			t.Fatalf("got %v", err)
		}
		if stored(t, db, "a") {
			t.Fatal("what was rolled back is there")
		}
	})
	t.Run("a panic rolls back and goes on", func(t *testing.T) {
		db := open(t)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = db.Update(context.Background(), func(tx store.Tx) error {
				if err := write(tx, "a"); err != nil {
					t.Error(err)
				}
				panic("mine")
			})
		}()
		if stored(t, db, "a") {
			t.Fatal("what was rolled back is there")
		}
		update(t, db, func(tx store.Tx) error { return write(tx, "b") }) // and the writer is free
	})
	t.Run("a goroutine that ends rolls back", func(t *testing.T) {
		db := open(t)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = db.Update(context.Background(), func(tx store.Tx) error {
				if err := write(tx, "a"); err != nil {
					t.Error(err)
				}
				runtime.Goexit()
				return nil
			})
		}()
		<-ended
		update(t, db, func(tx store.Tx) error { return write(tx, "b") })
		if stored(t, db, "a") {
			t.Fatal("what was rolled back is there")
		}
	})
	t.Run("a view can't write", func(t *testing.T) {
		db := open(t)
		for name, f := range map[string]func(tx store.Tx) error{
			"secret": func(tx store.Tx) error { return write(tx, "a") },
			"wake":   func(tx store.Tx) error { return tx.Wake("a", start) },
			"facts":  func(tx store.Tx) error { return tx.AddFacts(someFacts(1)) },
		} {
			t.Run(name, func(t *testing.T) { wantKind(t, db.View(context.Background(), f), fault.KindInternal) })
		}
		if stored(t, db, "a") {
			t.Fatal("a view has written")
		}
	})
	t.Run("a view sees one state and holds nobody up", func(t *testing.T) {
		db := open(t)
		view(t, db, func(tx store.Tx) error {
			if tokens, err := tx.Tokens(); err != nil || len(tokens) != 0 {
				t.Fatalf("%v, %v", tokens, err)
			}
			update(t, db, func(tx store.Tx) error { return tx.PutToken(store.Token{ID: "k", Hash: "h"}) })
			if tokens, err := tx.Tokens(); err != nil || len(tokens) != 0 {
				t.Fatalf("the view sees what came later: %v, %v", tokens, err)
			}
			return nil
		})
		view(t, db, func(tx store.Tx) error {
			_, err := tx.TokenByHash("h")
			return err
		})
	})
	t.Run("an update holds no view up, and isn't seen before its end", func(t *testing.T) {
		db := open(t)
		update(t, db, func(tx store.Tx) error {
			if err := write(tx, "a"); err != nil {
				return err
			}
			if stored(t, db, "a") {
				t.Error("what is not committed is there")
			}
			return nil
		})
		if !stored(t, db, "a") {
			t.Fatal("what was committed isn't there")
		}
	})
	t.Run("a transaction that is over does nothing", func(t *testing.T) {
		db := open(t)
		var kept store.Tx
		update(t, db, func(tx store.Tx) error { kept = tx; return nil })
		wantKind(t, write(kept, "a"), fault.KindInternal)
		wantKind(t, kept.AddFacts(someFacts(1)), fault.KindInternal)
		_, err := kept.Tokens()
		wantKind(t, err, fault.KindInternal)
		if stored(t, db, "a") {
			t.Fatal("it has written")
		}
	})
	t.Run("a fault that f swallows is no loss", func(t *testing.T) {
		db := open(t)
		update(t, db, func(tx store.Tx) error {
			_, err := tx.PutTarget(someTarget("t1", "web"))
			if err != nil {
				return err
			}
			_, err = tx.PutTarget(someTarget("t1", "web"))
			wantKind(t, err, fault.KindConflict)
			_, err = tx.PutTarget(someTarget("t2", "web"))
			wantKind(t, err, fault.KindConflict)
			_, err = tx.PutSchedule(someSchedule("s1", "nobody", "x"))
			wantKind(t, err, fault.KindNotFound)
			return write(tx, "a")
		})
		if !stored(t, db, "a") {
			t.Fatal("what was committed isn't there")
		}
	})
	cancelling(t, open, stored, write)
	closing(t, open, write)
}

func cancelling(t *testing.T, open func(*testing.T) store.DB, stored func(*testing.T, store.DB, string) bool, write func(store.Tx, string) error) {
	canceled := func(t *testing.T, err error) {
		t.Helper()
		wantKind(t, err, fault.KindUnavailable)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%v does not say that it was cancelled", err)
		}
	}
	t.Run("cancelled before", func(t *testing.T) {
		db := open(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		f := func(store.Tx) error { t.Error("f was run"); return nil }
		canceled(t, db.Update(ctx, f))
		canceled(t, db.View(ctx, f))
		_, _, err := db.Claim(ctx, "w", 1, time.Minute)
		canceled(t, err)
		canceled(t, db.Extend(ctx, store.Lease{Key: "k"}, time.Minute))
	})
	t.Run("cancelled within", func(t *testing.T) {
		db := open(t)
		ctx, cancel := context.WithCancel(context.Background())
		canceled(t, db.Update(ctx, func(tx store.Tx) error {
			if err := write(tx, "a"); err != nil {
				t.Error(err)
			}
			cancel()
			return write(tx, "b")
		}))
		if stored(t, db, "a") {
			t.Fatal("what was cancelled is there")
		}
		update(t, db, func(tx store.Tx) error { return write(tx, "c") })
	})
	t.Run("cancelled at the end", func(t *testing.T) {
		db := open(t)
		ctx, cancel := context.WithCancel(context.Background())
		canceled(t, db.Update(ctx, func(tx store.Tx) error {
			defer cancel()
			return write(tx, "a")
		}))
		if stored(t, db, "a") {
			t.Fatal("what was cancelled is there")
		}
	})
	t.Run("cancelled while waiting for its turn", func(t *testing.T) {
		db := open(t)
		ctx, cancel := context.WithCancel(context.Background())
		update(t, db, func(tx store.Tx) error {
			if err := tx.PutToken(store.Token{ID: "k", Hash: "h"}); err != nil {
				return err
			}
			waited := make(chan error)
			go func() { // on SQLite it waits for the writer, on PostgreSQL for the row
				waited <- db.Update(ctx, func(tx store.Tx) error { return tx.PutToken(store.Token{ID: "k", Hash: "h2"}) })
			}()
			cancel()
			canceled(t, <-waited)
			return nil
		})
	})
}

func closing(t *testing.T, open func(*testing.T) store.DB, write func(store.Tx, string) error) {
	t.Run("close waits, and then nothing works", func(t *testing.T) {
		db := open(t)
		begun, goOn, updated := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			updated <- db.Update(context.Background(), func(tx store.Tx) error {
				close(begun)
				<-goOn
				return write(tx, "a")
			})
		}()
		<-begun
		closed := make(chan error, 1)
		go func() { closed <- db.Close() }()
		select {
		case <-closed:
			t.Fatal("closed while an update was under way")
		case <-time.After(20 * time.Millisecond): // nothing can signal that it goes on waiting
		}
		close(goOn)
		if err := <-updated; err != nil {
			t.Fatalf("the update that was under way: %v", err)
		}
		if err := <-closed; err != nil {
			t.Fatalf("close: %v", err)
		}
		ctx := context.Background()
		nothing := func(store.Tx) error { return nil }
		wantKind(t, db.Update(ctx, nothing), fault.KindUnavailable)
		wantKind(t, db.View(ctx, nothing), fault.KindUnavailable)
		_, _, err := db.Claim(ctx, "w", 1, time.Minute)
		wantKind(t, err, fault.KindUnavailable)
		if err := db.Close(); err != nil {
			t.Fatalf("closing again: %v", err)
		}
	})
}
