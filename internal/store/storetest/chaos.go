package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/store"
)

// shortLease keeps the tests short.
const shortLease = 300 * time.Millisecond

// wakeAll fills the queue of a database and closes it again.
func wakeAll(t *testing.T, open Opener, where string, keys int) {
	t.Helper()
	db, err := open(context.Background(), where)
	if err != nil {
		t.Fatal(err)
	}
	update(t, db, func(tx store.Tx) error {
		for i := range keys {
			if err := tx.Wake(fmt.Sprint("key", i), past(1)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Kill has so many workers at a time do some hundred keys, and kills one of them
// after another in the middle of it: nothing is lost and nothing happens twice.
func Kill(t *testing.T, open Opener, where string, workers int) {
	const keys, steps, kills = 300, 4, 8
	wakeAll(t, open, where, keys)
	k := killing{claimed: map[string]string{}}
	started := 0
	start := func() *process {
		started++
		return launch(t, job{Where: where, Owner: fmt.Sprint("worker", started), Lease: shortLease, Mode: workAll, Steps: steps})
	}
	var alive []*process
	for range workers {
		alive = append(alive, start())
	}
	for range kills {
		i := rand.IntN(len(alive))
		victim := alive[i]
		for line := range 20 + rand.IntN(80) { // what they have done since the last one
			if !k.follow(t, alive, line%len(alive)) {
				break
			}
		}
		time.Sleep(rand.N(2 * time.Millisecond)) // not always at the same instruction
		for _, line := range victim.kill() {
			k.said(t, victim, line)
		}
		k.died(victim)
		alive[i] = start()
	}
	for _, p := range alive {
		for line := range p.lines {
			k.said(t, p, line)
		}
	}
	t.Logf("%d kills left %d keys leased; %d writes were refused", kills, k.orphaned, k.lost)
	if k.orphaned == 0 {
		t.Error("no worker was killed while it had a key: the test tests nothing")
	}
	wholeness(t, open, where, keys, steps)
}

// killing is what the parent knows of who has which key.
type killing struct {
	claimed  map[string]string // key → the worker that has said so
	orphaned int               // keys whose worker was killed
	lost     int               // writes that were refused
}

// follow reads a line of one of the workers; it is false if none came.
func (k *killing) follow(t *testing.T, alive []*process, i int) bool {
	select {
	case line, ok := <-alive[i].lines:
		if ok {
			k.said(t, alive[i], line)
		}
		return ok
	case <-time.After(5 * time.Second):
		return false
	}
}

func (k *killing) said(t *testing.T, p *process, line string) {
	t.Helper()
	word, key, _ := strings.Cut(line, " ")
	switch word {
	case "claimed":
		k.claimed[key] = p.owner
	case "lost":
		k.lost++
	case "stepped":
		if k.claimed[key] == p.owner {
			delete(k.claimed, key)
		}
	case "failed":
		t.Errorf("%s: %s", p.owner, line)
	}
}

func (k *killing) died(p *process) {
	for key, owner := range k.claimed {
		if owner == p.owner {
			k.orphaned++
			delete(k.claimed, key)
		}
	}
}

// wholeness expects every step of every key once, in order, and an empty queue.
func wholeness(t *testing.T, open Opener, where string, keys, steps int) {
	t.Helper()
	db, err := open(context.Background(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	done := map[string][]string{}
	view(t, db, func(tx store.Tx) error {
		all, err := tx.Facts(store.FactFilter{})
		for _, f := range all {
			done[f.Run] = append(done[f.Run], f.Step)
		}
		return err
	})
	var want []string
	for i := range steps {
		want = append(want, fmt.Sprint(i+1))
	}
	for i := range keys {
		key := fmt.Sprint("key", i)
		if !slices.Equal(done[key], want) {
			t.Errorf("%s has steps %v, want %v", key, done[key], want)
		}
	}
	if claimed, next, err := db.Claim(context.Background(), "end", 10, time.Minute); err != nil || len(claimed) != 0 || !next.IsZero() {
		t.Errorf("the queue is not empty: %v, %v, %v", claimed, next, err)
	}
}

// TakeOver kills a worker that has the only key, and says how long it takes until
// another has it; at most is how long it may take.
func TakeOver(t *testing.T, open Opener, where string, lease, atMost time.Duration) {
	wakeAll(t, open, where, 1)
	victim := launch(t, job{Where: where, Owner: "victim", Lease: lease, Mode: zombie})
	victim.expect("claimed")
	victim.kill()
	took := takeKey(t, open, where)
	t.Logf("taken over after %v, with a lease of %v", took.Round(time.Millisecond), lease)
	if took > atMost {
		t.Errorf("that is more than %v", atMost)
	}
	wholeness(t, open, where, 1, 1)
}

// Stop has a worker sleep past its lease, as a machine does that is suspended:
// another takes its key over, and what the sleeper writes afterwards is refused.
// Many processes must be able to have the database open.
func Stop(t *testing.T, open Opener, where string) {
	wakeAll(t, open, where, 1)
	sleeper := launch(t, job{Where: where, Owner: "sleeper", Lease: shortLease, Mode: zombie})
	sleeper.expect("claimed")
	sleeper.signal(syscall.SIGSTOP)
	took := takeKey(t, open, where)
	t.Logf("taken over after %v, with a lease of %v", took.Round(time.Millisecond), shortLease)
	sleeper.goOn()
	sleeper.signal(syscall.SIGCONT)
	if got := sleeper.expect("extended"); got != string(fault.KindConflict) {
		t.Errorf("the sleeper renews its lease: %s", got)
	}
	if got := sleeper.expect("finished"); got != string(fault.KindConflict) {
		t.Errorf("the sleeper writes: %s", got)
	}
	wholeness(t, open, where, 1, 1)
}

// StopHolding has the worker sleep in the middle of its transaction. where must
// name a database that ends such a session after less than some seconds.
func StopHolding(t *testing.T, open Opener, where string) {
	wakeAll(t, open, where, 1)
	sleeper := launch(t, job{Where: where, Owner: "sleeper", Lease: shortLease, Mode: holding})
	sleeper.expect("claimed")
	sleeper.signal(syscall.SIGSTOP)
	took := takeKey(t, open, where)
	t.Logf("taken over after %v", took.Round(time.Millisecond))
	sleeper.goOn()
	sleeper.signal(syscall.SIGCONT)
	if got := sleeper.expect("finished"); got != string(fault.KindUnavailable) {
		t.Errorf("the sleeper writes: %s", got)
	}
	wholeness(t, open, where, 1, 1)
}

// takeKey waits until the one key can be claimed, and finishes it.
func takeKey(t *testing.T, open Opener, where string) time.Duration {
	t.Helper()
	began := time.Now()
	db, err := open(context.Background(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var claimed []store.Lease
	for len(claimed) == 0 {
		var next time.Time
		claimed, next, err = db.Claim(context.Background(), "other", 1, time.Minute)
		if err != nil || time.Since(began) > 10*time.Second {
			t.Fatalf("nobody can take the key over: %v, next %v", err, next)
		}
		if len(claimed) == 0 {
			time.Sleep(time.Until(next))
		}
	}
	took := time.Since(began)
	update(t, db, func(tx store.Tx) error {
		if err := tx.AddFacts([]history.Fact{{Who: "other", Run: claimed[0].Key, Step: "1"}}); err != nil {
			return err
		}
		return tx.Finish(claimed[0])
	})
	return took
}

// StopAlone does the same where only one process can have the database open:
// nobody can take over while it sleeps, so its lease is good when it wakes.
func StopAlone(t *testing.T, open Opener, where string) {
	wakeAll(t, open, where, 1)
	sleeper := launch(t, job{Where: where, Owner: "sleeper", Lease: blink, Mode: zombie})
	sleeper.expect("claimed")
	sleeper.signal(syscall.SIGSTOP)
	_, err := open(context.Background(), where)
	wantKind(t, err, fault.KindConflict)
	if want := fmt.Sprintf("process %d ", sleeper.cmd.Process.Pid); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	sleeper.goOn()
	sleeper.signal(syscall.SIGCONT)
	if got := sleeper.expect("finished"); got != "ok" {
		t.Errorf("the sleeper writes: %s", got)
	}
	for range sleeper.lines { // until it has ended
	}
	wholeness(t, open, where, 1, 1)
}
