package probe

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
)

func order(kind action.Kind, pairs ...string) action.Order {
	with := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		with[pairs[i]] = pairs[i+1]
	}
	return action.Order{Run: "r", Step: "s", Attempt: 1, Target: "api", Kind: kind, With: with, Timeout: time.Minute}
}

// is holds a result against an outcome and a part of its reason.
func is(t *testing.T, r action.Result, want action.Outcome, why string) {
	t.Helper()
	if r.Outcome != want || !strings.Contains(r.Reason, why) || (r.Reason == "") != (want == action.Done) ||
		r.Started.IsZero() != (want == action.Refused) || r.Finished.IsZero() {
		t.Fatalf("want %s, %q: %+v", want, why, r)
	}
}

// talks answers request after request with what it is told, the last one for ever.
func talks(answers ...http.HandlerFunc) http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		answer := answers[min(n, len(answers)-1)]
		n++
		answer(w, r)
	}
}

func says(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(12 * time.Millisecond)
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

func elsewhere(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/login?secret=1", http.StatusFound)
}

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func breaksOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	fmt.Fprint(w, "half")
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func asks(t *testing.T, want string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if got := fmt.Sprint(r.Method, " ", r.URL, " ", r.Host, " ", r.Header.Get("X-Auth-Token"), " ", r.Header.Get("Cookie"), r.Close); got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
		fmt.Fprint(w, "well")
	}
}

func TestHTTP(t *testing.T) {
	for name, c := range map[string]struct {
		service http.HandlerFunc
		with    []string
		want    action.Outcome
		why     string
		took    time.Duration
	}{
		"well":          {says(200, "well"), nil, action.Done, "", 12 * time.Millisecond},
		"asked right":   {asks(t, "GET /healthcheck?a=b api.example secret true"), []string{"url", "http://ctl1:5000/healthcheck?a=b", "header.Host", "api.example", "header.X-Auth-Token", "secret"}, action.Done, "", 0},
		"ill":           {says(503, "ill"), nil, action.Failed, "http://ctl1/healthcheck: 503 Service Unavailable after 12ms, want 200", 12 * time.Millisecond},
		"another 200":   {says(204, ""), nil, action.Failed, "204 No Content after 12ms, want 200", 12 * time.Millisecond},
		"a range":       {says(204, ""), []string{"status", "200-299"}, action.Done, "", 12 * time.Millisecond},
		"a list":        {says(404, ""), []string{"status", "200, 404"}, action.Done, "", 12 * time.Millisecond},
		"not followed":  {elsewhere, nil, action.Failed, "302 Found to /login after 0s, want 200", 0},
		"as wanted":     {elsewhere, []string{"status", "302"}, action.Done, "", 0},
		"has text":      {says(200, "all well"), []string{"contains", "well"}, action.Done, "", 12 * time.Millisecond},
		"has no text":   {says(200, "ill"), []string{"contains", "well"}, action.Failed, `200 OK after 12ms, but the body has no "well"`, 12 * time.Millisecond},
		"text too late": {says(200, strings.Repeat("x", maxBody)+"well"), []string{"contains", "well"}, action.Failed, "in its first 1048576 bytes", 12 * time.Millisecond},
		"endless":       {says(200, strings.Repeat("x", 2*maxBody)), nil, action.Done, "", 12 * time.Millisecond},
		"hangs":         {hangs, nil, action.Failed, "no answer within 5s after 5s, want 200", 5 * time.Second},
		"hangs shorter": {hangs, []string{"timeout", "300ms"}, action.Failed, "no answer within 300ms", 300 * time.Millisecond},
		"breaks off":    {breaksOff, nil, action.Failed, "no whole answer: 200 OK was broken off: unexpected EOF", 0},
		"twice":         {says(200, ""), []string{"times", "2"}, action.Done, "", 1024 * time.Millisecond},
		"in a row":      {talks(says(200, ""), says(500, ""), says(200, "")), []string{"times", "2", "every", "100ms", "wait", "1s"}, action.Done, "", 348 * time.Millisecond},
		"not in a row":  {talks(says(200, ""), says(500, ""), says(200, "")), []string{"times", "2"}, action.Failed, "500 Internal Server Error", 1024 * time.Millisecond},
		"waits":         {talks(hangs, elsewhere, says(503, ""), says(200, "")), []string{"timeout", "1s", "wait", "10s"}, action.Done, "", 4024 * time.Millisecond},
		"in vain":       {says(503, ""), []string{"wait", "3s"}, action.Failed, "want 200; waited 3s for better", 2036 * time.Millisecond},
		"no time left":  {talks(says(503, ""), says(200, "")), []string{"wait", "1h", "times", "100"}, action.Failed, "after 59 of 100 good answers in a row, the last bad one: 503 Service", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t, c.service)
				o := order(action.HTTP, append([]string{"url", "http://ctl1/healthcheck"}, c.with...)...)
				ctx, cancel := context.WithTimeout(t.Context(), o.Timeout)
				defer cancel()
				r := Hand{Dial: s.dial}.Do(ctx, o)
				is(t, r, c.want, c.why)
				if r.Took() != c.took {
					t.Errorf("took %s, want %s", r.Took(), c.took)
				}
				if strings.Contains(fmt.Sprint(r), "secret") {
					t.Errorf("it tells a secret: %+v", r)
				}
			})
		})
	}
}

func TestNobodyThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, says(200, ""))
		s.stop()
		o := order(action.HTTP, "url", "http://ctl1/?token=secret")
		is(t, Hand{Dial: s.dial}.Do(t.Context(), o), action.Failed, "http://ctl1/?…: no whole answer: dial tcp: connection refused after 0s, want 200")

		// It comes up while it is waited for.
		o.With["wait"] = "10s"
		time.AfterFunc(2500*time.Millisecond, s.start)
		r := Hand{Dial: s.dial}.Do(t.Context(), o)
		is(t, r, action.Done, "")
		if strings.Count(r.Output, "connection refused") != 3 || !strings.HasSuffix(r.Output, "200 OK after 12ms") {
			t.Error(r.Output)
		}

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		is(t, Hand{Dial: s.dial}.Do(ctx, o), action.Interrupted, "canceled")
		time.Sleep(time.Second) // the service ends its answer to nobody
	})
}

// A dialer that hears nothing is given up with the request.
func TestBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is(t, Hand{Dial: blackHole}.Do(t.Context(), order(action.HTTP, "url", "http://ctl1/")), action.Failed, "no answer within 5s")
	})
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "well") }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	is(t, Hand{}.Do(t.Context(), order(action.HTTP, "url", s.URL)), action.Failed, "certificate signed by unknown authority")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	is(t, Hand{}.Do(t.Context(), order(action.HTTP, "url", s.URL, "ca", string(ca))), action.Done, "")
}

func TestTermsAreRefused(t *testing.T) {
	for why, with := range map[string][]string{
		"with.url":                      {"url", "ctl1/healthcheck"},
		"with.url: want http":           {"url", "file:///etc/passwd"},
		"with.url: has a user in it":    {"url", "http://me:secret@ctl1/"},
		"with.status":                   {"status", "299-200"},
		`with.status: "ok"`:             {"status", "ok"},
		"with.times":                    {"times", "0"},
		"with.every":                    {"every", "1"},
		"with.timeout":                  {"timeout", "-1s"},
		"with.wait":                     {"wait", "2h"},
		"with.ca":                       {"ca", "trust me"},
		"with.method: unknown":          {"method", "POST"},
		"with.header.A B: can't be":     {"header.A B", "x"},
		"with.header.X-Auth-Token: can": {"header.X-Auth-Token", "x\r\nY: z"},
	} {
		o := order(action.HTTP, append([]string{"url", "http://ctl1/"}, with...)...)
		is(t, Hand{Dial: blackHole}.Do(t.Context(), o), action.Refused, why)
	}
	is(t, Hand{}.Do(t.Context(), order(action.Reboot)), action.Refused, `"reboot"`)
}
