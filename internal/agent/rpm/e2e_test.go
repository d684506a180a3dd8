//go:build e2e && linux

package rpm_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent/dnf"
	"upkeep/internal/agent/host"
	"upkeep/internal/agent/rpm"
	"upkeep/internal/agent/zypper"
	"upkeep/internal/lab"
)

// inside names the package manager in the copy of this test binary that runs in a root.
const inside = "UPKEEP_RPM_E2E_INSIDE"

var managers = map[string]host.Make{"dnf": dnf.New, "zypper": zypper.New}

// TestRealManagers runs the hands with the real dnf, zypper and rpm, as Debian
// packages them, each in a root of its own. It needs what the lab needs.
func TestRealManagers(t *testing.T) {
	if os.Getenv(inside) != "" {
		return // this is the copy in the root
	}
	for tool := range managers {
		t.Run(tool, func(t *testing.T) { lab.InRoot(t, lab.RPMRoot(t, tool), "TestInside", inside+"="+tool) })
	}
}

type story struct {
	*testing.T
	tool  string
	hands *host.Hands
	n     int
}

func TestInside(t *testing.T) {
	tool := os.Getenv(inside)
	if tool == "" {
		return // TestRealManagers runs it in a root
	}
	// dnf takes the age of this folder for the time of the boot, and the kernel makes it when it is first asked for.
	if _, err := os.Stat("/proc/1"); err != nil {
		t.Fatal(err)
	}
	h, err := host.New(host.Config{Dir: "/var/lib/upkeep", Holds: func(name string) bool { return name == "owned" }}, managers[tool])
	if err != nil {
		t.Fatal(err)
	}
	s := &story{T: t, tool: tool, hands: h}
	s.versions()
	s.looks()
	s.pretends()
	s.installs()
	s.refuses()
	s.fails()
	s.restarts()
	s.cutOff()
	s.adopts()
}

