package stackit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"upkeep/internal/fault"
)

// object is a request's body. What is not asked for is not looked at: clients
// of another version may say more than this one knows.
type object map[string]json.RawMessage

// objectOf reads a body. An empty one is allowed where nothing in it is required.
func objectOf(body []byte, required bool) (object, error) {
	switch trimmed := bytes.TrimSpace(body); {
	case !required && (len(trimmed) == 0 || string(trimmed) == "null"):
		return object{}, nil
	case len(trimmed) == 0:
		return nil, fault.Invalid("body", "is missing; it must be a JSON object")
	case !utf8.Valid(body):
		return nil, fault.Invalid("body", "is not UTF-8")
	case trimmed[0] != '{':
		return nil, fault.Invalid("body", "must be one JSON object")
	}
	var o object
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, fault.Invalid("body", "must be one JSON object: %v", err)
	}
	return o, nil
}

// has reports whether a field is there; null says that it is not.
func (o object) has(field string) bool {
	raw, ok := o[field]
	return ok && string(raw) != "null"
}

// get reads a field into v, which is a kind of thing, such as "a string".
func (o object) get(field, kind string, v any) error {
	if !o.has(field) {
		return fault.Invalid(field, "is missing; it must be %s", kind)
	}
	if err := json.Unmarshal(o[field], v); err != nil {
		return fault.Invalid(field, "must be %s, not %s", kind, clip(string(o[field])))
	}
	return nil
}

func (o object) text(field string) (s string, err error) {
	err = o.get(field, "a string", &s)
	if err == nil && !readable(s) {
		err = fault.Invalid(field, "must not have a NUL in it")
	}
	return s, err
}

func (o object) truth(field string) (b bool, err error) {
	err = o.get(field, "true or false", &b)
	return b, err
}

// The limits of a maintenance window, in hours.
const (
	minHours = 1
	maxHours = 24
)

// hours reads the length of a maintenance window.
func (o object) hours() (int, error) {
	const field = "maintenanceWindow"
	kind := fmt.Sprintf("a whole number of hours from %d to %d", minHours, maxHours)
	var n int64
	if err := o.get(field, kind, &n); err != nil {
		return 0, err
	}
	if n < minHours || n > maxHours {
		return 0, fault.Invalid(field, "must be %s, not %d; it says how long the window is open, not when", kind, n)
	}
	return int(n), nil
}
