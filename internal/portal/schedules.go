package portal

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/window"
)

// scheduleForm is the form of a schedule, as it was written.
type scheduleForm struct {
	ID       string // of the schedule that is edited; empty: a new one
	Number   int64  // its number on the server, by which other programs call it
	Name     string
	Enabled  bool
	Window   windowForm
	Policy   policyForm
	Missed   string
	Template string // that it is made from
	Allow    bool   // overlaps are allowed
	Key      string // the same form sent twice makes one schedule
}

// schedulesView is the pane of a server's schedules.
type schedulesView struct {
	headView
	Schedules []scheduleView
	Calendar  calendar
	Clashes   []run.Clash
	Note      string // what was just done
	Error     *formError
	Refused   *fleet.Schedule // could not be switched on: it would overlap

	Form      *scheduleForm // nil: none is open
	Templates []fleet.Template
	Offered   []string // commands of the server's agent
	Preview   previewView
}

// previewView is what a form would come to if it were saved.
type previewView struct {
	Words    string
	Zone     *time.Location
	Length   time.Duration
	Future   desk.Future
	Unknown  []string // commands that the server's agent does not offer
	Calendar calendar
	Disabled bool
	Allow    bool
	Error    *formError // it comes to nothing yet
}

func schedulesPath(server string) string { return serverPath(server) + "/schedules" }

func schedulePath(s fleet.Schedule) string {
	return schedulesPath(s.Target) + "/" + url.PathEscape(s.ID)
}

func (p *Portal) schedules(v *visit) error {
	view, err := p.viewSchedulesPane(v)
	if err != nil {
		return err
	}
	if note := v.r.URL.Query().Get("done"); slices.Contains(scheduleNotes, note) {
		view.Note = v.T("schedule.note-" + note)
	}
	v.live = serverPath(view.Server.Target.ID) + "/live"
	return v.paint(http.StatusOK, schedulesPage(v, view))
}

// scheduleNotes are what can just have been done to a schedule.
var scheduleNotes = []string{"created", "changed", "enabled", "disabled", "deleted"}

// viewSchedulesPane is the pane without a form.
func (p *Portal) viewSchedulesPane(v *visit) (view schedulesView, err error) {
	if view.headView, err = p.viewHead(v); err != nil {
		return view, err
	}
	if view.Schedules, err = p.viewSchedules(v, view.Server.Schedules); err != nil {
		return view, err
	}
	view.Offered = offeredBy(view.Server.Target)
	freezes, err := p.cfg.Desk.Freezes(v.r.Context(), v.caller, view.Server.Target.Project)
	if err != nil {
		return view, err
	}
	around, err := p.cfg.Desk.Around(v.r.Context(), v.caller, view.Server.Target.ID)
	if err != nil {
		return view, err
	}
	view.Clashes = around.Clashes
	view.Calendar = drawCalendar(slices.Concat(view.Server.Schedules, around.Services), freezes, view.Zone, v.now)
	return view, nil
}

// editable is the pane for who may change the server's schedules.
func (p *Portal) editable(v *visit) (view schedulesView, err error) {
	if view, err = p.viewSchedulesPane(v); err != nil {
		return view, err
	}
	return view, v.caller.May(identity.Write, view.Server.Target.Project)
}

// scheduleOn is a schedule of the server that the address names.
func (view schedulesView) scheduleOn(id string) (fleet.Schedule, error) {
	for _, s := range view.Server.Schedules {
		if s.ID == id {
			return s, nil
		}
	}
	return fleet.Schedule{}, fault.NotFound("schedule", id)
}

// chosen is the schedule that the address names, for who may change it.
func (p *Portal) chosen(v *visit) (view schedulesView, s fleet.Schedule, err error) {
	if view, err = p.editable(v); err != nil {
		return view, s, err
	}
	s, err = view.scheduleOn(v.r.PathValue("schedule"))
	return view, s, err
}

