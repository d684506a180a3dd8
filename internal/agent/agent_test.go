package agent_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/agenttest"
	"upkeep/internal/wire"
)

var (
	good   = action.Package{Name: "good", Version: "2"}
	bad    = action.Package{Name: "bad", Version: "2"}
	kernel = action.Package{Name: "kernel", Version: "2"}
)

func TestAnUpdate(t *testing.T) {
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		boot := ""
		for n, o := range []action.Order{
			order(1, action.Refresh), order(2, action.Download, good, kernel), order(3, action.Install, good, kernel),
		} {
			r := h.plane.wait(t, h.plane.give(o, time.Hour))
			if r.Outcome != action.Done || r.Observation == nil || r.Observation.After != o.Key() {
				t.Fatalf("%d: %+v", n, r)
			}
			boot = r.Observation.BootID
			if o.Kind == action.Install && (len(r.Changes) != 2 || !r.Observation.RebootRequired || r.Took() != 80*time.Second) {
				t.Fatalf("install: %+v, took %s", r, r.Took())
			}
		}
		o := order(4, action.Reboot)
		o.BootID = boot
		r := h.plane.wait(t, h.plane.give(o, time.Hour))
		if r.Outcome != action.Done || r.Observation.BootID == boot || r.Observation.RebootRequired || h.Boots() != 2 {
			t.Fatalf("reboot: %+v, %d boots", r, h.Boots())
		}
		if r.Took() < 45*time.Second {
			t.Errorf("reboot took %s, less than the host was down", r.Took())
		}
	})
}

func TestFailures(t *testing.T) {
	story(t, agent.Allow{}, func(w *agenttest.World, _ *plane) { w.Repository("no route to host") }, func(t *testing.T, h *host) {
		r := h.plane.wait(t, h.plane.give(order(1, action.Refresh), time.Hour))
		if r.Outcome != action.Failed || r.Failures[0].Reason != "no route to host" {
			t.Fatalf("refresh: %+v", r)
		}
		r = h.plane.wait(t, h.plane.give(order(2, action.Install, bad, good), time.Hour))
		if r.Outcome != action.Failed || len(r.Failures) != 1 || r.Failures[0].Name != "bad" || len(r.Observation.HalfConfigured) != 1 {
			t.Fatalf("install: %+v", r)
		}
	})
}

// An order that comes while the host is looked at does not wait for that; the
// host is looked at after it.
func TestOrdersGoBeforeLooks(t *testing.T) {
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		time.Sleep(time.Minute)
		h.plane.do(func() { h.plane.observe = true })
		time.Sleep(500 * time.Millisecond) // a look takes a second
		stop := order(1, action.Command)
		stop.Command, stop.Brief = "stop", true
		looks := len(h.plane.shown())
		given := time.Now()
		if r := h.plane.wait(t, h.plane.give(stop, time.Hour)); r.Outcome != action.Done || r.Started.Sub(given) >= 500*time.Millisecond {
			t.Errorf("it began %v after it was given: %+v", r.Started.Sub(given), r)
		}
		if seen := h.plane.shown(); len(seen) != looks {
			t.Errorf("the look that was cut short shows something: %+v", seen[looks:])
		}
		time.Sleep(3 * time.Second)
		if seen := h.plane.shown(); len(seen) != looks+1 || seen[looks].After != stop.Key() {
			t.Errorf("afterwards it is seen %d times more: %+v", len(seen)-looks, seen[looks:])
		}
	})
}

