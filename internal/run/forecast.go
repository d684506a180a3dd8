package run

import (
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/evidence"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/window"
)

// Forecast is what would be done, in which order and when, if nothing failed
// and everything took as long as estimated. Nothing is touched to find out.
type Forecast struct {
	Steps   []ForecastStep
	Waits   []ForecastWait
	Windows int       // how many occurrences it would use
	End     time.Time // when it would end; zero if it does not within the horizon
	Outcome State
	Text    string
}

// ForecastStep is one step that would be done.
type ForecastStep struct {
	Step     string
	Title    string // of a runbook's step; empty: its action says it
	Member   string // that it is about; empty: none
	Action   action.Kind
	Packages []action.Package
	Command  string
	DryRun   bool
	Disrupts bool
	Closing  bool
	Undo     plan.Undo
	Span     window.Span
}

// ForecastWait is a stretch in which nothing could start, and why.
type ForecastWait struct {
	Span   window.Span
	Reason plan.Reason
}

// Horizon and effort of a forecast.
const (
	forecastHorizon = 120 * 24 * time.Hour
	forecastTicks   = 5_000
)

// Predict runs the very planner and state machine that a run uses, against a
// pretend server that looks like w.Target and does what it is told in the
// estimated time. w.Answers is ignored.
func Predict(r Run, w World) Forecast {
	var f Forecast
	sim := pretend{target: w.Target}
	until := w.Now.Add(forecastHorizon)
	used := map[time.Time]bool{}
	w.Answers = nil
	for range forecastTicks {
		w.Target = sim.target
		w.Users = content(w.Now)
		var next Next
		r, next = Tick(r, w)
		r.Revision++
		if r.State.Ended() {
			f.End, f.Outcome, f.Text = r.Finished, r.State, r.Result.Text
			break
		}
		if len(next.Orders) > 0 {
			w.Answers = map[string]action.Result{}
			for _, o := range next.Orders {
				s, planned := r.Plan.Step(o.Step)
				if !planned { // a proof: it changes nothing, and is not told
					s.Estimate = time.Second
					w.Now = w.Now.Add(s.Estimate)
					w.Answers[o.Key()] = action.Result{Outcome: action.Done, Started: w.Now, Finished: w.Now}
					continue
				}
				span := window.Span{Start: w.Now, End: w.Now.Add(s.Estimate)}
				f.Steps = append(f.Steps, ForecastStep{
					Step: s.ID, Title: s.Title, Member: s.Member, Action: s.Action, Packages: s.Packages, Command: s.Command,
					DryRun: s.DryRun, Disrupts: s.Disrupts, Closing: s.Closing, Undo: s.Undo, Span: span,
				})
				if open, ok := r.Window.Current(w.Now); ok {
					used[open.Start] = true
				}
				w.Now = span.End
				w.Answers[o.Key()] = sim.do(o.Order, span)
			}
			continue
		}
		if approved, ok := approveAll(r, w.Now); ok {
			f.wait(r, w.Now, w.Now)
			r = approved
			continue
		}
		if len(r.Waits) > 0 && r.Waits[0].Reason.Code == plan.NeverFits {
			f.wait(r, w.Now, time.Time{})
			break
		}
		if next.Wake.IsZero() || !next.Wake.After(w.Now) || next.Wake.After(until) {
			f.wait(r, w.Now, time.Time{})
			break
		}
		f.wait(r, w.Now, next.Wake)
		w.Now = next.Wake
	}
	f.Windows = len(used)
	return f
}

// content are users who get their answers, and are known until just now.
func content(now time.Time) evidence.Figures {
	return evidence.Figures{Watch: evidence.Watch{Newest: now.Add(figuresAfter)}, Recent: evidence.Total{Sent: 1}}
}

// approveAll is what persons do in a forecast: they approve what waits for it,
// at once. ok tells whether anything did.
func approveAll(r Run, now time.Time) (approved Run, ok bool) {
	for _, w := range r.Waits {
		step, asked := w.Reason.Approval()
		if !asked {
			continue
		}
		next, facts, err := r.Approve("forecast", step, now)
		if err == nil && len(facts) > 0 {
			r, ok = next, true
		}
	}
	return r, ok
}

// wait notes why nothing starts, joined with the stretch before it if that has the same reason.
func (f *Forecast) wait(r Run, from, to time.Time) {
	if len(r.Waits) == 0 {
		return
	}
	reason := r.Waits[0].Reason
	if n := len(f.Waits); n > 0 && f.Waits[n-1].Reason.Code == reason.Code && f.Waits[n-1].Span.End.Equal(from) {
		f.Waits[n-1].Span.End = to
		return
	}
	f.Waits = append(f.Waits, ForecastWait{Span: window.Span{Start: from, End: to}, Reason: reason})
}

// pretend is a server that does as it is told.
type pretend struct{ target fleet.Target }

func (p *pretend) do(o action.Order, span window.Span) action.Result {
	obs := action.Observation{}
	if p.target.Observed != nil {
		obs = *p.target.Observed
	}
	obs.After = o.Key()
	res := action.Result{Outcome: action.Done, Started: span.Start, Finished: span.End, Observation: &obs}
	if o.DryRun {
		res.DryRun = true
		p.target.Observed = &obs
		return res
	}
	switch o.Kind {
	case action.Install, action.Restore:
		obs.Pending = slices.Clone(obs.Pending)
		for _, pkg := range o.Packages {
			i := slices.IndexFunc(obs.Pending, func(q action.Pending) bool { return q.Name == pkg.Name })
			if i < 0 {
				continue
			}
			res.Changes = append(res.Changes, action.Change{Name: pkg.Name, From: obs.Pending[i].From, To: pkg.Version})
			obs.Pending = slices.Delete(obs.Pending, i, i+1)
			obs.RebootRequired = obs.RebootRequired || wantsReboot(pkg.Name)
		}
	case action.Repair:
		obs.HalfConfigured = nil
	case action.Reboot:
		obs.RebootRequired, obs.RebootPackages = false, nil
	case action.Observe, action.Refresh, action.Download, action.Backup, action.Command, action.Check,
		action.Balance, action.Serving, action.HTTP, action.Query, action.Unit, action.Container, action.Playbook:
	}
	p.target.Observed = &obs
	return res
}

// wantsReboot guesses whether an update of a package asks for a reboot, as
// Debian's do: the kernel, and what runs as process 1 or is loaded by all.
func wantsReboot(name string) bool {
	for _, prefix := range []string{"linux-image-", "systemd", "libc6", "dbus", "libssl"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
