package run

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/evidence"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/plan"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

// Book is what a run of a runbook knows: the book and the service as they were
// when the run was opened, and how far each member is.
type Book struct {
	Runbook runbook.Book
	Params  map[string]string
	Service fleet.Service
	Hosts   map[string]string // member → the id of its server
	Manager string            // the id of the server that the service names as its manager; empty: no step is done there
	Only    string            // the one member that is maintained; empty: all that the runbook is for

	Opened    bool                 // what comes before the members is done
	Members   map[string]Member    // by name; one that is missing was not begun
	Proofs    map[string]Proved    // by fact: the newest answer
	Approvals map[string]string    // step → who has approved it
	Soaking   map[string]time.Time // step → since when it waits
	Changed   time.Time            // when we learnt of the last change that the run has made
	Halt      string               // why nothing more is begun until a person says resume; empty: it goes on

	Asking  bool              // the service is asked now what its users would ask
	Asked   time.Time         // since when, or when that was last begun; zero: never
	Outages []evidence.Outage // when which member was out, in order
	Spent   string            // what has used up the error budget; empty: it is not
	Renewed time.Time         // when a person last said resume: the error budget counts anew from then
}

// Member is how far a member is.
type Member struct {
	Out     bool      // it was taken out and is not back
	Did     bool      // something was done to it
	Through bool      // it is done with
	First   time.Time // when it was taken out, or last resumed
	Sure    bool      // a step that takes it out was begun, so it may really be out
	Worked  bool      // a step that does something to it was begun
	Half    bool      // it is put back before all that is to be done to it was done
	Done    []string  // what was done to it before it was put back so, by the steps' titles
}

// Proved is what became of a check that a step needs.
type Proved struct {
	Attempt int
	Asked   time.Time // when the newest attempt was ordered
	StartBy time.Time // it may not begin later
	Open    bool      // it has no answer yet
	Holds   bool
	Seen    time.Time // when the newest attempt that was answered had been ordered
	Why     string    // what it said, where it does not hold
}

// Halted is why the run begins nothing more until a person says resume, and
// what that person must do; empty if it goes on.
func (r Run) Halted() string {
	if r.Book == nil {
		return ""
	}
	return r.Book.Halt
}

func (b *Book) own() *Book {
	c := *b
	c.Outages = slices.Clone(b.Outages)
	c.Members, c.Proofs, c.Approvals, c.Soaking = clone(b.Members), clone(b.Proofs), clone(b.Approvals), clone(b.Soaking)
	return &c
}

// OpenBook makes a run of a runbook on a service. Invalid: the runbook wants
// values that the service does not have, a parameter is missing, or the window
// is too short for a single member.
func OpenBook(o Opening, b Book, given map[string]string, now time.Time) (Run, []history.Fact, error) {
	var err error
	if b.Params, err = b.Runbook.Values(given); err != nil {
		return Run{}, nil, err
	}
	r, facts := Open(o, now)
	r.Book = b.own()
	facts[0].Text = fmt.Sprintf("runbook %s on %s opened by %s", b.Runbook.Name, r.Name, r.By)
	if o.Reason != "" {
		facts[0].Text += ": " + o.Reason
	}
	// The plan is made once now, so that what it lacks is told to who asks.
	root, proofs, err := plan.Service(r.serviceView(o.Target.Pace), 1)
	if err == nil {
		err = plan.Check(plan.Plan{ID: r.ID + ".1", Generation: 1, Root: root, Proofs: proofs}, plan.Plan{})
	}
	if err == nil {
		err = fits(root, o.Window)
	}
	return r, facts, err
}

// fits refuses a window that is too short for a single member.
func fits(root plan.Node, w window.Window) error {
	for s := range root.All() {
		if need := s.Estimate + s.Tail + plan.Reaction; s.Disrupts && !s.Closing && need > w.Duration {
			return fault.Invalid("duration", "%s takes about %s with what must follow it, and the window has only %s", s.Title, plan.Round(need), plan.Round(w.Duration))
		}
	}
	return nil
}

