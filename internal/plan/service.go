package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/runbook"
)

// ServiceView is what the service recipe reads.
type ServiceView struct {
	ID      string // the service's
	Name    string
	Service fleet.Service
	Hosts   map[string]string // member → the id of its server
	Manager string            // the id of the server that Service.Manager names
	Pace    fleet.Pace        // the service's own
	Book    runbook.Book
	Params  map[string]string
	Only    string // the one member that is maintained; empty: all that the runbook is for

	// Leave asks for what is left of members that are out, and nothing else:
	// those of whom something was done are put back when they are ready, the
	// others at once.
	Leave   bool
	Out     map[string]bool // members that were taken out and are not back
	Did     map[string]bool // members of whom something was done
	Through map[string]bool // members that are done with
	Done    map[string]bool // what was done to members that were put back before the rest, by the steps' titles
	Opened  bool            // what comes before the members is done
}

// Proof is a check that must hold, fresh, before a step.
type Proof struct {
	Step   Step
	Fresh  time.Duration // how old its answer may be
	Settle time.Duration // how long after the last change it begins to tell
}

// Service is the recipe of a runbook: once before, then member after member,
// then once after. It returns the root, and the proofs that steps need by the
// names of their facts. Invalid: a value that the service does not have.
func Service(v ServiceView, generation int64) (root Node, proofs map[string]Proof, err error) {
	b := bookPlan{v: v, generation: generation, proofs: map[string]Proof{}}
	root = Node{ID: b.id("all"), Shape: Sequence}
	if v.Leave {
		return b.leave(root), nil, b.err
	}
	b.all = Maintained(v.Service, v.Book)
	mine := v.Mine()
	b.check(mine)
	if b.err != nil {
		return root, nil, b.err
	}
	if !v.Opened {
		b.add(&root, v.once(v.Book.Before), nil, PhaseBefore)
	}
	root.Children = append(root.Children, b.batches(mine)...)
	b.add(&root, v.After(), nil, PhaseAfter)
	return root, b.proofs, b.err
}

// Maintained lists the members that a runbook is for, in the order in which it
// maintains them. Their ages are known only where age is the order.
func Maintained(s fleet.Service, book runbook.Book) []fleet.Member {
	var all []fleet.Member
	byAge := book.Order == runbook.ByAge || book.Order == runbook.Oldest
	for _, m := range s.Members {
		if book.Targets.Matches(m.Labels) {
			all = append(all, m)
			byAge = byAge && !m.Born.IsZero()
		}
	}
	if byAge {
		slices.SortStableFunc(all, func(a, b fleet.Member) int { return a.Born.Compare(b.Born) })
		return all
	}
	for i := range all {
		all[i].Born = time.Time{}
	}
	if book.Order == runbook.Reversed {
		slices.Reverse(all)
	}
	return all
}

// Mine lists the members that the run maintains, in order.
func (v ServiceView) Mine() []fleet.Member {
	return slices.DeleteFunc(Maintained(v.Service, v.Book), func(m fleet.Member) bool { return v.Only != "" && m.Name != v.Only })
}

// After is what is done once after the members.
func (v ServiceView) After() []runbook.Step { return v.once(v.Book.After) }

// once leaves out what changes the service as a whole where only one member is
// maintained: a schema must not be contracted while the others still need it.
func (v ServiceView) once(steps []runbook.Step) []runbook.Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s runbook.Step) bool { return v.Only != "" && s.Kind.Disrupts() })
}

// check refuses members that can't be maintained as the runbook says.
func (b *bookPlan) check(mine []fleet.Member) {
	budget := b.v.Book.ErrorBudget
	switch {
	case !budget.IsZero() && !budget.Optional && !b.v.Service.Probe.Asks():
		b.refuse("probe", "is needed: the runbook has an error budget, and without a probe nobody knows what users see")
	case len(b.all) == 0:
		b.refuse("members", "none of them has the labels that the runbook %s is for", b.v.Book.Name)
	case len(mine) == 0:
		b.refuse("only", "%q is no member that the runbook %s is for", b.v.Only, b.v.Book.Name)
	case b.v.Book.Order != runbook.Oldest:
	default:
		for _, m := range b.all {
			if m.Born.IsZero() {
				b.refuse("members", "the runbook wants the oldest first, and the ages (born) of some are not known")
			}
		}
	}
}

