package window

import (
	"slices"
	"time"
)

// Freeze is a span in which nothing disruptive starts.
type Freeze struct {
	ID      string
	Project string // "" is every project
	Span    Span
	Reason  string
	Targets []string // ids of targets; none is every target of the project
}

// Applies reports whether f holds for a target of a project.
func (f Freeze) Applies(project, target string) bool {
	return (f.Project == "" || f.Project == project) &&
		(len(f.Targets) == 0 || slices.Contains(f.Targets, target))
}

// Frozen is the freeze that overlaps span, or holds at its start if span is
// empty (an instant). Of several it is the one that ends last. It takes every
// freeze it is given to apply; see Freeze.Applies.
func Frozen(freezes []Freeze, span Span) (Freeze, bool) {
	var found Freeze
	var ok bool
	for _, f := range freezes {
		hit := f.Span.Overlaps(span)
		if !span.Start.Before(span.End) {
			hit = f.Span.Contains(span.Start)
		}
		if hit && (!ok || f.Span.End.After(found.Span.End)) {
			found, ok = f, true
		}
	}
	return found, ok
}

// NextOpen is the next stretch at or after now, a part of one of w's occurrences
// with no freeze in it, that has at least need left. It is the whole stretch: if
// it is open already it starts before now. The search ends where the recurrence
// does, or about a century ahead.
func NextOpen(w Window, freezes []Freeze, now time.Time, need time.Duration) (Span, bool) {
	if !w.opens() || need > w.Duration {
		return Span{}, false
	}
	frozen := merge(freezes)
	from := now.Add(-w.Duration)
	for again := true; again; {
		again = false
		for start := range w.Recurrence.starts(from) {
			occurrence := w.span(start)
			// All occurrences are equally long and share the freezes, so no later
			// one has a stretch that fits before this one's first.
			for _, s := range without(occurrence, frozen) {
				if s.Left(now) >= max(need, 1) {
					return s, true
				}
			}
			// Jump over a long freeze, however many occurrences it holds.
			if end, ok := coveredUntil(occurrence, frozen); ok && end.Add(-w.Duration).After(start) {
				from, again = end.Add(-w.Duration), true
				break
			}
		}
	}
	return Span{}, false
}

// merge is what is frozen: disjoint spans in order.
func merge(freezes []Freeze) []Span {
	spans := make([]Span, 0, len(freezes))
	for _, f := range freezes {
		if f.Span.Start.Before(f.Span.End) {
			spans = append(spans, f.Span)
		}
	}
	slices.SortFunc(spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && !s.Start.After(merged[n-1].End) {
			merged[n-1].End = later(merged[n-1].End, s.End)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// without is what remains of s when the frozen spans are taken out.
func without(s Span, frozen []Span) []Span {
	var rest []Span
	for _, f := range frozen {
		if !f.Overlaps(s) {
			continue
		}
		if s.Start.Before(f.Start) {
			rest = append(rest, Span{s.Start, f.Start})
		}
		s.Start = f.End
	}
	if s.Start.Before(s.End) {
		rest = append(rest, s)
	}
	return rest
}

// coveredUntil is the end of the frozen span that holds all of s.
func coveredUntil(s Span, frozen []Span) (time.Time, bool) {
	for _, f := range frozen {
		if !f.Start.After(s.Start) && !f.End.Before(s.End) {
			return f.End, true
		}
	}
	return time.Time{}, false
}

// later is the later of two instants.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