func (r Run) serviceView(pace fleet.Pace) plan.ServiceView {
	v := plan.ServiceView{
		ID: r.Target, Name: r.Name, Service: r.Book.Service, Hosts: r.Book.Hosts, Manager: r.Book.Manager, Pace: pace,
		Book: r.Book.Runbook, Only: r.Book.Only, Params: r.Book.Params, Opened: r.Book.Opened,
		Out: map[string]bool{}, Did: map[string]bool{}, Through: map[string]bool{}, Done: map[string]bool{},
	}
	for name, m := range r.Book.Members {
		v.Out[name], v.Did[name], v.Through[name] = m.Out, m.Did, m.Through
		for _, title := range m.Done {
			v.Done[title] = true
		}
	}
	return v
}

// Approve lets a step begin that waits for a person's approval.
func (r Run) Approve(by, step string, now time.Time) (Run, []history.Fact, error) {
	if r.State.Ended() {
		return r, nil, fault.Conflict("run %s has ended: %s", r.ID, r.State)
	}
	s, ok := r.Plan.Step(step)
	if r.Book == nil || !ok || !slices.Contains(s.Needs, plan.FactApproved+step) {
		return r, nil, fault.NotFound("step that waits for an approval", step)
	}
	if r.Book.Approvals[step] != "" {
		return r, nil, nil
	}
	r.Book = r.Book.own()
	r.Book.Approvals[step] = by
	text := deed(s) + " approved"
	if s.Undo == plan.ForwardOnly {
		text += "; nothing leads back from there"
	}
	return r, []history.Fact{r.fact(now, by, history.StepApproved, step, text)}, nil
}

// takeUp lets a run that was halted go on where it was: what failed is tried
// again, and members that are out have their time anew.
func (r Run) takeUp(now time.Time) Run {
	r.Book, r.Progress = r.Book.own(), clone(r.Progress)
	r.Book.Halt, r.Book.Spent, r.Book.Renewed = "", "", now
	for id, st := range r.Progress {
		if st.Stage == plan.Failed {
			st.Stage, st.Expired, st.RetryAt = plan.Todo, st.Attempt, time.Time{}
			r.Progress[id] = st
		}
	}
	r.Made.Silent = time.Time{}
	for name, m := range r.Book.Members {
		if m.Out {
			m.First = now
			r.Book.Members[name] = m
		}
	}
	return r
}

// bookTick moves a run of a runbook.
func (t *ticker) bookTick() {
	t.windows()
	t.present()
	t.missedStart()
	t.collect()
	t.collectProofs()
	t.account()
	t.watch()
	t.takeBack()
	if t.quiet() && !t.moveBook() {
		return
	}
	d := plan.Decide(t.r.Plan, t.r.Progress, t.bookWorld())
	if t.mustPutBack(d) {
		if !t.planBook(true) {
			return
		}
		d = plan.Decide(t.r.Plan, t.r.Progress, t.bookWorld())
	}
	for _, s := range d.Start {
		t.orderBook(s)
	}
	t.see(d)
	proving := t.prove(d)
	t.settle(d)
	switch {
	case t.r.Book.Halt != "" && t.r.State == Waiting:
		t.r.State = Paused
	case proving && t.r.State == Waiting:
		t.r.State = Working
	}
}

// present notes that somebody was there when the window opened. What a runbook
// waits for after that, such as a proof, it says itself: no start was missed.
func (t *ticker) present() {
	if t.mayMiss() && t.w.Now.Before(t.missedAt()) {
		t.r.Made.BegunFor = t.open.Start
	}
}

