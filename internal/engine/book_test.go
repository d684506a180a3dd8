package engine_test

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// service makes a service of the given servers known, with a runbook whose
// steps are all done on their hosts.
func (b *bench) service(name string, quorum int, servers ...string) fleet.Target {
	b.t.Helper()
	s := fleet.Service{Quorum: quorum}
	for _, server := range servers {
		s.Members = append(s.Members, fleet.Member{Name: server, Server: server})
	}
	t := fleet.Target{ID: b.newID(), Project: "shop", Name: name, Kind: fleet.ServiceKind, Service: &s, Created: time.Now()}
	b.update(func(tx store.Tx) (err error) {
		t, err = tx.PutTarget(t)
		return err
	})
	return t
}

func restart() runbook.Book {
	return runbook.Book{Name: "restart", Member: runbook.Member{
		Do:    []runbook.Step{{Name: "restart", Kind: action.Command, On: runbook.Self, Command: "restart"}},
		Await: []runbook.Step{{Name: "alive", Kind: action.Check, On: runbook.Self, Command: "alive"}},
	}}
}

func (b *bench) book(book runbook.Book) {
	b.t.Helper()
	b.update(func(tx store.Tx) error {
		old, err := tx.Runbook("shop", book.Name)
		if err != nil && !fault.Is(err, fault.KindNotFound) {
			return err
		}
		_, err = tx.PutRunbook(runbook.Stored{Project: "shop", Book: book, Revision: old.Revision})
		return err
	})
}

// weekly makes a schedule that first opens at the given time, for an hour.
func (b *bench) weekly(t fleet.Target, book string, at time.Time) fleet.Schedule {
	b.t.Helper()
	rec, err := window.ParseRRule("DTSTART:" + at.UTC().Format("20060102T150405Z") + " RRULE:FREQ=WEEKLY")
	if err != nil {
		b.t.Fatal(err)
	}
	s := fleet.Schedule{
		ID: b.newID(), Project: "shop", Target: t.ID, Name: "weekly", Enabled: true, Runbook: book,
		Window: window.Window{Recurrence: rec, Duration: time.Hour}, Policy: fleet.DefaultPolicy(),
	}
	b.update(func(tx store.Tx) error {
		if s, err = tx.PutSchedule(s); err != nil {
			return err
		}
		return tx.Wake(store.ScheduleKey(s.ID), time.Now())
	})
	b.engine.Nudge()
	return s
}

func (b *bench) schedule(id string) (s fleet.Schedule) {
	b.t.Helper()
	b.update(func(tx store.Tx) (err error) {
		s, err = tx.Schedule(id)
		return err
	})
	return s
}

// A schedule on a service opens a run of its runbook. Where the runbook has
// gone it says so and stays; when it is back, so are the runs.
func TestScheduleOfAServiceOpensRunsOfItsRunbook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path)
		defer end()
		b.server("ctl1", "")
		b.server("ctl2", "")
		svc := b.service("api", 1, "ctl1", "ctl2")
		b.book(restart())
		at := time.Now().Add(26 * time.Hour).Truncate(time.Second)
		s := b.weekly(svc, "restart", at)
		later(time.Until(at) + time.Second)
		runs := b.runs()
		if len(runs) != 1 || runs[0].Book == nil || runs[0].Schedule != s.ID || runs[0].By != "schedule/weekly" {
			t.Fatalf("opened: %+v", runs)
		}
		for range 20 {
			later(time.Second)
			b.answerAll()
		}
		if r := b.run(runs[0].ID); r.State != run.Succeeded {
			t.Fatalf("it is %s: %+v", r.State, r.Waits)
		}

		b.update(func(tx store.Tx) error { return tx.DeleteRunbook("shop", "restart") })
		later(7 * 24 * time.Hour)
		if s = b.schedule(s.ID); len(b.runs()) != 1 || !strings.Contains(s.Refused, `"restart"`) || !s.Enabled {
			t.Fatalf("without its runbook: %d runs, %+v", len(b.runs()), s)
		}
		b.book(restart())
		later(7 * 24 * time.Hour)
		if s = b.schedule(s.ID); len(b.runs()) != 2 || s.Refused != "" {
			t.Fatalf("with it again: %d runs, %+v", len(b.runs()), s)
		}
	})
}

// A server's own update waits for the run of a service of which it is a member,
// and the other way round.
func TestServerAndItsServiceWaitForEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path)
		defer end()
		ctl1 := b.server("ctl1", "")
		b.server("ctl2", "")
		svc := b.service("api", 1, "ctl1", "ctl2")
		b.book(restart())
		roll := func() string {
			at := time.Now().Add(time.Second).Truncate(time.Second)
			s := b.weekly(svc, "restart", at)
			later(time.Until(at))
			b.engine.Nudge() // this engine looks by itself only once an hour
			later(time.Second)
			b.update(func(tx store.Tx) error { return tx.DeleteSchedule(s.ID) })
			runs := b.runs()
			if len(runs) == 0 {
				t.Fatal("no run was opened")
			}
			return runs[0].ID
		}
		waitsFor := func(id, other string) {
			t.Helper()
			later(20 * time.Second)
			if w := b.run(id).Waits; len(w) == 0 || w[0].Reason.Code != plan.Claimed || w[0].Reason.By != other || w[0].Reason.What != run.TargetKey(ctl1.ID) {
				t.Errorf("it waits for %+v, not for run %s", w, other)
			}
		}
		// The command on ctl1 is under way when its update is due.
		rolling := roll()
		later(time.Second)
		updating := b.open(ctl1)
		for range 3 {
			later(time.Second)
			b.answerAll(action.Command)
		}
		waitsFor(updating, rolling)
		for range 20 {
			later(time.Second)
			b.answerAll(action.Install)
		}
		if r := b.run(rolling); r.State != run.Succeeded {
			t.Fatalf("the roll is %s: %+v", r.State, r.Waits)
		}
		// Now the installation is under way when the next roll is due.
		later(20 * time.Second)
		rolling = roll()
		waitsFor(rolling, updating)
		for range 60 {
			later(time.Second)
			b.answerAll()
		}
		for _, id := range []string{rolling, updating} {
			if r := b.run(id); r.State != run.Succeeded {
				t.Errorf("run %s is %s: %+v", id, r.State, r.Waits)
			}
		}
	})
}
