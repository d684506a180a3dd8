package stackit_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"upkeep/internal/compat/stackit"
	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
)

func TestPathsOfTheDoor(t *testing.T) {
	for path, ours := range map[string]bool{
		"/v2/projects/p/regions/r/servers/s/updates": true, "//v2/projects/p": true, "/v2/": true, "/v2/x": true, "/v2": true,
		"/v1/projects/p/servers/s": true, "//v1/service-instances/i/updates": true, "/a/b/v2/projects/p": true, "/a//v1/projects/p": true,
		"/stackit//v2/projects/p": true,
		"/v1/servers":             false, "/v1/servers/v2/projects/p": false, "/v1/": false, "/": false, "": false, "/servers/x": false, "/v1//projects/p": false,
		"/agent/v1/poll": false, "/1/2/3/4/5/6/7/8/9/v2/projects/p": false, "/x/v2/other": false, "/v1/projectsx": false, "/openapi.yaml": false,
	} {
		if stackit.Serves(path) != ours {
			t.Errorf("%q: %t", path, !ours)
		}
	}
}

func TestMethods(t *testing.T) {
	h := newHouse(t)
	s := h.server("web-1", nil)
	v2, v1 := "/v2/projects/"+red+"/regions/eu01/servers/"+s.ID, "/v1/projects/"+red+"/servers/"+s.ID
	for _, c := range []struct {
		call, allow string
		status      int
	}{
		{"OPTIONS " + v2 + "/updates", "GET, HEAD, POST, OPTIONS", 204},
		{"OPTIONS " + v2 + "/update-schedules/1", "DELETE, GET, HEAD, PUT, OPTIONS", 204},
		{"PATCH " + v2 + "/updates", "GET, HEAD, POST, OPTIONS", 405},
		{"DELETE " + v2 + "/updates/1", "GET, HEAD, OPTIONS", 405},
		{"PUT " + v2 + "/service", "DELETE, GET, HEAD, POST, OPTIONS", 405},
		{"DELETE " + v2, "GET, HEAD, OPTIONS", 405}, // it would be to delete the server
		{"POST /v1/service-instances/" + s.ID, "GET, HEAD, OPTIONS", 405},
		{"POST /v2/projects/" + red + "/update-policies", "GET, HEAD, OPTIONS", 405},
		{"POST /v2/projects/" + red + "/regions/eu01/images", "GET, HEAD, OPTIONS", 405},
		{"HEAD " + v2 + "/updates", "", 200},
		{"HEAD " + v2 + "/service", "", 404},
		{"GET " + v2 + "/", "", 404},
		{"GET " + v2 + "/updates/", "", 404},
		{"GET //" + strings.TrimPrefix(v1, "/") + "/updates", "", 200},
		{"GET " + v1 + "/backups", "", 404},
		{"GET /v2/", "", 404},
		{"GET /v2/projects//update-policies", "", 404},
		{"GET /v2/projects/%ff/update-policies", "", 404},
		{"GET /v1/projects/" + red + "/regions/eu01/update-policies", "", 200},
		{"GET /v2/projects/" + red + "/regions/eu01/update-policies", "", 200},
		{"GET /v1/projects/" + red, "", 200},
	} {
		a := h.ask(c.call, "mara", "")
		if a.status != c.status || a.header.Get("Allow") != c.allow {
			t.Errorf("%s: %d, Allow %q, %s", c.call, a.status, a.header.Get("Allow"), a.text)
		}
		if a.header.Get("Location") != "" {
			t.Errorf("%s: redirected to %s", c.call, a.header.Get("Location"))
		}
	}
}

func TestWhoMay(t *testing.T) {
	h := newHouse(t)
	s := h.server("web-1", nil)
	h.tokens["wrong"], h.tokens["strange"] = "upk_"+strings.Repeat("a", 64), "x"
	for _, path := range []string{"/v2/projects/" + red + "/regions/eu01/servers/" + s.ID + "/updates", "/v2/nothing", "/v1/projects/" + red + "/images"} {
		for _, who := range []string{"", "wrong", "strange"} {
			a := h.ask("GET "+path, who, "").is(http.StatusUnauthorized)
			if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s by %q: %v", path, who, a.header)
			}
		}
	}
	// Members of another project do not learn that the server is there.
	for _, call := range []string{"GET /v1/service-instances/" + s.ID, "GET /v1/projects/" + red + "/servers/" + s.ID, "GET /v1/projects/blue/servers/" + s.ID, "GET /v2/projects/" + red + "/update-policies"} {
		h.ask(call, "bert", "").is(http.StatusNotFound)
	}
	h.ask("GET /v1/service-instances/"+s.ID, "mara", "").is(http.StatusOK)
	h.ask("GET /v1/service-instances/web-1", "mara", "").is(http.StatusOK) // in her own project
	h.ask("GET /v1/service-instances/"+s.ID, "olga", "").is(http.StatusOK)
}

