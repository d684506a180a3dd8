package apt

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent/process"
)

// finish turns a command's end into the order's. never is why the command was
// never started; nil if it was, or if none was needed. The error is ctx's only.
func (h *Hands) finish(ctx context.Context, o action.Order, m memo, exit process.Exit, never error) (action.Result, error) {
	out := process.Output(h.dir(o.Key()), parseTail)
	r := action.Result{Outcome: action.Done, Output: tail(out, maxOutput)}
	var after map[string]version
	if changesPackages(o.Kind) {
		var err error
		if after, err = h.versions(ctx); err != nil {
			if ctx.Err() != nil {
				return action.Result{}, ctx.Err()
			}
			return failed(r, []action.Failure{{Reason: "dpkg does not tell what was changed: " + err.Error()}}), nil
		}
		r.Changes = changes(m.Before, after)
		h.keepMarks(ctx, m, after)
	}
	missing := h.missing(ctx, o, after)
	if ctx.Err() != nil {
		return action.Result{}, ctx.Err()
	}
	checked := changesPackages(o.Kind)
	switch {
	case exit.GaveUp:
		return failed(r, []action.Failure{{Reason: fmt.Sprintf("the command was stopped after %s", o.Timeout)}}), nil
	case !exit.Known && checked && len(missing) == 0:
		return r, nil // cut off, and yet all that was asked for is so
	case !exit.Known:
		r.Outcome, r.Reason = action.Interrupted, "the command was cut off: the host stopped, or the command was killed"
		if never != nil {
			r.Reason = "the agent was stopped before the command was started"
		}
		return r, nil
	case exit.Code != 0:
		return failed(r, parseFailures(out, h.native)), nil
	case len(missing) > 0:
		return failed(r, missing), nil
	}
	switch o.Kind {
	case action.Refresh:
		h.touch()
	case action.Download:
		h.sizes = nil // what was fetched need not be any more
	case action.Observe, action.Install, action.Repair, action.Restore, action.Reboot, action.Backup, action.Command, action.Check:
	}
	return r, nil
}

// missing lists what is asked for and not so.
func (h *Hands) missing(ctx context.Context, o action.Order, after map[string]version) []action.Failure {
	var all []action.Failure
	add := func(name, format string, args ...any) {
		all = append(all, action.Failure{Name: name, Reason: fmt.Sprintf(format, args...)})
	}
	switch o.Kind {
	case action.Install, action.Restore:
		for _, p := range o.Packages {
			has, ok := after[p.Name]
			switch {
			case !ok:
				add(p.Name, "it is not installed")
			case has.Broken:
				add(p.Name, "it is left half configured in version %s", has.Version)
			case !h.satisfied(ctx, o.Kind, has.Version, p.Version):
				add(p.Name, "it stays in version %s", has.Version)
			}
		}
	case action.Repair:
		for _, name := range slices.Sorted(maps.Keys(after)) {
			if after[name].Broken {
				add(name, "it is left half configured in version %s", after[name].Version)
			}
		}
	case action.Observe, action.Refresh, action.Download, action.Reboot, action.Backup, action.Command, action.Check:
	}
	return all
}

// failed makes a result a failed one, and a sentence of its failures.
func failed(r action.Result, failures []action.Failure) action.Result {
	r.Outcome, r.Failures = action.Failed, failures
	var words []string
	for _, f := range failures[:min(len(failures), maxErrors)] {
		if f.Name == "" {
			words = append(words, f.Reason)
		} else {
			words = append(words, f.Name+": "+f.Reason)
		}
	}
	if more := len(failures) - maxErrors; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	r.Reason = strings.Join(words, "; ")
	return r
}

// pretend says what an order would do.
func (h *Hands) pretend(ctx context.Context, o action.Order, m memo) (action.Result, error) {
	const dry = "dry run: nothing was changed"
	r := action.Result{Outcome: action.Done, Started: time.Now(), Reason: dry, DryRun: true}
	switch {
	case o.Kind == action.Observe:
		return action.Result{Outcome: action.Done, Started: r.Started}, nil
	case len(m.Todo) > 0:
		argv := simulation(o, m)
		out, err := h.run(ctx, "apt-get", argv...)
		if ctx.Err() != nil {
			return action.Result{}, ctx.Err()
		}
		r.Output = tail(dry+"\n$ apt-get "+strings.Join(argv, " ")+"\n"+out, maxOutput)
		if err != nil {
			r = failed(r, []action.Failure{{Reason: "dry run: " + err.Error()}})
		}
	default:
		r.Output = dry + "\nwould run: " + strings.Join(h.command(o, m), " ")
	}
	return r, nil
}

// touch notes a refresh that succeeded. If it can't be noted, the lists look
// older than they are.
func (h *Hands) touch() {
	if err := os.WriteFile(h.stamp(), nil, 0o600); err != nil {
		h.cfg.Log.Warn("note the refresh", "error", err)
		return
	}
	now := time.Now()
	if err := os.Chtimes(h.stamp(), now, now); err != nil {
		h.cfg.Log.Warn("note the refresh", "error", err)
	}
}

// tail is the end of a text, cut at a line if it is cut.
func tail(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	s = s[len(s)-limit:]
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return strings.ToValidUTF8(s, "")
}
