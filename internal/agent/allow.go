package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"upkeep/internal/action"
	"upkeep/internal/fault"
)

// DefaultAllowFile is where the host's owner says what is allowed.
const DefaultAllowFile = "/etc/upkeep/agent.yaml"

// Limits of what the owner's file names.
const (
	maxCommands = 64
	maxWords    = 256     // of one command
	maxWord     = 4 << 10 // bytes
)

var commandName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Allow is what the host's owner allows. The zero value allows everything that
// needs no name.
type Allow struct {
	Kinds         []action.Kind // nil: all. To observe is always allowed.
	Hold          []string      // packages, or patterns such as "linux-image-*", that are not touched
	RebootCommand []string      // nil: reboot
	DryRun        bool          // nothing is changed; the hands say what they would do

	// Commands are the only ones that backups, commands and checks run: by
	// name, the absolute path of a program and its arguments.
	Commands map[string][]string
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
		Allow         *[]string        `yaml:"allow"`
		Hold          []string         `yaml:"hold"`
		RebootCommand []string         `yaml:"rebootCommand"`
		DryRun        bool             `yaml:"dryRun"`
		Commands      map[string][]any `yaml:"commands"`
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
	return a, nil
}

// commands reads the named commands. The error names the one to blame.
func commands(written map[string][]any) (map[string][]string, error) {
	if len(written) > maxCommands {
		return nil, fmt.Errorf("%d are named, %d are possible", len(written), maxCommands)
	}
	var all map[string][]string
	for _, name := range slices.Sorted(maps.Keys(written)) {
		var argv []string
		for _, word := range written[name] {
			text, ok := word.(string)
			if !ok {
				// YAML would hand on 010 as 8 and 1.50 as 1.5.
				return nil, fmt.Errorf("%q: what YAML reads as %v is no text: write it in quotes", name, word)
			}
			argv = append(argv, text)
		}
		if why := badCommand(name, argv); why != "" {
			return nil, fmt.Errorf("%q: %s", name, why)
		}
		if all == nil {
			all = map[string][]string{}
		}
		all[name] = argv
	}
	return all, nil
}

// badCommand says what is wrong with a named command; empty if nothing is.
func badCommand(name string, argv []string) string {
	switch {
	case !commandName.MatchString(name):
		return "a name has 1 to 63 small letters, digits, dots, dashes and underscores, and begins with a letter or a digit"
	case len(argv) == 0:
		return "it has no program: write [/path/to/program, argument]"
	case !path.IsAbs(argv[0]) || path.Clean(argv[0]) != argv[0]:
		return fmt.Sprintf("its program %q is no absolute path, such as /usr/local/bin/%s", argv[0], name)
	case len(argv) > maxWords:
		return fmt.Sprintf("it has %d words, %d are possible", len(argv), maxWords)
	}
	for _, word := range argv {
		switch {
		case len(word) > maxWord:
			return fmt.Sprintf("an argument has %d bytes, %d are possible", len(word), maxWord)
		case strings.ContainsRune(word, 0):
			return "an argument has a zero byte in it, which no program can be given"
		}
	}
	return ""
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
