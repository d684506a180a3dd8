package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/window"
)

// UpdatePolicy is a policy with a window, under a name, from which schedules are made.
type UpdatePolicy struct {
	ID          string    `json:"id" doc:"A UUID; never changes." example:"7b0c6f3e-5a1d-4c55-9d43-0f6d0f4d7c01"`
	Project     string    `json:"project,omitempty" doc:"Whose it is; missing: every project may use it." example:"default"`
	Name        string    `json:"name" doc:"Unique in its project." example:"Default Update Schedule"`
	Description string    `json:"description,omitempty" doc:"What it is for." example:"All updates, once a weekend."`
	BuiltIn     bool      `json:"builtIn,omitempty" doc:"Whether it is there without anybody having made it; it can't be changed or removed."`
	Default     bool      `json:"default" doc:"Whether a managed server without a schedule is given one made from it."`
	Enabled     bool      `json:"enabled" doc:"Whether it may be used."`
	Spread      bool      `json:"spread,omitempty" doc:"Whether each server starts at its own time of the weekend, always the same, spread evenly over the servers."`
	RRule       string    `json:"rrule,omitempty" doc:"When the window opens, as RFC 5545 writes it; missing with spread." example:"DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA"`
	Duration    string    `json:"duration" doc:"How long it stays open, a duration." example:"2h"`
	Zone        string    `json:"zone" doc:"The time zone of the window, or of the weekend." example:"Europe/Berlin"`
	Words       string    `json:"words" doc:"When the window opens, in words." example:"every week on Saturday at 02:30 (Europe/Berlin)"`
	Policy      Policy    `json:"policy" doc:"How the update is done."`
	RebootWords string    `json:"rebootWords,omitempty" doc:"When the policy's own reboot window opens, in words; missing if it has none."`
	Missed      Missed    `json:"missed" doc:"What becomes of an occurrence whose start was missed."`
	Created     time.Time `json:"created,omitzero" doc:"When it was made."`
	Revision    int64     `json:"revision" doc:"Counts its changes; 1 when it is new, 0 if it is built in." example:"1"`
}

// UpdatePolicyList is all update policies that a project may use.
type UpdatePolicyList struct {
	Items []UpdatePolicy `json:"items" doc:"The update policies, the built-in one first."`
}

// UpdatePolicyInput is what a caller says of an update policy.
type UpdatePolicyInput struct {
	Description string  `json:"description,omitempty" maxLength:"1024" doc:"What it is for." example:"All updates, once a weekend."`
	Default     bool    `json:"default,omitempty" doc:"Give a schedule made from it to managed servers without one. It takes the place of the project's former default."`
	Enabled     *bool   `json:"enabled,omitempty" doc:"Whether it may be used; true if left out."`
	Spread      bool    `json:"spread,omitempty" doc:"Start each server at its own time of the weekend; goes with zone, in place of rrule and weekly."`
	RRule       string  `json:"rrule,omitempty" maxLength:"4096" doc:"When the window opens, as RFC 5545 writes it." example:"DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA"`
	Weekly      *Weekly `json:"weekly,omitempty" doc:"When the window opens, in place of rrule: once a week."`
	Zone        string  `json:"zone,omitempty" maxLength:"64" doc:"The time zone of the weekend; with spread, and needed there." example:"Europe/Berlin"`
	Duration    string  `json:"duration" doc:"How long the window stays open, a duration from 1m to 24h of elapsed time." example:"2h"`
	Policy      *Policy `json:"policy,omitempty" doc:"How the update is done."`
	Missed      Missed  `json:"missed,omitempty" doc:"What becomes of an occurrence whose start was missed; late if left out."`
}

// spec is what is said of an update policy, without whose and under which name.
func (in UpdatePolicyInput) spec() (s desk.TemplateSpec, err error) {
	s = desk.TemplateSpec{
		Description: in.Description, Default: in.Default, Enabled: in.Enabled == nil || *in.Enabled,
		Spread: in.Spread, Missed: fleet.MissedRule(in.Missed),
	}
	switch {
	case in.Spread && (in.RRule != "" || in.Weekly != nil):
		field := "rrule"
		if in.RRule == "" {
			field = "weekly"
		}
		return s, fault.Invalid(field, "goes without spread, which gives each server its own time; say zone instead")
	case in.Spread && in.Zone == "":
		return s, fault.Invalid("zone", "is needed with spread: the time zone of the weekend, such as Europe/Berlin")
	case !in.Spread && in.Zone != "":
		return s, fault.Invalid("zone", "goes with spread; otherwise the window has its own")
	case in.Spread:
		if _, err := window.Weekly(time.Saturday, "00:00", in.Zone); err != nil {
			return s, err
		}
		s.RRule = in.Zone
	default:
		if s.RRule, err = rruleOf(in.RRule, in.Weekly); err != nil {
			return s, err
		}
	}
	if s.Duration, err = parseDuration("duration", in.Duration); err != nil {
		return s, err
	}
	s.Policy, err = in.Policy.fleet()
	return s, err
}

