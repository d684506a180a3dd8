package portal

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/plan"
	"upkeep/internal/rollout"
)

const (
	rolloutsPerPage = 50
	evidenceShown   = 20 // of an environment, the newest; the history has all
)

// rolloutsView is the page of all rollouts.
type rolloutsView struct {
	Rollouts []rolloutLine
	Trains   []rollout.StoredTrain
	Zone     *time.Location
	Projects bool   // they are of several projects
	Newest   bool   // it is the first page
	Older    string // the address of those before; empty: there are none
}

// rolloutLine is a rollout, and where it is.
type rolloutLine struct {
	rollout.Rollout
	At     string // the last environment that was begun; empty: none
	Stage  rollout.Stage
	Soaked int // how many environments have it for good
	Of     int // how many there are; 0: the train was removed
}

// boardView is a rollout's page.
type boardView struct {
	desk.Rollout
	Zone    *time.Location
	Lanes   []laneView
	Issues  []issueView
	Facts   []history.Fact
	More    string // the address of the facts after those; empty: there are none
	MayRun  bool   // the rollout can still be moved, and by who looks
	MayVeto bool
}

// laneView is one environment.
type laneView struct {
	Env       rollout.Environment
	State     rollout.Standing
	Stage     rollout.Stage
	Has       string    // the version that is there now; empty: unknown
	Until     time.Time // the end of the soak; zero: nobody knows
	Waits     []rollout.Reason
	Phases    []phaseView
	Gates     []gateView
	Evidence  []rollout.Evidence // newest first
	Pins      []string           // the components that are pinned
	Plan      rollout.Plan
	Approvals []rollout.Approval // those of the plan as it is now
	MayRun    bool
	MayWord   bool // who looks may approve the plan
	MayRetry  bool
	MayPin    bool
}

type phaseView struct {
	Name string
	rollout.PhaseState
}

type gateView struct {
	Name string
	rollout.GateState
	Asked bool // it was asked, or decided
}

// issueView is a known issue of the release.
type issueView struct {
	rollout.Issue
	Ack   rollout.Ack
	Acked bool
}

func rolloutPath(id string) string { return "/rollouts/" + url.PathEscape(id) }

func environmentPath(id, env string) string {
	return rolloutPath(id) + "/environments/" + url.PathEscape(env)
}

func gatePath(id, env, gate string) string {
	return environmentPath(id, env) + "/gates/" + url.PathEscape(gate)
}

func pinsPath(id, env, component string) string {
	return environmentPath(id, env) + "/pins/" + url.PathEscape(component) + "/lift"
}

func ackPath(id, issue string) string {
	return rolloutPath(id) + "/issues/" + url.PathEscape(issue)
}

func (p *Portal) rollouts(v *visit) error {
	before := v.r.URL.Query().Get("before")
	all, err := p.cfg.Desk.Rollouts(v.r.Context(), v.caller, desk.RolloutFilter{Before: before, Limit: rolloutsPerPage})
	if err != nil {
		return err
	}
	view := rolloutsView{Zone: cmp.Or(v.reader, time.UTC), Newest: before == ""}
	if view.Trains, err = p.cfg.Desk.AllTrains(v.r.Context(), v.caller); err != nil {
		return err
	}
	if len(all) == rolloutsPerPage {
		view.Older = "/rollouts?" + url.Values{"before": {all[len(all)-1].ID}}.Encode()
	}
	for _, r := range all {
		view.Rollouts = append(view.Rollouts, lineOf(r, trainOf(view.Trains, r)))
		view.Projects = view.Projects || r.Project != all[0].Project
	}
	return v.paint(http.StatusOK, rolloutsPage(v, view))
}

// trainOf is the train that a rollout goes through; an empty one if it was removed.
func trainOf(all []rollout.StoredTrain, r rollout.Rollout) rollout.Train {
	for _, t := range all {
		if t.Project == r.Project && t.Train.Name == r.Train {
			return t.Train
		}
	}
	return rollout.Train{}
}

