package rollout

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

// Check refuses a rollout of which some run could not be opened as things are.
// The error names the environment and the phase or gate.
func (r Rollout) Check(w World) error {
	t := ticker{r: r, w: w}
	for _, e := range w.Train.Train.Environments {
		v := r.values(w, e)
		for _, p := range w.Train.Train.PhasesOf(e) {
			if err := t.check(e, v.work(p.Service, p.Runbook, p.Params), e.Window); err != nil {
				return within(err, fmt.Sprintf("environment %s, phase %s", e.Name, p.Name))
			}
		}
		for _, g := range w.Train.Train.gatesOf(e) {
			if g.Kind != RunbookGate {
				continue
			}
			err := t.check(e, v.work(g.Service, g.Runbook, g.Params), window.Window{})
			if err == nil && disrupts(w.Books[r.project(e)+"/"+g.Runbook]) {
				err = fault.Invalid("runbook", "%s changes something, and a gate only looks", g.Runbook)
			}
			if err != nil {
				return within(err, fmt.Sprintf("environment %s, gate %s", e.Name, g.Name))
			}
		}
	}
	return nil
}

func (t *ticker) check(e Environment, does work, in window.Window) error {
	project := t.r.project(e)
	s, found := t.w.Services[project+"/"+does.service]
	if in.Recurrence.IsZero() {
		in = always(t.w.Now)
	}
	_, _, err := t.bookRun(project, does, s, found, run.Opening{ID: "check", Target: s.Target, Window: in})
	return err
}

// within says where in the train something can't be.
func within(err error, where string) error {
	return fault.Invalid("train", "%s: %v", where, err)
}

// Forecast is what a rollout would do, in which order and when, if nothing
// failed, everything took as long as estimated, and persons did what is asked
// of them at once.
type Forecast struct {
	Items []ForecastItem
	Asks  []Wait    // what persons must do: approvals, known issues
	Stuck []Wait    // what it waits for at the end, if it does not arrive
	End   time.Time // when the release has soaked everywhere; zero if that is not in sight
}

// ForecastItem is a phase or a soak in one environment.
type ForecastItem struct {
	Environment string
	Phase       string // empty: the soak
	Service     string
	Runbook     string
	Span        window.Span
	Windows     int      // how many occurrences of its window the phase uses
	Out         []Outage // what is out of service, and when
	NoReturn    []string // the steps from which nothing leads back
}

// Outage is a member of a service that is out of service for a time.
type Outage struct {
	Member string
	Span   window.Span
}

// Horizon and effort of a forecast.
const (
	forecastHorizon = 400 * 24 * time.Hour
	forecastTicks   = 100_000
	forecastIdle    = 24 * time.Hour // nothing there happens without its time being known
)

// Predict runs the very state machine that a rollout uses against a pretended
// world. Its runs are forecast by the planner that real runs use.
func Predict(r Rollout, w World) Forecast {
	p := prophet{r: r, w: w, until: w.Now.Add(forecastHorizon), runs: map[string]run.Run{}, ends: map[string]time.Time{}}
	p.w.Answers, p.w.Train.Installed = map[string]action.Result{}, maps.Clone(w.Train.Installed)
	if p.w.Train.Installed == nil {
		p.w.Train.Installed = map[string]Installed{}
	}
	for n := range forecastTicks {
		p.w.ID = fmt.Sprintf("forecast-%d", n)
		if !p.step() {
			break
		}
	}
	slices.SortStableFunc(p.f.Items, func(a, b ForecastItem) int { return a.Span.Start.Compare(b.Span.Start) })
	return p.f
}

type prophet struct {
	r     Rollout
	w     World
	until time.Time
	runs  map[string]run.Run
	ends  map[string]time.Time
	f     Forecast
}

