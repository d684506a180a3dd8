package run

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/plan"
)

// giveUpAfter is how long a host may stay silent beyond an order's timeout,
// counted from the first tick that noticed, before the run ends as failed.
const giveUpAfter = time.Hour

// retryAfter is the pause between attempts of a step that may be tried again;
// it doubles with each attempt.
const retryAfter = 10 * time.Second

// collect takes in the answers to what is under way.
func (t *ticker) collect() {
	for s := range t.r.Plan.Root.All() {
		st := t.r.Progress[s.ID]
		if st.Stage != plan.Running {
			continue
		}
		key := orderKey(t.r, *s, st)
		answer, ok := t.w.Answers[key]
		switch {
		case ok:
			t.answered(*s, st, key, answer)
		case t.w.Now.After(st.StartBy) || !s.Closing && (t.r.AbortedBy != "" || t.r.PausedBy != ""):
			// It may still be lying there unseen. If the host has it, this
			// does nothing, and its answer is waited for.
			t.next.Withdraw = append(t.next.Withdraw, key)
			t.silent(*s, st, key)
		default:
			t.silent(*s, st, key)
		}
	}
}

// silent gives up on a host that has an order and has not answered for very
// long. An order that it can't have seen is no reason to: it expires.
func (t *ticker) silent(s plan.Step, st plan.StepState, key string) {
	handed, ok := t.w.Handed[key]
	if !ok || !t.w.Now.After(handed.Add(s.Timeout)) {
		return
	}
	if t.r.Made.Silent.IsZero() {
		t.r.Made.Silent = t.w.Now
		return
	}
	if t.w.Now.Before(t.r.Made.Silent.Add(giveUpAfter)) || t.w.Now.Before(handed.Add(s.Timeout+giveUpAfter)) {
		return
	}
	st.Stage, st.Ended = plan.Failed, t.w.Now
	t.r.Progress[s.ID] = st
	if s.Closing && t.r.Book == nil {
		t.closed(s, "it was handed out and never answered")
		return
	}
	to := t.r.Name
	if s.At != "" {
		to = s.At // the host of a service's member
	}
	why := fmt.Sprintf("%s was handed to %s at %s and has not been answered since: what became of it is unknown. Look at the server's console; if it is up, see that the agent runs and reaches us; then start a new run, which looks at the server before it touches it",
		s.Action, to, handed.UTC().Format(time.RFC3339))
	t.r.Result.Failures = append(t.r.Result.Failures, action.Failure{Reason: why})
	t.say(engineName, history.StepEnded, s.ID, why)
	if t.r.Book != nil {
		t.begun(s) // perhaps it was
	}
}

// answered takes in one answer.
func (t *ticker) answered(s plan.Step, st plan.StepState, key string, a action.Result) {
	who := t.doer(s)
	t.r.Made.Silent = time.Time{}
	st.Ended = t.w.Now
	if a.Outcome == action.Expired {
		// Nothing was done; the attempt does not count.
		st.Stage = plan.Todo
		st.Expired++
		t.say(engineName, history.StepEnded, s.ID, fmt.Sprintf("%s was not begun in time and is taken back", deed(s)))
		if s.Closing && t.r.Book == nil && st.Expired >= maxExpired {
			st.Stage = plan.Failed
			t.closed(s, "the server never fetched it")
		}
		t.r.Progress[s.ID] = st
		if t.r.Book != nil {
			t.notBegun(s)
		}
		return
	}
	t.r.Made.BegunFor = t.occasion().Start
	t.r.Made.LastOrder, t.r.Made.LastEnded, t.r.Made.LastSeen = key, t.w.Now, a.Observation != nil
	for _, c := range a.Changes {
		t.r.Result.Changes = append(t.r.Result.Changes, c)
		t.say(who, history.PackageSet, s.ID, changeWords(c))
	}
	if a.Outcome == action.Done {
		st.Stage = plan.Done
		t.sample(s, st, a)
		t.say(who, history.StepEnded, s.ID, fmt.Sprintf("%s done in %s", deed(s), plan.Round(a.Took())))
	} else {
		t.failedAttempt(s, &st, a)
	}
	t.r.Progress[s.ID] = st
	if t.r.Book != nil {
		t.learnBook(s, a)
		return
	}
	t.learn(s, a)
}

