package api

import (
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/plan"
	"upkeep/internal/rollout"
)

// RolloutSummary is a rollout where it is not what was asked for.
type RolloutSummary struct {
	ID       string    `json:"id" doc:"Given by Upkeep; never changes." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d34"`
	Project  string    `json:"project" doc:"Whose it is." example:"default"`
	Train    string    `json:"train" doc:"The train's name." example:"scs"`
	Version  string    `json:"version" doc:"The release's version." example:"R4"`
	By       string    `json:"by" doc:"Who has started it." example:"user/ada"`
	Reason   string    `json:"reason,omitempty" doc:"Why." example:"PCO-2023"`
	State    string    `json:"state" doc:"Where it is: active; paused, if a person holds it; succeeded or aborted, once it has ended." example:"active"`
	Created  time.Time `json:"created" doc:"When it was started."`
	Finished time.Time `json:"finished,omitzero" doc:"When it ended; missing while it is open."`
	Text     string    `json:"text,omitempty" doc:"What it has come to; missing while it is open." example:"release R4 has soaked in 4 environments"`
}

// RolloutList is a page of rollouts.
type RolloutList struct {
	Items []RolloutSummary `json:"items" doc:"The rollouts, newest first."`
	Next  string           `json:"next,omitempty" doc:"What to give as before for the next page; missing on the last."`
}

// Rollout is a release on its way through its train.
type Rollout struct {
	RolloutSummary
	PausedBy     string               `json:"pausedBy,omitempty" doc:"Who holds it; missing if nobody does." example:"user/bob"`
	AbortedBy    string               `json:"abortedBy,omitempty" doc:"Who has asked for its end; missing if nobody has."`
	Veto         *ReleaseVeto         `json:"veto,omitempty" doc:"Who objects to the release; missing if nobody does."`
	Environments []RolloutEnvironment `json:"environments" doc:"How far each is, in the train's order."`
	Waits        []RolloutWait        `json:"waits" doc:"What waits, and why."`
	Issues       []RolloutIssue       `json:"issues" doc:"What is known of the release, and who has acknowledged it."`
	Revision     int64                `json:"revision" doc:"Counts its changes." example:"7"`
}

// RolloutEnvironment is how far an environment is.
type RolloutEnvironment struct {
	Name      string            `json:"name" doc:"Its name." example:"stage"`
	After     string            `json:"after,omitempty" doc:"The environment in which the release must have soaked first."`
	Region    bool              `json:"region,omitempty" doc:"Whether it is a region."`
	Stage     string            `json:"stage" doc:"How far it is: waiting, working at its phases, checking its gates, soaking, soaked (the release may go on from here), or failed (nothing more is begun until a person says retry)." example:"soaking"`
	Plan      string            `json:"plan" doc:"The hash of its plan: what an approval is for." example:"61f50a23aa446900"`
	Lines     []string          `json:"lines" doc:"The plan: all that is to be done there, to be read and compared."`
	Digests   map[string]string `json:"digests" doc:"What its phases have brought, by component."`
	Pins      map[string]string `json:"pins,omitempty" doc:"What is wanted there instead of the release's digests, by component."`
	Phases    []RolloutPhase    `json:"phases" doc:"Its phases, in order."`
	Evidence  []GateEvidence    `json:"evidence" doc:"What its gates have said, the oldest first."`
	Approvals []RolloutApproval `json:"approvals" doc:"Who has approved."`
	Needed    int               `json:"approvalsNeeded" doc:"How many approvals of this plan it takes." example:"2"`
	SoakFrom  time.Time         `json:"soakFrom,omitzero" doc:"When its soak began; missing if it has not."`
	SoakUntil time.Time         `json:"soakUntil,omitzero" doc:"When its soak is over at the earliest; missing if it has not begun."`
	Soaked    time.Time         `json:"soaked,omitzero" doc:"When it was over; missing if it is not."`
	Failed    string            `json:"failed,omitempty" doc:"Why nothing more is begun until a person says retry."`
	Halted    string            `json:"halted,omitempty" doc:"Why its run is halted, and what to do."`
}

// RolloutPhase is what has become of a phase.
type RolloutPhase struct {
	Name    string    `json:"name" doc:"Its name." example:"keystone"`
	Stage   string    `json:"stage" doc:"How far it is: todo, running, done or failed." example:"done"`
	Attempt int       `json:"attempt,omitempty" doc:"How often a run was opened for it." example:"1"`
	Run     string    `json:"run,omitempty" doc:"The newest run's id." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d34"`
	Opened  time.Time `json:"opened,omitzero" doc:"When that run was opened."`
	Ended   time.Time `json:"ended,omitzero" doc:"When it ended."`
}