// What is refused or too late is answered and not begun.
func TestNotBegun(t *testing.T) {
	allow := agent.Allow{Kinds: []action.Kind{action.Install}, Hold: []string{"ker*"}}
	stale := order(9, action.Reboot)
	stale.BootID = "another"
	nameless, unknown := order(9, action.Command), order(9, action.Check)
	nameless.Command, unknown.Command = "stop", "healthy"
	other := order(9, action.Install, good)
	other.Target, other.Step = "somebody else", "other"
	for name, c := range map[string]struct {
		allow agent.Allow
		order action.Order
		begin time.Duration
		want  action.Outcome
		why   string
	}{
		"kind":       {allow, order(9, action.Refresh), time.Hour, action.Refused, "does not allow to refresh"},
		"package":    {allow, order(9, action.Install, good, kernel), time.Hour, action.Refused, "holds the package kernel"},
		"unknown":    {agent.Allow{}, order(9, "dance"), time.Hour, action.Refused, `"dance"`},
		"not a host": {agent.Allow{}, order(9, action.Balance), time.Hour, action.Refused, "to balance is not for a host"},
		"command":    {allow, nameless, time.Hour, action.Refused, `does not allow to run "stop" as a command`},
		"no command": {agent.Allow{}, unknown, time.Hour, action.Refused, `no command named "healthy"`},
		"boot":       {agent.Allow{}, stale, time.Hour, action.Refused, "for boot"},
		"target":     {agent.Allow{}, other, time.Hour, action.Refused, "somebody else"},
		"generation": {agent.Allow{}, order(2, action.Install, good), time.Hour, action.Refused, "generation 5 has been seen"},
		"late":       {agent.Allow{}, order(9, action.Install, good), 0, action.Expired, "no longer begin"},
		"busy":       {agent.Allow{}, order(9, action.Install, good), 10 * time.Second, action.Expired, "holds the package manager's lock"},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, c.allow, nil, func(t *testing.T, h *host) {
				before := h.plane.wait(t, h.plane.give(order(5, action.Observe), time.Hour))
				if before.Outcome != action.Done {
					t.Fatalf("observe: %+v", before)
				}
				if name == "busy" {
					h.Busy(time.Minute)
				}
				r := h.plane.wait(t, h.plane.give(c.order, c.begin))
				if r.Outcome != c.want || !strings.Contains(r.Reason, c.why) || !r.Started.IsZero() {
					t.Fatalf("%+v", r)
				}
				after := c.order.Key()
				if c.want == action.Expired {
					after = order(5, action.Observe).Key()
				}
				if r.Observation == nil || r.Observation.After != after {
					t.Fatalf("observation: %+v", r.Observation)
				}
				for _, e := range h.Events() {
					if e.What == agenttest.Began && e.Key == c.order.Key() {
						t.Fatalf("it was begun: %+v", e)
					}
				}
			})
		})
	}
}

// An order that waits behind a long one is too late when its turn comes.
func TestOrdersWaitForEachOther(t *testing.T) {
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		first := h.plane.give(order(1, action.Install, kernel), time.Hour)
		time.Sleep(10 * time.Second)
		second := h.plane.give(order(2, action.Install, good), 59*time.Second)
		third := h.plane.give(order(3, action.Download, good), time.Hour)
		if r := h.plane.wait(t, first); r.Outcome != action.Done {
			t.Fatalf("first: %+v", r)
		}
		if r := h.plane.wait(t, second); r.Outcome != action.Refused {
			t.Fatalf("second: a newer generation was seen meanwhile: %+v", r)
		}
		if r := h.plane.wait(t, third); r.Outcome != action.Done {
			t.Fatalf("third: %+v", r)
		}
	})
}

// Lost, doubled and unheard messages change nothing but the time.
func TestBadLine(t *testing.T) {
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		h.plane.do(func() { h.plane.fail, h.plane.lose = 3, 5 })
		key := h.plane.give(order(1, action.Install, good), time.Hour)
		h.plane.do(func() { h.plane.again[key] = 3 })
		r := h.plane.wait(t, key)
		if r.Outcome != action.Done || h.Version("good") != "2" {
			t.Fatalf("%+v", r)
		}
		// Asked for again long after it was acknowledged: the same answer again.
		h.plane.do(func() { delete(h.plane.answers, key); h.plane.again[key] = 1 })
		synctest.Wait()
		again := h.plane.wait(t, key)
		if !again.Finished.Equal(r.Finished) || again.Observation.After != r.Observation.After {
			t.Fatalf("another answer: %+v, first %+v", again, r)
		}
	})
}

// The result of an order arrives at once, also in the middle of a long poll.
func TestNewsCutAPollShort(t *testing.T) {
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		time.Sleep(time.Minute)
		key := h.plane.give(order(1, action.Install, good), time.Hour)
		start := time.Now()
		h.plane.wait(t, key)
		if took := time.Since(start); took > 22*time.Second {
			t.Fatalf("the answer came after %s, work and look take 21 s", took)
		}
	})
}

