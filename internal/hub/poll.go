package hub

import (
	"context"
	"net/http"
	"slices"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/store"
	"upkeep/internal/wire"
)

// retakePause is how long an agent pauses, at most, that was handed an order a
// second time: if it can't write its journal, it would come back at once.
const retakePause = 2 * time.Second

// poll keeps what an agent says and waits for something to tell it.
func (h *Hub) poll(w http.ResponseWriter, r *http.Request) (any, time.Duration, error) {
	came := time.Now()
	peer, err := h.peer(r)
	if err != nil {
		return nil, 0, err
	}
	if !h.polls.Take(peer.Key, came) {
		return nil, 0, errTooOften
	}
	c, err := readPoll(w, r)
	if err != nil {
		return nil, 0, err
	}
	c.peer, c.came = peer, came
	wait := min(h.around(h.timing.Hold), c.wait)
	lasts(w, wait)
	answer, waited, err := h.wait(r.Context(), c, wait)
	if err != nil {
		return nil, waited, err
	}
	if len(answer.Orders) == 0 {
		answer.HeldMillis = time.Since(came).Milliseconds()
	}
	answer.ObserveMillis = h.around(h.timing.Observe).Milliseconds()
	return answer, waited, nil
}

// poll is a poll under way. What it brought is dropped once it is kept, for a
// poll is held long.
type poll struct {
	peer identity.AgentPeer
	came time.Time
	seen seen
	news *wire.PollRequest // nil once kept
	wait time.Duration     // the agent's patience

	version string
	busy    bool // the agent has an order under way
	woken   bool // the newest exchange has woken runs
}

// readPoll reads a request and checks its limits.
func readPoll(w http.ResponseWriter, r *http.Request) (*poll, error) {
	req, err := read[wire.PollRequest](w, r)
	if err != nil {
		return nil, err
	}
	if err := check(&req); err != nil {
		return nil, err
	}
	holding := slices.Clone(req.Holding)
	for _, a := range req.Answers {
		holding = append(holding, a.Key) // who has the answer has the order
	}
	slices.Sort(holding)
	c := &poll{
		seen:    seen{generation: req.Generation, holding: slices.Clip(slices.Compact(holding))},
		wait:    time.Duration(min(max(req.WaitMillis, 0), int64(366*24*time.Hour/time.Millisecond))) * time.Millisecond,
		version: clip(req.Version, maxVersion),
	}
	if len(req.Answers) > 0 || req.Observation != nil {
		req.Answers = req.Answers[:min(len(req.Answers), maxAnswers)]
		c.news = &req
	}
	return c, nil
}

// wait answers a poll as soon as there is something to say, or the time is up,
// and says how long it was held.
func (h *Hub) wait(ctx context.Context, c *poll, patience time.Duration) (wire.PollAnswer, time.Duration, error) {
	place := h.held.add(c.peer.Target)
	defer h.held.remove(c.peer.Target, place)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var waited time.Duration
	for woken := false; ; woken = true {
		answer, err := h.exchange(ctx, c, woken)
		if err != nil || len(answer.Orders) > 0 || len(answer.Acknowledged) > 0 || answer.Observe {
			return answer, waited, err
		}
		if h.held.setBusy(place, c.busy) {
			answer.AfterMillis = h.around(h.timing.Hold).Milliseconds()
			return answer, waited, nil
		}
		if patience <= 0 {
			// It does not wait here, so it waits there.
			answer.AfterMillis = h.around(h.timing.Hold).Milliseconds()
			return answer, waited, nil
		}
		since := time.Now()
		select {
		case <-place.woken:
			waited += time.Since(since)
			continue
		case <-timer.C:
		case <-h.closing:
			// Another server is there at once, this one again in a moment.
		case <-ctx.Done():
		}
		answer.AfterMillis = h.upTo(h.timing.After).Milliseconds()
		return answer, waited + time.Since(since), nil
	}
}

// exchange keeps what the poll has brought, once, and says what there is to
// tell; a zero answer if there is nothing. A poll that brings nothing and gets
// nothing writes nothing. Who was woken has an order, unless it is the one that
// the agent is busy with, so looking first would be for nothing.
func (h *Hub) exchange(ctx context.Context, c *poll, woken bool) (wire.PollAnswer, error) {
	if c.news == nil && (!woken || c.busy) {
		quiet, err := h.quiet(ctx, c)
		if err != nil || quiet {
			return wire.PollAnswer{}, err
		}
	}
	var answer wire.PollAnswer
	var again bool
	err := h.update(ctx, func(tx store.Tx) (err error) {
		answer, again, err = h.talk(tx, c, time.Now())
		return err
	})
	if err != nil {
		return wire.PollAnswer{}, err
	}
	if c.woken {
		h.cfg.Woken()
	}
	c.news = nil
	if again {
		answer.AfterMillis = h.around(retakePause / 2).Milliseconds()
	}
	return answer, nil
}

