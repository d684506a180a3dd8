package hub

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/store"
	"upkeep/internal/wire"
)

// host is an agent's key and certificate.
type host struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert wire.Certificate
}

func newHost(t *testing.T) *host {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &host{t: t, key: key}
}

func (h *host) csr() string {
	h.t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, h.key)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// secured is a bench whose agents come by TLS, and a token for t1.
type secured struct {
	*bench
	authority *identity.Authority
}

func newSecured(t *testing.T) *secured {
	t.Helper()
	b := newBench(t, Timing{Hold: time.Second})
	sealer, err := identity.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	a, err := identity.LoadAuthority(context.Background(), b.db, sealer)
	if err != nil {
		t.Fatal(err)
	}
	b.do(func(tx store.Tx) error { return tx.DeleteAgent("t1") })
	b.hub = New(Config{DB: b.db, Authority: a, Timing: Timing{Hold: time.Second}})
	b.web = b.hub.Handler()
	return &secured{bench: b, authority: a}
}

func (s *secured) token() string {
	s.t.Helper()
	secret, e := identity.NewEnrolment("t1", 0, time.Now())
	s.do(func(tx store.Tx) error { return tx.PutEnrolment(e) })
	return secret
}

// as calls the hub as if over a connection that shows the host's certificate.
func (s *secured) as(h *host, path string, body any) said {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(text))
	r.TLS = &tls.ConnectionState{}
	if h.cert.Certificate != "" {
		block, _ := pem.Decode([]byte(h.cert.Certificate))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			s.t.Fatal(err)
		}
		r.TLS.VerifiedChains = [][]*x509.Certificate{{leaf}}
	}
	w := httptest.NewRecorder()
	s.web.ServeHTTP(w, r)
	got := said{status: w.Code}
	var out any = &got.problem
	switch {
	case w.Code != http.StatusOK:
	case path == wire.PollPath:
		out = &got.answer
	default:
		out = &got.cert
	}
	if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
		s.t.Errorf("%s: %d %q: %v", path, w.Code, w.Body, err)
	}
	return got
}

// enrol gives the host its certificate, and the status it was answered with.
func (s *secured) enrol(h *host, token string) int {
	s.t.Helper()
	got := s.as(&host{t: s.t}, wire.EnrolPath, wire.EnrolRequest{Token: token, CSR: h.csr(), Version: "v1"})
	if got.status == http.StatusOK {
		h.cert = got.cert
	}
	return got.status
}

// renew gives the host its next certificate, and the status it was answered with.
func (s *secured) renew(h *host, csr string) int {
	s.t.Helper()
	got := s.as(h, wire.RenewPath, wire.RenewRequest{CSR: csr})
	if got.status == http.StatusOK {
		h.cert = got.cert
	}
	return got.status
}

func (s *secured) polls(h *host) int {
	s.t.Helper()
	return s.as(h, wire.PollPath, wire.PollRequest{Version: "v1"}).status
}

