//go:build linux && e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// The same small Ceph with a monitor and an OSD on each of three servers, and a
// manager on two. There is one version to be had, so what runs at first is made
// to look older: copies of Ceph's programs say another number of themselves. What
// is started later says the true one, as after an upgrade of packages.
const (
	cephReleaseConfig = cephConfig + `[mon]
mon debug no require pacific = true
`
	olderCeph = `set -eu
install -d /opt/older
for file in /usr/lib/*/ceph/libceph-common.so.2 /usr/bin/ceph-mon /usr/bin/ceph-mgr /usr/bin/ceph-osd; do
	LC_ALL=C sed 's/16\.2\.15/16.2.14/g' "$file" > "/opt/older/${file##*/}"
done
chmod a+x /opt/older/ceph-*
`
	makeMonitor = `set -eu
install -d /run/ceph
monmaptool --create --addv s1 "[v2:$1:3300,v1:$1:6789]" --addv s2 "[v2:$2:3300,v1:$2:6789]" --addv s3 "[v2:$3:3300,v1:$3:6789]" \
	--fsid "$(ceph-conf --lookup fsid)" --clobber /tmp/monmap
ceph-mon --mkfs -i "$(hostname -s)" --monmap /tmp/monmap
`
	startCephDaemon = `name=$(hostname -s)
if [ "$1" = osd ]; then
	name=$(ls /var/lib/ceph/osd)
	name=${name#ceph-}
fi
[ ! -e "/etc/older-$1" ] || export LD_LIBRARY_PATH=/opt/older PATH="/opt/older:$PATH"
setsid "ceph-$1" -i "$name" -f < /dev/null >> /var/log/ceph/out 2>&1 &
`
	stopCephDaemon = `pid=$(pidof "ceph-$1") || exit 0
kill "$pid"
while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
`
	// systemctlCeph stands in for the real one: it restarts all daemons of a kind,
	// and as the real one of a target, does not say whether they came up.
	systemctlCeph = `#!/bin/sh
set -eu
case "$*" in
"restart -- ceph-mon.target" | "restart -- ceph-mgr.target" | "restart -- ceph-osd.target") ;;
*)
	echo "stand-in for systemctl: asked for: $*" >&2
	exit 64
	;;
esac
kind=${3#ceph-}
date +%s.%N >> "/var/log/restarts-${kind%.target}"
/usr/local/sbin/stop-daemon "${kind%.target}"
/usr/local/sbin/start-daemon "${kind%.target}"
`
)

// TestCephRelease takes a real cluster through the three parts of a release by
// the shipped runbooks: monitors, managers, OSDs. In each of them something does
// not come back once, while Ceph still says for some seconds that it is there.
// The runbooks wait less for what does not come back, and between two hosts.
func TestCephRelease(t *testing.T) {
	t.Parallel()
	s := newCephRelease(t)
	rollMonitors(t, s)
	rollManagers(t, s)
	rollOSDs(t, s)
}

// rollMonitors: the second monitor can't be started again.
func rollMonitors(t *testing.T, s *site) {
	t.Helper()
	s.upkeep("apply", "-f", hastened(t, "ceph-mon", "attempts: 2, estimate: 10s, timeout: 5m", "attempts: 1, estimate: 10s, timeout: 20s"))
	second := s.members[1]
	must(t, second, "chmod", "a-x", "/usr/bin/ceph-mon")
	seen := observe(t, s.members[0], "quorum_status", `"\(now) \(.election_epoch) \(.quorum_names | length)"`)
	run := s.rollBook("ceph-mon")

	poll(t, 2*time.Minute, "the second monitor to be restarted", func() bool { return len(lines(t, second, "/var/log/restarts-mon")) == 1 })
	if said := cephSays(t, s, ".quorum_names | length", "quorum_status"); said != "3" {
		t.Errorf("when a monitor has just died %s are in quorum: the gate would not be needed", said)
	}
	s.haltsAt(t, run, "s2 quorum-again failed", "mon.s2 does not answer")
	if said := cephSays(t, s, `.quorum_names | join(" ")`, "quorum_status"); said != "s1 s3" {
		t.Errorf("when the run has halted in quorum are %q", said)
	}
	kindRestarted(t, s, "mon", 1, 1, 0)
	must(t, second, "chmod", "a+x", "/usr/bin/ceph-mon")
	must(t, second, "/usr/local/sbin/start-daemon", "mon")
	until(t, second, time.Minute, "ceph-quorum", "3")
	s.upkeep("resume", "cluster")
	s.waitSuccess(run)

	kindRestarted(t, s, "mon", 1, 1, 1)
	quorumBetween(t, s, seen())
	must(t, second, "ceph-versions", "mon", "pacific")
}

