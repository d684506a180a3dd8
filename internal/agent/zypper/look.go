package zypper

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent/rpm"
)

// Look implements host.Manager. It asks from zypper's cache and never from the
// network, and costs some seconds of one core.
func (m *Manager) Look(ctx context.Context) (action.Observation, error) {
	obs := action.Observation{Arch: m.db.Native}
	state, when, err := m.db.Read(ctx)
	if err != nil {
		return action.Observation{}, err
	}
	locks, err := m.run(ctx, "locks")
	if err != nil {
		return action.Observation{}, err
	}
	obs.Held = held(state, parseLocks(locks))
	if obs.Pending, err = m.pending(ctx, state); err != nil {
		return action.Observation{}, err
	}
	if obs.HalfConfigured, err = m.halfDone(ctx, state); err != nil {
		return action.Observation{}, err
	}
	if obs.RebootRequired, obs.RebootPackages, err = m.reboot(ctx, when); err != nil {
		return action.Observation{}, err
	}
	obs.ListsAge = m.machine.ListsAge(time.Now(), m.lists()...)
	return obs, nil
}

// lists are the files of the lists that zypper has fetched.
func (m *Manager) lists() []string {
	return append(m.machine.Glob("/var/cache/zypp/raw/*/repodata/repomd.xml"), m.machine.Glob("/var/cache/zypp/raw/*/cookie")...)
}

// held lists the installed packages that the administrator locks.
func held(state rpm.State, locks []string) []string {
	var names []string
	for name := range state {
		bare, _ := rpm.Split(name)
		if slices.ContainsFunc(locks, func(l string) bool { ok, err := path.Match(l, bare); return ok && err == nil }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// pending is what zypper would update, and what would come along.
func (m *Manager) pending(ctx context.Context, state rpm.State) ([]action.Pending, error) {
	if len(m.lists()) == 0 {
		return nil, nil // there are none yet, and zypper would fetch them
	}
	text, err := m.run(ctx, "list-updates", "--type", "package")
	if err != nil {
		return nil, err
	}
	all := parseUpdates(text, m.db.Native, state)
	if len(all) == 0 {
		return nil, nil
	}
	if all, err = m.possible(ctx, all, state); err != nil {
		return nil, err
	}
	return all, m.describe(ctx, all)
}

// possible leaves out the updates at whose cost a package would go. It adds the
// new packages that come along.
func (m *Manager) possible(ctx context.Context, all []action.Pending, state rpm.State) ([]action.Pending, error) {
	text, err := m.run(ctx, "update", "--type", "package", "--no-recommends", "--dry-run")
	var exit *exitError
	if errors.As(err, &exit) {
		// It needs root, or there is a conflict: each says by itself why it can't be done.
		m.machine.Log.Warn("zypper can't play the update through", "error", err)
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	effects := parseSummary(text, m.db.Native)
	var replacers []string
	if gone := state.Removed(effects); len(gone) > 0 {
		text, err := m.run(ctx, slices.Concat([]string{"search", "--type", "package", "--match-exact", "--obsoletes"}, gone)...)
		if err != nil && (!errors.As(err, &exit) || exit.code != exitNotFound) {
			return nil, err
		}
		replacers = parseFound(text)
		all = slices.DeleteFunc(all, func(p action.Pending) bool {
			bare, _ := rpm.Split(p.Name)
			return slices.Contains(replacers, bare)
		})
	}
	for _, e := range effects {
		if e.To != "" && e.From == "" && state.Newest(e.Name) == "" && !slices.Contains(replacers, e.Name) {
			all = append(all, action.Pending{Name: e.Name, To: e.To})
		}
	}
	slices.SortFunc(all, func(a, b action.Pending) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// maxPatches is how many patches zypper is asked about at once.
const maxPatches = 200

// describe marks what is of security and when it was released, by the patches
// that zypper says are needed.
func (m *Manager) describe(ctx context.Context, all []action.Pending) error {
	unknown := func(p action.Pending) bool { return !m.patches.knows(p) }
	if slices.ContainsFunc(all, unknown) {
		text, err := m.run(ctx, "list-patches")
		if err != nil {
			return err
		}
		needed := parsePatches(text)
		about := map[string][]action.Package{}
		for chunk := range slices.Chunk(needed, maxPatches) {
			args := []string{"info", "--type", "patch"}
			for _, p := range chunk {
				args = append(args, p.name)
			}
			text, err := m.run(ctx, args...)
			if err != nil {
				return err
			}
			maps.Copy(about, parsePatchInfo(messages(text), m.db.Native))
		}
		m.patches = newPatches(all, needed, about)
	}
	for i, p := range all {
		all[i].Security, all[i].Released = m.patches.of(p)
	}
	return nil
}

// halfDone lists the packages that a cut off rpm has left in two versions.
func (m *Manager) halfDone(ctx context.Context, state rpm.State) ([]string, error) {
	doubled, err := m.db.Doubled(ctx, state)
	if err != nil || len(doubled) == 0 {
		return nil, err
	}
	may := parseSeveral(m.machine.Text("/etc/zypp/zypp.conf"))
	for _, file := range m.machine.Glob("/etc/zypp/multiversion.d/*.conf") {
		may = append(may, strings.Fields(m.machine.Text(file))...)
	}
	return slices.DeleteFunc(doubled, func(name string) bool {
		bare, _ := rpm.Split(name)
		return slices.Contains(may, bare)
	}), nil
}

// reboot says whether zypper wants one, and names what was installed since the
// host was started and provides the hint that zypper heeds.
func (m *Manager) reboot(ctx context.Context, when map[string]time.Time) (bool, []string, error) {
	_, err := m.run(ctx, "needs-rebooting")
	var exit *exitError
	switch {
	case err == nil:
		return false, nil, nil
	case !errors.As(err, &exit) || exit.code != exitReboot:
		return false, nil, err
	}
	hinting, err := m.db.Providing(ctx, "installhint(reboot-needed)")
	if err != nil {
		return false, nil, err
	}
	booted := m.db.Booted()
	return true, slices.DeleteFunc(hinting, func(name string) bool { return when[name].Before(booted) }), nil
}
