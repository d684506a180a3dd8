package fleetlock_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/compat/fleetlock"
	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
)

// house is a real desk on a real database behind the door.
type house struct {
	t      *testing.T
	db     store.DB
	desk   *desk.Desk
	door   http.Handler
	log    bytes.Buffer
	ids    atomic.Int64
	tokens map[string]string
}

var olga = desk.Caller{Principal: identity.Principal{Name: "olga", Role: identity.Operator}}

// open opens the house at a path, as a restart does, outside of any bubble's time.
func open(t *testing.T, path string) *house {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Unsafe())
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, db: db, tokens: map[string]string{}}
	h.desk = desk.New(db, func() string { return fmt.Sprintf("id-%06d", h.ids.Add(1)) }, func() {})
	h.door = fleetlock.New(fleetlock.Config{
		Desk: h.desk, Log: slog.New(slog.NewTextHandler(&h.log, nil)), Limit: limit.New(1e6, 1e6),
		Authenticate: func(ctx context.Context, secret string) (identity.Principal, error) {
			return identity.Authenticate(ctx, db, secret)
		},
	})
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) update(f func(tx store.Tx) error) {
	h.t.Helper()
	h.must(h.db.Update(h.t.Context(), f))
}

func (h *house) token(name string, role identity.Role, project string) {
	h.t.Helper()
	secret, row, err := identity.NewToken(name, role, project, time.Time{}, time.Now())
	h.must(err)
	h.update(func(tx store.Tx) error { return tx.PutToken(row) })
	h.tokens[name] = secret
}

// answer is what came back.
type answer struct {
	status      int
	header      http.Header
	Kind, Value string
}

// raw sends a request as it is written.
func (h *house) raw(method, path, body string, change func(*http.Request)) (a answer) {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("fleet-lock-protocol", "true")
	change(r)
	w := httptest.NewRecorder()
	h.door.ServeHTTP(w, r)
	a = answer{status: w.Code, header: w.Header()}
	var told struct{ Kind, Value string }
	if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil {
		h.t.Fatalf("%s %s answers %q: %v", method, path, w.Body, err)
	}
	a.Kind, a.Value = told.Kind, told.Value
	if a.status != http.StatusOK && (a.Kind == "" || a.Value == "" || strings.ToLower(a.Kind) != a.Kind || strings.Contains(a.Kind, "-")) {
		h.t.Errorf("%s %s: a refusal must say kind and value: %+v", method, path, a)
	}
	return a
}

// ask is what a node of project red asks, with its token in the URL.
func (h *house) ask(path, group, node string) answer {
	h.t.Helper()
	body := fmt.Sprintf(`{"client_params": {"group": %q, "id": %q}}`, group, node)
	return h.raw(http.MethodPost, path, body, func(r *http.Request) { r.SetBasicAuth("red", h.tokens["nodes"]) })
}

func (h *house) granted(group, node string) {
	h.t.Helper()
	if a := h.ask(fleetlock.PreReboot, group, node); a.status != http.StatusOK {
		h.t.Errorf("%s of %s is refused: %+v", node, group, a)
	}
}

func (h *house) waits(group, node, kind string) {
	h.t.Helper()
	if a := h.ask(fleetlock.PreReboot, group, node); a.status != http.StatusConflict || a.Kind != kind {
		h.t.Errorf("%s of %s: %+v, want it refused with %s", node, group, a, kind)
	}
}

func (h *house) back(group, node string) {
	h.t.Helper()
	if a := h.ask(fleetlock.SteadyState, group, node); a.status != http.StatusOK {
		h.t.Errorf("%s of %s is back: %+v", node, group, a)
	}
}

// group describes one whose window opens in an hour, for an hour, daily.
func (h *house) group(name string, most int) {
	h.t.Helper()
	_, _, err := h.desk.PutGroup(h.t.Context(), olga, desk.GroupSpec{
		Project: "red", Name: name, MaxUnavailable: most, Duration: time.Hour,
		RRule: "DTSTART:" + time.Now().Add(time.Hour).UTC().Format("20060102T150405Z") + " RRULE:FREQ=DAILY",
	})
	h.must(err)
}

