package portal

import (
	"net/http"

	"github.com/a-h/templ"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

// manageView is the page that asks whether a server is to be managed, or to be
// left to its owner.
type manageView struct {
	headView
	Templates []fleet.Template // to choose the first schedule from
	Error     *formError
}

// manageable is the server for who may change it.
func (p *Portal) manageable(v *visit) (view manageView, err error) {
	if view.headView, err = p.viewHead(v); err != nil {
		return view, err
	}
	if err := v.caller.May(identity.Write, view.Server.Target.Project); err != nil {
		return view, err
	}
	view.Templates, err = p.cfg.Desk.Templates(v.r.Context(), v.caller, view.Server.Target.Project)
	return view, err
}

func (p *Portal) manageForm(v *visit) error {
	view, err := p.manageable(v)
	if err != nil {
		return err
	}
	return v.paint(http.StatusOK, managePage(v, view))
}

func (p *Portal) manage(v *visit) error {
	view, err := p.manageable(v)
	if err != nil {
		return err
	}
	if err := v.parseForm(); err != nil {
		return err
	}
	t := view.Server.Target
	_, err = p.cfg.Desk.Manage(v.r.Context(), v.caller, t.Project, t.ID, v.field("template"))
	return p.managed(v, view, err, managePage)
}

func (p *Portal) unmanageForm(v *visit) error {
	view, err := p.manageable(v)
	if err != nil {
		return err
	}
	return v.paint(http.StatusOK, unmanagePage(v, view))
}

func (p *Portal) unmanage(v *visit) error {
	view, err := p.manageable(v)
	if err != nil {
		return err
	}
	t := view.Server.Target
	_, err = p.cfg.Desk.Unmanage(v.r.Context(), v.caller, t.Project, t.ID)
	return p.managed(v, view, err, unmanagePage)
}

// managed leads back to the server's schedules, or shows why nothing was done.
func (*Portal) managed(v *visit, view manageView, err error, page func(*visit, manageView) templ.Component) error {
	if view.Error = v.mistake(err); view.Error != nil {
		return v.paint(statusOf(fault.KindOf(err)), page(v, view))
	}
	if err != nil {
		return err
	}
	return v.goTo(schedulesPath(view.Server.Target.ID))
}

// gets reports whether managing the server gives it a schedule.
func (m manageView) gets() bool { return len(m.Server.Schedules) == 0 }

// working counts the runs that leaving the server to its owner would abort.
func working(s desk.Server) int { return len(s.Open) }
