package apt

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
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

// raceWait is how long apt-get itself waits for a lock that was free when we
// looked. It is short, for the order may not begin late.
const raceWait = 30 * time.Second

// Command implements host.Manager.
func (m *Manager) Command(o action.Order, memo json.RawMessage) ([]string, error) {
	then, err := readMemo(memo)
	if err != nil {
		return nil, err
	}
	lock := "DPkg::Lock::Timeout=" + strconv.Itoa(int(min(raceWait, o.Timeout).Seconds()))
	todo := arguments(then.Todo)
	switch {
	case o.Kind == action.Refresh:
		return []string{"apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any", "-o", lock}, nil
	case o.Kind == action.Repair:
		// The second half runs whatever the first has said: it mends what dpkg alone can't.
		const both = `dpkg --force-confdef --force-confold --configure -a; exec "$@"`
		return append([]string{"/bin/sh", "-c", both, "upkeep-repair"}, install(lock, "-f")...), nil
	case len(todo) == 0:
	case o.Kind == action.Download:
		return install(lock, append([]string{"--only-upgrade", "--download-only"}, todo...)...), nil
	case o.Kind == action.Install:
		return install(lock, append([]string{"--only-upgrade"}, todo...)...), nil
	case o.Kind == action.Restore:
		return install(lock, append([]string{"--allow-downgrades"}, todo...)...), nil
	}
	return nil, nil
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

// Prepare implements host.Manager.
func (m *Manager) Prepare(ctx context.Context, o action.Order) (json.RawMessage, error) {
	var now memo
	if changesPackages(o.Kind) || o.Kind == action.Download {
		if err := m.remember(ctx, o, &now); err != nil {
			return nil, err
		}
	}
	if (o.Kind == action.Install || o.Kind == action.Restore) && len(now.Todo) > 0 {
		if err := m.heldAlong(ctx, o, now); err != nil {
			return nil, err
		}
	}
	if !changesPackages(o.Kind) {
		now.Before, now.Auto = nil, nil // a Download changes none; its memo stays small
	}
	return json.Marshal(now)
}

func changesPackages(k action.Kind) bool {
	return k == action.Install || k == action.Repair || k == action.Restore
}

// remember fills a memo.
func (m *Manager) remember(ctx context.Context, o action.Order, now *memo) error {
	var err error
	if now.Before, err = m.versions(ctx); err != nil {
		return err
	}
	if now.Auto, err = m.auto(ctx); err != nil {
		return err
	}
	for _, p := range o.Packages {
		has, ok := now.Before[p.Name]
		if ok && !has.Broken && m.satisfied(ctx, o.Kind, has.Version, p.Version) {
			continue
		}
		now.Todo = append(now.Todo, p)
	}
	return nil
}

// satisfied reports whether a version is as good as the wanted one. Somebody
// else may have installed a newer one since the order was planned; going back
// is for Restore alone.
func (m *Manager) satisfied(ctx context.Context, kind action.Kind, has, wanted string) bool {
	if has == wanted || kind == action.Restore {
		return has == wanted
	}
	return m.newer(ctx, has, wanted)
}

// newer reports whether version a is newer than b, by dpkg's own rules.
func (m *Manager) newer(ctx context.Context, a, b string) bool {
	_, err := m.run(ctx, "dpkg", "--compare-versions", a, "gt", b)
	return err == nil
}

// heldAlong refuses an order that would touch a package which the host's
// owner holds, as a dependency of what is asked for.
func (m *Manager) heldAlong(ctx context.Context, o action.Order, now memo) error {
	text, err := m.run(ctx, "apt-get", simulation(o, now)...)
	if err != nil {
		return ctx.Err() // the command itself will say it better
	}
	for _, p := range parsePending(text, m.native) {
		if m.machine.Holds(p.Name) {
			return agent.Refuse("it would bring %s to %s along, which this host's owner holds", p.Name, p.To)
		}
	}
	return nil
}

// Busy implements host.Manager. dpkg and older apt-get do not wait for each
// other by themselves.
func (m *Manager) Busy(k action.Kind) string {
	var files []string
	switch {
	case k == action.Refresh:
		files = []string{"/var/lib/apt/lists/lock"}
	case k == action.Download:
		files = []string{"/var/cache/apt/archives/lock", "/var/lib/dpkg/lock-frontend"}
	case changesPackages(k):
		files = []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/cache/apt/archives/lock"}
	}
	for _, f := range files {
		if holder := m.machine.LockHolder(f); holder != "" {
			return holder
		}
	}
	return ""
}

// missing lists what is asked for and not so.
func (m *Manager) missing(ctx context.Context, o action.Order, after map[string]version) []action.Failure {
	var all []action.Failure
	add := func(name, format string, args ...any) {
		all = append(all, action.Failure{Name: name, Reason: fmt.Sprintf(format, args...)})
	}
	switch o.Kind {
	case action.Install, action.Restore:
		for _, p := range o.Packages {
			has, ok := after[p.Name]
			switch {
			case !ok:
				add(p.Name, "it is not installed")
			case has.Broken:
				add(p.Name, "it is left half configured in version %s", has.Version)
			case !m.satisfied(ctx, o.Kind, has.Version, p.Version):
				add(p.Name, "it stays in version %s", has.Version)
			}
		}
	case action.Repair:
		for _, name := range slices.Sorted(maps.Keys(after)) {
			if after[name].Broken {
				add(name, "it is left half configured in version %s", after[name].Version)
			}
		}
	default: // of the others dpkg does not know what they should have done
	}
	return all
}

// versions asks dpkg for all packages.
func (m *Manager) versions(ctx context.Context) (map[string]version, error) {
	text, err := m.run(ctx, "dpkg-query", "-W", "-f", queryFormat)
	if err != nil {
		return nil, err
	}
	return parseQuery(text, m.native), nil
}

// auto asks which packages were installed as dependencies.
func (m *Manager) auto(ctx context.Context) ([]string, error) {
	text, err := m.run(ctx, "apt-mark", "showauto")
	if err != nil {
		return nil, err
	}
	return parseNames(text, m.native), nil
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
