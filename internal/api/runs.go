package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/run"
)

// RunInput asks for a run.
type RunInput struct {
	Server         string  `json:"server" minLength:"1" maxLength:"63" doc:"The server's id, or its name in the project." example:"web-1"`
	Project        string  `json:"project,omitempty" maxLength:"63" doc:"The server's project; the token's own if left out."`
	When           string  `json:"when" enum:"now,window" doc:"now: at once, whatever the schedules say, recorded under the caller's name. window: in the next window of a schedule." example:"window"`
	Schedule       string  `json:"schedule,omitempty" maxLength:"126" doc:"The schedule's id, or its name on the server; with window only, and needed there." example:"weekly"`
	Duration       string  `json:"duration,omitempty" doc:"How long it may take, a duration from 1m to 24h; with now only, and needed there." example:"1h"`
	Policy         *Policy `json:"policy,omitempty" doc:"How the update is done; with now only. In a window the schedule's holds."`
	Reason         string  `json:"reason,omitempty" maxLength:"1024" doc:"Why; the history keeps it. Needed to override a freeze." example:"CVE-2026-0001"`
	OverrideFreeze bool    `json:"overrideFreeze,omitempty" doc:"Start although a freeze is in force; with now only."`
}

// AbortInput says why.
type AbortInput struct {
	Reason string `json:"reason,omitempty" maxLength:"1024" doc:"Why; the history keeps it." example:"The customer asked us to stop"`
}

// AnnounceInput says what people were told.
type AnnounceInput struct {
	Text string `json:"text" minLength:"1" maxLength:"1024" doc:"What people were told, or where." example:"https://status.example.net/notices/42"`
}

// ApproveInput names what may begin.
type ApproveInput struct {
	Step string `json:"step" minLength:"1" maxLength:"500" doc:"The step's id, as the run's unapproved tells it." example:"g1.contract.ctl1"`
}

type (
	startRunIn struct {
		Tongue
		Keyed
		Body RunInput
	}
	runOut  struct{ Body Run }
	RunPath struct {
		ID string `path:"run" maxLength:"63" doc:"The run's id." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d34"`
	}
	runIn struct {
		RunPath
		Tongue
	}
	listRunsIn struct {
		InProject
		Page
		Tongue
		Server  string `query:"server" maxLength:"63" doc:"Only those of this server: its id, or its name in the project."`
		Service string `query:"service" maxLength:"63" doc:"Only those of this service: its id, or its name in the project."`
		Number  int64  `query:"number" minimum:"0" doc:"Only the one with this number on the server or service; needs one of them."`
		Open    bool   `query:"open" doc:"Only those that have not ended."`
		Before  string `query:"before" maxLength:"63" doc:"Only runs older than this id: a page's next."`
	}
	listRunsOut struct{ Body RunList }
	MoveRunIn   struct {
		RunPath
		Tongue
		Keyed
	}
	abortRunIn struct {
		MoveRunIn
		Body *AbortInput
	}
	approveRunIn struct {
		MoveRunIn
		Body ApproveInput
	}
	announceRunIn struct {
		MoveRunIn
		Body AnnounceInput
	}
)

func (d *door) runs() {
	register(d, op{
		id: "startRun", call: "POST /v1/runs", scope: identity.Run, tag: "runs", creates: true,
		summary: "Start a run",
		description: "Opens a run on a server: at once, or in the next window of one of its schedules. It is a conflict if one is open already. " +
			"The run is worked on from then on; ask for it, or for its history, to follow it.",
	}, d.startRun)
	register(d, op{
		id: "listRuns", call: "GET /v1/runs", scope: identity.Read, tag: "runs",
		summary: "List runs", description: "Lists runs, newest first.",
	}, d.listRuns)
	register(d, op{
		id: "getRun", call: "GET /v1/runs/{run}", scope: identity.Read, tag: "runs",
		summary: "Show a run", description: "Shows a run: what is planned and how far it is, what waits and why, and what came of it.",
	}, d.getRun)
	register(d, op{
		id: "pauseRun", call: "POST /v1/runs/{run}/pause", scope: identity.Run, tag: "runs",
		summary: "Pause a run", description: "What is under way ends; nothing more starts until it is resumed. A run that is paused stays so.",
	}, d.move((*desk.Desk).Pause))
	register(d, op{
		id: "resumeRun", call: "POST /v1/runs/{run}/resume", scope: identity.Run, tag: "runs",
		summary: "Resume a run", description: "Lets a paused run go on where it was.",
	}, d.move((*desk.Desk).Resume))
	register(d, op{
		id: "abortRun", call: "POST /v1/runs/{run}/abort", scope: identity.Run, tag: "runs",
		summary: "Abort a run", description: "Ends a run as soon as nothing of it is under way: what was begun is brought to a safe state, not cut.",
	}, d.abortRun)
	register(d, op{
		id: "approveRun", call: "POST /v1/runs/{run}/approve", scope: identity.Run, tag: "runs",
		summary:     "Approve a step of a run",
		description: "Lets a step of a runbook begin that waits for a person's approval. It is kept who approved it. Approving it again changes nothing.",
	}, d.approveRun)
	register(d, op{
		id: "announceRun", call: "POST /v1/runs/{run}/announce", scope: identity.Run, tag: "runs",
		summary:     "Record that people were told",
		description: "Records that people were told of a run. Where its policy wants notice, it disrupts nothing before the notice is old enough.",
	}, d.announceRun)
}

