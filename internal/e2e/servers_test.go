//go:build linux && e2e

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// policyFor is a policy with expectations that fit a lab: what takes minutes
// on metal takes seconds here.
func policyFor(batch int, hold ...string) map[string]any {
	return map[string]any{"batch": batch, "hold": hold, "expect": map[string]string{
		"refresh": "5s", "download": "2s", "install": "2s", "repair": "10s", "restore": "5s", "reboot": "10s",
	}}
}

// have installs packages at version 1.0 on a server.
func have(t *testing.T, s *lab.Server, names ...string) {
	t.Helper()
	if out, err := s.Exec("apt-get", "-q", "update"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	args := []string{"-q", "-y", "install"}
	for _, n := range names {
		args = append(args, n+"=1.0")
	}
	if out, err := s.Exec("apt-get", args...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func add(t *testing.T, a *lab.Archive, packages ...lab.Package) {
	t.Helper()
	if err := a.Add(packages...); err != nil {
		t.Fatal(err)
	}
}

// TestTenServers is the main job: a schedule falls due, and every server is
// patched inside its window and not a second before.
func TestTenServers(t *testing.T) {
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	l := lab.New(t, 10, lab.Base{
		Packages: []lab.Package{lab.Plain("alpha", "1.0"), lab.Plain("beta", "1.0")},
		Programs: map[string]string{agentProgram: program},
	})
	slow := []string{"slow-a", "slow-b", "slow-c"}
	add(t, l.Repo.Main, lab.NeedsReboot("kern", "1.0"), lab.Plain("brittle", "1.0"), lab.Plain("torn", "1.0"),
		lab.WithConffile("asks", "1.0"), lab.Plain("kept", "1.0"), lab.Plain("ssl", "1.0"))
	for _, n := range slow {
		add(t, l.Repo.Main, lab.Plain(n, "1.0"))
	}
	l.Repo.Publish()

	p := startPlane(t, l, program, filepath.Join(t.TempDir(), "data"), planeAddress)
	l.Boot(t)
	s := l.Servers
	have(t, s[1], "kern")
	have(t, s[2], "brittle")
	have(t, s[3], "torn")
	have(t, s[4], slow...)
	have(t, s[5], "kept")
	have(t, s[6], "asks")
	have(t, s[8], "ssl")

	add(t, l.Repo.Main, lab.Plain("alpha", "2.0"), lab.Plain("beta", "2.0"), lab.NeedsReboot("kern", "2.0"),
		lab.Fails("brittle", "2.0"), lab.Sleeps("torn", "2.0", 2), lab.WithConffile("asks", "2.0"), lab.Plain("kept", "2.0"))
	for _, n := range slow {
		add(t, l.Repo.Main, lab.Sleeps(n, "2.0", 19))
	}
	add(t, l.Repo.Security, lab.Plain("ssl", "2.0"))
	l.Repo.Publish()

	if err := s[3].InterruptDpkg("torn", "2.0"); err != nil {
		t.Fatal(err)
	}
	if err := s[5].Hold("kept"); err != nil {
		t.Fatal(err)
	}
	if err := s[6].WriteFile(lab.Conffile("asks"), []byte("edited by the customer\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := map[string]int{}
	for _, srv := range s {
		begins, err := srv.Begins()
		if err != nil {
			t.Fatal(err)
		}
		before[srv.Name] = len(begins)
		p.enrol(srv)
	}

	open := time.Now().Add(12 * time.Second).Truncate(time.Second)
	const long = 3 * time.Minute
	again := open.Add(75 * time.Second)
	for i, srv := range s {
		switch i {
		case 4: // a minute holds two of the three slow ones, and the rest waits for the next occurrence
			p.schedule(srv.Name, rruleAt(open, again), time.Minute, map[string]any{
				"batch": 1, "expect": map[string]string{"refresh": "5s", "download": "1s", "install": "20s"},
			})
		case 8:
			p.schedule(srv.Name, rruleAt(open), long, map[string]any{"scope": "security", "expect": map[string]string{"install": "2s"}})
		default:
			p.schedule(srv.Name, rruleAt(open), long, policyFor(25))
		}
	}
	release, err := s[7].HoldLocks()
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Until(open)+5*time.Second, release)

	results := map[string]runOf{}
	for _, srv := range s {
		results[srv.Name] = p.waitEnded(srv.Name, 4*time.Minute)
	}
	for i, srv := range s {
		r := results[srv.Name]
		t.Logf("%s: %s: %s\n%s", srv.Name, r.State, r.Result.Text, p.story(r.ID))
		begins, err := srv.Begins()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, b := range begins[before[srv.Name]:] {
			inFirst := !b.At.Before(open) && b.At.Before(open.Add(long))
			if i == 4 {
				inFirst = !b.At.Before(open) && b.At.Before(open.Add(time.Minute)) || !b.At.Before(again) && b.At.Before(again.Add(time.Minute))
			}
			if !inFirst {
				t.Errorf("%s: %s %s was installed at %v, the window opens at %v", srv.Name, b.Name, b.Version, b.At, open)
			}
			seen[b.Name] = true
		}
		installs, err := srv.Installs()
		if err != nil {
			t.Fatal(err)
		}
		once(t, srv.Name, installs)
		wantState := "succeeded"
		if i == 2 {
			wantState = "failed"
		}
		if r.State != wantState {
			t.Errorf("%s: %s, want %s: %s", srv.Name, r.State, wantState, r.Result.Text)
		}
	}

	version := func(i int, name, want, wantState string) {
		t.Helper()
		got, state, err := s[i].Version(name)
		if err != nil || got != want || state != wantState {
			t.Errorf("%s has %s %s (%s), want %s (%s); %v", s[i].Name, name, got, state, want, wantState, err)
		}
	}
	for i := range s {
		if i != 8 {
			version(i, "alpha", "2.0", "installed")
			version(i, "beta", "2.0", "installed")
		}
	}
	version(1, "kern", "2.0", "installed")
	if s[1].Boots() != 2 || results["s2"].Result.Reboots != 1 {
		t.Errorf("s2 booted %d times, the run tells of %d reboots", s[1].Boots(), results["s2"].Result.Reboots)
	}
	version(2, "brittle", "1.0", "installed") // put back
	fails := results["s3"].Result.Failures
	if len(fails) != 1 || fails[0].Name != "brittle" || !strings.Contains(fails[0].Reason, "post-installation") {
		t.Errorf("s3 failed with %+v", fails)
	}
	version(3, "torn", "2.0", "installed")
	for _, n := range slow {
		version(4, n, "2.0", "installed")
	}
	if !strings.Contains(p.story(results["s5"].ID), "of the window are left") {
		t.Errorf("s5's history does not say what waited for the next window")
	}
	version(5, "kept", "1.0", "installed")
	version(6, "asks", "2.0", "installed")
	if text, err := s[6].ReadFile(lab.Conffile("asks")); err != nil || string(text) != "edited by the customer\n" {
		t.Errorf("the customer's file is %q now; %v", text, err)
	}
	version(8, "ssl", "2.0", "installed")
	version(8, "alpha", "1.0", "installed") // security only
}

// once fails if a package was installed twice at one version.
func once(t *testing.T, server string, installs []lab.Install) {
	t.Helper()
	var seen []string
	for _, in := range installs {
		id := in.Name + " " + in.Version
		if in.Version == "2.0" && slices.Contains(seen, id) {
			t.Errorf("%s: %s was installed twice", server, id)
		}
		seen = append(seen, id)
	}
}