func (p *Portal) newSchedule(v *visit) error {
	view, err := p.editable(v)
	if err != nil {
		return err
	}
	zone := view.Zone
	if len(view.Server.Schedules) == 0 && v.reader != nil {
		zone = v.reader
	}
	form := scheduleForm{
		Enabled: true, Window: newWindow("", zone, v.now), Missed: string(fleet.MissedLate), Key: rand.Text(),
		Policy: policyOf(fleet.DefaultPolicy(), view.Offered, zone, v.now), Template: v.r.URL.Query().Get("template"),
	}
	templates, err := p.cfg.Desk.Templates(v.r.Context(), v.caller, view.Server.Target.Project)
	if err != nil {
		return err
	}
	if t, ok := templateNamed(templates, form.Template); ok {
		w := t.For(view.Server.Target.ID)
		form.Name, form.Window, form.Missed = t.Name, windowOf("", w, v.now), orLate(t.Missed)
		form.Policy = policyOf(t.Policy, view.Offered, w.Recurrence.Zone(), v.now)
	}
	view.Form = &form
	return p.paintSchedule(v, view, http.StatusOK)
}

// templateNamed finds an enabled template by its id.
func templateNamed(all []fleet.Template, id string) (fleet.Template, bool) {
	for _, t := range all {
		if t.ID == id && t.Enabled {
			return t, true
		}
	}
	return fleet.Template{}, false
}

func orLate(m fleet.MissedRule) string {
	if m == "" {
		m = fleet.MissedLate
	}
	return string(m)
}

func (p *Portal) editSchedule(v *visit) error {
	view, s, err := p.chosen(v)
	if err != nil {
		return err
	}
	view.Form = &scheduleForm{
		ID: s.ID, Number: s.Number, Name: s.Name, Enabled: s.Enabled, Window: windowOf("", s.Window, v.now), Missed: orLate(s.Missed), Template: s.Template,
		Policy: policyOf(s.Policy, view.Offered, s.Window.Recurrence.Zone(), v.now), Key: rand.Text(),
		// One that overlaps already was allowed to.
		Allow: slices.ContainsFunc(view.Schedules, func(o scheduleView) bool { return o.ID == s.ID && len(o.Overlaps) > 0 }),
	}
	return p.paintSchedule(v, view, http.StatusOK)
}

// readSchedule takes the form that was sent.
func (v *visit) readSchedule(id string) scheduleForm {
	return scheduleForm{
		ID: id, Name: v.field("name"), Enabled: v.field("enabled") != "", Window: v.readWindow(""), Policy: v.readPolicy(),
		Missed: v.field("missed"), Template: v.field("template"), Allow: v.field("allow") != "", Key: v.field("key"),
	}
}

// spec is what the form asks for.
func (p *Portal) spec(v *visit, view schedulesView) (s desk.ScheduleSpec, wrong *formError, err error) {
	form := *view.Form
	t := view.Server.Target
	s = desk.ScheduleSpec{
		Project: t.Project, Server: t.ID, Name: form.Name, Enabled: form.Enabled, Missed: fleet.MissedRule(form.Missed), AllowOverlap: form.Allow,
	}
	// What the form has no field for stays as it is, or as the template has it.
	old, base := fleet.Schedule{}, fleet.DefaultPolicy()
	if form.ID != "" {
		if old, err = view.scheduleOn(form.ID); err != nil {
			return s, nil, err
		}
		base, s.Template = old.Policy, old.Template
	} else if m, ok := templateNamed(view.Templates, form.Template); ok {
		base, s.Template = m.Policy, m.ID
	}
	if _, ok := templateNamed(view.Templates, s.Template); !ok {
		s.Template = "" // it is gone, or was switched off since
	}
	if form.Name == "" {
		return s, v.wrong("name", v.T("wrong.name")), nil
	}
	w, wrong := form.Window.window(v, old.Window.Recurrence.String())
	if wrong != nil {
		return s, wrong, nil
	}
	s.RRule, s.Duration = w.Recurrence.String(), w.Duration
	s.Policy, wrong = form.Policy.policy(v, base, old.Policy.RebootWindow.Recurrence.String())
	return s, wrong, nil
}

