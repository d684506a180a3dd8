package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fitting is a service that has all that the shipped runbooks ask for.
const fitting = `
kind: Service
name: svc
quorum: 2
manager: mgr1
with: {backend: svc_back, url: "https://api.internal:5000"}
members:
  - {name: ctl1, server: ctl1, labels: {mon: "yes", mgr: "yes", osd: "yes"}, with: {url: "http://ctl1:8090"}}
  - {name: ctl2, server: ctl2, labels: {mon: "yes", mgr: "yes", osd: "yes"}, with: {url: "http://ctl2:8090"}}
  - {name: ctl3, server: ctl3, labels: {mon: "yes", mgr: "yes", osd: "yes"}, with: {url: "http://ctl3:8090"}}
proxies:
  - {name: lb1, with: {socket: "tcp:lb1:9999"}}
  - {name: lb2, with: {socket: "tcp:lb2:9999"}}
---
{kind: Server, name: ctl1}
---
{kind: Server, name: ctl2}
---
{kind: Server, name: ctl3}
---
{kind: Server, name: mgr1}
`

// given are the parameters that a runbook must be given.
var given = map[string][]string{
	"keystone-upgrade": {"--param", "image=sha256:" + strings.Repeat("a", 64)},
	"ceph-mgr":         {"--param", "release=quincy"},
	"ceph-release":     {"--param", "release=quincy"},
}

// TestShippedRunbooks: each can be, plans for a service that fits, and
// where nothing leads back it says so.
func TestShippedRunbooks(t *testing.T) {
	p, err := newPlane(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	}()
	token, _ := p.server.TokenFile()
	t.Setenv("UPKEEP_SERVER", p.url())
	t.Setenv("UPKEEP_TOKEN_FILE", token)
	t.Setenv("UPKEEP_CA", p.server.CAFile())
	upkeep := func(in string, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := Main(t.Context(), args, "1.2.3", strings.NewReader(in), &out, &errs); code != 0 {
			t.Errorf("upkeep %q ends with %d: %s%s", args, code, out.String(), errs.String())
		}
		return out.String()
	}
	upkeep(fitting, "apply", "-f", "-")
	files, err := filepath.Glob("../../runbooks/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("there are %q, %v", files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		upkeep("", "validate", "-f", file)
		upkeep("", "apply", "-f", file)
		if again := upkeep("", "apply", "-f", file); again != "runbook "+name+" unchanged\n" {
			t.Errorf("%s applied again: %s", name, again)
		}
		said := upkeep("", append([]string{"simulate", "svc", name, "--duration", "12h"}, given[name]...)...)
		if !strings.Contains(said, "3 members through, at most 1 out at once") {
			t.Errorf("%s: %s", name, said)
		}
		if last := strings.Contains(said, "Nothing leads back from: "); last != slices.Contains([]string{"keystone-upgrade", "ceph-release"}, name) {
			t.Errorf("%s: it says that nothing leads back: %t\n%s", name, last, said)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, named := range regexp.MustCompile(`\[/usr/local/sbin/([a-z-]+)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat("../../runbooks/hosts/" + named[1]); err != nil {
				t.Errorf("%s: the head speaks of a script that is not shipped: %v", file, err)
			}
		}
	}
}

// TestShippedTrains: each can be, and is the same when it is applied again.
func TestShippedTrains(t *testing.T) {
	p, err := newPlane(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	}()
	token, _ := p.server.TokenFile()
	t.Setenv("UPKEEP_SERVER", p.url())
	t.Setenv("UPKEEP_TOKEN_FILE", token)
	t.Setenv("UPKEEP_CA", p.server.CAFile())
	files, err := filepath.Glob("../../runbooks/trains/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are %q, %v", files, err)
	}
	for _, file := range files {
		for _, want := range []string{"created", "unchanged"} {
			var out, errs bytes.Buffer
			if code := Main(t.Context(), []string{"apply", "-f", file}, "1.2.3", strings.NewReader(""), &out, &errs); code != 0 || !strings.HasSuffix(out.String(), " "+want+"\n") {
				t.Errorf("%s: want %s: %d: %s%s", file, want, code, out.String(), errs.String())
			}
		}
	}
}
