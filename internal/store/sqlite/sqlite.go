// Package sqlite keeps the store in one SQLite file: nothing to set up, one
// process at a time, many readers beside one writer.
//
// The file is authoritative. A commit that was answered survives a power cut
// (WAL, synchronous=FULL). A lock beside the file, which the kernel takes back
// when the process ends in whatever way, says that nobody else has it open, so
// every lease in it is stale when it is opened, and its work resumes at once.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"upkeep/internal/fault"
	"upkeep/internal/store/sqlstore"
)

// readers is how many transactions may read at once.
const readers = 8

// Option changes how a database is opened.
type Option func(*options)

type options struct{ synchronous string }

var defaults = options{synchronous: "FULL"}

// What the two sorts of connections differ in.
const (
	forWriting = "&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(8000)"
	forReading = "&_query_only=1&_pragma=cache_size(-8192)"
)

// Unsafe leaves it to the operating system when to write to the disk: for tests
// and simulations. A killed process loses nothing even so; a power cut may
// lose everything.
func Unsafe() Option { return func(o *options) { o.synchronous = "OFF" } }

// Open opens the file, or makes it, and brings it to the newest schema.
// Conflict: another process has it open.
func Open(ctx context.Context, path string, opts ...Option) (*sqlstore.DB, error) {
	o := defaults
	for _, opt := range opts {
		opt(&o)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Internal("open database", err)
	}
	lock, err := takeLock(path + ".lock")
	if err != nil {
		return nil, err
	}
	if err := makeFile(path); err != nil {
		return nil, errors.Join(err, lock.release())
	}
	write, read := connect(path, o, forWriting), connect(path, o, forReading)
	write.SetMaxOpenConns(1)
	read.SetMaxOpenConns(readers)
	for _, db := range []*sql.DB{write, read} {
		// A connection is kept for good: it costs nothing, and its caches are warm.
		db.SetMaxIdleConns(readers)
		db.SetConnMaxIdleTime(0)
	}
	db, err := sqlstore.New(ctx, sqlstore.Config{
		Dialect: dialect{}, Write: write, Writers: 1, Share: true, Read: read, Readers: readers, OnClose: lock.release,
	})
	if err != nil {
		return nil, err
	}
	if err := db.FreeLeases(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// makeFile makes a new database one that only its owner may read: it holds
// what people did and the hashes of what they are known by.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.Unavailable("open database", errors.New("there is no directory "+filepath.Dir(path)))
	case err != nil:
		return fault.Unavailable("open database", err)
	}
	return f.Close()
}

func connect(path string, o options, more string) *sql.DB {
	name := (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String() +
		"?_busy_timeout=5000&_journal_mode=WAL&_foreign_keys=1&_synchronous=" + o.synchronous +
		"&_pragma=journal_size_limit(67108864)&_dqs=0" + more
	connector, err := driver.NewConnector(name)
	if err != nil { // the name has no part that could be wrong
		panic(err)
	}
	begin := "BEGIN"
	if more == forWriting {
		begin = "BEGIN IMMEDIATE" // or two might find out late that only one may write
	}
	return sql.OpenDB(keeping{connector, begin})
}

// dialect is SQLite's.
type dialect struct{}

// Name implements sqlstore.Dialect.
func (dialect) Name() string { return "sqlite" }

// Schema implements sqlstore.Dialect: SQLite compares bytes unless told otherwise.
func (dialect) Schema(text string) string { return strings.ReplaceAll(text, ` COLLATE "C"`, "") }

// Now implements sqlstore.Dialect: there is one process, so its clock is the database's.
func (dialect) Now(context.Context, sqlstore.Querier) (time.Time, error) {
	return time.Now().UTC(), nil
}

// Number implements sqlstore.Dialect. There is one writer, so numbers become
// visible in their order.
func (dialect) Number(ctx context.Context, q sqlstore.Querier, name string, n int) ([]int64, error) {
	// RETURNING would spare a statement, and costs more than one.
	if _, err := q.ExecContext(ctx, `UPDATE counters SET value = value + $1 WHERE name = $2`, n, name); err != nil {
		return nil, err
	}
	var last int64
	if err := q.QueryRowContext(ctx, `SELECT value FROM counters WHERE name = $1`, name).Scan(&last); err != nil {
		return nil, err
	}
	numbers := make([]int64, n)
	for i := range numbers {
		numbers[i] = last - int64(n) + int64(i) + 1
	}
	return numbers, nil
}

// LockRows implements sqlstore.Dialect: the writer has locked everything.
func (dialect) LockRows() string { return "" }

// SkipLocked implements sqlstore.Dialect.
func (dialect) SkipLocked() string { return "" }

// BatchRows implements sqlstore.Dialect: a statement costs no round trip here,
// and the driver binds long lists slowly.
func (dialect) BatchRows() int { return 1 }

// Statement implements sqlstore.Dialect. Statements take micro- to milliseconds
// and run to their end: a cancelled context is noticed before the next one.
// The driver would start a goroutine for each to interrupt it.
func (dialect) Statement(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// Verdict implements sqlstore.Dialect.
func (dialect) Verdict(err error) sqlstore.Verdict {
	var e *driver.Error
	if !errors.As(err, &e) {
		return sqlstore.Broken
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_FULL, codes.SQLITE_CANTOPEN:
		return sqlstore.Busy
	}
	return sqlstore.Broken
}
