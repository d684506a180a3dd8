package window

import (
	"iter"
	"time"
)

const (
	// maxOverlapSteps is how many occurrences one search for overlaps looks at:
	// of a window that opens every hour, two years of them.
	maxOverlapSteps = 20_000

	// farBehind is from when on it is cheaper to expand a recurrence anew from a
	// later day than to walk there.
	farBehind = 7 * 24 * time.Hour
)

// Overlaps lists the spans of [from, until) in which a and b are both open, in
// order and at most limit. Each is as long as both stay open without a break, be
// it through several occurrences, and is told in a's zone.
//
// The search ends after a century, or after 20,000 occurrences, with what it has
// found by then: windows that open daily are compared for some 27 years.
func Overlaps(a, b Window, from, until time.Time, limit int) []Span {
	if !a.opens() || !b.opens() || limit <= 0 {
		return nil
	}
	if century := from.AddDate(reachYears, 0, 0); until.After(century) {
		until = century
	}
	ca, cb := newCursor(a, from), newCursor(b, from)
	defer func() { ca.stop(); cb.stop() }()
	var spans []Span
	for steps := 0; steps < maxOverlapSteps && ca.ok && cb.ok; steps++ {
		both := intersect(intersect(ca.span, cb.span), Span{from, until})
		if !both.Start.Before(until) {
			break // what comes now starts later still
		}
		if both.Start.Before(both.End) {
			last := len(spans) - 1
			switch {
			case last >= 0 && !both.Start.After(spans[last].End):
				spans[last].End = later(spans[last].End, both.End)
			case len(spans) == limit:
				return spans
			default:
				spans = append(spans, Span{both.Start.In(a.Recurrence.Zone()), both.End.In(a.Recurrence.Zone())})
			}
		}
		// Occurrences of one window end in the order of their starts. So the one
		// that ends first shares nothing more with what the other still has.
		if ca.span.End.Before(cb.span.End) {
			ca.advance(cb.span.Start)
		} else {
			cb.advance(ca.span.Start)
		}
	}
	return spans
}

// cursor walks over a window's occurrences.
type cursor struct {
	window Window
	span   Span // where it is, if ok
	ok     bool
	next   func() (time.Time, bool)
	stop   func()
}

// newCursor is at w's first occurrence that ends after from.
func newCursor(w Window, from time.Time) *cursor {
	c := &cursor{window: w}
	c.open(from)
	return c
}

// open expands the recurrence anew.
func (c *cursor) open(from time.Time) {
	c.next, c.stop = iter.Pull(c.window.Recurrence.starts(from.Add(-c.window.Duration)))
	c.step()
}

// step goes to the next occurrence.
func (c *cursor) step() {
	start, ok := c.next()
	c.span, c.ok = c.window.span(start), ok
}

// advance goes to the next occurrence, or if that is far before to, to the first
// that ends after to.
func (c *cursor) advance(to time.Time) {
	c.step()
	if c.ok && to.Sub(c.span.End) > farBehind {
		c.stop()
		c.open(to)
	}
}

// intersect is what both spans hold; it is empty where they share nothing, but
// starts where the later of them does.
func intersect(s, o Span) Span {
	both := Span{later(s.Start, o.Start), s.End}
	if o.End.Before(both.End) {
		both.End = o.End
	}
	return both
}

// later is the later of two instants.
func later(t, u time.Time) time.Time {
	if u.After(t) {
		return u
	}
	return t
}
