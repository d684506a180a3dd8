package storetest

import (
	"fmt"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

func runs(t *testing.T, open func(*testing.T) store.DB) {
	t.Run("come back as they were", func(t *testing.T) {
		db := open(t)
		var full run.Run
		Fill(&full)
		full.Revision = 0
		for _, want := range []run.Run{full, {ID: "bare"}} {
			var put, got run.Run
			update(t, db, func(tx store.Tx) (err error) { put, err = tx.PutRun(want); return err })
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.Run(want.ID); return err })
			want.Number, want.Revision = 1, 1
			same(t, "what was put", put, want)
			same(t, "what was read", got, want)
		}
		missing(t, db, func(tx store.Tx) error { _, err := tx.Run("absent"); return err })
	})
	t.Run("compare and set", func(t *testing.T) {
		db := open(t)
		putRun := func(r run.Run) func(store.Tx) error {
			return func(tx store.Tx) error { _, err := tx.PutRun(r); return err }
		}
		update(t, db, putRun(run.Run{ID: "r"}))
		refused(t, db, fault.KindConflict, putRun(run.Run{ID: "r"}))
		update(t, db, putRun(run.Run{ID: "r", Revision: 1, State: run.Working}))
		refused(t, db, fault.KindConflict, putRun(run.Run{ID: "r", Revision: 1}))
		refused(t, db, fault.KindConflict, putRun(run.Run{ID: "r", Revision: 3}))
		refused(t, db, fault.KindNotFound, putRun(run.Run{ID: "absent", Revision: 1}))
		view(t, db, func(tx store.Tx) error {
			r, err := tx.Run("r")
			if err == nil && (r.Revision != 2 || r.State != run.Working) {
				t.Errorf("got %+v", r)
			}
			return err
		})
	})
	t.Run("are listed newest first, filtered and paged", func(t *testing.T) {
		db := open(t)
		for _, r := range []run.Run{
			{ID: "1", Project: "p", Target: "t", Schedule: "s", State: run.Succeeded},
			{ID: "2", Project: "p", Target: "u", Schedule: "s", State: run.Waiting},
			{ID: "3", Project: "q", Target: "t", State: run.Failed},
			{ID: "4", Project: "p", Target: "t", State: run.Paused},
			{ID: "5", Project: "p", Target: "t", State: run.Aborted},
		} {
			update(t, db, func(tx store.Tx) error { _, err := tx.PutRun(r); return err })
		}
		for _, c := range []struct {
			name   string
			filter store.RunFilter
			want   []string
		}{
			{"all", store.RunFilter{}, []string{"5", "4", "3", "2", "1"}},
			{"project", store.RunFilter{Project: "p"}, []string{"5", "4", "2", "1"}},
			{"target", store.RunFilter{Target: "t"}, []string{"5", "4", "3", "1"}},
			{"schedule", store.RunFilter{Schedule: "s"}, []string{"2", "1"}},
			{"open", store.RunFilter{Open: true}, []string{"4", "2"}},
			{"open ones of a target", store.RunFilter{Open: true, Target: "t"}, []string{"4"}},
			{"page", store.RunFilter{Limit: 2}, []string{"5", "4"}},
			{"next page", store.RunFilter{Limit: 2, Before: "4"}, []string{"3", "2"}},
			{"last page", store.RunFilter{Limit: 2, Before: "2"}, []string{"1"}},
			{"nobody's", store.RunFilter{Project: "x"}, []string{}},
		} {
			var got []run.Run
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.Runs(c.filter); return err })
			same(t, c.name, ids(got, func(r run.Run) string { return r.ID }), c.want)
		}
	})
}