// moveBook brings the plan up to date, with nothing under way. It returns
// false if the run ended.
func (t *ticker) moveBook() bool {
	stopping := t.r.Made.Stop != ""
	switch {
	case t.r.Plan.ID == "":
		return t.planBook(false)
	case stopping && t.leaving() && t.bringing():
		return true
	case stopping:
		return t.endBook(t.r.Made.StopState, t.r.Made.Stop+t.leftOut())
	case t.r.AbortedBy != "":
		return t.stopBook(Aborted, "aborted by "+t.r.AbortedBy)
	case t.broken() != "" || t.r.Book.Halt != "" && t.r.Book.Spent != "":
		return true // it is halted: a person says resume, or abort
	case t.throughPlan() && t.allThrough():
		return t.stopBook(Succeeded, fmt.Sprintf("%s through, at most %d out at once", plan.Count(len(t.r.Book.Mine()), "member"), max(t.r.Book.Runbook.MaxUnavailable, 1)))
	case t.throughPlan():
		return t.planBook(false) // what was put back early is taken up again
	case t.occasion().IsZero() && !t.leaving():
		return t.stopBook(Failed, fmt.Sprintf("the window is over and does not open again; %s left", plan.Count(t.left(), "member")))
	}
	return true
}

// planBook asks the recipe for what is left, or only for what is to be put
// back. It returns false if the run ended.
func (t *ticker) planBook(leave bool) bool {
	v := t.r.serviceView(t.w.Target.Pace)
	v.Leave = leave
	root, proofs, err := plan.Service(v, t.r.Plan.Generation+1)
	if err != nil {
		t.end(Failed, err.Error())
		return false
	}
	if len(root.Children) == 0 {
		return true
	}
	why := fmt.Sprintf("%s left of %d", plan.Count(t.left(), "member"), len(t.r.Book.Mine()))
	if leave {
		why = "what is out is put back"
	}
	if leave {
		t.keepDone()
	}
	if !t.adopt(root, why) {
		return false
	}
	t.r.Plan.Proofs, t.r.Book.Proofs = proofs, map[string]Proved{}
	return true
}

// keepDone notes, of members that are put back early, what was done to them:
// they are not through, and the next plan has only the rest.
func (t *ticker) keepDone() {
	for s := range t.r.Plan.Root.All() {
		m := t.r.Book.Members[s.Member]
		switch {
		case s.Phase != plan.PhaseDo || !m.Out:
			continue
		case t.r.Progress[s.ID].Stage == plan.Done:
			m.Done = append(slices.Clone(m.Done), s.Title)
		default:
			m.Half = true
		}
		t.r.Book.Members[s.Member] = m
	}
}

// stopBook ends the run, once the members that are out have been put back. It
// returns false if the run has ended already.
func (t *ticker) stopBook(s State, text string) bool {
	t.r.Made.Stop, t.r.Made.StopState = text, s
	if len(t.outside()) > 0 {
		return t.planBook(true)
	}
	if t.endBook(s, text) {
		t.r.Made.Stop = "" // it is not stopping: what was seen last may halt it
		return true
	}
	return false
}

// endBook ends the run, once it is known what its users saw. It returns false
// if it has ended.
func (t *ticker) endBook(s State, text string) bool {
	if t.lastFigures() {
		return true
	}
	t.end(s, text+t.usersWords())
	t.r.Book.Asking = false
	return false
}

// leftOut says in plain words what a person must do about members that are
// not back; empty if all are.
func (t *ticker) leftOut() string {
	out := t.outside()
	if len(out) == 0 {
		return ""
	}
	return fmt.Sprintf("; still out, and kept out because nothing proved them ready: %s. Look at each on its host, mend it, see that it answers, and put it back (the steps \"ready\" of the runbook %s)",
		strings.Join(out, ", "), t.r.Book.Runbook.Name)
}

// bringing reports whether any member is still being put back.
func (t *ticker) bringing() bool {
	todo, failed := map[string]bool{}, map[string]bool{}
	for s := range t.r.Plan.Root.All() {
		at := t.r.Progress[s.ID].Stage
		todo[s.Member] = todo[s.Member] || at != plan.Done
		failed[s.Member] = failed[s.Member] || at == plan.Failed
	}
	for name := range todo {
		if todo[name] && !failed[name] {
			return true
		}
	}
	return false
}

// outside lists the members that are out.
func (t *ticker) outside() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(t.r.Book.Members)) {
		if t.r.Book.Members[name].Out {
			out = append(out, name)
		}
	}
	return out
}

