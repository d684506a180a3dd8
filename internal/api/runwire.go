package api

import (
	"maps"
	"slices"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
)

// RunSummary is a run without its plan.
type RunSummary struct {
	ID         string `json:"id" doc:"Given by Upkeep; grows with time." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d34"`
	Number     int64  `json:"number" doc:"1, 2, … on its server or service, never given again." example:"12"`
	Project    string `json:"project" doc:"Whose it is." example:"default"`
	Server     string `json:"server" doc:"The id of the server; of the service, if it is the run of a runbook." example:"0199f3c2-7d1a-7c3e-9b52-0d3c8a1e4f60"`
	ServerName string `json:"serverName" doc:"The name of the server or service when it was opened." example:"web-1"`
	Runbook    string `json:"runbook,omitempty" doc:"The name of the runbook that is carried out; missing for an update of a server." example:"api-extension-restart"`
	Schedule   string `json:"schedule,omitempty" doc:"The schedule's id; missing for a run that was started now." example:"0199f3c4-10aa-7e02-8c41-5f7b2a9d6e13"`
	By         string `json:"by" doc:"Who opened it: schedule/NAME or user/NAME." example:"schedule/weekly"`
	Reason     string `json:"reason,omitempty" doc:"Why a person asked for it." example:"CVE-2026-0001"`
	DryRun     bool   `json:"dryRun,omitempty" doc:"Whether it changes nothing and only says what it would do: its policy says so, or the server does."`
	State      State  `json:"state" doc:"Where it is."`
	Halt       string `json:"halt,omitempty" doc:"Why the run of a runbook begins nothing more until somebody resumes or aborts it; missing if it goes on." example:"ctl2 alive failed: connection refused"`
	Waits      []Wait `json:"waits" doc:"What waits, and why."`
	Result     Result `json:"result" doc:"What it has come to so far."`

	Created  time.Time `json:"created" doc:"When it was opened."`
	Started  time.Time `json:"started,omitzero" doc:"When the first thing was ordered."`
	Finished time.Time `json:"finished,omitzero" doc:"When it ended."`
}

// RunList is a page of runs.
type RunList struct {
	Items []RunSummary `json:"items" doc:"The runs, newest first."`
	Next  string       `json:"next,omitempty" doc:"What to give as before for the next page; missing on the last."`
}

// Run is one execution of a maintenance.
type Run struct {
	RunSummary
	Window         Window    `json:"window" doc:"When it may disrupt."`
	Policy         Policy    `json:"policy" doc:"How the update is done; means nothing for the run of a runbook."`
	RebootWords    string    `json:"rebootWords,omitempty" doc:"When the policy's own reboot window opens, in words; missing if it has none."`
	Missed         Missed    `json:"missed" doc:"What becomes of an occurrence whose start was missed."`
	MissedStart    time.Time `json:"missedStart,omitzero" doc:"The start of the newest occurrence that was missed; missing if none was."`
	Ending         string    `json:"ending,omitempty" doc:"Why it ends once it has brought back what it took away, and checked the server; missing if it goes on." example:"the backup failed"`
	OverriddenBy   string    `json:"overriddenBy,omitempty" doc:"Who said that it starts now, whatever the schedules say." example:"user/alice"`
	OverrideFreeze bool      `json:"overrideFreeze,omitempty" doc:"Whether freezes were overridden as well."`
	AnnouncedAt    time.Time `json:"announcedAt,omitzero" doc:"When people were told."`
	PausedBy       string    `json:"pausedBy,omitempty" doc:"Who paused it." example:"user/alice"`
	AbortedBy      string    `json:"abortedBy,omitempty" doc:"Who aborted it." example:"user/alice"`
	Plan           *Plan     `json:"plan,omitempty" doc:"What is to be done now; missing until it was looked at."`

	Params     map[string]string `json:"params,omitempty" doc:"The values that the runbook was given, and the defaults of the others."`
	Members    []RunMember       `json:"members,omitempty" doc:"How far each member of the service is; of the run of a runbook."`
	Approvals  []Approval        `json:"approvals,omitempty" doc:"The steps that were approved, and by whom."`
	Unapproved []string          `json:"unapproved,omitempty" doc:"The ids of the steps that wait for a person's approval now."`

	Revision int64 `json:"revision" doc:"Counts its changes." example:"7"`
}

