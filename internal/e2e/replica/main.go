// Command replica is a member of a service for tests: it answers HTTP, is not
// ready right after its start, and takes a while to stop, as real ones do.
// While it stops it answers nobody who comes new.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	loading  = 1500 * time.Millisecond // the port is open, and the application is not loaded
	stopping = time.Second
)

func main() {
	ready := time.Now().Add(loading)
	srv := &http.Server{Addr: os.Args[1], ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if time.Now().Before(ready) {
			http.Error(w, "loading", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok", os.Getpid())
	})}
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM)
	go func() {
		<-ends
		_ = srv.Close()
	}()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		panic(err) // nobody asks it then, and the test says so
	}
	<-time.After(stopping)
}
