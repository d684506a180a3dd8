package window

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestOverlapsAgreesWithEveryMinute compares the search to a look at every
// minute: windows are whole minutes long, and here they start on whole minutes.
func TestOverlapsAgreesWithEveryMinute(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		a, b := someFrequent(t, "a"), someFrequent(t, "b")
		from := someTime(t, "from").Truncate(time.Minute)
		until := from.Add(time.Duration(rapid.IntRange(0, 12*24*60).Draw(t, "for minutes")) * time.Minute)
		limit := rapid.IntRange(1, 30).Draw(t, "limit")
		want := bothOpen(a, b, from, until, limit)
		got := Overlaps(a, b, from, until, limit)
		if len(got) != len(want) {
			t.Fatalf("%d spans, want %d:\n%v\n%v", len(got), len(want), got, want)
		}
		for i := range got {
			if !got[i].Start.Equal(want[i].Start) || !got[i].End.Equal(want[i].End) {
				t.Fatalf("span %d is %v, want %v", i, got[i], want[i])
			}
		}
		swapped := Overlaps(b, a, from, until, limit)
		for i := range swapped {
			if !swapped[i].Start.Equal(got[i].Start) || !swapped[i].End.Equal(got[i].End) {
				t.Fatalf("the other way round span %d is %v, want %v", i, swapped[i], got[i])
			}
		}
		found += len(got)
	})
	if found == 0 {
		t.Error("no two windows overlapped: the property says nothing")
	}
}

// someFrequent draws a window that opens about daily and starts on whole minutes,
// so that two of them meet.
func someFrequent(t *rapid.T, name string) Window {
	zone := rapid.SampledFrom(testZones).Draw(t, name+" zone")
	rule := rapid.SampledFrom([]string{"FREQ=DAILY", "FREQ=DAILY;INTERVAL=2", "FREQ=WEEKLY;BYDAY=MO,WE,SA", "FREQ=DAILY;BYHOUR=1,2,9,23",
		"FREQ=DAILY;BYDAY=MO,TU;BYHOUR=0,1,2,3,4,5,6,7", "FREQ=MONTHLY;BYMONTHDAY=1,10,-3,-1"}).Draw(t, name+" rule")
	start := time.Date(1999, time.January, 1, 0, rapid.IntRange(0, 24*60-1).Draw(t, name+" minute"), 0, 0, time.UTC)
	r, err := ParseRRule("DTSTART;TZID=" + zone + ":" + start.Format("20060102T150405") + " RRULE:" + rule)
	if err != nil {
		t.Fatal(err)
	}
	return Window{r, time.Duration(rapid.IntRange(1, 24*60).Draw(t, name+" minutes")) * time.Minute}
}

// bothOpen looks at every minute.
func bothOpen(a, b Window, from, until time.Time, limit int) []Span {
	open := func(w Window) map[int64]bool {
		minutes := map[int64]bool{}
		for _, s := range w.Between(from, until, 10_000) {
			for at := s.Start.Unix(); at < s.End.Unix(); at += 60 {
				minutes[at] = true
			}
		}
		return minutes
	}
	inA, inB := open(a), open(b)
	var spans []Span
	for at := from; at.Before(until); at = at.Add(time.Minute) {
		if !inA[at.Unix()] || !inB[at.Unix()] {
			continue
		}
		end := at.Add(time.Minute)
		if last := len(spans) - 1; last >= 0 && spans[last].End.Equal(at) {
			spans[last].End = end
		} else {
			spans = append(spans, Span{at, end})
		}
	}
	return spans[:min(limit, len(spans))]
}

