package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
	"upkeep/internal/store/storetest"
)

func openPath(ctx context.Context, path string) (store.DB, error) {
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return db, nil
}

func TestMain(m *testing.M) { os.Exit(storetest.Main(openPath, m.Run)) }

func open(t *testing.T) store.DB {
	t.Helper()
	db, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "upkeep.db"), sqlite.Unsafe())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestSuite(t *testing.T) { storetest.Run(t, open) }

func TestKill(t *testing.T) {
	storetest.Kill(t, openPath, filepath.Join(t.TempDir(), "upkeep.db"), 1)
}

func TestStop(t *testing.T) {
	storetest.StopAlone(t, openPath, filepath.Join(t.TempDir(), "upkeep.db"))
}

// The lock says that a lease is stale, so nobody waits for its end.
func TestTakeOver(t *testing.T) {
	storetest.TakeOver(t, openPath, filepath.Join(t.TempDir(), "upkeep.db"), time.Hour, 5*time.Second)
}

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(t testing.TB) store.DB {
		db, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "upkeep.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	})
}
