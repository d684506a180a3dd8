package window

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"upkeep/internal/fault"
)

// TestParseRefuses lists what is refused, which part is blamed, and some words
// of the reason.
func TestParseRefuses(t *testing.T) {
	const start = "DTSTART;TZID=Europe/Berlin:20260131T023000 "
	tests := []struct{ text, field, reason string }{
		{"", "rrule", "is missing"},
		{" \r\n", "rrule", "is missing"},
		{strings.Repeat("x", maxText+1), "rrule", "longer than 4096 bytes"},
		{"RRULE:FREQ=DAILY", "rrule: DTSTART", "is missing"},
		{"FREQ=DAILY", "rrule", "not understood"},
		{start, "rrule", "needs an RRULE"},
		{start + "EXDATE:20260131T023000", "rrule", "needs an RRULE"},
		{start + start + "RRULE:FREQ=DAILY", "rrule: DTSTART", "twice"},
		{"DTSTART:20260131T023000 RRULE:FREQ=DAILY", "rrule: DTSTART", "no time zone"},
		{"DTSTART;TZID=Mars/Base:20260131T023000 RRULE:FREQ=DAILY", "rrule: DTSTART;TZID", "unknown time zone"},
		{"DTSTART;TZID=Local:20260131T023000 RRULE:FREQ=DAILY", "rrule: DTSTART;TZID", "unknown time zone"},
		{"DTSTART;TZID=Europe/Berlin:20260131T023000Z RRULE:FREQ=DAILY", "rrule: DTSTART", "both a TZID and a Z"},
		{"DTSTART;VALUE=DATE:20260131 RRULE:FREQ=DAILY", "rrule: DTSTART", "VALUE=DATE is not supported"},
		{"DTSTART:20260231T023000Z RRULE:FREQ=DAILY", "rrule: DTSTART", "must be a time"},
		{"DTSTART:20260131T023000.5Z RRULE:FREQ=DAILY", "rrule: DTSTART", "must be a time"},
		{"DTSTART:18991231T235959Z RRULE:FREQ=DAILY", "rrule: DTSTART", "between the years 1900 and 2200"},
		{"DTSTART;X=1:20260131T023000Z RRULE:FREQ=DAILY", "rrule: DTSTART", "not understood"},
		{start + "RRULE", "rrule: RRULE", "no value"},
		{start + "RRULE:", "rrule: RRULE", "no value"},
		{start + "RRULE;FREQ=DAILY:X", "rrule: RRULE", "after the colon"},
		{start + "EXRULE:FREQ=DAILY", "rrule: EXRULE", "not supported"},
		{start + "RRULE:INTERVAL=1", "rrule: FREQ", "is missing"},
		{start + "RRULE:FREQ=FORTNIGHTLY", "rrule: FREQ", "not \"FORTNIGHTLY\""},
		{start + "RRULE:FREQ=HOURLY;INTERVAL=4;BYHOUR=9", "rrule: FREQ", "too often"},
		{start + "RRULE:FREQ=SECONDLY", "rrule: FREQ", "too often"},
		{start + "RRULE:FREQ=DAILY;FREQ=DAILY", "rrule: FREQ", "twice"},
		{start + "RRULE:FREQ=DAILY;", "rrule: RRULE", "empty part"},
		{start + "RRULE:FREQ=DAILY;COUNT=", "rrule: COUNT", "no value"},
		{start + "RRULE:FREQ=DAILY;BYEASTER=1", "rrule", "\"BYEASTER\" is no part"},
		{start + "RRULE:FREQ=DAILY;INTERVAL=0", "rrule: INTERVAL", "from 1 to 3650"},
		{start + "RRULE:FREQ=DAILY;INTERVAL=-1", "rrule: INTERVAL", "from 1"},
		{start + "RRULE:FREQ=YEARLY;INTERVAL=11", "rrule: INTERVAL", "from 1 to 10"},
		{start + "RRULE:FREQ=DAILY;INTERVAL=99999999999999999999", "rrule: INTERVAL", "whole number"},
		{start + "RRULE:FREQ=DAILY;COUNT=0", "rrule: COUNT", "from 1 to 5000"},
		{start + "RRULE:FREQ=DAILY;COUNT=5001", "rrule: COUNT", "from 1 to 5000"},
		{start + "RRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101T000000Z", "rrule: COUNT", "together with UNTIL"},
		{start + "RRULE:FREQ=DAILY;UNTIL=20270101", "rrule: UNTIL", "must be a time"},
		{start + "RRULE:FREQ=DAILY;UNTIL=20260131T012959Z", "rrule: UNTIL", "before the first start"},
		{start + "RRULE:FREQ=DAILY;UNTIL=20260131T022959", "rrule: UNTIL", "before the first start"},
		{start + "RRULE:FREQ=DAILY;WKST=XX", "rrule: WKST", "must be one of"},
		{start + "RRULE:FREQ=DAILY;BYMONTH=13", "rrule: BYMONTH", "from 1 to 12"},
		{start + "RRULE:FREQ=DAILY;BYMONTHDAY=0", "rrule: BYMONTHDAY", "from -31 to -1"},
		{start + "RRULE:FREQ=DAILY;BYHOUR=24", "rrule: BYHOUR", "from 0 to 23"},
		{start + "RRULE:FREQ=DAILY;BYSECOND=60", "rrule: BYSECOND", "from 0 to 59"},
		{start + "RRULE:FREQ=DAILY;BYMINUTE=0,30", "rrule: BYMINUTE", "at least 1h apart"},
		{start + "RRULE:FREQ=DAILY;BYSECOND=0,1", "rrule: BYSECOND", "at least 1h apart"},
		{start + "RRULE:FREQ=DAILY;BYSETPOS=0", "rrule: BYSETPOS", "from 1 to 366"},
		{start + "RRULE:FREQ=DAILY;BYHOUR=" + strings.Repeat("1,", maxList) + "1", "rrule: BYHOUR", "more than 64 entries"},
		{start + "RRULE:FREQ=WEEKLY;BYDAY=" + strings.Repeat("MO,", maxList) + "MO", "rrule: BYDAY", "more than 64 entries"},
		{start + "RRULE:FREQ=WEEKLY;BYDAY=", "rrule: BYDAY", "no value"},
		{start + "RRULE:FREQ=WEEKLY;BYDAY=,", "rrule: BYDAY", "is no day"},
		{start + "RRULE:FREQ=WEEKLY;BYDAY=M", "rrule: BYDAY", "is no day"},
		{start + "RRULE:FREQ=WEEKLY;BYDAY=1MO", "rrule: BYDAY", "needs FREQ=MONTHLY or YEARLY"},
		{start + "RRULE:FREQ=MONTHLY;BYDAY=0MO", "rrule: BYDAY", "from 1 to 53"},
		{start + "RRULE:FREQ=MONTHLY;BYDAY=6MO", "rrule: BYDAY", "at most 5"},
		{start + "RRULE:FREQ=YEARLY;BYMONTH=1;BYDAY=-53MO", "rrule: BYDAY", "at most 5"},
		{start + "RRULE:FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO", "rrule: BYDAY", "BYWEEKNO"},
		{start + "RRULE:FREQ=YEARLY;BYWEEKNO=1", "rrule: BYWEEKNO", "needs BYDAY"},
		{start + "RRULE:FREQ=MONTHLY;BYWEEKNO=1;BYDAY=MO", "rrule: BYWEEKNO", "needs FREQ=YEARLY"},
		{start + "RRULE:FREQ=WEEKLY;BYYEARDAY=1", "rrule: BYYEARDAY", "needs FREQ=YEARLY"},
		{start + "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31", "rrule: RRULE", "never occurs"},
		{start + "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=1", "rrule: RRULE", "never occurs"},
		{start + "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;UNTIL=20990101T000000Z", "rrule: RRULE", "never occurs"},
		{"DTSTART:20270101T000000Z RRULE:FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29", "rrule: RRULE", "never occurs"},
		{start + "RRULE:FREQ=DAILY RRULE:FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=4", "rrule: RRULE", "never occurs"},
		{start + "RRULE:FREQ=DAILY;COUNT=1 EXDATE:20260131T023000", "rrule", "every start is excluded"},
		{start + strings.Repeat("RRULE:FREQ=DAILY ", maxRules+1), "rrule: RRULE", "more than 8 times"},
		{start + "RDATE:20260131", "rrule: RDATE", "must be a time"},
		{start + "RDATE:99990101T000000", "rrule: RDATE", "between the years"},
		{start + "RDATE;TZID=Nowhere:20260131T023000", "rrule: RDATE;TZID", "unknown time zone"},
		{start + "RDATE;VALUE=PERIOD:20260131T023000Z/PT1H", "rrule: RDATE", "VALUE=PERIOD is not supported"},
		{start + "EXDATE:20260131T023000,", "rrule: EXDATE", "must be a time"},
	}
	for _, tt := range tests {
		r, err := ParseRRule(tt.text)
		var f *fault.Error
		if !errors.As(err, &f) {
			t.Errorf("%q is accepted: %v", tt.text, r)
			continue
		}
		if f.Kind != fault.KindInvalid || f.Field != tt.field || !strings.Contains(f.Reason, tt.reason) {
			t.Errorf("%q: field %q, %s; want field %q, …%s…", tt.text, f.Field, f.Reason, tt.field, tt.reason)
		}
	}
}

