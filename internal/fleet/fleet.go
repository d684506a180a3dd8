// Package fleet says WHAT is maintained: targets with their owners, groups and
// observed facts, the policies and schedules that people put on them, and the
// pace that each target has shown.
package fleet

import (
	"regexp"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/window"
)

// Kind is a kind of target.
type Kind string

// Server is a machine with an operating system and an agent on it.
const Server Kind = "server"

// Target is one thing that is maintained.
type Target struct {
	ID      string
	Project string // who owns it
	Name    string // unique in its project
	Kind    Kind
	Group   string            // redundancy group: two members are never disrupted at once; may be empty
	Labels  map[string]string // free to use
	Created time.Time

	Observed   *action.Observation // nil until it was looked at
	ObservedAt time.Time           // by the control plane's clock, when the observation arrived
	Pace       Pace

	Generation int64 // of the newest order given for it
	Revision   int64 // for compare-and-set; the store counts it
}

// Schedule is a named, enabled window on a target, and what is to be done in it.
type Schedule struct {
	ID      string
	Project string
	Target  string
	Name    string // unique on its target
	Enabled bool
	Window  window.Window
	Policy  Policy
	Created time.Time

	// Next is the occurrence that the schedule waits for; zero if there is
	// none. It is stored, so that nobody computes it per tick.
	Next     window.Span
	Revision int64
}

// Scope is which updates are wanted.
type Scope string

// The scopes.
const (
	ScopeAll      Scope = "all"
	ScopeSecurity Scope = "security" // only what comes from a security archive
)

// RebootRule is when a host may be restarted.
type RebootRule string

// The reboot rules.
const (
	RebootIfRequired RebootRule = "if-required"
	RebootNever      RebootRule = "never"
)

// Policy is how an update of a server is to be done.
type Policy struct {
	Scope      Scope
	Hold       []string      // packages that are never touched
	Reboot     RebootRule    // whether a required reboot is made
	Batch      int           // packages in one installation step, 1 to MaxBatch
	Prepare    time.Duration // how long before the window lists and packages may be fetched; 0: only inside
	NoticeLead time.Duration // how long before its start a disruptive run must have been announced; 0: no notice wanted

	// Expect is how long a kind of action takes on this target, per package
	// where it has packages, until the target's own history says better.
	Expect map[action.Kind]time.Duration
}

// Limits of a policy.
const (
	MaxBatch   = 500
	MaxHold    = 200
	MaxPrepare = 24 * time.Hour
	MaxLead    = 90 * 24 * time.Hour
	MaxExpect  = 24 * time.Hour
)

// DefaultPolicy installs everything and reboots if that is required.
func DefaultPolicy() Policy {
	return Policy{Scope: ScopeAll, Reboot: RebootIfRequired, Batch: 25}
}

// WithDefaults fills what was left empty from DefaultPolicy.
func (p Policy) WithDefaults() Policy {
	d := DefaultPolicy()
	if p.Scope == "" {
		p.Scope = d.Scope
	}
	if p.Reboot == "" {
		p.Reboot = d.Reboot
	}
	if p.Batch == 0 {
		p.Batch = d.Batch
	}
	return p
}

// Validate blames the first field that can't be.
func (p Policy) Validate() error {
	switch {
	case p.Scope != ScopeAll && p.Scope != ScopeSecurity:
		return fault.Invalid("policy.scope", "must be %q or %q, not %q", ScopeAll, ScopeSecurity, p.Scope)
	case p.Reboot != RebootIfRequired && p.Reboot != RebootNever:
		return fault.Invalid("policy.reboot", "must be %q or %q, not %q", RebootIfRequired, RebootNever, p.Reboot)
	case p.Batch < 1 || p.Batch > MaxBatch:
		return fault.Invalid("policy.batch", "must be from 1 to %d packages, not %d", MaxBatch, p.Batch)
	case p.Prepare < 0 || p.Prepare > MaxPrepare:
		return fault.Invalid("policy.prepare", "must be from 0 to %v before the window, not %v", MaxPrepare, p.Prepare)
	case p.NoticeLead < 0 || p.NoticeLead > MaxLead:
		return fault.Invalid("policy.noticeLead", "must be from 0 to %v, not %v", MaxLead, p.NoticeLead)
	case len(p.Hold) > MaxHold:
		return fault.Invalid("policy.hold", "at most %d packages, not %d", MaxHold, len(p.Hold))
	}
	for _, name := range p.Hold {
		if !packageName.MatchString(name) {
			return fault.Invalid("policy.hold", "%q is no package name", name)
		}
	}
	for kind, d := range p.Expect {
		if !kind.Valid() {
			return fault.Invalid("policy.expect", "%q is no action; known are %v", kind, action.Kinds)
		}
		if d <= 0 || d > MaxExpect {
			return fault.Invalid("policy.expect", "%s must be more than 0 and at most %v, not %v", kind, MaxExpect, d)
		}
	}
	return nil
}

var (
	packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]{0,127}(:[a-z0-9-]{1,20})?$`)
	targetName  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	groupName   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)
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
	if len(t.Labels) > MaxLabels {
		return fault.Invalid("labels", "at most %d, not %d", MaxLabels, len(t.Labels))
	}
	for k, v := range t.Labels {
		if k == "" || len(k) > MaxLabelBytes || len(v) > MaxLabelBytes {
			return fault.Invalid("labels", "key and value of %q must have 1 to %d bytes", k, MaxLabelBytes)
		}
	}
	return nil
}

// Validate blames the first field that can't be.
func (s Schedule) Validate() error {
	if s.Name == "" || len(s.Name) > 2*MaxNameBytes {
		return fault.Invalid("name", "must have 1 to %d bytes, not %d", 2*MaxNameBytes, len(s.Name))
	}
	return s.Policy.Validate()
}
