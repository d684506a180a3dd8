package probe

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"upkeep/internal/fault"
)

// Limits of a load probe. It is a witness and no benchmark: it must not be what
// brings a service down whose replicas are one fewer for a while.
const (
	MaxRate      = 200 // requests per second, of all endpoints together
	MaxEndpoints = 20
	MaxFlight    = 500              // requests without an answer yet; more are not sent
	MaxPatience  = 30 * time.Second // of one request

	catchUp = time.Second            // a sender that is later than this gives up what it missed
	look    = 100 * time.Millisecond // how often it is looked whether a second is over
)

// Endpoint is a URL that a service's users would ask.
type Endpoint struct {
	Name   string // in what is reported; unique
	URL    string
	Header map[string]string
	CA     string // certificates in PEM to trust instead of the system's; may be empty
}

// Spec is what is asked, and how often.
type Spec struct {
	Endpoints []Endpoint    // asked in turn
	Rate      int           // requests per second, of all together; 1 to MaxRate
	Slow      time.Duration // an answer that takes longer is slow; 0: none is
	Timeout   time.Duration // an answer that takes longer is none; more than 0, MaxPatience at most
}

// Second is what became of the requests to one endpoint that were sent in one
// second. Each of those is either answered or unanswered; failed and slow ones
// are among the answered. One that was not sent proves nothing, and is skipped.
type Second struct {
	At         time.Time     // when it began
	Endpoint   string        // its name
	Answered   int           // a whole answer came in time, whatever it says
	Unanswered int           // none did
	Failed     int           // the answer is a 5xx
	Slow       int           // the answer took longer than Spec.Slow
	Skipped    int           // not sent: too many were without an answer, or the machine was busy
	P50, P99   time.Duration // of the answered; 0 if none was
	Why        string        // of the last that failed or was not answered
}

// Sent is how many requests were sent.
func (s Second) Sent() int { return s.Answered + s.Unanswered }

// Total is the sum over seconds. Its zero value is none.
type Total struct {
	Sent, Unanswered, Failed, Slow, Skipped int
}

// Add counts a second in.
func (t *Total) Add(s Second) {
	t.Sent += s.Sent()
	t.Unanswered += s.Unanswered
	t.Failed += s.Failed
	t.Slow += s.Slow
	t.Skipped += s.Skipped
}

func (t Total) String() string {
	text := fmt.Sprintf("%d of %d requests unanswered, %d failed, %d slow", t.Unanswered, t.Sent, t.Failed, t.Slow)
	if t.Skipped > 0 {
		text += fmt.Sprintf("; %d more could not be sent", t.Skipped)
	}
	return text
}

// Probe asks a service's own endpoints while it is worked on. Its zero value is
// ready.
type Probe struct {
	// Dial opens connections; nil dials as the URL says.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Run asks until ctx ends, and reports each second and endpoint, in order, once
// the last request of that second has ended. At ctx's end it sends no more,
// waits for those under way, Spec.Timeout at most, reports them and returns; no
// goroutine of it is left then. Requests are sent on time however long the
// answers take, and each on a connection of its own.
//
// report is called by one goroutine; while it takes its time, requests go on.
// The error is fault.Invalid, and nothing was sent.
func (p Probe) Run(ctx context.Context, spec Spec, report func(Second)) error {
	b, err := p.newBook(spec)
	if err != nil {
		return err
	}
	var sender sync.WaitGroup
	sender.Go(func() { b.send(ctx, time.Now()) })
	sent := make(chan struct{})
	go func() { sender.Wait(); close(sent) }()

	tick := time.NewTicker(look)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-sent:
			running = false
		case <-tick.C:
		}
		for _, s := range b.over(time.Now(), !running) {
			report(s)
		}
	}
	return nil
}

// book keeps what was sent and what came of it.
type book struct {
	spec    Spec
	targets []target
	clients []*http.Client

	mu      sync.Mutex
	flying  int
	seconds []*second // not reported yet, oldest first
}

// second is one second under way.
type second struct {
	at   time.Time
	open int // requests that have not ended
	each []tally
}

// tally is of one endpoint. A second has MaxRate answers at most, and those that
// a sender caught up with: all are kept.
type tally struct {
	Second
	took []time.Duration
}

