package api

import (
	"context"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
	"upkeep/internal/rollout"
)

type (
	listRolloutsIn struct {
		InProject
		Page
		Train  string `query:"train" maxLength:"63" doc:"Only those of this train."`
		Open   bool   `query:"open" doc:"Only those that have not ended."`
		Before string `query:"before" maxLength:"63" doc:"Only those older than the rollout with this id."`
	}
	listRolloutsOut struct{ Body RolloutList }
	RolloutPath     struct {
		Rollout string `path:"rollout" maxLength:"63" doc:"The rollout's id, or its train's name, which means the newest." example:"scs"`
		InProject
	}
	rolloutIn struct {
		RolloutPath
		Tongue
	}
	rolloutOut     struct{ Body Rollout }
	startRolloutIn struct {
		InProject
		Tongue
		Keyed
		Body RolloutInput
	}
	SayRollout struct {
		RolloutPath
		Tongue
		Keyed
	}
	approveRolloutIn struct {
		SayRollout
		Body RolloutApprovalInput
	}
	ackRolloutIn struct {
		SayRollout
		Body RolloutAckInput
	}
	decideRolloutIn struct {
		SayRollout
		Body RolloutDecisionInput
	}
	pinRolloutIn struct {
		SayRollout
		Body RolloutPinInput
	}
	retryRolloutIn struct {
		SayRollout
		Body RolloutRetryInput
	}
	abortRolloutIn struct {
		SayRollout
		Body RolloutAbortInput
	}
	simulateRolloutIn struct {
		TrainPath
		Tongue
		Body RolloutForecastInput
	}
	simulateRolloutOut struct{ Body RolloutForecast }
	diffReleasesIn     struct {
		TrainPath
		From string `query:"from" maxLength:"63" doc:"The version of one release; left out, it is what each environment runs, with the digests that it has." example:"R3"`
		To   string `query:"to" required:"true" maxLength:"63" doc:"The version of the other one." example:"R4"`
	}
	diffReleasesOut struct{ Body PlanDiffList }
)

func (d *door) rollouts() {
	register(d, op{
		id: "listRollouts", call: "GET /v1/rollouts", scope: identity.Read, tag: "rollouts",
		summary: "List rollouts", description: "Lists rollouts, newest first.",
	}, d.listRollouts)
	register(d, op{
		id: "startRollout", call: "POST /v1/rollouts", scope: identity.Run, tag: "rollouts", creates: true,
		summary: "Start a rollout",
		description: "Starts a release through its train. All its runs are planned at once, so that what is missing is refused here. " +
			"It is a conflict if another release is on its way through that train.",
	}, d.startRollout)
	register(d, op{
		id: "getRollout", call: "GET /v1/rollouts/{rollout}", scope: identity.Read, tag: "rollouts",
		summary: "Show a rollout", description: "Shows a rollout: how far each environment is, its plan, the evidence of its gates, and why it waits.",
	}, d.getRollout)
	register(d, op{
		id: "approveRollout", call: "POST /v1/rollouts/{rollout}/approve", scope: identity.Run, tag: "rollouts",
		summary: "Approve the plan of an environment",
		description: "A person's word for the plan of that hash, and no other: it is a conflict if the plan has changed, and void once it does. " +
			"Who has started the rollout may not.",
	}, d.approveRollout)
	register(d, op{
		id: "acknowledgeIssue", call: "POST /v1/rollouts/{rollout}/acknowledge", scope: identity.Run, tag: "rollouts",
		summary: "Acknowledge a known issue", description: "A person's word that a known issue of the release is accepted. One that is a veto wants a reason.",
	}, d.ackRollout)
	register(d, op{
		id: "decideGate", call: "POST /v1/rollouts/{rollout}/decide", scope: identity.Run, tag: "rollouts",
		summary: "Decide a gate that is inconclusive", description: "A person's decision about a gate that can't tell. It is a conflict if the gate speaks for itself.",
	}, d.decideRollout)
	register(d, op{
		id: "pinComponent", call: "POST /v1/rollouts/{rollout}/pin", scope: identity.Run, tag: "rollouts",
		summary: "Pin a component of an environment",
		description: "Brings one component of one environment to another digest, by the phases that bring it: its roll back. What comes after the environment " +
			"waits until it has the release's digests again. The release's own digest takes the pin away.",
	}, d.pinRollout)
	register(d, op{
		id: "retryRollout", call: "POST /v1/rollouts/{rollout}/retry", scope: identity.Run, tag: "rollouts",
		summary: "Retry a failed environment", description: "What has failed is done once more; a gate that failed or is inconclusive is asked anew.",
	}, d.retryRollout)
	register(d, op{
		id: "pauseRollout", call: "POST /v1/rollouts/{rollout}/pause", scope: identity.Run, tag: "rollouts",
		summary: "Pause a rollout", description: "Its runs are paused, and nothing more is begun.",
	}, d.pauseRollout)
	register(d, op{
		id: "resumeRollout", call: "POST /v1/rollouts/{rollout}/resume", scope: identity.Run, tag: "rollouts",
		summary: "Resume a rollout", description: "Lets a paused rollout go on.",
	}, d.resumeRollout)
	register(d, op{
		id: "abortRollout", call: "POST /v1/rollouts/{rollout}/abort", scope: identity.Run, tag: "rollouts",
		summary: "Abort a rollout", description: "Aborts its runs and ends it. What was promoted stays.",
	}, d.abortRollout)
	register(d, op{
		id: "simulateRollout", call: "POST /v1/trains/{train}/simulate", scope: identity.Read, tag: "planning",
		summary: "Simulate a rollout",
		description: "Forecasts a rollout with the state machine that real ones use, as if nothing failed and persons did at once what is asked of them. " +
			"Nothing is touched, and nothing is kept.",
	}, d.simulateRollout)
	register(d, op{
		id: "diffReleases", call: "GET /v1/trains/{train}/diff", scope: identity.Read, tag: "planning",
		summary: "Compare two releases", description: "Compares what two releases mean for each environment of a train, line by line of their plans.",
	}, d.diffReleases)
}

