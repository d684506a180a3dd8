package bench

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
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"upkeep/internal/identity"
	"upkeep/internal/store/sqlite"
	"upkeep/internal/wire"
)

// BenchmarkAgent is what an agent's process takes that waits for orders.
func BenchmarkAgent(b *testing.B) {
	program := build(b)
	for b.Loop() {
		dir := b.TempDir()
		server, plane := serve(b, program, filepath.Join(dir, "server"))
		c := plane.client()
		var enrolment struct{ Token string }
		if err := plane.call(b.Context(), c, http.MethodPut, "/v1/servers/here", map[string]any{}, nil); err != nil {
			b.Fatal(err)
		}
		if err := plane.call(b.Context(), c, http.MethodPost, "/v1/servers/here/enrolments", nil, &enrolment); err != nil {
			b.Fatal(err)
		}
		token := filepath.Join(dir, "token")
		if err := os.WriteFile(token, []byte(enrolment.Token), 0o600); err != nil {
			b.Fatal(err)
		}
		agent := start(b, program, "agent", "--server", plane.url, "--data", filepath.Join(dir, "agent"),
			"--token-file", token, "--ca", filepath.Join(dir, "server", "ca.pem"), "--allow-file", filepath.Join(dir, "none"))
		waitFor(b, "the agent's first look", func() bool {
			var s struct{ Observed *struct{} }
			err := plane.call(b.Context(), c, http.MethodGet, "/v1/servers/here", nil, &s)
			return err == nil && s.Observed != nil
		})
		b.ReportMetric(mib(steady(agent)), "MiB-agent")
		b.ReportMetric(mib(steady(server)), "MiB-server")
		agent.stop(b)
		server.stop(b)
	}
}

func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }

// connected is how many agents BenchmarkConnected connects.
const connected = 2000

// BenchmarkConnected is what a server takes for each agent that is connected:
// TLS with a certificate of its own, HTTP/2, and a poll that waits.
func BenchmarkConnected(b *testing.B) {
	program := build(b)
	for b.Loop() {
		dir := b.TempDir()
		certs := enrolled(b, dir, connected)
		server, plane := serve(b, program, dir)
		before := steady(server)
		ctx, cancel := context.WithCancel(b.Context())
		var waits atomic.Int64
		var all sync.WaitGroup
		for i, cert := range certs {
			all.Go(func() { hold(ctx, b, plane, serverID(i), plane.client(cert), &waits) })
			if i%50 == 49 { // a few handshakes at a time
				waitFor(b, "connections", func() bool { return waits.Load() > int64(i-50) })
			}
		}
		waitFor(b, "agents that wait", func() bool { return waits.Load() >= connected })
		after := steady(server)
		b.ReportMetric(mib(before), "MiB-before")
		b.ReportMetric(mib(after), "MiB-connected")
		b.ReportMetric(float64(after-min(before, after))/1024/connected, "KiB/agent")
		cancel()
		all.Wait()
		server.stop(b)
	}
}

// enrolled makes the database of a control plane with n servers, and the
// certificates of their agents.
func enrolled(b *testing.B, dir string, n int) []tls.Certificate {
	b.Helper()
	db, err := sqlite.Open(b.Context(), filepath.Join(dir, "upkeep.db"))
	if err != nil {
		b.Fatal(err)
	}
	sealer, err := identity.OpenKey(filepath.Join(dir, "secret.key"))
	if err != nil {
		b.Fatal(err)
	}
	authority, err := identity.LoadAuthority(b.Context(), db, sealer)
	if err != nil {
		b.Fatal(err)
	}
	certs, keys := make([]tls.Certificate, n), make([]string, n)
	for i := range n {
		certs[i], keys[i] = certificate(b, authority, serverID(i))
	}
	fill(b, db, n, time.Now().Add(48*time.Hour), func(i int) string { return keys[i] })
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	return certs
}

func certificate(b *testing.B, authority *identity.Authority, target string) (cert tls.Certificate, fingerprint string) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		b.Fatal(err)
	}
	signed, err := authority.SignAgent(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), target, "")
	if err != nil {
		b.Fatal(err)
	}
	block, _ := pem.Decode(signed.PEM)
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}, signed.Key
}

// hold polls as target's agent until ctx ends. waits counts those whose first
// poll has been sent.
func hold(ctx context.Context, b *testing.B, p plane, target string, c *http.Client, waits *atomic.Int64) {
	body, err := json.Marshal(wire.PollRequest{Version: "bench", BootID: "b", WaitMillis: 30_000})
	if err != nil {
		b.Error(err)
		return
	}
	defer c.CloseIdleConnections()
	for first := true; ctx.Err() == nil; first = false {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+wire.PollPath, &told{bytes.NewReader(body), func() {
			if first {
				waits.Add(1)
			}
		}})
		if err != nil {
			b.Error(err)
			return
		}
		resp, err := c.Do(r)
		if err != nil {
			if ctx.Err() == nil {
				b.Errorf("%s: %v", target, err)
			}
			return
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			b.Errorf("%s: %s %s", target, resp.Status, text)
			return
		}
	}
}

// told is a body that says when it has been read.
type told struct {
	*bytes.Reader
	end func()
}

// Read implements io.Reader.
func (t *told) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if err == io.EOF && t.end != nil {
		t.end()
		t.end = nil
	}
	return n, err
}
