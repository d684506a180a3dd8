// Package postgres keeps the store in PostgreSQL, or in a distributed database
// that speaks it: any number of processes share one.
//
// The database is authoritative, and its clock decides about leases. All
// transactions that write are SERIALIZABLE, and run again when the database
// refuses them. What callers read and then write so means the same as on
// SQLite, where the simulations run; with less, two might use the same one-time
// secret, or both open what only one may. It costs attempts: sixteen workers on
// sixteen runs, the worst case, since all of them lie on one page, need almost
// two attempts a tick and do some 400 ticks a second where REPEATABLE READ does
// 500. Claims of work lock their rows and need no more than READ COMMITTED.
//
// A process that is killed loses its open transaction. One that is stopped in
// the middle of one holds its row locks until the database ends its session,
// after 20 seconds.
package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"upkeep/internal/fault"
	"upkeep/internal/store/sqlstore"
)

// connections is how many a process opens at most.
const connections = 24

// Open connects to the database that a URL or a line of settings names, as
// libpq reads them, and brings it to the newest schema.
func Open(ctx context.Context, url string) (*sqlstore.DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, &fault.Error{Kind: fault.KindInvalid, Op: "open database", Field: "database", Cause: err}
	}
	for name, value := range map[string]string{
		"application_name":                    "upkeep",
		"idle_in_transaction_session_timeout": "20000", // ms; as long as a tick may take
	} {
		if _, set := config.RuntimeParams[name]; !set {
			config.RuntimeParams[name] = value
		}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour)
	// Readers may not take every connection away from writers, or the reverse.
	return sqlstore.New(ctx, sqlstore.Config{
		Dialect: dialect{}, Write: db, Writers: connections / 2, Read: db, Readers: connections / 2,
	})
}

// dialect is PostgreSQL's.
type dialect struct{}

// Name implements sqlstore.Dialect.
func (dialect) Name() string { return "postgres" }

// Schema implements sqlstore.Dialect: migrations are written for PostgreSQL.
func (dialect) Schema(text string) string { return text }

// Now implements sqlstore.Dialect.
func (dialect) Now(ctx context.Context, q sqlstore.Querier) (time.Time, error) {
	var us int64
	err := q.QueryRowContext(ctx, `SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`).Scan(&us)
	return time.UnixMicro(us).UTC(), err
}

// Number implements sqlstore.Dialect. Sequences count without waiting for
// anybody. Facts must become visible in order, so their numbers are drawn under
// the lock on a row that nobody ever changes: whoever has it is waited for, but
// no transaction is refused for it.
func (dialect) Number(ctx context.Context, q sqlstore.Querier, name string, n int) ([]int64, error) {
	if name == "facts" {
		var turn string
		if err := q.QueryRowContext(ctx, `SELECT name FROM turns WHERE name = $1 FOR UPDATE`, name).Scan(&turn); err != nil {
			return nil, err
		}
	}
	rows, err := q.QueryContext(ctx, `SELECT nextval('`+name+`_seq') FROM generate_series(1, $1)`, n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	numbers := make([]int64, 0, n)
	for rows.Next() {
		var number int64
		if err := rows.Scan(&number); err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	return numbers, rows.Err()
}

// LockRows implements sqlstore.Dialect.
func (dialect) LockRows() string { return " FOR UPDATE" }

// SkipLocked implements sqlstore.Dialect.
func (dialect) SkipLocked() string { return " FOR UPDATE SKIP LOCKED" }

// BatchRows implements sqlstore.Dialect.
func (dialect) BatchRows() int { return 100 }

// Statement implements sqlstore.Dialect: a statement may wait for the network
// or for a lock, so cancelling must reach it.
func (dialect) Statement(ctx context.Context) context.Context { return ctx }

// Verdict implements sqlstore.Dialect. The classes are those of PostgreSQL's
// manual, appendix A.
func (dialect) Verdict(err error) sqlstore.Verdict {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case refused.Code == "40001", refused.Code == "40P01", // serialization failure, deadlock
			refused.Code == "23505", refused.Code == "23503", // looked at before, so somebody was faster
			refused.Code == "42710", refused.Code == "42P07": // IF NOT EXISTS looks, too, before it makes
			return sqlstore.Raced
		case strings.HasPrefix(refused.Code, "08"), // connection
			strings.HasPrefix(refused.Code, "53"), // no resources left
			strings.HasPrefix(refused.Code, "57"), // shutting down, cancelled
			strings.HasPrefix(refused.Code, "28"), // who we are is not accepted, or not yet
			refused.Code == "3D000",               // there is no such database, or not yet
			refused.Code == "25P03",               // idle in transaction for too long
			refused.Code == "25006":               // read only: a standby
			return sqlstore.Busy
		}
		return sqlstore.Broken
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, net.ErrClosed) || isEOF(err) {
		return sqlstore.Busy
	}
	return sqlstore.Broken
}

// isEOF reports whether the server hung up.
func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn)
}
