package rollout

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

// Train says through which environments releases go, and how, as data.
type Train struct {
	Name         string
	Title        string
	Environments []Environment // parents stand before their children
	Phases       []Phase       // of the environments that have none of their own
	Gates        []Gate        // likewise
	Catalogue    Catalogue     // empty: every release may follow every other one
}

// Environment is a place that releases come to, such as stage.
type Environment struct {
	Name      string
	Project   string            // of its services and runbooks; empty: the train's
	After     string            // the environment that a release must have soaked in; empty: none
	Region    bool              // at most one region is worked at, at a time
	Soak      time.Duration     // how long a release must run well here before it goes on
	Window    window.Window     // when it may be worked at; zero: always
	Approvals int               // how many persons must approve, besides who started the rollout
	Runs      string            // the version that it has before its first rollout; empty: unknown
	With      map[string]string // what {{environment.KEY}} stands for; name is its name
	Phases    []Phase           // empty: the train's
	Gates     []Gate            // empty: the train's
}

// Phase is one runbook on one service. An environment's phases are done one
// after the other. Its values have places: {{release.version}},
// {{digest.COMPONENT}}, {{environment.KEY}}.
type Phase struct {
	Name      string
	Component string // what it brings; a pin of that component does it again
	Service   string
	Runbook   string
	Params    map[string]string
}

// GateKind is how a gate is asked.
type GateKind string

// The kinds of gates. The first two are asked by the control plane's own
// hands; the last is a run of a runbook that only looks.
const (
	HTTPGate    GateKind = "http"
	QueryGate   GateKind = "query"
	RunbookGate GateKind = "runbook"
)

// When is when a gate is asked.
type When string

// The times of gates.
const (
	Before When = "before" // before the first phase begins, such as for an error budget
	After  When = "after"  // once the last phase has ended
	During When = "soak"   // again and again during the soak
)

// Gate is a check that must pass.
type Gate struct {
	Name    string
	Kind    GateKind
	At      []When            // empty: after
	With    map[string]string // of http and query: as in a runbook's step
	Service string            // of runbook
	Runbook string
	Params  map[string]string
	Every   time.Duration // the pause between two asks during the soak, and before; 0: DefaultEvery
}

// DefaultEvery is how often a gate is asked during the soak.
const DefaultEvery = time.Hour

// StoredTrain is a train as it is kept, with what its environments have.
type StoredTrain struct {
	Project   string
	Train     Train // its name is unique in the project
	Installed map[string]Installed
	Changed   time.Time
	Revision  int64
}

// Installed is what an environment has since the last phase of a rollout ended there.
type Installed struct {
	Version string
	Digests map[string]string // by component
	Since   time.Time
}

// Limits of a train.
const (
	MaxEnvironments = 32
	MaxPhases       = 100
	MaxGates        = 32
	MaxApprovals    = 10
	MaxSoak         = 90 * 24 * time.Hour
	maxWith         = 32
	maxText         = 4096
	leastEvery      = time.Minute
)

var (
	name      = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	version   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._+-]{0,61}[A-Za-z0-9])?$`)
	component = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	key       = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,31}$`)
	place     = regexp.MustCompile(`\{\{([^{}]*)\}\}`)
)

// Environment finds one by its name.
func (t Train) Environment(name string) (Environment, bool) {
	i := slices.IndexFunc(t.Environments, func(e Environment) bool { return e.Name == name })
	if i < 0 {
		return Environment{}, false
	}
	return t.Environments[i], true
}

// PhasesOf are what is done in an environment, in order.
func (t Train) PhasesOf(e Environment) []Phase {
	if len(e.Phases) > 0 {
		return e.Phases
	}
	return t.Phases
}

// GatesOf are an environment's gates that are asked at a time.
func (t Train) GatesOf(e Environment, at When) (all []Gate) {
	for _, g := range t.gatesOf(e) {
		if slices.Contains(g.times(), at) {
			all = append(all, g)
		}
	}
	return all
}

func (t Train) gatesOf(e Environment) []Gate {
	if len(e.Gates) > 0 {
		return e.Gates
	}
	return t.Gates
}

func (g Gate) times() []When {
	if len(g.At) == 0 {
		return []When{After}
	}
	return g.At
}

func (g Gate) every() time.Duration {
	if g.Every == 0 {
		return DefaultEvery
	}
	return g.Every
}

