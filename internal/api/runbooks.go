package api

import (
	"context"
	"strconv"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/desk"
	"upkeep/internal/identity"
	"upkeep/internal/runbook"
)

type (
	listRunbooksIn  struct{ InProject }
	listRunbooksOut struct{ Body RunbookList }
	RunbookPath     struct {
		Runbook string `path:"runbook" maxLength:"63" doc:"The runbook's name." example:"api-extension-restart"`
		InProject
	}
	runbookOut   struct{ Body Runbook }
	putRunbookIn struct {
		RunbookPath
		Keyed
		Body RunbookInput
	}
	putRunbookOut struct {
		Status int
		Body   Runbook
	}
	deleteRunbookIn struct {
		RunbookPath
		Keyed
	}
	validateRunbookIn struct{ Body NamedRunbookInput }
)

func (d *door) runbooks() {
	register(d, op{
		id: "listRunbooks", call: "GET /v1/runbooks", scope: identity.Read, tag: "services",
		summary: "List runbooks", description: "Lists the runbooks of a project by name.",
	}, d.listRunbooks)
	register(d, op{
		id: "validateRunbook", call: "POST /v1/runbooks/validate", scope: identity.Read, tag: "services",
		summary: "Validate a runbook", description: "Says whether a runbook can be, and blames the field if not. Nothing is kept.",
	}, d.validateRunbook)
	register(d, op{
		id: "putRunbook", call: "PUT /v1/runbooks/{runbook}", scope: identity.Write, tag: "services",
		summary:     "Create or replace a runbook",
		description: "Makes a runbook under a name, or replaces it whole. Runs that are open go on with theirs.",
		made:        "It was created.",
	}, d.putRunbook)
	register(d, op{
		id: "getRunbook", call: "GET /v1/runbooks/{runbook}", scope: identity.Read, tag: "services",
		summary: "Show a runbook", description: "Shows a runbook.",
	}, d.getRunbook)
	register(d, op{
		id: "deleteRunbook", call: "DELETE /v1/runbooks/{runbook}", scope: identity.Write, tag: "services",
		summary: "Remove a runbook", description: "Removes a runbook. Runs that are open go on with theirs.",
	}, d.deleteRunbook)
}

func (d *door) listRunbooks(ctx context.Context, c desk.Caller, in *listRunbooksIn) (*listRunbooksOut, error) {
	all, err := d.desk.Runbooks(ctx, c, in.Project)
	if err != nil {
		return nil, err
	}
	return &listRunbooksOut{RunbookList{list(all, runbookOf)}}, nil
}

func (d *door) validateRunbook(_ context.Context, c desk.Caller, in *validateRunbookIn) (*runbookOut, error) {
	b, err := in.Body.book(in.Body.Name)
	if err == nil {
		err = d.desk.CheckRunbook(c, b)
	}
	if err != nil {
		return nil, err
	}
	return &runbookOut{runbookOf(runbook.Stored{Book: b})}, nil
}

func (d *door) putRunbook(ctx context.Context, c desk.Caller, in *putRunbookIn) (*putRunbookOut, error) {
	b, err := in.Body.book(in.Runbook)
	if err != nil {
		return nil, err
	}
	s, made, err := d.desk.PutRunbook(ctx, c, in.Project, b)
	if err != nil {
		return nil, err
	}
	return &putRunbookOut{created(made), runbookOf(s)}, nil
}

func (d *door) getRunbook(ctx context.Context, c desk.Caller, in *RunbookPath) (*runbookOut, error) {
	s, err := d.desk.Runbook(ctx, c, in.Project, in.Runbook)
	if err != nil {
		return nil, err
	}
	return &runbookOut{runbookOf(s)}, nil
}

func (d *door) deleteRunbook(ctx context.Context, c desk.Caller, in *deleteRunbookIn) (*done, error) {
	return nil, d.desk.DeleteRunbook(ctx, c, in.Project, in.Runbook)
}

// Runbook says how the members of a service are maintained.
type Runbook struct {
	Project string    `json:"project,omitempty" doc:"Whose it is; missing if it was only validated." example:"default"`
	Changed time.Time `json:"changed,omitzero" doc:"When it was last changed."`
	NamedRunbookInput
	Revision int64 `json:"revision" doc:"Counts its changes; 0 if it was only validated." example:"1"`
}

// RunbookList is all runbooks of a project.
type RunbookList struct {
	Items []Runbook `json:"items" doc:"The runbooks, by name."`
}

// RunbookDocument is a runbook in a file, as "upkeep apply" reads it.
type RunbookDocument struct {
	Kind    string `json:"kind" enum:"Runbook" doc:"What the document is."`
	Project string `json:"project,omitempty" maxLength:"63" doc:"Whose it is; the token's own project if left out." example:"default"`
	NamedRunbookInput
}