func (d *door) startRun(ctx context.Context, c desk.Caller, in *startRunIn) (*runOut, error) {
	spec, err := runSpec(in.Body)
	if err != nil {
		return nil, err
	}
	return d.tell(in.lang())(d.desk.StartRun(ctx, c, spec))
}

// runSpec refuses what would be passed over in silence.
func runSpec(b RunInput) (s desk.RunSpec, err error) {
	s = desk.RunSpec{Project: b.Project, Server: b.Server, Schedule: b.Schedule, Reason: b.Reason, OverrideFreeze: b.OverrideFreeze}
	now := b.When == "now"
	switch {
	case now && b.Schedule != "":
		return s, fault.Invalid("schedule", "goes with a run in a window, not with one that starts now")
	case now && b.Duration == "":
		return s, fault.Invalid("duration", "is needed for a run that starts now: how long it may take, such as 1h")
	case !now && b.Schedule == "":
		return s, fault.Invalid("schedule", "is needed for a run in a window: the schedule whose window it is")
	case !now && b.Duration != "":
		return s, fault.Invalid("duration", "goes with a run that starts now; in a window the schedule's holds")
	case !now && b.Policy != nil:
		return s, fault.Invalid("policy", "goes with a run that starts now; in a window the schedule's holds")
	}
	if s.Duration, err = parseDuration("duration", b.Duration); err != nil {
		return s, err
	}
	s.Policy, err = b.Policy.fleet()
	return s, err
}

func (d *door) listRuns(ctx context.Context, c desk.Caller, in *listRunsIn) (*listRunsOut, error) {
	switch {
	case in.Server != "" && in.Service != "":
		return nil, fault.Invalid("service", "goes without server")
	case in.Number != 0 && in.Server == "" && in.Service == "":
		return nil, fault.Invalid("number", "goes with server or service: numbers are counted on each")
	}
	all, err := d.desk.Runs(ctx, c, desk.RunFilter{Project: in.Project, Server: in.Server, Service: in.Service, Number: in.Number, Open: in.Open, Before: in.Before, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	items := list(all, runSummaryIn(in.lang()))
	return &listRunsOut{RunList{Items: items, Next: next(items, in.Limit, func(r RunSummary) string { return r.ID })}}, nil
}

func (d *door) getRun(ctx context.Context, c desk.Caller, in *runIn) (*runOut, error) {
	return d.tell(in.lang())(d.desk.Run(ctx, c, in.ID))
}

func (d *door) move(f func(*desk.Desk, context.Context, desk.Caller, string) (run.Run, error)) func(context.Context, desk.Caller, *MoveRunIn) (*runOut, error) {
	return func(ctx context.Context, c desk.Caller, in *MoveRunIn) (*runOut, error) {
		return d.tell(in.lang())(f(d.desk, ctx, c, in.ID))
	}
}

func (d *door) abortRun(ctx context.Context, c desk.Caller, in *abortRunIn) (*runOut, error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	return d.tell(in.lang())(d.desk.Abort(ctx, c, in.ID, reason))
}

func (d *door) approveRun(ctx context.Context, c desk.Caller, in *approveRunIn) (*runOut, error) {
	return d.tell(in.lang())(d.desk.Approve(ctx, c, in.ID, in.Body.Step))
}

func (d *door) announceRun(ctx context.Context, c desk.Caller, in *announceRunIn) (*runOut, error) {
	return d.tell(in.lang())(d.desk.Announce(ctx, c, in.ID, in.Body.Text))
}

// tell answers with a run.
func (d *door) tell(lang string) func(run.Run, error) (*runOut, error) {
	return func(r run.Run, err error) (*runOut, error) {
		if err != nil {
			return nil, err
		}
		return &runOut{runOf(r, lang, time.Now())}, nil
	}
}
