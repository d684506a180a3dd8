package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/wire"
)

// authority is a control plane's end of enrolment: just enough of it.
type authority struct {
	*httptest.Server
	key  *ecdsa.PrivateKey
	cert *x509.Certificate

	mu     sync.Mutex
	token  string
	used   string        // the key that used the token up
	life   time.Duration // of what is issued
	lose   int           // answers that are lost
	calls  []string      // with "anonymous" behind them if no certificate was shown
	status int           // what a poll is answered with, if not 200
	target string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t), token: "once", life: 24 * time.Hour, target: "srv-1"}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	a.cert = a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageCertSign,
	}, &a.key.PublicKey)
	serverKey := newKey(t)
	leaf := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to,
		DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &serverKey.PublicKey)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(a.serve))
	a.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.EnableHTTP2 = true
	a.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, a.cert.Raw}, PrivateKey: serverKey}},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: roots, MinVersion: tls.VersionTLS13,
	}
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func toPEM(cert []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
}

func (a *authority) url() string { return strings.Replace(a.URL, "127.0.0.1", "localhost", 1) }

func (a *authority) pin() Trust {
	sum := sha256.Sum256(a.cert.Raw)
	return Trust{Pin: "sha256:" + hex.EncodeToString(sum[:])}
}

func (a *authority) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := len(r.TLS.PeerCertificates) > 0
	call := strings.TrimPrefix(r.URL.Path, "/agent/v1/")
	if !known {
		call += " anonymous"
	}
	a.calls = append(a.calls, call)
	var enrol wire.EnrolRequest
	var renew wire.RenewRequest
	switch r.URL.Path {
	case wire.EnrolPath:
		if err := json.NewDecoder(r.Body).Decode(&enrol); err != nil || enrol.Token != a.token {
			deny(w, "the token is not known")
			return
		}
		a.issue(w, enrol.CSR, func(key string) bool {
			ok := a.used == "" || a.used == key
			if ok {
				a.used = key
			}
			return ok
		})
	case wire.RenewPath:
		if err := json.NewDecoder(r.Body).Decode(&renew); err != nil || !known && renew.Target != a.target {
			deny(w, "who are you")
			return
		}
		a.issue(w, renew.CSR, func(key string) bool { return key == a.used })
	case wire.PollPath:
		switch {
		case !known:
			deny(w, "no certificate")
		case a.status != 0:
			w.WriteHeader(a.status)
		default:
			reply(w, wire.PollAnswer{AfterMillis: 7})
		}
	}
}

func reply(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func deny(w http.ResponseWriter, why string) {
	w.WriteHeader(http.StatusForbidden)
	reply(w, wire.Problem{Kind: "denied", Reason: why})
}

func (a *authority) issue(w http.ResponseWriter, csr string, may func(key string) bool) {
	block, _ := pem.Decode([]byte(csr))
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || req.CheckSignature() != nil {
		deny(w, "bad request")
		return
	}
	if !may(hex.EncodeToString(req.RawSubjectPublicKeyInfo)) {
		deny(w, "not for this key")
		return
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: a.target},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(a.life), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, req.PublicKey, a.key)
	if err != nil {
		deny(w, err.Error())
		return
	}
	if a.lose > 0 {
		a.lose--
		panic(http.ErrAbortHandler)
	}
	reply(w, wire.Certificate{
		Target: a.target, Name: "web-1", After: "r/s/1", NotAfter: template.NotAfter,
		RenewAfter: template.NotBefore.Add(a.life * 2 / 3), Certificate: toPEM(der), Authority: toPEM(a.cert.Raw),
	})
}

// enrolled is the folder of a host that has just been enrolled.
func enrolled(t *testing.T, a *authority) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "agent")
	enrolAgain(t, a, dir)
	return dir
}

func enrolAgain(t *testing.T, a *authority, dir string) {
	t.Helper()
	a.set(func() { a.used = "" }) // a new token
	if _, err := Enrol(t.Context(), dir, a.url(), "once", a.pin(), "test"); err != nil {
		t.Fatal(err)
	}
}

func TestEnrol(t *testing.T) {
	a := newAuthority(t)
	dir := filepath.Join(t.TempDir(), "agent")
	a.set(func() { a.lose = 1 })
	ctx := t.Context()
	if _, err := Enrol(ctx, dir, a.url(), "once", a.pin(), "test"); !fault.Is(err, fault.KindUnavailable) {
		t.Fatalf("a lost answer: %v", err)
	}
	id, err := Enrol(ctx, dir, a.url(), "once", Trust{CA: []byte(toPEM(a.cert.Raw))}, "test")
	if err != nil || id.Target != "srv-1" || id.Name != "web-1" || id.After != "r/s/1" {
		t.Fatalf("again with the same key: %+v, %v", id, err)
	}
	if kept, err := LoadIdentity(dir); err != nil || kept.Certificate != id.Certificate {
		t.Errorf("kept: %+v, %v", kept, err)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, keyFile: 0o600, identityFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v", name, info, err)
		}
	}
	if _, err := Enrol(ctx, t.TempDir(), a.url(), "once", a.pin(), "test"); !fault.Is(err, fault.KindDenied) || !strings.Contains(err.Error(), "not for this key") {
		t.Errorf("the token with another key: %v", err)
	}
}

