//go:build linux && e2e

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withSystemd has the packages of the tests of internal/agent/host, so that one
// root is made for both.
var withSystemd = Base{Debian: []string{"ansible-core", "openssh-server", "openssh-client", "podman", "crun", "systemd", "dbus", "docker.io"}, Systemd: true}

// TestSystemd boots servers with systemd as PID 1: units are started, a reboot
// asked for by it is one, it can't write to the machine's kernel, and nothing
// of it is left.
func TestSystemd(t *testing.T) {
	t.Parallel()
	var groups string
	t.Run("servers", func(t *testing.T) {
		l := New(t, 2, withSystemd)
		l.Boot(t)
		groups = l.groups
		s := l.Servers[1]
		first, err := s.ReadFile("/proc/sys/kernel/random/boot_id")
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Exec("systemctl", "show", "--value", "-p", "SystemState", "-p", "Virtualization")
		if err != nil || !strings.Contains(out, "container-other") {
			t.Errorf("%v: %s", err, out)
		}
		out, err = s.Exec("systemctl", "is-active", "ssh.service")
		if err != nil || out != "active\n" {
			t.Errorf("%v: %s", err, out)
		}
		for _, name := range []string{"/proc/sys/kernel/core_pattern", "/sys/kernel/mm/ksm/run"} {
			if out, err := s.Exec("sh", "-c", ": >>"+name); err == nil || !strings.Contains(out, "Read-only") {
				t.Errorf("%s: %v: %s", name, err, out)
			}
		}
		if _, err := s.Exec("systemctl", "reboot"); err != nil {
			t.Error(err)
		}
		if err := s.WaitBoot(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if err := s.waitSystemd(t.Context()); err != nil {
			t.Error(err)
		}
		if second, err := s.ReadFile("/proc/sys/kernel/random/boot_id"); err != nil || string(second) == string(first) {
			t.Errorf("the same boot: %v", err)
		}
	})
	noGroups(t, groups)
}

// noGroups looks where the machine itself has its control groups.
func noGroups(t *testing.T, group string) {
	t.Helper()
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(dir, filepath.Base(group))); !os.IsNotExist(err) {
			t.Errorf("%s in %s: %v", group, dir, err)
		}
	}
}
