package storetest

import (
	"strings"
	"testing"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

func templates(t *testing.T, open func(*testing.T) store.DB) {
	t.Run("come back as they were", func(t *testing.T) {
		db := open(t)
		var want fleet.Template
		Fill(&want)
		want.Revision = 0
		var put, got fleet.Template
		update(t, db, func(tx store.Tx) (err error) { put, err = tx.PutTemplate(want); return err })
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.Template(want.ID); return err })
		want.Revision = 1
		same(t, "what was put", put, want)
		same(t, "by id", got, want)
	})
	t.Run("lists a project's and those for all", func(t *testing.T) {
		db := open(t)
		update(t, db, func(tx store.Tx) error {
			for _, m := range []fleet.Template{{ID: "1", Name: "a"}, {ID: "2", Project: "p", Name: "a"}, {ID: "3", Project: "q", Name: "a"}} {
				if _, err := tx.PutTemplate(m); err != nil {
					return err
				}
			}
			return nil
		})
		for project, want := range map[string]string{"p": "12", "q": "13", "r": "1", "": "123"} {
			var ids strings.Builder
			view(t, db, func(tx store.Tx) error {
				all, err := tx.Templates(project)
				for _, m := range all {
					ids.WriteString(m.ID)
				}
				return err
			})
			if ids.String() != want {
				t.Errorf("of project %q it lists %q, want %q", project, ids.String(), want)
			}
		}
	})
	t.Run("compare and set, and a name is taken once", func(t *testing.T) {
		db := open(t)
		var first fleet.Template
		update(t, db, func(tx store.Tx) (err error) {
			first, err = tx.PutTemplate(fleet.Template{ID: "1", Project: "p", Name: "a"})
			return err
		})
		first.Description = "changed"
		update(t, db, func(tx store.Tx) error { _, err := tx.PutTemplate(first); return err })
		refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutTemplate(first); return err })
		refused(t, db, fault.KindConflict, func(tx store.Tx) error {
			_, err := tx.PutTemplate(fleet.Template{ID: "2", Project: "p", Name: "a"})
			return err
		})
		update(t, db, func(tx store.Tx) error { return tx.DeleteTemplate("1") })
		refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.DeleteTemplate("1") })
		refused(t, db, fault.KindNotFound, func(tx store.Tx) error { _, err := tx.Template("1"); return err })
	})
}

func redundancyGroups(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	var want fleet.Group
	Fill(&want)
	want.Revision = 0
	var put, got fleet.Group
	update(t, db, func(tx store.Tx) (err error) { put, err = tx.PutGroup(want); return err })
	view(t, db, func(tx store.Tx) (err error) { got, err = tx.Group(want.Project, want.Name); return err })
	want.Revision = 1
	same(t, "what was put", put, want)
	same(t, "by name", got, want)

	put.StopAfter++
	update(t, db, func(tx store.Tx) error { _, err := tx.PutGroup(put); return err })
	refused(t, db, fault.KindConflict, func(tx store.Tx) error { _, err := tx.PutGroup(put); return err })
	update(t, db, func(tx store.Tx) error {
		_, err := tx.PutGroup(fleet.Group{Project: "another", Name: want.Name})
		return err
	})
	for project, n := range map[string]int{"": 2, "another": 1, "none": 0} {
		view(t, db, func(tx store.Tx) error {
			all, err := tx.Groups(project)
			if len(all) != n {
				t.Errorf("of project %q it lists %d groups, want %d", project, len(all), n)
			}
			return err
		})
	}
	update(t, db, func(tx store.Tx) error { return tx.DeleteGroup("another", want.Name) })
	refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.DeleteGroup("another", want.Name) })
	refused(t, db, fault.KindNotFound, func(tx store.Tx) error { _, err := tx.Group("another", want.Name); return err })
}

// numbers are small, per target, and never given twice.
func numbers(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	put(t, db, someTarget("t1", "one"), someTarget("t2", "two"))
	schedule := func(id, target string) (number int64) {
		update(t, db, func(tx store.Tx) error {
			s, err := tx.PutSchedule(someSchedule(id, target, id))
			number = s.Number
			return err
		})
		return number
	}
	open1 := func(id, target string) (number int64) {
		update(t, db, func(tx store.Tx) error {
			r, err := tx.PutRun(run.Run{ID: id, Project: "p", Target: target, State: run.Waiting})
			number = r.Number
			return err
		})
		return number
	}
	for _, want := range []struct{ got, want int64 }{
		{schedule("a", "t1"), 1}, {schedule("b", "t1"), 2}, {schedule("c", "t2"), 1},
		{open1("r1", "t1"), 1}, {open1("r2", "t1"), 2}, {open1("r3", "t2"), 1}, {open1("r4", "t1"), 3},
	} {
		if want.got != want.want {
			t.Fatalf("it has number %d, want %d", want.got, want.want)
		}
	}
	update(t, db, func(tx store.Tx) error { return tx.DeleteSchedule("b") })
	if n := schedule("d", "t1"); n != 3 {
		t.Errorf("after number 2 is gone, the next one is %d: it must not be used again", n)
	}
	update(t, db, func(tx store.Tx) error {
		s, err := tx.Schedule("a")
		if err != nil {
			return err
		}
		s.Number = 99
		if s, err = tx.PutSchedule(s); s.Number != 1 {
			t.Errorf("a change makes number 1 number %d", s.Number)
		}
		return err
	})
	view(t, db, func(tx store.Tx) error {
		all, err := tx.Runs(store.RunFilter{Target: "t1", Number: 2})
		if len(all) != 1 || all[0].ID != "r2" {
			t.Errorf("number 2 of t1 is %+v", all)
		}
		return err
	})
}
