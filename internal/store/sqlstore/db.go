// Package sqlstore is the store's SQL, one text for both databases; packages
// sqlite and postgres open them and say in a Dialect how they differ.
//
// The database is authoritative; nothing is kept here between transactions. A
// crash loses the transactions that had not been committed, whole.
//
// Every transaction is serializable, so that what callers read and then write
// means the same on both databases. SQLite has one writer at a time; PostgreSQL
// lets them race and refuses all but one, and then the caller's function runs
// again. Uniqueness is looked at in SQL before it is relied on: a constraint of
// the database that is violated is a race too, and the next attempt sees why.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

// maxAttempts bounds how often a transaction that lost a race runs again.
const maxAttempts = 24

// The pause before the next attempt is drawn from a span that doubles.
const (
	firstPause = 500 * time.Microsecond
	maxPause   = 64 * time.Millisecond
)

// DB is an open database. It implements store.DB.
type DB struct {
	dialect Dialect
	write   pool
	read    pool
	shared  *convoy // of Config.Share; nil if each write commits by itself
	onClose func() error

	mu     sync.Mutex
	closed bool
	users  sync.WaitGroup // transactions under way
}

var _ store.DB = (*DB)(nil)

// Config is what a DB is made of.
type Config struct {
	Dialect Dialect
	Write   *sql.DB
	Writers int  // transactions that may write at once
	Share   bool // writes that wait for each other share one commit; takes one writer
	Read    *sql.DB
	Readers int          // transactions that may read at once
	OnClose func() error // after both are closed; may be nil
}

// New brings the database to the newest schema and returns it open. It owns
// what is in c from now on, even if it fails.
func New(ctx context.Context, c Config) (*DB, error) {
	db := &DB{
		dialect: c.Dialect,
		write:   pool{c.Write, newTurns(c.Writers)},
		read:    pool{c.Read, newTurns(c.Readers)},
		onClose: c.OnClose,
	}
	if c.Share {
		db.shared = &convoy{}
	}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// pool is connections behind a gate at which callers wait in the order in
// which they came; database/sql lets them through at random.
type pool struct {
	db *sql.DB
	*turns
}

// The kinds of transactions.
var (
	readWrite = sql.TxOptions{Isolation: sql.LevelSerializable}
	readOnly  = sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	// claiming locks the rows that it changes and decides nothing else, so it
	// need not be refused because of what others do beside it.
	claiming = sql.TxOptions{Isolation: sql.LevelReadCommitted}
)

// View implements store.DB.
func (db *DB) View(ctx context.Context, f func(store.Tx) error) error {
	return db.run(ctx, db.read, readOnly, func(t *tx) error { return f(t) })
}

// Update implements store.DB.
func (db *DB) Update(ctx context.Context, f func(store.Tx) error) error {
	return db.run(ctx, db.write, readWrite, func(t *tx) error { return f(t) })
}

// run runs f in a transaction, again if it lost a race.
func (db *DB) run(ctx context.Context, p pool, opts sql.TxOptions, f func(*tx) error) error {
	if err := db.begin(); err != nil {
		return err
	}
	defer db.users.Done()
	for attempt := 1; ; attempt++ {
		again, err := db.attempt(ctx, p, opts, f)
		if !again {
			return err
		}
		if attempt == maxAttempts {
			return fault.Unavailable("write beside others", err)
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// begin counts a user of the database in, unless it is closed.
func (db *DB) begin() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return fault.Unavailable("use the database", errClosed)
	}
	db.users.Add(1)
	return nil
}

var errClosed = errors.New("it is closed")

// attempt runs f in one transaction, alone or in a convoy; again reports that it
// lost a race.
func (db *DB) attempt(ctx context.Context, p pool, opts sql.TxOptions, f func(*tx) error) (again bool, err error) {
	if db.shared != nil && !opts.ReadOnly {
		return db.join(ctx, f)
	}
	return db.once(ctx, p, opts, f)
}

// once runs f in one transaction; again reports that it lost a race.
func (db *DB) once(ctx context.Context, p pool, opts sql.TxOptions, f func(*tx) error) (again bool, err error) {
	if err := p.enter(ctx); err != nil {
		return false, err
	}
	defer p.leave()
	stmt := db.dialect.Statement(ctx)
	inner, err := p.db.BeginTx(stmt, &opts)
	if err != nil {
		return db.fault("begin a transaction", err)
	}
	t := &tx{ctx: ctx, stmt: stmt, sql: inner, dialect: db.dialect, readOnly: opts.ReadOnly}
	committed := false
	defer func() { // even if f panics or ends its goroutine
		t.over = true
		if !committed {
			_ = inner.Rollback() // what it would say has been said already
		}
	}()
	if again, err := t.play(f); again || err != nil || t.readOnly || t.idle {
		return again, err
	}
	if err := inner.Commit(); err != nil {
		return db.fault("commit", err)
	}
	committed = true
	return false, nil
}

// fault turns a database error into a fault.
func (db *DB) fault(op string, err error) (again bool, _ error) {
	return asFault(db.dialect, op, err)
}

func asFault(d Dialect, op string, err error) (raced bool, _ error) {
	verdict := d.Verdict(err)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		verdict = Busy
	}
	switch verdict {
	case Raced:
		return true, fault.Unavailable(op, err)
	case Busy:
		return false, fault.Unavailable(op, err)
	case Broken:
	}
	return false, fault.Internal(op, err)
}

// pause waits before the next attempt, longer each time and never the same.
func pause(ctx context.Context, attempt int) error {
	span := min(firstPause<<min(attempt, 16), maxPause)
	t := time.NewTimer(rand.N(span))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fault.Unavailable("write beside others", ctx.Err())
	}
}

// Close implements store.DB.
func (db *DB) Close() error {
	db.mu.Lock()
	was := db.closed
	db.closed = true
	db.mu.Unlock()
	if was {
		return nil
	}
	db.users.Wait()
	// Readers first: the last connection to go tidies up, and must be able to.
	var err error
	if db.read.db != db.write.db {
		err = db.read.db.Close()
	}
	err = errors.Join(err, db.write.db.Close())
	if db.onClose != nil {
		err = errors.Join(err, db.onClose())
	}
	if err != nil {
		return fault.Internal("close the database", err)
	}
	return nil
}
