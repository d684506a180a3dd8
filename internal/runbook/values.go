package runbook

import (
	"fmt"
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
	if why := p.bad(value); why != "" {
		return fault.Invalid("params."+p.Name, "%s", why)
	}
	return nil
}

// bad says why the parameter can't have a value; empty if it can.
func (p Param) bad(value string) string {
	must := ""
	switch {
	case len(value) > MaxValue:
		return fmt.Sprintf("has %d bytes, %d may be", len(value), MaxValue)
	case strings.Contains(value, "{{") || strings.ContainsRune(value, 0):
		return "must not have double braces or a NUL in it"
	case len(p.Enum) > 0 && !slices.Contains(p.Enum, value):
		must = "one of " + strings.Join(p.Enum, ", ")
	case !p.fits(value):
		must = map[ParamType]string{
			Integer: "a whole number", Boolean: "true or false", Duration: "a duration such as 90s",
			Digest: "sha256: and 64 hex digits", String: "text that matches " + p.Pattern,
		}[p.Type]
	}
	if must == "" {
		return ""
	}
	return fmt.Sprintf("must be %s, not %q", must, value)
}

// fits reports whether a value is of the parameter's sort.
func (p Param) fits(value string) bool {
	switch p.Type {
	case Integer:
		_, err := strconv.ParseInt(value, 10, 64)
		return err == nil
	case Boolean:
		return value == "true" || value == "false"
	case Duration:
		d, err := time.ParseDuration(value)
		return err == nil && d >= 0
	case Digest:
		return digest.MatchString(value)
	case String:
		return p.Pattern == "" || regexp.MustCompile(`^(?:`+p.Pattern+`)$`).MatchString(value)
	}
	return false
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

// Fill puts names into the places of a step's values. missing is the first
// place that nothing fills, such as member.url; empty if there is none.
func (n Names) Fill(s Step) (with map[string]string, missing string) {
	out := make(map[string]string, len(s.With))
	for _, key := range slices.Sorted(maps.Keys(s.With)) {
		out[key] = place.ReplaceAllStringFunc(s.With[key], func(m string) string {
			scope, name, _ := strings.Cut(strings.TrimSpace(strings.Trim(m, "{}")), ".")
			value, ok := n[scope][name]
			if !ok && missing == "" {
				missing = scope + "." + name
			}
			return value
		})
	}
	return out, missing
}

func itoa(i int) string { return strconv.Itoa(i) }