// Over a real connection: enrol, poll, renew, poll.
func TestAgentOverTLS(t *testing.T) {
	s := newSecured(t)
	conf, err := s.authority.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s.web, TLSConfig: conf, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	defer server.Close()

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.authority.PEM())
	h := newHost(t)
	call := func(path string, in, out any) int {
		t.Helper()
		conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
		if h.cert.Certificate != "" {
			der, _ := pem.Decode([]byte(h.cert.Certificate))
			conf.Certificates = []tls.Certificate{{Certificate: [][]byte{der.Bytes}, PrivateKey: h.key}}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}}
		defer client.CloseIdleConnections()
		body, _ := json.Marshal(in)
		r, err := client.Post("https://"+listener.Addr().String()+path, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(out); err != nil {
			t.Fatal(err)
		}
		return r.StatusCode
	}
	var problem wire.Problem
	if status := call(wire.PollPath, wire.PollRequest{}, &problem); status != http.StatusForbidden || problem.Kind != "denied" {
		t.Errorf("a poll without a certificate: %d %+v", status, problem)
	}
	if status := call(wire.EnrolPath, wire.EnrolRequest{Token: s.token(), CSR: h.csr()}, &h.cert); status != http.StatusOK {
		t.Fatalf("enrol: %d", status)
	}
	if h.cert.Target != "t1" || h.cert.Name != "web-1" || h.cert.Authority != string(s.authority.PEM()) ||
		!h.cert.RenewAfter.Before(h.cert.NotAfter.Add(-7*time.Hour)) {
		t.Errorf("certificate: %+v", h.cert)
	}
	var answer wire.PollAnswer
	if status := call(wire.PollPath, wire.PollRequest{}, &answer); status != http.StatusOK || !answer.Observe {
		t.Errorf("poll: %d %+v", status, answer)
	}
	if status := call(wire.PollPath, wire.PollRequest{Observation: look("", "6")}, &answer); status != http.StatusOK {
		t.Errorf("poll: %d %+v", status, answer)
	}
	before := h.cert.Certificate
	if status := call(wire.RenewPath, wire.RenewRequest{CSR: h.csr()}, &h.cert); status != http.StatusOK || h.cert.Certificate == before {
		t.Errorf("renew: %d", status)
	}
	key := s.order("r1", "a", "t1", time.Minute)
	if status := call(wire.PollPath, wire.PollRequest{WaitMillis: patience}, &answer); status != http.StatusOK || !slices.Equal(keys(answer.Orders), []string{key}) {
		t.Errorf("poll: %d %+v", status, answer)
	}
	// A poll is held over a real connection, too.
	began := time.Now()
	answer = wire.PollAnswer{}
	if status := call(wire.PollPath, wire.PollRequest{Generation: 1, Holding: []string{key}, WaitMillis: 50}, &answer); status != http.StatusOK || time.Since(began) < 50*time.Millisecond {
		t.Errorf("poll: %d %+v after %v", status, answer, time.Since(began))
	}
}

func TestEnrol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t)
		first, thief := newHost(t), newHost(t)
		token := s.token()
		if got := s.as(first, wire.EnrolPath, wire.EnrolRequest{Token: token, CSR: "x"}); got.status != http.StatusBadRequest || got.problem.Field != "csr" {
			t.Errorf("no request: %d %+v", got.status, got.problem)
		}
		if got := s.enrol(first, "upe_x"); got != http.StatusForbidden {
			t.Errorf("no token: %d", got)
		}
		if got := s.enrol(first, token); got != http.StatusOK {
			t.Fatalf("enrol: %d", got)
		}
		a := s.agent("t1")
		if a.Version != "v1" || a.Key == "" || !a.Expires.Equal(first.cert.NotAfter) {
			t.Errorf("agent: %+v", a)
		}
		if got := s.enrol(thief, token); got != http.StatusForbidden {
			t.Errorf("the token is good twice: %d", got)
		}
		lost := first.cert
		if got := s.enrol(first, token); got != http.StatusOK || s.agent("t1").Key != a.Key {
			t.Errorf("a lost answer is not repeated: %d", got)
		}
		if got := s.polls(&host{t: t, cert: lost}); got != http.StatusOK {
			t.Errorf("the first certificate of two: %d", got)
		}
		var facts []history.Fact
		s.do(func(tx store.Tx) (err error) { facts, err = tx.Facts(store.FactFilter{Target: "t1"}); return err })
		if len(facts) != 1 || facts[0].Kind != history.Enrolled || facts[0].Who != "agent/web-1" || facts[0].Project != "shop" {
			t.Errorf("history: %+v", facts)
		}
	})
}

