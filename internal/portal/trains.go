package portal

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/a-h/templ"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/rollout"
)

// trainView is a train's page: its releases, and what one of them would come to.
type trainView struct {
	rollout.StoredTrain
	Zone     *time.Location
	Open     *rollout.Rollout // that is on its way through it; nil: none
	Releases []rollout.StoredRelease
	MayRun   bool

	Version  string // the release that is looked at; empty: there is none
	From     string // what it is compared with; empty: what runs in each environment
	Forecast rollout.Forecast
	Unable   *formError // why it could not be started as things are
	Diffs    []desk.PlanDiff
}

func trainPath(project, name string) string {
	return "/trains/" + url.PathEscape(project) + "/" + url.PathEscape(name)
}

// aheadPath is the train's page that looks at one of its releases.
func aheadPath(project, name, version string) string {
	return trainPath(project, name) + "?" + url.Values{"version": {version}}.Encode()
}

func startPath(project, name, version string) string {
	return trainPath(project, name) + "/start?" + url.Values{"version": {version}}.Encode()
}

func (p *Portal) train(v *visit) error {
	view, err := p.viewTrain(v)
	if err != nil {
		return err
	}
	ctx, query := v.r.Context(), v.r.URL.Query()
	if view.Version = cmp.Or(query.Get("version"), view.Version); view.Version == "" {
		return v.paint(http.StatusOK, trainPage(v, view))
	}
	name := view.Train.Name
	if view.Forecast, err = p.cfg.Desk.SimulateRollout(ctx, v.caller, view.Project, name, view.Version); err != nil {
		if view.Unable = v.mistake(err); view.Unable == nil {
			return err
		}
	}
	view.From = query.Get("from")
	if view.Diffs, err = p.cfg.Desk.DiffReleases(ctx, v.caller, view.Project, name, view.From, view.Version); err != nil {
		return err
	}
	return v.paint(http.StatusOK, trainPage(v, view))
}

// viewTrain is the train that the address names, with its releases. Of those it
// chooses the one that is on its way, else the one that was written last.
func (p *Portal) viewTrain(v *visit) (view trainView, err error) {
	ctx, project, name := v.r.Context(), v.r.PathValue("project"), v.r.PathValue("train")
	view.Zone = cmp.Or(v.reader, time.UTC)
	if view.StoredTrain, err = p.cfg.Desk.Train(ctx, v.caller, project, name); err != nil {
		return view, err
	}
	if view.Releases, err = p.cfg.Desk.TrainReleases(ctx, v.caller, project, name); err != nil {
		return view, err
	}
	open, err := p.cfg.Desk.Rollouts(ctx, v.caller, desk.RolloutFilter{Project: project, Train: name, Open: true, Limit: 1})
	if err != nil {
		return view, err
	}
	switch {
	case len(open) > 0:
		view.Open, view.Version = &open[0], open[0].Version
	case len(view.Releases) > 0:
		view.Version = slices.MaxFunc(view.Releases, func(a, b rollout.StoredRelease) int { return a.Changed.Compare(b.Changed) }).Release.Version
	}
	view.MayRun = v.mayStart(view.StoredTrain) == nil
	return view, nil
}

// mayStart reports whether who looks may start releases through a train.
func (v *visit) mayStart(t rollout.StoredTrain) error {
	r := desk.Rollout{}
	r.Project = t.Project
	return v.mayRunIn(r, t.Train.Environments...)
}

// startForm is which release is started, as it was chosen.
type startForm struct {
	Versions []string
	Version  string
	Key      string // the same form sent twice starts one rollout
}

// startSaying starts a release through the train that the address names.
func (p *Portal) startSaying(v *visit) (saying, error) {
	t, err := p.viewTrain(v)
	if err != nil {
		return saying{}, err
	}
	name := t.Train.Name
	if len(t.Releases) == 0 {
		return saying{}, fault.Conflict("train %s has no release yet", name)
	}
	f := startForm{Version: cmp.Or(v.field("version"), v.r.URL.Query().Get("version"), t.Version), Key: cmp.Or(v.field("key"), rand.Text())}
	for _, r := range t.Releases {
		f.Versions = append(f.Versions, r.Release.Version)
	}
	caller := v.caller
	caller.Key = f.Key
	var started desk.Rollout
	return saying{
		Back: aheadPath(t.Project, name, f.Version), BackTo: v.T("train.title", name),
		Title: v.T("train.start-title", name), Text: v.T("train.start-text"), Button: v.T("train.start-button"),
		Besides: func(wrong *formError) templ.Component {
			if wrong != nil {
				f.Key = rand.Text()
			}
			return startFields(v, f, wrong)
		},
		say: func(reason string) (err error) {
			started, err = p.cfg.Desk.StartRollout(v.r.Context(), caller, t.Project, name, f.Version, reason)
			return err
		},
		done: func() string { return rolloutPath(started.ID) },
	}, v.mayStart(t.StoredTrain)
}
