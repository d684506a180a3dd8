package portal

import (
	"net/http"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/rollout"
)

// saying is a page with one form: what a person says to a rollout, and why.
type saying struct {
	Rollout desk.Rollout
	Title   string
	Text    string
	Quote   string // what it is about, in the words of who wrote it
	Button  string
	Decide  bool // the answer is pass or fail
	Danger  bool
	Needs   bool // a reason must be given
	Reason  string
	Error   *formError

	say func(reason string) error
}

// sayingOf makes a saying for a rollout. Denied: who looks may not say it.
type sayingOf func(v *visit, r desk.Rollout) (saying, error)

// sayings are what persons may say with a reason, by the end of the address.
func (p *Portal) sayings() map[string]sayingOf {
	return map[string]sayingOf{
		"abort": p.abortSaying, "veto": p.vetoSaying, "lift-veto": p.liftSaying,
		"issues/{issue}": p.ackSaying, "environments/{env}/gates/{gate}": p.decideSaying,
	}
}

// sayForm shows the form.
func (p *Portal) sayForm(of sayingOf) func(*visit) error {
	return func(v *visit) error {
		s, err := p.about(v, of)
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
		s, err := p.about(v, of)
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
		return v.goTo(rolloutPath(s.Rollout.ID))
	}
}

func (p *Portal) about(v *visit, of sayingOf) (saying, error) {
	r, err := p.cfg.Desk.Rollout(v.r.Context(), v.caller, "", v.r.PathValue("id"))
	if err != nil {
		return saying{}, err
	}
	s, err := of(v, r)
	s.Rollout = r
	return s, err
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
	env, gate := v.r.PathValue("env"), v.r.PathValue("gate")
	e, ok := r.World.Train.Train.Environment(env)
	g, asked := r.Standings[env].Gates[gate]
	if !ok || !asked {
		return saying{}, fault.NotFound("gate of environment "+env, gate)
	}
	return saying{
		Title: v.T("rollout.decide-title", gate, env), Text: v.T("rollout.decide-text"), Quote: g.Why, Decide: true, Needs: true,
		say: func(reason string) error {
			_, err := p.cfg.Desk.DecideRollout(v.r.Context(), v.caller, specOf(r, env, reason), gate, rollout.Result(v.field("result")))
			return err
		},
	}, v.mayRunIn(r, e)
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
