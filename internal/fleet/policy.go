package fleet

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/window"
)

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
	RebootAlways     RebootRule = "always"     // after every update that has installed something
	RebootOwnWindow  RebootRule = "own-window" // if required, and only in the policy's RebootWindow
)

var rebootRules = []RebootRule{RebootIfRequired, RebootNever, RebootAlways, RebootOwnWindow}

// MissedRule is what becomes of an occurrence whose start was missed, because
// the server was off or nobody was there to start it.
type MissedRule string

// The rules for a missed start.
const (
	MissedLate MissedRule = "late" // begin late, in what is left of the window; the same as ""
	MissedSkip MissedRule = "skip" // leave it to the next occurrence
	MissedAsk  MissedRule = "ask"  // wait until a person says resume
)

func (m MissedRule) valid() bool {
	return slices.Contains([]MissedRule{"", MissedLate, MissedSkip, MissedAsk}, m)
}

// MissedAfter is how long after its start an occurrence counts as missed if
// its server has not begun anything.
const MissedAfter = 15 * time.Minute

// Policy is how an update of a server is to be done.
type Policy struct {
	Scope        Scope
	Hold         []string // packages, or patterns such as "linux-image-*", that are never touched
	Reboot       RebootRule
	RebootWindow window.Window // for RebootOwnWindow: when
	Batch        int           // packages in one installation step, 1 to MaxBatch
	Prepare      time.Duration // how long before the window lists and packages may be fetched; 0: only inside
	NoticeLead   time.Duration // how long before its start a disruptive run must have been announced; 0: no notice wanted
	DryRun       bool          // say what would be installed, and change nothing

	// Within is how soon after its release an update is to be installed. With
	// it, an occurrence is used only if it is the one picked for this server
	// before that time is over; 0: every occurrence is used.
	Within time.Duration

	// The names of commands in the host's own list.
	Backup string   // makes a copy, before anything is installed; if it fails nothing is
	Before []string // in this order, before the first package of an occurrence
	After  []string // in this order, after its last one, also if it went wrong
	Health []string // after all that; one that keeps failing makes the run a failed one

	// Expect is how long a kind of action takes on this target, per package
	// where it has packages, until the target's own history says better.
	Expect map[action.Kind]time.Duration
}

// Limits of a policy.
const (
	MaxBatch    = 500
	MaxHold     = 200
	MaxPrepare  = 24 * time.Hour
	MaxLead     = 90 * 24 * time.Hour
	MaxExpect   = 24 * time.Hour
	MinWithin   = 24 * time.Hour
	MaxWithin   = 365 * 24 * time.Hour
	MaxCommands = 16
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

// Holds reports whether a package is not to be touched.
func (p Policy) Holds(name string) bool {
	bare, _, _ := strings.Cut(name, ":")
	for _, pattern := range p.Hold {
		for _, n := range []string{name, bare} {
			if ok, err := path.Match(pattern, n); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// Validate blames the first field that can't be.
func (p Policy) Validate() error {
	switch {
	case p.Scope != ScopeAll && p.Scope != ScopeSecurity:
		return fault.Invalid("policy.scope", "must be %q or %q, not %q", ScopeAll, ScopeSecurity, p.Scope)
	case !slices.Contains(rebootRules, p.Reboot):
		return fault.Invalid("policy.reboot", "must be one of %q, not %q", rebootRules, p.Reboot)
	case p.Reboot == RebootOwnWindow && p.RebootWindow.Recurrence.IsZero():
		return fault.Invalid("policy.rebootWindow", "is needed where reboot is %q", RebootOwnWindow)
	case p.Reboot != RebootOwnWindow && !p.RebootWindow.Recurrence.IsZero():
		return fault.Invalid("policy.rebootWindow", "goes only with reboot %q, not with %q", RebootOwnWindow, p.Reboot)
	case p.Batch < 1 || p.Batch > MaxBatch:
		return fault.Invalid("policy.batch", "must be from 1 to %d packages, not %d", MaxBatch, p.Batch)
	case p.Prepare < 0 || p.Prepare > MaxPrepare:
		return fault.Invalid("policy.prepare", "must be from 0 to %v before the window, not %v", MaxPrepare, p.Prepare)
	case p.NoticeLead < 0 || p.NoticeLead > MaxLead:
		return fault.Invalid("policy.noticeLead", "must be from 0 to %v, not %v", MaxLead, p.NoticeLead)
	case p.Within != 0 && (p.Within < MinWithin || p.Within > MaxWithin):
		return fault.Invalid("policy.within", "must be 0 or from %d to %d days, not %v", MinWithin/(24*time.Hour), MaxWithin/(24*time.Hour), p.Within)
	}
	if err := p.validHold(); err != nil {
		return err
	}
	if err := p.validCommands(); err != nil {
		return err
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

// ForRunbook blames the first field that is set and means nothing where a
// runbook says what is done: all but how early it must have been announced.
func (p Policy) ForRunbook() error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"scope", p.Scope != ""}, {"hold", len(p.Hold) > 0}, {"reboot", p.Reboot != ""}, {"rebootWindow", !p.RebootWindow.Recurrence.IsZero()},
		{"batch", p.Batch != 0}, {"prepare", p.Prepare != 0}, {"dryRun", p.DryRun}, {"within", p.Within != 0}, {"backup", p.Backup != ""},
		{"before", len(p.Before) > 0}, {"after", len(p.After) > 0}, {"health", len(p.Health) > 0}, {"expect", len(p.Expect) > 0},
	} {
		if f.set {
			return fault.Invalid("policy."+f.name, "is about the updates of servers; on a service the runbook says what is done")
		}
	}
	return nil
}

func (p Policy) validHold() error {
	if len(p.Hold) > MaxHold {
		return fault.Invalid("policy.hold", "at most %d packages, not %d", MaxHold, len(p.Hold))
	}
	for _, name := range p.Hold {
		if _, err := path.Match(name, ""); err != nil || !packagePattern.MatchString(name) {
			return fault.Invalid("policy.hold", "%q is no package name, and no pattern of one such as \"linux-image-*\"", name)
		}
	}
	return nil
}

func (p Policy) validCommands() error {
	if p.Backup != "" && !commandName.MatchString(p.Backup) {
		return fault.Invalid("policy.backup", "%q is no command's name: %s", p.Backup, commandRule)
	}
	for _, list := range []struct {
		field string
		names []string
	}{{"policy.before", p.Before}, {"policy.after", p.After}, {"policy.health", p.Health}} {
		if len(list.names) > MaxCommands {
			return fault.Invalid(list.field, "at most %d commands, not %d", MaxCommands, len(list.names))
		}
		for i, name := range list.names {
			switch {
			case !commandName.MatchString(name):
				return fault.Invalid(list.field, "%q is no command's name: %s", name, commandRule)
			case slices.Contains(list.names[:i], name):
				return fault.Invalid(list.field, "%q stands twice", name)
			}
		}
	}
	return nil
}

// commandRule says what a command may be called. A policy names commands; what
// they run, each host's owner decides on the host.
const commandRule = "1 to 63 small letters, digits, dots, dashes and underscores; what it runs is decided on the server, in its agent's file"

var (
	// As Debian and RPM write names, with the wildcards of patterns.
	packagePattern = regexp.MustCompile(`^[A-Za-z0-9+._*?\[\]~^-]{0,127}[A-Za-z0-9][A-Za-z0-9+._*?\[\]~^-]{0,127}(:[a-z0-9*?_-]{1,20})?$`)
	commandName    = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
)
