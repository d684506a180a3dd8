package agenttest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
)

// Named is a host whose owner has named two commands: "well", which succeeds,
// and "ill", which says "no beat" and fails.
type Named struct {
	Hands agent.Hands
	Ran   func(name string) int // how often a command was run
}

// TestNamed is what hands must do with named commands, the real ones and those
// that are pretended.
func TestNamed(t *testing.T, n Named) {
	ask := func(kind action.Kind, step, name string) action.Order {
		return action.Order{Run: "r", Step: step, Attempt: 1, Target: "t", Kind: kind, Command: name, Timeout: time.Minute}
	}
	// carry does what the agent does with an order.
	carry := func(o action.Order) action.Result {
		t.Helper()
		memo, err := n.Hands.Prepare(t.Context(), o)
		if err != nil {
			t.Fatalf("prepare %s: %v", o.Key(), err)
		}
		r, err := n.Hands.Begin(t.Context(), o, memo)
		if err != nil {
			t.Fatalf("begin %s: %v", o.Key(), err)
		}
		return r
	}
	ran := func(name string, want int) {
		t.Helper()
		if got := n.Ran(name); got != want {
			t.Errorf("%s ran %d times, want %d", name, got, want)
		}
	}
	if obs, err := n.Hands.Look(t.Context()); err != nil || !slices.Equal(obs.Commands, []string{"ill", "well"}) {
		t.Errorf("commands %q, %v", obs.Commands, err)
	}
	for i, kind := range []action.Kind{action.Backup, action.Command, action.Check} {
		step := string(kind)
		if r := carry(ask(kind, step, "well")); r.Outcome != action.Done || r.Reason != "" || r.Changes != nil || r.DryRun {
			t.Errorf("%s: %+v", kind, r)
		}
		ran("well", i+1)
		r := carry(ask(kind, step+"-fails", "ill"))
		if r.Outcome != action.Failed || r.Reason != `the command "ill" ended with exit code 1: no beat` || len(r.Failures) != 1 || r.Failures[0].Reason != r.Reason {
			t.Errorf("%s fails: %+v", kind, r)
		}
		o := ask(kind, step+"-dry", "well")
		o.DryRun = true
		if r := carry(o); r.Outcome != action.Done || !r.DryRun || !strings.HasPrefix(r.Reason, "dry run: nothing was changed; would run: ") {
			t.Errorf("%s, a dry run: %+v", kind, r)
		}
		if r, err := n.Hands.Adopt(t.Context(), o, []byte("{}")); err != nil || r.Outcome != action.Done || !r.DryRun {
			t.Errorf("%s, a dry run that was cut off: %+v, %v", kind, r, err)
		}
		_, err := n.Hands.Prepare(t.Context(), ask(kind, step+"-unknown", "wel"))
		if refusal, ok := errors.AsType[*agent.RefusalError](err); !ok || !strings.HasPrefix(refusal.Reason, `this host's owner has no command named "wel"`) {
			t.Errorf("%s, an unknown name: %v", kind, err)
		}
		ran("well", i+1)
		adopted, err := n.Hands.Adopt(t.Context(), ask(kind, step, "well"), []byte("{}"))
		if err != nil || adopted.Outcome != action.Done {
			t.Errorf("%s, adopted after its end: %+v, %v", kind, adopted, err)
		}
		ran("well", i+1)
		if err := n.Hands.Forget(ask(kind, step, "well").Key()); err != nil {
			t.Error(err)
		}
	}
	for _, kind := range []action.Kind{action.Backup, action.Command} {
		r, err := n.Hands.Adopt(t.Context(), ask(kind, "never-"+string(kind), "well"), []byte("{}"))
		if err != nil || r.Outcome != action.Interrupted || r.Reason == "" {
			t.Errorf("%s that nobody saw: %+v, %v", kind, r, err)
		}
	}
	ran("well", 3)
	if r, err := n.Hands.Adopt(t.Context(), ask(action.Check, "never-check", "ill"), []byte("{}")); err != nil || r.Outcome != action.Failed {
		t.Errorf("a check that nobody saw is made again: %+v, %v", r, err)
	}
	ran("ill", 4)
}
