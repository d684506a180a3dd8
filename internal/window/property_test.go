package window

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/teambition/rrule-go"
	"pgregory.net/rapid"

	"upkeep/internal/fault"
)

func TestNextStrictlyIncreases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := someWindow(t)
		after := someTime(t, "after")
		for range 20 {
			s, ok := w.Next(after)
			if !ok {
				return
			}
			if !s.Start.After(after) || s.End.Sub(s.Start) != w.Duration {
				t.Fatalf("Next(%s) = %s to %s", after, s.Start, s.End)
			}
			// No start lies between: the search from just before finds the same.
			if again, ok := w.Next(s.Start.Add(-time.Nanosecond)); !ok || again != s {
				t.Fatalf("Next just before %s = %s", s.Start, again.Start)
			}
			after = s.Start
		}
	})
}

func TestBetweenAgreesWithNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := someWindow(t)
		from := someTime(t, "from")
		to := from.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "hours")) * time.Hour)
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		var want []Span
		// One that starts a whole duration before from ends as from begins.
		for s, ok := w.Next(from.Add(-w.Duration)); ok && s.Start.Before(to) && len(want) < limit; s, ok = w.Next(s.Start) {
			want = append(want, s)
		}
		got := w.Between(from, to, limit)
		if len(got) != len(want) {
			t.Fatalf("Between gives %d occurrences, Next %d", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] || !got[i].Overlaps(Span{from, to}) {
				t.Fatalf("occurrence %d: Between gives %s, Next %s", i, got[i].Start, want[i].Start)
			}
		}
	})
}

func TestCurrentAgreesWithBetween(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := someWindow(t)
		now := someTime(t, "now")
		if s, ok := w.Next(now); ok && rapid.Bool().Draw(t, "inside") {
			now = s.Start.Add(time.Duration(rapid.Int64Range(0, int64(w.Duration)).Draw(t, "into")))
		}
		open := w.Between(now, now.Add(1), 100)
		got, ok := w.Current(now)
		if ok != (len(open) > 0) {
			t.Fatalf("Current says %v, Between has %d", ok, len(open))
		}
		if ok && (got != open[len(open)-1] || !got.Contains(now)) {
			t.Fatalf("Current is %s, the last of Between %s", got.Start, open[len(open)-1].Start)
		}
	})
}

// TestMovedRuleEqualsUnmoved compares the expansion from a later period, in
// another era, to the library's own from DTSTART, of the text as it stands.
func TestMovedRuleEqualsUnmoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dtstart := someTime(t, "dtstart").Format("20060102T150405Z")
		value := someRule(t)
		r, err := ParseRRule("DTSTART:" + dtstart + " RRULE:" + value)
		if err != nil {
			t.Skip("refused")
		}
		unmoved, err := rrule.StrToRRule("DTSTART:" + dtstart + "\nRRULE:" + value)
		if err != nil {
			t.Fatal(err)
		}
		from := someTime(t, "from")
		to := from.AddDate(12, 0, 0)
		var want, got []string
		for next := unmoved.Iterator(); len(want) < 50; {
			at, ok := next()
			if !ok || at.After(to) {
				break
			}
			if at.After(from) {
				want = append(want, at.Format(time.RFC3339))
			}
		}
		for at := range r.starts(from) {
			if at.After(to) || len(got) == 50 {
				break
			}
			got = append(got, at.Format(time.RFC3339))
		}
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			t.Fatalf("moved:\n%s\nunmoved:\n%s", g, w)
		}
	})
}

func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := someRecurrence(t)
		again, err := ParseRRule(r.String())
		if err != nil {
			t.Fatal(err)
		}
		if again.String() != r.String() || !again.Equal(r) || again.Zone() != r.Zone() {
			t.Fatalf("%q became %q", r, again)
		}
		after := someTime(t, "after")
		if got, want := firstStarts(again, after, 10), firstStarts(r, after, 10); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("%s became %s", want, got)
		}
	})
}

