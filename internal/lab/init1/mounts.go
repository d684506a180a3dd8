//go:build linux

package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"syscall"
)

// enterRoot pivots into root and lets go of the machine's own tree, so that
// nothing in the server sees it, and a server's death frees every mount.
func enterRoot(root string) error {
	// Mounts are shared with the machine by default under systemd: what is
	// mounted from here on must not appear there.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := syscall.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	return nil
}

// mountKernel mounts what a kernel and an early boot give: /proc, /dev, an
// empty /run, and a boot id of its own.
func mountKernel() error {
	syscall.Umask(0)
	defer syscall.Umask(0o022)
	mounts := []struct{ kind, at, data string }{
		{"proc", "/proc", ""},
		{"tmpfs", "/run", "mode=755"}, // as on metal: what says "reboot required" goes only by a reboot
		{"tmpfs", "/dev", "mode=755"},
		{"tmpfs", "/dev/shm", "mode=1777"},
		{"devpts", "/dev/pts", "newinstance,ptmxmode=0666,mode=620"},
	}
	for _, m := range mounts {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", m.at, err)
		}
		if err := syscall.Mount(m.kind, m.at, m.kind, 0, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := makeDevices(); err != nil {
		return err
	}
	for _, dir := range []string{"/run/lab", "/run/lock"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", dir, err)
		}
	}
	return newBootID()
}

func makeDevices() error {
	devices := []struct {
		name         string
		major, minor int
	}{
		{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
	}
	for _, d := range devices {
		if err := syscall.Mknod("/dev/"+d.name, syscall.S_IFCHR|0o666, d.major<<8|d.minor); err != nil {
			return fmt.Errorf("make /dev/%s: %w", d.name, err)
		}
	}
	links := map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd",
		"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	}
	for name, target := range links {
		if err := os.Symlink(target, "/dev/"+name); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	return nil
}

// newBootID covers the machine's boot id, which does not change when only a
// namespace is booted again.
func newBootID() error {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return fmt.Errorf("draw a boot id: %w", err)
	}
	id := fmt.Sprintf("%x-%x-%x-%x-%x\n", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	const own = "/run/lab/boot_id"
	if err := os.WriteFile(own, []byte(id), 0o444); err != nil {
		return fmt.Errorf("write boot id: %w", err)
	}
	if err := syscall.Mount(own, "/proc/sys/kernel/random/boot_id", "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("cover the boot id: %w", err)
	}
	return nil
}
