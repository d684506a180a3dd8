package action

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type is a sort of value. Values travel as text whatever their type is.
type Type string

// The sorts of values.
const (
	String   Type = "string"
	Integer  Type = "integer"
	Boolean  Type = "boolean"
	Duration Type = "duration" // such as 90s, never below zero
	Digest   Type = "digest"   // of an image: sha256 and 64 hex digits
)

// Types lists every type.
var Types = []Type{String, Integer, Boolean, Duration, Digest}

// MaxValue is how many bytes a value may have.
const MaxValue = 4096

var digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Rule is what a value must be.
type Rule struct {
	Type    Type
	Pattern string   // for strings: a regular expression that the whole value must match; empty: any
	Enum    []string // the only values; nil: any of the type
}

// Wrong says what is wrong with the rule itself; empty if nothing is. part is
// which of "type", "pattern" and "enum".
func (r Rule) Wrong() (part, why string) {
	if !slices.Contains(Types, r.Type) {
		return "type", fmt.Sprintf("must be string, integer, boolean, duration or digest, not %q", r.Type)
	}
	if r.Pattern != "" && r.Type != String {
		return "pattern", "goes with strings only"
	}
	if _, err := regexp.Compile(r.Pattern); err != nil {
		return "pattern", err.Error()
	}
	return "", ""
}

// Refuses says why a value can't be; empty if it can. The rule must not be Wrong.
func (r Rule) Refuses(value string) string {
	must := ""
	switch {
	case len(value) > MaxValue:
		return fmt.Sprintf("has %d bytes, %d may be", len(value), MaxValue)
	case strings.ContainsRune(value, 0):
		return "has a zero byte in it"
	case len(r.Enum) > 0 && !slices.Contains(r.Enum, value):
		must = "one of " + strings.Join(r.Enum, ", ")
	case !r.fits(value):
		must = map[Type]string{
			Integer: "a whole number", Boolean: "true or false", Duration: "a duration such as 90s",
			Digest: "sha256: and 64 hex digits", String: "text that matches " + r.Pattern,
		}[r.Type]
	}
	if must == "" {
		return ""
	}
	return fmt.Sprintf("must be %s, not %q", must, value)
}

// fits reports whether a value is of the rule's type.
func (r Rule) fits(value string) bool {
	switch r.Type {
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
		return r.Pattern == "" || regexp.MustCompile(`^(?:`+r.Pattern+`)$`).MatchString(value)
	}
	return false
}
