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
	"upkeep/internal/window"
)

// World is all that a tick knows of the world, read in one transaction.
type World struct {
	Now     time.Time
	Target  fleet.Target
	Freezes []window.Freeze
	Claims  map[string]string        // key → the other run that holds it
	Answers map[string]action.Result // order key → its answer, of this run's orders that have one
	Handed  map[string]time.Time     // order key → when the host may first have seen it, of those without an answer
}

// engineName is who acts when nobody asked for it.
const engineName = "engine"

// giveUpAfter is how long a host may stay silent beyond an order's timeout,
// counted from the first tick that noticed, before the run ends as failed.
const giveUpAfter = time.Hour

// retryAfter is the pause between attempts of a step that may be tried again;
// it doubles with each attempt.
const retryAfter = 10 * time.Second

// fetchedWithin is how soon a host that listens has fetched an order; one that
// has not is worth telling of.
const fetchedWithin = 30 * time.Second

// askAgain is how soon a run looks again at what others hold or know.
const askAgain = 15 * time.Second

// idleTick bounds how long a run goes unlooked at: nudges get lost.
const idleTick = 10 * time.Minute

// Tick moves a run as far as the world allows, and says what is to be done for
// it. It may be called at any time and as often as one likes: without a change
// in the world a second call starts nothing.
func Tick(r Run, w World) (Run, Next) {
	if r.State.Ended() {
		return r, Next{}
	}
	t := ticker{r: r.own(), w: w}
	if w.Target.ID == "" {
		t.end(Aborted, "the server was removed")
		return t.r, t.next
	}
	t.windows()
	t.collect()
	if t.quiet() && t.r.AbortedBy != "" {
		t.end(Aborted, "aborted by "+t.r.AbortedBy+t.advice())
		return t.r, t.next
	}
	if t.quiet() && t.occasion().IsZero() {
		t.windowOver()
		return t.r, t.next
	}
	if t.quiet() && t.mustReplan() {
		if !t.replan() {
			return t.r, t.next
		}
	}
	d := plan.Decide(t.r.Plan, t.r.Progress, t.world())
	for _, s := range d.Start {
		t.order(s)
	}
	t.settle(d)
	return t.r, t.next
}

type ticker struct {
	r    Run
	w    World
	next Next

	open, ahead window.Span // the open occurrence and the one after it
}

func (t *ticker) windows() {
	t.open, _ = t.r.Window.Current(t.w.Now)
	t.ahead, _ = t.r.Window.Next(t.w.Now)
}

// occasion is the occurrence that what starts now would be for.
func (t *ticker) occasion() window.Span {
	if !t.open.IsZero() {
		return t.open
	}
	return t.ahead
}

// quiet reports whether nothing is under way.
func (t *ticker) quiet() bool {
	for _, s := range t.r.Progress {
		if s.Stage == plan.Running {
			return false
		}
	}
	return true
}

