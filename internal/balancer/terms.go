package balancer

import (
	"fmt"
	"maps"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/action"
)

// The states that a server can be set to.
const (
	stateReady = "ready" // it gets requests when its checks are well
	stateDrain = "drain" // it gets no new ones, and is still checked
	stateMaint = "maint" // nor is it checked
)

// What an order waits for, unless it says otherwise, and at most.
const (
	defaultWait = 45 * time.Second // less than the minute after which a step is given up: so it says itself what is missing
	maxWait     = time.Hour
	defaultMin  = 1 // the last server that serves is never taken away unasked
)

// known are the names in an order's With.
var known = map[action.Kind][]string{action.Balance: {
	"proxy",    // "unix:/run/haproxy.sock" or "tcp:10.0.0.2:9999"
	"backend",  // as HAProxy's configuration names it
	"server",   // as HAProxy's configuration names it
	"state",    // drain, ready or maint
	"sessions", // for drain and maint: wait until it has no more than these
	"wait",     // how long at most, such as "60s", for sessions to end or the server to be UP
	"min",      // for drain and maint: how many other servers of the backend must be UP
}, action.Serving: {
	"proxy", "backend",
	"server", // the one that need not serve
	"min",    // how many others must be UP and get requests; all, if it is left out
}}

// terms is what an order asks for.
type terms struct {
	network, address string
	backend, server  string
	state            string
	sessions         int // to wait for; -1: none
	wait             time.Duration
	min              int // other servers that must be UP; 0 for ready, -1: all
}

// nameChars are those that HAProxy allows in names; none of them means anything
// to the socket.
var nameChars = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,128}$`)

// read takes an order's terms from its With.
func read(o action.Order) (terms, error) {
	names, ok := known[o.Kind]
	if !ok {
		return terms{}, refuse("a load balancer can't be told to %q", o.Kind)
	}
	for _, name := range slices.Sorted(maps.Keys(o.With)) {
		if !slices.Contains(names, name) {
			return terms{}, refuse("with.%s: unknown; known are %s", name, strings.Join(names, ", "))
		}
	}
	t := terms{backend: o.With["backend"], server: o.With["server"], state: o.With["state"], sessions: -1, wait: defaultWait}
	var err error
	if t.network, t.address, err = address(o.With["proxy"]); err != nil {
		return terms{}, err
	}
	switch {
	case !nameChars.MatchString(t.backend):
		return terms{}, refuse("with.backend: %q is no name of a backend", t.backend)
	case !nameChars.MatchString(t.server):
		return terms{}, refuse("with.server: %q is no name of a server", t.server)
	case o.Kind != action.Serving && t.state != stateReady && t.state != stateDrain && t.state != stateMaint:
		return terms{}, refuse("with.state: want drain, ready or maint, not %q", t.state)
	}
	if text, ok := o.With["wait"]; ok {
		if t.wait, err = time.ParseDuration(text); err != nil || t.wait < 0 || t.wait > maxWait {
			return terms{}, refuse("with.wait: %q is no duration from 0s to %s", text, maxWait)
		}
	}
	switch {
	case o.Kind == action.Serving:
		t.min = -1
	case t.state != stateReady:
		t.min = defaultMin
	}
	for name, to := range map[string]*int{"sessions": &t.sessions, "min": &t.min} {
		text, ok := o.With[name]
		if !ok {
			continue
		}
		if t.state == stateReady {
			return terms{}, refuse("with.%s: means nothing for ready", name)
		}
		if *to, err = strconv.Atoi(text); err != nil || *to < 0 {
			return terms{}, refuse("with.%s: %q is no number from 0", name, text)
		}
	}
	return t, nil
}

// address reads where an admin socket is.
func address(proxy string) (network, address string, err error) {
	network, address, _ = strings.Cut(proxy, ":")
	switch network {
	case "unix":
		if path.IsAbs(address) && path.Clean(address) == address {
			return network, address, nil
		}
	case "tcp":
		if host, port, err := net.SplitHostPort(address); err == nil && host != "" && port != "" {
			return network, address, nil
		}
	}
	return "", "", refuse(`with.proxy: want "unix:/path/to/socket" or "tcp:host:port", not %q`, proxy)
}

// name is the server's, as HAProxy writes it.
func (t terms) name() string { return t.backend + "/" + t.server }

func (t terms) proxy() string { return t.network + ":" + t.address }

// guard says why the server must not be taken away: too few others serve.
func (t terms) guard(l look) error {
	if up := l.serving(); len(up) < t.min {
		return fmt.Errorf("of the other servers of %s only %d are UP (%s), and %d must be while %s is in %s; they are: %s",
			t.backend, len(up), orNone(up), t.min, t.server, t.state, l.listOthers())
	}
	return nil
}

// lacking says which other servers do not serve, though they must.
func (t terms) lacking(l look) error {
	up, want := l.serving(), t.min
	if want < 0 {
		want = len(l.others)
	}
	if len(up) < want || len(l.others) == 0 {
		return fmt.Errorf("of the other servers of %s %d serve (%s), and %d must; they are: %s", t.backend, len(up), orNone(up), max(want, 1), l.listOthers())
	}
	return nil
}

// missing says what an order still waits for; empty if for nothing. The error
// says that it will never be so.
func (t terms) missing(l look) (string, error) {
	switch {
	case t.state == stateReady && l.own.status == statusNoCheck:
		return "", final("%s is set ready, but HAProxy does not check it, so nothing says that it is up", t.name())
	case t.state == stateReady && l.own.status != statusUp:
		return fmt.Sprintf("%s is set ready, but is %q and not UP", t.name(), l.own.status), nil
	case t.sessions < 0 || t.state == stateReady:
		return "", nil
	case l.own.sessions > t.sessions:
		return fmt.Sprintf("%s still has %d sessions", t.name(), l.own.sessions), nil
	}
	return "", nil
}
