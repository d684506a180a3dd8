package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/action"
)

// Containers are those that may be restarted, stopped and started.
type Containers struct {
	Engine string // docker or podman
	Names  []string
}

// Playbook is one of Ansible's that may be run from this host.
type Playbook struct {
	File      string // absolute
	Inventory string // absolute
	Values    map[string]Value
}

// Limits of what the owner's file names.
const maxOwned = 256

var (
	unitName      = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,200}\.(service|socket|target|timer|path|mount|slice)$`)
	containerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)
	// limit is names of hosts or groups, nothing of what else Ansible reads there:
	// no patterns, no @file.
	limit = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(,[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)
)

// verbs are systemctl's for the states of a step.
var verbs = map[string]string{"restarted": "restart", "reloaded": "reload", "started": "start", "stopped": "stop"}

// Argv is what an order runs. Its error is a refusal. file is where the owner
// writes what he allows.
func (w Owned) Argv(o action.Order, file string) (argv []string, err error) {
	switch o.Kind {
	case action.Unit:
		argv, err = w.unit(o.With)
	case action.Container:
		argv, err = w.container(o.With)
	case action.Playbook:
		argv, err = w.playbook(o.With)
	default:
		return w.command(o, file)
	}
	if err != nil {
		return nil, Refuse("%v; it is written in %s there", err, file)
	}
	return argv, nil
}

func (w Owned) unit(with map[string]string) ([]string, error) {
	if err := knows(with, "unit", "state"); err != nil {
		return nil, err
	}
	name, verb := with["unit"], verbs[with["state"]]
	switch {
	case !slices.Contains(w.Units, name):
		return nil, fmt.Errorf("this host's owner does not let the unit %q be touched", name)
	case verb == "":
		return nil, fmt.Errorf("the state of a unit is restarted, reloaded, started or stopped, not %q", with["state"])
	}
	return []string{"systemctl", verb, "--", name}, nil
}

func (w Owned) container(with map[string]string) ([]string, error) {
	if err := knows(with, "container", "do", "wait"); err != nil {
		return nil, err
	}
	name, do, wait := with["container"], with["do"], with["wait"]
	switch {
	case !slices.Contains(w.Containers.Names, name):
		return nil, fmt.Errorf("this host's owner does not let the container %q be touched", name)
	case do != "restart" && do != "stop" && do != "start":
		return nil, fmt.Errorf("what is done to a container is restart, stop or start, not %q", do)
	case wait == "":
		return []string{w.Containers.Engine, do, name}, nil
	case do == "start":
		return nil, fmt.Errorf("wait is how long a container may take to stop, and it is only started")
	}
	d, err := time.ParseDuration(wait)
	if err != nil || d < time.Second || d > time.Hour {
		return nil, fmt.Errorf("wait must be a duration from 1s to 1h, not %q", wait)
	}
	return []string{w.Containers.Engine, do, "-t", strconv.Itoa(int(d / time.Second)), name}, nil
}

func (w Owned) playbook(with map[string]string) ([]string, error) {
	name := with["playbook"]
	p, ok := w.Playbooks[name]
	if !ok {
		return nil, fmt.Errorf("this host's owner does not let the playbook %q be run", name)
	}
	argv := []string{"ansible-playbook", "--inventory", p.Inventory}
	if hosts, ok := with["limit"]; ok {
		if !limit.MatchString(hosts) {
			return nil, fmt.Errorf("the limit of a playbook is names of hosts or groups with commas between, not %q", hosts)
		}
		argv = append(argv, "--limit", hosts)
	}
	given := maps.Clone(with)
	delete(given, "playbook")
	delete(given, "limit")
	all, why := values(p.Values, given)
	if why != "" {
		return nil, fmt.Errorf("this host's owner runs the playbook %q otherwise: %s", name, why)
	}
	if len(all) > 0 {
		text, err := extra(p.Values, all)
		if err != nil {
			return nil, err
		}
		argv = append(argv, "--extra-vars", text)
	}
	return append(argv, p.File), nil
}

// extra are values as Ansible takes them without reading anything into them:
// JSON, numbers as numbers. It would fill in braces, and so run code.
func extra(declared map[string]Value, values map[string]string) (string, error) {
	all := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if strings.Contains(value, "{{") || strings.Contains(value, "{%") || strings.Contains(value, "{#") {
			return "", fmt.Errorf("the value %q has braces in it that Ansible would fill in", name)
		}
		switch declared[name].Type {
		case action.Integer:
			all[name] = json.Number(value)
		case action.Boolean:
			all[name] = value == "true"
		case action.String, action.Duration, action.Digest:
			all[name] = value
		}
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// knows refuses a value that a kind of step does not have.
func knows(with map[string]string, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(with)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%q is nothing that it knows; known are %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// containersText and playbookText are how they stand in the owner's file.
type (
	containersText struct {
		Engine string   `yaml:"engine"`
		Names  []string `yaml:"names"`
	}
	playbookText struct {
		File      string               `yaml:"file"`
		Inventory string               `yaml:"inventory"`
		Values    map[string]valueText `yaml:"values"`
	}
)

func units(names []string) ([]string, error) {
	if len(names) > maxOwned {
		return nil, fmt.Errorf("%d are named, %d are possible", len(names), maxOwned)
	}
	for _, name := range names {
		if !unitName.MatchString(name) {
			return nil, fmt.Errorf("%q is no unit's whole name, such as keystone.service", name)
		}
	}
	return names, nil
}

func (t containersText) containers() (Containers, error) {
	switch {
	case t.Engine != "docker" && t.Engine != "podman" && (t.Engine != "" || len(t.Names) > 0):
		return Containers{}, fmt.Errorf("engine must be docker or podman, not %q", t.Engine)
	case len(t.Names) > maxOwned:
		return Containers{}, fmt.Errorf("%d are named, %d are possible", len(t.Names), maxOwned)
	}
	for _, name := range t.Names {
		if !containerName.MatchString(name) {
			return Containers{}, fmt.Errorf("%q is no container's name", name)
		}
	}
	return Containers(t), nil
}

func playbooks(written map[string]playbookText) (all map[string]Playbook, err error) {
	if len(written) > maxCommands {
		return nil, fmt.Errorf("%d are named, %d are possible", len(written), maxCommands)
	}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		p, err := written[name].playbook(name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		if all == nil {
			all = map[string]Playbook{}
		}
		all[name] = p
	}
	return all, nil
}

func (t playbookText) playbook(name string) (p Playbook, err error) {
	if !commandName.MatchString(name) {
		return p, errors.New("a name has 1 to 63 small letters, digits, dots, dashes and underscores, and begins with a letter or a digit")
	}
	for _, file := range []string{t.File, t.Inventory} {
		if !path.IsAbs(file) || path.Clean(file) != file {
			return p, fmt.Errorf("file and inventory must be absolute paths, not %q", file)
		}
	}
	p.File, p.Inventory = t.File, t.Inventory
	for _, taken := range []string{"playbook", "limit"} {
		if _, ok := t.Values[taken]; ok {
			return p, fmt.Errorf("%q can't be the name of a value: it is the step's own", taken)
		}
	}
	if len(t.Values) > 0 {
		p.Values, err = declared(t.Values)
	}
	return p, err
}