// collect takes in the answers to what is under way.
func (t *ticker) collect() {
	for _, s := range t.r.Plan.Root.Steps() {
		st := t.r.Progress[s.ID]
		if st.Stage != plan.Running {
			continue
		}
		key := orderKey(t.r, s, st)
		answer, ok := t.w.Answers[key]
		switch {
		case ok:
			t.answered(s, st, key, answer)
		case t.w.Now.After(st.StartBy) || t.r.AbortedBy != "" || t.r.PausedBy != "":
			// It may still be lying there unseen. If the host has it, this
			// does nothing, and its answer is waited for.
			t.next.Withdraw = append(t.next.Withdraw, key)
			t.silent(s, st, key)
		default:
			t.silent(s, st, key)
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
	if t.w.Now.Before(t.r.Made.Silent.Add(giveUpAfter)) {
		return
	}
	st.Stage, st.Ended = plan.Failed, t.w.Now
	t.r.Progress[s.ID] = st
	why := fmt.Sprintf("%s was handed to %s at %s and has not been answered since: what became of it is unknown. Look at the server's console; if it is up, see that the agent runs and reaches us; then start a new run, which looks at the server before it touches it",
		s.Action, t.r.Name, handed.UTC().Format(time.RFC3339))
	t.r.Result.Failures = append(t.r.Result.Failures, action.Failure{Reason: why})
	t.say(engineName, history.StepEnded, s.ID, why)
}

// answered takes in one answer.
func (t *ticker) answered(s plan.Step, st plan.StepState, key string, a action.Result) {
	who := "agent/" + t.r.Name
	t.r.Made.Silent = time.Time{}
	st.Ended = t.w.Now
	if a.Outcome == action.Expired {
		// Nothing was done; the attempt does not count.
		st.Stage = plan.Todo
		st.Expired++
		t.r.Progress[s.ID] = st
		t.say(engineName, history.StepEnded, s.ID, fmt.Sprintf("%s was not begun in time and is taken back", s.Action))
		return
	}
	t.r.Made.LastOrder, t.r.Made.LastEnded, t.r.Made.LastSeen = key, t.w.Now, a.Observation != nil
	for _, c := range a.Changes {
		t.r.Result.Changes = append(t.r.Result.Changes, c)
		t.say(who, history.PackageSet, s.ID, changeWords(c))
	}
	if a.Outcome == action.Done {
		st.Stage = plan.Done
		t.next.Samples = append(t.next.Samples, Sample{Kind: s.Action, Sample: fleet.Sample{Units: max(1, len(s.Packages)), Took: a.Took()}})
		t.say(who, history.StepEnded, s.ID, fmt.Sprintf("%s done in %s", s.Action, plan.Round(a.Took())))
	} else {
		t.failedAttempt(s, &st, a)
	}
	t.r.Progress[s.ID] = st
	t.learn(s, a)
}

func (t *ticker) failedAttempt(s plan.Step, st *plan.StepState, a action.Result) {
	t.say("agent/"+t.r.Name, history.StepEnded, s.ID, fmt.Sprintf("%s %s: %s", s.Action, a.Outcome, reasonOf(a)))
	if st.Attempt-st.Expired < s.Attempts && a.Outcome != action.Refused {
		st.Stage = plan.Todo
		st.RetryAt = t.w.Now.Add(retryAfter << (st.Attempt - st.Expired - 1))
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
	case action.Observe, action.Download:
	}
	if st := t.r.Progress[s.ID]; st.Stage == plan.Failed && givesUp(s.Action) {
		t.r.Result.Failures = append(t.r.Result.Failures, action.Failure{Reason: fmt.Sprintf("%s: %s", s.Action, reasonOf(a))})
	}
}

// givesUp reports whether a run ends when an action has failed for good; the
// recipe has an answer to the failures of the others.
func givesUp(k action.Kind) bool {
	return k == action.Refresh || k == action.Download || k == action.Reboot
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

// mustReplan reports whether the recipe is to be asked again.
func (t *ticker) mustReplan() bool {
	if t.r.Plan.ID == "" {
		return true
	}
	over, broke := true, false
	for _, s := range t.r.Plan.Root.Steps() {
		switch t.r.Progress[s.ID].Stage {
		case plan.Failed:
			broke = true
		case plan.Done:
		default:
			over = false
		}
	}
	// Until lists may be fetched anew the plan stays: it shows what is left.
	return over || broke || t.mustRefresh() && t.mayPrepare() && t.r.Plan.Root.Steps()[0].Action != action.Refresh
}

// mayPrepare reports whether lists may be fetched now.
func (t *ticker) mayPrepare() bool {
	return !t.open.IsZero() || !t.ahead.IsZero() && !t.w.Now.Before(t.ahead.Start.Add(-t.r.Policy.Prepare))
}

// mustRefresh reports whether what is known of pending updates was learnt for
// an earlier occurrence.
func (t *ticker) mustRefresh() bool {
	at := t.occasion()
	return !at.IsZero() && !t.r.Made.RefreshedFor.Equal(at.Start)
}

func (t *ticker) view() plan.ServerView {
	m := t.r.Made
	return plan.ServerView{
		Target: t.w.Target, Policy: t.r.Policy, Refreshed: !t.mustRefresh(),
		Settled: m.Settled, Failed: m.Failed, Before: m.Before,
		DryRun: m.DryRun, Repairs: m.Repairs, Restores: m.Restores, Reboots: t.r.Result.Reboots,
	}
}

// replan asks the recipe for what is left. It returns false if the run ended.
func (t *ticker) replan() bool {
	for id, st := range t.r.Progress {
		if s, ok := t.r.Plan.Step(id); ok && st.Stage == plan.Failed && (givesUp(s.Action) || !t.r.Made.Silent.IsZero()) {
			t.end(Failed, t.lastFailure(string(s.Action)))
			return false
		}
	}
	if t.r.Made.LastOrder != "" && !t.observed() {
		// The recipe is asked only about fresh facts.
		return true
	}
	view := t.view()
	generation := t.r.Plan.Generation + 1
	root, why, ok := plan.Server(view, generation)
	if !ok {
		t.finish(why)
		return false
	}
	child := plan.Plan{
		ID: fmt.Sprintf("%s.%d", t.r.ID, generation), Parent: t.r.Plan.ID,
		Generation: generation, Made: t.w.Now, Why: why, Root: root,
	}
	if err := plan.Check(child, t.r.Plan); err != nil {
		t.end(Failed, err.Error())
		return false
	}
	t.r.Plan, t.r.Progress = child, plan.Progress{}
	t.say(engineName, history.PlanMade, "", why)
	return true
}

// lastFailure is the newest failure that is not a package's.
func (t *ticker) lastFailure(action string) string {
	for _, f := range slices.Backward(t.r.Result.Failures) {
		if f.Name == "" {
			return f.Reason
		}
	}
	return action + " failed for good"
}

// observed reports whether the server was looked at after the run's last
// order. The control plane never lets an older observation replace a newer
// one, so what came with the answer, or after it, tells at least of then. (It
// may name another run's order by now.)
func (t *ticker) observed() bool {
	obs, m := t.w.Target.Observed, t.r.Made
	if obs == nil {
		return false
	}
	return m.LastOrder == "" || m.LastSeen || obs.After == m.LastOrder || t.w.Target.ObservedAt.After(m.LastEnded)
}

// finish ends a run of which nothing is left to do.
func (t *ticker) finish(why string) {
	stuck := plan.Stuck(t.view())
	if t.r.Made.DryRun {
		stuck = nil
	}
	for _, name := range stuck {
		t.fail(name, "still pending after its installation")
	}
	res := &t.r.Result
	if len(res.Failures) > 0 || len(t.w.Target.Observed.HalfConfigured) > 0 {
		t.end(Failed, fmt.Sprintf("%s installed, %d failed", plan.Count(t.installed(), "package"), len(res.Failures))+t.advice())
		return
	}
	if t.r.Made.DryRun {
		t.end(Succeeded, fmt.Sprintf("dry run: %s would be installed; nothing was changed", plan.Count(len(res.Would), "package")))
		return
	}
	text := fmt.Sprintf("%s installed, 0 failed, %s", plan.Count(t.installed(), "package"), plan.Count(res.Reboots, "reboot"))
	if t.w.Target.Observed.RebootRequired {
		text += "; a reboot is required and was not made"
	}
	t.end(Succeeded, text)
}

// advice says in plain words what a person must do about what is left unsafe;
// empty if nothing is.
func (t *ticker) advice() string {
	obs := t.w.Target.Observed
	if obs == nil || len(obs.HalfConfigured) == 0 {
		return ""
	}
	return fmt.Sprintf("; %s stay half configured: on the server, look at the output of \"dpkg --configure -a\", mend the cause and run it again", strings.Join(obs.HalfConfigured, ", "))
}

// windowOver ends a run whose window never opens again. If its last step was
// just what was left to do, it has succeeded all the same.
func (t *ticker) windowOver() {
	view := t.view()
	view.Refreshed = !t.r.Made.RefreshedFor.IsZero()
	if _, why, more := plan.Server(view, t.r.Plan.Generation+1); !more && t.observed() {
		t.finish(why)
		return
	}
	for _, p := range plan.Wanted(view) {
		t.r.Result.Left = append(t.r.Result.Left, p.Name)
	}
	t.end(Failed, fmt.Sprintf("the window is over and does not open again; %s left", plan.Count(len(t.r.Result.Left), "package")))
}

// installed counts the packages that have another version than before the run
// and did not fail.
func (t *ticker) installed() int {
	first, last := map[string]string{}, map[string]string{}
	for _, c := range t.r.Result.Changes {
		if _, seen := first[c.Name]; !seen {
			first[c.Name] = c.From
		}
		last[c.Name] = c.To
	}
	n := 0
	for name, to := range last {
		if first[name] != to && t.r.Made.Failed[name] == "" {
			n++
		}
	}
	return n
}

func (t *ticker) end(s State, text string) {
	t.r.State, t.r.Finished, t.r.Waits, t.r.Holds = s, t.w.Now, nil, nil
	t.r.Result.Text = text
	t.say(engineName, history.RunEnded, "", fmt.Sprintf("%s: %s", s, text))
}

// world turns what the tick knows into what Decide asks for.
func (t *ticker) world() plan.World {
	return plan.World{
		Now: t.w.Now, Window: t.open, Length: t.r.Window.Duration, Next: t.ahead, Prepare: t.r.Policy.Prepare,
		Freezes: t.w.Freezes, Override: t.r.Override,
		NoticeLead: t.r.Policy.NoticeLead, NoticeAt: t.r.NoticeAt,
		ClaimKeys: t.r.ClaimKeys(), Claims: t.w.Claims,
		Known:      map[string]plan.Fact{plan.FactObserved: {Holds: t.observed(), Seen: t.w.Now}},
		LastAction: t.r.Made.LastEnded,
		PausedBy:   t.r.PausedBy, AbortedBy: t.r.AbortedBy,
	}
}

// order writes down that a step is to be done.
func (t *ticker) order(s plan.Start) {
	st := t.r.Progress[s.Step.ID]
	st.Stage, st.Attempt, st.Ordered, st.StartBy = plan.Running, s.Attempt, t.w.Now, s.StartBy
	if st.First.IsZero() {
		st.First = t.w.Now
	}
	t.r.Progress[s.Step.ID] = st
	if t.r.Started.IsZero() {
		t.r.Started = t.w.Now
	}
	if s.Step.Disrupts {
		t.r.Holds = t.r.ClaimKeys()
	}
	t.next.Orders = append(t.next.Orders, Order{StartBy: s.StartBy, Order: action.Order{
		Run: t.r.ID, Step: s.Step.ID, Attempt: s.Attempt, Target: s.Step.Target,
		Kind: s.Step.Action, Packages: s.Step.Packages, BootID: s.Step.BootID, Timeout: s.Step.Timeout,
	}})
	what := string(s.Step.Action)
	if n := len(s.Step.Packages); n > 0 {
		what += " of " + plan.Count(n, "package")
	}
	t.say(engineName, history.StepStarted, s.Step.ID, fmt.Sprintf("%s ordered, expected to take %s", what, plan.Round(s.Step.Estimate)))
}

// settle sets state, waits, claims and the next tick after a decision.
func (t *ticker) settle(d plan.Decision) {
	before := t.r.Waits
	t.r.Waits = d.Waits
	for i, w := range t.r.Waits {
		if t.unfetched(w.Step) && !t.w.Now.Before(w.Reason.Since.Add(fetchedWithin)) {
			t.r.Waits[i].Reason.Code = plan.NotFetched
		}
	}
	for _, s := range d.Start {
		t.r.Waits = append(t.r.Waits, plan.Wait{Step: s.Step.ID, Reason: plan.Reason{Code: plan.UnderWay, Since: t.w.Now, Until: t.w.Now.Add(s.Step.Timeout)}})
	}
	switch {
	case !t.quiet():
		t.r.State = Working
	case t.r.PausedBy != "":
		t.r.State = Paused
	default:
		t.r.State = Waiting
	}
	if t.r.State == Paused || t.r.State == Waiting && t.open.IsZero() {
		t.r.Holds = nil // nothing is under way, and nothing starts soon
	}
	if t.r.State == Waiting && len(d.Waits) > 0 && (len(before) == 0 || before[0].Reason.Code != d.Waits[0].Reason.Code) {
		t.say(engineName, history.RunWaiting, d.Waits[0].Step, "waits: "+d.Waits[0].Reason.Words("en", t.r.Window.Recurrence.Zone()))
	}
	t.next.Wake = t.wake()
}

// wake is the earliest instant at which the world could allow more than now.
func (t *ticker) wake() time.Time {
	at := t.w.Now.Add(idleTick)
	sooner := func(c time.Time) {
		if c.After(t.w.Now) && c.Before(at) {
			at = c
		}
	}
	sooner(t.open.End)
	for _, w := range t.r.Waits {
		sooner(w.Reason.Until)
		if w.Reason.Code == plan.Claimed || w.Reason.Code == plan.Stale {
			sooner(t.w.Now.Add(askAgain)) // nobody tells us when it is over
		}
	}
	for id, st := range t.r.Progress {
		if st.Stage == plan.Running {
			sooner(st.StartBy.Add(time.Millisecond))
		}
		if t.unfetched(id) {
			sooner(st.Ordered.Add(fetchedWithin))
			sooner(t.w.Now.Add(fetchedWithin))
		}
	}
	// A long wait for a window needs no look in between.
	if t.r.State == Waiting && len(t.r.Waits) > 0 && t.r.Waits[0].Reason.Code == plan.WindowClosed && !t.r.Waits[0].Reason.Until.IsZero() {
		return t.r.Waits[0].Reason.Until
	}
	return at
}

// unfetched reports whether a step was ordered and its host can't have seen the order.
func (t *ticker) unfetched(step string) bool {
	st := t.r.Progress[step]
	if st.Stage != plan.Running {
		return false
	}
	_, handed := t.w.Handed[orderKey(t.r, plan.Step{ID: step}, st)]
	return !handed
}

func (t *ticker) say(who string, kind history.Kind, step, text string) {
	t.next.Facts = append(t.next.Facts, t.r.fact(t.w.Now, who, kind, step, text))
}

func orderKey(r Run, s plan.Step, st plan.StepState) string {
	return action.Order{Run: r.ID, Step: s.ID, Attempt: st.Attempt}.Key()
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