// lineOf says where a rollout is.
func lineOf(r rollout.Rollout, t rollout.Train) rolloutLine {
	line := rolloutLine{Rollout: r, Of: len(t.Environments)}
	for _, e := range environmentsOf(r, t) {
		st, begun := r.Standings[e.Name]
		if !begun || st.Stage == "" || st.Stage == rollout.Waiting {
			continue
		}
		line.At, line.Stage = e.Name, st.Stage
		if st.Stage == rollout.Soaked {
			line.Soaked++
		}
	}
	return line
}

// environmentsOf are those of the train, or, of one that was removed, those
// that were begun.
func environmentsOf(r rollout.Rollout, t rollout.Train) []rollout.Environment {
	all := t.Environments
	if len(all) == 0 {
		for _, name := range slices.Sorted(maps.Keys(r.Standings)) {
			all = append(all, rollout.Environment{Name: name})
		}
	}
	return all
}

func (p *Portal) rollout(v *visit) error {
	ctx, id := v.r.Context(), v.r.PathValue("id")
	r, err := p.cfg.Desk.Rollout(ctx, v.caller, "", id)
	if err != nil {
		return err
	}
	view := boardView{Rollout: r, Zone: cmp.Or(v.reader, time.UTC), MayRun: v.mayMove(r), MayVeto: v.mayVeto(r) == nil}
	for _, e := range environmentsOf(r.Rollout, r.World.Train.Train) {
		view.Lanes = append(view.Lanes, v.lane(r, e))
	}
	for _, i := range r.World.Release.Release.Issues {
		ack, acked := r.Acks[i.ID]
		view.Issues = append(view.Issues, issueView{Issue: i, Ack: ack, Acked: acked})
	}
	after, _ := strconv.ParseInt(v.r.URL.Query().Get("after"), 10, 64) // what is no number is the beginning
	view.Facts, err = p.cfg.Desk.History(ctx, v.caller, desk.HistoryFilter{Project: r.Project, Rollout: r.ID, After: max(after, 0), Limit: factsPerPage}, 0)
	if err != nil {
		return err
	}
	if n := len(view.Facts); n == factsPerPage {
		view.More = rolloutPath(r.ID) + "?" + url.Values{"after": {strconv.FormatInt(view.Facts[n-1].Seq, 10)}}.Encode() + "#facts"
	}
	if !r.State.Ended() {
		v.live = rolloutPath(r.ID) + "/live"
	}
	return v.paint(http.StatusOK, rolloutPage(v, view))
}

func (p *Portal) rolloutLive(v *visit) error {
	id := v.r.PathValue("id")
	return p.stream(v, func(ctx context.Context) (seen, error) {
		mark, err := p.cfg.Desk.RolloutMark(ctx, v.caller, id)
		return seen{mark: mark}, err
	})
}

// mayRunIn reports whether who looks may run things in all these environments.
func (v *visit) mayRunIn(r desk.Rollout, all ...rollout.Environment) error {
	for _, e := range all {
		if err := v.caller.May(identity.Run, cmp.Or(e.Project, r.Project)); err != nil {
			return err
		}
	}
	return v.caller.May(identity.Run, r.Project)
}

// mayVeto reports whether who looks may object to the release.
func (v *visit) mayVeto(r desk.Rollout) error { return v.mayRunIn(r) }

// mayMove reports whether the rollout can still be moved as a whole by who looks.
func (v *visit) mayMove(r desk.Rollout) bool {
	return !r.World.Now.IsZero() && !r.State.Ended() && r.AbortedBy == "" && v.mayRunIn(r, r.World.Train.Train.Environments...) == nil
}

