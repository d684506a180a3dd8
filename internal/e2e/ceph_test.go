//go:build linux && e2e

package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"upkeep/internal/lab"
)

// A real Ceph, small enough for a test: one monitor and one manager on the
// first server, an OSD of one GiB, most of it never written, on each of three.
const (
	cephConfig = `[global]
fsid = 6e2a3b0c-51a5-4d6f-9a5e-0d1f6b1c7a11
mon host = %s
public network = 10.77.0.0/16
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = false
osd pool default size = 3
osd pool default min size = 2
osd pool default pg autoscale mode = off
osd memory target = 939524096
bluestore block size = 1073741824
mon data avail warn = 5
mon data avail crit = 1
[mgr]
mgr initial modules =
`
	// startMonitor makes a monitor and a manager and starts both.
	startMonitor = `set -eu
install -d /run/ceph /var/lib/ceph/mgr/ceph-x
monmaptool --create --addv a "[v2:$1:3300,v1:$1:6789]" --fsid "$(ceph-conf --lookup fsid)" --clobber /tmp/monmap
ceph-mon --mkfs -i a --monmap /tmp/monmap
setsid ceph-mon -i a -f < /dev/null >> /var/log/ceph/mon.out 2>&1 &
setsid ceph-mgr -i x -f < /dev/null >> /var/log/ceph/mgr.out 2>&1 &
`
	makeOSD = `set -eu
install -d /run/ceph "/var/lib/ceph/osd/ceph-$1"
uuid=$(cat /proc/sys/kernel/random/uuid)
test "$(ceph osd new "$uuid")" = "$1"
ceph-osd -i "$1" --mkfs --osd-uuid "$uuid"
`
	startOSD = `osd=$(ls /var/lib/ceph/osd)
setsid ceph-osd -i "${osd#ceph-}" -f < /dev/null >> /var/log/ceph/osd.out 2>&1 &
`
	stopOSD = `pid=$(pidof ceph-osd) || exit 0
kill "$pid"
while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
`
)

// TestCeph rolls the OSDs of three hosts by the shipped runbook, and shows the
// trap that its gate is for: for some seconds after an OSD has died the cluster
// still says that another can be stopped.
func TestCeph(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3, "ceph-osd-host", "ceph-osd.target", startOSD, stopOSD, "/var/log/ceph/osd.out", "ceph-mon", "ceph-mgr", "ceph-osd", "jq")
	startCeph(t, s)
	for _, m := range s.members {
		write(t, m, "/usr/local/sbin/went-on", "#!/bin/sh\nceph osd stat > /run/went-on\n", 0o755)
	}
	s.enrolAll("  went-on: [/usr/local/sbin/went-on]\n")
	s.describe("")

	// An OSD that hangs, as on a disk that dies, is noticed by the others after
	// twenty seconds. One that is killed is noticed sooner, and not at once either.
	last := s.members[2]
	hang := func() { signal(t, last, unix.SIGSTOP, "ceph-osd") }
	said := s.naiveGoesOn("ceph-ok-to-stop", hang)
	if !strings.Contains(said, "3 up") {
		t.Errorf("when the naive runbook went on the cluster said %q", said)
	}
	t.Logf("the naive runbook would have stopped a second OSD, while the cluster said %q", said)
	signal(t, last, unix.SIGCONT, "ceph-osd")
	clean(t, s)

	// The same for ours, which waits, and goes on by itself when that is mended.
	began := len(cephLog(t, s, "ceph.log"))
	s.rollWhole(hang, func(run string) {
		s.waitsFor(run, "osd.2 does not answer")
		must(t, s.members[0], "ceph-ok-to-stop") // the cluster has lied to this run too
		signal(t, last, unix.SIGCONT, "ceph-osd")
	})
	clean(t, s)
	if ups := inLog(cephLog(t, s, "ceph.log")[began:], `osdmap e\d+: 3 total, (\d) up`); !slices.Contains(ups, "2") || slices.Contains(ups, "1") {
		t.Errorf("so many OSDs were up: %q", ups)
	}
	flags := inLog(cephLog(t, s, "ceph.audit.log"), `"osd (set|unset)-group", "flags": "noout", "who": \["(s\d)"\]\}\]': finished`)
	if want := []string{"set s1", "unset s1", "set s2", "unset s2", "set s3", "unset s3"}; !slices.Equal(flags, want) {
		t.Errorf("noout was %q, want %q", flags, want)
	}
}

// startCeph makes the cluster, and a pool with a copy on each host.
func startCeph(t *testing.T, s *site) {
	t.Helper()
	first := s.members[0]
	for i, m := range s.members {
		write(t, m, "/etc/ceph/ceph.conf", fmt.Sprintf(cephConfig, first.Addr), 0o644)
		if i == 0 {
			must(t, m, "sh", "-c", startMonitor, "sh", m.Addr.String())
			until(t, m, time.Minute, "timeout", "10", "ceph", "status")
		}
		must(t, m, "sh", "-c", makeOSD, "sh", strconv.Itoa(i))
		must(t, m, "/usr/local/sbin/start-daemon")
	}
	must(t, first, "ceph", "osd", "pool", "create", "t", "8", "8")
	must(t, first, "ceph", "osd", "pool", "application", "enable", "t", "test")
	clean(t, s)
}

// clean waits until all is well, as each host says.
func clean(t testing.TB, s *site) {
	t.Helper()
	for _, m := range s.members {
		until(t, m, 2*time.Minute, "ceph-clean")
	}
	until(t, s.members[0], time.Minute, "sh", "-c", `ceph health | grep -qx HEALTH_OK || { ceph health detail; exit 1; }`)
}

func signal(t testing.TB, s *lab.Server, sig unix.Signal, process string) {
	t.Helper()
	if err := s.Signal(sig, process); err != nil {
		t.Fatal(err)
	}
}

// cephLog is what the monitor has written to a log of the whole cluster.
func cephLog(t testing.TB, s *site, name string) string {
	t.Helper()
	text, err := s.members[0].ReadFile("/var/log/ceph/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inLog is what the groups of an expression have found, one after the other.
func inLog(log, expression string) (found []string) {
	for _, groups := range regexp.MustCompile(expression).FindAllStringSubmatch(log, -1) {
		found = append(found, strings.Join(groups[1:], " "))
	}
	return found
}
