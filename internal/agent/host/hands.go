package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/process"
)

// lockPoll is how often a lock that somebody else holds is looked at.
const lockPoll = time.Second

// BootID implements agent.Hands.
func (h *Hands) BootID() (string, error) {
	text, err := os.ReadFile(h.machine.Path("/proc/sys/kernel/random/boot_id"))
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// Look implements agent.Hands.
func (h *Hands) Look(ctx context.Context) (action.Observation, error) {
	boot, err := h.BootID()
	if err != nil {
		return action.Observation{}, err
	}
	name, err := os.Hostname()
	if err != nil {
		return action.Observation{}, err
	}
	obs, err := h.manager.Look(ctx)
	if err != nil {
		return action.Observation{}, err
	}
	obs.BootID, obs.Hostname, obs.Manager = boot, name, h.manager.Name()
	obs.System, obs.Kernel = h.machine.System(), h.machine.Kernel()
	obs.Commands, obs.Offers = h.cfg.Owned.Names(), h.cfg.Owned.Offers()
	return obs, nil
}

// Forget implements agent.Hands.
func (h *Hands) Forget(key string) error {
	return errors.Join(os.RemoveAll(h.dir(key)), os.RemoveAll(h.again(key)))
}

// dir is where the command of an order is kept.
func (h *Hands) dir(key string) string { return filepath.Join(h.cfg.Dir, "orders", agent.Hash(key)) }

// Prepare implements agent.Hands. Somebody else's lock is waited for here, for
// who waits inside the package manager has begun already.
func (h *Hands) Prepare(ctx context.Context, o action.Order) (json.RawMessage, error) {
	o = h.order(o)
	for _, p := range o.Packages {
		if !h.manager.Valid(p) {
			return nil, agent.Refuse("%q in version %q is no package", p.Name, p.Version)
		}
	}
	switch o.Kind {
	case action.Observe, action.Reboot:
		return nil, nil
	case action.Backup, action.Command, action.Check, action.Unit, action.Container, action.Playbook:
		_, err := h.named(o)
		return nil, err
	case action.Balance, action.Serving, action.HTTP, action.Query:
		return nil, agent.Refuse("to %s is not for a host", o.Kind)
	case action.Refresh, action.Download, action.Install, action.Repair, action.Restore:
	}
	if !o.DryRun {
		if err := h.waitForLocks(ctx, o.Kind); err != nil {
			return nil, err
		}
	}
	return h.manager.Prepare(ctx, o)
}

// order is an order as this host carries it out.
func (h *Hands) order(o action.Order) action.Order {
	o.DryRun = o.DryRun || h.cfg.DryRun
	return o
}

func (h *Hands) waitForLocks(ctx context.Context, k action.Kind) error {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		holder := h.manager.Busy(k)
		if holder == "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", holder, ctx.Err())
		}
	}
}

// Begin implements agent.Hands.
func (h *Hands) Begin(ctx context.Context, o action.Order, memo json.RawMessage) (action.Result, error) {
	o = h.order(o)
	if o.DryRun {
		return h.pretend(ctx, o, memo)
	}
	argv, err := h.command(o, memo)
	if err != nil {
		return action.Result{}, err
	}
	if argv == nil {
		return h.finish(ctx, o, memo, process.Exit{Known: true}, nil)
	}
	p, err := start(h.dir(o.Key()), o, argv)
	if err != nil {
		return action.Result{}, err
	}
	return h.follow(ctx, o, memo, p)
}

// command is what an order runs; nil if nothing is to be run.
func (h *Hands) command(o action.Order, memo json.RawMessage) ([]string, error) {
	switch {
	case o.Kind == action.Observe:
		return nil, nil
	case o.Kind == action.Reboot:
		return h.cfg.RebootCommand, nil
	case o.Kind.OnHost():
		return h.named(o)
	}
	return h.manager.Command(o, memo)
}

// start sets a command going that outlives us.
func start(dir string, o action.Order, argv []string) (*process.Process, error) {
	begin, env := process.Start, environment()
	if o.Kind.OnHost() {
		begin, env = process.StartGroup, append(env, about(o)...)
	}
	p, err := begin(dir, env, argv)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return p, nil
}

// Adopt implements agent.Hands.
func (h *Hands) Adopt(ctx context.Context, o action.Order, memo json.RawMessage) (action.Result, error) {
	o = h.order(o)
	switch {
	case o.DryRun:
		return h.pretend(ctx, o, memo) // whatever was said of it before, nothing was changed
	case o.Kind == action.Check:
		return h.adoptCheck(ctx, o)
	}
	p, err := process.Open(h.dir(o.Key()))
	if errors.Is(err, process.ErrNone) {
		return h.finish(ctx, o, memo, process.Exit{}, err)
	}
	if err != nil {
		return action.Result{}, err
	}
	return h.follow(ctx, o, memo, p)
}

// follow waits for a command's end.
func (h *Hands) follow(ctx context.Context, o action.Order, memo json.RawMessage, p *process.Process) (action.Result, error) {
	exit, err := p.Wait(ctx, o.Timeout)
	if err != nil {
		return action.Result{}, err
	}
	if o.Kind == action.Reboot && exit.Known && exit.Code == 0 {
		return h.stay(ctx, o)
	}
	return h.finish(ctx, o, memo, exit, nil)
}

// stay waits for the host to go down. To come back from it is a failure.
func (h *Hands) stay(ctx context.Context, o action.Order) (action.Result, error) {
	// Across the agent's own restarts the command's folder knows when it began.
	left := o.Timeout
	if info, err := os.Stat(h.dir(o.Key())); err == nil {
		left = min(max(0, o.Timeout-time.Since(info.ModTime())), o.Timeout)
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return action.Result{}, ctx.Err()
	case <-timer.C:
		why := fmt.Sprintf("%q was run, and %s later the host still runs the same boot", strings.Join(h.cfg.RebootCommand, " "), o.Timeout)
		return failed(action.Result{}, []action.Failure{{Reason: why}}), nil
	}
}
