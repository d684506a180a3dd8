package sqlstore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"upkeep/internal/evidence"
	"upkeep/internal/fault"
	"upkeep/internal/store"
)

// Watch implements store.Evidence.
func (t *tx) Watch(run string) (evidence.Watch, error) {
	var w evidence.Watch
	var text string
	found, err := t.get("read watch", `SELECT doc FROM watches WHERE run = $1`, []any{run}, &text)
	if err != nil || !found {
		return w, err
	}
	if err := decode(text, &w); err != nil {
		return w, t.fail("read watch", err)
	}
	return w, nil
}

// PutWatch implements store.Evidence.
func (t *tx) PutWatch(w evidence.Watch) error {
	doc, err := encode(w)
	if err != nil {
		return fault.Internal("write watch", err)
	}
	_, err = t.exec("write watch", `INSERT INTO watches (run, began, kept, doc) VALUES ($1, $2, 1, $3)
		ON CONFLICT (run) DO UPDATE SET doc = excluded.doc`, w.Run, micros(w.Began), doc)
	return err
}

// secondColumns is how many values a row of seconds has.
const secondColumns = 12

// AddSeconds implements store.Evidence.
func (t *tx) AddSeconds(run string, all []evidence.Second) error {
	all = merged(all)
	for part := range slices.Chunk(all, t.dialect.BatchRows()) {
		var values strings.Builder
		args := make([]any, 0, len(part)*secondColumns)
		for i, s := range part {
			if i > 0 {
				values.WriteByte(',')
			}
			for j := range secondColumns {
				fmt.Fprintf(&values, "%s$%d", []string{"(", ","}[min(j, 1)], len(args)+j+1)
			}
			values.WriteByte(')')
			args = append(args, run, micros(s.At), s.Endpoint, s.Span.Microseconds(), s.Answered, s.Unanswered, s.Failed, s.Slow, s.Skipped,
				s.P50.Microseconds(), s.P99.Microseconds(), s.Why)
		}
		_, err := t.exec("write seconds", `INSERT INTO seconds (run, at, endpoint, span, answered, unanswered, failed, slow, skipped, p50, p99, why) VALUES `+values.String()+`
			ON CONFLICT (run, at, endpoint) DO UPDATE SET
			p50 = CASE WHEN seconds.answered + excluded.answered = 0 THEN 0
				ELSE (seconds.p50 * seconds.answered + excluded.p50 * excluded.answered) / (seconds.answered + excluded.answered) END,
			p99 = CASE WHEN seconds.p99 > excluded.p99 THEN seconds.p99 ELSE excluded.p99 END,
			span = CASE WHEN seconds.span > excluded.span THEN seconds.span ELSE excluded.span END,
			why = CASE WHEN excluded.why = '' THEN seconds.why ELSE excluded.why END,
			answered = seconds.answered + excluded.answered, unanswered = seconds.unanswered + excluded.unanswered,
			failed = seconds.failed + excluded.failed, slow = seconds.slow + excluded.slow, skipped = seconds.skipped + excluded.skipped`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}

// merged has each instant and endpoint once: one statement can't add to a row twice.
func merged(all []evidence.Second) (out []evidence.Second) {
	for _, s := range all {
		i := slices.IndexFunc(out, func(o evidence.Second) bool { return o.At.Equal(s.At) && o.Endpoint == s.Endpoint })
		if i < 0 {
			out = append(out, s)
			continue
		}
		out[i] = out[i].Plus(s)
	}
	return out
}

// longestSpan is of a row of seconds, so that those that reach beyond an
// instant are found by when they began.
const longestSpan = time.Minute

// SumSeconds implements store.Evidence.
func (t *tx) SumSeconds(run string, after time.Time) (evidence.Total, error) {
	var sum evidence.Total
	var answered int
	_, err := t.get("sum seconds", `SELECT CAST(COALESCE(SUM(answered), 0) AS BIGINT), CAST(COALESCE(SUM(unanswered), 0) AS BIGINT),
		CAST(COALESCE(SUM(failed), 0) AS BIGINT), CAST(COALESCE(SUM(slow), 0) AS BIGINT), CAST(COALESCE(SUM(skipped), 0) AS BIGINT)
		FROM seconds WHERE run = $1 AND at > $2 AND at + span > $3`,
		[]any{run, micros(after.Add(-longestSpan)), micros(after)}, &answered, &sum.Unanswered, &sum.Failed, &sum.Slow, &sum.Skipped)
	sum.Sent = answered + sum.Unanswered
	return sum, err
}

// Seconds implements store.Evidence.
func (t *tx) Seconds(f store.SecondFilter) ([]evidence.Second, error) {
	var w filter
	w.add("run = ?", f.Run)
	if !f.After.IsZero() {
		w.args = append(w.args, micros(f.After), f.Endpoint)
		w.conds = append(w.conds, "(at > $2 OR at = $2 AND endpoint > $3)")
	}
	query := w.query(`SELECT at, endpoint, span, answered, unanswered, failed, slow, skipped, p50, p99, why FROM seconds`, "at, endpoint", f.Limit)
	return list(t, "list seconds", query, w.args, func(row scanner) (evidence.Second, error) {
		var s evidence.Second
		var at, span, p50, p99 int64
		err := row.Scan(&at, &s.Endpoint, &span, &s.Answered, &s.Unanswered, &s.Failed, &s.Slow, &s.Skipped, &p50, &p99, &s.Why)
		s.At, s.Span = instant(at), time.Duration(span)*time.Microsecond
		s.P50, s.P99 = time.Duration(p50)*time.Microsecond, time.Duration(p99)*time.Microsecond
		return s, err
	})
}

// ForgetSeconds implements store.Evidence.
func (t *tx) ForgetSeconds(before time.Time, n int) error {
	runs, err := list(t, "list watches", fmt.Sprintf(`SELECT run FROM watches WHERE kept = 1 AND began < $1 ORDER BY began LIMIT %d`, n), []any{micros(before)},
		func(row scanner) (run string, err error) { return run, row.Scan(&run) })
	if err != nil {
		return err
	}
	for _, run := range runs {
		if _, err := t.exec("forget seconds", `DELETE FROM seconds WHERE run = $1`, run); err != nil {
			return err
		}
		if _, err := t.exec("forget seconds", `UPDATE watches SET kept = 0 WHERE run = $1`, run); err != nil {
			return err
		}
	}
	return nil
}

var _ store.Evidence = (*tx)(nil)
