package start

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/host"
	"upkeep/internal/demo"
	"upkeep/internal/desk"
	"upkeep/internal/evidence"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/plan"
	"upkeep/internal/runbook"
)

const (
	serviceName    = "api"
	bookName       = "rolling-restart"
	restartCommand = "restart-replica"

	settleTime = 2 * time.Second  // after a change, until what the others say counts
	readyEvery = time.Second / 4  // how often it is looked whether all is up at the start
	rollTime   = 10 * time.Minute // that the roll has; it takes less than one
	stopTime   = 10 * time.Second // for what is under way when the demo ends
)

// rollService starts the demo's service with an agent for each of its hosts,
// restarts it replica after replica, and tells what happens.
func (d *stage) rollService(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	defer d.settle(ctx) // last of all: the agents' commands end with the service
	parts, err := demo.Start(ctx, demo.Config{Program: program, Dir: d.dir, Pace: demo.DefaultPace()})
	if err != nil {
		return err
	}
	defer parts.Close()
	var agents []*agent.Agent
	for _, name := range demo.Names {
		h, err := d.enrol(ctx, name, "host of a replica")
		if err != nil {
			return err
		}
		defer h.door.Close()
		a, err := h.replicaAgent(program, parts)
		if err != nil {
			return err
		}
		agents = append(agents, a)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, a := range agents {
		g.Go(func() error { return a.Run(ctx) })
	}
	g.Go(func() error { return d.roll(ctx, parts) })
	return g.Wait()
}

// replicaAgent is the agent of a replica's host. The owner of that host lets it
// do one thing: restart the replica.
func (h demoHost) replicaAgent(program string, parts *demo.Service) (*agent.Agent, error) {
	owned := agent.Owned{Commands: map[string]agent.Command{
		restartCommand: {Run: []string{program, "demo", "restart", "--socket", parts.Socket(), h.target.Name}},
	}}
	hands, err := host.New(host.Config{Dir: h.dir, Owned: owned, AllowFile: "the demo", Log: h.stage.log},
		func(*host.Machine) (host.Manager, error) { return noPackages{}, nil })
	if err != nil {
		return nil, err
	}
	return h.agent(playedHost{hands}, agent.Allow{Kinds: []action.Kind{action.Command}, Owned: owned})
}

// roll makes the service and its runbook known, rolls it when all is up, and
// tells of this roll and of those that others begin.
func (d *stage) roll(ctx context.Context, parts *demo.Service) error {
	plane := d.server.Desk()
	if _, _, err := plane.PutRunbook(ctx, demoUser, "", restartBook()); err != nil {
		return err
	}
	t, _, err := plane.PutService(ctx, demoUser, desk.ServiceSpec{Name: serviceName, Service: serviceOf(parts)})
	if err != nil {
		return err
	}
	if err := d.whenUp(ctx, parts); err != nil {
		return err
	}
	d.say(`Service %s: three replicas behind a small proxy at %s/
It is asked %d times a second while it is restarted, one replica after the other. See it at

    http://%s/services/%s
`, serviceName, parts.URL(), askedPerSecond, d.server.Address(), serviceName)
	_, err = plane.StartBook(ctx, demoUser, desk.BookSpec{Service: t.ID, Runbook: bookName, Duration: rollTime, Reason: "the demo"})
	if err != nil {
		return err
	}
	tips := 0
	return d.follow(ctx, desk.HistoryFilter{Service: t.ID}, func(f history.Fact) error {
		text, err := d.words(ctx, f)
		if err != nil || text == "" {
			return err
		}
		d.tell(f, serviceName, text)
		if f.Kind != history.RunEnded && f.Kind != history.RunHalted {
			return nil
		}
		if err := d.evidence(ctx, f.Run); err != nil {
			return err
		}
		if tips++; tips == 1 {
			token, _ := d.server.TokenFile()
			d.say(again, d.server.Address(), token, serviceName, bookName, serviceName)
		}
		return nil
	})
}

// again says how a person goes on.
const again = `That was the service. Roll it again, or see more of what was seen, in another terminal:

    export UPKEEP_SERVER=http://%s UPKEEP_TOKEN_FILE=%s
    upkeep roll %s %s --duration 10m --watch
    upkeep evidence %s
`

// evidence tells what the service's users saw while each replica was out.
func (d *stage) evidence(ctx context.Context, run string) error {
	e, err := d.server.Desk().Evidence(ctx, demoUser, run, 1)
	if err != nil {
		return err
	}
	lines := []string{"", "    OUT     FOR   REQUESTS  UNANSWERED  99% WITHIN"}
	line := func(whom string, length time.Duration, s evidence.Second) {
		lines = append(lines, fmt.Sprintf("    %-6s  %-4s  %8d  %10d  %10s", whom, length.Round(time.Second), s.Sent(), s.Bad(), s.P99.Round(time.Millisecond)))
	}
	line("nobody", e.Report.Before.Span, e.Report.Before)
	for _, out := range e.Report.Shares {
		if out.To.IsZero() { // it is still out
			out.To = time.Now()
		}
		line(out.Member, out.To.Sub(out.From), out.Sum)
	}
	if e.Report.Sum.Bad() > 0 {
		lines = append(lines, "    the last that was not answered well: "+e.Report.Sum.Why)
	}
	d.say("%s\n", strings.Join(lines, "\n"))
	return nil
}

// whenUp waits until the service answers and its hosts have been looked at.
func (d *stage) whenUp(ctx context.Context, parts *demo.Service) error {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	asker := &http.Client{Timeout: time.Second}
	for {
		up := demo.Healthy(ctx, asker, parts.URL())
		for _, name := range demo.Names {
			up = up && demo.Healthy(ctx, asker, parts.Member(name)+demo.HealthPath)
			s, err := d.server.Desk().Server(ctx, demoUser, "", name)
			if err != nil {
				return err
			}
			up = up && s.Target.Observed != nil
		}
		if up {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// words makes a short line of a fact of the service; empty if there is none.
// What went wrong is told whole.
func (d *stage) words(ctx context.Context, f history.Fact) (string, error) {
	if f.Run == "" || f.Kind != history.StepStarted && f.Kind != history.StepEnded || f.Step == "" {
		return f.Text, nil
	}
	r, err := d.server.Desk().Run(ctx, demoUser, f.Run)
	if err != nil {
		return "", err
	}
	s, _ := r.Plan.Step(f.Step)
	done := strings.Contains(f.Text, " done in ")
	switch {
	case f.Kind == history.StepStarted && s.Phase == plan.PhaseDo:
		return s.Member + " restarting", nil
	case f.Kind == history.StepStarted:
		return "", nil
	case done && s.Phase == plan.PhaseDrain:
		return s.Member + " drained: it gets no new requests", nil
	case done && s.Phase == plan.PhaseAwait:
		return s.Member + " ready again", nil
	case done:
		return "", nil
	}
	return f.Text, nil
}

// askedPerSecond is how often the service is asked what its users would ask.
const askedPerSecond = 20

func serviceOf(parts *demo.Service) fleet.Service {
	s := fleet.Service{
		Quorum:  len(demo.Names) - 1,
		With:    map[string]string{"backend": demo.Backend},
		Proxies: []fleet.Proxy{{Name: "proxy", With: map[string]string{"socket": parts.Admin()}}},
		Probe: fleet.Probe{
			Endpoints: []fleet.Endpoint{{Name: "front", URL: parts.URL() + "/"}},
			Rate:      askedPerSecond, Slow: time.Second, Timeout: 10 * time.Second,
		},
	}
	for _, name := range demo.Names {
		s.Members = append(s.Members, fleet.Member{Name: name, Server: name, With: map[string]string{"url": parts.Member(name)}})
	}
	return s
}

// restartBook is runbooks/api-extension-restart.yaml, but that what the others
// and the proxy say counts sooner: the proxy asks them four times a second.
func restartBook() runbook.Book {
	health := map[string]string{"url": "{{member.url}}" + demo.HealthPath, "times": "2", "every": "200ms", "wait": "30s"}
	drain := map[string]string{
		"proxy": "{{proxy.socket}}", "backend": "{{service.backend}}", "server": "{{member.name}}", "state": "drain",
		"sessions": "0", "min": fmt.Sprint(len(demo.Names) - 1),
	}
	others := map[string]string{"proxy": drain["proxy"], "backend": drain["backend"], "server": drain["server"]}
	ready := map[string]string{"proxy": drain["proxy"], "backend": drain["backend"], "server": drain["server"], "state": "ready"}
	return runbook.Book{
		Name:        bookName,
		Title:       "Restart the replicas one after the other",
		Description: "No new requests for one replica, then its restart, then two good answers of its own health check, then requests again.",
		Budget:      time.Minute,
		ErrorBudget: runbook.ErrorBudget{Unanswered: "2%"},
		Prove: []runbook.Check{{
			Step:   runbook.Step{Name: "others-answer", Kind: action.HTTP, On: runbook.Others, With: health, Estimate: time.Second},
			Settle: settleTime,
		}, {
			Step:   runbook.Step{Name: "others-serve", Kind: action.Serving, On: runbook.Proxies, With: others, Estimate: time.Second},
			Settle: settleTime,
		}},
		Before: []runbook.Step{{Name: "all-answer", Kind: action.HTTP, On: runbook.All, With: health, Estimate: time.Second}},
		Member: runbook.Member{
			Drain: []runbook.Step{{Name: "drain", Kind: action.Balance, On: runbook.Proxies, With: drain, Estimate: time.Second}},
			Do:    []runbook.Step{{Name: "restart", Kind: action.Command, On: runbook.Self, Command: restartCommand, Estimate: 2 * time.Second}},
			Await: []runbook.Step{{Name: "alive", Kind: action.HTTP, With: health, Estimate: 2 * time.Second}},
			Ready: []runbook.Step{{Name: "ready", Kind: action.Balance, On: runbook.Proxies, With: ready, Estimate: time.Second}},
		},
	}
}