func TestParseAccepts(t *testing.T) {
	for _, text := range []string{
		"DTSTART;TZID=Europe/Sofia:20200803T023000 RRULE:FREQ=DAILY;INTERVAL=1",
		"DTSTART;TZID=Europe/Berlin:20200803T023000 RRULE:FREQ=WEEKLY;BYDAY=SA,SU;BYHOUR=0,6,12,18;WKST=SU",
		"DTSTART:20200803T023000Z RRULE:FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
		"DTSTART:20200803T023000Z RRULE:FREQ=DAILY;COUNT=1",                  // used up long ago
		"DTSTART:20200803T023000Z RRULE:FREQ=DAILY;UNTIL=20200804T000000Z",   // over long ago
		"DTSTART:20200803T023000Z RRULE:FREQ=DAILY;UNTIL=99991231T235959Z",   // never over
		"DTSTART:19000101T000000Z RRULE:FREQ=YEARLY;BYMONTHDAY=29;BYMONTH=2", // a year that leaps not
		"\nDTSTART;TZID=UTC:20200803T023000\r\n\tRRULE:FREQ=MONTHLY;BYDAY=-1SU  ",
	} {
		if r, err := ParseRRule(text); err != nil || r.String() != text {
			t.Errorf("%q: %q, %v", text, r, err)
		}
	}
}

