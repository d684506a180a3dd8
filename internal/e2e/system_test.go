//go:build linux && e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// replicaUnit is what a host serves from each boot on.
const replicaUnit = `[Service]
ExecStart=/usr/local/bin/replica :8090

[Install]
WantedBy=multi-user.target
`

// TestOperatingSystem rolls the packages of three real Debian servers behind a
// real HAProxy by the shipped runbook: one after the other, with a restart where
// a package asks for one, and nobody goes unanswered. The update of the second
// one fails: the run halts there with two serving, and goes on there when the
// archive has a better package.
func TestOperatingSystem(t *testing.T) {
	t.Parallel()
	s, socket := newHosts(t)
	load := startLoad(t, s.l)
	load.settle(t)

	run := s.drainedIsNotBelieved(socket)
	from := time.Now()
	poll(t, 2*time.Minute, "the run to halt", func() bool { return s.halted(run) != "" })
	halt := s.halted(run)
	t.Logf("after %.1fs: %s", time.Since(from).Seconds(), halt)
	for _, want := range []string{"s2 packages failed", "brittle", "s2 stays out of service", "resume"} {
		if !strings.Contains(halt, want) {
			t.Errorf("%q is not in what it tells a person: %s", want, halt)
		}
	}
	hasVersions(t, s.members[0], "web 2.0", "kern 2.0")
	hasVersions(t, s.members[2], "web 1.0")
	for i, want := range []string{"UP", "DRAIN", "UP"} {
		if has := proxyHas(t, socket, s.members[i].Name); has != want {
			t.Errorf("when it has halted HAProxy says of %s: %s, want %s", s.members[i].Name, has, want)
		}
	}
	if failed := load.settle(t); failed > 0 {
		t.Errorf("until it halted %d requests failed", failed)
	}

	add(t, s.l.Repo.Main, lab.Plain("brittle", "3.0"))
	s.l.Repo.Publish()
	must(t, s.members[1], "apt-get", "-q", "update")
	s.upkeep("resume", "cluster")
	s.waitSuccess(run)
	t.Logf("three hosts in %.1fs, the time until resume included", time.Since(from).Seconds())
	if failed := load.settle(t); failed > 0 {
		t.Errorf("after resume %d requests failed", failed)
	}
	hasVersions(t, s.members[0], "web 2.0", "kern 2.0")
	hasVersions(t, s.members[1], "web 2.0", "brittle 3.0")
	hasVersions(t, s.members[2], "web 2.0")
	s.restartedOnlyFirst()
	s.oneHostAtATime(run)
}

// drainedIsNotBelieved: somebody has drained the last one by hand, which answers
// for itself all the same. A gate that only asks that would take a second one out;
// ours waits until HAProxy has it back. It returns the run, which goes on then.
func (s *site) drainedIsNotBelieved(socket string) (run string) {
	t := s.t
	t.Helper()
	proxySays(t, socket, "set server api_back/s3 state drain")
	s.apply(`kind: Runbook
name: naive
budget: 5m
prove:
  - {name: others-answer, kind: http, on: others, with: {url: "{{member.url}}/healthcheck", times: "2"}, estimate: 3s}
member:
  drain:
    - {name: drain, kind: balance, on: proxies, with: {proxy: "{{proxy.socket}}", backend: "{{service.backend}}", server: "{{member.name}}", state: drain, min: "1"}, estimate: 1s}
  do:
    - {name: went-on, kind: command, on: member, command: went-on, estimate: 3s}
  await:
    - {name: alive, kind: http, with: {url: "{{member.url}}/healthcheck"}, estimate: 1s}
  ready:
    - {name: ready, kind: balance, on: proxies, with: {proxy: "{{proxy.socket}}", backend: "{{service.backend}}", server: "{{member.name}}", state: ready}, estimate: 1s}
`)
	naive := s.rollBook("naive")
	poll(t, time.Minute, "the naive runbook to take a second one out", func() bool { return proxyHas(t, socket, "s1") == "DRAIN" })
	if has := proxyHas(t, socket, "s3"); has != "DRAIN" {
		t.Errorf("HAProxy says of s3: %s", has)
	}
	s.upkeep("abort", naive)
	s.waitRun(naive, time.Minute)
	if has := proxyHas(t, socket, "s1"); !strings.HasPrefix(has, "UP") {
		t.Errorf("after the naive run HAProxy says of s1: %s", has)
	}

	run = s.rollBook(s.book)
	s.waitsFor(run, "s3 DRAIN")
	if has := proxyHas(t, socket, "s1"); !strings.HasPrefix(has, "UP") {
		t.Errorf("though s3 is drained HAProxy says of s1: %s", has)
	}
	proxySays(t, socket, "set server api_back/s3 state ready")
	return run
}

