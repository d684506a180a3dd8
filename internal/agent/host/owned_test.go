package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"upkeep/internal/action"
	"upkeep/internal/agent"
)

// standIn puts a stand-in for a program in front of the path. It writes its
// arguments down, one a line, and does what the script says; $0 is its folder.
func (o *owner) standIn(name, script string) {
	o.Helper()
	bin := filepath.Join(o.dir, "bin")
	text := "#!/bin/sh\nprintf '%s\\n' " + name + " \"$@\" >>" + o.dir + "/asked\ncd " + o.dir + "\n" + script + "\n"
	if err := os.MkdirAll(bin, 0o700); err != nil {
		o.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil {
		o.Fatal(err)
	}
	if path := os.Getenv("PATH"); !strings.HasPrefix(path, bin) {
		o.Setenv("PATH", bin+":"+path)
	}
}

func step(kind action.Kind, pairs ...string) action.Order {
	ord := order(kind, "")
	ord.Step, ord.With = string(kind), map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		ord.With[pairs[i]] = pairs[i+1]
	}
	return ord
}

// TestStandIns: units, containers and playbooks end as commands do. The
// programs are stand-ins; which arguments they get is told here.
func TestStandIns(t *testing.T) {
	three := "3"
	o := named(t, nil)
	o.owned.Units = []string{"keystone.service"}
	o.owned.Containers = agent.Containers{Engine: "docker", Names: []string{"keystone"}}
	o.owned.Playbooks = map[string]agent.Playbook{"upgrade": {File: "/opt/upgrade.yml", Inventory: "/opt/hosts", Values: map[string]agent.Value{
		"image": {Rule: action.Rule{Type: action.String, Pattern: `[a-z: "'{}]+`}},
		"count": {Rule: action.Rule{Type: action.Integer}, Default: &three},
		"fast":  {Rule: action.Rule{Type: action.Boolean}},
	}}}
	o.restart()
	o.standIn("systemctl", `test "$1" = restart || { echo Job for keystone.service failed >&2; exit 1; }`)
	o.standIn("docker", "")
	o.standIn("ansible-playbook", `echo "$LC_ALL"`)
	for _, c := range []struct {
		order       action.Order
		asked, says string
	}{
		{step(action.Unit, "unit", "keystone.service", "state", "restarted"), "systemctl restart -- keystone.service", ""},
		{step(action.Unit, "unit", "keystone.service", "state", "stopped"), "systemctl stop -- keystone.service", `systemctl for the unit "keystone.service" ended with exit code 1: Job for keystone.service failed`},
		{step(action.Container, "container", "keystone", "do", "restart", "wait", "1m"), "docker restart -t 60 keystone", ""},
		{step(action.Container, "container", "keystone", "do", "start"), "docker start keystone", ""},
		{
			step(action.Playbook, "playbook", "upgrade", "limit", "ctl1", "image", `a: "b' c`, "fast", "true"),
			`ansible-playbook --inventory /opt/hosts --limit ctl1 --extra-vars {"count":3,"fast":true,"image":"a: \"b' c"} /opt/upgrade.yml`, "",
		},
	} {
		c.order.Attempt = len(c.asked) // each has a key of its own
		_ = os.Remove(filepath.Join(o.dir, "asked"))
		if _, err := o.hands.Prepare(t.Context(), c.order); err != nil {
			t.Errorf("%v: %v", c.order.With, err)
		}
		r := o.begin(c.order)
		asked := strings.ReplaceAll(strings.TrimSpace(o.text("asked")), "\n", " ")
		if asked != c.asked || (r.Outcome == action.Done) != (c.says == "") || !strings.Contains(r.Reason, c.says) {
			t.Errorf("%v: it asked %s\n%+v", c.order.With, asked, r)
		}
		if c.order.Kind == action.Playbook && r.Output != "C.UTF-8\n" {
			t.Errorf("Ansible refuses the encoding of %q", r.Output)
		}
	}
}

// TestUnitSurvivesTheAgent: what systemctl does goes on when the agent is
// killed, and is asked for once.
func TestUnitSurvivesTheAgent(t *testing.T) {
	o := named(t, nil)
	o.owned.Units = []string{"keystone.service"}
	o.restart()
	o.standIn("systemctl", `read x <gate; echo restarted $x`)
	gate := filepath.Join(o.dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	ord := step(action.Unit, "unit", "keystone.service", "state", "restarted")
	o.kill(ord, "asked")
	if err := os.WriteFile(gate, []byte("well\n"), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r := o.adopt(ord); r.Outcome != action.Done || r.Output != "restarted well\n" || strings.Count(o.text("asked"), "systemctl") != 1 {
			t.Errorf("%+v, asked %q", r, o.text("asked"))
		}
	}
}
