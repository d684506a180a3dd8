// Package apt is the agent's hands for Debian and its kin: apt-get and dpkg,
// always by fixed argument lists, never asked a question, never left holding a
// terminal.
//
// What changes the host runs under package process, in a session of its own,
// and survives the agent. What only looks is an ordinary child.
//
// Rules that all commands share: a changed configuration file stays as the
// host's administrator left it (confold); an update removes no package; a
// package that was installed as a dependency stays marked so; somebody else's
// lock is waited for before anything is begun.
package apt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/process"
	"upkeep/internal/fault"
)

// Config is what apt's hands need to know.
type Config struct {
	Dir           string                 // where commands under way are kept; the agent's folder
	RebootCommand []string               // nil: reboot
	DryRun        bool                   // say what would be done, and do nothing; needs no root
	Holds         func(name string) bool // packages that the host's owner holds; nil: none
	Log           *slog.Logger           // nil: silent
}

// Hands implement agent.Hands.
type Hands struct {
	cfg    Config
	native string           // architecture
	root   string           // what the host's files are in: empty but in tests
	sizes  map[string]int64 // "name_version" → bytes to be downloaded, of the updates last seen
}

const (
	maxOutput = 16 << 10 // bytes of output in a result
	maxRead   = 8 << 20  // bytes read of a command that looks
	parseTail = 1 << 20  // bytes of output in which failures are looked for
)

// New finds the host's apt. Errors: invalid for a host without apt-get and
// dpkg, or a Config without Dir.
func New(cfg Config) (*Hands, error) {
	if cfg.Dir == "" {
		return nil, fault.Invalid("dir", "the hands need a folder")
	}
	if len(cfg.RebootCommand) == 0 {
		cfg.RebootCommand = []string{"reboot"}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for _, tool := range []string{"apt-get", "dpkg", "dpkg-query"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fault.Invalid("host", "it has no %s: this agent maintains hosts with apt (Debian, Ubuntu) only", tool)
		}
	}
	h := &Hands{cfg: cfg}
	arch, err := h.run(context.Background(), "dpkg", "--print-architecture")
	if err != nil {
		return nil, fault.Internal("ask dpkg for the host's architecture", err)
	}
	h.native = strings.TrimSpace(arch)
	return h, nil
}

// BootID implements agent.Hands.
func (h *Hands) BootID() (string, error) {
	text, err := os.ReadFile(h.root + "/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// Forget implements agent.Hands.
func (h *Hands) Forget(key string) error { return os.RemoveAll(h.dir(key)) }

// dir is where the command of an order is kept.
func (h *Hands) dir(key string) string { return filepath.Join(h.cfg.Dir, "orders", agent.Hash(key)) }

// Begin implements agent.Hands.
func (h *Hands) Begin(ctx context.Context, o action.Order, memo json.RawMessage) (action.Result, error) {
	m, err := readMemo(memo)
	if err != nil {
		return action.Result{}, err
	}
	if h.cfg.DryRun {
		return h.pretend(ctx, o, m)
	}
	argv := h.command(o, m)
	if argv == nil {
		return h.finish(ctx, o, m, process.Exit{Known: true}, nil)
	}
	p, err := process.Start(h.dir(o.Key()), environment(), argv)
	if err != nil {
		return action.Result{}, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return h.follow(ctx, o, m, p)
}

// Adopt implements agent.Hands.
func (h *Hands) Adopt(ctx context.Context, o action.Order, memo json.RawMessage) (action.Result, error) {
	m, err := readMemo(memo)
	if err != nil {
		return action.Result{}, err
	}
	p, err := process.Open(h.dir(o.Key()))
	if errors.Is(err, process.ErrNone) {
		return h.finish(ctx, o, m, process.Exit{}, err)
	}
	if err != nil {
		return action.Result{}, err
	}
	return h.follow(ctx, o, m, p)
}

// follow waits for a command's end.
func (h *Hands) follow(ctx context.Context, o action.Order, m memo, p *process.Process) (action.Result, error) {
	exit, err := p.Wait(ctx, o.Timeout)
	if err != nil {
		return action.Result{}, err
	}
	if o.Kind == action.Reboot && exit.Known && exit.Code == 0 {
		return h.stay(ctx, o)
	}
	return h.finish(ctx, o, m, exit, nil)
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
		return action.Result{Outcome: action.Failed, Reason: why, Failures: []action.Failure{{Reason: why}}}, nil
	}
}

// run is the output of a command that only looks. What it says on stderr is in
// the error, and also in the output where that is read.
func (h *Hands) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = environment(), "/"
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{&out, maxRead}, &limited{&errs, maxOutput}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return out.String(), ctx.Err()
		}
		return out.String(), &commandError{name: name, said: errs.String(), cause: err}
	}
	return out.String(), nil
}

// commandError is a command that did not succeed.
type commandError struct {
	name  string
	said  string // on stderr
	cause error
}

func (e *commandError) Error() string {
	if why := lastErrors(strings.Split(e.said, "\n")); why != "" {
		return e.name + ": " + why
	}
	return e.name + ": " + e.cause.Error()
}

func (e *commandError) Unwrap() error { return e.cause }

// limited drops what is too much, so that a command can't fill our memory.
type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.to.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}
