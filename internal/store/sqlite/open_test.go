package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
)

func TestOneProcess(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "upkeep.db")
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = sqlite.Open(ctx, path)
	if !fault.Is(err, fault.KindConflict) || !strings.Contains(err.Error(), "process ") {
		t.Fatalf("a second opener gets %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err = sqlite.Open(ctx, path)
	if err != nil {
		t.Fatalf("after closing: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLeasesAreStaleAtOpen(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "upkeep.db")
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(ctx, func(tx store.Tx) error { return tx.Wake("k", time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := db.Claim(ctx, "w", 1, time.Hour)
	if err != nil || len(before) != 1 {
		t.Fatalf("%v, %v", before, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err = sqlite.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(ctx, func(tx store.Tx) error { return tx.Finish(before[0]) }); !fault.Is(err, fault.KindConflict) {
		t.Fatalf("a lease from before the start is good: %v", err)
	}
	again, _, err := db.Claim(ctx, "w", 1, time.Hour)
	if err != nil || len(again) != 1 || again[0].Fence <= before[0].Fence {
		t.Fatalf("%v, %v", again, err)
	}
}

func TestFiles(t *testing.T) {
	// A name with all that a URL could trip over.
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "a b?c=d#e%20f.db")
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(e.Name(), filepath.Base(path)) || info.Mode().Perm() != 0o600 {
			t.Errorf("file %q has mode %v", e.Name(), info.Mode())
		}
	}
	if len(entries) < 2 {
		t.Errorf("files: %v", entries)
	}
	_, err = sqlite.Open(ctx, filepath.Join(t.TempDir(), "absent", "upkeep.db"))
	if !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("without a directory: %v", err)
	}
}

func TestNewerDatabase(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "upkeep.db")
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec(`UPDATE schema_version SET version = 1000`); err != nil {
		t.Fatal(err)
	}
	for range 2 { // refusing must leave the lock free
		_, err = sqlite.Open(ctx, path)
		if !fault.Is(err, fault.KindConflict) || !strings.Contains(err.Error(), "newer program") {
			t.Fatalf("a newer database gives %v", err)
		}
	}
	if _, err := raw.Exec(`UPDATE schema_version SET version = 0`); err != nil {
		t.Fatal(err)
	}
	if _, err = sqlite.Open(ctx, path); !fault.Is(err, fault.KindInternal) {
		t.Fatalf("a migration that fails gives %v", err)
	}
	var tables int // and leaves nothing half done
	if err := raw.QueryRow(`SELECT version FROM schema_version`).Scan(&tables); err != nil || tables != 0 {
		t.Fatalf("%d, %v", tables, err)
	}
}
