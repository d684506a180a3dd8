package sqlstore

import (
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

const selectOrder = `SELECT doc, generation, handed_at, answered_at, result FROM orders`

func scanOrder(row scanner) (store.Order, error) {
	var o store.Order
	var text string
	var handed, answered int64
	var result *string
	if err := row.Scan(&text, &o.Generation, &handed, &answered, &result); err != nil {
		return o, err
	}
	generation := o.Generation
	if err := decode(text, &o.Order); err != nil {
		return o, err
	}
	o.Generation = generation
	o.HandedAt, o.AnsweredAt = instant(handed), instant(answered)
	if result == nil {
		return o, nil
	}
	o.Result = new(action.Result)
	return o, decode(*result, o.Result)
}

// AddOrder implements store.Orders.
func (t *tx) AddOrder(o run.Order) error {
	found, err := t.get("look for order", `SELECT key FROM orders WHERE key = $1`, []any{o.Key()}, new(string))
	if err != nil || found {
		return err
	}
	// RETURNING would spare a statement, and costs SQLite more than one.
	n, err := t.exec("count order", `UPDATE targets SET generation = generation + 1 WHERE id = $1`, o.Target)
	if err == nil && n == 0 {
		err = fault.NotFound("target", o.Target)
	}
	if err != nil {
		return err
	}
	if _, err := t.get("count order", `SELECT generation FROM targets WHERE id = $1`, []any{o.Target}, &o.Generation); err != nil {
		return err
	}
	doc, err := encode(o)
	if err != nil {
		return fault.Internal("write order", err)
	}
	_, err = t.exec("write order", `INSERT INTO orders (key, run, target, generation, handed_at, answered_at, doc) VALUES ($1, $2, $3, $4, 0, 0, $5)`,
		o.Key(), o.Run, o.Target, o.Generation, doc)
	return err
}

// Order implements store.Orders.
func (t *tx) Order(key string) (store.Order, error) {
	return one(t, "order", key, selectOrder+` WHERE key = $1`, []any{key}, scanOrder)
}

// OpenOrders implements store.Orders.
func (t *tx) OpenOrders(target string) ([]store.Order, error) {
	return list(t, "list orders", selectOrder+` WHERE target = $1 AND result IS NULL ORDER BY generation`, []any{target}, scanOrder)
}

// MarkHanded implements store.Orders.
func (t *tx) MarkHanded(key string, at time.Time) error {
	n, err := t.exec("hand order", `UPDATE orders SET handed_at = $1 WHERE key = $2 AND handed_at = 0 AND result IS NULL`, micros(at), key)
	if err != nil || n > 0 {
		return err
	}
	var answered bool
	found, err := t.get("look for order", `SELECT result IS NOT NULL FROM orders WHERE key = $1`, []any{key}, &answered)
	switch {
	case err != nil:
		return err
	case !found:
		return fault.NotFound("order", key)
	case answered:
		return fault.Conflict("order %s has an answer already and must not be handed out", key)
	}
	return nil
}

// Answer implements store.Orders.
func (t *tx) Answer(key string, r action.Result, at time.Time) (first bool, err error) {
	text, err := encode(r)
	if err != nil {
		return false, fault.Internal("write answer", err)
	}
	return t.answer(`UPDATE orders SET result = $1, answered_at = $2 WHERE key = $3 AND result IS NULL`, key, text, at)
}

// ExpireOrder implements store.Orders.
func (t *tx) ExpireOrder(key string, at time.Time) (expired bool, err error) {
	text, err := encode(action.Result{Outcome: action.Expired})
	if err != nil {
		return false, fault.Internal("write answer", err)
	}
	return t.answer(`UPDATE orders SET result = $1, answered_at = $2 WHERE key = $3 AND result IS NULL AND handed_at = 0`, key, text, at)
}

func (t *tx) answer(update, key, text string, at time.Time) (bool, error) {
	n, err := t.exec("write answer", update, text, micros(at), key)
	if err != nil || n > 0 {
		return n > 0, err
	}
	return false, t.orderExists(key)
}

func (t *tx) orderExists(key string) error {
	found, err := t.get("look for order", `SELECT key FROM orders WHERE key = $1`, []any{key}, new(string))
	if err == nil && !found {
		err = fault.NotFound("order", key)
	}
	return err
}

// Answers implements store.Orders.
func (t *tx) Answers(id string) (map[string]action.Result, error) {
	answers := make(map[string]action.Result)
	err := t.each("list answers", `SELECT key, result FROM orders WHERE run = $1 AND result IS NOT NULL`, []any{id}, func(row scanner) error {
		var key, text string
		if err := row.Scan(&key, &text); err != nil {
			return err
		}
		var r action.Result
		err := decode(text, &r)
		answers[key] = r
		return err
	})
	if err != nil {
		return nil, err
	}
	return answers, nil
}

// Handed implements store.Orders.
func (t *tx) Handed(id string) (map[string]time.Time, error) {
	handed := make(map[string]time.Time)
	err := t.each("list handed orders", `SELECT key, handed_at FROM orders WHERE run = $1 AND handed_at <> 0 AND result IS NULL`, []any{id}, func(row scanner) error {
		var key string
		var at int64
		err := row.Scan(&key, &at)
		handed[key] = instant(at)
		return err
	})
	if err != nil {
		return nil, err
	}
	return handed, nil
}

// TargetsWithOrders implements store.Orders.
func (t *tx) TargetsWithOrders(targets []string) ([]string, error) {
	const op, query = "list targets with orders", `SELECT DISTINCT target FROM orders WHERE result IS NULL`
	name := func(row scanner) (id string, err error) { return id, row.Scan(&id) }
	if targets == nil {
		return list(t, op, query+` ORDER BY target`, nil, name)
	}
	var all []string
	for _, part := range chunks(targets) {
		cond, args := in("target", part, nil)
		some, err := list(t, op, query+` AND `+cond+` ORDER BY target`, args, name)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}
