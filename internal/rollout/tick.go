package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

// engineName is who acts when nobody asked for it.
const engineName = "engine"

// idleTick bounds how long a rollout goes unlooked at: nudges get lost.
const idleTick = 10 * time.Minute

// askAgain is how soon it looks again at what others hold.
const askAgain = time.Minute

// Tick moves a rollout as far as the world allows, and says what is to be done
// for it. It may be called at any time and as often as one likes: without a
// change in the world a second call starts nothing.
func Tick(r Rollout, w World) (Rollout, Next) { return tick(r, w, idleTick) }

// tick is Tick that is to be called again after idle at the latest. Forecasts
// pretend a world in which no nudge gets lost, so they need fewer of them.
func tick(r Rollout, w World, idle time.Duration) (Rollout, Next) {
	if r.State.Ended() {
		return r, Next{}
	}
	t := ticker{r: r.own(), w: w, next: Next{Wake: w.Now.Add(idle)}}
	t.r.Waits = nil
	for _, name := range slices.Sorted(maps.Keys(t.r.Standings)) {
		t.collect(name)
	}
	t.steer()
	if t.r.AbortedBy != "" {
		t.abort()
		return t.r, t.next
	}
	for _, e := range w.Train.Train.Environments {
		t.advance(e)
	}
	t.finish()
	if len(t.next.Facts) > 0 && !t.r.State.Ended() {
		t.sooner(w.Now) // what has come of it may let others go on that were looked at before
	}
	return t.r, t.next
}

type ticker struct {
	r      Rollout
	w      World
	next   Next
	opened bool // it has opened the one run that it may open
}

// collect takes in how runs and gates of an environment have ended.
func (t *ticker) collect(name string) {
	st := t.r.Standings[name]
	st.Halted = ""
	for _, phase := range slices.Sorted(maps.Keys(st.Phases)) {
		p := st.Phases[phase]
		if p.Stage != plan.Running {
			continue
		}
		r, ok := t.w.Runs[p.Run]
		switch {
		case ok && !r.State.Ended():
			st.Halted = r.Halted()
			continue
		case ok && r.State == run.Succeeded:
			p.Stage, p.Ended = plan.Done, r.Finished
			t.say(history.RolloutPhase, "%s: phase %s is done: %s", name, phase, r.Result.Text)
		default:
			p.Stage, p.Ended = plan.Failed, t.w.Now
			st.Failed = fmt.Sprintf("phase %s: run %s is gone", phase, p.Run)
			if ok {
				st.Failed = fmt.Sprintf("phase %s: run %s %s: %s", phase, p.Run, r.State, r.Result.Text)
			}
			t.failed(name, st.Failed)
		}
		st.Phases[phase] = p
	}
	for _, gate := range slices.Sorted(maps.Keys(st.Gates)) {
		t.collectGate(name, &st, gate)
	}
	t.r.Standings[name] = st
}

// failed tells what has failed, and what that means.
func (t *ticker) failed(env, why string) {
	what := ". Nothing more is begun in any environment until it is mended and a person says retry"
	if t.r.AbortedBy != "" {
		what = ""
	}
	t.say(history.RolloutFailed, "%s: %s%s", env, why, what)
}

// steer tells runs that are under way to stop and go on as the rollout does.
func (t *ticker) steer() {
	for _, name := range slices.Sorted(maps.Keys(t.r.Standings)) {
		st := t.r.Standings[name]
		running := st.running()
		for _, id := range slices.Sorted(maps.Keys(running)) {
			r, ok := t.w.Runs[id]
			if !ok || r.State.Ended() {
				continue
			}
			held := t.r.PausedBy != "" || t.w.Release.Veto != nil && st.Pinning == ""
			switch {
			case t.r.AbortedBy != "" && r.AbortedBy == "":
				t.next.Moves = append(t.next.Moves, Move{Run: id, Verb: AbortRun, By: t.r.AbortedBy})
			case t.r.AbortedBy != "":
			case held && r.PausedBy == "":
				t.next.Moves = append(t.next.Moves, Move{Run: id, Verb: PauseRun, By: t.r.who()})
			case !held && r.PausedBy == t.r.who() && r.Halted() == "":
				t.next.Moves = append(t.next.Moves, Move{Run: id, Verb: ResumeRun, By: t.r.who()})
			}
		}
	}
}