// RunMember is how far a member of a service is.
type RunMember struct {
	Name    string    `json:"name" doc:"The member." example:"ctl1"`
	Out     bool      `json:"out,omitempty" doc:"Whether it was taken out and is not back."`
	Did     bool      `json:"did,omitempty" doc:"Whether something was done to it while it is out: it is put back only once it is proved ready."`
	Through bool      `json:"through,omitempty" doc:"Whether it is done with."`
	Since   time.Time `json:"since,omitzero" doc:"When it was taken out, or the run last resumed; missing if it is not out."`
}

// Approval is who approved a step.
type Approval struct {
	Step string `json:"step" doc:"The step's id." example:"g1.contract.ctl1"`
	By   string `json:"by" doc:"Who approved it." example:"user/alice"`
}

// Window is when a run may disrupt.
type Window struct {
	RRule    string    `json:"rrule" doc:"When it opens, as RFC 5545 writes it."`
	Duration string    `json:"duration" doc:"How long it stays open, a duration." example:"2h"`
	Zone     string    `json:"zone" doc:"The time zone that it is told in." example:"Europe/Berlin"`
	Words    string    `json:"words" doc:"When it opens, in words." example:"every week on Saturday at 02:30 (Europe/Berlin)"`
	OpenTill time.Time `json:"openTill,omitzero" doc:"When the window that is open now closes; missing if none is open."`
	Left     string    `json:"left,omitempty" doc:"How much of the open window is left, a duration." example:"1h12m30s"`
}

// Plan is what a run has to do, as far as is known. A new one replaces it when the server has changed.
type Plan struct {
	ID         string    `json:"id" doc:"Its id."`
	Generation int64     `json:"generation" doc:"1 for the run's first plan; each later one has one more." example:"2"`
	Made       time.Time `json:"made" doc:"When it was made."`
	Why        string    `json:"why" doc:"What was seen that led to it." example:"12 packages are to be installed"`
	Steps      []Step    `json:"steps" doc:"What is to be done, in order."`
}

// Step is the smallest thing that is started.
type Step struct {
	ID        string            `json:"id" doc:"Unique in its run." example:"g2-2-install"`
	Title     string            `json:"title,omitempty" doc:"What a runbook calls it, after the member that it is about; missing if its action says it." example:"ctl1 drain lb1"`
	Member    string            `json:"member,omitempty" doc:"The member of a service that it is about." example:"ctl1"`
	Phase     string            `json:"phase,omitempty" doc:"Where in a runbook it stands: before, drain, do, await, ready, after." example:"drain"`
	Action    string            `json:"action" doc:"What is done: observe, refresh, download, install, repair, restore, reboot, backup, command, check, balance, serving, http, query. More may come." example:"install"`
	Packages  []Package         `json:"packages,omitempty" doc:"With what."`
	Command   string            `json:"command,omitempty" doc:"The name of the command, of a backup, command or check." example:"drain"`
	With      map[string]string `json:"with,omitempty" doc:"The values that it is done with, of a balance, serving, http or query."`
	DryRun    bool              `json:"dryRun,omitempty" doc:"Whether the server only says what it would do."`
	Disrupts  bool              `json:"disrupts" doc:"Whether it can interrupt what the server serves."`
	Closing   bool              `json:"closing,omitempty" doc:"Whether it brings back what an earlier step took away, or looks whether all is well: it is done whatever keeps the rest from starting."`
	OwnWindow bool              `json:"ownWindow,omitempty" doc:"Whether it may start in the policy's own reboot window only."`
	Estimate  string            `json:"estimate" doc:"How long it is expected to take, a duration." example:"4m30s"`
	Timeout   string            `json:"timeout" doc:"After this long the server gives it up, a duration." example:"2h"`
	Undo      string            `json:"undo" doc:"How it can be taken back: none, reverse, restore, forward-only." example:"forward-only"`
	Stage     string            `json:"stage" doc:"How far it is: todo, running, done, failed." example:"running"`
	Attempt   int               `json:"attempt" doc:"Which attempt it is at; 0 if it was never tried." example:"1"`
	Attempts  int               `json:"attempts" doc:"How often it may be tried." example:"3"`
	FirstTry  time.Time         `json:"firstTry,omitzero" doc:"When it was first tried."`
	OrderedAt time.Time         `json:"orderedAt,omitzero" doc:"When the newest attempt was ordered."`
	EndedAt   time.Time         `json:"endedAt,omitzero" doc:"When the newest attempt ended."`
	RetryAt   time.Time         `json:"retryAt,omitzero" doc:"When it is tried again."`
}