// Validate blames the first field that can't be, by its path in the document,
// such as "environments[1].after".
func (t Train) Validate() error {
	switch {
	case !name.MatchString(t.Name):
		return fault.Invalid("name", "%q is no name: 1 to 63 small letters, digits and dashes", t.Name)
	case len(t.Title) > 200:
		return fault.Invalid("title", "may have 200 bytes, not %d", len(t.Title))
	case len(t.Environments) == 0 || len(t.Environments) > MaxEnvironments:
		return fault.Invalid("environments", "must be from 1 to %d, not %d", MaxEnvironments, len(t.Environments))
	}
	if err := t.Catalogue.Validate(); err != nil {
		return err
	}
	if err := validPhases("phases", t.Phases); err != nil {
		return err
	}
	if err := validGates("gates", t.Gates); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, e := range t.Environments {
		if err := t.validEnvironment("environments["+strconv.Itoa(i)+"]", e, seen); err != nil {
			return err
		}
		seen[e.Name] = true
	}
	return nil
}

func (t Train) validEnvironment(field string, e Environment, seen map[string]bool) error {
	switch {
	case !name.MatchString(e.Name):
		return fault.Invalid(field+".name", "%q is no name: 1 to 63 small letters, digits and dashes", e.Name)
	case seen[e.Name]:
		return fault.Invalid(field+".name", "%q stands twice", e.Name)
	case e.After != "" && !seen[e.After]:
		return fault.Invalid(field+".after", "%q is no environment that stands before this one", e.After)
	case e.Soak < 0 || e.Soak > MaxSoak:
		return fault.Invalid(field+".soak", "must be from 0 to %v, not %v", MaxSoak, e.Soak)
	case e.Approvals < 0 || e.Approvals > MaxApprovals:
		return fault.Invalid(field+".approvals", "must be from 0 to %d, not %d", MaxApprovals, e.Approvals)
	case e.Runs != "" && !version.MatchString(e.Runs):
		return fault.Invalid(field+".runs", "%q is no version", e.Runs)
	case e.Runs != "" && len(t.Catalogue.Releases) > 0 && t.Catalogue.at(e.Runs) < 0:
		return fault.Invalid(field+".runs", "%q is not in the catalogue", e.Runs)
	case len(t.PhasesOf(e)) == 0:
		return fault.Invalid(field+".phases", "is empty, and so are the train's: nothing would be done there")
	case len(e.With) > maxWith:
		return fault.Invalid(field+".with", "at most %d values, not %d", maxWith, len(e.With))
	}
	for _, k := range slices.Sorted(maps.Keys(e.With)) {
		if !key.MatchString(k) || len(e.With[k]) > maxText || strings.Contains(e.With[k], "{{") {
			return fault.Invalid(field+".with."+k, "want a small letter, then up to 31 letters and digits, with at most %d bytes and no double braces", maxText)
		}
	}
	if err := validPhases(field+".phases", e.Phases); err != nil {
		return err
	}
	if err := validGates(field+".gates", e.Gates); err != nil {
		return err
	}
	return t.validEnvironmentPlaces(field, e)
}

// validEnvironmentPlaces blames a place for which the environment has no value.
func (t Train) validEnvironmentPlaces(field string, e Environment) error {
	var texts []string
	for _, p := range t.PhasesOf(e) {
		texts = append(append(texts, p.Service), slices.Collect(maps.Values(p.Params))...)
	}
	for _, at := range []When{Before, After, During} {
		for _, g := range t.GatesOf(e, at) {
			texts = append(texts, g.Service)
			texts = append(texts, slices.Collect(maps.Values(g.With))...)
			texts = append(texts, slices.Collect(maps.Values(g.Params))...)
		}
	}
	slices.Sort(texts)
	for _, text := range texts {
		for _, m := range place.FindAllStringSubmatch(text, -1) {
			scope, k, _ := strings.Cut(strings.TrimSpace(m[1]), ".")
			if scope == "environment" && k != "name" && e.With[k] == "" {
				return fault.Invalid(field+".with."+k, "is missing: %s stands in a phase or gate", m[0])
			}
		}
	}
	return nil
}

