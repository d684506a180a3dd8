package engine

import (
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/store"
)

// tickHold ends a hold when its time is over.
func tickHold(tx store.Tx, l store.Lease, id string) error {
	h, err := tx.Hold(id)
	if fault.Is(err, fault.KindNotFound) {
		return tx.Finish(l)
	}
	if err != nil {
		return err
	}
	now := time.Now()
	if !h.Over(now) {
		return release(tx, l, h.Until)
	}
	if err := tx.DropHold(id); err != nil {
		return err
	}
	if err := tx.AddFacts([]history.Fact{{
		At: now, Who: "engine", Project: h.Project, Kind: history.ClaimReleased,
		Text: strings.Join(h.Names, ", ") + ": the claim of " + h.By + " is over, its time has come",
	}}); err != nil {
		return err
	}
	return tx.Finish(l)
}
