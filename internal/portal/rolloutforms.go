package portal

import (
	"net/http"
	"slices"

	"github.com/a-h/templ"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/rollout"
)

// saying is a page with one form: what a person says to a rollout or a train,
// and why.
type saying struct {
	Back    string // the address of the page that it belongs to
	BackTo  string // that page's title
	Title   string
	Text    string
	Quote   string // what it is about, in the words of who wrote it
	Button  string
	Decide  bool // the answer is pass or fail
	Danger  bool
	Needs   bool // a reason must be given
	Reason  string
	Error   *formError
	Besides func(e *formError) templ.Component // fields besides the reason; nil: none

	say  func(reason string) error
	done func() string // the address that it leads to once it is said; nil: back
}

// sayingOf makes what a person may say to what the address names. Denied: who
// looks may not say it.
type sayingOf func(v *visit) (saying, error)

// rolloutSaying makes it for a rollout.
type rolloutSaying func(v *visit, r desk.Rollout) (saying, error)

// sayings are what persons may say with a reason, by the address.
func (p *Portal) sayings() map[string]sayingOf {
	all := map[string]sayingOf{"/trains/{project}/{train}/start": p.startSaying}
	for end, of := range map[string]rolloutSaying{
		"abort": p.abortSaying, "veto": p.vetoSaying, "lift-veto": p.liftSaying,
		"issues/{issue}": p.ackSaying, "environments/{env}/gates/{gate}": p.decideSaying,
		"environments/{env}/pin": p.pinSaying, "environments/{env}/pins/{component}/lift": p.unpinSaying,
	} {
		all["/rollouts/{id}/"+end] = p.toRollout(of)
	}
	return all
}

// sayForm shows the form.
func (p *Portal) sayForm(of sayingOf) func(*visit) error {
	return func(v *visit) error {
		s, err := of(v)
		if err != nil {
			return err
		}
		return v.paint(http.StatusOK, sayingPage(v, s))
	}
}

// say does what the form asks for, or shows why not.
func (p *Portal) say(of sayingOf) func(*visit) error {
	return func(v *visit) error {
		if err := v.parseForm(); err != nil {
			return err
		}
		s, err := of(v)
		if err != nil {
			return err
		}
		s.Reason = v.field("reason")
		err = s.say(s.Reason)
		if s.Error = v.mistake(err); s.Error != nil {
			return v.paint(statusOf(fault.KindOf(err)), sayingPage(v, s))
		}
		if err != nil {
			return err
		}
		if s.done != nil {
			return v.goTo(s.done())
		}
		return v.goTo(s.Back)
	}
}

// toRollout is what is said to the rollout that the address names.
func (p *Portal) toRollout(of rolloutSaying) sayingOf {
	return func(v *visit) (saying, error) {
		r, err := p.cfg.Desk.Rollout(v.r.Context(), v.caller, "", v.r.PathValue("id"))
		if err != nil {
			return saying{}, err
		}
		s, err := of(v, r)
		s.Back, s.BackTo = rolloutPath(r.ID), v.T("rollout.title", r.Version, r.Train)
		return s, err
	}
}

// specOf names a rollout to the desk, and which environment of it is meant (empty:
// all) and why.
func specOf(r desk.Rollout, env, reason string) desk.RolloutSpec {
	return desk.RolloutSpec{Project: r.Project, Rollout: r.ID, Environment: env, Reason: reason}
}

func (p *Portal) abortSaying(v *visit, r desk.Rollout) (saying, error) {
	return saying{
		Title: v.T("rollout.abort-title", r.Version, r.Train), Text: v.T("rollout.abort-text"), Button: v.T("rollout.abort"), Danger: true,
		say: func(reason string) error {
			_, err := p.cfg.Desk.AbortRollout(v.r.Context(), v.caller, specOf(r, "", reason))
			return err
		},
	}, v.mayRunIn(r, r.World.Train.Train.Environments...)
}

