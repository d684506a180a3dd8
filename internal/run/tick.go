package run

import (
	"fmt"
	"slices"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/evidence"
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
	Group   plan.Group               // the redundancy group of Target; zero: it is in none
	Claims  map[string]string        // key → who else holds it: a run's id, or a hold's
	Holders map[string]plan.Holder   // by that id: who it is
	Called  map[string]string        // what the keys of Claims are called, for people
	Within  []string                 // keys of the wholes that the run works within
	Down    map[string]string        // members of a service that are down for other reasons → why
	Duties  []plan.Duty              // services that need the server
	Answers map[string]action.Result // order key → its answer, of this run's orders that have one
	Users   evidence.Figures         // how the service of a runbook has answered its users, so far
	Handed  map[string]time.Time     // order key → when the host may first have seen it, of those without an answer
}

// engineName is who acts when nobody asked for it.
const engineName = "engine"

// fetchedWithin is how soon a host that listens has fetched an order; one that
// has not is worth telling of.
const fetchedWithin = 30 * time.Second

// askAgain is how soon a run looks again at what others hold or know.
const askAgain = 15 * time.Second

// askSeldom is the same where a whole group waits for a person.
const askSeldom = 2 * time.Minute

// idleTick bounds how long a run goes unlooked at: nudges get lost.
const idleTick = 10 * time.Minute

// pausedTick is the same while a run waits for a person, who nudges it.
const pausedTick = time.Hour

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
	if r.Book != nil {
		t.bookTick()
		return t.r, t.next
	}
	t.windows()
	t.collect()
	t.missedStart()
	if t.quiet() && !t.move() {
		return t.r, t.next
	}
	d := plan.Decide(t.r.Plan, t.r.Progress, t.world())
	if t.mustLeave(d) {
		if !t.leave() {
			return t.r, t.next
		}
		d = plan.Decide(t.r.Plan, t.r.Progress, t.world())
	}
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

	soon                time.Time   // when something of a runbook is to be looked at; zero: never
	open, ahead         window.Span // the open occurrence and the one after it
	slotOpen, slotAhead window.Span // and of the window that reboots have to themselves
}

func (t *ticker) windows() {
	t.open, _ = t.r.Window.Current(t.w.Now)
	t.ahead, _ = t.r.Window.Next(t.w.Now)
	t.slotOpen, _ = t.r.Policy.RebootWindow.Current(t.w.Now)
	t.slotAhead, _ = t.r.Policy.RebootWindow.Next(t.w.Now)
}

// occasion is the occurrence that what starts now would be for.
func (t *ticker) occasion() window.Span {
	if !t.open.IsZero() {
		return t.open
	}
	return t.ahead
}

// move brings the plan up to date, with nothing under way. It returns false if
// the run ended.
func (t *ticker) move() bool {
	switch {
	case t.leaving():
		return true
	case t.r.Made.Stop != "":
		return t.stopped()
	case t.r.AbortedBy != "":
		return t.stop(Aborted, "aborted by "+t.r.AbortedBy+t.advice())
	case t.neverAgain():
		return t.windowOver()
	case t.mustReplan():
		return t.replan()
	}
	return true
}

