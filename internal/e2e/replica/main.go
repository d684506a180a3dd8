// Command replica is a member of a service for tests: it answers HTTP, is not
// ready right after its start, and takes a while to stop, as real ones do.
// While it stops it answers nobody who comes new.
package main

import (
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
	answer := func(w http.ResponseWriter, _ *http.Request) {
		if time.Now().Before(ready) {
			http.Error(w, "loading", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok", os.Getpid())
	}
	http.HandleFunc("/", answer)
	srv := &http.Server{Addr: os.Args[1], ReadHeaderTimeout: 5 * time.Second}
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM)
	go func() {
		<-ends
		_ = srv.Close()
		time.Sleep(stopping)
		os.Exit(0)
	}()
	err := srv.ListenAndServe()
	if err != nil && err != http.ErrServerClosed { //nolint:errorlint // it is returned as it is
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}
