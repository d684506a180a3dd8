package hub

import (
	"slices"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/store"
	"upkeep/internal/wire"
)

// seen is what an agent knew when it wrote a poll.
type seen struct {
	generation int64    // the newest that it had seen
	holding    []string // keys that its journal knew, sorted
}

// deed is what is to be done about an open order.
type deed int

const (
	leave   deed = iota // the agent has it, or it is not its turn
	hand                // give it to the agent
	ask                 // give it so that it may not begin: the agent says what became of it
	expire              // it was never given: it is over
	forlorn             // it was given, and will never begin: it is over
)

// decide says what is to be done about a target's open orders, which are sorted
// by generation, of an agent that has said what it has seen.
//
// Why nothing begins twice, and nothing is lost. The agent's part is to write
// an order down before it raises its generation or says it is holding it, to
// let a key that it knows begin once, to refuse a key that it does not know
// whose generation is not newer than all it has seen, and to answer as expired
// what reaches it too late. Its poll may be late: doubled, or overtaken by a
// newer one. So we may conclude from a poll only what stays true for ever.
//
//   - The agent holds the order: it did when it wrote this. It will answer, and
//     says so until we keep it. Nothing is to be done.
//   - The agent does not hold it, but has seen its generation or a newer one:
//     it never had it (an order that was held and is held no more has been
//     acknowledged, so is answered, so is not open), and if it got it now it
//     would refuse it. That stays true however late this poll is: the order
//     will never begin. It is over, whatever its time.
//   - The agent does not hold it and has not seen its generation, and it was
//     never handed out: nobody can have it. That is known from the database in
//     this transaction, not from the poll. It is handed out if it may still
//     begin, else it is over.
//   - The same, but it was handed out: the answer that carried it was lost, or
//     this poll is older than that answer, and the agent is doing it. The poll
//     does not tell which. Handing it out again is harmless in both cases: a
//     known key is not begun again. If it may no longer begin, we must not say
//     that it never did; we hand it out with no time left to begin, and the
//     agent, who knows, answers: as expired, or with what became of it.
//
// Only one order is handed out at a time, the oldest, and none while the agent
// holds one: an agent works on one thing at a time, and what is not handed out
// can still be taken back.
func decide(open []store.Order, s seen, now time.Time) []deed {
	deeds := make([]deed, len(open))
	free := true
	for i, o := range open {
		late := now.After(o.StartBy)
		_, holds := slices.BinarySearch(s.holding, o.Key())
		given := !o.HandedAt.IsZero()
		switch {
		case holds:
			free = false
		case o.Generation <= s.generation && given:
			deeds[i] = forlorn
		case o.Generation <= s.generation, late && !given:
			deeds[i] = expire
		case !free:
		case late:
			deeds[i], free = ask, false
		default:
			deeds[i], free = hand, false
		}
	}
	return deeds
}

// idle reports whether nothing is to be done.
func idle(deeds []deed) bool {
	return !slices.ContainsFunc(deeds, func(d deed) bool { return d != leave })
}

// holdsAny reports whether the agent has one of the open orders.
func holdsAny(open []store.Order, s seen) bool {
	return slices.ContainsFunc(open, func(o store.Order) bool {
		_, holds := slices.BinarySearch(s.holding, o.Key())
		return holds
	})
}

// give does what was decided, and says what the agent is told, and whether it
// was told the same before.
func give(tx store.Tx, open []store.Order, deeds []deed, now time.Time) (orders []wire.Order, again bool, err error) {
	for i, o := range open {
		switch deeds[i] {
		case leave:
		case hand, ask:
			begin := o.StartBy.Sub(now)
			if deeds[i] == ask {
				begin = -time.Millisecond
			}
			again = again || !o.HandedAt.IsZero()
			orders = append(orders, wire.FromOrder(o.Order.Order, begin))
			err = tx.MarkHanded(o.Key(), now)
		case expire:
			if _, err = tx.ExpireOrder(o.Key(), now); err == nil {
				err = tx.Wake(store.RunKey(o.Run), now)
			}
		case forlorn:
			_, err = tx.Answer(o.Key(), action.Result{
				Outcome: action.Expired, Finished: now,
				Reason: "the agent has seen a newer order, and never this one",
			}, now)
			if err == nil {
				err = tx.Wake(store.RunKey(o.Run), now)
			}
		}
		if err != nil {
			return nil, false, err
		}
	}
	return orders, again, nil
}
