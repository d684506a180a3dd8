package demo

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestStatusFollowsTheChecks(t *testing.T) {
	p, err := NewProxy([]string{"ctl1=127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	s := p.servers[0]
	for i, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "DOWN"},
		{func() { p.learn(s, true) }, "DOWN 1/2"},
		{func() { p.learn(s, false) }, "DOWN"},
		{func() { p.learn(s, true); p.learn(s, true) }, "UP"},
		{func() { p.learn(s, false) }, "UP 2/3"},
		{func() { p.learn(s, false) }, "UP 1/3"},
		{func() { p.learn(s, true) }, "UP"},
		{func() { p.set(s, drain) }, "DRAIN"},
		{func() { p.learn(s, false); p.learn(s, false); p.learn(s, false) }, "DOWN"},
		{func() { p.set(s, ready); p.learn(s, true); p.learn(s, true) }, "UP"},
		{func() { p.set(s, maint) }, "MAINT"},
		{func() { p.set(s, ready) }, "DOWN"},
	} {
		step.do()
		if got := s.status(); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

// Only who is up and ready gets requests, in turn.
func TestWhoGetsRequests(t *testing.T) {
	p, err := NewProxy([]string{"a=127.0.0.1:1", "b=127.0.0.1:1", "c=127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("with no server up: %d", w.Code)
	}
	for _, s := range p.servers {
		p.learn(s, true)
		p.learn(s, true)
	}
	p.answer("set server api/b state drain")
	names := ""
	for range 4 {
		names += p.take().name
	}
	if names != "acac" && names != "caca" {
		t.Errorf("in turn: %s", names)
	}
	if stat := p.answer("show stat"); !strings.Contains(stat, "\napi,a,0,2,UP,") || !strings.Contains(stat, "\napi,b,0,0,DRAIN,") {
		t.Errorf("after two requests each that have not ended:\n%s", stat)
	}
	// Nobody listens there: it is said, and not tried again elsewhere.
	w = httptest.NewRecorder()
	if p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody)); w.Code != http.StatusBadGateway {
		t.Errorf("a server that does not answer: %d", w.Code)
	}
}

func TestWhatTheSocketRefuses(t *testing.T) {
	p, err := NewProxy([]string{"ctl1=127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"set server apo/ctl1 state drain": "No such backend.",
		"set server api/ctl9 state drain": "No such server.",
		"set server api/ctl1 state off":   "expects 'ready'",
		"show servers state apo":          "Can't find backend.",
		"shutdown sessions":               "small proxy of upkeep demo",
		"set server api/ctl1 state maint": "",
	} {
		if got := p.answer(line); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", line, got)
		}
	}
	for _, bad := range [][]string{nil, {"ctl1"}, {"=127.0.0.1:1"}, {"ctl1=here"}} {
		if _, err := NewProxy(bad); err == nil {
			t.Errorf("a proxy of %q", bad)
		}
	}
}
