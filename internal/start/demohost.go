package start

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/host"
	"upkeep/internal/agent/process"
	"upkeep/internal/desk"
	"upkeep/internal/fleet"
)

// demoHost is a host of the demo, enrolled.
type demoHost struct {
	stage  *stage
	dir    string
	target fleet.Target
	who    agent.Identity
	door   *agent.Line
}

// enrol makes a server known and enrols an agent for it. The caller closes its door.
func (d *stage) enrol(ctx context.Context, name, what string) (h demoHost, err error) {
	h = demoHost{stage: d, dir: filepath.Join(d.dir, "agents", name)}
	h.target, _, err = d.server.Desk().PutServer(ctx, demoUser, desk.ServerSpec{Name: name, Labels: map[string]string{"demo": what}})
	if err != nil {
		return h, err
	}
	e, err := d.server.Desk().Enrol(ctx, demoUser, "", h.target.ID)
	if err != nil {
		return h, err
	}
	ca, err := os.ReadFile(d.server.CAFile())
	if err != nil {
		return h, err
	}
	url := "https://" + d.server.Address()
	if h.who, err = agent.Enrol(ctx, h.dir, url, e.Secret, agent.Trust{CA: ca}, d.version); err != nil {
		return h, err
	}
	h.door, err = agent.Dial(h.dir, url)
	return h, err
}

func (h demoHost) agent(hands agent.Hands, allow agent.Allow) (*agent.Agent, error) {
	return agent.New(agent.Config{
		Dir: h.dir, Target: h.who.Target, After: h.who.After, Hands: hands, Door: h.door, Allow: allow,
		Version: h.stage.version, Log: h.stage.log,
	})
}

// settle waits until the commands have ended that the agents have left under
// way: they still write into the demo's folder.
func (d *stage) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	commands, err := filepath.Glob(filepath.Join(d.dir, "agents", "*", "orders", "*"))
	if err != nil {
		return // not possible: the pattern is a constant
	}
	for _, dir := range commands {
		if p, err := process.Open(dir); err == nil {
			_, _ = p.Wait(ctx, stopTime) // how it ended does not matter any more
		}
	}
}

// playedHost is a host that only plays one, and says so: its agent and its
// command are real, but it is this very machine.
type playedHost struct{ *host.Hands }

func (h playedHost) Look(ctx context.Context) (action.Observation, error) {
	obs, err := h.Hands.Look(ctx)
	obs.System, obs.Kernel = "played by the demo", ""
	return obs, err
}

// noPackages is the package manager of a host that only plays one: the demo has
// this very machine once already, with its real updates.
type noPackages struct{}

var errNoPackages = agent.Refuse("a host of the demo's service has no packages")

func (noPackages) Name() string { return "none" }

func (noPackages) Look(context.Context) (action.Observation, error) {
	return action.Observation{}, nil
}

func (noPackages) Valid(action.Package) bool { return false }

func (noPackages) Busy(action.Kind) string { return "" }

func (noPackages) Prepare(context.Context, action.Order) (json.RawMessage, error) {
	return nil, errNoPackages
}

func (noPackages) Command(action.Order, json.RawMessage) ([]string, error) {
	return nil, errNoPackages
}

func (noPackages) Finish(context.Context, action.Order, json.RawMessage, process.Exit, string) (host.Report, error) {
	return host.Report{}, errNoPackages
}

func (noPackages) Pretend(context.Context, action.Order, json.RawMessage) (argv []string, output string, err error) {
	return nil, "", errNoPackages
}
