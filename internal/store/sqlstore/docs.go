package sqlstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"time"

	// Reads as encoding/json does, of which it is to be the next version, in a
	// third of the time; and reading documents is a third of all our work.
	fastjson "github.com/go-json-experiment/json/v1"

	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

// Documents are the parts of a row that nobody selects by, as JSON. Domain
// structs are kept whole, under the names of their fields: those names are a
// format, and testdata holds one document of each sort to guard it.

// absent hides a field of an embedded struct from its document, because a
// column has it.
type absent *struct{}

type targetDoc struct {
	fleet.Target
	Observed   absent `json:",omitempty"`
	Generation absent `json:",omitempty"`
	Revision   absent `json:",omitempty"`
}

type scheduleDoc struct {
	fleet.Schedule
	Window   windowDoc
	Policy   policyDoc
	Number   absent `json:",omitempty"`
	Revision absent `json:",omitempty"`
}

type runDoc struct {
	run.Run
	Window   windowDoc
	Policy   policyDoc
	Number   absent `json:",omitempty"`
	Revision absent `json:",omitempty"`
}

type templateDoc struct {
	fleet.Template
	Window   windowDoc
	Policy   policyDoc
	Revision absent `json:",omitempty"`
}

type groupDoc struct {
	fleet.Group
	Window   *windowDoc `json:",omitempty"`
	Revision absent     `json:",omitempty"`
}

type runbookDoc struct {
	runbook.Stored
	Revision absent `json:",omitempty"`
}

// policyDoc is a policy whose window is written as people write it.
type policyDoc struct {
	fleet.Policy
	RebootWindow *windowDoc `json:",omitempty"`
}

func policyToDoc(p fleet.Policy) policyDoc {
	d := policyDoc{Policy: p}
	if !p.RebootWindow.Recurrence.IsZero() {
		w := windowToDoc(p.RebootWindow)
		d.RebootWindow = &w
	}
	return d
}

func (d policyDoc) policy() (fleet.Policy, error) {
	p := d.Policy
	if d.RebootWindow == nil {
		return p, nil
	}
	var err error
	p.RebootWindow, err = d.RebootWindow.window()
	return p, err
}

// windowDoc is a window as people write it, such as "4h0m0s" from an RRULE.
type windowDoc struct {
	RRule    string
	Duration string
}

func windowToDoc(w window.Window) windowDoc {
	return windowDoc{RRule: w.Recurrence.String(), Duration: w.Duration.String()}
}

func (d windowDoc) window() (window.Window, error) {
	length, err := time.ParseDuration(d.Duration)
	if err != nil {
		return window.Window{}, err
	}
	r, err := recurrence(d.RRule)
	return window.Window{Recurrence: r, Duration: length}, err
}

// recurrences remembers what texts mean, for parsing one is dear and a fleet
// has few of them.
var recurrences struct {
	sync.Mutex
	known map[string]window.Recurrence
}

const maxRecurrences = 1000

func recurrence(text string) (window.Recurrence, error) {
	if text == "" {
		return window.Recurrence{}, nil
	}
	c := &recurrences
	c.Lock()
	r, ok := c.known[text]
	c.Unlock()
	if ok {
		return r, nil
	}
	r, err := window.ParseRRule(text)
	if err != nil {
		return r, fmt.Errorf("stored rule %q: %w", text, err)
	}
	c.Lock()
	defer c.Unlock()
	if c.known == nil || len(c.known) >= maxRecurrences {
		c.known = make(map[string]window.Recurrence)
	}
	c.known[text] = r
	return r, nil
}

// encode makes a document.
func encode(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// decode reads a document into what v points to; its times come back in UTC.
func decode(text string, v any) error {
	if err := fastjson.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("stored document: %w", err)
	}
	toUTC(reflect.ValueOf(v).Elem())
	return nil
}

var timeType = reflect.TypeFor[time.Time]()

// toUTC turns every time below v, which is addressable.
func toUTC(v reflect.Value) {
	p := timesOf(v.Type())
	if !p.any {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if t, ok := reflect.TypeAssert[*time.Time](v.Addr()); ok {
			*t = t.UTC()
			return
		}
		for _, i := range p.fields {
			toUTC(v.Field(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			toUTC(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			toUTC(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			toUTC(value)
			v.SetMapIndex(key, value)
		}
	}
}

// times says where a type has times in it: most of a large document has none.
type times struct {
	any    bool
	fields []int // of a struct: those with times in them
}

var timed sync.Map // reflect.Type → times

func timesOf(t reflect.Type) times {
	if known, ok := timed.Load(t); ok {
		return known.(times)
	}
	p := times{any: findTime(t, map[reflect.Type]bool{})}
	if t.Kind() == reflect.Struct && t != timeType {
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && findTime(f.Type, map[reflect.Type]bool{}) {
				p.fields = append(p.fields, i)
			}
		}
	}
	timed.Store(t, p)
	return p
}

func findTime(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t == timeType {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Struct:
		for f := range t.Fields() {
			if f.IsExported() && findTime(f.Type, seen) {
				return true
			}
		}
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return findTime(t.Elem(), seen)
	}
	return false
}