// sample keeps how long a step took. One of a runbook took as long as all its
// attempts; if it was ordered in vain, or a person had to come, that tells
// nothing of the next time.
func (t *ticker) sample(s plan.Step, st plan.StepState, a action.Result) {
	kept := Sample{Kind: s.Action, Sample: fleet.Sample{Units: max(1, len(s.Packages)), Took: a.Took()}}
	if s.Pace != "" {
		kept.Kind, kept.Took = s.Pace, t.w.Now.Sub(st.First)
	}
	if s.Pace == "" || st.Expired == 0 {
		t.next.Samples = append(t.next.Samples, kept)
	}
}

// doer is who carries a step out.
func (t *ticker) doer(s plan.Step) string {
	switch {
	case s.Here:
		return engineName
	case s.At != "":
		return "agent/" + s.At
	}
	return "agent/" + t.r.Name
}

func (t *ticker) failedAttempt(s plan.Step, st *plan.StepState, a action.Result) {
	again := st.Attempt-st.Expired < s.Attempts && a.Outcome != action.Refused
	// What is asked every few seconds is told when it first says no, and when
	// it has said no for the last time.
	if s.Every == 0 || st.Attempt-st.Expired == 1 || !again {
		t.say(t.doer(s), history.StepEnded, s.ID, fmt.Sprintf("%s %s: %s", deed(s), a.Outcome, reasonOf(a)))
	}
	if again {
		st.Stage = plan.Todo
		st.RetryAt = t.w.Now.Add(retryAfter << min(st.Attempt-st.Expired-1, 10))
		if s.Every > 0 {
			st.RetryAt = t.w.Now.Add(s.Every)
		}
		return
	}
	st.Stage = plan.Failed
}

// learn keeps what the recipe needs to know of an answer.
func (t *ticker) learn(s plan.Step, a action.Result) {
	m := &t.r.Made
	switch s.Action {
	case action.Refresh:
		if a.Outcome == action.Done {
			m.RefreshedFor = t.occasion().Start
		}
	case action.Install:
		t.learnInstall(s, a)
	case action.Repair:
		m.Repairs++
		t.blame(a)
	case action.Restore:
		m.Restores++
		t.blame(a)
	case action.Reboot:
		if a.Outcome == action.Done {
			t.r.Result.Reboots++
			t.say("agent/"+t.r.Name, history.Rebooted, s.ID, "the server is back after a reboot")
		}
	case action.Backup:
		if a.Outcome == action.Done {
			m.BackedFor = t.occasion().Start
		}
	case action.Observe, action.Download, action.Command, action.Check, action.Balance, action.Serving, action.HTTP, action.Query,
		action.Unit, action.Container, action.Playbook:
	}
	switch s.Action { //nolint:exhaustive // the others leave the server as it was
	case action.Install, action.Repair, action.Restore, action.Reboot:
		m.Unproved = m.Unproved || !a.DryRun && len(t.r.Policy.Health) > 0
	}
	switch st := t.r.Progress[s.ID]; {
	case st.Stage != plan.Failed && st.Stage != plan.Done:
	case s.Closing && st.Stage == plan.Failed:
		t.closed(s, reasonOf(a))
	case s.Closing:
		t.closed(s, "")
	case st.Stage == plan.Failed && givesUp(s.Action):
		t.r.Result.Failures = append(t.r.Result.Failures, action.Failure{Reason: fmt.Sprintf("%s: %s", deed(s), reasonOf(a))})
	}
}

// maxExpired is how often a step that brings something back is offered to a
// server that does not fetch it; each offer lies there for the step's timeout.
const maxExpired = 36

