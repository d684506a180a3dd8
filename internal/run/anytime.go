package run

import (
	"cmp"
	"slices"
	"time"

	"upkeep/internal/window"
)

// meetings are what bookings without a window may clash with: each pair once
// for each thing, with the first time of it. Who has no window is named last.
func meetings(anytime, timed []Booking) (found []Clash) {
	for i, a := range anytime {
		for _, b := range slices.Concat(timed, anytime[i+1:]) {
			span := window.Span{Start: later(a.Open.Start, b.Open.Start), End: a.Open.End}
			if b.Open.End.Before(span.End) {
				span.End = b.Open.End
			}
			if !span.Start.Before(span.End) || a.Rollout != "" && a.Rollout == b.Rollout {
				continue
			}
			for _, what := range a.meets(b) {
				c := Clash{Kind: ClashAnytime, What: what, Span: span, Who: []string{b.Who, a.Who}, Most: 2, Places: 1}
				if !b.Held && !b.Anytime {
					c.Short = max(0, b.need()+a.Need-(b.Open.End.Sub(b.Open.Start)))
				}
				found = append(found, c)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Clash) int {
		return cmp.Or(cmp.Compare(a.What, b.What), slices.Compare(a.Who, b.Who), a.Span.Start.Compare(b.Span.Start))
	})
	return slices.CompactFunc(found, func(a, b Clash) bool { return a.What == b.What && slices.Equal(a.Who, b.Who) })
}

// meets is what two want of which at least one wants it whole.
func (b Booking) meets(o Booking) (what []string) {
	for _, thing := range b.Whole {
		if slices.Contains(o.Whole, thing) || slices.Contains(o.Within, thing) {
			what = append(what, thing)
		}
	}
	for _, thing := range b.Within {
		if slices.Contains(o.Whole, thing) {
			what = append(what, thing)
		}
	}
	return what
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
