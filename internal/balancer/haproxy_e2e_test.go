//go:build e2e

package balancer

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "record HAProxy's answers in testdata anew")

// haproxy is Debian's, in /usr/sbin, which need not be on the path.
const haproxy = "/usr/sbin/haproxy"

// TestHAProxy tells the suite's stories at a real one.
func TestHAProxy(t *testing.T) {
	suite(t, func(t *testing.T, story func(*testing.T, proxy)) { story(t, newReal(t)) })
}

const config = `
global
  stats socket %[1]s/admin.sock mode 600 level admin
  stats socket %[1]s/user.sock mode 600 level user
  stats socket fd@3 level admin
  hard-stop-after 1s
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  retries 3
  option redispatch
frontend api
  bind unix@%[1]s/api.sock
  use_backend api
backend api
  balance roundrobin
  option httpchk GET /healthcheck
  default-server check inter 100ms rise 2 fall 2
  use-server ctl1 if { req.hdr(X-To) ctl1 }
  use-server ctl2 if { req.hdr(X-To) ctl2 }
  use-server ctl3 if { req.hdr(X-To) ctl3 }
  server ctl1 %[2]s
  server ctl2 %[3]s
  server ctl3 %[4]s
backend odd
  option httpchk GET /healthcheck
  default-server inter 100ms rise 2 fall 2
  server well %[2]s check
  server unchecked %[2]s
  server spare %[2]s check backup
  server weightless %[2]s check weight 0
  server nobody 127.0.0.1:1 check
  server off %[2]s check disabled
`

// real is an HAProxy with three HTTP servers of the test's own behind it.
type real struct {
	dir     string
	servers map[string]*backend
	port    net.Listener // the admin socket by TCP, which HAProxy inherits
	cmd     *exec.Cmd
}

func newReal(t *testing.T) *real {
	t.Helper()
	p := &real{dir: t.TempDir(), servers: map[string]*backend{}}
	var err error
	if p.port, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.port.Close() })
	args := []any{p.dir}
	for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
		b := &backend{address: "127.0.0.1:0", held: make(chan struct{}), release: make(chan struct{})}
		b.start(t)
		t.Cleanup(b.stop)
		p.servers[name] = b
		args = append(args, b.address)
	}
	if err := os.WriteFile(p.file(), fmt.Appendf(nil, config, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	p.begin(t)
	t.Cleanup(p.end)
	for name := range p.servers {
		await(t, p, name, stateReady, "UP")
	}
	return p
}

func (p *real) file() string { return filepath.Join(p.dir, "haproxy.cfg") }

func (p *real) begin(t *testing.T) {
	t.Helper()
	p.cmd = exec.Command(haproxy, "-db", "-f", p.file())
	inherited, err := p.port.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	p.cmd.ExtraFiles = []*os.File{inherited}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("scripts/setup.sh installs HAProxy: %v", err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", p.dir+"/admin.sock"); err == nil {
			conn.Close()
			return
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func (p *real) end() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (p *real) hand() Hand          { return Hand{} }
func (p *real) address() string     { return "unix:" + p.dir + "/admin.sock" }
func (p *real) userAddress() string { return "unix:" + p.dir + "/user.sock" }

func (p *real) restart(t *testing.T) {
	p.end()
	p.begin(t)
}

func (p *real) stop(t *testing.T, server string) {
	p.servers[server].stop()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if state, status := p.status(t, server); status == "DOWN" || state == stateMaint {
			return
		} else if time.Now().After(end) {
			t.Fatalf("%s is %s", server, status)
		}
	}
}

func (p *real) start(t *testing.T, server string) { p.servers[server].start(t) }

// say asks the socket as a person would.
func (p *real) say(t *testing.T, command string) string {
	t.Helper()
	s, err := open(context.Background(), Hand{}, terms{network: "unix", address: p.dir + "/admin.sock"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	answer, err := s.ask(command)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (p *real) person(t *testing.T, server, state string) {
	p.say(t, "set server api/"+server+" state "+state)
}

func (p *real) status(t *testing.T, server string) (state, status string) {
	t.Helper()
	for line := range strings.Lines(p.say(t, "show stat")) {
		if fields := strings.Split(line, ","); fields[0] == "api" && fields[1] == server {
			status = fields[17]
		}
	}
	admin, _, err := parseStates(p.say(t, "show servers state api"), "api")
	if err != nil {
		t.Fatal(err)
	}
	return stateOf(admin[server]), status
}

// client makes a connection for each request, as strangers do.
func (p *real) client() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", p.dir+"/api.sock")
		},
	}}
}

func (p *real) hold(t *testing.T, server string) func() {
	t.Helper()
	req, _ := http.NewRequest(http.MethodGet, "http://api/hold", nil)
	req.Header.Set("X-To", server)
	go func() {
		if resp, err := p.client().Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	b := p.servers[server]
	<-b.held
	return func() { b.release <- struct{}{} }
}

// backend is an HTTP server that can be stopped and started at its address.
type backend struct {
	address string
	held    chan struct{} // one for each request to /hold that has come
	release chan struct{} // and that is answered
	mu      sync.Mutex
	server  *http.Server
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/hold" {
		b.held <- struct{}{}
		<-b.release
	}
	fmt.Fprintln(w, "well")
}

func (b *backend) start(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	l, err := net.Listen("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	b.address = l.Addr().String()
	b.server = &http.Server{Handler: b}
	go b.server.Serve(l)
}

func (b *backend) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server.Close()
}

// TestRollingUnderLoad drains, stops, starts and brings back one server after
// the other while requests come. None fails.
func TestRollingUnderLoad(t *testing.T) {
	p := newReal(t)
	var asked, bad atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
				resp, err := p.client().Get("http://api/")
				asked.Add(1)
				if err != nil || resp.StatusCode != http.StatusOK {
					bad.Add(1)
					continue
				}
				resp.Body.Close()
			}
		})
	}
	for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
		done(t, p.hand().Do(t.Context(), order(p, stateDrain, "server", name)))
		p.stop(t, name)
		p.start(t, name)
		done(t, p.hand().Do(t.Context(), order(p, stateReady, "server", name)))
		is(t, p, name, stateReady, "UP")
	}
	cancel()
	wg.Wait()
	t.Logf("%d requests, %d failed", asked.Load(), bad.Load())
	if asked.Load() == 0 || bad.Load() != 0 {
		t.Fatalf("%d of %d requests failed", bad.Load(), asked.Load())
	}
}

