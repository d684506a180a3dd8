//go:build linux && e2e

package lab_test

import (
	"strings"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// base is one package of each kind, in a first version that is well.
var base = lab.Base{Packages: []lab.Package{
	lab.Plain("web", "1.0"), lab.Plain("kernel", "1.0"), lab.Plain("broken", "1.0"),
	lab.Plain("slow", "1.0"), lab.Plain("ssl", "1.0"), lab.WithConffile("conf", "1.0"),
}}

// upgrade is apt as an agent runs it: never asks, keeps edited conffiles.
var upgrade = []string{"apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "upgrade"}

func TestUpgradeIsARealOne(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 1, base)
	l.Boot(t)
	s := l.Servers[0]
	if list, err := s.Begins(); err != nil || len(list) != 0 {
		t.Fatalf("before any upgrade the log has %v, %v", list, err)
	}
	check(t, s.WriteFile(lab.Conffile("conf"), []byte("edited\n"), 0o644))
	check(t, s.Hold("broken"))
	check(t, l.Repo.Main.Add(lab.Plain("web", "2.0"), lab.NeedsReboot("kernel", "2.0"), lab.WithConffile("conf", "2.0"), lab.Fails("broken", "2.0")))
	check(t, l.Repo.Security.Add(lab.Plain("ssl", "1.1")))
	l.Repo.Publish()

	exec(t, s, "apt-get", "-q", "update")
	plan := exec(t, s, "apt-get", "-q", "-s", "upgrade")
	for _, want := range []string{
		"Inst web [1.0] (2.0 Upkeep:1/stable [all])",
		"Inst ssl [1.0] (1.1 Debian-Security:12/oldstable-security [all])",
	} {
		if !strings.Contains(plan, want) {
			t.Errorf("apt does not plan %q:\n%s", want, plan)
		}
	}
	if got := l.Repo.Downloads("web"); len(got) != 0 {
		t.Errorf("downloads before the upgrade: %v", got)
	}
	start := time.Now()
	exec(t, s, upgrade...)

	list, err := s.Installs()
	check(t, err)
	seen := map[string]int{}
	for _, i := range list {
		seen[i.Name+" "+i.Version]++
		if i.At.Before(start) || i.At.After(time.Now()) {
			t.Errorf("%v is not of now", i)
		}
	}
	if len(seen) != 4 || seen["web 2.0"] != 1 || seen["ssl 1.1"] != 1 || seen["kernel 2.0"] != 1 || seen["conf 2.0"] != 1 {
		t.Errorf("installed %v", seen)
	}
	if got := l.Repo.Downloads("web"); len(got) != 1 || got[0].From != s.Addr || got[0].Status != 200 {
		t.Errorf("downloads of web: %v", got)
	}
	if version, state, err := s.Version("web"); err != nil || version != "2.0" || state != "installed" {
		t.Errorf("web is %s %s, %v", version, state, err)
	}
	if version, _, err := s.Version("broken"); err != nil || version != "1.0" {
		t.Errorf("the held package is %s, %v", version, err)
	}
	if text, err := s.ReadFile(lab.Conffile("conf")); err != nil || string(text) != "edited\n" {
		t.Errorf("edited conffile: %q, %v", text, err)
	}
	if text, err := s.ReadFile("/run/reboot-required.pkgs"); err != nil || string(text) != "kernel\n" {
		t.Errorf("reboot-required.pkgs: %q, %v", text, err)
	}
}

func TestFailingPostinst(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 1, base)
	l.Boot(t)
	s := l.Servers[0]
	check(t, l.Repo.Main.Add(lab.Fails("broken", "2.0")))
	l.Repo.Publish()
	exec(t, s, "apt-get", "-q", "update")
	if out, err := s.Exec(upgrade[0], upgrade[1:]...); lab.ExitCode(err) != 100 {
		t.Errorf("apt: %v\n%s", err, out)
	}
	if _, state, err := s.Version("broken"); err != nil || state != "half-configured" {
		t.Errorf("broken is %s, %v", state, err)
	}
	check(t, l.Repo.Main.Add(lab.Plain("broken", "3.0")))
	l.Repo.Publish()
	exec(t, s, "apt-get", "-q", "update")
	exec(t, s, upgrade...)
	if version, state, err := s.Version("broken"); err != nil || version != "3.0" || state != "installed" {
		t.Errorf("the repaired package is %s %s, %v", version, state, err)
	}
	exec(t, s, "apt-get", "-q", "-y", "install", "--allow-downgrades", "broken=1.0")
}

