//go:build linux && e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"upkeep/internal/lab"
	"upkeep/internal/probe"
)

// restartLog is where a member notes each restart.
const restartLog = "/var/log/restarts.log"

// restartReplica is what each control node's owner lets runbooks run.
const restartReplica = `#!/bin/sh
echo "$(date +%s.%N) restart" >> ` + restartLog + `
if [ -e /run/replica.pid ]; then
	kill "$(cat /run/replica.pid)" && while kill -0 "$(cat /run/replica.pid)" 2>/dev/null; do sleep 0.05; done
fi
test ! -e /etc/broken || exit 0
setsid /usr/local/bin/replica :8090 < /dev/null > /dev/null 2>&1 &
echo $! > /run/replica.pid
`

const frontend = lab.Gateway + ":8080"

// TestRollingRestart is the maintenance of the first seed: a service three times
// behind a real HAProxy, restarted on each node in turn by the shipped runbook,
// and not one request goes unanswered; also if the control plane is killed after
// every step, by one that waits less.
func TestRollingRestart(t *testing.T) {
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	l := lab.New(t, 3, lab.Base{Programs: map[string]string{
		agentProgram: program, "/usr/local/bin/replica": lab.GoBuild(t, "upkeep/internal/e2e/replica"),
	}})
	p := startPlane(t, l, program, filepath.Join(t.TempDir(), "data"), planeAddress)
	l.Boot(t)
	for _, s := range l.Servers {
		write(t, s, "/usr/local/bin/restart-replica", restartReplica, 0o755)
		write(t, s, "/etc/upkeep/agent.yaml", "commands:\n  restart-api-extension: [/usr/local/bin/restart-replica]\n", 0o644)
		p.enrol(s)
		if out, err := s.Exec("/usr/local/bin/restart-replica"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	socket := startHAProxy(t, l)
	describeService(t, p, l, socket)
	(&site{plane: p}).upkeep("apply", "-f", "../../runbooks/api-extension-restart.yaml")

	load := startLoad(t, l)
	load.settle(t)

	// What there is to lose: all at once.
	var all sync.WaitGroup
	for _, s := range l.Servers {
		all.Go(func() { _, _ = s.Exec("/usr/local/bin/restart-replica") })
	}
	all.Wait()
	if failed := load.settle(t); failed == 0 {
		t.Error("three restarts at once cost nothing: this test can't fail")
	} else {
		t.Logf("all at once: %d requests failed", failed)
	}

	before := restarts(t, l.Servers)
	r := p.roll(t, "api-extension-restart")
	ended := p.waitRun(r, 3*time.Minute)
	t.Logf("%s\n%s", ended.Result.Text, p.story(r))
	if failed := load.settle(t); failed > 0 || ended.State != "succeeded" {
		t.Errorf("one after the other: %s, %d requests failed", ended.State, failed)
	}
	oneByOne(t, l.Servers, before)

	// The same, with the control plane killed whenever something was written down.
	before = restarts(t, l.Servers)
	r = p.roll(t, "quick-restart")
	kills := p.killAfterEachFact(t, r)
	ended = p.waitRun(r, 3*time.Minute)
	if failed := load.settle(t); failed > 0 || ended.State != "succeeded" {
		t.Errorf("with %d kills: %s, %d requests failed\n%s", kills, ended.State, failed, p.story(r))
	}
	oneByOne(t, l.Servers, before)
	t.Logf("%d kills of the control plane", kills)

	doesNotComeBack(t, p, l, load)
}

// doesNotComeBack: the run halts, two serve on; after repair it goes on there.
func doesNotComeBack(t *testing.T, p *plane, l *lab.Lab, load *load) {
	t.Helper()
	before := restarts(t, l.Servers)
	write(t, l.Servers[1], "/etc/broken", "", 0o644)
	r := p.roll(t, "quick-restart")
	poll(t, 3*time.Minute, "the run to halt", func() bool { return p.halted(r) != "" })
	if text := p.halted(r); !strings.Contains(text, "s2") || !strings.Contains(text, "resume") {
		t.Errorf("what it tells a person is %q", text)
	}
	if n := restarts(t, l.Servers); n[2] != before[2] {
		t.Errorf("s3 was restarted though s2 did not come back")
	}
	if err := l.Servers[1].Remove("/etc/broken"); err != nil {
		t.Fatal(err)
	}
	if out, err := l.Servers[1].Exec("/bin/sh", "-c", "rm -f /run/replica.pid; /usr/local/bin/restart-replica; sed -i '$d' "+restartLog); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.call("POST", "/v1/runs/"+r+"/resume", map[string]any{}, nil)
	ended := p.waitRun(r, 3*time.Minute)
	if failed := load.settle(t); failed > 0 || ended.State != "succeeded" {
		t.Errorf("after repair: %s, %d requests failed\n%s", ended.State, failed, p.story(r))
	}
	for i, n := range restarts(t, l.Servers) {
		if n != before[i]+1 {
			t.Errorf("%s was restarted %d times, want once", l.Servers[i].Name, n-before[i])
		}
	}
}

// startHAProxy starts a real HAProxy in front of the three, and returns the
// address of its runtime socket.
func startHAProxy(t *testing.T, l *lab.Lab) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "proxy") //nolint:usetesting // a socket's path has few bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	text := fmt.Sprintf(`global
  stats socket %s/sock level admin
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
  retries 3
  option redispatch
frontend api
  bind %s
  default_backend api_back
backend api_back
  option httpchk GET /healthcheck
  default-server check inter 500ms rise 2 fall 3
`, dir, frontend)
	for _, s := range l.Servers {
		text += fmt.Sprintf("  server %s %s:8090\n", s.Name, s.Addr)
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := l.Command(context.Background(), "haproxy", "-db", "-f", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return "unix:" + dir + "/sock"
}

// describeService tells of the three, and of a runbook with the steps of the
// shipped one that waits less and gives up sooner.
func describeService(t *testing.T, p *plane, l *lab.Lab, socket string) {
	t.Helper()
	var members []map[string]any
	for _, s := range l.Servers {
		members = append(members, map[string]any{"name": s.Name, "server": s.Name, "with": map[string]string{"url": "http://" + s.Addr.String() + ":8090"}})
	}
	p.call("PUT", "/v1/services/api", map[string]any{
		"quorum": 2, "with": map[string]string{"backend": "api_back"}, "members": members,
		"proxies": []map[string]any{{"name": "edge", "with": map[string]string{"socket": socket}}},
	}, nil)
	balance := func(name, state string) map[string]any {
		return map[string]any{"name": name, "kind": "balance", "on": "proxies", "estimate": "5s", "with": map[string]string{
			"proxy": "{{proxy.socket}}", "backend": "{{service.backend}}", "server": "{{member.name}}", "state": state,
		}}
	}
	health := map[string]string{"url": "{{member.url}}/healthcheck", "times": "2", "every": "100ms"}
	p.call("PUT", "/v1/runbooks/quick-restart", map[string]any{
		"maxUnavailable": 1, "budget": "5m",
		"prove": []map[string]any{{"name": "others-up", "kind": "http", "on": "others", "with": health, "estimate": "2s", "fresh": "10s", "settle": "1s"}},
		"member": map[string]any{
			"drain": []any{balance("drain", "drain")},
			"do":    []any{map[string]any{"name": "restart", "kind": "command", "on": "member", "command": "restart-api-extension", "estimate": "10s"}},
			"await": []any{map[string]any{"name": "alive", "kind": "http", "with": health, "estimate": "5s", "attempts": 12}},
			"ready": []any{balance("ready", "ready")},
		},
	}, nil)
}

func (p *plane) roll(t *testing.T, book string) string {
	t.Helper()
	var r runOf
	p.call("POST", "/v1/services/api/runs", map[string]any{"runbook": book, "duration": "1h", "reason": "PCO-1981"}, &r)
	return r.ID
}

func (p *plane) waitRun(id string, within time.Duration) (r runOf) {
	p.t.Helper()
	poll(p.t, within, "run "+id+" to end", func() bool {
		r = runOf{}
		p.call("GET", "/v1/runs/"+id, nil, &r)
		return r.State == "succeeded" || r.State == "failed" || r.State == "aborted"
	})
	return r
}

func (p *plane) halted(id string) string {
	var r struct{ Halt string }
	p.call("GET", "/v1/runs/"+id, nil, &r)
	return r.Halt
}

// killAfterEachFact kills the control plane whenever the run has got a new
// fact, until it has ended.
func (p *plane) killAfterEachFact(t *testing.T, id string) (kills int) {
	t.Helper()
	seen := 0
	poll(t, 4*time.Minute, "the run to end under kills", func() bool {
		facts := p.facts(id)
		if len(facts) == 0 || len(facts) == seen {
			return false
		}
		seen = len(facts)
		if facts[seen-1].Kind == "run.ended" {
			return true
		}
		p.kill()
		p.start()
		p.waitReady()
		kills++
		return false
	})
	return kills
}

// restarts is how often each member was restarted.
func restarts(t testing.TB, members []*lab.Server) (n []int) {
	t.Helper()
	for _, s := range members {
		n = append(n, len(restartTimes(t, s)))
	}
	return n
}

func restartTimes(t testing.TB, s *lab.Server) (at []float64) {
	t.Helper()
	text, err := s.ReadFile(restartLog)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var when float64
		if _, err := fmt.Sscan(line, &when); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		at = append(at, when)
	}
	return at
}

// oneByOne: each was restarted once, and never two within the time that one
// takes to come back.
func oneByOne(t testing.TB, members []*lab.Server, before []int) {
	t.Helper()
	var all []float64
	for i, s := range members {
		at := restartTimes(t, s)[before[i]:]
		if len(at) != 1 {
			t.Errorf("%s was restarted %d times", s.Name, len(at))
		}
		all = append(all, at...)
	}
	slices.Sort(all)
	for i := 1; i < len(all); i++ {
		if all[i]-all[i-1] < 2 {
			t.Errorf("two were restarted %f s apart", all[i]-all[i-1])
		}
	}
}

// load asks the service all the time, with a new connection for each request.
type load struct {
	mu    sync.Mutex
	total probe.Total
	quiet int // seconds in a row in which all was answered
	why   []string
}

const perSecond = 25

func startLoad(t *testing.T, l *lab.Lab) *load {
	t.Helper()
	d := &load{}
	ctx, stop := context.WithCancel(context.Background())
	var under sync.WaitGroup
	under.Go(func() {
		err := probe.Probe{Dial: l.DialContext}.Run(ctx, probe.Spec{
			Endpoints: []probe.Endpoint{{Name: "front", URL: "http://" + frontend + "/v3/projects"}}, Rate: perSecond, Slow: time.Second, Timeout: 10 * time.Second,
		}, d.note)
		if err != nil && ctx.Err() == nil {
			t.Errorf("the load ended: %v", err)
		}
	})
	t.Cleanup(func() { stop(); under.Wait() })
	return d
}

func (d *load) note(s probe.Second) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total.Add(s)
	d.quiet++
	if s.Unanswered+s.Failed > 0 {
		d.quiet = 0
		d.why = append(d.why, s.Why)
	}
}

// settle waits until the service has answered everything for some seconds,
// returns how many requests have gone unanswered or failed since the last call,
// and counts anew.
func (d *load) settle(t *testing.T) int {
	t.Helper()
	d.mu.Lock()
	d.quiet = 0
	d.mu.Unlock()
	poll(t, time.Minute, "the service to answer everything", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.quiet >= 3
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	t.Logf("%s %q", d.total, d.why)
	failed := d.total.Unanswered + d.total.Failed
	d.total, d.why = probe.Total{}, nil
	return failed
}
