package sqlstore

import (
	"context"
	"database/sql"
	"time"
)

// Dialect is all that the SQL needs to know of the database below it.
type Dialect interface {
	// Name is the middle part of the names of migrations that only this
	// database reads.
	Name() string
	// Schema makes the text of a migration one that this database understands.
	Schema(text string) string

	// Now is the clock that decides about leases.
	Now(ctx context.Context, q Querier) (time.Time, error)
	// Number takes n numbers from a named row of them, facts or fences. They
	// only grow; whoever has seen one committed has seen every smaller one that
	// ever will be.
	Number(ctx context.Context, q Querier, name string, n int) ([]int64, error)

	// LockRows and SkipLocked end a SELECT that locks the rows it returns,
	// waiting for those that are locked or leaving them out.
	LockRows() string
	SkipLocked() string
	// BatchRows is how many rows one INSERT should carry.
	BatchRows() int

	// Statement is the context that a transaction's statements run with, made
	// from the caller's.
	Statement(ctx context.Context) context.Context
	// Verdict says what a database error means.
	Verdict(err error) Verdict
}

// Verdict is what a database error means to us.
type Verdict int

// The verdicts.
const (
	Broken Verdict = iota // our mistake, or damage: nobody can do anything
	Busy                  // the database can't be reached or has no room: try again later
	Raced                 // somebody else was faster: the transaction runs again
)

// Querier is what statements are sent to: a database, or a transaction.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
