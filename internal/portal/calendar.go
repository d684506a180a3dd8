package portal

import (
	"strings"
	"time"

	"upkeep/internal/chart"
	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/window"
)

// calendar is a picture of when the schedules of a server are open in the
// coming weeks. All that it shows stands in words beside it as well.
type calendar struct {
	Lanes  []calendarLane
	Ticks  []chart.Tick
	Frozen []chart.Bar
	Zone   *time.Location
	Clash  bool // somewhere two are open at once
}

// calendarLane is one schedule's line in it.
type calendarLane struct {
	Name string
	Open []calendarBar
}

// calendarBar is one occurrence; Clash: another schedule is open as well.
type calendarBar struct {
	chart.Bar
	Clash bool
}

// How far and how much a calendar shows.
const (
	calendarDays = 28
	maxBars      = 120 // in one lane
	maxLanes     = 12
	dayLabel     = 7 // half of what a day's label needs on a telephone, in per cent
)

// drawCalendar shows the schedules that are enabled. One that would overlap is
// marked where it does, and so is the other.
func drawCalendar(all []fleet.Schedule, freezes []window.Freeze, zone *time.Location, now time.Time) calendar {
	axis := chart.Axis{From: now, To: now.AddDate(0, 0, calendarDays)}
	c := calendar{Zone: zone}
	for _, t := range axis.Ticks(zone, 5) {
		if t.X > dayLabel && t.X < 100-dayLabel {
			c.Ticks = append(c.Ticks, t)
		}
	}
	var on []fleet.Schedule
	for _, s := range all {
		if s.Enabled && !s.Resting && len(on) < maxLanes {
			on = append(on, s)
		}
	}
	for i, s := range on {
		l := calendarLane{Name: s.Name}
		clashes := clashesOf(on, i, axis)
		for _, span := range s.Window.Between(axis.From, axis.To, maxBars) {
			bar, ok := axis.Bar(span.Start, span.End)
			if !ok {
				continue
			}
			b := calendarBar{Bar: bar}
			for _, clash := range clashes {
				b.Clash = b.Clash || clash.Overlaps(span)
			}
			c.Clash = c.Clash || b.Clash
			l.Open = append(l.Open, b)
		}
		c.Lanes = append(c.Lanes, l)
	}
	for _, f := range freezes {
		if bar, ok := axis.Bar(f.Span.Start, f.Span.End); ok {
			c.Frozen = append(c.Frozen, bar)
		}
	}
	return c
}

// clashesOf are the spans in which a schedule is open together with another.
func clashesOf(all []fleet.Schedule, i int, axis chart.Axis) (spans []window.Span) {
	for j, o := range all {
		if j != i {
			spans = append(spans, window.Overlaps(all[i].Window, o.Window, axis.From, axis.To, maxBars)...)
		}
	}
	return spans
}

// clash says what is wanted at once, when, and by how much.
func (v *visit) clash(c run.Clash, zone *time.Location) string {
	from, to := c.Span.Start.In(zone), c.Span.End.In(zone)
	when := v.T("clash.when", v.shortDay(from), from.Format("15:04"), to.Format("15:04"))
	who := strings.Join(c.Who, ", ")
	if c.More > 0 {
		who = v.T("clash.more", who, c.More)
	}
	switch {
	case c.Kind == run.ClashFreeze:
		return v.T("clash.freeze", when, who, c.Why)
	case c.Kind == run.ClashUnable:
		return v.T("clash.unable", when, who, c.Why)
	case c.Kind == run.ClashAnytime:
		return v.T("clash.anytime", when, who, c.What)
	case c.Short > 0:
		return v.T("clash.short", when, who, c.What, c.Places, v.took(c.Short, false))
	}
	return v.T("clash.fits", when, who, c.What, c.Places)
}

// held says who holds something.
func (v *visit) held(c desk.Claimed) string {
	switch {
	case c.Run.ID != "":
		return v.T("held.run", c.Name, c.Run.Name)
	case c.Hold.Until.IsZero():
		return v.T("held.node", c.Name, c.Hold.By, c.Hold.Reason)
	}
	return v.T("held.until", c.Name, c.Hold.By, c.Hold.Until.UTC().Format("2006-01-02 15:04 MST"), c.Hold.Reason)
}
