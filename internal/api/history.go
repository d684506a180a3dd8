package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/history"
	"upkeep/internal/identity"
)

// Fact is one thing that happened.
type Fact struct {
	Seq     int64     `json:"seq" doc:"Its number; grows, is never used again, and may skip." example:"4711"`
	At      time.Time `json:"at" doc:"When it happened."`
	Who     string    `json:"who" doc:"Who did it: engine, agent/NAME or user/NAME." example:"agent/web-1"`
	Project string    `json:"project,omitempty" doc:"Whose it is; missing if it is about all." example:"default"`
	Server  string    `json:"server,omitempty" doc:"The id of the server or service." example:"0199f3c2-7d1a-7c3e-9b52-0d3c8a1e4f60"`
	Run     string    `json:"run,omitempty" doc:"The run's id." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d34"`
	Rollout string    `json:"rollout,omitempty" doc:"The rollout's id." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d34"`
	Step    string    `json:"step,omitempty" doc:"The step of the run." example:"g2-2-install"`
	Kind    string    `json:"kind" doc:"What sort of fact it is, such as run.opened, step.ended or package.changed. More may come." example:"package.changed"`
	Text    string    `json:"text" doc:"A sentence for a person." example:"openssl 3.0.14-1 → 3.0.15-1"`
}

// FactList is a page of facts.
type FactList struct {
	Items []Fact `json:"items" doc:"The facts: by number, or newest first if that was asked for."`
	Last  int64  `json:"last" doc:"What to give as after to be told what comes next: the greatest number in the page, or what was given." example:"4711"`
}

type (
	historyIn struct {
		InProject
		Page
		Server  string `query:"server" maxLength:"63" doc:"Only facts about this server: its id, or its name in the project."`
		Service string `query:"service" maxLength:"63" doc:"Only facts about this service: its id, or its name in the project."`
		Run     string `query:"run" maxLength:"63" doc:"Only facts about this run: its id."`
		Rollout string `query:"rollout" maxLength:"63" doc:"Only facts about this rollout: its id, or its train's name, which means the newest."`
		After   int64  `query:"after" minimum:"0" doc:"Only facts with a greater number."`
		Newest  bool   `query:"newest" doc:"The newest first."`
		Wait    int    `query:"wait" minimum:"0" maximum:"30" doc:"If there are none: how many seconds to wait for the first. Then an empty page is answered."`
	}
	historyOut struct{ Body FactList }
)

func (d *door) history() {
	register(d, op{
		id: "listHistory", call: "GET /v1/history", scope: identity.Read, tag: "history", patience: maxWait,
		summary: "List what happened",
		description: "Lists facts. To follow them, ask with wait, and again with after set to the answer's last: nothing is missed between. " +
			"To follow one run, name it: its last fact is of the kind run.ended.",
	}, d.listHistory)
}

func (d *door) listHistory(ctx context.Context, c desk.Caller, in *historyIn) (*historyOut, error) {
	facts, err := d.desk.History(ctx, c, desk.HistoryFilter{
		Project: in.Project, Server: in.Server, Service: in.Service, Run: in.Run, Rollout: in.Rollout, After: in.After, Newest: in.Newest, Limit: in.Limit,
	}, time.Duration(in.Wait)*time.Second)
	if err != nil {
		return nil, err
	}
	out := FactList{Items: list(facts, factOf), Last: in.After}
	for _, f := range facts {
		out.Last = max(out.Last, f.Seq)
	}
	return &historyOut{out}, nil
}

func factOf(f history.Fact) Fact {
	return Fact{
		Seq: f.Seq, At: f.At.UTC(), Who: f.Who, Project: f.Project, Server: f.Target, Run: f.Run, Rollout: f.Rollout, Step: f.Step,
		Kind: string(f.Kind), Text: f.Text,
	}
}
