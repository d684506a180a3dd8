package rollout

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/plan"
	"upkeep/internal/runbook"
)

// The methods here are what persons may say. Each gives the rollout as it is
// then, with what is to be told of it; nothing is told where nothing changes.

// Pause holds the rollout: its runs are paused, and nothing more is begun.
func (r Rollout) Pause(by string, now time.Time) (Rollout, []history.Fact, error) {
	if err := r.open(); err != nil || r.PausedBy != "" {
		return r, nil, err
	}
	r.PausedBy, r.State = by, Paused
	return r, []history.Fact{r.fact(now, by, history.RolloutPaused, "paused: what is under way is brought to a safe state, nothing more is begun")}, nil
}

// Resume lets a paused rollout go on.
func (r Rollout) Resume(by string, now time.Time) (Rollout, []history.Fact, error) {
	if err := r.open(); err != nil || r.PausedBy == "" {
		return r, nil, err
	}
	r.PausedBy, r.State = "", Active
	return r, []history.Fact{r.fact(now, by, history.RolloutResumed, "resumed")}, nil
}

// Abort ends the rollout as soon as its runs have ended. What was promoted stays.
func (r Rollout) Abort(by, reason string, now time.Time) (Rollout, []history.Fact, error) {
	if r.State.Ended() {
		return r, nil, r.open()
	}
	if r.AbortedBy != "" {
		return r, nil, nil
	}
	r.AbortedBy = by
	text := "abort asked for: its runs are aborted, nothing more is begun"
	if reason != "" {
		text += ": " + reason
	}
	return r, []history.Fact{r.fact(now, by, history.RolloutAborting, text)}, nil
}

func (r Rollout) open() error {
	switch {
	case r.State.Ended():
		return fault.Conflict("rollout %s has ended: %s", r.ID, r.State)
	case r.AbortedBy != "":
		return fault.Conflict("rollout %s is being aborted by %s", r.ID, r.AbortedBy)
	}
	return nil
}

// find is an environment of the train.
func (r Rollout) find(w World, env string) (Environment, error) {
	e, ok := w.Train.Train.Environment(env)
	if !ok {
		return e, fault.NotFound("environment of train "+r.Train, env)
	}
	return e, r.open()
}

// Approve is a person's word for the plan of an environment as that person has
// seen it. Conflict: the plan is another one by now. Denied: who starts a
// rollout does not approve it.
func (r Rollout) Approve(w World, env, hash, by string) (Rollout, []history.Fact, error) {
	e, err := r.find(w, env)
	if err != nil {
		return r, nil, err
	}
	p := r.PlanOf(w, e)
	switch now := p.Hash; {
	case by == r.By:
		return r, nil, fault.Denied("%s has started the rollout; somebody else approves it", by)
	case e.Approvals == 0:
		return r, nil, fault.Conflict("environment %s asks for no approval", env)
	case hash != now:
		return r, nil, fault.Conflict("the plan of %s is %s now, not %s: look at it again", env, now, hash)
	}
	r = r.own()
	st := r.Standings[env].own()
	if slices.ContainsFunc(st.Approvals, func(a Approval) bool { return a.By == by && a.Plan == hash }) {
		return r, nil, nil
	}
	// Of a person only the newest word is kept: it is for the plan that is now.
	st.Approvals = slices.DeleteFunc(st.Approvals, func(a Approval) bool { return a.By == by })
	st.Approvals = append(st.Approvals, Approval{By: by, Plan: hash, Lines: p.Lines, At: w.Now})
	r.Standings[env] = st
	return r, []history.Fact{r.fact(w.Now, by, history.RolloutApproved, fmt.Sprintf("%s: plan %s approved", env, hash))}, nil
}

// Ack is a person's word that a known issue is accepted. Invalid: an issue that
// is a veto is waived only with a reason.
func (r Rollout) Ack(w World, issue, reason, by string) (Rollout, []history.Fact, error) {
	if err := r.open(); err != nil {
		return r, nil, err
	}
	issues := w.Release.Release.Issues
	i := slices.IndexFunc(issues, func(i Issue) bool { return i.ID == issue })
	switch {
	case i < 0:
		return r, nil, fault.NotFound("known issue of release "+r.Version, issue)
	case issues[i].Veto && reason == "":
		return r, nil, fault.Invalid("reason", "is needed: issue %s stops the release, and the history keeps why it does not", issue)
	}
	r = r.own()
	r.Acks[issue] = Ack{By: by, Reason: reason, Text: issues[i].Text, At: w.Now}
	text := fmt.Sprintf("known issue %s is acknowledged: %s", issue, issues[i].Text)
	if reason != "" {
		text += ": " + reason
	}
	return r, []history.Fact{r.fact(w.Now, by, history.RolloutAcked, text)}, nil
}

