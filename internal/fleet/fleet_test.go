package fleet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/window"
)

// The default windows lie inside the weekend of their zone, are the same
// whenever they are asked for, and are spread evenly.
func TestWeekendWindow(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "UTC", "America/Santiago", "Asia/Kathmandu"} {
		for _, length := range []time.Duration{time.Hour, 2 * time.Hour, 23 * time.Hour} {
			starts := map[string]int{}
			const servers = 4000
			for i := range servers {
				w := WeekendWindow(fmt.Sprintf("srv-%d", i), zone, length)
				if again := WeekendWindow(fmt.Sprintf("srv-%d", i), zone, length); !again.Recurrence.Equal(w.Recurrence) {
					t.Fatal("it is another one the second time")
				}
				span, ok := w.Next(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
				if !ok {
					t.Fatalf("it never opens: %+v", w)
				}
				// The instant before the end counts: midnight is Monday's.
				for _, at := range []time.Time{span.Start, span.End.Add(-time.Nanosecond)} {
					if day := at.Weekday(); day != time.Saturday && day != time.Sunday {
						t.Fatalf("%s for %v: %v is a %v", zone, length, at, day)
					}
				}
				starts[span.Start.Format("Mon 15")]++
			}
			hours := int((48*time.Hour - length) / time.Hour)
			for hour, n := range starts {
				if fair := servers / hours; n > 2*fair {
					t.Errorf("%s for %v: %d of %d servers start at %s, %d would be even", zone, length, n, servers, hour, fair)
				}
			}
			if len(starts) < hours {
				t.Errorf("%s for %v: only %d hours of %d are used", zone, length, len(starts), hours)
			}
		}
	}
	if w := WeekendWindow("a", "Mars/Olympus", time.Hour); !w.Recurrence.IsZero() {
		t.Errorf("a window in no zone: %v", w)
	}
}

// What is picked ends in time where any occurrence does, does not move while
// time goes by until it is over, and is never in the past.
func TestPick(t *testing.T) {
	zone := "Europe/Berlin"
	rapid.Check(t, func(t *rapid.T) {
		day := time.Weekday(rapid.IntRange(0, 6).Draw(t, "day"))
		r, err := window.Weekly(day, "22:00", zone)
		if err != nil {
			t.Fatal(err)
		}
		w, err := window.New(r, 4*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		known := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "hour")) * time.Hour)
		within := time.Duration(rapid.IntRange(1, 60).Draw(t, "days")) * 24 * time.Hour
		target := fmt.Sprint("srv-", rapid.IntRange(0, 99).Draw(t, "server"))
		first, ok := Pick(target, w, known, within, known)
		if !ok {
			t.Fatal("nothing is picked")
		}
		for now := known; now.Before(first.End); now = now.Add(7 * time.Hour) {
			if again, _ := Pick(target, w, known, within, now); !again.Start.Equal(first.Start) {
				t.Fatalf("at %v it is %v, before it was %v", now, again, first)
			}
		}
		if within >= 8*24*time.Hour && first.End.After(known.Add(within)) {
			t.Fatalf("known since %v, to be installed within %v, picked %v", known, within, first)
		}
		late := first.End.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "late")) * time.Hour)
		if again, ok := Pick(target, w, known, within, late); !ok || !again.End.After(late) {
			t.Fatalf("at %v it is %v", late, again)
		}
	})
}

func TestSeen(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC) }
	curl, bash := action.Pending{Name: "curl", To: "2"}, action.Pending{Name: "bash", To: "5", Released: at(1)}
	seen := Seen(nil).Note(&action.Observation{Pending: []action.Pending{curl}}, at(10))
	seen = seen.Note(&action.Observation{Pending: []action.Pending{curl, bash}}, at(12))
	if got := seen.Known(curl); !got.Equal(at(10)) {
		t.Errorf("curl is known since %v", got)
	}
	if got := seen.Known(bash); !got.Equal(at(1)) {
		t.Errorf("bash, whose release is known, counts from %v", got)
	}
	seen = seen.Note(&action.Observation{Pending: []action.Pending{{Name: "curl", To: "3"}}}, at(14))
	if got := seen.Known(action.Pending{Name: "curl", To: "3"}); !got.Equal(at(14)) || len(seen) != 1 {
		t.Errorf("a newer version is known since %v, of %d", got, len(seen))
	}
	if kept := seen.Note(nil, at(15)); len(kept) != 1 {
		t.Error("an answer that shows nothing makes it forget")
	}
}

func TestPolicyRefuses(t *testing.T) {
	weekly, err := window.Weekly(time.Monday, "03:00", "UTC")
	if err != nil {
		t.Fatal(err)
	}
	many := strings.Split(strings.Repeat("a,", MaxCommands)+"b", ",")
	for field, spoil := range map[string][]func(*Policy){
		"policy.scope":        {func(p *Policy) { p.Scope = "some" }},
		"policy.reboot":       {func(p *Policy) { p.Reboot = "maybe" }},
		"policy.rebootWindow": {func(p *Policy) { p.Reboot = RebootOwnWindow }, func(p *Policy) { p.RebootWindow = window.Window{Recurrence: weekly, Duration: time.Hour} }},
		"policy.batch":        {func(p *Policy) { p.Batch = -1 }, func(p *Policy) { p.Batch = MaxBatch + 1 }},
		"policy.hold":         {func(p *Policy) { p.Hold = []string{"?"} }, func(p *Policy) { p.Hold = []string{"a["} }, func(p *Policy) { p.Hold = []string{"rm -rf"} }},
		"policy.within":       {func(p *Policy) { p.Within = time.Hour }, func(p *Policy) { p.Within = -24 * time.Hour }},
		"policy.backup":       {func(p *Policy) { p.Backup = "/bin/sh" }},
		"policy.before":       {func(p *Policy) { p.Before = []string{"Stop"} }, func(p *Policy) { p.Before = []string{"a", "a"} }},
		"policy.after":        {func(p *Policy) { p.After = []string{""} }},
		"policy.health":       {func(p *Policy) { p.Health = many }},
	} {
		for i, f := range spoil {
			p := DefaultPolicy()
			f(&p)
			if err := p.Validate(); !fault.Is(err, fault.KindInvalid) || !strings.Contains(err.Error(), field) {
				t.Errorf("%s %d: %v", field, i, err)
			}
		}
	}
	p := DefaultPolicy()
	p.Hold = []string{"linux-image-*", "libc6:amd64", "NetworkManager", "libstdc++6", "perl-HTTP-Date", "gtk+", "*-dbg"}
	p.Backup, p.Before, p.After, p.Health = "snapshot", []string{"drain"}, []string{"undrain"}, []string{"well_2.1"}
	p.Reboot, p.RebootWindow = RebootOwnWindow, window.Window{Recurrence: weekly, Duration: time.Hour}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	for name, held := range map[string]bool{"linux-image-amd64": true, "linux-headers": false, "libc6:amd64": true, "libc6": false, "gtk+": true, "foo-dbg": true} {
		if p.Holds(name) != held {
			t.Errorf("%s is held: %t", name, !held)
		}
	}
}
