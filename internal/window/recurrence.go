package window

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"upkeep/internal/fault"
)

// Recurrence is when something begins: an immutable value, made from a text and
// equal to another of the same text. The zero Recurrence never occurs.
type Recurrence struct {
	text string
	set  *set // nil in the zero Recurrence; never changed after parsing
}

// set is what a text says: all starts of the rules and the added dates, without
// the excluded ones. As in python-dateutil, DTSTART is where the rules begin to
// count and what they take their missing parts from; it is no start itself
// unless a rule yields it. (RFC 5545 leaves the case undefined.)
type set struct {
	zone     *time.Location
	dtstart  time.Time // wall-clock time in zone
	rules    []rule
	added    []time.Time        // RDATE: instants in zone, in order
	excluded map[int64]struct{} // EXDATE: instants as Unix seconds
}

// weeklyFrom is where weekly recurrences begin to count: a year long past, which
// began on a Wednesday.
var weeklyFrom = time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)

// Weekly recurs each week on day at a wall-clock time, "15:39" or "15:39:01", in
// a zone such as Europe/Berlin. An error is of fault.KindInvalid and blames
// "day", "at" or "zone".
func Weekly(day time.Weekday, at, zone string) (Recurrence, error) {
	if day < time.Sunday || day > time.Saturday {
		return Recurrence{}, fault.Invalid("day", "must be a day of the week")
	}
	layout := "15:04:05"
	if len(at) == len("15:04") {
		layout = "15:04"
	}
	clock, err := time.Parse(layout, at)
	if err != nil || len(at) != len(layout) {
		return Recurrence{}, fault.Invalid("at", "must be a time such as 15:39 or 15:39:01, not %s", quote(at))
	}
	if _, err := loadZone("zone", zone); err != nil {
		return Recurrence{}, err
	}
	date := weeklyFrom.AddDate(0, 0, (int(day-weeklyFrom.Weekday())+7)%7)
	return ParseRRule(fmt.Sprintf("DTSTART;TZID=%s:%sT%s RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=%s",
		zone, date.Format("20060102"), clock.Format("150405"), dayCodes[day]))
}

// Once is a single start, to the second, told in a zone such as Europe/Berlin
// (UTC if there is no such zone). A start outside the years that recurrences
// reach gives the zero Recurrence.
func Once(start time.Time, zone string) Recurrence {
	loc, err := loadZone("zone", zone)
	if err != nil {
		loc = time.UTC
	}
	// The start is written in UTC as well: a wall-clock time that occurs twice
	// could only name the first.
	dtstart := "DTSTART:" + start.UTC().Format("20060102T150405Z")
	if loc != time.UTC {
		dtstart = fmt.Sprintf("DTSTART;TZID=%s:%s", loc, start.In(loc).Format("20060102T150405"))
	}
	r, err := ParseRRule(dtstart + " RDATE:" + start.UTC().Format("20060102T150405Z"))
	if err != nil {
		return Recurrence{}
	}
	return r
}

// String is the text that r was made from, byte for byte; parsing it gives an
// equal recurrence. It is empty for the zero Recurrence.
func (r Recurrence) String() string { return r.text }

// Equal reports whether both were made from the same text.
func (r Recurrence) Equal(o Recurrence) bool { return r.text == o.text }

// IsZero reports whether r never occurs.
func (r Recurrence) IsZero() bool { return r.set == nil }

// Zone is where r's wall-clock times are told; UTC for the zero Recurrence.
func (r Recurrence) Zone() *time.Location {
	if r.set == nil {
		return time.UTC
	}
	return r.set.zone
}

// starts yields the instants strictly after after at which r begins, in order,
// each once, told in r's zone. It goes on for at least a century, and ends.
func (r Recurrence) starts(after time.Time) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		if r.set == nil || after.Year() >= lastYear {
			return
		}
		heads := r.set.heads(after)
		for {
			var next *head
			for i := range heads {
				if h := &heads[i]; h.ok && (next == nil || h.at.Before(next.at)) {
					next = h
				}
			}
			if next == nil {
				return
			}
			at := next.at
			for i := range heads { // two rules, or two skipped hours, may start as one
				for h := &heads[i]; h.ok && !h.at.After(at); {
					h.at, h.ok = h.next()
				}
			}
			if _, not := r.set.excluded[at.Unix()]; !not && !yield(at) {
				return
			}
		}
	}
}

// head is the next start of one source, and where more come from.
type head struct {
	at   time.Time
	ok   bool
	next func() (time.Time, bool)
}

// heads opens every source of starts at its first one after after.
func (s *set) heads(after time.Time) []head {
	heads := make([]head, 0, len(s.rules)+1)
	open := func(next func() (time.Time, bool)) {
		h := head{next: next}
		for h.at, h.ok = next(); h.ok && !h.at.After(after); {
			h.at, h.ok = next()
		}
		if h.ok {
			heads = append(heads, h)
		}
	}
	// The clock's order is the order of the instants that resolve gives, so
	// nothing that is shown before now can begin after now.
	from := wallOf(after, s.zone)
	for i := range s.rules {
		open(s.rules[i].instants(from, s.zone))
	}
	if i, _ := slices.BinarySearchFunc(s.added, after, time.Time.Compare); i < len(s.added) {
		rest := s.added[i:]
		open(func() (time.Time, bool) {
			if len(rest) == 0 {
				return time.Time{}, false
			}
			at := rest[0]
			rest = rest[1:]
			return at, true
		})
	}
	return heads
}
