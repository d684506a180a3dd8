package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/evidence"
	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/plan"
)

// Evidence is what the users of a service saw during a run.
type Evidence struct {
	Run         string `json:"run" doc:"The run's id." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d34"`
	Service     string `json:"service" doc:"The service's id."`
	ServiceName string `json:"serviceName" doc:"The service's name when the run was opened." example:"api-extension"`
	Runbook     string `json:"runbook" doc:"The runbook's name." example:"api-extension-restart"`
	State       State  `json:"state" doc:"Where the run is."`

	Began     time.Time          `json:"began,omitzero" doc:"Since when the service has been asked; missing if it has no probe, or nothing has begun yet."`
	Until     time.Time          `json:"until,omitzero" doc:"Until when it is known how it answered."`
	Asking    bool               `json:"asking" doc:"Whether it is asked now."`
	Gap       string             `json:"gap,omitempty" doc:"How long it was to be asked and was not, a duration; missing if it always was."`
	Words     string             `json:"words,omitempty" doc:"The sum in words; missing if nothing is known." example:"0 of 1,925 requests unanswered"`
	Total     EvidenceSum        `json:"total" doc:"Of all requests."`
	Before    EvidenceSum        `json:"before" doc:"Of those before the first member was taken out: to compare with."`
	Members   []EvidenceMember   `json:"members" doc:"One for each time a member was out, in order."`
	Endpoints []EvidenceEndpoint `json:"endpoints" doc:"One for each endpoint."`
	Series    []EvidencePoint    `json:"series" doc:"Sums over all endpoints, each of the same length, in order. Where nobody asked there is none."`
	Gaps      []EvidenceGap      `json:"gaps" doc:"When nobody asked."`
	Steps     []EvidenceStep     `json:"steps" doc:"The steps of the newest plan that have begun."`
}

// EvidenceSum is what became of requests.
type EvidenceSum struct {
	Sent       int     `json:"sent" doc:"How many were sent." example:"1925"`
	Unanswered int     `json:"unanswered" doc:"No whole answer came in time." example:"0"`
	Failed     int     `json:"failed" doc:"The answer was a 5xx." example:"0"`
	Slow       int     `json:"slow" doc:"The answer took longer than it should." example:"3"`
	Skipped    int     `json:"skipped" doc:"More that could not be sent, or whose answer nobody was there to see: they prove nothing." example:"0"`
	P50        float64 `json:"p50" doc:"The median of how long answers took, in milliseconds; in a sum the mean of its seconds' medians." example:"12.5"`
	P99        float64 `json:"p99" doc:"What 99 of 100 answers did not exceed, in milliseconds; in a sum the greatest of its seconds." example:"48"`
	Why        string  `json:"why,omitempty" doc:"What became of the last that was unanswered or failed." example:"no answer within 5s"`
}

// EvidenceMember is what users saw while a member was out.
type EvidenceMember struct {
	Name string    `json:"name" doc:"The member." example:"ctl1"`
	Out  time.Time `json:"out" doc:"When it was taken out."`
	Back time.Time `json:"back,omitzero" doc:"When it was back; missing if it is out."`
	EvidenceSum
}

// EvidenceEndpoint is what became of the requests to one endpoint.
type EvidenceEndpoint struct {
	Name string `json:"name" doc:"Its name in the service's probe." example:"list"`
	EvidenceSum
}

// EvidencePoint is what became of the requests of one stretch of time.
type EvidencePoint struct {
	At       time.Time `json:"at" doc:"When it began."`
	Span     string    `json:"span" doc:"How long it is, a duration." example:"1s"`
	Endpoint string    `json:"endpoint,omitempty" doc:"The endpoint; missing in a sum over all." example:"list"`
	EvidenceSum
}

// EvidenceGap is a stretch in which nobody asked.
type EvidenceGap struct {
	From time.Time `json:"from" doc:"From when."`
	To   time.Time `json:"to" doc:"Until when."`
}

// EvidenceStep is when a step was done.
type EvidenceStep struct {
	ID      string    `json:"id" doc:"The step's id." example:"g1.ctl1.restart"`
	Title   string    `json:"title" doc:"What it is called." example:"ctl1 restart"`
	Member  string    `json:"member,omitempty" doc:"The member that it is about." example:"ctl1"`
	Ordered time.Time `json:"ordered" doc:"When it was ordered."`
	Ended   time.Time `json:"ended,omitzero" doc:"When it ended; missing if it has not."`
}

// EvidenceSecondList is a page of what was seen.
type EvidenceSecondList struct {
	Items []EvidencePoint `json:"items" doc:"By time and endpoint. A run's first two hours are kept per second, its first day per ten seconds, the rest per minute."`
	Next  string          `json:"next,omitempty" doc:"What to give as after for the next page; missing on the last."`
}

