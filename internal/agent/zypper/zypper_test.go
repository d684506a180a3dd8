package zypper

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent/host"
	"upkeep/internal/agent/rpm"
)

// recorded is what the real programs printed, and how they ended;
// testdata/record.sh made it.
func recorded(t testing.TB, name string) (text, code string) {
	t.Helper()
	all, err := os.ReadFile("testdata/recorded/" + name)
	if err != nil {
		t.Fatal(err)
	}
	head, text, _ := strings.Cut(string(all), "\n")
	m := regexp.MustCompile(`^# zypper 1\..*; exit (\d+): `).FindStringSubmatch(head)
	if m == nil {
		t.Fatalf("%s does not say what printed it: %s", name, head)
	}
	return text, m[1]
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, _ := recorded(t, name)
	return text
}

// tools are stand-ins for zypper and rpm in a folder of their own: each notes
// how it was called and prints what the real one was recorded to print.
type tools struct {
	*testing.T
	dir, root string
	hands     *host.Hands
}

// tool is what every stand-in does: the kind of the question names the file
// that says what it prints, and with ".rc" its exit code; "next" is what rpm
// says after a command that changes something.
const tool = `#!/bin/sh
d=${0%/*}
n=${0##*/}
echo "$n $*" >>"$d/calls"
case "$n $*" in
"rpm --eval"*) echo x86_64; exit ;;
"rpm -qa"*) k=query ;;
*"installhint(reboot-needed)") echo 'glibc	noarch'; exit ;;
"rpm -q "*) echo 'kernel-core	x86_64'; echo 'no package provides kernel'; exit 1 ;;
*" install "*" --dry-run "*) k=would ;;
*" --dry-run") k=update ;;
*" search "*) k=obsoleters ;;
*" list-updates "*) k=updates ;;
*" list-patches") k=patches ;;
*" info "*) k=info ;;
*" locks") k=locks ;;
*" needs-rebooting") k=reboot ;;
*) k=does; test ! -e "$d/next" || cp "$d/next" "$d/query" ;;
esac
cat "$d/$k" 2>/dev/null
test ! -e "$d/$k.rc" || exit "$(cat "$d/$k.rc")"
`

