package hub

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/store"
	"upkeep/internal/wire"
)

const patience = int64(3_600_000) // ms

func TestOrderIsHandedOutAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{})
		b.greet()
		key := b.order("r1", "a", "t1", time.Minute)
		began := time.Now()
		time.Sleep(10 * time.Second)
		a := b.poll(wire.PollRequest{WaitMillis: patience})
		if len(a.Orders) != 1 || a.Orders[0].Key != key || a.Orders[0].BeginMillis != 50_000 || a.Orders[0].Generation != 1 ||
			a.Orders[0].Packages[0].Name != "curl" || a.AfterMillis != 0 {
			t.Errorf("answer: %+v", a)
		}
		if at := b.stored(key).HandedAt; !at.Equal(began.Add(10 * time.Second)) {
			t.Errorf("handed at %v", at)
		}
	})
}

func TestOneOrderAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{})
		b.greet()
		first, second := b.order("r1", "a", "t1", time.Minute), b.order("r1", "b", "t1", time.Minute)
		if a := b.poll(wire.PollRequest{}); !slices.Equal(keys(a.Orders), []string{first}) {
			t.Errorf("handed out %v", keys(a.Orders))
		}
		if a := b.poll(wire.PollRequest{Generation: 1, Holding: []string{first}}); len(a.Orders) > 0 {
			t.Errorf("handed out %v beside one that is held", keys(a.Orders))
		}
		a := b.poll(wire.PollRequest{Generation: 1, Holding: []string{first}, Answers: []wire.Answer{done(first, "6")}})
		if !slices.Equal(keys(a.Orders), []string{second}) || !slices.Equal(a.Acknowledged, []string{first}) {
			t.Errorf("answer: %+v", a)
		}
	})
}

func TestHeldPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{})
		ctx, cancel := context.WithCancel(t.Context())
		var server sync.WaitGroup
		server.Go(func() { _ = b.hub.Run(ctx) })
		// poll makes a poll, does something while it is held, and says how long it took.
		poll := func(while func(cancel func())) (wire.PollAnswer, time.Duration) {
			began := time.Now()
			pollCtx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var a said
			var poll sync.WaitGroup
			poll.Go(func() {
				a = b.call(pollCtx, b.web, wire.PollPath, "t1", "k1", wire.PollRequest{WaitMillis: patience})
			})
			time.Sleep(5*time.Second + 300*time.Millisecond)
			synctest.Wait()
			while(cancel)
			poll.Wait()
			if b.hub.held.polls["t1"] != nil {
				t.Error("an answered poll is still held")
			}
			return a.answer, time.Since(began)
		}
		nothing := func(func()) {}
		b.greet()
		b.poll(wire.PollRequest{Observation: look("", "5")})

		seen := map[time.Duration]bool{}
		for range 20 {
			a, took := poll(nothing)
			if took < 20*time.Second || took > 30*time.Second || a.AfterMillis > 500 || a.HeldMillis != took.Milliseconds() {
				t.Errorf("held for %v (said %d ms), then a pause of %d ms", took, a.HeldMillis, a.AfterMillis)
			}
			if every := time.Duration(a.ObserveMillis) * time.Millisecond; every < 48*time.Minute || every > 72*time.Minute {
				t.Errorf("look every %v", every)
			}
			seen[took] = true
		}
		if len(seen) < 10 {
			t.Errorf("all agents come back together: %v", seen)
		}

		var key string
		a, took := poll(func(func()) {
			key = b.order("r1", "nudged", "t1", time.Minute)
			b.hub.Nudge("t1")
		})
		if len(a.Orders) != 1 || took != 5300*time.Millisecond || a.HeldMillis != 5300 || a.Orders[0].BeginMillis != 60_000 {
			t.Errorf("nudged: %+v after %v", a, took)
		}
		b.poll(wire.PollRequest{Generation: 1, Answers: []wire.Answer{done(key, "6")}})

		a, took = poll(func(func()) { key = b.order("r1", "swept", "t1", time.Minute) }) // by another server
		if len(a.Orders) != 1 || took > 6300*time.Millisecond {
			t.Errorf("swept: %+v after %v", a, took)
		}
		b.poll(wire.PollRequest{Generation: 2, Answers: []wire.Answer{done(key, "6")}})

		_, took = poll(func(gone func()) { gone() })
		if took != 5300*time.Millisecond {
			t.Errorf("the poll of an agent that is gone was held for %v", took)
		}
		a, took = poll(func(func()) { cancel() })
		if took != 5300*time.Millisecond || a.AfterMillis > 500 {
			t.Errorf("at a shutdown: %+v after %v", a, took)
		}
		server.Wait()
	})
}

func TestHoldIsNoLongerThanTheAgentWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{Hold: 10 * time.Hour})
		b.greet()
		began := time.Now()
		b.poll(wire.PollRequest{WaitMillis: 3000})
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("held for %v", took)
		}
		a := b.poll(wire.PollRequest{})
		if took := time.Since(began); took != 3*time.Second || a.AfterMillis < (8*time.Hour).Milliseconds() {
			t.Errorf("one that does not wait was held for %v, to come again in %d ms", took, a.AfterMillis)
		}
	})
}

// Many agents that wait cost one query a second, and write nothing.
func TestWaitingIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const agents = 40
		b := newBench(t, Timing{Hold: time.Hour, Presence: 10 * time.Hour})
		b.do(func(tx store.Tx) error {
			for i := range agents {
				target := b.targetNamed(fmt.Sprintf("x%02d", i))
				if _, err := tx.PutTarget(target); err != nil {
					return err
				}
				if err := tx.PutAgent(store.Agent{Target: target.ID, Key: "k", LastSeen: time.Now()}); err != nil {
					return err
				}
			}
			return nil
		})
		busy := b.order("r1", "a", "x00", time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _ = b.hub.Run(ctx) })
		for i := range agents {
			all.Go(func() {
				req := wire.PollRequest{WaitMillis: patience}
				if i == 0 { // this one has an order under way all the time
					req.Generation, req.Holding = 1, []string{busy}
				}
				b.call(t.Context(), b.web, wire.PollPath, fmt.Sprintf("x%02d", i), "k", req)
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		views, updates := b.db.views.Load(), b.db.updates.Load()
		time.Sleep(100 * time.Second)
		synctest.Wait()
		// 100 sweeps, and a look each five seconds at the one that is busy.
		if n := b.db.views.Load() - views; n < 100 || n > 125 {
			t.Errorf("%d queries in 100 s", n)
		}
		if n := b.db.updates.Load() - updates; n != 0 {
			t.Errorf("%d writes", n)
		}
		cancel()
		all.Wait()
	})
}

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{})
		b.greet()
		began := time.Now()
		seen := func() time.Duration { return b.agent("t1").LastSeen.Sub(began) }
		for i := range 6 {
			b.poll(wire.PollRequest{})
			if want := time.Duration(i/6) * time.Minute; seen() != want {
				t.Errorf("after %v: seen at %v", time.Since(began), seen())
			}
			time.Sleep(10 * time.Second)
		}
		b.poll(wire.PollRequest{})
		if seen() != time.Minute {
			t.Errorf("seen at %v", seen())
		}
		time.Sleep(time.Second)
		b.poll(wire.PollRequest{Version: "v2"})
		if a := b.agent("t1"); a.Version != "v2" || a.Key != "k1" || seen() != 61*time.Second {
			t.Errorf("a new version is not noted at once: %+v", a)
		}
	})
}

func TestPollRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{})
		b.greet()
		foreign := b.order("r1", "a", "t2", time.Minute)
		own := b.order("r1", "a2", "t1", time.Minute)
		many := make([]string, maxHolding+1)
		for _, c := range []struct {
			what, target, key string
			body              any
			status            int
			kind              string
		}{
			{"no certificate", "", "", wire.PollRequest{}, http.StatusForbidden, "denied"},
			{"a key that was replaced", "t1", "k0", wire.PollRequest{}, http.StatusForbidden, "denied"},
			{"another agent's key", "t1", "k2", wire.PollRequest{}, http.StatusForbidden, "denied"},
			{"no such target", "t9", "k1", wire.PollRequest{}, http.StatusNotFound, "not_found"},
			{"no JSON", "t1", "k1", []byte("{"), http.StatusBadRequest, "invalid"},
			{"two values", "t1", "k1", []byte("{} {}"), http.StatusBadRequest, "invalid"},
			{"another type", "t1", "k1", []byte(`{"generation":"x"}`), http.StatusBadRequest, "invalid"},
			{"too big", "t1", "k1", []byte(`{"version":"` + strings.Repeat("x", wire.MaxBody) + `"}`), http.StatusRequestEntityTooLarge, "invalid"},
			{"holds too much", "t1", "k1", wire.PollRequest{Holding: many}, http.StatusBadRequest, "invalid"},
			{"too long a key", "t1", "k1", wire.PollRequest{Holding: []string{strings.Repeat("x", maxKey+1)}}, http.StatusBadRequest, "invalid"},
			{"no key", "t1", "k1", wire.PollRequest{Answers: []wire.Answer{{}}}, http.StatusBadRequest, "invalid"},
			{"too much pending", "t1", "k1", wire.PollRequest{Observation: &wire.Observation{Pending: make([]wire.Pending, maxPending+1)}}, http.StatusBadRequest, "invalid"},
			{"another's order", "t1", "k1", wire.PollRequest{Answers: []wire.Answer{done(own, "6"), done(foreign, "6")}}, http.StatusForbidden, "denied"},
		} {
			s := b.call(t.Context(), b.web, wire.PollPath, c.target, c.key, c.body)
			if s.status != c.status || s.problem.Kind != c.kind || s.problem.Reason == "" {
				t.Errorf("%s: %d %+v, want %d %s", c.what, s.status, s.problem, c.status, c.kind)
			}
		}
		if b.stored(foreign).Result != nil || b.stored(own).Result != nil || b.kernel() != "-" {
			t.Error("something of a refused poll was kept")
		}
		if s := b.call(t.Context(), b.web, wire.PollPath, "t1", "k1", []byte(`{"of":"a newer version"} `)); s.status != http.StatusOK {
			t.Errorf("an unknown field: %d %+v", s.status, s.problem)
		}
		if s := b.call(t.Context(), b.web, "/agent/v1/x", "t1", "k1", nil); s.status != http.StatusNotFound || s.problem.Kind != "not_found" {
			t.Errorf("an unknown path: %d %+v", s.status, s.problem)
		}
		// A target that is deleted is gone for its agent.
		b.do(func(tx store.Tx) error { return tx.DeleteTarget("t2") })
		if s := b.call(t.Context(), b.web, wire.PollPath, "t2", "k2", wire.PollRequest{}); s.status != http.StatusNotFound {
			t.Errorf("a deleted target: %d %+v", s.status, s.problem)
		}
	})
}

func TestTooManyPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{})
		count := func(key string) (served int) {
			for range 2 * pollsAtOnce {
				if s := b.call(t.Context(), b.web, wire.PollPath, "t1", key, wire.PollRequest{}); s.status != http.StatusTooManyRequests {
					served++
				} else if s.problem.Kind != "unavailable" {
					t.Errorf("problem: %+v", s.problem)
				}
			}
			return served
		}
		if n := count("k0"); n != pollsAtOnce {
			t.Errorf("%d polls were answered", n)
		}
		if n := count("k1"); n != pollsAtOnce { // not at the cost of the agent
			t.Errorf("%d polls of the agent were answered", n)
		}
		time.Sleep(time.Second)
		if n := count("k1"); n != pollsPerSecond {
			t.Errorf("%d polls were answered a second later", n)
		}
	})
}