// Decide is a person's decision about a gate that is inconclusive.
func (r Rollout) Decide(env, gate string, result Result, reason, by string, now time.Time) (Rollout, []history.Fact, error) {
	if err := r.open(); err != nil {
		return r, nil, err
	}
	switch {
	case result != Pass && result != Fail:
		return r, nil, fault.Invalid("result", "must be pass or fail, not %q", result)
	case reason == "":
		return r, nil, fault.Invalid("reason", "is needed: the evidence keeps why the gate was decided so")
	}
	g, ok := r.Standings[env].Gates[gate]
	switch {
	case !ok:
		return r, nil, fault.NotFound("gate of environment "+env, gate)
	case g.Open || g.Result != Inconclusive:
		return r, nil, fault.Conflict("gate %s is not inconclusive: it speaks for itself", gate)
	}
	r = r.own()
	st := r.Standings[env]
	text := st.answer(env, gate, result, reason, by, now)
	r.Standings[env] = st
	return r, []history.Fact{r.fact(now, by, history.RolloutGate, text)}, nil
}

// Retry lets a failed environment go on: what failed is done once more.
func (r Rollout) Retry(env, by string, now time.Time) (Rollout, []history.Fact, error) {
	if err := r.open(); err != nil {
		return r, nil, err
	}
	st, ok := r.Standings[env]
	undecided := slices.ContainsFunc(slices.Collect(maps.Values(st.Gates)), func(g GateState) bool { return g.Result == Inconclusive })
	switch {
	case !ok:
		return r, nil, fault.NotFound("environment that was begun", env)
	case st.Halted != "":
		return r, nil, fault.Conflict("its run is halted: mend what it says, and resume the run on its service")
	case st.Failed == "" && !undecided:
		return r, nil, fault.Conflict("environment %s has not failed", env)
	}
	r = r.own()
	st = r.Standings[env]
	st.Failed = ""
	for name, p := range st.Phases {
		if p.Stage == plan.Failed {
			p.Stage = plan.Todo
			st.Phases[name] = p
		}
	}
	for name, g := range st.Gates {
		if g.Result == Fail || g.Result == Inconclusive {
			st.Gates[name] = GateState{Attempt: g.Attempt}
		}
	}
	r.Standings[env] = st
	return r, []history.Fact{r.fact(now, by, history.RolloutRetried, env+": what failed is tried once more")}, nil
}

// Pinning says what a person wants pinned.
type Pinning struct {
	Environment string
	Component   string
	Digest      string // the release's own takes the pin away
	Now         bool   // at once, whatever windows, freezes and other regions say
	Reason      string
}

// Pin has one component of one environment brought to another digest, as its
// phases do it; what comes after the environment waits until it has the
// release's again. A rollout that has succeeded is taken up again for it.
func (r Rollout) Pin(w World, p Pinning, by string) (Rollout, []history.Fact, error) {
	if r.State == Aborted || r.AbortedBy != "" {
		return r, nil, fault.Conflict("rollout %s was aborted", r.ID)
	}
	e, ok := w.Train.Train.Environment(p.Environment)
	if !ok {
		return r, nil, fault.NotFound("environment of train "+r.Train, p.Environment)
	}
	if err := ValidDigest("digest", p.Digest); err != nil {
		return r, nil, err
	}
	st := r.Standings[e.Name].own()
	uses := false
	for _, s := range st.Phases {
		uses = uses || s.Digests[p.Component] != ""
	}
	switch {
	case p.Reason == "":
		return r, nil, fault.Invalid("reason", "is needed: the history keeps why")
	case st.Pinning != "" && st.Pinning != p.Component:
		return r, nil, fault.Conflict("%s of %s is being pinned: wait for its end", st.Pinning, e.Name)
	case len(st.phasesRunning()) > 0:
		return r, nil, fault.Conflict("a run is under way in %s: wait for its end, or abort it", e.Name)
	case !uses:
		return r, nil, fault.Invalid("component", "no phase that was done in %s has brought a digest of %q", e.Name, p.Component)
	}
	r = r.own()
	st.Pins[p.Component] = p.Digest
	if w.Release.Release.Digests[p.Component] == p.Digest {
		delete(st.Pins, p.Component)
	}
	st.Pinning, st.PinnedBy, st.Now, st.Failed = p.Component, by, p.Now, ""
	for name, g := range st.Gates { // what they said is of other digests
		if !g.Open {
			st.Gates[name] = GateState{Attempt: g.Attempt}
		}
	}
	r.Standings[e.Name] = st
	r.State, r.Finished, r.Text = Active, time.Time{}, ""
	if r.PausedBy != "" {
		r.State = Paused
	}
	text := fmt.Sprintf("%s: %s is pinned to %s: %s", e.Name, p.Component, p.Digest, p.Reason)
	if p.Now {
		text += "; now, whatever windows, freezes and other regions say"
	}
	return r, []history.Fact{r.fact(w.Now, by, history.RolloutPinned, text)}, nil
}

// Carries refuses a train, changed under way, that lacks an environment which
// the rollout has begun.
func (r Rollout) Carries(t Train) error {
	for _, name := range slices.Sorted(maps.Keys(r.Standings)) {
		st := r.Standings[name]
		if _, ok := t.Environment(name); !ok && (len(st.Phases) > 0 || len(st.running()) > 0) {
			return fault.Conflict("rollout %s has begun environment %s: abort it first", r.ID, name)
		}
	}
	return nil
}

// disrupts reports whether a runbook changes anything.
func disrupts(b runbook.Book) bool {
	steps := slices.Concat(b.Before, b.Member.Drain, b.Member.Do, b.Member.Await, b.Member.Ready, b.After)
	return slices.ContainsFunc(steps, func(s runbook.Step) bool { return s.Kind.Disrupts() })
}