func (p *Portal) vetoSaying(v *visit, r desk.Rollout) (saying, error) {
	return saying{
		Title: v.T("rollout.veto-title", r.Version), Text: v.T("rollout.veto-text", r.Train), Button: v.T("rollout.veto"), Danger: true, Needs: true,
		say: func(reason string) error {
			_, err := p.cfg.Desk.Veto(v.r.Context(), v.caller, r.Project, r.Train, r.Version, reason, false)
			return err
		},
	}, v.mayVeto(r)
}

func (p *Portal) liftSaying(v *visit, r desk.Rollout) (saying, error) {
	s := saying{
		Title: v.T("rollout.lift-title", r.Version), Text: v.T("rollout.lift-text"), Button: v.T("rollout.lift"), Danger: true, Needs: true,
		say: func(reason string) error {
			_, err := p.cfg.Desk.Veto(v.r.Context(), v.caller, r.Project, r.Train, r.Version, reason, true)
			return err
		},
	}
	if veto := r.World.Release.Veto; veto != nil {
		s.Quote = veto.Reason
	}
	return s, v.mayVeto(r)
}

func (p *Portal) ackSaying(v *visit, r desk.Rollout) (saying, error) {
	id := v.r.PathValue("issue")
	for _, i := range r.World.Release.Release.Issues {
		if i.ID != id {
			continue
		}
		s := saying{
			Title: v.T("rollout.ack-title", i.ID), Text: v.T("rollout.ack-text"), Quote: i.Text, Button: v.T("rollout.ack"), Needs: i.Veto,
			say: func(reason string) error {
				_, err := p.cfg.Desk.AckRollout(v.r.Context(), v.caller, specOf(r, "", reason), i.ID)
				return err
			},
		}
		if i.Veto {
			s.Text = v.T("rollout.waive-text")
		}
		return s, v.mayRunIn(r, r.World.Train.Train.Environments...)
	}
	return saying{}, fault.NotFound("known issue of release "+r.Version, id)
}

func (p *Portal) decideSaying(v *visit, r desk.Rollout) (saying, error) {
	e, err := environmentOf(v, r)
	if err != nil {
		return saying{}, err
	}
	gate := v.r.PathValue("gate")
	g, asked := r.Standings[e.Name].Gates[gate]
	if !asked {
		return saying{}, fault.NotFound("gate of environment "+e.Name, gate)
	}
	return saying{
		Title: v.T("rollout.decide-title", gate, e.Name), Text: v.T("rollout.decide-text"), Quote: g.Why, Decide: true, Needs: true,
		say: func(reason string) error {
			_, err := p.cfg.Desk.DecideRollout(v.r.Context(), v.caller, specOf(r, e.Name, reason), gate, rollout.Result(v.field("result")))
			return err
		},
	}, v.mayRunIn(r, e)
}

// pinForm is what a person wants pinned, as it was written.
type pinForm struct {
	Components []string // that can be pinned
	Component  string
	Digest     string
	Now        bool
	Known      []knownDigest
}

// knownDigest is one that a release of the train has for a component.
type knownDigest struct {
	Digest, Component, Version string
}

func (p *Portal) pinSaying(v *visit, r desk.Rollout) (saying, error) {
	e, err := environmentOf(v, r)
	if err != nil {
		return saying{}, err
	}
	f := pinForm{Components: pinnable(r, e.Name), Component: v.field("component"), Digest: v.field("digest"), Now: v.field("now") != ""}
	releases, err := p.cfg.Desk.TrainReleases(v.r.Context(), v.caller, r.Project, r.Train)
	if err != nil {
		return saying{}, err
	}
	for _, one := range releases {
		for _, c := range f.Components {
			if digest := one.Release.Digests[c]; digest != "" {
				f.Known = append(f.Known, knownDigest{digest, c, one.Release.Version})
			}
		}
	}
	return saying{
		Title: v.T("pin.title", e.Name), Text: v.T("pin.text", e.Name), Button: v.T("pin.button"), Danger: true, Needs: true,
		Besides: func(wrong *formError) templ.Component { return pinFields(v, f, wrong) },
		say:     p.pins(v, r, e.Name, &f),
	}, v.mayRunIn(r, e)
}

