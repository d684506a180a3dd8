//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	// Gateway is the lab's own address, as the servers see it. What listens
	// there, by Command or Listen, is theirs to reach.
	Gateway = "10.77.0.1"
	// GatewayName and RepoName are its names on every server.
	GatewayName = "upkeep.lab"
	RepoName    = "repo.lab"

	maxServers = 250
)

// Base is what all servers of a lab have from the start. It is made once and
// shared, so that ten servers cost little more than one.
type Base struct {
	Debian   []string          // names of Debian's own packages, installed into a root that is kept for this list
	Answers  []string          // to what those would ask, in the words of debconf-set-selections
	Packages []Package         // published in Repo.Main and installed
	Programs map[string]string // path on the server → file on the machine

	// Systemd is PID 1 instead of the lab's own, and Boot waits for it.
	// SetService and ServiceLog are without effect there. Debian must name it.
	Systemd bool
}

// Lab is a network with servers, an apt repository and nothing else on it.
type Lab struct {
	Servers []*Server
	Repo    *Repo

	dir    string // mounts and files of this lab, removed with it
	ns     *os.File
	groups string          // where servers with systemd have their control groups; empty without them
	ctx    context.Context // ends with the lab
	cancel context.CancelFunc
	undo   []func() error // last first
}

// New makes a lab of n servers, which are off. It ends with the test.
func New(t testing.TB, n int, base Base) *Lab {
	t.Helper()
	if n < 1 || n > maxServers {
		t.Fatalf("lab: %d servers, want 1 to %d", n, maxServers)
	}
	l := &Lab{}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() {
		if t.Failed() {
			l.logAll(t)
		}
		if err := l.close(); err != nil {
			t.Errorf("lab: end: %v", err)
		}
	})
	if err := l.make(n, base); err != nil {
		t.Fatalf("lab: %v", err)
	}
	return l
}

// Boot boots all servers, and returns when all are up.
func (l *Lab) Boot(t testing.TB) {
	t.Helper()
	if err := each(l.Servers, (*Server).Boot); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// Command is exec.CommandContext for a program that runs in the lab's network,
// at Gateway. It is killed, at the latest, when the lab ends.
func (l *Lab) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(l.ctx, cancel)
	// nsenter becomes the program: pid and signals are the program's own.
	enter := fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), l.ns.Fd())
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{enter, "--", name}, args...)...)
	// The signal comes when the starting thread ends. Go keeps its threads but
	// for those that a goroutine locked and left; the lab never does that.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// DialContext connects from Gateway. Addresses must be literal: names would be
// asked for in the machine's network.
func (l *Lab) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("dial in the lab: %w", err)
	}
	err = inNetNS(l.ns, func() error {
		// One literal address is dialled by the calling goroutine itself, so
		// the socket is made on this thread.
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	if err != nil && conn != nil {
		conn.Close()
		conn = nil
	}
	return conn, err
}

// HTTPClient returns a client that talks from Gateway.
func (l *Lab) HTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: l.DialContext}}
}

// Listen listens in the lab's network, such as on Gateway + ":8443". The test
// closes it.
func (l *Lab) Listen(address string) (listener net.Listener, err error) {
	err = inNetNS(l.ns, func() error {
		listener, err = net.Listen("tcp", address)
		return err
	})
	return listener, err
}

func (l *Lab) make(n int, base Base) error {
	root, err := debianRoot(base.Debian, base.Answers)
	if err != nil {
		return err
	}
	initProgram, err := cachedInit()
	if err != nil {
		return err
	}
	if err := l.makeDir(); err != nil {
		return err
	}
	if err := l.makeNetwork(); err != nil {
		return err
	}
	if base.Systemd {
		if err := l.makeGroups(); err != nil {
			return err
		}
	}
	if err := l.startRepo(base.Packages); err != nil {
		return err
	}
	layer, err := l.makeLayer(root, initProgram, n, base)
	if err != nil {
		return fmt.Errorf("prepare the servers: %w", err)
	}
	for i := range n {
		s, err := l.newServer(fmt.Sprintf("s%d", i+1), layer+":"+root, initProgram)
		if err != nil {
			return err
		}
		l.Servers = append(l.Servers, s)
	}
	return l.connect()
}

// makeDir removes what killed labs left behind and makes this one's folder.
// Its lock says that the lab lives; the lock of the parent keeps a cleaner from
// meeting a folder that is not locked yet.
func (l *Lab) makeDir() error {
	labs, err := cacheDir("labs")
	if err != nil {
		return err
	}
	unlock, err := lockFile(filepath.Join(labs, ".lock"), unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	if err := sweep(labs); err != nil {
		return fmt.Errorf("remove an earlier lab: %w", err)
	}
	dir, err := os.MkdirTemp(labs, "lab-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	free, err := lockFile(filepath.Join(dir, "lock"), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return err
	}
	l.dir = dir
	l.undo = append(l.undo, func() error {
		defer free()
		return remove(dir)
	})
	return nil
}

func (l *Lab) makeNetwork() error {
	ns, err := newNetNS()
	if err != nil {
		return err
	}
	l.ns = ns
	l.undo = append(l.undo, ns.Close)
	return ip(ns, nil,
		"link set lo up",
		"link add br0 type bridge forward_delay 0",
		"addr add "+Gateway+"/16 dev br0",
		"link set br0 up",
	)
}

// connect puts a cable between every server and the bridge.
func (l *Lab) connect() error {
	var lines []string
	var peers []*os.File
	for i, s := range l.Servers {
		s.Addr = netip.AddrFrom4([4]byte{10, 77, 1, byte(i + 1)})
		peers = append(peers, s.ns)
		lines = append(lines,
			fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/self/fd/%d", s.Name, 3+i),
			fmt.Sprintf("link set %s master br0 up", s.Name))
	}
	if err := ip(l.ns, peers, lines...); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return each(l.Servers, func(s *Server) error {
		return ip(s.ns, nil, "link set lo up", "addr add "+s.Addr.String()+"/16 dev eth0", "link set eth0 up")
	})
}

// close ends everything, the newest first, and keeps going at errors.
func (l *Lab) close() error {
	l.cancel()
	for _, s := range l.Servers {
		s.Kill()
	}
	var errs []error
	for len(l.undo) > 0 {
		last := len(l.undo) - 1
		errs = append(errs, l.undo[last]())
		l.undo = l.undo[:last]
	}
	return errors.Join(errs...)
}

// each does f for all servers at once.
func each(servers []*Server, f func(*Server) error) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			if err := f(s); err != nil {
				errs[i] = fmt.Errorf("%s: %w", s.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
