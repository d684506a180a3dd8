package portal

import (
	"slices"
	"time"

	"upkeep/internal/chart"
	"upkeep/internal/rollout"
	"upkeep/internal/window"
)

// aheadPicture is a rollout's forecast as a picture: a lane for each environment
// that it comes to. The table below it has the same in words.
type aheadPicture struct {
	Lanes []aheadLane
	Ticks []chart.Tick
	Zone  *time.Location
}

// aheadLane is what comes of one environment.
type aheadLane struct {
	Name    string
	Asks    bool        // persons are asked before it begins
	Windows []chart.Bar // the occurrences of its window in which something is done
	Waits   []chart.Bar // its turn has come, and nothing is done
	Runs    []chart.Bar
	Endless []chart.Bar // runs whose end is not in sight
	Soaks   []chart.Bar
}

// sameDay is how long an axis may be whose ticks say the time of day.
const sameDay = 36 * time.Hour

// drawAhead draws a forecast that was made at now.
func drawAhead(v *visit, t rollout.Train, f rollout.Forecast, zone *time.Location) aheadPicture {
	ends := []time.Time{v.now}
	for _, i := range f.Items {
		ends = append(ends, i.Span.Start, i.Span.End)
	}
	axis := chart.Fit(time.Minute, ends...)
	p := aheadPicture{Zone: zone}
	for _, tick := range axis.Ticks(zone, 7) {
		days := axis.To.Sub(axis.From) > sameDay
		if days {
			tick.Label = v.shortDay(tick.At.Add(time.Hour).In(zone)) // a change of clocks puts midnight an hour off
		}
		hour := tick.At.In(zone).Hour()
		if tick.X > dayLabel && tick.X < 100-dayLabel && (!days || hour <= 1 || hour == 23) {
			p.Ticks = append(p.Ticks, tick)
		}
	}
	through := map[string]time.Time{} // when the release has soaked there
	for _, e := range t.Environments {
		var items []rollout.ForecastItem
		for _, i := range f.Items {
			if i.Environment == e.Name {
				items = append(items, i)
			}
		}
		if len(items) == 0 {
			continue
		}
		turn := v.now
		if at := through[e.After]; at.After(turn) {
			turn = at
		}
		through[e.Name] = items[len(items)-1].Span.End
		l := drawEnvironment(axis, e, items, turn)
		l.Asks = slices.ContainsFunc(f.Asks, func(w rollout.Wait) bool { return w.Environment == e.Name })
		p.Lanes = append(p.Lanes, l)
	}
	return p
}

// drawEnvironment draws the phases and the soak of an environment, whose turn
// comes at turn, and the time between them.
func drawEnvironment(axis chart.Axis, e rollout.Environment, items []rollout.ForecastItem, turn time.Time) aheadLane {
	l := aheadLane{Name: e.Name}
	draw := func(to *[]chart.Bar, from, until time.Time) {
		if bar, ok := axis.Bar(from, until); ok {
			*to = append(*to, bar)
		}
	}
	var runs []window.Span
	for _, i := range items {
		if i.Span.Start.After(turn) {
			draw(&l.Waits, turn, i.Span.Start)
		}
		switch {
		case i.Phase == "":
			draw(&l.Soaks, i.Span.Start, i.Span.End)
		case i.Span.End.IsZero():
			draw(&l.Endless, i.Span.Start, axis.To)
		default:
			draw(&l.Runs, i.Span.Start, i.Span.End)
			runs = append(runs, i.Span)
		}
		turn = maxTime(turn, i.Span.End)
	}
	if len(runs) == 0 || e.Window.Recurrence.IsZero() {
		return l
	}
	for _, open := range e.Window.Between(runs[0].Start.Add(-e.Window.Duration), runs[len(runs)-1].End, maxBars) {
		if slices.ContainsFunc(runs, open.Overlaps) {
			draw(&l.Windows, open.Start, open.End)
		}
	}
	return l
}
