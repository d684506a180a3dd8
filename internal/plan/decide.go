package plan

import (
	"slices"
	"strings"
	"time"

	"upkeep/internal/window"
)

// World is all that Decide knows about the world. A zero field is the careful
// answer: no window is open, nothing is announced, nothing is known.
type World struct {
	Now      time.Time
	Window   window.Span     // the open occurrence; zero: none is open
	Length   time.Duration   // of the window: no occurrence is longer
	Next     window.Span     // the occurrence after it; zero: there is none
	Prepare  time.Duration   // how long before Next what does not disrupt may start
	Freezes  []window.Freeze // those that can matter between Now and the windows' ends
	Override Override

	Slot       window.Span   // the open occurrence of the window that steps with OwnSlot have; zero: none is open
	SlotLength time.Duration // of that window
	SlotNext   window.Span   // its next occurrence; zero: there is none

	MissedStart bool // the occurrence's start was missed, and it is to be left alone

	NoticeLead time.Duration // 0: no notice is wanted
	NoticeAt   time.Time     // when the notice was published; zero: it was not

	ClaimKeys []string          // what a disruptive step must hold
	ClaimOne  []string          // of these it must hold one; empty: none is needed
	Claims    map[string]string // key → who else holds it
	Holders   map[string]Holder // by what Claims names: who it is
	Called    map[string]string // what keys are called, for people
	Duties    []Duty            // services that need the run's server
	Group     Group             // the redundancy group that the run's target is in

	Down       map[string]string // targets that are down for reasons not of this plan → why
	Known      map[string]Fact   // what steps may need
	LastAction time.Time         // what was learnt before it is stale

	PausedBy  string // nothing starts while set
	AbortedBy string // nothing starts once set
}

// Override is a named person's explicit, recorded "now".
type Override struct {
	By     string
	Freeze bool // freezes are overridden too
}

// Fact is something known of the world, and from when.
type Fact struct {
	Holds bool
	Seen  time.Time
}

// Start is a step that may start now.
type Start struct {
	Step    Step
	Attempt int
	Force   bool      // its grace is over
	StartBy time.Time // it may not begin later than this
}

// Decision is what may start, what waits and why, and whether anything is left.
type Decision struct {
	Start []Start
	Waits []Wait
	Done  bool   // every step is done
	Broke string // the step that failed for good; empty if none did
}

// Decide reads the plan and the world. The same input gives the same decision.
// The caller starts all of Decision.Start or none: the budgets are counted as
// if all were started.
func Decide(p Plan, done Progress, w World) Decision {
	d := decider{done: done, w: w}
	left := 0
	for s := range p.Root.All() {
		switch at := done.stage(s.ID); {
		case at == Failed && (!s.Closing || s.Strict) && d.out.Broke == "":
			d.out.Broke = s.ID
		case at != Done:
			left++
		}
	}
	d.out.Waits = make([]Wait, 0, left)
	d.node(&p.Root)
	if len(d.out.Waits) == 0 {
		d.out.Waits = nil // as it is stored
	}
	d.out.Done = done.ended(&p.Root)
	return d.out
}

type decider struct {
	done Progress
	w    World
	out  Decision
}

func (d *decider) node(n *Node) {
	switch n.Shape {
	case Leaf:
		d.step(n.Step)
	case Sequence:
		d.sequence(n)
	case Rolling:
		d.rolling(n)
	}
}

func (d *decider) sequence(n *Node) {
	for i := range n.Children {
		c := &n.Children[i]
		if d.done.ended(c) {
			continue
		}
		d.node(c)
		before := Reason{Code: After, By: c.last()}
		for j := range n.Children[i+1:] {
			d.wait(&n.Children[i+1+j], before)
		}
		return
	}
}

