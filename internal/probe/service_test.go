package probe

import (
	"context"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
)

// service is a real HTTP server behind pipes, so that it lives in a bubble.
type service struct {
	handler http.HandlerFunc

	mu     sync.Mutex
	server *http.Server // nil while it is down
	conns  chan net.Conn
	dialed int
}

func newService(t *testing.T, handler http.HandlerFunc) *service {
	s := &service{handler: handler}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *service) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = make(chan net.Conn)
	s.server = &http.Server{Handler: s.handler}
	go s.server.Serve(&pipes{conns: s.conns, closed: make(chan struct{})})
}

func (s *service) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		s.server.Close()
	}
	s.server = nil
}

func (s *service) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	s.mu.Lock()
	s.dialed++
	up, conns := s.server != nil, s.conns
	s.mu.Unlock()
	if !up {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	select {
	case conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipes listens for them.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
