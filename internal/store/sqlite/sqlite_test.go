package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
	"upkeep/internal/store/storetest"
)

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
