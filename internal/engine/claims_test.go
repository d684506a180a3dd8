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
)

// carryOut carries a runbook out on a service, now.
func (b *bench) carryOut(t fleet.Target, book string, claims ...string) (string, error) {
	b.t.Helper()
	var id string
	err := b.db.Update(b.t.Context(), func(tx store.Tx) error {
		o, err := run.Now(b.newID(), t, fleet.DefaultPolicy(), "user/ada", "", time.Hour, false, time.Now())
		if err != nil {
			return err
		}
		o.Claims = claims
		r, facts, err := store.OpenBook(tx, o, book, nil, time.Now())
		if err != nil {
			return err
		}
		id = r.ID
		if _, err := tx.PutRun(r); err != nil {
			return err
		}
		if err := tx.AddFacts(facts); err != nil {
			return err
		}
		return tx.Wake(store.RunKey(r.ID), time.Now())
	})
	b.engine.Nudge()
	return id, err
}

func (b *bench) change(t fleet.Target, f func(*fleet.Target)) {
	b.t.Helper()
	b.update(func(tx store.Tx) error {
		t, err := tx.Target(t.ID)
		if err != nil {
			return err
		}
		f(&t)
		return tx.SetTarget(t)
	})
}

// why is the first reason for which a run waits, once it has been looked at.
func (b *bench) why(id string) plan.Reason {
	b.t.Helper()
	later(20 * time.Second)
	w := b.run(id).Waits
	if len(w) == 0 {
		return plan.Reason{}
	}
	return w[0].Reason
}

// finish lets everything come to its end.
func (b *bench) finish(ids ...string) {
	b.t.Helper()
	for range 90 {
		later(time.Second)
		b.answerAll()
	}
	for _, id := range ids {
		if r := b.run(id); r.State != run.Succeeded {
			b.t.Errorf("run %s of %s is %s: %+v", id, r.Name, r.State, r.Waits)
		}
	}
}

func labelled(region string) func(*fleet.Target) {
	return func(t *fleet.Target) { t.Labels = map[string]string{"region": region} }
}

// Two services that claim the same name wait for each other; a name is what
// people agree upon, and the other one's run is called by its service.
func TestNamedClaims(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path)
		defer end()
		for _, name := range []string{"a1", "a2", "b1", "b2"} {
			b.server(name, "")
		}
		one, two := b.service("one", 1, "a1", "a2"), b.service("two", 1, "b1", "b2")
		b.change(two, func(t *fleet.Target) { t.Service.Claims = []string{"loadbalancer/internal"} })
		two.Service.Claims = []string{"loadbalancer/internal"}
		book := restart()
		b.book(book)
		book.Name, book.Claims = "with-lb", []string{"loadbalancer/internal"}
		b.book(book)
		first, err := b.carryOut(one, "with-lb")
		if err != nil {
			t.Fatal(err)
		}
		later(time.Second)
		second, err := b.carryOut(two, "restart")
		if err != nil {
			t.Fatal(err)
		}
		why := b.why(second)
		if why.Code != plan.Claimed || why.By != first || why.What != "name/shop/loadbalancer/internal" {
			t.Errorf("it waits for %+v", why)
		}
		if got, want := why.Words("en", time.UTC), "run "+first+" of one is working on loadbalancer/internal"; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		b.finish(first, second)

		book.Name, book.Claims = "bad", []string{"service/nothing"}
		b.book(book)
		if _, err := b.carryOut(one, "bad"); !fault.Is(err, fault.KindInvalid) || !strings.Contains(err.Error(), `no service "nothing"`) {
			t.Errorf("a service that there is not: %v", err)
		}
		book.Claims = []string{"region"}
		b.book(book)
		if _, err := b.carryOut(one, "bad"); !fault.Is(err, fault.KindInvalid) || !strings.Contains(err.Error(), "labels.region") {
			t.Errorf("the region of a service without one: %v", err)
		}
		book.Claims = []string{"service/two"}
		b.book(book)
		both, err := b.carryOut(one, "bad")
		if err != nil {
			t.Fatal(err)
		}
		later(time.Second)
		other, err := b.carryOut(two, "restart")
		if err != nil {
			t.Fatal(err)
		}
		if why := b.why(other); why.Code != plan.Claimed || why.By != both || why.Thing != "two" {
			t.Errorf("the other service's run waits for %+v", why)
		}
		b.finish(both, other)
	})
}

