package api

import (
	"strconv"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/rollout"
	"upkeep/internal/window"
)

// Train says through which environments releases go.
type Train struct {
	Project   string                    `json:"project" doc:"Whose it is." example:"default"`
	Name      string                    `json:"name" doc:"Unique in its project." example:"scs"`
	Installed map[string]TrainInstalled `json:"installed" doc:"What environments have, by name, since the last phase of a rollout ended there."`
	Changed   time.Time                 `json:"changed,omitzero" doc:"When it was last changed."`
	TrainInput
	Revision int64 `json:"revision" doc:"Counts its changes." example:"1"`
}

// TrainInstalled is what an environment has.
type TrainInstalled struct {
	Version string            `json:"version" doc:"The release." example:"R4"`
	Digests map[string]string `json:"digests" doc:"The digests that its phases have brought, by component."`
	Since   time.Time         `json:"since" doc:"Since when."`
}

// TrainList is all trains of a project.
type TrainList struct {
	Items []Train `json:"items" doc:"The trains, by name."`
}

// TrainInput is what a caller says of a train.
type TrainInput struct {
	Title        string             `json:"title,omitempty" maxLength:"200" doc:"What it carries, in a line." example:"The cloud, region by region"`
	Environments []TrainEnvironment `json:"environments" maxItems:"32" doc:"Where releases go, parents before their children."`
	Phases       []TrainPhase       `json:"phases,omitempty" maxItems:"100" doc:"What is done, one after the other, in environments that have no phases of their own."`
	Gates        []TrainGate        `json:"gates,omitempty" maxItems:"32" doc:"What must pass in environments that have no gates of their own."`
	Catalogue    *TrainCatalogue    `json:"catalogue,omitempty" doc:"Which release may follow which; every one may, if left out."`
}

// TrainEnvironment is a place that releases come to.
type TrainEnvironment struct {
	Name      string            `json:"name" minLength:"1" maxLength:"63" doc:"Unique in the train; {{environment.name}} unless with says otherwise." example:"stage"`
	Project   string            `json:"project,omitempty" maxLength:"63" doc:"Of its services and runbooks; the train's if left out."`
	After     string            `json:"after,omitempty" maxLength:"63" doc:"The environment in which a release must have soaked before it comes here; none if left out." example:"dev"`
	Region    bool              `json:"region,omitempty" doc:"Whether it is a region: at most one of those is worked at, at a time."`
	Soak      string            `json:"soak,omitempty" doc:"How long a release must run well here before it goes on, a duration up to 90d." example:"7d"`
	Window    *TrainWindow      `json:"window,omitempty" doc:"When it may be worked at; always, if left out."`
	Approvals int               `json:"approvals,omitempty" minimum:"0" maximum:"10" doc:"How many persons must approve the plan; who has started the rollout is none of them." example:"2"`
	Runs      string            `json:"runs,omitempty" maxLength:"63" doc:"The release that it has before its first rollout; needed where there is a catalogue." example:"R3"`
	With      map[string]string `json:"with,omitempty" maxProperties:"32" doc:"What {{environment.KEY}} stands for in phases and gates."`
	Phases    []TrainPhase      `json:"phases,omitempty" maxItems:"100" doc:"What is done here, one after the other; the train's phases if left out."`
	Gates     []TrainGate       `json:"gates,omitempty" maxItems:"32" doc:"What must pass here; the train's gates if left out."`
}

// TrainWindow is when an environment may be worked at.
type TrainWindow struct {
	RRule    string `json:"rrule" maxLength:"4096" doc:"When it opens, as RFC 5545 writes it." example:"DTSTART;TZID=Europe/Berlin:20260105T180000 RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH"`
	Duration string `json:"duration" doc:"How long it stays open, a duration from 1m to 24h of elapsed time." example:"5h"`
}

// TrainPhase is one runbook on one service.
type TrainPhase struct {
	Name      string            `json:"name" minLength:"1" maxLength:"63" doc:"Unique in its list." example:"keystone"`
	Component string            `json:"component,omitempty" maxLength:"63" doc:"What it brings, for people." example:"keystone"`
	Service   string            `json:"service" minLength:"1" maxLength:"200" doc:"The service's name; it may have places such as {{environment.name}}." example:"keystone"`
	Runbook   string            `json:"runbook" minLength:"1" maxLength:"63" doc:"The runbook's name." example:"keystone-upgrade"`
	Params    map[string]string `json:"params,omitempty" maxProperties:"32" doc:"Values of the runbook's parameters, with places: {{release.version}}, {{digest.COMPONENT}}, {{environment.KEY}}."`
}