// rolling lets members in, oldest first, and in the plan's own order where
// ages are the same or not known. A member counts as down from its
// first step's start until its last step's end.
func (d *decider) rolling(n *Node) {
	members := make([]*Node, len(n.Children))
	for i := range n.Children {
		members[i] = &n.Children[i]
	}
	slices.SortStableFunc(members, func(a, b *Node) int { return a.Born.Compare(b.Born) })
	down := map[string]bool{}
	for _, name := range n.Limits.Others {
		if _, elsewhere := d.w.Down[name]; elsewhere {
			down[name] = true
		}
	}
	for _, m := range members {
		_, elsewhere := d.w.Down[m.Member]
		if elsewhere || d.done.begun(m) && !d.done.ended(m) {
			down[m.Member] = true
		}
	}
	held := ""
	for _, m := range members {
		switch {
		case d.done.ended(m):
		case d.done.begun(m):
			d.node(m)
		case held != "":
			d.wait(m, Reason{Code: After, By: held})
		default:
			held = d.admit(m, n, down)
		}
	}
}

// admit starts a member that has not begun, if the group can bear it. It
// returns the member's name if it has to wait: nobody overtakes it.
func (d *decider) admit(m, group *Node, down map[string]bool) string {
	after := len(down)
	if !down[m.Member] {
		after++ // a member that is down already costs nothing more
	}
	switch {
	case after > group.Limits.MaxUnavailable:
		d.wait(m, Reason{Code: BudgetUsed, By: names(down)})
		return m.Member
	case group.Limits.Quorum > 0 && len(group.Children)+len(group.Limits.Others)-after < group.Limits.Quorum:
		d.wait(m, Reason{Code: QuorumAtRisk, By: names(down)})
		return m.Member
	}
	before := len(d.out.Start)
	d.node(m)
	if len(d.out.Start) == before {
		return m.Member
	}
	down[m.Member] = true
	return ""
}

func (d *decider) step(s Step) {
	st := d.done[s.ID]
	switch d.done.stage(s.ID) {
	case Done, Failed:
		return
	case Running:
		code := UnderWay
		if d.w.Now.After(st.Ordered.Add(s.Timeout)) {
			code = Silent
		}
		d.out.Waits = append(d.out.Waits, Wait{s.ID, Reason{Code: code, Since: st.Ordered, Until: st.Ordered.Add(s.Timeout)}})
		return
	case Todo:
	}
	startBy, reason := d.mayStart(s, st)
	if reason.Code != "" {
		d.out.Waits = append(d.out.Waits, Wait{s.ID, reason})
		return
	}
	d.out.Start = append(d.out.Start, Start{
		Step:    s,
		Attempt: st.Attempt + 1,
		Force:   s.Grace > 0 && !st.First.IsZero() && !d.w.Now.Before(st.First.Add(s.Grace)),
		StartBy: startBy,
	})
}

// mayStart is the rules, one after the other: the first that forbids is the reason.
func (d *decider) mayStart(s Step, st StepState) (startBy time.Time, why Reason) {
	w := d.w
	if w.Now.Before(st.RetryAt) {
		return startBy, Reason{Code: Backoff, Until: st.RetryAt}
	}
	if s.Closing {
		return w.Now.Add(s.Timeout), Reason{}
	}
	switch {
	case w.AbortedBy != "":
		return startBy, Reason{Code: Aborting, By: w.AbortedBy}
	case w.PausedBy != "":
		return startBy, Reason{Code: Paused, By: w.PausedBy}
	case d.out.Broke != "":
		return startBy, Reason{Code: Stopped, By: d.out.Broke}
	}
	if s.Disrupts {
		startBy, why = d.mayDisrupt(s)
	} else {
		startBy, why = d.mayPrepare()
	}
	if why.Code != "" {
		return startBy, why
	}
	return startBy, d.lacks(s)
}

// lacks is which fact a step still needs. One that is known not to hold tells
// more than one of which too little is known.
func (d *decider) lacks(s Step) (why Reason) {
	for _, need := range s.Needs {
		f, known := d.w.Known[need]
		switch {
		case known && !f.Seen.Before(d.w.LastAction) && f.Holds:
		case known && !f.Seen.Before(d.w.LastAction):
			return Reason{Code: NotYet, What: need}
		case why.Code == "":
			why = Reason{Code: Stale, What: need}
		}
	}
	return why
}

// mayPrepare is for what does not disrupt: inside the window, or as early
// before it as the policy allows.
func (d *decider) mayPrepare() (time.Time, Reason) {
	w := d.w
	if w.Window.Contains(w.Now) {
		return w.Window.End, Reason{}
	}
	if !w.Next.IsZero() && w.Prepare > 0 && !w.Now.Before(w.Next.Start.Add(-w.Prepare)) {
		return w.Next.End, Reason{}
	}
	r := Reason{Code: WindowClosed, Until: w.Next.Start}
	if w.Prepare > 0 && !w.Next.IsZero() {
		r.Until = w.Next.Start.Add(-w.Prepare)
	}
	return time.Time{}, r
}