func TestNodesRestartInTheirGroupsWindow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		h := open(t, path)
		h.token("nodes", identity.Node, "red")
		h.group("core-os", 2)
		h.waits("core-os", "a", "window_closed")
		time.Sleep(time.Hour)
		h.granted("core-os", "a")
		h.granted("core-os", "a") // the same again is no second place
		h.granted("core-os", "b")
		h.waits("core-os", "c", "held")
		h.back("core-os", "c") // has none, and that is no error
		h.waits("core-os", "c", "held")
		// What is held is kept over restarts.
		tokens := h.tokens
		h.must(h.db.Close())
		h = open(t, path)
		defer func() { h.must(h.db.Close()) }()
		h.tokens = tokens
		h.waits("core-os", "c", "held")
		h.back("core-os", "a")
		h.granted("core-os", "c")
		// It is held beyond the window until the node is back, and asked for again.
		time.Sleep(2 * time.Hour)
		h.granted("core-os", "b")
		h.waits("core-os", "a", "window_closed")
		h.back("core-os", "b")
		h.waits("core-os", "b", "window_closed")

		claims, err := h.desk.Claims(t.Context(), olga, "red", "", 0, true)
		h.must(err)
		if len(claims) == 0 || claims[0].Name != "group/core-os" || claims[0].Hold.Node != "c" || claims[1].Name != "node/c" {
			t.Errorf("held: %+v", claims)
		}
		// One that never comes back is released by hand.
		h.must(h.desk.Release(t.Context(), olga, claims[0].Hold.ID))
		if claims, err = h.desk.Claims(t.Context(), olga, "red", "", 0, false); err != nil || len(claims) != 0 {
			t.Errorf("held: %+v, %v", claims, err)
		}
		// Too little of the window is left for a restart.
		time.Sleep(22*time.Hour + 57*time.Minute)
		h.waits("core-os", "a", "does_not_fit")
		var told []string
		h.must(h.db.View(t.Context(), func(tx store.Tx) error {
			facts, err := tx.Facts(store.FactFilter{Project: "red"})
			for _, f := range facts {
				if f.Kind == history.ClaimTaken || f.Kind == history.ClaimReleased {
					told = append(told, f.Text)
				}
			}
			return err
		}))
		if len(told) != 6 || told[0] != "node a may restart: it holds a place of group core-os" || !strings.Contains(told[2], "node a is back after ") {
			t.Errorf("history: %q", told)
		}
	})
}

// Nodes and runs share a group's places; freezes, members that are down and
// claims by hand count for nodes as they do for runs.
func TestNodesAndRunsShareTheGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		h := open(t, path)
		defer func() { h.must(h.db.Close()) }()
		h.token("nodes", identity.Node, "red")
		h.group("web", 1)
		ids := map[string]string{}
		for name, labels := range map[string]map[string]string{"web-1": nil, "web-2": {desk.NodeLabel: "0123abc"}, "web-3": nil} {
			s, _, err := h.desk.PutServer(t.Context(), olga, desk.ServerSpec{Project: "red", Name: name, Group: "web", Labels: labels})
			h.must(err)
			ids[name] = s.ID
		}
		time.Sleep(time.Hour)
		h.granted("web", "0123abc") // is web-2
		held := h.holder(run.TargetKey(ids["web-2"]))
		if held == "" || h.holder("group/red/web") != held {
			t.Errorf("its server is held by %q, the place by %q", held, h.holder("group/red/web"))
		}
		h.back("web", "0123abc")

		at := func(id string, revision int64, holds ...string) {
			h.update(func(tx store.Tx) error {
				_, err := tx.PutRun(run.Run{ID: id, Project: "red", Target: ids["web-1"], Name: "web-1", Group: "web", Holds: holds, Revision: revision})
				return err
			})
		}
		at("run-1", 0, run.TargetKey(ids["web-1"]), "group/red/web")
		h.waits("web", "web-3", "claim")
		at("run-1", 1)
		h.update(func(tx store.Tx) error {
			s, err := tx.Target(ids["web-1"])
			if err != nil {
				return err
			}
			s.Observed = &action.Observation{HalfConfigured: []string{"dpkg"}}
			return tx.SetTarget(s)
		})
		h.waits("web", "web-3", "budget")
		h.update(func(tx store.Tx) error {
			s, err := tx.Target(ids["web-1"])
			if err != nil {
				return err
			}
			s.Observed = nil
			return tx.SetTarget(s)
		})
		hold, err := h.desk.Claim(t.Context(), olga, desk.ClaimSpec{Project: "red", Names: []string{"server/web-3"}, For: time.Hour, Reason: "new disk"})
		h.must(err)
		if a := h.ask(fleetlock.PreReboot, "web", "web-3"); a.Kind != "held" || !strings.Contains(a.Value, "user/olga holds web-3 until") || !strings.Contains(a.Value, "new disk") {
			t.Errorf("%+v", a)
		}
		h.must(h.desk.Release(t.Context(), olga, hold.ID))
		f, err := h.desk.CreateFreeze(t.Context(), olga, desk.FreezeSpec{Project: "red", Start: time.Now(), End: time.Now().Add(10 * time.Minute), Reason: "sale"})
		h.must(err)
		h.waits("web", "web-3", "freeze")
		h.must(h.desk.DeleteFreeze(t.Context(), olga, f.ID))
		h.granted("web", "web-3")
	})
}

func (h *house) holder(key string) (who string) {
	h.t.Helper()
	h.must(h.db.View(h.t.Context(), func(tx store.Tx) error {
		held, err := tx.ClaimsOn([]string{key})
		who = held[key]
		return err
	}))
	return who
}