// Two runs within one region are possible. Who claims the region waits for both,
// and then others wait for it.
func TestRegionIsClaimedWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path)
		defer end()
		var servers []fleet.Target
		for i, name := range []string{"a", "b", "c", "k1", "k2"} {
			servers = append(servers, b.server(name, ""))
			b.change(servers[i], labelled("eu01"))
		}
		far := b.server("far", "")
		b.change(far, labelled("eu02"))
		svc := b.service("keystone", 1, "k1", "k2")
		b.change(svc, labelled("eu01"))
		svc.Labels = map[string]string{"region": "eu01"}
		book := runbook.Book{Name: "region", Claims: []string{"region"}, Member: restart().Member}
		b.book(book)
		first, second := b.open(servers[0]), b.open(servers[1])
		for range 10 {
			later(time.Second)
			b.answerAll(action.Install)
		}
		for _, id := range []string{first, second} {
			if r := b.run(id); r.State != run.Working {
				t.Errorf("within the region, %s is %s: %+v", r.Name, r.State, r.Waits)
			}
		}
		whole, err := b.carryOut(svc, "region")
		if err != nil {
			t.Fatal(err)
		}
		if why := b.why(whole); why.Code != plan.Claimed || why.By != first && why.By != second || why.Thing != "region/eu01" {
			t.Errorf("who claims the region waits for %+v", why)
		}
		for range 30 {
			later(time.Second)
			b.answerAll(action.Command)
		}
		if r := b.run(whole); r.State != run.Working {
			t.Fatalf("the region's run is %s: %+v", r.State, r.Waits)
		}
		third, elsewhere := b.open(servers[2]), b.open(far)
		for range 10 {
			later(time.Second)
			b.answerAll(action.Command)
		}
		if why := b.why(third); why.Code != plan.Claimed || why.By != whole || why.Words("de", time.UTC) != "Lauf "+whole+" von keystone arbeitet an region/eu01" {
			t.Errorf("within the claimed region it waits for %+v", why)
		}
		if r := b.run(elsewhere); r.State != run.Succeeded {
			t.Errorf("in another region it is %s: %+v", r.State, r.Waits)
		}
		b.finish(first, second, whole, third)
	})
}

// A server is not taken from a service that would fall below its quorum: a
// member elsewhere is being updated, or down.
func TestServersOfAServiceKeepItsQuorum(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path)
		defer end()
		var servers []fleet.Target
		for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
			servers = append(servers, b.server(name, ""))
		}
		svc := b.service("galera", 2, "ctl1", "ctl2", "ctl3")
		first, second := b.open(servers[0]), b.open(servers[1])
		for range 10 {
			later(time.Second)
			b.answerAll(action.Install)
		}
		working, waiting := first, second
		if b.run(first).State != run.Working {
			working, waiting = second, first
		}
		why := b.why(waiting)
		if b.run(working).State != run.Working || why.Code != plan.QuorumAtRisk || why.What != "galera" || why.By != b.run(working).Name {
			t.Fatalf("%s is %s, and the other waits for %+v", b.run(working).Name, b.run(working).State, why)
		}
		if got := why.Words("en", time.UTC); !strings.HasPrefix(got, "service galera needs the server: ") {
			t.Errorf("it says %q", got)
		}
		b.finish(first, second)

		// ctl3 is half configured: nobody else may go, and the roll counts it too.
		b.change(servers[2], func(t *fleet.Target) { t.Observed.HalfConfigured = []string{"mariadb"} })
		b.change(servers[0], func(t *fleet.Target) { t.Observed.Pending = []action.Pending{{Name: "vim", From: "1", To: "2"}} })
		third := b.open(servers[0])
		for range 10 {
			later(time.Second)
			b.answerAll()
		}
		if why := b.why(third); why.Code != plan.QuorumAtRisk || why.By != "ctl3" {
			t.Errorf("with ctl3 down, ctl1 waits for %+v", why)
		}
		b.book(restart())
		rolling, err := b.carryOut(svc, "restart")
		if err != nil {
			t.Fatal(err)
		}
		if why := b.why(rolling); why.Code != plan.BudgetUsed || why.By != "ctl3" {
			t.Errorf("with ctl3 down, the roll waits for %+v", why)
		}
		// The one that is down may be mended: that takes nothing from the service.
		mend := b.open(servers[2])
		for range 20 {
			later(time.Second)
			b.answerAll()
		}
		if r := b.run(mend); r.Started.IsZero() || len(r.Waits) > 0 && r.Waits[0].Reason.Code == plan.QuorumAtRisk {
			t.Errorf("ctl3 is not mended: %s %+v", r.State, r.Waits)
		}
	})
}

// What a person holds, runs wait for, and are told until when; then it ends by itself.
func TestHoldsEndByThemselves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		b, end := newBench(t, path)
		defer end()
		srv := b.server("a", "")
		until := time.Now().Add(10 * time.Minute).Truncate(time.Second)
		h := fleet.Hold{ID: "h1", Project: "shop", Names: []string{"server/a"}, Keys: []string{run.TargetKey(srv.ID)}, By: "user/ada", Reason: "new disk", Until: until}
		b.update(func(tx store.Tx) error {
			if err := tx.AddHold(h); err != nil {
				return err
			}
			return tx.Wake(store.HoldKey(h.ID), until)
		})
		id := b.open(srv)
		for range 5 {
			later(time.Second)
			b.answerAll()
		}
		why := b.why(id)
		if why.Code != plan.Held || why.By != "user/ada" || !why.Until.Equal(until) {
			t.Fatalf("it waits for %+v", why)
		}
		if got, want := why.Words("en", time.UTC), "user/ada holds a until "+until.UTC().Format("2006-01-02 15:04:05")+" UTC at the latest: new disk"; got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		later(time.Until(until) + 16*time.Second)
		b.engine.Nudge()
		b.finish(id)
		b.update(func(tx store.Tx) error {
			if _, err := tx.Hold(h.ID); !fault.Is(err, fault.KindNotFound) {
				t.Errorf("the hold is still there: %v", err)
			}
			return nil
		})
	})
}
