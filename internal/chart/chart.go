// Package chart is the geometry of timelines: where on an axis of time an
// instant, a span or a tick lies. It is pure and paints nothing; positions are
// per cent of the axis, so that whoever paints can let it grow and shrink with
// the page while letters keep their size.
package chart

import "time"

// MinWidth is the narrowest bar in per cent: a step of a second in a window of
// hours is still to be seen.
const MinWidth = 0.6

// Axis is a stretch of time that is drawn.
type Axis struct{ From, To time.Time }

// Fit is the axis that shows all the given instants with a little air at both
// ends. Zero instants are passed over. It is never shorter than least.
func Fit(least time.Duration, at ...time.Time) Axis {
	var a Axis
	for _, t := range at {
		if t.IsZero() {
			continue
		}
		if a.From.IsZero() || t.Before(a.From) {
			a.From = t
		}
		if a.To.IsZero() || t.After(a.To) {
			a.To = t
		}
	}
	if a.From.IsZero() {
		return a
	}
	if short := least - a.To.Sub(a.From); short > 0 {
		a.To = a.To.Add(short)
	}
	air := a.To.Sub(a.From) / 50
	return Axis{From: a.From.Add(-air), To: a.To.Add(air)}
}

// IsZero reports whether there is nothing to be drawn.
func (a Axis) IsZero() bool { return !a.From.Before(a.To) }

// X is where t lies, from 0 to 100; what lies outside is put on the edge.
func (a Axis) X(t time.Time) float64 {
	if a.IsZero() {
		return 0
	}
	return clamp(100 * float64(t.Sub(a.From)) / float64(a.To.Sub(a.From)))
}

// Shows reports whether t lies on the axis.
func (a Axis) Shows(t time.Time) bool {
	return !a.IsZero() && !t.Before(a.From) && !t.After(a.To)
}

// Bar is a span on the axis, in per cent.
type Bar struct{ X, Width float64 }

// Bar is where the span from start to end lies. It is at least MinWidth wide
// and never leaves the axis; ok is false if no part of the span is on it.
func (a Axis) Bar(start, end time.Time) (b Bar, ok bool) {
	if a.IsZero() || end.Before(start) || end.Before(a.From) || start.After(a.To) {
		return Bar{}, false
	}
	b.X = a.X(start)
	b.Width = max(a.X(end)-b.X, MinWidth)
	if b.X+b.Width > 100 {
		b.X = 100 - b.Width
	}
	return b, true
}

func clamp(x float64) float64 { return min(max(x, 0), 100) }

// Tick is a mark on the axis at a round time of day.
type Tick struct {
	X     float64
	At    time.Time
	Label string
}

// steps are the distances between ticks, all round on a clock.
var steps = []struct {
	every  time.Duration
	layout string
}{
	{5 * time.Second, "15:04:05"},
	{10 * time.Second, "15:04:05"},
	{30 * time.Second, "15:04:05"},
	{time.Minute, "15:04"},
	{2 * time.Minute, "15:04"},
	{5 * time.Minute, "15:04"},
	{10 * time.Minute, "15:04"},
	{15 * time.Minute, "15:04"},
	{30 * time.Minute, "15:04"},
	{time.Hour, "15:04"},
	{2 * time.Hour, "15:04"},
	{4 * time.Hour, "15:04"},
	{6 * time.Hour, "15:04"},
	{12 * time.Hour, "01-02 15:04"},
	{24 * time.Hour, "01-02"},
	{7 * 24 * time.Hour, "01-02"},
	{28 * 24 * time.Hour, "01-02"},
	{364 * 24 * time.Hour, "2006-01"},
}

// Ticks are at most most marks at round times of a clock in zone, in order.
// Those too near to an edge for their label to fit are left out.
func (a Axis) Ticks(zone *time.Location, most int) []Tick {
	if a.IsZero() || most < 1 {
		return nil
	}
	length := a.To.Sub(a.From)
	chosen := steps[len(steps)-1]
	for _, s := range steps {
		if int64(length/s.every) < int64(most) {
			chosen = s
			break
		}
	}
	const edge = 3.5
	var ticks []Tick
	// Round on the clock that people see: a zone may be half an hour off.
	_, offset := a.From.In(zone).Zone()
	shift := time.Duration(offset) * time.Second
	first := a.From.Add(shift).Truncate(chosen.every).Add(-shift)
	for t := first; !t.After(a.To) && len(ticks) < most; t = t.Add(chosen.every) {
		if x := a.X(t); a.Shows(t) && x >= edge && x <= 100-edge {
			ticks = append(ticks, Tick{X: x, At: t, Label: t.In(zone).Format(chosen.layout)})
		}
	}
	return ticks
}

// Span is something with a beginning and an end.
type Span struct{ Start, End time.Time }

// Latest is the index of the first of the spans that belong together with the
// last one: before it lies a pause longer than gap. Spans are in order of
// their starts. A run that goes on in next week's window would otherwise be two
// hairlines with a week of nothing between them.
func Latest(spans []Span, gap time.Duration) int {
	first := 0
	for i := 1; i < len(spans); i++ {
		if spans[i].Start.Sub(spans[i-1].End) > gap {
			first = i
		}
	}
	return first
}