// abort ends the rollout once none of its runs is under way.
func (t *ticker) abort() {
	if len(t.r.OpenRuns()) > 0 {
		return
	}
	var has []string
	for _, e := range t.w.Train.Train.Environments {
		st := t.r.Standings[e.Name]
		switch {
		case st.Begun:
			has = append(has, fmt.Sprintf("%s was begun and is not proved good: look at it, and bring it to one release", e.Name))
		case !st.SoakFrom.IsZero():
			has = append(has, e.Name+" has it")
		default:
			has = append(has, e.Name+" was not touched")
		}
	}
	t.end(Aborted, fmt.Sprintf("aborted by %s; %s", t.r.AbortedBy, strings.Join(has, "; ")))
}

// finish ends the rollout when the release has soaked everywhere.
func (t *ticker) finish() {
	for _, e := range t.w.Train.Train.Environments {
		if st := t.r.Standings[e.Name]; st.Soaked.IsZero() || len(st.Pins) > 0 {
			t.r.State = Active
			if t.r.PausedBy != "" {
				t.r.State = Paused
			}
			return
		}
	}
	t.end(Succeeded, fmt.Sprintf("release %s has soaked in %s", t.r.Version, plan.Count(len(t.w.Train.Train.Environments), "environment")))
}

func (t *ticker) end(s State, text string) {
	t.r.State, t.r.Finished, t.r.Text, t.r.Waits = s, t.w.Now, text, nil
	t.say(history.RolloutEnded, "%s: %s", s, text)
	t.next.Wake = time.Time{}
}

// advance moves one environment.
func (t *ticker) advance(e Environment) {
	st := t.r.Standings[e.Name].own()
	defer func() { t.r.Standings[e.Name] = st }()
	st.Region = e.Region
	for c, d := range st.Pins {
		if t.w.Release.Release.Digests[c] == d {
			delete(st.Pins, c) // the release has it too now
		}
	}
	t.r.Standings[e.Name] = st
	due, does, pinned := t.due(e, &st)
	switch {
	case len(st.phasesRunning()) > 0:
		st.Stage = Working
		t.underWay(e, st)
	case st.Failed != "":
		st.Stage = Failed
		t.wait(e, Reason{Code: FailedThere, By: e.Name, What: st.Failed})
	case pinned:
		t.work(e, &st, due, does, t.mayPin(e, st))
	case due.Name != "":
		if !t.promoted(e, &st) {
			st.Stage = Waiting
			return
		}
		t.work(e, &st, due, does, t.mayGoOn(e))
	default:
		t.prove(e, &st)
	}
}

// due is the first phase that is not done with the values that are wanted now;
// nameless if all are. pinned tells that a person has ordered it by a pin,
// which is only for phases that were begun and bring the pinned component.
func (t *ticker) due(e Environment, st *Standing) (first Phase, does work, pinned bool) {
	v := t.r.values(t.w, e)
	pinned = st.Pinning != ""
	for _, p := range t.w.Train.Train.PhasesOf(e) {
		does := v.work(p.Service, p.Runbook, p.Params)
		was := st.Phases[p.Name]
		if was.Stage == plan.Done && was.Wanted == does.text() || pinned && (was.Attempt == 0 || does.digests[st.Pinning] == "") {
			continue
		}
		// What has failed is not tried again until a person says so.
		if was.Stage == plan.Failed && st.Failed == "" && (!pinned || was.Wanted == does.text()) {
			st.Failed = fmt.Sprintf("phase %s failed, in run %s", p.Name, was.Run)
		}
		return p, does, pinned
	}
	if pinned { // what the pin asked for is done
		st.Pinning, st.PinnedBy, st.Now = "", "", false
		return t.due(e, st)
	}
	return Phase{}, work{}, false
}

// underWay says which run is waited for.
func (t *ticker) underWay(e Environment, st Standing) {
	if st.Pinning == "" {
		t.wait(e, t.held()...)
	}
	if st.Halted != "" {
		t.wait(e, Reason{Code: HaltedThere, By: e.Name, What: st.Halted})
		return
	}
	for _, name := range st.phasesRunning() {
		t.wait(e, t.runReason(st.Phases[name].Run, "phase "+name))
	}
}

