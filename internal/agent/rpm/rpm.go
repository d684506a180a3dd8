// Package rpm is what dnf and zypper share: rpm's database of what is
// installed, its names and the order of its versions, what its scriptlets say
// when they fail, and what an order has changed.
//
// rpm knows no half-configured package. A package whose %post has failed is
// installed; that it failed is only said once, in what the command prints. What
// an interrupted command leaves behind is an update of which both versions are
// installed, and that is what is called half done here.
//
// A package is named as rpm names it, with ":arch" behind it if it is not of
// the host's own architecture. A version is "[epoch:]version-release".
package rpm

import (
	"context"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/agent/host"
	"upkeep/internal/fault"
)

// DB is the database of one machine.
type DB struct {
	Native  string // the machine's architecture
	machine *host.Machine
}

// State is which packages are installed: by name their versions, the oldest
// first. Kernels have several.
type State map[string][]string

// Newest is the newest version of a package; empty if it is not installed.
func (s State) Newest(name string) string {
	if len(s[name]) == 0 {
		return ""
	}
	return s[name][len(s[name])-1]
}

// Open finds the machine's database. Errors: not found if it has no rpm,
// internal.
func Open(machine *host.Machine) (*DB, error) {
	if _, err := exec.LookPath("rpm"); err != nil {
		return nil, fault.NotFound("program", "rpm")
	}
	arch, err := machine.Run(context.Background(), "rpm", "--eval", "%{_arch}")
	if err != nil {
		return nil, fault.Internal("ask rpm for the host's architecture", err)
	}
	return &DB{Native: strings.TrimSpace(arch), machine: machine}, nil
}

// format makes rpm print what parseQuery reads.
const format = `%{NAME}\t%{EPOCHNUM}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\t%{INSTALLTIME}\n`

// Read says what is installed, and when each package's newest version was.
func (d *DB) Read(ctx context.Context) (State, map[string]time.Time, error) {
	text, err := d.machine.Run(ctx, "rpm", "-qa", "--qf", format)
	if err != nil {
		return nil, nil, err
	}
	state, when := parseQuery(text, d.Native)
	return state, when, nil
}

// parseQuery reads what rpm prints in format.
func parseQuery(text, native string) (State, map[string]time.Time) {
	state, when := State{}, map[string]time.Time{}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 6 || f[0] == "" || f[0] == "gpg-pubkey" { // keys are kept among the packages
			continue
		}
		name := Name(f[0], f[4], native)
		state[name] = append(state[name], Version(f[1], f[2], f[3]))
		if at, err := strconv.ParseInt(f[5], 10, 64); err == nil && time.Unix(at, 0).After(when[name]) {
			when[name] = time.Unix(at, 0)
		}
	}
	for _, versions := range state {
		slices.SortFunc(versions, Compare)
	}
	return state, when
}

// Providing lists the installed packages that provide one of these words.
func (d *DB) Providing(ctx context.Context, words ...string) ([]string, error) {
	text, err := d.machine.Run(ctx, "rpm", append([]string{"-q", "--qf", `%{NAME}\t%{ARCH}\n`, "--whatprovides"}, words...)...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	// It ends with an error and a sentence where nothing provides a word.
	names := parseProviding(text, d.Native)
	if err != nil && text == "" {
		return nil, err
	}
	return names, nil
}

func parseProviding(text, native string) []string {
	var names []string
	for line := range strings.Lines(text) {
		name, arch, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if ok && name != "" {
			names = append(names, Name(name, arch, native))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// several are what packages provide of which several versions may be installed
// at once, as dnf and libzypp have it by default.
var several = []string{"installonlypkg(kernel)", "installonlypkg(kernel-module)", "installonlypkg(vm)", "multiversion(kernel)", "kernel"}

// Doubled lists the packages of which several versions are installed although
// they are none of those that may.
func (d *DB) Doubled(ctx context.Context, state State) ([]string, error) {
	var names []string
	for name, versions := range state {
		if len(versions) > 1 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	may, err := d.Providing(ctx, several...)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(may, name) }), nil
}

// Booted is when the machine was started; zero if that can't be told.
func (d *DB) Booted() time.Time {
	for line := range strings.Lines(d.machine.Text("/proc/stat")) {
		if at, ok := strings.CutPrefix(line, "btime "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(at), 10, 64); err == nil {
				return time.Unix(n, 0)
			}
		}
	}
	return time.Time{}
}

// kernels are the packages that a kernel comes in.
var kernels = []string{"kernel-core", "kernel-rt-core", "kernel-64k-core", "kernel-uek-core", "kernel-uek", "kernel"}

// NewerKernels names the packages with a kernel that is newer than the running
// one. A host that runs no packaged kernel has none. It knows the kernels of
// Fedora and its kin, whose release is the package's version.
func (d *DB) NewerKernels(state State) []string {
	running, ok := strings.CutSuffix(d.machine.Kernel(), "."+d.Native)
	if !ok {
		return nil
	}
	for _, name := range kernels {
		if slices.Contains(state[name], running) {
			if Compare(state.Newest(name), running) > 0 {
				return []string{name}
			}
			return nil
		}
	}
	return nil
}

// PidHolder says who has written its number into one of these files and still
// lives; empty if nobody has. It is how dnf and zypper lock.
func (d *DB) PidHolder(files ...string) string {
	for _, file := range files {
		text, _, _ := strings.Cut(strings.TrimSpace(d.machine.Text(file)), "\n")
		pid, err := strconv.Atoi(text)
		if err != nil || pid <= 0 {
			continue
		}
		if name := strings.TrimSpace(d.machine.Text("/proc/" + strconv.Itoa(pid) + "/comm")); name != "" {
			return name + " (" + strconv.Itoa(pid) + ") holds the lock " + file
		}
	}
	return ""
}

// LockHolder says who changes the database, by rpm itself or through
// something else; empty if nobody does.
func (d *DB) LockHolder() string {
	for _, dir := range []string{"/var/lib/rpm", "/usr/lib/sysimage/rpm"} {
		if holder := d.machine.LockHolder(dir + "/.rpm.lock"); holder != "" {
			return holder
		}
	}
	return ""
}
