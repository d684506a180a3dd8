package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
	"upkeep/internal/run"
)

// Clashes is what schedules want at once in the coming days.
type Clashes struct {
	From    time.Time `json:"from" doc:"From when was looked."`
	To      time.Time `json:"to" doc:"Until when."`
	Items   []Clash   `json:"items" doc:"The clashes, by start; at most 500."`
	Total   int       `json:"total" doc:"How many there are." example:"1"`
	Looked  int       `json:"looked" doc:"How many schedules were looked at." example:"12"`
	Partial bool      `json:"partial,omitempty" doc:"Whether there are more schedules than are looked at, 10000: then those of services, and of servers that are in a group or have members of a service, were looked at first."`
}

// Clash is that not all can have what they want at one time. They wait for each other; nothing is disrupted twice.
type Clash struct {
	Kind   string    `json:"kind" doc:"claim: more than one wants it at once. places: more want a place of it than it has. freeze: freezes leave too little of a window. unable: its run can't be opened. anytime: the last of who, a rollout in an environment without a window, may begin at any time, so also then; only the first time is told. More may come." example:"claim"`
	What   string    `json:"what,omitempty" doc:"What is wanted." example:"server/ctl1"`
	Start  time.Time `json:"start" doc:"From when."`
	End    time.Time `json:"end" doc:"Until when."`
	Who    []string  `json:"who" doc:"Who wants it: schedules, as SERVER/NAME or SERVICE/NAME, claims and rollouts; the first ten." example:"[\"api-extension/weekly\",\"ctl1/weekend\"]"`
	More   int       `json:"more,omitempty" doc:"How many more." example:"2"`
	Most   int       `json:"most" doc:"How many want it at once." example:"2"`
	Places int       `json:"places" doc:"How many can have it." example:"1"`
	Short  string    `json:"short,omitempty" doc:"How much more time they need, one after the other, than their windows have, by estimate; missing if they fit." example:"40m"`
	Why    string    `json:"why,omitempty" doc:"Of a freeze: its reason. Of what can't be opened: why." example:"Holiday season"`
}

type (
	clashesIn struct {
		InProject
		Days int `query:"days" minimum:"0" maximum:"31" doc:"How many days are looked through; 14 if left out." example:"14"`
	}
	clashesOut struct{ Body Clashes }
)

func (d *door) clashes() {
	register(d, op{
		id: "listClashes", call: "GET /v1/clashes", scope: identity.Read, tag: "planning",
		summary: "Preview clashes",
		description: "Looks through the windows of all schedules of a project in the coming days, with what they claim and about how long they need it: " +
			"which of them want the same thing at once, by how much they do not fit one after the other, and which windows are swallowed by freezes.",
	}, d.listClashes)
}

func (d *door) listClashes(ctx context.Context, c desk.Caller, in *clashesIn) (*clashesOut, error) {
	days := in.Days
	if days == 0 {
		days = desk.ClashDays
	}
	all, err := d.desk.Clashes(ctx, c, in.Project, days)
	if err != nil {
		return nil, err
	}
	return &clashesOut{Clashes{
		From: all.From.UTC(), To: all.To.UTC(), Items: list(all.Found, clashOf), Total: all.Total, Looked: all.Looked, Partial: all.Partial,
	}}, nil
}

func clashOf(c run.Clash) Clash {
	return Clash{
		Kind: string(c.Kind), What: c.What, Start: c.Span.Start, End: c.Span.End, Who: texts(c.Who), More: c.More, Most: c.Most, Places: c.Places,
		Short: optional(c.Short), Why: c.Why,
	}
}
