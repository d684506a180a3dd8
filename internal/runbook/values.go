package runbook

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"upkeep/internal/action"
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
	if strings.Contains(value, "{{") {
		return "must not have double braces in it"
	}
	return p.rule().Refuses(value)
}

func (p Param) rule() action.Rule {
	return action.Rule{Type: p.Type, Pattern: p.Pattern, Enum: p.Enum}
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
