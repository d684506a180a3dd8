package storetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/store"
)

// Opener opens the database of that name.
type Opener func(ctx context.Context, where string) (store.DB, error)

// workerEnv makes a test binary a worker: a process that can be stopped and killed.
const workerEnv = "UPKEEP_STORETEST_WORKER"

// Main is what TestMain calls in a package that uses Kill or Stop: the binary is
// either a worker, or runs its tests.
func Main(open Opener, run func() int) int {
	text := os.Getenv(workerEnv)
	if text == "" {
		return run()
	}
	var job job
	err := json.Unmarshal([]byte(text), &job)
	if err == nil {
		err = job.work(open)
	}
	if err != nil {
		fmt.Println("failed", err)
		return 1
	}
	return 0
}

// job is what a worker is told.
type job struct {
	Where string
	Owner string
	Lease time.Duration
	Mode  mode
	Steps int // per key
}

type mode string

const (
	workAll mode = "work" // do every step of every key, then end
	zombie  mode = "late" // claim one key, and finish it only when told
	holding mode = "hold" // the same, within the transaction that finishes it
)

// work says on its standard output what it does, a line each.
func (j job) work(open Opener) error {
	ctx := context.Background()
	db, err := open(ctx, j.Where)
	if err != nil {
		return err
	}
	fmt.Println("opened")
	told := bufio.NewReader(os.Stdin)
	if j.Mode == workAll {
		err = j.all(ctx, db)
	} else {
		err = j.single(ctx, db, told)
	}
	if err != nil {
		return err
	}
	return db.Close()
}

// all works until nothing is left in the queue.
func (j job) all(ctx context.Context, db store.DB) error {
	for {
		claimed, next, err := db.Claim(ctx, j.Owner, 8, j.Lease)
		if err != nil {
			return err
		}
		for _, l := range claimed {
			fmt.Println("claimed", l.Key)
		}
		for _, l := range claimed {
			time.Sleep(rand.N(time.Millisecond)) // what a step takes, and when it is killed
			err := j.step(ctx, db, l)
			switch {
			case fault.Is(err, fault.KindConflict):
				fmt.Println("lost", l.Key)
			case err != nil:
				return err
			default:
				fmt.Println("stepped", l.Key)
			}
		}
		if len(claimed) == 0 {
			if next.IsZero() {
				return nil
			}
			time.Sleep(min(max(time.Until(next), time.Millisecond), 20*time.Millisecond))
		}
	}
}

// step does the key's next step.
func (j job) step(ctx context.Context, db store.DB, l store.Lease) error {
	return db.Update(ctx, func(tx store.Tx) error {
		done, err := tx.Facts(store.FactFilter{Run: l.Key})
		if err != nil {
			return err
		}
		n := len(done) + 1
		if err := tx.AddFacts([]history.Fact{{Who: j.Owner, Run: l.Key, Step: fmt.Sprint(n)}}); err != nil {
			return err
		}
		if n == j.Steps {
			return tx.Finish(l)
		}
		return tx.Release(l, time.Now())
	})
}

// single claims the one key that there is and finishes it when a line comes in.
func (j job) single(ctx context.Context, db store.DB, told *bufio.Reader) error {
	claimed, _, err := db.Claim(ctx, j.Owner, 1, j.Lease)
	if err != nil || len(claimed) != 1 {
		return fmt.Errorf("claimed %v: %w", claimed, err)
	}
	l := claimed[0]
	wait := func() error {
		fmt.Println("claimed", l.Key)
		_, err := told.ReadString('\n')
		return err
	}
	if j.Mode == zombie {
		if err := wait(); err != nil {
			return err
		}
		fmt.Println("extended", kindOf(db.Extend(ctx, l, j.Lease)))
	}
	err = db.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddFacts([]history.Fact{{Who: j.Owner, Run: l.Key, Step: "1"}}); err != nil {
			return err
		}
		if err := tx.Finish(l); err != nil {
			return err
		}
		if j.Mode == holding {
			return wait()
		}
		return nil
	})
	fmt.Println("finished", kindOf(err))
	return nil
}

func kindOf(err error) string {
	if err == nil {
		return "ok"
	}
	return string(fault.KindOf(err))
}