// runReason says of a run that it is under way, or what it waits for itself. A
// pause that the rollout has handed on to it is told as the rollout's.
func (t *ticker) runReason(id, what string) Reason {
	r := t.w.Runs[id]
	why, waits := r.Why()
	if !waits || r.PausedBy == t.r.who() {
		return Reason{Code: RunUnderWay, By: id, What: what}
	}
	why.Since, why.Until = why.Since.UTC(), why.Until.UTC() // as they are stored
	return Reason{Code: RunWaits, By: id, What: what, Until: why.Until, Run: why}
}

func (s Standing) phasesRunning() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Phases)) {
		if s.Phases[name].Stage == plan.Running {
			names = append(names, name)
		}
	}
	return names
}

// promoted reports whether the release may be brought into an environment by
// the plan of that hash. What was allowed once is allowed until the plan changes.
func (t *ticker) promoted(e Environment, st *Standing) bool {
	if st.Granted != "" {
		if st.Granted == t.hash(e) {
			return true
		}
		st.Granted = ""
		t.say(history.RolloutWaiting, "%s: the plan has changed; it must be allowed anew", e.Name)
	}
	st.SoakFrom, st.Soaked = time.Time{}, time.Time{}
	if reasons := t.mayBegin(e, *st); len(reasons) > 0 {
		t.wait(e, reasons...)
		return false
	}
	hash := t.hash(e)
	if !t.gatesBefore(e, st, hash) {
		return false
	}
	st.Granted = hash
	t.say(history.RolloutPromoted, "%s: release %s is promoted, by plan %s%s", e.Name, t.r.Version, hash, approvers(*st, hash))
	return true
}

// hash is that of the environment's plan. It is made only where it matters: it
// costs more than all the rest of a tick.
func (t *ticker) hash(e Environment) string { return t.r.PlanOf(t.w, e).Hash }

func approvers(st Standing, hash string) string {
	var who []string
	for _, a := range st.Approvals {
		if a.Plan == hash {
			who = append(who, a.By)
		}
	}
	if len(who) == 0 {
		return ""
	}
	return ", approved by " + strings.Join(who, ", ")
}

// mayBegin lists why the release may not be brought into an environment yet.
func (t *ticker) mayBegin(e Environment, st Standing) []Reason {
	why := t.mayGoOn(e)
	if n := len(why); n > 0 && (why[n-1].Code == NotSoaked || why[n-1].Code == OtherDigests) {
		return why // it is not its turn: the rest will be told then
	}
	for _, i := range t.w.Release.Release.before(e.Name) {
		if ack, ok := t.r.Acks[i.ID]; !ok || ack.Text != i.Text || i.Veto && ack.Reason == "" {
			why = append(why, Reason{Code: IssueOpen, By: i.ID, What: i.Text})
		}
	}
	from := e.Runs
	if has := t.w.Train.Installed[e.Name].Version; has != "" {
		from = has
	}
	if refused := t.w.Train.Train.Catalogue.Refuses(from, t.r.Version); refused != "" {
		why = append(why, Reason{Code: PathRefused, What: refused})
	}
	have := 0
	for _, a := range st.Approvals {
		if a.Plan == t.hash(e) {
			have++
		}
	}
	if have < e.Approvals {
		why = append(why, Reason{Code: NotApproved, Have: have, Need: e.Approvals})
	}
	return why
}

// held lists what holds the whole rollout.
func (t *ticker) held() (why []Reason) {
	if t.r.PausedBy != "" {
		why = append(why, Reason{Code: PausedBy, By: t.r.PausedBy})
	}
	if v := t.w.Release.Veto; v != nil {
		why = append(why, Reason{Code: Vetoed, By: v.By, What: v.Reason})
	}
	return why
}