// run is a command beside the hands.
func (s *story) run(argv ...string) string {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

func (s *story) look() action.Observation {
	s.Helper()
	obs, err := s.hands.Look(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return obs
}

func (s *story) order(kind action.Kind, packages ...action.Package) action.Order {
	s.n++
	return action.Order{Run: "r", Step: string(kind), Attempt: s.n, Kind: kind, Packages: packages, Timeout: time.Minute}
}

// do carries one order out.
func (s *story) do(o action.Order) action.Result {
	s.Helper()
	memo, err := s.hands.Prepare(s.Context(), o)
	if err != nil {
		s.Fatalf("%s: %v", o.Kind, err)
	}
	r, err := s.hands.Begin(s.Context(), o, memo)
	if err != nil {
		s.Fatalf("%s: %v", o.Kind, err)
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

// install carries out an order to install, "name=version" each.
func (s *story) install(specs ...string) action.Result {
	s.Helper()
	return s.do(s.order(action.Install, packages(specs...)...))
}

func packages(specs ...string) []action.Package {
	var all []action.Package
	for _, spec := range specs {
		name, version, _ := strings.Cut(spec, "=")
		all = append(all, action.Package{Name: name, Version: version})
	}
	return all
}

func update(name string) action.Change {
	return action.Change{Name: name, From: "1.0-1", To: "2.0-1"}
}

// versions compares our order of versions with rpm's own.
func (s *story) versions() {
	rnd := rand.New(rand.NewPCG(1, 2))
	const marks = "0011239abzZ..~^_+"
	var pairs [][2]string
	var script strings.Builder
	script.WriteString("%{lua:")
	for range 2000 {
		var pair [2]string
		for i := range pair {
			for range 1 + rnd.IntN(6) {
				pair[i] += string(marks[rnd.IntN(len(marks))])
			}
		}
		pairs = append(pairs, pair)
		fmt.Fprintf(&script, "print(rpm.vercmp('%s','%s')..' ')\n", pair[0], pair[1])
	}
	script.WriteString("}")
	got := strings.Fields(s.run("rpm", "--eval", script.String()))
	if len(got) != len(pairs) {
		s.Fatalf("rpm compared %d of %d", len(got), len(pairs))
	}
	for i, pair := range pairs {
		if want := fmt.Sprint(rpm.Compare(pair[0], pair[1])); got[i] != want {
			s.Errorf("compare %q with %q: rpm says %s, we %s", pair[0], pair[1], got[i], want)
		}
	}
}

func (s *story) looks() {
	if obs := s.look(); len(obs.Pending) > 0 || obs.ListsAge != host.NeverRefreshed || obs.RebootRequired || len(obs.HalfConfigured) > 0 {
		s.Errorf("before a refresh: %+v", obs)
	}
	s.expect("refresh", s.do(s.order(action.Refresh)), action.Done)
	if s.tool == "dnf" {
		s.run("dnf", "versionlock", "add", "held")
	} else {
		s.run("zypper", "--non-interactive", "addlock", "held")
	}
	obs := s.look()
	pending := map[string]action.Pending{}
	var names []string
	for _, p := range obs.Pending {
		pending[p.Name] = p
		names = append(names, p.Name)
	}
	// Not eats, at whose cost eaten would go, nor ousts, for which plain would have to, nor what is held.
	want := strings.Fields("Upper_Name added along bad badpre conf cut epoch fixed glibc grows gtk+ kernel-core libstdc++6 owned perl-HTTP-Date plain slow")
	if s.tool == "dnf" && runtime.GOARCH == "amd64" {
		want = slices.Insert(want, 5, "both", "both:i686")
	}
	if !slices.Equal(names, want) {
		s.Errorf("pending:\n got %q\nwant %q", names, want)
	}
	if !slices.Equal(obs.Held, []string{"held"}) || obs.Manager != s.tool || obs.Arch == "" || obs.ListsAge > time.Minute {
		s.Errorf("%+v", obs)
	}
	if p := pending["fixed"]; !p.Security || p.From != "1.0-1" || p.To != "2.0-1" || p.Origin != "lab" || p.Released.Format(time.DateTime) != "2024-03-05 10:00:00" {
		s.Errorf("%+v", p)
	}
	if p := pending["plain"]; p.Security || p.Released.Format(time.DateTime) != "2024-04-05 10:00:00" || s.tool == "dnf" && p.Bytes == 0 {
		s.Errorf("%+v", p)
	}
	if p := pending["epoch"]; !p.Security || p.From != "1:1.0-1" || p.To != "1:2.0~rc1-1" {
		s.Errorf("%+v", p)
	}
	if p := pending["kernel-core"]; !p.Security || p.From != "6.1.1-1" || p.To != "6.1.4-1" {
		s.Errorf("a hole that an older update mends: %+v", p)
	}
	if p := pending["added"]; p.From != "" || p.To != "1.0-1" {
		s.Errorf("it comes along: %+v", p)
	}
}

func (s *story) pretends() {
	before := s.run("rpm", "-qa")
	for _, o := range []action.Order{
		s.order(action.Install, packages("grows=2.0-1")...), s.order(action.Download, packages("grows=2.0-1")...), s.order(action.Refresh), s.order(action.Repair),
	} {
		o.DryRun = true
		r := s.do(o)
		if r.Outcome != action.Done || !r.DryRun || r.Changes != nil {
			s.Errorf("%s: %+v", o.Kind, r)
		}
		if o.Kind == action.Install && !strings.Contains(r.Output, "added") {
			s.Errorf("what would come along is not said: %s", r.Output)
		}
	}
	o := s.order(action.Install, packages("ousts=2.0-1")...)
	o.DryRun = true
	if r := s.do(o); s.tool == "zypper" && (r.Outcome != action.Failed || !strings.Contains(r.Reason, "conflicts with plain")) {
		s.Errorf("it would fail: %+v", r)
	}
	if after := s.run("rpm", "-qa"); after != before {
		s.Errorf("a dry run has changed\n%s\nto\n%s", before, after)
	}
}

func (s *story) installs() {
	s.expect("download", s.do(s.order(action.Download, packages("Upper_Name=2.0-1", "grows=2.0-1")...)), action.Done)
	s.expect("install", s.install("Upper_Name=2.0-1", "grows=2.0-1", "epoch=1:2.0~rc1-1"), action.Done,
		update("Upper_Name"), action.Change{Name: "added", To: "1.0-1"}, action.Change{Name: "epoch", From: "1:1.0-1", To: "1:2.0~rc1-1"}, update("grows"))
	s.expect("again", s.install("grows=2.0-1"), action.Done)
	s.expect("older than what is there", s.install("grows=1.0-1"), action.Done)
	s.expect("odd names", s.install("gtk+=2.0-1", "libstdc++6=2.0-1", "perl-HTTP-Date=2.0-1"), action.Done,
		update("gtk+"), update("libstdc++6"), update("perl-HTTP-Date"))
	if err := os.WriteFile("/etc/conf.conf", []byte("the administrator's\n"), 0o600); err != nil {
		s.Fatal(err)
	}
	s.expect("conffile", s.install("conf=2.0-1"), action.Done, update("conf"))
	if text, err := os.ReadFile("/etc/conf.conf"); err != nil || string(text) != "the administrator's\n" {
		s.Errorf("configuration file: %q, %v", text, err)
	}
	s.expect("one version of several", s.install("kernel-core=6.1.3-1"), action.Done, action.Change{Name: "kernel-core", From: "6.1.1-1", To: "6.1.3-1"})
	if got := s.run("rpm", "-q", "kernel-core"); !strings.Contains(got, "6.1.1-1") || !strings.Contains(got, "6.1.3-1") {
		s.Errorf("kernels: %s", got)
	}
	if s.tool == "dnf" && runtime.GOARCH == "amd64" {
		s.expect("one architecture", s.install("both=2.0-1", "both:i686=2.0-1"), action.Done, update("both"), update("both:i686"))
	}
}

func (s *story) refuses() {
	r := s.install("plain=3.0-1")
	if s.expect("a version that is not there", r, action.Failed); r.Failures[0].Name != "plain" {
		s.Errorf("%+v", r.Failures)
	}
	r = s.install("ousts=2.0-1")
	if s.expect("a conflict", r, action.Failed); r.Failures[0].Name != "ousts" || !strings.Contains(r.Failures[0].Reason, "conflicts with plain") {
		s.Errorf("%+v", r.Failures)
	}
	s.expect("not installed", s.install("stranger=1.0-1"), action.Failed)
	for name, why := range map[string]string{"along": "owned", "eats": "eaten"} {
		if _, err := s.hands.Prepare(s.Context(), s.order(action.Install, packages(name+"=2.0-1")...)); err == nil || !strings.Contains(err.Error(), why) {
			s.Errorf("%s: %v", name, err)
		}
	}
	s.expect("locked by the administrator", s.install("held=2.0-1"), action.Failed)
}

func (s *story) fails() {
	r := s.install("bad=2.0-1", "fixed=2.0-1")
	s.expect("%post", r, action.Failed, update("bad"), update("fixed"))
	if len(r.Failures) != 1 || r.Failures[0] != (action.Failure{Name: "bad", Reason: "the scriptlet %post failed: exit status 1"}) || !strings.Contains(r.Output, "can not be migrated") {
		s.Errorf("failures: %+v\n%s", r.Failures, r.Output)
	}
	if obs := s.look(); len(obs.HalfConfigured) > 0 {
		s.Errorf("to rpm it is installed: %q", obs.HalfConfigured)
	}
	s.expect("restore", s.do(s.order(action.Restore, packages("bad=1.0-1")...)), action.Done, action.Change{Name: "bad", From: "2.0-1", To: "1.0-1"})
	r = s.install("badpre=2.0-1")
	if s.expect("%pre", r, action.Failed); len(r.Failures) != 1 || r.Failures[0] != (action.Failure{Name: "badpre", Reason: "the scriptlet %prein failed: exit status 3"}) {
		s.Errorf("failures: %+v\n%s", r.Failures, r.Output)
	}
}

func (s *story) restarts() {
	if obs := s.look(); obs.RebootRequired {
		s.Errorf("a reboot is not required: %q", obs.RebootPackages)
	}
	s.expect("glibc", s.install("glibc=2.0-1"), action.Done, update("glibc"))
	if obs := s.look(); !obs.RebootRequired || !slices.Contains(obs.RebootPackages, "glibc") {
		s.Errorf("reboot: %v %q", obs.RebootRequired, obs.RebootPackages)
	}
}

// cutOff cuts off dnf, or the rpm that zypper has started.
func (s *story) cutOff() {
	r := s.install("cut=2.0-1")
	s.expect("cut off", r, action.Failed, action.Change{Name: "cut", From: "1.0-1", To: "2.0-1"})
	if obs := s.look(); !slices.Equal(obs.HalfConfigured, []string{"cut"}) {
		s.Errorf("half done: %q", obs.HalfConfigured)
	}
	s.expect("repair", s.do(s.order(action.Repair)), action.Done, action.Change{Name: "cut", From: "1.0-1"})
	if obs := s.look(); len(obs.HalfConfigured) > 0 {
		s.Errorf("half done: %q", obs.HalfConfigured)
	}
	s.expect("nothing to repair", s.do(s.order(action.Repair)), action.Done)
}

// adopts kills the agent in the middle, which its context's end stands for.
func (s *story) adopts() {
	o := s.order(action.Install, packages("slow=2.0-1")...)
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
	// Somebody else's order waits for the lock, in vain.
	short, cancel := context.WithTimeout(s.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.hands.Prepare(short, s.order(action.Install, packages("plain=2.0-1")...)); err == nil || !strings.Contains(err.Error(), "holds the lock") {
		s.Errorf("the lock: %v", err)
	}
	if err := os.WriteFile("/tmp/go", nil, 0o600); err != nil {
		s.Fatal(err)
	}
	r, err := s.hands.Adopt(s.Context(), o, memo)
	if err != nil {
		s.Fatal(err)
	}
	s.expect("adopted", r, action.Done, update("slow"))
	if text, err := os.ReadFile("/tmp/slow"); err != nil || string(text) != "once\n" {
		s.Errorf("%%post ran: %q, %v", text, err)
	}
	// Never started, and yet so: the answer is what rpm says.
	o.Step = "never"
	if r, err := s.hands.Adopt(s.Context(), o, memo); err != nil || r.Outcome != action.Done {
		s.Errorf("all is so: %+v, %v", r, err)
	}
	o.Packages = packages("slow=3.0-1")
	if r, err := s.hands.Adopt(s.Context(), o, memo); err != nil || r.Outcome != action.Interrupted {
		s.Errorf("not so: %+v, %v", r, err)
	}
}
