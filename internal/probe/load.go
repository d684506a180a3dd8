package probe

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"upkeep/internal/evidence"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
)

// Limits of a load probe, besides those of fleet.Probe.
const (
	MaxRate   = fleet.MaxProbeRate
	MaxFlight = 500 // requests without an answer yet; more are not sent

	catchUp = time.Second            // a sender that is later than this gives up what it missed
	look    = 100 * time.Millisecond // how often it is looked whether a second is over
	still   = time.Second            // who has done nothing for longer than this stood still
)

// The words of the core, for who only asks.
type (
	Endpoint = fleet.Endpoint
	Spec     = fleet.Probe
	Second   = evidence.Second
	Total    = evidence.Total
)

// Probe asks a service's own endpoints while it is worked on. Its zero value is
// ready.
type Probe struct {
	// Dial opens connections; nil dials as the URL says, by the zero rule of reach.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Run asks until ctx ends, and reports each second and endpoint, in order, once
// the last request of that second has ended. At ctx's end it sends no more,
// waits for those under way, Spec.Timeout at most, reports them and returns; no
// goroutine of it is left then. Requests are sent on time however long the
// answers take, and each on a connection of its own. What was under way while
// this process itself stood still (a signal, a machine that starves it) proves
// nothing of the service, and is counted as skipped.
//
// report is called by one goroutine; while it takes its time, requests go on.
// The error is fault.Invalid, and nothing was sent.
func (p Probe) Run(ctx context.Context, spec Spec, report func(Second)) error {
	b, err := p.newBook(spec)
	if err != nil {
		return err
	}
	b.awake(time.Now())
	sent := make(chan struct{})
	go func() { b.send(ctx, time.Now()); close(sent) }()
	var beat sync.WaitGroup
	beat.Go(func() { b.beat(sent) })
	defer beat.Wait()

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
	acted   time.Time // when this process was last seen to do something
	stood   time.Time // when it last went on after it had stood still; zero: never
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
	if !spec.Asks() {
		return nil, fault.Invalid("probe.endpoints", "there is nothing to ask")
	}
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	spec = spec.WithDefaults()
	b := &book{spec: spec}
	for _, e := range spec.Endpoints {
		t, err := newTarget(e.URL, e.Header, e.CA)
		if err != nil {
			return nil, fault.Invalid("probe.endpoints."+e.Name, "%v", err)
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

// beat notes that this process does something, until the end.
func (b *book) beat(end <-chan struct{}) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case <-tick.C:
			b.awake(time.Now())
		}
	}
}

// awake notes that this process does something now, and says when it last went
// on after it had stood still. Whoever wakes first notices.
func (b *book) awake(now time.Time) (stood time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.acted.IsZero() && now.Sub(b.acted) > still {
		b.stood = now
	}
	b.acted = now
	return b.stood
}

// fly sends one request and counts what came of it. It is not cut off when the
// probe ends: that would look as if the service had not answered.
func (b *book) fly(s *second, endpoint int) {
	began := time.Now()
	a, err := b.targets[endpoint].ask(context.Background(), b.clients[endpoint], b.spec.Timeout)
	stood := b.awake(time.Now())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying--
	s.open--
	t := &s.each[endpoint]
	if stood.After(began) {
		t.Skipped++ // an answer may have lain here while nobody looked
		return
	}
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
			t.At, t.Span, t.Endpoint = s.at, time.Second, b.spec.Endpoints[i].Name
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