// GateEvidence is what a gate has said, once or several times in a row.
type GateEvidence struct {
	Gate   string    `json:"gate" doc:"The gate." example:"latency"`
	At     string    `json:"at" doc:"What it was asked for: before, after or soak." example:"soak"`
	Result string    `json:"result" doc:"What it has said: pass, fail, or inconclusive if it can't be told." example:"fail"`
	Why    string    `json:"why" doc:"In its own words, the last time." example:"p95 is 2.1, 1.4 times the 1.5 of p95 offset 1w, want <= 1.2"`
	By     string    `json:"by,omitempty" doc:"The person who has decided; missing if it speaks for itself." example:"user/bob"`
	First  time.Time `json:"first" doc:"When it first said so."`
	Last   time.Time `json:"last" doc:"When it last said so."`
	Times  int       `json:"times" doc:"How often in a row." example:"14"`
}

// RolloutApproval is a person's word for one plan.
type RolloutApproval struct {
	By      string     `json:"by" doc:"Who." example:"user/bob"`
	Plan    string     `json:"plan" doc:"The hash of the plan that was approved." example:"61f50a23aa446900"`
	At      time.Time  `json:"at" doc:"When."`
	Void    bool       `json:"void" doc:"Whether the plan has changed since: then it counts no more."`
	Changes []PlanLine `json:"changes,omitempty" doc:"Of a void one: what has changed in the plan since."`
}

// RolloutWait is an environment that waits, and why.
type RolloutWait struct {
	Environment string    `json:"environment" doc:"Which." example:"prod1"`
	Code        string    `json:"code" doc:"Why, for programs: paused, veto, failed, halted, soak, digests, issue, path, approval, window, freeze, region, claim, gate, inconclusive, asking, under-way, run-waits, unfit. More may come." example:"soak"`
	By          string    `json:"by,omitempty" doc:"Who or what it waits for." example:"stage"`
	Until       time.Time `json:"until,omitzero" doc:"Until when, if that is known."`
	Text        string    `json:"text" doc:"Why, in a sentence." example:"the release soaks in stage until 2026-11-24 13:00:01 CET"`
}

// RolloutIssue is something known of the release.
type RolloutIssue struct {
	ReleaseIssue
	AckedBy string    `json:"acknowledgedBy,omitempty" doc:"Who has acknowledged it; missing if nobody has." example:"user/ada"`
	Reason  string    `json:"reason,omitempty" doc:"Why it is accepted."`
	At      time.Time `json:"at,omitzero" doc:"When it was acknowledged."`
}

// RolloutInput asks for a rollout.
type RolloutInput struct {
	Train   string `json:"train" minLength:"1" maxLength:"63" doc:"The train's name." example:"scs"`
	Version string `json:"version" minLength:"1" maxLength:"63" doc:"The release's version." example:"R4"`
	Reason  string `json:"reason,omitempty" maxLength:"1024" doc:"Why; the history keeps it." example:"PCO-2023"`
}

// RolloutForecastInput asks what a rollout would do.
type RolloutForecastInput struct {
	Version string `json:"version" minLength:"1" maxLength:"63" doc:"The release's version." example:"R4"`
}

// RolloutApprovalInput approves a plan.
type RolloutApprovalInput struct {
	Environment string `json:"environment" minLength:"1" maxLength:"63" doc:"Whose plan." example:"prod1"`
	Plan        string `json:"plan" minLength:"1" maxLength:"64" doc:"The plan's hash, as you have seen it." example:"61f50a23aa446900"`
}

// RolloutAckInput acknowledges a known issue.
type RolloutAckInput struct {
	Issue  string `json:"issue" minLength:"1" maxLength:"63" doc:"The issue's id." example:"gh973"`
	Reason string `json:"reason,omitempty" maxLength:"1024" doc:"Why it is accepted; needed if it is a veto."`
}

// RolloutDecisionInput decides a gate.
type RolloutDecisionInput struct {
	Environment string `json:"environment" minLength:"1" maxLength:"63" doc:"The environment." example:"dev"`
	Gate        string `json:"gate" minLength:"1" maxLength:"63" doc:"The gate." example:"latency"`
	Result      string `json:"result" doc:"The decision: pass or fail." example:"pass"`
	Reason      string `json:"reason" minLength:"1" maxLength:"1024" doc:"Why; the evidence keeps it."`
}

