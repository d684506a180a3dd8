// Package zypper knows the package manager of SUSE Linux Enterprise and
// openSUSE: zypper and rpm, always by fixed argument lists, never asked a
// question. Package host does the rest, package rpm what dnf shares.
//
// Rules that all its commands share: an update removes no package, not even for
// one that replaces it; zypper has no option for that, so each order is played
// through before it is begun, and refused. A package that is not installed comes
// only as a dependency, and a recommended one not at all; lists are fetched by a
// refresh and by nothing else; no key is trusted and no licence agreed to that
// the administrator has not; somebody else's lock is waited for before anything
// is begun. A changed configuration file stays as the administrator left it, for
// rpm sees to that.
//
// What zypper says is read as XML, but for what an advisory is about, which it
// only writes as text. Half done is what several versions are installed of, for
// zypper starts an rpm for each package. It is mended by installing the newest
// version once more, which runs its scriptlets again. Unlike apt, zypper takes a
// lock even to look: what it says meanwhile to others is that they have to wait.
//
// What was recorded in testdata, and what the tests behind the tag e2e run, are
// zypper 1.14.42 and rpm 4.18.0 as Debian 12 packages them, with small packages of
// our own. A host with SUSE Linux Enterprise or openSUSE was not available.
package zypper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/host"
	"upkeep/internal/agent/process"
	"upkeep/internal/agent/rpm"
	"upkeep/internal/fault"
)

// Manager implements host.Manager.
type Manager struct {
	machine *host.Machine
	db      *rpm.DB
	patches *patches // of the updates last seen; nil: to be asked for
}

// New finds the machine's zypper. Errors: not found if it has no zypper and rpm,
// internal.
func New(machine *host.Machine) (host.Manager, error) {
	if _, err := exec.LookPath("zypper"); err != nil {
		return nil, fault.NotFound("program", "zypper")
	}
	db, err := rpm.Open(machine)
	if err != nil {
		return nil, err
	}
	return &Manager{machine: machine, db: db}, nil
}

// Name implements host.Manager.
func (m *Manager) Name() string { return "zypper" }

// Valid implements host.Manager.
func (m *Manager) Valid(p action.Package) bool { return rpm.Valid(p) }

// Busy implements host.Manager.
func (m *Manager) Busy(action.Kind) string {
	holder := m.db.PidHolder("/run/zypp.pid", "/run/zypp-rpm.pid")
	if holder == "" {
		holder = m.db.LockHolder()
	}
	return holder
}

// Prepare implements host.Manager.
func (m *Manager) Prepare(ctx context.Context, o action.Order) (json.RawMessage, error) {
	var now rpm.Memo
	if o.Kind == action.Refresh {
		return json.Marshal(now)
	}
	state, _, err := m.db.Read(ctx)
	if err != nil {
		return nil, err
	}
	now.Before, now.Todo = state, state.Todo(o)
	switch {
	case o.Kind == action.Repair:
		names, err := m.halfDone(ctx, state)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			now.Mend = append(now.Mend, action.Package{Name: name, Version: state.Newest(name)})
		}
	case o.Kind == action.Download:
		now.Before = nil // it changes none; its memo stays small
	case len(now.Todo) > 0:
		text, err := m.run(ctx, simulation(o, now)...)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			break // it can't be played through: the command itself will say it better
		}
		if why := state.Objection(parseSummary(text, m.db.Native), m.machine.Holds); why != "" {
			return nil, agent.Refuse("%s", why)
		}
	}
	return json.Marshal(now)
}

// environment comes before every command. Names and texts of packages need not
// be ASCII, and a lock that was free when we looked is waited for a little, in
// seconds: not long, for the order may not begin late.
var environment = []string{"env", "LC_ALL=C.UTF-8", "ZYPP_LOCK_TIMEOUT=30"}

// install asks nothing, fetches no lists and lets nothing go for what it installs.
var install = []string{"install", "--type", "package", "--no-recommends", "--no-force-resolution"}

// Command implements host.Manager.
func (m *Manager) Command(o action.Order, memo json.RawMessage) ([]string, error) {
	then, err := rpm.ReadMemo(memo)
	if err != nil {
		return nil, err
	}
	zypper := slices.Concat(environment, []string{"zypper", "--non-interactive"})
	if o.Kind == action.Refresh {
		return append(zypper, "refresh"), nil
	}
	args := arguments(o, then)
	if args == nil {
		return nil, nil
	}
	return slices.Concat(zypper, []string{"--no-refresh"}, args), nil
}

