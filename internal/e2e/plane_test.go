//go:build linux && e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"upkeep/internal/lab"
)

const (
	planeAddress = lab.Gateway + ":8443"
	planeURL     = "https://" + lab.GatewayName + ":8443"
	agentProgram = "/usr/local/bin/upkeep"
)

// plane is a control plane: a real "upkeep serve", in a process of its own, on
// the lab's network.
type plane struct {
	t       testing.TB
	l       *lab.Lab
	program string
	dir     string
	args    []string
	address string

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
	log   bytes.Buffer
}

// startPlane starts a control plane and waits until it is ready.
func startPlane(t testing.TB, l *lab.Lab, program, dir, address string, args ...string) *plane {
	t.Helper()
	p := &plane{t: t, l: l, program: program, dir: dir, address: address, args: args}
	p.start()
	p.waitReady()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the control plane wrote:\n%s", tail(p.log.String(), 8000))
		}
	})
	return p
}

func (p *plane) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	args := append([]string{"serve", "--data", p.dir, "--listen", p.address, "--host", lab.GatewayName}, p.args...)
	p.cmd = p.l.Command(context.Background(), p.program, args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	p.ended = ended
	cmd := p.cmd
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
}

// kill is kill -9, and returns when the process is gone.
func (p *plane) kill() {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	_ = cmd.Process.Kill()
	<-ended
}

// waitReady returns how long it took until the control plane answered.
func (p *plane) waitReady() time.Duration {
	p.t.Helper()
	from := time.Now()
	poll(p.t, 30*time.Second, "the control plane to be ready", func() bool {
		resp, err := p.client().Get("https://" + p.address + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return time.Since(from)
}

// client trusts the control plane's own authority and nobody else.
func (p *plane) client() *http.Client {
	pool := x509.NewCertPool()
	if pem, err := os.ReadFile(filepath.Join(p.dir, "ca.pem")); err == nil {
		pool.AppendCertsFromPEM(pem)
	}
	return &http.Client{Timeout: 35 * time.Second, Transport: &http.Transport{
		DialContext: p.l.DialContext, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13},
	}}
}

// call asks the API, and again while the control plane is down.
func (p *plane) call(method, path string, in, out any) {
	p.t.Helper()
	token, err := os.ReadFile(filepath.Join(p.dir, "operator.token"))
	if err != nil {
		p.t.Fatal(err)
	}
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			p.t.Fatal(err)
		}
	}
	key := fmt.Sprintf("%d", time.Now().UnixNano())
	poll(p.t, 60*time.Second, method+" "+path, func() bool {
		req, err := http.NewRequest(method, "https://"+p.address+path, bytes.NewReader(body))
		if err != nil {
			p.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		if in != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		if method != http.MethodGet {
			req.Header.Set("Idempotency-Key", key)
		}
		resp, err := p.client().Do(req)
		if err != nil {
			return false // it is down; the key makes asking again harmless
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return false
		}
		if resp.StatusCode >= 300 {
			p.t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
		}
		if out != nil {
			if err := json.Unmarshal(text, out); err != nil {
				p.t.Fatalf("%s %s: %v in %s", method, path, err, text)
			}
		}
		return true
	})
}

// enrol gives a server its agent, the way an operator would.
func (p *plane) enrol(s *lab.Server) {
	p.t.Helper()
	p.call("PUT", "/v1/servers/"+s.Name, map[string]any{}, nil)
	var e struct{ Token string }
	p.call("POST", "/v1/servers/"+s.Name+"/enrolments", nil, &e)
	pem, err := os.ReadFile(filepath.Join(p.dir, "ca.pem"))
	if err != nil {
		p.t.Fatal(err)
	}
	for name, text := range map[string][]byte{"/etc/upkeep/ca.pem": pem, "/etc/upkeep/token": []byte(e.Token)} {
		if err := s.WriteFile(name, text, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	err = s.SetService(nil, agentProgram, "agent", "--server", planeURL, "--data", "/var/lib/upkeep-agent",
		"--token-file", "/etc/upkeep/token", "--ca", "/etc/upkeep/ca.pem")
	if err != nil {
		p.t.Fatal(err)
	}
}

// schedule puts a schedule on a server.
func (p *plane) schedule(server string, rrule string, duration time.Duration, policy map[string]any) {
	p.t.Helper()
	p.call("PUT", "/v1/servers/"+server+"/schedules/test", map[string]any{
		"enabled": true, "rrule": rrule, "duration": duration.String(), "policy": policy,
	}, nil)
}

// runOf is what the tests read of a run.
type runOf struct {
	ID     string
	State  string
	Server string
	Result struct {
		Changes  []struct{ Name, From, To string }
		Failures []struct{ Name, Reason string }
		Reboots  int
		Text     string
	}
	Waits []struct{ Step, Code, Words string }
}

type factOf struct {
	Seq  int64
	At   time.Time
	Who  string
	Run  string
	Step string
	Kind string
	Text string
}

func (p *plane) runs(server string) []runOf {
	p.t.Helper()
	var out struct{ Items []runOf }
	p.call("GET", "/v1/runs?server="+server, nil, &out)
	return out.Items
}

func (p *plane) facts(run string) []factOf {
	p.t.Helper()
	var out struct{ Items []factOf }
	p.call("GET", "/v1/history?run="+run, nil, &out)
	return out.Items
}

// waitEnded waits until the only run of a server has ended.
func (p *plane) waitEnded(server string, within time.Duration) runOf {
	p.t.Helper()
	var last runOf
	poll(p.t, within, "the run of "+server+" to end", func() bool {
		runs := p.runs(server)
		if len(runs) > 1 {
			p.t.Fatalf("%s has %d runs", server, len(runs))
		}
		if len(runs) == 1 {
			last = runs[0]
		}
		return last.State == "succeeded" || last.State == "failed" || last.State == "aborted"
	})
	return last
}

// story is a run's history, for a reader.
func (p *plane) story(run string) string {
	var b strings.Builder
	for _, f := range p.facts(run) {
		fmt.Fprintf(&b, "%s  %-10s %-18s %s\n", f.At.UTC().Format("15:04:05.000"), f.Who, f.Step, f.Text)
	}
	return b.String()
}

// poll asks until yes, and fails the test after within.
func poll(t testing.TB, within time.Duration, what string, yes func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %v for %s", within, what)
		}
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// rruleAt is a window that opens at the given instants and never again.
func rruleAt(starts ...time.Time) string {
	const form = "20060102T150405Z"
	s := "DTSTART:" + starts[0].UTC().Format(form) + " RRULE:FREQ=DAILY;COUNT=1"
	for _, t := range starts[1:] {
		s += " RDATE:" + t.UTC().Format(form)
	}
	return s
}
