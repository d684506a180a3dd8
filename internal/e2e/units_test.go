//go:build linux && e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"upkeep/internal/lab"
)

// notesStarts lets systemd note each start of a unit where site.restarted looks.
const notesStarts = `[Service]
ExecStartPre=+/bin/sh -c "date +%%s.%%N >>/var/log/restarts"
`

// newUnitSite makes a lab of n servers with Debian's systemd; the first three
// are the members. unit is the service of a Debian package that the runbook
// restarts. It was not started yet: the test configures it first.
func newUnitSite(t *testing.T, n int, book, unit string, debian ...string) *site {
	t.Helper()
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	programs := map[string]string{agentProgram: program}
	hostScripts(t, programs)
	l := lab.New(t, n, lab.Base{Debian: append(debian, "systemd", "dbus"), Programs: programs, Systemd: true})
	p := startPlane(t, l, program, filepath.Join(t.TempDir(), "data"), planeAddress)
	for _, m := range l.Servers {
		// Its package has enabled it, and it would start with the first boot.
		if err := m.Remove("/etc/systemd/system/multi-user.target.wants/" + unit); err != nil {
			t.Fatal(err)
		}
		write(t, m, "/etc/systemd/system/"+unit+".d/notes.conf", notesStarts, 0o644)
	}
	l.Boot(t)
	return &site{plane: p, members: l.Servers[:3], book: book, unit: unit}
}

// enrolUnits gives the members their agents, as enrolAll does, under systemd.
func (s *site) enrolUnits(more string) {
	s.t.Helper()
	s.enrolAll(more)
	for _, m := range s.members {
		agentUnit(s.t, m)
	}
}

// agentUnit starts the agent of an enrolled server, now and at each boot, as the
// service of systemd that docs/operations.md shows.
func agentUnit(t testing.TB, m *lab.Server) {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "```ini\n")
	unit, _, ok := strings.Cut(after, "```\n")
	if !ok || !strings.Contains(unit, "https://upkeep.example:8443") {
		t.Fatalf("docs/operations.md shows no service for the agent: %q", unit)
	}
	addUnit(t, m, "upkeep-agent.service", strings.Replace(unit, "https://upkeep.example:8443", planeURL, 1))
}

// addUnit adds a unit to a server, which starts now and at each boot.
func addUnit(t testing.TB, m *lab.Server, name, text string) {
	t.Helper()
	write(t, m, "/etc/systemd/system/"+name, text, 0o644)
	must(t, m, "systemctl", "enable", "--now", name)
}

// crash kills a member's daemon, and systemd does not start it again: as on a
// host that has lost its power, but for the agent, which can say so.
func (s *site) crash(m *lab.Server, daemon string) error {
	if err := m.Signal(unix.SIGKILL, daemon); err != nil {
		return err
	}
	_, err := m.Exec("systemctl", "stop", s.unit)
	return err
}

// raise is a person who starts a member again. It is not noted with what the
// runbook restarts.
func (s *site) raise(m *lab.Server) error {
	if _, err := m.Exec("systemctl", "start", s.unit); err != nil {
		return fmt.Errorf("start by hand: %w", err)
	}
	_, err := m.Exec("sed", "-i", "$d", "/var/log/restarts")
	return err
}
