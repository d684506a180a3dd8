package identity

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
	"upkeep/internal/store/sqlstore"
)

// open gives an empty database.
func open(t *testing.T) *sqlstore.DB {
	t.Helper()
	db, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "db"), sqlite.Unsafe())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func update(t *testing.T, db Updater, f func(store.Tx) error) {
	t.Helper()
	if err := db.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("error is %v (%q), want %q", err, fault.KindOf(err), kind)
	}
}

// The table is written out: a right that is given by mistake shows here.
func TestMay(t *testing.T) {
	people := map[string]Principal{
		"operator":       {Name: "o", Role: Operator},
		"member of a":    {Name: "m", Role: Member, Project: "a"},
		"member of all":  {Name: "n", Role: Member},
		"viewer of a":    {Name: "v", Role: Viewer, Project: "a"},
		"without a role": {Name: "x"},
	}
	want := map[string]string{
		"operator":      "read a, read b, read *, write a, write b, write *, run a, run b, run *, admin a, admin b, admin *",
		"member of a":   "read a, write a, run a",
		"member of all": "read a, read b, read *, write a, write b, write *, run a, run b, run *",
		"viewer of a":   "read a",
	}
	for name, p := range people {
		var got []string
		for _, v := range []Verb{Read, Write, Run, Admin} {
			for _, project := range []string{"a", "b", ""} {
				err := p.May(v, project)
				if err == nil {
					got = append(got, string(v)+" "+strings.ReplaceAll(project+"*", "a*", "a"))
				} else if !fault.Is(err, fault.KindDenied) {
					t.Errorf("%s: %v is not denied", name, err)
				}
			}
		}
		text := strings.ReplaceAll(strings.Join(got, ", "), "b*", "b")
		if text != want[name] {
			t.Errorf("%s may %s\nwant %s", name, text, want[name])
		}
	}
	if who := people["operator"].Who(); who != "user/o" {
		t.Errorf("Who is %q", who)
	}
}

func TestTokens(t *testing.T) {
	ctx, db := context.Background(), open(t)
	secret, token, err := NewToken("alice", Member, "shop", time.Time{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(token.Hash, strings.TrimPrefix(secret, "upk_")) || len(secret) < 40 {
		t.Error("the secret is kept, or is short")
	}
	update(t, db, func(tx store.Tx) error { return tx.PutToken(token) })

	p, err := Authenticate(ctx, db, secret)
	if err != nil || p != (Principal{Name: "alice", Role: Member, Project: "shop"}) {
		t.Errorf("Authenticate = %+v, %v", p, err)
	}
	other, _, _ := NewToken("bob", Operator, "", time.Time{}, time.Now())
	var sentences []string
	for _, bad := range []string{"", "x", token.Hash, "upk_" + token.Hash, other, secret + "0", strings.ToUpper(secret)} {
		_, err := Authenticate(ctx, db, bad)
		wantKind(t, err, fault.KindDenied)
		sentences = append(sentences, err.Error())
	}
	for _, s := range sentences {
		if s != sentences[0] {
			t.Errorf("two sentences: %q, %q", s, sentences[0])
		}
	}

	// A token that is deleted ends at once.
	update(t, db, func(tx store.Tx) error { return tx.DeleteToken(token.ID) })
	_, err = Authenticate(ctx, db, secret)
	wantKind(t, err, fault.KindDenied)
}

func TestTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, db := context.Background(), open(t)
		secret, token, err := NewToken("ci", Operator, "", time.Now().Add(time.Hour), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		update(t, db, func(tx store.Tx) error { return tx.PutToken(token) })
		time.Sleep(time.Hour - time.Second)
		if _, err := Authenticate(ctx, db, secret); err != nil {
			t.Errorf("a second before its end: %v", err)
		}
		time.Sleep(time.Second)
		_, err = Authenticate(ctx, db, secret)
		wantKind(t, err, fault.KindDenied)
	})
}

func TestNewTokenRefuses(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		field, name string
		role        Role
		project     string
		expires     time.Time
	}{
		{"name", "", Viewer, "", time.Time{}},
		{"name", "a\nb", Viewer, "", time.Time{}},
		{"role", "a", "root", "", time.Time{}},
		{"project", "a", Operator, "shop", time.Time{}},
		{"project", "a", Member, "a b", time.Time{}},
		{"expires", "a", Member, "shop", now},
	} {
		_, _, err := NewToken(c.name, c.role, c.project, c.expires, now)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.KindInvalid || f.Field != c.field {
			t.Errorf("%+v: %v, want %s blamed", c, err, c.field)
		}
	}
}

