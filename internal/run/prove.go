package run

import (
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/plan"
)

// bookWorld is the world as the steps of a runbook need it: what was proved,
// approved, and how long steps have soaked.
func (t *ticker) bookWorld() plan.World {
	w := t.world()
	w.LastAction = time.Time{} // each proof knows how fresh it has to be
	w.Known = map[string]plan.Fact{}
	if w.PausedBy == "" && t.r.Book.Halt != "" {
		w.PausedBy = "the run itself: " + t.r.Book.Halt
	}
	t.known(w.Known)
	for fact := range t.r.Plan.Proofs {
		// What did not hold stays so until it is known better: it lets nothing begin.
		if p := t.r.Book.Proofs[fact]; t.tells(fact, p) || !p.Seen.IsZero() && !p.Holds {
			w.Known[fact] = plan.Fact{Holds: p.Holds, Seen: t.w.Now}
		}
	}
	for s := range t.r.Plan.Root.All() {
		for _, need := range s.Needs {
			switch {
			case strings.HasPrefix(need, plan.FactApproved):
				w.Known[need] = plan.Fact{Holds: t.r.Book.Approvals[s.ID] != "", Seen: t.w.Now}
			case strings.HasPrefix(need, plan.FactSoaked):
				since, ok := t.r.Book.Soaking[s.ID]
				w.Known[need] = plan.Fact{Holds: ok && !t.w.Now.Before(since.Add(s.Soak)), Seen: t.w.Now}
			}
		}
	}
	return w
}

// tells reports whether an answer is fresh enough to be relied on: asked after
// the last change has settled, and not long ago. What was asked before is what
// was, and while something is changed nobody knows what will be.
func (t *ticker) tells(fact string, p Proved) bool {
	proof := t.r.Plan.Proofs[fact]
	return !p.Seen.IsZero() && !t.changing() && !p.Seen.Before(t.r.Book.Changed.Add(proof.Settle)) && t.w.Now.Sub(p.Seen) <= proof.Fresh
}

// changing reports whether the run has something under way that changes
// something: what is asked meanwhile may tell of before.
func (t *ticker) changing() bool {
	for s := range t.r.Plan.Root.All() {
		if s.Disrupts && t.r.Progress[s.ID].Stage == plan.Running {
			return true
		}
	}
	return false
}

// proved is until when what a step needs is proved; zero: it needs no proof.
// Nobody may begin it later, however long its order lies somewhere.
func (t *ticker) proved(s plan.Step) (until time.Time) {
	for _, need := range s.Needs {
		proof, ok := t.r.Plan.Proofs[need]
		if end := t.r.Book.Proofs[need].Seen.Add(proof.Fresh); ok && (until.IsZero() || end.Before(until)) {
			until = end
		}
	}
	return until
}

// prove asks for the proofs that steps wait for, lets steps soak, and reports
// whether any proof is under way.
func (t *ticker) prove(d plan.Decision) (proving bool) {
	for i, w := range d.Waits {
		s, _ := t.r.Plan.Step(w.Step)
		if w.Reason.Code == plan.NotYet && strings.HasPrefix(w.Reason.What, plan.FactSoaked) {
			if t.r.Book.Soaking[s.ID].IsZero() {
				t.r.Book.Soaking[s.ID] = t.w.Now
			}
			d.Waits[i].Reason.Until = t.r.Book.Soaking[s.ID].Add(s.Soak)
		}
		if w.Reason.Code != plan.Stale && w.Reason.Code != plan.NotYet {
			continue
		}
		t.tellUsers(&d.Waits[i].Reason)
		for _, need := range s.Needs {
			proof, ok := t.r.Plan.Proofs[need]
			if ok && t.ask(need, proof) {
				proving = true
			}
			if ok && need == w.Reason.What {
				d.Waits[i].Reason.What, d.Waits[i].Reason.By = proof.Step.Title, t.r.Book.Proofs[need].Why
			}
		}
	}
	return proving
}

// ask orders a proof, unless what is known tells enough or it is under way. One
// that does not hold is asked for again and again. It reports whether it is under
// way now.
func (t *ticker) ask(fact string, proof plan.Proof) bool {
	p := t.r.Book.Proofs[fact]
	switch {
	case p.Open:
		return true
	case t.changing():
		return true
	case t.tells(fact, p) && p.Holds:
		return false
	case t.tells(fact, p) && t.w.Now.Before(p.Seen.Add(askAgain)):
		t.again(p.Seen.Add(askAgain)) // nobody tells us when it holds
		return false
	case t.w.Now.Before(t.r.Book.Changed.Add(proof.Settle)):
		t.again(t.r.Book.Changed.Add(proof.Settle))
		return true
	}
	p.Attempt++
	p.Open, p.Asked, p.StartBy = true, t.w.Now, t.w.Now.Add(proof.Step.Timeout)
	t.r.Book.Proofs[fact] = p
	t.next.Orders = append(t.next.Orders, Order{StartBy: p.StartBy, Here: proof.Step.Here, Order: action.Order{
		Run: t.r.ID, Step: fact, Attempt: p.Attempt, Target: proof.Step.Target,
		Kind: proof.Step.Action, Command: proof.Step.Command, With: proof.Step.With, Brief: true, Timeout: proof.Step.Timeout,
	}})
	return true
}

// collectProofs takes in the answers to proofs.
func (t *ticker) collectProofs() {
	for fact, p := range t.r.Book.Proofs {
		if !p.Open {
			continue
		}
		key := action.Order{Run: t.r.ID, Step: fact, Attempt: p.Attempt}.Key()
		a, ok := t.w.Answers[key]
		switch {
		case ok && a.Outcome == action.Expired:
			p.Open = false
		case ok:
			p.Open, p.Holds, p.Seen, p.Why = false, a.Outcome == action.Done, p.Asked, reasonOf(a)
		case t.w.Now.After(p.StartBy):
			t.next.Withdraw = append(t.next.Withdraw, key)
			if _, handed := t.w.Handed[key]; handed && t.w.Now.After(p.StartBy.Add(t.r.Plan.Proofs[fact].Step.Timeout)) {
				p.Open = false // nobody says how it ended; it is asked anew, and changes nothing
			}
		}
		t.r.Book.Proofs[fact] = p
	}
}

// again asks for a tick at the given time, at the latest.
func (t *ticker) again(at time.Time) {
	if t.soon.IsZero() || at.Before(t.soon) {
		t.soon = at
	}
}