// TestOverlapsOfRareWindows compares rules of every kind to all pairs of their
// occurrences: those that are rare and far apart are jumped to.
func TestOverlapsOfRareWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := someWindow(t), someWindow(t)
		from := someTime(t, "from")
		until := from.AddDate(0, rapid.IntRange(1, 60).Draw(t, "months"), 0)
		var want []Span
		for _, s := range a.Between(from, until, 20_000) {
			for _, o := range b.Between(later(s.Start, from), earlier(s.End, until), 100) {
				both := intersect(intersect(s, o), Span{from, until})
				if last := len(want) - 1; last >= 0 && !both.Start.After(want[last].End) {
					want[last].End = later(want[last].End, both.End)
				} else {
					want = append(want, both)
				}
			}
		}
		want = want[:min(len(want), 50)]
		got := Overlaps(a, b, from, until, 50)
		if len(got) != len(want) {
			t.Fatalf("%d spans, want %d:\n%v\n%v", len(got), len(want), got, want)
		}
		for i := range got {
			if !got[i].Start.Equal(want[i].Start) || !got[i].End.Equal(want[i].End) {
				t.Fatalf("span %d is %v, want %v", i, got[i], want[i])
			}
		}
	})
}

func earlier(t, u time.Time) time.Time {
	if u.Before(t) {
		return u
	}
	return t
}

func TestOverlaps(t *testing.T) {
	const hourly = "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23"
	window := func(start, rule string, d time.Duration) Window {
		return Window{mustParse(t, "DTSTART:"+start+"Z RRULE:"+rule), d}
	}
	from, ages := utc(t, "2026-03-01T00:00:00Z"), utc(t, "9000-01-01T00:00:00Z")
	tests := []struct {
		name  string
		a, b  Window
		until time.Time
		want  []string // the starts and ends
	}{
		{"no windows", Window{}, Window{}, ages, nil},
		{"one that has ended", window("20200101T000000", "FREQ=DAILY;COUNT=3", time.Hour), window("20200101T000000", "FREQ=DAILY", time.Hour), ages, nil},
		{"hourly, and never at once", window("20200101T000000", hourly, 30*time.Minute), window("20200101T003000", hourly, 30*time.Minute), ages, nil},
		{"never on one day", window("20200101T000000", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU", time.Hour), window("20200101T000000", hourly+";BYMONTH=1", time.Hour), ages, nil},
		{
			"weekly and monthly", window("20200104T100000", "FREQ=WEEKLY;BYDAY=SA", 4*time.Hour), window("20200101T130000", "FREQ=MONTHLY;BYMONTHDAY=7", 3*time.Hour), utc(t, "2026-12-01T00:00:00Z"),
			[]string{"2026-03-07T13:00:00Z", "2026-03-07T14:00:00Z", "2026-11-07T13:00:00Z", "2026-11-07T14:00:00Z"},
		},
		{
			"rare", window("20200101T120000", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", time.Hour), window("20200101T000000", hourly, time.Hour), utc(t, "2033-01-01T00:00:00Z"),
			[]string{"2028-02-29T12:00:00Z", "2028-02-29T13:00:00Z", "2032-02-29T12:00:00Z", "2032-02-29T13:00:00Z"},
		},
		{
			"always open", window("20200101T000000", "FREQ=DAILY", 24*time.Hour), window("20200101T000000", hourly, time.Hour), utc(t, "2026-05-01T00:30:00Z"),
			[]string{"2026-03-01T00:00:00Z", "2026-05-01T00:30:00Z"},
		},
		{"touching", window("20260301T100000", "FREQ=DAILY", time.Hour), window("20260301T110000", "FREQ=DAILY", time.Hour), utc(t, "2027-01-01T00:00:00Z"), nil},
		{"no time", window("20200101T000000", "FREQ=DAILY", 24*time.Hour), window("20200101T000000", "FREQ=DAILY", 24*time.Hour), from, nil},
	}
	for _, tt := range tests {
		var got []string
		for _, s := range Overlaps(tt.a, tt.b, from, tt.until, 10) {
			got = append(got, s.Start.Format(time.RFC3339), s.End.Format(time.RFC3339))
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
				break
			}
		}
	}
	daily := window("20200101T000000", "FREQ=DAILY", time.Hour)
	for _, limit := range []int{-1, 0, 1, 3} {
		if got := Overlaps(daily, daily, from, ages, limit); len(got) != max(limit, 0) {
			t.Errorf("at most %d: %d spans", limit, len(got))
		}
	}
}