// TrainGate is a check that must pass.
type TrainGate struct {
	Name    string            `json:"name" minLength:"1" maxLength:"63" doc:"Unique in its list." example:"latency"`
	Kind    string            `json:"kind" doc:"How it is asked: http and query by the control plane, as in steps of runbooks; runbook by a run of a runbook that only looks." example:"query"`
	At      []string          `json:"at,omitempty" maxItems:"3" doc:"When it is asked: before the first phase, after the last one, or again and again during the soak; after, if left out."`
	With    map[string]string `json:"with,omitempty" maxProperties:"32" doc:"Of http and query: as in a runbook's step, with places as in phases."`
	Service string            `json:"service,omitempty" maxLength:"200" doc:"Of runbook: the service."`
	Runbook string            `json:"runbook,omitempty" maxLength:"63" doc:"Of runbook: the runbook, which must only look."`
	Params  map[string]string `json:"params,omitempty" maxProperties:"32" doc:"Of runbook: values of its parameters."`
	Every   string            `json:"every,omitempty" doc:"The pause between two asks during the soak, a duration of at least 1m; 1h if left out." example:"1h"`
}

// TrainCatalogue is the order of releases.
type TrainCatalogue struct {
	Releases []CatalogueRelease `json:"releases" maxItems:"200" doc:"The oldest first. A release may follow the one before it, or one with slurp the last one with slurp past the one between."`
	Rules    []CatalogueRule    `json:"rules,omitempty" maxItems:"200" doc:"How far components may go in one step; no component goes back."`
}

// CatalogueRelease is a release in the catalogue.
type CatalogueRelease struct {
	Version    string            `json:"version" minLength:"1" maxLength:"63" doc:"Its version." example:"R5"`
	Slurp      bool              `json:"slurp,omitempty" doc:"Whether one may go from it to the next one with slurp."`
	Components map[string]string `json:"components,omitempty" maxProperties:"200" doc:"The versions of its components." example:"{\"ceph\":\"quincy\"}"`
}

// CatalogueRule is how far a component may go in one step.
type CatalogueRule struct {
	Component string          `json:"component" minLength:"1" maxLength:"63" doc:"The component." example:"ceph"`
	Versions  []string        `json:"versions" maxItems:"200" doc:"Its versions, the oldest first."`
	Step      int             `json:"step,omitempty" minimum:"0" maximum:"200" doc:"How many versions on at most; 1 if left out." example:"2"`
	Jumps     []CatalogueJump `json:"jumps,omitempty" maxItems:"200" doc:"What is allowed besides."`
}

// CatalogueJump is a way past versions that may be gone.
type CatalogueJump struct {
	From string `json:"from" doc:"From this version." example:"3.8"`
	To   string `json:"to" doc:"To this one." example:"3.11"`
}

// Release is what a train carries.
type Release struct {
	Project string `json:"project" doc:"Whose it is." example:"default"`
	Train   string `json:"train" doc:"The train's name." example:"scs"`
	Version string `json:"version" doc:"Unique in the train." example:"R4"`
	ReleaseInput
	Veto     *ReleaseVeto `json:"veto,omitempty" doc:"Why it goes nowhere any more; missing if nobody objects."`
	Changed  time.Time    `json:"changed,omitzero" doc:"When it was last changed."`
	Revision int64        `json:"revision" doc:"Counts its changes." example:"1"`
}

// ReleaseList is all releases of a train.
type ReleaseList struct {
	Items []Release `json:"items" doc:"The releases, by version."`
}

// ReleaseInput is what a caller says of a release.
type ReleaseInput struct {
	Title   string            `json:"title,omitempty" maxLength:"200" doc:"What it is, in a line." example:"OpenStack Zed, Ceph Pacific"`
	Digests map[string]string `json:"digests,omitempty" maxProperties:"200" doc:"The digest of each component's image." example:"{\"keystone\":\"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}"`
	Issues  []ReleaseIssue    `json:"issues,omitempty" maxItems:"100" doc:"What is known of it that a person must see to."`
}

// ReleaseIssue is something known of a release.
type ReleaseIssue struct {
	ID     string `json:"id" minLength:"1" maxLength:"63" doc:"Unique in the release." example:"gh973"`
	Text   string `json:"text" minLength:"1" maxLength:"4096" doc:"What a person acknowledges." example:"Volumes must be migrated first"`
	Before string `json:"before,omitempty" maxLength:"63" doc:"The environment before which it must be acknowledged; the first, if left out." example:"prod1"`
	Veto   bool   `json:"veto,omitempty" doc:"Whether it is waived only with a reason."`
}

// ReleaseVeto is a person's objection to a release.
type ReleaseVeto struct {
	By     string    `json:"by" doc:"Who objects." example:"user/eve"`
	Reason string    `json:"reason" doc:"Why." example:"RabbitMQ splits under load"`
	At     time.Time `json:"at" doc:"When it was said."`
}

