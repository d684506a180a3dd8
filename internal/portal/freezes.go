package portal

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/window"
)

// freezesView is the page of freezes, with the form that makes one.
type freezesView struct {
	Freezes []freezeView
	MayAdd  bool

	Projects []string
	Every    bool // "every project" can be chosen
	Form     freezeForm
	Zone     *time.Location // in which the page tells its times
}

// freezeView is a freeze that has not ended.
type freezeView struct {
	window.Freeze
	Now     bool
	MayLift bool
}

// freezeForm is the form of a freeze, as it was written.
type freezeForm struct {
	Project           string
	FromDay, FromTime string
	ToDay, ToTime     string
	Zone              string
	Reason            string
	Error             *formError
}

// freezeFields are the fields that stand for the desk's names of them.
var freezeFields = map[string]string{"start": "from-day", "end": "to-day", "reason": "reason", "project": "project"}

func (p *Portal) freezes(v *visit) error {
	zone := cmp.Or(v.reader, time.UTC)
	tomorrow := v.now.In(zone).AddDate(0, 0, 1)
	return p.paintFreezes(v, freezeForm{
		Project: v.caller.Project, Zone: zone.String(), FromDay: tomorrow.Format(time.DateOnly), FromTime: "00:00",
		ToDay: tomorrow.AddDate(0, 0, 1).Format(time.DateOnly), ToTime: "00:00",
	}, http.StatusOK)
}

func (p *Portal) paintFreezes(v *visit, form freezeForm, status int) error {
	view := freezesView{Form: form, Zone: cmp.Or(v.reader, time.UTC), MayAdd: v.caller.May(identity.Write, v.caller.Project) == nil}
	all, err := p.cfg.Desk.Freezes(v.r.Context(), v.caller, "")
	if err != nil {
		return err
	}
	for _, f := range all {
		view.Freezes = append(view.Freezes, freezeView{Freeze: f, Now: f.Span.Contains(v.now), MayLift: v.caller.May(identity.Write, f.Project) == nil})
	}
	slices.SortFunc(view.Freezes, func(a, b freezeView) int {
		return cmp.Or(a.Span.Start.Compare(b.Span.Start), cmp.Compare(a.ID, b.ID))
	})
	if v.caller.Project == "" && view.MayAdd {
		view.Every = true
		if view.Projects, _, err = p.projects(v); err != nil {
			return err
		}
	}
	return v.paint(status, freezesPage(v, view))
}

func (p *Portal) createFreeze(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	form := freezeForm{
		Project: cmp.Or(v.caller.Project, v.field("project")), FromDay: v.field("from-day"), FromTime: v.field("from-time"),
		ToDay: v.field("to-day"), ToTime: v.field("to-time"), Zone: v.field("zone"), Reason: v.field("reason"),
	}
	if err := v.caller.May(identity.Write, form.Project); err != nil {
		return err
	}
	spec, wrong := form.spec(v)
	if wrong == nil {
		_, err := p.cfg.Desk.CreateFreeze(v.r.Context(), v.caller, spec)
		if wrong = v.mistake(err); wrong != nil {
			wrong.Field = freezeFields[wrong.Field]
			wrong.Label = v.label(wrong.Field)
		} else if err != nil {
			return err
		}
	}
	if wrong != nil {
		form.Error = wrong
		return p.paintFreezes(v, form, http.StatusUnprocessableEntity)
	}
	return v.goTo("/freezes?done=created")
}

// spec is what the form asks for.
func (f freezeForm) spec(v *visit) (s desk.FreezeSpec, wrong *formError) {
	s = desk.FreezeSpec{Project: f.Project, Reason: f.Reason}
	zone, ok := loadZone(f.Zone)
	if !ok {
		return s, v.wrong("zone", v.T("wrong.zone"))
	}
	var err error
	if s.Start, err = time.ParseInLocation("2006-01-02 15:04", f.FromDay+" "+f.FromTime, zone); err != nil {
		return s, v.wrong("from-day", v.T("wrong.instant"))
	}
	if s.End, err = time.ParseInLocation("2006-01-02 15:04", f.ToDay+" "+f.ToTime, zone); err != nil {
		return s, v.wrong("to-day", v.T("wrong.instant"))
	}
	return s, nil
}

func freezePath(f window.Freeze) string { return "/freezes/" + url.PathEscape(f.ID) + "/lift" }

// liftable is the freeze that the address names, for who may lift it.
func (p *Portal) liftable(v *visit) (window.Freeze, error) {
	id := v.r.PathValue("freeze")
	all, err := p.cfg.Desk.Freezes(v.r.Context(), v.caller, "")
	if err != nil {
		return window.Freeze{}, err
	}
	for _, f := range all {
		if f.ID == id {
			return f, v.caller.May(identity.Write, f.Project)
		}
	}
	return window.Freeze{}, fault.NotFound("freeze", id)
}

func (p *Portal) liftFreezeForm(v *visit) error {
	f, err := p.liftable(v)
	if err != nil {
		return err
	}
	return v.paint(http.StatusOK, liftFreezePage(v, f, cmp.Or(v.reader, time.UTC)))
}

func (p *Portal) liftFreeze(v *visit) error {
	f, err := p.liftable(v)
	if err != nil {
		return err
	}
	if err := p.cfg.Desk.DeleteFreeze(v.r.Context(), v.caller, f.ID); err != nil {
		return err
	}
	return v.goTo("/freezes?done=lifted")
}