// Mine lists the members that the run maintains, in order.
func (b Book) Mine() []fleet.Member {
	return plan.ServiceView{Service: b.Service, Book: b.Runbook, Only: b.Only}.Mine()
}

// left counts the members that are not through.
func (t *ticker) left() int {
	n := len(t.r.Book.Mine())
	for _, m := range t.r.Book.Members {
		if m.Through {
			n--
		}
	}
	return n
}

func (t *ticker) allThrough() bool {
	for s := range t.r.Plan.Root.All() {
		if s.Phase == plan.PhaseAfter {
			return t.left() == 0
		}
	}
	return t.left() == 0 && len(t.r.serviceView(nil).After()) == 0
}

// throughPlan reports whether every step of the plan is done.
func (t *ticker) throughPlan() bool {
	for s := range t.r.Plan.Root.All() {
		if t.r.Progress[s.ID].Stage != plan.Done {
			return false
		}
	}
	return true
}

// broken is the step that failed for good; empty if none did.
func (t *ticker) broken() string {
	for s := range t.r.Plan.Root.All() {
		if t.r.Progress[s.ID].Stage == plan.Failed {
			return s.ID
		}
	}
	return ""
}

// orderBook orders a step, and keeps book of the member that it is about.
func (t *ticker) orderBook(s plan.Start) {
	if until := t.proved(s.Step); !until.IsZero() && until.Before(s.StartBy) {
		s.StartBy = until
	}
	// When the run gives a silent host up, the host may not begin it any more.
	if until := t.w.Now.Add(s.Step.Timeout + giveUpAfter); until.Before(s.StartBy) {
		s.StartBy = until
	}
	t.order(s)
	if s.Step.Member == "" || s.Step.Phase != plan.PhaseDrain && s.Step.Phase != plan.PhaseDo {
		return
	}
	m := t.r.Book.Members[s.Step.Member]
	if !m.Out {
		m.Out, m.First = true, t.w.Now
		t.takeOut(s.Step.Member)
	}
	m.Did = m.Did || s.Step.Phase == plan.PhaseDo
	t.r.Book.Members[s.Step.Member] = m
}

// notBegun takes back what was noted of a member when a step was ordered that
// was never begun.
func (t *ticker) notBegun(s plan.Step) {
	m, ok := t.r.Book.Members[s.Member]
	if !ok || s.Phase != plan.PhaseDrain && s.Phase != plan.PhaseDo {
		return
	}
	m.Out, m.Did = m.Sure, m.Worked
	for o := range t.r.Plan.Root.All() {
		if at := t.r.Progress[o.ID].Stage; o.Member != s.Member || at == plan.Todo || at == "" {
			continue
		}
		m.Out = m.Out || o.Phase == plan.PhaseDrain || o.Phase == plan.PhaseDo
		m.Did = m.Did || o.Phase == plan.PhaseDo
	}
	t.r.Book.Members[s.Member] = m
	if !m.Out && len(m.Done) == 0 {
		delete(t.r.Book.Members, s.Member)
		t.back(s.Member, true)
	}
}

// begun keeps that a step was begun which takes a member out or works on it,
// whatever became of it.
func (t *ticker) begun(s plan.Step) {
	m, ok := t.r.Book.Members[s.Member]
	if !ok || s.Phase != plan.PhaseDrain && s.Phase != plan.PhaseDo {
		return
	}
	m.Sure, m.Worked = true, m.Worked || s.Phase == plan.PhaseDo
	t.r.Book.Members[s.Member] = m
}

// account sees which members are back, and whether what comes before is done.
func (t *ticker) account() {
	undone, opened := map[string]bool{}, true
	for s := range t.r.Plan.Root.All() {
		done := t.r.Progress[s.ID].Stage == plan.Done
		undone[s.Member] = undone[s.Member] || !done
		opened = opened && (done || s.Phase != plan.PhaseBefore)
	}
	if t.r.Plan.ID != "" {
		t.r.Book.Opened = t.r.Book.Opened || opened
	}
	for name, m := range t.r.Book.Members {
		if m.Out && !undone[name] {
			took := t.w.Now.Sub(m.First)
			t.say(engineName, history.StepEnded, "", fmt.Sprintf("%s is back after %s", name, plan.Round(took)))
			t.r.Book.Members[name] = Member{Through: m.Did && !m.Half, Done: m.Done}
			t.back(name, false)
		}
	}
}

