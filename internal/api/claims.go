package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

// Claim is something that is held: nobody else disrupts it meanwhile.
type Claim struct {
	Claim   string    `json:"claim" doc:"What is held: server/NAME, service/NAME, group/NAME for one of a group's places, region/NAME, or what people have named. Of a node that is no server here: node/ID." example:"server/web-1"`
	Within  bool      `json:"within,omitempty" doc:"Whether its holder works only within it, as others may: who wants all of it waits."`
	Project string    `json:"project" doc:"Whose it is." example:"default"`
	ID      string    `json:"id,omitempty" doc:"Of what is held by hand: what to give to release it; missing if a run holds it." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d35"`
	Run     string    `json:"run,omitempty" doc:"The id of the run that holds it; missing if none does." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d34"`
	By      string    `json:"by" doc:"Who holds it: user/NAME, node/ID, or the server or service that the run works on." example:"user/alice"`
	Reason  string    `json:"reason,omitempty" doc:"What for." example:"new disk"`
	Node    string    `json:"node,omitempty" doc:"The node that restarts itself and holds a place of its group meanwhile." example:"0123456789abcdef"`
	Since   time.Time `json:"since,omitzero" doc:"Since when; of a run: since when it is at work."`
	Until   time.Time `json:"until,omitzero" doc:"When it ends by itself; missing if it is to be released, or ends with its run."`
	Key     string    `json:"key" doc:"Its place in the list." example:"target/0199f3c2-7d1a-7c3e-9b52-0d3c8a1e4f60"`
}

// ClaimList is a page of what is held.
type ClaimList struct {
	Items []Claim `json:"items" doc:"What is held, by key."`
	Next  string  `json:"next,omitempty" doc:"What to give as after for the next page; missing on the last."`
}

// HeldClaim is what a person has claimed.
type HeldClaim struct {
	ID      string    `json:"id" doc:"Given by Upkeep; what to give to release it." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d35"`
	Project string    `json:"project" doc:"Whose it is." example:"default"`
	Claims  []string  `json:"claims" doc:"What is held." example:"[\"server/web-1\"]"`
	By      string    `json:"by" doc:"Who holds it." example:"user/alice"`
	Reason  string    `json:"reason" doc:"What for." example:"new disk"`
	Since   time.Time `json:"since" doc:"Since when."`
	Until   time.Time `json:"until" doc:"When it ends by itself."`
}

// ClaimInput is what a person wants to hold.
type ClaimInput struct {
	Project string   `json:"project,omitempty" maxLength:"63" doc:"Whose it is; the token's own if left out."`
	Claims  []string `json:"claims" maxItems:"32" doc:"What is to be held, all of it or nothing: server/NAME, service/NAME with the servers of its members, group/NAME with all its places, region/NAME or cluster/NAME with all that have that label, or a name that people have agreed upon, such as database/keystone." example:"[\"server/web-1\"]"`
	For     string   `json:"for" doc:"How long until it ends by itself, a duration from 1m to 31d." example:"2h"`
	Reason  string   `json:"reason" maxLength:"1024" doc:"What for: who waits reads it." example:"new disk"`
}

type (
	listClaimsIn struct {
		InProject
		Page
		ByHand bool   `query:"byHand" doc:"Only what persons and nodes hold, and not what runs hold."`
		After  string `query:"after" maxLength:"400" doc:"Only those after this key: a page's next."`
	}
	listClaimsOut struct{ Body ClaimList }
	claimIn       struct {
		Keyed
		Body ClaimInput
	}
	claimOut       struct{ Body HeldClaim }
	releaseClaimIn struct {
		ID string `path:"claim" maxLength:"63" doc:"The id of what is held by hand." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d35"`
		Keyed
	}
)

func (d *door) claims() {
	register(d, op{
		id: "listClaims", call: "GET /v1/claims", scope: identity.Read, tag: "claims",
		summary: "List what is held", description: "Lists what runs hold while they disrupt, what persons hold by hand, and what nodes hold that restart themselves.",
	}, d.listClaims)
	register(d, op{
		id: "claim", call: "POST /v1/claims", scope: identity.Run, tag: "claims", creates: true,
		summary: "Claim something",
		description: "Holds what is named until its time is over or it is released: runs that need it wait, and say for whom. " +
			"Who holds just that already holds it for so long from now. It is a conflict if somebody else holds some of it.",
	}, d.claim)
	register(d, op{
		id: "releaseClaim", call: "DELETE /v1/claims/{claim}", scope: identity.Run, tag: "claims",
		summary: "Release a claim", description: "Gives back what a person holds, or a node that does not come back. What a run holds, it gives back itself.",
	}, d.releaseClaim)
}

func (d *door) listClaims(ctx context.Context, c desk.Caller, in *listClaimsIn) (*listClaimsOut, error) {
	all, err := d.desk.Claims(ctx, c, in.Project, in.After, in.Limit, in.ByHand)
	if err != nil {
		return nil, err
	}
	items := list(all, claimOf)
	return &listClaimsOut{ClaimList{Items: items, Next: next(items, in.Limit, func(c Claim) string { return c.Key })}}, nil
}

func (d *door) claim(ctx context.Context, c desk.Caller, in *claimIn) (*claimOut, error) {
	if in.Body.For == "" {
		return nil, fault.Invalid("for", "is required, from 1m to 31d")
	}
	length, err := parseDuration("for", in.Body.For)
	if err != nil {
		return nil, err
	}
	h, err := d.desk.Claim(ctx, c, desk.ClaimSpec{Project: in.Body.Project, Names: in.Body.Claims, For: length, Reason: in.Body.Reason})
	if err != nil {
		return nil, err
	}
	return &claimOut{heldOf(h)}, nil
}

func (d *door) releaseClaim(ctx context.Context, c desk.Caller, in *releaseClaimIn) (*done, error) {
	return nil, d.desk.Release(ctx, c, in.ID)
}

func heldOf(h fleet.Hold) HeldClaim {
	return HeldClaim{ID: h.ID, Project: h.Project, Claims: texts(h.Names), By: h.By, Reason: h.Reason, Since: h.Since.UTC(), Until: h.Until.UTC()}
}

func claimOf(c desk.Claimed) Claim {
	out := Claim{Claim: c.Name, Within: c.Within, Key: c.Key}
	if r := c.Run; r.ID != "" {
		out.Project, out.Run, out.By, out.Reason, out.Since = r.Project, r.ID, r.Name, r.Reason, r.Started.UTC()
		return out
	}
	h := c.Hold
	out.Project, out.ID, out.By, out.Reason, out.Node, out.Since = h.Project, h.ID, h.By, h.Reason, h.Node, h.Since.UTC()
	if !h.Until.IsZero() {
		out.Until = h.Until.UTC()
	}
	return out
}
