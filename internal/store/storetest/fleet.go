package storetest

import (
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

func someTarget(id, name string) fleet.Target {
	return fleet.Target{ID: id, Project: "p", Name: name, Kind: fleet.Server, Created: start}
}

func someSchedule(id, target, name string) fleet.Schedule {
	return fleet.Schedule{ID: id, Project: "p", Target: target, Name: name, Enabled: true, Window: Window(time.Monday),
		Policy: fleet.DefaultPolicy(), Created: start}
}

// put stores targets.
func put(t testing.TB, db store.DB, all ...fleet.Target) {
	t.Helper()
	update(t, db, func(tx store.Tx) error {
		for _, target := range all {
			if _, err := tx.PutTarget(target); err != nil {
				return err
			}
		}
		return nil
	})
}

func targets(t *testing.T, open func(*testing.T) store.DB) {
	t.Run("come back as they were", func(t *testing.T) {
		db := open(t)
		var full fleet.Target
		Fill(&full)
		full.Revision = 0
		bare := fleet.Target{ID: "bare", Project: "p", Name: "bare"}
		for _, want := range []fleet.Target{full, bare} {
			var put, byID, byName fleet.Target
			update(t, db, func(tx store.Tx) (err error) { put, err = tx.PutTarget(want); return err })
			view(t, db, func(tx store.Tx) (err error) { byID, err = tx.Target(want.ID); return err })
			view(t, db, func(tx store.Tx) (err error) { byName, err = tx.TargetNamed(want.Project, want.Name); return err })
			want.Revision, want.Generation = 1, 0
			same(t, "what was put", put, want)
			same(t, "by id", byID, want)
			same(t, "by name", byName, want)
		}
	})
	t.Run("times come back in UTC", func(t *testing.T) {
		db := open(t)
		berlin, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		target := someTarget("t", "web")
		target.Created, target.ObservedAt = start.In(berlin), start.In(berlin)
		var got fleet.Target
		update(t, db, func(tx store.Tx) (err error) { got, err = tx.PutTarget(target); return err })
		same(t, "created", got.Created, start)
		same(t, "observed at", got.ObservedAt, start)
	})
	t.Run("compare and set", func(t *testing.T) {
		db := open(t)
		put(t, db, someTarget("t", "web"))
		refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutTarget(someTarget("t", "web")); return err })
		refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutTarget(someTarget("t", "other")); return err })
		next := someTarget("t", "mail")
		next.Revision = 1
		var got fleet.Target
		update(t, db, func(tx store.Tx) (err error) { got, err = tx.PutTarget(next); return err })
		if got.Revision != 2 || got.Name != "mail" {
			t.Fatalf("got %+v", got)
		}
		refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutTarget(next); return err })
		absent := someTarget("absent", "absent")
		absent.Revision = 3
		refused(t, db, fault.KindNotFound, func(tx store.Tx) error { _, err := tx.PutTarget(absent); return err })
		refused(t, db, fault.KindInternal, func(tx store.Tx) error { _, err := tx.PutTarget(someTarget("", "x")); return err })
	})
	t.Run("names are unique in a project", func(t *testing.T) {
		db := open(t)
		other := someTarget("u", "web")
		other.Project = "q"
		put(t, db, someTarget("t", "web"), other)
		refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutTarget(someTarget("v", "web")); return err })
		other.Project, other.Revision = "p", 1 // moving may not take a name either
		refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutTarget(other); return err })
	})
	t.Run("the generation is the orders'", func(t *testing.T) {
		db := open(t)
		put(t, db, someTarget("t", "web"))
		update(t, db, func(tx store.Tx) error { return tx.AddOrder(someOrder("r", "s", 1, "t")) })
		next := someTarget("t", "web")
		next.Revision, next.Generation = 1, 77
		var got fleet.Target
		update(t, db, func(tx store.Tx) (err error) { got, err = tx.PutTarget(next); return err })
		if got.Generation != 1 || got.Revision != 2 {
			t.Fatalf("generation %d, revision %d; want 1 and 2", got.Generation, got.Revision)
		}
	})
	t.Run("are listed by id, filtered and paged", func(t *testing.T) { listTargets(t, open(t)) })
	t.Run("go with their schedules, orders and agents", func(t *testing.T) { deleteTarget(t, open(t)) })
}

