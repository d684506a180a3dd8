package window

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFrozen(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, time.December, 24, hour, 0, 0, 0, time.UTC) }
	freezes := []Freeze{{ID: "short", Span: Span{at(4), at(6)}}, {ID: "long", Span: Span{at(5), at(9)}}}
	for _, tt := range []struct {
		span Span
		want string
	}{
		{Span{at(0), at(4)}, ""}, {Span{at(0), at(5)}, "short"}, {Span{at(0), at(6)}, "long"}, {Span{at(9), at(12)}, ""},
		{Span{at(4), at(4)}, "short"}, {Span{at(5), at(5)}, "long"}, {Span{at(9), at(9)}, ""},
		{Span{Start: at(8)}, "long"}, // an instant
	} {
		f, ok := Frozen(freezes, tt.span)
		if f.ID != tt.want || ok != (tt.want != "") {
			t.Errorf("%v is frozen by %q, %v, want %q", tt.span, f.ID, ok, tt.want)
		}
	}
}

func TestFreezeApplies(t *testing.T) {
	for _, tt := range []struct {
		f    Freeze
		want bool
	}{
		{Freeze{}, true},
		{Freeze{Project: "shop"}, true},
		{Freeze{Project: "lab"}, false},
		{Freeze{Targets: []string{"web-1", "web-2"}}, true},
		{Freeze{Project: "shop", Targets: []string{"web-2"}}, false},
	} {
		if got := tt.f.Applies("shop", "web-1"); got != tt.want {
			t.Errorf("%+v applies: %v", tt.f, got)
		}
	}
}

// TestNextOpenAgreesWithEveryMinute compares NextOpen to trying all minutes.
func TestNextOpenAgreesWithEveryMinute(t *testing.T) {
	begin := time.Date(2026, time.March, 27, 0, 0, 0, 0, time.UTC)
	minute := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Minute) }
	const most = 4 * 24 * 60
	rapid.Check(t, func(t *rapid.T) {
		hours := someList(t, "hours", 0, 23, 3)
		r, err := ParseRRule("DTSTART;TZID=Europe/Berlin:20200101T001000 RRULE:FREQ=DAILY;BYHOUR=" + hours)
		if err != nil {
			t.Fatal(err)
		}
		w := Window{r, time.Duration(rapid.IntRange(1, 600).Draw(t, "duration")) * time.Minute}
		var freezes []Freeze
		for range rapid.IntRange(0, 6).Draw(t, "freezes") {
			from := rapid.IntRange(-100, most).Draw(t, "from")
			freezes = append(freezes, Freeze{Span: Span{minute(from), minute(from + rapid.IntRange(-1, 2000).Draw(t, "long"))}})
		}
		now := minute(rapid.IntRange(0, most/2).Draw(t, "now"))
		need := time.Duration(rapid.IntRange(1, 700).Draw(t, "need")) * time.Minute

		fits := func(at time.Time) bool {
			if _, frozen := Frozen(freezes, Span{at, at.Add(need)}); frozen {
				return false
			}
			for _, s := range w.Between(at, at.Add(1), 99) {
				if s.Left(at) >= need {
					return true
				}
			}
			return false
		}
		want := now
		for want.Before(minute(2*most)) && !fits(want) {
			want = want.Add(time.Minute)
		}
		got, ok := NextOpen(w, freezes, now, need)
		if !ok {
			if want.Before(minute(2 * most)) {
				t.Fatalf("found nothing, but it fits at %s", want)
			}
			return
		}
		if begins := later(got.Start, now); !begins.Equal(want) || got.Left(now) < need {
			t.Fatalf("found %s to %s, but it fits first at %s", got.Start, got.End, want)
		}
		if _, frozen := Frozen(freezes, got); frozen {
			t.Fatalf("found %s to %s, which is frozen", got.Start, got.End)
		}
	})
}

func TestNextOpenEnds(t *testing.T) {
	now := time.Date(2026, time.March, 27, 0, 0, 0, 0, time.UTC)
	hourly := Window{mustParse(t, "DTSTART:20200101T000000Z RRULE:FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23"), time.Hour}
	thaw := now.AddDate(60, 0, 0)
	for name, freezes := range map[string][]Freeze{
		"one freeze": {{Span: Span{now.AddDate(-1, 0, 0), thaw}}},
		"many":       years(now, thaw),
	} {
		if s, ok := NextOpen(hourly, freezes, now, time.Hour); !ok || !s.Start.Equal(thaw) {
			t.Errorf("%s: open from %s, %v, want %s", name, s.Start, ok, thaw)
		}
	}
	if s, ok := NextOpen(hourly, nil, now, time.Hour+1); ok {
		t.Errorf("what needs more than a window fits at %s", s.Start)
	}
	if s, ok := NextOpen(hourly, nil, now, 0); !ok || !s.Start.Equal(now) {
		t.Errorf("nothing fits at %s, %v", s.Start, ok)
	}
	if s, ok := NextOpen(Window{Once(now, "UTC"), time.Hour}, nil, now.Add(time.Hour), time.Minute); ok {
		t.Errorf("what is over opens at %s", s.Start)
	}
}

// years freezes each year from from to to on its own.
func years(from, to time.Time) []Freeze {
	var freezes []Freeze
	for at := from; at.Before(to); at = at.AddDate(1, 0, 0) {
		freezes = append(freezes, Freeze{ID: fmt.Sprint(at.Year()), Span: Span{at, at.AddDate(1, 0, 0)}})
	}
	return freezes
}
