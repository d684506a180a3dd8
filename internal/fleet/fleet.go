// Package fleet says WHAT is maintained: targets with their owners, groups and
// observed facts, the policies and schedules that people put on them, and the
// pace that each target has shown.
package fleet

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/window"
)

// Kind is a kind of target.
type Kind string

// The kinds of targets.
const (
	Server      Kind = "server"  // a machine with an operating system and an agent on it
	ServiceKind Kind = "service" // replicas on hosts, of which some must always be up
)

// Target is one thing that is maintained.
type Target struct {
	ID      string
	Project string // who owns it
	Name    string // unique in its project
	Kind    Kind
	Group   string            // redundancy group: two members are never disrupted at once; may be empty
	Labels  map[string]string // free to use
	Image   string            // id of the image that it was made from; empty: unknown
	Created time.Time

	Management Management
	Service    *Service // of a service; nil of others

	Observed   *action.Observation // nil until it was looked at
	ObservedAt time.Time           // by the control plane's clock, when the observation arrived
	Seen       Seen                // since when each pending update is known
	Pace       Pace
	Last       Last // how its newest update ended

	Generation int64 // of the newest order given for it
	Revision   int64 // for compare-and-set; the store counts it
}

// Management is who sees to a server's updates.
type Management string

// The kinds of management.
const (
	ByHand    Management = ""          // whoever may, gives it schedules; it gets none by itself
	Managed   Management = "managed"   // it always has a schedule: the default one, if no other
	Unmanaged Management = "unmanaged" // its owner patches it; we refuse to
)

// Last is how a target's newest update ended; the zero value: it had none. Dry
// runs change nothing and do not count.
type Last struct {
	Run       string
	Succeeded bool
	Aborted   bool // by a person: neither a success nor a failure
	Finished  time.Time
}

// Failed reports whether the newest update was tried and did not succeed.
func (l Last) Failed() bool { return l.Run != "" && !l.Succeeded && !l.Aborted }

// SilentAfter is how long an agent may be unheard of before its server counts
// as down: it asks for work every few minutes at the latest.
const SilentAfter = 15 * time.Minute

// Down is why a target counts as down for reasons that are not a run's, in
// words; empty if it is up. heard is when its agent was last heard of: of a
// target that never had one, nobody can say that it is down. silent is how
// long it may be unheard of.
func (t Target) Down(heard, now time.Time, silent time.Duration) string {
	switch {
	case !heard.IsZero() && now.Sub(heard) > silent:
		return "not heard of since " + heard.UTC().Format(time.RFC3339)
	case t.Observed != nil && len(t.Observed.HalfConfigured) > 0:
		return "packages are half configured"
	}
	return ""
}

// Schedule is a named, enabled window on a target, and what is to be done in it.
type Schedule struct {
	ID       string
	Number   int64 // 1, 2, … on its target, never used again
	Project  string
	Target   string
	Name     string // unique on its target
	Enabled  bool
	Resting  bool // its server is unmanaged for the time being
	Window   window.Window
	Policy   Policy
	Missed   MissedRule
	Template string            // the id of the template that it was made from; may be empty
	Runbook  string            // what is done, on a service; empty: a server is updated
	Params   map[string]string // of the runbook
	Refused  string            // why its newest occurrence opened no run; empty: it did, or none has come
	Created  time.Time
	Changed  time.Time // when a person last changed it

	// Next is the occurrence that the schedule waits for; zero if there is
	// none. It is stored, so that nobody computes it per tick.
	Next     window.Span
	Revision int64
}

var (
	targetName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	groupName  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)
)

// Limits of a target's description.
const (
	MaxLabels      = 32
	MaxLabelBytes  = 256
	MaxNameBytes   = 63
	MaxReasonBytes = 1024
)

// ValidName blames field if name can't name a target, a schedule's owner or a project.
func ValidName(field, name string) error {
	if !targetName.MatchString(name) {
		return fault.Invalid(field, "%q is no name: 1 to %d letters, digits, dots, dashes and underscores, with a letter or digit at both ends", name, MaxNameBytes)
	}
	return nil
}

// Validate blames the first field that can't be.
func (t Target) Validate() error {
	if err := ValidName("name", t.Name); err != nil {
		return err
	}
	if err := ValidName("project", t.Project); err != nil {
		return err
	}
	if t.Group != "" && !groupName.MatchString(t.Group) {
		return fault.Invalid("group", "%q is no group name: 1 to 63 letters, digits, dots, dashes and underscores", t.Group)
	}
	return validLabels("labels", t.Labels)
}

func validLabels(field string, labels map[string]string) error {
	if len(labels) > MaxLabels {
		return fault.Invalid(field, "at most %d, not %d", MaxLabels, len(labels))
	}
	for k, v := range labels {
		if k == "" || len(k) > MaxLabelBytes || len(v) > MaxLabelBytes {
			return fault.Invalid(field, "key and value of %q must have 1 to %d bytes", k, MaxLabelBytes)
		}
	}
	return nil
}

// Numbered is the name under which a schedule is kept whose name another one of
// its target has: its own number tells them apart.
func Numbered(name string, number int64) string { return fmt.Sprintf("%s #%d", name, number) }

// Title is the schedule's name as who made it wrote it: without the number that
// Numbered gave it.
func (s Schedule) Title() string {
	if s.Number == 0 {
		return s.Name
	}
	return strings.TrimSuffix(s.Name, Numbered("", s.Number))
}

// Validate blames the first field that can't be.
func (s Schedule) Validate() error {
	if err := validTitle(s.Name); err != nil {
		return err
	}
	if !s.Missed.valid() {
		return fault.Invalid("missed", "must be %q, %q or %q, not %q", MissedLate, MissedSkip, MissedAsk, s.Missed)
	}
	if s.Runbook == "" && len(s.Params) > 0 {
		return fault.Invalid("params", "go with a runbook")
	}
	return s.Policy.Validate()
}

// validTitle blames a name that is for people, not for addresses.
func validTitle(name string) error {
	if strings.TrimSpace(name) == "" || len(name) > 2*MaxNameBytes {
		return fault.Invalid("name", "must have 1 to %d bytes, not %d", 2*MaxNameBytes, len(name))
	}
	return nil
}
