package api

import (
	"context"
	"slices"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

// Group is a redundancy group: what it may cost, who goes first, and who is in it.
type Group struct {
	Project        string        `json:"project" doc:"Whose it is." example:"default"`
	Name           string        `json:"name" doc:"As its servers name it." example:"web"`
	MaxUnavailable int           `json:"maxUnavailable" doc:"How many members may be disrupted or down at once." example:"1"`
	Canaries       []string      `json:"canaries" doc:"The names of members that are updated before the others." example:"[\"web-1\"]"`
	Soak           string        `json:"soak,omitempty" doc:"How long the canaries must have run well before the others follow, a duration." example:"24h"`
	StopAfter      int           `json:"stopAfter" doc:"How many members' newest updates may fail before the others stop; 0: they never do." example:"2"`
	Window         *Window       `json:"window,omitempty" doc:"When its nodes may restart themselves (FleetLock); missing if they may not."`
	Held           []Claim       `json:"held,omitempty" doc:"Its places that are held, and by whom; where one group is asked for."`
	Members        []GroupMember `json:"members" doc:"The servers that name it, by name."`
	Revision       int64         `json:"revision" doc:"Counts its changes; 0 if nobody has described it." example:"1"`
}

// GroupMember is a server in a group.
type GroupMember struct {
	ID     string      `json:"id" doc:"The server's id." example:"0199f3c2-7d1a-7c3e-9b52-0d3c8a1e4f60"`
	Name   string      `json:"name" doc:"The server's name." example:"web-1"`
	Canary bool        `json:"canary,omitempty" doc:"Whether it is updated before the others."`
	Last   *LastUpdate `json:"lastUpdate,omitempty" doc:"How its newest update ended; missing if it had none."`
}

// GroupList is all groups of a project.
type GroupList struct {
	Items []Group `json:"items" doc:"The groups, by name: those that somebody has described, and those that servers name."`
}

// GroupInput is what a caller says of a group.
type GroupInput struct {
	MaxUnavailable int      `json:"maxUnavailable,omitempty" minimum:"0" maximum:"500" doc:"How many members may be disrupted or down at once; 1 if left out." example:"1"`
	Canaries       []string `json:"canaries,omitempty" maxItems:"500" doc:"The names of members that are updated before the others. While one of them is not there, the others wait." example:"[\"web-1\"]"`
	Soak           string   `json:"soak,omitempty" doc:"How long the canaries must have run well before the others follow, a duration up to 60d." example:"24h"`
	StopAfter      int      `json:"stopAfter,omitempty" minimum:"0" maximum:"500" doc:"How many members' newest updates may fail before the others stop; they never do if left out." example:"2"`
	RRule          string   `json:"rrule,omitempty" maxLength:"4096" doc:"When the window opens in which its nodes may restart themselves (FleetLock), as RFC 5545 writes it; they may not if left out." example:"DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=DAILY"`
	Weekly         *Weekly  `json:"weekly,omitempty" doc:"When that window opens, in place of rrule: once a week."`
	Duration       string   `json:"duration,omitempty" doc:"How long that window stays open, a duration from 1m to 24h; needed with rrule or weekly." example:"2h"`
}

type (
	listGroupsIn struct {
		InProject
		Tongue
	}
	listGroupsOut struct{ Body GroupList }
	GroupPath     struct {
		Group string `path:"group" maxLength:"63" doc:"The group's name." example:"web"`
		InProject
	}
	getGroupIn struct {
		GroupPath
		Tongue
	}
	groupOut   struct{ Body Group }
	putGroupIn struct {
		GroupPath
		Tongue
		Keyed
		Body GroupInput
	}
	putGroupOut struct {
		Status int
		Body   Group
	}
	deleteGroupIn struct {
		GroupPath
		Keyed
	}
)

func (d *door) groups() {
	register(d, op{
		id: "listGroups", call: "GET /v1/groups", scope: identity.Read, tag: "groups",
		summary: "List groups", description: "Lists the redundancy groups of a project with their members; the project default's if the token is for all and none is named.",
	}, d.listGroups)
	register(d, op{
		id: "putGroup", call: "PUT /v1/groups/{group}", scope: identity.Write, tag: "groups",
		summary: "Describe a group",
		description: "Says what a redundancy group may cost and who goes first in it, or says it anew. " +
			"Servers are in it that name it; what they wait for is judged anew at once.",
		made: "Nobody had described it before.",
	}, d.putGroup)
	register(d, op{
		id: "getGroup", call: "GET /v1/groups/{group}", scope: identity.Read, tag: "groups",
		summary: "Show a group", description: "Shows a redundancy group with its members. One that nobody has described has one member down at a time.",
	}, d.getGroup)
	register(d, op{
		id: "deleteGroup", call: "DELETE /v1/groups/{group}", scope: identity.Write, tag: "groups",
		summary: "Forget a group's description", description: "Forgets what was said of a redundancy group. Its members stay in it, one of them down at a time.",
	}, d.deleteGroup)
}

func (d *door) listGroups(ctx context.Context, c desk.Caller, in *listGroupsIn) (*listGroupsOut, error) {
	all, err := d.desk.Groups(ctx, c, in.Project)
	if err != nil {
		return nil, err
	}
	return &listGroupsOut{GroupList{list(all, groupIn(in.lang()))}}, nil
}

func (d *door) getGroup(ctx context.Context, c desk.Caller, in *getGroupIn) (*groupOut, error) {
	g, err := d.desk.Group(ctx, c, in.Project, in.Group)
	if err != nil {
		return nil, err
	}
	return &groupOut{groupIn(in.lang())(g)}, nil
}

func (d *door) putGroup(ctx context.Context, c desk.Caller, in *putGroupIn) (*putGroupOut, error) {
	soak, err := parseDuration("soak", in.Body.Soak)
	if err != nil {
		return nil, err
	}
	spec := desk.GroupSpec{
		Project: in.Project, Name: in.Group, MaxUnavailable: in.Body.MaxUnavailable,
		Canaries: in.Body.Canaries, Soak: soak, StopAfter: in.Body.StopAfter,
	}
	if in.Body.RRule != "" || in.Body.Weekly != nil {
		if spec.RRule, err = rruleOf(in.Body.RRule, in.Body.Weekly); err != nil {
			return nil, err
		}
	}
	if spec.Duration, err = parseDuration("duration", in.Body.Duration); err != nil {
		return nil, err
	}
	rules, made, err := d.desk.PutGroup(ctx, c, spec)
	if err != nil {
		return nil, err
	}
	g, err := d.desk.Group(ctx, c, rules.Project, rules.Name)
	if err != nil {
		return nil, err
	}
	return &putGroupOut{created(made), groupIn(in.lang())(g)}, nil
}

func (d *door) deleteGroup(ctx context.Context, c desk.Caller, in *deleteGroupIn) (*done, error) {
	return nil, d.desk.DeleteGroup(ctx, c, in.Project, in.Group)
}

func groupIn(lang string) func(desk.Group) Group {
	return func(g desk.Group) Group {
		out := groupOf(g)
		if w := g.Rules.Window; !w.Recurrence.IsZero() {
			out.Window = &Window{
				RRule: w.Recurrence.String(), Duration: duration(w.Duration), Zone: w.Recurrence.Zone().String(), Words: w.Recurrence.Words(lang),
			}
		}
		return out
	}
}

func groupOf(g desk.Group) Group {
	r := g.Rules
	return Group{
		Held:    list(g.Held, claimOf),
		Project: r.Project, Name: r.Name, MaxUnavailable: r.Room(), Canaries: texts(r.Canaries),
		Soak: optional(r.Soak), StopAfter: r.StopAfter, Revision: r.Revision,
		Members: list(g.Members, func(t fleet.Target) GroupMember {
			return GroupMember{ID: t.ID, Name: t.Name, Canary: slices.Contains(r.Canaries, t.Name), Last: lastOf(t.Last)}
		}),
	}
}
