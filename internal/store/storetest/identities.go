package storetest

import (
	"testing"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

func identities(t *testing.T, open func(*testing.T) store.DB) {
	t.Run("tokens", func(t *testing.T) {
		db := open(t)
		var full store.Token
		Fill(&full)
		bare := store.Token{ID: "bare", Hash: "b"}
		var got store.Token
		for _, want := range []store.Token{full, bare} {
			update(t, db, func(tx store.Tx) error { return tx.PutToken(want) })
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.TokenByHash(want.Hash); return err })
			same(t, "token", got, want)
		}
		var all []store.Token
		view(t, db, func(tx store.Tx) (err error) { all, err = tx.Tokens(); return err })
		same(t, "tokens, by id", all, []store.Token{full, bare})
		refused(t, db, fault.KindConflict, func(tx store.Tx) error { return tx.PutToken(store.Token{ID: "third", Hash: "b"}) })
		bare.Hash = "b2" // replaced
		update(t, db, func(tx store.Tx) error { return tx.PutToken(bare) })
		missing(t, db, func(tx store.Tx) error { _, err := tx.TokenByHash("b"); return err })
		update(t, db, func(tx store.Tx) error { return tx.DeleteToken("bare") })
		refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.DeleteToken("bare") })
		missing(t, db, func(tx store.Tx) error { _, err := tx.TokenByHash("b2"); return err })
	})
	t.Run("enrolments", func(t *testing.T) {
		db := open(t)
		var full, got store.Enrolment
		Fill(&full)
		for _, want := range []store.Enrolment{{Hash: full.Hash}, full} { // the second replaces
			update(t, db, func(tx store.Tx) error { return tx.PutEnrolment(want) })
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.EnrolmentByHash(want.Hash); return err })
			same(t, "enrolment", got, want)
		}
		missing(t, db, func(tx store.Tx) error { _, err := tx.EnrolmentByHash("absent"); return err })
	})
	t.Run("agents", func(t *testing.T) {
		db := open(t)
		var full, got store.Agent
		Fill(&full)
		other := store.Agent{Target: "other"}
		for _, want := range []store.Agent{{Target: full.Target}, full, other} {
			update(t, db, func(tx store.Tx) error { return tx.PutAgent(want) })
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.Agent(want.Target); return err })
			same(t, "agent", got, want)
		}
		for _, c := range []struct {
			name  string
			given []string
			want  []store.Agent
		}{
			{"all", nil, []store.Agent{full, other}},
			{"given", []string{"absent", "other"}, []store.Agent{other}},
			{"none given", []string{}, nil},
		} {
			var got []store.Agent
			view(t, db, func(tx store.Tx) (err error) { got, err = tx.Agents(c.given); return err })
			same(t, "agents, "+c.name, got, c.want)
		}
		update(t, db, func(tx store.Tx) error { return tx.DeleteAgent("other") })
		refused(t, db, fault.KindNotFound, func(tx store.Tx) error { return tx.DeleteAgent("other") })
		missing(t, db, func(tx store.Tx) error { _, err := tx.Agent("other"); return err })
	})
	t.Run("secrets keep their first value", func(t *testing.T) {
		db := open(t)
		sealed := []byte{0, 1, 0xff, 'x'}
		for _, given := range [][]byte{sealed, []byte("later")} {
			var kept []byte
			update(t, db, func(tx store.Tx) (err error) { kept, err = tx.PutSecret("ca", given); return err })
			same(t, "kept", kept, sealed)
		}
		var got []byte
		view(t, db, func(tx store.Tx) (err error) { got, err = tx.Secret("ca"); return err })
		same(t, "secret", got, sealed)
		missing(t, db, func(tx store.Tx) error { _, err := tx.Secret("absent"); return err })
	})
}

func requests(t *testing.T, open func(*testing.T) store.DB) {
	db := open(t)
	repeated := func(who, key, fingerprint string) (made string, again bool) {
		view(t, db, func(tx store.Tx) (err error) { made, again, err = tx.Repeated(who, key, fingerprint); return err })
		return made, again
	}
	if made, again := repeated("ann", "k", "f"); again || made != "" {
		t.Fatal("a new request is a repeated one")
	}
	update(t, db, func(tx store.Tx) error { return tx.Remember("ann", "k", "f", "run 1", start) })
	if made, again := repeated("ann", "k", "f"); !again || made != "run 1" {
		t.Fatalf("got %q, %v", made, again)
	}
	if _, again := repeated("bob", "k", "f"); again {
		t.Fatal("somebody else's request is a repeated one")
	}
	wantKind(t, db.View(t.Context(), func(tx store.Tx) error { _, _, err := tx.Repeated("ann", "k", "g"); return err }), fault.KindConflict)
	refused(t, db, fault.KindConflict, func(tx store.Tx) error { return tx.Remember("ann", "k", "f", "run 2", start) })
	update(t, db, func(tx store.Tx) error { return tx.Remember("bob", "k", "f", "run 3", start.Add(time.Hour)) })
	update(t, db, func(tx store.Tx) error { return tx.ForgetRequests(start.Add(time.Hour)) })
	if _, again := repeated("ann", "k", "f"); again {
		t.Fatal("it is not forgotten")
	}
	if _, again := repeated("bob", "k", "f"); !again {
		t.Fatal("a newer one is forgotten")
	}
}
