package plan

import (
	"fmt"
	"slices"

	"upkeep/internal/action"
	"upkeep/internal/fault"
)

// Limits of a plan: far above what a recipe makes, low enough that no plan
// stops the engine.
const (
	MaxSteps = 20_000
	maxDepth = 16
)

// Check is the second pair of eyes: it finds what no recipe may produce, by
// other means than the recipe used. parent is the current plan, the zero Plan
// if there is none. An error is our mistake, of kind internal.
func Check(p, parent Plan) error {
	c := checker{steps: map[string]bool{}, nodes: map[string]bool{}}
	switch {
	case p.ID == "":
		c.say("the plan has no id")
	case p.Parent != parent.ID:
		c.say("its parent is %q, current is %q", p.Parent, parent.ID)
	case p.Generation != parent.Generation+1:
		c.say("its generation is %d after %d", p.Generation, parent.Generation)
	}
	c.node(p.Root, 0)
	if len(c.steps) > MaxSteps {
		c.say("%d steps are more than %d", len(c.steps), MaxSteps)
	}
	if c.wrong != "" {
		return fault.Internal("check plan "+p.ID, fmt.Errorf("%s", c.wrong))
	}
	return nil
}

type checker struct {
	steps, nodes map[string]bool
	wrong        string // the first thing found
}

func (c *checker) say(format string, args ...any) {
	if c.wrong == "" {
		c.wrong = fmt.Sprintf(format, args...)
	}
}

func (c *checker) node(n Node, depth int) {
	switch {
	case n.ID == "":
		c.say("a node has no id")
	case c.nodes[n.ID]:
		c.say("two nodes are called %q", n.ID)
	case depth > maxDepth:
		c.say("it is deeper than %d", maxDepth)
		return
	}
	c.nodes[n.ID] = true
	switch n.Shape {
	case Leaf:
		if len(n.Children) > 0 {
			c.say("step %q has children", n.ID)
		}
		c.step(n.Step)
	case Sequence, Rolling:
		if len(n.Children) == 0 {
			c.say("%s %q is empty", n.Shape, n.ID)
		}
		if n.Shape == Rolling {
			c.rolling(n)
		}
		for _, child := range n.Children {
			c.node(child, depth+1)
		}
	default:
		c.say("node %q has the unknown shape %q", n.ID, n.Shape)
	}
}

func (c *checker) rolling(n Node) {
	members := map[string]bool{}
	for _, m := range n.Children {
		if m.Member == "" || members[m.Member] {
			c.say("rolling group %q has member %q twice or without a name", n.ID, m.Member)
		}
		members[m.Member] = true
	}
	if !slices.IsSortedFunc(n.Children, func(a, b Node) int { return a.Born.Compare(b.Born) }) {
		c.say("rolling group %q is not oldest first", n.ID)
	}
	switch l := n.Limits; {
	case l.MaxUnavailable < 1:
		c.say("rolling group %q may never start: maxUnavailable is %d", n.ID, l.MaxUnavailable)
	case l.Quorum < 0 || l.Quorum >= len(n.Children)+len(l.Others) && len(n.Children) > 0:
		c.say("rolling group %q can never spare a member: %d members, quorum %d", n.ID, len(n.Children)+len(l.Others), l.Quorum)
	}
}

func (c *checker) step(s Step) {
	switch {
	case s.ID == "" || c.steps[s.ID]:
		c.say("step %q stands twice or has no id", s.ID)
	case s.Target == "":
		c.say("step %q has no target", s.ID)
	case s.Action == "":
		c.say("step %q has no action", s.ID)
	case s.Closing && s.Action != action.Command && s.Action != action.Check && s.Phase != PhaseAwait && s.Phase != PhaseReady:
		c.say("step %q does %s and can bring nothing back", s.ID, s.Action)
	case s.Action.Names() != (s.Command != ""):
		c.say("step %q does %s with the command %q", s.ID, s.Action, s.Command)
	case s.Action.Disrupts() && !s.Disrupts && !s.DryRun:
		c.say("step %q does %s and is not marked as disrupting", s.ID, s.Action)
	case s.Estimate <= 0 || s.Timeout < s.Estimate:
		c.say("step %q has the estimate %v and the timeout %v", s.ID, s.Estimate, s.Timeout)
	case s.Attempts < 1:
		c.say("step %q may be tried %d times", s.ID, s.Attempts)
	}
	c.steps[s.ID] = true
	seen := map[string]bool{}
	for _, p := range s.Packages {
		if p.Name == "" || p.Version == "" || seen[p.Name] {
			c.say("step %q has package %q twice or without a version", s.ID, p.Name)
		}
		seen[p.Name] = true
	}
}