func (d *door) listRollouts(ctx context.Context, c desk.Caller, in *listRolloutsIn) (*listRolloutsOut, error) {
	all, err := d.desk.Rollouts(ctx, c, desk.RolloutFilter{Project: in.Project, Train: in.Train, Open: in.Open, Before: in.Before, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return &listRolloutsOut{RolloutList{
		Items: list(all, rolloutSummaryOf), Next: next(all, in.Limit, func(r rollout.Rollout) string { return r.ID }),
	}}, nil
}

// said answers what a person has said to a rollout.
func said(t *Tongue) func(desk.Rollout, error) (*rolloutOut, error) {
	return func(r desk.Rollout, err error) (*rolloutOut, error) {
		if err != nil {
			return nil, err
		}
		return &rolloutOut{rolloutOf(r, t.lang())}, nil
	}
}

func (in *SayRollout) spec() desk.RolloutSpec {
	return desk.RolloutSpec{Project: in.Project, Rollout: in.Rollout}
}

func (d *door) startRollout(ctx context.Context, c desk.Caller, in *startRolloutIn) (*rolloutOut, error) {
	return said(&in.Tongue)(d.desk.StartRollout(ctx, c, in.Project, in.Body.Train, in.Body.Version, in.Body.Reason))
}

func (d *door) getRollout(ctx context.Context, c desk.Caller, in *rolloutIn) (*rolloutOut, error) {
	return said(&in.Tongue)(d.desk.Rollout(ctx, c, in.Project, in.Rollout))
}

func (d *door) approveRollout(ctx context.Context, c desk.Caller, in *approveRolloutIn) (*rolloutOut, error) {
	s := in.spec()
	s.Environment = in.Body.Environment
	return said(&in.Tongue)(d.desk.ApproveRollout(ctx, c, s, in.Body.Plan))
}

func (d *door) ackRollout(ctx context.Context, c desk.Caller, in *ackRolloutIn) (*rolloutOut, error) {
	s := in.spec()
	s.Reason = in.Body.Reason
	return said(&in.Tongue)(d.desk.AckRollout(ctx, c, s, in.Body.Issue))
}

func (d *door) decideRollout(ctx context.Context, c desk.Caller, in *decideRolloutIn) (*rolloutOut, error) {
	s := in.spec()
	s.Environment, s.Reason = in.Body.Environment, in.Body.Reason
	return said(&in.Tongue)(d.desk.DecideRollout(ctx, c, s, in.Body.Gate, rollout.Result(in.Body.Result)))
}

func (d *door) pinRollout(ctx context.Context, c desk.Caller, in *pinRolloutIn) (*rolloutOut, error) {
	s := in.spec()
	s.Environment, s.Reason = in.Body.Environment, in.Body.Reason
	return said(&in.Tongue)(d.desk.PinRollout(ctx, c, s, in.Body.Component, in.Body.Digest, in.Body.Now))
}

func (d *door) retryRollout(ctx context.Context, c desk.Caller, in *retryRolloutIn) (*rolloutOut, error) {
	s := in.spec()
	s.Environment = in.Body.Environment
	return said(&in.Tongue)(d.desk.RetryRollout(ctx, c, s))
}

func (d *door) pauseRollout(ctx context.Context, c desk.Caller, in *SayRollout) (*rolloutOut, error) {
	return said(&in.Tongue)(d.desk.PauseRollout(ctx, c, in.spec()))
}

func (d *door) resumeRollout(ctx context.Context, c desk.Caller, in *SayRollout) (*rolloutOut, error) {
	return said(&in.Tongue)(d.desk.ResumeRollout(ctx, c, in.spec()))
}

func (d *door) abortRollout(ctx context.Context, c desk.Caller, in *abortRolloutIn) (*rolloutOut, error) {
	s := in.spec()
	s.Reason = in.Body.Reason
	return said(&in.Tongue)(d.desk.AbortRollout(ctx, c, s))
}

func (d *door) simulateRollout(ctx context.Context, c desk.Caller, in *simulateRolloutIn) (*simulateRolloutOut, error) {
	f, err := d.desk.SimulateRollout(ctx, c, in.Project, in.Train, in.Body.Version)
	if err != nil {
		return nil, err
	}
	return &simulateRolloutOut{rolloutForecastOf(f, in.lang())}, nil
}

func (d *door) diffReleases(ctx context.Context, c desk.Caller, in *diffReleasesIn) (*diffReleasesOut, error) {
	all, err := d.desk.DiffReleases(ctx, c, in.Project, in.Train, in.From, in.To)
	if err != nil {
		return nil, err
	}
	return &diffReleasesOut{PlanDiffList{list(all, func(p desk.PlanDiff) PlanDiff {
		return PlanDiff{Environment: p.Environment, From: p.From, Kept: p.Kept, Lines: changesOf(p.Changes)}
	})}}, nil
}
