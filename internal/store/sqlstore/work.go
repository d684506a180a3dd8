package sqlstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

// busyRow is how long a claimer that found only rows under others' hands leaves
// them alone.
const busyRow = 50 * time.Millisecond

// noFence is no row's fence; one that was never claimed has 0.
const noFence = -1

// Claim implements store.Claimer. It first looks without writing, so that
// an idle engine costs neither a commit nor a turn at the writer's gate.
func (db *DB) Claim(ctx context.Context, owner string, n int, lease time.Duration) (claimed []store.Lease, next time.Time, err error) {
	if owner == "" || n < 1 || lease <= 0 {
		return nil, time.Time{}, fault.Internal("claim", errors.New("it takes an owner, a number and a lease"))
	}
	due := false
	err = db.run(ctx, db.read, readOnly, func(t *tx) error {
		if next, err = t.nextReady(noFence); err != nil || next.IsZero() {
			return err
		}
		now, err := t.now()
		due = !next.After(now)
		return err
	})
	if err != nil || !due {
		return nil, next, err
	}
	err = db.run(ctx, db.write, claiming, func(t *tx) error {
		claimed, next, err = t.claim(owner, min(n, store.MaxClaim), lease)
		return err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return claimed, next, nil
}

func (t *tx) claim(owner string, n int, lease time.Duration) ([]store.Lease, time.Time, error) {
	now, err := t.now()
	if err != nil {
		return nil, time.Time{}, err
	}
	claimed, err := list(t, "claim", `SELECT key, wake_seq FROM work WHERE ready_at <= $1 ORDER BY ready_at, key LIMIT `+strconv.Itoa(n)+t.dialect.SkipLocked(),
		[]any{now.UnixMicro()}, func(row scanner) (store.Lease, error) {
			l := store.Lease{Now: now, Until: instant(now.Add(lease).UnixMicro())}
			return l, row.Scan(&l.Key, &l.WakeSeq)
		})
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(claimed) == 0 {
		t.idle = true
		next, err := t.nextReady(noFence)
		if !next.IsZero() && !next.After(now) {
			next = now.Add(busyRow)
		}
		return nil, next, err
	}
	fence, err := t.number("fences", 1)
	if err != nil {
		return nil, time.Time{}, err
	}
	keys := make([]string, len(claimed))
	for i := range claimed {
		claimed[i].Fence = fence[0]
		keys[i] = claimed[i].Key
	}
	cond, args := in("key", keys, []any{owner, fence[0], claimed[0].Until.UnixMicro()})
	if _, err := t.exec("claim", `UPDATE work SET owner = $1, fence = $2, ready_at = $3 WHERE `+cond, args...); err != nil {
		return nil, time.Time{}, err
	}
	next, err := t.nextReady(fence[0])
	return claimed, next, err
}

// nextReady is when the earliest row may be claimed, but for those that were
// claimed under the given fence.
func (t *tx) nextReady(but int64) (time.Time, error) {
	var at int64
	_, err := t.get("look for work", `SELECT ready_at FROM work WHERE fence <> $1 ORDER BY ready_at LIMIT 1`, []any{but}, &at)
	return instant(at), err
}

func (t *tx) now() (time.Time, error) {
	if err := t.ready("read the clock", false); err != nil {
		return time.Time{}, err
	}
	now, err := t.dialect.Now(t.stmt, t.sql)
	if err != nil {
		return now, t.fail("read the clock", err)
	}
	return now.Truncate(time.Microsecond), nil
}

func (t *tx) number(name string, n int) ([]int64, error) {
	if err := t.ready("number "+name, true); err != nil {
		return nil, err
	}
	numbers, err := t.dialect.Number(t.stmt, t.sql, name, n)
	if err != nil {
		return nil, t.fail("number "+name, err)
	}
	return numbers, nil
}

// Extend implements store.Claimer.
func (db *DB) Extend(ctx context.Context, l store.Lease, lease time.Duration) error {
	return db.run(ctx, db.write, claiming, func(t *tx) error {
		now, err := t.now()
		if err != nil {
			return err
		}
		n, err := t.exec("extend", `UPDATE work SET ready_at = $1 WHERE key = $2 AND fence = $3 AND owner <> ''`,
			now.Add(lease).UnixMicro(), l.Key, l.Fence)
		if err == nil && n == 0 {
			t.idle = true
			err = lost(l)
		}
		return err
	})
}

// Wake implements store.Work. A leased row keeps its lease's end; that it was
// woken shows in wake_seq when it is given back.
func (t *tx) Wake(key string, at time.Time) error {
	_, err := t.exec("wake", `INSERT INTO work (key, ready_at, owner, fence, wake_seq) VALUES ($1, $2, '', 0, 1)
		ON CONFLICT (key) DO UPDATE SET
			wake_seq = work.wake_seq + 1,
			ready_at = CASE WHEN work.owner = '' AND excluded.ready_at < work.ready_at THEN excluded.ready_at ELSE work.ready_at END`,
		key, dueMicros(at))
	return err
}

// Finish implements store.Work.
func (t *tx) Finish(l store.Lease) error {
	n, err := t.exec("finish", `DELETE FROM work WHERE key = $1 AND fence = $2 AND owner <> '' AND wake_seq = $3`,
		l.Key, l.Fence, l.WakeSeq)
	if err != nil || n > 0 {
		return err
	}
	return t.giveBack(l)
}

// Release implements store.Work.
func (t *tx) Release(l store.Lease, due time.Time) error {
	n, err := t.exec("release", `UPDATE work SET owner = '', ready_at = $1 WHERE key = $2 AND fence = $3 AND owner <> '' AND wake_seq = $4`,
		dueMicros(due), l.Key, l.Fence, l.WakeSeq)
	if err != nil || n > 0 {
		return err
	}
	return t.giveBack(l)
}

// giveBack frees a key that was woken while it was leased: it is due at once.
func (t *tx) giveBack(l store.Lease) error {
	now, err := t.now()
	if err != nil {
		return err
	}
	n, err := t.exec("give back", `UPDATE work SET owner = '', ready_at = $1 WHERE key = $2 AND fence = $3 AND owner <> ''`,
		now.UnixMicro(), l.Key, l.Fence)
	if err == nil && n == 0 {
		err = lost(l)
	}
	return err
}

func lost(l store.Lease) error {
	return fault.Conflict("the lease on %s (fence %d) was lost", l.Key, l.Fence)
}

// dueMicros is a time as it is stored, never earlier: who wakes for it must not
// come too soon.
func dueMicros(t time.Time) int64 {
	if t.IsZero() {
		return 1
	}
	return max(t.Add(time.Microsecond-1).UnixMicro(), 1)
}

// FreeLeases gives back what is leased to anybody. Only an opener that knows
// that no other process has the database may call it.
func (db *DB) FreeLeases(ctx context.Context) error {
	return db.run(ctx, db.write, claiming, func(t *tx) error {
		now, err := t.now()
		if err != nil {
			return err
		}
		n, err := t.exec("free leases", `UPDATE work SET owner = '', ready_at = $1 WHERE owner <> ''`, now.UnixMicro())
		t.idle = n == 0
		return err
	})
}
