package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	sqlite "modernc.org/sqlite"

	"upkeep/internal/fault"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlstore"
)

// watched is a connector whose commits can be counted, held up and made to fail.
type watched struct {
	driver.Connector
	commits atomic.Int64
	before  func() error // is called before each commit, which fails if it does; nil: nothing
	goBack  error        // what going back to a savepoint gives, once
}

// Connect implements driver.Connector.
func (w *watched) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := keeping{w.Connector, "BEGIN IMMEDIATE"}.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return watchedConn{inner.(*conn), w}, nil
}

type watchedConn struct {
	*conn
	w *watched
}

// BeginTx implements driver.ConnBeginTx.
func (c watchedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	t, err := c.conn.BeginTx(ctx, o)
	return watchedTx{t, c.w}, err
}

// ExecContext implements driver.ExecerContext.
func (c watchedConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.w.goBack; err != nil && text == "ROLLBACK TO member" {
		c.w.goBack = nil
		return nil, err
	}
	return c.conn.ExecContext(ctx, text, args)
}

type watchedTx struct {
	driver.Tx
	w *watched
}

// Commit implements driver.Tx.
func (t watchedTx) Commit() error {
	t.w.commits.Add(1)
	if t.w.before != nil {
		if err := t.w.before(); err != nil {
			return errors.Join(err, t.Rollback())
		}
	}
	return t.Tx.Commit()
}