// A server that is enrolled anew is another one as far as we know.
func TestEnrolAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t)
		first, second := newHost(t), newHost(t)
		if got := s.enrol(first, s.token()); got != http.StatusOK {
			t.Fatalf("enrol: %d", got)
		}
		s.polls(first)
		done := s.order("r1", "done", "t1", time.Hour)
		s.as(first, wire.PollPath, wire.PollRequest{Answers: []wire.Answer{{Key: done, Outcome: "done", Observation: look(done, "6")}}})
		if first.cert.After != "" || s.kernel() != "6" {
			t.Errorf("after %q, kernel %s", first.cert.After, s.kernel())
		}
		again := s.token()
		if got := s.enrol(first, again); got != http.StatusOK || s.kernel() != "6" || first.cert.After != done {
			t.Errorf("the same key: %d, kernel %s, after %q", got, s.kernel(), first.cert.After)
		}

		given := s.order("r1", "given", "t1", time.Hour)
		if got := s.as(first, wire.PollPath, wire.PollRequest{Generation: 1}); !slices.Equal(keys(got.answer.Orders), []string{given}) {
			t.Errorf("handed out: %+v", got)
		}
		fresh := s.order("r1", "fresh", "t1", time.Hour)
		s.woken()
		if got := s.enrol(second, s.token()); got != http.StatusOK {
			t.Fatalf("enrol: %d", got)
		}
		if r := s.stored(given).Result; r == nil || r.Outcome != action.Interrupted || r.Reason == "" || !s.woken()["run/r1"] {
			t.Errorf("an order that the old agent had: %+v", r)
		}
		if s.kernel() != "-" || second.cert.After != given {
			t.Errorf("kernel %s, after %q, want %q", s.kernel(), second.cert.After, given)
		}
		if got := s.polls(first); got != http.StatusForbidden {
			t.Errorf("a poll with the old key: %d", got)
		}
		if got := s.renew(first, first.csr()); got != http.StatusForbidden {
			t.Errorf("a renewal with the old key: %d", got)
		}
		if got := s.enrol(first, again); got != http.StatusForbidden {
			t.Errorf("the old token brings the old key back: %d", got)
		}
		got := s.as(second, wire.PollPath, wire.PollRequest{})
		if !slices.Equal(keys(got.answer.Orders), []string{fresh}) {
			t.Errorf("the new agent is handed %v", keys(got.answer.Orders))
		}
		// What it shows is all that is known, even if it does not say after what.
		s.putRun("r1", "t1", given)
		s.as(second, wire.PollPath, wire.PollRequest{Generation: 3, Holding: []string{fresh}, Observation: look("", "7")})
		if s.kernel() != "7" {
			t.Errorf("kernel %s", s.kernel())
		}
	})
}

func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t)
		h := newHost(t)
		if got := s.enrol(h, s.token()); got != http.StatusOK {
			t.Fatalf("enrol: %d", got)
		}
		old, oldKey := h.cert, h.key
		time.Sleep(16 * time.Hour)
		if got := s.renew(h, h.csr()); got != http.StatusOK || !h.cert.NotAfter.Equal(old.NotAfter.Add(16*time.Hour)) {
			t.Errorf("renew: %d until %v", got, h.cert.NotAfter)
		}
		s.polls(h)
		if e := s.agent("t1").Expires; !e.Equal(h.cert.NotAfter) {
			t.Errorf("the new end is not known: %v", e)
		}

		// A new key: the old one is good until the new one is used.
		next := newHost(t)
		renewed := *h
		if got := s.renew(&renewed, next.csr()); got != http.StatusOK {
			t.Fatalf("renew with a new key: %d", got)
		}
		next.cert = renewed.cert
		lost := *next
		if got := s.polls(h); got != http.StatusOK {
			t.Errorf("the old key while the new one is unused: %d", got)
		}
		if got := s.polls(next); got != http.StatusOK {
			t.Errorf("the new key: %d", got)
		}
		if got := s.polls(h); got != http.StatusForbidden {
			t.Errorf("the old key after the new one: %d", got)
		}
		// A chain of new keys, with no poll between them.
		third := newHost(t)
		if got := s.renew(next, third.csr()); got != http.StatusOK {
			t.Fatalf("renew: %d", got)
		}
		third.cert = next.cert
		fourth := newHost(t)
		if got := s.renew(third, fourth.csr()); got != http.StatusOK {
			t.Fatalf("renew: %d", got)
		}
		fourth.cert = third.cert
		if got := s.polls(fourth); got != http.StatusOK {
			t.Errorf("the fourth key: %d", got)
		}
		if got := s.polls(&lost); got != http.StatusForbidden {
			t.Errorf("the second key: %d", got)
		}
		if got := s.renew(&host{t: t, key: oldKey, cert: h.cert}, newHost(t).csr()); got != http.StatusForbidden {
			t.Errorf("the first key renews: %d", got)
		}
	})
}

