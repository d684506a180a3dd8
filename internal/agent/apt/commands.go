package apt

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
)

// memo is what is known of the time before an order.
type memo struct {
	Before map[string]version `json:"before,omitempty"` // all packages
	Auto   []string           `json:"auto,omitempty"`   // those that were installed as dependencies
	Todo   []action.Package   `json:"todo,omitempty"`   // of the order's packages, those that are not so yet
}

func readMemo(text []byte) (memo, error) {
	var m memo
	if len(text) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read what the journal knows of the order: %w", err)
	}
	return m, nil
}

const (
	lockPoll = time.Second
	// raceWait is how long apt-get itself waits for a lock that was free when
	// we looked. It is short, for the order may not begin late.
	raceWait = 30 * time.Second
)

// environment is what every command gets, and no more.
func environment() []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	return []string{
		"PATH=" + path, "HOME=/root", "LC_ALL=C", "LANGUAGE=C", "TERM=dumb",
		"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
		"APT_LISTCHANGES_FRONTEND=none", "APT_LISTBUGS_FRONTEND=none", "NEEDRESTART_MODE=a",
	}
}

// command is what an order runs; nil if nothing is to be run.
func (h *Hands) command(o action.Order, m memo) []string {
	lock := "DPkg::Lock::Timeout=" + strconv.Itoa(int(min(raceWait, o.Timeout).Seconds()))
	switch o.Kind {
	case action.Observe:
		return nil
	case action.Refresh:
		return []string{"apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any", "-o", lock}
	case action.Reboot:
		return h.cfg.RebootCommand
	case action.Repair:
		// The second half runs whatever the first has said: it mends what dpkg alone can't.
		const both = `dpkg --force-confdef --force-confold --configure -a; exec "$@"`
		return append([]string{"/bin/sh", "-c", both, "upkeep-repair"}, install(lock, "-f")...)
	case action.Download, action.Install, action.Restore, action.Backup, action.Command, action.Check:
	}
	if len(m.Todo) == 0 {
		return nil
	}
	switch o.Kind { //nolint:exhaustive // the others were above
	case action.Download:
		return install(lock, append([]string{"--only-upgrade", "--download-only"}, arguments(m.Todo)...)...)
	case action.Install:
		return install(lock, append([]string{"--only-upgrade"}, arguments(m.Todo)...)...)
	case action.Restore:
		return install(lock, append([]string{"--allow-downgrades"}, arguments(m.Todo)...)...)
	}
	return nil
}

// install is an apt-get install that asks nothing and removes nothing.
func install(lock string, rest ...string) []string {
	return append([]string{
		"apt-get", "install", "-q", "-y", "--no-remove",
		"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
		// Without a pseudo terminal dpkg stays in our process group and prints plainly.
		"-o", "Dpkg::Use-Pty=0", "-o", lock,
	}, rest...)
}

func arguments(packages []action.Package) []string {
	var args []string
	for _, p := range packages {
		args = append(args, p.Name+"="+p.Version)
	}
	return args
}

// simulation is the install command as apt-get only plays it through.
func simulation(o action.Order, m memo) []string {
	args := []string{"-s", "-q", "-y", "--no-remove", "install"}
	if o.Kind == action.Restore {
		args = append(args, "--allow-downgrades")
	} else {
		args = append(args, "--only-upgrade")
	}
	return append(args, arguments(m.Todo)...)
}

// Prepare implements agent.Hands.
func (h *Hands) Prepare(ctx context.Context, o action.Order) (json.RawMessage, error) {
	for _, p := range o.Packages {
		if !validName(p.Name) || !validVersion(p.Version) {
			return nil, agent.Refuse("%q in version %q is no package", p.Name, p.Version)
		}
	}
	if !h.cfg.DryRun {
		if err := h.waitForLocks(ctx, o.Kind); err != nil {
			return nil, err
		}
	}
	var m memo
	if changesPackages(o.Kind) || o.Kind == action.Download {
		if err := h.remember(ctx, o, &m); err != nil {
			return nil, err
		}
	}
	if (o.Kind == action.Install || o.Kind == action.Restore) && len(m.Todo) > 0 && h.cfg.Holds != nil {
		if err := h.heldAlong(ctx, o, m); err != nil {
			return nil, err
		}
	}
	if !changesPackages(o.Kind) {
		m.Before, m.Auto = nil, nil // a Download changes none; its memo stays small
	}
	return json.Marshal(m)
}

func changesPackages(k action.Kind) bool {
	return k == action.Install || k == action.Repair || k == action.Restore
}

