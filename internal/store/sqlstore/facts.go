package sqlstore

import (
	"errors"
	"fmt"
	"strings"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/store"
)

// AddFacts implements store.Facts. They are numbered when the transaction
// commits, or reads them: see flush.
func (t *tx) AddFacts(facts []history.Fact) error {
	if err := t.ready("write facts", true); err != nil {
		return err
	}
	t.facts = append(t.facts, facts...)
	return nil
}

// flush numbers and writes the facts that were added. Whoever numbers facts has
// the turn until it commits, so that they become visible in the order of their
// numbers and a reader that goes on after the last one it has seen misses none.
// Doing it last keeps the turn short.
func (t *tx) flush() error {
	if len(t.facts) == 0 {
		return nil
	}
	facts := t.facts
	t.facts = nil
	seqs, err := t.number("facts", len(facts))
	if err != nil {
		return err
	}
	if len(seqs) != len(facts) {
		return t.fail("number facts", errors.New("too few numbers"))
	}
	const columns = 10
	for size := t.dialect.BatchRows(); len(facts) > 0; {
		n := min(size, len(facts))
		var values strings.Builder
		args := make([]any, 0, n*columns)
		for i, f := range facts[:n] {
			if i > 0 {
				values.WriteByte(',')
			}
			a := len(args)
			fmt.Fprintf(&values, "($%d,$%d,$%d,$%d,$%d,$%d,$%d,$%d,$%d,$%d)", a+1, a+2, a+3, a+4, a+5, a+6, a+7, a+8, a+9, a+10)
			args = append(args, seqs[i], micros(f.At), f.Who, f.Project, f.Target, f.Run, f.Step, string(f.Kind), f.Text, f.Rollout)
		}
		_, err := t.exec("write facts", `INSERT INTO facts (seq, at, who, project, target, run, step, kind, text, rollout) VALUES `+values.String(), args...)
		if err != nil {
			return err
		}
		facts, seqs = facts[n:], seqs[n:]
	}
	return nil
}

// Facts implements store.Facts.
func (t *tx) Facts(f store.FactFilter) ([]history.Fact, error) {
	if f.After < 0 {
		return nil, fault.Internal("list facts", errors.New("no fact has a negative number"))
	}
	if err := t.flush(); err != nil {
		return nil, err
	}
	var w filter
	w.equal("project", f.Project)
	w.equal("target", f.Target)
	w.equal("run", f.Run)
	w.equal("rollout", f.Rollout)
	if f.After > 0 {
		w.add("seq > ?", f.After)
	}
	order := "seq"
	if f.Newest {
		order = "seq DESC"
	}
	query := w.query(`SELECT seq, at, who, project, target, run, step, kind, text, rollout FROM facts`, order, f.Limit)
	return list(t, "list facts", query, w.args, func(row scanner) (history.Fact, error) {
		var f history.Fact
		var at int64
		err := row.Scan(&f.Seq, &at, &f.Who, &f.Project, &f.Target, &f.Run, &f.Step, &f.Kind, &f.Text, &f.Rollout)
		f.At = instant(at)
		return f, err
	})
}
