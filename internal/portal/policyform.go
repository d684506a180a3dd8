package portal

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/fleet"
)

// policyForm is the fields of how an update is to be done, as they were
// written. What a policy has beside them is taken from the one that it is
// based on.
type policyForm struct {
	Scope  string
	Hold   string // names and patterns, with spaces or on lines of their own
	Reboot string
	Own    windowForm // for reboots
	DryRun bool
	Within string // days; empty: no promise
	Backup string
	Before commandsForm
	After  commandsForm
	Health commandsForm
}

// commandsForm is a list of commands: those that the server's agent offers are
// ticked, in its order, and others follow by name.
type commandsForm struct {
	Ticked []string
	Others string
}

// The fields of commands.
const (
	beforeField = "before"
	afterField  = "after"
	healthField = "health"
)

var (
	scopes      = []fleet.Scope{fleet.ScopeAll, fleet.ScopeSecurity}
	rebootRules = []fleet.RebootRule{fleet.RebootIfRequired, fleet.RebootNever, fleet.RebootAlways, fleet.RebootOwnWindow}
	missedRules = []fleet.MissedRule{fleet.MissedLate, fleet.MissedSkip, fleet.MissedAsk}
)

// readPolicy takes the fields out of a form that was sent.
func (v *visit) readPolicy() policyForm {
	commands := func(name string) commandsForm {
		return commandsForm{Ticked: v.several(name), Others: v.field(name + "-others")}
	}
	return policyForm{
		Scope: v.field("scope"), Hold: typed(v.field("hold")), Reboot: v.field("reboot"), Own: v.readWindow(ownWindow),
		DryRun: v.field("dryrun") != "", Within: v.field("within"), Backup: v.field("backup"),
		Before: commands(beforeField), After: commands(afterField), Health: commands(healthField),
	}
}

// policyOf shows a policy; offered are the commands of the server's agent.
func policyOf(p fleet.Policy, offered []string, zone *time.Location, now time.Time) policyForm {
	p = p.WithDefaults()
	f := policyForm{
		Scope: string(p.Scope), Hold: strings.Join(p.Hold, "\n"), Reboot: string(p.Reboot), Own: newWindow(ownWindow, zone, now),
		DryRun: p.DryRun, Backup: p.Backup,
		Before: commandsOf(p.Before, offered), After: commandsOf(p.After, offered), Health: commandsOf(p.Health, offered),
	}
	if p.Reboot == fleet.RebootOwnWindow {
		f.Own = windowOf(ownWindow, p.RebootWindow, now)
	}
	if p.Within > 0 {
		f.Within = strconv.Itoa(int(p.Within / (24 * time.Hour)))
	}
	return f
}

// commandsOf ticks what can be ticked without changing the order.
func commandsOf(names, offered []string) commandsForm {
	var f commandsForm
	last, rest := -1, 0
	for _, name := range names {
		at := slices.Index(offered, name)
		if at <= last {
			break
		}
		f.Ticked, last, rest = append(f.Ticked, name), at, rest+1
	}
	f.Others = strings.Join(names[rest:], " ")
	return f
}

// names are the commands in their order; one that is named twice counts once.
func (f commandsForm) names() (names []string) {
	for _, name := range slices.Concat(f.Ticked, listed(f.Others)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// listed reads a list that a person wrote, with spaces, commas or line ends.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,;\t\r\n", r) })
}

// policy is what the fields mean, on top of base. was is the rule of the
// stored window for reboots, if there is one.
func (f policyForm) policy(v *visit, base fleet.Policy, was string) (p fleet.Policy, wrong *formError) {
	p = base.WithDefaults()
	p.Scope, p.Reboot, p.DryRun, p.Backup = fleet.Scope(f.Scope), fleet.RebootRule(f.Reboot), f.DryRun, f.Backup
	p.Hold, p.Before, p.After, p.Health = listed(f.Hold), f.Before.names(), f.After.names(), f.Health.names()
	p.Within = 0
	if f.Within != "" {
		days, err := strconv.Atoi(f.Within)
		if err != nil || days < 1 || days > 365 {
			return p, v.wrong("within", v.T("wrong.within"))
		}
		p.Within = time.Duration(days) * 24 * time.Hour
	}
	p.RebootWindow = fleet.Policy{}.RebootWindow
	if p.Reboot == fleet.RebootOwnWindow {
		p.RebootWindow, wrong = f.Own.window(v, was)
	}
	return p, wrong
}

// unknownCommands are those that a policy names and the server's agent does
// not offer.
func unknownCommands(p fleet.Policy, offered []string) (names []string) {
	for _, name := range slices.Concat([]string{p.Backup}, p.Before, p.After, p.Health) {
		if name != "" && !slices.Contains(offered, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// offeredBy are the commands that a server's agent offers.
func offeredBy(t fleet.Target) []string {
	if t.Observed == nil {
		return nil
	}
	return t.Observed.Commands
}

// policyFields are the fields that stand for the desk's names of them.
var policyFields = map[string]string{
	"name": "name", "description": "description", "missed": "missed", "enabled": "enabled", "project": "project",
	"policy.scope": "scope", "policy.hold": "hold", "policy.reboot": "reboot", "policy.rebootWindow": ownWindow + "repeat",
	"policy.within": "within", "policy.backup": "backup",
	"policy.before": beforeField, "policy.after": afterField, "policy.health": healthField,
}

// blamed finds the field of a form with a window and a policy that the desk's
// answer is about; nil if the form can't mend it.
func (v *visit) blamed(err error, w windowForm) *formError {
	wrong := v.mistake(err)
	if wrong == nil {
		return nil
	}
	switch {
	case wrong.Field == "":
	case wrong.Field == "duration" || strings.HasPrefix(wrong.Field, "rrule"):
		wrong.Field = w.fieldOf(wrong.Field)
	default:
		wrong.Field = cmp.Or(policyFields[wrong.Field], wrong.Field)
	}
	wrong.Label = v.label(wrong.Field)
	return wrong
}