// newHosts are three servers, each with an update to come, that serve behind
// HAProxy. That of the first one wants a restart, that of the second one fails.
// socket is HAProxy's.
func newHosts(t *testing.T) (s *site, socket string) {
	t.Helper()
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	programs := map[string]string{agentProgram: program, "/usr/local/bin/replica": lab.GoBuild(t, "upkeep/internal/e2e/replica")}
	hostScripts(t, programs)
	l := lab.New(t, 3, lab.Base{Debian: []string{"systemd", "dbus"}, Packages: []lab.Package{lab.Plain("web", "1.0")}, Programs: programs, Systemd: true})
	s = &site{plane: startPlane(t, l, program, filepath.Join(t.TempDir(), "data"), planeAddress), members: l.Servers, book: "operating-system"}
	l.Boot(t)
	add(t, l.Repo.Main, lab.NeedsReboot("kern", "1.0"), lab.Plain("brittle", "1.0"))
	l.Repo.Publish()
	have(t, s.members[0], "kern")
	have(t, s.members[1], "brittle")
	for _, m := range s.members {
		wantsNoRestart(t, m)
	}
	s.enrolUnits("  went-on: [/bin/sleep, \"3\"]\n")
	service := "kind: Service\nname: cluster\nquorum: 2\nwith: {backend: api_back}\nmembers:\n"
	for _, m := range s.members {
		addUnit(t, m, "replica.service", replicaUnit)
		service += fmt.Sprintf("  - {name: %s, server: %s, with: {url: \"http://%s:8090\"}}\n", m.Name, m.Name, m.Addr)
	}
	socket = startHAProxy(t, l)
	s.apply(service + fmt.Sprintf("proxies:\n  - {name: edge, with: {socket: %q}}\n", socket))
	s.upkeep("apply", "-f", "../../runbooks/"+s.book+".yaml")
	add(t, l.Repo.Main, lab.Plain("web", "2.0"), lab.NeedsReboot("kern", "2.0"), lab.Fails("brittle", "2.0"))
	l.Repo.Publish()
	return s, socket
}

// wantsNoRestart: what a host had from the start is no reason for one.
func wantsNoRestart(t *testing.T, s *lab.Server) {
	t.Helper()
	must(t, s, "rm", "-f", "/run/reboot-required", "/run/reboot-required.pkgs")
}

// hasVersions: these packages are there, each whole, at these versions.
func hasVersions(t *testing.T, s *lab.Server, packages ...string) {
	t.Helper()
	for _, p := range packages {
		name, want, _ := strings.Cut(p, " ")
		if version, state, err := s.Version(name); err != nil || version != want || state != "installed" {
			t.Errorf("%s has %s %s, %s, %v; want %s", s.Name, name, version, state, err, want)
		}
	}
}

// restartedOnlyFirst: who needed a restart had one, and the others none.
func (s *site) restartedOnlyFirst() {
	s.t.Helper()
	for i, m := range s.members {
		want := 1
		if i == 0 {
			want = 2
		}
		if m.Boots() != want {
			s.t.Errorf("%s has booted %d times, want %d", m.Name, m.Boots(), want)
		}
	}
}

// oneHostAtATime: by the history each was back before the next one was taken
// out, and by the hosts' own clocks nothing was installed on two at once.
func (s *site) oneHostAtATime(run string) {
	s.t.Helper()
	var order, want []string
	for _, f := range s.facts(run) {
		if name, _, ok := strings.Cut(f.Text, " drain edge done in "); ok {
			order = append(order, name+" out")
		} else if name, _, ok := strings.Cut(f.Text, " is back after "); ok {
			order = append(order, name+" back")
		}
	}
	var before time.Time
	for _, m := range s.members {
		want = append(want, m.Name+" out", m.Name+" back")
		installs, err := m.Installs()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, in := range installs {
			if in.Version != "1.0" && in.At.Before(before) {
				s.t.Errorf("%s had %s %s at %v, before the one before it was through", m.Name, in.Name, in.Version, in.At)
			}
			if in.Version != "1.0" {
				before = in.At
			}
		}
	}
	if !slices.Equal(order, want) {
		s.t.Errorf("the order was %q", order)
	}
}

// proxySays asks a real HAProxy's runtime socket, as a person would.
func proxySays(t testing.TB, socket, command string) string {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(socket, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, command); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// proxyHas says what HAProxy holds of a server, such as UP or DRAIN.
func proxyHas(t testing.TB, socket, server string) string {
	t.Helper()
	for line := range strings.Lines(proxySays(t, socket, "show stat")) {
		if fields := strings.Split(line, ","); len(fields) > 17 && fields[0] == "api_back" && fields[1] == server {
			return fields[17]
		}
	}
	t.Fatalf("HAProxy knows no server %s", server)
	return ""
}