// Reaction is how long it may take from the opening of a window until what is
// ordered then has begun. What needs all but that of a window would be ordered,
// not begun in time and taken back, in one occurrence after the other.
const Reaction = 2 * time.Second

// mayDisrupt holds rules 1, 2, 3, 7, 8 and 9.
func (d *decider) mayDisrupt(s Step) (time.Time, Reason) {
	w := d.w
	open, length, next := w.Window, w.Length, w.Next
	if s.OwnSlot {
		open, length, next = w.Slot, w.SlotLength, w.SlotNext
	}
	need := s.Estimate + s.Tail
	switch {
	case need+Reaction > length:
		return time.Time{}, Reason{Code: NeverFits, Need: need + Reaction, Left: length}
	case !open.Contains(w.Now):
		return time.Time{}, Reason{Code: WindowClosed, Until: next.Start}
	case w.MissedStart && !s.OwnSlot:
		return time.Time{}, Reason{Code: MissedStart, Until: next.Start}
	}
	end := open.End
	if !w.Override.Freeze {
		if f, ok := window.Frozen(w.Freezes, window.Span{Start: w.Now, End: w.Now.Add(1)}); ok {
			return time.Time{}, Reason{Code: Frozen, By: f.Reason, Until: f.Span.End}
		}
		// What is under way when a freeze begins would have to be waited for,
		// so a freeze ahead ends the window early.
		for _, f := range w.Freezes {
			if f.Span.Start.After(w.Now) && f.Span.Start.Before(end) {
				end = f.Span.Start
			}
		}
	}
	startBy := end.Add(-need)
	if w.Now.After(startBy) {
		return time.Time{}, Reason{Code: DoesNotFit, Need: need, Left: end.Sub(w.Now), Until: next.Start}
	}
	if why := d.mayDisturb(); why.Code != "" {
		return time.Time{}, why
	}
	return startBy, Reason{}
}

// mayDisturb is about the others: those who must be told, those who work on
// the same thing, and those who would have to stand in.
func (d *decider) mayDisturb() Reason {
	w := d.w
	if w.NoticeLead > 0 && (w.NoticeAt.IsZero() || w.Now.Before(w.NoticeAt.Add(w.NoticeLead))) {
		r := Reason{Code: NoNotice}
		if !w.NoticeAt.IsZero() {
			r.Until = w.NoticeAt.Add(w.NoticeLead)
		}
		return r
	}
	for _, key := range w.ClaimKeys {
		if by, ok := w.Claims[key]; ok {
			return w.claimed(key, by)
		}
	}
	for _, duty := range w.Duties {
		if why := duty.mayDisturb(); why.Code != "" {
			return why
		}
	}
	if len(w.ClaimOne) == 0 {
		return Reason{}
	}
	if _, ok := w.FreeClaim(); !ok {
		return w.claimed(w.ClaimOne[0], w.Claims[w.ClaimOne[0]])
	}
	return w.Group.mayDisturb(w)
}

// claimed says who holds a key.
func (w World) claimed(key, by string) Reason {
	h := w.Holders[by]
	if h.By != "" {
		return Reason{Code: Held, By: h.By, Name: h.Reason, What: key, Thing: w.Called[key], Until: h.Until}
	}
	return Reason{Code: Claimed, By: by, Name: h.Name, What: key, Thing: w.Called[key]}
}

// FreeClaim is the first of ClaimOne that no other run holds.
func (w World) FreeClaim() (key string, ok bool) {
	for _, key := range w.ClaimOne {
		if _, taken := w.Claims[key]; !taken {
			return key, true
		}
	}
	return "", false
}

func (d *decider) wait(n *Node, r Reason) {
	for s := range n.All() {
		if d.done.stage(s.ID) == Todo {
			d.out.Waits = append(d.out.Waits, Wait{s.ID, r})
		}
	}
}

func names(set map[string]bool) string {
	all := make([]string, 0, len(set))
	for name := range set {
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
