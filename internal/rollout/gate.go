package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/history"
	"upkeep/internal/plan"
	"upkeep/internal/run"
)

// How gates are asked.
const (
	gateTimeout = 15 * time.Second // of one order
	gateStart   = 5 * time.Minute  // an order that is not begun by then is asked anew
	gateLost    = 15 * time.Minute // an order of which nothing is known after that is inconclusive
	beforeFresh = 10 * time.Minute // how long a gate that was asked before is relied on
	beforeAgain = 5 * time.Minute  // how soon one that did not pass is asked again
	maxWhy      = 500              // bytes of what a gate says
	separator   = "."
)

// order is what the control plane's own hands are told.
func (r Rollout) order(env, gate string, s GateState) run.Order {
	return run.Order{Here: true, StartBy: s.Asked.Add(gateStart), Order: action.Order{
		Run: r.Key(), Step: env + separator + gate, Attempt: s.Attempt, Timeout: gateTimeout,
	}}
}

// gatesBefore asks the gates that must pass before the first phase, and
// reports whether all do. A pass counts for this plan, and for some minutes.
func (t *ticker) gatesBefore(e Environment, st *Standing, hash string) bool {
	all := true
	for _, g := range t.w.Train.Train.GatesOf(e, Before) {
		s := st.Gates[g.Name]
		asked := s.At == Before && s.For == hash && s.Result != ""
		again := beforeAgain
		if g.Every > 0 {
			again = g.Every
		}
		switch until := s.Asked.Add(again); {
		case s.Open:
			all = false
			t.asking(e, g, s)
		case asked && s.Result == Pass && (s.By != "" || t.w.Now.Before(s.Asked.Add(beforeFresh))):
		case asked && s.Result == Fail && t.w.Now.Before(until):
			all = false
			t.wait(e, Reason{Code: GateFailed, By: g.Name, What: s.Why, Until: until})
		case asked && s.Result == Inconclusive && t.w.Now.Before(until):
			all = false
			t.wait(e, Reason{Code: GateUndecided, By: g.Name, What: s.Why, Until: until})
		default:
			all = false
			t.ask(e, st, g, Before, hash)
		}
	}
	return all
}

// prove asks an environment's gates once all its phases are done, and lets time
// tell. A gate that fails there fails the environment, where its answer is
// taken in.
func (t *ticker) prove(e Environment, st *Standing) {
	t.installed(e, *st)
	if !st.Soaked.IsZero() {
		st.Stage = Soaked
		return
	}
	if st.SoakFrom.IsZero() && !t.gatesAfter(e, st) {
		st.Stage = Checking
		return
	}
	t.soak(e, st)
}

// gatesAfter asks the gates that must pass once the last phase has ended, and
// reports whether all do.
func (t *ticker) gatesAfter(e Environment, st *Standing) bool {
	all, last := true, st.lastEnd()
	for _, g := range t.w.Train.Train.GatesOf(e, After) {
		s := st.Gates[g.Name]
		asked := s.At != Before && !s.Asked.Before(last)
		switch {
		case s.Open:
			all = false
			t.asking(e, g, s)
		case asked && s.Result == Pass:
		case asked && s.Result == Inconclusive:
			all = false
			t.wait(e, Reason{Code: GateUndecided, By: g.Name, What: s.Why})
		default:
			all = false
			t.ask(e, st, g, After, "")
		}
	}
	return all
}

// soak lets time tell, with gates that are asked all the while.
func (t *ticker) soak(e Environment, st *Standing) {
	if st.SoakFrom.IsZero() {
		st.SoakFrom = st.lastEnd()
		if st.Broke {
			st.SoakFrom = t.w.Now
		}
		st.Begun, st.Broke = false, false
		t.say(history.RolloutSoaking, "%s: release %s soaks for %s", e.Name, t.r.Version, plan.Round(e.Soak))
	}
	st.Stage = Soaking
	until := st.SoakFrom.Add(e.Soak)
	good := t.gatesDuring(e, st, until)
	switch {
	case t.w.Now.Before(until):
		t.wait(e, Reason{Code: NotSoaked, By: e.Name, Until: until})
	case good:
		st.Stage, st.Soaked = Soaked, t.w.Now
		t.say(history.RolloutSoaking, "%s: release %s has soaked", e.Name, t.r.Version)
	}
}

