package portal

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/chart"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/window"
)

// stepView is one step of a run, of its present plan or of an earlier one.
type stepView struct {
	ID       string
	Title    string // "install 12 packages"
	Look     string // glyph and colour: done, running, todo, waiting, failed, undone
	Word     string // the state in a word
	Reason   string // why it waits or what went wrong
	Foreign  bool   // Reason is what a host said, in its own language
	Start    time.Time
	End      time.Time     // of what has ended
	Estimate time.Duration // of what has not
	Attempt  int
	Packages []action.Package
	Disrupts bool

	Bar     chart.Bar // where it is on the timeline
	HasBar  bool
	Planned chart.Bar // where it is expected
	HasPlan bool
}

// progressView is how far a run is.
type progressView struct {
	Run    run.Run
	Zone   *time.Location
	Steps  []stepView
	Value  int    // per cent
	Status string // one sentence, read aloud when it changes
	Reason string // why the run waits, if it does

	Axis   chart.Axis
	Ticks  []chart.Tick
	Chart  []stepView // those of Steps that are on the timeline
	Window chart.Bar
	HasWin bool
	Now    float64
	HasNow bool
}

// follow makes the view of how far a run is. answers are those of its orders,
// by key; without them it shows the present plan only.
func (v *visit) follow(r run.Run, answers map[string]action.Result) progressView {
	p := progressView{Run: r, Zone: r.Window.Recurrence.Zone()}
	titles := map[string]string{}
	for _, s := range r.Plan.Root.Steps() {
		titles[s.ID] = v.titleOf(s)
	}
	reason := func(w plan.Reason) string {
		if title := titles[w.By]; title != "" && (w.Code == plan.After || w.Code == plan.Stopped) {
			w.By = "“" + title + "”"
			if v.lang == "de" {
				w.By = "„" + title + "“"
			}
		}
		return w.Words(v.lang, p.Zone)
	}
	p.Steps = v.former(r, answers)
	waits := map[string]plan.Reason{}
	for _, w := range r.Waits {
		waits[w.Step] = w.Reason
	}
	for _, s := range r.Plan.Root.Steps() {
		p.Steps = append(p.Steps, v.present(r, s, titles[s.ID], answers, waits, reason))
	}
	p.count(v, r, reason)
	p.draw(v, r)
	return p
}

// title says what a step does; of a command its name is told as well.
func (v *visit) title(k action.Kind, packages int, command string, dry bool) string {
	switch {
	case k.Names() && command != "":
		return v.T("step.named", v.T("action."+string(k)), command)
	case k == action.Install && dry:
		return v.N("step.install-dry", packages)
	case packages > 0 && (k == action.Download || k == action.Install || k == action.Restore):
		return v.N("action."+string(k)+"-n", packages)
	case k.Valid():
		return v.T("action." + string(k))
	}
	return string(k)
}

// titleOf says what a step of a plan does.
func (v *visit) titleOf(s plan.Step) string {
	if s.Title != "" { // whoever wrote the runbook has named it
		return s.Title
	}
	return v.title(s.Action, len(s.Packages), s.Command, s.DryRun)
}

// former are the steps of earlier plans, of which only the answers are left,
// in the order in which they were done.
func (v *visit) former(r run.Run, answers map[string]action.Result) []stepView {
	var steps []stepView
	for key, a := range answers {
		id, attempt, ok := orderOf(r.ID, key)
		if _, present := r.Plan.Step(id); !ok || present {
			continue
		}
		s := stepView{
			ID: id, Title: v.title(kindOf(id), len(a.Changes)+len(a.Failures), "", a.DryRun), Start: a.Started, End: a.Finished, Attempt: attempt,
			Look: "failed", Word: v.T("outcome." + string(a.Outcome)), Reason: a.Reason, Foreign: true,
		}
		switch a.Outcome {
		case action.Done:
			s.Look = "done"
		case action.Expired, action.Refused:
			s.Look = "undone"
		case action.Failed, action.Interrupted:
		}
		steps = append(steps, s)
	}
	slices.SortFunc(steps, func(a, b stepView) int {
		return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.ID, b.ID), a.Attempt-b.Attempt)
	})
	return steps
}

// orderOf takes an order's key apart: RUN/STEP/ATTEMPT.
func orderOf(run, key string) (step string, attempt int, ok bool) {
	rest, found := strings.CutPrefix(key, run+"/")
	cut := strings.LastIndexByte(rest, '/')
	if !found || cut < 0 {
		return "", 0, false
	}
	attempt, err := strconv.Atoi(rest[cut+1:])
	return rest[:cut], attempt, err == nil
}

// kindOf is what a step did, by its id, which ends with it.
func kindOf(step string) action.Kind {
	return action.Kind(step[strings.LastIndexByte(step, '-')+1:])
}

