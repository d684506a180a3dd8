package dnf

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
	m := regexp.MustCompile(`^# dnf 4\..*; exit (\d+): `).FindStringSubmatch(head)
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

// tools are stand-ins for dnf and rpm in a folder of their own: each notes how
// it was called and prints what the real one was recorded to print.
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
"rpm -q "*) k=several ;;
*" --version") k=version ;;
*" --whatobsoletes "*) k=obsoleters ;;
*" --upgrades "*) k=updates ;;
*" --assumeno "*) k=would ;;
*"updateinfo list --security") k=security ;;
*"updateinfo list") k=advisories ;;
*"updateinfo info") k=info ;;
*" check "*) k=duplicates ;;
*" history "*) k=history ;;
*" needs-restarting "*) k=reboot ;;
*" -y "*) k=does; test ! -e "$d/next" || cp "$d/next" "$d/query" ;;
esac
cat "$d/$k" 2>/dev/null
test ! -e "$d/$k.rc" || exit "$(cat "$d/$k.rc")"
`

func newTools(t *testing.T, holds ...string) *tools {
	t.Helper()
	s := &tools{T: t, dir: t.TempDir(), root: t.TempDir()}
	for _, name := range []string{"dnf", "rpm"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(tool), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", s.dir+":"+os.Getenv("PATH"))
	for name, recording := range map[string]string{
		"query": "query", "several": "several", "version": "version", "obsoleters": "obsoleters", "updates": "updates", "would": "upgrade",
		"security": "security", "advisories": "advisories", "info": "info", "history": "history-none", "reboot": "reboot-none",
	} {
		s.play(name, recording)
	}
	s.file("/proc/sys/kernel/random/boot_id", "boot-1\n")
	s.file("/var/cache/dnf/lab-1/repodata/repomd.xml", "")
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
	s.file("/etc/dnf/plugins/versionlock.list", read(t, "locks"))
	s.file("/etc/dnf/dnf.conf", "[main]\nexcludepkgs = kernel*, other\n")
	obs := s.look()
	var names []string
	pending := map[string]action.Pending{}
	for _, p := range obs.Pending {
		names = append(names, p.Name)
		pending[p.Name] = p
	}
	// Not eats, at whose cost eaten would go, nor ousts, which dnf skips.
	if got := strings.Join(names, " "); got != "Upper_Name added along bad badpre both both:i686 conf cut epoch fixed glibc grows gtk+ held kernel-core libstdc++6 owned perl-HTTP-Date plain slow" {
		t.Errorf("pending: %s", got)
	}
	built := parseTime(strings.Split(read(t, "updates"), "\t")[6])
	for _, want := range []action.Pending{
		{Name: "fixed", From: "1.0-1", To: "2.0-1", Security: true, Origin: "lab", Bytes: pending["fixed"].Bytes, Released: time.Date(2024, 3, 5, 10, 0, 0, 0, time.UTC)},
		{Name: "plain", From: "1.0-1", To: "2.0-1", Origin: "lab", Bytes: pending["plain"].Bytes, Released: time.Date(2024, 4, 5, 10, 0, 0, 0, time.UTC)},
		{Name: "Upper_Name", From: "1.0-1", To: "2.0-1", Origin: "lab", Bytes: pending["Upper_Name"].Bytes, Released: built},
		{Name: "added", To: "1.0-1"},
	} {
		if got := pending[want.Name]; got != want || want.From != "" && got.Bytes < 1000 {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
	}
	if p := pending["kernel-core"]; !p.Security || p.To != "6.1.4-1" || p.Released.Year() != built.Year() {
		t.Errorf("a hole that an older update mends: %+v", p)
	}
	if !slices.Equal(obs.Held, []string{"held", "kernel-core"}) || obs.Manager != "dnf" || obs.Arch != "x86_64" || obs.RebootRequired || obs.HalfConfigured != nil || obs.ListsAge > time.Minute {
		t.Errorf("%+v", obs)
	}
	s.calls()
	if again := s.look(); !reflect.DeepEqual(again.Pending, obs.Pending) {
		t.Errorf("%+v", again.Pending)
	}
	if calls := s.calls(); strings.Contains(calls, "updateinfo") || strings.Contains(calls, " -y ") || strings.Contains(strings.ReplaceAll(calls, "dnf -C", ""), "dnf") {
		t.Errorf("advisories are asked for once, and all from the cache:\n%s", calls)
	}
}

// What is known of advisories stays true until the lists are fetched anew.
func TestAdvisoriesAreKept(t *testing.T) {
	s := newTools(t)
	s.look()
	s.do(ask(action.Install, "plain=1.0-1"))
	s.calls()
	if s.look(); strings.Contains(s.calls(), "updateinfo") {
		t.Error("they are asked for again after an installation")
	}
	s.do(ask(action.Refresh))
	if s.look(); !strings.Contains(s.calls(), "updateinfo") {
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
	s.play("history", "history-cut")
	s.play("duplicates", "duplicates")
	s.play("reboot", "reboot")
	if obs := s.look(); !slices.Equal(obs.HalfConfigured, []string{"cut"}) || !obs.RebootRequired || !slices.Equal(obs.RebootPackages, []string{"glibc"}) {
		t.Errorf("%+v", obs)
	}
	// dnf says that the host may have several of it, and only the history tells.
	s.play("duplicates", "reboot-none")
	s.play("history", "history-failed")
	s.play("reboot", "plugin-missing")
	if obs := s.look(); obs.HalfConfigured != nil || obs.RebootRequired {
		t.Errorf("%+v", obs)
	}
	s.play("would", "refresh-dead") // it gets nowhere: all updates are told
	if obs := s.look(); len(obs.Pending) == 0 || !slices.ContainsFunc(obs.Pending, func(p action.Pending) bool { return p.Name == "ousts" }) {
		t.Errorf("%+v", obs.Pending)
	}
	s.write("updates.rc", "1")
	if _, err := s.hands.Look(t.Context()); err == nil {
		t.Error("a host that can't tell sends no observation")
	}
	if err := os.RemoveAll(s.root + "/var/cache/dnf"); err != nil {
		t.Fatal(err)
	}
	if obs := s.look(); obs.Pending != nil || obs.ListsAge != host.NeverRefreshed {
		t.Errorf("without lists: %+v", obs)
	}
}

func TestCommands(t *testing.T) {
	const setopt = "--setopt=*.metadata_expire=-1 --setopt=best=False --setopt=clean_requirements_on_remove=False"
	s := newTools(t)
	s.play("would", "would-along")
	for want, o := range map[string]action.Order{
		"dnf -y --setopt=skip_if_unavailable=False makecache --refresh": ask(action.Refresh),
		"dnf -y " + setopt + " upgrade --downloadonly plain-0:2.0-1":    ask(action.Download, "plain=2.0-1"),
		// One that is not there, one that is so already, and two of one name.
		"dnf -y " + setopt + " upgrade epoch-1:2.0~rc1-1 both-0:2.0-1.x86_64 both-0:2.0-1.i686": ask(action.Install, "stranger=1.0-1", "plain=1.0-1", "epoch=1:2.0~rc1-1", "both=2.0-1", "both:i686=2.0-1"),
		"dnf -y " + setopt + " downgrade plain-0:0.9-1":                                         ask(action.Restore, "plain=0.9-1"),
	} {
		s.do(o)
		if calls := s.calls(); !strings.Contains(calls, want+"\n") {
			t.Errorf("%s:\n got %s\nwant %s", o.Kind, calls, want)
		}
	}
	s.do(ask(action.Repair))
	if calls := s.calls(); strings.Contains(calls, "-y") {
		t.Errorf("nothing is to be repaired: %s", calls)
	}
	s.play("query", "query-cut")
	s.play("duplicates", "duplicates")
	s.do(ask(action.Repair))
	if calls := s.calls(); !strings.Contains(calls, "dnf -y "+setopt+" reinstall cut-0:2.0-1\n") {
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
		"it is so": {"install", change("plain"), ask(action.Install, "plain=2.0-1"), nil},
		"%post fails, and dnf ends with 0": {"failed-post", change("bad", "fixed"), ask(action.Install, "bad=2.0-1", "fixed=2.0-1"),
			[]action.Failure{{Name: "bad", Reason: "the scriptlet %post failed: exit status 1"}}},
		"%pre fails": {"failed-pre", change("owned"), ask(action.Install, "badpre=2.0-1", "owned=2.0-1"),
			[]action.Failure{{Name: "badpre", Reason: "the scriptlet %prein failed: exit status 3"}}},
		"one is skipped": {"partly", change("perl-HTTP-Date"), ask(action.Install, "ousts=2.0-1", "perl-HTTP-Date=2.0-1"),
			[]action.Failure{{Name: "ousts", Reason: "it stays in version 1.0-1: package ousts-2.0-1.noarch conflicts with plain provided by plain-1.0-1.noarch"}}},
		"not there": {"not-found", after, ask(action.Install, "plain=3.0-1"),
			[]action.Failure{{Name: "plain", Reason: "it stays in version 1.0-1: No match for argument: plain-0:3.0-1"}}},
		"no repository": {"refresh-dead", after, ask(action.Refresh),
			[]action.Failure{{Reason: "Failed to download metadata for repo 'dead': Cannot download repomd.xml: Cannot download repodata/repomd.xml: All mirrors were tried"}}},
	} {
		s := newTools(t)
		s.play("would", "would-along")
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
	if _, err := s.hands.Prepare(t.Context(), ask(action.Install, "--setopt=x=2.0-1")); err == nil {
		t.Error("an option is no package")
	}
}

func TestDryRun(t *testing.T) {
	s := newTools(t)
	s.play("would", "would-along")
	for _, kind := range []action.Kind{action.Refresh, action.Download, action.Install, action.Repair, action.Restore} {
		o := ask(kind, "plain=0.9-1", "along=2.0-1")
		o.DryRun = true
		if r := s.do(o); r.Outcome != action.Done || !r.DryRun || r.Changes != nil {
			t.Errorf("%s: %+v", kind, r)
		} else if kind == action.Install && !strings.Contains(r.Output, "owned.noarch 2.0-1 will be an upgrade") {
			t.Errorf("%s", r.Output)
		}
	}
	if calls := s.calls(); strings.Contains(calls, " -y ") {
		t.Errorf("a dry run called\n%s", calls)
	}
}

func TestBusy(t *testing.T) {
	s := newTools(t)
	s.file("/var/lib/dnf/rpmdb_lock.pid", "42")
	m, err := New(&host.Machine{Root: s.root})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Busy(action.Install); got != "" {
		t.Errorf("the one that had it is gone: %s", got)
	}
	s.file("/proc/42/comm", "dnf\n")
	if got := m.Busy(action.Install); got != "dnf (42) holds the lock /var/lib/dnf/rpmdb_lock.pid" {
		t.Error(got)
	}
}

func TestNewFindsDnf4(t *testing.T) {
	s := newTools(t)
	for name, change := range map[string]func(){
		"dnf 5":  func() { s.write("version", "dnf5 version 5.2.6.2\n") },
		"SUSE":   func() { s.file("/etc/os-release", "ID=\"sles\"\nID_LIKE=\"suse\"\n") },
		"no dnf": func() { s.Setenv("PATH", s.T.TempDir()) },
	} {
		s.play("version", "version")
		if _, err := New(&host.Machine{Root: s.root}); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			s.T = t
			change()
			if _, err := New(&host.Machine{Root: s.root}); err == nil || !strings.Contains(err.Error(), "dnf") {
				t.Error(err)
			}
			if err := os.RemoveAll(s.root + "/etc/os-release"); err != nil {
				t.Fatal(err)
			}
		})
		s.T = t
	}
}

func TestParseLocks(t *testing.T) {
	if got := parseLocks(read(t, "locks") + "!out-0:1-1.*\nbare\nraw-1.0-*\n"); !slices.Equal(got, []string{"held", "out", "bare", "raw-1.0-*"}) {
		t.Errorf("%q", got)
	}
	state := rpm.State{"raw": {"1.0-3"}, "bare": {"1-1"}, "bare:i686": {"1-1"}, "other": {"1-1"}}
	if got := held(state, "raw-1.0-*\nbare\n[\n", "exclude=gone\n"); !slices.Equal(got, []string{"bare", "bare:i686", "raw"}) {
		t.Errorf("%q", got)
	}
}

func TestParseCutOff(t *testing.T) {
	for name, want := range map[string]int{"history-cut": 1, "history-failed": 0, "history-mended": 0} {
		if got := parseCutOff(read(t, name), "x86_64"); len(got) != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What another program prints may be anything: nothing of it stops the agent,
// and no more comes out than there are lines.
func FuzzParsers(f *testing.F) {
	files, err := filepath.Glob("testdata/recorded/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		f.Add(read(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		state := rpm.State{"plain": {"1.0-1"}, "fixed": {"1.0-1"}}
		effects, _ := parseSimulation(text, "x86_64", state)
		updates := parseUpdates(text, "x86_64", state)
		a := newAdvisories(updates, text, text, text, "x86_64")
		lines := strings.Count(text, "\n") + 1
		for what, n := range map[string]int{
			"updates": len(updates), "effects": len(effects), "advisories": len(a.publish), "holes": len(a.secure), "duplicates": len(parseDuplicates(text, "x86_64")),
			"cut off": len(parseCutOff(text, "x86_64")), "restart": len(parseNeedsRestarting(text)), "locks": len(parseLocks(text)),
		} {
			if n > lines {
				t.Errorf("%d %s of %d lines", n, what, lines)
			}
		}
		held(state, text, text)
		reasons([]action.Failure{{Name: "plain"}}, text)
		if len(lastErrors(text, 1)) > len(text)+2*maxErrors+30 {
			t.Error("more is said than was")
		}
		for _, p := range updates {
			if a.security(p) && p.From == "" {
				t.Error("a new package mends nothing")
			}
		}
		if _, err := json.Marshal(updates); err != nil {
			t.Error(err)
		}
	})
}