// Nothing is told to a server that is not the trusted one.
func TestEnrolTrust(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	ctx := t.Context()
	for name, trust := range map[string]Trust{
		"other authority": {CA: []byte(toPEM(other.cert.Raw))},
		"other pin":       other.pin(),
	} {
		if _, err := Enrol(ctx, t.TempDir(), a.url(), "once", trust, "test"); !fault.Is(err, fault.KindDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, trust := range []Trust{a.pin(), {CA: []byte(toPEM(a.cert.Raw))}} {
		if _, err := Enrol(ctx, t.TempDir(), a.URL, "once", trust, "test"); !fault.Is(err, fault.KindDenied) {
			t.Errorf("an address that is not in the certificate: %v", err)
		}
	}
	for name, trust := range map[string]Trust{"none": {}, "empty": {CA: []byte("x")}, "short": {Pin: "sha256:00"}, "word": {Pin: "md5:00"}} {
		if _, err := Enrol(ctx, t.TempDir(), a.url(), "once", trust, "test"); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Enrol(ctx, t.TempDir(), "http://localhost", "once", a.pin(), "test"); !fault.Is(err, fault.KindInvalid) {
		t.Errorf("without TLS: %v", err)
	}
	a.set(func() {
		if len(a.calls) > 0 {
			t.Errorf("calls: %v", a.calls)
		}
	})
}

func TestRenew(t *testing.T) {
	a := newAuthority(t)
	a.life = 20 * time.Second // and it began a minute before: two thirds are over
	dir := enrolled(t, a)
	line, err := Dial(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	a.set(func() { a.life, a.calls = time.Hour, nil })
	first := line.Identity().NotAfter
	for range 3 {
		answer, err := line.Poll(t.Context(), wire.PollRequest{WaitMillis: 1})
		if err != nil || answer.AfterMillis != 7 {
			t.Fatalf("%+v, %v", answer, err)
		}
	}
	a.set(func() {
		if got := strings.Join(a.calls, ", "); got != "renew, poll, poll, poll" {
			t.Errorf("calls: %s", got)
		}
	})
	if kept, err := LoadIdentity(dir); err != nil || !kept.NotAfter.After(first) || kept.After != "r/s/1" {
		t.Errorf("kept: %+v, %v", kept, err)
	}
}

// A host that was off for too long renews without a certificate. If that is
// not granted it says what to do, and goes on once it is enrolled again.
func TestAfterTheEnd(t *testing.T) {
	a := newAuthority(t)
	a.life = -time.Second
	dir := enrolled(t, a)
	line, err := Dial(dir, a.url())
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	a.set(func() { a.used = "revoked" })
	if _, err = line.Poll(t.Context(), wire.PollRequest{}); !fault.Is(err, fault.KindDenied) || !strings.Contains(err.Error(), "enrol the host again") {
		t.Fatalf("not renewed: %v", err)
	}
	a.set(func() { a.life = time.Hour })
	enrolAgain(t, a, dir)
	if _, err := line.Poll(t.Context(), wire.PollRequest{}); err != nil {
		t.Fatalf("enrolled again: %v", err)
	}
	a.set(func() { a.target = "srv-2" })
	enrolAgain(t, a, dir)
	if _, err := line.Poll(t.Context(), wire.PollRequest{}); !fault.Is(err, fault.KindConflict) {
		t.Errorf("enrolled as another target: %v", err)
	}

	a.set(func() { a.life = -time.Second })
	dir = enrolled(t, a)
	if line, err = Dial(dir, ""); err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	a.set(func() { a.life, a.calls = time.Hour, nil })
	if _, err := line.Poll(t.Context(), wire.PollRequest{}); err != nil {
		t.Fatalf("renewed without a certificate: %v", err)
	}
	a.set(func() {
		if got := strings.Join(a.calls, ", "); got != "renew anonymous, poll" {
			t.Errorf("calls: %s", got)
		}
	})
}

func TestPollErrors(t *testing.T) {
	a := newAuthority(t)
	dir := enrolled(t, a)
	if _, err := Dial(t.TempDir(), a.url()); !fault.Is(err, fault.KindNotFound) {
		t.Errorf("not enrolled: %v", err)
	}
	line, err := Dial(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	for status, kind := range map[int]fault.Kind{
		503: fault.KindUnavailable, 500: fault.KindUnavailable, 302: fault.KindUnavailable,
		401: fault.KindDenied, 404: fault.KindNotFound, 400: fault.KindInvalid,
	} {
		a.set(func() { a.status = status })
		if _, err := line.Poll(t.Context(), wire.PollRequest{}); !fault.Is(err, kind) {
			t.Errorf("%d: %v", status, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := line.Poll(ctx, wire.PollRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	a.Close()
	if _, err := line.Poll(t.Context(), wire.PollRequest{}); !fault.Is(err, fault.KindUnavailable) {
		t.Errorf("down: %v", err)
	}
}