// gatesDuring asks the gates of the soak as often as they want, and once more
// at its end if they were not asked; it reports whether all have passed.
func (t *ticker) gatesDuring(e Environment, st *Standing, until time.Time) bool {
	all := true
	for _, g := range t.w.Train.Train.GatesOf(e, During) {
		s := st.Gates[g.Name]
		asked := s.At == During && !s.Asked.Before(st.SoakFrom)
		next := st.SoakFrom.Add(g.every())
		if s.Asked.After(st.SoakFrom) {
			next = s.Asked.Add(g.every())
		}
		switch {
		case s.Open:
			all = false
			t.asking(e, g, s)
		case asked && s.Result == Inconclusive:
			all = false
			t.wait(e, Reason{Code: GateUndecided, By: g.Name, What: s.Why})
		case !t.w.Now.Before(next), !asked && !t.w.Now.Before(until):
			all = false
			t.ask(e, st, g, During, "")
		default:
			t.sooner(next)
		}
	}
	return all
}

// asking waits for an answer.
func (t *ticker) asking(e Environment, g Gate, s GateState) {
	t.wait(e, Reason{Code: GateAsked, By: g.Name})
	t.sooner(s.Asked.Add(gateLost))
}

// ask asks a gate; hash is of the plan that is to begin if it passes.
func (t *ticker) ask(e Environment, st *Standing, g Gate, at When, hash string) {
	s := GateState{Attempt: st.Gates[g.Name].Attempt + 1, Asked: t.w.Now, At: at, For: hash, Open: true}
	v := t.r.values(t.w, e)
	if g.Kind == RunbookGate {
		t.askRun(e, st, g, s, v.work(g.Service, g.Runbook, g.Params))
		return
	}
	with, missing := v.with(g)
	target := t.target(e)
	st.Gates[g.Name] = s
	switch {
	case missing != "":
		t.answered(e.Name, st, g.Name, Inconclusive, fmt.Sprintf("nothing fills {{%s}}", missing))
		return
	case target == "":
		t.answered(e.Name, st, g.Name, Inconclusive, "none of the environment's services is there")
		return
	}
	o := t.r.order(e.Name, g.Name, s)
	o.Kind, o.With, o.Target = action.Kind(g.Kind), with, target
	t.next.Orders = append(t.next.Orders, o)
	t.asking(e, g, s)
}

// askRun asks a gate by a run of a runbook that only looks.
func (t *ticker) askRun(e Environment, st *Standing, g Gate, s GateState, does work) {
	if book, ok := t.w.Books[t.r.project(e)+"/"+does.book]; ok && disrupts(book) {
		st.Gates[g.Name] = s
		t.answered(e.Name, st, g.Name, Inconclusive, fmt.Sprintf("runbook %s changes something, and a gate only looks", does.book))
		return
	}
	failed, stage := st.Failed, st.Stage
	id, ok := t.open(e, st, does, run.Opening{
		Window: always(t.w.Now), Reason: fmt.Sprintf("release %s, environment %s, gate %s", t.r.Version, e.Name, g.Name),
	})
	if !ok && st.Failed != failed { // it can't be asked: that is no failure of the release
		why := st.Failed
		st.Failed, st.Stage, st.Gates[g.Name] = failed, stage, s
		t.answered(e.Name, st, g.Name, Inconclusive, why)
		return
	}
	if ok {
		s.Run = id
		st.Gates[g.Name] = s
		t.asking(e, g, s)
	}
}

// target is a service of the environment: orders are kept with what they are about.
func (t *ticker) target(e Environment) string {
	v := t.r.values(t.w, e)
	for _, p := range t.w.Train.Train.PhasesOf(e) {
		if s, ok := t.w.Services[t.r.project(e)+"/"+v.work(p.Service, p.Runbook, nil).service]; ok {
			return s.Target.ID
		}
	}
	return ""
}