// However the control plane answers, the agent does not spin, and it is back
// within about a second when the control plane is.
func TestPace(t *testing.T) {
	count := func(t *testing.T, d time.Duration, set func(*plane)) int {
		n := 0
		story(t, agent.Allow{}, func(_ *agenttest.World, p *plane) { set(p) }, func(t *testing.T, h *host) {
			time.Sleep(d)
			h.plane.do(func() { n = len(h.plane.polls) })
		})
		return n
	}
	if n := count(t, time.Hour, func(*plane) {}); n < 115 || n > 130 {
		t.Errorf("%d polls in an hour of silence, want one each 30 s", n)
	}
	if n := count(t, time.Hour, func(p *plane) { p.answer.AfterMillis = 60_000 }); n < 58 || n > 66 {
		t.Errorf("%d polls in an hour, asked for one a minute", n)
	}
	if n := count(t, time.Hour, func(p *plane) { p.fail = 1e6 }); n < 60 || n > 300 {
		t.Errorf("%d polls in an hour without a control plane", n)
	}
	if n := count(t, time.Minute, func(p *plane) { p.answer.AfterMillis = 1 }); n > 300 {
		t.Errorf("%d polls in a minute of a control plane that never lets wait", n)
	}
	for down := 1; down < 5; down++ {
		story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
			time.Sleep(time.Minute)
			h.plane.do(func() { h.plane.fail = down; h.plane.observe = true })
			time.Sleep(33*time.Second + 2*time.Second)
			h.plane.do(func() {
				if h.plane.fail > 0 {
					t.Errorf("after %d failures the agent is not back", down)
				}
			})
		})
	}
}

func TestLooks(t *testing.T) {
	story(t, agent.Allow{Hold: []string{"curl", "g*d"}}, func(_ *agenttest.World, p *plane) { p.answer.ObserveMillis = 600_000 }, func(t *testing.T, h *host) {
		time.Sleep(2 * time.Second)
		look := func() (n int, last wire.Observation) {
			h.plane.do(func() { n, last = len(h.plane.seen), h.plane.seen[len(h.plane.seen)-1] })
			return n, last
		}
		n, first := look()
		if n != 1 || first.After != "" || len(first.Pending) != 3 || strings.Join(first.Held, " ") != "curl good" {
			t.Fatalf("at the start: %d, %+v", n, first)
		}
		h.plane.do(func() { h.plane.observe = true })
		time.Sleep(2 * time.Second)
		if n, _ := look(); n != 2 {
			t.Fatalf("asked for: %d", n)
		}
		time.Sleep(time.Hour)
		if n, _ := look(); n < 7 || n > 9 {
			t.Fatalf("%d looks after an hour, want one each ten minutes", n)
		}
	})
}

// What a runbook waits for is answered before the host is looked at, and that
// is made up for.
func TestBriefAnswers(t *testing.T) {
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		o := order(1, action.Refresh)
		o.Brief = true
		if r := h.plane.wait(t, h.plane.give(o, time.Hour)); r.Outcome != action.Done || r.Observation != nil {
			t.Fatalf("%+v", r)
		}
		time.Sleep(time.Minute)
		var last wire.Observation
		h.plane.do(func() { last = h.plane.seen[len(h.plane.seen)-1] })
		if last.After != o.Key() {
			t.Errorf("a minute later the newest look is of after %q", last.After)
		}
	})
}

func TestRebootThatDoesNotHappen(t *testing.T) {
	story(t, agent.Allow{}, func(w *agenttest.World, _ *plane) { w.StickReboots(1) }, func(t *testing.T, h *host) {
		boot := h.plane.wait(t, h.plane.give(order(1, action.Observe), time.Hour)).Observation.BootID
		o := order(2, action.Reboot)
		o.BootID = boot
		r := h.plane.wait(t, h.plane.give(o, time.Hour))
		if r.Outcome != action.Failed || r.Took() != 10*time.Minute || h.Boots() != 1 {
			t.Fatalf("%+v after %s, %d boots", r, r.Took(), h.Boots())
		}
	})
}

// A killed agent adopts its work; a power cut interrupts it.
func TestCrashInTheMiddle(t *testing.T) {
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		key := h.plane.give(order(1, action.Install, kernel), time.Hour)
		time.Sleep(30 * time.Second)
		h.Kill()
		r := h.plane.wait(t, key)
		if r.Outcome != action.Done || r.Took() != time.Minute {
			t.Fatalf("killed: %+v after %s", r, r.Took())
		}
		key = h.plane.give(order(2, action.Install, good, bad), time.Hour)
		time.Sleep(30 * time.Second) // good is there, bad is under way
		h.CutPower()
		r = h.plane.wait(t, key)
		if r.Outcome != action.Interrupted || len(r.Changes) != 1 || r.Changes[0].Name != "good" || len(r.Observation.HalfConfigured) != 1 {
			t.Fatalf("power cut: %+v", r)
		}
	})
}
