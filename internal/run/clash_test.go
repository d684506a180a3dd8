package run

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/window"
)

// minute is an instant of the tests' hours.
func minute(n int) time.Time { return saturday.Add(time.Duration(n) * time.Minute) }

func minutes(from, to int) window.Span { return window.Span{Start: minute(from), End: minute(to)} }

// TestClashesAreWhatAnHourByHourLookFinds: for each thing, the clashes cover
// exactly the minutes in which more want it than can have it, and name whoever
// is there then.
func TestClashesAreWhatAnHourByHourLookFinds(t *testing.T) {
	seen := map[ClashKind]int{}
	rapid.Check(t, func(t *rapid.T) {
		places := map[string]int{"group": rapid.IntRange(1, 3).Draw(t, "places")}
		var all []Booking
		for i := range rapid.IntRange(0, 8).Draw(t, "bookings") {
			from := rapid.IntRange(0, 40).Draw(t, "from")
			b := Booking{
				Who: fmt.Sprint("s", i), Open: minutes(from, from+rapid.IntRange(1, 20).Draw(t, "long")),
				Need: time.Duration(rapid.IntRange(1, 20).Draw(t, "need")) * time.Minute,
			}
			for _, what := range []string{"a", "region"} {
				switch rapid.IntRange(0, 3).Draw(t, what) {
				case 0:
					b.Whole = append(b.Whole, what)
				case 1:
					b.Within = append(b.Within, what)
				}
			}
			if rapid.Bool().Draw(t, "member") {
				b.Places = []string{"group"}
			}
			b.Held = rapid.IntRange(0, 4).Draw(t, "held") == 0
			all = append(all, b)
		}
		var freezes []window.Freeze
		if rapid.Bool().Draw(t, "freeze") {
			from := rapid.IntRange(0, 50).Draw(t, "frozen")
			freezes = append(freezes, window.Freeze{Span: minutes(from, from+rapid.IntRange(1, 20).Draw(t, "for")), Reason: "sale"})
		}
		found := Clashes(all, places, freezes)
		for _, c := range found {
			seen[c.Kind]++
			if c.Short < 0 || len(c.Who) == 0 || !c.Span.Start.Before(c.Span.End) {
				t.Fatalf("%+v", c)
			}
		}
		free := all[:0:0]
		for _, b := range all {
			span := window.Longest(b.Open, freezes)
			if b.Held {
				span = b.Open // a freeze takes nothing from who has it
			}
			swallowed := span != b.Open && span.End.Sub(span.Start) < b.need()
			told := slices.ContainsFunc(found, func(c Clash) bool { return c.Kind == ClashFreeze && c.Who[0] == b.Who })
			if swallowed != told {
				t.Fatalf("%s is swallowed: %t, and that is told: %t", b.Who, swallowed, told)
			}
			if b.Open = span; !swallowed {
				free = append(free, b)
			}
		}
		for _, what := range []string{"a", "region", "group"} {
			lookAt(t, what, places, free, found)
		}
	})
	for _, kind := range []ClashKind{ClashClaim, ClashPlaces, ClashFreeze} {
		if seen[kind] == 0 {
			t.Errorf("the test has seen no clash of the kind %s", kind)
		}
	}
}

// lookAt asks minute by minute.
func lookAt(t *rapid.T, what string, places map[string]int, all []Booking, found []Clash) {
	for m := range 70 {
		whole, within, place := 0, 0, 0
		var who []string
		for _, b := range all {
			if !b.Open.Contains(minute(m)) {
				continue
			}
			switch {
			case slices.Contains(b.Whole, what):
				whole++
			case slices.Contains(b.Within, what):
				within++
			case slices.Contains(b.Places, what):
				place++
			default:
				continue
			}
			who = append(who, b.Who)
		}
		want := whole > 0 && whole+within > 1 || place > 0 && place > places[what]
		i := slices.IndexFunc(found, func(c Clash) bool { return c.What == what && c.Span.Contains(minute(m)) })
		if want != (i >= 0) {
			t.Fatalf("minute %d of %s: %d whole, %d within, %d places; a clash is told: %t", m, what, whole, within, place, i >= 0)
		}
		if i < 0 {
			continue
		}
		if c := found[i]; c.Most < len(who) {
			t.Fatalf("minute %d of %s: %d want it, and at most %d are told", m, what, len(who), c.Most)
		} else if i := slices.IndexFunc(who, func(w string) bool { return !slices.Contains(c.Who, w) }); i >= 0 {
			t.Fatalf("minute %d of %s: %s is not named in %+v", m, what, who[i], c)
		}
	}
}

