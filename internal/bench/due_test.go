package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"upkeep/internal/engine"
	"upkeep/internal/hub"
	"upkeep/internal/store"
	"upkeep/internal/store/postgres"
	"upkeep/internal/store/postgrestest"
	"upkeep/internal/store/sqlite"
	"upkeep/internal/wire"
)

// servers is how many are due at once; UPKEEP_BENCH_SERVERS makes it less.
func servers(tb testing.TB) int {
	tb.Helper()
	text := os.Getenv("UPKEEP_BENCH_SERVERS")
	if text == "" {
		return 100_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// BenchmarkDue has the whole fleet fall due at one instant: engine, hub and
// database are the real ones, and every server's agent has a poll waiting at
// the hub's handler. Only the network is left out.
func BenchmarkDue(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		benchDue(b, servers(b), func() (store.DB, error) {
			return sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "upkeep.db"))
		})
	})
	// The database is on the same two or more cores, so a tenth will do.
	b.Run("postgres-tenth", func(b *testing.B) {
		benchDue(b, servers(b)/10, func() (store.DB, error) { return postgres.Open(b.Context(), postgrestest.URL(b)) })
	})
}

func benchDue(b *testing.B, n int, open func() (store.DB, error)) {
	for b.Loop() {
		b.StopTimer()
		db, err := open()
		if err != nil {
			b.Fatal(err)
		}
		due(b, db, n)
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

func due(b *testing.B, db store.DB, n int) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	fill(b, db, n, time.Now().Truncate(time.Second), serverID)

	var e *engine.Engine
	h := hub.New(hub.Config{DB: db, Log: log, Woken: func() { e.Nudge() }, Peer: func(r *http.Request) (target, key string, err error) {
		id := r.Header.Get("Agent")
		return id, id, nil
	}})
	e = engine.New(engine.Config{
		DB: db, Owner: "bench", Log: log, Orders: h.Nudge,
		NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
	})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var parts sync.WaitGroup
	parts.Go(func() { _ = h.Run(ctx) })
	a := &agents{handler: h.Handler(), all: make(chan struct{}), want: int64(n)}
	var polls sync.WaitGroup
	for i := range n {
		polls.Go(func() { a.live(ctx, serverID(i)) })
	}
	waitFor(b, "agents that wait", func() bool { return a.asked.Load() >= int64(n) })
	idle := memory()

	done := watchPeak(ctx, &parts)
	b.StartTimer()
	start, spent := time.Now(), processorTime(b, os.Getpid())
	parts.Go(func() { _ = e.Run(ctx) })
	select {
	case <-a.all:
	case <-time.After(10 * time.Minute):
		b.Fatalf("%d of %d were handed an order", a.handed.Load(), n)
	}
	took := time.Since(start)
	spent = processorTime(b, os.Getpid()) - spent
	b.StopTimer()
	opened := lastOpened(b, db, n, start)
	b.ReportMetric(float64(n)/took.Seconds(), "handed/s")
	b.ReportMetric(took.Seconds(), "s-until-all-handed")
	b.ReportMetric(opened.Seconds(), "s-until-all-opened")
	b.ReportMetric(float64(n)/opened.Seconds(), "opened/s")
	b.ReportMetric(float64(spent.Microseconds())/float64(n), "cpu-µs/server")
	b.ReportMetric(float64(idle)/(1<<20), "MiB-before")
	cancel()
	b.ReportMetric(float64(done())/(1<<20), "MiB-peak")
	polls.Wait()
	parts.Wait()
}

// lastOpened is how long after start the last run was opened.
func lastOpened(b *testing.B, db store.DB, n int, start time.Time) time.Duration {
	var last time.Time
	err := db.View(context.Background(), func(tx store.Tx) error {
		runs, err := tx.Runs(store.RunFilter{})
		if err != nil {
			return err
		}
		if len(runs) != n {
			return fmt.Errorf("%d runs", len(runs))
		}
		last = runs[0].Created
		for _, r := range runs {
			if r.Created.After(last) {
				last = r.Created
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return last.Sub(start)
}

// agents are the other ends of the hub's handler, one goroutine each.
type agents struct {
	handler http.Handler
	asked   atomic.Int64 // polls begun
	handed  atomic.Int64 // agents that have an order
	want    int64
	all     chan struct{} // closed when all have one
}

// live polls as an agent does: at first for an order; then it holds one, and
// says so.
func (a *agents) live(ctx context.Context, id string) {
	req := wire.PollRequest{Version: "bench", BootID: "b", WaitMillis: 30_000}
	for ctx.Err() == nil {
		answer := a.poll(ctx, id, req)
		if len(answer.Orders) > 0 && len(req.Holding) == 0 {
			o := answer.Orders[0]
			req.Holding, req.Generation = []string{o.Key}, o.Generation
			if a.handed.Add(1) == a.want {
				close(a.all)
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(answer.AfterMillis) * time.Millisecond):
		}
	}
}

func (a *agents) poll(ctx context.Context, id string, req wire.PollRequest) (answer wire.PollAnswer) {
	body, err := json.Marshal(req)
	if err != nil {
		panic(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, wire.PollPath, io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Agent", id)
	a.asked.Add(1)
	w := &response{header: http.Header{}}
	a.handler.ServeHTTP(w, r)
	if w.status == http.StatusOK {
		err = json.Unmarshal(w.body.Bytes(), &answer)
	}
	if (w.status != http.StatusOK || err != nil) && ctx.Err() == nil {
		panic(fmt.Sprintf("%s: %d %s %v", id, w.status, w.body.String(), err))
	}
	return answer
}

// response is an http.ResponseWriter.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *response) Header() http.Header         { return w.header }
func (w *response) WriteHeader(status int)      { w.status = status }
func (w *response) Write(p []byte) (int, error) { return w.body.Write(p) }

func waitFor(tb testing.TB, what string, ready func() bool) {
	tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(2 * time.Minute)
	for !ready() {
		select {
		case <-tick.C:
		case <-end:
			tb.Fatal("waited in vain for " + what)
		}
	}
}

// memory is what the process has taken from the system, in bytes, after a collection.
func memory() uint64 {
	runtime.GC()
	return resident()
}

// resident is the process's resident set, in bytes.
func resident() uint64 { return residentOf(os.Getpid()) }

func residentOf(pid int) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, pages uint64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// processorTime is what a process has used of all processors. Unlike the time
// on the clock it does not tell who else was using them.
func processorTime(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	// What comes after the program's name, which is in brackets and may hold
	// anything: the state, ten numbers, and then ours, in hundredths of a second.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var hundredths int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		hundredths += n
	}
	return time.Duration(hundredths) * 10 * time.Millisecond
}

// watchPeak looks at the process's memory until ctx ends; done waits for that
// and says what it was at most, in bytes.
func watchPeak(ctx context.Context, parts *sync.WaitGroup) (done func() uint64) {
	peak, ended := uint64(0), make(chan struct{})
	parts.Go(func() {
		defer close(ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			peak = max(peak, resident())
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() uint64 { <-ended; return peak }
}