// mayGoOn lists why nothing of the release may be begun in an environment now,
// be it the first thing or the next.
func (t *ticker) mayGoOn(e Environment) []Reason {
	why := t.held()
	if e.After != "" {
		parent, _ := t.w.Train.Train.Environment(e.After)
		st := t.r.Standings[e.After]
		switch {
		case st.Soaked.IsZero() && !st.SoakFrom.IsZero():
			return append(why, Reason{Code: NotSoaked, By: e.After, Until: st.SoakFrom.Add(parent.Soak)})
		case st.Soaked.IsZero():
			return append(why, Reason{Code: NotSoaked, By: e.After})
		case len(st.Pins) > 0:
			return append(why, Reason{Code: OtherDigests, By: e.After})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.r.Standings)) {
		switch st := t.r.Standings[name]; {
		case name == e.Name:
		case st.Failed != "":
			why = append(why, Reason{Code: FailedThere, By: name, What: st.Failed})
		case st.Halted != "":
			why = append(why, Reason{Code: HaltedThere, By: name, What: st.Halted})
		}
	}
	return append(why, t.mayTouch(e)...)
}

// mayPin lists why what a person has ordered by a pin may not be begun yet.
func (t *ticker) mayPin(e Environment, st Standing) (why []Reason) {
	if t.r.PausedBy != "" {
		why = append(why, Reason{Code: PausedBy, By: t.r.PausedBy})
	}
	if !st.Now {
		why = append(why, t.mayTouch(e)...)
	}
	return why
}

// mayTouch lists why an environment may not be touched now, by whatever.
func (t *ticker) mayTouch(e Environment) (why []Reason) {
	if w := e.Window; !w.Recurrence.IsZero() {
		if _, open := w.Current(t.w.Now); !open {
			next, _ := w.Next(t.w.Now)
			why = append(why, Reason{Code: WindowClosed, Until: next.Start})
		}
	}
	if f, frozen := window.Frozen(t.w.Freezes[t.r.project(e)], window.Span{Start: t.w.Now, End: t.w.Now}); frozen {
		why = append(why, Reason{Code: Frozen, What: f.Reason, Until: f.Span.End})
	}
	for _, at := range t.otherRegions(e) {
		why = append(why, Reason{Code: RegionBusy, By: at})
	}
	return why
}

// otherRegions are those at work that a region waits for. One that was begun
// goes on, but for a person's pin elsewhere; and if a pin has made two, the
// first of the train goes first.
func (t *ticker) otherRegions(e Environment) (busy []string) {
	if !e.Region {
		return nil
	}
	begun := t.r.Standings[e.Name].Begun
	if !begun {
		busy = slices.Clone(t.w.Elsewhere)
	}
	before := true
	for _, o := range t.w.Train.Train.Environments {
		st := t.r.Standings[o.Name]
		if o.Name == e.Name {
			before = false
		} else if st.Region && st.Begun && (!begun || st.Pinning != "" || before) {
			busy = append(busy, t.r.at(o.Name))
		}
	}
	return busy
}

// work opens the run of the phase that is due, unless something forbids it.
func (t *ticker) work(e Environment, st *Standing, p Phase, does work, why []Reason) {
	st.Stage = Working
	if !st.Begun {
		st.Stage = Waiting
	}
	if len(why) > 0 {
		t.wait(e, why...)
		return
	}
	was := st.Phases[p.Name]
	w := e.Window
	if w.Recurrence.IsZero() || st.Now {
		w = always(t.w.Now)
	}
	o := run.Opening{Window: w, Claims: t.regionOf(e, does), Reason: fmt.Sprintf("release %s, environment %s, phase %s", t.r.Version, e.Name, p.Name)}
	if st.Now {
		o.Override = plan.Override{By: st.PinnedBy, Freeze: true}
	}
	id, ok := t.open(e, st, does, o)
	if !ok {
		return
	}
	st.Phases[p.Name] = PhaseState{
		Stage: plan.Running, Attempt: was.Attempt + 1, Run: id, Wanted: does.text(), Digests: does.digests, Opened: t.w.Now,
	}
	st.Stage, st.Begun, st.SoakFrom, st.Soaked, st.Broke = Working, true, time.Time{}, time.Time{}, false
	t.say(history.RolloutPhase, "%s: phase %s begins: %s", e.Name, p.Name, does.text())
	t.wait(e, Reason{Code: RunUnderWay, By: id, What: "phase " + p.Name})
}

