package desk

import (
	"context"
	"time"

	"upkeep/internal/evidence"
	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// Evidence is what the users of a service saw during a run of a runbook.
type Evidence struct {
	Run    run.Run
	Report *evidence.Report // its Watch's Began is zero if nobody was to ask
}

// secondsAtOnce is how many seconds are read at once: a run may have a million.
const secondsAtOnce = 5000

// Evidence tells what users saw during a run, with a series of at most so many
// points. Not found: the run is none of a runbook.
func (d *Desk) Evidence(ctx context.Context, c Caller, id string, points int) (out Evidence, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		if out.Run, err = findBook(tx, c, id); err != nil {
			return err
		}
		w, err := tx.Watch(id)
		if err != nil {
			return err
		}
		now := time.Now()
		r := evidence.NewReport(w, out.Run.Book.Outages, points, now)
		f := store.SecondFilter{Run: id, Limit: secondsAtOnce}
		for {
			page, err := tx.Seconds(f)
			if err != nil {
				return err
			}
			for _, s := range page {
				r.Add(s)
				f.After, f.Endpoint = s.At, s.Endpoint
			}
			if len(page) < secondsAtOnce {
				break
			}
		}
		switch {
		case w.On:
			r.End(now)
		case out.Run.State.Ended():
			r.End(out.Run.Finished)
		}
		out.Report = r
		return nil
	})
	return out, err
}

// Seconds lists what became of a run's requests, second by second and endpoint
// by endpoint, of those after the given ones.
func (d *Desk) Seconds(ctx context.Context, c Caller, id string, after time.Time, endpoint string, limit int) (all []evidence.Second, err error) {
	if limit, err = page(limit); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		if _, err := findBook(tx, c, id); err != nil {
			return err
		}
		all, err = tx.Seconds(store.SecondFilter{Run: id, After: after, Endpoint: endpoint, Limit: limit})
		return err
	})
	return all, err
}

// findBook finds a run of a runbook.
func findBook(tx store.Tx, c Caller, id string) (run.Run, error) {
	r, err := findRun(tx, c, identity.Read, id)
	if err == nil && r.Book == nil {
		err = fault.NotFound("run of a runbook", id)
	}
	return r, err
}
