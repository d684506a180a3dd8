package runbook

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/fault"
)

// Check refuses a value that the parameter can't have.
func (p Param) Check(value string) error {
	field := "params." + p.Name
	bad := func(what string) error { return fault.Invalid(field, "must be %s, not %q", what, value) }
	switch {
	case len(value) > MaxValue:
		return fault.Invalid(field, "has %d bytes, %d may be", len(value), MaxValue)
	case strings.Contains(value, "{{") || strings.ContainsRune(value, 0):
		return fault.Invalid(field, "must not have double braces or a NUL in it")
	case len(p.Enum) > 0 && !slices.Contains(p.Enum, value):
		return bad("one of " + strings.Join(p.Enum, ", "))
	}
	switch p.Type {
	case Integer:
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			return bad("a whole number")
		}
	case Boolean:
		if value != "true" && value != "false" {
			return bad("true or false")
		}
	case Duration:
		if d, err := time.ParseDuration(value); err != nil || d < 0 {
			return bad("a duration such as 90s")
		}
	case Digest:
		if !digest.MatchString(value) {
			return bad("sha256: and 64 hex digits")
		}
	case String:
		if p.Pattern != "" && !regexp.MustCompile(`^(?:`+p.Pattern+`)$`).MatchString(value) {
			return bad("text that matches " + p.Pattern)
		}
	}
	return nil
}

// Values are those that a run is given, with defaults where it is given none.
// It blames the first that is missing, unknown, or can't be.
func (b Book) Values(given map[string]string) (map[string]string, error) {
	all := map[string]string{}
	for _, p := range b.Params {
		value, ok := given[p.Name]
		switch {
		case !ok && p.Required:
			return nil, fault.Invalid("params."+p.Name, "is needed: %s", p.Description)
		case !ok:
			value = p.Default
		}
		if value != "" || ok {
			if err := p.Check(value); err != nil {
				return nil, err
			}
		}
		all[p.Name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, known := all[name]; !known {
			return nil, fault.Invalid("params."+name, "is no parameter of the runbook %s", b.Name)
		}
	}
	return all, nil
}

// Names are what places can be filled with, by scope: param, member, proxy, service.
type Names map[string]map[string]string

// Fill puts names into the places of a step's values. It blames the first
// place that nothing fills.
func (n Names) Fill(s Step) (map[string]string, error) {
	out := make(map[string]string, len(s.With))
	for _, key := range slices.Sorted(maps.Keys(s.With)) {
		var missing string
		out[key] = place.ReplaceAllStringFunc(s.With[key], func(m string) string {
			scope, name, _ := strings.Cut(strings.TrimSpace(strings.Trim(m, "{}")), ".")
			value, ok := n[scope][name]
			if !ok && missing == "" {
				missing = scope + "." + name
			}
			return value
		})
		if missing != "" {
			return nil, fault.Invalid(s.Name+".with."+key, "nothing says what %s is", missing)
		}
	}
	return out, nil
}

func itoa(i int) string { return strconv.Itoa(i) }