// Package is a package and the version that it is to have.
type Package struct {
	Name    string `json:"name" doc:"The package." example:"openssl"`
	Version string `json:"version" doc:"The version." example:"3.0.15-1"`
}

// Wait is a thing that waits, and why.
type Wait struct {
	Step  string    `json:"step,omitempty" doc:"The step that waits." example:"g2-2-install"`
	Code  string    `json:"code" doc:"The reason: window-closed, does-not-fit, never-fits, freeze, claim, held, budget, quorum, stale, not-yet, after, stopped, paused, aborting, notice, backoff, under-way, not-fetched, silent, missed, canary, group-stopped. More may come." example:"window-closed"`
	Words string    `json:"words" doc:"The reason in a sentence." example:"the window is closed; it opens 2026-03-07 02:30:00 CET"`
	By    string    `json:"by,omitempty" doc:"What it waits for: a freeze's reason, a run, a step, a person." example:"user/alice"`
	What  string    `json:"what,omitempty" doc:"The fact or claim that is missing." example:"observed"`
	Since time.Time `json:"since,omitzero" doc:"Since when."`
	Until time.Time `json:"until,omitzero" doc:"Until when at least; missing if that is not known."`
	Need  string    `json:"need,omitempty" doc:"How long it would take, a duration." example:"45m"`
	Left  string    `json:"left,omitempty" doc:"How much of the window is left, a duration." example:"20m"`
}

// Result is what a run has come to.
type Result struct {
	Changes  []Change  `json:"changes" doc:"Packages that have another version now."`
	Failures []Failure `json:"failures" doc:"What did not work."`
	Would    []Change  `json:"would" doc:"What a dry run would have changed."`
	Reboots  int       `json:"reboots" doc:"How often the server was restarted." example:"1"`
	Left     []string  `json:"left" doc:"What was wanted and is not done, once the run has ended."`
	Text     string    `json:"text,omitempty" doc:"One sentence, once the run has ended." example:"12 packages updated, 1 reboot"`
}

// Change is one package that has another version now.
type Change struct {
	Name string `json:"name" doc:"The package." example:"openssl"`
	From string `json:"from,omitempty" doc:"The version before; missing if it is new." example:"3.0.14-1"`
	To   string `json:"to,omitempty" doc:"The version now; missing if it was removed." example:"3.0.15-1"`
}

// Failure is one thing that did not work.
type Failure struct {
	Name   string `json:"name,omitempty" doc:"The package; missing if it is about the whole command." example:"nginx"`
	Reason string `json:"reason" doc:"Why." example:"postinst ended with status 1"`
}

func runSummaryIn(lang string) func(run.Run) RunSummary {
	return func(r run.Run) RunSummary {
		zone := desk.Zone(r)
		return RunSummary{
			ID: r.ID, Runbook: runbookName(r), Halt: haltOf(r), Number: r.Number, DryRun: r.Policy.DryRun || r.Made.DryRun, Project: r.Project, Server: r.Target, ServerName: r.Name, Schedule: r.Schedule, By: r.By, Reason: r.Reason,
			State: State(r.State), Result: resultOf(r.Result),
			Waits: list(r.Waits, func(w plan.Wait) Wait {
				out := waitOf(w.Reason, lang, zone)
				out.Step = w.Step
				return out
			}),
			Created: r.Created.UTC(), Started: r.Started.UTC(), Finished: r.Finished.UTC(),
		}
	}
}

