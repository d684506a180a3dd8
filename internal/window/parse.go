package window

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"upkeep/internal/fault"
)

// The limits of a recurrence's text. They bound what an expansion can cost, and
// leave room for all that a person would write.
const (
	maxText  = 4096 // bytes
	maxRules = 8    // RRULEs
	maxDates = 256  // dates in all EXDATEs, and in all RDATEs
	minYear  = 1900 // of DTSTART and RDATE
	maxYear  = 2200
)

// ParseRRule reads a recurrence as RFC 5545 writes it: the properties DTSTART,
// RRULE, RDATE and EXDATE, joined by spaces or line ends, such as
// "DTSTART;TZID=Europe/Sofia:20200803T023000 RRULE:FREQ=DAILY;INTERVAL=1".
//
// RDATE and EXDATE are wall-clock times in their own TZID, or UTC with a Z; with
// neither they are in DTSTART's zone. An EXDATE removes whatever starts at its
// instant. UNTIL is UTC with a Z, else a wall-clock time in DTSTART's zone.
//
// Refused, as fault.KindInvalid with the field "rrule" or "rrule: PART": what is
// not understood, what never occurs, what recurs more often than once an hour,
// and what would cost too much to expand.
func ParseRRule(text string) (Recurrence, error) {
	if len(text) > maxText {
		return Recurrence{}, fault.Invalid("rrule", "must not be longer than %d bytes, not %d", maxText, len(text))
	}
	properties, err := split(text)
	if err != nil {
		return Recurrence{}, err
	}
	s := &set{excluded: map[int64]struct{}{}}
	if err := s.parseStart(properties); err != nil {
		return Recurrence{}, err
	}
	for _, p := range properties {
		switch p.name {
		case "RRULE":
			err = s.parseRule(p)
		case "RDATE":
			err = s.parseAdded(p)
		case "EXDATE":
			err = s.parseExcluded(p)
		}
		if err != nil {
			return Recurrence{}, err
		}
	}
	if len(s.rules) == 0 && len(s.added) == 0 {
		return Recurrence{}, fault.Invalid("rrule", "needs an RRULE with a FREQ, such as RRULE:FREQ=WEEKLY;BYDAY=SA")
	}
	slices.SortFunc(s.added, time.Time.Compare)
	s.added = slices.CompactFunc(s.added, time.Time.Equal)
	r := Recurrence{text: text, set: s}
	for range r.starts(time.Time{}) {
		return r, nil
	}
	return Recurrence{}, fault.Invalid("rrule", "never occurs: every start is excluded by EXDATE")
}

// property is one line of the text: name;params:value.
type property struct {
	name  string
	zone  string // TZID, if hasZone
	value string // in upper case

	hasZone bool
}

// split cuts the text into its properties.
func split(text string) ([]property, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, fault.Invalid("rrule", "is missing")
	}
	properties := make([]property, 0, len(words))
	for _, word := range words {
		head, value, found := strings.Cut(word, ":")
		params := strings.Split(head, ";")
		p := property{name: strings.ToUpper(params[0]), value: strings.ToUpper(value)}
		switch p.name {
		case "DTSTART", "RRULE", "RDATE", "EXDATE":
		case "EXRULE":
			return nil, fault.Invalid("rrule: EXRULE", "is not supported; list the dates in EXDATE")
		default:
			return nil, fault.Invalid("rrule", "%s is not understood; only DTSTART, RRULE:, RDATE and EXDATE are", quote(word))
		}
		if !found || value == "" {
			return nil, fault.Invalid("rrule: "+p.name, "has no value")
		}
		if err := p.parseParams(params[1:]); err != nil {
			return nil, err
		}
		properties = append(properties, p)
	}
	return properties, nil
}

