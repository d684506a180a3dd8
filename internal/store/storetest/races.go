package storetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// crowd is how many do the same at once.
const crowd = 8

// together runs f so often at once, and waits for all.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func races(t *testing.T, open func(*testing.T) store.DB) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.DB)
	}{
		{"read and write in one transaction", raceReadWrite},
		{"compare and set", raceCompareAndSet},
		{"claims", raceClaims},
		{"one answer", raceAnswers},
		{"handed out or expired", raceHanded},
		{"generations", raceGenerations},
		{"one-time secrets", raceEnrolment},
		{"repeated requests", raceRequests},
		{"what is read is written on", raceSkew},
		{"facts appear in order", raceFacts},
		{"claimers", raceClaimers},
		{"no wake is lost", raceWakes},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func raceReadWrite(t *testing.T, db store.DB) {
	put(t, db, someTarget("t", "web"))
	const each = 15
	together(crowd, func(int) {
		for range each {
			err := db.Update(context.Background(), func(tx store.Tx) error {
				target, err := tx.Target("t")
				if err != nil {
					return err
				}
				n, _ := strconv.Atoi(target.Labels["n"])
				target.Labels = map[string]string{"n": strconv.Itoa(n + 1)}
				_, err = tx.PutTarget(target)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	view(t, db, func(tx store.Tx) error {
		target, err := tx.Target("t")
		if err == nil && (target.Labels["n"] != strconv.Itoa(crowd*each) || target.Revision != crowd*each+1) {
			t.Errorf("%d updates gave %+v", crowd*each, target)
		}
		return err
	})
}

func raceCompareAndSet(t *testing.T, db store.DB) {
	update(t, db, func(tx store.Tx) error { _, err := tx.PutRun(run.Run{ID: "r"}); return err })
	for revision := int64(1); revision <= 10; revision++ {
		var won atomic.Int64
		together(crowd, func(i int) {
			err := db.Update(context.Background(), func(tx store.Tx) error {
				_, err := tx.PutRun(run.Run{ID: "r", Revision: revision, Reason: fmt.Sprint(i)})
				return err
			})
			if err == nil {
				won.Add(1)
			} else if !fault.Is(err, fault.KindConflict) {
				t.Error(err)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("%d have won revision %d", won.Load(), revision)
		}
	}
}

func raceClaims(t *testing.T, db store.DB) {
	var holders atomic.Int64
	together(crowd, func(i int) {
		id, revision := fmt.Sprintf("r%d", i), int64(0)
		putRun := func(holds ...string) error {
			return db.Update(context.Background(), func(tx store.Tx) error {
				r, err := tx.PutRun(run.Run{ID: id, Revision: revision, Holds: holds})
				if err == nil {
					revision = r.Revision
				}
				return err
			})
		}
		for range 15 {
			err := putRun("group/web", fmt.Sprintf("target/%d", i%2))
			if fault.Is(err, fault.KindConflict) {
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			if n := holders.Add(1); n != 1 {
				t.Errorf("%d hold the same", n)
			}
			holders.Add(-1)
			if err := putRun(); err != nil {
				t.Error(err)
			}
		}
	})
}

func raceAnswers(t *testing.T, db store.DB) {
	put(t, db, someTarget("t", "web"))
	for attempt := 1; attempt <= 10; attempt++ {
		update(t, db, func(tx store.Tx) error { return tx.AddOrder(someOrder("r", "s", attempt, "t")) })
		key := fmt.Sprintf("r/s/%d", attempt)
		var firsts atomic.Int64
		var winner atomic.Value
		together(crowd, func(i int) {
			var first bool
			r := action.Result{Reason: fmt.Sprint(i)}
			err := db.Update(context.Background(), func(tx store.Tx) (err error) { first, err = tx.Answer(key, r, start); return err })
			if err != nil {
				t.Error(err)
			}
			if first {
				firsts.Add(1)
				winner.Store(r.Reason)
			}
		})
		view(t, db, func(tx store.Tx) error {
			o, err := tx.Order(key)
			if err == nil && (firsts.Load() != 1 || o.Result.Reason != winner.Load()) {
				t.Errorf("%d were first, %v thinks so, kept is %s", firsts.Load(), winner.Load(), o.Result.Reason)
			}
			return err
		})
	}
}

func raceHanded(t *testing.T, db store.DB) {
	put(t, db, someTarget("t", "web"))
	for attempt := 1; attempt <= 20; attempt++ {
		update(t, db, func(tx store.Tx) error { return tx.AddOrder(someOrder("r", "s", attempt, "t")) })
		key := fmt.Sprintf("r/s/%d", attempt)
		var handed, expired bool
		together(2, func(i int) {
			if i == 0 {
				err := db.Update(context.Background(), func(tx store.Tx) error { return tx.MarkHanded(key, start) })
				if handed = err == nil; err != nil && !fault.Is(err, fault.KindConflict) {
					t.Error(err)
				}
				return
			}
			err := db.Update(context.Background(), func(tx store.Tx) (err error) { expired, err = tx.ExpireOrder(key, start); return err })
			if err != nil {
				t.Error(err)
			}
		})
		if handed == expired {
			t.Fatalf("handed out: %v, expired: %v", handed, expired)
		}
	}
}

func raceGenerations(t *testing.T, db store.DB) {
	put(t, db, someTarget("t", "web"))
	const each = 5
	together(crowd, func(i int) {
		for attempt := range each {
			err := db.Update(context.Background(), func(tx store.Tx) error {
				if err := tx.AddOrder(someOrder(fmt.Sprintf("r%d", i), "s", attempt, "t")); err != nil {
					return err
				}
				return tx.AddOrder(someOrder("same", "s", attempt, "t")) // by all of them
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	view(t, db, func(tx store.Tx) error {
		all, err := tx.OpenOrders("t")
		for i, o := range all {
			if o.Generation != int64(i+1) {
				t.Fatalf("order %d of %d has generation %d", i, len(all), o.Generation)
			}
		}
		if len(all) != (crowd+1)*each {
			t.Fatalf("%d orders", len(all))
		}
		return err
	})
}

func raceEnrolment(t *testing.T, db store.DB) {
	for round := range 10 {
		hash := fmt.Sprint(round)
		update(t, db, func(tx store.Tx) error { return tx.PutEnrolment(store.Enrolment{Hash: hash}) })
		var used atomic.Int64
		together(crowd, func(i int) {
			err := db.Update(context.Background(), func(tx store.Tx) error {
				e, err := tx.EnrolmentByHash(hash)
				if err != nil {
					return err
				}
				if !e.Used.IsZero() {
					return fault.Denied("used")
				}
				e.Used, e.Key = start, fmt.Sprint(i)
				return tx.PutEnrolment(e)
			})
			if err == nil {
				used.Add(1)
			} else if !fault.Is(err, fault.KindDenied) {
				t.Error(err)
			}
		})
		if used.Load() != 1 {
			t.Fatalf("used %d times", used.Load())
		}
	}
}

func raceRequests(t *testing.T, db store.DB) {
	for round := range 10 {
		var made sync.Map
		together(crowd, func(i int) {
			var got string
			err := db.Update(context.Background(), func(tx store.Tx) error {
				earlier, repeated, err := tx.Repeated("ann", fmt.Sprint(round), "f")
				if err != nil {
					return err
				}
				if got = earlier; repeated {
					return nil
				}
				got = fmt.Sprint("made by ", i)
				return tx.Remember("ann", fmt.Sprint(round), "f", got, start)
			})
			if err != nil {
				t.Error(err)
			}
			made.Store(got, true)
		})
		n := 0
		made.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Fatalf("%d things were made", n)
		}
	}
}

// raceSkew has everybody look whether there is a token, and make one if not,
// each one of their own: only one may find none.
func raceSkew(t *testing.T, db store.DB) {
	for round := range 10 {
		together(crowd, func(i int) {
			err := db.Update(context.Background(), func(tx store.Tx) error {
				all, err := tx.Tokens()
				if err != nil || len(all) > round {
					return err
				}
				id := fmt.Sprint(round, "/", i)
				return tx.PutToken(store.Token{ID: id, Hash: id})
			})
			if err != nil {
				t.Error(err)
			}
		})
		view(t, db, func(tx store.Tx) error {
			all, err := tx.Tokens()
			if len(all) != round+1 {
				t.Fatalf("%d tokens after round %d", len(all), round)
			}
			return err
		})
	}
}

// raceFacts follows the history while many write it.
func raceFacts(t *testing.T, db store.DB) {
	const each = 25
	written := make(chan struct{})
	go func() {
		defer close(written)
		together(crowd, func(i int) {
			for n := range each {
				err := db.Update(context.Background(), func(tx store.Tx) error {
					return tx.AddFacts([]history.Fact{{Run: fmt.Sprint(i), Text: fmt.Sprint(2 * n)}, {Run: fmt.Sprint(i), Text: fmt.Sprint(2*n + 1)}})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}()
	var after int64
	counts := map[string]int{}
	for last := false; ; {
		select {
		case <-written:
			last = true
		default:
		}
		var some []history.Fact
		view(t, db, func(tx store.Tx) (err error) { some, err = tx.Facts(store.FactFilter{After: after}); return err })
		for _, f := range some {
			if f.Seq <= after || f.Text != fmt.Sprint(counts[f.Run]) {
				t.Fatalf("after %d and %d of its writer comes %+v", after, counts[f.Run], f)
			}
			counts[f.Run]++
			after = f.Seq
		}
		if last {
			break
		}
	}
	for i := range crowd {
		if got := counts[fmt.Sprint(i)]; got != 2*each {
			t.Errorf("of writer %d the reader has seen %d facts of %d", i, got, 2*each)
		}
	}
}

func raceClaimers(t *testing.T, db store.DB) {
	const keys = 200
	update(t, db, func(tx store.Tx) error {
		for i := range keys {
			if err := tx.Wake(fmt.Sprint(i), past(1)); err != nil {
				return err
			}
		}
		return nil
	})
	var claimed sync.Map
	var count atomic.Int64
	together(crowd, func(i int) {
		owner := fmt.Sprint("w", i)
		for count.Load() < keys {
			some, next, err := db.Claim(context.Background(), owner, 7, time.Hour)
			if err != nil {
				t.Error(err)
				return
			}
			for _, l := range some {
				if other, twice := claimed.LoadOrStore(l.Key, owner); twice {
					t.Errorf("%s was claimed by %v and %s", l.Key, other, owner)
				}
			}
			count.Add(int64(len(some)))
			if len(some) == 0 && !next.IsZero() && next.After(time.Now().Add(time.Minute)) {
				return // all are leased
			}
		}
	})
	if count.Load() != keys {
		t.Fatalf("%d of %d were claimed", count.Load(), keys)
	}
}

// raceWakes has many write down that there is something to do and wake the one
// key, and two do what is written down; nothing may stay undone.
func raceWakes(t *testing.T, db store.DB) {
	const each = 15
	var wakers, workers sync.WaitGroup
	stop := make(chan struct{})
	for i := range crowd {
		wakers.Go(func() {
			for n := range each {
				err := db.Update(context.Background(), func(tx store.Tx) error {
					id := fmt.Sprint(i, "/", n)
					if err := tx.PutToken(store.Token{ID: id, Hash: id}); err != nil {
						return err
					}
					return tx.Wake("k", past(0))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	work := func(owner string) {
		claimed, _, err := db.Claim(context.Background(), owner, 1, time.Hour)
		if err != nil {
			t.Error(err)
		}
		for _, l := range claimed {
			var todo []store.Token // read before the key is given back, in another transaction
			if err := db.View(context.Background(), func(tx store.Tx) (err error) { todo, err = tx.Tokens(); return err }); err != nil {
				t.Error(err)
			}
			err := db.Update(context.Background(), func(tx store.Tx) error {
				for _, k := range todo {
					if err := tx.DeleteToken(k.ID); err != nil {
						return err
					}
				}
				return tx.Finish(l)
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	for i := range 2 {
		workers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					work(fmt.Sprint("w", i))
				}
			}
		})
	}
	wakers.Wait()
	close(stop)
	workers.Wait()
	work("last")
	view(t, db, func(tx store.Tx) error {
		left, err := tx.Tokens()
		if len(left) != 0 {
			t.Errorf("%d things stay undone", len(left))
		}
		return err
	})
}