// What a client sends beside what is asked for is not looked at, nor what it
// calls its content.
func TestTolerance(t *testing.T) {
	h := newHouse(t)
	s := h.server("web-1", nil)
	path := "/v1/service-instances/" + s.ID
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+path+"/update-schedules",
			strings.NewReader(`{"name":"x","rrule":"`+seedRule+`","enabled":true,"maintenanceWindow":2,"id":77,"policy":{"a":null},"labels":[]}`+"\n"))
		h.must(err)
		req.Header.Set("Authorization", "bearer  "+h.tokens["mara"])
		req.Header.Set("Content-Type", kind)
		resp, err := noRedirects.Do(req)
		h.must(err)
		h.must(resp.Body.Close())
		if resp.StatusCode != http.StatusCreated {
			t.Errorf("as %q: %d", kind, resp.StatusCode)
		}
	}
	// What was given comes back letter by letter, not as JSON could also write it.
	const name = `"name":"<b> & 'ü' \\ \"  "`
	if a := h.ask("POST "+path+"/update-schedules", "mara", `{`+name+`,"rrule":"`+seedRule+`","enabled":true,"maintenanceWindow":2}`).is(http.StatusCreated); !strings.Contains(a.text, `"name":"<b> & 'ü' \\ \" `) {
		t.Error(a.text)
	}
	h.ask("POST /v1/projects/"+red+"/servers/"+s.ID, "mara", "null").is(http.StatusNoContent)
}

// The same key with the same request has one effect and the same answer, also
// where the repetition would be a conflict without it.
func TestIdempotencyKey(t *testing.T) {
	h := newHouse(t)
	s := h.server("web-1", nil)
	ask := func(path, key, body string) (int, string) {
		t.Helper()
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/v1/projects/"+red+"/servers/"+s.ID+path, strings.NewReader(body))
		req.RequestURI = ""
		req.Header.Set("Authorization", "Bearer "+h.tokens["mara"])
		req.Header.Set("Idempotency-Key", key)
		resp, err := noRedirects.Do(req)
		h.must(err)
		defer resp.Body.Close()
		var b strings.Builder
		h.must(resp.Write(&b))
		_, text, _ := strings.Cut(b.String(), "\r\n\r\n")
		return resp.StatusCode, text
	}
	for range 2 {
		if status, text := ask("/service", "a", "{}"); status != http.StatusNoContent {
			t.Error(status, text)
		}
		if status, text := ask("/updates", "b", `{"maintenanceWindow":2}`); status != http.StatusAccepted || !strings.Contains(text, `"id":1`) {
			t.Error(status, text)
		}
	}
	if status, text := ask("/updates", "b", `{"maintenanceWindow":3}`); status != http.StatusConflict {
		t.Error(status, text)
	}
	if status, text := ask("/updates", strings.Repeat("x", 256), `{"maintenanceWindow":3}`); status != http.StatusBadRequest {
		t.Error(status, text)
	}
}

// Our own mistakes are told by an id alone, and logged in full.
func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		auth   func(context.Context, string) (identity.Principal, error)
		status int
	}{
		"a panic": {func(context.Context, string) (identity.Principal, error) { panic("secret plans") }, 500},
		"an error": {func(context.Context, string) (identity.Principal, error) {
			return identity.Principal{}, errors.New("secret plans")
		}, 500},
		"unavailable": {func(context.Context, string) (identity.Principal, error) {
			return identity.Principal{}, fault.Unavailable("look", errors.New("secret plans"))
		}, 503},
	} {
		var log strings.Builder
		door := stackit.New(stackit.Config{Authenticate: c.auth, Limit: limit.New(100, 100), Log: slog.New(slog.NewTextHandler(&log, nil))})
		for _, path := range []string{"/v2/projects/p/update-policies", "/v2/projects/p/regions/r/images"} {
			rec := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			r.Header.Set("Authorization", "Bearer x")
			door.ServeHTTP(rec, r)
			a := answer{t, rec.Code, rec.Header(), rec.Body.String()}
			a.wellFormed("GET " + path)
			if rec.Code != c.status || strings.Contains(a.text, "secret") || !strings.Contains(log.String(), "secret plans") {
				t.Errorf("%s: %d %s; log: %s", name, rec.Code, a.text, log.String())
			}
		}
	}
}

// Who guesses tokens is no longer looked at; who has a good one and asks too
// much is told when to come back.
func TestLimits(t *testing.T) {
	asked := 0
	door := stackit.New(stackit.Config{
		Limit: limit.New(0.01, 3), Log: slog.New(slog.DiscardHandler),
		Authenticate: func(_ context.Context, secret string) (identity.Principal, error) {
			asked++
			if secret != "good" {
				return identity.Principal{}, fault.Denied("no")
			}
			return identity.Principal{Name: "x", Role: identity.Operator}, nil
		},
	})
	ask := func(secret, address string) answer {
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/nothing", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", "Bearer "+secret)
		door.ServeHTTP(rec, r)
		a := answer{t, rec.Code, rec.Header(), rec.Body.String()}
		a.wellFormed("GET /v2/nothing")
		return a
	}
	for range 3 {
		ask("guess", "192.0.2.1:1").is(http.StatusUnauthorized)
		ask("good", "192.0.2.2:1").is(http.StatusNotFound)
	}
	before := asked
	if a := ask("good", "192.0.2.1:2").is(http.StatusTooManyRequests); asked != before || a.header.Get("Retry-After") == "" {
		t.Errorf("a token of an address that guesses was looked at; %v", a.header)
	}
	if a := ask("good", "192.0.2.3:1").is(http.StatusTooManyRequests); a.header.Get("Retry-After") == "" {
		t.Errorf("%v", a.header)
	}
}