// parseParams reads what stands between a property's name and its value.
func (p *property) parseParams(params []string) error {
	for _, param := range params {
		key, value, _ := strings.Cut(param, "=")
		switch key = strings.ToUpper(key); {
		case p.name == "RRULE":
			return fault.Invalid("rrule: RRULE", "%s must stand after the colon", quote(param))
		case key == "VALUE" && strings.EqualFold(value, "DATE-TIME"):
		case key == "VALUE":
			return fault.Invalid("rrule: "+p.name, "VALUE=%s is not supported; write times such as 20260131T023000", clip(value))
		case key == "TZID" && !p.hasZone:
			p.hasZone = true
			p.zone = value
			if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
				p.zone = value[1 : n-1]
			}
		default:
			return fault.Invalid("rrule: "+p.name, "%s is not understood", quote(param))
		}
	}
	return nil
}

// parseStart finds the one DTSTART, and with it the zone.
func (s *set) parseStart(properties []property) error {
	for _, p := range properties {
		if p.name != "DTSTART" {
			continue
		}
		if s.zone != nil {
			return fault.Invalid("rrule: DTSTART", "is there twice")
		}
		wall, zone, err := p.stamp(p.value, nil)
		if err != nil {
			return err
		}
		if zone == nil {
			return fault.Invalid("rrule: DTSTART", "has no time zone; write DTSTART;TZID=Europe/Berlin:%s, or %sZ for UTC", p.value, p.value)
		}
		s.dtstart, s.zone = wall, zone
	}
	if s.zone == nil {
		return fault.Invalid("rrule: DTSTART", "is missing; write DTSTART;TZID=Europe/Berlin:20260131T023000")
	}
	return s.checkYear("DTSTART", s.dtstart)
}

// checkYear refuses dates that no maintenance has, and that cost much.
func (s *set) checkYear(name string, wall time.Time) error {
	if wall.Year() < minYear || wall.Year() > maxYear {
		return fault.Invalid("rrule: "+name, "must be between the years %d and %d", minYear, maxYear)
	}
	return nil
}

// parseAdded reads an RDATE.
func (s *set) parseAdded(p property) error {
	for value := range strings.SplitSeq(p.value, ",") {
		wall, zone, err := p.stamp(value, s.zone)
		if err != nil {
			return err
		}
		if err := s.checkYear(p.name, wall); err != nil {
			return err
		}
		if len(s.added) == maxDates {
			return fault.Invalid("rrule: RDATE", "must not name more than %d dates", maxDates)
		}
		s.added = append(s.added, resolve(wall, zone).In(s.zone))
	}
	return nil
}

// parseExcluded reads an EXDATE.
func (s *set) parseExcluded(p property) error {
	for value := range strings.SplitSeq(p.value, ",") {
		wall, zone, err := p.stamp(value, s.zone)
		if err != nil {
			return err
		}
		if len(s.excluded) == maxDates {
			return fault.Invalid("rrule: EXDATE", "must not name more than %d dates", maxDates)
		}
		s.excluded[resolve(wall, zone).Unix()] = struct{}{}
	}
	return nil
}

// stamp reads one of p's times: the wall-clock time, and the zone that it is
// told in: UTC with a Z, else p's TZID, else inherited.
func (p property) stamp(value string, inherited *time.Location) (time.Time, *time.Location, error) {
	field := "rrule: " + p.name
	wall, utc, err := parseTime(field, value)
	switch {
	case err != nil:
		return time.Time{}, nil, err
	case utc && p.hasZone:
		return time.Time{}, nil, fault.Invalid(field, "has both a TZID and a Z; a time in UTC has no TZID")
	case utc:
		return wall, time.UTC, nil
	case p.hasZone:
		zone, err := loadZone(field+";TZID", p.zone)
		return wall, zone, err
	}
	return wall, inherited, nil
}

// parseTime reads 20260131T023000, or with a Z for UTC.
func parseTime(field, value string) (wall time.Time, utc bool, err error) {
	const layout = "20060102T150405"
	digits, utc := strings.CutSuffix(value, "Z")
	wall, err = time.Parse(layout, digits)
	if err != nil || len(digits) != len(layout) {
		return time.Time{}, false, fault.Invalid(field, "must be a time such as 20260131T023000 or 20260131T013000Z, not %s", quote(value))
	}
	return wall, utc, nil
}

// quote and clip show what somebody wrote, but not all of it.
func quote(s string) string { return fmt.Sprintf("%q", clip(s)) }

func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
