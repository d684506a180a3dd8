package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// How the proxy checks its servers, as HAProxy's "inter", "rise" and "fall".
const (
	checkEvery = 250 * time.Millisecond
	checkTime  = 5 * time.Second // for one answer: who is slow is not down; who has gone refuses at once
	rise       = 2               // good answers in a row, and a server is up
	fall       = 3               // bad ones, and it is down
	full       = rise + fall - 1
)

// state is what a server was set to, in the bits of HAProxy's srv_admin_state.
type state int

const (
	ready state = 0
	maint state = 1 // gets no requests and is not checked
	drain state = 8 // gets no new requests
)

// states are the words for them.
var states = map[string]state{"ready": ready, "maint": maint, "drain": drain}

// Proxy hands each request to the next of its servers that is up. It is small:
// it keeps no connection, tries nothing twice, and answers 503 where no server
// is up, so that nothing hides what happens to a server.
type Proxy struct {
	began time.Time

	mu      sync.Mutex
	servers []*upstream
	next    int // whose turn it is
}

// upstream is one server of the proxy. The proxy's mu guards what changes.
type upstream struct {
	name    string
	address string // HOST:PORT
	forward *httputil.ReverseProxy

	state    state
	health   int // 0 to full; it is up from rise on
	sessions int // requests under way
}

// NewProxy makes one for servers, each "NAME=HOST:PORT". All are down until they
// have answered a check.
func NewProxy(servers []string) (*Proxy, error) {
	if len(servers) == 0 {
		return nil, errors.New("a proxy needs a server")
	}
	p := &Proxy{began: time.Now()}
	for _, text := range servers {
		name, address, _ := strings.Cut(text, "=")
		if _, _, err := net.SplitHostPort(address); err != nil || name == "" {
			return nil, fmt.Errorf("%q is no NAME=HOST:PORT", text)
		}
		p.servers = append(p.servers, &upstream{name: name, address: address, forward: forward(address)})
	}
	return p, nil
}

func forward(address string) *httputil.ReverseProxy {
	to := &url.URL{Scheme: "http", Host: address}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
		},
		// A connection for each request: one that is kept would be one on which
		// a request may be tried again unseen.
		Transport: &http.Transport{
			DisableKeepAlives: true, ResponseHeaderTimeout: 30 * time.Second,
			DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// Run says on out where it listens, and serves until ctx ends: requests on a
// free port of this machine alone, and the admin socket at a path.
func (p *Proxy) Run(ctx context.Context, out io.Writer, listen, admin string) error {
	door, err := (&net.ListenConfig{}).Listen(ctx, "unix", admin)
	if err != nil {
		return err
	}
	defer door.Close()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	srv := server(p)
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	for _, s := range p.servers {
		go p.check(ctx, s)
	}
	go p.admin(door)
	fmt.Fprintln(out, l.Addr())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := p.take()
	if s == nil {
		http.Error(w, "no server is up", http.StatusServiceUnavailable)
		return
	}
	defer p.leave(s)
	s.forward.ServeHTTP(w, r)
}

// take finds the next server that serves, and counts a session in; nil if none
// does. Both at once: who drains a server and then sees no session is sure that
// none will come.
func (p *Proxy) take() *upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.servers {
		s := p.servers[p.next%len(p.servers)]
		p.next++
		if s.state == ready && s.health >= rise {
			s.sessions++
			return s
		}
	}
	return nil
}

func (p *Proxy) leave(s *upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.sessions--
}

// check asks one server after its health until ctx ends.
func (p *Proxy) check(ctx context.Context, s *upstream) {
	client := &http.Client{Timeout: checkTime, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if p.checked(s) {
			p.learn(s, Healthy(ctx, client, "http://"+s.address+HealthPath))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// Healthy reports whether what is asked answers, and well.
func Healthy(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// checked reports whether a server is to be checked.
func (p *Proxy) checked(s *upstream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.state != maint
}

// learn counts what a check has said.
func (p *Proxy) learn(s *upstream, good bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	up := s.health >= rise
	switch {
	case good && (up || s.health+1 >= rise):
		s.health = full
	case good:
		s.health++
	case up && s.health-1 >= rise:
		s.health--
	default:
		s.health = 0
	}
}

// set sets what a server is told to be. What comes back from maint is down
// until it is checked: nobody knows what became of it meanwhile.
func (p *Proxy) set(s *upstream, to state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.state == maint && to != maint {
		s.health = 0
	}
	s.state = to
}

// status is a server's, in HAProxy's words. The caller holds the proxy's mu.
func (s *upstream) status() string {
	switch {
	case s.state == maint:
		return "MAINT"
	case s.health == 0:
		return "DOWN"
	case s.health < rise:
		return fmt.Sprintf("DOWN %d/%d", s.health, rise)
	case s.state == drain:
		return "DRAIN"
	case s.health < full:
		return fmt.Sprintf("UP %d/%d", s.health-rise+1, fall)
	}
	return "UP"
}