// watch halts the run when something failed for good, or a member takes longer
// than it may.
func (t *ticker) watch() {
	if t.r.Book.Halt != "" || t.r.Made.Stop != "" {
		return
	}
	t.spend()
	const what = ". Nothing more is begun. Look at it, mend it, then say resume: it goes on where it was; or abort"
	if id := t.broken(); id != "" {
		s, _ := t.r.Plan.Step(id)
		t.halt(id, fmt.Sprintf("%s failed: %s%s%s", deed(s), t.lastFailure("it"), t.kept(s), what))
		return
	}
	if spent := t.r.Book.Spent; spent != "" && len(t.outside()) == 0 && t.quiet() {
		t.halt("", fmt.Sprintf("the error budget is used up: %s; no other member is taken out%s", spent, what))
		return
	}
	budget := t.r.Book.Runbook.Budget
	for _, name := range t.outside() {
		m := t.r.Book.Members[name]
		if budget > 0 && t.w.Now.Sub(m.First) <= budget {
			t.again(m.First.Add(budget + time.Millisecond))
			continue
		}
		if budget > 0 {
			t.halt("", fmt.Sprintf("%s is out for %s, and its budget is %s%s", name, plan.Round(t.w.Now.Sub(m.First)), plan.Round(budget), what))
			return
		}
	}
}

// takeBack takes back what was ordered and nobody has fetched yet, once it may
// no longer begin: the run is halted, or a freeze was declared.
func (t *ticker) takeBack() {
	_, frozen := window.Frozen(t.w.Freezes, window.Span{Start: t.w.Now})
	frozen = frozen && !t.r.Override.Freeze
	for s := range t.r.Plan.Root.All() {
		st := t.r.Progress[s.ID]
		held := t.r.Book.Halt != "" || frozen && s.Disrupts
		if held && st.Stage == plan.Running && !s.Closing && t.unfetched(s.ID) {
			t.next.Withdraw = append(t.next.Withdraw, orderKey(t.r, *s, st))
		}
	}
}

// kept says that a member stays out of the balancer.
func (t *ticker) kept(s plan.Step) string {
	if t.r.Book.Members[s.Member].Out {
		return fmt.Sprintf("; %s stays out of service, and the others serve", s.Member)
	}
	return ""
}

func (t *ticker) halt(step, text string) {
	t.r.Book.Halt = text
	t.say(engineName, history.RunHalted, step, "halted: "+text)
}

// mustPutBack reports whether members that were taken out, and to whom nothing
// was done yet, are to be put back because nothing more starts in this window.
func (t *ticker) mustPutBack(d plan.Decision) bool {
	if len(d.Start) > 0 || len(d.Waits) == 0 || !t.quiet() || t.r.Made.Stop != "" || t.leaving() {
		return false
	}
	idle := false
	for _, m := range t.r.Book.Members {
		idle = idle || m.Out && !m.Did
	}
	switch d.Waits[0].Reason.Code { //nolint:exhaustive // the others are over soon, or a person sees to them
	case plan.WindowClosed, plan.DoesNotFit, plan.NeverFits, plan.Frozen, plan.NoNotice:
		return idle
	case plan.NotYet:
		return idle && d.Waits[0].Reason.What == plan.FactBudget
	}
	return false
}

// learnBook keeps what an answer to a runbook's step says.
func (t *ticker) learnBook(s plan.Step, a action.Result) {
	if s.Disrupts {
		t.r.Book.Changed = t.w.Now
	}
	t.begun(s)
	if t.r.Progress[s.ID].Stage == plan.Failed {
		t.r.Result.Failures = append(t.r.Result.Failures, action.Failure{Reason: reasonOf(a)})
	}
}
