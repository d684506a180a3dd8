package dnf

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent/rpm"
)

// Look implements host.Manager. It asks from dnf's cache and never from the
// network, and costs some seconds of one core. dnf itself takes a lock for the
// instant in which it reads its cache.
func (m *Manager) Look(ctx context.Context) (action.Observation, error) {
	obs := action.Observation{Arch: m.db.Native}
	state, _, err := m.db.Read(ctx)
	if err != nil {
		return action.Observation{}, err
	}
	obs.Held = held(state, m.machine.Text(lockList), m.machine.Text("/etc/dnf/dnf.conf"))
	if obs.Pending, err = m.pending(ctx, state); err != nil {
		return action.Observation{}, err
	}
	if obs.HalfConfigured, err = m.halfDone(ctx, state); err != nil {
		return action.Observation{}, err
	}
	if obs.RebootPackages, err = m.rebootPackages(ctx, state); err != nil {
		return action.Observation{}, err
	}
	obs.RebootRequired = len(obs.RebootPackages) > 0
	obs.ListsAge = m.machine.ListsAge(time.Now(), m.machine.Glob("/var/cache/dnf/*/repodata/repomd.xml")...)
	return obs, nil
}

// lockList is where the plugin versionlock keeps what is locked.
const lockList = "/etc/dnf/plugins/versionlock.list"

// held lists the installed packages that the administrator locks or excludes.
func held(state rpm.State, locks, config string) []string {
	var names []string
	patterns := append(parseLocks(locks), parseExcludes(config)...)
	for name := range state {
		if slices.ContainsFunc(patterns, func(p string) bool { return meets(p, name, state[name]) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// meets reports whether a pattern names a package, with or without a version.
func meets(pattern, name string, versions []string) bool {
	bare, _ := rpm.Split(name)
	words := []string{bare}
	for _, v := range versions {
		words = append(words, bare+"-"+v, bare+"-"+rpm.Full(v))
	}
	return slices.ContainsFunc(words, func(w string) bool {
		ok, err := path.Match(pattern, w)
		return ok && err == nil
	})
}

// pending is what dnf would upgrade, and what would come along.
func (m *Manager) pending(ctx context.Context, state rpm.State) ([]action.Pending, error) {
	text, err := m.run(ctx, slices.Concat(look, []string{"-q", "repoquery", "--upgrades", "--latest-limit=1", "--qf", updateFormat})...)
	if err != nil {
		if m.neverFetched() && ctx.Err() == nil {
			return nil, nil // there are no lists yet
		}
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

// neverFetched reports whether dnf's cache has no lists.
func (m *Manager) neverFetched() bool {
	return len(m.machine.Glob("/var/cache/dnf/*/repodata/repomd.xml")) == 0
}

// possible leaves out the updates that dnf would not do for want of something
// else or for a conflict, and those at whose cost a package would go. It adds
// the new packages that come along, and an older update where the newest can't
// be done.
func (m *Manager) possible(ctx context.Context, all []action.Pending, state rpm.State) ([]action.Pending, error) {
	text, err := m.run(ctx, slices.Concat(look, fixed[1:], []string{"--assumeno", "-v", "upgrade"})...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	effects, ok := parseSimulation(text, m.db.Native, state)
	if !ok {
		m.machine.Log.Warn("dnf can't play the upgrade through", "error", err)
		return all, nil // each will say by itself why it can't be done
	}
	var replacers []string
	if gone := state.Removed(effects); len(gone) > 0 {
		args := []string{"-q", "repoquery", "--available", "--qf", `%{name}`, "--whatobsoletes", strings.Join(gone, ",")}
		text, err := m.run(ctx, append(slices.Clone(look), args...)...)
		if err != nil {
			return nil, err
		}
		replacers = strings.Fields(text)
	}
	rows := map[action.Package]action.Pending{}
	for _, p := range all {
		rows[action.Package{Name: p.Name, Version: p.To}] = p
	}
	all = nil
	for _, e := range effects {
		if bare, _ := rpm.Split(e.Name); e.To == "" || slices.Contains(replacers, bare) {
			continue
		}
		p, known := rows[action.Package{Name: e.Name, Version: e.To}]
		if !known { // it comes along, or the newest one does not fit
			p = action.Pending{Name: e.Name, From: e.From, To: e.To}
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b action.Pending) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// describe marks what is of security and when it was released. An advisory's
// date is the better one: a package may be built long before it is published.
func (m *Manager) describe(ctx context.Context, all []action.Pending) error {
	unknown := func(p action.Pending) bool { return !m.advisories.knows(p) }
	if slices.ContainsFunc(all, unknown) {
		var texts [3]string
		for i, args := range [][]string{{"list", "--security"}, {"list"}, {"info"}} {
			text, err := m.run(ctx, slices.Concat(look, []string{"-q", "updateinfo"}, args)...)
			if err != nil {
				return err
			}
			texts[i] = text
		}
		m.advisories = newAdvisories(all, texts[0], texts[1], texts[2], m.db.Native)
	}
	for i, p := range all {
		all[i].Security = m.advisories.security(p)
		if at := m.advisories.released(p); !at.IsZero() {
			all[i].Released = at
		}
	}
	return nil
}

// halfDone lists the packages that a cut off dnf has left in between.
func (m *Manager) halfDone(ctx context.Context, state rpm.State) ([]string, error) {
	names, err := m.doubled(ctx, state)
	if err != nil {
		return nil, err
	}
	text, err := m.run(ctx, slices.Concat(look, []string{"-q", "history", "info", "last"})...)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		text = "" // there is no history yet
	}
	for _, p := range parseCutOff(text, m.db.Native) {
		if slices.Contains(state[p.Name], p.Version) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// doubled lists the packages of which several versions are installed that dnf
// does not mean to keep.
func (m *Manager) doubled(ctx context.Context, state rpm.State) ([]string, error) {
	names, err := m.db.Doubled(ctx, state)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	// The host may allow several versions of more packages: dnf knows.
	text, err := m.run(ctx, slices.Concat(look, []string{"-q", "check", "--duplicates"})...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	doubled := parseDuplicates(text, m.db.Native)
	switch {
	case err == nil:
		return nil, nil
	case len(doubled) > 0:
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(doubled, n) })
	}
	return names, nil
}

// mendable is what is half done with the version that is to stay: the newest.
func (m *Manager) mendable(ctx context.Context, state rpm.State) ([]action.Package, error) {
	names, err := m.halfDone(ctx, state)
	if err != nil {
		return nil, err
	}
	var all []action.Package
	for _, name := range names {
		all = append(all, action.Package{Name: name, Version: state.Newest(name)})
	}
	return all, nil
}

// rebootPackages names what wants a reboot: what dnf's plugin needs-restarting
// says, where it is there, and newer kernels.
func (m *Manager) rebootPackages(ctx context.Context, state rpm.State) ([]string, error) {
	// It ends with an error if a reboot is wanted, and if there is no such plugin.
	text, err := m.run(ctx, slices.Concat(look, []string{"-q", "needs-restarting", "-r"})...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	names := m.db.NewerKernels(state)
	if err != nil {
		names = append(names, parseNeedsRestarting(text)...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
