package hub

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/wire"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	const early, late = time.Minute, -time.Minute
	// order is of generation g, may begin until now and startBy more.
	order := func(g int64, startBy time.Duration, handed bool) store.Order {
		o := store.Order{Order: run.Order{StartBy: now.Add(startBy), Order: action.Order{Run: "r", Step: fmt.Sprint(g), Attempt: 1, Generation: g}}}
		if handed {
			o.HandedAt = now.Add(-time.Hour)
		}
		return o
	}
	for _, c := range []struct {
		what string
		open []store.Order
		seen seen
		want []deed
	}{
		{"new", []store.Order{order(5, early, false)}, seen{generation: 4}, []deed{hand}},
		{"its last moment", []store.Order{order(5, 0, false)}, seen{generation: 4}, []deed{hand}},
		{"held", []store.Order{order(5, early, true)}, seen{generation: 5, holding: []string{"r/5/1"}}, []deed{leave}},
		{"held and late", []store.Order{order(5, late, true)}, seen{generation: 5, holding: []string{"r/5/1"}}, []deed{leave}},
		{"held, by a poll of before it", []store.Order{order(5, late, true)}, seen{generation: 4, holding: []string{"r/5/1"}}, []deed{leave}},
		{"never given and late", []store.Order{order(5, late, false)}, seen{generation: 4}, []deed{expire}},
		{"given, its answer lost", []store.Order{order(5, early, true)}, seen{generation: 4}, []deed{hand}},
		{"given, lost or not, and late", []store.Order{order(5, late, true)}, seen{generation: 4}, []deed{ask}},
		{"given, and overtaken", []store.Order{order(5, early, true)}, seen{generation: 5}, []deed{forlorn}},
		{"never given, and overtaken", []store.Order{order(5, early, false)}, seen{generation: 6}, []deed{expire}},
		{"one at a time", []store.Order{order(5, early, false), order(6, early, false)}, seen{}, []deed{hand, leave}},
		{"one at a time, after asking", []store.Order{order(5, late, true), order(6, early, false)}, seen{}, []deed{ask, leave}},
		{"none beside a held one", []store.Order{order(5, early, true), order(6, early, false), order(7, late, false)},
			seen{generation: 5, holding: []string{"r/5/1"}}, []deed{leave, leave, expire}},
		{"the next after a lost one", []store.Order{order(5, early, true), order(6, early, false)}, seen{generation: 5}, []deed{forlorn, hand}},
	} {
		if got := decide(c.open, c.seen, now); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// world is a control plane and an agent, and between them a network that
// delays, loses, doubles and swaps whatever they say. Both follow their rules;
// time is in ticks.
type world struct {
	t      *rapid.T
	now    time.Time
	orders []*store.Order // by generation

	journal  map[string]*record
	newest   int64
	requests []request
	answers  []reply
}

type record struct {
	order    wire.Order
	deadline time.Time
	begun    int
	outcome  action.Outcome // empty: no end yet
	acked    bool
}

type request struct {
	seen    seen
	answers map[string]action.Outcome
}

type reply struct {
	orders []wire.Order
	acked  []string
}

// ledger is the part of a transaction that give uses, on a world.
type ledger struct {
	store.Tx
	w *world
}

func (l ledger) Wake(string, time.Time) error { return nil }

func (l ledger) MarkHanded(key string, at time.Time) error {
	o := l.w.order(key)
	if o.Result != nil {
		return fault.Conflict("order %s is answered", key)
	}
	if o.HandedAt.IsZero() {
		o.HandedAt = at
	}
	return nil
}

func (l ledger) ExpireOrder(key string, at time.Time) (bool, error) {
	if !l.w.order(key).HandedAt.IsZero() {
		return false, nil
	}
	return l.Answer(key, action.Result{Outcome: action.Expired}, at)
}

func (l ledger) Answer(key string, r action.Result, _ time.Time) (bool, error) {
	o := l.w.order(key)
	if o.Result != nil {
		return false, nil
	}
	if r.Outcome == action.Expired && l.w.journal[key] != nil && l.w.journal[key].begun > 0 {
		l.w.t.Fatalf("order %s is said to be expired, and was begun", key)
	}
	o.Result = &r
	return true, nil
}

func (w *world) order(key string) *store.Order {
	i := slices.IndexFunc(w.orders, func(o *store.Order) bool { return o.Key() == key })
	return w.orders[i]
}

func (w *world) open() (open []store.Order) {
	for _, o := range w.orders {
		if o.Result == nil {
			open = append(open, *o)
		}
	}
	return open
}

// write orders something.
func (w *world) write(begin int) {
	g := int64(len(w.orders) + 1)
	w.orders = append(w.orders, &store.Order{Order: run.Order{
		StartBy: w.now.Add(time.Duration(begin) * time.Second),
		Order:   action.Order{Run: "r", Step: fmt.Sprint(g), Attempt: 1, Generation: g},
	}})
}

// serve is the control plane's part of a poll.
func (w *world) serve(r request) reply {
	var a reply
	for key, outcome := range r.answers {
		_, _ = ledger{w: w}.Answer(key, action.Result{Outcome: outcome}, w.now)
		a.acked = append(a.acked, key)
	}
	open := w.open()
	var err error
	if a.orders, _, err = give(ledger{w: w}, open, decide(open, r.seen, w.now), w.now); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// ask is what the agent's next poll says.
func (w *world) ask() request {
	r := request{seen: seen{generation: w.newest}, answers: map[string]action.Outcome{}}
	for _, key := range slices.Sorted(maps.Keys(w.journal)) {
		rec := w.journal[key]
		if rec.acked {
			continue
		}
		r.seen.holding = append(r.seen.holding, key)
		if rec.outcome != "" {
			r.answers[key] = rec.outcome
		}
	}
	return r
}

// take is the agent's part of an answer.
func (w *world) take(a reply) {
	for _, key := range a.acked {
		if rec := w.journal[key]; rec != nil && rec.outcome != "" {
			rec.acked = true
		}
	}
	for _, o := range a.orders {
		if w.journal[o.Key] != nil {
			continue
		}
		rec := &record{order: o, deadline: w.now.Add(o.Begin())}
		if o.Generation <= w.newest {
			rec.outcome = action.Refused
		}
		w.journal[o.Key] = rec
		w.newest = max(w.newest, o.Generation)
	}
}

// work brings a random order that the agent has one stage on.
func (w *world) work(rec *record) {
	switch {
	case rec.outcome != "":
	case rec.begun > 0:
		rec.outcome = action.Done
	case w.now.After(rec.deadline):
		rec.outcome = action.Expired
	default:
		rec.begun++
		if r := w.order(rec.order.Key).Result; r != nil {
			w.t.Fatalf("order %s is begun, and was answered: %s", rec.order.Key, r.Outcome)
		}
	}
}

// Nothing begins twice, nothing that was taken back begins, and every order
// comes to an end, whatever the network does.
func TestNothingTwiceNothingLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, now: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), journal: map[string]*record{}}
		pick := func(n int, label string) int { return rapid.IntRange(0, n-1).Draw(t, label) }
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) { w.write(rapid.IntRange(0, 10).Draw(t, "begin")) },
			"pass": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 6).Draw(t, "seconds")) * time.Second)
			},
			"ask": func(*rapid.T) { w.requests = append(w.requests, w.ask()) },
			"serve": func(t *rapid.T) {
				if len(w.requests) == 0 {
					t.Skip()
				}
				i := pick(len(w.requests), "request")
				w.answers = append(w.answers, w.serve(w.requests[i]))
				if rapid.Bool().Draw(t, "only once") {
					w.requests = slices.Delete(w.requests, i, i+1)
				}
			},
			"take": func(t *rapid.T) {
				if len(w.answers) == 0 {
					t.Skip()
				}
				i := pick(len(w.answers), "answer")
				w.take(w.answers[i])
				if rapid.Bool().Draw(t, "only once") {
					w.answers = slices.Delete(w.answers, i, i+1)
				}
			},
			"work": func(t *rapid.T) {
				if len(w.journal) == 0 {
					t.Skip()
				}
				w.work(w.journal[slices.Sorted(maps.Keys(w.journal))[pick(len(w.journal), "record")]])
			},
			"crash": func(*rapid.T) { // nobody knows how long the waiting have waited
				for _, rec := range w.journal {
					rec.deadline = time.Time{}
				}
			},
		})
		// The network mends: a few polls later nothing is open any more.
		for range 4*len(w.orders) + 4 {
			w.take(w.serve(w.ask()))
			for _, key := range slices.Sorted(maps.Keys(w.journal)) {
				w.work(w.journal[key])
				w.work(w.journal[key])
			}
		}
		if open := w.open(); len(open) > 0 {
			t.Fatalf("%d orders never end, the first is %+v", len(open), open[0])
		}
		for key, rec := range w.journal {
			if rec.begun > 1 {
				t.Fatalf("order %s was begun %d times", key, rec.begun)
			}
			if got := w.order(key).Result.Outcome; rec.begun > 0 && got != action.Done {
				t.Fatalf("order %s was done, and is known as %s", key, got)
			}
		}
	})
}

