package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"upkeep/internal/action"
	"upkeep/internal/fault"
)

// DefaultAllowFile is where the host's owner says what is allowed.
const DefaultAllowFile = "/etc/upkeep/agent.yaml"

// Allow is what the host's owner allows. The zero value allows everything that
// needs no name.
type Allow struct {
	Kinds         []action.Kind // nil: all. To observe is always allowed.
	Hold          []string      // packages, or patterns such as "linux-image-*", that are not touched
	RebootCommand []string      // nil: reboot
	DryRun        bool          // nothing is changed; the hands say what they would do

	Owned // what may be run here, by name
}

// LoadAllow reads the owner's file; without one, everything is allowed. An
// unknown key or word is an error that names it: a misspelt rule must not
// silently allow. Errors: invalid, internal (the file can't be read).
//
//	allow: [refresh, download, install, repair, restore, reboot, backup, command, check]
//	hold: [mariadb-server, "linux-image-*"]
//	rebootCommand: [systemctl, reboot]
//	dryRun: false
//	commands:
//	  stop-shop: [/usr/local/bin/shop, stop]
//	  healthy: [/usr/bin/curl, -fsS, "http://127.0.0.1/health"]
//	  set-image:
//	    run: [/usr/local/bin/shop, image, "{{image}}"]
//	    values: {image: {type: digest}}
//	units: [keystone.service]
//	containers: {engine: docker, names: [keystone]}
//	playbooks:
//	  upgrade: {file: /opt/ansible/upgrade.yml, inventory: /opt/ansible/hosts, values: {image: {type: digest}}}
func LoadAllow(file string) (Allow, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Allow{}, nil
	}
	if err != nil {
		return Allow{}, fault.Internal("read what is allowed", err)
	}
	defer f.Close()
	var text struct {
		Allow         *[]string               `yaml:"allow"`
		Hold          []string                `yaml:"hold"`
		RebootCommand []string                `yaml:"rebootCommand"`
		DryRun        bool                    `yaml:"dryRun"`
		Commands      map[string]commandText  `yaml:"commands"`
		Units         []string                `yaml:"units"`
		Containers    containersText          `yaml:"containers"`
		Playbooks     map[string]playbookText `yaml:"playbooks"`
	}
	err = yaml.NewDecoder(io.LimitReader(f, 1<<20), yaml.DisallowUnknownField()).Decode(&text)
	if err != nil && !errors.Is(err, io.EOF) {
		return Allow{}, fault.Invalid(file, "%v", err)
	}
	a := Allow{Hold: text.Hold, RebootCommand: text.RebootCommand, DryRun: text.DryRun}
	if text.Allow != nil {
		a.Kinds = []action.Kind{}
		for _, word := range *text.Allow {
			if !action.Kind(word).Valid() {
				return Allow{}, fault.Invalid(file, "allow: %q is none of %s", word, kindWords())
			}
			a.Kinds = append(a.Kinds, action.Kind(word))
		}
	}
	for _, pattern := range a.Hold {
		if _, err := path.Match(pattern, ""); err != nil {
			return Allow{}, fault.Invalid(file, "hold: %q: %v", pattern, err)
		}
	}
	if a.Commands, err = commands(text.Commands); err != nil {
		return Allow{}, fault.Invalid(file, "commands: %v", err)
	}
	if a.Units, err = units(text.Units); err != nil {
		return Allow{}, fault.Invalid(file, "units: %v", err)
	}
	if a.Containers, err = text.Containers.containers(); err != nil {
		return Allow{}, fault.Invalid(file, "containers: %v", err)
	}
	if a.Playbooks, err = playbooks(text.Playbooks); err != nil {
		return Allow{}, fault.Invalid(file, "playbooks: %v", err)
	}
	return a, nil
}

func kindWords() string {
	var words []string
	for _, k := range action.Kinds {
		words = append(words, string(k))
	}
	return strings.Join(words, ", ")
}

// Holds reports whether a package is not to be touched.
func (a Allow) Holds(name string) bool {
	bare, _, _ := strings.Cut(name, ":")
	for _, pattern := range a.Hold {
		for _, n := range []string{name, bare} {
			if ok, err := path.Match(pattern, n); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// forbids says why an order is not allowed; empty if it is.
func (a Allow) forbids(o action.Order) string {
	if a.Kinds != nil && o.Kind != action.Observe && !slices.Contains(a.Kinds, o.Kind) {
		if o.Kind.Names() {
			return fmt.Sprintf("this host's owner does not allow to run %q as a %s", o.Command, o.Kind)
		}
		if o.Kind.OnHost() {
			return fmt.Sprintf("this host's owner does not allow steps of the kind %s", o.Kind)
		}
		return fmt.Sprintf("this host's owner does not allow to %s", o.Kind)
	}
	for _, p := range o.Packages {
		if a.Holds(p.Name) {
			return fmt.Sprintf("this host's owner holds the package %s", p.Name)
		}
	}
	return ""
}

// held lists which packages are held: those that are named, and pending ones
// that a pattern meets.
func (a Allow) held(pending []action.Pending) []string {
	var names []string
	for _, h := range a.Hold {
		if !strings.ContainsAny(h, `*?[\`) {
			names = append(names, h)
		}
	}
	for _, p := range pending {
		if a.Holds(p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}
