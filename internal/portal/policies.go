package portal

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

// policiesView is the page of all policies from which schedules are made.
type policiesView struct {
	Policies []policyView
	MayAdd   bool
}

// policyView is one of them.
type policyView struct {
	fleet.Template
	Words   string
	MayEdit bool
}

// templateForm is the form of a policy, as it was written.
type templateForm struct {
	ID          string // of the one that is edited; empty: a new one
	Name        string
	Project     string // whose it is; empty: for every project
	Description string
	Default     bool
	Enabled     bool
	Window      windowForm
	Policy      policyForm
	Missed      string
	Error       *formError

	Projects []string // to choose from; empty: the project is given
	Every    bool     // "every project" can be chosen
	Preview  templatePreview
}

// templatePreview is what a policy would come to.
type templatePreview struct {
	Words       string
	Zone        *time.Location
	Length      time.Duration
	Occurrences []desk.Occurrence
	Error       *formError
}

func policyPath(t fleet.Template) string { return "/policies/" + url.PathEscape(t.ID) }

func (p *Portal) policies(v *visit) error {
	all, err := p.templates(v)
	if err != nil {
		return err
	}
	view := policiesView{MayAdd: v.caller.May(identity.Write, v.caller.Project) == nil}
	for _, t := range all {
		view.Policies = append(view.Policies, policyView{Template: t, Words: v.templateWords(t), MayEdit: v.mayEdit(t)})
	}
	return v.paint(http.StatusOK, policiesPage(v, view))
}

// mayEdit reports whether the caller may change a policy; the built-in one nobody.
func (v *visit) mayEdit(t fleet.Template) bool {
	return t.ID != fleet.BuiltinTemplate && v.caller.May(identity.Write, t.Project) == nil
}

// templateWords says when a policy's windows are.
func (v *visit) templateWords(t fleet.Template) string {
	if t.Spread {
		return v.T("policy.spread", t.Window.Recurrence.Zone())
	}
	return t.Window.Recurrence.Words(v.lang)
}

// templates are the policies of all projects that the caller may see.
func (p *Portal) templates(v *visit) (all []fleet.Template, err error) {
	projects, _, err := p.projects(v)
	if err != nil {
		return nil, err
	}
	for _, project := range projects {
		some, err := p.cfg.Desk.Templates(v.r.Context(), v.caller, project)
		if err != nil {
			return nil, err
		}
		for _, t := range some {
			i := slices.IndexFunc(all, func(o fleet.Template) bool { return o.ID == t.ID })
			if i < 0 {
				all = append(all, t)
			} else if t.Default {
				all[i].Default = true
			}
		}
	}
	return all, nil
}

// templateAt is the policy that the address names, for who may change it.
func (p *Portal) templateAt(v *visit) (fleet.Template, error) {
	id := v.r.PathValue("policy")
	all, err := p.templates(v)
	if err != nil {
		return fleet.Template{}, err
	}
	for _, t := range all {
		if t.ID != id {
			continue
		}
		if !v.mayEdit(t) {
			return t, fault.Denied("policy %q can't be changed by %s", t.Name, v.caller.Name)
		}
		return t, nil
	}
	return fleet.Template{}, fault.NotFound("policy", id)
}

func (p *Portal) newPolicy(v *visit) error {
	if err := v.caller.May(identity.Write, v.caller.Project); err != nil {
		return err
	}
	zone := cmp.Or(v.reader, time.UTC)
	form := templateForm{
		Project: v.caller.Project, Enabled: true, Window: newWindow("", zone, v.now), Missed: string(fleet.MissedLate),
		Policy: policyOf(fleet.DefaultPolicy(), nil, zone, v.now),
	}
	form.Window.SpreadZone = zone.String()
	return p.paintPolicy(v, form, http.StatusOK)
}

func (p *Portal) editPolicy(v *visit) error {
	t, err := p.templateAt(v)
	if err != nil {
		return err
	}
	form := templateForm{
		ID: t.ID, Name: t.Name, Project: t.Project, Description: t.Description, Default: t.Default, Enabled: t.Enabled,
		Window: windowOf("", t.Window, v.now), Policy: policyOf(t.Policy, nil, t.Window.Recurrence.Zone(), v.now), Missed: orLate(t.Missed),
	}
	form.Window.SpreadZone = t.Window.Recurrence.Zone().String()
	if t.Spread {
		form.Window.Mode = modeSpread
	}
	return p.paintPolicy(v, form, http.StatusOK)
}

// paintPolicy paints the form and what it would come to.
func (p *Portal) paintPolicy(v *visit, form templateForm, status int) error {
	if v.caller.Project == "" && form.ID == "" {
		names, _, err := p.projects(v)
		if err != nil {
			return err
		}
		form.Projects, form.Every = names, v.caller.May(identity.Write, "") == nil
	}
	form.Window.CanSpread = true
	form.Preview = p.previewPolicy(v, form)
	v.preview = true
	return v.paint(status, policyPage(v, form))
}