// NamedRunbookInput is a runbook whose name is not in the path.
type NamedRunbookInput struct {
	Name string `json:"name" minLength:"1" maxLength:"63" doc:"Unique in its project: small letters, digits and dashes." example:"api-extension-restart"`
	RunbookInput
}

// RunbookInput is what a caller says of a runbook.
type RunbookInput struct {
	Title          string         `json:"title,omitempty" maxLength:"200" doc:"What it does, in a line." example:"Restart the API extension"`
	Description    string         `json:"description,omitempty" maxLength:"4096" doc:"What a person should know who runs it."`
	Params         []RunbookParam `json:"params,omitempty" maxItems:"32" doc:"Values that a run is given. Steps use them as {{param.NAME}}."`
	Targets        *BookTargets   `json:"targets,omitempty" doc:"Which members are maintained; all if left out. The others count for the quorum and for proofs."`
	Order          MemberOrder    `json:"order,omitempty" doc:"In which order they are maintained. Left out: the oldest first if the ages of all are known, else as listed." example:"listed"`
	Claims         []string       `json:"claims,omitempty" maxItems:"32" doc:"What a run of it claims besides the service and its servers, so that no two runs hold it at once: KIND/NAME; region or cluster alone for the one that the service's label names." example:"[\"loadbalancer/internal\"]"`
	MaxUnavailable int            `json:"maxUnavailable,omitempty" minimum:"0" maximum:"200" doc:"How many members may be out at once; 1 if left out." example:"1"`
	Batches        []int          `json:"batches,omitempty" maxItems:"32" doc:"How many members are in the first batch, the second and so on; the last one repeats. A batch begins when the one before it is through. Never more than maxUnavailable. All are in one batch if left out." example:"[1,2]"`
	Pause          string         `json:"pause,omitempty" doc:"How long nothing is begun between two batches, a duration up to 24h." example:"10m"`
	Budget         string         `json:"budget,omitempty" doc:"How long one member may be out, a duration up to 24h; the run is halted if it takes longer. Needed with member.drain; no limit if left out without." example:"5m"`
	ErrorBudget    *RunbookErrors `json:"errorBudget,omitempty" doc:"What the run may cost the service's users: used up, it is halted before the next member. No limit if left out."`
	Prove          []RunbookCheck `json:"prove,omitempty" maxItems:"64" doc:"What must hold, known from after the run's last change, before each member is taken out."`
	Before         []RunbookStep  `json:"before,omitempty" maxItems:"64" doc:"What is done once, before the first member."`
	Member         RunbookMember  `json:"member" doc:"What is done with each member, phase by phase."`
	After          []RunbookStep  `json:"after,omitempty" maxItems:"64" doc:"What is done once, after the last member."`
}

// BookTargets says which members of a service a runbook is for.
type BookTargets struct {
	Labels map[string]string `json:"labels" maxProperties:"32" doc:"Labels that a member must have, all of them." example:"{\"role\":\"control\"}"`
}

// RunbookParam is a value that a run is given.
type RunbookParam struct {
	Name        string   `json:"name" maxLength:"32" doc:"A small letter, then letters and digits." example:"image"`
	Type        string   `json:"type" enum:"string,integer,boolean,duration,digest" doc:"What sort of value it is. A digest is sha256: and 64 hex digits." example:"digest"`
	Description string   `json:"description,omitempty" maxLength:"4096" doc:"What it means." example:"The image that the members are to run"`
	Default     string   `json:"default,omitempty" maxLength:"4096" doc:"Its value where none is given."`
	Required    bool     `json:"required,omitempty" doc:"Whether a value must be given; goes without default."`
	Enum        []string `json:"enum,omitempty" doc:"The values that it may have; any if left out."`
	Pattern     string   `json:"pattern,omitempty" maxLength:"1024" doc:"What the whole value must match, a regular expression of Go; for strings only." example:"[a-z]+"`
}

// RunbookErrors is what a run may cost the service's users.
type RunbookErrors struct {
	Unanswered string `json:"unanswered,omitempty" maxLength:"9" doc:"Per cent of the requests that may be unanswered or failed; any if left out." example:"0.1%"`
	Slow       string `json:"slow,omitempty" maxLength:"9" doc:"Per cent of the requests that may be slow; any if left out." example:"5%"`
	Over       string `json:"over,omitempty" doc:"Of the requests of the last so long, a duration from 10s to 1h; of all since the run began or was resumed if left out." example:"2m"`
	Optional   bool   `json:"optional,omitempty" doc:"Whether it is left out for a service without a probe; else such a service is refused."`
}