func listTargets(t *testing.T, db store.DB) {
	for _, c := range []struct{ id, project, group string }{
		{"b", "p", ""}, {"Z", "p", "g"}, {"a", "p", "g"}, {"é", "q", "g"}, {"c", "q", ""},
	} {
		target := someTarget(c.id, "n"+c.id)
		target.Project, target.Group = c.project, c.group
		put(t, db, target)
	}
	for _, c := range []struct {
		name   string
		filter store.TargetFilter
		want   []string
	}{
		{"all, byte by byte", store.TargetFilter{}, []string{"Z", "a", "b", "c", "é"}},
		{"project", store.TargetFilter{Project: "p"}, []string{"Z", "a", "b"}},
		{"group", store.TargetFilter{Group: "g"}, []string{"Z", "a", "é"}},
		{"both", store.TargetFilter{Project: "q", Group: "g"}, []string{"é"}},
		{"page", store.TargetFilter{Limit: 2}, []string{"Z", "a"}},
		{"next page", store.TargetFilter{After: "a", Limit: 2}, []string{"b", "c"}},
		{"last page", store.TargetFilter{After: "c", Limit: 2}, []string{"é"}},
		{"after the end", store.TargetFilter{After: "é"}, []string{}},
		{"nobody's", store.TargetFilter{Project: "x"}, []string{}},
	} {
		var got []fleet.Target
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.Targets(c.filter); return err })
		same(t, c.name, ids(got, func(t fleet.Target) string { return t.ID }), c.want)
	}
	missing(t, db, func(tx store.Tx) error { _, err := tx.Target("x"); return err })
	missing(t, db, func(tx store.Tx) error { _, err := tx.TargetNamed("q", "na"); return err })
}

func deleteTarget(t *testing.T, db store.DB) {
	put(t, db, someTarget("t", "web"), someTarget("u", "mail"))
	update(t, db, func(tx store.Tx) error {
		for _, id := range []string{"t", "u"} {
			if _, err := tx.PutSchedule(someSchedule("s-"+id, id, "weekly")); err != nil {
				return err
			}
			if err := tx.AddOrder(someOrder("r-"+id, "s", 1, id)); err != nil {
				return err
			}
			if err := tx.PutAgent(store.Agent{Target: id, Key: "k"}); err != nil {
				return err
			}
			if err := tx.PutEnrolment(store.Enrolment{Hash: "h-" + id, Target: id}); err != nil {
				return err
			}
			if _, err := tx.PutRun(run.Run{ID: "r-" + id, Target: id}); err != nil {
				return err
			}
		}
		return tx.AddFacts(someFacts(1))
	})
	update(t, db, func(tx store.Tx) error { return tx.DeleteTarget("t") })
	missing(t, db, func(tx store.Tx) error { _, err := tx.Target("t"); return err })
	missing(t, db, func(tx store.Tx) error { _, err := tx.Schedule("s-t"); return err })
	missing(t, db, func(tx store.Tx) error { _, err := tx.Order("r-t/s/1"); return err })
	missing(t, db, func(tx store.Tx) error { _, err := tx.Agent("t"); return err })
	missing(t, db, func(tx store.Tx) error { _, err := tx.EnrolmentByHash("h-t"); return err })
	view(t, db, func(tx store.Tx) error {
		if _, err := tx.Run("r-t"); err != nil { // what happened stays
			t.Error(err)
		}
		if facts, err := tx.Facts(store.FactFilter{}); err != nil || len(facts) != 1 {
			t.Error(facts, err)
		}
		for _, err := range []error{
			second(tx.Target("u")), second(tx.Schedule("s-u")), second(tx.Order("r-u/s/1")), second(tx.Agent("u")), second(tx.EnrolmentByHash("h-u")),
		} {
			if err != nil {
				t.Errorf("another target's: %v", err)
			}
		}
		return nil
	})
	refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.DeleteTarget("t") })
}

func second[T any](_ T, err error) error { return err }

