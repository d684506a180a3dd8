package storetest

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

// model compares the queue with a simple one in memory, over random histories.
//
// The database's clock can't be set, so times are far in the past or far in the
// future, and leases are long or over at once. What becomes due "now" is known
// between two instants.
func model(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	newest := map[string]store.Lease{}
	rapid.Check(t, func(t *rapid.T) {
		drain(t, db, newest)
		m := &machine{db: db, rows: map[string]*row{}, newest: newest, base: time.Now().Truncate(time.Microsecond)}
		t.Repeat(map[string]func(*rapid.T){
			"wake":    m.wake,
			"claim":   m.claim,
			"finish":  m.finish,
			"release": m.release,
			"extend":  m.extend,
		})
	})
}

// row is a key of the model.
type row struct {
	key     string
	lo, hi  time.Time // it may be claimed from some instant between these
	leased  bool
	fence   int64
	wakeSeq int64
}

type machine struct {
	db     store.DB
	base   time.Time
	rows   map[string]*row
	leases []store.Lease // all that were ever handed out
	newest map[string]store.Lease
}

var modelKeys = []string{"a", "b", "c", "d", "e"}

// drain empties the queue of what the history before has left.
func drain(t *rapid.T, db store.DB, newest map[string]store.Lease) {
	finish := func(l store.Lease) {
		err := db.Update(context.Background(), func(tx store.Tx) error { return tx.Finish(l) })
		if err != nil && !fault.Is(err, fault.KindConflict) {
			t.Fatal(err)
		}
	}
	for _, key := range modelKeys {
		if l, ok := newest[key]; ok {
			finish(l)
		}
		err := db.Update(context.Background(), func(tx store.Tx) error { return tx.Wake(key, time.Time{}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	claimed, next, err := db.Claim(context.Background(), "drain", 100, time.Hour)
	if err != nil || len(claimed) != len(modelKeys) || !next.IsZero() {
		t.Fatalf("the queue can't be emptied: %v, %v, %v", claimed, next, err)
	}
	for _, l := range claimed {
		finish(l)
	}
	clear(newest)
}

// due draws a time in the past or in the future.
func (m *machine) due(t *rapid.T) time.Time {
	minutes := rapid.IntRange(1, 20).Draw(t, "minutes")
	if rapid.Bool().Draw(t, "future") {
		return m.base.Add(time.Hour + time.Duration(minutes)*time.Minute)
	}
	return m.base.Add(-time.Duration(minutes) * time.Minute)
}

func (m *machine) lease(t *rapid.T) time.Duration {
	return rapid.SampledFrom([]time.Duration{blink, 24 * time.Hour}).Draw(t, "lease")
}

func (m *machine) aLease(t *rapid.T) store.Lease {
	if len(m.leases) == 0 {
		t.Skip("no leases yet")
	}
	return rapid.SampledFrom(m.leases).Draw(t, "lease of")
}

// held is the row that the lease is good for, or nil.
func (m *machine) held(l store.Lease) *row {
	if r := m.rows[l.Key]; r != nil && r.leased && r.fence == l.Fence {
		return r
	}
	return nil
}

func (m *machine) wake(t *rapid.T) {
	key, at := rapid.SampledFrom(modelKeys).Draw(t, "key"), m.due(t)
	if err := m.db.Update(context.Background(), func(tx store.Tx) error { return tx.Wake(key, at) }); err != nil {
		t.Fatal(err)
	}
	r := m.rows[key]
	if r == nil {
		r = &row{key: key, lo: at, hi: at}
		m.rows[key] = r
	}
	r.wakeSeq++
	if !r.leased && at.Before(r.lo) {
		r.lo, r.hi = at, at
	}
}

func (m *machine) claim(t *rapid.T) {
	n, lease := rapid.IntRange(1, 3).Draw(t, "n"), m.lease(t)
	before := time.Now()
	claimed, next, err := m.db.Claim(context.Background(), "w", n, lease)
	if err != nil {
		t.Fatal(err)
	}
	order := make([]*row, 0, len(m.rows))
	for _, r := range m.rows {
		order = append(order, r)
	}
	slices.SortFunc(order, func(a, b *row) int { return cmp.Or(a.lo.Compare(b.lo), cmp.Compare(a.key, b.key)) })
	due := 0
	for due < len(order) && due < n && order[due].lo.Before(before) {
		due++
	}
	var want []string
	for _, r := range order[:due] {
		want = append(want, r.key)
	}
	if got := keysOf(claimed); !slices.Equal(got, want) {
		t.Fatalf("claimed %v, want %v", got, want)
	}
	switch {
	case due == len(order):
		if !next.IsZero() {
			t.Fatalf("next is %v; there is none", next)
		}
	case next.Before(order[due].lo.Truncate(time.Microsecond)) || next.After(order[due].hi):
		t.Fatalf("next is %v, want %v to %v", next, order[due].lo, order[due].hi)
	}
	for i, l := range claimed {
		r := order[i]
		if l.Fence <= r.fence || l.WakeSeq != r.wakeSeq || !l.Until.Equal(l.Now.Add(lease)) {
			t.Fatalf("lease %+v of row %+v", l, r)
		}
		r.leased, r.fence = true, l.Fence
		// One instant for all of one claim, in the order of claims.
		r.lo, r.hi = before.Add(lease), l.Until
		m.newest[l.Key] = l
		m.leases = append(m.leases, l)
	}
}

func (m *machine) finish(t *rapid.T) {
	l := m.aLease(t)
	r, atOnce := m.giveBack(t, l, func(tx store.Tx) error { return tx.Finish(l) })
	if r != nil && !atOnce {
		delete(m.rows, l.Key)
	}
}

func (m *machine) release(t *rapid.T) {
	l, due := m.aLease(t), m.due(t)
	r, atOnce := m.giveBack(t, l, func(tx store.Tx) error { return tx.Release(l, due) })
	if r != nil && !atOnce {
		r.lo, r.hi = due, due
	}
}

// giveBack ends a lease by f. The row is nil if the lease was lost; it is due at
// once if it was woken meanwhile.
func (m *machine) giveBack(t *rapid.T, l store.Lease, f func(store.Tx) error) (r *row, atOnce bool) {
	before := time.Now()
	err := m.db.Update(context.Background(), f)
	after := time.Now()
	if r = m.held(l); r == nil {
		if !fault.Is(err, fault.KindConflict) {
			t.Fatalf("a lost lease on %s: %v", l.Key, err)
		}
		return nil, false
	}
	if err != nil {
		t.Fatalf("a good lease on %s: %v", l.Key, err)
	}
	r.leased = false
	if r.wakeSeq == l.WakeSeq {
		return r, false
	}
	r.lo, r.hi = before, after
	return r, true
}

func (m *machine) extend(t *rapid.T) {
	l, lease := m.aLease(t), m.lease(t)
	before := time.Now()
	err := m.db.Extend(context.Background(), l, lease)
	after := time.Now()
	r := m.held(l)
	if r == nil {
		if !fault.Is(err, fault.KindConflict) {
			t.Fatalf("a lost lease on %s: %v", l.Key, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("a good lease on %s: %v", l.Key, err)
	}
	r.lo, r.hi = before.Add(lease), after.Add(lease)
}