// neverAgain reports whether nothing more can be begun: the window does not
// open again, nor does the one that an outstanding reboot has to itself.
func (t *ticker) neverAgain() bool {
	if !t.occasion().IsZero() {
		return false
	}
	obs := t.w.Target.Observed
	reboot := t.r.Policy.Reboot == fleet.RebootOwnWindow && obs != nil && obs.RebootRequired
	return !reboot || t.slotOpen.IsZero() && t.slotAhead.IsZero()
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

// mustReplan reports whether the recipe is to be asked again.
func (t *ticker) mustReplan() bool {
	if t.r.Plan.ID == "" {
		return true
	}
	over, broke := true, false
	for s := range t.r.Plan.Root.All() {
		switch t.r.Progress[s.ID].Stage {
		case plan.Failed:
			broke = broke || !s.Closing
		case plan.Done:
		default:
			over = false
		}
	}
	// Until lists may be fetched anew the plan stays: it shows what is left.
	return over || broke || t.rebootDue() || t.mustRefresh() && t.mayPrepare() && t.r.Plan.Root.Steps()[0].Action != action.Refresh
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
	v := plan.ServerView{
		Target: t.w.Target, Policy: t.r.Policy, Refreshed: !t.mustRefresh() || t.rebootTime(),
		Settled: m.Settled, Failed: m.Failed, Before: m.Before,
		DryRun: m.DryRun, Repairs: m.Repairs, Restores: m.Restores, Reboots: t.r.Result.Reboots,
		Entered: m.Entered, BackedUp: !m.BackedFor.IsZero() && m.BackedFor.Equal(t.occasion().Start), Unproved: m.Unproved, Installed: t.r.Installed() > 0,
		Closed: t.occasion().IsZero(),
	}
	v.Postponed = t.postponed(v)
	return v
}

// postponed is the later occurrence that was picked for what is pending, if
// the policy lets updates wait; zero: they are installed in this one.
func (t *ticker) postponed(v plan.ServerView) window.Span {
	if t.r.Policy.Within == 0 || t.r.Override.By != "" || len(t.r.Made.Settled) > 0 {
		return window.Span{}
	}
	known, ok := plan.OldestWanted(v)
	if !ok {
		return window.Span{}
	}
	if known.IsZero() {
		known = t.w.Now
	}
	pick, ok := fleet.Pick(t.r.Target, t.r.Window, known, t.r.Policy.Within, t.w.Now)
	if !ok || !pick.Start.After(t.occasion().Start) {
		return window.Span{}
	}
	return pick
}

// replan asks the recipe for what is left. It returns false if the run ended.
func (t *ticker) replan() bool {
	for id, st := range t.r.Progress {
		if s, ok := t.r.Plan.Step(id); ok && st.Stage == plan.Failed && !s.Closing && (givesUp(s.Action) || !t.r.Made.Silent.IsZero()) {
			return t.stop(Failed, t.lastFailure(string(s.Action)))
		}
	}
	if t.r.Made.LastOrder != "" && !t.observed() {
		// The recipe is asked only about fresh facts.
		return true
	}
	view := t.view()
	view.Closed = view.Closed || t.rebootTime()
	root, why, ok := plan.Server(view, t.r.Plan.Generation+1)
	if !ok && t.rebootTime() {
		root, why, ok = plan.Server(t.view(), t.r.Plan.Generation+1) // what is left waits for the window
	}
	if !ok {
		return t.finish()
	}
	return t.adopt(root, why)
}

// rebootTime reports whether only the window that reboots have to themselves is open.
func (t *ticker) rebootTime() bool {
	return !t.slotOpen.IsZero() && t.open.IsZero() && !t.r.Made.RefreshedFor.IsZero()
}

// rebootDue reports whether it is, and a reboot is outstanding that the plan
// does not have: what it has waits for the other window.
func (t *ticker) rebootDue() bool {
	obs := t.w.Target.Observed
	if !t.rebootTime() || obs == nil || !obs.RebootRequired {
		return false
	}
	return !slices.ContainsFunc(t.r.Plan.Root.Steps(), func(s plan.Step) bool { return s.OwnSlot })
}

// adopt makes a tree the run's plan. It returns false if the run ended.
func (t *ticker) adopt(root plan.Node, why string) bool {
	generation := t.r.Plan.Generation + 1
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

// world turns what the tick knows into what Decide asks for.
func (t *ticker) world() plan.World {
	return plan.World{
		Now: t.w.Now, Window: t.open, Length: t.r.Window.Duration, Next: t.ahead, Prepare: t.r.Policy.Prepare,
		Slot: t.slotOpen, SlotLength: t.r.Policy.RebootWindow.Duration, SlotNext: t.slotAhead,
		Freezes: t.w.Freezes, Override: t.r.Override, MissedStart: t.skips(),
		NoticeLead: t.r.Policy.NoticeLead, NoticeAt: t.r.NoticeAt,
		ClaimKeys: t.free(), ClaimOne: t.r.GroupKeys(t.w.Group.Rules.Room()), Claims: t.w.Claims, Group: t.w.Group,
		Holders: t.w.Holders, Called: t.w.Called, Down: t.w.Down, Duties: t.duties(),
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
		t.hold()
	}
	// A repair or a restore may come first, and enters nothing by itself: what
	// the policy wants before an installation still comes before it.
	if p := t.r.Policy; s.Step.Disrupts && !s.Step.Closing &&
		(s.Step.Action == action.Command || len(p.Before) == 0 && len(p.After) > 0) {
		t.r.Made.Entered = true
	}
	t.next.Orders = append(t.next.Orders, Order{StartBy: s.StartBy, Here: s.Step.Here, Order: action.Order{
		Run: t.r.ID, Step: s.Step.ID, Attempt: s.Attempt, Target: s.Step.Target,
		Kind: s.Step.Action, Packages: s.Step.Packages, BootID: s.Step.BootID,
		Command: s.Step.Command, DryRun: s.Step.DryRun, With: s.Step.With, Timeout: s.Step.Timeout,
		Brief: t.r.Book != nil, // no runbook asks what packages there are
	}})
	if s.Step.Every > 0 && s.Attempt-st.Expired > 1 {
		return // its first attempt was told
	}
	what := deed(s.Step)
	if n := len(s.Step.Packages); n > 0 {
		what += " of " + plan.Count(n, "package")
	}
	t.say(engineName, history.StepStarted, s.Step.ID, fmt.Sprintf("%s ordered, expected to take %s", what, plan.Round(s.Step.Estimate)))
}

// deed is what a step does, in words.
func deed(s plan.Step) string {
	switch {
	case s.Title != "":
		return s.Title
	case s.Command != "":
		return fmt.Sprintf("%s %q", s.Action, s.Command)
	case s.DryRun:
		return "dry run of " + string(s.Action)
	}
	return string(s.Action)
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
	if !t.midway() && (t.r.State == Paused || t.r.State == Waiting && t.shut()) {
		t.r.Holds = nil // nothing is under way or to be brought back, and nothing starts soon
	}
	if t.r.State == Waiting && len(d.Waits) > 0 && t.r.worthTelling(d.Waits[0].Reason) && (len(before) == 0 || before[0].Reason.Code != d.Waits[0].Reason.Code) {
		t.say(engineName, history.RunWaiting, d.Waits[0].Step, "waits: "+d.Waits[0].Reason.Words("en", t.r.Window.Recurrence.Zone()))
	}
	t.next.Wake = t.wake()
}

// midway reports whether something is still to be brought back.
func (t *ticker) midway() bool {
	if t.r.Book != nil {
		return len(t.outside()) > 0
	}
	return t.r.Made.Entered
}

// worthTelling reports whether a reason to wait is told to others and belongs
// into the history: what a runbook looks at again within seconds does not.
func (r Run) worthTelling(why plan.Reason) bool {
	return r.Book == nil || why.Code != plan.Backoff && why.Code != plan.Stale && why.Code != plan.Stopped && why.What != plan.FactWatched
}

// Why is why nothing of the run is under way, for whoever waits for it; false:
// something is, it has ended, or it looks again within seconds.
func (r Run) Why() (why plan.Reason, ok bool) {
	if r.State != Waiting && r.State != Paused || len(r.Waits) == 0 {
		return plan.Reason{}, false
	}
	why = r.Waits[0].Reason
	return why, r.worthTelling(why)
}

// shut reports whether no window is open for what is left.
func (t *ticker) shut() bool {
	if t.open.IsZero() && t.slotOpen.IsZero() {
		return true
	}
	return len(t.r.Waits) > 0 && t.r.Waits[0].Reason.Code == plan.WindowClosed
}

// wake is the earliest instant at which the world could allow more than now.
func (t *ticker) wake() time.Time {
	at := t.w.Now.Add(idleTick)
	if t.r.State == Paused {
		at = t.w.Now.Add(pausedTick)
	}
	sooner := func(c time.Time) {
		if c.After(t.w.Now) && c.Before(at) {
			at = c
		}
	}
	sooner(t.open.End)
	sooner(t.slotOpen.End)
	sooner(t.soon)
	if t.mayMiss() {
		sooner(t.missedAt())
	}
	for _, w := range t.r.Waits {
		sooner(w.Reason.Until)
		switch w.Reason.Code { //nolint:exhaustive // of the others somebody tells us, or Until does
		case plan.Claimed, plan.Held, plan.Stale, plan.BudgetUsed, plan.QuorumAtRisk, plan.CanaryFirst:
			if t.r.PausedBy == "" && t.r.Halted() == "" {
				sooner(t.w.Now.Add(askAgain)) // nobody tells us when it is over
			}
		case plan.GroupStopped:
			sooner(t.w.Now.Add(askSeldom))
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
		at = t.r.Waits[0].Reason.Until
		if !t.ahead.IsZero() {
			sooner(t.ahead.Start.Add(-t.r.Policy.Prepare))
		}
		sooner(t.soon)
	}
	if obs := t.w.Target.Observed; obs != nil && obs.RebootRequired {
		sooner(t.slotAhead.Start)
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
