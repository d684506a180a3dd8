package sqlstore

import (
	"context"
	"slices"
	"sync"

	"upkeep/internal/fault"
)

// turns is a gate that lets so many callers through at once, in the order in
// which they came.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting []chan struct{} // each is closed when its turn has come
}

func newTurns(n int) *turns { return &turns{free: n} }

// enter waits for a turn. Unavailable: ctx ended first.
func (t *turns) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.Unavailable("wait for the database", err)
	}
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	t.waiting = append(t.waiting, mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	i := slices.Index(t.waiting, mine)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 {
		// The turn came at the same moment. Whoever gave it counts on its being
		// taken, and the caller looks at its context before it does anything.
		return nil
	}
	return fault.Unavailable("wait for the database", ctx.Err())
}

// pass gives the turn to who has waited longest; false if nobody waits, and
// then the caller keeps it.
func (t *turns) pass() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next()
}

// leave gives the turn back.
func (t *turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.next() {
		t.free++
	}
}

// next lets the next one through, if anybody waits.
func (t *turns) next() bool {
	if len(t.waiting) == 0 {
		return false
	}
	close(t.waiting[0])
	t.waiting[0] = nil
	t.waiting = t.waiting[1:]
	return true
}
