package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// fill puts n servers of shop into an empty database, each with an agent that
// was here a moment ago and has the key that key gives, an observation, and a
// weekly schedule whose window opens at the given time.
func fill(tb testing.TB, db store.DB, n int, opens time.Time, key func(i int) string) {
	tb.Helper()
	const batch = 1000
	windows := windowsAt(tb, opens)
	for from := 0; from < n; from += batch {
		err := db.Update(context.Background(), func(tx store.Tx) error {
			for i := from; i < min(from+batch, n); i++ {
				if err := putServer(tx, i, windows[i%len(windows)], opens, key(i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// windowsAt gives windows that open at one instant and yet are different
// texts, as a fleet's are.
func windowsAt(tb testing.TB, opens time.Time) []window.Window {
	tb.Helper()
	var all []window.Window
	for _, zone := range []string{"Europe/Berlin", "UTC", "Europe/Lisbon", "America/New_York"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			tb.Fatal(err)
		}
		for weeks := range 50 {
			local := opens.In(loc)
			from := time.Date(local.Year(), local.Month(), local.Day()-7*weeks, local.Hour(), local.Minute(), local.Second(), 0, loc)
			r, err := window.ParseRRule(fmt.Sprintf("DTSTART;TZID=%s:%s RRULE:FREQ=WEEKLY", zone, from.Format("20060102T150405")))
			if err != nil {
				tb.Fatal(err)
			}
			w, err := window.New(r, 4*time.Hour)
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, w)
		}
	}
	return all
}

func serverID(i int) string { return fmt.Sprintf("server-%06d", i) }

func putServer(tx store.Tx, i int, w window.Window, opens time.Time, key string) error {
	id := serverID(i)
	t := fleet.Target{
		ID: id, Project: "shop", Name: fmt.Sprintf("web-%06d", i), Kind: fleet.Server,
		Created: opens.Add(-30 * 24 * time.Hour), Observed: observation(i), ObservedAt: time.Now().Add(-time.Hour),
	}
	if _, err := tx.PutTarget(t); err != nil {
		return err
	}
	if err := tx.PutAgent(store.Agent{Target: id, Key: key, Version: "bench", LastSeen: time.Now(), Expires: time.Now().Add(24 * time.Hour)}); err != nil {
		return err
	}
	s := fleet.Schedule{
		ID: "schedule-" + id, Project: "shop", Target: id, Name: "weekly", Enabled: true, Window: w,
		Policy: fleet.DefaultPolicy(), Created: t.Created, Next: window.Span{Start: opens, End: opens.Add(w.Duration)},
	}
	if _, err := tx.PutSchedule(s); err != nil {
		return err
	}
	return tx.Wake(store.ScheduleKey(s.ID), opens)
}

// observation is what a Debian server with a few pending updates looks like.
func observation(i int) *action.Observation {
	o := &action.Observation{
		BootID: fmt.Sprintf("boot-%d", i), Hostname: fmt.Sprintf("web-%06d", i), System: "Debian GNU/Linux 12 (bookworm)",
		Kernel: "6.1.0-37-amd64", Arch: "amd64", Manager: "apt", ListsAge: 6 * 24 * time.Hour,
	}
	for _, name := range []string{"curl", "libcurl4", "openssl", "libssl3", "linux-image-amd64"} {
		o.Pending = append(o.Pending, action.Pending{
			Name: name, From: "1.2.3-4+deb12u1", To: "1.2.3-4+deb12u2", Security: true,
			Origin: "Debian-Security:12/stable-security", Bytes: 1 << 20,
		})
	}
	return o
}
