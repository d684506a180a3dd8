package portal

import (
	"strings"
	"time"

	"upkeep/internal/fleet"
	"upkeep/internal/run"
)

// begun is when a run started to do something, else when it was opened.
func begun(r run.Run) time.Time {
	if r.Started.IsZero() {
		return r.Created
	}
	return r.Started
}

// resultWords says in a line what a run has come to.
func resultWords(v *visit, r run.Run) string {
	var parts []string
	switch n := len(r.Result.Would); {
	case n > 0 || r.Policy.DryRun && r.State.Ended():
		parts = append(parts, v.N("result.would", n))
	case r.State.Ended() || len(r.Result.Changes) > 0:
		parts = append(parts, v.N("result.installed", len(r.Result.Changes)))
	}
	if n := len(r.Result.Failures); n > 0 {
		parts = append(parts, v.N("result.failed", n))
	}
	if n := len(r.Result.Left); n > 0 {
		parts = append(parts, v.N("result.left", n))
	}
	if n := r.Result.Reboots; n > 0 {
		parts = append(parts, v.N("result.reboots", n))
	}
	return strings.Join(parts, ", ")
}

// policyWords says a policy in one line.
func policyWords(v *visit, p fleet.Policy) string {
	parts := []string{v.T("policy.scope-" + string(p.Scope)), v.T("policy.reboot-" + string(p.Reboot))}
	say := func(is bool, text string) {
		if is {
			parts = append(parts, text)
		}
	}
	if p.Reboot == fleet.RebootOwnWindow {
		w := p.RebootWindow
		parts[1] = v.T("policy.reboot-in", v.T("schedule.words", w.Recurrence.Words(v.lang), v.took(w.Duration, false)))
	}
	say(p.DryRun, v.T("policy.dryrun"))
	say(p.Within > 0, v.T("policy.within", v.took(p.Within, true)))
	say(p.Backup != "", v.T("policy.backup", p.Backup))
	say(len(p.Before) > 0, v.T("policy.before", strings.Join(p.Before, ", ")))
	say(len(p.After) > 0, v.T("policy.after", strings.Join(p.After, ", ")))
	say(len(p.Health) > 0, v.T("policy.health", strings.Join(p.Health, ", ")))
	say(p.Prepare > 0, v.T("policy.prepare", v.took(p.Prepare, false)))
	say(p.NoticeLead > 0, v.T("policy.notice", v.took(p.NoticeLead, false)))
	say(len(p.Hold) > 0, v.T("policy.hold", strings.Join(p.Hold, ", ")))
	return strings.Join(parts, " · ")
}
