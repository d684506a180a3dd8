package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/wire"
)

// load reads an owner's file.
func load(t *testing.T, text string) (Allow, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadAllow(file)
}

const shop = `commands:
  restart: [/usr/bin/shop, restart, "{{ state }}", "{{image}}"]
  set-image:
    run: [/usr/bin/shop, "--image={{image}}", "{{count}}", "{{mode}}", "of {{name}}, {{name}}"]
    values:
      image: {type: digest}
      count: {type: integer, default: "3"}
      mode: {type: string, enum: [fast, --slow, ""], default: fast}
      name: {type: string, pattern: "[a-z{}$();\n-]*"}
`

// TestArgv: what a value can become on a host, and what it can't.
func TestArgv(t *testing.T) {
	a, err := load(t, shop)
	if err != nil {
		t.Fatal(err)
	}
	image := "sha256:" + strings.Repeat("a", 64)
	with := func(pairs ...string) map[string]string {
		all := map[string]string{"image": image, "name": "red"}
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = pairs[i+1]
		}
		return all
	}
	without := with()
	delete(without, "image")
	for _, c := range []struct {
		command string
		with    map[string]string
		argv    []string
		says    string
	}{
		{"restart", nil, []string{"/usr/bin/shop", "restart", "{{ state }}", "{{image}}"}, ""},
		{"restart", map[string]string{"image": image}, nil, `it takes no value "image"`},
		{"start", nil, nil, `no command named "start"`},
		{"set-image", with(), []string{"/usr/bin/shop", "--image=" + image, "3", "fast", "of red, red"}, ""},
		{"set-image", with("mode", "--slow"), []string{"/usr/bin/shop", "--image=" + image, "3", "--slow", "of red, red"}, ""},
		{"set-image", with("mode", ""), []string{"/usr/bin/shop", "--image=" + image, "3", "", "of red, red"}, ""},
		// Nothing is filled in twice, and no shell sees it.
		{"set-image", with("name", "{{mode}}$();-"), []string{"/usr/bin/shop", "--image=" + image, "3", "fast", "of {{mode}}$();-, {{mode}}$();-"}, ""},
		{"set-image", with("count", "-1"), nil, `its argument "-1" would be an option`},
		{"set-image", with("count", "1 2"), nil, "a whole number"},
		{"set-image", with("mode", "slow"), nil, "one of fast, --slow"},
		{"set-image", with("name", "Red"), nil, "text that matches"},
		{"set-image", with("name", "a\nb"), nil, "control character"},
		{"set-image", with("name", strings.Repeat("a", action.MaxValue+1)), nil, "4097 bytes"},
		{"set-image", with("image", "latest"), nil, "64 hex digits"},
		{"set-image", with("colour", "red"), nil, `it takes no value "colour"`},
		{"set-image", without, nil, `it needs the value "image"`},
		{"set-image", nil, nil, `it needs the value "image"`},
	} {
		argv, err := a.Argv(action.Order{Kind: action.Command, Command: c.command, With: c.with}, "agent.yaml")
		if c.says == "" && (err != nil || !slices.Equal(argv, c.argv)) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s %q: %q, %v", c.command, c.with, argv, err)
		}
	}
	if offers := a.Offers(); len(offers) != 1 || offers[0].Name != "set-image" || !slices.Equal(offers[0].Needs, []string{"image", "name"}) || !slices.Equal(offers[0].May, []string{"count", "mode"}) {
		t.Errorf("%+v", offers)
	}
}