// arguments is what an order has zypper do; nil if nothing.
func arguments(o action.Order, then rpm.Memo) []string {
	switch {
	case o.Kind == action.Repair && len(then.Mend) > 0:
		return slices.Concat(install, []string{"--force"}, specs(then.Mend))
	case len(then.Todo) == 0:
	case o.Kind == action.Download:
		return slices.Concat(install, []string{"--download-only"}, specs(then.Todo))
	case o.Kind == action.Install:
		return slices.Concat(install, specs(then.Todo))
	case o.Kind == action.Restore:
		return slices.Concat(install, []string{"--oldpackage"}, specs(then.Todo))
	}
	return nil
}

// simulation is what an order does as zypper only plays it through.
func simulation(o action.Order, then rpm.Memo) []string {
	args := arguments(o, then)
	return slices.Insert(args, len(install), "--dry-run")
}

// specs names packages and versions exactly.
func specs(packages []action.Package) []string {
	var specs []string
	for _, p := range packages {
		name, arch := rpm.Split(p.Name)
		if arch != "" {
			name += "." + arch
		}
		specs = append(specs, name+"="+p.Version)
	}
	return specs
}

// Finish implements host.Manager.
func (m *Manager) Finish(ctx context.Context, o action.Order, memo json.RawMessage, exit process.Exit, output string) (host.Report, error) {
	then, err := rpm.ReadMemo(memo)
	if err != nil {
		return host.Report{}, err
	}
	if o.Kind == action.Refresh {
		m.patches = nil // there may be new ones
	}
	var r host.Report
	if rpm.Changes(o.Kind) {
		after, _, err := m.db.Read(ctx)
		if err != nil {
			return host.Report{}, fmt.Errorf("rpm does not tell what was changed: %w", err)
		}
		r.Changes = rpm.Difference(then.Before, after)
		half, err := m.halfDone(ctx, after)
		if err != nil {
			return host.Report{}, fmt.Errorf("rpm does not tell what is half done: %w", err)
		}
		r.Missing = after.Missing(o, half)
	}
	if exit.Known {
		r.Failures = failures(exit.Code, output, m.db.Native, r.Missing)
	}
	return r, ctx.Err()
}

// What zypper's exit codes say, of those that are none of a failure.
const (
	exitReboot   = 102 // all is done, and wants a reboot
	exitRestart  = 103 // all is done, and zypper itself was updated
	exitNotFound = 104 // of a search
)

// failures says what went wrong. A package whose scriptlet failed, or that rpm
// could not install, is named; others that are missing were not tried any more,
// for zypper stops at the first.
func failures(code int, output, native string, missing []action.Failure) []action.Failure {
	all := rpm.Scriptlets(output, native)
	for _, name := range parseNotInstalled(output, native) {
		if !names(all, name) {
			all = append(all, action.Failure{Name: name, Reason: "rpm could not install it"})
		}
	}
	if len(all) == 0 && (code == 0 || code == exitReboot || code == exitRestart) {
		return nil
	}
	why := ""
	if len(all) == 0 {
		why = lastErrors(output, code)
	}
	for _, f := range missing {
		if !names(all, f.Name) {
			if why != "" {
				f.Reason += ": " + why
			}
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		all = []action.Failure{{Reason: why}}
	}
	return all
}

func names(all []action.Failure, name string) bool {
	return slices.ContainsFunc(all, func(f action.Failure) bool { return f.Name == name })
}

// Pretend implements host.Manager.
func (m *Manager) Pretend(ctx context.Context, o action.Order, memo json.RawMessage) (argv []string, output string, err error) {
	then, err := rpm.ReadMemo(memo)
	if err != nil || arguments(o, then) == nil {
		return nil, "", err
	}
	args := slices.Concat([]string{"--non-interactive", "--no-refresh"}, simulation(o, then))
	output, err = m.machine.Run(ctx, "env", slices.Concat(environment[1:], []string{"zypper"}, args)...)
	return slices.Concat(environment, []string{"zypper"}, args), output, spoken(output, err)
}

// run is the output, as XML, of a zypper that changes nothing.
func (m *Manager) run(ctx context.Context, args ...string) (string, error) {
	out, err := m.machine.Run(ctx, "env", slices.Concat(environment[1:], []string{"zypper", "--non-interactive", "--xmlout", "--no-refresh"}, args)...)
	return out, spoken(out, err)
}

// spoken makes an error of what zypper says, which it says on both its outputs.
func spoken(out string, err error) error {
	var said *host.CommandError
	if !errors.As(err, &said) {
		return err
	}
	words := messages(out)
	if words == "" {
		words = out // it was not asked for XML
	}
	return &exitError{code: said.Code, why: lastErrors(words+"\n"+said.Said, said.Code)}
}

// exitError is a zypper that did not succeed.
type exitError struct {
	code int
	why  string
}

func (e *exitError) Error() string { return "zypper: " + e.why }
