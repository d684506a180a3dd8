package run

import (
	"fmt"
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
	kind, name := action.Command, s.Command
	if !s.Action.Names() {
		kind, name = s.Action, s.With[string(s.Action)]
	}
	what := fmt.Sprintf("%s %s", kind, name)
	i := slices.IndexFunc(obs.Offers, func(o action.Offer) bool { return o.Kind == kind && o.Name == name })
	switch {
	case s.Action.Names() && !slices.Contains(obs.Commands, name), !s.Action.Names() && i < 0:
		return "it has no " + what
	case s.Action == action.Unit || s.Action == action.Container:
		return "" // what they take is known without it
	}
	offer := action.Offer{}
	if i >= 0 {
		offer = obs.Offers[i]
	}
	for _, v := range slices.Sorted(maps.Keys(s.With)) {
		own := s.Action == action.Playbook && (v == "playbook" || v == "limit")
		if !own && !slices.Contains(offer.Needs, v) && !slices.Contains(offer.May, v) {
			return fmt.Sprintf("its %s takes no value %s", what, v)
		}
	}
	for _, v := range offer.Needs {
		if _, given := s.With[v]; !given {
			return fmt.Sprintf("its %s needs the value %s", what, v)
		}
	}
	return ""
}
