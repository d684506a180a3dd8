package window

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"

	"upkeep/internal/fault"
)

// The limits of one RRULE.
const (
	maxList  = 64   // entries of one BY list
	maxCount = 5000 // COUNT, which is counted out when parsing: 13 years of days, 95 of weeks

	// minApart is how far apart a rule's starts on one day must be.
	minApart = time.Hour
)

// frequencies are what FREQ may be, with the largest INTERVAL: ten years. What
// comes less often than that is a slip of the pen.
var frequencies = map[string]struct {
	freq        rrule.Frequency
	maxInterval int
}{
	"YEARLY":  {rrule.YEARLY, 10},
	"MONTHLY": {rrule.MONTHLY, 120},
	"WEEKLY":  {rrule.WEEKLY, 520},
	"DAILY":   {rrule.DAILY, 3650},
}

// dayCodes are RFC 5545's days of the week, by time.Weekday.
var dayCodes = [...]string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}

// libraryDays are the library's, by time.Weekday.
var libraryDays = [...]rrule.Weekday{rrule.SU, rrule.MO, rrule.TU, rrule.WE, rrule.TH, rrule.FR, rrule.SA}

// parseRule reads an RRULE and adds it.
func (s *set) parseRule(p property) error {
	if len(s.rules) == maxRules {
		return fault.Invalid("rrule: RRULE", "must not be there more than %d times", maxRules)
	}
	parts, err := splitRule(p.value)
	if err != nil {
		return err
	}
	r := rule{options: rrule.ROption{Dtstart: s.dtstart, Interval: 1, Wkst: rrule.MO}}
	if err := r.parseFreq(parts); err != nil {
		return err
	}
	for _, part := range parts {
		if err := r.parsePart(part, s.zone); err != nil {
			return err
		}
	}
	if err := r.check(parts); err != nil {
		return err
	}
	r.fill()
	if err := r.checkTimes(); err != nil {
		return err
	}
	if err := r.settle(p.value, s.zone); err != nil {
		return err
	}
	s.rules = append(s.rules, r)
	return nil
}

// part is one KEY=VALUE of an RRULE.
type part struct{ key, value string }

// field is how errors name the part.
func (p part) field() string { return "rrule: " + p.key }

