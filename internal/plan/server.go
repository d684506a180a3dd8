package plan

import (
	"fmt"
	"slices"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/window"
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

	Entered   bool        // the policy's Before commands were begun and its After commands are due
	BackedUp  bool        // the policy's backup was made for this occurrence
	Unproved  bool        // something was changed since the health was last checked
	Installed bool        // this run has installed something
	Leave     bool        // nothing new may be begun: only what is to be brought back is left
	Closed    bool        // the window never opens again; only a reboot's own may
	Postponed window.Span // the occurrence that was picked, if it is a later one
}

// Limits of one run on one server: what needs more is not an update but a fault.
const (
	maxRepairs  = 1
	maxRestores = 3
	maxReboots  = 5
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
	if v.Leave {
		return b.leave()
	}
	switch {
	case obs == nil || !v.Refreshed:
		b.add(action.Refresh, 1, nil, "")
		return b.root(), "the package lists are to be fetched first", true
	case v.Policy.DryRun:
		// It changes nothing, not even what is half done.
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
	if todo := Wanted(v); len(todo) > 0 && v.Postponed.IsZero() && !v.Closed {
		return b.install(todo), Count(len(todo), "package") + " to be installed", true
	}
	if wantsReboot(v) {
		b.enter(b.cost(action.Reboot, 1), v.Policy.Reboot == fleet.RebootOwnWindow)
		b.add(action.Reboot, 1, nil, obs.BootID)
		return b.root(), "nothing is pending and a reboot is " + rebootWhy(v), true
	}
	if root, why, ok := b.leave(); ok {
		return root, why, true
	}
	return Node{}, "nothing is left to do", false
}

// wantsReboot reports whether the server is to be restarted now.
func wantsReboot(v ServerView) bool {
	if v.DryRun || v.Policy.DryRun || v.Reboots >= maxReboots {
		return false
	}
	switch v.Policy.Reboot {
	case fleet.RebootAlways:
		return v.Target.Observed.RebootRequired || v.Installed && v.Reboots == 0
	case fleet.RebootIfRequired, fleet.RebootOwnWindow:
		return v.Target.Observed.RebootRequired
	case fleet.RebootNever:
	}
	return false
}

func rebootWhy(v ServerView) string {
	if v.Target.Observed.RebootRequired {
		return "required"
	}
	return "wanted after every update"
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
		case v.Policy.Holds(p.Name) || slices.Contains(v.Target.Observed.Held, p.Name):
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

// OldestWanted is since when the longest known of the wanted updates is known;
// zero if that is not known of any, false if none is wanted.
func OldestWanted(v ServerView) (known time.Time, any bool) {
	wanted := map[string]bool{}
	for _, p := range Wanted(v) {
		wanted[p.Name] = true
	}
	if v.Target.Observed == nil {
		return known, false
	}
	for _, p := range v.Target.Observed.Pending {
		at := v.Target.Seen.Known(p)
		if wanted[p.Name] && !at.IsZero() && (known.IsZero() || at.Before(known)) {
			known = at
		}
	}
	return known, len(wanted) > 0
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

// install plans one round of installations, and what the policy wants before
// the first of them.
func (b *serverPlan) install(todo []action.Package) Node {
	if !b.v.Policy.DryRun {
		b.add(action.Download, len(todo), todo, "")
		if b.v.Policy.Backup != "" && !b.v.BackedUp {
			b.command(action.Backup, b.v.Policy.Backup)
		}
		b.enter(b.cost(action.Install, min(len(todo), b.v.Policy.Batch)), false)
	}
	for batch := range slices.Chunk(todo, b.v.Policy.Batch) {
		b.add(action.Install, len(batch), batch, "")
	}
	return b.root()
}

// enter plans the commands that come before the first disruption, which will
// take need: they are begun only if that fits too.
func (b *serverPlan) enter(need time.Duration, ownSlot bool) {
	if b.v.Entered {
		return
	}
	before := b.v.Policy.Before
	for i, name := range before {
		s := b.command(action.Command, name)
		s.OwnSlot = ownSlot
		s.Tail = time.Duration(len(before)-1-i)*s.Estimate + need + b.tail()
	}
}

// leave plans what is to be brought back, and looked at, when nothing more is
// to be installed.
func (b *serverPlan) leave() (root Node, why string, ok bool) {
	p := b.v.Policy
	if b.v.Entered {
		for _, name := range p.After {
			b.command(action.Command, name).Closing = true
		}
	}
	if b.v.Unproved {
		for _, name := range p.Health {
			b.command(action.Check, name).Closing = true
		}
	}
	if len(b.nodes) == 0 {
		return Node{}, "nothing is left to do", false
	}
	return b.root(), Count(len(b.nodes), "command") + " left: to bring back what was taken away, and to look whether all is well", true
}

// tail is how long leave is expected to take.
func (b *serverPlan) tail() time.Duration {
	p := b.v.Policy
	return time.Duration(len(p.After))*b.cost(action.Command, 1) + time.Duration(len(p.Health))*b.cost(action.Check, 1)
}

func (b *serverPlan) cost(kind action.Kind, units int) time.Duration {
	return b.v.Target.Pace.Estimate(kind, units, b.v.Policy.Expect)
}

// command plans one of the host's named commands. What is returned may be
// changed until the next one is planned.
func (b *serverPlan) command(kind action.Kind, name string) *Step {
	b.add(kind, 1, nil, "")
	s := &b.nodes[len(b.nodes)-1].Step
	s.Command = name
	return s
}

// Attempts of what may be repeated.
const (
	tries       = 3
	checkTries  = 6 // a service needs its time to come up: the pauses between add up to five minutes
	singleTry   = 1
	minTimeout  = 10 * time.Minute
	longTimeout = 2 * time.Hour // for what must not be cut off half done
)

func (b *serverPlan) add(kind action.Kind, units int, packages []action.Package, bootID string) {
	id := fmt.Sprintf("g%d-%d-%s", b.generation, len(b.nodes)+1, kind)
	est := b.cost(kind, units)
	s := Step{
		ID: id, Target: b.v.Target.ID, Action: kind, Packages: packages, BootID: bootID,
		Disrupts: kind.Disrupts(), Estimate: est, Timeout: max(4*est, minTimeout), Attempts: tries, Undo: UndoNone,
	}
	switch kind {
	case action.Install, action.Repair, action.Restore:
		// dpkg is not cut off, and not tried over and over: what failed is
		// looked at and planned anew.
		s.Timeout, s.Attempts, s.Undo = max(4*est, longTimeout), singleTry, ForwardOnly
		s.Needs = []string{FactObserved}
		s.Tail = b.tail()
		if kind == action.Install && b.v.Policy.DryRun {
			s.DryRun, s.Disrupts, s.Undo, s.Tail = true, false, UndoNone, 0
		}
	case action.Reboot:
		s.Attempts = singleTry
		s.Needs = []string{FactObserved}
		s.Tail = b.tail()
		s.OwnSlot = b.v.Policy.Reboot == fleet.RebootOwnWindow
	case action.Check:
		s.Attempts = checkTries
	case action.Backup:
		s.Timeout = max(4*est, longTimeout)
	case action.Observe, action.Refresh, action.Download, action.Command:
	case action.Balance, action.Serving, action.HTTP, action.Query, action.Unit, action.Container, action.Playbook: // of runbooks only
	}
	b.nodes = append(b.nodes, Node{ID: id + "-node", Shape: Leaf, Step: s})
}
