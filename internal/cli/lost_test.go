package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"upkeep/client"
)

// lossy is a server that does what it is asked and then loses some answers.
type lossy struct {
	mu     sync.Mutex
	lose   int             // so many answers more
	status int             // what is answered instead; 0: the connection breaks
	calls  int             // that arrived
	did    map[string]bool // what was done, by idempotency key
}

func (l *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		l.did[key] = true
	}
	if l.lose > 0 {
		l.lose--
		if l.status != 0 {
			w.WriteHeader(l.status)
			return
		}
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"id":"f1","reason":"x","name":"operator","role":"operator"}`)
}

// seen is how many calls arrived, and how many different ones were done.
func (l *lossy) seen() (calls, did int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls, len(l.did)
}

func lossySession(t *testing.T, l *lossy) *session {
	t.Helper()
	l.did = map[string]bool{}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	c, err := client.Dial(srv.URL, "x", "")
	if err != nil {
		t.Fatal(err)
	}
	return &session{Client: c}
}

func freeze(ctx context.Context, s *session) error {
	_, err := write(ctx, func(ctx context.Context, key string) (*client.Freeze, error) {
		return s.CreateFreeze(ctx, client.FreezeInput{Reason: "x"}, &client.CreateFreezeParams{IdempotencyKey: key})
	})
	return err
}

func TestLostAnswersAreAskedForAgainWithTheSameKey(t *testing.T) {
	l := &lossy{lose: 2}
	s := lossySession(t, l)
	if err := freeze(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if calls, did := l.seen(); calls != 3 || did != 1 {
		t.Errorf("%d calls with %d keys, want 3 with 1: what a lost answer did must not be done again", calls, did)
	}
	if err := freeze(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, did := l.seen(); did != 2 {
		t.Errorf("%d keys for two writes: a second write would be taken for the first", did)
	}
}

func TestTriesAreBounded(t *testing.T) {
	for _, status := range []int{0, http.StatusServiceUnavailable, http.StatusBadGateway} {
		l := &lossy{lose: 1000, status: status}
		err := freeze(t.Context(), lossySession(t, l))
		if calls, _ := l.seen(); exitCode(err) != exitUnavailable || calls != 1+len(pauses) {
			t.Errorf("%d: %d calls, exit code %d (%v), want %d calls and %d", status, calls, exitCode(err), err, 1+len(pauses), exitUnavailable)
		}
	}
}

func TestWhatFailsAgainIsNotTriedAgain(t *testing.T) {
	for _, status := range []int{http.StatusFound, http.StatusNotFound, http.StatusInternalServerError} {
		l := &lossy{lose: 1000, status: status}
		err := freeze(t.Context(), lossySession(t, l))
		if calls, _ := l.seen(); err == nil || calls != 1 {
			t.Errorf("%d: %d calls, %v, want 1 and an error", status, calls, err)
		}
	}
}

func TestGivingUpIsNotTheServersFault(t *testing.T) {
	l := &lossy{lose: 1000}
	s := lossySession(t, l)
	old := pauses
	pauses = []time.Duration{time.Hour}
	defer func() { pauses = old }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if code := exitCode(freeze(ctx, s)); code != exitTimeout {
		t.Errorf("timeout: exit code %d, want %d", code, exitTimeout)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if code := exitCode(freeze(gone, s)); code != exitInterrupted {
		t.Errorf("Ctrl-C: exit code %d, want %d", code, exitInterrupted)
	}
}

// TestWatchingOutlivesAnOutage breaks every connection for a while in the
// middle of a watched run, which must be told to its end all the same, each
// fact once.
func TestWatchingOutlivesAnOutage(t *testing.T) {
	p, upkeep := lab(t)
	enrolled(t, p, upkeep, "web-1")
	if code, _, errs := upkeep("run", "web-1", "--in-window", "x"); code != exitNotFound {
		t.Fatalf("%d %s", code, errs)
	}
	var down atomic.Bool
	door := newDoor(t, p.server.Address(), &down)
	var out, errs lockedBuilder
	a := p.app(&out, &errs)
	token, _ := p.server.TokenFile()
	env := map[string]string{"UPKEEP_SERVER": "https://" + door, "UPKEEP_TOKEN_FILE": token, "UPKEEP_CA": p.server.CAFile()}
	a.getenv = func(n string) string { return env[n] }
	if code, _, errs := upkeep("apply", "-f", writeFile(t, "kind: Schedule\nserver: web-1\nname: far\nrrule: DTSTART:20500101T000000Z RRULE:FREQ=WEEKLY\nduration: 1h\n")); code != 0 {
		t.Fatal(errs)
	}
	if code, _, errs := upkeep("run", "web-1", "--in-window", "far"); code != 0 {
		t.Fatal(errs)
	}
	code := make(chan int, 1)
	go func() { code <- a.main(t.Context(), []string{"watch", "web-1"}) }()
	await(t, func() bool { return strings.Contains(out.String(), "waits: the window is closed") })
	down.Store(true)
	await(t, func() bool { return strings.Contains(errs.String(), "trying again") })
	if code, _, errs := upkeep("abort", "web-1"); code != 0 {
		t.Fatal(errs)
	}
	down.Store(false)
	if got := <-code; got != exitRunAborted {
		t.Errorf("exit code %d, want %d\n%s%s", got, exitRunAborted, out.String(), errs.String())
	}
	for _, text := range []string{"update of web-1 opened", "abort asked for", "web-1  ■ aborted"} {
		if n := strings.Count(out.String(), text); n != 1 {
			t.Errorf("%q was told %d times:\n%s", text, n, out.String())
		}
	}
	if !strings.Contains(errs.String(), "the server answers again") {
		t.Errorf("nobody was told that it is over: %s", errs.String())
	}
}

func TestCtrlCLeavesAndTheRunGoesOn(t *testing.T) {
	p, upkeep := lab(t)
	enrolled(t, p, upkeep, "web-1", "slow")
	if code, _, errs := upkeep("run", "web-1"); code != 0 {
		t.Fatal(errs)
	}
	var out, errs lockedBuilder
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- p.app(&out, &errs).main(ctx, []string{"watch", "web-1"}) }()
	await(t, func() bool { return strings.Contains(out.String(), "refresh ordered") })
	interrupt()
	if got := <-code; got != exitInterrupted {
		t.Errorf("exit code %d, want %d: %s", got, exitInterrupted, errs.String())
	}
	if !strings.Contains(errs.String(), "the run goes on") {
		t.Errorf("it is not said that the run goes on: %s", errs.String())
	}
	if _, out, _ := upkeep("get", "runs", "web-1"); strings.Contains(out, "aborted") {
		t.Errorf("it does not:\n%s", out)
	}
}

// newDoor passes connections on to a server, until it is down.
func newDoor(t *testing.T, to string, down *atomic.Bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go carry(c, to, down)
		}
	}()
	return l.Addr().String()
}

func carry(c net.Conn, to string, down *atomic.Bool) {
	defer c.Close()
	s, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer s.Close()
	over := make(chan struct{}, 2)
	copyAll := func(to, from net.Conn) { _, _ = io.Copy(to, from); over <- struct{}{} }
	go copyAll(c, s)
	go copyAll(s, c)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-over:
			tick.Stop()
			return
		case <-tick.C:
			if down.Load() {
				tick.Stop()
				return
			}
		}
	}
}

// lockedBuilder is written by one goroutine and read by another.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func await(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
