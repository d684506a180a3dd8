//go:build linux && e2e

package host_test

import (
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/lab"
)

const managersFile = `playbooks:
  everybody: {file: /opt/ansible/everybody.yml, inventory: /opt/ansible/hosts}
  upgrade:
    file: /opt/ansible/upgrade.yml
    inventory: /opt/ansible/hosts
    values:
      image: {type: string, pattern: "[a-z:0-9. ']+"}
      count: {type: integer}
      fast: {type: boolean, default: "false"}
  migrate: {file: /opt/ansible/migrate.yml, inventory: /opt/ansible/hosts}
  slow: {file: /opt/ansible/slow.yml, inventory: /opt/ansible/hosts}
  hushed: {file: /opt/ansible/hushed.yml, inventory: /opt/ansible/hosts}
  copies: {file: /opt/ansible/copies.yml, inventory: /opt/ansible/hosts}
  broken: {file: /opt/ansible/broken.yml, inventory: /opt/ansible/hosts}
`

// The playbooks are of the kind that a manager's owner has. What they did is
// written down on the hosts.
var playbookFiles = map[string]string{
	"hosts": `[ctl]
ctl1 ansible_host=10.77.1.2
ctl2 ansible_host=10.77.1.3
[off]
ctl3 ansible_host=10.77.1.99
`,
	"upgrade.yml": `- hosts: ctl
  gather_facts: false
  serial: 1
  tasks:
    - name: upgrade
      ansible.builtin.lineinfile: {path: /var/log/upgraded, create: true, line: "{{ image }} {{ count + 1 }} {{ fast | ternary('fast', 'slow') }}"}
`,
	"everybody.yml": `- hosts: all
  gather_facts: false
  tasks:
    - {name: look, ansible.builtin.command: "true"}
`,
	"migrate.yml": `- hosts: ctl
  gather_facts: false
  tasks:
    - name: look whether it may
      ansible.builtin.command: "false"
      ignore_errors: true
    - name: migrate the database
      ansible.builtin.command: /usr/local/bin/migrate
`,
	"slow.yml": `- hosts: ctl1
  gather_facts: false
  tasks:
    - name: note
      ansible.builtin.shell: echo x >>/var/log/slow
    - name: wait
      ansible.builtin.shell: cat /run/gate
`,
	"hushed.yml": `- hosts: ctl1
  gather_facts: false
  tasks:
    - name: set the password
      ansible.builtin.command: sh -c 'echo secret >&2; exit 1'
      no_log: true
`,
	"copies.yml": `- hosts: ctl1
  gather_facts: false
  tasks:
    - name: copy each
      ansible.builtin.shell: echo {{ item }} is not there; exit 1
      loop: [keys, rows]
`,
	"broken.yml": `- hosts: ctl1
  gather_facts: false
  tasks:
    - ansible.builtin.no_such_module: {}
`,
}

// TestPlaybook lets a manager's agent run Debian's Ansible over ssh on two
// hosts.
func TestPlaybook(t *testing.T) {
	t.Parallel()
	r, l := newReal(t, 3, managersFile)
	hosts := l.Servers[1:]
	logIn(t, r.Server, hosts)
	for name, text := range playbookFiles {
		write(t, r.Server, "/opt/ansible/"+name, text, 0o644)
	}
	write(t, hosts[0], "/usr/local/bin/migrate", "#!/bin/sh\ntrue\n", 0o755)
	write(t, hosts[1], "/usr/local/bin/migrate", "#!/bin/sh\necho begun\necho the database is locked >&2\nexit 3\n", 0o755)
	playbook := func(name string, pairs ...string) action.Order {
		return r.order(action.Playbook, append([]string{"playbook", name}, pairs...)...)
	}

	upgrade := func(limit ...string) action.Order {
		return playbook("upgrade", append(limit, "image", "ks: it's 1.2", "count", "7")...)
	}
	r.carryOut(upgrade("limit", "ctl2"), action.Done)
	if lines(hosts[0], "/var/log/upgraded") != 0 {
		t.Error("ctl1 was touched, and the limit is ctl2")
	}
	r.carryOut(upgrade(), action.Done)
	for _, s := range hosts {
		if got := must(t, s, "cat", "/var/log/upgraded"); got != "ks: it's 1.2 8 slow\n" {
			t.Errorf("%s has %q", s.Name, got)
		}
	}
	// Ansible itself counts it as well that it has found nobody, or not all.
	r.carryOut(upgrade("limit", "off"), action.Failed, "found no host")
	r.carryOut(upgrade("limit", "ctl1,ctl9"), action.Failed, "ctl9")
	r.carryOut(upgrade("limit", "ctl9"), action.Failed, "ctl9")

	r.carryOut(playbook("migrate"), action.Failed, "migrate the database", "ctl2", "the database is locked")
	hushed := r.carryOut(playbook("hushed"), action.Failed, "set the password", "ctl1")
	if strings.Contains(hushed.Reason+hushed.Output, "secret") {
		t.Errorf("what no_log hides is told: %+v", hushed)
	}
	r.carryOut(playbook("copies"), action.Failed, `"copy each" failed on ctl1`, "keys is not there", "rows is not there")
	r.carryOut(playbook("broken"), action.Failed, "no_such_module", "'/opt/ansible/broken.yml': line 4")

	again := playbook("slow")
	must(t, hosts[0], "mkfifo", "/run/gate")
	a := r.killed(again, func() bool { return lines(hosts[0], "/var/log/slow") == 1 }, func() {
		must(t, hosts[0], "sh", "-c", "echo go >/run/gate")
	})
	r.expect(again, a, action.Done)
	if n := lines(hosts[0], "/var/log/slow"); n != 1 {
		t.Errorf("it ran %d times", n)
	}

	r.carryOut(playbook("everybody"), action.Failed, `ctl3 was unreachable in "look"`, "No route to host")
	tooLong := playbook("slow")
	tooLong.Timeout = 15 * time.Second
	r.carryOut(tooLong, action.Failed, "was stopped after 15s", `its last task was "wait"`)
}

// logIn lets the manager log in to the hosts.
func logIn(t *testing.T, manager *lab.Server, hosts []*lab.Server) {
	t.Helper()
	must(t, manager, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519")
	key := must(t, manager, "cat", "/root/.ssh/id_ed25519.pub")
	for _, s := range hosts {
		write(t, s, "/root/.ssh/authorized_keys", key, 0o600)
		must(t, s, "chmod", "700", "/root/.ssh")
		must(t, manager, "sh", "-c", "ssh-keyscan -t ed25519 "+s.Addr.String()+" >>/root/.ssh/known_hosts")
	}
}