// quorumBetween: two were in quorum all the while, and between two restarts a new
// quorum was made of all three.
func quorumBetween(t *testing.T, s *site, seen [][]float64) {
	t.Helper()
	if len(seen) < 20 {
		t.Fatalf("it was asked %d times only", len(seen))
	}
	for _, one := range seen {
		if one[2] < 2 {
			t.Errorf("at %f there were %v in quorum", one[0], one[2])
		}
	}
	restarts := kindTimes(t, s, "mon")
	for i, at := range restarts {
		before, after := 0.0, 0.0 // the newest election before, and of all three until the next restart
		for _, one := range seen {
			switch {
			case one[0] < at:
				before = one[1]
			case one[2] == 3 && (i == len(restarts)-1 || one[0] < restarts[i+1]):
				after = one[1]
			}
		}
		if after <= before {
			t.Errorf("after restart %d of %v no quorum of three was made before the next: elections %v and %v", i+1, restarts, before, after)
		}
	}
	t.Logf("asked %d times: two or three in quorum", len(seen))
}

// rollManagers: the manager at work, on the first host, can't be started again.
func rollManagers(t *testing.T, s *site) {
	t.Helper()
	s.upkeep("apply", "-f", hastened(t, "ceph-mgr", "attempts: 2, estimate: 10s, timeout: 5m", "attempts: 1, estimate: 10s, timeout: 20s"))
	first := s.members[0]
	must(t, first, "chmod", "a-x", "/usr/bin/ceph-mgr")
	seen := observe(t, s.members[2], "mgr dump", `"\(now) \(if .available then .active_gid else 0 end) \(.standbys | length)"`)
	run := s.rollBook("ceph-mgr", "--param", "release=pacific")

	poll(t, time.Minute, "the first manager to be restarted", func() bool { return len(lines(t, first, "/var/log/restarts-mgr")) == 1 })
	if said := cephSays(t, s, `"\(.available) \(.active_name)"`, "mgr", "stat"); said != "true s1" {
		t.Errorf("when a manager has just died the cluster says %q: the gate would not be needed", said)
	}
	s.haltsAt(t, run, "s1 available-again failed", "mgr.s1 does not answer")
	kindRestarted(t, s, "mgr", 1, 0, 0)
	must(t, first, "chmod", "a+x", "/usr/bin/ceph-mgr")
	must(t, first, "/usr/local/sbin/start-daemon", "mgr")
	s.upkeep("resume", "cluster")
	s.waitSuccess(run)

	kindRestarted(t, s, "mgr", 1, 1, 0)
	oneAtWorkBetween(t, s, seen())
	must(t, first, "ceph-versions", "mgr", "pacific")
}

// oneAtWorkBetween: before the second manager was restarted, the first was there
// again, and one of both was at work. Numbers grow with each start.
func oneAtWorkBetween(t *testing.T, s *site, seen [][]float64) {
	t.Helper()
	restarts := kindTimes(t, s, "mgr")
	newest := []float64{}
	first := seen[0][1]
	for _, one := range seen {
		if one[0] < restarts[1] {
			newest = one
		}
	}
	if newest[1] == 0 || newest[1] == first || newest[2] != 1 {
		t.Errorf("before the second restart number %v was at work, %v stood by; at first it was number %v", newest[1], newest[2], first)
	}
	if last := seen[len(seen)-1]; last[1] == 0 || last[2] != 1 {
		t.Errorf("at last number %v is at work, and %v stand by", last[1], last[2])
	}
	t.Logf("asked %d times", len(seen))
}

