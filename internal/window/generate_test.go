package window

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// testZones change their clocks by an hour, at midnight, by half an hour, never,
// and four times a year.
var testZones = []string{"UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"}

// someList draws a comma list of between 1 and most different whole numbers. (What
// is twice in a list the library counts twice; a table says what we do.)
func someList(t *rapid.T, name string, least, high, most int) string {
	numbers := rapid.SliceOfNDistinct(rapid.IntRange(least, high).Filter(func(n int) bool { return n != 0 || least == 0 }), 1, most, rapid.ID[int]).Draw(t, name)
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ","), "[]")
}

// someRule draws the value of an RRULE that may or may not be accepted.
func someRule(t *rapid.T) string {
	freq := rapid.SampledFrom([]string{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}).Draw(t, "freq")
	parts := []string{"FREQ=" + freq}
	yearly := freq == "YEARLY"
	maybe := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, name) == 0 }
	add := func(key, value string) { parts = append(parts, key+"="+value) }
	if maybe("interval?") {
		add("INTERVAL", fmt.Sprint(rapid.IntRange(1, 10).Draw(t, "interval")))
	}
	if maybe("wkst?") {
		add("WKST", rapid.SampledFrom(dayCodes[:]).Draw(t, "wkst"))
	}
	if maybe("bymonth?") {
		add("BYMONTH", someList(t, "bymonth", 1, 12, 6))
	}
	if maybe("bymonthday?") {
		add("BYMONTHDAY", someList(t, "bymonthday", -31, 31, 6))
	}
	if yearly && maybe("byyearday?") {
		add("BYYEARDAY", someList(t, "byyearday", -366, 366, 8))
	}
	if weekno := yearly && maybe("byweekno?"); weekno || maybe("byday?") {
		days := rapid.SliceOfN(rapid.SampledFrom(dayCodes[:]), 1, 3).Draw(t, "byday")
		if weekno {
			add("BYWEEKNO", someList(t, "byweekno", -53, 53, 4))
		} else if (yearly || freq == "MONTHLY") && maybe("nth?") {
			for i := range days {
				days[i] = rapid.SampledFrom([]string{"1", "2", "+3", "-1", "-2", "5"}).Draw(t, "nth") + days[i]
			}
		}
		add("BYDAY", strings.Join(days, ","))
	}
	if maybe("byhour?") {
		add("BYHOUR", someList(t, "byhour", 0, 23, 4))
	}
	if maybe("byminute?") {
		add("BYMINUTE", fmt.Sprint(rapid.IntRange(0, 59).Draw(t, "byminute")))
	}
	if maybe("bysetpos?") {
		add("BYSETPOS", someList(t, "bysetpos", -4, 4, 2))
	}
	switch {
	case maybe("count?"):
		add("COUNT", fmt.Sprint(rapid.IntRange(1, 60).Draw(t, "count")))
	case maybe("until?"):
		add("UNTIL", someTime(t, "until").Format("20060102T150405Z"))
	}
	return strings.Join(parts, ";")
}

// someTime draws a time in UTC, to the second, and often near one at which the
// clocks of a zone change.
func someTime(t *rapid.T, name string) time.Time {
	at := time.Unix(rapid.Int64Range(946684800, 2208988800).Draw(t, name), 0).UTC() // 2000 to 2040
	if rapid.Bool().Draw(t, name+" near a change") {
		zone, _ := time.LoadLocation(rapid.SampledFrom(testZones).Draw(t, name+" zone"))
		if _, end := at.In(zone).ZoneBounds(); !end.IsZero() {
			at = end.UTC().Add(time.Duration(rapid.IntRange(-180, 180).Draw(t, name+" minutes")) * time.Minute)
		}
	}
	return at
}

// someDTStart draws a DTSTART in a zone, from 2000 to 2040.
func someDTStart(t *rapid.T) string {
	zone := rapid.SampledFrom(testZones).Draw(t, "zone")
	return fmt.Sprintf("DTSTART;TZID=%s:%s", zone, someTime(t, "dtstart").Format("20060102T150405"))
}

// someRecurrence draws a recurrence: rules, and dates added and excluded.
func someRecurrence(t *rapid.T) Recurrence {
	lines := []string{someDTStart(t)}
	for range rapid.IntRange(1, 2).Draw(t, "rules") {
		lines = append(lines, "RRULE:"+someRule(t))
	}
	if rapid.Bool().Draw(t, "rdate?") {
		lines = append(lines, "RDATE:"+someTime(t, "rdate").Format("20060102T150405Z"))
	}
	text := strings.Join(lines, rapid.SampledFrom([]string{" ", "\n", "\r\n"}).Draw(t, "joined by"))
	r, err := ParseRRule(text)
	if err != nil {
		t.Skip("refused")
	}
	if rapid.Bool().Draw(t, "exdate?") {
		skip := rapid.IntRange(0, 5).Draw(t, "excluded")
		for at := range r.starts(time.Time{}) {
			if skip--; skip < 0 {
				if without, err := ParseRRule(text + " EXDATE:" + at.UTC().Format("20060102T150405Z")); err == nil {
					r = without
				}
				break
			}
		}
	}
	return r
}

// someWindow draws a window of whole minutes.
func someWindow(t *rapid.T) Window {
	w, err := New(someRecurrence(t), time.Duration(rapid.IntRange(1, 24*60).Draw(t, "minutes"))*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// mustParse parses a text that has no mistakes.
func mustParse(t testing.TB, text string) Recurrence {
	t.Helper()
	r, err := ParseRRule(text)
	if err != nil {
		t.Fatalf("ParseRRule(%q): %v", text, err)
	}
	return r
}

// utc reads a time such as 2026-03-29T00:30:00Z or with an offset.
func utc(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// firstStarts writes the first n starts after after, as its zone shows them.
func firstStarts(r Recurrence, after time.Time, n int) []string {
	var list []string
	for at := range r.starts(after) {
		if len(list) == n {
			break
		}
		list = append(list, at.Format(time.RFC3339))
	}
	return list
}