// A second poll while the first one's connection is dying is held as well; a
// heap of them is not.
func TestHeldPollsPerAgentAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{Hold: time.Hour})
		b.greet()
		var all sync.WaitGroup
		answered := make(chan wire.PollAnswer, 10)
		for range 10 {
			all.Go(func() { answered <- b.poll(wire.PollRequest{WaitMillis: 10 * patience}) })
			synctest.Wait()
		}
		if len(answered) != 10-heldPerTarget {
			t.Errorf("%d polls are held", 10-len(answered))
		}
		if a := <-answered; a.AfterMillis < (48 * time.Minute).Milliseconds() {
			t.Errorf("whoever is turned away comes again in %d ms", a.AfterMillis)
		}
		key := b.order("r1", "a", "t1", time.Minute)
		b.hub.Nudge("t1")
		all.Wait()
		if b.stored(key).HandedAt.IsZero() {
			t.Error("not handed out")
		}
	})
}

func TestAnswersAreCutToTheirLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{})
		b.greet()
		key := b.order("r1", "a", "t1", time.Minute)
		a := done(key, "6\x00.1")
		a.Outcome, a.Reason = "melted", strings.Repeat("r", 2*maxReason)
		a.Output = "lost" + strings.Repeat("é", maxOutput)
		a.Started = time.Date(50_000, 1, 1, 0, 0, 0, 0, time.UTC)
		a.Changes = []wire.Change{{Name: strings.Repeat("n", 2*maxName)}}
		a.Failures = make([]wire.Failure, 2*maxFailures)
		// A year of five digits is no JSON of Go's; a hostile agent writes its own.
		a.Started = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		b.poll(wire.PollRequest{Answers: []wire.Answer{a}})
		r := b.stored(key).Result
		if r == nil {
			t.Fatal("no answer was kept")
		}
		if r.Outcome != action.Interrupted || len(r.Reason) > maxReason || len(r.Output) > maxOutput || !strings.HasPrefix(r.Output, "é") ||
			!r.Started.IsZero() || len(r.Changes[0].Name) > maxName || len(r.Failures) > maxFailures || b.kernel() != "6.1" {
			t.Errorf("kept: outcome %s, reason %d, output %d, started %v, failures %d, kernel %q",
				r.Outcome, len(r.Reason), len(r.Output), r.Started, len(r.Failures), b.kernel())
		}

		// What is too long to be true is not known; the end of the order is.
		key = b.order("r1", "b", "t1", time.Minute)
		long := done(key, "7")
		long.Observation.Held = make([]string, maxPending+1)
		if got := b.poll(wire.PollRequest{Answers: []wire.Answer{long}}); !got.Observe {
			t.Error("the host is not looked at again")
		}
		if b.stored(key).Result.Outcome != action.Done || b.kernel() != "6.1" {
			t.Errorf("kept %+v, kernel %s", b.stored(key).Result, b.kernel())
		}

		var flood []wire.Answer
		for i := range 2 * maxAnswers {
			flood = append(flood, wire.Answer{Key: fmt.Sprintf("unknown/x/%d", i), Outcome: "done"})
		}
		if got := b.poll(wire.PollRequest{Answers: flood}); len(got.Acknowledged) != maxAnswers {
			t.Errorf("%d answers taken at once", len(got.Acknowledged))
		}
	})
}

// Presence costs no more writes than it may however many agents there are, and
// is written down often enough to tell who is silent.
func TestPresenceOfManyAgents(t *testing.T) {
	h := New(Config{})
	for n := range 200_000 {
		if n%10_000 == 0 {
			every := h.presence()
			if writes := float64(n) / every.Seconds(); writes > 1.1*presenceWrites && every < presenceMost {
				t.Errorf("%d agents: one each %v are %.0f writes a second", n, every, writes)
			}
			if every < time.Minute || every > fleet.SilentAfter/2 {
				t.Errorf("%d agents: one each %v", n, every)
			}
		}
		h.held.add(strconv.Itoa(n))
	}
}