// remember fills a memo.
func (h *Hands) remember(ctx context.Context, o action.Order, m *memo) error {
	var err error
	if m.Before, err = h.versions(ctx); err != nil {
		return err
	}
	if m.Auto, err = h.auto(ctx); err != nil {
		return err
	}
	for _, p := range o.Packages {
		has, ok := m.Before[p.Name]
		if ok && !has.Broken && h.satisfied(ctx, o.Kind, has.Version, p.Version) {
			continue
		}
		m.Todo = append(m.Todo, p)
	}
	return nil
}

// satisfied reports whether a version is as good as the wanted one. Somebody
// else may have installed a newer one since the order was planned; going back
// is for Restore alone.
func (h *Hands) satisfied(ctx context.Context, kind action.Kind, has, wanted string) bool {
	if has == wanted || kind == action.Restore {
		return has == wanted
	}
	return h.newer(ctx, has, wanted)
}

// newer reports whether version a is newer than b, by dpkg's own rules.
func (h *Hands) newer(ctx context.Context, a, b string) bool {
	_, err := h.run(ctx, "dpkg", "--compare-versions", a, "gt", b)
	return err == nil
}

// heldAlong refuses an order that would touch a package which the host's
// owner holds, as a dependency of what is asked for.
func (h *Hands) heldAlong(ctx context.Context, o action.Order, m memo) error {
	text, err := h.run(ctx, "apt-get", simulation(o, m)...)
	if err != nil {
		return ctx.Err() // the command itself will say it better
	}
	for _, p := range parsePending(text, h.native) {
		if h.cfg.Holds(p.Name) {
			return agent.Refuse("it would bring %s to %s along, which this host's owner holds", p.Name, p.To)
		}
	}
	return nil
}

// waitForLocks waits until nobody holds the package manager's locks. dpkg and
// older apt-get do not wait by themselves, and who waits inside apt-get has
// begun already.
func (h *Hands) waitForLocks(ctx context.Context, k action.Kind) error {
	var files []string
	switch k {
	case action.Observe, action.Reboot, action.Backup, action.Command, action.Check:
		return nil
	case action.Refresh:
		files = []string{"/var/lib/apt/lists/lock"}
	case action.Download:
		files = []string{"/var/cache/apt/archives/lock", "/var/lib/dpkg/lock-frontend"}
	case action.Install, action.Repair, action.Restore:
		files = []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/cache/apt/archives/lock"}
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		holder := ""
		for _, f := range files {
			if holder = h.lockHolder(f); holder != "" {
				break
			}
		}
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

// lockHolder says who holds a lock; empty if nobody does, or if that can't be told.
func (h *Hands) lockHolder(file string) string {
	f, err := os.Open(h.root + file)
	if err != nil {
		return ""
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil || lock.Type == syscall.F_UNLCK {
		return ""
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", lock.Pid))
	if err != nil {
		name = []byte("a process")
	}
	return fmt.Sprintf("%s (%d) holds the lock %s", strings.TrimSpace(string(name)), lock.Pid, file)
}

// versions asks dpkg for all packages.
func (h *Hands) versions(ctx context.Context) (map[string]version, error) {
	text, err := h.run(ctx, "dpkg-query", "-W", "-f", queryFormat)
	if err != nil {
		return nil, err
	}
	return parseQuery(text, h.native), nil
}

// auto asks which packages were installed as dependencies.
func (h *Hands) auto(ctx context.Context) ([]string, error) {
	text, err := h.run(ctx, "apt-mark", "showauto")
	if err != nil {
		return nil, err
	}
	return parseNames(text, h.native), nil
}

// validName keeps what is no package's name from being taken for an option.
func validName(s string) bool {
	return s != "" && len(s) <= 256 && s[0] != '-' && consistsOf(s, ".+-:_")
}

func validVersion(s string) bool {
	return s != "" && len(s) <= 256 && consistsOf(s, ".+-~:_")
}

// consistsOf reports whether s has only letters, digits and the given marks.
func consistsOf(s, marks string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return strings.Trim(s, letters+marks) == ""
}

// halfDone lists the packages that are in between two states. An interrupted
// dpkg whose packages are all well still wants its own journal finished.
func halfDone(all map[string]version, unmet []string, updates []fs.DirEntry) []string {
	names := slices.Clone(unmet)
	for name, v := range all {
		if v.Broken {
			names = append(names, name)
		}
	}
	if len(names) == 0 && slices.ContainsFunc(updates, func(e fs.DirEntry) bool { return strings.Trim(e.Name(), "0123456789") == "" }) {
		names = append(names, "dpkg")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// changes is the difference between two states.
func changes(before, after map[string]version) []action.Change {
	var all []action.Change
	names := slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if from, to := before[name].Version, after[name].Version; from != to {
			all = append(all, action.Change{Name: name, From: from, To: to})
		}
	}
	return all
}