// rollOSDs: the first OSD does not come up. The run is aborted, once while it
// waits for it and once when it has halted. Then it goes through, but the last
// host has the older version, and nothing is required before it has the new one.
func rollOSDs(t *testing.T, s *site) {
	t.Helper()
	s.upkeep("apply", "-f", hastened(t, "ceph-release", "settle: 30s", "settle: 5s", "attempts: 2, estimate: 2m, timeout: 25m", "attempts: 1, estimate: 10s, timeout: 20s"))
	first, last := s.members[0], s.members[2]
	broken := func() string {
		had := len(lines(t, first, "/var/log/restarts-osd"))
		must(t, first, "chmod", "a-x", "/usr/bin/ceph-osd")
		run := s.rollBook("ceph-release", "--param", "release=pacific")
		poll(t, time.Minute, "the first OSD to be restarted", func() bool { return len(lines(t, first, "/var/log/restarts-osd")) > had })
		flagged(t, s, "s1", true)
		return run
	}
	mend := func() {
		must(t, first, "chmod", "a+x", "/usr/bin/ceph-osd")
		must(t, first, "/usr/local/sbin/start-daemon", "osd")
	}

	run := broken()
	s.upkeep("abort", run)
	mend()
	if r := s.waitRun(run, time.Minute); r.State != "aborted" || strings.Contains(r.Result.Text, "still out") {
		t.Errorf("aborted while the OSD was awaited: %s, %s", r.State, r.Result.Text)
	}
	flagged(t, s, "s1", false)

	run = broken()
	s.haltsAt(t, run, "s1 clean-again failed", "osd.0 does not answer")
	s.upkeep("abort", run)
	if r := s.waitRun(run, time.Minute); r.State != "aborted" || !strings.Contains(r.Result.Text, "still out") || !strings.Contains(r.Result.Text, "s1") {
		t.Errorf("aborted when it had halted: %s, %s", r.State, r.Result.Text)
	}
	flagged(t, s, "s1", true)
	mend()
	until(t, first, time.Minute, "ceph-clean")
	must(t, first, "sh", "-c", "ceph-noout unset; ceph osd unset nodeep-scrub") // as the head of the runbook says
	flagged(t, s, "s1", false)

	write(t, last, "/etc/older-osd", "", 0o644)
	run = s.rollBook("ceph-release", "--param", "release=pacific")
	s.haltsAt(t, run, "1 osd: ceph version 16.2.14", "not every osd runs the same version of pacific")
	kindRestarted(t, s, "osd", 3, 1, 1)
	flagged(t, s, "s3", false)
	if err := last.Remove("/etc/older-osd"); err != nil {
		t.Fatal(err)
	}
	must(t, last, "/usr/local/sbin/stop-daemon", "osd")
	must(t, last, "/usr/local/sbin/start-daemon", "osd")
	until(t, last, time.Minute, "ceph-versions", "osd", "pacific")
	s.upkeep("resume", "cluster")
	s.waitsFor(run, "until a person approves it")
	if said := cephSays(t, s, ".require_osd_release", "osd", "dump"); said != "octopus" {
		t.Errorf("before it is approved the cluster requires %s", said)
	}
	s.upkeep("approve", "cluster", "g1.require.s3")
	s.waitSuccess(run)
	if said := cephSays(t, s, ".require_osd_release", "osd", "dump"); said != "pacific" {
		t.Errorf("at last the cluster requires %s", said)
	}
	kindRestarted(t, s, "osd", 3, 1, 1)
	clean(t, s)
}

