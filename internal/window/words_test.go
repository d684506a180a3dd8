package window

import (
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	const berlin = "DTSTART;TZID=Europe/Berlin:20260131T133900 "
	for _, tt := range []struct{ text, en, de string }{
		{"DTSTART;TZID=Europe/Sofia:20200803T023000 RRULE:FREQ=DAILY;INTERVAL=1",
			"every day at 02:30 (Europe/Sofia)", "jeden Tag um 02:30 Uhr (Europe/Sofia)"},
		{"DTSTART;TZID=Europe/Sofia:20200803T134000 RRULE:FREQ=WEEKLY;BYDAY=SA",
			"every week on Saturday at 13:40 (Europe/Sofia)", "jede Woche am Samstag um 13:40 Uhr (Europe/Sofia)"},
		{berlin + "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,SA,SA;BYHOUR=1,5;BYSECOND=1",
			"every 2 weeks on Saturday and Sunday at 01:39:01 and 05:39:01 (Europe/Berlin)",
			"alle 2 Wochen am Samstag und Sonntag um 01:39:01 und 05:39:01 Uhr (Europe/Berlin)"},
		{berlin + "RRULE:FREQ=DAILY;BYDAY=MO,TU,WE;COUNT=10",
			"every week on Monday, Tuesday and Wednesday at 13:39, 10 times (Europe/Berlin)",
			"jede Woche am Montag, Dienstag und Mittwoch um 13:39 Uhr, 10-mal (Europe/Berlin)"},
		{berlin + "RRULE:FREQ=MONTHLY", "every month on the 31st at 13:39 (Europe/Berlin)", "jeden Monat am 31. um 13:39 Uhr (Europe/Berlin)"},
		{berlin + "RRULE:FREQ=MONTHLY;BYMONTHDAY=12,-1,3", "every month on the last day, 3rd and 12th at 13:39 (Europe/Berlin)",
			"jeden Monat am letzten Tag, 3. und 12. um 13:39 Uhr (Europe/Berlin)"},
		{berlin + "RRULE:FREQ=MONTHLY;BYDAY=1SU,-1FR;UNTIL=20261231T230000Z",
			"every month on the first Sunday and last Friday at 13:39, until 1 January 2027 (Europe/Berlin)",
			"jeden Monat am ersten Sonntag und letzten Freitag um 13:39 Uhr, bis 1. Januar 2027 (Europe/Berlin)"},
		{berlin + "RRULE:FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=2 EXDATE:20270302T133900",
			"every year on 2 March at 13:39, except once (Europe/Berlin)", "jedes Jahr am 2. März um 13:39 Uhr, außer 1-mal (Europe/Berlin)"},
		{berlin + "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
			"by a rule of its own, from 31 January 2026 (Europe/Berlin)", "nach eigener Regel ab dem 31. Januar 2026 (Europe/Berlin)"},
		{berlin + "RRULE:FREQ=WEEKLY;BYMONTH=7", "by a rule of its own, from 31 January 2026 (Europe/Berlin)", "nach eigener Regel ab dem 31. Januar 2026 (Europe/Berlin)"},
		{berlin + "RRULE:FREQ=MONTHLY;BYDAY=MO", "by a rule of its own, from 31 January 2026 (Europe/Berlin)", "nach eigener Regel ab dem 31. Januar 2026 (Europe/Berlin)"},
		{berlin + "RRULE:FREQ=DAILY RRULE:FREQ=WEEKLY", "by a rule of its own, from 31 January 2026 (Europe/Berlin)", "nach eigener Regel ab dem 31. Januar 2026 (Europe/Berlin)"},
		{Once(utc(t, "2026-10-25T01:30:00Z"), "Europe/Berlin").String(),
			"once on 25 October 2026 at 02:30 (Europe/Berlin)", "einmal am 25. Oktober 2026 um 02:30 Uhr (Europe/Berlin)"},
	} {
		r := mustParse(t, tt.text)
		if got := r.Words("en"); got != tt.en {
			t.Errorf("%s:\n got %s\nwant %s", tt.text, got, tt.en)
		}
		for _, lang := range []string{"de", "de-CH"} {
			if got := r.Words(lang); got != tt.de {
				t.Errorf("%s:\n got %s\nwant %s", tt.text, got, tt.de)
			}
		}
		if r.Words("fr") != tt.en {
			t.Error("an unknown language is not told in English")
		}
	}
}

func TestBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Hour: "1h", 10 * time.Minute: "10m", 90 * time.Minute: "1h30m", time.Second: "1s", 24*time.Hour + 1: "24h0m0.000000001s"} {
		if got := brief(d); got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	}
}
