package agent

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"

	"upkeep/internal/action"
)

// Owned is what the host's owner lets be run, by names of his own. Nothing
// else of it is ever taken from an order but values that he has declared.
type Owned struct {
	Commands   map[string]Command
	Units      []string // of systemd
	Containers Containers
	Playbooks  map[string]Playbook
}

// Command is a program with its arguments. In those, {{NAME}} is a place for
// the value of that name.
type Command struct {
	Run    []string         // the absolute path of a program, and its arguments; never a shell's text
	Values map[string]Value // by name
}

// Value is what a value must be, and what it is where an order gives none.
type Value struct {
	action.Rule
	Default *string // nil: an order must give one
}

// Limits of what the owner's file names.
const (
	maxCommands = 64
	maxValues   = 32      // of one command
	maxWords    = 256     // of one command
	maxWord     = 4 << 10 // bytes
)

var (
	commandName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	valueName   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,31}$`)
	place       = regexp.MustCompile(`\{\{([A-Za-z][A-Za-z0-9_]{0,31})\}\}`)
)

// command is what an order for a named command runs.
func (w Owned) command(o action.Order, file string) ([]string, error) {
	c, ok := w.Commands[o.Command]
	if !ok {
		return nil, Refuse("this host's owner has no command named %q: add the line \"%s: [/path/to/program, argument]\" below \"commands:\" in %s there, and restart its agent",
			o.Command, o.Command, file)
	}
	with, why := values(c.Values, o.With)
	if why != "" {
		return nil, Refuse("this host's owner runs %q otherwise: %s", o.Command, why)
	}
	argv := slices.Clone(c.Run)
	for i := range argv {
		argv[i], why = c.fill(argv[i], with)
		if why != "" {
			return nil, Refuse("this host's owner runs %q otherwise: %s", o.Command, why)
		}
	}
	return argv, nil
}

// Names lists the commands' names, sorted.
func (w Owned) Names() []string { return slices.Sorted(maps.Keys(w.Commands)) }

// Offers lists what is there beside commands without values, by kind and name.
func (w Owned) Offers() (all []action.Offer) {
	for _, name := range w.Names() {
		if c := w.Commands[name]; len(c.Values) > 0 {
			all = append(all, offer(action.Command, name, c.Values))
		}
	}
	for _, name := range slices.Sorted(slices.Values(w.Containers.Names)) {
		all = append(all, action.Offer{Kind: action.Container, Name: name})
	}
	for _, name := range slices.Sorted(maps.Keys(w.Playbooks)) {
		all = append(all, offer(action.Playbook, name, w.Playbooks[name].Values))
	}
	for _, name := range slices.Sorted(slices.Values(w.Units)) {
		all = append(all, action.Offer{Kind: action.Unit, Name: name})
	}
	return all
}

func offer(kind action.Kind, name string, declared map[string]Value) action.Offer {
	o := action.Offer{Kind: kind, Name: name}
	for _, v := range slices.Sorted(maps.Keys(declared)) {
		if declared[v].Default == nil {
			o.Needs = append(o.Needs, v)
		} else {
			o.May = append(o.May, v)
		}
	}
	return o
}

// values are an order's with the defaults of those that it does not give. why
// is what is wrong with the first of them that can't be.
func values(declared map[string]Value, given map[string]string) (all map[string]string, why string) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, known := declared[name]; !known {
			return nil, fmt.Sprintf("it takes no value %q", name)
		}
	}
	all = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		v := declared[name]
		value, ok := given[name]
		switch {
		case !ok && v.Default == nil:
			return nil, fmt.Sprintf("it needs the value %q", name)
		case !ok:
			value = *v.Default
		}
		if why := v.refuses(value); why != "" {
			return nil, fmt.Sprintf("the value %q %s", name, why)
		}
		all[name] = value
	}
	return all, ""
}

func (v Value) refuses(value string) string {
	if why := v.Refuses(value); why != "" {
		return why
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return "has a control character in it, such as a line's end"
	}
	return ""
}

// fill puts values into the places of one argument. A value never makes an
// option of an argument that the owner has not written as one, unless he has
// written down that very value.
func (c Command) fill(word string, with map[string]string) (filled, why string) {
	if c.Values == nil {
		return word, "" // what looks like a place is text, as it was before there were values
	}
	filled = place.ReplaceAllStringFunc(word, func(m string) string { return with[strings.Trim(m, "{}")] })
	first := place.FindStringIndex(word)
	if first == nil || first[0] > 0 || !strings.HasPrefix(filled, "-") {
		return filled, ""
	}
	name := strings.Trim(word[:first[1]], "{}")
	if slices.Contains(c.Values[name].Enum, with[name]) {
		return filled, ""
	}
	return "", fmt.Sprintf("with the value %q its argument %q would be an option", name, filled)
}

// commandText is how a command stands in the owner's file: a list, or a map.
type commandText struct {
	Run    []any                `yaml:"run"`
	Values map[string]valueText `yaml:"values"`
}

// valueText is how a value is declared there.
type valueText struct {
	Type    string `yaml:"type"`
	Pattern string `yaml:"pattern"`
	Enum    []any  `yaml:"enum"`
	Default any    `yaml:"default"`
}

// UnmarshalYAML reads either form.
func (t *commandText) UnmarshalYAML(text []byte) error {
	var list []any
	if err := yaml.Unmarshal(text, &list); err == nil {
		*t = commandText{Run: list}
		return nil
	}
	type plain commandText
	if err := yaml.UnmarshalWithOptions(text, (*plain)(t), yaml.DisallowUnknownField()); err != nil {
		return fmt.Errorf("each of the commands is a list, or a map with run and values: %w", err)
	}
	return nil
}

// commands reads the named commands. The error names the one to blame.
func commands(written map[string]commandText) (map[string]Command, error) {
	if len(written) > maxCommands {
		return nil, fmt.Errorf("%d are named, %d are possible", len(written), maxCommands)
	}
	var all map[string]Command
	for _, name := range slices.Sorted(maps.Keys(written)) {
		c, err := written[name].command(name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		if all == nil {
			all = map[string]Command{}
		}
		all[name] = c
	}
	return all, nil
}

func (t commandText) command(name string) (c Command, err error) {
	if c.Run, err = words(t.Run); err != nil {
		return c, err
	}
	if why := badCommand(name, c.Run); why != "" {
		return c, fmt.Errorf("%s", why)
	}
	if t.Values == nil {
		return c, nil
	}
	if c.Values, err = declared(t.Values); err != nil {
		return c, err
	}
	return c, c.whole()
}

// whole finds a place without a value, and a value without a place.
func (c Command) whole() error {
	if place.MatchString(c.Run[0]) {
		return fmt.Errorf("its program has a place in it: which program is run is not for an order to say")
	}
	used := map[string]bool{}
	for _, word := range c.Run {
		for _, m := range place.FindAllStringSubmatch(word, -1) {
			if _, ok := c.Values[m[1]]; !ok {
				return fmt.Errorf("%s is in its arguments and not in its values", m[0])
			}
			used[m[1]] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Values)) {
		if !used[name] {
			return fmt.Errorf("no argument has a place {{%s}} for its value %q", name, name)
		}
	}
	return nil
}

// declared reads what the owner says of values.
func declared(written map[string]valueText) (map[string]Value, error) {
	if len(written) > maxValues {
		return nil, fmt.Errorf("it has %d values, %d are possible", len(written), maxValues)
	}
	all := map[string]Value{}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		v, err := written[name].value(name)
		if err != nil {
			return nil, fmt.Errorf("value %q: %w", name, err)
		}
		all[name] = v
	}
	return all, nil
}

func (t valueText) value(name string) (Value, error) {
	enum, err := words(t.Enum)
	if err != nil {
		return Value{}, err
	}
	v := Value{Rule: action.Rule{Type: action.Type(t.Type), Pattern: t.Pattern, Enum: enum}}
	if t.Default != nil {
		one, err := words([]any{t.Default})
		if err != nil {
			return v, err
		}
		v.Default = &one[0]
	}
	if !valueName.MatchString(name) {
		return v, fmt.Errorf("a name is a letter, then up to 31 letters, digits and underscores")
	}
	if part, why := v.Wrong(); why != "" {
		return v, fmt.Errorf("%s: %s", part, why)
	}
	if v.Type == action.String && v.Pattern == "" && len(v.Enum) == 0 {
		return v, fmt.Errorf("a string needs a pattern or an enum: without one, whoever writes runbooks could say anything")
	}
	if v.Default != nil {
		if why := v.refuses(*v.Default); why != "" {
			return v, fmt.Errorf("its default %s", why)
		}
	}
	return v, nil
}

// words reads texts, and refuses what YAML would change on the way: it would
// hand on 010 as 8 and 1.50 as 1.5.
func words(written []any) (all []string, err error) {
	for _, word := range written {
		text, ok := word.(string)
		if !ok {
			return nil, fmt.Errorf("what YAML reads as %v is no text: write it in quotes", word)
		}
		all = append(all, text)
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
