package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// HealthPath is where a replica says whether it is ready.
const HealthPath = "/healthcheck"

// work is how long a replica takes for an answer.
const work = 5 * time.Millisecond

// Replica is a member of the service. As real ones do, it is not ready right
// after its start though its port is open, and takes a while to stop, during
// which it answers nobody.
type Replica struct {
	Name   string
	Listen string // HOST:PORT; port 0 takes a free one
	Start  int    // how many times it was started: it shows in the answers
	Pace   Pace
}

// Run says on out where it listens, and answers until ctx ends.
func (r Replica) Run(ctx context.Context, out io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.Listen)
	if err != nil {
		return err
	}
	srv := server(r.answers(time.Now().Add(r.Pace.Loading)))
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		srv.Close() // who is in the middle of being answered is cut off
		<-time.After(r.Pace.Stopping)
		close(stopped)
	})
	fmt.Fprintln(out, l.Addr())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	return nil
}

// answers are a replica's, which is ready at the given time.
func (r Replica) answers(ready time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+HealthPath, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(work)
		fmt.Fprintf(w, "%s, start %d\n", r.Name, r.Start)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if time.Now().Before(ready) {
			http.Error(w, "loading", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, q)
	})
}

// server is an HTTP server with limits on what a stranger can make it wait for.
func server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 32 << 10, ErrorLog: log.New(io.Discard, "", 0),
	}
}
