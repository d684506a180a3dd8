//go:build linux && e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// shop is the program that the servers' owner lets policies run, under several
// names. It writes down what it is asked and when; it says that it is well only
// the second time that it is asked, and on a server with /etc/broken it can't
// be stopped.
const shop = `#!/bin/sh
echo "$(date +%s.%N) $1" >> /var/log/shop.log
case $1 in
stop) test ! -e /etc/broken || { echo "the shop is full of people"; exit 1; } ;;
healthy) test "$(grep -c healthy /var/log/shop.log)" -gt 1 || { echo "still warming up"; exit 1; } ;;
esac
`

const shopCommands = `commands:
  snapshot: [/usr/local/bin/shop, snapshot]
  stop-shop: [/usr/local/bin/shop, stop]
  start-shop: [/usr/local/bin/shop, start]
  healthy: [/usr/local/bin/shop, healthy]
`

// TestPolicies is what a policy frames an update with, and what the members of
// a group do for each other, on real servers: the canary first; one that fails
// stops the rest; a dry run changes nothing.
func TestPolicies(t *testing.T) {
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	l := lab.New(t, 4, lab.Base{
		Packages: []lab.Package{lab.Plain("alpha", "1.0"), lab.Plain("beta", "1.0"), lab.Plain("held-lib", "1.0")},
		Programs: map[string]string{agentProgram: program},
	})
	p := startPlane(t, l, program, filepath.Join(t.TempDir(), "data"), planeAddress)
	l.Boot(t)
	add(t, l.Repo.Main, lab.Plain("alpha", "2.0"), lab.Plain("beta", "2.0"), lab.Plain("held-lib", "2.0"))
	l.Repo.Publish()
	for _, s := range l.Servers {
		write(t, s, "/usr/local/bin/shop", shop, 0o755)
		write(t, s, "/etc/upkeep/agent.yaml", shopCommands, 0o644)
		p.enrol(s)
	}
	canary, others, dry := l.Servers[0], l.Servers[1:3], l.Servers[3]
	for _, s := range others {
		write(t, s, "/etc/broken", "", 0o644)
	}
	p.call("PUT", "/v1/groups/shop", map[string]any{"canaries": []string{canary.Name}, "stopAfter": 1}, nil)
	for _, s := range l.Servers[:3] {
		p.call("PUT", "/v1/servers/"+s.Name, map[string]any{"group": "shop"}, nil)
	}
	policy := policyFor(25, "held-*")
	policy["backup"], policy["before"], policy["after"], policy["health"] = "snapshot", []string{"stop-shop"}, []string{"start-shop"}, []string{"healthy"}
	expect := policy["expect"].(map[string]string)
	expect["backup"], expect["command"], expect["check"] = "2s", "2s", "2s"
	dryPolicy := policyFor(25)
	dryPolicy["dryRun"] = true

	open := time.Now().Add(8 * time.Second).Truncate(time.Second)
	for _, s := range l.Servers[:3] {
		p.schedule(s.Name, rruleAt(open), 4*time.Minute, policy)
	}
	p.schedule(dry.Name, rruleAt(open), 4*time.Minute, dryPolicy)

	first := p.waitEnded(canary.Name, 2*time.Minute)
	t.Logf("%s: %s\n%s", canary.Name, first.State, p.story(first.ID))
	if first.State != "succeeded" {
		t.Fatalf("the canary: %s: %s", first.State, first.Result.Text)
	}
	framed(t, canary)
	notBefore(t, others, p, first)
	stopped(t, p, others)

	if r := p.waitEnded(dry.Name, 2*time.Minute); r.State != "succeeded" || !strings.Contains(r.Result.Text, "3 packages would be installed; nothing was changed") {
		t.Errorf("the dry run: %s: %s\n%s", r.State, r.Result.Text, p.story(r.ID))
	}
	for _, want := range []struct {
		s             *lab.Server
		name, version string
	}{{canary, "alpha", "2.0"}, {canary, "beta", "2.0"}, {canary, "held-lib", "1.0"}, {dry, "alpha", "1.0"}, {others[0], "alpha", "1.0"}, {others[1], "alpha", "1.0"}} {
		if got, state, err := want.s.Version(want.name); err != nil || got != want.version || state != "installed" {
			t.Errorf("%s has %s %s (%s), want %s; %v", want.s.Name, want.name, got, state, want.version, err)
		}
	}
}

func write(t testing.TB, s *lab.Server, name, text string, mode os.FileMode) {
	t.Helper()
	if err := s.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// asked is what a server's shop was asked, in order.
func asked(t *testing.T, s *lab.Server) (words []string, at map[string]float64) {
	t.Helper()
	text, err := s.ReadFile("/var/log/shop.log")
	if err != nil {
		return nil, nil // it was never asked anything
	}
	at = map[string]float64{}
	for line := range strings.Lines(string(text)) {
		var when float64
		var word string
		if _, err := fmt.Sscan(line, &when, &word); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		words, at[word] = append(words, word), when
	}
	return words, at
}

// framed looks at what came around the packages, by the server's own clock.
func framed(t *testing.T, s *lab.Server) {
	t.Helper()
	words, at := asked(t, s)
	if want := []string{"snapshot", "stop", "start", "healthy", "healthy"}; !slices.Equal(words, want) {
		t.Errorf("the shop was asked %q, want %q", words, want)
	}
	begins, err := s.Begins()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, b := range begins {
		if b.Version != "2.0" {
			continue
		}
		n++
		if when := float64(b.At.UnixNano()) / 1e9; when < at["stop"] || when > at["start"] {
			t.Errorf("%s was installed at %f, the shop was down from %f to %f", b.Name, when, at["stop"], at["start"])
		}
	}
	if n != 2 {
		t.Errorf("%d packages were installed, want 2", n)
	}
}

// notBefore: the others' shops were not stopped before the canary had succeeded.
func notBefore(t *testing.T, others []*lab.Server, p *plane, canary runOf) {
	t.Helper()
	facts := p.facts(canary.ID)
	end := facts[len(facts)-1].At
	for _, s := range others {
		if _, at := asked(t, s); at["stop"] > 0 && at["stop"] < float64(end.UnixNano())/1e9-1 {
			t.Errorf("%s's shop was stopped at %f, before the canary had ended at %v", s.Name, at["stop"], end)
		}
	}
}

// stopped: of the two one fails, brings its shop back, and stops the other.
func stopped(t *testing.T, p *plane, others []*lab.Server) {
	t.Helper()
	var failed, waits runOf
	poll(t, 2*time.Minute, "one of the others to fail and to stop the rest", func() bool {
		for _, s := range others {
			runs := p.runs(s.Name)
			if len(runs) != 1 {
				return false
			}
			r := runs[0]
			switch {
			case r.State == "failed":
				failed = r
			case len(r.Waits) > 0 && r.Waits[0].Code == "group-stopped":
				waits = r
			}
		}
		return failed.ID != "" && waits.ID != ""
	})
	if !strings.Contains(failed.Result.Text, "the shop is full of people") {
		t.Errorf("it failed and says %q\n%s", failed.Result.Text, p.story(failed.ID))
	}
	for _, s := range others {
		words, _ := asked(t, s)
		if r := p.runs(s.Name)[0]; r.ID == failed.ID && words[len(words)-1] != "start" {
			t.Errorf("its shop was not started again: %q", words)
		} else if r.ID == waits.ID && slices.Contains(words, "stop") {
			t.Errorf("%s waits, and its shop was asked %q", s.Name, words)
		}
	}
}
