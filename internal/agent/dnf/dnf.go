// Package dnf knows the package manager of Fedora, Red Hat Enterprise Linux and
// their kin: dnf 4 and rpm, always by fixed argument lists, never asked a
// question. Package host does the rest, package rpm what zypper shares.
//
// Rules that all its commands share: an update removes no package, not even for
// one that replaces it, but for the oldest of several kernels; a package that is
// not installed comes only as a dependency; lists are fetched by a refresh and by
// nothing else; somebody else's lock is waited for before anything is begun. A
// changed configuration file stays as the administrator left it, for rpm sees to
// that. Why a package is there dnf remembers by itself.
//
// dnf ends with success although a %post has failed, so what rpm says of it is
// looked for in the output. Half done is what several versions are installed of
// and what the last of dnf's transactions, if it was cut off, has installed. It is
// mended by installing the same version once more, which runs its scriptlets
// again. Dependencies that somebody broke on purpose (rpm --nodeps) are not
// looked for: an agent can't mend them.
//
// What was recorded in testdata, and what the tests behind the tag e2e run, are
// dnf 4.14.0 and rpm 4.18.0 as Debian 12 packages them, with small packages of
// our own. A host with Fedora, Red Hat Enterprise Linux or a kin of theirs was
// not available. dnf 5 prints otherwise and is refused.
package dnf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/host"
	"upkeep/internal/agent/process"
	"upkeep/internal/agent/rpm"
	"upkeep/internal/fault"
)

// Manager implements host.Manager.
type Manager struct {
	machine    *host.Machine
	db         *rpm.DB
	advisories *advisories // of the updates last seen; nil: to be asked for
}

// New finds the machine's dnf. Errors: not found if it has no dnf 4 and rpm, or
// is one of SUSE's, whose repositories dnf does not know; internal.
func New(machine *host.Machine) (host.Manager, error) {
	if _, err := exec.LookPath("dnf"); err != nil || isSUSE(machine.Text("/etc/os-release")) {
		return nil, fault.NotFound("program", "dnf")
	}
	db, err := rpm.Open(machine)
	if err != nil {
		return nil, err
	}
	m := &Manager{machine: machine, db: db}
	version, err := m.run(context.Background(), "--version")
	if err != nil {
		return nil, fault.Internal("ask dnf for its version", err)
	}
	if !strings.HasPrefix(version, "4.") {
		first, _, _ := strings.Cut(version, "\n")
		return nil, fault.NotFound("program", "dnf 4 (there is "+strings.TrimSpace(first)+")")
	}
	return m, nil
}

func isSUSE(release string) bool {
	for line := range strings.Lines(release) {
		if (strings.HasPrefix(line, "ID=") || strings.HasPrefix(line, "ID_LIKE=")) && strings.Contains(line, "suse") {
			return true
		}
	}
	return false
}

// Name implements host.Manager.
func (m *Manager) Name() string { return "dnf" }

// Valid implements host.Manager.
func (m *Manager) Valid(p action.Package) bool { return rpm.Valid(p) }

// Busy implements host.Manager.
func (m *Manager) Busy(action.Kind) string {
	holder := m.db.PidHolder("/var/cache/dnf/metadata_lock.pid", "/var/lib/dnf/rpmdb_lock.pid", "/var/cache/dnf/download_lock.pid")
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
		if now.Mend, err = m.mendable(ctx, state); err != nil {
			return nil, err
		}
	case o.Kind == action.Download:
		now.Before = nil // it changes none; its memo stays small
	case len(now.Todo) > 0:
		text, err := m.run(ctx, m.simulation(o, state, now)...)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// If it can't be played through, the command itself will say it better.
		if effects, ok := parseSimulation(text, m.db.Native, state); ok || err == nil {
			if why := state.Objection(effects, m.machine.Holds); why != "" {
				return nil, agent.Refuse("%s", why)
			}
		}
	}
	return json.Marshal(now)
}

// environment comes before every command that changes something. Names and
// texts of packages need not be ASCII.
var environment = []string{"env", "LC_ALL=C.UTF-8"}

// fixed asks nothing and fetches no lists. An update that can't be done is left
// out and the others are done, whatever the host's own setting is: what is
// missing afterwards is said package by package.
var fixed = []string{"-y", "--setopt=*.metadata_expire=-1", "--setopt=best=False", "--setopt=clean_requirements_on_remove=False"}