type (
	listUpdatePoliciesIn struct {
		InProject
		Tongue
	}
	listUpdatePoliciesOut struct{ Body UpdatePolicyList }
	UpdatePolicyPath      struct {
		Policy string `path:"policy" maxLength:"126" doc:"The update policy's id, or its name in the project." example:"Default Update Schedule"`
		InProject
	}
	updatePolicyIn struct {
		UpdatePolicyPath
		Tongue
	}
	updatePolicyOut   struct{ Body UpdatePolicy }
	putUpdatePolicyIn struct {
		Name    string `path:"policy" maxLength:"126" doc:"The update policy's name." example:"Security on Tuesdays"`
		Project string `query:"project" maxLength:"63" doc:"Whose it is; the token's own project if empty, and every one's if the token is for all."`
		Tongue
		Keyed
		Body UpdatePolicyInput
	}
	putUpdatePolicyOut struct {
		Status int
		Body   UpdatePolicy
	}
	deleteUpdatePolicyIn struct {
		UpdatePolicyPath
		Keyed
	}
)

func (d *door) updatePolicies() {
	register(d, op{
		id: "listUpdatePolicies", call: "GET /v1/policies", scope: identity.Read, tag: "policies",
		summary:     "List update policies",
		description: "Lists the update policies that a project may use, those for every project included; the project default's if the token is for all and none is named.",
	}, d.listUpdatePolicies)
	register(d, op{
		id: "putUpdatePolicy", call: "PUT /v1/policies/{policy}", scope: identity.Write, tag: "policies",
		summary: "Create or replace an update policy",
		description: "Makes an update policy under a name, or replaces it whole. Schedules that were made from it stay as they are. " +
			"One for every project needs a token for every project.",
		made: "It was created.",
	}, d.putUpdatePolicy)
	register(d, op{
		id: "getUpdatePolicy", call: "GET /v1/policies/{policy}", scope: identity.Read, tag: "policies",
		summary: "Show an update policy", description: "Shows an update policy. By name, the project's own goes before one for every project.",
	}, d.getUpdatePolicy)
	register(d, op{
		id: "deleteUpdatePolicy", call: "DELETE /v1/policies/{policy}", scope: identity.Write, tag: "policies",
		summary: "Remove an update policy", description: "Removes an update policy. Schedules that were made from it stay. By name, the project's own goes before one for every project. It is a conflict for the built-in one.",
	}, d.deleteUpdatePolicy)
}

func (d *door) listUpdatePolicies(ctx context.Context, c desk.Caller, in *listUpdatePoliciesIn) (*listUpdatePoliciesOut, error) {
	all, err := d.desk.Templates(ctx, c, in.Project)
	if err != nil {
		return nil, err
	}
	return &listUpdatePoliciesOut{UpdatePolicyList{list(all, func(t fleet.Template) UpdatePolicy { return updatePolicyOf(t, in.lang()) })}}, nil
}

func (d *door) getUpdatePolicy(ctx context.Context, c desk.Caller, in *updatePolicyIn) (*updatePolicyOut, error) {
	t, err := d.desk.Template(ctx, c, in.Project, in.Policy)
	if err != nil {
		return nil, err
	}
	return &updatePolicyOut{updatePolicyOf(t, in.lang())}, nil
}

func (d *door) putUpdatePolicy(ctx context.Context, c desk.Caller, in *putUpdatePolicyIn) (*putUpdatePolicyOut, error) {
	spec, err := in.Body.spec()
	if err != nil {
		return nil, err
	}
	spec.Project, spec.Name = in.Project, in.Name
	t, made, err := d.desk.PutTemplate(ctx, c, spec)
	if err != nil {
		return nil, err
	}
	return &putUpdatePolicyOut{created(made), updatePolicyOf(t, in.lang())}, nil
}

func (d *door) deleteUpdatePolicy(ctx context.Context, c desk.Caller, in *deleteUpdatePolicyIn) (*done, error) {
	return nil, d.desk.DeleteTemplate(ctx, c, in.Project, in.Policy)
}

func updatePolicyOf(t fleet.Template, lang string) UpdatePolicy {
	zone := t.Window.Recurrence.Zone().String()
	out := UpdatePolicy{
		ID: t.ID, Project: t.Project, Name: t.Name, Description: t.Description, BuiltIn: t.ID == fleet.BuiltinTemplate,
		Default: t.Default, Enabled: t.Enabled, Spread: t.Spread,
		RRule: t.Window.Recurrence.String(), Duration: duration(t.Window.Duration), Zone: zone, Words: t.Window.Recurrence.Words(lang),
		Policy: policyOf(t.Policy), RebootWords: rebootWords(t.Policy, lang), Missed: missedOf(t.Missed),
		Created: t.Created.UTC(), Revision: t.Revision,
	}
	if t.Spread {
		out.RRule, out.Words = "", "once a weekend, at each server's own time ("+zone+")"
		if lang == "de" {
			out.Words = "einmal am Wochenende, für jeden Server zu seiner eigenen Zeit (" + zone + ")"
		}
	}
	return out
}