func claims(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	holders := func(keys ...string) map[string]string {
		var got map[string]string
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.ClaimsOn(keys); return err })
		return got
	}
	putRun := func(id string, revision int64, keys ...string) func(store.Tx) error {
		return func(tx store.Tx) error {
			_, err := tx.PutRun(run.Run{ID: id, Revision: revision, Holds: keys})
			return err
		}
	}
	update(t, db, putRun("r1", 0, "a", "b", "a")) // naming one twice is no mistake
	update(t, db, putRun("r2", 0, "c"))
	same(t, "holders", holders("a", "b", "c", "d"), map[string]string{"a": "r1", "b": "r1", "c": "r2"})
	same(t, "holders of nothing", holders(), map[string]string{})

	err := db.Update(t.Context(), putRun("r2", 1, "c", "d", "b"))
	wantKind(t, err, fault.KindConflict)
	if want := "run r1 holds b"; err.Error() != want {
		t.Fatalf("it says %q, want %q", err, want)
	}
	refused(t, db, fault.KindConflict, putRun("r3", 0, "a"))
	missing(t, db, func(tx store.Tx) error { _, err := tx.Run("r3"); return err })
	same(t, "after refusals", holders("a", "b", "c", "d"), map[string]string{"a": "r1", "b": "r1", "c": "r2"})
	// A refusal leaves nothing behind, even if the transaction goes on.
	update(t, db, func(tx store.Tx) error {
		wantKind(t, putRun("r2", 1, "d", "a")(tx), fault.KindConflict)
		return putRun("r2", 1, "c")(tx)
	})
	same(t, "after a swallowed refusal", holders("c", "d"), map[string]string{"c": "r2"})

	update(t, db, putRun("r1", 1, "b", "d"))
	same(t, "exchanged", holders("a", "b", "c", "d"), map[string]string{"b": "r1", "c": "r2", "d": "r1"})
	update(t, db, putRun("r1", 2))
	update(t, db, putRun("r2", 2, "a", "b", "c", "d"))
	same(t, "handed over", holders("a", "b", "c", "d"), map[string]string{"a": "r2", "b": "r2", "c": "r2", "d": "r2"})

	var many []string
	for i := range 3 * 256 {
		many = append(many, fmt.Sprintf("many/%d", i))
	}
	update(t, db, putRun("r4", 0, many...))
	if got := holders(append(many, "a")...); len(got) != len(many)+1 {
		t.Fatalf("%d of %d are held", len(got), len(many)+1)
	}
}

func orders(t *testing.T, open func(*testing.T) store.DB) {
	t.Run("come back as they were, counted for their target", func(t *testing.T) {
		db := open(t)
		put(t, db, someTarget("t", "web"), someTarget("u", "mail"))
		var full run.Order
		Fill(&full)
		full.Target = "t"
		var got store.Order
		update(t, db, func(tx store.Tx) error { return tx.AddOrder(full) })
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.Order(full.Key()); return err })
		full.Generation = 1
		same(t, "order", got, store.Order{Order: full})

		update(t, db, func(tx store.Tx) error { return tx.AddOrder(full) }) // again: nothing
		update(t, db, func(tx store.Tx) error {
			for _, o := range []run.Order{someOrder("r", "s", 1, "t"), someOrder("r", "s", 2, "t"), someOrder("r", "s", 3, "u")} {
				if err := tx.AddOrder(o); err != nil {
					return err
				}
			}
			return nil
		})
		generations := map[string]int64{}
		view(t, db, func(tx store.Tx) error {
			for _, id := range []string{"t", "u"} {
				open, err := tx.OpenOrders(id)
				if err != nil {
					return err
				}
				for _, o := range open {
					generations[o.Key()] = o.Generation
				}
				target, err := tx.Target(id)
				if err != nil || target.Generation != open[len(open)-1].Generation {
					t.Errorf("target %+v, %v", target, err)
				}
			}
			return nil
		})
		same(t, "generations", generations, map[string]int64{full.Key(): 1, "r/s/1": 2, "r/s/2": 3, "r/s/3": 1})
		refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.AddOrder(someOrder("r", "s", 9, "nobody")) })
	})
	t.Run("are answered once", func(t *testing.T) { answerOrders(t, open(t)) })
	t.Run("expire unless they were handed out", func(t *testing.T) { expireOrders(t, open(t)) })
	t.Run("are listed", func(t *testing.T) { listOrders(t, open(t)) })
}

