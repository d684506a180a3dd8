package apt

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
)

// neverRefreshed is the age of package lists that do not exist.
const neverRefreshed = 10 * 365 * 24 * time.Hour

// Look implements agent.Hands. It takes no locks and needs no root, and costs
// a simulated upgrade: about a second of one core.
func (h *Hands) Look(ctx context.Context) (action.Observation, error) {
	boot, err := h.BootID()
	if err != nil {
		return action.Observation{}, err
	}
	obs := action.Observation{
		BootID: boot, Arch: h.native, Manager: "apt",
		System: parseSystem(h.text("/etc/os-release")),
		Kernel: strings.TrimSpace(h.text("/proc/sys/kernel/osrelease")),
	}
	if obs.Hostname, err = os.Hostname(); err != nil {
		return action.Observation{}, err
	}
	all, err := h.versions(ctx)
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
	if obs.Pending, unmet, err = h.pending(ctx); err != nil {
		return action.Observation{}, err
	}
	updates, err := os.ReadDir(h.root + "/var/lib/dpkg/updates")
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return action.Observation{}, err
	}
	obs.HalfConfigured = halfDone(all, unmet, updates)
	obs.RebootRequired, obs.RebootPackages = h.rebootRequired()
	if kernels := h.newerKernels(ctx, obs.Kernel, all); len(kernels) > 0 {
		obs.RebootRequired = true
		obs.RebootPackages = append(obs.RebootPackages, kernels...)
		slices.Sort(obs.RebootPackages)
		obs.RebootPackages = slices.Compact(obs.RebootPackages)
	}
	obs.ListsAge = h.listsAge(time.Now())
	return obs, nil
}

// pending asks apt-get what it would upgrade. Where dependencies are broken it
// plans nothing; then the broken packages are returned, for they come first.
func (h *Hands) pending(ctx context.Context) (all []action.Pending, unmet []string, err error) {
	text, err := h.run(ctx, "apt-get", "-s", "-q", "upgrade", "--with-new-pkgs")
	if err != nil {
		if unmet := parseUnmet(text, h.native); len(unmet) > 0 && ctx.Err() == nil {
			return nil, unmet, nil
		}
		return nil, nil, err
	}
	all = parsePending(text, h.native)
	return all, nil, h.measure(ctx, all)
}

// measure fills in what is to be downloaded. That takes apt-get another second
// of a core, so it is asked only about updates that are new. The error is ctx's.
func (h *Hands) measure(ctx context.Context, all []action.Pending) error {
	key := func(p action.Pending) string {
		bare, _, _ := strings.Cut(p.Name, ":")
		return bare + "_" + p.To
	}
	isNew := func(p action.Pending) bool { _, known := h.sizes[key(p)]; return !known }
	if slices.ContainsFunc(all, isNew) {
		// Without an answer the sizes are 0, which means unknown.
		uris, err := h.run(ctx, "apt-get", "-qq", "-y", "--print-uris", "upgrade", "--with-new-pkgs")
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		sizes := parseSizes(uris)
		h.sizes = map[string]int64{}
		for _, p := range all {
			h.sizes[key(p)] = sizes[key(p)]
		}
	}
	for i, p := range all {
		all[i].Bytes = h.sizes[key(p)]
	}
	return nil
}

// rebootRequired reads the mark that packages leave when they want a reboot.
func (h *Hands) rebootRequired() (required bool, packages []string) {
	for _, dir := range []string{"/run", "/var/run"} {
		if _, err := os.Stat(h.root + dir + "/reboot-required"); err == nil {
			return true, parseNames(h.text(dir+"/reboot-required.pkgs"), h.native)
		}
	}
	return false, nil
}

// newerKernels names the installed kernels that are newer than the running one.
// Debian's kernels leave no mark that they want a reboot, unless a further
// package does it for them. A host that runs no packaged kernel has none.
func (h *Hands) newerKernels(ctx context.Context, running string, all map[string]version) []string {
	const prefix = "linux-image-"
	has, ok := all[prefix+running]
	if !ok {
		return nil
	}
	runs := parseKernelBuild(h.text("/proc/version"))
	if runs == "" {
		runs = has.Version
	}
	var newer []string
	for name, v := range all {
		release, isImage := strings.CutPrefix(name, prefix)
		if !isImage || v.Broken || v.Version == runs || flavour(release) != flavour(running) {
			continue
		}
		if h.newer(ctx, v.Version, runs) {
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

// listsAge is the time since the package lists were fetched, by us or by
// somebody else. Lists that have not changed keep their times, therefore our
// own success counts as well.
func (h *Hands) listsAge(now time.Time) time.Duration {
	files := []string{h.stamp(), h.root + "/var/lib/apt/periodic/update-success-stamp"}
	lists, err := filepath.Glob(h.root + "/var/lib/apt/lists/*_*")
	if err == nil {
		files = append(files, lists...)
	}
	var newest time.Time
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if newest.IsZero() {
		return neverRefreshed
	}
	return max(0, now.Sub(newest))
}

// stamp is a file as old as our last refresh that succeeded.
func (h *Hands) stamp() string { return filepath.Join(h.cfg.Dir, "refreshed") }

// text is a file's text; empty if it can't be read.
func (h *Hands) text(name string) string {
	text, err := os.ReadFile(h.root + name)
	if err != nil {
		return ""
	}
	return string(text)
}

// keepMarks marks packages again as installed for a dependency that were so
// before: to name a package in an upgrade makes apt-get forget it.
func (h *Hands) keepMarks(ctx context.Context, m memo, after map[string]version) {
	if len(m.Auto) == 0 {
		return
	}
	now, err := h.auto(ctx)
	if err != nil {
		h.cfg.Log.Warn("ask which packages are dependencies", "error", err)
		return
	}
	args := []string{"auto"}
	for _, name := range m.Auto {
		if _, there := after[name]; there && !slices.Contains(now, name) {
			args = append(args, name)
		}
	}
	if len(args) == 1 {
		return
	}
	if _, err := h.run(ctx, "apt-mark", args...); err != nil {
		h.cfg.Log.Warn("mark packages as dependencies again", "packages", args[1:], "error", err)
	}
}