// evidencePoints is how long a series may be.
const evidencePoints = 600

type (
	evidenceOut struct{ Body Evidence }
	secondsIn   struct {
		RunPath
		Page
		After string `query:"after" maxLength:"100" doc:"A page's next."`
	}
	secondsOut struct{ Body EvidenceSecondList }
)

func (d *door) evidence() {
	register(d, op{
		id: "getEvidence", call: "GET /v1/runs/{run}/evidence", scope: identity.Read, tag: "runs",
		summary: "Show what users saw during a run",
		description: "Shows how a service answered its probe all the while a run of a runbook was open on it, and while which member was out. " +
			"What nobody asked is told as a gap, never as good. The single seconds are forgotten after 400 days; the sum stays.",
	}, d.getEvidence)
	register(d, op{
		id: "listEvidenceSeconds", call: "GET /v1/runs/{run}/evidence/seconds", scope: identity.Read, tag: "runs",
		summary: "List what users saw second by second", description: "Lists what became of the requests to each endpoint, by time and endpoint.",
	}, d.listSeconds)
}

func (d *door) getEvidence(ctx context.Context, c desk.Caller, in *runIn) (*evidenceOut, error) {
	e, err := d.desk.Evidence(ctx, c, in.ID, evidencePoints)
	if err != nil {
		return nil, err
	}
	return &evidenceOut{evidenceOf(e)}, nil
}

func (d *door) listSeconds(ctx context.Context, c desk.Caller, in *secondsIn) (*secondsOut, error) {
	var after time.Time
	text, endpoint, paged := strings.Cut(in.After, "/")
	if in.After != "" {
		us, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !paged {
			return nil, fault.Invalid("after", "is no page's next")
		}
		after = time.UnixMicro(us)
	}
	all, err := d.desk.Seconds(ctx, c, in.ID, after, endpoint, in.Limit)
	if err != nil {
		return nil, err
	}
	cursor := func(s evidence.Second) string { return fmt.Sprintf("%d/%s", s.At.UnixMicro(), s.Endpoint) }
	return &secondsOut{EvidenceSecondList{Items: list(all, pointOf), Next: next(all, in.Limit, cursor)}}, nil
}

func evidenceOf(e desk.Evidence) Evidence {
	r, rep := e.Run, e.Report
	out := Evidence{
		Run: r.ID, Service: r.Target, ServiceName: r.Name, Runbook: r.Book.Runbook.Name, State: State(r.State),
		Began: rep.Watch.Began.UTC(), Until: rep.Watch.Newest.UTC(), Asking: rep.Watch.On, Gap: optional(rep.Watch.Gap.Round(time.Second)),
		Total: sumOf(rep.Sum), Before: sumOf(rep.Before),
		Members: list(rep.Shares, func(s evidence.Share) EvidenceMember {
			return EvidenceMember{Name: s.Member, Out: s.From.UTC(), Back: s.To.UTC(), EvidenceSum: sumOf(s.Sum)}
		}),
		Endpoints: list(rep.Endpoints, func(s evidence.Second) EvidenceEndpoint {
			return EvidenceEndpoint{Name: s.Endpoint, EvidenceSum: sumOf(s)}
		}),
		Series: list(rep.Series, pointOf),
		Gaps:   list(rep.Gaps, func(g evidence.Gap) EvidenceGap { return EvidenceGap{From: g.From.UTC(), To: g.To.UTC()} }),
		Steps:  []EvidenceStep{},
	}
	if t := rep.Watch.Total; t.Sent > 0 {
		out.Words = t.Words()
		// The seconds may be forgotten; their sum is not.
		out.Total.Sent, out.Total.Unanswered, out.Total.Failed, out.Total.Slow, out.Total.Skipped = t.Sent, t.Unanswered, t.Failed, t.Slow, t.Skipped
	}
	for _, s := range r.Plan.Root.Steps() {
		at := r.Progress[s.ID]
		if at.First.IsZero() {
			continue
		}
		step := EvidenceStep{ID: s.ID, Title: s.Title, Member: s.Member, Ordered: at.Ordered.UTC()}
		if at.Stage != plan.Running {
			step.Ended = at.Ended.UTC()
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

func pointOf(s evidence.Second) EvidencePoint {
	return EvidencePoint{At: s.At.UTC(), Span: duration(s.Span), Endpoint: s.Endpoint, EvidenceSum: sumOf(s)}
}

func sumOf(s evidence.Second) EvidenceSum {
	return EvidenceSum{
		Sent: s.Sent(), Unanswered: s.Unanswered, Failed: s.Failed, Slow: s.Slow, Skipped: s.Skipped,
		P50: millis(s.P50), P99: millis(s.P99), Why: s.Why,
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
