package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/store"
)

// tx is one transaction. It implements store.Tx.
type tx struct {
	ctx      context.Context // the caller's: looked at before each statement
	stmt     context.Context // what statements run with
	sql      *sql.Tx
	dialect  Dialect
	readOnly bool

	over   bool  // its function has returned
	idle   bool  // there is nothing to commit
	broken error // the first database error: nothing is committed after one
	raced  bool  // it was a lost race

	facts []history.Fact // added, and not yet numbered and written
}

var _ store.Tx = (*tx)(nil)

// play runs f and says what comes of it; again: it lost a race.
func (t *tx) play(f func(*tx) error) (again bool, err error) {
	if err := t.ctx.Err(); err != nil {
		return false, fault.Unavailable("wait for the database", err)
	}
	err = f(t)
	if err == nil && !t.readOnly {
		err = t.flush()
	}
	switch {
	case t.raced:
		return true, t.broken
	case err != nil:
		return false, err
	case t.broken != nil: // f took no notice
		return false, t.broken
	case t.readOnly || t.idle:
		return false, nil
	}
	if err := t.ctx.Err(); err != nil {
		return false, fault.Unavailable("commit", err)
	}
	return false, nil
}

// ready reports why no statement can be run, if none can.
func (t *tx) ready(op string, writes bool) error {
	switch {
	case t.over:
		return fault.Internal(op, errors.New("the transaction is over"))
	case t.broken != nil:
		return t.broken
	case writes && t.readOnly:
		return fault.Internal(op, errors.New("the transaction only reads"))
	}
	if err := t.ctx.Err(); err != nil {
		return fault.Unavailable(op, err)
	}
	return nil
}

// fail keeps the first database error: after one, PostgreSQL answers nothing
// more in the same transaction, so SQLite shall not either.
func (t *tx) fail(op string, err error) error {
	raced, f := asFault(t.dialect, op, err)
	if t.broken == nil {
		t.broken, t.raced = f, raced
	}
	return f
}

// exec runs a statement that writes and says how many rows it touched.
func (t *tx) exec(op, query string, args ...any) (int64, error) {
	if err := t.ready(op, true); err != nil {
		return 0, err
	}
	res, err := t.sql.ExecContext(t.stmt, query, clean(args)...)
	if err != nil {
		return 0, t.fail(op, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, t.fail(op, err)
	}
	return n, nil
}

// get reads one row into dest; found is false if there is none.
func (t *tx) get(op, query string, args []any, dest ...any) (found bool, err error) {
	err = t.each(op, query, args, func(row scanner) error {
		found = true
		return row.Scan(dest...)
	})
	return found, err
}

// scanner is one row.
type scanner interface{ Scan(dest ...any) error }

// each calls scan with every row.
func (t *tx) each(op, query string, args []any, scan func(scanner) error) error {
	if err := t.ready(op, false); err != nil {
		return err
	}
	rows, err := t.sql.QueryContext(t.stmt, query, clean(args)...)
	if err != nil {
		return t.fail(op, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return t.fail(op, err)
		}
	}
	if err := rows.Err(); err != nil {
		return t.fail(op, err)
	}
	return nil
}

// list collects what scan makes of every row.
func list[T any](t *tx, op, query string, args []any, scan func(scanner) (T, error)) ([]T, error) {
	var all []T
	err := t.each(op, query, args, func(row scanner) error {
		one, err := scan(row)
		all = append(all, one)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// one reads one row, or says that there is no such thing.
func one[T any](t *tx, what, name, query string, args []any, scan func(scanner) (T, error)) (T, error) {
	all, err := list(t, "read "+what, query, args, scan)
	if err == nil && len(all) == 0 {
		err = fault.NotFound(what, name)
	}
	if err != nil {
		var none T
		return none, err
	}
	return all[0], nil
}

// clean makes text what both databases can hold: valid UTF-8 without NUL.
// PostgreSQL refuses the rest, and some of our text is what hosts print.
func clean(args []any) []any {
	for i, a := range args {
		if s, ok := a.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			args[i] = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		}
	}
	return args
}

// filter collects the conditions of a query. A question mark in a condition
// stands for its value.
type filter struct {
	conds []string
	args  []any
}

func (f *filter) add(cond string, value any) {
	f.args = append(f.args, value)
	f.conds = append(f.conds, strings.Replace(cond, "?", fmt.Sprintf("$%d", len(f.args)), 1))
}

// equal adds a condition unless the value is empty, which asks for all.
func (f *filter) equal(column, value string) {
	if value != "" {
		f.add(column+" = ?", value)
	}
}

// query is the text that selects columns from the rows that pass.
func (f *filter) query(what, order string, limit int) string {
	var b strings.Builder
	b.WriteString(what)
	if len(f.conds) > 0 {
		b.WriteString(" WHERE " + strings.Join(f.conds, " AND "))
	}
	b.WriteString(" ORDER BY " + order)
	if limit > 0 {
		// As a parameter it would make SQLite plan anew at every call.
		fmt.Fprintf(&b, " LIMIT %d", limit)
	}
	return b.String()
}

// maxIn is the longest list that one statement is given.
const maxIn = 256

// chunks cuts a list into parts for in, without repetitions.
func chunks(values []string) [][]string {
	seen := make(map[string]bool, len(values))
	var parts [][]string
	for _, v := range values {
		if seen[v] {
			continue
		}
		seen[v] = true
		if n := len(parts); n == 0 || len(parts[n-1]) == maxIn {
			parts = append(parts, nil)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], v)
	}
	return parts
}

// in writes "column IN ($n, …)" for the values, of which there is at least one,
// and adds them to args. The list is filled up to a power of two with its last
// value: there are few texts then, and the databases keep them prepared.
func in(column string, values []string, args []any) (string, []any) {
	size := 1
	for size < len(values) {
		size *= 2
	}
	var b strings.Builder
	b.WriteString(column + " IN (")
	for i := range size {
		if i > 0 {
			b.WriteByte(',')
		}
		args = append(args, values[min(i, len(values)-1)])
		fmt.Fprintf(&b, "$%d", len(args))
	}
	b.WriteByte(')')
	return b.String(), args
}

// micros is a time as it is stored: microseconds since 1970, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant is a stored time, in UTC.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
