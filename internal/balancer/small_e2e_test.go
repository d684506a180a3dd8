//go:build e2e

package balancer

import (
	"bufio"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// TestSmallProxy tells the suite's stories at the small proxy of the demo, so
// that the hand meets there what it meets at HAProxy.
func TestSmallProxy(t *testing.T) {
	program := lab.GoBuild(t, "upkeep/cmd/upkeep")
	suite(t, func(t *testing.T, story func(*testing.T, proxy)) { story(t, newSmall(t, program)) })
}

type small struct {
	program string
	dir     string
	servers map[string]*backend
	cmd     *exec.Cmd
	url     string
}

func newSmall(t *testing.T, program string) *small {
	t.Helper()
	p := &small{program: program, dir: t.TempDir(), servers: map[string]*backend{}}
	for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
		b := &backend{address: "127.0.0.1:0", held: make(chan struct{}), release: make(chan struct{})}
		b.start(t)
		t.Cleanup(b.stop)
		p.servers[name] = b
	}
	p.begin(t)
	t.Cleanup(p.end)
	for name := range p.servers {
		await(t, p, name, stateReady, "UP")
	}
	return p
}

func (p *small) begin(t *testing.T) {
	t.Helper()
	args := []string{"demo", "proxy", "--admin", p.dir + "/admin.sock"}
	for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
		args = append(args, name+"="+p.servers[name].address)
	}
	p.cmd = exec.Command(p.program, args...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := p.cmd.StdinPipe(); err != nil { // it ends when that does
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	p.url = "http://" + strings.TrimSpace(address)
}

func (p *small) end() {
	p.cmd.Process.Signal(syscall.SIGTERM) // it takes its socket away
	p.cmd.Wait()
}

func (p *small) hand() Hand                           { return Hand{} }
func (p *small) address() string                      { return "unix:" + filepath.Join(p.dir, "admin.sock") }
func (p *small) userAddress() string                  { return "" } // who reaches its socket may do all
func (p *small) start(t *testing.T, server string)    { p.servers[server].start(t) }
func (p *small) person(t *testing.T, name, to string) { p.say(t, "set server api/"+name+" state "+to) }

func (p *small) restart(t *testing.T) {
	p.end()
	p.begin(t)
}

func (p *small) stop(t *testing.T, server string) {
	t.Helper()
	p.servers[server].stop()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if state, status := p.status(t, server); status == "DOWN" || state == stateMaint {
			return
		} else if time.Now().After(end) {
			t.Fatalf("%s is %s", server, status)
		}
	}
}

func (p *small) say(t *testing.T, command string) string {
	t.Helper()
	s, err := open(t.Context(), Hand{}, terms{network: "unix", address: p.dir + "/admin.sock"})
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

func (p *small) status(t *testing.T, name string) (state, status string) {
	t.Helper()
	admin, id, err := parseStates(p.say(t, "show servers state api"), "api")
	if err != nil {
		t.Fatal(err)
	}
	servers, err := parseStat(p.say(t, "show stat "+id+" 4 -1"), "api")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if s.name == name {
			status = s.status
		}
	}
	return stateOf(admin[name]), status
}

// hold sends requests until one is at that server: they get them in turn.
func (p *small) hold(t *testing.T, server string) func() {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	one, two, three := p.servers["ctl1"], p.servers["ctl2"], p.servers["ctl3"]
	for range 2 * len(p.servers) {
		go func() {
			if resp, err := client.Get(p.url + "/hold"); err == nil {
				resp.Body.Close()
			}
		}()
		var at *backend
		select {
		case <-one.held:
			at = one
		case <-two.held:
			at = two
		case <-three.held:
			at = three
		}
		release := func() { at.release <- struct{}{} }
		if at == p.servers[server] {
			return release
		}
		release()
	}
	t.Fatalf("no request reaches %s", server)
	return nil
}
