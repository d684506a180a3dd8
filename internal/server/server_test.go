package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"upkeep/internal/fault"
)

// start runs a server until the test ends; what Run returned is then judged.
func start(t *testing.T, dir string) (s *Server, stop func()) {
	t.Helper()
	s, err := New(t.Context(), Config{Data: dir, Listen: "127.0.0.1:0", Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return s, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("a server that is asked to stop says %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func trusting(t *testing.T, s *Server) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}}
}

func get(t *testing.T, c *http.Client, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestFirstStartMakesWhatItNeeds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, stop := start(t, dir)
	path, made := s.TokenFile()
	info, err := os.Stat(path)
	if err != nil || !made || info.Mode().Perm() != 0o600 {
		t.Fatalf("the operator's token: made %v, %v, %v", made, info.Mode(), err)
	}
	for _, name := range []string{databaseFile, keyFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(text))
	c := trusting(t, s)
	if code, body := get(t, c, "https://"+s.Address()+"/v1/servers", token); code != http.StatusOK {
		t.Errorf("over TLS: %d %s", code, body)
	}
	if code, body := get(t, http.DefaultClient, "http://"+s.Address()+"/v1/servers", token); code != http.StatusOK {
		t.Errorf("plainly, on this machine: %d %s", code, body)
	}
	if code, _ := get(t, c, "https://"+s.Address()+"/v1/servers", "upk_wrong"); code != http.StatusUnauthorized {
		t.Errorf("with a wrong token: %d", code)
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready"} {
		if code, body := get(t, c, "https://"+s.Address()+path, ""); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	stop()

	s, stop = start(t, dir)
	defer stop()
	if _, made := s.TokenFile(); made {
		t.Error("the second start made another token")
	}
	if code, body := get(t, trusting(t, s), "https://"+s.Address()+"/v1/whoami", token); code != http.StatusOK || !strings.Contains(body, "operator") {
		t.Errorf("the first token, after a restart: %d %s", code, body)
	}
}

func TestSecondServerOnOneFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, dir)
	defer stop()
	_, err := New(t.Context(), Config{Data: dir, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Fatal("two processes have one SQLite file")
	}
}

func TestBadConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		field string
		cfg   Config
	}{
		"no port":              {"listen", Config{Listen: "localhost"}},
		"anonymous for others": {"listen", Config{Listen: "0.0.0.0:0", Anonymous: true}},
		"no prefix":            {"mayCall", Config{Listen: "127.0.0.1:0", MayCall: []string{"everywhere"}}},
	} {
		cfg := c.cfg
		cfg.Data, cfg.Log = t.TempDir(), slog.New(slog.DiscardHandler)
		if _, err := New(t.Context(), cfg); !fault.Is(err, fault.KindInvalid) || !strings.HasPrefix(err.Error(), c.field+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlainSpeechIsForThisMachineAlone(t *testing.T) {
	h := onlyHere(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for addr, want := range map[string]int{
		"127.0.0.1:1": http.StatusOK, "[::1]:1": http.StatusOK,
		"192.0.2.1:1": http.StatusUpgradeRequired, "[2001:db8::1]:1": http.StatusUpgradeRequired, "nonsense": http.StatusUpgradeRequired,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/servers", nil)
		r.RemoteAddr = addr
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != want {
			t.Errorf("from %s: %d, want %d", addr, rec.Code, want)
		}
	}
}

// Who is asked to stop at once has nothing to complain of.
func TestStopRightAfterTheStart(t *testing.T) {
	dir := t.TempDir()
	for range 10 {
		_, stop := start(t, dir)
		stop()
	}
}

// A request that is held must not hold up the end of the server.
func TestStopEndsHeldRequests(t *testing.T) {
	s, stop := start(t, t.TempDir())
	path, _ := s.TokenFile()
	token, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Address()+"/v1/history?after=1000&wait=30", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	held := make(chan struct{})
	go func() {
		defer close(held)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	if code, _ := get(t, http.DefaultClient, "http://"+s.Address()+"/healthz", ""); code != http.StatusOK {
		t.Error(code)
	}
	from := time.Now()
	stop()
	<-held
	if took := time.Since(from); took > 20*time.Second {
		t.Errorf("the server took %v to end", took)
	}
}
