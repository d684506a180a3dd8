package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"upkeep/client"
	"upkeep/internal/action"
	"upkeep/internal/api"
	"upkeep/internal/desk"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
)

// house is a real desk on a real database behind the real door.
type house struct {
	t      testing.TB
	db     store.DB
	file   string // the database's
	url    string
	log    *bytes.Buffer // what the door logs
	tokens map[string]string
	nudges atomic.Int32

	operator, member, viewer *client.Client // operator of all; member and viewer of project red
}

const (
	saturdays = "DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA"
	yearly    = "DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=YEARLY;UNTIL=20270101T000000Z"
)

// weekly is a rule of a day that is three days off, whenever that is: what is to
// wait for a window must not find it open for two hours of each week.
var (
	day    = time.Now().AddDate(0, 0, 3).Weekday()
	weekly = fmt.Sprintf("DTSTART;TZID=Europe/Berlin:202601%02dT023000 RRULE:FREQ=WEEKLY;BYDAY=%s", 4+int(day), strings.ToUpper(day.String()[:2]))
)

func newHouse(t testing.TB, options ...api.Option) *house {
	t.Helper()
	file := filepath.Join(t.TempDir(), "upkeep.db")
	db, err := sqlite.Open(t.Context(), file, sqlite.Unsafe())
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, db: db, file: file, log: &bytes.Buffer{}, tokens: map[string]string{}}
	t.Cleanup(func() { h.must(db.Close()) })
	var ids atomic.Int64
	at := desk.New(db, func() string { return fmt.Sprintf("id-%06d", ids.Add(1)) }, func() { h.nudges.Add(1) })
	options = append([]api.Option{
		api.WithLog(slog.New(slog.NewTextHandler(h.log, nil))), api.WithVersion("1.2.3"), api.WithRate(1e6, 1e6),
	}, options...)
	s := httptest.NewServer(api.New(at, func(ctx context.Context, secret string) (identity.Principal, error) {
		return identity.Authenticate(ctx, db, secret)
	}, options...))
	t.Cleanup(s.Close)
	h.url = s.URL
	h.operator = h.as("olga", identity.Operator, "")
	h.member = h.as("mara", identity.Member, "red")
	h.viewer = h.as("vera", identity.Viewer, "red")
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// as makes a token, and a client that has it.
func (h *house) as(name string, role identity.Role, project string) *client.Client {
	h.t.Helper()
	secret, row, err := identity.NewToken(name, role, project, time.Time{}, time.Now())
	h.must(err)
	h.update(func(tx store.Tx) error { return tx.PutToken(row) })
	h.tokens[name] = secret
	return h.with(secret)
}

func (h *house) with(secret string) *client.Client {
	h.t.Helper()
	c, err := client.New(h.url, secret, http.DefaultClient)
	h.must(err)
	return c
}

func (h *house) update(f func(store.Tx) error) {
	h.t.Helper()
	h.must(h.db.Update(context.Background(), f))
}

// server makes one known.
func (h *house) server(project, name string) *client.Server {
	h.t.Helper()
	s, err := h.operator.PutServer(h.t.Context(), name, client.ServerInput{}, &client.PutServerParams{Project: project})
	h.must(err)
	return s
}

// schedule puts the weekly one on a server.
func (h *house) schedule(project, server string) *client.Schedule {
	h.t.Helper()
	s, err := h.operator.PutSchedule(h.t.Context(), server, "weekly",
		client.ScheduleInput{RRule: weekly, Duration: "2h"}, &client.PutScheduleParams{Project: project})
	h.must(err)
	return s
}

// observe has a server looked at: two updates are pending, one of them for security.
func (h *house) observe(id string) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		t, err := tx.Target(id)
		if err != nil {
			return err
		}
		t.ObservedAt = time.Now()
		t.Observed = &action.Observation{
			BootID: "boot-1", Hostname: "web-1.example.net", System: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0-28-amd64",
			Arch: "amd64", Manager: "apt", Held: []string{"mysql-server"}, ListsAge: 3 * time.Hour,
			Pending: []action.Pending{
				{Name: "openssl", From: "3.0.14-1", To: "3.0.15-1", Security: true, Origin: "Debian-Security", Bytes: 1024},
				{Name: "nginx", From: "1.22.0", To: "1.22.1"},
			},
			RebootRequired: true, RebootPackages: []string{"linux-image-amd64"},
		}
		_, err = tx.PutTarget(t)
		return err
	})
}

// tick does what the engine would: it moves a run once.
func (h *house) tick(id string) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		r, err := tx.Run(id)
		if err != nil {
			return err
		}
		t, err := tx.Target(r.Target)
		if err != nil {
			return err
		}
		r, next := run.Tick(r, run.World{Now: time.Now(), Target: t})
		if _, err := tx.PutRun(r); err != nil {
			return err
		}
		return tx.AddFacts(next.Facts)
	})
}

// change changes a run as nobody could from outside.
func (h *house) change(id string, f func(*run.Run)) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		r, err := tx.Run(id)
		if err != nil {
			return err
		}
		f(&r)
		_, err = tx.PutRun(r)
		return err
	})
}

// answer is what came back, as it was.
type answer struct {
	status  int
	header  http.Header
	text    string
	problem client.Problem
}

// ask sends a request as it is: "GET /v1/servers", a token's owner, a body, and
// headers as pairs.
func (h *house) ask(call, who, body string, headers ...string) answer {
	h.t.Helper()
	method, path, _ := strings.Cut(call, " ")
	req, err := http.NewRequestWithContext(context.Background(), method, h.url+path, strings.NewReader(body))
	h.must(err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+h.tokens[who])
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req) // no redirect is followed
	h.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	h.must(err)
	a := answer{status: res.StatusCode, header: res.Header, text: string(b)}
	if res.StatusCode >= 400 && method != http.MethodHead {
		if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
			h.t.Errorf("%s: an error of type %q: %s", call, got, b)
		}
		if err := json.Unmarshal(b, &a.problem); err != nil {
			h.t.Errorf("%s: %v: %s", call, err, b)
		}
		if a.problem.Status != int64(res.StatusCode) || a.problem.Title == "" || a.problem.Type != "urn:upkeep:problem:"+a.problem.Kind {
			h.t.Errorf("%s: status %d and problem %+v", call, res.StatusCode, a.problem)
		}
	}
	return a
}
