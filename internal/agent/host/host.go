// Package host is the agent's hands: what maintaining a host takes whatever
// its package manager is. A Manager knows one package manager's commands and
// their answers; the rest is here, once: to begin a command and to adopt it
// after a crash, to reboot, to run what the host's owner has a name for, to
// pretend in a dry run.
//
// What changes the host runs under package process, in a session of its own,
// and survives the agent. What only looks is an ordinary child. Both get the
// same small environment, and no terminal.
package host

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/process"
	"upkeep/internal/fault"
)

// Manager is a host's package manager. Its methods are called one after the
// other, never at once. Orders are of the kinds Refresh, Download, Install,
// Repair and Restore: the hands do the others without it.
type Manager interface {
	// Name is what Observation.Manager says, such as "apt".
	Name() string

	// Look says what only the package manager knows: Arch, Pending, Held,
	// HalfConfigured, RebootRequired, RebootPackages, ListsAge. The hands add
	// the rest. It changes nothing and takes no lock. An error says why the
	// host can't tell.
	Look(ctx context.Context) (action.Observation, error)

	// Valid reports whether p could be a package, so that what is none is
	// never taken for an option.
	Valid(p action.Package) bool

	// Busy says who holds a lock that an order of this kind needs, such as
	// "apt-get (123) holds the lock /var/lib/dpkg/lock"; empty if nobody
	// does, or if that can't be told. It is asked every second until it is
	// empty, and not for a dry run.
	Busy(k action.Kind) string

	// Prepare reads what the methods below must know of the time before the
	// order, as JSON, which the journal keeps. It changes nothing. Errors:
	// agent.Refuse's if the order is not to be tried, and any other if the
	// host can't tell.
	Prepare(ctx context.Context, o action.Order) (memo json.RawMessage, err error)

	// Command is what the order runs; nil if nothing is to be run. Always
	// fixed arguments that ask nothing.
	Command(o action.Order, memo json.RawMessage) ([]string, error)

	// Finish says what has become of the order after its command has ended,
	// however it did: exit is not Known if the command was cut off or never
	// started, and 0 if there was none to run. output is the end of what it
	// printed, 1 MiB at most. An error that is not ctx's says why it can't be
	// told what was changed; then the order has failed.
	Finish(ctx context.Context, o action.Order, memo json.RawMessage, exit process.Exit, output string) (Report, error)

	// Pretend plays the order through and changes nothing. It returns the
	// command that it ran for that, and what that printed; no command if the
	// manager can't pretend, and then the hands say what would be run. An
	// error says why the order would fail.
	Pretend(ctx context.Context, o action.Order, memo json.RawMessage) (argv []string, output string, err error)
}

// Report is what has become of an order.
type Report struct {
	// Changes are the packages that have another version now. Only Install,
	// Repair and Restore have any.
	Changes []action.Change

	// Failures is what the command itself says went wrong, by package; one
	// without a name is of the command as a whole. nil says that its exit
	// code is one of success: each manager has its own. It is not looked at
	// if the command was cut off or stopped.
	Failures []action.Failure

	// Missing is what was asked for and is not so, whatever the command says.
	// An Install, Repair or Restore that misses nothing is done, even if it
	// was cut off.
	Missing []action.Failure
}

// A Make makes the manager of a machine. Errors: not found if the machine is
// not maintained with it, and internal.
type Make func(*Machine) (Manager, error)

// Config is what hands need to know.
type Config struct {
	Dir           string                 // where commands under way are kept; the agent's folder
	RebootCommand []string               // nil: reboot
	Owned         agent.Owned            // what the host's owner has names for
	AllowFile     string                 // where the owner writes them, for what is said about those that are missing
	DryRun        bool                   // every order is a dry run; needs no root
	Holds         func(name string) bool // packages that the host's owner holds; nil: none
	Root          string                 // what the host's files are in: empty but in tests
	Log           *slog.Logger           // nil: silent
}

// Hands implement agent.Hands.
type Hands struct {
	cfg     Config
	machine *Machine
	manager Manager
}

// New makes the hands of this machine, with the first of the managers that it
// is maintained with. Errors: invalid for a Config without Dir and for a
// machine that is maintained with none of them, internal.
func New(cfg Config, makes ...Make) (*Hands, error) {
	if cfg.Dir == "" {
		return nil, fault.Invalid("dir", "the hands need a folder")
	}
	if len(cfg.RebootCommand) == 0 {
		cfg.RebootCommand = []string{"reboot"}
	}
	if cfg.Holds == nil {
		cfg.Holds = func(string) bool { return false }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hands{cfg: cfg, machine: &Machine{Root: cfg.Root, Holds: cfg.Holds, Log: cfg.Log, dir: cfg.Dir}}
	var not []string
	for _, m := range makes {
		manager, err := m(h.machine)
		switch {
		case err == nil:
			h.manager = manager
			return h, nil
		case !fault.Is(err, fault.KindNotFound):
			return nil, err
		}
		not = append(not, err.Error())
	}
	return nil, fault.Invalid("host", "this agent does not know its package manager: %s", strings.Join(not, "; "))
}
