package rpm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/action"
	"upkeep/internal/agent/host"
)

// recorded is what the real rpm printed for dnf's or zypper's recordings.
func recorded(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("../" + name)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	return rest
}

func TestParseQuery(t *testing.T) {
	state, when := parseQuery(recorded(t, "dnf/testdata/recorded/query"), "x86_64")
	for name, want := range map[string][]string{
		"plain": {"1.0-1"}, "epoch": {"1:1.0-1"}, "both": {"1.0-1"}, "both:i686": {"1.0-1"}, "kernel-core": {"6.1.1-1"}, "libstdc++6": {"1.0-1"},
	} {
		if !slices.Equal(state[name], want) || when[name].IsZero() {
			t.Errorf("%s: %q, %s", name, state[name], when[name])
		}
	}
	cut, _ := parseQuery(recorded(t, "zypper/testdata/recorded/query-cut"), "x86_64")
	if !slices.Equal(cut["cut"], []string{"1.0-1", "2.0-1"}) || !slices.Equal(cut["kernel-core"], []string{"6.1.1-1", "6.1.2-1"}) {
		t.Errorf("cut %q, kernels %q", cut["cut"], cut["kernel-core"])
	}
	odd, _ := parseQuery("gpg-pubkey\t0\t1\t2\t(none)\t1\nshort\t0\n\t0\t1\t1\tnoarch\t1\nk\t(none)\t10\t1\tnoarch\t2\nk\t0\t9\t1\tnoarch\tx\n", "x86_64")
	if !reflect.DeepEqual(odd, State{"k": {"9-1", "10-1"}}) {
		t.Errorf("%+v", odd)
	}
	if names := parseProviding(recorded(t, "dnf/testdata/recorded/several"), "x86_64"); !slices.Equal(names, []string{"kernel-core"}) {
		t.Errorf("%q", names)
	}
}

func TestCompare(t *testing.T) {
	// Each is newer than the one before it.
	for _, chain := range [][]string{
		{"1.0~rc1-1", "1.0-1", "1.0^git1-1", "1.0.1-1", "1.1-1", "1.10-1", "2-1", "1:0.1-1"},
		{"1.0a-1", "1.0b-1", "1.0.1-1"},
		{"6.1.9-200.fc38", "6.1.10-100.fc38", "6.1.10-100.fc39"},
		{"5.14.0-427.13.1.el9_4", "5.14.0-427.16.1.el9_4", "5.14.0-503.11.1.el9_5"},
	} {
		for i, a := range chain {
			for j, b := range chain {
				if got := Compare(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
					t.Errorf("compare %s with %s: %d", a, b, got)
				}
			}
		}
	}
	for _, same := range [][2]string{{"0:1.0-1", "1.0-1"}, {"1.0-1", "1.00-01"}, {"1.0", "1.0-7"}, {"1_0-1", "1.0-1"}} {
		if Compare(same[0], same[1]) != 0 {
			t.Errorf("%q", same)
		}
	}
}

// The tests behind the tag e2e compare with rpm itself; here, that it is an order.
func TestCompareIsAnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.StringMatching(`([0-3]:)?[0-9ab.~^_+]{1,8}(-[0-9a.~]{1,4})?`)
		a, b := words.Draw(t, "a"), words.Draw(t, "b")
		if Compare(a, a) != 0 || Compare(a, b) != -Compare(b, a) {
			t.Fatalf("%q %q: %d, %d", a, b, Compare(a, b), Compare(b, a))
		}
	})
}