func answerOrders(t *testing.T, db store.DB) {
	put(t, db, someTarget("t", "web"))
	update(t, db, func(tx store.Tx) error { return tx.AddOrder(someOrder("r", "s", 1, "t")) })
	var full action.Result
	Fill(&full)
	answer := func(r action.Result) (first bool) {
		update(t, db, func(tx store.Tx) (err error) { first, err = tx.Answer("r/s/1", r, start); return err })
		return first
	}
	if !answer(full) {
		t.Fatal("the first answer isn't the first")
	}
	if answer(action.Result{Outcome: action.Refused}) {
		t.Fatal("the second answer is the first")
	}
	view(t, db, func(tx store.Tx) error {
		o, err := tx.Order("r/s/1")
		if err != nil {
			return err
		}
		same(t, "result", *o.Result, full)
		same(t, "answered at", o.AnsweredAt, start)
		answers, err := tx.Answers("r")
		same(t, "answers", answers, map[string]action.Result{"r/s/1": full})
		return err
	})
	refused(t, db, fault.KindNotFound, func(tx store.Tx) error { _, err := tx.Answer("absent", full, start); return err })
	refused(t, db, fault.KindConflict, func(tx store.Tx) error { return tx.MarkHanded("r/s/1", start) })
}

func expireOrders(t *testing.T, db store.DB) {
	put(t, db, someTarget("t", "web"))
	update(t, db, func(tx store.Tx) error {
		for attempt := range 3 {
			if err := tx.AddOrder(someOrder("r", "s", attempt+1, "t")); err != nil {
				return err
			}
		}
		_, err := tx.Answer("r/s/3", action.Result{Outcome: action.Done}, start)
		return err
	})
	expire := func(key string) (expired bool) {
		update(t, db, func(tx store.Tx) (err error) { expired, err = tx.ExpireOrder(key, start); return err })
		return expired
	}
	update(t, db, func(tx store.Tx) error { return tx.MarkHanded("r/s/1", start) })
	update(t, db, func(tx store.Tx) error { return tx.MarkHanded("r/s/1", start.Add(time.Hour)) }) // the first time counts
	if expire("r/s/1") {
		t.Fatal("expired although it was handed out")
	}
	if !expire("r/s/2") {
		t.Fatal("not expired although nobody had seen it")
	}
	if expire("r/s/3") || expire("r/s/2") {
		t.Fatal("expired although it had an answer")
	}
	view(t, db, func(tx store.Tx) error {
		handed, err := tx.Handed("r")
		same(t, "handed", handed, map[string]time.Time{"r/s/1": start})
		if err != nil {
			return err
		}
		answers, err := tx.Answers("r")
		same(t, "answers", answers, map[string]action.Result{"r/s/2": {Outcome: action.Expired}, "r/s/3": {Outcome: action.Done}})
		return err
	})
	refused(t, db, fault.KindConflict, func(tx store.Tx) error { return tx.MarkHanded("r/s/2", start) })
	refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.MarkHanded("absent", start) })
	refused(t, db, fault.KindNotFound, func(tx store.Tx) error { _, err := tx.ExpireOrder("absent", start); return err })
}

func listOrders(t *testing.T, db store.DB) {
	put(t, db, someTarget("t", "a"), someTarget("u", "b"), someTarget("v", "c"))
	update(t, db, func(tx store.Tx) error {
		for _, o := range []run.Order{someOrder("r1", "z", 1, "t"), someOrder("r1", "a", 1, "t"), someOrder("r2", "a", 1, "u"), someOrder("r1", "b", 1, "t")} {
			if err := tx.AddOrder(o); err != nil {
				return err
			}
		}
		if err := tx.MarkHanded("r1/z/1", start); err != nil {
			return err
		}
		_, err := tx.Answer("r1/a/1", action.Result{}, start)
		return err
	})
	view(t, db, func(tx store.Tx) error {
		open, err := tx.OpenOrders("t")
		same(t, "open orders", ids(open, func(o store.Order) string { return o.Key() }), []string{"r1/z/1", "r1/b/1"})
		return err
	})
	for _, c := range []struct {
		name  string
		given []string
		want  []string
	}{
		{"all", nil, []string{"t", "u"}},
		{"given", []string{"v", "u", "u", "nobody"}, []string{"u"}},
		{"none given", []string{}, nil},
	} {
		var got []string
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.TargetsWithOrders(c.given); return err })
		same(t, "targets with orders, "+c.name, got, c.want)
	}
	view(t, db, func(tx store.Tx) error {
		answers, err := tx.Answers("r2")
		same(t, "answers of another run", answers, map[string]action.Result{})
		return err
	})
	missing(t, db, func(tx store.Tx) error { _, err := tx.Order("absent"); return err })
}