// What decide decides is done to the database.
func TestOrdersThatComeToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{})
		b.greet()
		late := b.order("r1", "late", "t1", time.Minute)
		time.Sleep(2 * time.Minute)
		b.woken()
		if a := b.poll(wire.PollRequest{}); len(a.Orders) > 0 || b.nudged != 1 {
			t.Errorf("handed out %v, nudged %d times", keys(a.Orders), b.nudged)
		}
		if r := b.stored(late).Result; r == nil || r.Outcome != action.Expired || !b.woken()["run/r1"] {
			t.Errorf("an order that was never given and is late: %+v", r)
		}

		// The answer that carries it is lost, twice; the second time it is late.
		lost := b.order("r1", "lost", "t1", time.Minute)
		b.poll(wire.PollRequest{Generation: 1})
		given := b.stored(lost).HandedAt
		time.Sleep(50 * time.Second)
		a := b.poll(wire.PollRequest{Generation: 1})
		if !slices.Equal(keys(a.Orders), []string{lost}) || a.Orders[0].BeginMillis != 10_000 || a.AfterMillis < 500 {
			t.Errorf("the second time: %+v", a)
		}
		time.Sleep(time.Minute)
		a = b.poll(wire.PollRequest{Generation: 1})
		if !slices.Equal(keys(a.Orders), []string{lost}) || a.Orders[0].BeginMillis >= 0 || b.stored(lost).Result != nil {
			t.Errorf("asked after it: %+v", a)
		}
		if !b.stored(lost).HandedAt.Equal(given) {
			t.Error("it is not the first time any more")
		}
		b.woken()
		b.poll(wire.PollRequest{Generation: 2, Answers: []wire.Answer{{Key: lost, Outcome: "expired"}}})
		if r := b.stored(lost).Result; r == nil || r.Outcome != action.Expired || !b.woken()["run/r1"] {
			t.Errorf("the agent says that it never began: %+v", r)
		}

		// It has ended it, and has so much to say that we do not listen to all.
		flooded := b.order("r1", "flooded", "t1", time.Minute)
		b.poll(wire.PollRequest{Generation: 2})
		flood := make([]wire.Answer, 0, maxAnswers+1)
		for i := range maxAnswers {
			flood = append(flood, wire.Answer{Key: fmt.Sprintf("r0/x/%d", i), Outcome: "done"})
		}
		b.poll(wire.PollRequest{Generation: 3, Answers: append(flood, done(flooded, "6"))})
		if r := b.stored(flooded).Result; r != nil {
			t.Errorf("an order whose answer was not heard yet: %+v", r)
		}
		b.poll(wire.PollRequest{Generation: 3, Answers: []wire.Answer{done(flooded, "6")}})

		// The agent has lost it, and seen a newer one: it would refuse it.
		forlorn := b.order("r1", "forlorn", "t1", time.Minute)
		b.poll(wire.PollRequest{Generation: 3})
		b.woken()
		b.poll(wire.PollRequest{Generation: 5})
		if r := b.stored(forlorn).Result; r == nil || r.Outcome != action.Expired || r.Reason == "" || !b.woken()["run/r1"] {
			t.Errorf("an order that can't begin any more: %+v", r)
		}
	})
}
