package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"upkeep/internal/runbook"
)

// Plan is all that is to be done in an environment, as lines that a person
// reads, compares and approves.
type Plan struct {
	Environment string
	Lines       []string
	Hash        string // of the lines; an approval is for one hash
}

// work is one runbook on one service with all values filled in.
type work struct {
	service string
	book    string
	params  map[string]string
	digests map[string]string // those that stand in the values
	missing string            // the first place that nothing fills
}

// text says the work whole: two that are the same do the same.
func (w work) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "runbook %s on %s", w.book, w.service)
	for _, k := range slices.Sorted(maps.Keys(w.params)) {
		fmt.Fprintf(&b, " %s=%q", k, w.params[k])
	}
	return b.String()
}

// values fills the places of an environment's phases and gates.
type values struct {
	version string
	digests map[string]string
	env     Environment
}

func (v values) fill(text string, w *work) string {
	return place.ReplaceAllStringFunc(text, func(m string) string {
		name := strings.TrimSpace(strings.Trim(m, "{}"))
		scope, k, _ := strings.Cut(name, ".")
		value := ""
		switch {
		case name == "release.version":
			value = v.version
		case scope == "digest":
			if value = v.digests[k]; value != "" {
				w.digests[k] = value
			}
		case scope == "environment":
			if value = v.env.With[k]; value == "" && k == "name" {
				value = v.env.Name
			}
		}
		if value == "" && w.missing == "" {
			w.missing = name
		}
		return value
	})
}

func (v values) work(service, book string, params map[string]string) work {
	w := work{book: book, params: map[string]string{}, digests: map[string]string{}}
	w.service = v.fill(service, &w)
	for _, k := range slices.Sorted(maps.Keys(params)) {
		w.params[k] = v.fill(params[k], &w)
	}
	return w
}

// with fills a gate's values.
func (v values) with(g Gate) (with map[string]string, missing string) {
	w := v.work("", "", g.With)
	return w.params, w.missing
}

// PlanOf is what the release means for an environment, with the digests that
// are pinned there.
func (r Rollout) PlanOf(w World, e Environment) Plan {
	v := r.values(w, e)
	p := Plan{Environment: e.Name}
	say := func(format string, args ...any) { p.Lines = append(p.Lines, fmt.Sprintf(format, args...)) }
	say("environment %s in project %s%s", e.Name, r.project(e), after(e))
	say("release %s", r.Version)
	if e.Window.Recurrence.IsZero() {
		say("window always")
	} else {
		say("window %s for %v", e.Window.Recurrence, e.Window.Duration)
	}
	say("soak %v, approvals %d", e.Soak, e.Approvals)
	for _, phase := range w.Train.Train.PhasesOf(e) {
		does := v.work(phase.Service, phase.Runbook, phase.Params)
		say("phase %s: %s (runbook %s)", phase.Name, does.text(), r.print(w, e, phase.Runbook))
	}
	for _, g := range w.Train.Train.gatesOf(e) {
		at := make([]string, len(g.times()))
		for i, t := range g.times() {
			at[i] = string(t)
		}
		does := v.work(g.Service, g.Runbook, g.Params)
		if g.Kind != RunbookGate {
			with, _ := v.with(g)
			does = work{book: string(g.Kind), params: with}
		}
		say("gate %s at %s every %v: %s%s", g.Name, strings.Join(at, ", "), g.every(), g.Kind, strings.TrimPrefix(does.text(), "runbook "+does.book+" on "))
	}
	sum := sha256.Sum256([]byte(strings.Join(p.Lines, "\n")))
	p.Hash = hex.EncodeToString(sum[:])[:16]
	return p
}

// Uses are what is needed to carry a release out in an environment.
type Uses struct {
	Project  string
	Services []string
	Books    []string // on each of them, in the same order
}

