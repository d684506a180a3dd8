package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/store"
)

func someImage(id, version string) fleet.Image {
	return fleet.Image{ID: id, Channel: "debian-12", Arch: "amd64", Version: version, State: fleet.ImageReleased, Released: start}
}

func putImage(i fleet.Image) func(store.Tx) error {
	return func(tx store.Tx) error { _, err := tx.PutImage(i); return err }
}

func images(t *testing.T, open func(*testing.T) store.DB) {
	t.Run("come back as they were", func(t *testing.T) {
		db := open(t)
		var full fleet.Image
		Fill(&full)
		full.Revision = 0
		bare := fleet.Image{ID: "bare"}
		for _, want := range []fleet.Image{full, bare} {
			var put, got fleet.Image
			update(t, db, func(tx store.Tx) (err error) { put, err = tx.PutImage(want); return err })
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.Image(want.ID); return err })
			want.Revision = 1
			same(t, "what was put", put, want)
			same(t, "what was read", got, want)
		}
	})
	t.Run("compare and set", func(t *testing.T) {
		db := open(t)
		i := someImage("a", "2026.11")
		update(t, db, putImage(i))
		refused(t, db, fault.KindConflict, putImage(i))
		i.Revision, i.Details.Notes = 1, "new"
		update(t, db, putImage(i))
		refused(t, db, fault.KindConflict, putImage(i))
		absent := someImage("absent", "2026.12")
		absent.Revision = 3
		refused(t, db, fault.KindNotFound, putImage(absent))
		refused(t, db, fault.KindInternal, putImage(someImage("", "2026.12")))
		missing(t, db, func(tx store.Tx) error { _, err := tx.Image("absent"); return err })
	})
	t.Run("versions are unique in their line", func(t *testing.T) {
		db := open(t)
		update(t, db, putImage(someImage("a", "2026.11")))
		refused(t, db, fault.KindConflict, putImage(someImage("b", "2026.11")))
		for id, change := range map[string]func(*fleet.Image){
			"c": func(i *fleet.Image) { i.Arch = "arm64" },
			"d": func(i *fleet.Image) { i.Channel = "debian-13" },
			"e": func(i *fleet.Image) { i.Project = "p" },
			"f": func(i *fleet.Image) { i.Version = "2026.12" },
		} {
			i := someImage(id, "2026.11")
			change(&i)
			update(t, db, putImage(i))
		}
	})
	t.Run("one of a line is active", func(t *testing.T) { activeImages(t, open(t)) })
	t.Run("two activations at once", func(t *testing.T) { raceImages(t, open(t)) })
	t.Run("are listed newest first, filtered and paged", func(t *testing.T) { listImages(t, open(t)) })
	t.Run("are counted by the servers made from them", func(t *testing.T) { useImages(t, open(t)) })
	t.Run("channels", func(t *testing.T) { channels(t, open(t)) })
}

func activeImages(t *testing.T, db store.DB) {
	a, b := someImage("a", "2026.11"), someImage("b", "2026.12")
	a.State, b.State = fleet.ImageActive, fleet.ImageActive
	update(t, db, putImage(a))
	refused(t, db, fault.KindConflict, putImage(b))
	b.State = fleet.ImageReleased
	update(t, db, putImage(b))
	b.State, b.Revision = fleet.ImageActive, 1
	refused(t, db, fault.KindConflict, putImage(b))
	arm := someImage("c", "2026.11")
	arm.Arch, arm.State = "arm64", fleet.ImageActive
	update(t, db, putImage(arm))
	a.State, a.Revision = fleet.ImageDeprecated, 1
	update(t, db, func(tx store.Tx) error { // the former one first
		if _, err := tx.PutImage(a); err != nil {
			return err
		}
		_, err := tx.PutImage(b)
		return err
	})
}

// raceImages activates two images of one line at once, as two callers would:
// one of them wins, and the other one sees it.
func raceImages(t *testing.T, db store.DB) {
	all := []fleet.Image{someImage("a", "1"), someImage("b", "2"), someImage("c", "3"), someImage("d", "4")}
	for _, i := range all {
		update(t, db, putImage(i))
	}
	var wg sync.WaitGroup
	for _, i := range all {
		wg.Go(func() {
			err := db.Update(context.Background(), func(tx store.Tx) error {
				line, err := tx.Images(store.ImageFilter{Channel: i.Channel, Arch: i.Arch})
				if err != nil {
					return err
				}
				kept, err := tx.Image(i.ID)
				if err != nil {
					return err
				}
				changed, facts, err := kept.Activate(line, "w", start)
				if err != nil {
					return err
				}
				for _, c := range changed {
					if _, err := tx.PutImage(c); err != nil {
						return err
					}
				}
				return tx.AddFacts(facts)
			})
			if err != nil && !fault.Is(err, fault.KindUnavailable) {
				t.Errorf("activate %s: %v", i.ID, err)
			}
		})
	}
	wg.Wait()
	var active []fleet.Image
	view(t, db, func(tx store.Tx) (err error) {
		active, err = tx.Images(store.ImageFilter{State: fleet.ImageActive})
		return err
	})
	if len(active) != 1 {
		t.Errorf("%d images of one line are active: %+v", len(active), active)
	}
}

