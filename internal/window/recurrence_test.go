package window

import (
	"slices"
	"testing"
	"time"
)

// TestStartsAcrossZones tables what rule 11 means: a skipped start moves to the
// gap's end, a doubled one is the first.
func TestStartsAcrossZones(t *testing.T) {
	tests := []struct {
		name, text, after string
		want              []string
	}{
		{"Berlin springs forward: 02:30 does not exist",
			"DTSTART;TZID=Europe/Berlin:20200101T023000 RRULE:FREQ=DAILY", "2026-03-27T12:00:00Z",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"Berlin falls back: 02:30 comes twice",
			"DTSTART;TZID=Europe/Berlin:20200101T023000 RRULE:FREQ=DAILY", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"Berlin, between the two 02:30: today's is over",
			"DTSTART;TZID=Europe/Berlin:20200101T023000 RRULE:FREQ=DAILY", "2026-10-25T00:45:00Z",
			[]string{"2026-10-26T02:30:00+01:00"}},
		{"Berlin, two starts in one gap become one with the start at its end",
			"DTSTART;TZID=Europe/Berlin:20260329T010000 RRULE:FREQ=DAILY;BYHOUR=1,2,3", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T01:00:00+02:00"}},
		{"Santiago skips midnight: the day stays",
			"DTSTART;TZID=America/Santiago:20260901T000000 RRULE:FREQ=DAILY", "2026-09-05T00:00:00Z",
			[]string{"2026-09-05T00:00:00-04:00", "2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"}},
		{"Santiago at 22:00 around the change",
			"DTSTART;TZID=America/Santiago:20260901T220000 RRULE:FREQ=DAILY", "2026-09-05T00:00:00-04:00",
			[]string{"2026-09-05T22:00:00-04:00", "2026-09-06T22:00:00-03:00"}},
		{"Santiago, Sundays at midnight: a Sunday all the same",
			"DTSTART;TZID=America/Santiago:20260801T000000 RRULE:FREQ=WEEKLY;BYDAY=SU", "2026-09-01T00:00:00Z",
			[]string{"2026-09-06T01:00:00-03:00", "2026-09-13T00:00:00-03:00"}},
		{"Lord Howe springs forward by half an hour",
			"DTSTART;TZID=Australia/Lord_Howe:20260101T021500 RRULE:FREQ=DAILY", "2026-10-03T00:00:00+10:30",
			[]string{"2026-10-03T02:15:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"Lord Howe falls back by half an hour",
			"DTSTART;TZID=Australia/Lord_Howe:20260101T014500 RRULE:FREQ=DAILY", "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		{"Kolkata never changes",
			"DTSTART;TZID=Asia/Kolkata:20200101T023000 RRULE:FREQ=MONTHLY;BYDAY=1SU", "2026-03-01T12:00:00Z",
			[]string{"2026-04-05T02:30:00+05:30", "2026-05-03T02:30:00+05:30"}},
		{"Casablanca goes back for Ramadan and forward after it",
			"DTSTART;TZID=Africa/Casablanca:20250101T023000 RRULE:FREQ=WEEKLY;BYDAY=SU", "2026-02-10T12:00:00Z",
			[]string{"2026-02-15T02:30:00+01:00", "2026-02-22T02:30:00Z", "2026-03-01T02:30:00Z", "2026-03-08T02:30:00Z",
				"2026-03-15T02:30:00Z", "2026-03-22T03:00:00+01:00", "2026-03-29T02:30:00+01:00"}},
		{"UTC", "DTSTART:20260131T023000Z RRULE:FREQ=MONTHLY", "2026-01-31T02:30:00Z",
			[]string{"2026-03-31T02:30:00Z", "2026-05-31T02:30:00Z"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := firstStarts(mustParse(t, tt.text), utc(t, tt.after), len(tt.want))
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestWhatPartsMean lists all starts of recurrences that end.
func TestWhatPartsMean(t *testing.T) {
	const berlin = "DTSTART;TZID=Europe/Berlin:20260328T023000 "
	tests := []struct {
		name, text string
		want       []string
	}{
		{"DTSTART is no start where the rule does not yield it",
			"DTSTART:20260401T100000Z RRULE:FREQ=WEEKLY;BYDAY=SA;COUNT=2",
			[]string{"2026-04-04T10:00:00Z", "2026-04-11T10:00:00Z"}},
		{"UNTIL in UTC includes its instant", berlin + "RRULE:FREQ=DAILY;UNTIL=20260329T010000Z",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00"}},
		{"UNTIL in UTC, one second less", berlin + "RRULE:FREQ=DAILY;UNTIL=20260329T005959Z",
			[]string{"2026-03-28T02:30:00+01:00"}},
		{"UNTIL without a Z is told in DTSTART's zone", berlin + "RRULE:FREQ=DAILY;UNTIL=20260329T023000",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00"}},
		{"UNTIL in the second of two hours keeps the first",
			"DTSTART;TZID=Europe/Berlin:20261024T024500 RRULE:FREQ=DAILY;UNTIL=20261025T011500Z",
			[]string{"2026-10-24T02:45:00+02:00", "2026-10-25T02:45:00+02:00"}},
		{"COUNT counts what EXDATE takes away", berlin + "RRULE:FREQ=DAILY;COUNT=3 EXDATE:20260328T023000",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"EXDATE in its own zone", berlin + "RRULE:FREQ=DAILY;COUNT=2 EXDATE;TZID=America/New_York:20260327T213000",
			[]string{"2026-03-29T03:00:00+02:00"}},
		{"EXDATE in UTC", berlin + "RRULE:FREQ=DAILY;COUNT=2 EXDATE:20260328T013000Z",
			[]string{"2026-03-29T03:00:00+02:00"}},
		{"EXDATE of a skipped start", berlin + "RRULE:FREQ=DAILY;COUNT=2 EXDATE;TZID=Europe/Berlin:20260329T023000",
			[]string{"2026-03-28T02:30:00+01:00"}},
		{"EXDATE of what a skipped start became", berlin + "RRULE:FREQ=DAILY;COUNT=2 EXDATE:20260329T030000",
			[]string{"2026-03-28T02:30:00+01:00"}},
		{"RDATE, in any order and before DTSTART", berlin + "RDATE:20260329T013000Z,20260101T000000 RDATE;TZID=Asia/Kolkata:20260329T070000",
			[]string{"2026-01-01T00:00:00+01:00", "2026-03-29T03:30:00+02:00"}},
		{"several rules yield what they share once",
			"DTSTART:20260401T100000Z\nRRULE:FREQ=DAILY;COUNT=2\r\nRRULE:FREQ=WEEKLY;COUNT=2",
			[]string{"2026-04-01T10:00:00Z", "2026-04-02T10:00:00Z", "2026-04-08T10:00:00Z"}},
		{"every Monday or the first Friday, not both at once",
			"DTSTART:20260401T100000Z RRULE:FREQ=MONTHLY;BYDAY=MO,1FR;COUNT=3",
			[]string{"2026-04-03T10:00:00Z", "2026-04-06T10:00:00Z", "2026-04-13T10:00:00Z"}},
		{"what is twice in a list counts once",
			"DTSTART:20260401T100000Z RRULE:FREQ=DAILY;BYHOUR=11,11,10;COUNT=3",
			[]string{"2026-04-01T10:00:00Z", "2026-04-01T11:00:00Z", "2026-04-02T10:00:00Z"}},
		{"lower case, a quoted zone, DTSTART last",
			"rrule:freq=weekly;byday=sa;count=1 dtstart;value=date-time;tzid=\"Europe/Berlin\":20260401t100000",
			[]string{"2026-04-04T10:00:00+02:00"}},
		{"29 February", "DTSTART:20200229T100000Z RRULE:FREQ=YEARLY;COUNT=3",
			[]string{"2020-02-29T10:00:00Z", "2024-02-29T10:00:00Z", "2028-02-29T10:00:00Z"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := firstStarts(mustParse(t, tt.text), time.Time{}, 10)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestZeroRecurrenceNeverOccurs(t *testing.T) {
	var r Recurrence
	if !r.IsZero() || r.String() != "" || r.Zone() != time.UTC || r.Words("en") != "never" {
		t.Errorf("%q in %s, %s", r, r.Zone(), r.Words("en"))
	}
	if s, ok := (Window{r, time.Hour}).Next(time.Time{}); ok {
		t.Errorf("occurs at %s", s.Start)
	}
}

func TestFarTimesEndTheSearch(t *testing.T) {
	w := Window{mustParse(t, "DTSTART:20200101T000000Z RRULE:FREQ=DAILY"), time.Hour}
	for _, now := range []time.Time{{}, time.Unix(-1<<60, 0), time.Unix(0, 0)} {
		if s, ok := w.Next(now); !ok || s.Start.Year() != 2020 {
			t.Errorf("Next(%s) = %s, %v", now, s.Start, ok)
		}
	}
	for _, now := range []time.Time{time.Unix(1<<60, 0), time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)} {
		if s, ok := w.Next(now); ok {
			t.Errorf("Next(%s) = %s", now, s.Start)
		}
	}
	if s, ok := w.Next(time.Date(5000, time.May, 5, 0, 0, 0, 0, time.UTC)); !ok || s.Start.Format(time.DateOnly) != "5000-05-06" {
		t.Errorf("in the year 5000: %s, %v", s.Start, ok)
	}
}

func TestOnceStartsOnce(t *testing.T) {
	// 02:30 is shown twice in Berlin on this day. Both can be meant.
	for _, text := range []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"} {
		start := utc(t, text)
		r := Once(start.Add(999*time.Millisecond), "Europe/Berlin")
		got := firstStarts(mustParse(t, r.String()), time.Time{}, 3)
		if len(got) != 1 || !utc(t, got[0]).Equal(start) || r.Zone().String() != "Europe/Berlin" {
			t.Errorf("Once(%s) = %q, which starts at %s", text, r, got)
		}
		if s, ok := (Window{r, time.Hour}).Current(start.Add(time.Second)); !ok || !s.Start.Equal(start) {
			t.Errorf("not open at once: %v", s)
		}
	}
	if r := Once(utc(t, "2026-10-25T00:30:00Z"), "Mars/Base"); r.Zone() != time.UTC || r.IsZero() {
		t.Errorf("an unknown zone gives %q", r)
	}
	if r := Once(time.Time{}, "UTC"); !r.IsZero() {
		t.Errorf("the zero time gives %q", r)
	}
}

func TestWeeklyWritesACanonicalText(t *testing.T) {
	r, err := Weekly(time.Saturday, "15:39:01", "Europe/Berlin")
	if want := "DTSTART;TZID=Europe/Berlin:20200104T153901 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SA"; err != nil || r.String() != want {
		t.Errorf("got %q, %v, want %q", r, err, want)
	}
	if r, err = Weekly(time.Wednesday, "00:05", "UTC"); err != nil || firstStarts(r, time.Time{}, 1)[0] != "2020-01-01T00:05:00Z" {
		t.Errorf("got %q, %v", r, err)
	}
}