func TestWeeklyRefuses(t *testing.T) {
	tests := []struct {
		day             time.Weekday
		at, zone, field string
	}{
		{7, "15:39", "UTC", "day"},
		{-1, "15:39", "UTC", "day"},
		{1, "24:00", "UTC", "at"},
		{1, "3:39", "UTC", "at"},
		{1, "15:39:60", "UTC", "at"},
		{1, "15:39:01.5", "UTC", "at"},
		{1, "", "UTC", "at"},
		{1, "15:39", "", "zone"},
		{1, "15:39", "UTC:20200101T000000Z RRULE:FREQ=DAILY", "zone"},
	}
	for _, tt := range tests {
		r, err := Weekly(tt.day, tt.at, tt.zone)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.KindInvalid || f.Field != tt.field {
			t.Errorf("Weekly(%d, %q, %q) = %q, %v; want an error for %s", tt.day, tt.at, tt.zone, r, err, tt.field)
		}
	}
}

// FuzzParseRRule: whatever the text, it is refused by a word about a part of it, or
// it occurs, and every question about it is answered in time. Texts without DTSTART
// get one, for most of what can be written comes behind it.
func FuzzParseRRule(f *testing.F) {
	for _, text := range []string{
		"DTSTART;TZID=Europe/Sofia:20200803T023000 RRULE:FREQ=DAILY;INTERVAL=1",
		"DTSTART;TZID=America/Santiago:20260901T000000\r\nRRULE:FREQ=WEEKLY;BYDAY=SA,SU;WKST=SU;BYSETPOS=-1\r\nEXDATE:20260905T000000",
		"DTSTART:20200229T100000Z RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;INTERVAL=3 RDATE:20260101T000000Z",
		"DTSTART:20200101T100000Z RRULE:FREQ=YEARLY;BYWEEKNO=53,-1,1;BYDAY=MO,FR;COUNT=40",
		"DTSTART:20200101T100000Z RRULE:FREQ=YEARLY;BYDAY=53MO,-53TU,WE;BYYEARDAY=-366,366",
		"DTSTART:20200131T100000Z RRULE:FREQ=MONTHLY;BYDAY=-5MO,FR;BYMONTHDAY=-31,13;UNTIL=20300101T000000",
		"DTSTART;TZID=Pacific/Apia:20111229T233000 RRULE:FREQ=DAILY;BYHOUR=0,23;BYMINUTE=15 EXDATE;TZID=Pacific/Apia:20111230T001500",
		"RRULE:FREQ=DAILY;INTERVAL=3650;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU",
		"RRULE:FREQ=MONTHLY;INTERVAL=120;BYDAY=5SA;BYSETPOS=366 RDATE:20260101T000000",
		"RRULE:FREQ=WEEKLY;BYDAY=SA;COUNT=5000 EXDATE;TZID=UTC:20260101T000000,20260102T000000",
		"FREQ=DAILY",
	} {
		f.Add(text)
	}
	const hang = 20 * time.Second // thousands of times what the slowest needs
	f.Fuzz(func(t *testing.T, text string) {
		watch := time.AfterFunc(hang, func() { panic(fmt.Sprintf("no end to %q", text)) })
		defer watch.Stop()
		exercise(t, text)
		if !strings.Contains(text, "DTSTART") {
			exercise(t, "DTSTART;TZID=Europe/Berlin:20260131T023000 "+text)
		}
	})
}