// RunbookMember is what is done with each member.
type RunbookMember struct {
	Drain []RunbookStep `json:"drain,omitempty" maxItems:"64" doc:"Takes it out of service. It is put back if the rest can't begin."`
	Do    []RunbookStep `json:"do" maxItems:"64" doc:"What is to be done to it."`
	Await []RunbookStep `json:"await" maxItems:"64" doc:"Proves that it is ready, by what it answers. Only what changes nothing."`
	Ready []RunbookStep `json:"ready,omitempty" maxItems:"64" doc:"Puts it back. Needed with drain, and not done for a member that is not ready."`
}

// RunbookLook is what steps and checks have in common. It is exported for the
// framework, which embeds nothing else.
type RunbookLook struct {
	Name     string            `json:"name" maxLength:"33" doc:"Unique in the runbook: small letters, digits and dashes." example:"drain"`
	Kind     string            `json:"kind" enum:"command,check,backup,unit,container,playbook,balance,serving,http,query" doc:"What is done. command, check, backup: the command of that name in the list that the host's owner keeps; only a command may interrupt something. unit, container: restart, start or stop one that the host's owner has named. playbook: run one of Ansible's that the host's owner has named. balance: set a server's state at an HAProxy. serving: ask an HAProxy whether the other servers of a backend serve. http: ask a URL whether it answers as it should. query: ask a Prometheus whether a figure is as it should be." example:"balance"`
	On       string            `json:"on,omitempty" enum:"member,first,last,manager,others,all,proxies" doc:"Where. member: on the member's host. first, last: for the first or last member that is maintained; in before and after only. manager: on the host that the service names as its manager. others, all: for each other member, or for each. proxies: at each of the service's proxies. Left out: by the control plane." example:"proxies"`
	Command  string            `json:"command,omitempty" maxLength:"64" doc:"The command's name in the host owner's own list; of command, check and backup." example:"restart-api"`
	With     map[string]string `json:"with,omitempty" maxProperties:"32" doc:"Values, as texts, of balance (proxy, backend, server, state and more), serving (proxy, backend, server, min), http (url and more) and query (url, query, op, value); unit (unit, state), container (container, do and wait) and playbook (playbook, limit); of command, check, backup and playbook also those that the host's owner has declared. Places such as {{member.url}}, {{proxy.socket}}, {{service.backend}} and {{param.image}} are filled in."`
	Estimate string            `json:"estimate,omitempty" doc:"How long it is expected to take, a duration up to 24h; a careful guess if left out." example:"20s"`
	Timeout  string            `json:"timeout,omitempty" doc:"When it is given up, a duration from the estimate to 24h; four times the estimate, and a minute more than it waits (with.wait) at least, if left out." example:"2m"`
}

// RunbookCheck is something that must hold.
type RunbookCheck struct {
	RunbookLook
	Fresh  string `json:"fresh,omitempty" doc:"How old its answer may be when it is relied on, a duration up to 24h; 10s if left out." example:"10s"`
	Settle string `json:"settle,omitempty" doc:"How long after the run's last change it begins to tell, a duration up to 24h: before, it may still say what was." example:"10s"`
}

// RunbookStep is one thing to do.
type RunbookStep struct {
	RunbookLook
	Attempts int    `json:"attempts,omitempty" minimum:"0" maximum:"100" doc:"How often it is tried, two seconds apart. Left out: once for a command or backup, 60 times for the others." example:"60"`
	NoReturn bool   `json:"noReturn,omitempty" doc:"Nothing leads back from here: it waits until a person approves it, knowing that. Not in await and ready."`
	Rollback string `json:"rollback,omitempty" doc:"How it can be taken back, for people: none, reverse (its opposite does), restore (from a copy made before), forward-only (needs noReturn). Left out: forward-only with noReturn, reverse in drain, else none." example:"restore"`
	Approval bool   `json:"approval,omitempty" doc:"It waits until a person approves it. Not in await and ready."`
	Soak     string `json:"soak,omitempty" doc:"How long nothing is done before it begins, a duration up to 60d. Not in await and ready." example:"1h"`
}

// lengths reads durations, and keeps the first error.
type lengths struct{ err error }

func (l *lengths) read(field, text string) time.Duration {
	d, err := parseDuration(field, text)
	if err != nil && l.err == nil {
		l.err = err
	}
	return d
}