// batches are the members that are not through, as one rolling group for each
// batch of the runbook.
func (b *bookPlan) batches(mine []fleet.Member) (groups []Node) {
	begun := 0 // the newest batch of which a member is through: what is left of it follows without a pause
	for i, m := range mine {
		batch := b.v.Book.BatchOf(i)
		if b.v.Through[m.Name] {
			begun = batch
			continue
		}
		n, id := b.member(m), b.id("members", fmt.Sprint(batch+1))
		if len(groups) == 0 || groups[len(groups)-1].ID != id {
			groups = append(groups, Node{ID: id, Shape: Rolling, Limits: Limits{MaxUnavailable: max(b.v.Book.MaxUnavailable, 1)}})
			if batch > begun && b.v.Book.Pause > 0 && len(n.Children) > 0 {
				pause(&n.Children[0].Step, b.v.Book.Pause)
			}
		}
		g := &groups[len(groups)-1]
		g.Children = append(g.Children, n)
	}
	for i := range groups {
		groups[i].Limits.Quorum = b.v.Service.Quorum
		for _, m := range b.v.Service.Members {
			if !slices.ContainsFunc(groups[i].Children, func(n Node) bool { return n.Member == m.Name }) {
				groups[i].Limits.Others = append(groups[i].Limits.Others, m.Name)
			}
		}
	}
	return groups
}

// pause makes a step wait as one that soaks does. Nobody overtakes the first
// member of a batch, so its first step holds all of them; and its proofs are
// asked after the pause.
func pause(s *Step, d time.Duration) {
	s.Soak = max(s.Soak, d)
	if need := FactSoaked + s.ID; !slices.Contains(s.Needs, need) {
		s.Needs = slices.Insert(s.Needs, 0, need)
	}
}

type bookPlan struct {
	v          ServiceView
	generation int64
	proofs     map[string]Proof
	all        []fleet.Member // that the runbook is for, in order
	err        error
}

// refuse keeps the first thing that the service lacks, by its path there.
func (b *bookPlan) refuse(field, format string, args ...any) {
	if b.err == nil {
		b.err = fault.Invalid(field, format, args...)
	}
}

// lacks is where in the service a name such as member.url would stand.
func (b *bookPlan) lacks(name string, m *fleet.Member, p *fleet.Proxy) string {
	scope, key, _ := strings.Cut(name, ".")
	switch {
	case scope == "member" && m != nil:
		return "members." + m.Name + ".with." + key
	case scope == "proxy" && p != nil:
		return "proxies." + p.Name + ".with." + key
	case scope == "service":
		return "with." + key
	}
	return name
}

func (b *bookPlan) id(parts ...string) string {
	return fmt.Sprintf("g%d.%s", b.generation, strings.Join(parts, "."))
}

// add plans the steps of a phase below n.
func (b *bookPlan) add(n *Node, steps []runbook.Step, m *fleet.Member, phase Phase) {
	for _, s := range steps {
		n.Children = append(n.Children, b.steps(s, m, phase)...)
	}
}

// member is what is done with one member, as one child of the rolling group.
func (b *bookPlan) member(m fleet.Member) Node {
	n := Node{ID: b.id(m.Name), Shape: Sequence, Member: m.Name, Born: m.Born}
	book := b.v.Book.Member
	b.add(&n, book.Drain, &m, PhaseDrain)
	b.add(&n, book.Do, &m, PhaseDo)
	n.Children = slices.DeleteFunc(n.Children, func(c Node) bool { return b.v.Done[c.Step.Title] })
	if len(n.Children) == 0 {
		b.refuse("members", "there is nothing that the runbook does with %s: its steps are for others", m.Name)
		return n
	}
	b.watch(&n)
	n.Children[0].Step.Needs = append(n.Children[0].Step.Needs, b.prove(m)...)
	b.add(&n, book.Await, &m, PhaseAwait)
	b.add(&n, book.Ready, &m, PhaseReady)
	// A member that is taken out must have time to come back in the same window.
	var tail time.Duration
	for _, c := range slices.Backward(n.Children) {
		tail += c.Step.Soak + c.Step.Estimate
	}
	for i := range n.Children {
		tail -= n.Children[i].Step.Soak + n.Children[i].Step.Estimate
		if !n.Children[i].Step.Closing {
			n.Children[i].Step.Tail = tail
		}
	}
	return n
}

