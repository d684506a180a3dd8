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
}

// Applies reports whether f holds for a project.
func (f Freeze) Applies(project string) bool { return f.Project == "" || f.Project == project }

// Frozen is the freeze that overlaps span, or holds at its start if span is
// empty (an instant). Of several it is the one that ends last. It takes every
// freeze it is given to apply.
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

// Longest is the longest part of a span in which no freeze is in force, the
// first of several; empty if there is none. It takes every freeze it is given
// to apply.
func Longest(span Span, freezes []Freeze) Span {
	ends := []time.Time{span.Start}
	for _, f := range freezes {
		if span.Contains(f.Span.End) {
			ends = append(ends, f.Span.End)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	best := Span{span.Start, span.Start}
	for _, from := range ends {
		free := Span{from, span.End}
		for _, f := range freezes {
			switch {
			case !f.Span.Start.Before(f.Span.End):
			case f.Span.Contains(from):
				free.End = from
			case f.Span.Start.After(from) && f.Span.Start.Before(free.End):
				free.End = f.Span.Start
			}
		}
		if free.End.Sub(free.Start) > best.End.Sub(best.Start) {
			best = free
		}
	}
	return best
}
