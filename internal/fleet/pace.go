package fleet

import (
	"maps"
	"time"

	"upkeep/internal/action"
)

// Pace is how long a target's own actions took: the newest samples per kind, of
// a service per step (StepPace).
type Pace map[action.Kind][]Sample

// StepPace is where a service's pace keeps a step of a runbook: each takes its
// own time, whatever its kind.
func StepPace(runbook, step string) action.Kind { return action.Kind(runbook + "/" + step) }

// Sample is one action that was done to its end.
type Sample struct {
	Units int // packages for Download and Install, else 1
	Took  time.Duration
}

// keepSamples bounds what is remembered: the newest tell most, and an
// estimate should forget the disk that was replaced.
const keepSamples = 8

// prior is what an action takes where neither history nor policy says
// otherwise: a first part, and a part for each package. They are on the careful
// side: an estimate too long wastes some minutes of a window, one too short
// leaves a server half done when the window ends.
var prior = map[action.Kind]struct{ first, each time.Duration }{
	action.Observe:   {20 * time.Second, 0},
	action.Refresh:   {60 * time.Second, 0},
	action.Download:  {60 * time.Second, 5 * time.Second},
	action.Install:   {60 * time.Second, 20 * time.Second},
	action.Repair:    {3 * time.Minute, 0},
	action.Restore:   {60 * time.Second, 20 * time.Second},
	action.Reboot:    {5 * time.Minute, 0},
	action.Backup:    {10 * time.Minute, 0},
	action.Command:   {60 * time.Second, 0},
	action.Check:     {30 * time.Second, 0},
	action.Unit:      {60 * time.Second, 0},
	action.Container: {60 * time.Second, 0},
	action.Playbook:  {10 * time.Minute, 0},
	action.Balance:   {60 * time.Second, 0}, // sessions run dry
	action.Serving:   {5 * time.Second, 0},
	action.HTTP:      {10 * time.Second, 0},
	action.Query:     {5 * time.Second, 0},
}

// With adds a sample; p itself is not changed.
func (p Pace) With(kind action.Kind, units int, took time.Duration) Pace {
	if took <= 0 {
		return p
	}
	next := make(Pace, len(p)+1)
	maps.Copy(next, p)
	samples := append(append([]Sample(nil), p[kind]...), Sample{Units: max(units, 1), Took: took})
	if len(samples) > keepSamples {
		samples = samples[len(samples)-keepSamples:]
	}
	next[kind] = samples
	return next
}

// Estimate is how long an action of so many units is expected to take: the
// slowest rate that the target has shown, with a quarter on top; until it has
// shown any, what the policy expects; else a careful guess.
func (p Pace) Estimate(kind action.Kind, units int, expect map[action.Kind]time.Duration) time.Duration {
	units = max(units, 1)
	if samples := p[kind]; len(samples) > 0 {
		var est time.Duration
		for _, s := range samples {
			d := s.Took
			// A larger action is taken to grow with its units; a smaller one
			// not to shrink, since most of it may be the fixed part.
			if units > s.Units {
				d = s.Took * time.Duration(units) / time.Duration(s.Units)
			}
			est = max(est, d)
		}
		return est + est/4
	}
	if d, ok := expect[kind]; ok {
		return d * time.Duration(units)
	}
	g := prior[kind]
	return g.first + g.each*time.Duration(units)
}
