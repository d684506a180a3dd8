// Package window says WHEN maintenance may happen: recurrences, time zones and
// freezes become occurrences. Daylight saving time is decided here, once, for
// the whole house. It is pure: what time it is, the caller says.
package window

import (
	"time"

	"upkeep/internal/fault"
)

// The limits of a window's duration. A shorter window fits nothing; a longer
// one would run into the next day's.
const (
	MinDuration = time.Minute
	MaxDuration = 24 * time.Hour
)

// Span is a half-open stretch of time [Start, End). One that does not end after
// it starts is empty.
type Span struct{ Start, End time.Time }

// Contains reports whether t lies in s; the end does not.
func (s Span) Contains(t time.Time) bool { return !t.Before(s.Start) && t.Before(s.End) }

// Left is how much of s remains at now: all of it before it starts, nothing
// after it ends.
func (s Span) Left(now time.Time) time.Duration {
	if now.Before(s.Start) {
		now = s.Start
	}
	return max(s.End.Sub(now), 0)
}

// IsZero reports whether s is no span at all, as a search that found nothing
// returns it.
func (s Span) IsZero() bool { return s.Start.IsZero() && s.End.IsZero() }

// Overlaps reports whether some instant lies in both. Spans that only touch do
// not overlap, and an empty one overlaps nothing.
func (s Span) Overlaps(o Span) bool {
	start, end := s.Start, s.End
	if o.Start.After(start) {
		start = o.Start
	}
	if o.End.Before(end) {
		end = o.End
	}
	return start.Before(end)
}

// Window is a recurrence and how long it stays open each time. The duration is
// elapsed time: a window over a change of clocks is neither longer nor shorter.
// One whose duration is not positive, or above MaxDuration, never opens.
type Window struct {
	Recurrence Recurrence
	Duration   time.Duration
}

// New makes a window that opens at r for d. It refuses, as fault.KindInvalid
// with field "rrule" or "duration", a recurrence that never occurs and a
// duration outside MinDuration to MaxDuration.
func New(r Recurrence, d time.Duration) (Window, error) {
	if r.IsZero() {
		return Window{}, fault.Invalid("rrule", "is missing")
	}
	if d < MinDuration || d > MaxDuration {
		return Window{}, fault.Invalid("duration", "must be between %s and %s, not %s", brief(MinDuration), brief(MaxDuration), brief(d))
	}
	return Window{Recurrence: r, Duration: d}, nil
}

// opens reports whether w's duration is one that can open.
func (w Window) opens() bool { return w.Duration > 0 && w.Duration <= MaxDuration }

// span is the occurrence that starts at start.
func (w Window) span(start time.Time) Span { return Span{start, start.Add(w.Duration)} }

// Next is the first occurrence whose start is strictly after after; its times
// are in the recurrence's zone. There is none when the recurrence has ended, or
// does not occur within a century.
func (w Window) Next(after time.Time) (Span, bool) {
	if !w.opens() {
		return Span{}, false
	}
	for start := range w.Recurrence.starts(after) {
		return w.span(start), true
	}
	return Span{}, false
}

// Current is the occurrence that is open at now. When several overlap it is the
// one that ends last.
func (w Window) Current(now time.Time) (Span, bool) {
	if !w.opens() {
		return Span{}, false
	}
	var open Span
	// All are equally long, so the last to start is the last to end.
	for start := range w.Recurrence.starts(now.Add(-w.Duration)) {
		if start.After(now) {
			break
		}
		open = w.span(start)
	}
	return open, !open.IsZero()
}

// Between lists the occurrences that overlap [from, to), in order of their
// starts, at most limit. It looks at least a century beyond from.
func (w Window) Between(from, to time.Time, limit int) []Span {
	if !w.opens() || limit <= 0 || !from.Before(to) {
		return nil
	}
	var spans []Span
	for start := range w.Recurrence.starts(from.Add(-w.Duration)) {
		if !start.Before(to) {
			break
		}
		spans = append(spans, w.span(start))
		if len(spans) == limit {
			break
		}
	}
	return spans
}
