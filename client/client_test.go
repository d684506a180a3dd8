package client_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"upkeep/client"
)

// says makes a server that always answers the same, and a client of it.
func says(t *testing.T, status int, contentType, body string) (*client.Client, *[]*http.Request) {
	t.Helper()
	var asked []*http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r)
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Location", "http://192.0.2.1/")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	c, err := client.Dial(s.URL+"/", "upk_secret", "")
	if err != nil {
		t.Fatal(err)
	}
	return c, &asked
}

func TestRequests(t *testing.T) {
	c, asked := says(t, 200, "application/json", `{"items":[],"last":7}`)
	l, err := c.ListHistory(t.Context(), &client.ListHistoryParams{Server: "a b&c", After: 6, Newest: true, Wait: 30})
	if err != nil || l.Last != 7 {
		t.Fatalf("%+v, %v", l, err)
	}
	if _, err := c.ListHistory(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetServer(t.Context(), "a/b?c", &client.GetServerParams{Project: "red"}); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteServer(t.Context(), "a", &client.DeleteServerParams{IdempotencyKey: "k"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range *asked {
		got = append(got, r.Method+" "+r.RequestURI+" "+r.Header.Get("Idempotency-Key"))
		if r.Header.Get("Authorization") != "Bearer upk_secret" {
			t.Errorf("%s sends %q", r.RequestURI, r.Header.Get("Authorization"))
		}
	}
	want := []string{
		"GET /v1/history?after=6&newest=true&server=a+b%26c&wait=30 ",
		"GET /v1/history ",
		"GET /v1/servers/a%2Fb%3Fc?project=red ",
		"DELETE /v1/servers/a k",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range []string{"", ".", ".."} {
		if _, err := c.GetServer(t.Context(), name, nil); !client.Is(err, client.KindInvalid) || len(*asked) != len(want) {
			t.Errorf("the name %q: %v, %d requests", name, err, len(*asked))
		}
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		status               int
		contentType, body    string
		kind, message, field string
	}{
		{400, "application/problem+json", `{"kind":"invalid","status":400,"detail":"duration: is bad","errors":[{"location":"duration","message":"is bad"}]}`,
			client.KindInvalid, "duration: is bad", "duration"},
		{500, "application/problem+json; charset=utf-8", `{"kind":"internal","status":500,"detail":"a mistake","id":"X1"}`,
			client.KindInternal, "a mistake (internal, 500, id X1)", ""},
		{502, "text/html", `<html>`, client.KindUnavailable, `answered "502 Bad Gateway", which is not from Upkeep`, ""},
		{404, "application/problem+json", `nonsense`, client.KindUnavailable, "not from Upkeep", ""},
		{302, "text/html", ``, client.KindUnavailable, "302 Found", ""}, // and the token goes nowhere else
	} {
		cl, _ := says(t, c.status, c.contentType, c.body)
		_, err := cl.Whoami(t.Context())
		var p *client.Problem
		if !errors.As(err, &p) || p.Kind != c.kind || !strings.Contains(err.Error(), c.message) || p.Field() != c.field || int(p.Status) != c.status {
			t.Errorf("%d %s: %v, %+v", c.status, c.body, err, p)
		}
	}
	cl, _ := says(t, 200, "text/html", `<html>`)
	if _, err := cl.Whoami(t.Context()); err == nil || !strings.Contains(err.Error(), "not understood") {
		t.Errorf("a page in place of an answer: %v", err)
	}
}

func TestUnreached(t *testing.T) {
	c, err := client.Dial("http://127.0.0.1:1", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Whoami(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "ask http://127.0.0.1:1: ") {
		t.Errorf("nobody there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Whoami(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("in no mood to wait: %v", err)
	}
}

func TestWhomToTrust(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"version":"1","api":"v1"}`))
	}))
	defer s.Close()
	s.Config.ErrorLog = nil
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	good, err := client.Dial(s.URL, "", ca)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := good.GetVersion(t.Context()); err != nil || v.API != "v1" {
		t.Errorf("trusted: %+v, %v", v, err)
	}
	stranger, err := client.Dial(s.URL, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.GetVersion(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("not trusted: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + ".not"} {
		if _, err := client.Dial(s.URL, "", file); err == nil {
			t.Errorf("%s is trusted", file)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "upkeep.example.net", "ftp://x", "http://", "https://x?y", "https://x#y", "://"} {
		if _, err := client.Dial(bad, "", ""); err == nil {
			t.Errorf("%q is taken for a server", bad)
		}
	}
	if _, err := client.Dial("https://x", "a\n", ""); err == nil {
		t.Error("a token with a line end is taken")
	}
}