func TestWeeklyKeepsItsLocalDay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := time.Weekday(rapid.IntRange(0, 6).Draw(t, "day"))
		clock := time.Unix(rapid.Int64Range(0, 86399).Draw(t, "clock"), 0).UTC()
		zone := rapid.SampledFrom(testZones).Draw(t, "zone")
		r, err := Weekly(day, clock.Format("15:04:05"), zone)
		if err != nil {
			t.Fatal(err)
		}
		last := time.Time{}
		for at := range r.starts(someTime(t, "after")) {
			if at.Weekday() != day || at.Location().String() != zone {
				t.Fatalf("%s is no %s in %s", at, day, zone)
			}
			if shown := at.Format("15:04:05"); shown != clock.Format("15:04:05") && !skipped(at) {
				t.Fatalf("%s starts at %s", at, shown)
			}
			if !last.IsZero() {
				// A week of wall-clock time is never shorter or longer by more
				// than a change of clocks.
				if off := at.Sub(last) - 7*24*time.Hour; off.Abs() > 2*time.Hour {
					t.Fatalf("%s comes %s after %s", at, at.Sub(last), last)
				}
			}
			if last = at; at.Year() > 2045 {
				break
			}
		}
	})
}

// skipped reports whether clocks went forward at just this instant.
func skipped(at time.Time) bool {
	_, before := at.Add(-time.Second).Zone()
	_, now := at.Zone()
	return now > before
}

func TestArbitraryTextNeverPanics(t *testing.T) {
	words := []string{"DTSTART", "RRULE:", "EXDATE", "RDATE", ";", ":", "=", ",", " ", "\r\n", "TZID=Europe/Berlin", "FREQ=", "YEARLY", "DAILY",
		"20260131T023000", "Z", "BYDAY=", "MO", "-53", "99999999999999999999", "BYSETPOS=", "BYWEEKNO=", "COUNT=", "UNTIL=", "0", "1", "366", "é", "\x00"}
	piece := rapid.OneOf(rapid.SampledFrom(words), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		exercise(t, strings.Join(rapid.SliceOfN(piece, 0, 20).Draw(t, "pieces"), ""))
		exercise(t, someDTStart(t)+" RRULE:FREQ=YEARLY;"+strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "parts"), ""))
	})
}

// exercise does with a text all that can be done with one.
func exercise(t interface{ Fatalf(string, ...any) }, text string) {
	r, err := ParseRRule(text)
	if err != nil {
		var f *fault.Error
		if !r.IsZero() || !errors.As(err, &f) || f.Kind != fault.KindInvalid || !strings.HasPrefix(f.Field, "rrule") || f.Reason == "" {
			t.Fatalf("%q: %v, and %#v", text, r, err)
		}
		return
	}
	if r.String() != text || r.IsZero() {
		t.Fatalf("%q became %q", text, r)
	}
	for _, lang := range []string{"en", "de"} {
		if said := r.Words(lang); said == "" || !utf8.ValidString(said) || !strings.HasSuffix(said, "("+r.Zone().String()+")") {
			t.Fatalf("%q in %s: %q", text, lang, said)
		}
	}
	w := Window{r, time.Hour}
	first, ok := w.Next(time.Time{})
	if !ok {
		t.Fatalf("%q never occurs, and is not refused", text)
	}
	change := time.Date(2026, time.March, 29, 0, 30, 0, 0, time.UTC)
	for _, after := range []time.Time{{}, first.Start.Add(-time.Nanosecond), first.Start, change, change.AddDate(0, 7, 0), change.AddDate(500, 0, 0), change.AddDate(20_000, 0, 0)} {
		s, ok := w.Next(after)
		if ok && (!s.Start.After(after) || s.Start.Before(first.Start) || s.End.Sub(s.Start) != time.Hour || s.Start.Location() != r.Zone()) {
			t.Fatalf("%q: after %s it opens from %s to %s", text, after, s.Start, s.End)
		}
		if open, ok := w.Current(after); ok && !open.Contains(after) {
			t.Fatalf("%q: at %s it is open from %s to %s", text, after, open.Start, open.End)
		}
	}
	if n := len(w.Between(change, change.AddDate(1, 0, 0), 100)); n > 100 {
		t.Fatalf("%q: %d occurrences", text, n)
	}
	if n := len(Overlaps(w, Window{r, 2 * time.Hour}, change, change.AddDate(100, 0, 0), 5)); n > 5 {
		t.Fatalf("%q: %d overlaps with itself", text, n)
	}
}
