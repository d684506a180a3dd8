package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"upkeep/internal/fault"
	"upkeep/internal/store"
	"upkeep/internal/store/postgres"
	"upkeep/internal/store/postgrestest"
)

// sql runs a statement beside the store.
func sql(t *testing.T, url, statement string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	ctx := context.Background()
	for url, kind := range map[string]fault.Kind{
		"postgres://user:secret@[nonsense":           fault.KindInvalid,
		"postgres://user:secret@/x?host=/nowhere":    fault.KindUnavailable,
		postgrestest.URL(t) + "&user=nobody-of-ours": fault.KindUnavailable,
	} {
		_, err := postgres.Open(ctx, url)
		if !fault.Is(err, kind) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s gives %s: %v", url, fault.KindOf(err), err)
		}
	}
}

// Many processes start at once, and the database is empty.
func TestOpenTogether(t *testing.T) {
	url := postgrestest.URL(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			db, err := postgres.Open(context.Background(), url)
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.Update(context.Background(), func(tx store.Tx) error { return tx.Wake("k", time.Now()) }); err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestNewerDatabase(t *testing.T) {
	url := postgrestest.URL(t)
	db, err := postgres.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	sql(t, url, `UPDATE schema_version SET version = 1000`)
	if _, err := postgres.Open(context.Background(), url); !fault.Is(err, fault.KindConflict) || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("a newer database gives %v", err)
	}
}

// The database restarts, or somebody in between hangs up.
func TestConnectionsAreLost(t *testing.T) {
	url := postgrestest.URL(t)
	db, err := postgres.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	cut := func() {
		sql(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	ctx := context.Background()
	write := func(tx store.Tx) error { return tx.Wake("k", time.Now()) }
	err = db.Update(ctx, func(tx store.Tx) error {
		if err := write(tx); err != nil {
			return err
		}
		cut()
		return write(tx)
	})
	if !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("cut off within a transaction: %v", err)
	}
	err = db.Update(ctx, func(tx store.Tx) error { defer cut(); return write(tx) })
	if !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("cut off at the commit: %v", err)
	}
	for i := range 3 { // idle connections that were cut are found out before they are used, or soon
		if err = db.Update(ctx, write); err == nil {
			break
		}
		t.Logf("attempt %d: %v", i, err)
	}
	if err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
