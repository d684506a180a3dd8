package fleet

import (
	"slices"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/window"
)

// Group is what a redundancy group may cost, and who goes first in it. A group
// that nobody has described has the zero value's rules: one member at a time.
type Group struct {
	Project string
	Name    string // as targets name it

	MaxUnavailable int           // members disrupted or down at once; 0 means 1
	Canaries       []string      // names of members that are updated before the others
	Soak           time.Duration // how long the canaries must have run well before the others follow
	StopAfter      int           // how many members' newest updates may fail before the others stop; 0: no limit
	Window         window.Window // in which its nodes may restart themselves; zero: they may not
	Revision       int64
}

// Limits of a group.
const (
	MaxMembers = 500
	MaxSoak    = 60 * 24 * time.Hour
)

// CanaryFresh is how old a canary's success may be: an older one says nothing
// of today's updates.
const CanaryFresh = 35 * 24 * time.Hour

// Room is how many members may be disrupted or down at once.
func (g Group) Room() int { return max(g.MaxUnavailable, 1) }

// Validate blames the first field that can't be.
func (g Group) Validate() error {
	if err := ValidName("project", g.Project); err != nil {
		return err
	}
	switch {
	case !groupName.MatchString(g.Name):
		return fault.Invalid("name", "%q is no group name: 1 to 63 letters, digits, dots, dashes and underscores", g.Name)
	case g.MaxUnavailable < 0 || g.MaxUnavailable > MaxMembers:
		return fault.Invalid("maxUnavailable", "must be from 1 to %d, not %d", MaxMembers, g.MaxUnavailable)
	case g.StopAfter < 0 || g.StopAfter > MaxMembers:
		return fault.Invalid("stopAfter", "must be from 0 to %d, not %d", MaxMembers, g.StopAfter)
	case g.Soak < 0 || g.Soak > MaxSoak:
		return fault.Invalid("soak", "must be from 0 to %v, not %v", MaxSoak, g.Soak)
	case g.Soak > 0 && len(g.Canaries) == 0:
		return fault.Invalid("soak", "goes with canaries: there is nobody to wait for")
	case len(g.Canaries) > MaxMembers:
		return fault.Invalid("canaries", "at most %d, not %d", MaxMembers, len(g.Canaries))
	}
	for i, name := range g.Canaries {
		if err := ValidName("canaries", name); err != nil {
			return err
		}
		if slices.Contains(g.Canaries[:i], name) {
			return fault.Invalid("canaries", "%q stands twice", name)
		}
	}
	return nil
}