func someFacts(n int) []history.Fact {
	var all []history.Fact
	for i := range n {
		all = append(all, history.Fact{At: start.Add(time.Duration(i) * time.Second), Who: "engine", Project: "p",
			Target: fmt.Sprintf("t%d", i%2), Run: fmt.Sprintf("r%d", i%3), Step: "s", Kind: history.StepStarted, Text: fmt.Sprint(i)})
	}
	return all
}

func facts(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	list := func(f store.FactFilter) (all []history.Fact) {
		view(t, db, func(tx store.Tx) (err error) { all, err = tx.Facts(f); return err })
		return all
	}
	texts := func(all []history.Fact) []string {
		return ids(all, func(f history.Fact) string { return f.Text })
	}
	given := someFacts(6)
	update(t, db, func(tx store.Tx) error {
		if err := tx.AddFacts(given[:4]); err != nil {
			return err
		}
		seen, err := tx.Facts(store.FactFilter{}) // a transaction sees its own
		if len(seen) != 4 {
			t.Errorf("it sees %d of its facts, %v", len(seen), err)
		}
		return tx.AddFacts(given[4:])
	})
	update(t, db, func(tx store.Tx) error { return tx.AddFacts(nil) })
	refused(t, db, fault.KindInternal, func(tx store.Tx) error {
		if err := tx.AddFacts(someFacts(1)); err != nil {
			return err
		}
		return fault.Internal("mine", nil)
	})
	all := list(store.FactFilter{})
	for i, f := range all {
		if f.Seq <= 0 || i > 0 && f.Seq <= all[i-1].Seq {
			t.Fatalf("fact %d has number %d", i, f.Seq)
		}
		f.Seq = 0
		same(t, "fact", f, given[i])
	}
	for _, c := range []struct {
		name   string
		filter store.FactFilter
		want   []string
	}{
		{"all", store.FactFilter{}, []string{"0", "1", "2", "3", "4", "5"}},
		{"newest first", store.FactFilter{Newest: true, Limit: 2}, []string{"5", "4"}},
		{"target", store.FactFilter{Target: "t1"}, []string{"1", "3", "5"}},
		{"run", store.FactFilter{Run: "r1"}, []string{"1", "4"}},
		{"both", store.FactFilter{Target: "t1", Run: "r1"}, []string{"1"}},
		{"page", store.FactFilter{After: all[1].Seq, Limit: 2}, []string{"2", "3"}},
		{"the end", store.FactFilter{After: all[5].Seq}, []string{}},
		{"project", store.FactFilter{Project: "q"}, []string{}},
	} {
		same(t, c.name, texts(list(c.filter)), c.want)
	}
	// What a host prints is no reason to lose a transaction.
	ugly := history.Fact{Kind: history.StepEnded, Text: "a\x00b\xffc"}
	update(t, db, func(tx store.Tx) error { return tx.AddFacts([]history.Fact{ugly}) })
	same(t, "what can't be text", texts(list(store.FactFilter{After: all[5].Seq})), []string{"a\uFFFDb\uFFFDc"})
	update(t, db, func(tx store.Tx) error { return tx.AddFacts(someFacts(1000)) })
	if got := len(list(store.FactFilter{})); got != 1007 {
		t.Fatalf("%d facts", got)
	}
}
