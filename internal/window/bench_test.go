package window

import (
	"fmt"
	"testing"
	"time"

	"github.com/teambition/rrule-go"
)

// eachNext names the searches for a next start that are timed: rules of several
// kinds, 1, 5 and 20 years old.
func eachNext(do func(name, text string, now time.Time)) {
	now := time.Date(2026, time.June, 3, 12, 0, 0, 0, time.UTC)
	for _, rule := range []string{"FREQ=WEEKLY;BYDAY=SA", "FREQ=DAILY", "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=WEEKLY;BYDAY=SA;COUNT=5000"} {
		for _, years := range []int{1, 5, 20} {
			dtstart := now.AddDate(-years, 0, 0).Format(stampForm)
			do(fmt.Sprintf("%s/%dy", rule, years), "DTSTART;TZID=Europe/Berlin:"+dtstart+"\nRRULE:"+rule, now)
		}
	}
}

// BenchmarkNext asks rules of several ages for their next start, here and by
// the library itself, which walks from DTSTART. BenchmarkNextDateutil, behind
// the tag e2e, asks python-dateutil.
func BenchmarkNext(b *testing.B) {
	eachNext(func(name, text string, now time.Time) {
		w := Window{mustParse(b, text), time.Hour}
		b.Run(name+"/ours", func(b *testing.B) {
			for b.Loop() {
				w.Next(now)
			}
		})
		r, err := rrule.StrToRRule(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/library", func(b *testing.B) {
			for b.Loop() {
				r.After(now, false)
			}
		})
	})
}

func BenchmarkParse(b *testing.B) {
	for _, rule := range []string{"FREQ=WEEKLY;BYDAY=SA", "FREQ=DAILY;COUNT=5000", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU"} {
		text := "DTSTART;TZID=Europe/Berlin:20060603T120000 RRULE:" + rule
		b.Run(rule, func(b *testing.B) {
			for b.Loop() {
				mustParse(b, text)
			}
		})
	}
}
