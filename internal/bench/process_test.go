package bench

import (
	"bufio"
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
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build makes upkeep as it is shipped.
func build(b *testing.B) (program string) {
	b.Helper()
	program = filepath.Join(b.TempDir(), "upkeep")
	cmd := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "upkeep/cmd/upkeep")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build upkeep: %v\n%s", err, text)
	}
	return program
}

// process is a running "upkeep serve" or "upkeep agent".
type process struct {
	cmd  *exec.Cmd
	said *bytes.Buffer
	out  io.Reader
}

func start(b *testing.B, program string, args ...string) *process {
	b.Helper()
	p := &process{cmd: exec.Command(program, args...), said: &bytes.Buffer{}}
	p.cmd.Stderr = p.said
	var err error
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		b.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return p
}

func (p *process) stop(b *testing.B) {
	b.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_, _ = io.Copy(io.Discard, p.out)
	if err := p.cmd.Wait(); err != nil {
		b.Errorf("%v\n%s", err, p.said)
	}
}

func (p *process) memory() uint64 { return residentOf(p.cmd.Process.Pid) }

// plane is a control plane to talk to.
type plane struct {
	url, token string
	trust      *tls.Config
}

// serve starts a control plane in a folder.
func serve(b *testing.B, program, dir string) (*process, plane) {
	b.Helper()
	p := start(b, program, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--log-level", "warn")
	line := regexp.MustCompile(`^listening on (https://\S+)`)
	lines := bufio.NewScanner(p.out)
	for lines.Scan() {
		if m := line.FindStringSubmatch(lines.Text()); m != nil {
			return p, known(b, m[1], dir)
		}
	}
	_ = p.cmd.Wait()
	b.Fatalf("it did not start:\n%s", p.said)
	return nil, plane{}
}

// known reads what a client of the control plane in a folder needs.
func known(b *testing.B, url, dir string) plane {
	b.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		b.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(dir, "operator.token"))
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return plane{url: url, token: strings.TrimSpace(string(token)), trust: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}
}

// client is an HTTP client with a connection of its own.
func (p plane) client(certs ...tls.Certificate) *http.Client {
	config := p.trust.Clone()
	config.Certificates = certs
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
}

// call asks the API, and reads the answer into out unless that is nil.
func (p plane) call(ctx context.Context, c *http.Client, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, p.url+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s %s: %s\n%s", method, path, resp.Status, text)
	}
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// steady waits until a process's memory has not grown for some seconds, and
// gives the median of what it is then, in bytes.
func steady(p *process) uint64 {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	var last []uint64
	for range 60 {
		<-tick.C
		last = append(last, p.memory())
		if n := len(last); n > 10 && last[n-1] <= last[n-10]+last[n-10]/200 {
			break
		}
	}
	return last[len(last)-1]
}
