package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

// blink is a lease that is over when the next statement is run.
const blink = time.Microsecond

func queue(t *testing.T, open func(*testing.T) store.DB) {
	for _, c := range []struct {
		name string
		test func(*testing.T, q)
	}{
		{"the longest due come first", claimInOrder},
		{"next is when to look again", claimNext},
		{"a key is finished once", finishOnce},
		{"a key is given back once", releaseOnce},
		{"waking makes due earlier, never later", wakeEarlier},
		{"who is woken while leased is due again", wakeLeased},
		{"a lease that was taken over is lost", takeOver},
		{"a lease that nobody took is good", lateButMine},
		{"a lease can be renewed", extend},
		{"giving back is part of its transaction", rollBack},
		{"fences grow for ever", fences},
		{"claims need sense", nonsense},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, q{t, open(t)}) })
	}
}

// q is a queue and the test that it is in.
type q struct {
	t  *testing.T
	db store.DB
}

func (q q) wake(key string, at time.Time) {
	q.t.Helper()
	update(q.t, q.db, func(tx store.Tx) error { return tx.Wake(key, at) })
}

func (q q) claim(n int, lease time.Duration) ([]store.Lease, time.Time) {
	q.t.Helper()
	claimed, next, err := q.db.Claim(context.Background(), "w", n, lease)
	if err != nil {
		q.t.Fatal(err)
	}
	return claimed, next
}

// one claims the one key that is due.
func (q q) one(lease time.Duration) store.Lease {
	q.t.Helper()
	claimed, _ := q.claim(10, lease)
	if len(claimed) != 1 {
		q.t.Fatalf("claimed %+v; want one", claimed)
	}
	return claimed[0]
}

// none expects nothing to be due.
func (q q) none() {
	q.t.Helper()
	if claimed, _ := q.claim(10, time.Hour); len(claimed) != 0 {
		q.t.Fatalf("claimed %+v; want none", claimed)
	}
}

func (q q) finish(l store.Lease) {
	q.t.Helper()
	update(q.t, q.db, func(tx store.Tx) error { return tx.Finish(l) })
}

func (q q) release(l store.Lease, due time.Time) {
	q.t.Helper()
	update(q.t, q.db, func(tx store.Tx) error { return tx.Release(l, due) })
}

// gone expects the lease to be good for nothing.
func (q q) gone(l store.Lease) {
	q.t.Helper()
	refused(q.t, q.db, fault.KindConflict, func(tx store.Tx) error { return tx.Finish(l) })
	refused(q.t, q.db, fault.KindConflict, func(tx store.Tx) error { return tx.Release(l, start) })
	wantKind(q.t, q.db.Extend(context.Background(), l, time.Hour), fault.KindConflict)
}

func past(minutes int) time.Time {
	return time.Now().Truncate(time.Microsecond).UTC().Add(-time.Duration(minutes) * time.Minute)
}
func future(minutes int) time.Time { return past(-minutes) }

func keysOf(leases []store.Lease) []string {
	return ids(leases, func(l store.Lease) string { return l.Key })
}

func claimInOrder(t *testing.T, q q) {
	for key, due := range map[string]time.Time{
		"d": past(1), "b": past(3), "a": past(2), "c": past(4), "never": {}, "later": future(1),
	} {
		q.wake(key, due)
	}
	first, _ := q.claim(3, time.Hour)
	rest, _ := q.claim(10, time.Hour)
	same(t, "first", keysOf(first), []string{"never", "c", "b"})
	same(t, "rest", keysOf(rest), []string{"a", "d"})
	q.none()
	for _, l := range append(first, rest...) {
		if !l.Until.Equal(l.Now.Add(time.Hour)) || time.Since(l.Now).Abs() > time.Minute || l.Fence <= 0 || l.WakeSeq != 1 {
			t.Errorf("lease %+v", l)
		}
		if l.Now.Location() != time.UTC || l.Until.Location() != time.UTC {
			t.Errorf("lease %+v is not in UTC", l)
		}
	}
}

func claimNext(t *testing.T, q q) {
	expect := func(want time.Time, n int) []store.Lease {
		t.Helper()
		claimed, next := q.claim(n, time.Hour)
		if !next.Equal(want) {
			t.Fatalf("next is %v, want %v", next, want)
		}
		return claimed
	}
	expect(time.Time{}, 1)
	soon, late := future(10), future(20)
	q.wake("late", late)
	expect(late, 1)
	q.wake("soon", soon)
	expect(soon, 1)
	longDue, due := past(2), past(1)
	q.wake("longdue", longDue)
	q.wake("due", due)
	a := expect(due, 1) // there is more to claim at once
	b := expect(soon, 1)
	q.release(a[0], future(120))
	q.wake("longdue", late.Add(time.Hour)) // not earlier: stays
	for _, key := range []string{"soon", "late"} {
		q.wake(key, past(1))
	}
	q.claim(2, 3*time.Hour)
	expect(b[0].Until, 1) // the lease of another claim
}

func finishOnce(t *testing.T, q q) {
	q.wake("k", past(1))
	l := q.one(time.Hour)
	q.finish(l)
	q.gone(l)
	q.none()
	if _, next := q.claim(1, time.Hour); !next.IsZero() {
		t.Fatalf("the key is still there: %v", next)
	}
}

