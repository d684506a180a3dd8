//go:build e2e

package probe

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"upkeep/internal/action"
)

// TestPrometheus asks a real one that watches itself.
func TestPrometheus(t *testing.T) {
	url := prometheus(t)
	ask := func(query, op, value string) action.Result {
		return Hand{}.Do(t.Context(), order(action.Query, "url", url, "query", query, "op", op, "value", value))
	}
	for end := time.Now().Add(30 * time.Second); ask(`up{job="self"}`, "==", "1").Outcome != action.Done; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", ask(`up{job="self"}`, "==", "1"))
		}
	}
	for name, c := range map[string]struct {
		query, op string
		want      action.Outcome
		why       string
	}{
		"one series":    {`sum(up) by (job)`, ">=", action.Done, ""},
		"a scalar":      {`scalar(sum(up)) + 0.5`, ">", action.Done, ""},
		"not so":        {`count(up)`, "<", action.Failed, "count(up) is 1, want < 1"},
		"no data":       {`no_such_metric`, "<=", action.Failed, "inconclusive: no_such_metric: no data"},
		"absent":        {`sum(no_such_metric)`, "<=", action.Failed, "no data"},
		"several":       {`prometheus_http_requests_total`, ">=", action.Failed, "series where one is wanted"},
		"0 by 0":        {`sum(up * 0) / 0`, "<=", action.Failed, "inconclusive: sum(up * 0) / 0: NaN"},
		"1 by 0":        {`sum(up) / 0`, ">=", action.Failed, "+Inf"},
		"a range":       {`up[1m]`, ">=", action.Failed, "a matrix where one figure is wanted"},
		"a text":        {`"1"`, ">=", action.Failed, "a string where one figure is wanted"},
		"misunderstood": {`sum(`, ">=", action.Failed, "inconclusive: sum(: the Prometheus says bad_data: "},
	} {
		t.Run(name, func(t *testing.T) { is(t, ask(c.query, c.op, "1"), c.want, c.why) })
	}
}

// prometheus starts Debian's, and returns its URL.
func prometheus(t *testing.T) string {
	t.Helper()
	program, dir := debians(t), t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("scrape_configs: [{job_name: self, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{targets: [%q]}]}]\n", address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	url := "http://" + address
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(url + "/-/ready")
		if err == nil {
			resp.Body.Close()
		}
		switch {
		case err == nil && resp.StatusCode == http.StatusOK:
			return url
		case time.Now().After(end):
			t.Fatalf("it does not get ready: %v", err)
		}
	}
}

// debians is the path of Debian's prometheus, unpacked once per machine and not
// installed: that would start one for everybody who reaches the machine.
func debians(t *testing.T) string {
	t.Helper()
	cache := os.Getenv("UPKEEP_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "upkeep")
	}
	at := filepath.Join(cache, "prometheus")
	program := filepath.Join(at, "usr", "bin", "prometheus")
	if _, err := os.Stat(program); err == nil {
		return program
	}
	dir := t.TempDir()
	run := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	run("apt-get", "-q", "download", "prometheus")
	found, err := filepath.Glob(filepath.Join(dir, "prometheus_*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("downloaded %v, %v", found, err)
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	unpacked, err := os.MkdirTemp(cache, "prometheus-") //nolint:usetesting // it stays
	if err != nil {
		t.Fatal(err)
	}
	run("dpkg-deb", "-x", found[0], unpacked)
	if err := os.Rename(unpacked, at); err != nil {
		t.Fatal(err)
	}
	return program
}
