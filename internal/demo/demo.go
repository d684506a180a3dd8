// Package demo is the small service that "upkeep demo" maintains: three replicas
// behind a small proxy, each a process of its own, so that the real agents and
// hands have something real to restart.
//
//	Service ──starts──▶ proxy ──asks, checks──▶ ctl1, ctl2, ctl3
//	   ▲                  ▲
//	   │ restart ctl2     │ set server api/ctl2 state drain
//	the host's agent    the control plane's balancer
//
// The Service is authoritative for which processes there are, and keeps nothing
// on disk. Each process ends when its standard input does, so none outlives the
// Service, however that ends.
package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// Backend is what the proxy calls the replicas together.
const Backend = "api"

// addresses are where the replicas listen: each replica's host has an address
// of its own. Connections of others come from 127.0.0.1 and can't take the port
// while a replica is restarted.
var addresses = map[string]string{"ctl1": "127.0.0.11", "ctl2": "127.0.0.12", "ctl3": "127.0.0.13"}

// Names are the replicas'.
var Names = []string{"ctl1", "ctl2", "ctl3"}

// Config is what a Service is made of.
type Config struct {
	Program string // the absolute path of the program whose "demo" has the parts
	Dir     string // for sockets, so its path must be short; only its owner may look into it
	Pace    Pace
}

// Pace is how long a replica takes.
type Pace struct {
	Loading  time.Duration // after its start, until it is ready
	Stopping time.Duration // after it was asked to stop, until it has ended
}

// DefaultPace is like that of a small service.
func DefaultPace() Pace { return Pace{Loading: 1500 * time.Millisecond, Stopping: time.Second} }

// Service is the replicas and the proxy, under way.
type Service struct {
	cfg   Config
	door  net.Listener // where restarts are asked for
	proxy *part

	mu       sync.Mutex // held all through a restart: there is one at a time
	replicas map[string]*part
	starts   map[string]int
	closed   bool
	asking   sync.WaitGroup
}

// Start starts the processes. The caller closes what it returns. Error:
// whatever keeps a process from starting.
func Start(ctx context.Context, cfg Config) (s *Service, err error) {
	s = &Service{cfg: cfg, replicas: map[string]*part{}, starts: map[string]int{}}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	args := []string{"proxy", "--admin", s.admin()}
	for _, name := range Names {
		if err := s.start(name, net.JoinHostPort(addresses[name], "0")); err != nil {
			return nil, err
		}
		args = append(args, name+"="+s.replicas[name].address)
	}
	if s.proxy, err = startPart(cfg.Program, args...); err != nil {
		return nil, err
	}
	if s.door, err = (&net.ListenConfig{}).Listen(ctx, "unix", s.Socket()); err != nil {
		return nil, err
	}
	s.asking.Go(s.serve)
	return s, nil
}

// URL is the proxy's.
func (s *Service) URL() string { return "http://" + s.proxy.address }

// Admin is the address of the proxy's admin socket, as a runbook has it.
func (s *Service) Admin() string { return "unix:" + s.admin() }

func (s *Service) admin() string { return filepath.Join(s.cfg.Dir, "admin.sock") }

// Socket is where AskRestart is heard.
func (s *Service) Socket() string { return filepath.Join(s.cfg.Dir, "restart.sock") }

// Member is the URL of a replica itself.
func (s *Service) Member(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "http://" + s.replicas[name].address
}

// Restart stops a replica and starts it anew at its address. It ends when the
// new one listens, which is before it is ready.
func (s *Service) Restart(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.replicas[name]
	switch {
	case !ok:
		return fmt.Errorf("there is no replica %q", name)
	case s.closed:
		return errors.New("the demo ends")
	}
	old.stop()
	return s.start(name, old.address)
}

// start starts a replica. The caller holds s.mu, or is alone.
func (s *Service) start(name, address string) error {
	s.starts[name]++
	p, err := startPart(s.cfg.Program, "replica", "--listen", address, "--start", fmt.Sprint(s.starts[name]),
		"--loading", s.cfg.Pace.Loading.String(), "--stopping", s.cfg.Pace.Stopping.String(), name)
	if err != nil {
		return err
	}
	s.replicas[name] = p
	return nil
}

// Close ends the processes and waits until they have gone.
func (s *Service) Close() {
	if s.door != nil {
		s.door.Close()
	}
	s.mu.Lock()
	s.closed = true
	for _, p := range s.replicas {
		p.kill()
	}
	if s.proxy != nil {
		s.proxy.kill()
	}
	s.mu.Unlock()
	s.asking.Wait()
}
