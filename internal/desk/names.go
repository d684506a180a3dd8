package desk

import (
	"context"

	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/store"
)

// ServerNames says the names of servers by their ids. What the caller may not
// know of, or was removed, is missing.
func (d *Desk) ServerNames(ctx context.Context, c Caller, ids []string) (map[string]string, error) {
	names := make(map[string]string, len(ids))
	err := d.db.View(ctx, func(tx store.Tx) error {
		for _, id := range ids {
			if names[id] != "" {
				continue
			}
			t, err := tx.Target(id)
			if err != nil && !fault.Is(err, fault.KindNotFound) {
				return err
			}
			if err == nil && c.May(identity.Read, t.Project) == nil {
				names[id] = t.Name
			}
		}
		return nil
	})
	return names, err
}
