package apt

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"upkeep/internal/action"
)

// recorded is what the real programs printed; testdata/record.sh made it.
func recorded(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/recorded/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParsePending(t *testing.T) {
	lab := func(name string) action.Pending {
		return action.Pending{Name: name, From: "1.0", To: "2.0", Origin: "Lab:12/stable"}
	}
	fixed := action.Pending{Name: "fixed", From: "1.0", To: "2.0", Origin: "Debian-Security:12/stable-security", Security: true}
	added := action.Pending{Name: "added", To: "1.0", Origin: "Lab:12/stable"}
	want := []action.Pending{added, lab("auto"), lab("bad"), lab("cut"), fixed, lab("foreign"), lab("grows"), lab("needsbad")}
	if got := parsePending(recorded(t, "upgrade"), "amd64"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	for line, want := range map[string]action.Pending{
		"Inst libc6 [2.36-9] (2.36-10 Debian:12.15/oldstable, Debian-Security:12/oldstable-security [amd64]) []": {
			Name: "libc6", From: "2.36-9", To: "2.36-10", Security: true, Origin: "Debian:12.15/oldstable, Debian-Security:12/oldstable-security"},
		"Inst libc6:i386 [2.36-9] (2.36-10 Debian:12.15/oldstable [i386]) [libc6:amd64 ]": {
			Name: "libc6:i386", From: "2.36-9", To: "2.36-10", Origin: "Debian:12.15/oldstable"},
		"Inst tzdata:all [2024a-0] (1:2025b-0ubuntu1 Ubuntu:24.04/noble-updates, Ubuntu:24.04/noble-security [all])": {
			Name: "tzdata", From: "2024a-0", To: "1:2025b-0ubuntu1", Security: true, Origin: "Ubuntu:24.04/noble-updates, Ubuntu:24.04/noble-security"},
		"Inst vim [8] (9 UbuntuESM:22.04/jammy-infra-security [amd64])": {Name: "vim", From: "8", To: "9", Security: true, Origin: "UbuntuESM:22.04/jammy-infra-security"},
		"Inst own [1] (2 localhost [amd64])":                            {Name: "own", From: "1", To: "2", Origin: "localhost"},
	} {
		if got := parsePending(line+"\n", "amd64"); len(got) != 1 || got[0] != want {
			t.Errorf("%s:\n got %+v\nwant %+v", line, got, want)
		}
	}
	for _, line := range []string{"", "Inst", "Inst x", "Inst x [1]", "Inst x [1] (", "Inst x (2 y", "Inst x [1 (2 y)", "Conf x (2 y [z])"} {
		if got := parsePending(line, "amd64"); len(got) != 0 {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func TestParseQuery(t *testing.T) {
	all := parseQuery(recorded(t, "query"), "amd64")
	if all["held"] != (version{Version: "1.0", Held: true}) || all["plain"] != (version{Version: "1.0"}) || all["foreign"].Version != "1.0" {
		t.Errorf("held %+v, plain %+v, foreign %+v", all["held"], all["plain"], all["foreign"])
	}
	if parseQuery(recorded(t, "query"), "arm64")["foreign:amd64"].Version != "1.0" {
		t.Error("a foreign package has its architecture in its name")
	}
	failed := parseQuery(recorded(t, "query-failed"), "amd64")
	if got := halfDone(failed, nil, nil); !slices.Equal(got, []string{"bad", "needsbad"}) {
		t.Errorf("half done: %q", got)
	}
	if got := changes(all, failed); !reflect.DeepEqual(got, []action.Change{
		{Name: "added", To: "1.0"}, {Name: "auto", From: "1.0", To: "2.0"}, {Name: "bad", From: "1.0", To: "2.0"},
		{Name: "fixed", From: "1.0", To: "2.0"}, {Name: "foreign", From: "1.0", To: "2.0"},
		{Name: "grows", From: "1.0", To: "2.0"}, {Name: "needsbad", From: "1.0", To: "2.0"},
	}) {
		t.Errorf("changes: %+v", got)
	}
	odd := parseQuery("gone\tall\t1\trc \nnever\tall\t\tun \nworse\tall\t1\tiiR\ntriggers\tall\t1\tit \n", "amd64")
	if len(odd) != 2 || !odd["worse"].Broken || !odd["triggers"].Broken {
		t.Errorf("%+v", odd)
	}
	// Its packages are well, but dpkg itself was cut off.
	updates, err := os.ReadDir(updatesFolder(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := halfDone(all, nil, updates); !slices.Equal(got, []string{"dpkg"}) {
		t.Errorf("half done: %q", got)
	}
}

func updatesFolder(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"0001", "tmp.i"} {
		if err := os.WriteFile(dir+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestParseFailures(t *testing.T) {
	bad := action.Failure{Name: "bad", Reason: "installed bad package post-installation script subprocess returned error exit status 1"}
	needsbad := action.Failure{Name: "needsbad", Reason: "dependency problems - leaving unconfigured: needsbad depends on bad (>= 2.0); however: Package bad is not configured yet."}
	whole := func(why string) []action.Failure { return []action.Failure{{Reason: why}} }
	for name, want := range map[string][]action.Failure{
		"failed":            {bad, needsbad},
		"configure-failed":  {bad, needsbad},
		"fix-failed":        {bad, needsbad},
		"cut":               whole("Sub-process /usr/bin/dpkg exited unexpectedly"),
		"interrupted":       whole("dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem."),
		"not-found":         whole("Version '3.0' for 'plain' was not found"),
		"downgrade-refused": whole("Packages were downgraded and -y was used without --allow-downgrades."),
		"would-remove":      whole("Packages need to be removed but remove is disabled."),
		"locked":            whole("Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?"),
		"locked-lists":      nil, // names processes
		"update-dead":       whole("Failed to fetch http://127.0.0.1:9/dead/./InRelease  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused); Some index files failed to download. They have been ignored, or old ones used instead."),
	} {
		got := parseFailures(recorded(t, name), "amd64")
		if rc := strings.TrimSpace(recorded(t, name+".rc")); rc == "0" {
			t.Errorf("%s did not fail", name)
		}
		if want != nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
		if len(got) == 0 || got[0].Reason == "" {
			t.Errorf("%s: no reason", name)
		}
	}
	archive := "dpkg: error processing archive /var/cache/apt/archives/new_2%3a1.0_amd64.deb (--unpack):\n" +
		" trying to overwrite '/usr/bin/x', which is also in package old 1.0\n" +
		"Errors were encountered while processing:\n /var/cache/apt/archives/new_2%3a1.0_amd64.deb\n libx:amd64\n" +
		"E: Sub-process /usr/bin/dpkg returned an error code (1)\n"
	want := []action.Failure{
		{Name: "new", Reason: "trying to overwrite '/usr/bin/x', which is also in package old 1.0"},
		{Name: "libx", Reason: "dpkg could not process it"},
	}
	if got := parseFailures(archive, "amd64"); !reflect.DeepEqual(got, want) {
		t.Errorf("archive: %+v", got)
	}
}

func TestParseTheRest(t *testing.T) {
	if got := parseUnmet(recorded(t, "upgrade-broken"), "amd64"); !slices.Equal(got, []string{"grows"}) {
		t.Errorf("unmet: %q", got)
	}
	many := "The following packages have unmet dependencies:\n a : Depends: b but it is not installed\n     Depends: c but it is not installed\n libx:i386 : Depends: d\nE: Unmet dependencies.\n"
	if got := parseUnmet(many, "amd64"); !slices.Equal(got, []string{"a", "libx:i386"}) {
		t.Errorf("unmet: %q", got)
	}
	sizes := parseSizes(recorded(t, "uris") + "'http://d/tzdata_2%3a1_all.deb' tzdata_2%3a1_all.deb 77 SHA256:0\n")
	if sizes["fixed_2.0"] != 724 || sizes["tzdata_2:1"] != 77 || len(sizes) != 9 {
		t.Errorf("sizes: %v", sizes)
	}
	if got := parseNames(recorded(t, "showauto"), "amd64"); !slices.Equal(got, []string{"auto"}) {
		t.Errorf("auto: %q", got)
	}
	// The reason for keepMarks: naming a package in an upgrade unmarks it.
	if got := parseNames(recorded(t, "showauto-after"), "amd64"); !slices.Equal(got, []string{"added"}) {
		t.Errorf("auto after an installation: %q", got)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"g++", "libc6:i386", "0ad", "libstdc++6", "linux-image-6.1.0-18-amd64"} {
		if !validName(name) {
			t.Errorf("%q is a package", name)
		}
	}
	for _, name := range []string{"", "-o", "--force-yes", "a b", "a=1", "a/b", "a\n", "*", strings.Repeat("a", 300)} {
		if validName(name) {
			t.Errorf("%q is no package", name)
		}
	}
	if !validVersion("2:1.0~rc1+b2-3_x") || validVersion("") || validVersion("1 2") || validVersion("1;2") {
		t.Error("versions")
	}
}

// No output, however odd, makes a parser fail or invent what was not there.
func FuzzParse(f *testing.F) {
	files, err := os.ReadDir("testdata/recorded")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(recorded(f, file.Name()))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range parsePending(text, "amd64") {
			if p.Name == "" || p.To == "" || !strings.Contains(text, p.To) {
				t.Errorf("%+v", p)
			}
		}
		for name := range parseQuery(text, "amd64") {
			if name == "" {
				t.Error("a package without a name")
			}
		}
		failures := parseFailures(text, "amd64")
		if len(failures) == 0 {
			t.Error("a failure without a failure")
		}
		for _, x := range failures {
			if x.Name == "" && len(failures) > 1 || x.Name != "" && x.Reason == "" {
				t.Errorf("%+v", failures)
			}
		}
		for _, n := range parseUnmet(text, "amd64") {
			if n == "" {
				t.Error("an unmet package without a name")
			}
		}
		for _, n := range parseSizes(text) {
			if n < 0 {
				t.Error("a size below zero")
			}
		}
	})
}
