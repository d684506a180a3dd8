package run

import (
	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
)

// Lock is what a node asks for that restarts itself, seen as a run that has but
// one step: so the rules of runs judge it. id is the hold's that it would be. t
// is the node's server; zero if we know none.
func Lock(id string, g fleet.Group, node string, t fleet.Target) Run {
	r := Run{ID: id, Project: g.Project, Target: t.ID, Name: t.Name, Group: g.Name, Window: g.Window}
	if t.ID == "" {
		r.Target, r.Name = id, node
	}
	return r
}

// MayLock says what the node would hold, or why it must not restart now.
func MayLock(r Run, w World) (holds []string, why plan.Reason) {
	t := ticker{r: r.own(), w: w}
	t.windows()
	estimate := w.Target.Pace.Estimate(action.Reboot, 1, nil)
	restart := plan.Step{ID: "restart", Target: r.Target, Action: action.Reboot, Disrupts: true, Estimate: estimate, Timeout: estimate, Attempts: 1}
	d := plan.Decide(plan.Plan{Root: plan.Node{ID: "restart", Shape: plan.Leaf, Step: restart}}, plan.Progress{}, t.world())
	if len(d.Start) == 0 {
		return nil, d.Waits[0].Reason
	}
	t.hold()
	return t.r.Holds, plan.Reason{}
}
