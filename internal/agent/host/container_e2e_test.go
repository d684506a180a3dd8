//go:build linux && e2e

package host_test

import (
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
)

// engine is a real one, on a server of the lab.
type engine struct {
	*real
	name string
}

// TestContainer lets an agent restart, stop and start containers of a real
// docker and a real podman.
func TestContainer(t *testing.T) {
	t.Parallel()
	r, _ := newReal(t, 1, "")
	must(t, r.Server, "mkdir", "-p", "/var/lib/containers")
	must(t, r.Server, "mount", "-t", "tmpfs", "containers", "/var/lib/containers") // an overlay can't be on another
	for _, c := range []struct{ engine, missing, broken, killed string }{
		{"docker", "No such container: missing", "no such file or directory", ""},
		{"podman", `no container with name or ID "missing" found`, "No such file or directory", "resorting to SIGKILL"},
	} {
		t.Run(c.engine, func(t *testing.T) {
			here := &real{T: t, Server: r.Server, orders: r.orders}
			defer func() { r.orders = here.orders }()
			e := &engine{here, c.engine}
			write(t, e.Server, ownersFile, "containers: {engine: "+c.engine+", names: [web, deaf, broken, missing]}\n", 0o644)
			e.create()
			e.restarts()
			for _, what := range []string{"restart", "stop", "start"} {
				e.carryOut(e.order(what, "missing"), action.Failed, "the "+what+" of the container", c.missing)
			}
			e.carryOut(e.order("restart", "broken"), action.Failed, "/nothing", c.broken)
			e.isDeaf(c.killed)
		})
	}
}

func (e *engine) order(do, name string, pairs ...string) action.Order {
	return e.real.order(action.Container, append(pairs, "container", name, "do", do)...)
}

// create makes an image from one static program, and the containers.
func (e *engine) create() {
	e.Helper()
	must(e.T, e.Server, "sh", "-c", "tar -C /usr/local/bin -c service | "+e.name+" import --change 'ENTRYPOINT [\"/service\"]' - localhost/service")
	create := []string{e.name, "create", "--network=host"}
	if e.name == "podman" {
		// To limit its devices, crun needs a right (CAP_SYS_RESOURCE) that a
		// machine need not give; runc, which docker has, does without.
		create = append(create, "--cgroups=disabled")
	}
	for _, args := range [][]string{
		{"--name", "web", "localhost/service"},
		{"--name", "deaf", "localhost/service", "deaf"},
		{"--name", "broken", "--entrypoint", "/nothing", "localhost/service"},
	} {
		must(e.T, e.Server, append(create, args...)...)
	}
}

// is looks whether a container is in a state, and returns it.
func (e *engine) is(name, field, want string) string {
	e.Helper()
	got := strings.TrimSpace(must(e.T, e.Server, e.name, "inspect", "--format", "{{.State."+field+"}}", name))
	if want != "" && got != want {
		e.Errorf("%s: %s is %q, want %q", name, field, got, want)
	}
	return got
}

// restarts is about a container that does what it is told.
func (e *engine) restarts() {
	e.Helper()
	e.carryOut(e.order("start", "web"), action.Done)
	first := e.is("web", "Pid", "")
	e.carryOut(e.order("restart", "web", "wait", "20s"), action.Done)
	if e.is("web", "Pid", "") == first {
		e.Error("it was not restarted")
	}
	e.carryOut(e.order("stop", "web"), action.Done)
	e.is("web", "Status", "exited")
	e.carryOut(e.order("stop", "web"), action.Done)
	e.carryOut(e.order("start", "web"), action.Done)
	e.is("web", "Status", "running")
	first = e.is("web", "Pid", "")
	e.carryOut(e.order("start", "web"), action.Done)
	e.is("web", "Pid", first)
}

// isDeaf is about a container that does not stop when it is asked to: it is
// killed when its time is over, also if the agent is killed meanwhile.
func (e *engine) isDeaf(told string) {
	e.Helper()
	e.carryOut(e.order("start", "deaf"), action.Done)
	killed := e.carryOut(e.order("stop", "deaf", "wait", "1s"), action.Done)
	if e.is("deaf", "ExitCode", "137"); !strings.Contains(killed.Output, told) {
		e.Errorf("nobody is told that it was killed: %s", killed.Output)
	}
	e.carryOut(e.order("start", "deaf"), action.Done)
	// What it has said is in the engine's log a moment later.
	said := func(ups, asked int) func() bool {
		return func() bool {
			log := must(e.T, e.Server, e.name, "logs", "deaf")
			return strings.Count(log, "up") == ups && strings.Count(log, "did not hear") == asked
		}
	}
	e.until("it to be up for the second time", said(2, 1))
	again := e.order("restart", "deaf", "wait", "3s")
	a := e.killed(again, said(2, 2), func() {})
	e.expect(again, a, action.Done)
	e.until("it to be up for the third time, and no fourth", said(3, 2))

	tooLong := e.order("restart", "deaf", "wait", "20s")
	tooLong.Timeout = time.Second
	e.carryOut(tooLong, action.Failed, "was stopped after 1s", "still be under way")
}