// watch lets a member be taken out only once the service's users are watched,
// and lets nothing be done to it once the error budget is used up.
func (b *bookPlan) watch(n *Node) {
	if !b.v.Service.Probe.Asks() {
		return
	}
	first := &n.Children[0].Step
	first.Needs = append(first.Needs, FactWatched)
	if b.v.Book.ErrorBudget.IsZero() {
		return
	}
	first.Needs = append(first.Needs, FactFigures)
	for i := range n.Children {
		// Once something was done to a member, the rest must be done too.
		if s := &n.Children[i].Step; s.Phase == PhaseDo {
			if first.Phase == PhaseDrain {
				s.Needs = append(s.Needs, FactBudget)
			}
			return
		}
	}
}

// leave has the members that are out put back, each by itself: one that does
// not become ready must not keep the others out. Their order does not matter.
func (b *bookPlan) leave(root Node) Node {
	root.Shape, root.Limits.MaxUnavailable = Rolling, len(b.v.Service.Members)
	for _, m := range b.v.Service.Members {
		n := Node{ID: b.id(m.Name), Shape: Sequence, Member: m.Name}
		if b.v.Did[m.Name] {
			b.add(&n, b.v.Book.Member.Await, &m, PhaseAwait)
		}
		b.add(&n, b.v.Book.Member.Ready, &m, PhaseReady)
		if b.v.Out[m.Name] && len(n.Children) > 0 {
			root.Children = append(root.Children, n)
		}
	}
	return root
}

// prove lists the facts that must hold before m is taken out.
func (b *bookPlan) prove(m fleet.Member) (facts []string) {
	for _, c := range b.v.Book.Prove {
		for _, n := range b.steps(c.Step, &m, PhaseProve) {
			fresh := c.Fresh
			if fresh == 0 {
				fresh = runbook.DefaultFresh
			}
			s := n.Step
			s.Attempts = 1
			b.proofs[s.ID] = Proof{Step: s, Fresh: fresh, Settle: c.Settle}
			facts = append(facts, s.ID)
		}
	}
	return facts
}

// steps are the leaves of one step of the book: one for each place where it is done.
func (b *bookPlan) steps(s runbook.Step, m *fleet.Member, phase Phase) (nodes []Node) {
	var path []string
	if m != nil {
		path = append(path, m.Name)
	}
	path = append(path, s.Name)
	defer func() {
		// A step at several places is approved once, and soaks once.
		if first := len(nodes) > 0; first && (s.Approval || s.NoReturn) {
			nodes[0].Step.Needs = append(nodes[0].Step.Needs, FactApproved+nodes[0].Step.ID)
		}
		if first := len(nodes) > 0; first && s.Soak > 0 {
			nodes[0].Step.Needs, nodes[0].Step.Soak = append(nodes[0].Step.Needs, FactSoaked+nodes[0].Step.ID), s.Soak
		}
	}()
	switch s.On {
	case runbook.Here, runbook.Self, runbook.Manager:
		return []Node{b.leaf(s, m, nil, phase, path)}
	case runbook.First, runbook.Last:
		one := b.all[0]
		if s.On == runbook.Last {
			one = b.all[len(b.all)-1]
		}
		return []Node{b.leaf(s, &one, nil, phase, append(path, one.Name))}
	case runbook.Proxies:
		if len(b.v.Service.Proxies) == 0 {
			b.refuse("proxies", "is empty: step %s of the runbook is done at the service's proxies", s.Name)
		}
		for _, p := range b.v.Service.Proxies {
			nodes = append(nodes, b.leaf(s, m, &p, phase, append(slices.Clone(path), p.Name)))
		}
	case runbook.Others, runbook.All:
		for _, o := range b.v.Service.Members {
			if s.On == runbook.All || m == nil || o.Name != m.Name {
				nodes = append(nodes, b.leaf(s, &o, nil, phase, append(slices.Clone(path), o.Name)))
			}
		}
	}
	return nodes
}