// openWatched opens a new database.
func openWatched(t *testing.T) (*watched, *sqlstore.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "upkeep.db")
	connector, err := sqlite.NewConnector("file:" + path + "?_journal_mode=WAL&_foreign_keys=1&_synchronous=OFF")
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{Connector: connector}
	write := sql.OpenDB(w)
	write.SetMaxOpenConns(1)
	db, err := sqlstore.New(t.Context(), sqlstore.Config{
		Dialect: dialect{}, Write: write, Writers: 1, Share: true, Read: connect(path, options{"OFF"}, forReading), Readers: readers,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.commits.Store(0)
	return w, db
}

func put(tx store.Tx, name string) error {
	_, err := tx.PutSecret(name, []byte(name))
	return err
}

// stored says which of n numbered members' writes are there.
func stored(t *testing.T, db store.DB, n int) map[int]bool {
	t.Helper()
	there := map[int]bool{}
	err := db.View(context.Background(), func(tx store.Tx) error {
		for i := range n {
			_, err := tx.Secret(fmt.Sprint(i))
			if err != nil && !fault.Is(err, fault.KindNotFound) {
				return err
			}
			there[i] = err == nil
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// ride has members write at once: the first keeps its turn until all others
// wait. It gives what each is answered.
func ride(db store.DB, members []func(store.Tx) error) (answers []error, answered *atomic.Int64, all *sync.WaitGroup) {
	answers, answered, all = make([]error, len(members)), new(atomic.Int64), new(sync.WaitGroup)
	goOn := make(chan struct{})
	for i, f := range members {
		all.Go(func() {
			defer answered.Add(1)
			defer func() {
				if p := recover(); p != nil {
					answers[i] = fmt.Errorf("panicked: %v", p)
				}
			}()
			answers[i] = errors.New("its goroutine has ended")
			answers[i] = db.Update(context.Background(), func(tx store.Tx) error {
				if i == 0 {
					<-goOn
				}
				return f(tx)
			})
		})
		synctest.Wait() // so that they have their turns in order
	}
	close(goOn)
	synctest.Wait()
	return answers, answered, all
}

// writers are n members that write their number.
func writers(n int) []func(store.Tx) error {
	var members []func(store.Tx) error
	for i := range n {
		members = append(members, func(tx store.Tx) error { return put(tx, fmt.Sprint(i)) })
	}
	return members
}

func TestWritersShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := openWatched(t)
		answers, _, all := ride(db, writers(10))
		all.Wait()
		if err := errors.Join(answers...); err != nil {
			t.Error(err)
		}
		if n := w.commits.Load(); n != 1 {
			t.Errorf("%d commits, want 1", n)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOneWriterFailsAlone(t *testing.T) {
	mine := errors.New("mine")
	for first := range 2 { // 0: who fails has come first
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, db := openWatched(t)
				members := writers(10)
				fails := map[int]func(tx store.Tx) error{
					first:     func(store.Tx) error { return mine },
					first + 2: func(store.Tx) error { panic(mine) },
					first + 4: func(store.Tx) error { runtime.Goexit(); return nil },
					first + 6: func(tx store.Tx) error {
						_, err := tx.Facts(store.FactFilter{After: -1})
						return err
					},
				}
				for i, f := range fails {
					members[i] = func(tx store.Tx) error {
						if err := put(tx, fmt.Sprint(i)); err != nil {
							t.Error(err)
						}
						return f(tx)
					}
				}
				answers, _, all := ride(db, members)
				all.Wait()
				there := stored(t, db, len(members))
				for i, err := range answers {
					if _, bad := fails[i]; there[i] == bad || (err != nil) != bad {
						t.Errorf("member %d is answered %v and stored: %v", i, err, there[i])
					}
				}
				if !errors.Is(answers[first], mine) {
					t.Errorf("the error that came back is %v", answers[first])
				}
				// Who comes first and fails leaves nothing to share.
				if n := w.commits.Load(); n > 2 {
					t.Errorf("%d commits", n)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestNobodyIsAnsweredBeforeTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := openWatched(t)
		goOn := make(chan struct{})
		w.before = func() error { <-goOn; return nil }
		members := append(writers(3),
			func(store.Tx) error { return errors.New("saw what the others wrote") },
			func(store.Tx) error { return nil })
		answers, answered, all := ride(db, members)
		if n := answered.Load(); n != 0 {
			t.Errorf("%d were answered before the commit", n)
		}
		for i, is := range stored(t, db, 3) {
			if is {
				t.Errorf("%d is seen before the commit", i)
			}
		}
		close(goOn)
		all.Wait()
		if err := errors.Join(answers[0], answers[1], answers[2], answers[4]); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestACommitThatFailsFailsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := openWatched(t)
		full := errors.New("the disk is full")
		w.before = func() error { return full }
		answers, _, all := ride(db, writers(5))
		all.Wait()
		for i, err := range answers {
			if !errors.Is(err, full) {
				t.Errorf("%d is answered %v", i, err)
			}
		}
		for i, is := range stored(t, db, 5) {
			if is {
				t.Errorf("%d is there", i)
			}
		}
		w.before = nil
		if err := db.Update(t.Context(), func(tx store.Tx) error { return put(tx, "0") }); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// SQLite drops a whole transaction after some errors. Who is in it without a
// fault of its own tries again.
func TestWhoIsTakenAlongTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := openWatched(t)
		w.goBack = errors.New("there is no such savepoint")
		mine := errors.New("mine")
		members := writers(6)
		members[3] = func(tx store.Tx) error { return errors.Join(put(tx, "3"), mine) }
		answers, _, all := ride(db, members)
		all.Wait()
		there := stored(t, db, len(members))
		for i, err := range answers {
			if bad := i == 3; there[i] == bad || (err != nil) != bad {
				t.Errorf("member %d is answered %v and stored: %v", i, err, there[i])
			}
		}
		if !errors.Is(answers[3], mine) {
			t.Errorf("the error that came back is %v", answers[3])
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What has been written can't be taken back, so giving up then comes too late.
func TestGivingUpBeforeTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := openWatched(t)
		goOn := make(chan struct{})
		w.before = func() error { <-goOn; return nil }
		ctx, giveUp := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- db.Update(ctx, func(tx store.Tx) error { return put(tx, "0") }) }()
		synctest.Wait()
		giveUp()
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("answered %v before anybody knows", err)
		default:
		}
		close(goOn)
		if err := <-done; err != nil || !stored(t, db, 1)[0] {
			t.Errorf("answered %v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A copy of the files, taken at any moment, is what a power cut leaves: of each
// write all or nothing is there, and all if it had been answered.
func TestPowerCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "upkeep.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	const workers, cuts = 16, 8
	var answered [workers]atomic.Int64
	tenth := make(chan struct{}) // of the first worker's writes
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := int64(0); ctx.Err() == nil; i++ {
				err := db.Update(ctx, func(tx store.Tx) error {
					if i%5 == 4 {
						return errors.Join(put(tx, fmt.Sprintf("%d-%d-a", w, i)), errors.New("no"))
					}
					return errors.Join(put(tx, fmt.Sprintf("%d-%d-a", w, i)), put(tx, fmt.Sprintf("%d-%d-b", w, i)))
				})
				if err == nil || i%5 == 4 && ctx.Err() == nil {
					answered[w].Store(i + 1)
				}
				if w == 0 && i%10 == 9 {
					select {
					case tenth <- struct{}{}:
					case <-ctx.Done():
					}
				}
			}
		})
	}
	for cut := range cuts {
		<-tenth
		var sure [workers]int64
		for w := range sure {
			sure[w] = answered[w].Load()
		}
		copied := filepath.Join(dir, fmt.Sprint("cut-", cut))
		for _, end := range []string{"", "-wal"} {
			text, err := os.ReadFile(path + end)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(copied+end, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		checkCut(t, copied, sure[:])
	}
	stop()
	all.Wait()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func checkCut(t *testing.T, path string, sure []int64) {
	t.Helper()
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(t.Context(), func(tx store.Tx) error {
		has := func(name string) bool { _, err := tx.Secret(name); return err == nil }
		for w, n := range sure {
			for i := range n + 5 {
				a, b := has(fmt.Sprintf("%d-%d-a", w, i)), has(fmt.Sprintf("%d-%d-b", w, i))
				if a != b || a && i%5 == 4 || !a && i < n && i%5 != 4 {
					t.Errorf("of write %d of worker %d is there: %v and %v; %d were answered", i, w, a, b, n)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
