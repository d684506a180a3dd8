package portal

import (
	"cmp"
	"net/http"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/run"
)

// clashesView is the page of what a project's schedules want at once in the
// next fourteen days.
type clashesView struct {
	desk.Clashes
	Projects []string // to choose from
	Project  string
	Zone     *time.Location
}

func (p *Portal) clashes(v *visit) error {
	projects, _, err := p.projects(v)
	if err != nil {
		return err
	}
	view := clashesView{Projects: projects, Project: cmp.Or(v.r.URL.Query().Get("project"), projects[0]), Zone: cmp.Or(v.reader, time.UTC)}
	if view.Clashes, err = p.cfg.Desk.Clashes(v.r.Context(), v.caller, view.Project, desk.ClashDays); err != nil {
		return err
	}
	return v.paint(http.StatusOK, clashesPage(v, view))
}

// outcome is what a clash comes to, and its glyph and colour.
func (v *visit) outcome(c run.Clash) (look, text string) {
	switch {
	case c.Kind == run.ClashUnable:
		return "failed", v.T("clashes.unable")
	case c.Kind == run.ClashFreeze:
		return "warning", v.T("clashes.freeze")
	case c.Kind == run.ClashAnytime && c.Short > 0:
		return "warning", v.T("clashes.anytime-short", v.took(c.Short, false))
	case c.Kind == run.ClashAnytime:
		return "waiting", v.T("clashes.anytime")
	case c.Short > 0:
		return "warning", v.T("clashes.short", v.took(c.Short, false))
	}
	return "waiting", v.T("clashes.fits")
}
