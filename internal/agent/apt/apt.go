// Package apt knows Debian's package manager and its kin's: apt-get and dpkg,
// always by fixed argument lists, never asked a question, never left holding a
// terminal. Package host does the rest.
//
// Rules that all its commands share: a changed configuration file stays as the
// host's administrator left it (confold); an update removes no package; a
// package that was installed as a dependency stays marked so; somebody else's
// lock is waited for before anything is begun.
package apt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"upkeep/internal/action"
	"upkeep/internal/agent/host"
	"upkeep/internal/agent/process"
	"upkeep/internal/fault"
)

// Manager implements host.Manager.
type Manager struct {
	machine *host.Machine
	native  string           // architecture
	sizes   map[string]int64 // "name_version" → bytes to be downloaded, of the updates last seen
}

// New finds the machine's apt. Errors: not found if it has no apt-get and
// dpkg, internal.
func New(machine *host.Machine) (host.Manager, error) {
	for _, tool := range []string{"apt-get", "dpkg", "dpkg-query"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fault.NotFound("program", tool)
		}
	}
	m := &Manager{machine: machine}
	arch, err := m.run(context.Background(), "dpkg", "--print-architecture")
	if err != nil {
		return nil, fault.Internal("ask dpkg for the host's architecture", err)
	}
	m.native = strings.TrimSpace(arch)
	return m, nil
}

// Name implements host.Manager.
func (m *Manager) Name() string { return "apt" }

// Valid implements host.Manager.
func (m *Manager) Valid(p action.Package) bool { return validName(p.Name) && validVersion(p.Version) }

// Finish implements host.Manager.
func (m *Manager) Finish(ctx context.Context, o action.Order, memo json.RawMessage, exit process.Exit, output string) (host.Report, error) {
	then, err := readMemo(memo)
	if err != nil {
		return host.Report{}, err
	}
	var r host.Report
	if changesPackages(o.Kind) {
		after, err := m.versions(ctx)
		if err != nil {
			return host.Report{}, fmt.Errorf("dpkg does not tell what was changed: %w", err)
		}
		r.Changes = changes(then.Before, after)
		m.keepMarks(ctx, then, after)
		r.Missing = m.missing(ctx, o, after)
	}
	if exit.Known && exit.Code != 0 {
		r.Failures = parseFailures(output, m.native)
	}
	if o.Kind == action.Download && exit.Known {
		m.sizes = nil // what was fetched need not be any more
	}
	return r, ctx.Err()
}

// Pretend implements host.Manager.
func (m *Manager) Pretend(ctx context.Context, o action.Order, memo json.RawMessage) (argv []string, output string, err error) {
	then, err := readMemo(memo)
	if err != nil || len(then.Todo) == 0 {
		return nil, "", err
	}
	args := simulation(o, then)
	output, err = m.run(ctx, "apt-get", args...)
	return append([]string{"apt-get"}, args...), output, err
}

// run is the output of a command that only looks.
func (m *Manager) run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := m.machine.Run(ctx, name, args...)
	if said, ok := errors.AsType[*host.CommandError](err); ok {
		if why := lastErrors(strings.Split(said.Said, "\n")); why != "" {
			err = fmt.Errorf("%s: %s", name, why)
		}
	}
	return out, err
}