// newCephRelease makes the cluster and what Upkeep knows of it.
func newCephRelease(t *testing.T) *site {
	t.Helper()
	s := newSite(t, 3, "ceph-mon", "ceph", startCephDaemon, stopCephDaemon, "/var/log/ceph/out", "ceph-mon", "ceph-mgr", "ceph-osd", "jq")
	var addrs []string
	own := "units: [ceph-mon.target, ceph-mgr.target, ceph-osd.target]\n"
	service := "kind: Service\nname: cluster\nquorum: 2\nmembers:\n"
	for i, m := range s.members {
		addrs = append(addrs, m.Addr.String())
		service += fmt.Sprintf("  - {name: %s, server: %[1]s, labels: {mon: \"yes\"%s}}\n", m.Name, []string{`, mgr: "yes"`, `, mgr: "yes"`, ""}[i])
	}
	for _, m := range s.members {
		write(t, m, "/usr/bin/systemctl", systemctlCeph, 0o755)
		write(t, m, "/etc/ceph/ceph.conf", fmt.Sprintf(cephReleaseConfig, strings.Join(addrs, ",")), 0o644)
		must(t, m, "sh", "-c", olderCeph)
		for _, kind := range []string{"mon", "mgr", "osd"} {
			write(t, m, "/etc/older-"+kind, "", 0o644)
		}
		must(t, m, "sh", append([]string{"-c", makeMonitor, "sh"}, addrs...)...)
		must(t, m, "/usr/local/sbin/start-daemon", "mon")
	}
	until(t, s.members[0], time.Minute, "ceph-quorum", "3")
	for i, m := range s.members {
		if i < 2 {
			must(t, m, "install", "-d", "/var/lib/ceph/mgr/ceph-"+m.Name)
			must(t, m, "/usr/local/sbin/start-daemon", "mgr")
			until(t, m, time.Minute, "ceph-mgr-available")
		}
		must(t, m, "sh", "-c", makeOSD, "sh", strconv.Itoa(i))
		must(t, m, "/usr/local/sbin/start-daemon", "osd")
		for _, kind := range []string{"mon", "mgr", "osd"} {
			if err := m.Remove("/etc/older-" + kind); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, m := range s.members {
		until(t, m, time.Minute, "ceph-clean")
	}
	for _, book := range []string{"ceph-mgr", "ceph-release"} {
		own = strings.TrimPrefix(ownersCommands(t, book), "commands:\n") + own
	}
	s.enrolAll(own)
	s.apply(service)
	t.Logf("%s", must(t, s.members[0], "ceph", "versions"))
	return s
}

// hastened is a file with a shipped runbook that waits less: what is said first
// is replaced by what is said next, wherever it stands, and so on.
func hastened(t testing.TB, book string, oldnew ...string) (file string) {
	t.Helper()
	text, err := os.ReadFile("../../runbooks/" + book + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(string(text), oldnew[i]) {
			t.Fatalf("%s does not say %q", book, oldnew[i])
		}
	}
	file = filepath.Join(t.TempDir(), book+".yaml")
	if err := os.WriteFile(file, []byte(strings.NewReplacer(oldnew...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// observe asks the cluster the same all the while, and keeps what jq makes of
// it, numbers with the time first. What it returns ends that, and returns them.
func observe(t *testing.T, m *lab.Server, ask, figures string) (stop func() [][]float64) {
	t.Helper()
	cmd, err := m.Command(t.Context(), "sh", "-c", `rm -f /run/enough
until [ -e /run/enough ]; do
	timeout 15 ceph --connect-timeout 10 $0 -f json 2>/dev/null | jq -rn "input | $1" 2>/dev/null || date '+%s 0 0'
	sleep 0.5
done`, ask, figures)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (seen [][]float64) {
		t.Helper()
		write(t, m, "/run/enough", "", 0o644)
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			seen = append(seen, numbers(t, strings.Fields(line)))
		}
		return seen
	}
}

func numbers(t *testing.T, words []string) (all []float64) {
	t.Helper()
	for _, word := range words {
		n, err := strconv.ParseFloat(word, 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// cephSays is what jq makes of what the cluster says.
func cephSays(t *testing.T, s *site, figure string, ask ...string) string {
	t.Helper()
	return must(t, s.members[0], "sh", append([]string{"-c", `figure=$1; shift; timeout 20 ceph "$@" -f json 2>/dev/null | jq -r "$figure"`, "sh", figure}, ask...)...)
}

// haltsAt waits until a run has halted, and checks that this is said, to who asks
// and in the history, with what to do.
func (s *site) haltsAt(t *testing.T, run string, why ...string) {
	t.Helper()
	var r struct{ State, Halt string }
	poll(t, 3*time.Minute, "the run to halt", func() bool {
		s.call("GET", "/v1/runs/"+run, nil, &r)
		return r.Halt != "" || r.State == "succeeded"
	})
	if r.Halt == "" {
		t.Fatalf("it has gone through, and had to halt: %s", s.story(run))
	}
	said := s.upkeep("why", "cluster")
	for _, want := range append(why, `"upkeep resume cluster"`) {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if history := s.upkeep("history", "cluster"); !strings.Contains(history, why[len(why)-1]) || !strings.Contains(history, "resume") {
		t.Errorf("the history does not say %q and what to do:\n%s", why[len(why)-1], history)
	}
}

// kindTimes are when daemons of a kind were restarted, on any host, oldest first.
func kindTimes(t *testing.T, s *site, kind string) (at []float64) {
	t.Helper()
	for _, m := range s.members {
		at = append(at, numbers(t, lines(t, m, "/var/log/restarts-"+kind))...)
	}
	slices.Sort(at)
	return at
}

func kindRestarted(t *testing.T, s *site, kind string, want ...int) {
	t.Helper()
	for i, m := range s.members {
		if n := len(lines(t, m, "/var/log/restarts-"+kind)); n != want[i] {
			t.Errorf("the %s of %s was restarted %d times, want %d", kind, m.Name, n, want[i])
		}
	}
}

// flagged checks that the flags are set which a host that is out has, or none.
func flagged(t *testing.T, s *site, host string, want bool) {
	t.Helper()
	said := cephSays(t, s, `"\(.flags | contains("nodeep-scrub")) \(.crush_node_flags | tojson)"`, "osd", "dump")
	expected := "false {}"
	if want {
		expected = fmt.Sprintf(`true {"%s":["noout"]}`, host)
	}
	if said != expected {
		t.Errorf("the flags are %s, want %s", said, expected)
	}
}