// host is where a step is done that a host's agent does: the server's id, and
// its name for people.
func (b *bookPlan) host(s runbook.Step, m *fleet.Member) (id, name string) {
	if s.On == runbook.Manager {
		if b.v.Manager == "" {
			b.refuse("manager", "is needed: step %s of the runbook is done on the host that the service names as its manager", s.Name)
		}
		return b.v.Manager, b.v.Service.Manager
	}
	if id = b.v.Hosts[m.Name]; id == "" {
		b.refuse("members."+m.Name+".server", "is needed: step %s is done on its host", s.Name)
	}
	return id, m.Name
}

// leaf is one step at one place: at m, at p, or here. path makes its id.
func (b *bookPlan) leaf(s runbook.Step, m *fleet.Member, p *fleet.Proxy, phase Phase, path []string) Node {
	names := runbook.Names{"param": b.v.Params, "service": named(b.v.Service.With, b.v.Name)}
	if m != nil {
		names["member"] = named(m.With, m.Name)
	}
	if p != nil {
		names["proxy"] = named(p.With, p.Name)
	}
	with, missing := names.Fill(s)
	if missing != "" {
		b.refuse(b.lacks(missing, m, p), "is missing: step %s of the runbook asks for {{%s}}", s.Name, missing)
	}
	target, at := b.v.ID, ""
	if s.Kind.OnHost() {
		target, at = b.host(s, m)
	}
	pace := fleet.StepPace(b.v.Book.Name, s.Name)
	est := s.Estimate
	if est == 0 {
		est = b.v.Pace.Estimate(s.Kind, 1, nil)
	}
	timeout := s.Timeout
	if timeout == 0 {
		timeout = max(4*est, runbook.Patience(s.Kind, with)+minBookTimeout)
	}
	if len(b.v.Pace[pace]) > 0 {
		est = min(b.v.Pace.Estimate(pace, 1, nil), timeout)
	}
	st := Step{
		ID: b.id(path...), Target: target, Action: s.Kind, Command: s.Command, With: with, Here: !s.Kind.OnHost(), At: at,
		Disrupts: s.Kind.Disrupts(), Estimate: est, Timeout: timeout, Attempts: attempts(s), Every: bookRetry, Undo: UndoNone,
		Title: strings.Join(path, " "), Phase: phase, Pace: pace,
	}
	switch {
	case phase == PhaseAwait || phase == PhaseReady:
		st.Closing, st.Strict = true, true
	case s.NoReturn:
		st.Undo = ForwardOnly
	case s.Rollback != runbook.Unsaid:
		st.Undo = Undo(s.Rollback) // the words are the same
	case phase == PhaseDrain && st.Disrupts:
		st.Undo = UndoReverse
	}
	if phase != PhaseBefore && phase != PhaseAfter {
		st.Member = path[0]
	}
	return Node{ID: st.ID + ".node", Shape: Leaf, Step: st}
}

// The facts that persons, time and users make.
const (
	FactWatched  = "watched"      // the service has been asked for some seconds, to compare with
	FactFigures  = "figures"      // it is known how the service answers now, and the error budget is not used up
	FactBudget   = "error-budget" // the error budget is not known to be used up
	FactApproved = "approved/"    // and the step's id
	FactSoaked   = "soaked/"      // and the step's id
)

// How steps of runbooks are tried.
const (
	minBookTimeout = time.Minute
	bookRetry      = 2 * time.Second
	lookAttempts   = 60 // two minutes and more, for what only looks
)

func attempts(s runbook.Step) int {
	switch {
	case s.Attempts > 0:
		return s.Attempts
	case s.Kind.OnHost() && s.Kind != action.Check:
		return 1 // nobody knows whether it may be done twice
	case s.Kind == action.Balance:
		return lookAttempts // setting a state again changes nothing; sessions take their time to end
	}
	return lookAttempts
}

func named(with map[string]string, name string) map[string]string {
	all := maps.Clone(with)
	if all == nil {
		all = map[string]string{}
	}
	if all["name"] == "" {
		all["name"] = name
	}
	return all
}