func runOf(r run.Run, lang string, now time.Time) Run {
	out := Run{
		RunSummary: runSummaryIn(lang)(r), Policy: policyOf(r.Policy), RebootWords: rebootWords(r.Policy, lang),
		Missed: missedOf(r.Missed), MissedStart: r.Made.MissedFor.UTC(), OverriddenBy: r.Override.By, OverrideFreeze: r.Override.Freeze,
		AnnouncedAt: r.NoticeAt.UTC(), PausedBy: r.PausedBy, AbortedBy: r.AbortedBy, Revision: r.Revision,
		Window: Window{
			RRule: r.Window.Recurrence.String(), Duration: duration(r.Window.Duration),
			Zone: r.Window.Recurrence.Zone().String(), Words: r.Window.Recurrence.Words(lang),
		},
	}
	if !r.State.Ended() {
		out.Ending = r.Made.Stop
	}
	if r.Book != nil {
		out.book(r)
	}
	if span, left := desk.Left(r, now); left > 0 && !r.State.Ended() {
		out.Window.OpenTill, out.Window.Left = span.End, duration(left.Round(time.Second))
	}
	if r.Plan.ID != "" {
		out.Plan = &Plan{
			ID: r.Plan.ID, Generation: r.Plan.Generation, Made: r.Plan.Made.UTC(), Why: r.Plan.Why,
			Steps: list(r.Plan.Root.Steps(), func(s plan.Step) Step { return stepOf(s, r.Progress[s.ID]) }),
		}
	}
	return out
}

// book tells what only the run of a runbook has.
func (out *Run) book(r run.Run) {
	out.Params, out.Unapproved = r.Book.Params, desk.Unapproved(r)
	out.Members = list(r.Book.Mine(), func(m fleet.Member) RunMember {
		at := r.Book.Members[m.Name]
		return RunMember{Name: m.Name, Out: at.Out, Did: at.Did, Through: at.Through, Since: at.First.UTC()}
	})
	for _, step := range slices.Sorted(maps.Keys(r.Book.Approvals)) {
		out.Approvals = append(out.Approvals, Approval{Step: step, By: r.Book.Approvals[step]})
	}
}

// haltOf is why a run that is open begins nothing more.
func haltOf(r run.Run) string {
	if r.Book == nil || r.State.Ended() {
		return ""
	}
	return r.Book.Halt
}

func runbookName(r run.Run) string {
	if r.Book == nil {
		return ""
	}
	return r.Book.Runbook.Name
}

func stepOf(s plan.Step, at plan.StepState) Step {
	stage := at.Stage
	if stage == "" {
		stage = plan.Todo
	}
	return Step{
		ID: s.ID, Title: s.Title, Member: s.Member, Phase: string(s.Phase),
		Action: string(s.Action), Packages: packagesOf(s.Packages), Command: s.Command, With: s.With,
		DryRun: s.DryRun, Disrupts: s.Disrupts, Closing: s.Closing, OwnWindow: s.OwnSlot,
		Estimate: duration(s.Estimate.Round(time.Second)), Timeout: duration(s.Timeout.Round(time.Second)), Undo: string(s.Undo),
		Stage: string(stage), Attempt: at.Attempt, Attempts: s.Attempts,
		FirstTry: at.First.UTC(), OrderedAt: at.Ordered.UTC(), EndedAt: at.Ended.UTC(), RetryAt: at.RetryAt.UTC(),
	}
}

func packagesOf(all []action.Package) []Package {
	return list(all, func(p action.Package) Package { return Package(p) })
}

func resultOf(r run.Result) Result {
	return Result{
		Changes:  list(r.Changes, func(c action.Change) Change { return Change(c) }),
		Would:    list(r.Would, func(c action.Change) Change { return Change(c) }),
		Failures: list(r.Failures, func(f action.Failure) Failure { return Failure(f) }),
		Reboots:  r.Reboots, Left: texts(r.Left), Text: r.Text,
	}
}

// waitOf tells a reason, with its times in zone.
func waitOf(r plan.Reason, lang string, zone *time.Location) Wait {
	return Wait{
		Code: string(r.Code), Words: r.Words(lang, zone), By: r.By, What: r.What,
		Since: inZone(r.Since, zone), Until: inZone(r.Until, zone), Need: optional(r.Need), Left: optional(r.Left),
	}
}

// inZone is t in zone; the zero time stays as it is.
func inZone(t time.Time, zone *time.Location) time.Time {
	if t.IsZero() {
		return t
	}
	return t.In(zone)
}
