//go:build linux && e2e

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"upkeep/internal/lab"
)

const bootIDFile = "/proc/sys/kernel/random/boot_id"

func TestServersBootAndReachTheLab(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 2, lab.Base{})
	l.Boot(t)

	ids := map[string]bool{}
	for _, s := range l.Servers {
		if got := exec(t, s, "uname", "-n"); got != s.Name {
			t.Errorf("host name %q, want %q", got, s.Name)
		}
		ids[exec(t, s, "cat", bootIDFile)] = true
		exec(t, s, "apt-get", "-q", "update")
	}
	if own := read(t, bootIDFile); ids[own] || len(ids) != 2 {
		t.Errorf("boot ids %v, want two that are not the machine's %s", ids, own)
	}
	asked := map[string]bool{}
	for _, q := range l.Repo.Requests() {
		asked[q.From.String()] = true
	}
	if !asked[l.Servers[0].Addr.String()] || !asked[l.Servers[1].Addr.String()] {
		t.Errorf("the repository was asked by %v", asked)
	}
}

func TestProgramsAndTheTestMeetInTheLab(t *testing.T) {
	t.Parallel()
	own := lab.GoBuild(t, "upkeep/internal/lab/init1")
	l := lab.New(t, 1, lab.Base{Programs: map[string]string{"/usr/local/bin/own": own}})
	l.Boot(t)

	if out, err := l.Servers[0].Exec("own"); lab.ExitCode(err) != 1 || !strings.Contains(out, "not PID 1") {
		t.Errorf("a program of the machine on a server: %v\n%s", err, out)
	}
	listener, err := l.Listen(lab.Gateway + ":8080")
	check(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	answer, err := l.HTTPClient().Get("http://" + lab.Gateway + ":8080/")
	check(t, err)
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || string(text) != "hello" {
		t.Errorf("answer %q, %v", text, err)
	}

	out, err := l.Command(t.Context(), "ip", "-brief", "address", "show", "br0").CombinedOutput()
	check(t, err)
	if !strings.Contains(string(out), lab.Gateway) {
		t.Errorf("a program in the lab sees %s", out)
	}

	check(t, l.Servers[0].SetDown(true))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.DialContext(ctx, "tcp", l.Servers[0].Addr.String()+":22"); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		t.Errorf("without a cable: %v, want a timeout", err)
	}
	check(t, l.Servers[0].SetDown(false))
	if _, err := l.DialContext(t.Context(), "tcp", l.Servers[0].Addr.String()+":22"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("with a cable: %v, want a refusal", err)
	}
}

// TestDebiansOwnPackages: they are installed with the answers that were given,
// beside the lab's own, and nothing of theirs was started.
func TestDebiansOwnPackages(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 1, lab.Base{
		Debian:  []string{"openssh-server", "netcat-openbsd"},
		Answers: []string{"openssh-server openssh-server/permit-root-login boolean false"},
	})
	l.Boot(t)
	s := l.Servers[0]

	if out, err := s.Exec("sshd", "-T"); lab.ExitCode(err) == 127 {
		t.Errorf("sshd: %v\n%s", err, out)
	}
	if out := exec(t, s, "debconf-show", "openssh-server"); !strings.Contains(out, "permit-root-login: false") {
		t.Errorf("the answers: %s", out)
	}
	if pids, err := s.Pids("sshd"); err != nil || len(pids) != 0 {
		t.Errorf("sshd runs as %v, %v", pids, err)
	}
	exec(t, s, "apt-get", "-q", "update") // from the lab's archives alone
}

func TestRebootIsARealOne(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 1, lab.Base{})
	l.Boot(t)
	s := l.Servers[0]
	before := exec(t, s, "cat", bootIDFile)
	check(t, s.WriteFile("/run/reboot-required", nil, 0o644))
	check(t, s.WriteFile("/var/lib/kept", []byte("kept"), 0o644))

	s.Exec("reboot") // it may be gone before it can say so
	waitBoot(t, s, 2)

	if after := exec(t, s, "cat", bootIDFile); after == before {
		t.Errorf("boot id is still %s", after)
	}
	if _, err := s.ReadFile("/run/reboot-required"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("/run/reboot-required after a reboot: %v", err)
	}
	if text, err := s.ReadFile("/var/lib/kept"); err != nil || string(text) != "kept" {
		t.Errorf("what was written: %q, %v", text, err)
	}
	if out, err := s.Exec("shutdown", "-h", "now"); err == nil {
		t.Errorf("shutdown -h: %s", out)
	}
}

func TestPowerCutAndBoot(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 1, lab.Base{})
	l.Boot(t)
	s := l.Servers[0]
	check(t, s.WriteFile("/var/lib/kept", []byte("kept"), 0o644))
	s.Kill()
	if _, err := s.Exec("true"); !errors.Is(err, lab.ErrOff) {
		t.Errorf("off: %v", err)
	}
	if text, err := s.ReadFile("/var/lib/kept"); err != nil || string(text) != "kept" {
		t.Errorf("read while off: %q, %v", text, err)
	}
	check(t, s.Boot())
	if s.Boots() != 2 || s.Boot() == nil {
		t.Errorf("%d boots, want 2 and no third", s.Boots())
	}
}

func TestServiceRestartsAndItsChildrenLive(t *testing.T) {
	t.Parallel()
	l := lab.New(t, 1, lab.Base{})
	s := l.Servers[0]
	check(t, s.SetService([]string{"WORD=started"}, "/bin/sh", "-c", "echo $WORD; sleep 1000 & wait"))
	l.Boot(t)

	sleeps := func() []int {
		pids, err := s.Pids("sleep")
		check(t, err)
		return pids
	}
	eventually(t, "the service's child", func() bool { return len(sleeps()) == 1 })
	child := sleeps()[0]
	old, err := s.ServicePID()
	check(t, err)

	killed := time.Now()
	check(t, s.KillService())
	eventually(t, "another service", func() bool { now, err := s.ServicePID(); return err == nil && now != old })
	if took := time.Since(killed); took > time.Second {
		t.Errorf("restart took %v", took)
	}
	eventually(t, "both children", func() bool { return len(sleeps()) == 2 })
	if !strings.Contains(fmt.Sprint(sleeps()), fmt.Sprint(child)) {
		t.Errorf("child %d of the killed service is gone: %v", child, sleeps())
	}
	check(t, s.Signal(syscall.SIGKILL, "sleep"))
	eventually(t, "no zombies", func() bool { return !strings.Contains(states(t, s), "Z") })
	if got := strings.Count(s.ServiceLog(), "started"); got < 2 {
		t.Errorf("service log says it started %d times: %s", got, s.ServiceLog())
	}

	// What the service had started does not survive a reboot, the service does.
	s.Exec("reboot")
	waitBoot(t, s, 2)
	eventually(t, "the service's only child", func() bool { return len(sleeps()) == 1 })
}

func exec(t *testing.T, s *lab.Server, args ...string) string {
	t.Helper()
	out, err := s.Exec(args[0], args[1:]...)
	check(t, err)
	return strings.TrimSpace(out)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	return strings.TrimSpace(string(text))
}

func waitBoot(t *testing.T, s *lab.Server, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	check(t, s.WaitBoot(ctx, n))
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("still not there: %s", what)
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// states returns the state letters of all processes of a server.
func states(t *testing.T, s *lab.Server) string {
	t.Helper()
	return exec(t, s, "sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) \\(.\\) .*/\\1/' | tr -d '\\n'")
}