func TestClashesSayByHowMuch(t *testing.T) {
	hour := minutes(0, 60)
	booked := func(n int, need time.Duration, f func(*Booking)) (all []Booking) {
		for i := range n {
			b := Booking{Who: fmt.Sprintf("web-%02d/weekend", i), Open: hour, Need: need}
			f(&b)
			all = append(all, b)
		}
		return all
	}
	whole := func(b *Booking) { b.Whole = []string{"server/web-1"} }
	place := func(b *Booking) { b.Places = []string{"group/web"} }
	for _, c := range []struct {
		name  string
		all   []Booking
		short time.Duration
		most  int
	}{
		{"two that fit", booked(2, 20*time.Minute, whole), 0, 2},
		{"two that do not", booked(2, 40*time.Minute, whole), 20 * time.Minute, 2},
		{"what needs more than its window goes on in the next", booked(2, 5*time.Hour, whole), time.Hour, 2},
		{"three places for twelve", booked(12, 10*time.Minute, place), 0, 12},
		{"three places for thirty", booked(30, 10*time.Minute, place), 40 * time.Minute, 30},
	} {
		found := Clashes(c.all, map[string]int{"group/web": 3}, nil)
		if len(found) != 1 || found[0].Short != c.short || found[0].Most != c.most || found[0].Span != hour || len(found[0].Who)+found[0].More != len(c.all) {
			t.Errorf("%s: %+v", c.name, found)
		}
	}
	if found := Clashes(booked(3, time.Hour, place), map[string]int{"group/web": 3}, nil); len(found) != 0 {
		t.Errorf("as many as there are places: %+v", found)
	}
	// One after the other is no clash.
	next := booked(2, time.Hour, whole)
	next[1].Open = minutes(60, 120)
	if found := Clashes(next, nil, nil); len(found) != 0 {
		t.Errorf("one ends when the other begins: %+v", found)
	}
	frozen := Clashes(booked(1, 40*time.Minute, whole), nil, []window.Freeze{{Span: minutes(30, 45), Reason: "sale"}})
	if len(frozen) != 1 || frozen[0].Kind != ClashFreeze || frozen[0].Why != "sale" || frozen[0].Short != 10*time.Minute {
		t.Errorf("a freeze in the middle: %+v", frozen)
	}
}

// Who has no window may begin at any time: it is told once whom it may meet,
// and by how much both do not fit into the other's window.
func TestClashesOfWhatMayBeginAtAnyTime(t *testing.T) {
	anytime := Booking{Who: "R1 in dev", Rollout: "r1", Anytime: true, Open: minutes(30, 600), Need: 40 * time.Minute, Whole: []string{"service/api"}, Within: []string{"region/dev"}}
	weekly := func(from int, what string) Booking {
		return Booking{Who: "api/weekly", Open: minutes(from, from+60), Need: 30 * time.Minute, Whole: []string{what}}
	}
	within := weekly(90, "service/web")
	within.Within = []string{"service/api"}
	held := weekly(0, "region/dev")
	held.Who, held.Held = "claim of bob", true
	second, third := anytime, anytime
	second.Who, second.Open, third.Who, third.Rollout, third.Open = "R1 in stage", minutes(100, 600), "R2 in dev", "r2", minutes(200, 700)
	for _, c := range []struct {
		name string
		with []Booking
		want string
	}{
		{"a window twice", []Booking{weekly(300, "service/api"), weekly(60, "service/api")}, "service/api 60-120 api/weekly, R1 in dev, 10m0s short"},
		{"what works within it", []Booking{within}, "service/api 90-150 api/weekly, R1 in dev, 10m0s short"},
		{"the half of a window that is left", []Booking{weekly(0, "region/dev")}, "region/dev 30-60 api/weekly, R1 in dev, 10m0s short"},
		{"a claim", []Booking{held}, "region/dev 30-60 claim of bob, R1 in dev, 0s short"},
		{"before it may begin", []Booking{weekly(-60, "service/api")}, ""},
		{"something else", []Booking{weekly(60, "service/web")}, ""},
		{"its own later environment", []Booking{second}, ""},
		{"another rollout", []Booking{third}, "service/api 200-600 R2 in dev, R1 in dev, 0s short"},
	} {
		got := ""
		for _, found := range Clashes(append([]Booking{anytime}, c.with...), nil, nil) {
			if found.Kind != ClashAnytime {
				t.Errorf("%s: %+v", c.name, found)
			}
			got += fmt.Sprintf("%s %.0f-%.0f %s, %s, %v short", found.What, found.Span.Start.Sub(minute(0)).Minutes(), found.Span.End.Sub(minute(0)).Minutes(), found.Who[0], found.Who[1], found.Short)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// BenchmarkClashes is a fleet of 100,000 servers in groups of four, which are
// all open in the same four hours twice.
func BenchmarkClashes(b *testing.B) {
	var all []Booking
	places := map[string]int{}
	for i := range 100_000 {
		group := fmt.Sprint("group/", i/4)
		places[group] = 1
		for week := range 2 {
			from := week*7*24*60 + i%60
			all = append(all, Booking{
				Who: fmt.Sprint("web-", i), Open: minutes(from, from+240), Need: 10 * time.Minute,
				Whole: []string{fmt.Sprint("server/web-", i)}, Within: []string{"region/eu01"}, Places: []string{group},
			})
		}
	}
	for b.Loop() {
		if found := Clashes(all, places, nil); len(found) != 50_000 {
			b.Fatalf("%d clashes", len(found))
		}
	}
}