func schedules(t *testing.T, open func(*testing.T) store.DB) {
	t.Run("come back as they were", func(t *testing.T) {
		db := open(t)
		put(t, db, someTarget("t", "web"))
		var full fleet.Schedule
		Fill(&full)
		full.Target, full.Revision = "t", 0
		bare := fleet.Schedule{ID: "bare", Target: "t"}
		for i, want := range []fleet.Schedule{full, bare} {
			var put, got fleet.Schedule
			update(t, db, func(tx store.Tx) (err error) { put, err = tx.PutSchedule(want); return err })
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.Schedule(want.ID); return err })
			want.Number, want.Revision = int64(i+1), 1
			same(t, "what was put", put, want)
			same(t, "what was read", got, want)
		}
	})
	t.Run("compare and set", func(t *testing.T) {
		db := open(t)
		put(t, db, someTarget("t", "web"))
		putSchedule := func(s fleet.Schedule) func(store.Tx) error {
			return func(tx store.Tx) error { _, err := tx.PutSchedule(s); return err }
		}
		s := someSchedule("s", "t", "weekly")
		update(t, db, putSchedule(s))
		refused(t, db, fault.KindConflict, putSchedule(s))
		refused(t, db, fault.KindConflict, putSchedule(someSchedule("s2", "t", "weekly")))
		refused(t, db, fault.KindNotFound, putSchedule(someSchedule("s2", "nobody", "weekly")))
		s.Revision, s.Enabled = 1, false
		update(t, db, putSchedule(s))
		refused(t, db, fault.KindConflict, putSchedule(s))
		s.ID, s.Name = "absent", "absent"
		refused(t, db, fault.KindNotFound, putSchedule(s))
		view(t, db, func(tx store.Tx) error {
			got, err := tx.Schedule("s")
			if err == nil && (got.Revision != 2 || got.Enabled) {
				t.Errorf("got %+v", got)
			}
			return err
		})
		update(t, db, func(tx store.Tx) error { return tx.DeleteSchedule("s") })
		refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.DeleteSchedule("s") })
		missing(t, db, func(tx store.Tx) error { _, err := tx.Schedule("s"); return err })
	})
	t.Run("are listed by id, filtered and paged", func(t *testing.T) {
		db := open(t)
		put(t, db, someTarget("t", "web"), someTarget("u", "mail"))
		for _, c := range []struct{ id, project, target string }{{"b", "p", "t"}, {"a", "p", "u"}, {"c", "q", "t"}} {
			s := someSchedule(c.id, c.target, "n"+c.id)
			s.Project = c.project
			update(t, db, func(tx store.Tx) error { _, err := tx.PutSchedule(s); return err })
		}
		for _, c := range []struct {
			name   string
			filter store.ScheduleFilter
			want   []string
		}{
			{"all", store.ScheduleFilter{}, []string{"a", "b", "c"}},
			{"project", store.ScheduleFilter{Project: "p"}, []string{"a", "b"}},
			{"target", store.ScheduleFilter{Target: "t"}, []string{"b", "c"}},
			{"page", store.ScheduleFilter{After: "a", Limit: 1}, []string{"b"}},
			{"nobody's", store.ScheduleFilter{Project: "q", Target: "u"}, []string{}},
		} {
			var got []fleet.Schedule
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.Schedules(c.filter); return err })
			same(t, c.name, ids(got, func(s fleet.Schedule) string { return s.ID }), c.want)
		}
	})
}

func freezes(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	var full window.Freeze
	Fill(&full)
	full.Span.End = full.Span.Start.Add(24 * time.Hour)
	span := func(from, to int) window.Span {
		return window.Span{Start: start.AddDate(0, 0, from), End: start.AddDate(0, 0, to)}
	}
	putFreeze := func(f window.Freeze) {
		update(t, db, func(tx store.Tx) error { return tx.PutFreeze(f) })
	}
	list := func(project string, after time.Time) []string {
		var got []window.Freeze
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.Freezes(project, after); return err })
		return ids(got, func(f window.Freeze) string { return f.ID })
	}
	putFreeze(full)
	var got window.Freeze
	view(t, db, func(tx store.Tx) (err error) { got, err = tx.Freeze(full.ID); return err })
	same(t, "freeze", got, full)
	update(t, db, func(tx store.Tx) error { return tx.DeleteFreeze(full.ID) })
	refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.DeleteFreeze(full.ID) })
	missing(t, db, func(tx store.Tx) error { _, err := tx.Freeze(full.ID); return err })

	putFreeze(window.Freeze{ID: "late", Project: "p", Span: span(5, 6)})
	putFreeze(window.Freeze{ID: "early", Project: "p", Span: span(0, 2)})
	putFreeze(window.Freeze{ID: "all", Project: "", Span: span(1, 3)})
	putFreeze(window.Freeze{ID: "other", Project: "q", Span: span(1, 3)})
	same(t, "of a project", list("p", time.Time{}), []string{"early", "all", "late"})
	same(t, "of every project", list("", time.Time{}), []string{"early", "all", "other", "late"})
	same(t, "that end later", list("p", start.AddDate(0, 0, 2)), []string{"all", "late"})
	same(t, "that end later still", list("p", start.AddDate(0, 0, 6)), []string{})
	putFreeze(window.Freeze{ID: "early", Project: "q", Span: span(7, 8)}) // replaces
	same(t, "after a change", list("p", time.Time{}), []string{"all", "late"})
	same(t, "of the other project", list("q", time.Time{}), []string{"all", "other", "early"})
}

func someOrder(runID, step string, attempt int, target string) run.Order {
	return run.Order{Order: action.Order{Run: runID, Step: step, Attempt: attempt, Target: target, Kind: action.Observe, Timeout: time.Minute}, StartBy: start}
}