// Command implements host.Manager.
func (m *Manager) Command(o action.Order, memo json.RawMessage) ([]string, error) {
	then, err := rpm.ReadMemo(memo)
	if err != nil {
		return nil, err
	}
	dnf := slices.Concat(environment, []string{"dnf"}, fixed)
	todo := m.specs(then.Before, then.Todo)
	switch {
	case o.Kind == action.Refresh:
		// A repository that can't be reached is an error, unless its own file says otherwise.
		return append(slices.Clone(environment), "dnf", "-y", "--setopt=skip_if_unavailable=False", "makecache", "--refresh"), nil
	case o.Kind == action.Repair && len(then.Mend) > 0:
		return append(append(dnf, "reinstall"), m.specs(nil, then.Mend)...), nil
	case len(todo) == 0:
	case o.Kind == action.Download:
		return append(append(dnf, "upgrade", "--downloadonly"), todo...), nil
	case o.Kind == action.Install:
		return append(append(dnf, "upgrade"), todo...), nil
	case o.Kind == action.Restore:
		return append(append(dnf, "downgrade"), todo...), nil
	}
	return nil, nil
}

// simulation is what an order runs as dnf only plays it through, with one line
// for each package that it would touch.
func (m *Manager) simulation(o action.Order, before rpm.State, now rpm.Memo) []string {
	args := slices.Concat(look, fixed[1:], []string{"--assumeno", "-v"})
	switch o.Kind { //nolint:exhaustive // the others touch no named packages
	case action.Restore:
		return append(append(args, "downgrade"), m.specs(before, now.Todo)...)
	case action.Repair:
		return append(append(args, "reinstall"), m.specs(nil, now.Mend)...)
	}
	return append(append(args, "upgrade"), m.specs(before, now.Todo)...)
}

// specs names packages and versions exactly. A package that is also there in
// another architecture is named with its own.
func (m *Manager) specs(before rpm.State, packages []action.Package) []string {
	var specs []string
	for _, p := range packages {
		name, arch := rpm.Split(p.Name)
		spec := name + "-" + rpm.Full(p.Version)
		if arch == "" && hasForeign(before, name) {
			arch = m.db.Native
		}
		if arch != "" {
			spec += "." + arch
		}
		specs = append(specs, spec)
	}
	return specs
}

func hasForeign(s rpm.State, name string) bool {
	for other := range s {
		if strings.HasPrefix(other, name+":") {
			return true
		}
	}
	return false
}

// Finish implements host.Manager.
func (m *Manager) Finish(ctx context.Context, o action.Order, memo json.RawMessage, exit process.Exit, output string) (host.Report, error) {
	then, err := rpm.ReadMemo(memo)
	if err != nil {
		return host.Report{}, err
	}
	if o.Kind == action.Refresh {
		m.advisories = nil // there may be new ones
	}
	var r host.Report
	if rpm.Changes(o.Kind) {
		after, _, err := m.db.Read(ctx)
		if err != nil {
			return host.Report{}, fmt.Errorf("rpm does not tell what was changed: %w", err)
		}
		r.Changes = rpm.Difference(then.Before, after)
		halfDone := m.halfDone
		if exit.Known && exit.Code == 0 {
			halfDone = m.doubled // its own transaction was the last, and is complete
		}
		half, err := halfDone(ctx, after)
		if err != nil {
			return host.Report{}, fmt.Errorf("dnf does not tell what is half done: %w", err)
		}
		r.Missing = reasons(after.Missing(o, half), output)
	}
	if exit.Known {
		r.Failures = failures(exit.Code, output, m.db.Native, r.Missing)
	}
	return r, ctx.Err()
}

// failures says what went wrong. Scriptlets fail in silence as far as the exit
// code goes; where none did, what is missing says more than the command's last words.
func failures(code int, output, native string, missing []action.Failure) []action.Failure {
	all := rpm.Scriptlets(output, native)
	if code == 0 && len(all) == 0 {
		return nil
	}
	for _, f := range missing {
		if !slices.ContainsFunc(all, func(known action.Failure) bool { return known.Name == f.Name }) {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		all = []action.Failure{{Reason: lastErrors(output, code)}}
	}
	return all
}

// Pretend implements host.Manager.
func (m *Manager) Pretend(ctx context.Context, o action.Order, memo json.RawMessage) (argv []string, output string, err error) {
	then, err := rpm.ReadMemo(memo)
	if err != nil || len(then.Todo)+len(then.Mend) == 0 || o.Kind == action.Refresh {
		return nil, "", err
	}
	args := m.simulation(o, then.Before, then)
	output, err = m.run(ctx, args...)
	if _, ok := parseSimulation(output, m.db.Native, then.Before); ok {
		err = nil // to have said no to what would be done is an error to dnf
	}
	return slices.Concat(environment, []string{"dnf"}, args), output, err
}

// look is how dnf is asked: from what is in its cache, without the network.
var look = []string{"-C"}

// run is the output of a dnf that only looks. Times are those of Greenwich.
func (m *Manager) run(ctx context.Context, args ...string) (string, error) {
	out, err := m.machine.Run(ctx, "env", slices.Concat([]string{"LC_ALL=C.UTF-8", "TZ=UTC", "dnf"}, args)...)
	if said, ok := errors.AsType[*host.CommandError](err); ok {
		err = fmt.Errorf("dnf: %s", lastErrors(said.Said, said.Code))
	}
	return out, err
}