// pins pins what the form says.
func (p *Portal) pins(v *visit, r desk.Rollout, env string, f *pinForm) func(string) error {
	return func(reason string) error {
		_, err := p.cfg.Desk.PinRollout(v.r.Context(), v.caller, specOf(r, env, reason), f.Component, f.Digest, f.Now)
		return err
	}
}

// unpinSaying takes a pin away: the component gets the release's own digest again.
func (p *Portal) unpinSaying(v *visit, r desk.Rollout) (saying, error) {
	e, err := environmentOf(v, r)
	if err != nil {
		return saying{}, err
	}
	f := pinForm{Component: v.r.PathValue("component"), Now: v.field("now") != ""}
	pinned := r.Standings[e.Name].Pins[f.Component]
	if pinned == "" {
		return saying{}, fault.NotFound("pin of environment "+e.Name, f.Component)
	}
	f.Digest = r.World.Release.Release.Digests[f.Component]
	return saying{
		Title: v.T("pin.lift-title", f.Component, e.Name), Text: v.T("pin.lift-text", short(f.Digest)), Quote: pinned, Button: v.T("pin.lift-button"), Danger: true, Needs: true,
		Besides: func(*formError) templ.Component { return checkbox("now", v.T("pin.now"), f.Now) },
		say:     p.pins(v, r, e.Name, &f),
	}, v.mayRunIn(r, e)
}

// environmentOf is the environment of the rollout's train that the address names.
func environmentOf(v *visit, r desk.Rollout) (rollout.Environment, error) {
	name := v.r.PathValue("env")
	e, ok := r.World.Train.Train.Environment(name)
	if !ok {
		return e, fault.NotFound("environment of train "+r.Train, name)
	}
	return e, nil
}

// pinnable are the components that a phase has brought to an environment.
func pinnable(r desk.Rollout, env string) (names []string) {
	for _, phase := range r.Standings[env].Phases {
		for component := range phase.Digests {
			if !slices.Contains(names, component) {
				names = append(names, component)
			}
		}
	}
	slices.Sort(names)
	return names
}

func (p *Portal) pauseRollout(v *visit) error {
	r, err := p.cfg.Desk.PauseRollout(v.r.Context(), v.caller, desk.RolloutSpec{Rollout: v.r.PathValue("id")})
	return v.backToBoard(r, err)
}

func (p *Portal) resumeRollout(v *visit) error {
	r, err := p.cfg.Desk.ResumeRollout(v.r.Context(), v.caller, desk.RolloutSpec{Rollout: v.r.PathValue("id")})
	return v.backToBoard(r, err)
}

// approveRollout is the person's word for the plan that the page has shown.
func (p *Portal) approveRollout(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	spec := desk.RolloutSpec{Rollout: v.r.PathValue("id"), Environment: v.r.PathValue("env")}
	r, err := p.cfg.Desk.ApproveRollout(v.r.Context(), v.caller, spec, v.field("plan"))
	return v.backToBoard(r, err)
}

func (p *Portal) retryRollout(v *visit) error {
	spec := desk.RolloutSpec{Rollout: v.r.PathValue("id"), Environment: v.r.PathValue("env")}
	r, err := p.cfg.Desk.RetryRollout(v.r.Context(), v.caller, spec)
	return v.backToBoard(r, err)
}

// backToBoard leads back to the rollout that was moved.
func (v *visit) backToBoard(r desk.Rollout, err error) error {
	if err != nil {
		return err
	}
	return v.goTo(rolloutPath(r.ID))
}
