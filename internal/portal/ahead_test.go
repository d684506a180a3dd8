package portal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"upkeep/internal/chart"
	"upkeep/internal/rollout"
	"upkeep/internal/window"
)

// A lane tells of one environment: it waits for its window once its parent has
// soaked, is worked at in two of them, and soaks. Of its other windows, and of
// environments that the release does not come to, nothing is drawn.
func TestTheForecastIsDrawn(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 11, 2, hour, 0, 0, 0, time.UTC) } // a Monday
	span := func(from, to int) window.Span { return window.Span{Start: at(from), End: at(to)} }
	daily, err := window.ParseRRule("DTSTART:20260101T220000Z RRULE:FREQ=DAILY")
	if err != nil {
		t.Fatal(err)
	}
	train := rollout.Train{Environments: []rollout.Environment{
		{Name: "dev"},
		{Name: "stage", After: "dev"},
		{Name: "prod", After: "dev", Window: window.Window{Recurrence: daily, Duration: 2 * time.Hour}},
		{Name: "later", After: "prod"},
	}}
	f := rollout.Forecast{
		Items: []rollout.ForecastItem{
			{Environment: "dev", Phase: "api", Span: span(0, 2)},
			{Environment: "dev", Span: span(2, 12)},
			{Environment: "stage", Phase: "api", Span: window.Span{Start: at(12)}},
			{Environment: "prod", Phase: "db", Span: span(22, 23)},
			{Environment: "prod", Phase: "api", Span: span(71, 72)},
			{Environment: "prod", Span: span(72, 100)},
		},
		Asks: []rollout.Wait{{Environment: "prod", Reason: rollout.Reason{Code: rollout.NotApproved}}},
	}
	p := drawAhead(&visit{now: at(0), words: words{"en"}}, train, f, time.UTC)
	axis := chart.Fit(time.Minute, at(0), at(100))
	bars := func(all []chart.Bar) (text string) {
		for _, b := range all {
			from := axis.From.Add(time.Duration(b.X / 100 * float64(axis.To.Sub(axis.From)))).Sub(at(0))
			text += fmt.Sprintf(" %.0f+%.0f", from.Hours(), b.Width/100*axis.To.Sub(axis.From).Hours())
		}
		return text
	}
	var got []string
	for _, l := range p.Lanes {
		got = append(got, fmt.Sprintf("%s %v: windows%s, waits%s, runs%s, endless%s, soaks%s", l.Name, l.Asks, bars(l.Windows), bars(l.Waits), bars(l.Runs), bars(l.Endless), bars(l.Soaks)))
	}
	want := []string{
		"dev false: windows, waits, runs 0+2, endless, soaks 2+10",
		"stage false: windows, waits, runs, endless 12+90, soaks",
		"prod true: windows 22+2 70+2, waits 12+10 23+48, runs 22+1 71+1, endless, soaks 72+28",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("drawn is\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(p.Ticks) == 0 {
		t.Error("there are no times")
	}
}
