package rolls

import (
	"maps"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// everydayRuns are lived through by every "go test ./..."; UPKEEP_SIM_ROLLS
// asks for more.
const everydayRuns = 300

// seedsThatFailed once found a fault, and stay.
var seedsThatFailed = []uint64{2421, 7645, 15250, 20258, 28050, 31473, 31934, 32732}

// How long the trouble lasts in a world, and how long it may take until every
// run has ended when there is none any more.
const (
	troubleLasts = 8 * 24 * time.Hour
	patience     = 20 * 7 * 24 * time.Hour
)

// roll lives through the world of one seed.
func roll(seed uint64, tell bool) *world {
	w := newWorld(seed, tell)
	w.draw()
	w.after(w.between(time.Hour, troubleLasts), func() {
		w.calm = true
		w.tell("from now on nothing goes wrong")
		for _, h := range w.hosts {
			h.offline = time.Time{}
		}
		for _, s := range w.services {
			w.mendAll(s)
		}
		for _, j := range w.jobs {
			if j.run.ID != "" && !j.run.State.Ended() && wanted(j) {
				w.see(j)
			}
		}
	})
	w.live(began.Add(troubleLasts + patience))
	return w
}

func TestRolls(t *testing.T) {
	if s := os.Getenv("UPKEEP_SIM_SEED"); s != "" {
		w := roll(number(t, s), true)
		t.Log(w.told.String())
		if w.broke != "" {
			t.Error(w.broke)
		}
		return
	}
	runs := everydayRuns
	if s := os.Getenv("UPKEEP_SIM_ROLLS"); s != "" {
		runs = int(number(t, s))
	}
	// Worlds are small and short-lived: most of the memory is rubbish.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	sum, broken := rollAll(runs)
	t.Logf("%+v", sum)
	for _, seed := range slices.Sorted(maps.Keys(broken)) {
		t.Errorf("seed %d: %s\nUPKEEP_SIM_SEED=%d go test ./internal/sim/rolls repeats this", seed, broken[seed], seed)
	}
	all := reflect.ValueOf(sum)
	for i := range all.NumField() {
		if all.Field(i).Int() == 0 && runs >= everydayRuns {
			t.Errorf("the simulation simulates little: of %s there is nothing", all.Type().Field(i).Name)
		}
	}
}

// TestSeedsRepeat holds that one seed is one world, to the last word.
func TestSeedsRepeat(t *testing.T) {
	for seed := range uint64(5) {
		first := roll(seed, true).told.String()
		if again := roll(seed, true).told.String(); again != first {
			t.Errorf("seed %d is told in two ways", seed)
		}
	}
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// enough is how many broken seeds are worth printing.
const enough = 20

// rollAll lives through worlds, on all processors, until there were so many runs.
func rollAll(runs int) (sum tally, broken map[uint64]string) {
	broken = map[uint64]string{}
	var mu sync.Mutex
	var workers sync.WaitGroup
	next := make(chan uint64)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := range next {
				w := roll(seed, false)
				mu.Lock()
				sum.add(w.tally)
				if w.broke != "" {
					broken[seed] = w.broke
				}
				mu.Unlock()
			}
		})
	}
	for _, seed := range seedsThatFailed {
		next <- seed
	}
	for seed := uint64(1); ; seed++ {
		mu.Lock()
		over := sum.Runs >= runs || len(broken) >= enough
		mu.Unlock()
		if over {
			break
		}
		next <- seed
	}
	close(next)
	workers.Wait()
	return sum, broken
}

// add counts together.
func (t *tally) add(o tally) {
	sum, other := reflect.ValueOf(t).Elem(), reflect.ValueOf(o)
	for i := range sum.NumField() {
		sum.Field(i).SetInt(sum.Field(i).Int() + other.Field(i).Int())
	}
}