func TestDeclarations(t *testing.T) {
	for text, word := range map[string]string{
		`{values: {}}`:                                                                           "no program",
		`{run: [/bin/a, "{{x}}"], values: {}}`:                                                   "not in its values",
		`{run: [/bin/a], values: {x: {type: integer}}}`:                                          "no argument has a place {{x}}",
		`{run: [/bin/a, "{{x}}"], values: {x: {type: string}}}`:                                  "needs a pattern or an enum",
		`{run: [/bin/a, "{{x}}"], values: {x: {type: text}}}`:                                    "must be string",
		`{run: [/bin/a, "{{x}}"], values: {x: {}}}`:                                              "must be string",
		`{run: [/bin/a, "{{x}}"], values: {x: {type: string, pattern: "("}}}`:                    "pattern",
		`{run: [/bin/a, "{{x}}"], values: {x: {type: integer, pattern: "1"}}}`:                   "strings only",
		`{run: [/bin/a, "{{x}}"], values: {x: {type: integer, default: 010}}}`:                   "quotes",
		`{run: [/bin/a, "{{x}}"], values: {x: {type: string, enum: [1.50]}}}`:                    "quotes",
		`{run: [/bin/a, "{{x}}"], values: {x: {type: integer, default: "x"}}}`:                   "its default must be",
		`{run: [/bin/a, "{{x}}"], values: {x: {type: integer, colour: red}}}`:                    "colour",
		`{run: [/bin/a, "{{x}}"], values: {"x y": {type: integer}}}`:                             "a name is a letter",
		`{run: ["/bin/{{x}}"], values: {x: {type: string, enum: [a]}}}`:                          "its program has a place",
		`{run: [/bin/a], value: {}}`:                                                             "value",
		`{run: [/bin/a, 010]}`:                                                                   "quotes",
		`{run: [/bin/a, "{{x}}"], values: {x: {type: string, pattern: "[a-z]*", default: "X"}}}`: "its default must be",
	} {
		if _, err := load(t, "commands:\n  c: "+text+"\n"); !fault.Is(err, fault.KindInvalid) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

const cloud = `units: [keystone.service, haproxy.service]
containers: {engine: podman, names: [keystone]}
playbooks:
  upgrade: {file: /opt/upgrade.yml, inventory: /opt/hosts, values: {image: {type: digest}, note: {type: string, pattern: ".*", default: ""}}}
  restart: {file: /opt/restart.yml, inventory: /opt/hosts}
`

// TestWhatTheOwnerDoesNotAllow: units, containers and playbooks by their exact
// names, and nothing in their values that would be read as more than a value.
func TestWhatTheOwnerDoesNotAllow(t *testing.T) {
	a, err := load(t, cloud)
	if err != nil {
		t.Fatal(err)
	}
	image := "sha256:" + strings.Repeat("a", 64)
	for _, c := range []struct {
		kind action.Kind
		says string
		with []string
	}{
		{action.Unit, "", []string{"unit", "haproxy.service", "state", "reloaded"}},
		{action.Unit, `let the unit "haproxy" be touched`, []string{"unit", "haproxy", "state", "reloaded"}},
		{action.Unit, `not "masked"`, []string{"unit", "haproxy.service", "state", "masked"}},
		{action.Unit, `"now" is nothing that it knows`, []string{"unit", "haproxy.service", "state", "started", "now", "1"}},
		{action.Container, "", []string{"container", "keystone", "do", "stop", "wait", "1m"}},
		{action.Container, `let the container "nova" be touched`, []string{"container", "nova", "do", "stop"}},
		{action.Container, `not "rm"`, []string{"container", "keystone", "do", "rm"}},
		{action.Container, "from 1s to 1h", []string{"container", "keystone", "do", "stop", "wait", "-1s"}},
		{action.Container, "only started", []string{"container", "keystone", "do", "start", "wait", "1s"}},
		{action.Playbook, "", []string{"playbook", "upgrade", "image", image, "limit", "ctl1,ctl2.example"}},
		{action.Playbook, "", []string{"playbook", "restart"}},
		{action.Playbook, `let the playbook "site" be run`, []string{"playbook", "site"}},
		{action.Playbook, "names of hosts", []string{"playbook", "restart", "limit", "@/etc/shadow"}},
		{action.Playbook, "names of hosts", []string{"playbook", "restart", "limit", "all:!ctl1"}},
		{action.Playbook, "names of hosts", []string{"playbook", "restart", "limit", ""}},
		{action.Playbook, "names of hosts", []string{"playbook", "restart", "limit", "-v"}},
		{action.Playbook, `takes no value "image"`, []string{"playbook", "restart", "image", image}},
		{action.Playbook, `needs the value "image"`, []string{"playbook", "upgrade"}},
		{action.Playbook, "64 hex digits", []string{"playbook", "upgrade", "image", "latest"}},
		{action.Playbook, "Ansible would fill in", []string{"playbook", "upgrade", "image", image, "note", "{{ lookup('pipe', 'id') }}"}},
		{action.Playbook, "Ansible would fill in", []string{"playbook", "upgrade", "image", image, "note", "{% set x = 1 %}"}},
	} {
		with := map[string]string{}
		for i := 0; i < len(c.with); i += 2 {
			with[c.with[i]] = c.with[i+1]
		}
		argv, err := a.Argv(action.Order{Kind: c.kind, With: with}, "agent.yaml")
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s %q: %q, %v", c.kind, c.with, argv, err)
		}
	}
	for text, word := range map[string]string{
		"units: [keystone]\n":                                                               "whole name",
		"units: [\"-H.service\"]\n":                                                         "whole name",
		"containers: {names: [keystone]}\n":                                                 "docker or podman",
		"containers: {engine: lxc, names: [keystone]}\n":                                    "docker or podman",
		"containers: {engine: docker, names: [\"--all\"]}\n":                                "no container's name",
		"containers: {engine: docker, name: [a]}\n":                                         "name",
		"playbooks: {a: {file: a.yml, inventory: /i}}\n":                                    "absolute",
		"playbooks: {a: {file: /a.yml}}\n":                                                  "absolute",
		"playbooks: {A: {file: /a.yml, inventory: /i}}\n":                                   "1 to 63",
		"playbooks: {a: {file: /a.yml, inventory: /i, values: {limit: {type: integer}}}}\n": "the step's own",
		"playbooks: {a: {file: /a.yml, inventory: /i, values: {x: {type: string}}}}\n":      "pattern or an enum",
	} {
		if _, err := load(t, text); !fault.Is(err, fault.KindInvalid) || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v", text, err)
		}
	}
	var offers []string
	for _, o := range a.Offers() {
		offers = append(offers, string(o.Kind)+" "+o.Name)
	}
	if got := strings.Join(offers, ", "); got != "container keystone, playbook restart, playbook upgrade, unit haproxy.service, unit keystone.service" {
		t.Error(got)
	}
}

// TestValuesOnTheWire: an agent of before values does not know the kind of an
// order that has some, and so never runs the command without them.
func TestValuesOnTheWire(t *testing.T) {
	o := action.Order{Run: "r", Step: "s", Attempt: 1, Kind: action.Command, Command: "set-image"}
	if w := wire.FromOrder(o, 0); w.Kind != "command" {
		t.Errorf("without values it is as it was, not %q", w.Kind)
	}
	o.With = map[string]string{"image": "x"}
	w := wire.FromOrder(o, 0)
	if action.Kind(w.Kind).Valid() || w.Order().Kind != action.Command || w.Order().With["image"] != "x" {
		t.Errorf("%+v, back %+v", w, w.Order())
	}
}