func validPhases(field string, phases []Phase) error {
	if len(phases) > MaxPhases {
		return fault.Invalid(field, "at most %d, not %d", MaxPhases, len(phases))
	}
	seen := map[string]bool{}
	for i, p := range phases {
		at := field + "[" + strconv.Itoa(i) + "]"
		switch {
		case !name.MatchString(p.Name):
			return fault.Invalid(at+".name", "%q is no name: 1 to 63 small letters, digits and dashes", p.Name)
		case seen[p.Name]:
			return fault.Invalid(at+".name", "%q stands twice", p.Name)
		case p.Component != "" && !component.MatchString(p.Component):
			return fault.Invalid(at+".component", "%q is no name: 1 to 63 small letters, digits and dashes", p.Component)
		}
		seen[p.Name] = true
		if err := validRun(at, p.Service, p.Runbook, p.Params); err != nil {
			return err
		}
	}
	return nil
}

// validRun is about what is said of a run of a runbook.
func validRun(field, service, book string, params map[string]string) error {
	switch {
	case service == "" || len(service) > 200:
		return fault.Invalid(field+".service", "is needed: the service that the runbook is run on")
	case !name.MatchString(book):
		return fault.Invalid(field+".runbook", "%q is no runbook's name", book)
	case len(params) > runbook.MaxParams:
		return fault.Invalid(field+".params", "at most %d, not %d", runbook.MaxParams, len(params))
	}
	if err := validPlaces(field+".service", service); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(params)) {
		if err := validPlaces(field+".params."+k, params[k]); err != nil {
			return err
		}
	}
	return nil
}

// validPlaces blames a place that nothing can fill.
func validPlaces(field, value string) error {
	if len(value) > maxText {
		return fault.Invalid(field, "has %d bytes, %d may be", len(value), maxText)
	}
	for _, m := range place.FindAllStringSubmatch(value, -1) {
		scope, k, _ := strings.Cut(strings.TrimSpace(m[1]), ".")
		known := scope == "release" && k == "version" || scope == "digest" && component.MatchString(k) || scope == "environment" && key.MatchString(k)
		if !known {
			return fault.Invalid(field, "%q: write {{release.version}}, {{digest.COMPONENT}} or {{environment.KEY}}", m[0])
		}
	}
	return nil
}

func validGates(field string, gates []Gate) error {
	if len(gates) > MaxGates {
		return fault.Invalid(field, "at most %d, not %d", MaxGates, len(gates))
	}
	seen := map[string]bool{}
	for i, g := range gates {
		if err := g.validate(field+"["+strconv.Itoa(i)+"]", seen); err != nil {
			return err
		}
		seen[g.Name] = true
	}
	return nil
}

func (g Gate) validate(field string, seen map[string]bool) error {
	switch {
	case !name.MatchString(g.Name):
		return fault.Invalid(field+".name", "%q is no name: 1 to 63 small letters, digits and dashes", g.Name)
	case seen[g.Name]:
		return fault.Invalid(field+".name", "%q stands twice", g.Name)
	case g.Every != 0 && (g.Every < leastEvery || g.Every > MaxSoak):
		return fault.Invalid(field+".every", "must be from %v to %v, not %v", leastEvery, MaxSoak, g.Every)
	}
	for _, at := range g.At {
		if at != Before && at != After && at != During {
			return fault.Invalid(field+".at", "must be before, after or soak, not %q", at)
		}
	}
	switch g.Kind {
	case RunbookGate:
		if len(g.With) > 0 {
			return fault.Invalid(field+".with", "goes with http and query only")
		}
		return validRun(field, g.Service, g.Runbook, g.Params)
	case HTTPGate, QueryGate:
	default:
		return fault.Invalid(field+".kind", "must be http, query or runbook, not %q", g.Kind)
	}
	if g.Service != "" || g.Runbook != "" || len(g.Params) > 0 {
		return fault.Invalid(field+".runbook", "service, runbook and params go with the kind runbook only")
	}
	kind := action.Kind(g.Kind)
	if lacks := runbook.Lacks(kind, g.With); lacks != "" {
		return fault.Invalid(field+".with."+lacks, "is needed by the kind %s", g.Kind)
	}
	for _, k := range slices.Sorted(maps.Keys(g.With)) {
		if !runbook.Knows(kind, k) {
			return fault.Invalid(field+".with."+k, "is nothing that the kind %s knows", g.Kind)
		}
		if err := validPlaces(field+".with."+k, g.With[k]); err != nil {
			return err
		}
	}
	return nil
}
