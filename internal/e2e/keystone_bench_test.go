//go:build linux && e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
)

// BenchmarkKeystone restarts a real Keystone on three nodes in the ways that
// people do it, one after the other on the same machine, under the same load:
// all at once, one by one on the health check, with Ansible and HAProxy, and by
// the shipped runbook, with what was foretold beside it. Run several times, it
// shows how the forecast learns.
func BenchmarkKeystone(b *testing.B) {
	r := newRegion(b)
	r.prepareAnsible()
	bare := r.bare()
	m := startMix(b, r.l, benchRate(b))
	b.Run("Bare", func(b *testing.B) {
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(bare.Seconds(), "s")
	})
	b.Run("AtOnce", func(b *testing.B) { figures(b, m.during(b, r.restartAll)) })
	b.Run("OneByOne", func(b *testing.B) {
		figures(b, m.during(b, func() {
			for _, s := range r.nodes {
				r.restart(s)
				r.awaitHealthy(s)
			}
		}))
	})
	b.Run("Ansible", func(b *testing.B) {
		figures(b, m.during(b, func() {
			must(r.t, r.edge, "env", "LC_ALL=C.UTF-8", "sh", "-c", "cd /root/roll && ansible-playbook -i hosts roll.yml")
		}))
	})
	b.Run("Upkeep", func(b *testing.B) {
		foretold := r.foretell()
		var id string
		figures(b, m.during(b, func() { id = r.roll() }))
		r.compare(b, id, foretold)
	})
}

func benchRate(b *testing.B) int {
	rate, err := strconv.Atoi(cmp.Or(os.Getenv("UPKEEP_BENCH_RATE"), "50"))
	if err != nil || rate < 1 {
		b.Fatalf("UPKEEP_BENCH_RATE is no number of requests per second: %q", os.Getenv("UPKEEP_BENCH_RATE"))
	}
	return rate
}

func figures(b *testing.B, a answers) {
	b.Helper()
	b.Log(a)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(a.took.Seconds(), "s")
	for unit, n := range map[string]int{"sent": a.sent, "failed": a.failed, "unanswered": a.unanswered, "slow": a.slow} {
		b.ReportMetric(float64(n), unit)
	}
	b.ReportMetric(float64(a.rank(50).Milliseconds()), "p50-ms")
	b.ReportMetric(float64(a.rank(99).Milliseconds()), "p99-ms")
}

// bare is the physical limit: how long the three take one after the other from
// being told to stop until they answer, with nobody asking them anything.
func (r *region) bare() (sum time.Duration) {
	for _, s := range r.nodes {
		from := time.Now()
		r.restart(s)
		r.awaitHealthy(s)
		sum += time.Since(from)
	}
	return sum
}

// The playbook is one that a careful operator would write: it looks whether the
// others are well, drains, waits for the sessions, does not take an open port
// for readiness, and ends at the first host that does not come back.
const (
	ansibleConf = `[defaults]
inventory = hosts
gathering = explicit
[ssh_connection]
pipelining = True
`
	ansibleHosts = `[ctl]
ctl1 ansible_host=10.77.1.1
ctl2 ansible_host=10.77.1.2
ctl3 ansible_host=10.77.1.3
`
	ansiblePlay = `- hosts: ctl
  serial: 1
  gather_facts: false
  any_errors_fatal: true
  vars:
    haproxy: socat -t5 - TCP:` + edgeSocket + `
    backend: keystone_internal_back
  tasks:
    - name: the others answer
      ansible.builtin.uri:
        url: "http://{{ hostvars[item].ansible_host }}:5000/healthcheck"
      loop: "{{ groups['ctl'] | difference([inventory_hostname]) }}"
      delegate_to: localhost
    - name: drain
      ansible.builtin.shell: echo "set server {{ backend }}/{{ inventory_hostname }} state drain" | {{ haproxy }}
      delegate_to: localhost
    - name: no session is left
      ansible.builtin.shell: echo "show stat" | {{ haproxy }} | awk -F, '$1=="{{ backend }}" && $2=="{{ inventory_hostname }}" {print $5}'
      register: sessions
      until: sessions.stdout == "0"
      retries: 60
      delay: 1
      changed_when: false
      delegate_to: localhost
    - name: restart
      ansible.builtin.command: /usr/local/bin/restart-keystone
    - name: it answers
      ansible.builtin.uri:
        url: "http://{{ ansible_host }}:5000/healthcheck"
        timeout: 5
      register: health
      until: health.status == 200
      retries: 120
      delay: 1
      delegate_to: localhost
    - name: ready
      ansible.builtin.shell: echo "set server {{ backend }}/{{ inventory_hostname }} state ready" | {{ haproxy }}
      delegate_to: localhost
    - name: HAProxy says that it is up
      ansible.builtin.shell: echo "show stat" | {{ haproxy }} | awk -F, '$1=="{{ backend }}" && $2=="{{ inventory_hostname }}" {print $18}'
      register: state
      until: state.stdout is match("UP")
      retries: 60
      delay: 1
      changed_when: false
      delegate_to: localhost
`
)