func releaseOnce(t *testing.T, q q) {
	q.wake("k", past(1))
	l := q.one(time.Hour)
	due := future(5)
	q.release(l, due)
	q.gone(l)
	if _, next := q.claim(1, time.Hour); !next.Equal(due) {
		t.Fatalf("due at %v, want %v", next, due)
	}
	q.wake("k", past(1))
	l = q.one(time.Hour)
	q.release(l, past(2))
	if again := q.one(time.Hour); again.Fence <= l.Fence {
		t.Fatalf("fence %d after %d", again.Fence, l.Fence)
	}
}

func wakeEarlier(t *testing.T, q q) {
	q.wake("k", future(10))
	q.wake("k", future(20))
	first := future(5)
	q.wake("k", first)
	if _, next := q.claim(1, time.Hour); !next.Equal(first) {
		t.Fatalf("due at %v, want %v", next, first)
	}
	// A nanosecond is not lost downwards: who wakes for it would come too soon.
	odd := first.Add(-time.Minute).Add(1)
	q.wake("k", odd)
	if _, next := q.claim(1, time.Hour); next.Before(odd) || next.After(odd.Add(time.Microsecond)) {
		t.Fatalf("due at %v, want %v", next, odd)
	}
}

func wakeLeased(t *testing.T, q q) {
	for name, give := range map[string]func(store.Lease){
		"finish":  q.finish,
		"release": func(l store.Lease) { q.release(l, future(30)) },
	} {
		q.wake("k", past(1))
		l := q.one(time.Hour)
		q.wake("k", future(10)) // whenever it is wanted: who is woken looks for himself
		q.none()                // but not while it is leased
		give(l)
		again := q.one(time.Hour)
		if again.WakeSeq != l.WakeSeq+1 || again.Fence <= l.Fence {
			t.Fatalf("%s: %+v after %+v", name, again, l)
		}
		q.gone(l)
		q.finish(again)
	}
}

func takeOver(t *testing.T, q q) {
	q.wake("k", past(1))
	mine := q.one(blink)
	theirs := q.one(time.Hour)
	if theirs.Fence <= mine.Fence {
		t.Fatalf("fence %d after %d", theirs.Fence, mine.Fence)
	}
	q.gone(mine)
	refused(t, q.db, fault.KindConflict, func(tx store.Tx) error { // nor does anything beside it
		if _, err := tx.PutSecret("late", nil); err != nil {
			return err
		}
		return tx.Finish(mine)
	})
	missing(t, q.db, func(tx store.Tx) error { _, err := tx.Secret("late"); return err })
	q.finish(theirs)
	// Not even when the key is finished, woken and leased again.
	q.wake("k", past(1))
	q.gone(mine)
	q.gone(theirs)
	l := q.one(time.Hour)
	q.gone(mine)
	q.gone(theirs)
	q.finish(l)
}

func lateButMine(t *testing.T, q q) {
	for _, give := range []func(store.Lease){q.finish, func(l store.Lease) { q.release(l, future(1)) }} {
		q.wake("k", past(1))
		give(q.one(blink))
		q.none()
	}
}

func extend(t *testing.T, q q) {
	q.wake("k", past(1))
	l := q.one(blink)
	if err := q.db.Extend(context.Background(), l, time.Hour); err != nil {
		t.Fatal(err)
	}
	claimed, next := q.claim(1, time.Hour)
	if len(claimed) != 0 || time.Until(next) < 50*time.Minute {
		t.Fatalf("claimed %+v, next %v", claimed, next)
	}
	if err := q.db.Extend(context.Background(), l, blink); err != nil {
		t.Fatal(err)
	}
	again := q.one(time.Hour)
	wantKind(t, q.db.Extend(context.Background(), l, time.Hour), fault.KindConflict)
	q.finish(again)
	wantKind(t, q.db.Extend(context.Background(), again, time.Hour), fault.KindConflict)
}

func rollBack(t *testing.T, q q) {
	q.wake("k", past(1))
	l := q.one(time.Hour)
	mine := errors.New("mine")
	err := q.db.Update(context.Background(), func(tx store.Tx) error { return errors.Join(tx.Finish(l), tx.Wake("j", past(1)), mine) })
	if !errors.Is(err, mine) {
		t.Fatal(err)
	}
	q.none()
	q.finish(l)
}

func fences(t *testing.T, q q) {
	var last int64
	for range 5 {
		q.wake("k", past(1))
		q.wake("j", past(1))
		claimed, _ := q.claim(2, time.Hour)
		for _, l := range claimed {
			if l.Fence <= last {
				t.Fatalf("fence %d after %d", l.Fence, last)
			}
		}
		last = claimed[0].Fence
		q.finish(claimed[0])
		q.finish(claimed[1])
	}
}

func nonsense(t *testing.T, q q) {
	q.wake("k", past(1))
	for _, c := range []struct {
		owner string
		n     int
		lease time.Duration
	}{{"", 1, time.Hour}, {"w", 0, time.Hour}, {"w", 1, 0}} {
		_, _, err := q.db.Claim(context.Background(), c.owner, c.n, c.lease)
		wantKind(t, err, fault.KindInternal)
	}
	for i := range 1000 {
		q.wake(fmt.Sprint(i), past(1))
	}
	if claimed, next := q.claim(1_000_000, time.Hour); len(claimed) < 64 || next.After(time.Now()) {
		t.Fatalf("%d claimed of many, next %v", len(claimed), next)
	}
}
