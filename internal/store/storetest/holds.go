package storetest

import (
	"testing"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

func holds(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	var full fleet.Hold
	Fill(&full)
	full.Keys = []string{"name/p/region/eu01", "target/t"}
	update(t, db, func(tx store.Tx) error { return tx.AddHold(full) })
	view(t, db, func(tx store.Tx) error {
		got, err := tx.Hold(full.ID)
		same(t, "a hold", got, full)
		if err != nil {
			return err
		}
		all, err := tx.Holds(full.Project)
		same(t, "holds", all, []fleet.Hold{full})
		if err != nil {
			return err
		}
		none, err := tx.Holds("other")
		same(t, "holds of another project", none, []fleet.Hold(nil))
		if err != nil {
			return err
		}
		held, err := tx.ClaimsOn([]string{"target/t", "target/u"})
		same(t, "held", held, map[string]string{"target/t": full.ID})
		return err
	})
	putRun := func(id, project string, revision int64, keys ...string) func(store.Tx) error {
		return func(tx store.Tx) error {
			_, err := tx.PutRun(run.Run{ID: id, Project: project, Revision: revision, Holds: keys})
			return err
		}
	}
	// Neither takes from the other.
	refused(t, db, fault.KindConflict, putRun("r1", "p", 0, "target/t"))
	update(t, db, putRun("r2", "q", 0, "target/u", "name/q/region/eu01@r2", "name/q/region/eu011"))
	other := fleet.Hold{ID: "h2", Project: "p", Keys: []string{"target/u"}}
	refused(t, db, fault.KindConflict, func(tx store.Tx) error { return tx.AddHold(other) })
	refused(t, db, fault.KindConflict, func(tx store.Tx) error { return tx.AddHold(fleet.Hold{ID: full.ID}) })
	missing(t, db, func(tx store.Tx) error { _, err := tx.Hold("h2"); return err })

	for _, c := range []struct{ key, but, want string }{
		{"name/q/region/eu01", "", "r2"}, {"name/q/region/eu01", "r2", ""}, {"name/q/region/eu0", "", ""}, {"name/p/region/eu01", "", ""},
	} {
		var got string
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.ClaimWithin(c.key, c.but); return err })
		same(t, "within "+c.key+" but "+c.but, got, c.want)
	}
	listed := func(f store.ClaimFilter) (keys []string) {
		view(t, db, func(tx store.Tx) error {
			all, err := tx.Claims(f)
			for _, c := range all {
				keys = append(keys, c.Key+" "+c.Holder+" "+c.Project)
			}
			return err
		})
		return keys
	}
	same(t, "claims of q", listed(store.ClaimFilter{Project: "q", Limit: 2}), []string{"name/q/region/eu011 r2 q", "name/q/region/eu01@r2 r2 q"})
	same(t, "the next ones", listed(store.ClaimFilter{Project: "q", Limit: 2, After: "name/q/region/eu01@r2"}), []string{"target/u r2 q"})

	update(t, db, func(tx store.Tx) error { return tx.DropHold(full.ID) })
	refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.DropHold(full.ID) })
	update(t, db, putRun("r1", "p", 0, "target/t"))
}

func servicesOn(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	service := func(id, project string, servers ...string) fleet.Target {
		s := fleet.Service{}
		for _, name := range servers {
			s.Members = append(s.Members, fleet.Member{Name: "on-" + name, Server: name})
		}
		return fleet.Target{ID: id, Project: project, Name: id, Kind: fleet.ServiceKind, Service: &s}
	}
	on := func(project, server string) []string {
		var got []fleet.Target
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.ServicesOn(project, server); return err })
		return ids(got, func(s fleet.Target) string { return s.ID })
	}
	put(t, db, service("s1", "p", "a", "b", "a"), service("s2", "p", "b", ""), service("s3", "q", "a"))
	same(t, "on a", on("p", "a"), []string{"s1"})
	same(t, "on b", on("p", "b"), []string{"s1", "s2"})
	same(t, "on none", on("p", ""), []string{})
	update(t, db, func(tx store.Tx) error {
		s, err := tx.Target("s1")
		if err != nil {
			return err
		}
		s.Service.Members = s.Service.Members[:1]
		return tx.SetTarget(s)
	})
	same(t, "on b, changed", on("p", "b"), []string{"s2"})
	update(t, db, func(tx store.Tx) error { return tx.DeleteTarget("s2") })
	same(t, "on b, removed", on("p", "b"), []string{})

	someone := func(id, group string) fleet.Target {
		return fleet.Target{ID: id, Project: "p", Name: "name-" + id, Kind: fleet.Server, Group: group}
	}
	put(t, db, someone("a1", ""), someone("a2", "web"), fleet.Target{ID: "a3", Project: "p", Name: "a", Kind: fleet.Server}, fleet.Target{ID: "a4", Project: "q", Name: "x", Group: "web"})
	for limit, want := range map[int][]string{10: {"s1", "a2", "a3"}, 2: {"s1", "a2"}} {
		var got []string
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.SharedTargets("p", limit); return err })
		same(t, "shared", got, want)
	}
}