func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, db := context.Background(), open(t)
		sealer, _ := NewSealer([32]byte{1})
		s, err := LoadSessions(ctx, db, sealer)
		if err != nil {
			t.Fatal(err)
		}
		secret, token, _ := NewToken("alice", Viewer, "shop", time.Time{}, time.Now())
		update(t, db, func(tx store.Tx) error { return tx.PutToken(token) })

		_, _, _, err = s.Issue(ctx, "upk_nonsense")
		wantKind(t, err, fault.KindDenied)
		cookie, expires, p, err := s.Issue(ctx, secret)
		if err != nil || p.Name != "alice" || !expires.Equal(time.Now().Add(SessionTTL)) || strings.Contains(cookie, secret) {
			t.Fatalf("Issue = %q, %v, %+v, %v", cookie, expires, p, err)
		}
		// Another server of the same database knows it.
		s2, err := LoadSessions(ctx, db, sealer)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := s2.Verify(ctx, cookie); err != nil || p != (Principal{Name: "alice", Role: Viewer, Project: "shop"}) {
			t.Errorf("Verify = %+v, %v", p, err)
		}
		i := strings.LastIndexByte(cookie, '.')
		for _, bad := range []string{
			"", ".", "....", cookie + "x", cookie[:len(cookie)-1], "2" + cookie[1:],
			cookie[:i] + "0" + cookie[i:], // a later end
		} {
			_, err := s.Verify(ctx, bad)
			wantKind(t, err, fault.KindDenied)
		}

		time.Sleep(SessionTTL - time.Second)
		if _, err := s.Verify(ctx, cookie); err != nil {
			t.Errorf("a second before its end: %v", err)
		}
		time.Sleep(time.Second)
		_, err = s.Verify(ctx, cookie)
		wantKind(t, err, fault.KindDenied)

		// A session ends with its token.
		cookie, _, _, _ = s.Issue(ctx, secret)
		if _, err := s.Verify(ctx, cookie); err != nil {
			t.Error(err)
		}
		update(t, db, func(tx store.Tx) error { return tx.DeleteToken(token.ID) })
		_, err = s.Verify(ctx, cookie)
		wantKind(t, err, fault.KindDenied)
		token.ID = "another"
		update(t, db, func(tx store.Tx) error { return tx.PutToken(token) })
		_, err = s.Verify(ctx, cookie)
		wantKind(t, err, fault.KindDenied)

		// And no later than it.
		secret, token, _ = NewToken("bob", Viewer, "shop", time.Now().Add(time.Minute), time.Now())
		update(t, db, func(tx store.Tx) error { return tx.PutToken(token) })
		_, expires, _, err = s.Issue(ctx, secret)
		if err != nil || !expires.Equal(token.Expires) {
			t.Errorf("session ends %v, its token %v: %v", expires, token.Expires, err)
		}
	})
}

// redeem runs Redeem in a transaction of its own.
func redeem(db Updater, secret, key string, now time.Time) (target string, repeated bool, err error) {
	err = db.Update(context.Background(), func(tx store.Tx) (err error) {
		if target, repeated, err = Redeem(tx, secret, key, now); err != nil {
			return err
		}
		return tx.PutAgent(store.Agent{Target: target, Key: key})
	})
	return target, repeated, err
}

func TestRedeem(t *testing.T) {
	db, now := open(t), time.Now().Truncate(time.Microsecond) // as the database keeps it
	update(t, db, func(tx store.Tx) error {
		_, err := tx.PutTarget(fleet.Target{ID: "t1", Project: "shop", Name: "web-1", Kind: fleet.Server})
		return err
	})
	enrolment := func(ttl time.Duration) string {
		secret, e := NewEnrolment("t1", ttl, now)
		if strings.Contains(e.Hash, secret[4:]) {
			t.Error("the secret is kept")
		}
		update(t, db, func(tx store.Tx) error { return tx.PutEnrolment(e) })
		return secret
	}
	first := enrolment(0)
	steps := []struct {
		what     string
		secret   string
		key      string
		at       time.Duration
		denied   bool
		repeated bool
	}{
		{"nonsense", "upe_x", "k1", 0, true, false},
		{"unknown", newSecret(enrolmentPrefix), "k1", 0, true, false},
		{"too late", enrolment(time.Hour), "k1", time.Hour, true, false},
		{"a day later", enrolment(0), "k1", 24 * time.Hour, true, false},
		{"first use", first, "k1", time.Minute, false, false},
		{"another key", first, "k2", time.Minute, true, false},
		{"the answer was lost", first, "k1", 30 * time.Minute, false, true},
		{"an hour after the first use", first, "k1", 61 * time.Minute, false, true},
		{"later than that", first, "k1", 61*time.Minute + 1, true, false},
	}
	for _, s := range steps {
		target, repeated, err := redeem(db, s.secret, s.key, now.Add(s.at))
		if s.denied {
			wantKind(t, err, fault.KindDenied)
			continue
		}
		if err != nil || target != "t1" || repeated != s.repeated {
			t.Errorf("%s: %q, repeated %v, %v", s.what, target, repeated, err)
		}
	}

	// Enrolling anew replaces the key; the old secret never brings it back.
	second := enrolment(0)
	if _, _, err := redeem(db, second, "k9", now.Add(20*time.Minute)); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"k1", "k9"} {
		_, _, err := redeem(db, first, key, now.Add(21*time.Minute))
		wantKind(t, err, fault.KindDenied)
	}
}
