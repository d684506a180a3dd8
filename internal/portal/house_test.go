package portal

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
	"upkeep/internal/window"
)

// house is the portal on a real desk and a real database, with a pretend
// engine and pretend hosts that do as the test says.
type house struct {
	t      *testing.T
	db     store.DB
	desk   *desk.Desk
	portal *Portal
	tokens map[identity.Role]string
	ids    int
}

// boss is who makes data in tests.
var boss = desk.Caller{Principal: identity.Principal{Name: "boss", Role: identity.Operator}}

func newHouse(t *testing.T, anonymous *identity.Principal) *house {
	t.Helper()
	ctx := context.Background()
	db, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "upkeep.db"), sqlite.Unsafe())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &house{t: t, db: db, tokens: map[identity.Role]string{}}
	h.desk = desk.New(db, func() string { h.ids++; return fmt.Sprintf("id-%06d", h.ids) }, func() {})
	for role, project := range map[identity.Role]string{identity.Operator: "", identity.Member: "shop", identity.Viewer: "shop"} {
		secret, token, err := identity.NewToken("anna-"+string(role), role, project, time.Time{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		h.update(func(tx store.Tx) error { return tx.PutToken(token) })
		h.tokens[role] = secret
	}
	var key [32]byte
	sealer, err := identity.NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := identity.LoadSessions(ctx, db, sealer)
	if err != nil {
		t.Fatal(err)
	}
	h.portal = New(Config{Desk: h.desk, SignIn: sessions.Issue, Verify: sessions.Verify, Anonymous: anonymous, Version: "v0.0.0-test"})
	t.Cleanup(h.portal.Close)
	return h
}

func (h *house) update(f func(store.Tx) error) {
	h.t.Helper()
	if err := h.db.Update(context.Background(), f); err != nil {
		h.t.Fatal(err)
	}
}

// server makes a server that looks like obs; nil: it was never looked at.
func (h *house) server(project, name string, obs *action.Observation, seen time.Duration) fleet.Target {
	h.t.Helper()
	t, _, err := h.desk.PutServer(context.Background(), boss, desk.ServerSpec{Project: project, Name: name, Labels: map[string]string{"site": "fra1"}})
	if err != nil {
		h.t.Fatal(err)
	}
	if obs == nil {
		return t
	}
	h.update(func(tx store.Tx) (err error) {
		t.Observed, t.ObservedAt = obs, time.Now().Add(-seen)
		if t, err = tx.PutTarget(t); err != nil {
			return err
		}
		return tx.PutAgent(store.Agent{Target: t.ID, Key: strings.Repeat("ab", 32), Version: "v0.1.0", LastSeen: time.Now().Add(-seen), Expires: time.Now().Add(20 * time.Hour)})
	})
	return t
}

// schedule puts a weekly window on a server that opened some time ago, or opens later.
func (h *house) schedule(t fleet.Target, name string, opens time.Duration, length time.Duration) fleet.Schedule {
	h.t.Helper()
	zone, err := time.LoadLocation("Europe/Sofia")
	if err != nil {
		h.t.Fatal(err)
	}
	at := time.Now().Add(opens).In(zone)
	rule := fmt.Sprintf("DTSTART;TZID=Europe/Sofia:%s RRULE:FREQ=WEEKLY;BYDAY=%s", at.AddDate(0, 0, -7).Format("20060102T150400"), strings.ToUpper(at.Weekday().String()[:2]))
	s, _, err := h.desk.PutSchedule(context.Background(), boss, desk.ScheduleSpec{
		Project: t.Project, Server: t.ID, Name: name, Enabled: true, RRule: rule, Duration: length,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// open opens a run as its schedule would.
func (h *house) open(t fleet.Target, s fleet.Schedule, at time.Time) string {
	h.t.Helper()
	h.ids++
	r, facts := run.Open(run.ForSchedule(fmt.Sprintf("id-%06d", h.ids), s, t, window.Span{}), at)
	h.update(func(tx store.Tx) error {
		if _, err := tx.PutRun(r); err != nil {
			return err
		}
		return tx.AddFacts(facts)
	})
	return r.ID
}

// tick moves a run as the engine would at that instant.
func (h *house) tick(id string, at time.Time) (r run.Run, next run.Next) {
	h.t.Helper()
	h.update(func(tx store.Tx) (err error) {
		if r, err = tx.Run(id); err != nil {
			return err
		}
		w := run.World{Now: at}
		if w.Target, err = tx.Target(r.Target); err != nil {
			return err
		}
		if w.Freezes, err = tx.Freezes(r.Project, at); err != nil {
			return err
		}
		if w.Answers, err = tx.Answers(id); err != nil {
			return err
		}
		r, next = run.Tick(r, w)
		if _, err = tx.PutRun(r); err != nil {
			return err
		}
		for _, o := range next.Orders {
			if err := tx.AddOrder(o); err != nil {
				return err
			}
		}
		return tx.AddFacts(next.Facts)
	})
	return r, next
}

// do lets the host carry out an order: it installs all but what is to fail.
func (h *house) do(o run.Order, at time.Time, took time.Duration, fails map[string]string) {
	h.t.Helper()
	res := action.Result{Outcome: action.Done, Started: at, Finished: at.Add(took), Output: "Reading package lists...\nBuilding dependency tree...\n" + string(o.Kind) + " <script>alert(4)</script> done\n"}
	h.update(func(tx store.Tx) error {
		t, err := tx.Target(o.Target)
		if err != nil {
			return err
		}
		obs := *t.Observed
		obs.After = o.Key()
		for _, p := range o.Packages {
			if o.Kind != action.Install || o.DryRun {
				break
			}
			if why := fails[p.Name]; why != "" {
				res.Outcome, res.Reason = action.Failed, "dpkg returned 1"
				res.Failures = append(res.Failures, action.Failure{Name: p.Name, Reason: why})
				continue
			}
			var rest []action.Pending
			for _, u := range obs.Pending {
				if u.Name == p.Name {
					res.Changes = append(res.Changes, action.Change{Name: u.Name, From: u.From, To: u.To})
				} else {
					rest = append(rest, u)
				}
			}
			obs.Pending = rest
		}
		res.DryRun = o.DryRun
		if o.Kind == action.Reboot {
			obs.RebootRequired, obs.RebootPackages = false, nil
		}
		t.Observed, t.ObservedAt = &obs, at.Add(took)
		if _, err := tx.PutTarget(t); err != nil {
			return err
		}
		_, err = tx.Answer(o.Key(), res, at.Add(took))
		return err
	})
}

// finish lets a run and its host work to the end.
func (h *house) finish(id string, at time.Time, fails map[string]string) run.Run {
	h.t.Helper()
	for range 40 {
		r, next := h.tick(id, at)
		if r.State.Ended() {
			return r
		}
		for _, o := range next.Orders {
			h.do(o, at, 40*time.Second, fails)
		}
		at = at.Add(50 * time.Second)
	}
	h.t.Fatalf("run %s does not end", id)
	return run.Run{}
}

// look is a host with updates pending.
func look(pending int, reboot bool) *action.Observation {
	o := &action.Observation{
		BootID: "b1", Hostname: "host", System: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0-40-amd64", Arch: "amd64", Manager: "apt",
		RebootRequired: reboot, ListsAge: 3 * time.Hour, Held: []string{"postgresql-15"},
	}
	if reboot {
		o.RebootPackages = []string{"linux-image-6.1.0-40-amd64"}
	}
	names := []string{"openssl", "libssl3", "curl", "libcurl4", "nginx", "nginx-common", "sudo", "tzdata", "vim-common", "xxd", "base-files", "systemd"}
	for i := range pending {
		name := names[i%len(names)]
		if i >= len(names) {
			name = fmt.Sprintf("%s-extra%d", name, i)
		}
		u := action.Pending{Name: name, From: fmt.Sprintf("1.%d-1", i), To: fmt.Sprintf("1.%d-1+deb12u2", i), Origin: "Debian:12.12/stable", Bytes: int64(i+1) * 234_567}
		if i%3 == 0 {
			u.Security, u.Origin = true, "Debian-Security:12/stable-security"
		}
		o.Pending = append(o.Pending, u)
	}
	return o
}

// browser is a person with a browser that runs no scripts.
type browser struct {
	h       *house
	cookies map[string]string
	headers map[string]string
	address string // where it calls from; empty: somewhere
}

func (h *house) browser() *browser {
	return &browser{h: h, cookies: map[string]string{}, headers: map[string]string{"Sec-Fetch-Site": "same-origin"}}
}

// as signs in.
func (h *house) as(role identity.Role) *browser {
	h.t.Helper()
	b := h.browser()
	if got := b.post("/signin", url.Values{"token": {h.tokens[role]}}); got.code != http.StatusSeeOther {
		h.t.Fatalf("sign in: %d", got.code)
	}
	return b
}

// answer is what the portal said.
type answer struct {
	code   int
	header http.Header
	body   string
}

func (b *browser) get(path string) answer { return b.ask(http.MethodGet, path, nil) }

func (b *browser) post(path string, form url.Values) answer {
	return b.ask(http.MethodPost, path, strings.NewReader(form.Encode()))
}

func (b *browser) ask(method, path string, body io.Reader) answer {
	b.h.t.Helper()
	r := httptest.NewRequest(method, "http://upkeep.test"+path, body)
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range b.headers {
		r.Header.Set(name, value)
	}
	if b.address != "" {
		r.RemoteAddr = b.address
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.h.portal.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c.Value
	}
	return answer{code: w.Code, header: w.Header(), body: w.Body.String()}
}

// must checks the status and that all texts are there.
func (a answer) must(t *testing.T, code int, texts ...string) answer {
	t.Helper()
	if a.code != code {
		t.Fatalf("status %d, want %d: %.600s", a.code, code, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%q is missing in %.4000s", text, a.body)
		}
	}
	return a
}

// mustNot checks that none of the texts is there.
func (a answer) mustNot(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("%q is there", text)
		}
	}
}

// once is a schedule whose window was open at an instant.
func (h *house) once(t fleet.Target, at time.Time) fleet.Schedule {
	h.t.Helper()
	s, _, err := h.desk.PutSchedule(context.Background(), boss, desk.ScheduleSpec{
		Project: t.Project, Server: t.ID, Name: "Weekend", Enabled: false, Duration: 3 * time.Hour,
		RRule: "DTSTART;TZID=UTC:" + at.UTC().Format("20060102T150405") + " RRULE:FREQ=WEEKLY;COUNT=1",
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// observe lets a server look as if updates had come since.
func (h *house) observe(id string, pending int, reboot bool) (t fleet.Target) {
	h.t.Helper()
	h.update(func(tx store.Tx) (err error) {
		if t, err = tx.Target(id); err != nil {
			return err
		}
		t.Observed, t.ObservedAt = look(pending, reboot), time.Now().Add(-6*time.Minute)
		t, err = tx.PutTarget(t)
		return err
	})
	return t
}
