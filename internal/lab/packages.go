//go:build linux

package lab

import "fmt"

// Plain is a package that just installs.
func Plain(name, version string) Package {
	return Package{Name: name, Version: version}
}

// NeedsReboot is a package that asks for a reboot as a kernel or a libc does.
func NeedsReboot(name, version string) Package {
	return Package{Name: name, Version: version, Postinst: "echo '*** System restart required ***' >/run/reboot-required\n" +
		"echo " + name + " >>/run/reboot-required.pkgs"}
}

// Fails is a package that can't be configured: apt ends with 100 and leaves it
// half-configured. A later version without the fault repairs it.
func Fails(name, version string) Package {
	return Package{Name: name, Version: version, Postinst: "echo 'E: postinst of " + name + " fails' >&2\nexit 1"}
}

// Sleeps is a package that takes so many seconds to configure.
func Sleeps(name, version string, seconds float64) Package {
	return Package{Name: name, Version: version, Postinst: fmt.Sprintf("sleep %g", seconds)}
}

// Conffile is the file that a package of WithConffile owns.
func Conffile(name string) string { return "/etc/" + name + ".conf" }

// WithConffile is a package with a conffile that differs from version to
// version. On a server where it was edited, an upgrade asks what to do.
func WithConffile(name, version string) Package {
	return Package{Name: name, Version: version, Conffiles: map[string]string{
		Conffile(name): "# as of " + version + "\n",
	}}
}
