package demo

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// backendID is the backend's, for which "show stat" wants a number.
const backendID = "3"

// admin answers at the admin socket until it is closed.
func (p *Proxy) admin(door net.Listener) {
	for {
		conn, err := door.Accept()
		if err != nil {
			return
		}
		go p.talk(conn)
	}
}

// talk is a conversation: one question, or as many as are asked after "prompt".
// A line ends at 64 KiB, and the conversation with it.
func (p *Proxy) talk(conn net.Conn) {
	defer conn.Close()
	prompt := false
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		prompt = prompt || line == "prompt"
		if !prompt {
			fmt.Fprintln(conn, p.answer(line))
			return
		}
		if _, err := fmt.Fprintf(conn, "%s\n> ", p.answer(line)); err != nil {
			return
		}
	}
}

// answer answers as much of HAProxy's runtime API as it takes to look at a
// backend and to set the state of its servers, in HAProxy's words and columns.
func (p *Proxy) answer(line string) string {
	switch words := strings.Fields(line); {
	case line == "prompt":
		return ""
	case line == "show info":
		return fmt.Sprintf("Name: small proxy of upkeep demo\nPid: %d\nUptime_sec: %d\n", os.Getpid(), int(time.Since(p.began).Seconds()))
	case line == "show stat" || strings.HasPrefix(line, "show stat "+backendID+" "):
		return p.stat()
	case line == "show servers state" || line == "show servers state "+Backend:
		return p.serversState()
	case strings.HasPrefix(line, "show servers state "):
		return "Can't find backend.\n"
	case len(words) == 5 && words[0] == "set" && words[1] == "server" && words[3] == "state":
		return p.setServer(words[2], words[4])
	}
	return "Unknown command. This is the small proxy of upkeep demo: it knows prompt, show info, show stat, show servers state, set server BACKEND/SERVER state ready|drain|maint.\n"
}

func (p *Proxy) setServer(name, word string) string {
	backend, name, _ := strings.Cut(name, "/")
	i := slices.IndexFunc(p.servers, func(s *upstream) bool { return s.name == name })
	to, known := states[word]
	switch {
	case backend != Backend:
		return "No such backend.\n"
	case i < 0:
		return "No such server.\n"
	case !known:
		return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"
	}
	p.set(p.servers[i], to)
	return ""
}

// stat has those columns of HAProxy's that this proxy knows something about.
func (p *Proxy) stat() string {
	var b strings.Builder
	fmt.Fprintln(&b, "# pxname,svname,qcur,scur,status,weight,act,bck,iid,sid,type,addr,")
	p.each(&b, func(i int, s *upstream) string {
		return fmt.Sprintf("%s,%s,0,%d,%s,1,1,0,%s,%d,2,%s,", Backend, s.name, s.sessions, s.status(), backendID, i+1, s.address)
	})
	return b.String()
}

func (p *Proxy) serversState() string {
	var b strings.Builder
	fmt.Fprintln(&b, "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state")
	p.each(&b, func(i int, s *upstream) string {
		host, _, _ := net.SplitHostPort(s.address) // NewProxy has looked at it
		operational := 0
		if s.health >= rise {
			operational = 2
		}
		return fmt.Sprintf("%s %s %d %s %s %d %d", backendID, Backend, i+1, s.name, host, operational, s.state)
	})
	return b.String()
}

// each writes a line for each server.
func (p *Proxy) each(w io.Writer, line func(i int, s *upstream) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.servers {
		fmt.Fprintln(w, line(i, s))
	}
}
