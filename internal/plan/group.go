package plan

import (
	"slices"
	"strings"
	"time"

	"upkeep/internal/fleet"
)

// Group is a redundancy group as one of its members sees it.
type Group struct {
	Rules  fleet.Group
	Self   string   // the member's own name
	Others []Member // by name
}

// Member is another member of a group.
type Member struct {
	Name string
	Down string // why it is down for reasons that are not a run's; empty: it is up
	Busy bool   // a run holds it: it is counted by what that run holds
	Last fleet.Last
}

// Holder is who holds a claim.
type Holder struct {
	Name   string    // of a run: what it works on
	By     string    // of a claim held by hand: who holds it; empty: a run does
	Reason string    // what for
	Until  time.Time // when it ends by itself; zero: when its holder ends it
}

// Duty is a service that has members on the run's server.
type Duty struct {
	Service string
	Quorum  int      // members that must stay up
	Left    int      // members that are up while the server is down
	Down    []string // members elsewhere that are not up, or worked on
}

// mayDisturb is why the server must not be taken from the service.
func (d Duty) mayDisturb() Reason {
	if d.Left < d.Quorum {
		return Reason{Code: QuorumAtRisk, What: d.Service, By: strings.Join(d.Down, ", ")}
	}
	return Reason{}
}

// mayDisturb is why the member must not be disrupted now, for the others' sake.
func (g Group) mayDisturb(w World) Reason {
	var down, failed []string
	for _, m := range g.Others {
		if m.Down != "" && !m.Busy {
			down = append(down, m.Name)
		}
		if m.Last.Failed() {
			failed = append(failed, m.Name)
		}
	}
	held := 0
	for _, key := range w.ClaimOne {
		if _, taken := w.Claims[key]; taken {
			held++
		}
	}
	if len(down) > 0 && held+len(down)+1 > g.Rules.Room() {
		return Reason{Code: BudgetUsed, By: strings.Join(down, ", ")}
	}
	if w.Override.By != "" {
		return Reason{} // a person asked for this one now, knowing of the others
	}
	if g.Rules.StopAfter > 0 && len(failed) >= g.Rules.StopAfter {
		return Reason{Code: GroupStopped, By: strings.Join(failed, ", ")}
	}
	return g.afterCanaries(w.Now)
}

// afterCanaries is which canary the member has to wait for. A canary waits for
// none; one that there is not, is waited for: nobody has proved anything.
func (g Group) afterCanaries(now time.Time) Reason {
	if slices.Contains(g.Rules.Canaries, g.Self) {
		return Reason{}
	}
	for _, name := range g.Rules.Canaries {
		i := slices.IndexFunc(g.Others, func(m Member) bool { return m.Name == name })
		if i < 0 {
			return Reason{Code: CanaryFirst, By: name}
		}
		last := g.Others[i].Last
		soaked := last.Finished.Add(g.Rules.Soak)
		switch {
		case !last.Succeeded || now.Sub(last.Finished) > fleet.CanaryFresh:
			return Reason{Code: CanaryFirst, By: name}
		case now.Before(soaked):
			return Reason{Code: CanaryFirst, By: name, Until: soaked}
		}
	}
	return Reason{}
}