// splitRule cuts an RRULE's value into its parts.
func splitRule(value string) ([]part, error) {
	var parts []part
	for text := range strings.SplitSeq(value, ";") {
		key, value, _ := strings.Cut(text, "=")
		if key == "" {
			return nil, fault.Invalid("rrule: RRULE", "has an empty part; parts are KEY=VALUE, joined by a semicolon")
		}
		p := part{clip(key), value}
		if value == "" {
			return nil, fault.Invalid(p.field(), "has no value")
		}
		if find(parts, p.key) != "" {
			return nil, fault.Invalid(p.field(), "is there twice in one RRULE")
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// find is the value of a part; "" if it is not there.
func find(parts []part, key string) string {
	for _, p := range parts {
		if p.key == key {
			return p.value
		}
	}
	return ""
}

// parseFreq reads FREQ and INTERVAL; the other parts depend on them.
func (r *rule) parseFreq(parts []part) error {
	name := find(parts, "FREQ")
	switch name {
	case "":
		return fault.Invalid("rrule: FREQ", "is missing; it is one of DAILY, WEEKLY, MONTHLY, YEARLY")
	case "HOURLY", "MINUTELY", "SECONDLY":
		return fault.Invalid("rrule: FREQ", "%s is too often; the most is DAILY, with the hours in BYHOUR", name)
	}
	f, known := frequencies[name]
	if !known {
		return fault.Invalid("rrule: FREQ", "must be one of DAILY, WEEKLY, MONTHLY, YEARLY, not %s", quote(name))
	}
	r.options.Freq = f.freq
	if text := find(parts, "INTERVAL"); text != "" {
		n, err := number(part{"INTERVAL", text}, text, 1, f.maxInterval)
		if err != nil {
			return err
		}
		r.options.Interval = n
	}
	return nil
}

// parsePart reads one part into the library's options.
func (r *rule) parsePart(p part, zone *time.Location) (err error) {
	o := &r.options
	switch p.key {
	case "FREQ", "INTERVAL": // read before
	case "COUNT":
		r.count, err = number(p, p.value, 1, maxCount)
	case "UNTIL":
		var utc bool
		if r.lastWall, utc, err = parseTime(p.field(), p.value); utc {
			r.lastAt, r.lastWall = r.lastWall.In(zone), time.Time{}
		}
	case "WKST":
		day := slices.Index(dayCodes[:], p.value)
		if day < 0 {
			return fault.Invalid(p.field(), "must be one of MO, TU, WE, TH, FR, SA, SU, not %s", quote(p.value))
		}
		o.Wkst = libraryDays[day]
	case "BYSETPOS":
		o.Bysetpos, err = numbers(p, 1, 366, true)
	case "BYMONTH":
		o.Bymonth, err = numbers(p, 1, 12, false)
	case "BYMONTHDAY":
		o.Bymonthday, err = numbers(p, 1, 31, true)
	case "BYYEARDAY":
		o.Byyearday, err = numbers(p, 1, 366, true)
	case "BYWEEKNO":
		o.Byweekno, err = numbers(p, 1, 53, true)
	case "BYHOUR":
		o.Byhour, err = numbers(p, 0, 23, false)
	case "BYMINUTE":
		o.Byminute, err = numbers(p, 0, 59, false)
	case "BYSECOND":
		o.Bysecond, err = numbers(p, 0, 59, false)
	case "BYDAY":
		err = r.parseDays(p, p.value)
	default:
		return fault.Invalid("rrule", "%s is no part of an RRULE", quote(p.key))
	}
	return err
}

// number reads one whole number between least and most.
func number(p part, text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fault.Invalid(p.field(), "must be a whole number from %d to %d, not %s", least, most, quote(text))
	}
	return n, nil
}

// numbers reads a list of whole numbers between least and most, or with signed
// also as much below zero. It sorts them and drops what is there twice, which
// the library would count twice.
func numbers(p part, least, most int, signed bool) ([]int, error) {
	texts := strings.Split(p.value, ",")
	if len(texts) > maxList {
		return nil, fault.Invalid(p.field(), "must not have more than %d entries", maxList)
	}
	list := make([]int, 0, len(texts))
	for _, text := range texts {
		n, err := strconv.Atoi(text)
		in := n >= least && n <= most || signed && n <= -least && n >= -most
		if err != nil || !in {
			if signed {
				return nil, fault.Invalid(p.field(), "must be from %d to %d or from %d to %d, not %s", least, most, -most, -least, quote(text))
			}
			return nil, fault.Invalid(p.field(), "must be from %d to %d, not %s", least, most, quote(text))
		}
		list = append(list, n)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// parseDays reads BYDAY: days, and in months and years the nth of them.
//
// Where a list has both "every Monday" and "the first Tuesday" the library wants
// a day to be both; RFC 5545 means either. So the former is written out as the
// first to the last Monday.
func (r *rule) parseDays(p part, list string) error {
	texts := strings.Split(list, ",")
	if len(texts) > maxList {
		return fault.Invalid(p.field(), "must not have more than %d entries", maxList)
	}
	var every, nth []rrule.Weekday
	for _, text := range texts {
		cut := max(len(text)-2, 0)
		day := slices.Index(dayCodes[:], text[cut:])
		if day < 0 {
			return fault.Invalid(p.field(), "%s is no day; write MO, TU, WE, TH, FR, SA, SU, or 1MO and -1FR for the first and the last", quote(text))
		}
		if cut == 0 {
			every = append(every, libraryDays[day])
			continue
		}
		n, err := strconv.Atoi(text[:cut])
		if err != nil || n == 0 || n < -53 || n > 53 {
			return fault.Invalid(p.field(), "%s must be a number from 1 to 53 or from -53 to -1 before a day", quote(text))
		}
		nth = append(nth, libraryDays[day].Nth(n))
	}
	r.options.Byweekday = slices.Concat(every, nth)
	return nil
}

// check refuses parts that RFC 5545 forbids together.
func (r *rule) check(parts []part) error {
	o := &r.options
	yearly := o.Freq == rrule.YEARLY
	if r.count > 0 && find(parts, "UNTIL") != "" {
		return fault.Invalid("rrule: COUNT", "can't be together with UNTIL")
	}
	if len(o.Byyearday) > 0 && !yearly {
		return fault.Invalid("rrule: BYYEARDAY", "needs FREQ=YEARLY")
	}
	if len(o.Byweekno) > 0 {
		if !yearly {
			return fault.Invalid("rrule: BYWEEKNO", "needs FREQ=YEARLY")
		}
		if len(o.Byweekday) == 0 {
			return fault.Invalid("rrule: BYWEEKNO", "needs BYDAY, to say which day of the week")
		}
	}
	return r.checkDays()
}

// checkDays refuses an nth day where there is nothing to count in, and makes the
// days of BYDAY alike.
func (r *rule) checkDays() error {
	o := &r.options
	most := 5
	if o.Freq == rrule.YEARLY && len(o.Bymonth) == 0 {
		most = 53
	}
	var every, nth []rrule.Weekday
	for _, day := range o.Byweekday {
		n := day.N()
		if n == 0 {
			every = append(every, day)
			continue
		}
		nth = append(nth, day)
		switch {
		case o.Freq > rrule.MONTHLY:
			return fault.Invalid("rrule: BYDAY", "%s has a number, which needs FREQ=MONTHLY or YEARLY", day)
		case len(o.Byweekno) > 0:
			return fault.Invalid("rrule: BYDAY", "%s has a number, which can't be together with BYWEEKNO", day)
		case n > most || n < -most:
			return fault.Invalid("rrule: BYDAY", "%s: there are at most %d such days", day, most)
		}
	}
	if len(every) == 0 || len(nth) == 0 {
		return nil
	}
	for _, day := range every {
		for n := 1; n <= most; n++ {
			nth = append(nth, day.Nth(n))
		}
	}
	o.Byweekday = nth
	return nil
}

// fill writes out what the rule takes from DTSTART, as RFC 5545 says, so that it
// means the same wherever its expansion begins.
func (r *rule) fill() {
	o := &r.options
	hour, minute, second := o.Dtstart.Clock()
	if len(o.Byhour) == 0 {
		o.Byhour = []int{hour}
	}
	if len(o.Byminute) == 0 {
		o.Byminute = []int{minute}
	}
	if len(o.Bysecond) == 0 {
		o.Bysecond = []int{second}
	}
	if len(o.Byweekno)+len(o.Byyearday)+len(o.Bymonthday)+len(o.Byweekday) > 0 {
		return
	}
	switch o.Freq {
	case rrule.YEARLY:
		if len(o.Bymonth) == 0 {
			o.Bymonth = []int{int(o.Dtstart.Month())}
		}
		o.Bymonthday = []int{o.Dtstart.Day()}
	case rrule.MONTHLY:
		o.Bymonthday = []int{o.Dtstart.Day()}
	case rrule.WEEKLY:
		o.Byweekday = []rrule.Weekday{libraryDays[o.Dtstart.Weekday()]}
	}
}

// checkTimes refuses starts on one day that are too close together. Only a list
// of minutes or of seconds can make them so.
func (r *rule) checkTimes() error {
	o := &r.options
	switch {
	case len(o.Byminute) > 1:
		return fault.Invalid("rrule: BYMINUTE", "starts must be at least %s apart", brief(minApart))
	case len(o.Bysecond) > 1:
		return fault.Invalid("rrule: BYSECOND", "starts must be at least %s apart", brief(minApart))
	}
	return nil
}

// settle finds the rule's last start where COUNT limits it, so that nobody needs
// to count again, and refuses a rule that never occurs.
func (r *rule) settle(text string, zone *time.Location) error {
	dtstart := r.options.Dtstart
	until := !r.lastWall.IsZero() || !r.lastAt.IsZero()
	if until {
		if _, ok := r.instants(dtstart, zone)(); !ok {
			unlimited := *r
			unlimited.lastWall, unlimited.lastAt = time.Time{}, time.Time{}
			if _, ok := unlimited.walls(dtstart)(); ok {
				return fault.Invalid("rrule: UNTIL", "is before the first start")
			}
		}
	}
	reach := dtstart.AddDate(reachYears, 0, 0)
	next := r.walls(dtstart)
	last, ok := next()
	if !ok || last.After(reach) {
		return fault.Invalid("rrule: RRULE", "%s never occurs", quote(text))
	}
	if r.count == 0 {
		return nil
	}
	for n := 1; n < r.count; n++ {
		wall, ok := next()
		if !ok || wall.After(reach) {
			break
		}
		last = wall
	}
	r.lastWall = last
	return nil
}
