package window

import (
	"time"

	"github.com/teambition/rrule-go"
)

// rule is one RRULE: what it says, with all that it would take from DTSTART
// filled in, so that it can be expanded from any of its periods.
//
// The library expands it, on wall-clock times only: with zones it errs where
// clocks change. It is never asked to walk far: see walls.
type rule struct {
	options rrule.ROption // Dtstart is a wall-clock time; neither Count nor Until is set
	count   int           // COUNT as written; 0 if not. lastWall is what it comes to

	// The last start, from COUNT or a local UNTIL (wall-clock), or from an UNTIL
	// in UTC (an instant). Zero if there is none.
	lastWall time.Time
	lastAt   time.Time
}

// The Gregorian calendar repeats, days of the week included, after an era.
const (
	eraYears   = 400
	eraSeconds = 146097 * 24 * 60 * 60
)

// lastYear is the latest year in which an expansion begins. The library stops in
// 9999, so each one reaches at least a century.
const lastYear = 9899

// reachYears is how far a rule may be followed to find out whether it occurs at all,
// and where its COUNT ends.
const reachYears = 100

// instants iterates the rule's starts in zone, in order, from the first whose
// wall-clock time is from or later. Two may be the same instant.
func (r *rule) instants(from time.Time, zone *time.Location) func() (time.Time, bool) {
	if !r.lastAt.IsZero() && wallOf(r.lastAt, zone).Before(from.AddDate(0, 0, -2)) {
		return nothing
	}
	next := r.walls(from)
	return func() (time.Time, bool) {
		wall, ok := next()
		if !ok {
			return time.Time{}, false
		}
		at := resolve(wall, zone)
		if !r.lastAt.IsZero() && at.After(r.lastAt) {
			next = nothing
			return time.Time{}, false
		}
		return at, true
	}
}

// walls iterates the rule's wall-clock times, in order, from the first that is
// from or later.
//
// The library walks from DTSTART and, where a rule yields nothing, to the year
// 9999. So it starts at the rule's period that holds from, and in the last
// centuries before 9999, where the calendar is the same: both ways are short.
func (r *rule) walls(from time.Time) func() (time.Time, bool) {
	if !r.lastWall.IsZero() && from.After(r.lastWall) {
		return nothing
	}
	options := r.options
	start := r.periodStart(from)
	eras := int64(lastYear-start.Year()) / eraYears
	options.Dtstart = time.Unix(start.Unix()+eras*eraSeconds, 0).UTC()
	expansion, err := rrule.NewRRule(options)
	if err != nil {
		return nothing // parsing has checked more than the library does
	}
	next := expansion.Iterator()
	return func() (time.Time, bool) {
		for {
			wall, ok := next()
			if !ok {
				return time.Time{}, false
			}
			wall = time.Unix(wall.Unix()-eras*eraSeconds, 0).UTC()
			if wall.Before(from) {
				continue
			}
			if !r.lastWall.IsZero() && wall.After(r.lastWall) {
				next = nothing
				return time.Time{}, false
			}
			return wall, true
		}
	}
}

// nothing is an iterator at its end.
func nothing() (time.Time, bool) { return time.Time{}, false }

// periodStart is where an expansion can begin that is to yield all from from on:
// DTSTART, or the start of a later period of the rule (year, month, week, day)
// that is a whole number of intervals away and no later than from. Within the
// first period it is DTSTART itself, which cuts that period short.
func (r *rule) periodStart(from time.Time) time.Time {
	dtstart, interval := r.options.Dtstart, r.options.Interval
	if !from.After(dtstart) {
		return dtstart
	}
	first, period := midnight(dtstart), 1
	switch r.options.Freq {
	case rrule.YEARLY:
		n := (from.Year() - dtstart.Year()) / interval
		if n == 0 {
			return dtstart
		}
		return time.Date(dtstart.Year()+n*interval, time.January, 1, 0, 0, 0, 0, time.UTC)
	case rrule.MONTHLY:
		months := (from.Year()-dtstart.Year())*12 + int(from.Month()-dtstart.Month())
		n := months / interval
		if n == 0 {
			return dtstart
		}
		return time.Date(dtstart.Year(), dtstart.Month()+time.Month(n*interval), 1, 0, 0, 0, 0, time.UTC)
	case rrule.WEEKLY:
		period = 7
		monday := (int(dtstart.Weekday()) + 6) % 7 // days since Monday, as the library counts
		first = first.AddDate(0, 0, -((monday - r.options.Wkst.Day() + 7) % 7))
	}
	days := int((from.Unix() - first.Unix()) / (24 * 60 * 60))
	n := days / (period * interval)
	if n == 0 {
		return dtstart
	}
	return first.AddDate(0, 0, n*period*interval)
}

// midnight is the start of wall's day.
func midnight(wall time.Time) time.Time {
	year, month, day := wall.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}