// A host that was off for days comes back by itself.
func TestRenewLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t)
		h, stranger := newHost(t), newHost(t)
		if got := s.enrol(h, s.token()); got != http.StatusOK {
			t.Fatalf("enrol: %d", got)
		}
		time.Sleep(72 * time.Hour)
		if got := s.polls(h); got != http.StatusForbidden {
			t.Errorf("a certificate that has ended: %d", got)
		}
		bare := &host{t: t} // it shows none
		for _, c := range []struct {
			what, target, csr string
			status            int
		}{
			{"no target", "", h.csr(), http.StatusForbidden},
			{"another key", "t1", stranger.csr(), http.StatusForbidden},
			{"another target", "t2", h.csr(), http.StatusForbidden},
			{"no such target", "t9", h.csr(), http.StatusForbidden},
			{"no request", "t1", "x", http.StatusBadRequest},
			{"its own", "t1", h.csr(), http.StatusOK},
		} {
			got := s.as(bare, wire.RenewPath, wire.RenewRequest{CSR: c.csr, Target: c.target})
			if got.status != c.status {
				t.Errorf("%s: %d %+v", c.what, got.status, got.problem)
			}
			if got.status == http.StatusOK {
				h.cert = got.cert
			}
		}
		if got := s.polls(h); got != http.StatusOK {
			t.Errorf("the new certificate: %d", got)
		}
		// Whose agent was taken away does not come back.
		s.do(func(tx store.Tx) error { return tx.DeleteAgent("t1") })
		if got := s.as(bare, wire.RenewPath, wire.RenewRequest{CSR: h.csr(), Target: "t1"}); got.status != http.StatusForbidden {
			t.Errorf("without an agent: %d", got.status)
		}
	})
}

func TestEnrolIsLimitedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSecured(t)
		try := func(addr, path string) int {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{}`))
			r.RemoteAddr = addr
			w := httptest.NewRecorder()
			s.web.ServeHTTP(w, r)
			return w.Code
		}
		for i := range enrolsAtOnce {
			path := []string{wire.EnrolPath, wire.RenewPath}[i%2]
			if got := try(fmt.Sprintf("192.0.2.1:%d", 1000+i), path); got == http.StatusTooManyRequests {
				t.Fatalf("after %d", i)
			}
		}
		for addr, want := range map[string]bool{
			"192.0.2.1:1": true, "[::ffff:192.0.2.1]:1": true, "192.0.2.2:1": false, "[2001:db8::1]:1": false,
		} {
			if got := try(addr, wire.EnrolPath) == http.StatusTooManyRequests; got != want {
				t.Errorf("%s: limited %v", addr, got)
			}
		}
		for i := range enrolsAtOnce - 1 {
			try(fmt.Sprintf("[2001:db8::%x]:1", i+2), wire.EnrolPath)
		}
		if got := try("[2001:db8::ffff:1]:1", wire.EnrolPath); got != http.StatusTooManyRequests {
			t.Errorf("an address of the same owner: %d", got)
		}
		time.Sleep(time.Second / enrolsPerSecond)
		if got := try("192.0.2.1:1", wire.EnrolPath); got == http.StatusTooManyRequests {
			t.Error("it is limited for ever")
		}
	})
}
