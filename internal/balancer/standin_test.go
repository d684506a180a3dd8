package balancer

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A stand-in HAProxy: it speaks the admin socket's language in lines that a
// real one has written (testdata, by the test behind the tag e2e), of servers
// that it pretends to check. The same suite passes on both.
func TestStandIn(t *testing.T) {
	suite(t, func(t *testing.T, story func(*testing.T, proxy)) {
		synctest.Test(t, func(t *testing.T) { story(t, newStandIn(t)) })
	})
}

const (
	checkedAfter = 500 * time.Millisecond // from a change until HAProxy's checks are sure of it
	standInAdmin = "unix:/stand-in/admin.sock"
	standInUser  = "unix:/stand-in/user.sock"
)

type standIn struct {
	header, sample []string // of show stat
	states         []string // version, header and a line of show servers state

	mu      sync.Mutex
	pid     int
	started time.Time
	servers []*pretended

	answerAfter time.Duration                   // how slow it is
	change      func(question, s string) string // spoils answers; may be nil
}

type pretended struct {
	name     string
	admin    int
	sessions int
	gone     bool      // its listener is closed
	since    time.Time // when it was started, stopped or first checked again
	unsure   bool      // came from maint: taken for up unchecked
}

func newStandIn(t *testing.T) *standIn {
	s := &standIn{pid: 100, started: time.Now(), states: strings.Split(recorded(t, "states.txt"), "\n")[:3]}
	records, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(recorded(t, "stat.txt"), "# "))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	s.header, s.sample = records[0], records[1]
	for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
		s.servers = append(s.servers, &pretended{name: name, since: time.Now().Add(-time.Hour)})
	}
	return s
}

// recorded is a real HAProxy's answer.
func recorded(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *standIn) hand() Hand          { return Hand{Dial: s.dial} }
func (s *standIn) address() string     { return standInAdmin }
func (s *standIn) userAddress() string { return standInUser }

func (s *standIn) dial(_ context.Context, network, address string) (net.Conn, error) {
	where := network + ":" + address
	if where != standInAdmin && where != standInUser {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ENOENT}
	}
	ours, theirs := net.Pipe()
	go s.serve(theirs, where == standInAdmin)
	return ours, nil
}

func (s *standIn) serve(conn net.Conn, admin bool) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		time.Sleep(s.answerAfter)
		answer := s.answer(lines.Text(), admin)
		if s.change != nil {
			answer = s.change(lines.Text(), answer)
		}
		if _, err := fmt.Fprintf(conn, "%s\n> ", answer); err != nil {
			return
		}
	}
}

func (s *standIn) answer(line string, admin bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch words := strings.Fields(line); {
	case line == "prompt":
		return ""
	case line == "show info":
		return fmt.Sprintf("Name: HAProxy\nPid: %d\nUptime_sec: %d\n", s.pid, int(time.Since(s.started).Seconds()))
	case line == "show servers state api":
		return s.showStates()
	case line == "show stat 3 4 -1":
		return s.showStat()
	case strings.HasPrefix(line, "show servers state "):
		return "Can't find backend.\n"
	case len(words) == 5 && words[0] == "set" && words[1] == "server" && words[3] == "state":
		if !admin {
			return "Permission denied\n"
		}
		backend, name, _ := strings.Cut(words[2], "/")
		if backend != "api" {
			return "No such backend.\n"
		}
		return s.set(name, words[4])
	}
	return "Unknown command\n"
}

func (s *standIn) server(name string) *pretended {
	i := slices.IndexFunc(s.servers, func(p *pretended) bool { return p.name == name })
	if i < 0 {
		return nil
	}
	return s.servers[i]
}

func (s *standIn) set(name, state string) string {
	p := s.server(name)
	if p == nil {
		return "No such server.\n"
	}
	if p.admin&forcedMaint != 0 && state != stateMaint {
		p.unsure, p.since = true, time.Now()
	}
	p.admin = map[string]int{stateReady: 0, stateDrain: forcedDrain, stateMaint: forcedMaint}[state]
	return ""
}

func (p *pretended) status() string {
	sure := time.Since(p.since) >= checkedAfter
	switch {
	case p.admin&forcedMaint != 0:
		return "MAINT"
	case p.unsure && !sure:
		return "UP 1/2"
	case p.gone && sure:
		return "DOWN"
	case !p.gone && !sure:
		return "DOWN 1/2"
	case p.gone:
		return "UP 1/2"
	case p.admin&forcedDrain != 0:
		return "DRAIN"
	}
	return "UP"
}

func (s *standIn) showStat() string {
	var b strings.Builder
	b.WriteString("# " + strings.Join(s.header, ",") + "\n")
	for _, p := range s.servers {
		row := slices.Clone(s.sample)
		for name, value := range map[string]string{"pxname": "api", "svname": p.name, "status": p.status(), "scur": fmt.Sprint(p.sessions)} {
			row[slices.Index(s.header, name)] = value
		}
		b.WriteString(strings.Join(row, ",") + "\n")
	}
	return b.String() + "\n"
}

func (s *standIn) showStates() string {
	header := strings.Fields(s.states[1])[1:]
	var b strings.Builder
	b.WriteString(s.states[0] + "\n" + s.states[1] + "\n")
	for _, p := range s.servers {
		row := strings.Fields(s.states[2])
		for name, value := range map[string]string{"be_id": "3", "be_name": "api", "srv_name": p.name, "srv_admin_state": fmt.Sprint(p.admin)} {
			row[slices.Index(header, name)] = value
		}
		b.WriteString(strings.Join(row, " ") + "\n")
	}
	return b.String() + "\n"
}

func (s *standIn) hold(_ *testing.T, server string) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.server(server)
	p.sessions++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.sessions--
	}
}

func (s *standIn) switched(server string, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.server(server)
	p.gone, p.since, p.unsure = gone, time.Now(), false
}

func (s *standIn) stop(_ *testing.T, server string) {
	s.switched(server, true)
	time.Sleep(checkedAfter)
}

func (s *standIn) start(_ *testing.T, server string) { s.switched(server, false) }

func (s *standIn) restart(*testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid++
	s.started = time.Now()
	for _, p := range s.servers {
		p.admin = 0
	}
}

func (s *standIn) status(_ *testing.T, server string) (state, status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.server(server)
	return stateOf(p.admin), p.status()
}

func (s *standIn) person(_ *testing.T, server, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(server, state)
}

func stateOf(admin int) string {
	s := server{admin: admin}
	return s.state()
}