func (p Probe) newBook(spec Spec) (*book, error) {
	switch {
	case spec.Rate < 1 || spec.Rate > MaxRate:
		return nil, fault.Invalid("rate", "must be from 1 to %d requests per second, not %d", MaxRate, spec.Rate)
	case spec.Timeout <= 0 || spec.Timeout > MaxPatience:
		return nil, fault.Invalid("timeout", "must be more than 0 and at most %s, not %s", MaxPatience, spec.Timeout)
	case spec.Slow < 0:
		return nil, fault.Invalid("slow", "must not be negative")
	case len(spec.Endpoints) == 0 || len(spec.Endpoints) > MaxEndpoints:
		return nil, fault.Invalid("endpoints", "must be from 1 to %d", MaxEndpoints)
	}
	b := &book{spec: spec}
	named := map[string]bool{}
	for _, e := range spec.Endpoints {
		if e.Name == "" || named[e.Name] {
			return nil, fault.Invalid("endpoints", "each needs a name of its own, which %q is not", e.Name)
		}
		named[e.Name] = true
		t, err := newTarget(e.URL, e.Header, e.CA)
		if err != nil {
			return nil, fault.Invalid("endpoints."+e.Name, "%v", err)
		}
		b.targets = append(b.targets, t)
		b.clients = append(b.clients, Hand(p).client(context.Background(), t, spec.Timeout))
	}
	return b, nil
}

// send sends requests when they are due, from the first on, and waits for all it
// has sent.
func (b *book) send(ctx context.Context, due time.Time) {
	var flights sync.WaitGroup
	defer flights.Wait()
	pause := time.Second / time.Duration(b.spec.Rate)
	for i := 0; sleep(ctx, time.Until(due)) && ctx.Err() == nil; i++ {
		endpoint := i % len(b.targets)
		if time.Since(due) > catchUp {
			// The machine was away: to send it all at once would show nothing
			// of the service but how it takes a flood.
			b.enter(endpoint, true)
		} else if s := b.enter(endpoint, false); s != nil {
			flights.Go(func() { b.fly(s, endpoint) })
		}
		due = due.Add(pause)
	}
}

// enter counts a request that is due into the present second; nil if it is not
// to be sent.
func (b *book) enter(endpoint int, missed bool) *second {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := time.Now().Truncate(time.Second)
	s := b.last()
	if s == nil || at.After(s.at) { // never back, should the clock be set
		s = &second{at: at, each: make([]tally, len(b.targets))}
		b.seconds = append(b.seconds, s)
	}
	if missed || b.flying >= MaxFlight {
		s.each[endpoint].Skipped++
		return nil
	}
	b.flying++
	s.open++
	return s
}

func (b *book) last() *second {
	if len(b.seconds) == 0 {
		return nil
	}
	return b.seconds[len(b.seconds)-1]
}

// fly sends one request and counts what came of it. It is not cut off when the
// probe ends: that would look as if the service had not answered.
func (b *book) fly(s *second, endpoint int) {
	a, err := b.targets[endpoint].ask(context.Background(), b.clients[endpoint], b.spec.Timeout)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying--
	s.open--
	t := &s.each[endpoint]
	if err != nil {
		t.Unanswered++
		t.Why = cut(err.Error())
		return
	}
	t.Answered++
	t.took = append(t.took, a.took)
	if a.code >= http.StatusInternalServerError {
		t.Failed++
		t.Why = cut(a.status)
	}
	if b.spec.Slow > 0 && a.took > b.spec.Slow {
		t.Slow++
	}
}

// over takes out the seconds that are over and of which every request has
// ended; all of them if nothing more will come.
func (b *book) over(now time.Time, all bool) []Second {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Second
	for len(b.seconds) > 0 {
		s := b.seconds[0]
		if s.open > 0 || !all && now.Before(s.at.Add(time.Second+look)) {
			break
		}
		for i, t := range s.each {
			if t.Sent()+t.Skipped == 0 {
				continue
			}
			slices.SortFunc(t.took, cmp.Compare[time.Duration])
			t.At, t.Endpoint = s.at, b.spec.Endpoints[i].Name
			t.P50, t.P99 = rank(t.took, 50), rank(t.took, 99)
			out = append(out, t.Second)
		}
		b.seconds = b.seconds[1:]
	}
	return out
}

// rank is the smallest of sorted spans that so many percent do not exceed.
func rank(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}