// present is a step of the run's present plan.
func (v *visit) present(r run.Run, s plan.Step, title string, answers map[string]action.Result, waits map[string]plan.Reason, words func(plan.Reason) string) stepView {
	st := r.Progress[s.ID]
	view := stepView{
		ID: s.ID, Title: title, Estimate: s.Estimate, Attempt: st.Attempt,
		Packages: s.Packages, Disrupts: s.Disrupts, Look: "todo",
	}
	if w, ok := waits[s.ID]; ok && w.Code != plan.UnderWay {
		view.Reason = words(w)
		if w.Code != plan.After {
			view.Look = "waiting"
		}
	}
	switch st.Stage {
	case plan.Done:
		view.Look, view.Reason = "done", ""
	case plan.Failed:
		view.Look = "failed"
	case plan.Running:
		view.Look = "running"
	case plan.Todo:
	}
	if st.Stage != plan.Todo && st.Stage != "" {
		view.Start, view.End = st.Ordered, st.Ended
	}
	if st.Stage == plan.Running {
		view.End = time.Time{} // what has ended is an earlier attempt
	}
	a := answers[action.Order{Run: r.ID, Step: s.ID, Attempt: st.Attempt}.Key()]
	if st.Stage == plan.Failed {
		view.Reason, view.Foreign = a.Reason, true
	}
	if r.State.Ended() && view.Look != "done" && view.Look != "failed" {
		view.Look = "undone"
	}
	view.Word = v.T("step." + view.Look)
	return view
}

// count says how far the run is.
func (p *progressView) count(v *visit, r run.Run, words func(plan.Reason) string) {
	var done, all time.Duration
	running := ""
	steps := r.Plan.Root.Steps()
	at, ended := 0, 0
	for i, s := range steps {
		all += s.Estimate
		switch st := r.Progress[s.ID]; st.Stage {
		case plan.Done:
			done += s.Estimate
			ended++
		case plan.Running:
			// Never full before the answer is there.
			done += min(max(v.now.Sub(st.Ordered), 0), s.Estimate*19/20)
			running, at = v.titleOf(s), i+1
		case plan.Todo, plan.Failed:
		}
	}
	// What earlier plans did was done in the time it took.
	for _, s := range p.Steps[:len(p.Steps)-len(steps)] {
		if took := s.End.Sub(s.Start); took > 0 && s.Look == "done" {
			done, all = done+took, all+took
		}
	}
	if all > 0 {
		p.Value = int(100 * done / all)
	}
	w, waits := mainReason(r)
	if waits {
		p.Reason = words(w.Reason)
	}
	switch {
	case r.State.Ended():
		p.Status = v.T("status." + string(r.State))
	case running != "":
		p.Status = v.T("status.step", at, len(steps), running)
	case len(steps) == 0:
		p.Status = v.T("status.planning")
	default:
		p.Status = v.T("status.between", ended, len(steps))
	}
}

// pauseBetween is how long nothing must have happened for what came before to
// be left out of the picture; the table has it all the same.
const pauseBetween = 3 * time.Hour

// draw puts the steps on an axis of time.
func (p *progressView) draw(v *visit, r run.Run) {
	type placed struct{ start, end, planned time.Time }
	places := make([]placed, len(p.Steps))
	cursor := v.now
	if w, ok := mainReason(r); ok && w.Reason.Until.After(v.now) && w.Reason.Code != plan.UnderWay {
		cursor = w.Reason.Until
	}
	for i, s := range p.Steps {
		at := placed{start: s.Start, end: s.End}
		switch {
		case s.Look == "running":
			at.end, at.planned = v.now, maxTime(v.now, s.Start.Add(s.Estimate))
			cursor = maxTime(v.now, at.planned)
		case s.Start.IsZero() && !r.State.Ended() && r.PausedBy == "" && r.AbortedBy == "":
			at.start, at.planned = cursor, cursor.Add(s.Estimate)
			cursor = at.planned
		}
		places[i] = at
	}
	var spans []chart.Span
	var which []int
	for i, at := range places {
		if !at.start.IsZero() {
			spans = append(spans, chart.Span{Start: at.start, End: maxTime(at.end, at.planned)})
			which = append(which, i)
		}
	}
	if len(spans) == 0 {
		return
	}
	first := chart.Latest(spans, pauseBetween)
	var ends []time.Time
	span, inWindow := windowAround(r, spans[first].Start)
	if inWindow && r.Started.IsZero() {
		// Nothing has begun: what matters is how much of the window it needs.
		ends = append(ends, span.Start, span.End)
	}
	for _, s := range spans[first:] {
		ends = append(ends, s.Start, s.End)
	}
	p.Axis = chart.Fit(30*time.Second, ends...)
	p.Ticks = p.Axis.Ticks(p.Zone, 5)
	for _, i := range which[first:] {
		s, at := p.Steps[i], places[i]
		if !at.end.IsZero() {
			s.Bar, s.HasBar = p.Axis.Bar(at.start, at.end)
		}
		if !at.planned.IsZero() {
			s.Planned, s.HasPlan = p.Axis.Bar(maxTime(at.start, at.end), at.planned)
		}
		p.Chart = append(p.Chart, s)
	}
	if inWindow {
		p.Window, p.HasWin = p.Axis.Bar(span.Start, span.End)
	}
	p.Now, p.HasNow = p.Axis.X(v.now), p.Axis.Shows(v.now) && !r.State.Ended()
}

// windowAround is the window's occurrence in which a step was or will be done.
func windowAround(r run.Run, at time.Time) (window.Span, bool) {
	if span, ok := r.Window.Current(at); ok {
		return span, true
	}
	return r.Window.Next(at)
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