// TestRecorded holds a real one's answers against what the everyday tests are
// told of it.
func TestRecorded(t *testing.T) {
	p := newReal(t)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		states := p.say(t, "show servers state odd")
		_, id, err := parseStates(states, "odd")
		if err != nil {
			t.Fatal(err)
		}
		stat := p.say(t, "show stat "+id+" 4 -1")
		got := odd(t, p.say(t, "show info"), states, stat)
		if cmp.Equal(oddWant, got) {
			p.record(t, map[string]string{"odd-states.txt": states, "odd-stat.txt": stat})
			break
		}
		if time.Now().After(end) {
			t.Fatal(cmp.Diff(oddWant, got))
		}
	}
	p.record(t, map[string]string{
		"info.txt": p.say(t, "show info"), "states.txt": p.say(t, "show servers state api"), "stat.txt": p.say(t, "show stat 3 4 -1"),
	})
}

func (p *real) record(t *testing.T, answers map[string]string) {
	t.Helper()
	for file, text := range answers {
		if !*update {
			continue
		}
		text = regexp.MustCompile(`(?m)^node: .*\n`).ReplaceAllString(text, "") // this machine's name
		if err := os.WriteFile("testdata/"+file, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOverTCP(t *testing.T) {
	p := newReal(t)
	o := order(p, stateDrain, "proxy", "tcp:"+p.port.Addr().String())
	done(t, p.hand().Do(t.Context(), o))
	is(t, p, "ctl1", stateDrain, "DRAIN")
}

func TestSocketGone(t *testing.T) {
	p := newReal(t)
	release := p.hold(t, "ctl1")
	answer := begin(t.Context(), p, order(p, stateDrain, "wait", "2s"))
	await(t, p, "ctl1", stateDrain, "DRAIN")
	p.end()
	release()
	failed(t, <-answer, "the admin socket of HAProxy does not answer", "api/ctl1 stays in drain until it is set ready")
	failed(t, p.hand().Do(t.Context(), order(p, stateDrain)), "the admin socket of HAProxy does not answer")
}