func TestWhatIsRefused(t *testing.T) {
	h := open(t, filepath.Join(t.TempDir(), "upkeep.db"))
	defer func() { h.must(h.db.Close()) }()
	h.token("nodes", identity.Node, "red")
	h.token("vera", identity.Viewer, "red")
	h.token("blue", identity.Node, "blue")
	h.token("mara", identity.Member, "red")
	_, _, err := h.desk.PutGroup(t.Context(), olga, desk.GroupSpec{Project: "red", Name: "bare"})
	h.must(err)
	const good = `{"client_params": {"group": "web", "id": "a"}}`
	none := func(*http.Request) {}
	as := func(user, token string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, h.tokens[token]) }
	}
	red := as("red", "nodes")
	for _, c := range []struct {
		name, method, body string
		change             func(*http.Request)
		status             int
		kind               string
	}{
		{"nobody", "POST", good, none, 401, "unauthenticated"},
		{"a wrong token", "POST", good, func(r *http.Request) { r.SetBasicAuth("red", "upk_"+strings.Repeat("a", 64)) }, 401, "unauthenticated"},
		{"a viewer", "POST", good, as("red", "vera"), 403, "denied"},
		{"a node of another project", "POST", good, as("red", "blue"), 403, "denied"},
		{"another project", "POST", good, as("blue", "nodes"), 403, "denied"},
		{"GET", "GET", good, red, 405, "method_not_allowed"},
		{"no header", "POST", good, func(r *http.Request) { red(r); r.Header.Del("fleet-lock-protocol") }, 400, "invalid_protocol"},
		{"another protocol", "POST", good, func(r *http.Request) { red(r); r.Header.Set("fleet-lock-protocol", "1") }, 400, "invalid_protocol"},
		{"no JSON", "POST", "group=web", red, 400, "invalid_body"},
		{"nothing", "POST", "", red, 400, "invalid_body"},
		{"too much", "POST", good + strings.Repeat(" ", 5000), red, 413, "invalid_body"},
		{"no group", "POST", `{"client_params": {"id": "a"}}`, red, 400, "invalid_group"},
		{"a group that can't be", "POST", `{"client_params": {"group": "a/b", "id": "a"}}`, red, 400, "invalid_group"},
		{"no node", "POST", `{"client_params": {"group": "web"}}`, red, 400, "invalid_request"},
		{"a node that can't be", "POST", `{"client_params": {"group": "web", "id": "a b"}}`, red, 400, "invalid_request"},
		{"an unknown group", "POST", good, red, 404, "unknown_group"},
		{"a group without a window", "POST", `{"client_params": {"group": "bare", "id": "a"}}`, red, 409, "conflict"},
		{"a bearer", "POST", good, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+h.tokens["mara"]) }, 404, "unknown_group"},
	} {
		if a := h.raw(c.method, fleetlock.PreReboot, c.body, c.change); a.status != c.status || a.Kind != c.kind {
			t.Errorf("%s: %+v, want %d %s", c.name, a, c.status, c.kind)
		}
	}
	if a := h.raw("POST", fleetlock.PreReboot, good, none); !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("it does not say how: %v", a.header)
	}
	if a := h.raw("POST", fleetlock.SteadyState, good, as("red", "vera")); a.status != 403 {
		t.Errorf("a viewer gives a lock back: %+v", a)
	}
	// A node may do nothing else.
	c := desk.Caller{Principal: identity.Principal{Name: "nodes", Role: identity.Node, Project: "red"}}
	if _, err := h.desk.Servers(t.Context(), c, "red", "", 0); !fault.Is(err, fault.KindDenied) {
		t.Errorf("a node lists servers: %v", err)
	}
	if _, _, err := h.desk.PutServer(t.Context(), c, desk.ServerSpec{Project: "red", Name: "x"}); err == nil {
		t.Error("a node makes servers")
	}
}

// Who guesses tokens is no longer looked at; our own mistakes are told by an id alone.
func TestLimitsAndMistakes(t *testing.T) {
	var log strings.Builder
	asked := 0
	door := fleetlock.New(fleetlock.Config{
		Limit: limit.New(0.01, 3), Log: slog.New(slog.NewTextHandler(&log, nil)),
		Authenticate: func(_ context.Context, secret string) (identity.Principal, error) {
			asked++
			switch secret {
			case "broken":
				return identity.Principal{}, errors.New("secret plans")
			case "down":
				return identity.Principal{}, fault.Unavailable("look", errors.New("secret plans"))
			}
			return identity.Principal{}, fault.Denied("no")
		},
	})
	ask := func(secret, address string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, fleetlock.PreReboot, nil)
		r.RemoteAddr = address
		r.SetBasicAuth("red", secret)
		door.ServeHTTP(w, r)
		return w
	}
	for range 3 {
		if w := ask("guess", "192.0.2.1:1"); w.Code != http.StatusUnauthorized {
			t.Errorf("a guess: %d", w.Code)
		}
	}
	before := asked
	if w := ask("guess", "192.0.2.1:2"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || asked != before {
		t.Errorf("a fourth guess: %d %v, looked at %d times", w.Code, w.Header(), asked-before)
	}
	for secret, status := range map[string]int{"broken": 500, "down": 503} {
		if w := ask(secret, "192.0.2.2:1"); w.Code != status || strings.Contains(w.Body.String(), "plans") || !strings.Contains(log.String(), "secret plans") {
			t.Errorf("%s: %d %s", secret, w.Code, w.Body)
		}
	}
}
