package postgres_test

import (
	"context"
	"os"
	"testing"
	"time"

	"upkeep/internal/store"
	"upkeep/internal/store/postgres"
	"upkeep/internal/store/postgrestest"
	"upkeep/internal/store/storetest"
)

func openURL(ctx context.Context, url string) (store.DB, error) {
	db, err := postgres.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	return db, nil
}

func TestMain(m *testing.M) {
	os.Exit(storetest.Main(openURL, func() int { return postgrestest.Main(m) }))
}

func open(t testing.TB) store.DB {
	t.Helper()
	db, err := postgres.Open(context.Background(), postgrestest.URL(t))
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

func TestSuite(t *testing.T) { storetest.Run(t, func(t *testing.T) store.DB { return open(t) }) }

func TestKill(t *testing.T) { storetest.Kill(t, openURL, postgrestest.URL(t), 2) }

func TestStop(t *testing.T) { storetest.Stop(t, openURL, postgrestest.URL(t)) }

func TestStopWithinTransaction(t *testing.T) {
	storetest.StopHolding(t, openURL, postgrestest.URL(t)+"&idle_in_transaction_session_timeout=500")
}

func TestTakeOver(t *testing.T) {
	storetest.TakeOver(t, openURL, postgrestest.URL(t), 300*time.Millisecond, 5*time.Second)
}

// Set UPKEEP_TEST_FSYNC to measure what a commit costs that survives a power cut.
func BenchmarkStore(b *testing.B) { storetest.Bench(b, open) }