// UsesOf lists what the phases and gates of an environment use.
func (r Rollout) UsesOf(w World, e Environment) Uses {
	v, u := r.values(w, e), Uses{Project: r.project(e)}
	add := func(service, book string) {
		does := v.work(service, book, nil)
		u.Services, u.Books = append(u.Services, does.service), append(u.Books, book)
	}
	for _, p := range w.Train.Train.PhasesOf(e) {
		add(p.Service, p.Runbook)
	}
	for _, g := range w.Train.Train.gatesOf(e) {
		if g.Kind == RunbookGate {
			add(g.Service, g.Runbook)
		}
	}
	return u
}

func after(e Environment) string {
	if e.After == "" {
		return ""
	}
	return " after " + e.After
}

// values are those of an environment: the release's, and what is pinned there.
func (r Rollout) values(w World, e Environment) values {
	digests := clone(w.Release.Release.Digests)
	maps.Copy(digests, r.Standings[e.Name].Pins)
	return values{version: r.Version, digests: digests, env: e}
}

// print is what a runbook says, in a few letters: an approval is for that.
func (r Rollout) print(w World, e Environment, name string) string {
	book, ok := w.Books[r.project(e)+"/"+name]
	if !ok {
		return "missing"
	}
	return fingerprint(book)
}

// fingerprint tells runbooks apart. A book has no pointers in it, which a test
// holds, and maps are said in order. What is not said in a book does not count,
// nor do the names of types: so approvals outlive a new version of Upkeep, whose
// books can say more.
func fingerprint(b runbook.Book) string {
	sum := sha256.Sum256(appendSaid(nil, reflect.ValueOf(b)))
	return hex.EncodeToString(sum[:])[:12]
}

// empty is what nothing is said in.
const empty = "{}"

// appendSaid appends what a value says: of a struct only the fields that say
// something, and of a text its hash, so that no text can pass for a field.
func appendSaid(to []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Struct:
		return appendFields(to, v)
	case reflect.Slice, reflect.Array:
		to = append(to, '{')
		for i := range v.Len() {
			to = appendSaid(comma(to, i), v.Index(i))
		}
		return append(to, '}')
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		to = append(to, '{')
		for i, k := range keys {
			to = appendSaid(append(appendSaid(comma(to, i), k), ':'), v.MapIndex(k))
		}
		return append(to, '}')
	case reflect.String:
		if v.Len() == 0 {
			return append(to, `""`...)
		}
		sum := sha256.Sum256(strconv.AppendQuote(nil, v.String()))
		to = hex.AppendEncode(append(to, '"'), sum[:])
		return append(to, '"')
	default:
		return fmt.Appendf(to, "%#v", v)
	}
}

func appendFields(to []byte, v reflect.Value) []byte {
	to = append(to, '{')
	said := 0
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			continue
		}
		was := len(to)
		to = append(append(comma(to, said), v.Type().Field(i).Name...), ':')
		from := len(to)
		if to = appendSaid(to, v.Field(i)); string(to[from:]) == empty {
			to = to[:was]
			continue
		}
		said++
	}
	return append(to, '}')
}

func comma(to []byte, i int) []byte {
	if i > 0 {
		return append(to, ", "...)
	}
	return to
}

// Change is a line that only one of two plans has, or that both have.
type Change struct {
	Op   Op
	Line string
}

// Op is on which side a line is.
type Op string

// The sides of a line.
const (
	Same    Op = " "
	Added   Op = "+"
	Removed Op = "-"
)

// Diff compares two plans, line by line.
func Diff(a, b []string) (changes []Change) {
	// longest[i][j] is how many lines a[i:] and b[j:] have in common, in order.
	longest := make([][]int, len(a)+1)
	longest[len(a)] = make([]int, len(b)+1)
	for i := len(a) - 1; i >= 0; i-- {
		longest[i] = make([]int, len(b)+1)
		for j := len(b) - 1; j >= 0; j-- {
			if longest[i][j] = max(longest[i+1][j], longest[i][j+1]); a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			changes = append(changes, Change{Same, a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && longest[i+1][j] >= longest[i][j+1]:
			changes = append(changes, Change{Removed, a[i]})
			i++
		default:
			changes = append(changes, Change{Added, b[j]})
			j++
		}
	}
	return changes
}