// paintSchedule paints the pane with the form and what it would come to.
func (p *Portal) paintSchedule(v *visit, view schedulesView, status int) (err error) {
	ctx := v.r.Context()
	project := view.Server.Target.Project
	if view.Templates, err = p.cfg.Desk.Templates(ctx, v.caller, project); err != nil {
		return err
	}
	if view.Preview, err = p.previewSchedule(v, view); err != nil {
		return err
	}
	v.preview = true
	return v.paint(status, schedulesPage(v, view))
}

// previewSchedule says what the form would come to. A form that can't be
// understood yet has a preview that says so.
func (p *Portal) previewSchedule(v *visit, view schedulesView) (preview previewView, err error) {
	if view.Form.Name == "" {
		form := *view.Form
		form.Name = "?" // a name does not change what it would do
		view.Form = &form
	}
	spec, wrong, err := p.spec(v, view)
	if err != nil {
		return preview, err
	}
	preview = previewView{Disabled: !spec.Enabled, Allow: spec.AllowOverlap, Error: wrong}
	if wrong != nil {
		return preview, nil
	}
	would, future, err := p.cfg.Desk.Preview(v.r.Context(), v.caller, view.Form.ID, spec)
	if preview.Error = v.blamed(err, view.Form.Window); preview.Error != nil {
		return preview, nil
	}
	if err != nil {
		return preview, err
	}
	freezes, err := p.cfg.Desk.Freezes(v.r.Context(), v.caller, view.Server.Target.Project)
	if err != nil {
		return preview, err
	}
	preview.Words, preview.Zone = would.Window.Recurrence.Words(v.lang), would.Window.Recurrence.Zone()
	preview.Length, preview.Future = would.Window.Duration, future
	preview.Unknown = unknownCommands(would.Policy, view.Offered)
	preview.Calendar = drawCalendar(withSchedule(view.Server.Schedules, would, v.T("calendar.this")), freezes, preview.Zone, v.now)
	return preview, nil
}

// withSchedule are a server's schedules as they would be: all on, the new one first.
func withSchedule(all []fleet.Schedule, would fleet.Schedule, name string) []fleet.Schedule {
	would.Enabled, would.Name = true, name
	others := slices.DeleteFunc(slices.Clone(all), func(s fleet.Schedule) bool { return s.ID == would.ID })
	return append([]fleet.Schedule{would}, others...)
}

// saveSchedule creates or replaces a schedule, or only shows what would be.
func (p *Portal) saveSchedule(v *visit) error {
	view, err := p.editable(v)
	if err != nil {
		return err
	}
	if err := v.parseForm(); err != nil {
		return err
	}
	form := v.readSchedule(v.r.PathValue("schedule"))
	if old, err := view.scheduleOn(form.ID); err == nil {
		form.Number = old.Number
	}
	view.Form = &form
	if v.field("do") != "save" {
		return p.paintSchedule(v, view, http.StatusOK)
	}
	if view.Templates, err = p.cfg.Desk.Templates(v.r.Context(), v.caller, view.Server.Target.Project); err != nil {
		return err
	}
	spec, wrong, err := p.spec(v, view)
	if err != nil {
		return err
	}
	if wrong != nil {
		view.Error = wrong
		return p.paintSchedule(v, view, http.StatusUnprocessableEntity)
	}
	caller, done := v.caller, "created"
	caller.Key = form.Key
	if form.ID == "" {
		_, err = p.cfg.Desk.CreateSchedule(v.r.Context(), caller, spec)
	} else {
		_, err = p.cfg.Desk.ReplaceSchedule(v.r.Context(), caller, form.ID, spec)
		done = "changed"
	}
	if view.Error = v.blamed(err, form.Window); view.Error != nil {
		form.Key = rand.Text()
		if better := p.whyNot(v, view, spec, err); better != nil {
			view.Error = better
		}
		return p.paintSchedule(v, view, statusOf(fault.KindOf(err)))
	}
	if err != nil {
		return err
	}
	return v.goTo(schedulesPath(view.Server.Target.ID) + "?done=" + done)
}

