package plan

import (
	"fmt"
	"slices"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
)

// ServerView is what the server recipe reads: the server, what is wanted of
// it, and what this run has done to it so far.
type ServerView struct {
	Target    fleet.Target
	Policy    fleet.Policy
	Refreshed bool              // the lists were fetched for the present occurrence
	Settled   map[string]string // package → version that this run installed
	Failed    map[string]string // package → why; not tried again in this run
	Before    map[string]string // package → version that a failed one had before
	DryRun    bool              // the host only says what it would do
	Repairs   int               // repairs tried since the last installation
	Restores  int               // restores tried in this run
	Reboots   int               // reboots made in this run
}

// Limits of one run on one server: what needs more is not an update but a fault.
const (
	maxRepairs  = 1
	maxRestores = 3
	maxReboots  = 5
	minTimeout  = 10 * time.Minute
	longTimeout = 2 * time.Hour // for what must not be cut off half done
)

// Server is the recipe of an update. It returns the root of the plan for what
// is left to do, and a sentence that says what it saw; ok is false when
// nothing is left that may be done. generation makes the steps' ids unique.
//
// It looks one round ahead only: after an installation, a repair or a reboot
// the server is looked at again and the recipe asked again, for only then is
// known what the round has changed.
func Server(v ServerView, generation int64) (root Node, why string, ok bool) {
	b := serverPlan{v: v, generation: generation}
	obs := v.Target.Observed
	switch {
	case obs == nil || !v.Refreshed:
		b.add(action.Refresh, 1, nil, "")
		return b.root(), "the package lists are to be fetched first", true
	case len(obs.HalfConfigured) > 0 && v.Repairs < maxRepairs:
		b.add(action.Repair, 1, nil, "")
		return b.root(), Count(len(obs.HalfConfigured), "package") + " half configured, to be repaired first", true
	case len(obs.HalfConfigured) > 0 && v.Restores < maxRestores && len(restorable(v)) > 0:
		back := restorable(v)
		b.add(action.Restore, len(back), back, "")
		return b.root(), Count(len(back), "failed package") + " to be put back to the former version", true
	case len(obs.HalfConfigured) > 0:
		// A reboot with half-configured packages may not come up again.
		return Node{}, "packages stay half configured; a person must look", false
	}
	if todo := Wanted(v); len(todo) > 0 {
		b.add(action.Download, len(todo), todo, "")
		for batch := range slices.Chunk(todo, v.Policy.Batch) {
			b.add(action.Install, len(batch), batch, "")
		}
		return b.root(), Count(len(todo), "package") + " to be installed", true
	}
	if obs.RebootRequired && !v.DryRun && v.Policy.Reboot == fleet.RebootIfRequired && v.Reboots < maxReboots {
		b.add(action.Reboot, 1, nil, obs.BootID)
		return b.root(), "nothing is pending and a reboot is required", true
	}
	return Node{}, "nothing is left to do", false
}

// Wanted lists what the policy wants installed and this run has not settled:
// security first, so that a short window does what matters most.
func Wanted(v ServerView) []action.Package {
	if v.Target.Observed == nil {
		return nil
	}
	var security, rest []action.Package
	for _, p := range v.Target.Observed.Pending {
		switch {
		case p.From == "": // it comes along as a dependency of what needs it
		case v.Policy.Scope == fleet.ScopeSecurity && !p.Security:
		case slices.Contains(v.Policy.Hold, p.Name) || slices.Contains(v.Target.Observed.Held, p.Name):
		case v.Failed[p.Name] != "":
		case v.Settled[p.Name] == p.To: // asked for once; Stuck tells of it
		case p.Security:
			security = append(security, action.Package{Name: p.Name, Version: p.To})
		default:
			rest = append(rest, action.Package{Name: p.Name, Version: p.To})
		}
	}
	return append(security, rest...)
}

// restorable lists the half-configured packages whose former version is known.
func restorable(v ServerView) []action.Package {
	var back []action.Package
	for _, name := range v.Target.Observed.HalfConfigured {
		if from := v.Before[name]; from != "" {
			back = append(back, action.Package{Name: name, Version: from})
		}
	}
	return back
}

// Stuck lists packages that are still pending at the version that this run
// has already installed: asking again would only turn in a circle.
func Stuck(v ServerView) []string {
	if v.Target.Observed == nil {
		return nil
	}
	var names []string
	for _, p := range v.Target.Observed.Pending {
		if v.Settled[p.Name] == p.To && p.To != "" {
			names = append(names, p.Name)
		}
	}
	return names
}

type serverPlan struct {
	v          ServerView
	generation int64
	nodes      []Node
}

func (b *serverPlan) root() Node {
	return Node{ID: fmt.Sprintf("g%d", b.generation), Shape: Sequence, Children: b.nodes}
}

func (b *serverPlan) add(kind action.Kind, units int, packages []action.Package, bootID string) {
	id := fmt.Sprintf("g%d-%d-%s", b.generation, len(b.nodes)+1, kind)
	est := b.v.Target.Pace.Estimate(kind, units, b.v.Policy.Expect)
	s := Step{
		ID: id, Target: b.v.Target.ID, Action: kind, Packages: packages, BootID: bootID,
		Disrupts: kind.Disrupts(), Estimate: est, Timeout: max(4*est, minTimeout), Attempts: 3, Undo: UndoNone,
	}
	switch kind {
	case action.Install, action.Repair, action.Restore:
		// dpkg is not cut off, and not tried over and over: what failed is
		// looked at and planned anew.
		s.Timeout, s.Attempts, s.Undo = max(4*est, longTimeout), 1, ForwardOnly
		s.Needs = []string{FactObserved}
	case action.Reboot:
		s.Attempts = 1
		s.Needs = []string{FactObserved}
	case action.Observe, action.Refresh, action.Download, action.Backup, action.Command, action.Check:
	}
	b.nodes = append(b.nodes, Node{ID: id + "-node", Shape: Leaf, Step: s})
}
