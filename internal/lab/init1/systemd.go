//go:build linux

package main

import (
	"fmt"
	"runtime"
	"syscall"
)

// The signal that ends a server with its lab is this first thread's, and so would
// be lost if another one became systemd.
func init() { runtime.LockOSThread() }

// become makes PID 1 a systemd of this server's own, as a container's host
// does: the control group that it is in becomes the root of those it sees, and
// what is the machine's kernel's it can read and not write.
func become(argv []string) error {
	if err := syscall.Unshare(syscall.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make a namespace for control groups: %w", err)
	}
	const bind, readOnly = syscall.MS_BIND, syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY
	mounts := []struct {
		what, at, kind string
		flags          uintptr
	}{
		{"sysfs", "/sys", "sysfs", syscall.MS_RDONLY},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", 0},
		{"/proc/sys", "/proc/sys", "", bind | syscall.MS_REC}, // with the server's boot id, which lies over the machine's
		{"", "/proc/sys", "", readOnly},
		{"/proc/sysrq-trigger", "/proc/sysrq-trigger", "", bind},
		{"", "/proc/sysrq-trigger", "", readOnly},
	}
	for _, m := range mounts {
		err := syscall.Mount(m.what, m.at, m.kind, m.flags, "")
		if err == syscall.ENOENT && m.at == "/proc/sysrq-trigger" {
			continue // not every kernel has it
		}
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	env := []string{path, "container=lab"}
	if err := syscall.Exec(argv[0], argv, env); err != nil {
		return fmt.Errorf("become %s: %w", argv[0], err)
	}
	return nil
}
