package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"upkeep/internal/fault"
)

// Catalogue is the order of releases, and which may follow which, as data.
type Catalogue struct {
	Releases []Listed
	Rules    []Rule // of components
}

// Listed is a release in the catalogue; the oldest stands first.
type Listed struct {
	Version    string
	Slurp      bool              // one may go from it to the next one with Slurp, past the one between
	Components map[string]string // component → its version in this release
}

// Rule is how far a component may go in one step.
type Rule struct {
	Component string
	Versions  []string // the oldest first
	Step      int      // how many versions on at most; 0: 1
	Jumps     []Jump   // which are allowed besides
}

// Jump is a step past versions that may be made.
type Jump struct {
	From, To string
}

// MaxListed is how many releases, and how many versions, a catalogue may have.
const MaxListed = 200

// Validate blames the first field that can't be.
func (c Catalogue) Validate() error {
	if len(c.Releases) > MaxListed || len(c.Rules) > MaxComponents {
		return fault.Invalid("catalogue", "at most %d releases and %d rules", MaxListed, MaxComponents)
	}
	versions := map[string][]string{}
	for i, r := range c.Rules {
		field := "catalogue.rules[" + strconv.Itoa(i) + "]"
		switch {
		case !component.MatchString(r.Component) || versions[r.Component] != nil:
			return fault.Invalid(field+".component", "%q is no component's name, or stands twice", r.Component)
		case len(r.Versions) == 0 || len(r.Versions) > MaxListed:
			return fault.Invalid(field+".versions", "must be from 1 to %d, not %d", MaxListed, len(r.Versions))
		case r.Step < 0 || r.Step > MaxListed:
			return fault.Invalid(field+".step", "must be at least 1, not %d", r.Step)
		case len(r.Jumps) > MaxListed:
			return fault.Invalid(field+".jumps", "at most %d, not %d", MaxListed, len(r.Jumps))
		}
		versions[r.Component] = r.Versions
		for _, j := range r.Jumps {
			if !slices.Contains(r.Versions, j.From) || !slices.Contains(r.Versions, j.To) {
				return fault.Invalid(field+".jumps", "%s to %s: not both are in versions", j.From, j.To)
			}
		}
	}
	for i, r := range c.Releases {
		field := "catalogue.releases[" + strconv.Itoa(i) + "]"
		if !version.MatchString(r.Version) || c.at(r.Version) != i {
			return fault.Invalid(field+".version", "%q is no version, or stands twice", r.Version)
		}
		for _, name := range slices.Sorted(maps.Keys(r.Components)) {
			if known := versions[name]; known != nil && !slices.Contains(known, r.Components[name]) {
				return fault.Invalid(field+".components."+name, "%q is not among the versions of its rule", r.Components[name])
			}
		}
	}
	return nil
}

func (c Catalogue) at(version string) int {
	return slices.IndexFunc(c.Releases, func(l Listed) bool { return l.Version == version })
}

// Refuses says why a release may not follow another one; empty if it may. The
// same release may always be brought again. From an unknown one nothing is
// allowed: what is not known is never taken for good.
func (c Catalogue) Refuses(from, to string) string {
	if len(c.Releases) == 0 || from == to {
		return ""
	}
	a, b := c.at(from), c.at(to)
	switch {
	case from == "":
		return "it is not known which release runs there; say it as \"runs\" of the environment"
	case a < 0 || b < 0:
		return fmt.Sprintf("the catalogue does not have both %s and %s", from, to)
	case b < a:
		return fmt.Sprintf("%s is older than %s, and databases do not go back", to, from)
	case b > a+2 || b == a+2 && (!c.Releases[a].Slurp || !c.Releases[b].Slurp):
		return fmt.Sprintf("%s does not follow %s: next is %s%s", to, from, c.Releases[a+1].Version, c.orPast(a))
	}
	for _, r := range c.Rules {
		old, now := c.Releases[a].Components[r.Component], c.Releases[b].Components[r.Component]
		if why := r.refuses(old, now); why != "" {
			return why
		}
	}
	return ""
}

// orPast names the release that may be reached past the next one.
func (c Catalogue) orPast(a int) string {
	if a+2 < len(c.Releases) && c.Releases[a].Slurp && c.Releases[a+2].Slurp {
		return " or " + c.Releases[a+2].Version
	}
	return ""
}

func (r Rule) refuses(from, to string) string {
	if from == "" || to == "" || slices.Contains(r.Jumps, Jump{from, to}) {
		return "" // it comes new, or goes
	}
	a, b := slices.Index(r.Versions, from), slices.Index(r.Versions, to)
	switch {
	case b < a:
		return fmt.Sprintf("%s would go back from %s to %s", r.Component, from, to)
	case b > a+max(r.Step, 1):
		return fmt.Sprintf("%s may not go from %s to %s at once", r.Component, from, to)
	}
	return ""
}