// book is the runbook that is meant, under a name. Only its durations are looked at.
func (in RunbookInput) book(name string) (runbook.Book, error) {
	var l lengths
	b := runbook.Book{
		Name: name, Title: in.Title, Description: in.Description, Claims: in.Claims, MaxUnavailable: max(in.MaxUnavailable, 1), Budget: l.read("budget", in.Budget),
		Order: runbook.Order(in.Order), Batches: in.Batches, Pause: l.read("pause", in.Pause),
		Params: each(in.Params, func(p RunbookParam) runbook.Param {
			return runbook.Param{
				Name: p.Name, Type: action.Type(p.Type), Description: p.Description, Default: p.Default, Required: p.Required, Enum: p.Enum, Pattern: p.Pattern,
			}
		}),
		Before: l.steps("before", in.Before), After: l.steps("after", in.After),
		Member: runbook.Member{
			Drain: l.steps("member.drain", in.Member.Drain), Do: l.steps("member.do", in.Member.Do),
			Await: l.steps("member.await", in.Member.Await), Ready: l.steps("member.ready", in.Member.Ready),
		},
	}
	if in.Targets != nil {
		b.Targets.Labels = in.Targets.Labels
	}
	if e := in.ErrorBudget; e != nil {
		b.ErrorBudget = runbook.ErrorBudget{Unanswered: e.Unanswered, Slow: e.Slow, Over: l.read("errorBudget.over", e.Over), Optional: e.Optional}
	}
	for i, c := range in.Prove {
		field := at("prove", i)
		b.Prove = append(b.Prove, runbook.Check{Step: l.look(field, c.RunbookLook), Fresh: l.read(field+".fresh", c.Fresh), Settle: l.read(field+".settle", c.Settle)})
	}
	return b, l.err
}

func (l *lengths) steps(phase string, in []RunbookStep) []runbook.Step {
	var out []runbook.Step
	for i, s := range in {
		field := at(phase, i)
		step := l.look(field, s.RunbookLook)
		step.Attempts, step.NoReturn, step.Rollback = s.Attempts, s.NoReturn, runbook.Rollback(s.Rollback)
		step.Approval, step.Soak = s.Approval, l.read(field+".soak", s.Soak)
		out = append(out, step)
	}
	return out
}

func (l *lengths) look(field string, s RunbookLook) runbook.Step {
	return runbook.Step{
		Name: s.Name, Kind: action.Kind(s.Kind), On: runbook.On(s.On), Command: s.Command, With: s.With,
		Estimate: l.read(field+".estimate", s.Estimate), Timeout: l.read(field+".timeout", s.Timeout),
	}
}

func at(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// each keeps nil as nil: a list that is left out is left out in the answer, too.
func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	return list(in, f)
}

func runbookOf(s runbook.Stored) Runbook {
	b := s.Book
	return Runbook{
		Project: s.Project, Changed: s.Changed.UTC(), Revision: s.Revision,
		NamedRunbookInput: NamedRunbookInput{Name: b.Name, RunbookInput: RunbookInput{
			Title: b.Title, Description: b.Description, Claims: b.Claims, MaxUnavailable: max(b.MaxUnavailable, 1), Budget: optional(b.Budget), ErrorBudget: errorsOf(b.ErrorBudget),
			Targets: targetsOf(b.Targets), Order: MemberOrder(b.Order), Batches: b.Batches, Pause: optional(b.Pause),
			Params: each(b.Params, func(p runbook.Param) RunbookParam {
				return RunbookParam{
					Name: p.Name, Type: string(p.Type), Description: p.Description, Default: p.Default, Required: p.Required, Enum: p.Enum, Pattern: p.Pattern,
				}
			}),
			Prove: each(b.Prove, func(c runbook.Check) RunbookCheck {
				return RunbookCheck{RunbookLook: lookOf(c.Step), Fresh: optional(c.Fresh), Settle: optional(c.Settle)}
			}),
			Before: each(b.Before, bookStepOf), After: each(b.After, bookStepOf),
			Member: RunbookMember{
				Drain: each(b.Member.Drain, bookStepOf), Do: list(b.Member.Do, bookStepOf),
				Await: list(b.Member.Await, bookStepOf), Ready: each(b.Member.Ready, bookStepOf),
			},
		}},
	}
}

func targetsOf(t runbook.Targets) *BookTargets {
	if len(t.Labels) == 0 {
		return nil
	}
	return &BookTargets{Labels: t.Labels}
}

func errorsOf(b runbook.ErrorBudget) *RunbookErrors {
	if b.IsZero() {
		return nil
	}
	return &RunbookErrors{Unanswered: b.Unanswered, Slow: b.Slow, Over: optional(b.Over), Optional: b.Optional}
}

func bookStepOf(s runbook.Step) RunbookStep {
	return RunbookStep{RunbookLook: lookOf(s), Attempts: s.Attempts, NoReturn: s.NoReturn, Rollback: string(s.Rollback), Approval: s.Approval, Soak: optional(s.Soak)}
}

func lookOf(s runbook.Step) RunbookLook {
	return RunbookLook{
		Name: s.Name, Kind: string(s.Kind), On: string(s.On), Command: s.Command, With: s.With,
		Estimate: optional(s.Estimate), Timeout: optional(s.Timeout),
	}
}
