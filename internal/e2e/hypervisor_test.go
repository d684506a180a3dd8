//go:build linux && e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// openstack stands in for the real client and the Nova behind it, for there are
// no virtual machines in the lab. It keeps which instance is on which host and
// which host takes new ones, and refuses what the script does not ask, and what
// comes in a wrong order: to move instances off a host that still gets new ones,
// and to give new ones to a host before a canary was there. Whether a host is up
// it sees by itself.
const openstack = `#!/bin/bash
set -eu
cd /var/lib/nova-stand-in
echo "$*" >> asked
no() { echo "stand-in for openstack: $1: $all" >&2; exit 64; }
all=$*
up() { (exec 3<>"/dev/tcp/$1/8090") 2>/dev/null && echo up || echo down; }
case "$*" in
"compute service list --service nova-compute -f value -c Host -c State")
	for h in s1 s2; do echo "$h $(up $h)"; done ;;
"compute service set --disable --disable-reason upkeep "*" nova-compute")
	test $# = 8 || no "arguments"
	touch "disabled-$7" ;;
"compute service set --enable s"[12]" nova-compute")
	test -e "canary-$5" || no "no canary was there"
	rm "disabled-$5" "canary-$5" ;;
"server list --all-projects --host s"[12]" -f value -c ID")
	for i in instance-*; do test "$(cat "$i")" != "$5" || echo "$i"; done ;;
"server migrate --live-migration --wait instance-"*)
	from=$(cat "$5")
	test -e "disabled-$from" || no "its host still gets new ones"
	test ! -e "stuck-$5" || exit 1
	for h in s1 s2; do test "$h" = "$from" || test -e "disabled-$h" || { echo $h > "$5"; exit 0; }; done
	exit 1 ;;
"--os-compute-api-version 2.74 server create --wait --host s"[12]" --flavor small --image cirros --network test -f value -c status upkeep-canary-"*)
	test "$(up "$7")" = up
	touch "canary-$7"
	echo ACTIVE ;;
"server delete --wait upkeep-canary-s"[12]) ;;
*) no "asked for" ;;
esac
`

// TestHypervisor maintains two hosts by the shipped runbook and its script, with
// real packages and real restarts; what is Nova's is a stand-in. An instance
// that does not move halts the run before its host is touched. What Nova says of
// its hosts is believed after ten seconds here, for its stand-in looks itself.
func TestHypervisor(t *testing.T) {
	t.Parallel()
	s, manager := newHypervisors(t)
	write(t, manager, "/var/lib/nova-stand-in/stuck-instance-1", "", 0o644)
	from := time.Now()
	run := s.rollBook(s.book)
	poll(t, time.Minute, "the run to halt", func() bool { return s.halted(run) != "" })
	if halt := s.halted(run); !strings.Contains(halt, "s1 empty failed") || !strings.Contains(halt, "still there: instance-1") {
		t.Errorf("it says %q", halt)
	}
	hasVersions(t, s.members[0], "kern 1.0")
	if err := manager.Remove("/var/lib/nova-stand-in/stuck-instance-1"); err != nil {
		t.Fatal(err)
	}
	must(t, manager, "sh", "-c", "echo s2 > /var/lib/nova-stand-in/instance-1") // as a person would move it
	s.upkeep("resume", "cluster")
	s.waitSuccess(run)
	t.Logf("two hosts in %.1fs", time.Since(from).Seconds())

	for _, m := range s.members {
		hasVersions(t, m, "kern 2.0")
		if m.Boots() != 2 {
			t.Errorf("%s has booted %d times, want twice", m.Name, m.Boots())
		}
	}
	if left := must(t, manager, "sh", "-c", "cd /var/lib/nova-stand-in && ls disabled-* canary-* 2>/dev/null || true"); left != "" {
		t.Errorf("it leaves %s", left)
	}
	if has := must(t, manager, "sh", "-c", "cat /var/lib/nova-stand-in/instance-*"); has != "s1\ns1" {
		t.Errorf("the instances are on %q", has)
	}
	novaWasAsked(t, manager, run)
}

// novaWasAsked: what changes something, in this order and no other.
func novaWasAsked(t *testing.T, manager *lab.Server, run string) {
	t.Helper()
	text, err := manager.ReadFile("/var/lib/nova-stand-in/asked")
	if err != nil {
		t.Fatal(err)
	}
	var asked, want []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, " list ") {
			asked = append(asked, strings.TrimSpace(line))
		}
	}
	for _, h := range []string{"s1", "s2"} {
		want = append(want, fmt.Sprintf("compute service set --disable --disable-reason upkeep %s %s nova-compute", run, h),
			"server migrate --live-migration --wait instance-1", "server migrate --live-migration --wait instance-2",
			fmt.Sprintf("--os-compute-api-version 2.74 server create --wait --host %s --flavor small --image cirros --network test -f value -c status upkeep-canary-%[1]s", h),
			"server delete --wait upkeep-canary-"+h, "compute service set --enable "+h+" nova-compute")
	}
	if !slices.Equal(asked, want) {
		t.Errorf("Nova was asked:\n%s\nwant:\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
}

// newHypervisors are two hosts with an update that wants a restart, and a third
// server with the client, their manager.
func newHypervisors(t *testing.T) (s *site, manager *lab.Server) {
	t.Helper()
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	programs := map[string]string{agentProgram: program, "/usr/local/bin/replica": lab.GoBuild(t, "upkeep/internal/e2e/replica")}
	hostScripts(t, programs)
	l := lab.New(t, 3, lab.Base{Debian: []string{"systemd", "dbus"}, Packages: []lab.Package{lab.NeedsReboot("kern", "1.0")}, Programs: programs, Systemd: true})
	s = &site{plane: startPlane(t, l, program, filepath.Join(t.TempDir(), "data"), planeAddress), members: l.Servers[:2], book: "hypervisor"}
	manager = l.Servers[2]
	l.Boot(t)
	add(t, l.Repo.Main, lab.NeedsReboot("kern", "2.0"))
	l.Repo.Publish()
	service := "kind: Service\nname: cluster\nquorum: 1\nmanager: s3\nmembers:\n"
	for _, m := range s.members {
		wantsNoRestart(t, m)
		must(t, m, "apt-get", "-q", "update")
		service += fmt.Sprintf("  - {name: %s, server: %[1]s}\n", m.Name)
	}
	write(t, manager, "/usr/bin/openstack", openstack, 0o755)
	write(t, manager, "/etc/upkeep/openstack.env", "CANARY_FLAVOR=small\nCANARY_IMAGE=cirros\nCANARY_NETWORK=test\n", 0o600)
	for _, name := range []string{"instance-1", "instance-2"} {
		write(t, manager, "/var/lib/nova-stand-in/"+name, "s1\n", 0o644)
	}
	own := ownersCommands(t, s.book)
	write(t, manager, "/etc/upkeep/agent.yaml", own, 0o644)
	s.enrol(manager)
	agentUnit(t, manager)
	s.book = "operating-system" // what the owner of a hypervisor allows is the same there
	s.enrolUnits("")
	s.book = "hypervisor"
	for _, m := range s.members {
		addUnit(t, m, "replica.service", replicaUnit)
	}
	s.apply(service)
	s.upkeep("apply", "-f", hurried(t, s.book, "settle: 60s", "settle: 10s"))
	return s, manager
}
