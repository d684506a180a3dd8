package agent_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/agenttest"
	"upkeep/internal/wire"
)

// plane is a control plane that keeps everything it hears.
type plane struct {
	mu      sync.Mutex
	orders  []wire.Order   // given until held or answered
	again   map[string]int // keys whose orders are given again, although answered
	answers map[string]wire.Answer
	changed []string // keys that were answered differently later
	seen    []wire.Observation
	polls   []time.Time
	fail    int  // polls that fail before they are heard
	lose    int  // polls that are heard and whose answers are lost
	deaf    bool // nothing is acknowledged
	observe bool
	delay   time.Duration   // of the next answer with orders, on its way
	answer  wire.PollAnswer // the rest of what is answered
	nudge   chan struct{}   // closed and replaced when there is something to give
}

func newPlane() *plane {
	return &plane{again: map[string]int{}, answers: map[string]wire.Answer{}, nudge: make(chan struct{})}
}

var errDown = errors.New("connection refused")

func (p *plane) Poll(ctx context.Context, req wire.PollRequest) (wire.PollAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.polls = append(p.polls, time.Now())
	if p.fail > 0 {
		p.fail--
		return wire.PollAnswer{}, errDown
	}
	out := p.answer
	start := time.Now()
	for _, a := range req.Answers {
		if old, ok := p.answers[a.Key]; ok && !reflect.DeepEqual(old, a) {
			p.changed = append(p.changed, a.Key)
		}
		p.answers[a.Key] = a
		if !p.deaf {
			out.Acknowledged = append(out.Acknowledged, a.Key)
		}
		if a.Observation != nil {
			p.seen = append(p.seen, *a.Observation)
		}
	}
	if req.Observation != nil {
		p.seen = append(p.seen, *req.Observation)
	}
	if p.lose > 0 {
		p.lose--
		return wire.PollAnswer{}, errDown
	}
	held := map[string]bool{}
	for _, key := range req.Holding {
		held[key] = true
	}
	for deadline := time.After(time.Duration(req.WaitMillis) * time.Millisecond); ; {
		for _, o := range p.orders {
			_, answered := p.answers[o.Key]
			if p.again[o.Key] > 0 {
				p.again[o.Key]--
				out.Orders = append(out.Orders, o, o)
			} else if !answered && !held[o.Key] {
				out.Orders = append(out.Orders, o)
			}
		}
		if p.observe {
			p.observe, out.Observe = false, true
		}
		if len(out.Orders) > 0 || len(out.Acknowledged) > 0 || out.Observe || out.AfterMillis > 0 {
			out.HeldMillis = time.Since(start).Milliseconds()
			if len(out.Orders) > 0 && p.delay > 0 {
				d := p.delay
				p.delay = 0
				p.mu.Unlock() // in a bubble no time passes while others wait for a mutex
				time.Sleep(d)
				p.mu.Lock()
			}
			return out, nil
		}
		nudge := p.nudge
		p.mu.Unlock()
		var err error
		over := false
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-deadline:
			over = true
		case <-nudge:
		}
		p.mu.Lock()
		if err != nil || over {
			return out, err
		}
	}
}

// doorFunc is a control plane that answers at once.
type doorFunc func(wire.PollRequest) wire.PollAnswer

func (f doorFunc) Poll(_ context.Context, req wire.PollRequest) (wire.PollAnswer, error) {
	return f(req), nil
}

// do changes the plane and wakes who waits.
func (p *plane) do(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.nudge)
	p.nudge = make(chan struct{})
}

// shown is what the plane has been shown of the host so far.
func (p *plane) shown() []wire.Observation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

func (p *plane) give(o action.Order, begin time.Duration) string {
	p.do(func() { p.orders = append(p.orders, wire.FromOrder(o, begin)) })
	return o.Key()
}

// wait waits, for at most a day, for the answer to a key.
func (p *plane) wait(t testing.TB, key string) action.Result {
	t.Helper()
	for end := time.Now().Add(24 * time.Hour); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		p.mu.Lock()
		a, ok := p.answers[key]
		p.mu.Unlock()
		if ok {
			return a.Result()
		}
	}
	t.Fatalf("no answer to %s within a day", key)
	return action.Result{}
}

// order makes an order of run "r" whose step is its kind and number.
func order(n int, kind action.Kind, packages ...action.Package) action.Order {
	return action.Order{
		Run: "r", Step: fmt.Sprintf("%d-%s", n, kind), Attempt: 1, Generation: int64(n), Target: "t",
		Kind: kind, Packages: packages, Timeout: 10 * time.Minute,
	}
}

// host is a pretended host with a running agent, in a synctest bubble.
type host struct {
	*agenttest.World
	plane *plane
	stop  context.CancelFunc
	over  chan error
}

func packages() []agenttest.Package {
	return []agenttest.Package{
		{Name: "good", Installed: "1", Candidate: "2", Takes: 20 * time.Second},
		{Name: "bad", Installed: "1", Candidate: "2", Takes: 20 * time.Second, Fails: "exit status 1"},
		{Name: "kernel", Installed: "1", Candidate: "2", Takes: time.Minute, WantsReboot: true, Security: true},
	}
}

var commands = []agenttest.Command{
	{Name: "copy", Takes: 30 * time.Second}, {Name: "stop", Takes: 5 * time.Second}, {Name: "health", Takes: 2 * time.Second},
}

func newHost(t testing.TB, allow agent.Allow, before func(*agenttest.World, *plane)) *host {
	h := &host{
		World: agenttest.New(agenttest.Config{
			Name: "web-1", Packages: packages(), Commands: commands, LookTakes: time.Second, RefreshTakes: 5 * time.Second, FetchTakes: time.Second,
			Shutdown: 5 * time.Second, Down: 40 * time.Second, Restart: time.Second,
		}),
		plane: newPlane(), over: make(chan error, 1),
	}
	if before != nil {
		before(h.World, h.plane)
	}
	ctx, stop := context.WithCancel(t.Context())
	h.stop = stop
	go func() {
		h.over <- h.Run(ctx, func(l *agenttest.Life) agent.Config {
			return agent.Config{
				Journal: l.Journal(), Hands: l.Hands(), Door: h.plane, Target: "t", Allow: allow, Version: "test",
				Rand: rand.New(rand.NewPCG(1, 2)),
			}
		})
	}()
	return h
}

func (h *host) end(t testing.TB) {
	t.Helper()
	h.stop()
	if err := <-h.over; err != nil {
		t.Errorf("host: %v", err)
	}
	for _, s := range h.Twice() {
		t.Error(s)
	}
	for _, key := range h.plane.changed {
		t.Errorf("the answer to %s has changed", key)
	}
}

// story runs f against a host in a bubble.
func story(t *testing.T, allow agent.Allow, before func(*agenttest.World, *plane), f func(*testing.T, *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, allow, before)
		defer h.end(t)
		f(t, h)
	})
}
