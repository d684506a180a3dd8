package apt

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/host"
)

// tools are stand-ins for apt and dpkg in a folder of their own: each notes how it
// was called and prints what the real one was recorded to print.
type tools struct {
	*testing.T
	dir   string
	data  string // the agent's folder
	root  string
	hands *host.Hands
	apt   *Manager
}

// tool is what every stand-in does: a file named after it and its first
// argument says what it prints, with ".rc" its exit code, with ".next" what
// dpkg-query prints afterwards.
const tool = `#!/bin/sh
d=${0%/*}
n=${0##*/}
echo "$n $*" >>"$d/calls"
case $n in
dpkg) case $1 in --print-architecture) echo amd64; exit;; --compare-versions) test "$2" != "$4" && test "$(printf '%s\n%s\n' "$2" "$4" | sort | tail -1)" = "$2"; exit;; esac;;
esac
cat "$d/$n-$1" 2>/dev/null
test ! -e "$d/$n-$1.next" || cp "$d/$n-$1.next" "$d/dpkg-query--W"
test ! -e "$d/$n-$1.rc" || exit "$(cat "$d/$n-$1.rc")"
`

func newTools(t *testing.T, cfg host.Config) *tools {
	t.Helper()
	s := &tools{T: t, dir: t.TempDir()}
	for _, name := range []string{"apt-get", "apt-mark", "dpkg", "dpkg-query", "reboot"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(tool), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", s.dir+":"+os.Getenv("PATH"))
	s.write("dpkg-query--W", recorded(t, "query"))
	s.write("apt-mark-showauto", "auto\n")
	cfg.Dir = filepath.Join(t.TempDir(), "agent")
	if err := os.Mkdir(cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg.Root = t.TempDir()
	s.data, s.root = cfg.Dir, cfg.Root
	for name, text := range map[string]string{
		"/proc/sys/kernel/random/boot_id": "boot-1\n", "/proc/sys/kernel/osrelease": "6.1.0\n",
		"/etc/os-release": "PRETTY_NAME=\"Debian 12\"\n", "/run/reboot-required": "", "/run/reboot-required.pkgs": "kernel\ndbus\nkernel\n",
	} {
		if err := os.MkdirAll(filepath.Dir(s.root+name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.root+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hands, err := host.New(cfg, func(m *host.Machine) (host.Manager, error) {
		manager, err := New(m)
		if err == nil {
			s.apt = manager.(*Manager)
		}
		return manager, err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.hands = hands
	return s
}

func (s *tools) write(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// calls lists how the stand-ins were called since the last time.
func (s *tools) calls() []string {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "calls"))
	if err != nil {
		s.Fatal(err)
	}
	s.write("calls", "")
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func (s *tools) called(prefix string) bool {
	return slices.ContainsFunc(s.calls(), func(c string) bool { return strings.HasPrefix(c, prefix) })
}

func (s *tools) prepare(o action.Order) json.RawMessage {
	s.Helper()
	memo, err := s.hands.Prepare(s.Context(), o)
	if err != nil {
		s.Fatal(err)
	}
	return memo
}

func (s *tools) do(o action.Order) action.Result {
	s.Helper()
	r, err := s.hands.Begin(s.Context(), o, s.prepare(o))
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// rc is where the exit code of an order's command is kept.
func (s *tools) rc(o action.Order) string {
	return filepath.Join(s.data, "orders", agent.Hash(o.Key()), "rc")
}

func ask(step string, kind action.Kind, packages ...action.Package) action.Order {
	return action.Order{Run: "r", Step: step, Attempt: 1, Kind: kind, Packages: packages, Timeout: time.Minute}
}

func TestLook(t *testing.T) {
	s := newTools(t, host.Config{})
	s.write("apt-get--s", recorded(t, "upgrade"))
	s.write("apt-get--qq", recorded(t, "uris"))
	obs, err := s.hands.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if obs.BootID != "boot-1" || obs.Kernel != "6.1.0" || obs.System != "Debian 12" || obs.Arch != "amd64" || len(obs.Pending) != 8 ||
		obs.Pending[4].Bytes != 724 || !slices.Equal(obs.Held, []string{"held"}) || obs.HalfConfigured != nil ||
		!obs.RebootRequired || !slices.Equal(obs.RebootPackages, []string{"dbus", "kernel"}) || obs.ListsAge != host.NeverRefreshed {
		t.Errorf("%+v", obs)
	}
	s.calls()
	if again, err := s.hands.Look(t.Context()); err != nil || !reflect.DeepEqual(again, obs) || s.called("apt-get -qq") {
		t.Errorf("sizes are asked for once: %+v, %v", again, err)
	}
	s.write("apt-get--s", recorded(t, "upgrade-broken"))
	s.write("apt-get--s.rc", "100")
	if obs, err = s.hands.Look(t.Context()); err != nil || !slices.Equal(obs.HalfConfigured, []string{"grows"}) || obs.Pending != nil {
		t.Errorf("broken dependencies: %+v, %v", obs, err)
	}
	s.write("apt-get--s", "E: The package lists or status file could not be parsed or opened.\n")
	if _, err = s.hands.Look(t.Context()); err == nil {
		t.Error("a host that can't tell sends no observation")
	}
}

func TestOrders(t *testing.T) {
	s := newTools(t, host.Config{})
	if r := s.do(ask("refresh", action.Refresh)); r.Outcome != action.Done || !s.called("apt-get update -q -o APT::Update::Error-Mode=any -o DPkg::Lock::Timeout=30") {
		t.Errorf("refresh: %+v", r)
	}
	if age := s.apt.listsAge(time.Now()); age > time.Minute {
		t.Errorf("age of the lists: %s", age)
	}
	s.write("apt-get-install", recorded(t, "failed"))
	s.write("apt-get-install.rc", "100")
	s.write("apt-get-install.next", recorded(t, "query-failed"))
	o := ask("install", action.Install, action.Package{Name: "bad", Version: "2.0"}, action.Package{Name: "fixed", Version: "2.0"}, action.Package{Name: "held", Version: "1.0"})
	memo := s.prepare(o)
	r, err := s.hands.Begin(t.Context(), o, memo)
	if err != nil || r.Outcome != action.Failed || len(r.Failures) != 2 || r.Failures[0].Name != "bad" || len(r.Changes) != 7 || !strings.Contains(r.Output, "Setting up bad") {
		t.Errorf("install: %+v", r)
	}
	const want = "apt-get install -q -y --no-remove -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold " +
		"-o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=30 --only-upgrade bad=2.0 fixed=2.0"
	if calls := s.calls(); !slices.Contains(calls, want) {
		t.Errorf("calls: %q", calls)
	}
	// The same key is not started again, whatever the journal has forgotten.
	if _, err := s.hands.Begin(t.Context(), o, memo); err == nil {
		t.Error("it was begun twice")
	}
	if r, err := s.hands.Adopt(t.Context(), o, nil); err != nil || r.Outcome != action.Failed || r.Failures[0].Name != "bad" {
		t.Errorf("adopted: %+v, %v", r, err)
	}
	if err := s.hands.Forget(o.Key()); err != nil {
		t.Error(err)
	}
	if r, err := s.hands.Adopt(t.Context(), o, nil); err != nil || r.Outcome != action.Interrupted {
		t.Errorf("nobody knows: %+v, %v", r, err)
	}
	o.Packages = []action.Package{{Name: "fixed", Version: "2.0"}}
	if r, err := s.hands.Adopt(t.Context(), o, nil); err != nil || r.Outcome != action.Done {
		t.Errorf("all is so: %+v, %v", r, err)
	}
	s.write("apt-get-install", "")
	s.write("apt-get-install.rc", "0")
	s.write("apt-mark-showauto", "")
	s.calls()
	s.do(ask("restore", action.Restore, action.Package{Name: "bad", Version: "1.0"}))
	if calls := strings.Join(s.calls(), "\n"); !strings.Contains(calls, "--allow-downgrades bad=1.0") || strings.Contains(calls, "apt-mark auto") {
		t.Errorf("calls: %s", calls)
	}
	if r := s.do(ask("repair", action.Repair)); r.Outcome != action.Failed || r.Failures[0].Name != "bad" {
		t.Errorf("repair that leaves something: %+v", r)
	}
	if calls := strings.Join(s.calls(), "\n"); !strings.Contains(calls, "dpkg --force-confdef --force-confold --configure -a\napt-get install") || !strings.Contains(calls, "-f") {
		t.Errorf("calls: %s", calls)
	}
}

// What was a dependency stays one.
func TestMarks(t *testing.T) {
	s := newTools(t, host.Config{})
	o := ask("install", action.Install, action.Package{Name: "auto", Version: "2.0"})
	memo := s.prepare(o)
	s.write("apt-mark-showauto", "")
	s.write("apt-get-install.next", strings.Replace(recorded(t, "query"), "auto\tall\t1.0", "auto\tall\t2.0", 1))
	r, err := s.hands.Begin(t.Context(), o, memo)
	if err != nil || r.Outcome != action.Done || !slices.Equal(r.Changes, []action.Change{{Name: "auto", From: "1.0", To: "2.0"}}) {
		t.Errorf("%+v, %v", r, err)
	}
	if calls := s.calls(); !slices.Contains(calls, "apt-mark auto auto") {
		t.Errorf("calls: %q", calls)
	}
}

func TestReboot(t *testing.T) {
	s := newTools(t, host.Config{RebootCommand: []string{"reboot", "now"}})
	s.write("reboot-now", "down\n")
	o := ask("reboot", action.Reboot)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !s.called("reboot now") {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if r, err := s.hands.Begin(ctx, o, nil); err == nil {
		t.Fatalf("it returned while the host went down: %+v", r)
	}
	for _, err := os.Stat(s.rc(o)); err != nil; _, err = os.Stat(s.rc(o)) {
		time.Sleep(time.Millisecond)
	}
	o.Timeout = 50 * time.Millisecond // counted from when it was begun
	if r, err := s.hands.Adopt(t.Context(), o, nil); err != nil || r.Outcome != action.Failed || !strings.Contains(r.Reason, "same boot") {
		t.Errorf("still up: %+v, %v", r, err)
	}
	s.write("reboot-now.rc", "1")
	s.write("reboot-now", "Call to Reboot failed: Access denied\n")
	if r := s.do(ask("denied", action.Reboot)); r.Outcome != action.Failed || r.Reason != "Call to Reboot failed: Access denied" {
		t.Errorf("denied: %+v", r)
	}
}

// The owner can make every order a dry run, and whoever gives an order that one.
func TestDryRun(t *testing.T) {
	for name, owners := range map[string]bool{"the owner's": true, "the order's": false} {
		t.Run(name, func(t *testing.T) {
			s := newTools(t, host.Config{DryRun: owners})
			s.write("apt-get--s", recorded(t, "upgrade"))
			for _, kind := range []action.Kind{action.Refresh, action.Download, action.Install, action.Repair, action.Restore, action.Reboot} {
				o := ask(string(kind), kind, action.Package{Name: "plain", Version: "0.9"})
				o.DryRun = !owners
				r := s.do(o)
				if r.Outcome != action.Done || !r.DryRun || !strings.HasPrefix(r.Reason, "dry run") || !strings.HasPrefix(r.Output, "dry run") || r.Changes != nil {
					t.Errorf("%s: %+v", kind, r)
				}
			}
			for _, c := range s.calls() {
				if strings.HasPrefix(c, "apt-get") && !strings.HasPrefix(c, "apt-get -s") || strings.HasPrefix(c, "reboot") || strings.HasPrefix(c, "dpkg --configure") {
					t.Errorf("a dry run called %q", c)
				}
			}
		})
	}
}

func TestPrepareRefuses(t *testing.T) {
	s := newTools(t, host.Config{Holds: func(name string) bool { return name == "added" }})
	s.write("apt-get--s", recorded(t, "upgrade"))
	for name, o := range map[string]action.Order{
		"an option":     ask("a", action.Install, action.Package{Name: "--allow-remove-essential", Version: "1"}),
		"no version":    ask("b", action.Install, action.Package{Name: "plain"}),
		"a held friend": ask("c", action.Install, action.Package{Name: "grows", Version: "2.0"}),
	} {
		_, err := s.hands.Prepare(t.Context(), o)
		if _, ok := err.(*agent.RefusalError); !ok { //nolint:errorlint // it is returned as it is
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := host.New(host.Config{}, New); err == nil {
		t.Error("without a folder")
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := host.New(host.Config{Dir: s.dir}, New); err == nil || !strings.Contains(err.Error(), "apt") {
		t.Errorf("without apt: %v", err)
	}
}

func TestNewerKernelWantsReboot(t *testing.T) {
	s := newTools(t, host.Config{})
	real, err := exec.LookPath("/usr/bin/dpkg")
	if err != nil {
		t.Fatal(err)
	}
	// Versions are compared by the real dpkg: its rules are the point.
	if err := os.Remove(filepath.Join(s.dir, "dpkg")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, filepath.Join(s.dir, "dpkg")); err != nil {
		t.Fatal(err)
	}
	kernels := func(running, built string, installed ...string) []string {
		t.Helper()
		all := map[string]version{}
		for _, in := range installed {
			name, v, _ := strings.Cut(in, "=")
			all["linux-image-"+name] = version{Version: v}
		}
		if err := os.WriteFile(s.root+"/proc/version", []byte(built), 0o600); err != nil {
			t.Fatal(err)
		}
		got := s.apt.newerKernels(t.Context(), running, all)
		slices.Sort(got)
		return got
	}
	const built = "Linux version 6.1.0-13-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0) #1 SMP PREEMPT_DYNAMIC Debian 6.1.55-1 (2023-09-29)"
	for name, tt := range map[string]struct {
		running, built string
		installed      []string
		want           []string
	}{
		"the newest runs":          {"6.1.0-13-amd64", built, []string{"6.1.0-13-amd64=6.1.55-1", "6.1.0-9-amd64=6.1.27-1"}, nil},
		"a newer release":          {"6.1.0-13-amd64", built, []string{"6.1.0-13-amd64=6.1.55-1", "6.1.0-18-amd64=6.1.76-1"}, []string{"linux-image-6.1.0-18-amd64"}},
		"the same, built anew":     {"6.1.0-13-amd64", built, []string{"6.1.0-13-amd64=6.1.55-2"}, []string{"linux-image-6.1.0-13-amd64"}},
		"another flavour":          {"6.1.0-13-amd64", built, []string{"6.1.0-13-amd64=6.1.55-1", "6.1.0-18-cloud-amd64=6.1.76-1"}, nil},
		"the meta package":         {"6.1.0-13-amd64", built, []string{"6.1.0-13-amd64=6.1.55-1", "amd64=6.1.76-1"}, nil},
		"a kernel of somebody's":   {"6.9.1-own", built, []string{"6.1.0-18-amd64=6.1.76-1"}, nil},
		"a container on this host": {"6.1.0-13-amd64", built, nil, nil},
	} {
		if got := kernels(tt.running, tt.built, tt.installed...); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