func (p *Portal) previewPolicy(v *visit, form templateForm) (out templatePreview) {
	if form.Name == "" {
		form.Name = "?"
	}
	spec, wrong := form.spec(v, fleet.Template{})
	if wrong != nil {
		return templatePreview{Error: wrong}
	}
	out.Length = spec.Duration
	if spec.Spread {
		out.Zone, _ = loadZone(spec.RRule)
		out.Words = v.T("policy.spread", out.Zone)
		return out
	}
	w, next, err := p.cfg.Desk.Windows(v.r.Context(), v.caller, cmp.Or(spec.Project, v.caller.Project), spec.RRule, spec.Duration, v.now, previewed5)
	if out.Error = v.blamed(err, form.Window); out.Error != nil || err != nil {
		return out
	}
	out.Words, out.Zone, out.Occurrences = w.Recurrence.Words(v.lang), w.Recurrence.Zone(), next
	return out
}

// previewed5 is how many occurrences a preview shows.
const previewed5 = 5

// readTemplate takes the form that was sent.
func (v *visit) readTemplate() templateForm {
	form := templateForm{
		Name: v.field("name"), Project: cmp.Or(v.caller.Project, v.field("project")), Description: typed(v.field("description")),
		Default: v.field("default") != "", Enabled: v.field("enabled") != "", Window: v.readWindow(""), Policy: v.readPolicy(), Missed: v.field("missed"),
	}
	form.Window.SpreadZone = v.field("spreadzone")
	if v.field("mode") == modeSpread {
		form.Window.Mode = modeSpread
	}
	return form
}

// spec is what the form asks for; old is what it changes.
func (f templateForm) spec(v *visit, old fleet.Template) (s desk.TemplateSpec, wrong *formError) {
	s = desk.TemplateSpec{
		Project: f.Project, Name: f.Name, Description: f.Description, Default: f.Default, Enabled: f.Enabled, Missed: fleet.MissedRule(f.Missed),
	}
	if strings.TrimSpace(f.Name) == "" {
		return s, v.wrong("name", v.T("wrong.name"))
	}
	if f.Window.Mode == modeSpread {
		zone, ok := loadZone(f.Window.SpreadZone)
		if !ok {
			return s, v.wrong("spreadzone", v.T("wrong.zone"))
		}
		s.Spread, s.RRule = true, zone.String()
		s.Duration, wrong = f.Window.length(v)
	} else {
		w, mistake := f.Window.window(v, old.Window.Recurrence.String())
		s.RRule, s.Duration, wrong = w.Recurrence.String(), w.Duration, mistake
	}
	if wrong != nil {
		return s, wrong
	}
	s.Policy, wrong = f.Policy.policy(v, old.Policy, old.Policy.RebootWindow.Recurrence.String())
	return s, wrong
}

// savePolicy creates or changes a policy, or only shows what would be.
func (p *Portal) savePolicy(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	var old fleet.Template
	form := v.readTemplate()
	if v.r.PathValue("policy") == "" {
		if err := v.caller.May(identity.Write, form.Project); err != nil {
			return err
		}
	} else {
		var err error
		if old, err = p.templateAt(v); err != nil {
			return err
		}
		// The desk knows a policy by its name, so that stays as it is.
		form.ID, form.Name, form.Project = old.ID, old.Name, old.Project
	}
	if v.field("do") != "save" {
		return p.paintPolicy(v, form, http.StatusOK)
	}
	if form.Error = p.storePolicy(v, form, old); form.Error != nil {
		return p.paintPolicy(v, form, http.StatusUnprocessableEntity)
	}
	done := "created"
	if form.ID != "" {
		done = "changed"
	}
	return v.goTo("/policies?done=" + done)
}

// storePolicy is what is wrong with the form, if it could not be stored.
func (p *Portal) storePolicy(v *visit, form templateForm, old fleet.Template) *formError {
	spec, wrong := form.spec(v, old)
	if wrong != nil {
		return wrong
	}
	if form.ID == "" {
		all, err := p.templates(v)
		if err != nil {
			return v.unable(err)
		}
		if slices.ContainsFunc(all, func(t fleet.Template) bool { return t.Name == form.Name && t.Project == form.Project }) {
			return v.wrong("name", v.T("wrong.taken"))
		}
	}
	if _, _, err := p.cfg.Desk.PutTemplate(v.r.Context(), v.caller, spec); err != nil {
		return v.unable(err, form.Window)
	}
	return nil
}

// unable is the mistake that an answer of the desk is about, if only that of
// the whole form.
func (v *visit) unable(err error, w ...windowForm) *formError {
	for _, one := range w {
		if wrong := v.blamed(err, one); wrong != nil {
			return wrong
		}
	}
	return &formError{Reason: v.T("error." + string(fault.KindOf(err)) + "-text")}
}

func (p *Portal) deletePolicyForm(v *visit) error {
	t, err := p.templateAt(v)
	if err != nil {
		return err
	}
	return v.paint(http.StatusOK, deletePolicyPage(v, t))
}

func (p *Portal) deletePolicy(v *visit) error {
	t, err := p.templateAt(v)
	if err != nil {
		return err
	}
	if err := p.cfg.Desk.DeleteTemplate(v.r.Context(), v.caller, t.Project, t.ID); err != nil {
		return err
	}
	return v.goTo("/policies?done=deleted")
}
