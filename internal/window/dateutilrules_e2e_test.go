//go:build e2e

package window

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// generator makes random texts. A seed gives the same ones for ever; a change of
// it changes the numbers in docs/windows.md.
type generator struct{ *rand.Rand }

// dateutilZones change clocks by an hour, at midnight, by half an hour, with
// dates that were told weeks before, by a whole day, in winter, and never. The
// year is the last of which their clocks may be asked: for those whose
// governments changed their minds of late it is over.
var dateutilZones = []struct {
	name string
	last int
}{
	{"Europe/Berlin", 2045},
	{"Europe/Sofia", 2045},
	{"Europe/Dublin", 2030}, // whose winter is its "daylight saving", with an offset below standard
	{"America/New_York", 2045},
	{"America/Santiago", 2022},
	{"America/Havana", 2022},
	{"Asia/Beirut", 2022},
	{"Africa/Cairo", 2022},
	{"Africa/Casablanca", 2022},
	{"Australia/Lord_Howe", 2030},
	{"Pacific/Apia", 2020},
	{"Pacific/Chatham", 2030},
	{"Asia/Kathmandu", 2045},
	{"UTC", 2045},
}

// oneIn is true once in n times.
func (g generator) oneIn(n int) bool { return g.IntN(n) == 0 }

// pick is one of list.
func pick[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

// numbers writes between 1 and most whole numbers, of which each may be negative
// if signed.
func (g generator) numbers(least, high, most int, signed bool) string {
	var list []string
	for range 1 + g.IntN(most) {
		n := least + g.IntN(high-least+1)
		if signed && n != 0 && g.oneIn(3) {
			n = -n
		}
		list = append(list, fmt.Sprint(n))
	}
	return strings.Join(list, ",")
}

// instant is some time since 2000, and mostly one at which the clocks in zone
// change.
func (g generator) instant(zone *time.Location, last int) time.Time {
	begin := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	at := time.Unix(begin+g.Int64N(int64(last-2000)*365*24*60*60), 0).UTC()
	if zone.String() == "Pacific/Apia" && g.oneIn(3) { // the year in which it skipped a day
		at = time.Date(2011, time.December, 20, 0, 0, 0, 0, time.UTC)
	}
	if _, change := at.In(zone).ZoneBounds(); !change.IsZero() && !g.oneIn(5) {
		at = change.UTC()
	}
	return at
}

// wall is what a clock that nobody has set would show around at. Where clocks
// change at at, about a third is skipped or occurs twice.
func (g generator) wall(at time.Time, zone *time.Location) time.Time {
	_, offset := at.Add(-time.Second).In(zone).Zone()
	return at.Add(time.Duration(offset)*time.Second + time.Duration(g.IntN(12)-4)*15*time.Minute).UTC()
}

// sample is a text, and the instant after which its starts are asked for.
func (g generator) sample() sample {
	z := dateutilZones[g.IntN(len(dateutilZones))]
	zone, err := time.LoadLocation(z.name)
	if err != nil {
		panic(err)
	}
	after := g.instant(zone, z.last)
	// A start some weeks, or else some years, before: dateutil walks all the way.
	days := g.IntN(pick(g, 30, 300, 3000))
	if g.oneIn(2) {
		days -= days % 7
	}
	wall := g.wall(after, zone).AddDate(0, 0, -days)
	if g.oneIn(6) {
		wall = g.wall(g.instant(zone, z.last), zone)
	}
	s := sample{Text: g.text(zone, wall, after), After: after.Add(-time.Duration(g.IntN(3*24)) * time.Hour).Format(stampForm + "Z")}
	if r, err := ParseRRule(s.Text); err == nil && g.oneIn(4) {
		s.Text = g.exclude(s.Text, r, zone, after)
	}
	if _, err := ParseRRule(s.Text); err != nil {
		kind, ok := refusalKind(err)
		s.Refused, s.After = kind.name, ""
		if !ok {
			s.Refused = err.Error()
		}
	}
	return s
}

// exclude adds an EXDATE of a start near after, in any of the ways in which it can
// be written.
func (g generator) exclude(text string, r Recurrence, zone *time.Location, after time.Time) string {
	var near []time.Time
	for at := range r.starts(after.Add(-36 * time.Hour)) {
		if near = append(near, at); len(near) == 4 {
			break
		}
	}
	if len(near) == 0 {
		return text
	}
	at := near[g.IntN(len(near))]
	wall := wallOf(at, zone)
	if g.oneIn(4) { // another that may be the same start, in a gap
		wall = wall.Add(-15 * time.Minute)
	}
	return text + " " + g.date("EXDATE", wall, at, zone, pick(g, "Z", "Z", "Z", "zone", "zone", "zone", "bare"))
}

// date writes an RDATE or EXDATE.
func (g generator) date(name string, wall, at time.Time, zone *time.Location, form string) string {
	switch {
	case form == "Z" || zone == time.UTC:
		return name + ":" + at.UTC().Format(stampForm+"Z")
	case form == "zone":
		return name + ";TZID=" + zone.String() + ":" + wall.Format(stampForm)
	}
	return name + ":" + wall.Format(stampForm)
}

// text is a recurrence that may or may not be accepted.
func (g generator) text(zone *time.Location, wall, after time.Time) string {
	dtstart := "DTSTART;TZID=" + zone.String() + ":" + wall.Format(stampForm)
	if zone.String() == "UTC" {
		dtstart = "DTSTART:" + wall.Format(stampForm+"Z")
	}
	switch g.IntN(250) {
	case 0:
		dtstart = "DTSTART:" + wall.Format(stampForm)
	case 1:
		dtstart = "DTSTART;TZID=Mars/Base:" + wall.Format(stampForm)
	case 2:
		dtstart = "DTSTART;VALUE=DATE:" + wall.Format("20060102")
	case 3:
		return dtstart
	}
	lines := []string{dtstart, "RRULE:" + g.rule(zone, wall, after)}
	if g.oneIn(6) {
		lines = append(lines, "RRULE:"+g.rule(zone, wall, after))
	}
	if g.oneIn(6) {
		at := after.Add(time.Duration(g.IntN(200)-50) * 15 * time.Minute)
		lines = append(lines, g.date("RDATE", wallOf(at, zone), at, zone, pick(g, "Z", "Z", "Z", "Z", "Z", "Z", "zone", "bare")))
	}
	if g.oneIn(250) {
		lines = append(lines, "EXRULE:FREQ=WEEKLY")
	}
	return strings.Join(lines, " ")
}

// rule is the value of an RRULE.
func (g generator) rule(zone *time.Location, wall, after time.Time) string {
	freq := pick(g, "DAILY", "DAILY", "DAILY", "WEEKLY", "WEEKLY", "WEEKLY", "MONTHLY", "MONTHLY", "YEARLY")
	if g.oneIn(60) {
		freq = pick(g, "HOURLY", "MINUTELY", "SECONDLY")
	}
	rare := freq == "MONTHLY" || freq == "YEARLY"
	parts := []string{"FREQ=" + freq}
	add := func(likely bool, n int, part string) {
		if likely && g.oneIn(n) {
			parts = append(parts, part)
		}
	}
	add(true, 3, fmt.Sprintf("INTERVAL=%d", 1+g.IntN(pick(g, 3, 3, 10))))
	add(true, 5, "WKST="+pick(g, dayCodes[:]...))
	add(true, 6, "BYMONTH="+g.numbers(1, 12, 6, false))
	add(rare, 2, "BYMONTHDAY="+g.numbers(1, 31, 4, true))
	add(!rare, 12, "BYMONTHDAY="+g.numbers(1, 31, 6, true))
	add(freq == "YEARLY", 3, "BYYEARDAY="+g.numbers(1, 366, 6, true))
	add(freq == "YEARLY", 4, "BYWEEKNO="+g.numbers(1, 53, 4, true))
	add(true, 3, "BYDAY="+g.days(rare))
	add(true, 3, "BYHOUR="+g.hours(wall))
	add(true, 6, fmt.Sprintf("BYMINUTE=%d", 15*g.IntN(4)))
	add(true, 8, "BYSETPOS="+g.numbers(1, 4, 2, true))
	switch until := after.Add(time.Duration(g.IntN(600)-60) * 4 * time.Hour); g.IntN(9) {
	case 0, 1:
		parts = append(parts, fmt.Sprintf("COUNT=%d", 1+g.IntN(pick(g, 60, 300))))
	case 2:
		parts = append(parts, "UNTIL="+until.Format(stampForm+"Z"))
	case 3:
		parts = append(parts, "UNTIL="+wallOf(until, zone).Format(stampForm+pick(g, "Z", "Z", "")))
	}
	if g.oneIn(12) {
		parts = g.spoil(parts, freq)
	}
	return strings.Join(parts, ";")
}

// days is a BYDAY list.
func (g generator) days(nth bool) string {
	nth = nth && g.oneIn(2)
	var list []string
	for range 1 + g.IntN(4) {
		day := pick(g, dayCodes[:]...)
		if nth && !g.oneIn(4) {
			day = pick(g, "1", "2", "+3", "4", "-1", "-2", "5") + day
		}
		list = append(list, day)
	}
	return strings.Join(list, ",")
}

// hours is a BYHOUR list, mostly with the hours around wall.
func (g generator) hours(wall time.Time) string {
	if g.oneIn(3) {
		return g.numbers(0, 23, 4, false)
	}
	hour := wall.Hour()
	return fmt.Sprintf("%d,%d", hour, (hour+1+g.IntN(3))%24)
}

// spoil adds or makes a part that we refuse.
func (g generator) spoil(parts []string, freq string) []string {
	parts = slices.DeleteFunc(parts, func(part string) bool { return g.oneIn(2) && !strings.HasPrefix(part, "FREQ") })
	key := func(part string) string { return part[:strings.Index(part, "=")+1] }
	part := pick(g, "COUNT=6000", "COUNT=3", "UNTIL=20100101T000000Z", "INTERVAL=4000", "INTERVAL=0", "BYHOUR=24", "BYHOUR=9,25", "BYMINUTE=0,30",
		"BYSECOND=0,30", "BYDAY=2MO", "BYDAY=7TU", "BYDAY=-54TU", "BYYEARDAY=100", "BYYEARDAY=400", "BYWEEKNO=20", "BYSETPOS=0", "BYEASTER=1", "BYMONTHDAY=30,31;BYMONTH=2",
		"BYMONTHDAY=0", "BYMONTHDAY=31;BYMONTH=4,6", "BYSETPOS=30", "BYMONTH=13")
	parts = slices.DeleteFunc(parts, func(p string) bool { return strings.Contains(part, key(p)) })
	return append(parts, part)
}

// writtenOut is a text in which each BYDAY that has both days and nth days names
// the former by number: all Mondays of a month are the first to the fifth.
func writtenOut(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if !mixesDays(word) {
			continue
		}
		most := 5
		if strings.Contains(word, "FREQ=YEARLY") && !strings.Contains(word, "BYMONTH=") {
			most = 53
		}
		words[i] = byday.ReplaceAllStringFunc(word, func(list string) string {
			var days []string
			for day := range strings.SplitSeq(strings.TrimPrefix(list, "BYDAY="), ",") {
				if numbered.MatchString(day) {
					days = append(days, day)
					continue
				}
				for n := range most {
					days = append(days, fmt.Sprintf("%d%s", n+1, day))
				}
			}
			return "BYDAY=" + strings.Join(days, ",")
		})
	}
	return strings.Join(words, " ")
}
