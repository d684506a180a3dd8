package api_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"upkeep/client"
	"upkeep/internal/api"
	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/store/sqlite"
)

// fails makes a door whose caller is found out about by auth, and asks it who calls.
func fails(t *testing.T, auth api.Authenticate) (answer, string) {
	t.Helper()
	h := &house{t: t, log: &bytes.Buffer{}, tokens: map[string]string{"x": "secret"}}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "upkeep.db"), sqlite.Unsafe())
	h.must(err)
	h.must(db.Close()) // nothing of it can be read
	at := desk.New(db, func() string { return "id" }, func() {})
	s := httptest.NewServer(api.New(at, auth, api.WithLog(slog.New(slog.NewTextHandler(h.log, nil)))))
	defer s.Close()
	h.url = s.URL
	return h.ask("GET /v1/servers", "x", ""), h.log.String()
}

func TestOurMistakesAreNotTold(t *testing.T) {
	for name, auth := range map[string]api.Authenticate{
		"an error": func(context.Context, string) (identity.Principal, error) {
			return identity.Principal{}, errors.New("s3cret")
		},
		"an internal one": func(context.Context, string) (identity.Principal, error) {
			return identity.Principal{}, fault.Internal("s3cret", nil)
		},
		"a panic": func(context.Context, string) (identity.Principal, error) { panic("s3cret") },
	} {
		a, log := fails(t, auth)
		if a.status != http.StatusInternalServerError || a.problem.Kind != client.KindInternal || a.problem.ID == "" || strings.Contains(a.text, "s3cret") {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
		if !strings.Contains(log, "s3cret") || !strings.Contains(log, a.problem.ID) {
			t.Errorf("%s: the log does not tell of %s: %s", name, a.problem.ID, log)
		}
	}
}

func TestUnavailable(t *testing.T) {
	for name, err := range map[string]error{
		"said so":    fault.Unavailable("open s3cret", errors.New("s3cret")),
		"wrapped":    fault.Internal("look for s3cret", fault.Unavailable("s3cret", nil)),
		"too late":   context.DeadlineExceeded,
		"gave it up": fault.Internal("read s3cret", context.Canceled),
	} {
		a, log := fails(t, func(context.Context, string) (identity.Principal, error) { return identity.Principal{}, err })
		if a.status != http.StatusServiceUnavailable || a.problem.Kind != client.KindUnavailable || a.header.Get("Retry-After") == "" || strings.Contains(a.text, "s3cret") {
			t.Errorf("%s: %d %v %s", name, a.status, a.header, a.text)
		}
		if log == "" {
			t.Errorf("%s: nothing is logged", name)
		}
	}
	a, _ := fails(t, func(context.Context, string) (identity.Principal, error) {
		return identity.Principal{Name: "olga", Role: identity.Operator}, nil
	})
	if a.status != http.StatusServiceUnavailable && a.status != http.StatusInternalServerError {
		t.Errorf("a database that is closed: %d %s", a.status, a.text)
	}
}

func TestTooManyRequests(t *testing.T) {
	h := newHouse(t, api.WithRate(0.01, 3))
	statuses := func(who string, n int) (all []int) {
		for range n {
			a := h.ask("GET /v1/whoami", who, "")
			all = append(all, a.status)
			if a.status != http.StatusTooManyRequests {
				continue
			}
			if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds < 1 || a.problem.Kind != client.KindLimited {
				t.Errorf("%v %s", a.header, a.text)
			}
		}
		return all
	}
	want := func(got []int, want ...int) {
		t.Helper()
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("got %v, want %v", got, want)
				return
			}
		}
	}
	want(statuses("mara", 4), 200, 200, 200, 429)
	want(statuses("vera", 1), 200) // another token is another caller
	h.tokens["nobody"] = "upk_" + strings.Repeat("0", 64)
	want(statuses("nobody", 4), 401, 401, 401, 429)
	want(statuses("vera", 1), 429) // the address has guessed too often
	if a := h.ask("GET /v1/version", "", ""); a.status != http.StatusTooManyRequests {
		t.Errorf("without a token: %d", a.status)
	}
}