func (in TrainInput) train(name string) (rollout.Train, error) {
	var l lengths
	t := rollout.Train{Name: name, Title: in.Title, Phases: each(in.Phases, phaseIn), Gates: l.gates("gates", in.Gates)}
	for i, e := range in.Environments {
		field := "environments[" + strconv.Itoa(i) + "]"
		env := rollout.Environment{
			Name: e.Name, Project: e.Project, After: e.After, Region: e.Region, Soak: l.read(field+".soak", e.Soak),
			Approvals: e.Approvals, Runs: e.Runs, With: e.With, Phases: each(e.Phases, phaseIn), Gates: l.gates(field+".gates", e.Gates),
		}
		if e.Window != nil {
			w, err := e.Window.window(field + ".window")
			if err != nil {
				return t, err
			}
			env.Window = w
		}
		t.Environments = append(t.Environments, env)
	}
	if c := in.Catalogue; c != nil {
		t.Catalogue = rollout.Catalogue{
			Releases: each(c.Releases, func(r CatalogueRelease) rollout.Listed { return rollout.Listed(r) }),
			Rules: each(c.Rules, func(r CatalogueRule) rollout.Rule {
				return rollout.Rule{
					Component: r.Component, Versions: r.Versions, Step: r.Step,
					Jumps: each(r.Jumps, func(j CatalogueJump) rollout.Jump { return rollout.Jump(j) }),
				}
			}),
		}
	}
	return t, l.err
}

func (w TrainWindow) window(field string) (window.Window, error) {
	length, err := parseDuration(field+".duration", w.Duration)
	if err != nil {
		return window.Window{}, err
	}
	r, err := window.ParseRRule(w.RRule)
	if err == nil {
		var out window.Window
		if out, err = window.New(r, length); err == nil {
			return out, nil
		}
	}
	return window.Window{}, fault.Invalid(field, "%v", err)
}

func phaseIn(p TrainPhase) rollout.Phase { return rollout.Phase(p) }

func phaseOut(p rollout.Phase) TrainPhase { return TrainPhase(p) }

func (l *lengths) gates(field string, in []TrainGate) []rollout.Gate {
	i := -1
	return each(in, func(g TrainGate) rollout.Gate {
		i++
		return rollout.Gate{
			Name: g.Name, Kind: rollout.GateKind(g.Kind), At: each(g.At, func(w string) rollout.When { return rollout.When(w) }),
			With: g.With, Service: g.Service, Runbook: g.Runbook, Params: g.Params,
			Every: l.read(field+"["+strconv.Itoa(i)+"].every", g.Every),
		}
	})
}

func gateOut(g rollout.Gate) TrainGate {
	return TrainGate{
		Name: g.Name, Kind: string(g.Kind), At: each(g.At, func(w rollout.When) string { return string(w) }),
		With: g.With, Service: g.Service, Runbook: g.Runbook, Params: g.Params, Every: optional(g.Every),
	}
}

func trainOf(s rollout.StoredTrain) Train {
	t := s.Train
	out := Train{
		Project: s.Project, Name: t.Name, Installed: map[string]TrainInstalled{}, Changed: s.Changed.UTC(), Revision: s.Revision,
		TrainInput: TrainInput{
			Title: t.Title, Phases: each(t.Phases, phaseOut), Gates: each(t.Gates, gateOut),
			Environments: list(t.Environments, environmentOut),
		},
	}
	for name, i := range s.Installed {
		out.Installed[name] = TrainInstalled{Version: i.Version, Digests: notNil(i.Digests), Since: i.Since.UTC()}
	}
	if c := t.Catalogue; len(c.Releases) > 0 {
		out.Catalogue = &TrainCatalogue{
			Releases: list(c.Releases, func(r rollout.Listed) CatalogueRelease { return CatalogueRelease(r) }),
			Rules: each(c.Rules, func(r rollout.Rule) CatalogueRule {
				return CatalogueRule{
					Component: r.Component, Versions: texts(r.Versions), Step: r.Step,
					Jumps: each(r.Jumps, func(j rollout.Jump) CatalogueJump { return CatalogueJump(j) }),
				}
			}),
		}
	}
	return out
}

func environmentOut(e rollout.Environment) TrainEnvironment {
	out := TrainEnvironment{
		Name: e.Name, Project: e.Project, After: e.After, Region: e.Region, Soak: optional(e.Soak), Approvals: e.Approvals,
		Runs: e.Runs, With: e.With, Phases: each(e.Phases, phaseOut), Gates: each(e.Gates, gateOut),
	}
	if !e.Window.Recurrence.IsZero() {
		out.Window = &TrainWindow{RRule: e.Window.Recurrence.String(), Duration: duration(e.Window.Duration)}
	}
	return out
}

func releaseOf(s rollout.StoredRelease) Release {
	r := s.Release
	out := Release{
		Project: s.Project, Train: r.Train, Version: r.Version, Changed: s.Changed.UTC(), Revision: s.Revision,
		ReleaseInput: ReleaseInput{
			Title: r.Title, Digests: r.Digests, Issues: each(r.Issues, func(i rollout.Issue) ReleaseIssue { return ReleaseIssue(i) }),
		},
	}
	if v := s.Veto; v != nil {
		out.Veto = &ReleaseVeto{By: v.By, Reason: v.Reason, At: v.At.UTC()}
	}
	return out
}

func (in ReleaseInput) release(train, version string) rollout.Release {
	return rollout.Release{
		Train: train, Version: version, Title: in.Title, Digests: in.Digests,
		Issues: each(in.Issues, func(i ReleaseIssue) rollout.Issue { return rollout.Issue(i) }),
	}
}
