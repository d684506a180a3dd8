package agent_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/agenttest"
	"upkeep/internal/wire"
)

// update gives the orders of a whole update one after the other, as an engine
// does, and returns the answers. An expired order is given again.
func update(t testing.TB, h *host) []action.Result {
	t.Helper()
	var all []action.Result
	generation := 0
	ask := func(kind action.Kind, bootID string, packages ...action.Package) action.Result {
		for {
			generation++
			o := order(generation, kind, packages...)
			o.BootID = bootID
			r := h.plane.wait(t, h.plane.give(o, time.Hour))
			all = append(all, r)
			after := o.Key()
			if r.Outcome == action.Expired {
				after = ""
			}
			if r.Observation == nil || after != "" && r.Observation.After != after {
				t.Fatalf("%s: its observation is %+v", o.Key(), r.Observation)
			}
			if r.Outcome != action.Expired {
				return r
			}
		}
	}
	ask(action.Refresh, "")
	ask(action.Download, "", good, kernel)
	r := ask(action.Install, "", good, kernel)
	for range 9 {
		obs := r.Observation
		switch {
		case len(obs.HalfConfigured) > 0:
			r = ask(action.Repair, "")
		case len(obs.Pending) > 1: // all but bad
			r = ask(action.Install, "", good, kernel)
		case obs.RebootRequired:
			r = ask(action.Reboot, obs.BootID)
		default:
			return all
		}
	}
	t.Fatalf("it never ends: %+v", r)
	return nil
}

// wellTreated asserts what must hold after an update, however often it was
// cut off.
func wellTreated(t testing.TB, h *host) {
	t.Helper()
	for name, want := range map[string]string{"good": "2", "kernel": "2", "bad": "1"} {
		if got := h.Version(name); got != want {
			t.Errorf("%s has version %s, want %s", name, got, want)
		}
	}
	installed := map[string]int{}
	for _, e := range h.Events() {
		if e.What == agenttest.Installed {
			installed[e.Package]++
			if installed[e.Package] > 1 {
				t.Errorf("%s was installed twice, again by %s", e.Package, e.Key)
			}
		}
	}
}

// An update is cut off at each step that the agent makes in it: before and
// after every write of its journal and every call of its hands.
func TestCrashAtEveryStep(t *testing.T) {
	steps := 0
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		update(t, h)
		wellTreated(t, h)
		steps = h.Steps()
	})
	if steps < 30 {
		t.Fatalf("only %d steps", steps)
	}
	for _, crash := range []agenttest.Crash{agenttest.KillAgent, agenttest.CutPower} {
		for n := 1; n <= steps; n++ {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, agent.Allow{}, func(w *agenttest.World, _ *plane) { w.CrashAfter(n, crash) })
				update(t, h)
				wellTreated(t, h)
				h.end(t)
			})
			if t.Failed() {
				t.Fatalf("crash %d at step %d of %d", crash, n, steps)
			}
		}
	}
}

// around gives the orders around an update: a copy, a command, a dry run, a check.
func around(t testing.TB, h *host) {
	t.Helper()
	generation := 0
	ask := func(kind action.Kind, change func(*action.Order)) action.Result {
		for {
			generation++
			o := order(generation, kind)
			change(&o)
			switch r := h.plane.wait(t, h.plane.give(o, time.Hour)); {
			case r.Outcome == action.Expired: // it was never begun
			case r.Outcome == action.Interrupted && (kind == action.Backup || kind == action.Command):
			default:
				return r
			}
		}
	}
	name := func(name string) func(*action.Order) { return func(o *action.Order) { o.Command = name } }
	for _, r := range []action.Result{ask(action.Backup, name("copy")), ask(action.Command, name("stop")), ask(action.Check, name("health"))} {
		if r.Outcome != action.Done || r.DryRun {
			t.Fatalf("%+v", r)
		}
	}
	if r := ask(action.Command, func(o *action.Order) { o.Command, o.DryRun = "stop", true }); r.Outcome != action.Done || !r.DryRun {
		t.Fatalf("dry run: %+v", r)
	}
	r := ask(action.Install, func(o *action.Order) { o.Packages, o.DryRun = []action.Package{good}, true })
	if r.Outcome != action.Done || !r.DryRun || r.Changes != nil || h.Version("good") != "1" {
		t.Fatalf("dry run: %+v, %s", r, h.Version("good"))
	}
	boots, boot := h.Boots(), r.Observation.BootID
	r = ask(action.Reboot, func(o *action.Order) { o.BootID, o.DryRun = boot, true })
	if crashed := h.Boots() - boots; r.Outcome == action.Done && !r.DryRun || crashed > 1 || !slices.Equal(r.Observation.Commands, []string{"copy", "health", "stop"}) {
		t.Fatalf("dry run: %+v, %d boots", r, crashed)
	}
}

