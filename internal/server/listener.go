package server

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"time"
)

// split turns one listener into two: connections that begin a TLS handshake,
// and connections that speak plainly. So one address serves agents and the
// clients on this very machine that speak no TLS.
//
// The first byte decides: a TLS record of a handshake begins with 0x16, and no
// HTTP method does.
func split(l net.Listener) (secure, plain net.Listener) {
	s := &splitter{Listener: l, done: make(chan struct{})}
	a := &half{splitter: s, conns: make(chan net.Conn)}
	b := &half{splitter: s, conns: make(chan net.Conn)}
	go s.accept(a, b)
	return a, b
}

const (
	tlsHandshake = 0x16
	firstByte    = 10 * time.Second // how long a stranger may take to say something
)

type splitter struct {
	net.Listener
	once sync.Once
	done chan struct{}
}

type half struct {
	*splitter
	conns chan net.Conn
}

func (s *splitter) accept(secure, plain *half) {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			s.stop()
			return
		}
		go s.sort(c, secure, plain)
	}
}

// sort reads the first byte, with a limit on how long that may take.
func (s *splitter) sort(c net.Conn, secure, plain *half) {
	r := bufio.NewReaderSize(c, 16)
	_ = c.SetReadDeadline(time.Now().Add(firstByte))
	first, err := r.Peek(1)
	if err != nil {
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	to := plain
	if first[0] == tlsHandshake {
		to = secure
	}
	head := make([]byte, r.Buffered())
	_, _ = r.Read(head) // it is in the buffer: this can't fail
	select {
	case to.conns <- &peeked{Conn: c, head: head}:
	case <-s.done:
		_ = c.Close()
	}
}

func (s *splitter) stop() {
	s.once.Do(func() {
		close(s.done)
		_ = s.Listener.Close()
	})
}

// Accept gives the next connection of this half.
func (h *half) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close ends both halves; the second time it does nothing.
func (h *half) Close() error {
	h.stop()
	return nil
}

// peeked gives back what was read to tell the halves apart.
type peeked struct {
	net.Conn
	head []byte
}

func (p *peeked) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}