func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._+-]{0,12}`).Draw(t, "name")
		version := rapid.StringMatching(`([1-9]:)?[0-9][0-9a-z.~^_+]{0,8}-[0-9a-z.~^_+]{1,8}`).Draw(t, "version")
		for _, v := range []string{version, Full(version)} {
			n, got, arch, ok := ParseNEVRA(name + "-" + v + ".noarch")
			if !ok || n != name || got != version || arch != "noarch" {
				t.Fatalf("%s-%s: %q %q %q", name, v, n, got, arch)
			}
		}
		if !Valid(action.Package{Name: name, Version: version}) || !Valid(action.Package{Name: name + ":i686", Version: version}) {
			t.Fatalf("%s %s is a package", name, version)
		}
	})
	for _, p := range []action.Package{
		{Name: "--force", Version: "1"}, {Name: "a", Version: ""}, {Name: "", Version: "1"}, {Name: "a*", Version: "1"}, {Name: "a b", Version: "1"}, {Name: "a", Version: "-1"},
		{Name: "a:", Version: "1"}, {Name: "/etc/passwd", Version: "1"}, {Name: "a", Version: "1;2"}, {Name: "a:b:c", Version: "1"}, {Name: "@core", Version: "1"}, {Name: "a=1", Version: "1"},
	} {
		if Valid(p) {
			t.Errorf("%+v is none", p)
		}
	}
	for _, s := range []string{"", "a", "a.b", "a-1.b", "-1-1.b", "a-1-.b", "a--1.b", "a-1-1."} {
		if name, version, arch, ok := ParseNEVRA(s); ok {
			t.Errorf("%q: %q %q %q", s, name, version, arch)
		}
	}
}

func TestDifference(t *testing.T) {
	before := State{"same": {"1-1"}, "up": {"1-1"}, "gone": {"1-1"}, "kernel": {"1-1", "2-1", "3-1"}, "cut": {"1-1", "2-1"}}
	after := State{"same": {"1-1"}, "up": {"2-1"}, "new": {"1-1"}, "kernel": {"2-1", "3-1", "4-1"}, "cut": {"2-1"}}
	want := []action.Change{
		{Name: "cut", From: "1-1"}, {Name: "gone", From: "1-1"}, {Name: "kernel", From: "3-1", To: "4-1"}, {Name: "kernel", From: "1-1"},
		{Name: "new", To: "1-1"}, {Name: "up", From: "1-1", To: "2-1"},
	}
	if got := Difference(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := Difference(after, after); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestTodoAndMissing(t *testing.T) {
	s := State{"old": {"1-1"}, "newer": {"3-1"}, "cut": {"1-1", "2-1"}}
	o := action.Order{Kind: action.Install, Packages: []action.Package{{Name: "old", Version: "2-1"}, {Name: "newer", Version: "2-1"}, {Name: "cut", Version: "2-1"}, {Name: "none", Version: "1-1"}}}
	if todo := s.Todo(o); len(todo) != 1 || todo[0].Name != "old" {
		t.Errorf("%+v", todo)
	}
	want := []action.Failure{{Name: "old", Reason: "it stays in version 1-1"}, {Name: "cut", Reason: "it is left half done in version 1-1 and 2-1"}, {Name: "none", Reason: "it is not installed"}}
	if got := s.Missing(o, []string{"cut"}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	o.Kind = action.Restore
	if todo := s.Todo(o); len(todo) != 2 || todo[1].Name != "newer" {
		t.Errorf("to go back is for a restore: %+v", todo)
	}
	if got := s.Missing(action.Order{Kind: action.Repair}, []string{"cut"}); len(got) != 1 || got[0].Name != "cut" {
		t.Errorf("%+v", got)
	}
	if got := s.Missing(action.Order{Kind: action.Download, Packages: o.Packages}, nil); got != nil {
		t.Errorf("a download installs nothing: %+v", got)
	}
}

func TestObjection(t *testing.T) {
	s := State{"a": {"1-1"}, "kernel": {"1-1", "2-1"}, "wide": {"1-1"}}
	holds := func(name string) bool { return name == "owned" }
	for want, effects := range map[string][]action.Change{
		"": {{Name: "a", From: "1-1", To: "2-1"}, {Name: "kernel", From: "1-1"}, {Name: "wide"}, {Name: "wide:x86_64", To: "2-1"}},
		"it would remove a, and an update removes no package":              {{Name: "b", To: "2-1"}, {Name: "a"}},
		"it would bring owned to 2-1 along, which this host's owner holds": {{Name: "owned", From: "1-1", To: "2-1"}},
		"it would remove a, c, and an update removes no package":           {{Name: "c"}, {Name: "a"}, {Name: "owned", To: "2-1"}},
	} {
		if got := s.Objection(effects, holds); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestScriptlets(t *testing.T) {
	for name, want := range map[string][]action.Failure{
		"dnf/testdata/recorded/failed-post":    {{Name: "bad", Reason: "the scriptlet %post failed: exit status 1"}},
		"dnf/testdata/recorded/failed-pre":     {{Name: "badpre", Reason: "the scriptlet %prein failed: exit status 3"}},
		"dnf/testdata/recorded/install":        nil,
		"zypper/testdata/recorded/failed-post": {{Name: "bad", Reason: "the scriptlet %post failed: exit status 1"}},
		"zypper/testdata/recorded/failed-pre":  {{Name: "badpre", Reason: "the scriptlet %prein failed: exit status 3"}},
		"zypper/testdata/recorded/install":     nil,
	} {
		if got := Scriptlets(recorded(t, name), "x86_64"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for line, want := range map[string][]action.Failure{
		"warning: %triggerin(sw-0:1.0-1.i686) scriptlet failed, signal 9": {{Name: "sw:i686", Reason: "the scriptlet %triggerin failed: signal 9"}},
		"error: lonely-1:2-3.noarch: install failed":                      {{Name: "lonely", Reason: "rpm could not install it"}},
		"warning: %post(odd) scriptlet failed, exit status 1":             nil,
		"warning: /etc/conf.conf created as /etc/conf.conf.rpmnew":        nil,
	} {
		if got := Scriptlets(line, "x86_64"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func TestMemo(t *testing.T) {
	in := Memo{Before: State{"a": {"1-1"}}, Todo: []action.Package{{Name: "a", Version: "2-1"}}}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := ReadMemo(text); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := ReadMemo([]byte("{")); err == nil {
		t.Error("half a memo was read")
	}
	if out, err := ReadMemo(nil); err != nil || !reflect.DeepEqual(out, Memo{}) {
		t.Errorf("%+v, %v", out, err)
	}
}

// files makes a machine with these files.
func files(t *testing.T, texts map[string]string) *DB {
	t.Helper()
	root := t.TempDir()
	for name, text := range texts {
		if err := os.MkdirAll(filepath.Dir(root+name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &DB{Native: "x86_64", machine: &host.Machine{Root: root}}
}

func TestPidHolder(t *testing.T) {
	d := files(t, map[string]string{
		"/run/empty.pid": "", "/run/dead.pid": "77\n", "/run/odd.pid": "x", "/run/zero.pid": "0", "/run/up.pid": "42\n", "/proc/42/comm": "packagekitd\n",
	})
	if got := d.PidHolder("/run/none.pid", "/run/empty.pid", "/run/dead.pid", "/run/odd.pid", "/run/zero.pid"); got != "" {
		t.Error(got)
	}
	if got := d.PidHolder("/run/dead.pid", "/run/up.pid"); got != "packagekitd (42) holds the lock /run/up.pid" {
		t.Error(got)
	}
	if got := d.LockHolder(); got != "" {
		t.Error(got)
	}
}

func TestNewerKernels(t *testing.T) {
	for name, tt := range map[string]struct {
		running string
		state   State
		want    []string
	}{
		"the newest runs":    {"5.14.0-427.el9.x86_64", State{"kernel-core": {"5.14.0-362.el9", "5.14.0-427.el9"}}, nil},
		"a newer one":        {"5.14.0-362.el9.x86_64", State{"kernel-core": {"5.14.0-362.el9", "5.14.0-427.el9"}, "kernel": {"5.14.0-427.el9"}}, []string{"kernel-core"}},
		"another kernel":     {"5.14.0-362.el9.x86_64", State{"kernel-core": {"5.14.0-362.el9"}, "kernel-rt-core": {"5.14.0-427.el9"}}, nil},
		"somebody's own":     {"6.9.1-own", State{"kernel-core": {"5.14.0-427.el9"}}, nil},
		"a container":        {"5.14.0-362.el9.x86_64", State{}, nil},
		"SUSE's, by zypper":  {"6.4.0-150600.23.7-default", State{"kernel-default": {"6.4.0-150600.23.7.1"}}, nil},
		"a realtime one now": {"5.14.0-1.el9.x86_64", State{"kernel-rt-core": {"5.14.0-1.el9", "5.14.0-2.el9"}}, []string{"kernel-rt-core"}},
	} {
		d := files(t, map[string]string{"/proc/sys/kernel/osrelease": tt.running + "\n"})
		if got := d.NewerKernels(tt.state); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestBooted(t *testing.T) {
	if got := files(t, map[string]string{"/proc/stat": "cpu 1\nbtime 1795275012\n"}).Booted(); !got.Equal(time.Unix(1795275012, 0)) {
		t.Error(got)
	}
	if got := files(t, nil).Booted(); !got.IsZero() {
		t.Error(got)
	}
}

// What another program prints may be anything: nothing of it stops the agent,
// and no more comes out than there are lines.
func FuzzParsers(f *testing.F) {
	for _, name := range []string{"dnf/testdata/recorded/query", "dnf/testdata/recorded/failed-post", "zypper/testdata/recorded/failed-pre", "dnf/testdata/recorded/several"} {
		f.Add(recorded(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		state, when := parseQuery(text, "x86_64")
		if len(state) > lines || len(when) > len(state) {
			t.Errorf("%d packages, %d times of %d lines", len(state), len(when), lines)
		}
		if n := len(parseProviding(text, "x86_64")); n > lines {
			t.Errorf("%d names of %d lines", n, lines)
		}
		if n := len(Scriptlets(text, "x86_64")); n > lines {
			t.Errorf("%d failures of %d lines", n, lines)
		}
		Compare(text, text+"1")
	})
}