func TestPowerCutInAPostinst(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 1, base)
	l.Boot(t)
	s := l.Servers[0]
	check(t, l.Repo.Main.Add(lab.Sleeps("slow", "2.0", 3)))
	l.Repo.Publish()
	exec(t, s, "apt-get", "-q", "update")
	apt, err := s.Command(t.Context(), upgrade[0], upgrade[1:]...)
	check(t, err)
	check(t, apt.Start())
	check(t, s.WaitBegin(t.Context(), "slow", "2.0"))
	s.Kill()
	apt.Wait()
	check(t, s.Boot())
	repair(t, s)
}

func TestInterruptDpkg(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 1, base)
	l.Boot(t)
	s := l.Servers[0]
	check(t, l.Repo.Main.Add(lab.Sleeps("slow", "2.0", 3)))
	l.Repo.Publish()
	check(t, s.InterruptDpkg("slow", "2.0"))
	repair(t, s)
}

// repair is what apt wants after dpkg was interrupted.
func repair(t *testing.T, s *lab.Server) {
	t.Helper()
	if out := exec(t, s, "dpkg", "--audit"); out == "" {
		t.Error("dpkg --audit finds nothing")
	}
	if out, err := s.Exec(upgrade[0], upgrade[1:]...); lab.ExitCode(err) != 100 || !strings.Contains(out, "dpkg --configure -a") {
		t.Errorf("apt: %v\n%s", err, out)
	}
	exec(t, s, "dpkg", "--configure", "-a")
	if out := exec(t, s, "dpkg", "--audit"); out != "" {
		t.Errorf("dpkg --audit after the repair: %s", out)
	}
	if list, err := s.Begins(); err != nil || len(list) != 2 {
		t.Errorf("begins %v, %v; want two", list, err)
	}
	if list, err := s.Installs(); err != nil || len(list) != 1 {
		t.Errorf("installs %v, %v; want one", list, err)
	}
}

func TestLocksAndADeadRepository(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 1, base)
	l.Boot(t)
	s := l.Servers[0]
	check(t, l.Repo.Main.Add(lab.Plain("web", "2.0")))
	l.Repo.Publish()
	exec(t, s, "apt-get", "-q", "update")

	release, err := s.HoldLocks()
	check(t, err)
	if out, err := s.Exec(upgrade[0], upgrade[1:]...); lab.ExitCode(err) != 100 || !strings.Contains(out, "lab-lock") {
		t.Errorf("apt while the lock is held: %v\n%s", err, out)
	}
	release()

	l.Repo.SetDead(true)
	if out, err := s.Exec(upgrade[0], upgrade[1:]...); lab.ExitCode(err) != 100 {
		t.Errorf("apt without its repository: %v\n%s", err, out)
	}
	l.Repo.SetDead(false)
	exec(t, s, upgrade...)
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 1, base)
	l.Boot(t)
	s := l.Servers[0]
	check(t, l.Repo.Main.Add(lab.Plain("web", "2.0")))
	l.Repo.Publish()
	exec(t, s, "apt-get", "-q", "update")
	check(t, s.SetDiskFull(true))
	if out, err := s.Exec(upgrade[0], upgrade[1:]...); lab.ExitCode(err) != 100 {
		t.Errorf("apt on a full disk: %v\n%s", err, out)
	}
	check(t, s.SetDiskFull(false))
	exec(t, s, upgrade...)
}

func TestTenServersAreQuick(t *testing.T) {
	lab.Root(t) // not counted, it may have to be built
	start := time.Now()
	l := lab.New(t, 10, base)
	made := time.Since(start)
	l.Boot(t)
	t.Logf("made in %v, up in another %v", made, time.Since(start)-made)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}
