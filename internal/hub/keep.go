package hub

import (
	"log/slog"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/wire"
)

// keeper keeps, in one transaction, what one agent has said.
type keeper struct {
	tx     store.Tx
	log    *slog.Logger
	now    time.Time
	target fleet.Target
	woken  bool // a run was woken
	blind  bool // an order has ended whose answer does not show the host
}

// keep keeps answers and the observation, wakes the runs concerned, and lists
// the answers that need not be said again. Denied: an answer is to another
// target's order; nothing is kept then.
func (k *keeper) keep(req *wire.PollRequest) (acknowledged []string, err error) {
	for _, a := range req.Answers {
		if err := k.answer(a); err != nil {
			return nil, err
		}
		acknowledged = append(acknowledged, a.Key)
	}
	if req.Observation == nil {
		return acknowledged, nil
	}
	obs := observationOf(req.Observation)
	rank, err := k.rank(obs.After)
	if err != nil {
		return nil, err
	}
	return acknowledged, k.observe(obs, rank)
}

// answer keeps the first answer to an order.
func (k *keeper) answer(a wire.Answer) error {
	order, err := k.tx.Order(a.Key)
	if fault.Is(err, fault.KindNotFound) {
		// Nobody asks for it any more; it is not to be sent for ever.
		k.log.Warn("an answer to an order that is not known", "target", k.target.ID, "order", clip(a.Key, maxKey))
		return nil
	}
	if err != nil {
		return err
	}
	if order.Target != k.target.ID {
		k.log.Warn("an agent has answered another one's order", "target", k.target.ID, "order", clip(a.Key, maxKey), "of", order.Target)
		return fault.Denied("order %q is not this server's", a.Key)
	}
	r := resultOf(a)
	first, err := k.tx.Answer(a.Key, r, k.now)
	if err != nil {
		return err
	}
	if !first {
		if order.Result != nil && order.Result.Outcome != r.Outcome {
			k.log.Warn("an order has two answers; the first stays", "target", k.target.ID, "order", a.Key,
				"first", order.Result.Outcome, "second", r.Outcome, "reason", r.Reason)
		}
		return nil
	}
	if err := k.wake(order.Run); err != nil {
		return err
	}
	if r.Observation == nil {
		k.blind = k.blind || r.Outcome != action.Expired
		return nil
	}
	if r.Outcome == action.Expired {
		// It did nothing: the host was looked at after some earlier order.
		rank, err := k.rank(r.Observation.After)
		if err != nil {
			return err
		}
		return k.observe(r.Observation, rank)
	}
	r.Observation.After = a.Key
	return k.observe(r.Observation, order.Generation)
}

// observe puts an observation onto the target, unless it is older than what is
// known: than the newest order that was carried out, if an agent of this key
// has ever shown the host. rank is the generation of the order after which it
// was made.
//
// Two observations with no order between them are taken in the order of their
// arrival; nothing that we did lies between them.
func (k *keeper) observe(o *action.Observation, rank int64) error {
	newest, err := newest(k.tx, k.target)
	if err != nil {
		return err
	}
	if k.target.Observed != nil && rank < newest {
		k.log.Info("an observation came too late and is not kept", "target", k.target.ID, "after", o.After)
		return nil
	}
	k.target.Observed, k.target.ObservedAt, k.target.Seen = o, k.now, k.target.Seen.Note(o, k.now)
	if k.target, err = k.tx.PutTarget(k.target); err != nil {
		return err
	}
	runs, err := openRuns(k.tx, k.target.ID)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if err := k.wake(r.ID); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) wake(id string) error {
	k.woken = true
	return k.tx.Wake(store.RunKey(id), k.now)
}

// wantsLook reports whether the agent is to look at its host now: nobody knows
// what it looks like, or not since the newest order was carried out.
func (k *keeper) wantsLook() (bool, error) {
	if k.blind || k.target.Observed == nil {
		return true, nil
	}
	shown, err := k.rank(k.target.Observed.After)
	if err != nil {
		return false, err
	}
	newest, err := newest(k.tx, k.target)
	return shown < newest, err
}

// rank is the generation of the order with a key: 0 if it is none of the
// target's, or was never carried out.
func (k *keeper) rank(key string) (int64, error) {
	return rank(k.tx, k.target.ID, key)
}

func rank(tx store.Orders, target, key string) (int64, error) {
	if key == "" {
		return 0, nil
	}
	o, err := tx.Order(key)
	switch {
	case fault.Is(err, fault.KindNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case o.Target != target, o.Result != nil && o.Result.Outcome == action.Expired:
		return 0, nil
	}
	return o.Generation, nil
}

// newest is the generation of the newest order that is known to have been
// carried out on a target; 0 if there is none. It is the one that the present
// observation followed, or one that an open run has taken in since; of runs
// that have ended, nobody waits for a look any more.
func newest(tx store.Tx, target fleet.Target) (int64, error) {
	var keys []string
	if target.Observed != nil {
		keys = append(keys, target.Observed.After)
	}
	runs, err := openRuns(tx, target.ID)
	if err != nil {
		return 0, err
	}
	for _, r := range runs {
		keys = append(keys, r.Made.LastOrder)
	}
	_, generation, err := newestOf(tx, target.ID, keys)
	return generation, err
}

// newestOf is the key of the highest rank, and its rank.
func newestOf(tx store.Orders, target string, keys []string) (key string, generation int64, err error) {
	for _, k := range keys {
		g, err := rank(tx, target, k)
		if err != nil {
			return "", 0, err
		}
		if g > generation {
			key, generation = k, g
		}
	}
	return key, generation, nil
}

func openRuns(tx store.Runs, target string) ([]run.Run, error) {
	return tx.Runs(store.RunFilter{Target: target, Open: true})
}