func listImages(t *testing.T, db store.DB) {
	for _, c := range []struct {
		id, project, channel, arch string
		state                      fleet.ImageState
	}{
		{"1", "", "debian-12", "amd64", fleet.ImageWithdrawn}, {"2", "", "debian-12", "amd64", fleet.ImageDeprecated},
		{"3", "", "debian-12", "arm64", fleet.ImageActive}, {"4", "p", "debian-12", "amd64", fleet.ImageReleased},
		{"5", "q", "golden", "amd64", fleet.ImageActive},
	} {
		update(t, db, putImage(fleet.Image{ID: c.id, Project: c.project, Channel: c.channel, Arch: c.arch, Version: "v" + c.id, State: c.state}))
	}
	for _, c := range []struct {
		name   string
		filter store.ImageFilter
		want   []string
	}{
		{"all", store.ImageFilter{}, []string{"5", "4", "3", "2", "1"}},
		{"a project's and the platform's", store.ImageFilter{Project: "p"}, []string{"4", "3", "2", "1"}},
		{"channel", store.ImageFilter{Channel: "golden"}, []string{"5"}},
		{"architecture", store.ImageFilter{Arch: "arm64"}, []string{"3"}},
		{"version", store.ImageFilter{Version: "v2"}, []string{"2"}},
		{"state", store.ImageFilter{State: fleet.ImageActive}, []string{"5", "3"}},
		{"all of it", store.ImageFilter{Project: "p", Channel: "debian-12", Arch: "amd64", State: fleet.ImageReleased, Version: "v4"}, []string{"4"}},
		{"page", store.ImageFilter{Limit: 2}, []string{"5", "4"}},
		{"next page", store.ImageFilter{Before: "4", Limit: 2}, []string{"3", "2"}},
		{"after the end", store.ImageFilter{Before: "1"}, []string{}},
	} {
		var got []fleet.Image
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.Images(c.filter); return err })
		same(t, c.name, ids(got, func(i fleet.Image) string { return i.ID }), c.want)
	}
}

func useImages(t *testing.T, db store.DB) {
	for _, c := range []struct{ id, project, image string }{
		{"1", "p", "a"}, {"2", "p", "b"}, {"3", "q", "a"}, {"4", "p", ""}, {"5", "p", "a"},
	} {
		target := someTarget(c.id, "n"+c.id)
		target.Project, target.Image = c.project, c.image
		put(t, db, target)
	}
	use := func(project string) (got map[string]int) {
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.ImageUse(project); return err })
		return got
	}
	same(t, "of all projects", use(""), map[string]int{"a": 3, "b": 1})
	same(t, "of one", use("p"), map[string]int{"a": 2, "b": 1})
	same(t, "of nobody", use("x"), map[string]int{})
	update(t, db, func(tx store.Tx) error { // an image that is named anew
		target, err := tx.Target("5")
		if err != nil {
			return err
		}
		target.Image = "b"
		_, err = tx.PutTarget(target)
		return err
	})
	same(t, "after a change", use("p"), map[string]int{"a": 1, "b": 2})
	many := []string{"b"}
	for n := range 300 { // more than one statement is given
		many = append(many, fmt.Sprint("x", n))
	}
	many = append(many, "a", "b")
	for _, c := range []struct {
		name   string
		filter store.TargetFilter
		want   []string
	}{
		{"an image's servers", store.TargetFilter{Images: []string{"a"}}, []string{"1", "3"}},
		{"of a project", store.TargetFilter{Images: []string{"a"}, Project: "p"}, []string{"1"}},
		{"of several images", store.TargetFilter{Images: many}, []string{"1", "2", "3", "5"}},
		{"page", store.TargetFilter{Images: many, After: "1", Limit: 2}, []string{"2", "3"}},
		{"the first ones", store.TargetFilter{Images: many, Limit: 1}, []string{"1"}},
		{"of no image at all", store.TargetFilter{Images: []string{}}, []string{}},
	} {
		var got []fleet.Target
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.Targets(c.filter); return err })
		same(t, c.name, ids(got, func(t fleet.Target) string { return t.ID }), c.want)
	}
}

func channels(t *testing.T, db store.DB) {
	putChannel := func(c fleet.Channel) func(store.Tx) error {
		return func(tx store.Tx) error { _, err := tx.PutChannel(c); return err }
	}
	var full fleet.Channel
	Fill(&full)
	full.Revision = 0
	var put, got fleet.Channel
	update(t, db, func(tx store.Tx) (err error) { put, err = tx.PutChannel(full); return err })
	view(t, db, func(tx store.Tx) (err error) { got, err = tx.Channel(full.Project, full.Name); return err })
	want := full
	want.Revision = 1
	same(t, "what was put", put, want)
	same(t, "what was read", got, want)
	refused(t, db, fault.KindConflict, putChannel(full))
	update(t, db, putChannel(want))
	refused(t, db, fault.KindConflict, putChannel(want))
	refused(t, db, fault.KindNotFound, putChannel(fleet.Channel{Name: "absent", Revision: 1}))
	missing(t, db, func(tx store.Tx) error { _, err := tx.Channel("", full.Name); return err })

	db2 := []fleet.Channel{{Name: "b"}, {Name: "a", Project: "p"}, {Name: "a"}, {Name: "c", Project: "q"}}
	for _, c := range db2 {
		update(t, db, putChannel(c))
	}
	list := func(project string) []string {
		var all []fleet.Channel
		view(t, db, func(tx store.Tx) (err error) { all, err = tx.Channels(project); return err })
		return ids(all, func(c fleet.Channel) string { return c.Project + "/" + c.Name })
	}
	same(t, "of a project and the platform", list("p"), []string{"/a", "p/a", "/b"})
	same(t, "of everybody", list(""), []string{full.Project + "/" + full.Name, "/a", "p/a", "/b", "q/c"})
}
