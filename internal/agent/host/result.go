package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent/process"
)

const (
	maxOutput   = 16 << 10 // bytes of output in a result
	maxReason   = 1 << 10  // bytes of output in a reason
	maxFailures = 5        // failures in a reason
	parseTail   = 1 << 20  // bytes of output in which a manager looks for failures
)

// finish turns a command's end into the order's. never is why the command was
// never started; nil if it was, or if none was needed. The error is ctx's only.
func (h *Hands) finish(ctx context.Context, o action.Order, memo json.RawMessage, exit process.Exit, never error) (action.Result, error) {
	out := process.Output(h.dir(o.Key()), parseTail)
	switch {
	case o.Kind == action.Unit && exit.Known && exit.Code != 0:
		out += h.unitLog(ctx, o, out)
		return ended(o, exit, out, never), ctx.Err()
	case o.Kind.OnHost():
		return ended(o, exit, out, never), nil
	case o.Kind == action.Observe:
		return action.Result{Outcome: action.Done}, nil
	}
	r := action.Result{Outcome: action.Done, Output: tail(out, maxOutput)}
	var report Report
	var err error
	if o.Kind == action.Reboot {
		if exit.Code != 0 {
			report.Failures = []action.Failure{{Reason: lastLine(out)}}
		}
	} else if report, err = h.manager.Finish(ctx, o, memo, exit, out); err != nil {
		if ctx.Err() != nil {
			return action.Result{}, ctx.Err()
		}
		return failed(r, []action.Failure{{Reason: err.Error()}}), nil
	}
	r.Changes = report.Changes
	switch {
	case exit.GaveUp:
		return failed(r, []action.Failure{{Reason: fmt.Sprintf("the command was stopped after %s", o.Timeout)}}), nil
	case !exit.Known && changesPackages(o.Kind) && len(report.Missing) == 0:
		return r, nil // cut off, and yet all that was asked for is so
	case !exit.Known:
		return cutOff(r, never), nil
	case len(report.Failures) > 0:
		return failed(r, report.Failures), nil
	case len(report.Missing) > 0:
		return failed(r, report.Missing), nil
	case o.Kind == action.Refresh:
		h.machine.touch()
	}
	return r, nil
}

func changesPackages(k action.Kind) bool {
	return k == action.Install || k == action.Repair || k == action.Restore
}

// cutOff is the end of an order that nobody saw.
func cutOff(r action.Result, never error) action.Result {
	r.Outcome, r.Reason = action.Interrupted, "the command was cut off: the host stopped, or the command was killed"
	if never != nil {
		r.Reason = "the agent was stopped before the command was started"
	}
	return r
}

// failed makes a result a failed one, and a sentence of its failures.
func failed(r action.Result, failures []action.Failure) action.Result {
	r.Outcome, r.Failures = action.Failed, failures
	var words []string
	for _, f := range failures[:min(len(failures), maxFailures)] {
		if f.Name == "" {
			words = append(words, f.Reason)
		} else {
			words = append(words, f.Name+": "+f.Reason)
		}
	}
	if more := len(failures) - maxFailures; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	r.Reason = strings.Join(words, "; ")
	return r
}

// dry is how every answer to a dry run begins.
const dry = "dry run: nothing was changed"

// pretend says what an order would do. The error is ctx's only.
func (h *Hands) pretend(ctx context.Context, o action.Order, memo json.RawMessage) (action.Result, error) {
	r := action.Result{Outcome: action.Done, Started: time.Now(), Reason: dry, DryRun: true}
	if o.Kind == action.Observe {
		return action.Result{Outcome: action.Done, Started: r.Started}, nil
	}
	would, err := "", error(nil)
	if !o.Kind.OnHost() && o.Kind != action.Reboot {
		would, err = h.play(ctx, o, memo)
	}
	if would == "" && err == nil {
		would, err = h.would(o, memo)
		r.Reason += "; " + would
	}
	if ctx.Err() != nil {
		return action.Result{}, ctx.Err()
	}
	r.Output = tail(dry+"\n"+would, maxOutput)
	if err != nil {
		r = failed(r, []action.Failure{{Reason: "dry run: " + err.Error()}})
	}
	return r, nil
}

// play lets the manager play an order through; empty if it can't.
func (h *Hands) play(ctx context.Context, o action.Order, memo json.RawMessage) (string, error) {
	argv, out, err := h.manager.Pretend(ctx, o, memo)
	if argv == nil {
		return "", err
	}
	return "$ " + strings.Join(argv, " ") + "\n" + out, err
}

// would says which command an order would run.
func (h *Hands) would(o action.Order, memo json.RawMessage) (string, error) {
	argv, err := h.command(o, memo)
	if argv == nil {
		return "nothing would be run", err
	}
	return "would run: " + strings.Join(argv, " "), nil
}

// touch notes a refresh that succeeded. If it can't be noted, the lists look
// older than they are.
func (m *Machine) touch() {
	if err := os.WriteFile(m.stamp(), nil, 0o600); err != nil {
		m.Log.Warn("note the refresh", "error", err)
		return
	}
	now := time.Now()
	if err := os.Chtimes(m.stamp(), now, now); err != nil {
		m.Log.Warn("note the refresh", "error", err)
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

// lastLine is the last line that says something.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}
