package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
	"upkeep/internal/store/storetest"
)

// A database of the first version is brought to the present one, and what is
// in it gets its numbers.
func TestMigrateFromTheFirstVersion(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "upkeep.db")
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(ctx, func(tx store.Tx) error {
		for _, id := range []string{"t1", "t2"} {
			if _, err := tx.PutTarget(fleet.Target{ID: id, Project: "p", Name: id}); err != nil {
				return err
			}
		}
		for _, s := range []fleet.Schedule{{ID: "a", Target: "t1"}, {ID: "b", Target: "t2"}, {ID: "c", Target: "t1"}} {
			s.Name, s.Window, s.Policy = s.ID, storetest.Window(time.Monday), fleet.DefaultPolicy()
			if _, err := tx.PutSchedule(s); err != nil {
				return err
			}
			if _, err := tx.PutRun(run.Run{ID: "r" + s.ID, Target: s.Target}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	backToTheFirst(t, path)

	db, err = sqlite.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(ctx, func(tx store.Tx) error {
		for id, want := range map[string]int64{"a": 1, "b": 1, "c": 2} {
			s, err := tx.Schedule(id)
			if err != nil {
				return err
			}
			r, err := tx.Run("r" + id)
			if err != nil {
				return err
			}
			if s.Number != want || r.Number != want {
				t.Errorf("schedule %s has number %d and its run %d, want %d", id, s.Number, r.Number, want)
			}
		}
		next, err := tx.PutSchedule(fleet.Schedule{ID: "d", Target: "t1", Name: "d", Window: storetest.Window(time.Monday)})
		if next.Number != 3 {
			t.Errorf("the next schedule has number %d", next.Number)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// backToTheFirst takes away what later versions have added.
func backToTheFirst(t *testing.T, path string) {
	t.Helper()
	playBack(t, path,
		`DROP TABLE holds`, `DROP TABLE service_members`, `ALTER TABLE claims DROP COLUMN project`,
		`DROP TABLE trains`, `DROP TABLE releases`, `DROP TABLE rollouts`, `DROP INDEX facts_rollout`, `ALTER TABLE facts DROP COLUMN rollout`,
		`DROP TABLE seconds`, `DROP TABLE watches`,
		`DROP TABLE runbooks`, `ALTER TABLE targets DROP COLUMN kind`,
		`DROP TABLE images`, `DROP TABLE channels`, `DROP INDEX targets_image`, `ALTER TABLE targets DROP COLUMN image`,
		`DROP TABLE templates`, `DROP TABLE groups`, `DROP INDEX runs_number`,
		`ALTER TABLE runs DROP COLUMN number`, `ALTER TABLE schedules DROP COLUMN number`, `ALTER TABLE targets DROP COLUMN numbered`,
		`UPDATE schema_version SET version = 1`,
	)
}

func playBack(t *testing.T, path string, texts ...string) {
	t.Helper()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, text := range texts {
		if _, err := raw.ExecContext(context.Background(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// What services there are and what runs hold is known after the migration that
// asks for it.
func TestMigrateClaims(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "upkeep.db")
	db, err := sqlite.Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(ctx, func(tx store.Tx) error {
		service := fleet.Service{Members: []fleet.Member{{Name: "a", Server: "ctl1"}, {Name: "b", Server: "ctl1"}, {Name: "c"}}}
		if _, err := tx.PutTarget(fleet.Target{ID: "s", Project: "p", Name: "api", Kind: fleet.ServiceKind, Service: &service}); err != nil {
			return err
		}
		if _, err := tx.PutTarget(fleet.Target{ID: "t", Project: "p", Name: "ctl1", Kind: fleet.Server}); err != nil {
			return err
		}
		_, err := tx.PutRun(run.Run{ID: "r", Project: "p", Target: "t", Holds: []string{"target/t"}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	playBack(t, path, `DROP TABLE holds`, `DROP TABLE service_members`, `ALTER TABLE claims DROP COLUMN project`, `UPDATE schema_version SET version = 7`)
	if db, err = sqlite.Open(ctx, path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(ctx, func(tx store.Tx) error {
		services, err := tx.ServicesOn("p", "ctl1")
		if err != nil {
			return err
		}
		claims, err := tx.Claims(store.ClaimFilter{Project: "p"})
		if len(services) != 1 || services[0].ID != "s" || len(claims) != 1 || claims[0].Holder != "r" {
			t.Errorf("services %+v, claims %+v", services, claims)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
