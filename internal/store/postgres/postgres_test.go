package postgres_test

import (
	"context"
	"os"
	"testing"

	"upkeep/internal/store"
	"upkeep/internal/store/postgres"
	"upkeep/internal/store/postgrestest"
	"upkeep/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func openURL(t testing.TB, url string) store.DB {
	t.Helper()
	db, err := postgres.Open(context.Background(), url)
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

func open(t *testing.T) store.DB {
	t.Helper()
	return openURL(t, postgrestest.URL(t))
}

func TestSuite(t *testing.T) { storetest.Run(t, open) }
