//go:build linux && e2e

package host_test

import (
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/lab"
)

const containersFile = `containers: {engine: podman, names: [web, deaf, broken, missing]}
`

// TestContainer lets an agent restart, stop and start containers of a real
// podman, under a real systemd.
func TestContainer(t *testing.T) {
	r, _ := newReal(t, 1, containersFile)
	do := func(name, what string, pairs ...string) action.Order {
		return r.order(action.Container, append(pairs, "container", name, "do", what)...)
	}
	makeContainers(t, r.Server)
	r.carryOut(do("web", "start"), action.Done)
	r.carryOut(do("deaf", "start"), action.Done)
	state := func(name, format string) string {
		t.Helper()
		return strings.TrimSpace(must(t, r.Server, "podman", "inspect", "--format", "{{.State."+format+"}}", name))
	}
	is := func(name, format, want string) {
		t.Helper()
		if got := state(name, format); got != want {
			t.Errorf("%s: %s is %q, want %q", name, format, got, want)
		}
	}

	first := state("web", "Pid")
	r.carryOut(do("web", "restart", "wait", "20s"), action.Done)
	if state("web", "Pid") == first {
		t.Error("it was not restarted")
	}
	r.carryOut(do("web", "stop"), action.Done)
	is("web", "Status", "exited")
	r.carryOut(do("web", "stop"), action.Done)
	r.carryOut(do("web", "start"), action.Done)
	is("web", "Status", "running")
	first = state("web", "Pid")
	r.carryOut(do("web", "start"), action.Done)
	is("web", "Pid", first)
	for _, what := range []string{"restart", "stop", "start"} {
		r.carryOut(do("missing", what), action.Failed, "the "+what+" of the container", `"missing"`, "no such container")
	}
	r.carryOut(do("broken", "restart"), action.Failed, "/nothing", "No such file or directory")

	// What does not listen is killed when its time is over.
	killed := r.carryOut(do("deaf", "stop", "wait", "1s"), action.Done)
	if is("deaf", "ExitCode", "137"); !strings.Contains(killed.Output, "SIGKILL") {
		t.Errorf("nobody is told that it was killed: %s", killed.Output)
	}
	r.carryOut(do("deaf", "start"), action.Done)
	said := func(words string) int { return strings.Count(must(t, r.Server, "podman", "logs", "deaf"), words) }
	ups, asked := said("up"), said("did not hear")
	again := do("deaf", "restart", "wait", "3s")
	a := r.killed(again, func() bool { return said("did not hear") > asked }, func() {})
	r.expect(again, a, action.Done)
	if n := said("up") - ups; n != 1 {
		t.Errorf("it was restarted %d times", n)
	}

	tooLong := do("deaf", "restart", "wait", "20s")
	tooLong.Timeout = time.Second
	r.carryOut(tooLong, action.Failed, "was stopped after 1s", "still be under way")
}

// makeContainers makes an image from one static program, and the containers.
// They have no control groups of their own: to limit its devices a container's
// process needs a right (CAP_SYS_RESOURCE) that a test need not have.
func makeContainers(t *testing.T, s *lab.Server) {
	t.Helper()
	must(t, s, "mkdir", "-p", "/var/lib/containers")
	must(t, s, "mount", "-t", "tmpfs", "containers", "/var/lib/containers") // an overlay can't be on another
	must(t, s, "sh", "-c", "tar -C /usr/local/bin -c service | podman import --change 'ENTRYPOINT [\"/service\"]' - localhost/service")
	create := func(name string, args ...string) {
		must(t, s, append([]string{"podman", "create", "--network=host", "--cgroups=disabled", "--name", name}, args...)...)
	}
	create("web", "localhost/service")
	create("deaf", "localhost/service", "deaf")
	create("broken", "--entrypoint", "/nothing", "localhost/service")
}
