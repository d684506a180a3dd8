package portal

import (
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/run"
)

// updateView is the form that starts an update now.
type updateView struct {
	headView
	Hours    string // as it was written
	Reason   string
	Scope    string
	Reboot   string
	Backup   string
	DryRun   bool
	Override bool   // freezes are overridden
	Key      string // the same form sent twice starts one run
	Error    *formError

	Offered []string // commands of the server's agent
	Preview updatePreview
}

// updatePreview is what the update would come to.
type updatePreview struct {
	Forecast run.Forecast // without steps: that can't be said
	Takes    time.Duration
	Packages []action.Pending // that would be installed, security first
	Security int
	Bytes    int64
	ListsAge time.Duration
	Unknown  []string // commands that the server's agent does not offer
	Error    *formError
}

// updateReboots are the rules for reboots that an update now can have.
var updateReboots = []fleet.RebootRule{fleet.RebootIfRequired, fleet.RebootNever, fleet.RebootAlways}

func (p *Portal) updateForm(v *visit) error {
	view, err := p.updatable(v)
	if err != nil {
		return err
	}
	view.Hours, view.Scope, view.Reboot, view.Key = "2", string(fleet.ScopeAll), string(fleet.RebootIfRequired), rand.Text()
	return p.paintUpdate(v, view, http.StatusOK)
}

// updatable is the server for who may update it.
func (p *Portal) updatable(v *visit) (view updateView, err error) {
	if view.headView, err = p.viewHead(v); err != nil {
		return view, err
	}
	view.Offered = offeredBy(view.Server.Target)
	return view, v.caller.May(identity.Run, view.Server.Target.Project)
}

func (p *Portal) paintUpdate(v *visit, view updateView, status int) error {
	if view.Unmanaged() {
		return v.paint(http.StatusConflict, updatePage(v, view))
	}
	view.Preview = p.previewUpdate(v, view)
	v.preview = true
	return v.paint(status, updatePage(v, view))
}

// previewUpdate asks what the update would come to. It helps to decide; the
// form works without it.
func (p *Portal) previewUpdate(v *visit, view updateView) (out updatePreview) {
	spec, wrong := view.spec(v)
	if wrong != nil {
		out.Error = wrong
		return out
	}
	f, err := p.cfg.Desk.Simulate(v.r.Context(), v.caller, desk.SimulateSpec{RunSpec: spec})
	if err != nil {
		out.Error = v.blamed(err, windowForm{})
		return out
	}
	out.Forecast, out.Unknown = f, unknownCommands(spec.Policy, view.Offered)
	for _, s := range f.Steps {
		out.Takes += s.Span.End.Sub(s.Span.Start)
	}
	if o := view.Server.Target.Observed; o != nil {
		out.ListsAge = o.ListsAge + v.now.Sub(view.Server.Target.ObservedAt)
		out.list(o)
	}
	return out
}

// list finds the packages that the forecast installs among those pending.
func (u *updatePreview) list(o *action.Observation) {
	wanted := map[string]bool{}
	for _, s := range u.Forecast.Steps {
		if s.Action == action.Install {
			for _, pkg := range s.Packages {
				wanted[pkg.Name] = true
			}
		}
	}
	for _, pending := range pendingSorted(o) {
		if !wanted[pending.Name] {
			continue
		}
		u.Packages = append(u.Packages, pending)
		u.Bytes += pending.Bytes
		if pending.Security {
			u.Security++
		}
	}
}

// spec is what the form asks for.
func (u updateView) spec(v *visit) (desk.RunSpec, *formError) {
	length, ok := parseHours(u.Hours)
	if !ok {
		return desk.RunSpec{}, v.wrong("hours", v.T("wrong.hours"))
	}
	return desk.RunSpec{
		Project: u.Server.Target.Project, Server: u.Server.Target.ID, Duration: length,
		Policy: fleet.Policy{Scope: fleet.Scope(u.Scope), Reboot: fleet.RebootRule(u.Reboot), Backup: u.Backup, DryRun: u.DryRun},
		Reason: u.Reason, OverrideFreeze: u.Override,
	}, nil
}

func (p *Portal) update(v *visit) error {
	view, err := p.updatable(v)
	if err != nil {
		return err
	}
	if err := v.parseForm(); err != nil {
		return err
	}
	view.Hours, view.Scope, view.Reboot, view.Backup = v.field("hours"), v.field("scope"), v.field("reboot"), v.field("backup")
	view.Reason, view.DryRun, view.Override, view.Key = v.field("reason"), v.field("dryrun") != "", v.field("override") != "", v.field("key")
	if v.field("do") == "preview" {
		return p.paintUpdate(v, view, http.StatusOK)
	}
	spec, wrong := view.spec(v)
	if wrong != nil {
		view.Error = wrong
		return p.paintUpdate(v, view, http.StatusUnprocessableEntity)
	}
	caller := v.caller
	caller.Key = view.Key
	started, err := p.cfg.Desk.StartRun(v.r.Context(), caller, spec)
	if view.Error = v.blamed(err, windowForm{}); view.Error != nil {
		view.Key = rand.Text()
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
