package portal

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/run"
)

// updateView is the form that starts an update now.
type updateView struct {
	Server   desk.Server
	Minutes  string // as it was written
	Reason   string
	Scope    string
	Reboot   bool
	Override bool   // freezes are overridden
	Key      string // the same form sent twice starts one run
	Error    *formError

	Forecast *run.Forecast // what it would come to; nil: that can't be said
	Zone     *time.Location
}

// defaultMinutes is how long an update may take if nobody says otherwise.
const defaultMinutes = 120

func (p *Portal) updateForm(v *visit) error {
	view := updateView{
		Minutes: strconv.Itoa(defaultMinutes), Scope: string(fleet.ScopeAll), Reboot: true, Key: rand.Text(),
	}
	return p.paintUpdate(v, view, http.StatusOK)
}

// updatable is the server that the caller may update.
func (p *Portal) updatable(v *visit) (desk.Server, error) {
	s, err := p.cfg.Desk.Server(v.r.Context(), v.caller, "", v.r.PathValue("id"))
	if err == nil {
		err = v.caller.May(identity.Run, s.Target.Project)
	}
	return s, err
}

func (p *Portal) paintUpdate(v *visit, view updateView, status int) error {
	s, err := p.updatable(v)
	if err != nil {
		return err
	}
	view.Server, view.Zone = s, pageZone(s)
	spec := view.spec()
	spec.Duration = max(spec.Duration, time.Minute)
	// A forecast helps to decide; the form works without one.
	if f, err := p.cfg.Desk.Simulate(v.r.Context(), v.caller, desk.SimulateSpec{RunSpec: spec}); err == nil && len(f.Steps) > 0 {
		view.Forecast = &f
	}
	return v.paint(status, updatePage(v, view))
}

// spec is what the form asks for.
func (u updateView) spec() desk.RunSpec {
	minutes, err := strconv.Atoi(u.Minutes)
	if err != nil || minutes < 0 || minutes > 100_000 {
		minutes = 0 // the desk refuses it, and says why
	}
	policy := fleet.Policy{Scope: fleet.Scope(u.Scope), Reboot: fleet.RebootIfRequired}
	if !u.Reboot {
		policy.Reboot = fleet.RebootNever
	}
	return desk.RunSpec{
		Project: u.Server.Target.Project, Server: u.Server.Target.ID, Duration: time.Duration(minutes) * time.Minute,
		Policy: policy, Reason: u.Reason, OverrideFreeze: u.Override,
	}
}

func (p *Portal) update(v *visit) error {
	s, err := p.updatable(v)
	if err != nil {
		return err
	}
	if err := v.parseForm(); err != nil {
		return err
	}
	view := updateView{
		Server: s, Minutes: v.field("duration"), Reason: v.field("reason"),
		Scope: v.field("scope"), Reboot: v.field("reboot") != "", Override: v.field("override") != "", Key: v.field("key"),
	}
	if _, err := strconv.Atoi(view.Minutes); err != nil {
		view.Error = &formError{Field: "duration", Label: v.T("field.duration"), Reason: v.T("update.no-number")}
		return p.paintUpdate(v, view, http.StatusUnprocessableEntity)
	}
	caller := v.caller
	caller.Key = view.Key
	started, err := p.cfg.Desk.StartRun(v.r.Context(), caller, view.spec())
	if mistake := v.mistake(err); mistake != nil {
		view.Error, view.Key = mistake, rand.Text()
		return p.paintUpdate(v, view, statusOf(fault.KindOf(err)))
	}
	return v.afterwards(started, err)
}

// asFault finds the fault in an error that is one.
func asFault(err error) *fault.Error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return &fault.Error{Kind: fault.KindInternal, Cause: err}
	}
	return f
}
