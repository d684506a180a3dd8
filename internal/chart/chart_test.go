package chart

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, time.August, 1, 12, 0, 0, 0, time.UTC)

func TestFitShowsAllInstants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offsets := rapid.SliceOfN(rapid.Int64Range(0, 1_000_000), 1, 20).Draw(t, "offsets")
		var at []time.Time
		for _, o := range offsets {
			at = append(at, noon.Add(time.Duration(o)*time.Second))
		}
		a := Fit(time.Minute, at...)
		if a.To.Sub(a.From) < time.Minute {
			t.Fatalf("axis of %v is shorter than a minute", a.To.Sub(a.From))
		}
		for _, x := range at {
			if !a.Shows(x) {
				t.Fatalf("%v is not on %v", x, a)
			}
		}
	})
}

func TestBarsStayOnTheAxis(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Axis{From: noon, To: noon.Add(time.Duration(rapid.Int64Range(1, 1e15).Draw(t, "length")))}
		start := noon.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "start")))
		end := start.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "took")))
		b, ok := a.Bar(start, end)
		if ok && (b.X < 0 || b.Width < MinWidth || b.X+b.Width > 100.0001) {
			t.Fatalf("bar %+v leaves the axis", b)
		}
		if !ok && a.Shows(start) {
			t.Fatalf("a span that starts on the axis has no bar")
		}
	})
}

func TestTicksAreRoundFewAndInOrder(t *testing.T) {
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		length := time.Duration(rapid.Int64Range(int64(time.Second), int64(2*365*24*time.Hour)).Draw(t, "length"))
		a := Axis{From: noon.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "from"))), To: noon.Add(1e15).Add(length)}
		ticks := a.Ticks(kolkata, 6)
		if len(ticks) > 6 {
			t.Fatalf("%d ticks", len(ticks))
		}
		for i, k := range ticks {
			if !a.Shows(k.At) || i > 0 && k.X <= ticks[i-1].X {
				t.Fatalf("tick %d of %v is out of place", i, ticks)
			}
		}
	})
	ticks := Axis{From: noon, To: noon.Add(4 * time.Hour)}.Ticks(kolkata, 6)
	if len(ticks) == 0 || ticks[0].Label != "18:00" {
		t.Fatalf("ticks in a zone half an hour off: %v, want the first at 18:00", ticks)
	}
}

func TestAnEmptyAxisHasNothing(t *testing.T) {
	var a Axis
	if _, ok := a.Bar(noon, noon.Add(1)); ok || a.Ticks(time.UTC, 5) != nil || a.X(noon) != 0 || !Fit(time.Hour).IsZero() {
		t.Fatal("an empty axis shows something")
	}
}

func TestLatestCutsAtTheLastLongPause(t *testing.T) {
	week := 7 * 24 * time.Hour
	spans := []Span{
		{noon, noon.Add(time.Minute)},
		{noon.Add(week), noon.Add(week + time.Minute)},
		{noon.Add(week + 2*time.Minute), noon.Add(week + 3*time.Minute)},
	}
	if got := Latest(spans, time.Hour); got != 1 {
		t.Fatalf("Latest = %d, want 1", got)
	}
	if got := Latest(nil, time.Hour); got != 0 {
		t.Fatalf("Latest of nothing = %d", got)
	}
}
