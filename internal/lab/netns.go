//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// homeNS is the network namespace that this process was started in. It is
// opened before any thread leaves it.
var homeNS = sync.OnceValues(openThreadNS)

func openThreadNS() (*os.File, error) {
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	return ns, nil
}

func join(ns *os.File) error {
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("join network namespace: %w", err)
	}
	return nil
}

// inNetNS runs f on a thread that is in ns meanwhile. Sockets that f opens
// belong to ns for good, whichever thread uses them.
func inNetNS(ns *os.File, f func() error) error {
	home, err := homeNS()
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := join(ns)
		if err == nil {
			err = f()
		}
		// A thread that dies takes along the processes it started (see
		// spawner), so it is sent home rather than dropped.
		if back := join(home); back == nil {
			runtime.UnlockOSThread()
		} else if err == nil {
			err = back
		}
		result <- err
	}()
	return <-result
}

// newNetNS makes a network namespace that lives as long as its file is open or
// a process is in it.
func newNetNS() (*os.File, error) {
	home, err := homeNS()
	if err != nil {
		return nil, err
	}
	var ns *os.File
	err = inNetNS(home, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		ns, err = openThreadNS()
		return err
	})
	return ns, err
}

// spawner runs functions on one thread that lives as long as this process. The
// kernel sends a parent-death signal when the starting *thread* ends, and Go
// ends threads as it likes; on this one the signal means what we want.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// startIn starts cmd in ns, to be killed when this process ends.
func startIn(ns *os.File, cmd *exec.Cmd) error {
	home, err := homeNS()
	if err != nil {
		return err
	}
	result := make(chan error, 1)
	spawner() <- func() {
		err := join(ns)
		if err == nil {
			err = cmd.Start()
		}
		if back := join(home); err == nil {
			err = back
		}
		result <- err
	}
	return <-result
}

// ip runs lines of ip(8) in ns. peers can be named in them as /proc/self/fd/3
// and following.
func ip(ns *os.File, peers []*os.File, lines ...string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	cmd.ExtraFiles = peers
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := startIn(ns, cmd); err != nil {
		return fmt.Errorf("start ip: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}
