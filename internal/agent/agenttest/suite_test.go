package agenttest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
)

// alive is a process of a pretended host that is up.
func alive(t *testing.T, w *World) *Life {
	l := &Life{world: w, power: t.Context()}
	l.ctx, l.kill = context.WithCancel(t.Context())
	t.Cleanup(l.kill)
	return l
}

func TestPretendedCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Config{Name: "h", Commands: []Command{{Name: "well", Takes: time.Second}, {Name: "ill", Fails: "no beat"}}})
		TestNamed(t, Named{Hands: alive(t, w).Hands(), Ran: func(name string) int {
			n := 0
			for _, e := range w.Events() {
				if e.What == Began && e.Command == name {
					n++
				}
			}
			return n
		}})
		if twice := w.Twice(); len(twice) > 0 {
			t.Error(twice)
		}
	})
}

func TestSeededFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Config{Name: "h", Commands: []Command{{Name: "health", Takes: time.Minute}}})
		w.FailCommand("health", "connection refused", 1)
		hands := alive(t, w).Hands()
		o := action.Order{Run: "r", Step: "s", Kind: action.Check, Command: "health", Timeout: time.Hour}
		for attempt, want := range []action.Outcome{action.Failed, action.Done} {
			o.Attempt = attempt
			if r, err := hands.Begin(t.Context(), o, []byte("{}")); err != nil || r.Outcome != want {
				t.Errorf("attempt %d: %+v, %v", attempt, r, err)
			}
		}
		o.Attempt, o.Timeout = 2, time.Second
		if r, err := hands.Begin(t.Context(), o, []byte("{}")); err != nil || r.Outcome != action.Failed || r.Took() != time.Second {
			t.Errorf("too slow: %+v, %v", r, err)
		}
	})
}
