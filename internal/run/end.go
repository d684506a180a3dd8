package run

import (
	"fmt"
	"slices"
	"strings"

	"upkeep/internal/history"
	"upkeep/internal/plan"
)

// finish ends a run of which nothing is left to do.
func (t *ticker) finish() {
	stuck := plan.Stuck(t.view())
	if t.r.Made.DryRun {
		stuck = nil
	}
	for _, name := range stuck {
		t.fail(name, "still pending after its installation")
	}
	res := &t.r.Result
	if len(res.Failures) > 0 || len(t.w.Target.Observed.HalfConfigured) > 0 {
		t.end(Failed, fmt.Sprintf("%s installed, %d failed", plan.Count(t.installed(), "package"), len(res.Failures))+t.advice())
		return
	}
	if t.r.Made.DryRun {
		t.end(Succeeded, fmt.Sprintf("dry run: %s would be installed; nothing was changed", plan.Count(len(res.Would), "package")))
		return
	}
	text := fmt.Sprintf("%s installed, 0 failed, %s", plan.Count(t.installed(), "package"), plan.Count(res.Reboots, "reboot"))
	if t.w.Target.Observed.RebootRequired {
		text += "; a reboot is required and was not made"
	}
	t.end(Succeeded, text)
}

// advice says in plain words what a person must do about what is left unsafe;
// empty if nothing is.
func (t *ticker) advice() string {
	obs := t.w.Target.Observed
	if obs == nil || len(obs.HalfConfigured) == 0 {
		return ""
	}
	return fmt.Sprintf("; left half configured: %s. On the server, look at the output of \"dpkg --configure -a\", mend the cause and run it again", strings.Join(obs.HalfConfigured, ", "))
}

// windowOver ends a run whose window never opens again. If its last step was
// just what was left to do, it has succeeded all the same.
func (t *ticker) windowOver() {
	view := t.view()
	view.Refreshed = !t.r.Made.RefreshedFor.IsZero()
	if _, _, more := plan.Server(view, t.r.Plan.Generation+1); !more && t.observed() {
		t.finish()
		return
	}
	for _, p := range plan.Wanted(view) {
		t.r.Result.Left = append(t.r.Result.Left, p.Name)
	}
	t.end(Failed, fmt.Sprintf("the window is over and does not open again; %s left", plan.Count(len(t.r.Result.Left), "package")))
}

// installed counts the packages that have another version than before the run
// and did not fail.
func (t *ticker) installed() int {
	first, last := map[string]string{}, map[string]string{}
	for _, c := range t.r.Result.Changes {
		if _, seen := first[c.Name]; !seen {
			first[c.Name] = c.From
		}
		last[c.Name] = c.To
	}
	n := 0
	for name, to := range last {
		if first[name] != to && t.r.Made.Failed[name] == "" {
			n++
		}
	}
	return n
}

func (t *ticker) end(s State, text string) {
	t.r.State, t.r.Finished, t.r.Waits, t.r.Holds = s, t.w.Now, nil, nil
	t.r.Result.Text = text
	t.say(engineName, history.RunEnded, "", fmt.Sprintf("%s: %s", s, text))
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
