package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/wire"
)

// Dialer connects to the control plane.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Line is the Door that an enrolled host uses: HTTPS with its certificate,
// trusting its own authority alone. It renews the certificate by itself, and
// notices when the host was enrolled again while it was open.
type Line struct {
	dir    string
	server string
	target string // when it was opened
	dial   Dialer
	log    *slog.Logger

	mu        sync.Mutex // guards what follows
	id        Identity
	seen      time.Time // of the identity's file
	client    *http.Client
	config    *tls.Config // of client
	base      *url.URL
	renewNext time.Time // a renewal that failed is not tried before
}

// LineOption changes how Dial dials.
type LineOption func(*Line)

// WithDialer connects by d, such as over a pipe in a simulation.
func WithDialer(d Dialer) LineOption { return func(l *Line) { l.dial = d } }

// WithLog says where renewals are told.
func WithLog(log *slog.Logger) LineOption { return func(l *Line) { l.log = log } }

const (
	callTimeout = 30 * time.Second // of a call that does not wait; a poll has its wait on top
	renewRetry  = time.Minute      // between renewals that fail
)

// Dial opens the identity in dir; it connects with the first poll. An empty
// serverURL is the server where the host was enrolled. Errors: not found if
// the host is not enrolled, invalid (URL), internal.
func Dial(dir, serverURL string, opts ...LineOption) (*Line, error) {
	l := &Line{dir: dir, server: serverURL, log: slog.New(slog.DiscardHandler)}
	for _, o := range opts {
		o(l)
	}
	if err := l.load(); err != nil {
		return nil, err
	}
	l.target = l.id.Target
	return l, nil
}

// Identity is who the host is.
func (l *Line) Identity() Identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.id
}

// Close ends open connections.
func (l *Line) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client.CloseIdleConnections()
}

// Poll implements Door, and renews the certificate when it is time, be it
// long ago. If the certificate has ended and is not renewed any more, the error
// is denied and says what to do.
func (l *Line) Poll(ctx context.Context, req wire.PollRequest) (wire.PollAnswer, error) {
	client, base, id := l.ready(ctx)
	if id.Target != l.target {
		return wire.PollAnswer{}, fault.Conflict("this host was enrolled anew, as %s: the agent is to be restarted", id.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(req.WaitMillis)*time.Millisecond+callTimeout)
	defer cancel()
	var answer wire.PollAnswer
	err := call(ctx, client, base, wire.PollPath, req, &answer)
	if now := time.Now(); err != nil && !errors.Is(err, context.Canceled) && now.After(id.NotAfter) {
		return answer, &fault.Error{Kind: fault.KindDenied, Cause: err, Reason: fmt.Sprintf(
			"this host's certificate ended at %s (its clock says %s now): enrol the host again with a new token",
			id.NotAfter.Format(time.RFC3339), now.Format(time.RFC3339))}
	}
	return answer, err
}

// ready reads an identity that has changed, renews one that is due, and
// returns what to call with.
func (l *Line) ready(ctx context.Context) (*http.Client, *url.URL, Identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if info, err := os.Stat(filepath.Join(l.dir, identityFile)); err == nil && !info.ModTime().Equal(l.seen) {
		if err := l.load(); err != nil {
			l.log.Error("the host's identity has changed and can't be read", "error", err)
		}
	}
	if now := time.Now(); !now.Before(l.id.RenewAfter) && !now.Before(l.renewNext) {
		l.renewNext = now.Add(renewRetry)
		if err := l.renew(ctx); err != nil && ctx.Err() == nil {
			l.log.Error("renew the host's certificate", "ends", l.id.NotAfter, "error", err)
		}
	}
	return l.client, l.base, l.id
}

// renew asks for the next certificate, for the same key. A host that was off
// for too long has no certificate to show; its request then says who it is, and
// its key proves it. The caller holds l.mu.
func (l *Line) renew(ctx context.Context) error {
	client, req := l.client, wire.RenewRequest{}
	if time.Now().After(l.id.NotAfter) {
		req.Target = l.id.Target
		config := l.config.Clone()
		config.Certificates = nil
		client = newClient(config, l.dial)
		defer client.CloseIdleConnections()
	}
	key, err := loadKey(l.dir, false)
	if err != nil {
		return err
	}
	if req.CSR, err = request(key); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var cert wire.Certificate
	if err := call(ctx, client, l.base, wire.RenewPath, req, &cert); err != nil {
		return err
	}
	id, err := newIdentity(l.id.Server, key, cert)
	if err != nil {
		return err
	}
	id.After = l.id.After
	if err := saveIdentity(l.dir, id); err != nil {
		return err
	}
	l.log.Info("the host's certificate was renewed", "ends", id.NotAfter)
	return l.load()
}

// load reads the identity and makes a client for it. The caller holds l.mu, or is alone.
func (l *Line) load() error {
	info, err := os.Stat(filepath.Join(l.dir, identityFile))
	if err == nil {
		l.seen = info.ModTime()
	}
	id, err := LoadIdentity(l.dir)
	if err != nil {
		return err
	}
	server := l.server
	if server == "" {
		server = id.Server
	}
	base, err := parseServer(server)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(l.dir, keyFile))
	if err != nil {
		return fault.Internal("read the host's key", err)
	}
	pair, err := tls.X509KeyPair([]byte(id.Certificate), text)
	if err != nil {
		return fault.Internal("read the host's certificate", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(id.Authority)) {
		return fault.Internal("read the authority's certificate", errors.New("there is none"))
	}
	if l.client != nil {
		l.client.CloseIdleConnections()
	}
	l.id, l.base = id, base
	l.config = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{pair}}
	l.client = newClient(l.config, l.dial)
	return nil
}

// call posts JSON and reads JSON. Errors: the fault that the control plane
// names; denied if it can't be trusted; unavailable if it can't be reached; ctx's.
func call(ctx context.Context, client *http.Client, base *url.URL, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fault.Internal("write request", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return fault.Internal("make request", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			return &fault.Error{Kind: fault.KindDenied, Reason: "the server can't be trusted", Cause: err}
		}
		return fault.Unavailable("call the control plane", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxBody+1))
	if err != nil {
		return fault.Unavailable("read the control plane's answer", err)
	}
	if len(text) > wire.MaxBody {
		return fault.Internal("read the control plane's answer", fmt.Errorf("it is longer than %d bytes", wire.MaxBody))
	}
	if resp.StatusCode != http.StatusOK {
		return problem(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fault.Internal("read the control plane's answer", err)
	}
	return nil
}

// problem is the fault of an answer that is no success. What stands between
// us and the control plane answers without a body that we know.
func problem(status int, body []byte) error {
	var p wire.Problem
	if json.Unmarshal(body, &p) == nil && p.Kind != "" {
		return &fault.Error{Kind: fault.Kind(p.Kind), Field: p.Field, Reason: p.Reason}
	}
	kind := fault.KindUnavailable
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		kind = fault.KindDenied
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		kind = fault.KindInvalid
	case http.StatusNotFound:
		kind = fault.KindNotFound
	}
	return &fault.Error{Kind: kind, Reason: fmt.Sprintf("the control plane answered %d %s", status, http.StatusText(status))}
}