func newTools(t *testing.T, holds ...string) *tools {
	t.Helper()
	s := &tools{T: t, dir: t.TempDir(), root: t.TempDir()}
	for _, name := range []string{"zypper", "rpm"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(tool), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", s.dir+":"+os.Getenv("PATH"))
	for name, recording := range map[string]string{
		"query": "query", "update": "update", "obsoleters": "obsoleters", "updates": "updates", "patches": "patches",
		"info": "info", "locks": "locks", "reboot": "reboot-none", "would": "would-install",
	} {
		s.play(name, recording)
	}
	s.file("/proc/sys/kernel/random/boot_id", "boot-1\n")
	s.file("/var/cache/zypp/raw/lab/repodata/repomd.xml", "")
	h, err := host.New(host.Config{Dir: t.TempDir(), Root: s.root, Holds: func(name string) bool { return slices.Contains(holds, name) }}, New)
	if err != nil {
		t.Fatal(err)
	}
	s.hands = h
	return s
}

// play lets a stand-in answer one kind of question as it was recorded.
func (s *tools) play(kind, recording string) {
	s.Helper()
	text, code := recorded(s, recording)
	s.write(kind, text)
	s.write(kind+".rc", code)
}

func (s *tools) write(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *tools) file(name, text string) {
	s.Helper()
	if err := os.MkdirAll(filepath.Dir(s.root+name), 0o700); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(s.root+name, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// calls lists how the stand-ins were called since the last time.
func (s *tools) calls() string {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "calls"))
	if err != nil {
		s.Fatal(err)
	}
	s.write("calls", "")
	return string(text)
}

func (s *tools) look() action.Observation {
	s.Helper()
	obs, err := s.hands.Look(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return obs
}

func (s *tools) do(o action.Order) action.Result {
	s.Helper()
	memo, err := s.hands.Prepare(s.Context(), o)
	if err != nil {
		s.Fatal(err)
	}
	r, err := s.hands.Begin(s.Context(), o, memo)
	if err != nil {
		s.Fatal(err)
	}
	if err := s.hands.Forget(o.Key()); err != nil {
		s.Fatal(err)
	}
	return r
}

func ask(kind action.Kind, specs ...string) action.Order {
	o := action.Order{Run: "r", Step: "s", Attempt: 1, Kind: kind, Timeout: time.Minute}
	for _, spec := range specs {
		name, version, _ := strings.Cut(spec, "=")
		o.Packages = append(o.Packages, action.Package{Name: name, Version: version})
	}
	return o
}

func TestLook(t *testing.T) {
	s := newTools(t)
	obs := s.look()
	var names []string
	pending := map[string]action.Pending{}
	for _, p := range obs.Pending {
		names = append(names, p.Name)
		pending[p.Name] = p
	}
	// Not eats, at whose cost eaten would go, nor ousts, which zypper leaves out.
	if got := strings.Join(names, " "); got != "Upper_Name added along bad badpre conf cut epoch fixed glibc grows gtk+ held kernel-core libstdc++6 owned perl-HTTP-Date plain slow" {
		t.Errorf("pending: %s", got)
	}
	day := func(month time.Month) time.Time { return time.Date(2024, month, 5, 10, 0, 0, 0, time.UTC) }
	for _, want := range []action.Pending{
		{Name: "fixed", From: "1.0-1", To: "2.0-1", Security: true, Origin: "lab", Released: day(3)},
		{Name: "epoch", From: "1:1.0-1", To: "1:2.0~rc1-1", Security: true, Origin: "lab", Released: day(3)},
		{Name: "plain", From: "1.0-1", To: "2.0-1", Origin: "lab", Released: day(4)},
		{Name: "Upper_Name", From: "1.0-1", To: "2.0-1", Origin: "lab"},
		{Name: "kernel-core", From: "6.1.1-1", To: "6.1.4-1", Security: true, Origin: "lab"}, // of 6.1.3
		{Name: "added", To: "1.0-1"},
	} {
		if got := pending[want.Name]; got != want {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
	}
	if !slices.Equal(obs.Held, []string{"Upper_Name", "held"}) || obs.Manager != "zypper" || obs.Arch != "x86_64" || obs.RebootRequired || obs.HalfConfigured != nil || obs.ListsAge > time.Minute {
		t.Errorf("%+v", obs)
	}
	s.calls()
	if again := s.look(); !reflect.DeepEqual(again.Pending, obs.Pending) {
		t.Errorf("%+v", again.Pending)
	}
	calls := s.calls()
	if strings.Contains(calls, "patch") {
		t.Errorf("patches are asked for once:\n%s", calls)
	}
	for call := range strings.Lines(calls) {
		if strings.HasPrefix(call, "zypper") && !strings.HasPrefix(call, "zypper --non-interactive --xmlout --no-refresh ") {
			t.Errorf("%s", call)
		}
	}
}

// What is known of advisories stays true until the lists are fetched anew.
func TestAdvisoriesAreKept(t *testing.T) {
	s := newTools(t)
	s.look()
	s.do(ask(action.Install, "plain=1.0-1"))
	s.calls()
	if s.look(); strings.Contains(s.calls(), "patch") {
		t.Error("they are asked for again after an installation")
	}
	s.do(ask(action.Refresh))
	if s.look(); !strings.Contains(s.calls(), "patch") {
		t.Error("they are not asked for after a refresh")
	}
}

func TestMemoOfDownload(t *testing.T) {
	s := newTools(t)
	memo, err := s.hands.Prepare(t.Context(), ask(action.Download, "plain=2.0-1"))
	if err != nil || string(memo) != `{"todo":[{"Name":"plain","Version":"2.0-1"}]}` {
		t.Errorf("%s, %v", memo, err)
	}
}

func TestLookAtTrouble(t *testing.T) {
	s := newTools(t)
	s.play("query", "query-cut")
	s.play("reboot", "reboot")
	if obs := s.look(); !slices.Equal(obs.HalfConfigured, []string{"cut"}) || !obs.RebootRequired || !slices.Equal(obs.RebootPackages, []string{"glibc"}) {
		t.Errorf("%+v", obs)
	}
	// The administrator allows several versions of it; and all was installed before the boot.
	s.file("/etc/zypp/multiversion.d/own.conf", "provides:multiversion(kernel)\ncut\n")
	s.file("/proc/stat", "btime 4000000000\n")
	if obs := s.look(); len(obs.HalfConfigured) > 0 || !obs.RebootRequired || len(obs.RebootPackages) > 0 {
		t.Errorf("%+v", obs)
	}
	s.play("update", "would-ousts") // it gets nowhere: all updates are told
	if obs := s.look(); !slices.ContainsFunc(obs.Pending, func(p action.Pending) bool { return p.Name == "eats" }) {
		t.Errorf("%+v", obs.Pending)
	}
	s.play("locks", "locked")
	if _, err := s.hands.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "System management is locked by the application with pid") {
		t.Errorf("a host that can't tell sends no observation: %v", err)
	}
	s.play("locks", "locks-none")
	if err := os.RemoveAll(s.root + "/var/cache/zypp"); err != nil {
		t.Fatal(err)
	}
	if obs := s.look(); obs.Pending != nil || obs.Held != nil || obs.ListsAge != host.NeverRefreshed {
		t.Errorf("without lists: %+v", obs)
	}
}

func TestCommands(t *testing.T) {
	const install = "zypper --non-interactive --no-refresh install --type package --no-recommends --no-force-resolution"
	s := newTools(t)
	for want, o := range map[string]action.Order{
		"zypper --non-interactive refresh":        ask(action.Refresh),
		install + " --download-only plain=2.0-1":  ask(action.Download, "plain=2.0-1"),
		install + " epoch=1:2.0~rc1-1 gtk+=2.0-1": ask(action.Install, "stranger=1.0-1", "plain=1.0-1", "epoch=1:2.0~rc1-1", "gtk+=2.0-1"),
		install + " --oldpackage plain=0.9-1":     ask(action.Restore, "plain=0.9-1"),
	} {
		s.do(o)
		if calls := s.calls(); !strings.Contains(calls, want+"\n") {
			t.Errorf("%s:\n got %s\nwant %s", o.Kind, calls, want)
		}
	}
	s.do(ask(action.Repair))
	if calls := s.calls(); strings.Contains(calls, "zypper") {
		t.Errorf("nothing is to be repaired: %s", calls)
	}
	s.play("query", "query-cut")
	s.do(ask(action.Repair))
	if calls := s.calls(); !strings.Contains(calls, install+" --force cut=2.0-1\n") {
		t.Errorf("repair: %s", calls)
	}
}

func TestEnds(t *testing.T) {
	after := read(t, "query")
	change := func(names ...string) string {
		text := after
		for _, name := range names {
			text = strings.Replace(text, "\n"+name+"\t0\t1.0\t", "\n"+name+"\t0\t2.0\t", 1)
		}
		return text
	}
	for name, tt := range map[string]struct {
		says, next string
		order      action.Order
		failures   []action.Failure
	}{
		"it is so":                     {"install", change("plain"), ask(action.Install, "plain=2.0-1"), nil},
		"it is so, and wants a reboot": {"reboot", change("glibc"), ask(action.Install, "glibc=2.0-1"), nil},
		"%post fails": {"failed-post", change("bad", "fixed"), ask(action.Install, "bad=2.0-1", "fixed=2.0-1"),
			[]action.Failure{{Name: "bad", Reason: "the scriptlet %post failed: exit status 1"}}},
		"%pre fails": {"failed-pre", after, ask(action.Install, "badpre=2.0-1", "owned=2.0-1"),
			[]action.Failure{{Name: "badpre", Reason: "the scriptlet %prein failed: exit status 3"}, {Name: "owned", Reason: "it stays in version 1.0-1"}}},
		"rpm is killed": {"cut", read(t, "query-cut"), ask(action.Install, "cut=2.0-1"),
			[]action.Failure{{Name: "cut", Reason: "rpm could not install it"}}},
		"a conflict": {"conflict", after, ask(action.Install, "ousts=2.0-1"),
			[]action.Failure{{Name: "ousts", Reason: "it stays in version 1.0-1: ousts-2.0-1.noarch conflicts with plain provided by plain-1.0-1.noarch"}}},
		"not there": {"not-found", after, ask(action.Install, "plain=3.0-1"),
			[]action.Failure{{Name: "plain", Reason: "it stays in version 1.0-1: No provider of 'plain=3.0-1' found."}}},
		"no repository": {"refresh-dead", after, ask(action.Refresh),
			[]action.Failure{{Reason: "Repository 'dead' is invalid.; Error message: Failed to connect to 127.0.0.1 port 9 after 0 ms: Couldn't connect to server"}}},
	} {
		s := newTools(t)
		s.play("does", tt.says)
		s.write("next", tt.next)
		r := s.do(tt.order)
		if !reflect.DeepEqual(r.Failures, tt.failures) || (r.Outcome == action.Done) != (tt.failures == nil) {
			t.Errorf("%s: %s, %+v", name, r.Outcome, r.Failures)
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	s := newTools(t, "owned")
	for recording, why := range map[string]string{
		"would-along": "it would bring owned to 2.0-1 along, which this host's owner holds",
		"would-eats":  "it would remove eaten, and an update removes no package",
	} {
		s.play("would", recording)
		if _, err := s.hands.Prepare(t.Context(), ask(action.Install, "plain=2.0-1")); err == nil || err.Error() != why {
			t.Errorf("%s: %v", recording, err)
		}
	}
	s.play("would", "would-ousts")
	if _, err := s.hands.Prepare(t.Context(), ask(action.Install, "plain=2.0-1")); err != nil {
		t.Errorf("the command itself will say it better: %v", err)
	}
	if _, err := s.hands.Prepare(t.Context(), ask(action.Install, "--force=2.0-1")); err == nil {
		t.Error("an option is no package")
	}
}

func TestDryRun(t *testing.T) {
	s := newTools(t)
	for _, kind := range []action.Kind{action.Refresh, action.Download, action.Install, action.Repair, action.Restore} {
		o := ask(kind, "plain=0.9-1", "grows=2.0-1")
		o.DryRun = true
		if r := s.do(o); r.Outcome != action.Done || !r.DryRun || r.Changes != nil {
			t.Errorf("%s: %+v", kind, r)
		} else if kind == action.Install && !strings.Contains(r.Output, "kernel-core") {
			t.Errorf("%s", r.Output)
		}
	}
	for call := range strings.Lines(s.calls()) {
		if strings.HasPrefix(call, "zypper") && !strings.Contains(call, "--dry-run") {
			t.Errorf("a dry run called %s", call)
		}
	}
	s.play("would", "would-ousts")
	o := ask(action.Install, "ousts=2.0-1")
	o.DryRun = true
	if r := s.do(o); r.Outcome != action.Failed || !strings.Contains(r.Reason, "ousts-2.0-1.noarch conflicts with plain") {
		t.Errorf("it would fail: %+v", r)
	}
}

func TestBusy(t *testing.T) {
	s := newTools(t)
	m, err := New(&host.Machine{Root: s.root})
	if err != nil {
		t.Fatal(err)
	}
	s.file("/run/zypp.pid", "") // as zypper leaves it
	if got := m.Busy(action.Refresh); got != "" {
		t.Error(got)
	}
	s.file("/run/zypp.pid", "42\n")
	s.file("/proc/42/comm", "zypper\n")
	if got := m.Busy(action.Refresh); got != "zypper (42) holds the lock /run/zypp.pid" {
		t.Error(got)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := New(&host.Machine{}); err == nil || !strings.Contains(err.Error(), "zypper") {
		t.Errorf("without zypper: %v", err)
	}
}

func TestParsePatchInfo(t *testing.T) {
	got := parsePatchInfo(messages(read(t, "info")), "x86_64")
	want := map[string][]action.Package{
		"LAB-2024:0001": {{Name: "fixed", Version: "2.0-1"}, {Name: "epoch", Version: "1:2.0~rc1-1"}},
		"LAB-2024:0002": {{Name: "plain", Version: "2.0-1"}},
		"LAB-2024:0003": {{Name: "kernel-core", Version: "6.1.3-1"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	// As SUSE writes it, by its documentation: with architectures and sources.
	const text = "Name        : SUSE-2024-1\nConflicts   : [4]\n    srcpackage:xen < 4.1-1\n    xen.x86_64 < 4.1-1\n    xen-libs.i586 < 4.1-1\n    python3.11.noarch < 3-1\nSummary     : a < b\n    xen < 9\n"
	if got := parsePatchInfo(text, "x86_64")["SUSE-2024-1"]; !reflect.DeepEqual(got, []action.Package{
		{Name: "xen", Version: "4.1-1"}, {Name: "xen-libs:i586", Version: "4.1-1"}, {Name: "python3.11", Version: "3-1"},
	}) {
		t.Errorf("%+v", got)
	}
}

func TestParseLocks(t *testing.T) {
	if got := parseLocks(read(t, "locks")); !slices.Equal(got, []string{"Upper*", "held"}) { // not the pattern
		t.Errorf("%q", got)
	}
	if got := parseSeveral("[main]\n# multiversion = no\nmultiversion = provides:multiversion(kernel), own\nother = x\n"); !slices.Equal(got, []string{"own"}) {
		t.Errorf("%q", got)
	}
}

// What another program prints may be anything: nothing of it stops the agent,
// and what comes out is bounded by what goes in.
func FuzzParsers(f *testing.F) {
	files, err := filepath.Glob("testdata/recorded/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		f.Add(read(f, filepath.Base(name)))
	}
	f.Add(strings.Repeat("<a>", 1000))
	f.Fuzz(func(t *testing.T, text string) {
		state := rpm.State{"plain": {"1.0-1"}, "fixed": {"1.0-1"}}
		updates := parseUpdates(text, "x86_64", state)
		needed := parsePatches(text)
		about := parsePatchInfo(text, "x86_64")
		known := newPatches(updates, needed, about)
		limit := strings.Count(text, "<") + strings.Count(text, "\n") + 1
		for what, n := range map[string]int{
			"updates": len(updates), "effects": len(parseSummary(text, "x86_64")), "locks": len(parseLocks(text)), "found": len(parseFound(text)),
			"patches": len(needed), "about": len(about), "mends": len(known.mends), "not installed": len(parseNotInstalled(text, "x86_64")),
		} {
			if n > limit {
				t.Errorf("%d %s of at most %d", n, what, limit)
			}
		}
		if len(lastErrors(text, 1)) > len(text)+2*maxErrors+30 || len(messages(text)) > len(text)*4+1 {
			t.Error("more is said than was")
		}
		parseSeveral(text)
		if _, err := json.Marshal(updates); err != nil {
			t.Error(err)
		}
	})
}