// regionOf is what who works at a region claims, whole: the region that the
// service's label names, or else the one that is called as the environment.
func (t *ticker) regionOf(e Environment, does work) []string {
	if !e.Region {
		return nil
	}
	project := t.r.project(e)
	name := fleet.ClaimRegion + "/" + t.w.Services[project+"/"+does.service].Target.Labels[fleet.ClaimRegion]
	if fleet.ValidClaim(fleet.ClaimRegion, name) != nil {
		name = fleet.ClaimRegion + "/" + e.Name
	}
	return []string{run.NameKey(project, name)}
}

// open opens the one run that a tick may open. What can't be opened fails the
// environment; what is in the way is waited for.
func (t *ticker) open(e Environment, st *Standing, does work, o run.Opening) (id string, ok bool) {
	project := t.r.project(e)
	s, found := t.w.Services[project+"/"+does.service]
	switch {
	case t.opened:
		t.sooner(t.w.Now)
		t.wait(e, Reason{Code: RunUnderWay, By: "opening", What: "another environment"})
		return "", false
	case found && s.Busy != "":
		t.sooner(t.w.Now.Add(askAgain))
		t.wait(e, Reason{Code: ServiceBusy, By: s.Busy, What: does.service})
		return "", false
	}
	o.ID, o.Target, o.By, o.Policy = t.w.ID, s.Target, t.r.who(), fleet.DefaultPolicy()
	r, facts, err := t.bookRun(project, does, s, found, o)
	if err != nil {
		st.Stage, st.Failed = Failed, "its run can't be opened: "+err.Error()
		t.failed(e.Name, st.Failed)
		t.wait(e, Reason{Code: CantOpen, What: err.Error()})
		return "", false
	}
	r.Rollout = t.r.ID
	t.next.Runs, t.next.Facts = append(t.next.Runs, r), append(t.next.Facts, facts...)
	t.opened = true
	return r.ID, true
}

func (t *ticker) bookRun(project string, does work, s Service, found bool, o run.Opening) (run.Run, []history.Fact, error) {
	book, known := t.w.Books[project+"/"+does.book]
	switch {
	case does.missing != "":
		return run.Run{}, nil, fault.Invalid(does.missing, "nothing fills {{%s}}", does.missing)
	case !found:
		return run.Run{}, nil, fault.NotFound("service in project "+project, does.service)
	case s.Lacks != "":
		return run.Run{}, nil, fault.Invalid("service", "%s", s.Lacks)
	case !known:
		return run.Run{}, nil, fault.NotFound("runbook in project "+project, does.book)
	case s.Claims[does.book].Lacks != "":
		return run.Run{}, nil, fault.Invalid("claims", "%s", s.Claims[does.book].Lacks)
	}
	for _, key := range s.Claims[does.book].Keys {
		if !slices.Contains(o.Claims, key) {
			o.Claims = append(o.Claims, key)
		}
	}
	b := run.Book{Runbook: book, Service: *s.Target.Service, Hosts: s.Hosts}
	if book.Uses(runbook.Manager) { // else it is nothing to hold
		b.Manager = s.Manager
	}
	r, facts, err := run.OpenBook(o, b, does.params, t.w.Now)
	if err == nil {
		err = r.Offered(s.Seen)
	}
	return r, facts, err
}

// always is a window that is open from now on.
func always(now time.Time) window.Window {
	r, _ := window.ParseRRule("DTSTART:" + now.UTC().Format("20060102T150405Z") + " RRULE:FREQ=DAILY")
	return window.Window{Recurrence: r, Duration: window.MaxDuration}
}

func (t *ticker) wait(e Environment, why ...Reason) {
	for _, r := range why {
		r.Until = r.Until.UTC() // as it is stored, so that what has not changed is the same
		t.r.Waits = append(t.r.Waits, Wait{Environment: e.Name, Reason: r})
		t.sooner(r.Until)
	}
}

// sooner has the rollout woken by then; a time that was is now.
func (t *ticker) sooner(at time.Time) {
	if at.IsZero() {
		return
	}
	if at.Before(t.w.Now) {
		at = t.w.Now.Add(askAgain)
	}
	if at.Before(t.next.Wake) {
		t.next.Wake = at
	}
}

func (t *ticker) say(kind history.Kind, format string, args ...any) {
	t.next.Facts = append(t.next.Facts, t.r.fact(t.w.Now, engineName, kind, fmt.Sprintf(format, args...)))
}
