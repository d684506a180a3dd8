//go:build linux

// init1 is PID 1 of a lab server, and, by the name it is called with, what
// stands in for the programs that PID 1 is spoken to with:
//
//	lab-init   boots the root it is given, then keeps one service running, or
//	           becomes the systemd that it is told
//	reboot     asks PID 1 for a reboot, as /sbin/reboot does
//	shutdown   the same for "shutdown -r now"
//	lab-lock   holds the locks of dpkg until it is killed
//
// It is linked statically, for it starts outside the root that it boots.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// marker exists only inside a booted lab server. Without it nothing here sends
// a signal to PID 1: on a real machine that would be a real reboot.
const marker = "/run/lab/booted"

func main() {
	var err error
	switch name := filepath.Base(os.Args[0]); name {
	case "reboot":
		err = askForReboot()
	case "shutdown":
		err = shutdown(os.Args[1:])
	case "lab-lock":
		err = holdLocks()
	default:
		err = boot(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Args[0]+":", err)
		os.Exit(1)
	}
}

// boot makes root the root of this mount namespace and supervises until the
// server ends. It returns only if it could not boot.
func boot(args []string) error {
	if os.Getpid() != 1 {
		return errors.New("not PID 1 of a namespace")
	}
	if len(args) < 2 {
		return errors.New("usage: lab-init root hostname [systemd argument…]")
	}
	if err := enterRoot(args[0]); err != nil {
		return err
	}
	if err := mountKernel(); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(args[1])); err != nil {
		return fmt.Errorf("set hostname: %w", err)
	}
	if err := os.WriteFile(marker, nil, 0o644); err != nil {
		return fmt.Errorf("mark as booted: %w", err)
	}
	// Descriptor 3 is the lab's question "are you up?"; it must not be handed
	// on to the service, or the lab would never see its end.
	ready := os.NewFile(3, "ready")
	if _, err := io.WriteString(ready, "up\n"); err != nil {
		return fmt.Errorf("tell the lab: %w", err)
	}
	if err := ready.Close(); err != nil {
		return fmt.Errorf("tell the lab: %w", err)
	}
	if len(args) > 2 {
		return become(args[2:])
	}
	supervise()
	return nil
}

// askForReboot does what systemd's reboot does in the end: it signals PID 1.
func askForReboot() error {
	if _, err := os.Stat(marker); err != nil {
		return fmt.Errorf("this is no lab server: %w", err)
	}
	if err := syscall.Kill(1, syscall.SIGINT); err != nil {
		return fmt.Errorf("signal PID 1: %w", err)
	}
	return nil
}

func shutdown(args []string) error {
	if !slices.Contains(args, "-r") || slices.ContainsFunc(args, func(a string) bool {
		return a != "-r" && a != "now" && a != "+0"
	}) {
		return fmt.Errorf("a lab server knows only `shutdown -r now`, not %q", args)
	}
	return askForReboot()
}

// holdLocks takes the locks that apt and dpkg take, in their order, and keeps
// them until it is killed. They belong to a process inside the server, so that
// apt's message names it as it would a running apt.
func holdLocks() error {
	for _, path := range []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock"} {
		fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o640)
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		lock := syscall.Flock_t{Type: syscall.F_WRLCK}
		if err := syscall.FcntlFlock(uintptr(fd), syscall.F_SETLKW, &lock); err != nil {
			return fmt.Errorf("lock %s: %w", path, err)
		}
	}
	fmt.Println("locked")
	for { // never idle for good: a program of sleepers only is a deadlock to Go
		time.Sleep(time.Hour)
	}
}
