package identity

import (
	"context"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

// Updater reads and writes the database; store.DB is one.
type Updater interface {
	Reader
	Update(ctx context.Context, f func(store.Tx) error) error
}

// kept gives the secret of a name, making it if there is none yet. Servers that
// start at once all get the one that was kept first.
func kept(ctx context.Context, db Updater, s *Sealer, name string, create func() ([]byte, error)) ([]byte, error) {
	var sealed []byte
	err := db.View(ctx, func(tx store.Tx) (err error) {
		sealed, err = tx.Secret(name)
		return err
	})
	if fault.Is(err, fault.KindNotFound) {
		plain, merr := create()
		if merr != nil {
			return nil, fault.Internal("make "+name, merr)
		}
		mine := s.Seal(name, plain)
		err = db.Update(ctx, func(tx store.Tx) (err error) {
			sealed, err = tx.PutSecret(name, mine)
			return err
		})
	}
	if err != nil {
		return nil, fault.Internal("load "+name, err)
	}
	return s.Open(name, sealed)
}