// prepareAnsible lets the edge, where Ansible runs, log in to the nodes.
func (r *region) prepareAnsible() {
	r.t.Helper()
	must(r.t, r.edge, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519")
	key := must(r.t, r.edge, "cat", "/root/.ssh/id_ed25519.pub")
	for _, s := range r.nodes {
		write(r.t, s, "/root/.ssh/authorized_keys", key, 0o600)
		must(r.t, s, "chmod", "700", "/root/.ssh")
		must(r.t, s, "install", "-d", "/run/sshd")
		must(r.t, s, "/usr/sbin/sshd", "-o", "UsePAM=no", "-o", "UseDNS=no")
	}
	must(r.t, r.edge, "sh", "-c", "ssh-keyscan -t ed25519 10.77.1.1 10.77.1.2 10.77.1.3 >/root/.ssh/known_hosts")
	for name, text := range map[string]string{"ansible.cfg": ansibleConf, "hosts": ansibleHosts, "roll.yml": ansiblePlay} {
		write(r.t, r.edge, "/root/roll/"+name, text, 0o644)
	}
}

// foretell is what the command line foretells, by the step's title, and in all.
func (r *region) foretell() map[string]time.Duration {
	r.t.Helper()
	var sim struct {
		Steps []struct {
			Title      string
			Start, End time.Time
		}
		End time.Time
	}
	if err := json.Unmarshal([]byte(r.upkeep("simulate", "keystone", "keystone-restart", "--duration", "1h", "-o", "json")), &sim); err != nil {
		r.t.Fatal(err)
	}
	foretold := map[string]time.Duration{}
	for _, s := range sim.Steps {
		foretold[s.Title] += s.End.Sub(s.Start)
	}
	foretold[inAll] = sim.End.Sub(sim.Steps[0].Start)
	return foretold
}

const inAll = "in all"

// compare reads the run's own record: how long each step took beside what was
// foretold, and how much of the whole neither a hand was at work nor the runbook
// wanted to wait.
func (r *region) compare(b *testing.B, id string, foretold map[string]time.Duration) {
	b.Helper()
	made, answers := r.record(id)
	facts := r.p.facts(id)
	slices.SortFunc(facts, func(x, y factOf) int { return cmp.Compare(x.Seq, y.Seq) })
	began, ended := facts[0].At, facts[len(facts)-1].At
	steps := made.Plan.Root.Steps()

	var busy []stretch
	var hands time.Duration
	for key, a := range answers {
		busy = append(busy, stretch{a.Started, a.Finished, key})
		hands += a.Took()
	}
	var asked time.Duration
	for _, s := range steps {
		first := answers[action.Order{Run: id, Step: s.ID, Attempt: 1}.Key()]
		last := first
		for n := 2; ; n++ {
			again, ok := answers[action.Order{Run: id, Step: s.ID, Attempt: n}.Key()]
			if !ok {
				break
			}
			busy = append(busy, stretch{last.Finished, again.Started, "between attempts of " + s.ID})
			asked += again.Started.Sub(last.Finished)
			last = again
		}
		b.Logf("%-28s foretold %6.1f s, took %6.1f s", s.Title, foretold[s.Title].Seconds(), last.Finished.Sub(first.Started).Seconds())
		if s.Phase == plan.PhaseReady {
			busy = append(busy, stretch{last.Finished, last.Finished.Add(made.Book.Runbook.Prove[0].Settle), "settles"})
		}
	}
	idle, gaps := uncovered(busy, began, ended)
	for _, g := range gaps {
		b.Log(g)
	}
	b.Logf("in all: foretold %s, took %s: hands at work %s, between attempts %s, own %s over %d steps and %d orders",
		foretold[inAll], ended.Sub(began), hands, asked, idle, len(steps), len(answers))
	b.ReportMetric(foretold[inAll].Seconds(), "foretold-s")
	b.ReportMetric(float64(idle.Microseconds())/1000/float64(len(steps)), "own-ms/step")
	b.ReportMetric(float64(idle.Microseconds())/1000/float64(len(answers)), "own-ms/order")
}

// stretch is a while in which the run waited for something that is not Upkeep.
type stretch struct {
	from, to time.Time
	what     string
}

// uncovered is how much of the time between two instants no stretch covers,
// and where that was.
func uncovered(all []stretch, from, to time.Time) (sum time.Duration, gaps []string) {
	slices.SortFunc(all, func(x, y stretch) int { return x.from.Compare(y.from) })
	at := from
	gap := func(until time.Time, what string) {
		if d := until.Sub(at); d > 0 {
			sum += d
			gaps = append(gaps, fmt.Sprintf("%7.1f ms before %s", float64(d.Microseconds())/1000, what))
		}
	}
	for _, s := range all {
		if s.from.After(to) {
			break
		}
		gap(s.from, s.what)
		if s.to.After(at) {
			at = s.to
		}
	}
	gap(to, "the end")
	return sum, gaps
}

// record reads a run and the answers to its orders from the database, while
// the control plane is off.
func (r *region) record(id string) (made run.Run, answers map[string]action.Result) {
	r.t.Helper()
	r.p.kill()
	db, err := sqlite.Open(context.Background(), filepath.Join(r.p.dir, "upkeep.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	err = db.View(context.Background(), func(tx store.Tx) (err error) {
		if made, err = tx.Run(id); err != nil {
			return err
		}
		answers, err = tx.Answers(id)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.p.start()
	r.p.waitReady()
	return made, answers
}
