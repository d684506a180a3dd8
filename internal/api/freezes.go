package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
	"upkeep/internal/window"
)

// Freeze is a span in which nothing disruptive starts.
type Freeze struct {
	ID      string    `json:"id" doc:"Given by Upkeep." example:"0199f3c5-2b6f-7d90-a3e8-91c4d7f05b28"`
	Project string    `json:"project,omitempty" doc:"Whose servers it holds for; missing: those of every project." example:"default"`
	Start   time.Time `json:"start" doc:"From when." example:"2026-12-20T00:00:00Z"`
	End     time.Time `json:"end" doc:"Until when." example:"2027-01-04T00:00:00Z"`
	Reason  string    `json:"reason" doc:"Why; people read it." example:"Holiday season"`
}

// FreezeList is all freezes.
type FreezeList struct {
	Items []Freeze `json:"items" doc:"The freezes, by start."`
}

// FreezeInput is what a caller says of a freeze.
type FreezeInput struct {
	Project string    `json:"project,omitempty" maxLength:"63" doc:"Whose servers; the token's own project if left out, and those of every project if the token is for all." example:"default"`
	Start   time.Time `json:"start" doc:"From when." example:"2026-12-20T00:00:00Z"`
	End     time.Time `json:"end" doc:"Until when: after the start, by at most 366 days." example:"2027-01-04T00:00:00Z"`
	Reason  string    `json:"reason" maxLength:"1024" doc:"Why; people read it." example:"Holiday season"`
}

type (
	listFreezesIn  struct{ InProject }
	listFreezesOut struct{ Body FreezeList }
	createFreezeIn struct {
		Keyed
		Body FreezeInput
	}
	freezeOut      struct{ Body Freeze }
	deleteFreezeIn struct {
		ID string `path:"freeze" maxLength:"63" doc:"The freeze's id." example:"0199f3c5-2b6f-7d90-a3e8-91c4d7f05b28"`
		Keyed
	}
)

func (d *door) freezes() {
	register(d, op{
		id: "listFreezes", call: "GET /v1/freezes", scope: identity.Read, tag: "freezes",
		summary: "List freezes", description: "Lists the freezes that have not ended, those for all projects included.",
	}, d.listFreezes)
	register(d, op{
		id: "createFreeze", call: "POST /v1/freezes", scope: identity.Write, tag: "freezes", creates: true,
		summary:     "Create a freeze",
		description: "From the start on nothing disruptive is begun; what would not end before it does not start either.",
	}, d.createFreeze)
	register(d, op{
		id: "deleteFreeze", call: "DELETE /v1/freezes/{freeze}", scope: identity.Write, tag: "freezes",
		summary: "Lift a freeze", description: "Removes a freeze. What waited for its end goes on.",
	}, d.deleteFreeze)
}

func (d *door) listFreezes(ctx context.Context, c desk.Caller, in *listFreezesIn) (*listFreezesOut, error) {
	all, err := d.desk.Freezes(ctx, c, in.Project)
	if err != nil {
		return nil, err
	}
	return &listFreezesOut{FreezeList{list(all, freezeOf)}}, nil
}

func (d *door) createFreeze(ctx context.Context, c desk.Caller, in *createFreezeIn) (*freezeOut, error) {
	b := in.Body
	f, err := d.desk.CreateFreeze(ctx, c, desk.FreezeSpec{Project: b.Project, Start: b.Start, End: b.End, Reason: b.Reason})
	if err != nil {
		return nil, err
	}
	return &freezeOut{freezeOf(f)}, nil
}

func (d *door) deleteFreeze(ctx context.Context, c desk.Caller, in *deleteFreezeIn) (*done, error) {
	return nil, d.desk.DeleteFreeze(ctx, c, in.ID)
}

func freezeOf(f window.Freeze) Freeze {
	return Freeze{ID: f.ID, Project: f.Project, Start: f.Span.Start.UTC(), End: f.Span.End.UTC(), Reason: f.Reason}
}
