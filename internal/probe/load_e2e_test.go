//go:build e2e

package probe

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"syscall"
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

// A process that is stopped in the middle of many requests, to a service that
// answers each, though only after a while, counts none of them as unanswered.
// The process is this test again, told by its environment whom to ask.
func TestLoadOfAStoppedProcess(t *testing.T) {
	const role = "UPKEEP_PROBE_TO_BE_STOPPED"
	if url := os.Getenv(role); url != "" {
		sp := spec(MaxRate)
		sp.Endpoints[0].URL, sp.Timeout = url, 2*time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		var sum Total
		if err := (Probe{}).Run(ctx, sp, sum.Add); err != nil {
			t.Fatal(err)
		}
		fmt.Println("sum", sum.Sent, sum.Unanswered, sum.Skipped)
		return
	}

	asked := make(chan struct{}, 1)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-time.After(300 * time.Millisecond)
		fmt.Fprintln(w, "well")
	}))
	defer service.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), role+"="+service.URL)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	select {
	case <-asked:
	case <-time.After(30 * time.Second):
		t.Fatal("it asks nothing")
	}
	<-time.After(time.Second) // many are under way
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(3 * time.Second) // longer than a request may take
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &said)
	}
	var sent, unanswered, skipped int
	if _, err := fmt.Sscanf(said.String(), "sum %d %d %d", &sent, &unanswered, &skipped); err != nil {
		t.Fatalf("%v: %s", err, &said)
	}
	t.Logf("%d sent, %d unanswered, %d prove nothing", sent, unanswered, skipped)
	if sent == 0 || unanswered > 0 || skipped == 0 {
		t.Errorf("%d sent, %d unanswered, %d prove nothing", sent, unanswered, skipped)
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
