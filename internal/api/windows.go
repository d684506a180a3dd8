package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/plan"
	"upkeep/internal/run"
)

// WindowInput asks when a window would open.
type WindowInput struct {
	RRule    string    `json:"rrule,omitempty" maxLength:"4096" doc:"When it opens, as RFC 5545 writes it." example:"DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA"`
	Weekly   *Weekly   `json:"weekly,omitempty" doc:"When it opens, in place of rrule: once a week."`
	Duration string    `json:"duration" doc:"How long it stays open, a duration from 1m to 24h." example:"2h"`
	From     time.Time `json:"from,omitzero" doc:"The first instant to look at; now if left out." example:"2026-03-01T00:00:00Z"`
	Limit    int       `json:"limit,omitempty" minimum:"0" maximum:"100" doc:"How many occurrences at most; 5 if left out." example:"5"`
	Project  string    `json:"project,omitempty" maxLength:"63" doc:"Whose freezes are looked at; the token's own project if left out."`
}

// WindowPreview is when a window would open.
type WindowPreview struct {
	RRule       string       `json:"rrule" doc:"When it opens, as RFC 5545 writes it."`
	Words       string       `json:"words" doc:"When it opens, in words." example:"every week on Saturday at 02:30 (Europe/Berlin)"`
	Zone        string       `json:"zone" doc:"The time zone that it is told in." example:"Europe/Berlin"`
	Duration    string       `json:"duration" doc:"How long it stays open, a duration." example:"2h"`
	Occurrences []Occurrence `json:"occurrences" doc:"The occurrences, in order; one that is open at the start is among them."`
}

// SimulationInput asks what a run would do.
type SimulationInput struct {
	Server         string  `json:"server" minLength:"1" maxLength:"63" doc:"The server's id, or its name in the project." example:"web-1"`
	Project        string  `json:"project,omitempty" maxLength:"63" doc:"The server's project; the token's own if left out."`
	Schedule       string  `json:"schedule,omitempty" maxLength:"126" doc:"In the windows of this schedule: its id, or its name on the server." example:"weekly"`
	RRule          string  `json:"rrule,omitempty" maxLength:"4096" doc:"In a window that nobody has yet, as RFC 5545 writes it. With neither this nor a schedule: now."`
	UpdatePolicy   string  `json:"updatePolicy,omitempty" maxLength:"126" doc:"In the window that this update policy, by its id or name, gives the server, and as it says." example:"Default Update Schedule"`
	Duration       string  `json:"duration,omitempty" doc:"How long the window stays open, or a run that starts now may take, a duration from 1m to 24h; needed unless a schedule or an update policy is named." example:"2h"`
	Policy         *Policy `json:"policy,omitempty" doc:"How the update is done; not with a schedule or an update policy, whose own holds."`
	OverrideFreeze bool    `json:"overrideFreeze,omitempty" doc:"As if freezes were overridden; with a run that starts now only."`
}

// Simulation is what would be done, if nothing failed and everything took as long as estimated.
type Simulation struct {
	Steps   []SimulatedStep `json:"steps" doc:"What would be done, in order."`
	Waits   []SimulatedWait `json:"waits" doc:"When nothing could start, and why."`
	Windows int             `json:"windows" doc:"How many windows it would use." example:"2"`
	End     time.Time       `json:"end,omitzero" doc:"When it would end; missing if it does not within 120 days."`
	Outcome string          `json:"outcome,omitempty" doc:"How it would end: succeeded, failed or aborted; missing if it does not." example:"succeeded"`
	Text    string          `json:"text,omitempty" doc:"What it would come to, in a sentence."`
}

// SimulatedStep is one step that would be done.
type SimulatedStep struct {
	Step     string    `json:"step" doc:"The step." example:"g2-2-install"`
	Title    string    `json:"title,omitempty" doc:"What a runbook calls it, after the member that it is about." example:"ctl1 drain lb1"`
	Member   string    `json:"member,omitempty" doc:"The member of a service that it is about." example:"ctl1"`
	Action   string    `json:"action" doc:"What would be done." example:"install"`
	Packages []Package `json:"packages,omitempty" doc:"With what."`
	Command  string    `json:"command,omitempty" doc:"The name of the command, of a backup, command or check." example:"drain"`
	DryRun   bool      `json:"dryRun,omitempty" doc:"Whether the server would only say what it would do."`
	Disrupts bool      `json:"disrupts" doc:"Whether it could interrupt what the server serves."`
	Closing  bool      `json:"closing,omitempty" doc:"Whether it would bring back what an earlier step took away, or look whether all is well."`
	Undo     string    `json:"undo" doc:"How it could be taken back: none, reverse, restore, forward-only." example:"none"`
	Start    time.Time `json:"start" doc:"When it would begin."`
	End      time.Time `json:"end" doc:"When it would end."`
}

// SimulatedWait is a stretch in which nothing could start.
type SimulatedWait struct {
	Start time.Time `json:"start" doc:"From when."`
	End   time.Time `json:"end,omitzero" doc:"Until when; missing if it would not end within 120 days."`
	Why   Wait      `json:"why" doc:"Why."`
}

