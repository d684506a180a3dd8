package agenttest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
)

// Life is one process of the agent. What it tries after its end has no effect.
type Life struct {
	world *World
	power context.Context
	ctx   context.Context
	kill  context.CancelFunc
}

// Hands are the host's.
func (l *Life) Hands() agent.Hands { return hands{l} }

// Journal is on the host's disk.
func (l *Life) Journal() agent.Journal { return memory{l} }

type hands struct{ l *Life }

func (h hands) BootID() (string, error) {
	h.l.world.mu.Lock()
	defer h.l.world.mu.Unlock()
	return h.l.world.bootID(), nil
}

func (h hands) Look(ctx context.Context) (action.Observation, error) {
	w := h.l.world
	if err := h.step(); err != nil {
		return action.Observation{}, err
	}
	if !sleep(ctx, w.cfg.LookTakes) {
		return action.Observation{}, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	obs := action.Observation{
		BootID: w.bootID(), Hostname: w.cfg.Name, System: "Pretended GNU/Linux", Kernel: "6.1.0", Arch: "amd64", Manager: "apt",
		RebootRequired: len(w.reboot) > 0, RebootPackages: slices.Clone(w.reboot), ListsAge: time.Since(w.fresh),
		Commands: slices.Sorted(maps.Keys(w.commands)),
	}
	for _, name := range slices.Sorted(maps.Keys(w.packages)) {
		p := w.packages[name]
		switch {
		case p.half:
			obs.HalfConfigured = append(obs.HalfConfigured, name)
		case p.Held:
			obs.Held = append(obs.Held, name)
		case p.listed != p.Installed && p.listed != "":
			obs.Pending = append(obs.Pending, action.Pending{Name: name, From: p.Installed, To: p.listed, Security: p.secure, Origin: "Pretended:1/stable"})
		}
	}
	return obs, nil
}

// memo is the versions before an order.
type memo map[string]string

func (h hands) Prepare(ctx context.Context, o action.Order) (json.RawMessage, error) {
	w := h.l.world
	if err := h.step(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	busy := time.Until(w.locked)
	_, named := w.commands[o.Command]
	w.mu.Unlock()
	switch {
	case o.Kind.Names() && !named:
		return nil, agent.Refuse("this host's owner has no command named %q", o.Command)
	case o.Kind.Names() || o.DryRun:
		busy = 0 // nobody's lock is in the way
	}
	if busy > 0 && !sleep(ctx, busy) {
		return nil, fmt.Errorf("somebody else holds the package manager's lock: %w", ctx.Err())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return json.Marshal(w.versions())
}

func (w *World) versions() memo {
	m := memo{}
	for name, p := range w.packages {
		m[name] = p.Installed
	}
	return m
}

func (h hands) Begin(ctx context.Context, o action.Order, before json.RawMessage) (action.Result, error) {
	if o.DryRun && o.Kind != action.Observe {
		return h.pretend(o)
	}
	return h.begin(ctx, o, before)
}

func (h hands) begin(ctx context.Context, o action.Order, before json.RawMessage) (action.Result, error) {
	w := h.l.world
	w.mu.Lock()
	if err := w.step(h.l); err != nil {
		w.mu.Unlock()
		return action.Result{}, err
	}
	k := &work{ended: make(chan struct{})}
	w.works[o.Key()] = k
	w.note(Event{What: Began, Key: o.Key(), Kind: o.Kind, Command: o.Command})
	go w.do(h.l.power, o, k)
	err := w.step(h.l)
	w.mu.Unlock()
	if err != nil {
		return action.Result{}, err
	}
	return h.wait(ctx, o, k, before)
}

// pretend answers a dry run.
func (h hands) pretend(o action.Order) (action.Result, error) {
	w := h.l.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.step(h.l); err != nil {
		return action.Result{}, err
	}
	w.note(Event{What: Pretended, Key: o.Key(), Kind: o.Kind, Command: o.Command})
	r := action.Result{Outcome: action.Done, Started: time.Now(), DryRun: true, Reason: "dry run: nothing was changed"}
	for _, want := range o.Packages {
		if why := w.unknown(o, want); why != "" {
			r.Outcome, r.Reason = action.Failed, "dry run: "+why
			r.Failures = append(r.Failures, action.Failure{Name: want.Name, Reason: why})
		}
	}
	if o.Kind.Names() {
		r.Reason += "; would run: " + o.Command
	}
	return r, w.step(h.l)
}

func (h hands) Adopt(ctx context.Context, o action.Order, before json.RawMessage) (action.Result, error) {
	w := h.l.world
	if err := h.step(); err != nil {
		return action.Result{}, err
	}
	if o.DryRun && o.Kind != action.Observe {
		return h.pretend(o)
	}
	w.mu.Lock()
	k := w.works[o.Key()]
	again := k == nil && o.Kind == action.Check && !w.again[o.Key()]
	if again {
		w.again[o.Key()] = true
	}
	w.mu.Unlock()
	switch {
	case k != nil:
		return h.wait(ctx, o, k, before)
	case again:
		return h.begin(ctx, o, before)
	}
	return h.answer(o, action.Result{Outcome: action.Interrupted, Reason: "nobody knows how it ended"}, before)
}

func (h hands) Forget(key string) error {
	w := h.l.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.step(h.l); err != nil {
		return err
	}
	if k := w.works[key]; k != nil {
		select {
		case <-k.ended:
			delete(w.works, key)
		default:
			return fmt.Errorf("%s is under way", key)
		}
	}
	return nil
}

func (h hands) step() error {
	h.l.world.mu.Lock()
	defer h.l.world.mu.Unlock()
	return h.l.world.step(h.l)
}

func (h hands) wait(ctx context.Context, o action.Order, k *work, before json.RawMessage) (action.Result, error) {
	select {
	case <-k.ended:
	case <-ctx.Done():
		return action.Result{}, ctx.Err()
	}
	return h.answer(o, k.result, before)
}

// answer adds what has changed since before.
func (h hands) answer(o action.Order, r action.Result, before json.RawMessage) (action.Result, error) {
	w := h.l.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.step(h.l); err != nil {
		return action.Result{}, err
	}
	var then memo
	if err := json.Unmarshal(before, &then); err != nil {
		return action.Result{}, err
	}
	now := w.versions()
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if then[name] != now[name] {
			r.Changes = append(r.Changes, action.Change{Name: name, From: then[name], To: now[name]})
		}
	}
	if r.Outcome == action.Interrupted && (o.Kind == action.Install || o.Kind == action.Restore) && w.satisfied(o) {
		r.Outcome, r.Reason = action.Done, ""
	}
	return r, nil
}

func (w *World) satisfied(o action.Order) bool {
	for _, want := range o.Packages {
		if p := w.packages[want.Name]; p == nil || p.half || p.Installed != want.Version {
			return false
		}
	}
	return true
}

// do is the work of an order, as long as there is power.
func (w *World) do(power context.Context, o action.Order, k *work) {
	defer close(k.ended)
	start := time.Now()
	r := action.Result{Outcome: action.Done, Started: start}
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if power.Err() != nil {
			return
		}
		r.Finished = time.Now()
		k.result = r
		w.note(Event{What: Finished, Key: o.Key(), Kind: o.Kind, Command: o.Command})
	}()
	fail := func(name, reason string) {
		r.Outcome = action.Failed
		r.Failures = append(r.Failures, action.Failure{Name: name, Reason: reason})
		r.Reason = reason
	}
	switch o.Kind {
	case action.Observe:
	case action.Refresh:
		sleep(power, w.cfg.RefreshTakes)
		w.mu.Lock()
		dead := w.dead
		w.mu.Unlock()
		if dead != "" {
			fail("", dead)
			return
		}
		if power.Err() == nil {
			w.list()
		}
	case action.Download:
		sleep(power, w.cfg.FetchTakes*time.Duration(len(o.Packages)))
	case action.Install, action.Restore:
		for _, want := range o.Packages {
			if reason := w.install(power, o, want); reason != "" {
				fail(want.Name, reason)
			}
		}
	case action.Repair:
		w.repair(power, fail)
	case action.Reboot:
		if w.restart(power, o) {
			return
		}
		fail("", fmt.Sprintf("the host still runs the same boot after %s", o.Timeout))
	case action.Backup, action.Command, action.Check:
		if reason := w.command(power, o); reason != "" {
			fail("", reason)
		}
	case action.Unit, action.Container, action.Playbook:
		// the pretended host has none
	case action.Balance, action.Serving, action.HTTP, action.Query:
		// the agent refuses them
	}
}

// command runs a named command, and says why it failed.
func (w *World) command(power context.Context, o action.Order) string {
	w.mu.Lock()
	c, f := w.commands[o.Command], w.failing[o.Command]
	if f.times > 0 {
		c.Fails = f.why
		w.failing[o.Command] = failing{f.why, f.times - 1}
	}
	w.mu.Unlock()
	switch {
	case !sleep(power, min(c.Takes, o.Timeout)):
		return "cut off"
	case c.Takes > o.Timeout:
		return fmt.Sprintf("the command %q was stopped after %s", o.Command, o.Timeout)
	case c.Fails != "":
		return fmt.Sprintf("the command %q ended with exit code 1: %s", o.Command, c.Fails)
	}
	return ""
}

// install brings one package to a version, and says why that failed.
func (w *World) install(power context.Context, o action.Order, want action.Package) string {
	w.mu.Lock()
	if why := w.unknown(o, want); why != "" {
		w.mu.Unlock()
		return why
	}
	p := w.packages[want.Name]
	if p.Installed == want.Version && !p.half {
		w.mu.Unlock()
		return ""
	}
	takes := p.Takes
	w.mu.Unlock()
	if power.Err() != nil {
		return "cut off"
	}
	if !sleep(power, takes) {
		w.mu.Lock()
		defer w.mu.Unlock()
		p.half = true
		return "cut off"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(Event{What: Installed, Key: o.Key(), Kind: o.Kind, Package: want.Name, Version: want.Version})
	p.Installed, p.half = want.Version, false
	if want.Version == p.Candidate {
		if p.WantsReboot {
			w.reboot = append(w.reboot, want.Name)
		}
		if p.Fails != "" {
			p.half = true
			return p.Fails
		}
	}
	return ""
}

// unknown says why a package can't be had. The caller holds w.mu.
func (w *World) unknown(o action.Order, want action.Package) string {
	if p := w.packages[want.Name]; p == nil || want.Version != p.Candidate && o.Kind == action.Install {
		return fmt.Sprintf("Version '%s' for '%s' was not found", want.Version, want.Name)
	}
	return ""
}

// repair configures what is half configured.
func (w *World) repair(power context.Context, fail func(name, reason string)) {
	w.mu.Lock()
	names := slices.Sorted(maps.Keys(w.packages))
	w.mu.Unlock()
	for _, name := range names {
		w.mu.Lock()
		p := w.packages[name]
		half, takes := p.half, p.Takes
		w.mu.Unlock()
		if !half || !sleep(power, takes) {
			continue
		}
		w.mu.Lock()
		if p.Fails != "" && p.Installed == p.Candidate {
			fail(name, p.Fails)
		} else {
			p.half = false
		}
		w.mu.Unlock()
	}
}

// restart ends this boot. It returns false if the host is still there after
// the order's timeout.
func (w *World) restart(power context.Context, o action.Order) bool {
	w.mu.Lock()
	stuck := w.stuck > 0
	if stuck {
		w.stuck--
	}
	w.mu.Unlock()
	if stuck {
		return !sleep(power, o.Timeout)
	}
	if sleep(power, w.cfg.Shutdown) {
		w.CutPower()
	}
	return true
}