// quiet looks, without writing, whether there is anything to do. What it saw
// may be over already; whatever it finds is looked at again before it is done.
func (h *Hub) quiet(ctx context.Context, c *poll) (bool, error) {
	quiet := false
	err := h.cfg.DB.View(ctx, func(tx store.Tx) error {
		agent, err := tx.Agent(c.peer.Target)
		if err != nil {
			return err
		}
		next, err := succeed(agent, c.peer)
		if err != nil {
			return err
		}
		open, err := tx.OpenOrders(c.peer.Target)
		if err != nil {
			return err
		}
		now := time.Now()
		c.busy = holdsAny(open, c.seen)
		quiet = idle(decide(open, c.seen, now)) && !h.stale(agent, next, c.version, now)
		return nil
	})
	return quiet, err
}

// stale reports whether what is known of an agent's presence is worth a write.
func (h *Hub) stale(had, next store.Agent, version string, now time.Time) bool {
	return had.Key != next.Key || had.Version != version || now.Sub(had.LastSeen) >= h.presence()
}

// What writing down that agents were seen may cost: so many writes a second, as
// long as each is written down often enough to tell who has fallen silent.
const (
	presenceWrites = 300
	presenceMost   = 5 * time.Minute
)

// presence is how often it is written down that an agent was seen: the more
// agents wait here, the more seldom.
func (h *Hub) presence() time.Duration {
	spread := time.Duration(h.held.count()) * time.Second / presenceWrites
	return max(h.timing.Presence, min(spread, presenceMost))
}

// updateAttempts is how often a write is tried that another one has overtaken.
const updateAttempts = 4

// update runs f in a transaction, again if a compare-and-set in it has lost.
func (h *Hub) update(ctx context.Context, f func(store.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := h.cfg.DB.Update(ctx, f)
		if !fault.Is(err, fault.KindConflict) || attempt == updateAttempts {
			return err
		}
	}
}

// talk is one exchange, in one transaction: keep the answers, keep the
// observation, note that the agent was here, then say what there is to say.
func (h *Hub) talk(tx store.Tx, c *poll, now time.Time) (answer wire.PollAnswer, again bool, err error) {
	agent, err := tx.Agent(c.peer.Target)
	if err != nil {
		return answer, false, err
	}
	next, err := succeed(agent, c.peer)
	if err != nil {
		return answer, false, err
	}
	k := keeper{tx: tx, log: h.log, now: now}
	if c.news != nil {
		if k.target, err = tx.Target(c.peer.Target); err != nil {
			return answer, false, err
		}
		if answer.Acknowledged, err = k.keep(c.news); err != nil {
			return answer, false, err
		}
	}
	stale := h.stale(agent, next, c.version, now)
	if stale {
		next.Version, next.LastSeen = c.version, now
		if err := tx.PutAgent(next); err != nil {
			return answer, false, err
		}
	}
	open, err := tx.OpenOrders(c.peer.Target)
	if err != nil {
		return answer, false, err
	}
	c.busy = holdsAny(open, c.seen)
	// Their time left is counted from now, so this must be, or the sum of both
	// would be later than the orders' last moment.
	answer.HeldMillis = now.Sub(c.came).Milliseconds()
	deeds := decide(open, c.seen, now)
	c.woken = k.woken || slices.Contains(deeds, expire) || slices.Contains(deeds, forlorn)
	if c.news == nil && !stale && idle(deeds) {
		return wire.PollAnswer{}, false, nil // woken for nothing
	}
	answer.Orders, again, err = give(tx, open, deeds, now)
	if err != nil {
		return answer, false, err
	}
	if len(open) > 0 || c.news != nil && c.news.Observation != nil {
		return answer, again, nil
	}
	if c.news == nil {
		if k.target, err = tx.Target(c.peer.Target); err != nil {
			return answer, false, err
		}
	}
	answer.Observe, err = k.wantsLook()
	return answer, again, err
}