// closed takes in the end of a closing step: why is empty if it went well.
func (t *ticker) closed(s plan.Step, why string) {
	if why != "" {
		if s.Action == action.Command {
			why += ". What it was to bring back may still be down: a person must look, and run it on the server"
		}
		t.r.Result.Failures = append(t.r.Result.Failures, action.Failure{Reason: fmt.Sprintf("%s: %s", deed(s), why)})
	}
	left := false
	for o := range t.r.Plan.Root.All() {
		at := t.r.Progress[o.ID].Stage
		left = left || o.ID != s.ID && o.Action == s.Action && at != plan.Done && at != plan.Failed
	}
	switch {
	case left:
	case s.Action == action.Check:
		t.r.Made.Unproved = false
	default:
		t.r.Made.Entered = false
	}
}

// givesUp reports whether a run ends when an action has failed for good; the
// recipe has an answer to the failures of the others.
func givesUp(k action.Kind) bool {
	return k == action.Refresh || k == action.Download || k == action.Reboot || k == action.Backup || k == action.Command
}

func (t *ticker) learnInstall(s plan.Step, a action.Result) {
	m := &t.r.Made
	m.Repairs = 0
	if a.DryRun {
		t.pretended(s)
	}
	t.blame(a)
	changed := map[string]bool{}
	for _, c := range a.Changes {
		changed[c.Name] = true
	}
	for _, p := range s.Packages {
		if a.Outcome == action.Done || changed[p.Name] && m.Failed[p.Name] == "" {
			m.Settled[p.Name] = p.Version
		}
	}
	if a.Outcome == action.Done || len(a.Changes) > 0 || len(a.Failures) > 0 && a.Failures[0].Name != "" {
		m.Idle = 0
		return
	}
	// Nothing moved and nobody is to blame: once more perhaps, not for ever.
	m.Idle++
	if m.Idle > 1 || a.Outcome == action.Refused {
		for _, p := range s.Packages {
			t.fail(p.Name, reasonOf(a))
		}
	}
}

// pretended notes what a dry run would have installed.
func (t *ticker) pretended(s plan.Step) {
	t.r.Made.DryRun = true
	from := map[string]string{}
	if obs := t.w.Target.Observed; obs != nil {
		for _, p := range obs.Pending {
			from[p.Name] = p.From
		}
	}
	for _, p := range s.Packages {
		t.r.Result.Would = append(t.r.Result.Would, action.Change{Name: p.Name, From: from[p.Name], To: p.Version})
	}
}

// blame records the packages that an answer names as failed.
func (t *ticker) blame(a action.Result) {
	for _, f := range a.Failures {
		if f.Name != "" {
			t.fail(f.Name, f.Reason)
		}
	}
}

func (t *ticker) fail(name, reason string) {
	if t.r.Made.Failed[name] != "" {
		return
	}
	t.r.Made.Failed[name] = reason
	for _, c := range t.r.Result.Changes {
		if c.Name == name && t.r.Made.Before[name] == "" {
			t.r.Made.Before[name] = c.From
		}
	}
	t.r.Result.Failures = append(t.r.Result.Failures, action.Failure{Name: name, Reason: reason})
	t.say("agent/"+t.r.Name, history.PackageFailed, "", fmt.Sprintf("%s: %s", name, reason))
}

func reasonOf(a action.Result) string {
	if a.Reason != "" {
		return a.Reason
	}
	var parts []string
	for _, f := range a.Failures {
		parts = append(parts, strings.TrimPrefix(f.Name+": "+f.Reason, ": "))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

func changeWords(c action.Change) string {
	switch {
	case c.From == "":
		return fmt.Sprintf("%s %s newly installed", c.Name, c.To)
	case c.To == "":
		return fmt.Sprintf("%s %s removed", c.Name, c.From)
	}
	return fmt.Sprintf("%s %s → %s", c.Name, c.From, c.To)
}
