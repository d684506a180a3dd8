package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/store"
	"upkeep/internal/wire"
)

// A waiting agent costs little, however much it came to say.
func TestHeldPollIsSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const agents = 100
		most := int64(20 << 10)
		if raced() {
			most *= 2 // the detector's own share is counted with it
		}
		b := newBench(t, Timing{Hold: time.Hour})
		b.do(func(tx store.Tx) error {
			for i := range agents {
				target := b.targetNamed(fmt.Sprintf("x%03d", i))
				if _, err := tx.PutTarget(target); err != nil {
					return err
				}
				if err := tx.PutAgent(store.Agent{Target: target.ID, Key: target.ID}); err != nil {
					return err
				}
			}
			return nil
		})
		used := func() int64 {
			var m runtime.MemStats
			for range 3 { // stacks shrink at a collection
				runtime.GC()
			}
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc + m.StackInuse)
		}
		req := wire.PollRequest{
			WaitMillis: patience, Holding: []string{"r1/install-1/1"},
			Observation: &wire.Observation{Kernel: strings.Repeat("x", 50<<10)},
		}
		body, err := json.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		before := used()
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range agents {
			id := fmt.Sprintf("x%03d", i)
			all.Go(func() { b.call(ctx, b.web, wire.PollPath, id, id, body) })
		}
		synctest.Wait()
		if n := len(b.hub.held.polls); n != agents {
			t.Errorf("%d polls are held", n)
		}
		each := (used() - before) / agents
		t.Logf("%d bytes for each", each)
		if each > most {
			t.Errorf("a held poll takes %d bytes, want at most %d", each, most)
		}
		cancel()
		all.Wait()
	})
}

// raced reports whether the race detector watches.
func raced() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
