package api

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"upkeep/internal/fault"
	"upkeep/internal/window"
)

// The words that several operations share. They belong to this door: nothing
// inside knows how it is written here.

var problemType = reflect.TypeFor[Problem]()

const keyHeader = "Idempotency-Key"

// Keyed is in the input of every write that can be repeated.
type Keyed struct {
	Key string `header:"Idempotency-Key" maxLength:"255" doc:"Any text of printable ASCII that is new for a new request. The same request with the same key is done once, for a day." example:"5f0c7a44-update-web-1"`
}

func (k *Keyed) idempotencyKey() string { return k.Key }

// InProject is in the input of what is found by name.
type InProject struct {
	Project string `query:"project" maxLength:"63" doc:"The project; the token's own if empty."`
}

// Tongue is in the input of what answers sentences.
type Tongue struct {
	Lang   string `query:"lang" pattern:"^(en|de)$" patternDescription:"en or de" doc:"The language of sentences; otherwise what Accept-Language prefers, else English."`
	Accept string `header:"Accept-Language" hidden:"true" maxLength:"1000"`
}

var tongues = language.NewMatcher([]language.Tag{language.English, language.German})

// lang is the language to answer in.
func (t *Tongue) lang() string {
	if t.Lang != "" {
		return t.Lang
	}
	tag, _ := language.MatchStrings(tongues, t.Accept)
	base, _ := tag.Base()
	return base.String()
}

// Page is in the input of lists by id.
type Page struct {
	Limit int `query:"limit" minimum:"0" maximum:"1000" doc:"How many at most; 0 is 1000."`
}

// next is where the next page begins; empty if this one was not full.
func next[T any](items []T, limit int, id func(T) string) string {
	if limit == 0 {
		limit = 1000
	}
	if len(items) < limit {
		return ""
	}
	return id(items[len(items)-1])
}

// Span is a stretch of time.
type Span struct {
	Start time.Time `json:"start" doc:"When it begins." example:"2026-03-07T02:30:00+02:00"`
	End   time.Time `json:"end" doc:"When it is over; this instant is not in it." example:"2026-03-07T04:30:00+02:00"`
}

func spanOf(s window.Span) *Span {
	if s.IsZero() {
		return nil
	}
	return &Span{Start: s.Start, End: s.End}
}

// Occurrence is one span of a window.
type Occurrence struct {
	Start  time.Time `json:"start" doc:"When the window opens." example:"2026-03-07T02:30:00+02:00"`
	End    time.Time `json:"end" doc:"When it closes." example:"2026-03-07T04:30:00+02:00"`
	Frozen string    `json:"frozen,omitempty" doc:"Why nothing disruptive starts in it or in a part of it: the reason of a freeze." example:"Quarterly closing"`
}

// parseDuration reads a duration; an empty text is none. It may begin with
// days, which have 24 hours.
func parseDuration(field, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	days, rest := time.Duration(0), s
	if m := leadingDays.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1]) // of digits alone, and few
		days, rest = time.Duration(n)*24*time.Hour, m[2]
	}
	if rest == "" {
		return days, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || rest != s && d < 0 {
		if len(s) > 40 {
			s = s[:40] + "…"
		}
		return 0, fault.Invalid(field, "must be a duration such as 14d, 90m or 2h30m, not %q", strings.ToValidUTF8(s, "?"))
	}
	return days + d, nil
}

var leadingDays = regexp.MustCompile(`^([0-9]{1,4})d(.*)$`)

// duration writes a duration without its zeros: 1h, not 1h0m0s.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func optional(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return duration(d)
}

// list is never null.
func list[A, B any](in []A, f func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, f(a))
	}
	return out
}

// texts is never null.
func texts(in []string) []string { return append([]string{}, in...) }

// done is the answer of what has nothing to say.
type done struct{}
