// Package plan decides WHAT may happen next, and gives a typed reason for
// everything that waits. Recipes make plans from what is observed; Decide reads
// a plan, how far it is, and the world; Check is the second pair of eyes that
// every plan passes before it becomes current. Nothing here does anything.
//
// A plan is a tree. Its leaves are steps, its inner nodes are sequences (one
// child after the other) or rolling groups (members, oldest first, never more
// than MaxUnavailable of them down). A plan never changes: when the world has
// changed, a child plan with the next generation replaces it.
package plan

import (
	"iter"
	"time"

	"upkeep/internal/action"
)

// Plan is what a maintenance consists of.
type Plan struct {
	ID         string
	Parent     string // the plan that this one replaces; empty for the first
	Generation int64  // 1 for the first, the parent's plus one for every other
	Made       time.Time
	Why        string // one sentence: what the recipe saw
	Root       Node
	Proofs     map[string]Proof // by fact: how what steps need is proved
}

// Shape says how a node's children are done.
type Shape string

// The shapes of nodes.
const (
	Leaf     Shape = "step"
	Sequence Shape = "sequence"
	Rolling  Shape = "rolling"
)

// Node is a step, a sequence or a rolling group.
type Node struct {
	ID       string
	Shape    Shape
	Step     Step   // of a leaf
	Children []Node // of a sequence or a rolling group
	Limits   Limits // of a rolling group

	// Member and Born are set on the children of a rolling group: which
	// target this child is about, and its age.
	Member string
	Born   time.Time
}

// Limits is what a rolling group may cost.
type Limits struct {
	MaxUnavailable int      // members that may be down at once, at least 1
	Quorum         int      // members that must stay up; 0: no more than MaxUnavailable asks
	Others         []string // members that nothing is done to, and that count all the same
}

// Undo is how a step can be taken back.
type Undo string

// The ways back.
const (
	UndoNone    Undo = "none"         // there is nothing to take back
	UndoReverse Undo = "reverse"      // its opposite takes it back
	UndoRestore Undo = "restore"      // from a copy made before
	ForwardOnly Undo = "forward-only" // only repair leads on
)

// Step is the smallest thing that is started.
type Step struct {
	ID       string // unique in its run, across all plans of it
	Target   string
	Action   action.Kind
	Packages []action.Package
	BootID   string            // for action.Reboot
	Command  string            // for action.Backup, action.Command and action.Check
	DryRun   bool              // the hand only says what it would do
	With     map[string]string // values of what a runbook wants done
	Here     bool              // the control plane's own hands do it
	Title    string            // what it is called, for people; empty: its action says it
	Pace     action.Kind       // where the target's pace keeps how long it took; empty: its action
	Member   string            // the member of a service that it is about; empty: none
	At       string            // the member on whose host it is done, or the manager; empty: none
	Phase    Phase             // of a runbook

	Disrupts bool
	Closing  bool          // it brings back what an earlier step took away, or looks whether all is well: it is done whatever forbids the rest
	OwnSlot  bool          // it may start in World.Slot only, not in the window
	Strict   bool          // if it fails, what comes after it is not done, though it is closing
	Tail     time.Duration // how long what must follow it inside the window is expected to take
	Estimate time.Duration // how long it is expected to take
	Timeout  time.Duration // after this long the hand gives up; never less than Estimate
	Attempts int           // how often it may be tried, at least 1
	Every    time.Duration // the pause between attempts; 0: one that grows
	Soak     time.Duration // how long after the step before it this one waits
	Undo     Undo

	// Needs are facts that must hold when it starts, known from after the
	// last action, such as FactObserved or "ready/NODE".
	Needs []string

	// Grace is how long the step is tried politely, counted from its first
	// attempt; afterwards it is started with Force. Zero: never forced.
	Grace time.Duration
}

// Phase is where in a runbook a step stands.
type Phase string

// The phases.
const (
	PhaseBefore Phase = "before"
	PhaseDrain  Phase = "drain"
	PhaseDo     Phase = "do"
	PhaseAwait  Phase = "await"
	PhaseReady  Phase = "ready"
	PhaseAfter  Phase = "after"
	PhaseProve  Phase = "prove"
)

// FactObserved holds when the target was looked at after the run's last action on it.
const FactObserved = "observed"

// Steps lists the tree's leaves in order.
func (n *Node) Steps() []Step {
	var all []Step
	n.walk(func(s *Step) bool {
		all = append(all, *s)
		return true
	})
	return all
}

// All yields the tree's leaves in order, without copying them.
func (n *Node) All() iter.Seq[*Step] {
	return func(yield func(*Step) bool) { n.walk(yield) }
}

// last is the id of the tree's last step.
func (n *Node) last() (id string) {
	for s := range n.All() {
		id = s.ID
	}
	return id
}

// walk calls f with each leaf's step in order, until it returns false. Steps
// are large, and trees are walked at every tick: nothing is copied.
func (n *Node) walk(f func(*Step) bool) bool {
	if n.Shape == Leaf {
		return f(&n.Step)
	}
	for i := range n.Children {
		if !n.Children[i].walk(f) {
			return false
		}
	}
	return true
}

// Step finds a leaf by its step's id.
func (p *Plan) Step(id string) (found Step, ok bool) {
	p.Root.walk(func(s *Step) bool {
		if ok = s.ID == id; ok {
			found = *s
		}
		return !ok
	})
	return found, ok
}

// Stage is how far a step is.
type Stage string

// The stages of a step.
const (
	Todo    Stage = "todo"
	Running Stage = "running" // ordered, no answer yet
	Done    Stage = "done"
	Failed  Stage = "failed" // for good: no attempts are left
)

// StepState is what has become of a step.
type StepState struct {
	Stage   Stage
	Attempt int       // the newest, from 1; 0: never tried
	Expired int       // attempts that were never begun; they do not count
	First   time.Time // when it was first tried
	Ordered time.Time // when the newest attempt was ordered
	StartBy time.Time // the newest attempt may not begin later than this
	Ended   time.Time
	RetryAt time.Time // in stage Todo: not to be tried before this
}

// Progress is what has become of the steps of a plan; a missing one is Todo.
type Progress map[string]StepState

func (p Progress) stage(id string) Stage {
	if s, ok := p[id]; ok && s.Stage != "" {
		return s.Stage
	}
	return Todo
}

// ended reports whether every step below n is done. A closing one that has
// failed is over too: what comes after it is to be brought back all the same.
func (p Progress) ended(n *Node) bool {
	return n.walk(p.over)
}

func (p Progress) over(s *Step) bool {
	at := p.stage(s.ID)
	return at == Done || at == Failed && s.Closing && !s.Strict
}

// begun reports whether any step below n was tried.
func (p Progress) begun(n *Node) bool {
	return !n.walk(func(s *Step) bool { return p.stage(s.ID) == Todo && p[s.ID].Attempt == 0 })
}
