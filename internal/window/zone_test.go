package window

import (
	"testing"
	"time"
)

// TestResolveAroundEveryChange compares resolve to a walk through all instants
// around each change of clocks: the first that shows the wall-clock time, or
// else the first that shows a later one.
func TestResolveAroundEveryChange(t *testing.T) {
	zones := append([]string{"America/New_York", "America/Havana", "America/Sao_Paulo", "America/Nuuk", "Antarctica/Troll",
		"Asia/Beirut", "Asia/Gaza", "Atlantic/Azores", "Europe/Dublin", "Pacific/Apia", "Pacific/Chatham"}, testZones...)
	const grid = time.Minute // Gaza once changed at one past midnight
	for _, name := range zones {
		zone, err := loadZone("zone", name)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2009, time.January, 1, 0, 0, 0, 0, time.UTC)
		for at.Year() < 2045 {
			_, end := at.In(zone).ZoneBounds()
			if end.IsZero() {
				break
			}
			if !end.After(at) { // on 31 December of a leap year ZoneBounds falls short
				at = at.Add(48 * time.Hour)
				continue
			}
			at = end
			around := 3 * time.Hour
			if name == "Pacific/Apia" { // which skipped a day
				around = 26 * time.Hour
			}
			first := wallOf(end, zone).Add(-around).Truncate(grid)
			shown := end.Add(-around - 3*time.Hour).Truncate(grid)
			for wall := first; wall.Before(first.Add(2 * around)); wall = wall.Add(grid) {
				for {
					_, offset := shown.In(zone).Zone()
					if shown.Add(time.Duration(offset)*time.Second).Sub(wall) >= 0 {
						break
					}
					shown = shown.Add(grid)
				}
				if got := resolve(wall, zone); !got.Equal(shown) {
					t.Fatalf("%s: %s is %s, want %s", name, wall.Format(time.DateTime), got, shown.In(zone))
				}
			}
		}
	}
}

func TestLoadZoneRefuses(t *testing.T) {
	for _, name := range []string{"", "Local", "Mars/Base", "../etc/passwd", "/etc/localtime", "Europe/", "Europe Berlin", "W. Europe Standard Time", "Europe/Berlin\x00"} {
		if loc, err := loadZone("zone", name); err == nil {
			t.Errorf("%q is %s", name, loc)
		}
	}
}
