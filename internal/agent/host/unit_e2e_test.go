//go:build linux && e2e

package host_test

import (
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
)

// unitFiles are services of the kinds that there are: one that takes its time,
// one that does not start, one that can't be reloaded and does not listen.
var unitFiles = map[string]string{
	"web.service": `[Service]
Type=exec
ExecStart=/bin/sleep infinity
ExecReload=/bin/sh -c "echo reloaded >>/var/log/web"
`,
	"broken.service": `[Service]
Type=oneshot
ExecStart=/bin/sh -c "echo the disk is not mounted >&2; exit 3"
`,
	"slow.service": `[Service]
Type=exec
ExecStartPre=/bin/sh -c "echo begun >>/var/log/slow; cat /run/gate"
ExecStart=/bin/sleep infinity
`,
	"deaf.service": `[Service]
Type=exec
TimeoutStopSec=1
ExecStart=/bin/sh -c "trap '' TERM; while :; do sleep 1; done"
`,
	"lost.service": `[Service]
Type=exec
ExecStart=/usr/bin/lost
`,
	"silent.service": `[Service]
Type=oneshot
ExecStart=/bin/sh -c "kill -9 $$$$"
`,
	"worker@.service": `[Service]
Type=exec
ExecStart=/bin/sleep infinity
`,
}

const unitsFile = `units: [web.service, broken.service, lost.service, silent.service, slow.service, deaf.service, worker@3.service, masked.service, missing.service]
`

// TestUnit lets an agent bring the units of a real systemd into states.
func TestUnit(t *testing.T) {
	t.Parallel()
	r, _ := newReal(t, 1, unitsFile)
	for name, text := range unitFiles {
		write(t, r.Server, "/etc/systemd/system/"+name, text, 0o644)
	}
	must(t, r.Server, "systemctl", "daemon-reload")
	must(t, r.Server, "systemctl", "mask", "masked.service")
	must(t, r.Server, "mkfifo", "/run/gate")
	unit := func(name, state string) action.Order {
		return r.order(action.Unit, "unit", name, "state", state)
	}
	shows := func(name, property, want string) string {
		t.Helper()
		got := strings.TrimSpace(must(t, r.Server, "systemctl", "show", "--value", "-p", property, name))
		if want != "" && got != want {
			t.Errorf("%s: %s is %q, want %q", name, property, got, want)
		}
		return got
	}

	r.carryOut(unit("web.service", "started"), action.Done)
	first := shows("web.service", "MainPID", "")
	r.carryOut(unit("web.service", "started"), action.Done)
	shows("web.service", "MainPID", first)
	r.carryOut(unit("web.service", "reloaded"), action.Done)
	if lines(r.Server, "/var/log/web") != 1 {
		t.Error("it was not reloaded once")
	}
	shows("web.service", "MainPID", first)
	r.carryOut(unit("web.service", "restarted"), action.Done)
	if shows("web.service", "MainPID", "") == first {
		t.Error("it was not restarted")
	}
	r.carryOut(unit("web.service", "stopped"), action.Done)
	shows("web.service", "ActiveState", "inactive")
	r.carryOut(unit("web.service", "reloaded"), action.Failed, "web.service", "not active")
	r.carryOut(unit("worker@3.service", "restarted"), action.Done)
	r.carryOut(unit("worker@3.service", "reloaded"), action.Failed, "worker@3.service", "not applicable")
	r.carryOut(unit("deaf.service", "started"), action.Done)
	r.carryOut(unit("deaf.service", "stopped"), action.Done)
	shows("deaf.service", "ActiveState", "failed")

	r.carryOut(unit("broken.service", "restarted"), action.Failed, "broken.service", "the disk is not mounted")
	r.carryOut(unit("lost.service", "started"), action.Failed, "lost.service", "/usr/bin/lost: No such file")
	r.carryOut(unit("silent.service", "started"), action.Failed, "silent.service", "status=9/KILL")
	r.carryOut(unit("masked.service", "restarted"), action.Failed, "masked.service is masked")
	r.carryOut(unit("missing.service", "restarted"), action.Failed, "missing.service not found")
	r.carryOut(unit("missing.service", "stopped"), action.Failed, "missing.service not loaded")

	slow := unit("slow.service", "restarted")
	a := r.killed(slow, func() bool { return lines(r.Server, "/var/log/slow") == 1 }, func() {
		must(t, r.Server, "sh", "-c", "echo go >/run/gate")
	})
	r.expect(slow, a, action.Done)
	shows("slow.service", "ActiveState", "active")
	if n := lines(r.Server, "/var/log/slow"); n != 1 {
		t.Errorf("it was started %d times", n)
	}
	tooLong := unit("slow.service", "restarted")
	tooLong.Timeout = 5 * time.Second
	r.carryOut(tooLong, action.Failed, "was stopped after 5s", "still be under way")
	shows("slow.service", "ActiveState", "activating")
}
