package window

import (
	"regexp"
	"sync"
	"time"
	_ "time/tzdata" // the same zones on every host, also where none are installed

	"upkeep/internal/fault"
)

// A wall-clock time ("wall" in this package's names) is a time.Time in UTC that
// is read as what a clock on the wall shows, in a zone that is known elsewhere.

// zoneName is how zones are called in the tz database.
var zoneName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

// zones remembers what was loaded: reading a zone costs more than all the rest
// of parsing. Only names that exist get in, so it stays small.
var zones sync.Map // string → *time.Location

// loadZone finds a zone by its name in the tz database, such as Europe/Berlin.
// It refuses names that mean another zone on another host.
func loadZone(field, name string) (*time.Location, error) {
	if loc, ok := zones.Load(name); ok {
		return loc.(*time.Location), nil
	}
	if !zoneName.MatchString(name) || name == "Local" {
		return nil, fault.Invalid(field, "unknown time zone %s; a name such as Europe/Berlin or UTC is needed", quote(name))
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fault.Invalid(field, "unknown time zone %s; a name such as Europe/Berlin or UTC is needed", quote(name))
	}
	zones.Store(name, loc)
	return loc, nil
}

// resolve is the instant at which a clock in loc shows wall. A wall-clock time
// that the clocks skip becomes the end of the gap; one that they show twice is
// the first.
//
// time.Date picks one of the two offsets around a change without saying which,
// so what it gives is read back and set right.
func resolve(wall time.Time, loc *time.Location) time.Time {
	year, month, day := wall.Date()
	hour, minute, second := wall.Clock()
	t := time.Date(year, month, day, hour, minute, second, 0, loc)
	switch shown := wallOf(t, loc); {
	case shown.After(wall): // skipped, and t lies behind the gap
		end, _ := t.ZoneBounds()
		return end
	case shown.Before(wall): // skipped, and t lies before the gap
		_, end := t.ZoneBounds()
		return end
	}
	began, _ := t.ZoneBounds()
	if began.IsZero() {
		return t
	}
	_, offset := began.Add(-time.Second).Zone()
	first := time.Unix(wall.Unix()-int64(offset), 0).In(loc)
	if first.Before(began) && wallOf(first, loc).Equal(wall) {
		return first
	}
	return t
}

// wallOf is what a clock in loc shows at t, to the second.
func wallOf(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return time.Unix(t.Unix()+int64(offset), 0).UTC()
}
