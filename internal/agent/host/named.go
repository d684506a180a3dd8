package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"upkeep/internal/action"
	"upkeep/internal/agent/process"
)

// reasonLines is how many of the last lines of a named command's output make
// the reason of its failure.
const reasonLines = 3

// named is what the host's owner lets an order run. The error is a refusal.
func (h *Hands) named(o action.Order) ([]string, error) {
	return h.cfg.Owned.Argv(o, h.cfg.AllowFile)
}

// about tells a named command what it is run for.
func about(o action.Order) []string {
	env := []string{"UPKEEP_RUN=" + o.Run, "UPKEEP_STEP=" + o.Step, "UPKEEP_TARGET=" + o.Target}
	if o.Kind == action.Playbook {
		env = append(env, "LC_ALL=C.UTF-8", "ANSIBLE_NOCOLOR=1", "ANSIBLE_RETRY_FILES_ENABLED=0") // it refuses other encodings
	}
	return env
}

// again is where a check is kept that is made a second time.
func (h *Hands) again(key string) string { return h.dir(key) + "-again" }

// adoptCheck finds out how a check ended. It changes nothing, so if nobody
// knows, it is made again; but once, for one that brings the host down must
// not do so for ever.
func (h *Hands) adoptCheck(ctx context.Context, o action.Order) (action.Result, error) {
	dir := h.again(o.Key())
	p, err := process.Open(dir)
	if errors.Is(err, process.ErrNone) {
		first, openErr := process.Open(h.dir(o.Key()))
		if openErr == nil {
			exit, err := first.Wait(ctx, o.Timeout)
			if err != nil {
				return action.Result{}, err
			}
			if exit.Known || exit.GaveUp {
				return ended(o, exit, process.Output(h.dir(o.Key()), maxOutput), nil), nil
			}
		} else if !errors.Is(openErr, process.ErrNone) {
			return action.Result{}, openErr
		}
		argv, noName := h.named(o)
		if noName != nil {
			return ended(o, process.Exit{}, "", noName), nil
		}
		p, err = start(dir, o, argv)
	}
	if errors.Is(err, fs.ErrExist) { // we were stopped in the middle of starting it again
		return ended(o, process.Exit{}, "", nil), nil
	}
	if err != nil {
		return action.Result{}, err
	}
	exit, err := p.Wait(ctx, o.Timeout)
	if err != nil {
		return action.Result{}, err
	}
	return ended(o, exit, process.Output(dir, maxOutput), nil), nil
}

// ended turns the end of a named command into the order's. never is why it was
// never started; nil if it was.
func ended(o action.Order, exit process.Exit, output string, never error) action.Result {
	r := action.Result{Outcome: action.Done, Output: tail(output, maxOutput)}
	fail := func(format string, args ...any) action.Result {
		return failed(r, []action.Failure{{Reason: fmt.Sprintf(format, args...)}})
	}
	switch {
	case exit.GaveUp:
		what := fmt.Sprintf("%s was stopped after %s", deed(o), o.Timeout)
		switch o.Kind {
		case action.Playbook:
			what += ": " + playbookFailed(output)
		case action.Unit, action.Container:
			what += "; what it had asked for may still be under way"
		default:
			if said := lastLines(output); said != "" { // such as what a check still waits for
				what += ": " + said
			}
		}
		return fail("%s", what)
	case !exit.Known:
		return cutOff(r, never)
	case exit.Code == 0 && o.Kind == action.Playbook:
		if missed := playbookMissed(o, output); missed != "" {
			return fail("%s %s", deed(o), missed)
		}
		return r
	case exit.Code == 0:
		return r
	}
	what := fmt.Sprintf("%s ended with exit code %d", deed(o), exit.Code)
	if said := reason(o, output); said != "" {
		what += ": " + said
	}
	return fail("%s", what)
}

// reason is what a command has said of its failure.
func reason(o action.Order, output string) string {
	switch o.Kind { //nolint:exhaustive // the others speak for themselves
	case action.Playbook:
		return playbookFailed(output)
	case action.Unit:
		return unitFailed(output)
	}
	return lastLines(output)
}

// deed is what an order runs, for people.
func deed(o action.Order) string {
	switch o.Kind { //nolint:exhaustive // the others are commands by name
	case action.Unit:
		return fmt.Sprintf("systemctl for the unit %q", o.With["unit"])
	case action.Container:
		return fmt.Sprintf("the %s of the container %q", o.With["do"], o.With["container"])
	case action.Playbook:
		return fmt.Sprintf("the playbook %q", o.With["playbook"])
	}
	return fmt.Sprintf("the command %q", o.Command)
}

// lastLines joins the last lines that say something.
func lastLines(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" {
			said = append(said, line)
		}
	}
	return tail(strings.Join(said[max(0, len(said)-reasonLines):], "; "), maxReason)
}