// step ticks once and lets time go on to what happens next; false: there is
// nothing more to see.
func (p *prophet) step() bool {
	p.w.Runs = map[string]run.Run{}
	for _, id := range p.r.OpenRuns() {
		p.w.Runs[id] = p.runs[id]
	}
	was := p.r
	var next Next
	p.r, next = tick(p.r, p.w, forecastIdle)
	maps.Copy(p.w.Train.Installed, next.Installed)
	for _, o := range next.Orders {
		p.w.Answers[o.Key()] = action.Result{Outcome: action.Done}
		next.Wake = p.w.Now.Add(time.Second)
	}
	for _, opened := range next.Runs {
		p.forecast(opened)
	}
	p.soaks(was)
	switch {
	case p.r.State.Ended():
		p.f.End = p.r.Finished
		return false
	case p.persons():
		return true
	}
	wake := next.Wake
	for _, id := range p.r.OpenRuns() {
		if at := p.ends[id]; at.IsZero() {
			p.f.Stuck = p.r.Waits
			return false
		} else if at.Before(wake) {
			wake = at
		}
	}
	if p.w.Now = wake; wake.After(p.until) {
		p.f.Stuck = p.r.Waits
		return false
	}
	for id, at := range p.ends {
		if one := p.runs[id]; !at.IsZero() && !at.After(p.w.Now) && !one.State.Ended() {
			one.State, one.Finished = run.Succeeded, at
			p.runs[id] = one
		}
	}
	return true
}

// forecast notes what a run would do. Of runs of gates nothing is told.
func (p *prophet) forecast(r run.Run) {
	project := r.Project
	s := p.w.Services[project+"/"+r.Name]
	f := run.Predict(r, run.World{Now: p.w.Now, Target: s.Target, Freezes: p.w.Freezes[project]})
	p.runs[r.ID] = r
	if f.Outcome == run.Succeeded {
		p.ends[r.ID] = f.End
	} else {
		p.ends[r.ID] = time.Time{}
	}
	for env, st := range p.r.Standings {
		for name, phase := range st.Phases {
			if phase.Run == r.ID {
				p.f.Items = append(p.f.Items, ForecastItem{
					Environment: env, Phase: name, Service: r.Name, Runbook: r.Book.Runbook.Name,
					Span: window.Span{Start: p.w.Now, End: f.End}, Windows: f.Windows, Out: outages(f), NoReturn: noReturn(r.Book.Runbook),
				})
			}
		}
	}
}

// outages are the times in which members are out: from the first step that
// disrupts one to the last that is about it.
func outages(f run.Forecast) (all []Outage) {
	for _, s := range f.Steps {
		if s.Member == "" {
			continue
		}
		i := slices.IndexFunc(all, func(o Outage) bool { return o.Member == s.Member })
		switch {
		case i >= 0:
			all[i].Span.End = s.Span.End
		case s.Disrupts:
			all = append(all, Outage{Member: s.Member, Span: s.Span})
		}
	}
	return all
}

func noReturn(b runbook.Book) (names []string) {
	for _, s := range slices.Concat(b.Before, b.Member.Drain, b.Member.Do, b.Member.Await, b.Member.Ready, b.After) {
		if s.NoReturn {
			names = append(names, s.Name)
		}
	}
	return names
}

// soaks notes which soaks are over.
func (p *prophet) soaks(was Rollout) {
	for _, e := range p.w.Train.Train.Environments {
		if st := p.r.Standings[e.Name]; !st.Soaked.IsZero() && was.Standings[e.Name].Soaked.IsZero() {
			p.f.Items = append(p.f.Items, ForecastItem{Environment: e.Name, Span: window.Span{Start: st.SoakFrom, End: st.Soaked}})
		}
	}
}

// persons do at once what is asked of them. It reports whether they did anything.
func (p *prophet) persons() (did bool) {
	for n, wait := range p.r.Waits {
		var r Rollout
		var err error
		switch wait.Reason.Code {
		case NotApproved:
			e, _ := p.w.Train.Train.Environment(wait.Environment)
			r, _, err = p.r.Approve(p.w, e.Name, p.r.PlanOf(p.w, e).Hash, fmt.Sprintf("forecast-%d-%d", wait.Reason.Have, n))
		case IssueOpen:
			r, _, err = p.r.Ack(p.w, wait.Reason.By, "forecast", "forecast")
		default:
			continue
		}
		if err != nil {
			continue
		}
		if !slices.ContainsFunc(p.f.Asks, func(a Wait) bool {
			return a.Environment == wait.Environment && a.Reason.Code == wait.Reason.Code && a.Reason.By == wait.Reason.By
		}) {
			p.f.Asks = append(p.f.Asks, wait)
		}
		waits := p.r.Waits
		p.r, did = r, true
		p.r.Waits = waits
	}
	return did
}