// collectGate takes in a gate's answer.
func (t *ticker) collectGate(env string, st *Standing, gate string) {
	s := st.Gates[gate]
	if !s.Open {
		return
	}
	if s.Run != "" {
		switch r, ok := t.w.Runs[s.Run]; {
		case !ok:
			t.answered(env, st, gate, Inconclusive, "run "+s.Run+" is gone")
		case r.State == run.Succeeded:
			t.answered(env, st, gate, Pass, r.Result.Text)
		case r.State == run.Failed:
			t.answered(env, st, gate, Fail, r.Result.Text)
		case r.State.Ended():
			t.answered(env, st, gate, Inconclusive, r.Result.Text)
		case r.Halted() != "": // nothing is to be brought back: it only looks
			t.answered(env, st, gate, Fail, r.Halted())
			t.next.Moves = append(t.next.Moves, Move{Run: s.Run, Verb: AbortRun, By: t.r.who()})
		}
		return
	}
	a, ok := t.w.Answers[t.r.order(env, gate, s).Key()]
	switch {
	case !ok && t.w.Now.Before(s.Asked.Add(gateLost)):
	case !ok:
		t.answered(env, st, gate, Inconclusive, "it was asked and never answered")
	case a.Outcome == action.Expired: // nobody asked: it is asked anew
		s.Open, s.Result, s.Asked = false, "", time.Time{}
		st.Gates[gate] = s
	case a.Outcome == action.Done:
		t.answered(env, st, gate, Pass, a.Output)
	case a.Outcome == action.Failed && !strings.HasPrefix(a.Reason, action.Inconclusive):
		t.answered(env, st, gate, Fail, a.Reason)
	default:
		t.answered(env, st, gate, Inconclusive, strings.TrimPrefix(a.Reason, action.Inconclusive))
	}
}

// answered keeps what a gate says.
func (t *ticker) answered(env string, st *Standing, gate string, result Result, why string) {
	fact := st.answer(env, gate, result, why, "", t.w.Now)
	if fact != "" {
		t.say(history.RolloutGate, "%s", fact)
	}
}

// answer keeps what a gate or a person says, and returns what is to be told of
// it: what says the same again and again is told once.
func (s *Standing) answer(env, gate string, result Result, why, by string, now time.Time) (fact string) {
	if len(why) > maxWhy {
		why = strings.ToValidUTF8(why[:maxWhy], "") + "…"
	}
	g := s.Gates[gate]
	g.Open, g.Result, g.Why, g.By = false, result, why, by
	s.Gates[gate] = g
	fact = fmt.Sprintf("%s: gate %s, asked for %s: %s: %s", env, gate, g.At, result, why)
	i := s.newest(gate)
	if i >= 0 && s.Evidence[i].Result == result && s.Evidence[i].At == g.At && s.Evidence[i].By == by {
		s.Evidence[i].Why, s.Evidence[i].Last = why, now
		s.Evidence[i].Times++
		fact = ""
	} else {
		s.Evidence = append(s.Evidence, Evidence{Gate: gate, At: g.At, Result: result, Why: why, By: by, First: now, Last: now, Times: 1})
		s.Evidence = s.Evidence[max(0, len(s.Evidence)-maxEvidence):]
	}
	// Time without proof is no soak: it begins when a person has decided.
	s.Broke = s.Broke || result == Inconclusive && g.At == After
	if result == Fail && g.At != Before {
		s.Failed = fmt.Sprintf("gate %s failed: %s", gate, why)
		s.Stage, s.Begun, s.Broke = Failed, true, true
		s.SoakFrom, s.Soaked = time.Time{}, time.Time{}
	}
	return fact
}

// newest is the index of a gate's newest evidence; -1 if there is none.
func (s *Standing) newest(gate string) int {
	for i, e := range slices.Backward(s.Evidence) {
		if e.Gate == gate {
			return i
		}
	}
	return -1
}

// lastEnd is when the last of the phases ended.
func (s Standing) lastEnd() (at time.Time) {
	for _, p := range s.Phases {
		if p.Ended.After(at) {
			at = p.Ended
		}
	}
	return at
}

// installed notes what the environment has, now that all its phases are done.
func (t *ticker) installed(e Environment, st Standing) {
	has := t.w.Train.Installed[e.Name]
	now := Installed{Version: t.r.Version, Digests: st.Digests(), Since: st.lastEnd()}
	if has.Version == now.Version && has.Since.Equal(now.Since) {
		return
	}
	if t.next.Installed == nil {
		t.next.Installed = map[string]Installed{}
	}
	t.next.Installed[e.Name] = now
}
