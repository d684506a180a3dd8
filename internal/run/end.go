package run

import (
	"fmt"
	"slices"
	"strings"

	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/plan"
)

// finish ends a run of which nothing is left to do. It returns false if the
// run has ended, as it has unless something is to be brought back first.
func (t *ticker) finish() bool {
	view := t.view()
	stuck := plan.Stuck(view)
	if t.r.Made.DryRun {
		stuck = nil
	}
	for _, name := range stuck {
		t.fail(name, "still pending after its installation")
	}
	res := &t.r.Result
	switch {
	case t.r.Policy.DryRun && len(res.Failures) == 0:
		return t.stop(Succeeded, t.pretence()+t.advice())
	case len(res.Failures) > 0 || len(t.w.Target.Observed.HalfConfigured) > 0:
		return t.stop(Failed, fmt.Sprintf("%s installed, %d failed", plan.Count(t.r.Installed(), "package"), t.failed())+t.blamed()+t.advice())
	case t.r.Made.DryRun:
		return t.stop(Succeeded, t.pretence())
	case !view.Postponed.IsZero():
		t.r.Made.Postponed = true
		zone := t.r.Window.Recurrence.Zone()
		return t.stop(Succeeded, fmt.Sprintf("nothing is due yet: %s to be installed on %s",
			plan.Count(len(plan.Wanted(view)), "package"), view.Postponed.Start.In(zone).Format("2006-01-02 15:04 MST")))
	}
	text := fmt.Sprintf("%s installed, 0 failed, %s", plan.Count(t.r.Installed(), "package"), plan.Count(res.Reboots, "reboot"))
	if t.w.Target.Observed.RebootRequired {
		text += "; a reboot is required and was not made"
	}
	return t.stop(Succeeded, text)
}

// pretence says what a dry run has come to.
func (t *ticker) pretence() string {
	return fmt.Sprintf("dry run: %s would be installed; nothing was changed", plan.Count(len(t.r.Result.Would), "package"))
}

// failed counts the packages that failed.
func (t *ticker) failed() (n int) {
	for _, f := range t.r.Result.Failures {
		if f.Name != "" {
			n++
		}
	}
	return n
}

// blamed names what failed that is no package: a command, a check.
func (t *ticker) blamed() string {
	for _, f := range t.r.Result.Failures {
		if f.Name == "" {
			return "; " + f.Reason
		}
	}
	return ""
}

// advice says in plain words what a person must do about what is left unsafe;
// empty if nothing is.
func (t *ticker) advice() string {
	obs := t.w.Target.Observed
	if obs == nil || len(obs.HalfConfigured) == 0 {
		return ""
	}
	if obs.Manager != "" && obs.Manager != "apt" {
		return fmt.Sprintf("; left half done: %s. Look at the package manager's log on the server, mend the cause and finish it there", strings.Join(obs.HalfConfigured, ", "))
	}
	return fmt.Sprintf("; left half configured: %s. On the server, look at the output of \"dpkg --configure -a\", mend the cause and run it again", strings.Join(obs.HalfConfigured, ", "))
}

// windowOver ends a run whose window never opens again. If its last step was
// just what was left to do, it has succeeded all the same. It returns false if
// the run has ended.
func (t *ticker) windowOver() bool {
	view := t.view()
	view.Refreshed, view.Closed = !t.r.Made.RefreshedFor.IsZero(), false
	ask := view
	ask.Entered, ask.Unproved = false, false
	if _, _, more := plan.Server(ask, t.r.Plan.Generation+1); !more && t.observed() {
		return t.finish()
	}
	for _, p := range plan.Wanted(view) {
		t.r.Result.Left = append(t.r.Result.Left, p.Name)
	}
	return t.stop(Failed, fmt.Sprintf("the window is over and does not open again; %s left", plan.Count(len(t.r.Result.Left), "package")))
}

// Installed counts the packages that have another version than before the run
// and did not fail.
func (r Run) Installed() int {
	first, last := map[string]string{}, map[string]string{}
	for _, c := range r.Result.Changes {
		if _, seen := first[c.Name]; !seen {
			first[c.Name] = c.From
		}
		last[c.Name] = c.To
	}
	n := 0
	for name, to := range last {
		if first[name] != to && r.Made.Failed[name] == "" {
			n++
		}
	}
	return n
}

func (t *ticker) end(s State, text string) {
	t.r.State, t.r.Finished, t.r.Waits, t.r.Holds = s, t.w.Now, nil, nil
	t.r.Result.Text = text
	t.say(engineName, history.RunEnded, "", fmt.Sprintf("%s: %s", s, text))
	m := t.r.Made
	if t.w.Target.ID != "" && !t.r.Policy.DryRun && !m.DryRun && !m.Postponed {
		t.next.Last = &fleet.Last{Run: t.r.ID, Succeeded: s == Succeeded, Aborted: s == Aborted, Finished: t.w.Now}
	}
}

// lastFailure is the newest failure that is not a package's.
func (t *ticker) lastFailure(action string) string {
	for _, f := range slices.Backward(t.r.Result.Failures) {
		if f.Name == "" {
			return f.Reason
		}
	}
	return action + " failed for good"
}