// Commands are cut off at each step too: nothing is run twice but a check, and
// a dry run stays one.
func TestCommandsCrashAtEveryStep(t *testing.T) {
	steps := 0
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		around(t, h)
		if h.Boots() != 1 {
			t.Errorf("a dry run made %d boots", h.Boots())
		}
		steps = h.Steps()
	})
	if steps < 30 {
		t.Fatalf("only %d steps", steps)
	}
	for _, crash := range []agenttest.Crash{agenttest.KillAgent, agenttest.CutPower} {
		for n := 1; n <= steps; n++ {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, agent.Allow{}, func(w *agenttest.World, _ *plane) { w.CrashAfter(n, crash) })
				around(t, h)
				h.end(t)
			})
			if t.Failed() {
				t.Fatalf("crash %d at step %d of %d", crash, n, steps)
			}
		}
	}
}

// Random crashes, lost answers and doubled orders during an update.
func TestBadWeather(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		crashes := rapid.SliceOfN(rapid.IntRange(1, 40), 0, 6).Draw(r, "crashes, after so many steps")
		power := rapid.SliceOfN(rapid.Bool(), 6, 6).Draw(r, "of the host")
		lose := rapid.SliceOfN(rapid.IntRange(1, 600), 0, 5).Draw(r, "answers lost, seconds apart")
		synctest.Test(t, func(t *testing.T) {
			h := newHost(t, agent.Allow{}, nil)
			go func() {
				for i, n := range crashes {
					how := agenttest.KillAgent
					if power[i] {
						how = agenttest.CutPower
					}
					h.CrashAfter(n, how)
					time.Sleep(3 * time.Minute)
				}
			}()
			go func() {
				for _, after := range lose {
					time.Sleep(time.Duration(after) * time.Second)
					h.plane.do(func() {
						h.plane.lose++
						for _, o := range h.plane.orders {
							h.plane.again[o.Key] = 1
						}
					})
				}
			}()
			update(t, h)
			wellTreated(t, h)
			h.end(t)
			time.Sleep(2 * time.Hour) // the goroutines above end
		})
		if t.Failed() {
			r.Fatal("see above")
		}
	})
}

// However many orders there were, the journal stays small, and what was
// forgotten is still not done again.
func TestForgetting(t *testing.T) {
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		for n := 1; n <= 100; n++ {
			h.plane.wait(t, h.plane.give(order(n, action.Refresh), time.Hour))
		}
		synctest.Wait()
		if n := h.JournalSize(); n > 40 {
			t.Errorf("the journal has %d records", n)
		}
		first := order(1, action.Refresh).Key()
		h.plane.do(func() {
			h.plane.again[first] = 1
			delete(h.plane.answers, first)
		})
		if r := h.plane.wait(t, first); r.Outcome != action.Refused {
			t.Errorf("a forgotten order: %+v", r)
		}
	})
}

// Asked what became of an order that it never saw, the agent does not begin it.
func TestAskedAfterAnUnknownOrder(t *testing.T) {
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		if r := h.plane.wait(t, h.plane.give(order(1, action.Install, good), -time.Millisecond)); r.Outcome != action.Expired {
			t.Errorf("%+v", r)
		}
	})
}

// An answer that lay in a buffer while the host was suspended is old.
func TestOldAnswer(t *testing.T) {
	story(t, agent.Allow{}, nil, func(t *testing.T, h *host) {
		key := order(1, action.Install, good).Key()
		h.plane.do(func() { h.plane.delay = 20 * time.Second })
		h.plane.give(order(1, action.Install, good), 15*time.Second)
		if r := h.plane.wait(t, key); r.Outcome != action.Expired {
			t.Errorf("%+v", r)
		}
	})
}

func TestAfterAnEnrolment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, agent.Allow{}, nil)
		defer h.end(t)
		key := h.plane.give(order(1, action.Install, good), 0)
		if obs := h.plane.wait(t, key).Observation; obs.After != "" {
			t.Errorf("after %q", obs.After)
		}
	})
	w := agenttest.New(agenttest.Config{Name: "new"})
	seen := make(chan wire.Observation, 1)
	door := doorFunc(func(req wire.PollRequest) wire.PollAnswer {
		if req.Observation != nil {
			select {
			case seen <- *req.Observation:
			default:
			}
		}
		return wire.PollAnswer{AfterMillis: 1000}
	})
	ctx := t.Context()
	go w.Run(ctx, func(l *agenttest.Life) agent.Config {
		return agent.Config{Journal: l.Journal(), Hands: l.Hands(), Door: door, After: "before/me/1"}
	})
	if obs := <-seen; obs.After != "before/me/1" {
		t.Errorf("after %q", obs.After)
	}
}
