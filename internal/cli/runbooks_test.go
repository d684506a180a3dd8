package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"upkeep/client"
)

// fitting is a service that has all that the shipped runbooks ask for.
const fitting = `
kind: Service
name: svc
quorum: 2
with: {backend: svc_back, url: "https://api.internal:5000"}
members:
  - {name: ctl1, server: ctl1, with: {url: "http://ctl1:8090"}}
  - {name: ctl2, server: ctl2, with: {url: "http://ctl2:8090"}}
  - {name: ctl3, server: ctl3, with: {url: "http://ctl3:8090"}}
proxies:
  - {name: lb1, with: {socket: "tcp:lb1:9999"}}
  - {name: lb2, with: {socket: "tcp:lb2:9999"}}
---
{kind: Server, name: ctl1}
---
{kind: Server, name: ctl2}
---
{kind: Server, name: ctl3}
`

// TestShippedRunbooks: each can be, plans for a service that fits, and its head
// names each command that a host's owner must define.
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
		if said := upkeep("", "simulate", "svc", name, "--duration", "12h"); !strings.Contains(said, "3 members through, at most 1 out at once") {
			t.Errorf("%s: %s", name, said)
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
		docs, err := parseDocuments(file, text)
		if err != nil {
			t.Fatal(err)
		}
		book := docs[0].runbook
		steps := book.Before
		for _, c := range book.Prove {
			steps = append(steps, client.RunbookStep{Command: c.Command})
		}
		for _, more := range [][]client.RunbookStep{book.Member.Drain, book.Member.Do, book.Member.Await, book.Member.Ready, book.After} {
			steps = append(steps, more...)
		}
		for _, s := range steps {
			if s.Command != "" && !strings.Contains(string(text), "#     "+s.Command+": [/") {
				t.Errorf("%s: the head does not say what the host's command %q is", name, s.Command)
			}
		}
	}
}