// RolloutPinInput pins a component.
type RolloutPinInput struct {
	Environment string `json:"environment" minLength:"1" maxLength:"63" doc:"The environment." example:"prod1"`
	Component   string `json:"component" minLength:"1" maxLength:"63" doc:"The component." example:"rabbitmq"`
	Digest      string `json:"digest" minLength:"1" maxLength:"128" doc:"What it is brought to; the release's own takes the pin away." example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	Now         bool   `json:"now,omitempty" doc:"At once, whatever windows, freezes and other regions say."`
	Reason      string `json:"reason" minLength:"1" maxLength:"1024" doc:"Why; the history keeps it." example:"RabbitMQ has split"`
}

// RolloutRetryInput names a failed environment.
type RolloutRetryInput struct {
	Environment string `json:"environment" minLength:"1" maxLength:"63" doc:"The environment." example:"stage"`
}

// RolloutAbortInput says why a rollout is aborted.
type RolloutAbortInput struct {
	Reason string `json:"reason,omitempty" maxLength:"1024" doc:"Why; the history keeps it."`
}

// RolloutForecast is what a rollout would do.
type RolloutForecast struct {
	Items []RolloutForecastItem `json:"items" doc:"Phases and soaks, by their start."`
	Asks  []RolloutWait         `json:"asks" doc:"What persons must do meanwhile."`
	Stuck []RolloutWait         `json:"stuck,omitempty" doc:"What it would wait for at the end, if it does not arrive."`
	End   time.Time             `json:"end,omitzero" doc:"When the release has soaked everywhere; missing if that is not in sight."`
}

// RolloutForecastItem is a phase or a soak that would be.
type RolloutForecastItem struct {
	Environment string    `json:"environment" doc:"Where." example:"prod1"`
	Phase       string    `json:"phase,omitempty" doc:"The phase; missing of a soak." example:"keystone"`
	Service     string    `json:"service,omitempty" doc:"The service." example:"keystone"`
	Runbook     string    `json:"runbook,omitempty" doc:"The runbook." example:"keystone-upgrade"`
	Start       time.Time `json:"start" doc:"When it begins."`
	End         time.Time `json:"end,omitzero" doc:"When it ends; missing if that is not in sight."`
	Windows     int       `json:"windows,omitempty" doc:"How many occurrences of its window it uses." example:"1"`
	Out         []Outage  `json:"out,omitempty" doc:"Which members are out of service, and when."`
	NoReturn    []string  `json:"noReturn,omitempty" doc:"The steps from which nothing leads back."`
}

// Outage is a member that is out of service for a time.
type Outage struct {
	Member string    `json:"member" doc:"The member." example:"ctl1"`
	Start  time.Time `json:"start" doc:"From when."`
	End    time.Time `json:"end" doc:"Until when."`
}

// PlanDiffList compares the plans of all environments.
type PlanDiffList struct {
	Items []PlanDiff `json:"items" doc:"By environment, in the train's order."`
}

// PlanDiff compares the plans of one environment.
type PlanDiff struct {
	Environment string     `json:"environment" doc:"Which." example:"stage"`
	From        string     `json:"from,omitempty" doc:"The version that its release is compared with; missing if nobody knows what runs there." example:"R3"`
	Kept        bool       `json:"kept" doc:"That release is kept here; if not, every line of the other one is new." example:"true"`
	Lines       []PlanLine `json:"lines" doc:"The lines of both plans, in order."`
}

// PlanLine is a line of one of two plans, or of both.
type PlanLine struct {
	Op   string `json:"op" doc:"In which plan it is: same, if in both, added or removed." example:"added"`
	Text string `json:"text" doc:"The line." example:"release R4"`
}

func changesOf(in []rollout.Change) []PlanLine {
	words := map[rollout.Op]string{rollout.Same: "same", rollout.Added: "added", rollout.Removed: "removed"}
	return list(in, func(c rollout.Change) PlanLine { return PlanLine{Op: words[c.Op], Text: c.Line} })
}

func rolloutSummaryOf(r rollout.Rollout) RolloutSummary {
	return RolloutSummary{
		ID: r.ID, Project: r.Project, Train: r.Train, Version: r.Version, By: r.By, Reason: r.Reason, State: string(r.State),
		Created: r.Created.UTC(), Finished: r.Finished.UTC(), Text: r.Text,
	}
}

func rolloutOf(r desk.Rollout, lang string) Rollout {
	out := Rollout{
		RolloutSummary: rolloutSummaryOf(r.Rollout), PausedBy: r.PausedBy, AbortedBy: r.AbortedBy, Revision: r.Revision,
		Environments: list(r.World.Train.Train.Environments, func(e rollout.Environment) RolloutEnvironment { return environmentOf(r, e) }),
		Waits:        list(r.Waits, func(w rollout.Wait) RolloutWait { return rolloutWaitOf(w, r.World.Train.Train, lang) }),
		Issues: list(r.World.Release.Release.Issues, func(i rollout.Issue) RolloutIssue {
			ack := r.Acks[i.ID]
			return RolloutIssue{ReleaseIssue: ReleaseIssue(i), AckedBy: ack.By, Reason: ack.Reason, At: ack.At.UTC()}
		}),
	}
	if v := r.World.Release.Veto; v != nil {
		out.Veto = &ReleaseVeto{By: v.By, Reason: v.Reason, At: v.At.UTC()}
	}
	return out
}

// rolloutWaitOf tells times in the zone of the environment's window.
func rolloutWaitOf(w rollout.Wait, t rollout.Train, lang string) RolloutWait {
	e, _ := t.Environment(w.Environment)
	return RolloutWait{
		Environment: w.Environment, Code: string(w.Reason.Code), By: w.Reason.By, Until: w.Reason.Until.UTC(),
		Text: w.Reason.Words(lang, e.Window.Recurrence.Zone()),
	}
}

func environmentOf(r desk.Rollout, e rollout.Environment) RolloutEnvironment {
	st, now := r.Standings[e.Name], r.PlanOf(r.World, e)
	out := RolloutEnvironment{
		Name: e.Name, After: e.After, Region: e.Region, Stage: string(st.Stage), Plan: now.Hash, Lines: now.Lines,
		Digests: st.Digests(), Pins: st.Pins, Needed: e.Approvals, Failed: st.Failed, Halted: st.Halted,
		SoakFrom: st.SoakFrom.UTC(), Soaked: st.Soaked.UTC(),
		Phases: list(r.World.Train.Train.PhasesOf(e), func(p rollout.Phase) RolloutPhase {
			s := st.Phases[p.Name]
			if s.Stage == "" {
				s.Stage = plan.Todo
			}
			return RolloutPhase{Name: p.Name, Stage: string(s.Stage), Attempt: s.Attempt, Run: s.Run, Opened: s.Opened.UTC(), Ended: s.Ended.UTC()}
		}),
		Evidence: list(st.Evidence, func(v rollout.Evidence) GateEvidence {
			return GateEvidence{
				Gate: v.Gate, At: string(v.At), Result: string(v.Result), Why: v.Why, By: v.By,
				First: v.First.UTC(), Last: v.Last.UTC(), Times: v.Times,
			}
		}),
		Approvals: list(st.Approvals, func(a rollout.Approval) RolloutApproval {
			void := RolloutApproval{By: a.By, Plan: a.Plan, At: a.At.UTC(), Void: a.Plan != now.Hash}
			if void.Void {
				void.Changes = changesOf(rollout.Diff(a.Lines, now.Lines))
			}
			return void
		}),
	}
	if !st.SoakFrom.IsZero() {
		out.SoakUntil = st.SoakFrom.Add(e.Soak).UTC()
	}
	if out.Stage == "" {
		out.Stage = string(rollout.Waiting)
	}
	return out
}

func rolloutForecastOf(f rollout.Forecast, lang string) RolloutForecast {
	wait := func(w rollout.Wait) RolloutWait { return rolloutWaitOf(w, rollout.Train{}, lang) }
	return RolloutForecast{
		Asks: list(f.Asks, wait), Stuck: each(f.Stuck, wait), End: f.End.UTC(),
		Items: list(f.Items, func(i rollout.ForecastItem) RolloutForecastItem {
			return RolloutForecastItem{
				Environment: i.Environment, Phase: i.Phase, Service: i.Service, Runbook: i.Runbook, Start: i.Span.Start.UTC(), End: i.Span.End.UTC(),
				Windows: i.Windows, NoReturn: i.NoReturn,
				Out: each(i.Out, func(o rollout.Outage) Outage {
					return Outage{Member: o.Member, Start: o.Span.Start.UTC(), End: o.Span.End.UTC()}
				}),
			}
		}),
	}
}