// lane is an environment as the page shows it.
func (v *visit) lane(r desk.Rollout, e rollout.Environment) laneView {
	st := r.Standings[e.Name]
	l := laneView{
		Env: e, State: st, Stage: cmp.Or(st.Stage, rollout.Waiting), Has: cmp.Or(r.World.Train.Installed[e.Name].Version, e.Runs),
		Phases: phasesOf(r, e), Gates: gatesOf(r, e), Pins: slices.Sorted(maps.Keys(st.Pins)),
	}
	if !st.SoakFrom.IsZero() {
		l.Until = st.SoakFrom.Add(e.Soak)
	}
	for _, w := range r.Waits {
		if w.Environment == e.Name {
			l.Waits = append(l.Waits, w.Reason)
		}
	}
	for _, one := range slices.Backward(st.Evidence) {
		if len(l.Evidence) < evidenceShown {
			l.Evidence = append(l.Evidence, one)
		}
	}
	if r.World.Now.IsZero() {
		return l
	}
	l.MayRun = !r.State.Ended() && r.AbortedBy == "" && v.mayRunIn(r, e) == nil
	// What has arrived can be rolled back as well.
	l.MayPin = r.State != rollout.Aborted && r.AbortedBy == "" && len(pinnable(r, e.Name)) > 0 && v.mayRunIn(r, e) == nil
	l.Plan = r.PlanOf(r.World, e)
	for _, a := range st.Approvals {
		if a.Plan == l.Plan.Hash {
			l.Approvals = append(l.Approvals, a)
		}
	}
	mine := slices.ContainsFunc(l.Approvals, func(a rollout.Approval) bool { return a.By == v.caller.Who() })
	l.MayWord = l.MayRun && e.Approvals > 0 && !mine && v.caller.Who() != r.By && st.Granted != l.Plan.Hash && l.Stage != rollout.Soaked
	l.MayRetry = l.MayRun && st.Halted == "" && (st.Failed != "" || slices.ContainsFunc(l.Gates, gateView.undecided))
	return l
}

// phasesOf are the phases of an environment in order.
func phasesOf(r desk.Rollout, e rollout.Environment) (all []phaseView) {
	st, seen := r.Standings[e.Name], map[string]bool{}
	add := func(name string) {
		s := st.Phases[name]
		s.Stage = cmp.Or(s.Stage, plan.Todo)
		all, seen[name] = append(all, phaseView{Name: name, PhaseState: s}), true
	}
	for _, p := range r.World.Train.Train.PhasesOf(e) {
		add(p.Name)
	}
	// The train may have been changed since.
	for _, name := range slices.Sorted(maps.Keys(st.Phases)) {
		if !seen[name] {
			add(name)
		}
	}
	return all
}

// gatesOf are the gates of an environment, each once.
func gatesOf(r desk.Rollout, e rollout.Environment) (all []gateView) {
	st, seen := r.Standings[e.Name], map[string]bool{}
	add := func(name string) {
		if seen[name] {
			return
		}
		g := st.Gates[name]
		all, seen[name] = append(all, gateView{Name: name, GateState: g, Asked: g.Result != "" && !g.Open}), true
	}
	for _, at := range []rollout.When{rollout.Before, rollout.After, rollout.During} {
		for _, g := range r.World.Train.Train.GatesOf(e, at) {
			add(g.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(st.Gates)) {
		add(name)
	}
	return all
}

// undecided reports whether a person is to decide the gate.
func (g gateView) undecided() bool { return g.Asked && g.Result == rollout.Inconclusive }

// stageLook is a stage's glyph and colour.
func stageLook(s rollout.Stage) string {
	switch s {
	case rollout.Waiting:
		return "todo"
	case rollout.Working:
		return "working"
	case rollout.Checking:
		return "running"
	case rollout.Soaking:
		return "waiting"
	case rollout.Soaked:
		return "done"
	case rollout.Failed:
		return "failed"
	}
	return "todo"
}

// resultLook is a result's glyph and colour.
func resultLook(r rollout.Result) string {
	switch r {
	case rollout.Pass:
		return "done"
	case rollout.Fail:
		return "failed"
	case rollout.Inconclusive:
	}
	return "warning"
}

// rolloutLook is a rollout's glyph and colour.
func rolloutLook(s rollout.State) string {
	if s == rollout.Active {
		return "working"
	}
	return string(s)
}

// short is enough of a digest for a person to tell it from others.
func short(digest string) string {
	const enough = len("sha256:") + 12
	if len(digest) <= enough {
		return digest
	}
	return digest[:enough] + "…"
}
