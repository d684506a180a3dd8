//go:build e2e && linux

package apt

import (
	"context"
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
	"upkeep/internal/lab"
)

// inside is set in the copy of this test binary that runs in the root.
const inside = "UPKEEP_APT_E2E_INSIDE"

// TestRealApt runs the hands with the real apt and dpkg, in a root of its own.
// It needs what the lab needs.
func TestRealApt(t *testing.T) {
	if os.Getenv(inside) != "" {
		return // this is the copy in the root
	}
	root := filepath.Join(t.TempDir(), "root")
	for _, argv := range [][]string{
		{"cp", "-a", lab.Root(t), root},
		{"sh", "testdata/publish.sh", root},
	} {
		if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", argv, err, out)
		}
	}
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/apt.test", binary, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--fork", "--kill-child", "--root", root, "--mount-proc",
		"/apt.test", "-test.v", "-test.run", "TestInside")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", inside + "=1"}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

var _ agent.Hands = (*host.Hands)(nil)

type story struct {
	*testing.T
	hands *host.Hands
	apt   *Manager
	n     int
	dry   bool // orders are dry runs
}

func (s *story) look() action.Observation {
	s.Helper()
	obs, err := s.hands.Look(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return obs
}

// do carries one order out.
func (s *story) do(kind action.Kind, packages ...action.Package) action.Result {
	s.Helper()
	s.n++
	o := action.Order{Run: "r", Step: string(kind), Attempt: s.n, Kind: kind, Packages: packages, DryRun: s.dry, Timeout: time.Minute}
	memo, err := s.hands.Prepare(s.Context(), o)
	if err != nil {
		s.Fatalf("%s: %v", kind, err)
	}
	r, err := s.hands.Begin(s.Context(), o, memo)
	if err != nil {
		s.Fatalf("%s: %v", kind, err)
	}
	if err := s.hands.Forget(o.Key()); err != nil {
		s.Error(err)
	}
	return r
}

func (s *story) expect(what string, r action.Result, outcome action.Outcome, changes ...action.Change) {
	s.Helper()
	if r.Outcome != outcome || !reflect.DeepEqual(r.Changes, changes) {
		s.Errorf("%s: %s (%s), changes %+v\n%s", what, r.Outcome, r.Reason, r.Changes, r.Output)
	}
}

func pkg(name, version string) action.Package { return action.Package{Name: name, Version: version} }

func TestInside(t *testing.T) {
	if os.Getenv(inside) == "" {
		return // TestRealApt runs it in the root
	}
	s := &story{T: t}
	var err error
	s.hands, err = host.New(host.Config{Dir: "/var/lib/upkeep", Holds: func(name string) bool { return name == "owned" }}, func(m *host.Machine) (host.Manager, error) {
		manager, err := New(m)
		if err == nil {
			s.apt = manager.(*Manager)
		}
		return manager, err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.expect("refresh", s.do(action.Refresh), action.Done)
	obs := s.look()
	var names []string
	for _, p := range obs.Pending {
		names = append(names, p.Name)
		if p.Name == "fixed" && (!p.Security || p.From != "1.0" || p.To != "2.0" || p.Bytes == 0) {
			t.Errorf("%+v", p)
		}
	}
	if !slices.Contains(names, "fixed") || slices.Contains(names, "held") || !slices.Equal(obs.Held, []string{"held"}) ||
		len(obs.HalfConfigured) > 0 || obs.RebootRequired || obs.ListsAge > time.Minute || obs.Manager != "apt" {
		t.Errorf("%+v", obs)
	}
	s.dryRuns()
	s.installs()
	s.failures()
	s.cutOff()
}

// dryRuns leave the host as it was.
func (s *story) dryRuns() {
	before := s.state()
	ask := func(kind action.Kind, outcome action.Outcome, says string, packages ...action.Package) {
		s.Helper()
		s.dry = true
		defer func() { s.dry = false }()
		r := s.do(kind, packages...)
		if s.expect("dry run", r, outcome); !r.DryRun || !strings.Contains(r.Output, says) {
			s.Errorf("%s: %+v", kind, r)
		}
	}
	ask(action.Refresh, action.Done, "would run: apt-get update")
	ask(action.Download, action.Done, "Inst grows", pkg("grows", "2.0"))
	ask(action.Install, action.Done, "Inst added", pkg("grows", "2.0"), pkg("auto", "2.0"))
	ask(action.Install, action.Failed, "", pkg("plain", "3.0"))
	ask(action.Restore, action.Done, "nothing would be run", pkg("plain", "1.0"))
	ask(action.Repair, action.Done, "would run: ")
	ask(action.Reboot, action.Done, "would run: reboot")
	if after := s.state(); after != before {
		s.Errorf("a dry run has changed something:\n%s\nwas\n%s", after, before)
	}
}

// state is what apt and dpkg keep: every file with its size and time.
func (s *story) state() string {
	s.Helper()
	out, err := exec.CommandContext(s.Context(), "find", "/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt/archives", "/etc", "-type", "f", "-printf", "%p %s %T@\n").Output()
	if err != nil {
		s.Fatal(err)
	}
	return string(out)
}

func (s *story) installs() {
	s.expect("download", s.do(action.Download, pkg("auto", "2.0"), pkg("grows", "2.0")), action.Done)
	s.expect("install", s.do(action.Install, pkg("auto", "2.0"), pkg("grows", "2.0")), action.Done,
		action.Change{Name: "added", To: "1.0"}, action.Change{Name: "auto", From: "1.0", To: "2.0"}, action.Change{Name: "grows", From: "1.0", To: "2.0"})
	if auto, err := s.apt.auto(s.Context()); err != nil || !slices.Contains(auto, "added") || !slices.Contains(auto, "auto") {
		s.Errorf("dependencies: %q, %v", auto, err)
	}
	s.expect("again", s.do(action.Install, pkg("auto", "2.0")), action.Done)
	s.expect("older than what is there", s.do(action.Install, pkg("auto", "1.0")), action.Done)
	s.expect("a version that is not there", s.do(action.Install, pkg("plain", "3.0")), action.Failed)
	s.expect("at the cost of another", s.do(action.Install, pkg("ousts", "2.0")), action.Failed)
	s.expect("not installed", s.do(action.Install, pkg("stranger", "1.0")), action.Failed)
	if _, err := s.hands.Prepare(s.Context(), action.Order{Kind: action.Install, Packages: []action.Package{pkg("along", "2.0")}}); err == nil ||
		!strings.Contains(err.Error(), "owned") {
		s.Errorf("it would touch a package that the owner holds: %v", err)
	}
	s.expect("conffile", s.do(action.Install, pkg("conf", "2.0")), action.Done, action.Change{Name: "conf", From: "1.0", To: "2.0"})
	if text, err := os.ReadFile("/etc/conf.conf"); err != nil || string(text) != "the administrator's\n" {
		s.Errorf("configuration file: %q, %v", text, err)
	}
	s.expect("kernel", s.do(action.Install, pkg("kernel", "2.0")), action.Done, action.Change{Name: "kernel", From: "1.0", To: "2.0"})
	if obs := s.look(); !obs.RebootRequired || !slices.Equal(obs.RebootPackages, []string{"kernel"}) {
		s.Errorf("reboot: %v %q", obs.RebootRequired, obs.RebootPackages)
	}
}

func (s *story) failures() {
	r := s.do(action.Install, pkg("bad", "2.0"), pkg("fixed", "2.0"))
	s.expect("postinst", r, action.Failed, action.Change{Name: "bad", From: "1.0", To: "2.0"}, action.Change{Name: "fixed", From: "1.0", To: "2.0"})
	if len(r.Failures) != 1 || r.Failures[0].Name != "bad" || !strings.Contains(r.Failures[0].Reason, "exit status 1") {
		s.Errorf("failures: %+v", r.Failures)
	}
	if obs := s.look(); !slices.Equal(obs.HalfConfigured, []string{"bad"}) {
		s.Errorf("half configured: %q", obs.HalfConfigured)
	}
	r = s.do(action.Repair)
	if s.expect("repair", r, action.Failed); len(r.Failures) != 1 || r.Failures[0].Name != "bad" {
		s.Errorf("failures: %+v", r.Failures)
	}
	s.expect("restore", s.do(action.Restore, pkg("bad", "1.0")), action.Done, action.Change{Name: "bad", From: "2.0", To: "1.0"})
	if obs := s.look(); len(obs.HalfConfigured) > 0 {
		s.Errorf("half configured: %q", obs.HalfConfigured)
	}
}

// cutOff cuts off dpkg, and the hands themselves.
func (s *story) cutOff() {
	s.expect("dpkg is killed", s.do(action.Install, pkg("cut", "2.0")), action.Failed, action.Change{Name: "cut", From: "1.0", To: "2.0"})
	if obs := s.look(); !slices.Equal(obs.HalfConfigured, []string{"cut"}) {
		s.Errorf("half configured: %q", obs.HalfConfigured)
	}
	s.expect("repair", s.do(action.Repair), action.Done)

	// The agent is killed in the middle, which its context's end stands for.
	o := action.Order{Run: "r", Step: "slow", Attempt: 1, Kind: action.Install, Packages: []action.Package{pkg("slow", "2.0")}, Timeout: time.Minute}
	memo, err := s.hands.Prepare(s.Context(), o)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.Context())
	go func() {
		for _, err := os.Stat("/tmp/slow"); err != nil; _, err = os.Stat("/tmp/slow") {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	if _, err := s.hands.Begin(ctx, o, memo); err == nil {
		s.Error("it ended before it was cut off")
	}
	// Somebody else's order waits for dpkg's lock, in vain.
	short, cancel := context.WithTimeout(s.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.hands.Prepare(short, action.Order{Kind: action.Repair}); err == nil || !strings.Contains(err.Error(), "holds the lock") {
		s.Errorf("the lock: %v", err)
	}
	if err := os.WriteFile("/tmp/go", nil, 0o600); err != nil {
		s.Fatal(err)
	}
	r, err := s.hands.Adopt(s.Context(), o, memo)
	if err != nil {
		s.Fatal(err)
	}
	s.expect("adopted", r, action.Done, action.Change{Name: "slow", From: "1.0", To: "2.0"})
	if text, err := os.ReadFile("/tmp/slow"); err != nil || string(text) != "once\n" {
		s.Errorf("the postinst ran: %q, %v", text, err)
	}

	// Never started, and yet so: the answer is what dpkg says.
	o.Step = "never"
	if r, err := s.hands.Adopt(s.Context(), o, memo); err != nil || r.Outcome != action.Done {
		s.Errorf("all is so: %+v, %v", r, err)
	}
	o.Packages = []action.Package{pkg("slow", "3.0")}
	if r, err := s.hands.Adopt(s.Context(), o, memo); err != nil || r.Outcome != action.Interrupted {
		s.Errorf("not so: %+v, %v", r, err)
	}
}
