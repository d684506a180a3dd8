package hub

import (
	"slices"
	"sync"
	"time"
)

// heldPerTarget bounds the polls that one agent can have waiting. It needs one;
// a second is there while the first one's connection is dying.
const heldPerTarget = 4

// held is the polls that wait here, by target.
type held struct {
	mu    sync.Mutex
	polls map[string][]*waiting
}

// waiting is one held poll. It costs its handler's goroutine and this.
type waiting struct {
	woken chan struct{} // of capacity 1: a wake is remembered, never waited for
	drop  bool          // guarded by held.mu: it must not be held any more
	fresh bool          // guarded by held.mu: it is looking for the first time
	busy  bool          // guarded by held.mu: the agent has an order under way
	swept time.Time     // guarded by held.mu: when a busy one was last asked for
}

func newHeld() *held { return &held{polls: map[string][]*waiting{}} }

// count is how many targets have polls here.
func (h *held) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.polls)
}

// add registers a poll. It comes before the first look for orders, so that an
// order written after the look finds the poll here.
func (h *held) add(target string) *waiting {
	w := &waiting{woken: make(chan struct{}, 1), fresh: true}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.polls[target] = append(h.polls[target], w)
	if all := h.polls[target]; len(all) > heldPerTarget {
		all[0].drop = true
		all[0].wake()
		h.polls[target] = slices.Clone(all[1:])
	}
	return w
}

// remove forgets a poll that was answered.
func (h *held) remove(target string, w *waiting) {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := slices.DeleteFunc(h.polls[target], func(o *waiting) bool { return o == w })
	if len(left) == 0 {
		delete(h.polls, target)
		return
	}
	h.polls[target] = left
}

// wake makes the polls of a target look again.
func (h *held) wake(target string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.polls[target] {
		w.wake()
	}
}

func (w *waiting) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// setBusy notes whether the agent has an order under way, and reports whether
// the poll must be answered because the agent has newer ones.
func (h *held) setBusy(w *waiting, busy bool) (drop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if busy && !w.busy {
		w.swept = time.Now()
	}
	w.busy, w.fresh = busy, false
	return w.drop
}

// due lists the targets to ask the database about, in no order. An agent that has an order
// under way has an open order all the time; asking for it each second would be
// one look per agent and second for nothing.
func (h *held) due(now time.Time, busy time.Duration) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	targets := make([]string, 0, len(h.polls))
	for target, all := range h.polls {
		ask := false
		for _, w := range all {
			switch {
			case w.fresh: // it looks by itself
			case !w.busy:
				ask = true
			case now.Sub(w.swept) >= busy:
				ask, w.swept = true, now
			}
		}
		if ask {
			targets = append(targets, target)
		}
	}
	return targets
}
