//go:build e2e

package probe

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// A real server, stopped and started at its address.
func TestLoadOfARealServer(t *testing.T) {
	before := runtime.NumGoroutine()
	s := newLoopback(t)
	sp := spec(100)
	sp.Endpoints[0].URL = "http://" + s.address + "/"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	was := "" // what the last second was like
	var sum Total
	err := Probe{}.Run(ctx, sp, func(second Second) {
		sum.Add(second)
		switch {
		case was == "" && second.Unanswered == 0:
			s.stop()
			was = "up"
		case was == "up" && second.Answered == 0:
			if second.Why == "" {
				t.Errorf("no reason: %+v", second)
			}
			s.start(t)
			was = "down"
		case was == "down" && second.Unanswered == 0:
			was = "up again"
			cancel()
		}
	})
	if err != nil || was != "up again" || sum.Unanswered == 0 || sum.Sent <= sum.Unanswered {
		t.Fatalf("%q, %s, %v", was, sum, err)
	}
	s.stop()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// loopback is a server at one address of this machine.
type loopback struct {
	address string
	server  *http.Server
}

func newLoopback(t *testing.T) *loopback {
	t.Helper()
	s := &loopback{address: "127.0.0.1:0"}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *loopback) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "well") })}
	go s.server.Serve(l)
}

func (s *loopback) stop() { s.server.Close() }
