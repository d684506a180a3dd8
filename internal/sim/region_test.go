package sim

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"upkeep/client"
	"upkeep/internal/action"
)

// proxy is a stand-in for an HAProxy: it takes only what one would be told
// about the service of production, and lets somebody try to take the region
// while a member is out.
type proxy struct {
	t     *testing.T
	mu    sync.Mutex
	state string
	tried []error
	try   func() []error
}

func (p *proxy) Do(_ context.Context, o action.Order) action.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.With["proxy"] != "unix:/prod" || o.With["backend"] != "api" || o.With["server"] != "a" {
		p.t.Errorf("the proxy is told %v", o.With)
	}
	p.state = o.With["state"]
	if p.state == "drain" {
		p.tried = append(p.tried, p.try()...)
	}
	return action.Result{Outcome: action.Done}
}

// drains has production's part of the release take the member out at a proxy
// first, and claim a name besides.
func (c *landscape) drains() {
	c.t.Helper()
	ctx, ada := c.t.Context(), c.clients["ada"]
	b, err := ada.GetRunbook(ctx, "bring", &client.GetRunbookParams{})
	c.must(err)
	state := func(name string) []client.RunbookStep {
		return []client.RunbookStep{{Name: name, Kind: "balance", With: map[string]string{"proxy": "unix:/prod", "backend": "api", "server": "{{member.name}}", "state": name}}}
	}
	book := client.RunbookInput{Params: b.Params, Member: b.Member, Budget: "24h", Claims: []string{"database/api"}}
	book.Member.Drain, book.Member.Ready = state("drain"), state("ready")
	_, err = ada.PutRunbook(ctx, "drained", book, &client.PutRunbookParams{})
	c.must(err)
	train, err := ada.GetTrain(ctx, "cloud", &client.GetTrainParams{})
	c.must(err)
	prod := &train.Environments[2]
	prod.Phases = []client.TrainPhase{train.Phases[0]}
	prod.Phases[0].Runbook = "drained"
	_, err = ada.PutTrain(ctx, "cloud", client.TrainInput{Environments: train.Environments, Phases: train.Phases, Gates: train.Gates}, &client.PutTrainParams{})
	c.must(err)
}

// waits are the reasons for which the open run on a service waits.
func (c *landscape) waits(service string) (all []client.Wait) {
	c.t.Helper()
	runs, err := c.clients["ada"].ListRuns(c.t.Context(), &client.ListRunsParams{Service: service, Open: true})
	c.must(err)
	for _, r := range runs.Items {
		all = append(all, r.Waits...)
	}
	return all
}

// runWaits fails unless the rollout says of an environment why its run waits.
func (c *landscape) runWaits(env, code string, words ...string) {
	c.t.Helper()
	for _, w := range c.rollout().Waits {
		if w.Environment != env || w.Code != code {
			continue
		}
		for _, part := range words {
			if !strings.Contains(w.Text, part) {
				c.t.Errorf("%s waits: %q, want %q in it", env, w.Text, part)
			}
		}
		return
	}
	c.t.Errorf("of %s nothing is said of its run: %+v", env, c.rollout().Waits)
}

// Rule 8: a release's run in a region and who has claimed the region, or wants
// something within it, keep each other out, and each is told of the other. What
// its runbook claims it holds too.
func TestRolloutClaimsItsRegion(t *testing.T) {
	inLandscape(t, func(c *landscape) {
		ctx, eve := c.t.Context(), c.clients["eve"]
		claim := func(what string) (*client.HeldClaim, error) {
			return eve.Claim(ctx, client.ClaimInput{Claims: []string{what}, For: "20d", Reason: "the uplink is rebuilt"}, &client.ClaimParams{})
		}
		_, err := eve.PutService(ctx, "beside", client.ServiceInput{
			Members: []client.ServiceMember{{Name: "a"}}, Labels: map[string]string{"region": "prod"},
		}, &client.PutServiceParams{})
		c.must(err)
		c.edge.try = func() (errs []error) {
			for _, what := range []string{"region/prod", "service/beside", "database/api"} {
				_, err := claim(what)
				errs = append(errs, err)
			}
			return errs
		}
		c.drains()
		prod := c.at("prod", "waiting")
		_, err = c.clients["bob"].ApproveRollout(ctx, "cloud", client.RolloutApprovalInput{Environment: "prod", Plan: prod.Plan}, &client.ApproveRolloutParams{})
		c.must(err)
		held, err := claim("region/prod")
		c.must(err)
		c.later(8*24*time.Hour + 4*time.Hour) // it asks again every few seconds: no longer than needed
		c.brought("dev a", "stage a")
		if w := c.waits("api-prod"); len(w) == 0 || w[0].Code != "held" || w[0].By != "user/eve" || !strings.Contains(w[0].Words, "region/prod") || !strings.Contains(w[0].Words, "the uplink is rebuilt") {
			c.t.Errorf("in a region that is claimed it waits for %+v", w)
		}
		c.runWaits("prod", "run-waits", "waits: user/eve holds region/prod until ", "the uplink is rebuilt")
		c.must(eve.ReleaseClaim(ctx, held.ID, &client.ReleaseClaimParams{}))
		c.later(2 * time.Hour)
		c.brought("dev a", "stage a", "prod a")
		if c.edge.state != "ready" || len(c.edge.tried) != 3 {
			c.t.Errorf("the proxy has it %s, and was asked %d times", c.edge.state, len(c.edge.tried))
		}
		for i, thing := range []string{"region/prod", "region/prod", "database/api"} {
			if err := c.edge.tried[i]; !client.Is(err, client.KindConflict) || !strings.Contains(err.Error(), "of api-prod is working on "+thing) {
				c.t.Errorf("while a member is out, who claims what the run holds is told %v, want %s", err, thing)
			}
		}
		_, err = claim("region/prod")
		c.must(err)
	})
}