// whyNot says in the reader's language why a schedule was refused: its name is
// taken, or it would be open while others are. nil if it is something else.
func (p *Portal) whyNot(v *visit, view schedulesView, spec desk.ScheduleSpec, refused error) *formError {
	if !isConflict(refused) || view.Unmanaged() {
		return nil
	}
	if slices.ContainsFunc(view.Server.Schedules, func(s fleet.Schedule) bool { return s.Name == spec.Name && s.ID != view.Form.ID }) {
		return v.wrong("name", v.T("wrong.taken"))
	}
	would, future, err := p.cfg.Desk.Preview(v.r.Context(), v.caller, view.Form.ID, spec)
	if err != nil || spec.AllowOverlap || len(future.Overlaps) == 0 {
		return nil
	}
	return v.wrong("allow", v.overlapWords(future.Overlaps[0], would.Window.Recurrence.Zone()))
}

// overlapWords says with what a schedule overlaps, and when first.
func (v *visit) overlapWords(o desk.Overlap, zone *time.Location) string {
	return v.T("schedule.overlap-refused", o.Name, v.clearSpan(o.Span, zone))
}

// clearSpan says a span with its year and without its zone: "Sat 28 Nov 2026,
// starts 13:40, ends 15:40".
func (v *visit) clearSpan(s window.Span, zone *time.Location) string {
	start, end := s.Start.In(zone), s.End.In(zone)
	if start.YearDay() == end.YearDay() {
		return v.T("time.clear", v.dayYear(start), start.Format("15:04"), end.Format("15:04"))
	}
	return v.T("time.clear-days", v.dayYear(start), start.Format("15:04"), v.day(end), end.Format("15:04"))
}

// enableSchedule switches a schedule on or off.
func (p *Portal) enableSchedule(v *visit) error {
	view, err := p.editable(v)
	if err != nil {
		return err
	}
	if err := v.parseForm(); err != nil {
		return err
	}
	s, err := view.scheduleOn(v.r.PathValue("schedule"))
	if err != nil {
		return err
	}
	on := v.field("enabled") == "yes"
	_, err = p.cfg.Desk.EnableSchedule(v.r.Context(), v.caller, s.ID, on, v.field("allow") != "")
	if view.Error = v.mistake(err); view.Error != nil {
		s.Enabled = true
		all, err2 := p.cfg.Desk.Futures(v.r.Context(), v.caller, s)
		if over := all[s.ID].Overlaps; err2 == nil && len(over) > 0 {
			view.Error = &formError{Label: s.Name, Reason: v.overlapWords(over[0], s.Window.Recurrence.Zone())}
			view.Refused = &s
		}
		return v.paint(statusOf(fault.KindOf(err)), schedulesPage(v, view))
	}
	if err != nil {
		return err
	}
	done := "disabled"
	if on {
		done = "enabled"
	}
	return v.goTo(schedulesPath(s.Target) + "?done=" + done)
}

func (p *Portal) deleteScheduleForm(v *visit) error {
	view, s, err := p.chosen(v)
	if err != nil {
		return err
	}
	return v.paint(http.StatusOK, deleteSchedulePage(v, view, s))
}

func (p *Portal) deleteSchedule(v *visit) error {
	_, s, err := p.chosen(v)
	if err != nil {
		return err
	}
	if err := p.cfg.Desk.DeleteSchedule(v.r.Context(), v.caller, s.ID); err != nil {
		return err
	}
	return v.goTo(schedulesPath(s.Target) + "?done=deleted")
}
