package window

import (
	"errors"
	"testing"
	"time"

	"upkeep/internal/fault"
)

func TestSpan(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, time.March, 1, hour, 0, 0, 0, time.UTC) }
	s := Span{at(2), at(6)}
	if s.Contains(at(1)) || !s.Contains(at(2)) || !s.Contains(at(5)) || s.Contains(at(6)) {
		t.Error("a span holds its start and not its end")
	}
	for now, want := range map[int]time.Duration{1: 4 * time.Hour, 2: 4 * time.Hour, 5: time.Hour, 6: 0, 9: 0} {
		if got := s.Left(at(now)); got != want {
			t.Errorf("at %d:00 %s is left, want %s", now, got, want)
		}
	}
	overlaps := []struct {
		o    Span
		want bool
	}{
		{Span{at(0), at(2)}, false}, {Span{at(0), at(3)}, true}, {Span{at(3), at(4)}, true}, {Span{at(5), at(9)}, true},
		{Span{at(6), at(9)}, false}, {Span{at(0), at(9)}, true}, {Span{at(4), at(4)}, false}, {Span{at(5), at(3)}, false}, {Span{}, false},
	}
	for _, o := range overlaps {
		if s.Overlaps(o.o) != o.want || o.o.Overlaps(s) != o.want {
			t.Errorf("overlap with %v is not %v", o.o, o.want)
		}
	}
	if s.IsZero() || !(Span{}).IsZero() {
		t.Error("only no span is zero")
	}
}

func TestNewRefuses(t *testing.T) {
	daily := mustParse(t, "DTSTART:20200101T000000Z RRULE:FREQ=DAILY")
	tests := []struct {
		r     Recurrence
		d     time.Duration
		field string
	}{
		{Recurrence{}, time.Hour, "rrule"},
		{daily, 0, "duration"},
		{daily, -time.Hour, "duration"},
		{daily, MinDuration - 1, "duration"},
		{daily, MaxDuration + 1, "duration"},
	}
	for _, tt := range tests {
		_, err := New(tt.r, tt.d)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.KindInvalid || f.Field != tt.field {
			t.Errorf("New(%q, %s): %v", tt.r, tt.d, err)
		}
	}
	for _, d := range []time.Duration{MinDuration, MaxDuration} {
		if _, err := New(daily, d); err != nil {
			t.Errorf("New(%q, %s): %v", daily, d, err)
		}
	}
	for _, d := range []time.Duration{0, -time.Hour, MaxDuration + 1} {
		w := Window{daily, d}
		now := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
		_, next := w.Next(now)
		_, current := w.Current(now)
		if next || current || len(w.Between(now, now.AddDate(1, 0, 0), 9)) > 0 {
			t.Errorf("a window of %s opens", d)
		}
	}
}

// TestDurationIsElapsedTime: a night in which the clocks change is as long as
// any other.
func TestDurationIsElapsedTime(t *testing.T) {
	for _, tt := range []struct{ after, start, end string }{
		{"2026-03-28T20:00:00+01:00", "2026-03-28T23:00:00+01:00", "2026-03-29T05:00:00+02:00"},
		{"2026-10-24T20:00:00+02:00", "2026-10-24T23:00:00+02:00", "2026-10-25T03:00:00+01:00"},
	} {
		w, err := New(mustParse(t, "DTSTART;TZID=Europe/Berlin:20200101T230000 RRULE:FREQ=DAILY"), 5*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := w.Next(utc(t, tt.after))
		if start, end := s.Start.Format(time.RFC3339), s.End.Format(time.RFC3339); !ok || start != tt.start || end != tt.end {
			t.Errorf("%s to %s, want %s to %s", start, end, tt.start, tt.end)
		}
	}
}

func TestCurrentAtItsEdges(t *testing.T) {
	w := Window{mustParse(t, "DTSTART:20260101T100000Z RRULE:FREQ=DAILY;BYHOUR=10,12"), 4 * time.Hour}
	for now, want := range map[string]string{
		"2026-03-01T09:59:59Z": "",
		"2026-03-01T10:00:00Z": "10:00",
		"2026-03-01T12:00:00Z": "12:00", // both are open; this one ends last
		"2026-03-01T15:59:59Z": "12:00",
		"2026-03-01T16:00:00Z": "",
	} {
		s, ok := w.Current(utc(t, now))
		if ok != (want != "") || ok && s.Start.Format("15:04") != want {
			t.Errorf("at %s: %s, %v, want %q", now, s.Start, ok, want)
		}
	}
}

func TestBetweenKeepsItsLimits(t *testing.T) {
	w := Window{mustParse(t, "DTSTART:20260101T100000Z RRULE:FREQ=DAILY"), time.Hour}
	from := utc(t, "2026-03-01T10:00:00Z")
	for _, tt := range []struct{ hours, limit, want int }{{48, 9, 2}, {49, 9, 3}, {48, 1, 1}, {48, 0, 0}, {48, -1, 0}, {0, 9, 0}, {-24, 9, 0}} {
		if got := w.Between(from, from.Add(time.Duration(tt.hours)*time.Hour), tt.limit); len(got) != tt.want {
			t.Errorf("within %d hours, at most %d: %d occurrences, want %d", tt.hours, tt.limit, len(got), tt.want)
		}
	}
	// What ends as from begins is over.
	if got := w.Between(utc(t, "2026-03-01T11:00:00Z"), utc(t, "2026-03-02T10:00:00Z"), 9); len(got) != 0 {
		t.Errorf("%v touch only", got)
	}
}
