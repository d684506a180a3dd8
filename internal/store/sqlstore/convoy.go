package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"upkeep/internal/fault"
)

// convoyTime is how long a transaction that others share takes in more of them:
// long beside a commit, short beside what people notice.
const convoyTime = 10 * time.Millisecond

// convoy is writes that share one commit, for a database with one writer that
// spends its time on making the disk keep things. Whoever has the turn works
// between savepoints, so each succeeds or fails alone; only the first needs
// none, for nobody else has written yet.
//
//	turn ─► savepoint ─► f ─┬─ good ─► keep ────┐    somebody waits: pass the turn on;
//	                        └─ else ─► go back ─┴──► nobody, or time is up: commit, answer all
//
// Nobody is answered before the commit, not even who failed or only looked:
// what they saw may be of others, and not happen. A crash loses the convoy that
// had not committed, of which nobody was answered.
type convoy struct { // guarded by the turn at the writer's gate
	tx    *sql.Tx // nil: none is under way
	end   *end
	began time.Time
	many  bool // more than one has joined, so each goes back to a savepoint
	wrote bool // there is something to commit
}

// end is what has become of a convoy.
type end struct {
	known chan struct{} // closed once the rest is set
	lost  error         // a member could not go back alone: the others try again
	err   error         // the commit failed
}

const (
	savepoint = `SAVEPOINT member`
	keep      = `RELEASE member`
	goBack    = `ROLLBACK TO member`
)

// join runs f in a convoy.
func (db *DB) join(ctx context.Context, f func(*tx) error) (again bool, err error) {
	if err := db.write.enter(ctx); err != nil {
		return false, err
	}
	end, again, err := db.ride(ctx, f)
	if end == nil {
		return again, err
	}
	<-end.known // whatever ctx says: what has been written can't be taken back any more
	switch {
	case end.lost != nil:
		return true, fault.Unavailable("write beside others", end.lost)
	case end.err != nil:
		return false, end.err
	}
	return again, err
}

// ride runs f with the turn, and gives the turn up. Whatever comes of f counts
// only once the end is known; no end means that it is known already.
func (db *DB) ride(ctx context.Context, f func(*tx) error) (e *end, again bool, err error) {
	c := db.shared
	if c.tx != nil {
		c.many = true
	} else if again, err := db.depart(); err != nil {
		db.write.leave()
		return nil, again, err
	}
	e = c.end
	t := &tx{ctx: ctx, stmt: db.dialect.Statement(ctx), sql: c.tx, dialect: db.dialect}
	good := false
	defer func() { // even if f panics or ends its goroutine
		t.over = true
		if lost := db.alight(good); lost != nil {
			e = nil
			if err == nil {
				again, err = db.fault("keep a part of a transaction", lost)
			}
		}
	}()
	if c.many {
		if _, err := t.sql.ExecContext(t.stmt, savepoint); err != nil {
			return e, t.raced, t.fail("begin a part of a transaction", err)
		}
	}
	again, err = t.play(f)
	good = !again && err == nil && !t.idle
	return e, again, err
}

// depart begins a convoy.
func (db *DB) depart() (again bool, err error) {
	ctx := context.Background() // it is nobody's alone
	inner, err := db.write.db.BeginTx(ctx, &readWrite)
	if err != nil {
		return db.fault("begin a transaction", err)
	}
	*db.shared = convoy{tx: inner, end: &end{known: make(chan struct{})}, began: time.Now()}
	return false, nil
}

// alight ends a member's part. It passes the turn on, or commits and gives it
// back. An error says that the database has dropped the whole convoy.
func (db *DB) alight(good bool) error {
	c := db.shared
	ctx := context.Background()
	var err error
	if c.many && !good {
		_, err = c.tx.ExecContext(ctx, goBack)
	}
	if c.many && err == nil {
		_, err = c.tx.ExecContext(ctx, keep)
	}
	c.wrote = c.wrote || good
	if err == nil && c.wrote && time.Since(c.began) < convoyTime && db.write.pass() {
		return nil
	}
	switch {
	case err != nil:
		_ = c.tx.Rollback() // it may have happened already
		c.end.lost = errors.Join(errLost, err)
	case c.wrote:
		if err := c.tx.Commit(); err != nil {
			_, c.end.err = db.fault("commit", err)
		}
	default:
		_ = c.tx.Rollback() // nothing is in it
	}
	c.tx = nil
	close(c.end.known)
	db.write.leave()
	return err
}

var errLost = errors.New("another writer's failure has ended the transaction that they shared")
