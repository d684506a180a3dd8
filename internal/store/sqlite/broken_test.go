package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlstore"
)

// unnumbered is a database that fails where it numbers.
type unnumbered struct{ dialect }

func (unnumbered) Number(context.Context, sqlstore.Querier, string, int) ([]int64, error) {
	return nil, errors.New("no numbers today")
}

// SQLite would go on after an error and commit the rest. PostgreSQL would not,
// and neither do we: half a transaction is none.
func TestNothingIsCommittedAfterAnError(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "upkeep.db")
	pool := connect(path, defaults, forWriting)
	db, err := sqlstore.New(ctx, sqlstore.Config{Dialect: unnumbered{}, Write: pool, Writers: 1, Read: pool, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.PutSecret("half", nil); err != nil {
			return err
		}
		if err := tx.AddFacts([]history.Fact{{Text: "the other half"}}); err != nil {
			return err
		}
		_, _ = tx.Facts(store.FactFilter{}) // fails, and f takes no notice
		_, err := tx.PutSecret("more", nil)
		if err == nil {
			t.Error("the transaction goes on after an error")
		}
		return nil
	})
	if !fault.Is(err, fault.KindInternal) {
		t.Errorf("the update gives %v", err)
	}
	err = db.View(ctx, func(tx store.Tx) error { _, err := tx.Secret("half"); return err })
	if !fault.Is(err, fault.KindNotFound) {
		t.Errorf("half of it is there: %v", err)
	}
}