type (
	windowsIn struct {
		Tongue
		Body WindowInput
	}
	windowsOut struct{ Body WindowPreview }
	simulateIn struct {
		Tongue
		Body SimulationInput
	}
	simulateOut struct{ Body Simulation }
)

func (d *door) windows() {
	register(d, op{
		id: "previewWindows", call: "POST /v1/windows", scope: identity.Read, tag: "planning",
		summary: "Preview a window", description: "Says when a window would open, whether or not a schedule has it. Nothing is kept.",
	}, d.previewWindows)
	register(d, op{
		id: "simulate", call: "POST /v1/simulations", scope: identity.Read, tag: "planning",
		summary: "Simulate a run",
		description: "Forecasts a run with the planner that real runs use, from what the server looked like when it was last looked at. " +
			"Nothing is touched, and nothing is kept.",
	}, d.simulate)
}

// upcoming is how many occurrences a window is previewed with.
const upcoming = 5

func (d *door) previewWindows(ctx context.Context, c desk.Caller, in *windowsIn) (*windowsOut, error) {
	b := in.Body
	length, err := parseDuration("duration", b.Duration)
	if err != nil {
		return nil, err
	}
	if b.From.IsZero() {
		b.From = time.Now()
	}
	if b.Limit == 0 {
		b.Limit = upcoming
	}
	rrule, err := rruleOf(b.RRule, b.Weekly)
	if err != nil {
		return nil, err
	}
	w, all, err := d.desk.Windows(ctx, c, b.Project, rrule, length, b.From, b.Limit)
	if err != nil {
		return nil, err
	}
	return &windowsOut{WindowPreview{
		RRule: w.Recurrence.String(), Words: w.Recurrence.Words(in.lang()), Zone: w.Recurrence.Zone().String(), Duration: duration(w.Duration),
		Occurrences: list(all, occurrenceOf),
	}}, nil
}

func (d *door) simulate(ctx context.Context, c desk.Caller, in *simulateIn) (*simulateOut, error) {
	spec, err := simulateSpec(in.Body)
	if err != nil {
		return nil, err
	}
	f, err := d.desk.Simulate(ctx, c, spec)
	if err != nil {
		return nil, err
	}
	return &simulateOut{simulationOf(f, in.lang())}, nil
}

func simulationOf(f run.Forecast, lang string) Simulation {
	zone := zoneOf(f)
	return Simulation{
		Steps: list(f.Steps, func(s run.ForecastStep) SimulatedStep {
			return SimulatedStep{
				Step: s.Step, Title: s.Title, Member: s.Member, Action: string(s.Action), Packages: packagesOf(s.Packages),
				Command: s.Command, DryRun: s.DryRun, Disrupts: s.Disrupts, Closing: s.Closing, Undo: string(s.Undo),
				Start: s.Span.Start.In(zone), End: s.Span.End.In(zone),
			}
		}),
		Waits: list(f.Waits, func(w run.ForecastWait) SimulatedWait {
			return SimulatedWait{Start: w.Span.Start.In(zone), End: inZone(w.Span.End, zone), Why: waitOf(w.Reason, lang, zone)}
		}),
		Windows: f.Windows, End: inZone(f.End, zone), Outcome: string(f.Outcome), Text: f.Text,
	}
}

// simulateSpec refuses what would be passed over in silence.
func simulateSpec(b SimulationInput) (s desk.SimulateSpec, err error) {
	s = desk.SimulateSpec{RRule: b.RRule, Template: b.UpdatePolicy, RunSpec: desk.RunSpec{
		Project: b.Project, Server: b.Server, Schedule: b.Schedule, OverrideFreeze: b.OverrideFreeze,
	}}
	named := "a schedule"
	if b.Schedule == "" && b.UpdatePolicy != "" {
		named = "an update policy"
	}
	whole := b.Schedule != "" || b.UpdatePolicy != ""
	switch {
	case b.Schedule != "" && b.UpdatePolicy != "":
		return s, fault.Invalid("updatePolicy", "goes without a schedule")
	case whole && b.RRule != "":
		return s, fault.Invalid("rrule", "goes without %s", named)
	case whole && b.Duration != "":
		return s, fault.Invalid("duration", "goes without %s, which has its own", named)
	case whole && b.Policy != nil:
		return s, fault.Invalid("policy", "goes without %s, which has its own", named)
	case b.OverrideFreeze && (whole || b.RRule != ""):
		return s, fault.Invalid("overrideFreeze", "goes with a run that starts now, not with a window")
	}
	if s.Duration, err = parseDuration("duration", b.Duration); err != nil {
		return s, err
	}
	s.Policy, err = b.Policy.fleet()
	return s, err
}

// zoneOf is where a forecast's windows are told; UTC if it waits for none. What
// package window finds is in the window's own zone.
func zoneOf(f run.Forecast) *time.Location {
	for _, w := range f.Waits {
		if w.Reason.Code == plan.WindowClosed || w.Reason.Code == plan.DoesNotFit {
			return w.Reason.Until.Location()
		}
	}
	return time.UTC
}
