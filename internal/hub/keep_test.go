package hub

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/wire"
)

func TestFirstAnswerWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{})
		b.greet()
		b.putRun("r2", "t1", "")
		b.putRun("r3", "t2", "")
		key := b.order("r1", "a", "t1", time.Minute)
		b.woken()
		nudged := b.nudged
		a := b.poll(wire.PollRequest{Answers: []wire.Answer{done(key, "6.1")}})
		if !slices.Equal(a.Acknowledged, []string{key}) || a.AfterMillis != 0 || a.Observe {
			t.Errorf("answer: %+v", a)
		}
		if r := b.stored(key).Result; r == nil || r.Outcome != action.Done || b.kernel() != "6.1" || !b.target("t1").ObservedAt.Equal(time.Now()) {
			t.Errorf("kept %+v, kernel %s", r, b.kernel())
		}
		// The run learns of its answer, every open one of the new observation.
		if w := b.woken(); !w["run/r1"] || !w["run/r2"] || w["run/r3"] {
			t.Errorf("woken: %v", w)
		}

		if b.nudged != nudged+1 {
			t.Error("nobody is told that runs were woken")
		}

		second := done(key, "6.2")
		second.Outcome = string(action.Failed)
		a = b.poll(wire.PollRequest{Answers: []wire.Answer{second}})
		if !slices.Equal(a.Acknowledged, []string{key}) {
			t.Errorf("a repeated answer is not acknowledged: %+v", a)
		}
		if b.stored(key).Result.Outcome != action.Done || b.kernel() != "6.1" || len(b.woken()) > 0 || b.nudged != nudged+1 {
			t.Errorf("a repeated answer has an effect: %+v, kernel %s", b.stored(key).Result, b.kernel())
		}

		a = b.poll(wire.PollRequest{Answers: []wire.Answer{done("r0/x/1", "9")}})
		if !slices.Equal(a.Acknowledged, []string{"r0/x/1"}) || b.kernel() != "6.1" {
			t.Errorf("an answer that nobody asks for is sent for ever: %+v, kernel %s", a, b.kernel())
		}
	})
}

func TestObservations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Timing{})
		b.greet()
		say := func(o *wire.Observation, want string) {
			t.Helper()
			b.woken()
			b.poll(wire.PollRequest{Observation: o})
			if b.kernel() != want {
				t.Errorf("after one made after %q: kernel %s, want %s", o.After, b.kernel(), want)
			}
			if w := b.woken()["run/r1"]; w != (want == o.Kernel) {
				t.Errorf("after one made after %q: woken %v", o.After, w)
			}
		}
		say(look("", "1"), "1")
		say(look("gone/a/1", "2"), "2") // as after a database was lost
		first, second := b.order("r1", "a", "t1", time.Minute), b.order("r1", "b", "t1", time.Minute)
		b.poll(wire.PollRequest{Answers: []wire.Answer{done(first, "3")}})
		say(look("", "4"), "3") // made before it
		say(look("gone/a/1", "4"), "3")
		say(look(first, "4"), "4")

		// An answer that shows nothing: the run has taken it in, so what was
		// seen before it is old, though there is nothing newer to lose.
		a := b.poll(wire.PollRequest{Answers: []wire.Answer{{Key: second, Outcome: "failed"}}})
		if !a.Observe {
			t.Error("the host is not looked at after an order that ended blindly")
		}
		b.putRun("r1", "t1", second)
		say(look(first, "5"), "4")
		if a := b.poll(wire.PollRequest{Version: "v2"}); !a.Observe {
			t.Error("the host is not looked at though a run waits for it")
		}
		say(look(second, "6"), "6")
		if a := b.poll(wire.PollRequest{Version: "v3"}); a.Observe {
			t.Error("the host is looked at for nothing")
		}

		// An answer that comes late does not bring back what it had seen.
		third, fourth := b.order("r1", "c", "t1", time.Minute), b.order("r1", "d", "t1", time.Minute)
		b.poll(wire.PollRequest{Answers: []wire.Answer{done(fourth, "8")}})
		b.poll(wire.PollRequest{Answers: []wire.Answer{done(third, "7")}})
		if b.stored(third).Result == nil || b.kernel() != "8" {
			t.Errorf("kept %+v, kernel %s", b.stored(third).Result, b.kernel())
		}

		// An order that expired was never carried out: nothing follows it.
		fifth := b.order("r1", "e", "t1", time.Minute)
		expired := wire.Answer{Key: fifth, Outcome: "expired", Observation: look(fourth, "9")}
		b.poll(wire.PollRequest{Answers: []wire.Answer{expired}})
		if o := b.target("t1").Observed; o.Kernel != "9" || o.After != fourth {
			t.Errorf("known: %+v", o)
		}
		say(look(fifth, "10"), "9")
		say(look(fourth, "10"), "10")
	})
}
