//go:build linux

// Package postgrestest gives tests a real PostgreSQL: a throw-away cluster per
// test binary, and an empty database per test.
//
// A package that uses it says so in its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
//
// The cluster starts with the first database that is asked for and ends with
// the test binary, however that ends.
package postgrestest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// shared is the cluster of this test binary.
var shared struct {
	once    sync.Once
	armed   atomic.Bool // Main is there to stop it
	cluster *cluster
	err     error
	names   atomic.Int64
}

// Main runs the tests and then stops the cluster, if one was started.
func Main(m *testing.M) int {
	shared.armed.Store(true)
	code := m.Run()
	if shared.cluster != nil {
		shared.cluster.stop()
	}
	return code
}

// URL names an empty database, which is dropped when the test ends.
func URL(t testing.TB) string {
	t.Helper()
	if !shared.armed.Load() {
		t.Fatal("postgrestest.URL needs func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) } in its package")
	}
	shared.once.Do(func() { shared.cluster, shared.err = start() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	c := shared.cluster
	name := fmt.Sprintf("test%d", shared.names.Add(1))
	if err := c.admin("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.admin("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return c.url(name)
}

// cluster is a running PostgreSQL that listens on a socket in its own directory.
type cluster struct {
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

const superuser = "upkeep"

func (c *cluster) url(name string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s", superuser, name, c.dir)
}

func (c *cluster) admin(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// start makes a cluster and waits until it accepts connections.
func start() (*cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	// Not below a long TMPDIR: a socket's path has 107 bytes at most.
	dir, err := os.MkdirTemp("/tmp", "upkeep-postgres-")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, done: make(chan struct{})}
	as, err := unprivileged(dir)
	if err == nil {
		err = c.initialise(bin, as)
	}
	if err == nil {
		err = c.launch(bin, as)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return c, nil
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// initialise makes the cluster's files. It sorts as people do, where it can, so
// that what must be sorted byte by byte has to say so.
func (c *cluster) initialise(bin string, as *syscall.Credential) error {
	var out []byte
	var err error
	for _, locale := range [][]string{{"--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8"}, {"--locale=C"}} {
		if err := os.RemoveAll(c.data()); err != nil {
			return err
		}
		cmd := exec.Command(filepath.Join(bin, "initdb"), append([]string{"-D", c.data(), "-U", superuser,
			"-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"}, locale...)...)
		cmd.Dir = c.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		if out, err = cmd.CombinedOutput(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("initdb: %w\n%s", err, out)
}

// launch starts the server and waits until it says that it is ready.
func (c *cluster) launch(bin string, as *syscall.Credential) error {
	sync := "off"
	if os.Getenv("UPKEEP_TEST_FSYNC") != "" { // for measuring
		sync = "on"
	}
	c.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", c.data(), "-k", c.dir)
	for _, setting := range []string{
		"listen_addresses=", "max_connections=300", "shared_buffers=64MB",
		"fsync=" + sync, "full_page_writes=" + sync, "log_min_messages=log", "logging_collector=off",
	} {
		c.cmd.Args = append(c.cmd.Args, "-c", setting)
	}
	c.cmd.Dir = c.dir
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGQUIT}
	log, err := c.cmd.StderrPipe()
	if err != nil {
		return err
	}
	ready := make(chan error, 1)
	go func() {
		defer close(c.done)
		// The signal at the parent's death comes when the thread dies that
		// started the child: so it stays with this goroutine.
		runtime.LockOSThread()
		if err := c.cmd.Start(); err != nil {
			ready <- err
			return
		}
		said, waiting := "", true
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if said += lines.Text() + "\n"; waiting && strings.Contains(said, "ready to accept connections") {
				ready <- nil
				waiting = false
			}
		}
		_ = c.cmd.Wait()
		if waiting {
			ready <- fmt.Errorf("postgres does not start:\n%s", said)
		}
	}()
	return <-ready
}

// stop ends the cluster at once and removes its files. Nobody needs them.
func (c *cluster) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGQUIT)
	<-c.done
	if err := os.RemoveAll(c.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// binaries is where PostgreSQL's programs are: where PATH finds initdb, or the
// newest of Debian's, which keeps them elsewhere.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("these tests need a real PostgreSQL and there is no initdb in PATH or /usr/lib/postgresql: install the package postgresql (Debian: apt-get install postgresql)")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// unprivileged is who PostgreSQL runs as where the tests run as root, which it
// refuses; dir becomes theirs.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: run the tests as another user")
}
