package apt

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
)

// Look implements host.Manager. It takes no locks and needs no root, and costs
// a simulated upgrade: about a second of one core.
func (m *Manager) Look(ctx context.Context) (action.Observation, error) {
	obs := action.Observation{Arch: m.native}
	all, err := m.versions(ctx)
	if err != nil {
		return action.Observation{}, err
	}
	for name, v := range all {
		if v.Held {
			obs.Held = append(obs.Held, name)
		}
	}
	slices.Sort(obs.Held)
	var unmet []string
	if obs.Pending, unmet, err = m.pending(ctx); err != nil {
		return action.Observation{}, err
	}
	updates, err := os.ReadDir(m.machine.Path("/var/lib/dpkg/updates"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return action.Observation{}, err
	}
	obs.HalfConfigured = halfDone(all, unmet, updates)
	obs.RebootRequired, obs.RebootPackages = m.rebootRequired()
	if kernels := m.newerKernels(ctx, m.machine.Kernel(), all); len(kernels) > 0 {
		obs.RebootRequired = true
		obs.RebootPackages = append(obs.RebootPackages, kernels...)
		slices.Sort(obs.RebootPackages)
		obs.RebootPackages = slices.Compact(obs.RebootPackages)
	}
	obs.ListsAge = m.listsAge(time.Now())
	return obs, nil
}

// pending asks apt-get what it would upgrade. Where dependencies are broken it
// plans nothing; then the broken packages are returned, for they come first.
func (m *Manager) pending(ctx context.Context) (all []action.Pending, unmet []string, err error) {
	text, err := m.run(ctx, "apt-get", "-s", "-q", "upgrade", "--with-new-pkgs")
	if err != nil {
		if unmet := parseUnmet(text, m.native); len(unmet) > 0 && ctx.Err() == nil {
			return nil, unmet, nil
		}
		return nil, nil, err
	}
	all = parsePending(text, m.native)
	return all, nil, m.measure(ctx, all)
}

// measure fills in what is to be downloaded. That takes apt-get another second
// of a core, so it is asked only about updates that are new. The error is ctx's.
func (m *Manager) measure(ctx context.Context, all []action.Pending) error {
	key := func(p action.Pending) string {
		bare, _, _ := strings.Cut(p.Name, ":")
		return bare + "_" + p.To
	}
	isNew := func(p action.Pending) bool { _, known := m.sizes[key(p)]; return !known }
	if slices.ContainsFunc(all, isNew) {
		// Without an answer the sizes are 0, which means unknown.
		uris, err := m.run(ctx, "apt-get", "-qq", "-y", "--print-uris", "upgrade", "--with-new-pkgs")
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		sizes := parseSizes(uris)
		m.sizes = map[string]int64{}
		for _, p := range all {
			m.sizes[key(p)] = sizes[key(p)]
		}
	}
	for i, p := range all {
		all[i].Bytes = m.sizes[key(p)]
	}
	return nil
}

// rebootRequired reads the mark that packages leave when they want a reboot.
func (m *Manager) rebootRequired() (required bool, packages []string) {
	for _, dir := range []string{"/run", "/var/run"} {
		if _, err := os.Stat(m.machine.Path(dir + "/reboot-required")); err == nil {
			return true, parseNames(m.machine.Text(dir+"/reboot-required.pkgs"), m.native)
		}
	}
	return false, nil
}

// newerKernels names the installed kernels that are newer than the running one.
// Debian's kernels leave no mark that they want a reboot, unless a further
// package does it for them. A host that runs no packaged kernel has none.
func (m *Manager) newerKernels(ctx context.Context, running string, all map[string]version) []string {
	const prefix = "linux-image-"
	has, ok := all[prefix+running]
	if !ok {
		return nil
	}
	runs := parseKernelBuild(m.machine.Text("/proc/version"))
	if runs == "" {
		runs = has.Version
	}
	var newer []string
	for name, v := range all {
		release, isImage := strings.CutPrefix(name, prefix)
		if !isImage || v.Broken || v.Version == runs || flavour(release) != flavour(running) {
			continue
		}
		if m.newer(ctx, v.Version, runs) {
			newer = append(newer, name)
		}
	}
	return newer
}

// flavour is what a kernel is built for, such as "cloud-amd64" of
// "6.1.0-13-cloud-amd64"; what has no release number in front has none.
func flavour(release string) string {
	parts := strings.SplitN(release, "-", 3)
	if len(parts) < 3 || parts[0] == "" || parts[0][0] < '0' || parts[0][0] > '9' {
		return ""
	}
	return parts[2]
}

// listsAge is the time since the package lists were fetched.
func (m *Manager) listsAge(now time.Time) time.Duration {
	return m.machine.ListsAge(now, append(m.machine.Glob("/var/lib/apt/lists/*_*"), "/var/lib/apt/periodic/update-success-stamp")...)
}

// keepMarks marks packages again as installed for a dependency that were so
// before: to name a package in an upgrade makes apt-get forget it.
func (m *Manager) keepMarks(ctx context.Context, then memo, after map[string]version) {
	if len(then.Auto) == 0 {
		return
	}
	now, err := m.auto(ctx)
	if err != nil {
		m.machine.Log.Warn("ask which packages are dependencies", "error", err)
		return
	}
	args := []string{"auto"}
	for _, name := range then.Auto {
		if _, there := after[name]; there && !slices.Contains(now, name) {
			args = append(args, name)
		}
	}
	if len(args) == 1 {
		return
	}
	if _, err := m.run(ctx, "apt-mark", args...); err != nil {
		m.machine.Log.Warn("mark packages as dependencies again", "packages", args[1:], "error", err)
	}
}
