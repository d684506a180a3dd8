package storetest

import (
	"testing"
	"time"

	"upkeep/internal/evidence"
	"upkeep/internal/store"
)

// answers is one of an endpoint, so many seconds after start.
func answers(at int, endpoint string, answered, unanswered int) evidence.Second {
	return evidence.Second{
		At: start.Add(time.Duration(at) * time.Second), Span: time.Second, Endpoint: endpoint, Answered: answered, Unanswered: unanswered,
		Failed: 1, Slow: 2, Skipped: 3, P50: 10 * time.Millisecond, P99: 20 * time.Millisecond,
	}
}

func seconds(t *testing.T, open func(*testing.T) store.DB) {
	t.Run("watches come back as they were", func(t *testing.T) {
		db := open(t)
		var full evidence.Watch
		Fill(&full)
		for _, want := range []evidence.Watch{full, {Run: full.Run, Began: full.Began}} {
			var got evidence.Watch
			update(t, db, func(tx store.Tx) error { return tx.PutWatch(want) })
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.Watch(want.Run); return err })
			same(t, "watch", got, want)
		}
		view(t, db, func(tx store.Tx) error {
			w, err := tx.Watch("absent")
			same(t, "what was never watched", w, evidence.Watch{})
			return err
		})
	})
	t.Run("are listed, paged and summed", func(t *testing.T) {
		db := open(t)
		one, two, three := answers(0, "list", 10, 0), answers(0, "token", 5, 5), answers(1, "list", 8, 2)
		two.Why = "no answer within 5s"
		long := answers(10, "list", 100, 0)
		long.Span = 10 * time.Second
		update(t, db, func(tx store.Tx) error {
			if err := tx.AddSeconds("other", []evidence.Second{one}); err != nil {
				return err
			}
			return tx.AddSeconds("r", []evidence.Second{three, long, two, one})
		})
		list := func(f store.SecondFilter) (got []evidence.Second) {
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.Seconds(f); return err })
			return got
		}
		same(t, "all", list(store.SecondFilter{Run: "r"}), []evidence.Second{one, two, three, long})
		same(t, "a page", list(store.SecondFilter{Run: "r", Limit: 1}), []evidence.Second{one})
		same(t, "the next", list(store.SecondFilter{Run: "r", After: one.At, Endpoint: "list", Limit: 2}), []evidence.Second{two, three})
		same(t, "none", list(store.SecondFilter{Run: "absent"}), []evidence.Second(nil))
		for after, want := range map[int]evidence.Total{
			-1: {Sent: 130, Unanswered: 7, Failed: 4, Slow: 8, Skipped: 12},
			1:  {Sent: 110, Unanswered: 2, Failed: 2, Slow: 4, Skipped: 6},
			19: {Sent: 100, Failed: 1, Slow: 2, Skipped: 3}, // it reaches beyond
			20: {},
		} {
			view(t, db, func(tx store.Tx) error {
				sum, err := tx.SumSeconds("r", start.Add(time.Duration(after)*time.Second))
				same(t, "sum", sum, want)
				return err
			})
		}
	})
	t.Run("of the same instant are added up", func(t *testing.T) {
		db := open(t)
		a, b := answers(0, "list", 10, 0), answers(0, "list", 30, 2)
		b.P50, b.P99, b.Why = 50*time.Millisecond, 15*time.Millisecond, "502 Bad Gateway"
		add := func(all ...evidence.Second) {
			update(t, db, func(tx store.Tx) error { return tx.AddSeconds("r", all) })
		}
		add(a, b) // in one statement
		add(b)    // and in another
		add(answers(1, "list", 0, 0))
		add(answers(1, "list", 0, 0))
		view(t, db, func(tx store.Tx) error {
			got, err := tx.Seconds(store.SecondFilter{Run: "r", Limit: 1})
			want := a.Plus(b).Plus(b)
			want.P50 = got[0].P50
			same(t, "sum", got, []evidence.Second{want})
			if p := got[0].P50; p < 44*time.Millisecond || p > 45*time.Millisecond {
				t.Errorf("the mean of the medians is %s", p)
			}
			return err
		})
	})
	t.Run("are forgotten run by run, and their sums stay", func(t *testing.T) {
		db := open(t)
		var many []evidence.Second
		for i := range 1000 {
			many = append(many, answers(i, "list", 1, 0))
		}
		update(t, db, func(tx store.Tx) error {
			for i, run := range []string{"a", "b", "c"} {
				if err := tx.PutWatch(evidence.Watch{Run: run, Began: start.Add(time.Duration(i) * time.Hour), Total: evidence.Total{Sent: 1000}}); err != nil {
					return err
				}
				if err := tx.AddSeconds(run, many); err != nil {
					return err
				}
			}
			return nil
		})
		kept := func() (n []int) {
			view(t, db, func(tx store.Tx) error {
				for _, run := range []string{"a", "b", "c"} {
					all, err := tx.Seconds(store.SecondFilter{Run: run})
					if err != nil {
						return err
					}
					if w, err := tx.Watch(run); err != nil || w.Total.Sent != 1000 {
						t.Errorf("the sum of %s: %+v, %v", run, w, err)
					}
					n = append(n, len(all))
				}
				return nil
			})
			return n
		}
		forget := func() {
			update(t, db, func(tx store.Tx) error { return tx.ForgetSeconds(start.Add(90*time.Minute), 1) })
		}
		forget()
		same(t, "after one", kept(), []int{0, 1000, 1000})
		forget()
		forget()
		same(t, "after all that are old", kept(), []int{0, 0, 1000})
	})
}
