package balancer

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The two statuses of "show stat" that decide something. A server that is about
// to change is "UP 1/2" or "DOWN 1/2": it is not UP, for the next check may say
// otherwise, and one that comes back from maint is taken for up unchecked.
const (
	statusUp      = "UP"
	statusNoCheck = "no check"
)

// The bits of srv_admin_state that "set server" sets; the others come from the
// configuration, from tracked servers and from names that do not resolve.
const (
	forcedMaint = 0x01
	forcedDrain = 0x08
)

// server is one server of a backend.
type server struct {
	name     string
	status   string // as "show stat" has it
	admin    int    // bits
	sessions int    // being served, and waiting for this server
	serves   bool   // it is UP and gets its part of the requests
}

// state is what it has been set to.
func (s server) state() string {
	switch {
	case s.admin&forcedMaint != 0:
		return stateMaint
	case s.admin&forcedDrain != 0:
		return stateDrain
	}
	return stateReady
}

func (s server) String() string {
	return fmt.Sprintf("%s (%s, %d sessions)", s.state(), s.status, s.sessions)
}

// look is what one HAProxy process said of a backend.
type look struct {
	pid    string
	uptime int // seconds
	own    server
	others []server
}

// same reports whether a later look was answered by the same process: a number
// may be given again, above all in containers, but an uptime only grows.
func (l look) same(later look) bool { return l.pid == later.pid && later.uptime >= l.uptime }

// serving names the other servers that serve.
func (l look) serving() []string {
	var names []string
	for _, s := range l.others {
		if s.serves {
			names = append(names, s.name)
		}
	}
	return names
}

func (l look) listOthers() string {
	var words []string
	for _, s := range l.others {
		word := s.name + " " + s.status
		// A server that is set to drain and still UP in words gets nothing new.
		if state := s.state(); state != stateReady && !strings.EqualFold(state, s.status) {
			word += " in " + state
		}
		words = append(words, word)
	}
	return orNone(words)
}

// look asks for all that an order depends on.
func (s *socket) look(t terms) (look, error) {
	info, err := s.ask("show info")
	if err != nil {
		return look{}, err
	}
	// Here the backend is asked for by name: "show stat" might take a frontend
	// of the same name for it, and wants a number.
	states, err := s.ask("show servers state " + t.backend)
	if err != nil {
		return look{}, err
	}
	if err := s.explain(states, t); err != nil {
		return look{}, err
	}
	admin, id, err := parseStates(states, t.backend)
	if err != nil {
		return look{}, final("%s answers \"show servers state\" with %v", s.name, err)
	}
	stat, err := s.ask("show stat " + id + " 4 -1") // 4: servers alone, -1: all
	if err != nil {
		return look{}, err
	}
	l, err := assemble(info, stat, admin, t)
	if err != nil {
		return look{}, final("%s answers \"show stat\" with %v", s.name, err)
	}
	if l.own.name == "" {
		return look{}, s.explain("No such server.", t)
	}
	return l, nil
}

// assemble joins what was answered.
func assemble(info, stat string, admin map[string]int, t terms) (look, error) {
	l := look{}
	var err error
	if l.pid, l.uptime, err = parseInfo(info); err != nil {
		return look{}, err
	}
	servers, err := parseStat(stat, t.backend)
	if err != nil {
		return look{}, err
	}
	for _, srv := range servers {
		bits, ok := admin[srv.name]
		if !ok {
			return look{}, fmt.Errorf("a server %q that \"show servers state\" does not know", srv.name)
		}
		srv.admin = bits
		srv.serves = srv.serves && srv.state() == stateReady
		if srv.name == t.server {
			l.own = srv
		} else {
			l.others = append(l.others, srv)
		}
	}
	return l, nil
}

// parseInfo finds which process answers.
func parseInfo(text string) (pid string, uptime int, err error) {
	uptime = -1
	for line := range strings.Lines(text) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ": "); name {
		case "Pid":
			pid = value
		case "Uptime_sec":
			if uptime, err = strconv.Atoi(value); err != nil {
				return "", 0, fmt.Errorf("an uptime of %q seconds", value)
			}
		}
	}
	if pid == "" || uptime < 0 {
		return "", 0, errors.New("no Pid or no Uptime_sec in \"show info\"")
	}
	return pid, uptime, nil
}

// parseStates reads "show servers state BACKEND": a version, a header, a line
// for each server. It returns the administrative states and the backend's id.
func parseStates(text, backend string) (admin map[string]int, id string, err error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) < 2 || !strings.HasPrefix(lines[1], "# ") {
		return nil, "", errors.New("no header" + quoted(text))
	}
	header := strings.Fields(lines[1][2:])
	admin = map[string]int{}
	for _, line := range lines[2:] {
		row, err := newRow(header, strings.Fields(line))
		if err != nil {
			return nil, "", err
		}
		bits, err := row.number("srv_admin_state")
		if err != nil {
			return nil, "", err
		}
		name := row.text("srv_name")
		if _, twice := admin[name]; twice || name == "" || row.text("be_name") != backend || row.text("be_id") == "" {
			return nil, "", fmt.Errorf("a line that is not for a server of %s of its own: %.200q", backend, line)
		}
		admin[name], id = bits, row.text("be_id")
	}
	if id == "" {
		return nil, "", fmt.Errorf("no server in %s", backend)
	}
	return admin, id, nil
}

// parseStat reads the servers of a backend from "show stat".
func parseStat(text, backend string) ([]server, error) {
	text, ok := strings.CutPrefix(text, "# ")
	if !ok {
		return nil, errors.New("no header" + quoted(text))
	}
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll() // all of the header's length
	if err != nil {
		return nil, err
	}
	var servers []server
	for _, record := range records[1:] {
		row, err := newRow(records[0], record)
		if err != nil {
			return nil, err
		}
		if row.text("type") != "2" { // frontends, backends and listeners have others
			continue
		}
		s, err := row.server(backend)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(servers, func(o server) bool { return o.name == s.name }) {
			return nil, fmt.Errorf("two servers %q", s.name)
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// server reads a line of "show stat". A figure that is missing is an error, for
// none of them may be taken for a good one.
func (r row) server(backend string) (server, error) {
	s := server{name: r.text("svname"), status: r.text("status")}
	if s.name == "" || s.status == "" || r.text("pxname") != backend {
		return server{}, fmt.Errorf("a server of %q without name or status", r.text("pxname"))
	}
	n := map[string]int{}
	for _, name := range []string{"scur", "qcur", "act", "weight"} {
		v, err := r.number(name)
		if err != nil {
			return server{}, fmt.Errorf("server %s: %w", s.name, err)
		}
		n[name] = v
	}
	s.sessions = n["scur"] + n["qcur"]
	s.serves = s.status == statusUp && n["act"] == 1 && n["weight"] > 0 // act: it is no backup server
	return s, nil
}

// row is a line under a header.
type row map[string]string

func newRow(header, fields []string) (row, error) {
	if len(fields) != len(header) {
		return nil, fmt.Errorf("a line of %d fields under a header of %d", len(fields), len(header))
	}
	r := row{}
	for i, name := range header {
		r[name] = fields[i]
	}
	return r, nil
}

func (r row) text(name string) string { return r[name] }

func (r row) number(name string) (int, error) {
	n, err := strconv.Atoi(r[name])
	if err != nil || n < 0 {
		return 0, fmt.Errorf("no figure for %s, but %q", name, r[name])
	}
	return n, nil
}
