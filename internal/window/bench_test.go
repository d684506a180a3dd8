package window

import (
	"fmt"
	"testing"
	"time"

	"github.com/teambition/rrule-go"
)

// BenchmarkNext asks rules of several ages for their next start, here and by
// the library itself, which walks from DTSTART.
func BenchmarkNext(b *testing.B) {
	now := time.Date(2026, time.June, 3, 12, 0, 0, 0, time.UTC)
	for _, rule := range []string{"FREQ=WEEKLY;BYDAY=SA", "FREQ=DAILY", "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=WEEKLY;BYDAY=SA;COUNT=5000"} {
		for _, years := range []int{1, 5, 20} {
			dtstart := now.AddDate(-years, 0, 0).Format("20060102T150405")
			name := fmt.Sprintf("%s/%dy", rule, years)
			w := Window{mustParse(b, "DTSTART;TZID=Europe/Berlin:"+dtstart+" RRULE:"+rule), time.Hour}
			b.Run(name+"/ours", func(b *testing.B) {
				for b.Loop() {
					w.Next(now)
				}
			})
			r, err := rrule.StrToRRule("DTSTART;TZID=Europe/Berlin:" + dtstart + "\nRRULE:" + rule)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(name+"/library", func(b *testing.B) {
				for b.Loop() {
					r.After(now, false)
				}
			})
		}
	}
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
