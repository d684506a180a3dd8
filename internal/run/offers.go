package run

import (
	"maps"
	"slices"
	"strings"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/plan"
)

// Offered refuses a run of a runbook whose steps ask for something that a host
// is known not to offer, so that this is told to who asks and not when a member
// is out. seen is what a server looked like, by its id; nil if nobody knows,
// and then its agent says so. The run is one that OpenBook has made.
func (r Run) Offered(seen map[string]*action.Observation) error {
	root, proofs, err := plan.Service(r.serviceView(nil), 1)
	if err != nil {
		return err
	}
	steps := root.Steps()
	for _, p := range proofs {
		steps = append(steps, p.Step)
	}
	slices.SortStableFunc(steps, func(a, b plan.Step) int { return strings.Compare(a.ID, b.ID) })
	for _, s := range steps {
		obs := seen[s.Target]
		if s.Here || obs == nil {
			continue
		}
		if why := lacks(s, obs); why != "" {
			return fault.Invalid("hosts."+s.At, "%s, which step %s of the runbook asks for: its owner writes that in the agent's file there, and restarts the agent", why, s.Title)
		}
	}
	return nil
}

// lacks is what a host does not offer of what a step asks for; empty if nothing.
func lacks(s plan.Step, obs *action.Observation) string {
	if !slices.Contains(obs.Commands, s.Command) {
		return "it has no command named " + s.Command
	}
	offer := action.Offer{}
	for _, o := range obs.Offers {
		if o.Kind == action.Command && o.Name == s.Command {
			offer = o
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.With)) {
		if !slices.Contains(offer.Needs, name) && !slices.Contains(offer.May, name) {
			return "its command " + s.Command + " takes no value " + name
		}
	}
	for _, name := range offer.Needs {
		if _, given := s.With[name]; !given {
			return "its command " + s.Command + " needs the value " + name
		}
	}
	return ""
}
