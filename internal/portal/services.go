package portal

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/chart"
	"upkeep/internal/desk"
	"upkeep/internal/evidence"
	"upkeep/internal/identity"
	"upkeep/internal/plan"
	"upkeep/internal/run"
)

// servicesView is the page of all services.
type servicesView struct {
	Services []serviceView
	Projects bool // they are of several projects
}

// serviceView is a service with what goes on, or went on last.
type serviceView struct {
	desk.Service
	Newest   *run.Run // the run that goes on, else the newest; nil: there was none
	Zone     *time.Location
	Progress progressView // of Newest
	Tiles    []tileView
	MayRun   bool
	Users    usersView
	Calendar calendar
	Clashes  []run.Clash
}

// tileView is one member.
type tileView struct {
	Name   string
	Server string
	Look   string // glyph and colour
	Word   string
	Out    time.Time // since when it is out; zero: it is not
}

// usersView is what users saw during the newest run.
type usersView struct {
	Report  *evidence.Report // nil: nobody was to ask
	Axis    chart.Axis
	Ticks   []chart.Tick
	Columns []chart.Column
	Outages []bandView
	Gaps    []chart.Bar
}

// bandView is a stretch of the chart in which a member was out.
type bandView struct {
	chart.Bar
	Name string
}

// chartPoints is how many columns the chart of requests may have.
const chartPoints = 240

func servicePath(id string) string { return "/services/" + url.PathEscape(id) }

func (p *Portal) services(v *visit) error {
	all, err := p.cfg.Desk.Services(v.r.Context(), v.caller, "")
	if err != nil {
		return err
	}
	view := servicesView{}
	for _, s := range all {
		one := serviceView{Service: s}
		if open := byConcern(s.Open); len(open) > 0 {
			one.Newest = &open[0]
		}
		one.Tiles = v.tiles(one)
		view.Services = append(view.Services, one)
		view.Projects = view.Projects || s.Target.Project != all[0].Target.Project
	}
	return v.paint(http.StatusOK, servicesPage(v, view))
}

func (p *Portal) service(v *visit) error {
	ctx := v.r.Context()
	s, err := p.cfg.Desk.Service(ctx, v.caller, "", v.r.PathValue("id"))
	if err != nil {
		return err
	}
	view := serviceView{Service: s, Zone: time.UTC, MayRun: v.caller.May(identity.Run, s.Target.Project) == nil}
	if view.Newest, err = p.newest(ctx, v, s); err != nil {
		return err
	}
	if r := view.Newest; r != nil {
		view.Zone, view.Progress = desk.Zone(*r), v.follow(*r, nil)
		view.MayRun = view.MayRun && !r.State.Ended()
		v.refresh = r.State == run.Working
		e, err := p.cfg.Desk.Evidence(ctx, v.caller, r.ID, chartPoints)
		if err != nil {
			return err
		}
		view.Users = drawUsers(e.Report, view.Zone)
	}
	if err := p.planned(ctx, v, &view); err != nil {
		return err
	}
	view.Tiles = v.tiles(view)
	v.live = servicePath(s.Target.ID) + "/live"
	return v.paint(http.StatusOK, servicePage(v, view))
}

// planned is what the service's schedules will do.
func (p *Portal) planned(ctx context.Context, v *visit, view *serviceView) error {
	t := view.Target
	around, err := p.cfg.Desk.Around(ctx, v.caller, t.ID)
	if err != nil {
		return err
	}
	freezes, err := p.cfg.Desk.Freezes(ctx, v.caller, t.Project)
	if err != nil {
		return err
	}
	zone := view.Zone
	if len(view.Schedules) > 0 {
		zone = view.Schedules[0].Window.Recurrence.Zone()
	}
	view.Clashes, view.Calendar = around.Clashes, drawCalendar(view.Schedules, freezes, zone, v.now)
	return nil
}

// newest is the run that goes on on a service, else its newest; nil if there is none.
func (p *Portal) newest(ctx context.Context, v *visit, s desk.Service) (*run.Run, error) {
	if open := byConcern(s.Open); len(open) > 0 {
		return &open[0], nil
	}
	all, err := p.cfg.Desk.Runs(ctx, v.caller, desk.RunFilter{Project: s.Target.Project, Service: s.Target.ID, Limit: 1})
	if err != nil || len(all) == 0 || all[0].Book == nil {
		return nil, err
	}
	return &all[0], nil
}

func (p *Portal) serviceLive(v *visit) error {
	id := v.r.PathValue("id")
	return p.stream(v, func(ctx context.Context) (seen, error) {
		s, err := p.cfg.Desk.Service(ctx, v.caller, "", id)
		now := seen{mark: fmt.Sprint(s.Target.Revision)}
		for _, r := range s.Open {
			now.mark += fmt.Sprint(" ", r.ID, r.Revision)
			now.working = now.working || r.State == run.Working || r.Asking()
		}
		return now, err
	})
}

// tiles are a service's members, as the newest run sees them.
func (v *visit) tiles(s serviceView) (all []tileView) {
	for _, m := range s.Target.Service.Members {
		t := tileView{Name: m.Name, Server: m.Server, Look: "todo", Word: v.T("service.idle")}
		if r := s.Newest; r != nil {
			v.fill(&t, *r)
		}
		all = append(all, t)
	}
	return all
}

// fill says how far a run is with a member.
func (v *visit) fill(t *tileView, r run.Run) {
	at, begun := r.Book.Members[t.Name]
	switch {
	case at.Out:
		t.Look, t.Word, t.Out = "warning", v.T("service.out"), at.First
		for _, o := range r.Book.Outages {
			if o.Member == t.Name && o.To.IsZero() {
				t.Out = o.From // a run that was resumed counts its budget anew, and people do not
			}
		}
	case at.Through:
		t.Look, t.Word = "done", v.T("service.through")
	case !r.State.Ended() && !begun:
		t.Look, t.Word = "todo", v.T("service.not-begun")
	}
}

// drawUsers puts what users saw on an axis of time.
func drawUsers(r *evidence.Report, zone *time.Location) usersView {
	if r == nil || r.Watch.Began.IsZero() {
		return usersView{}
	}
	u := usersView{Report: r}
	if len(r.Series) == 0 {
		return u
	}
	end := r.Series[len(r.Series)-1].End()
	for _, g := range r.Gaps {
		end = maxTime(end, g.To)
	}
	u.Axis = chart.Axis{From: r.Series[0].At, To: end}
	u.Ticks = u.Axis.Ticks(zone, 5)
	points := make([]chart.Requests, 0, len(r.Series))
	for _, s := range r.Series {
		bad := s.Bad()
		slow := min(s.Slow, s.Sent()-bad) // one that failed late is bad, and not slow too
		points = append(points, chart.Requests{Start: s.At, End: s.End(), Good: s.Sent() - bad - slow, Slow: slow, Bad: bad})
	}
	u.Columns = u.Axis.Columns(points)
	for _, s := range r.Shares {
		to := s.To
		if to.IsZero() {
			to = end
		}
		if bar, ok := u.Axis.Bar(s.From, to); ok {
			u.Outages = append(u.Outages, bandView{Bar: bar, Name: s.Member})
		}
	}
	for _, g := range r.Gaps {
		if bar, ok := u.Axis.Bar(g.From, g.To); ok {
			u.Gaps = append(u.Gaps, bar)
		}
	}
	return u
}

// approvalView is a step that waits for a person.
type approvalView struct {
	Step, Title string
	NoReturn    bool
}

// approvals lists the steps of a run that wait for a person.
func approvals(r run.Run) (all []approvalView) {
	for _, id := range desk.Unapproved(r) {
		s, ok := r.Plan.Step(id)
		if ok {
			all = append(all, approvalView{Step: id, Title: s.Title, NoReturn: s.Undo == plan.ForwardOnly})
		}
	}
	return all
}

// approve lets a step begin that waits for a person.
func (p *Portal) approve(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	r, err := p.cfg.Desk.Approve(v.r.Context(), v.caller, v.r.PathValue("id"), v.field("step"))
	return v.afterwards(r, err)
}

// out counts the members that are out.
func (s serviceView) out() (n int) {
	for _, t := range s.Tiles {
		if !t.Out.IsZero() {
			n++
		}
	}
	return n
}

// count writes a number with its thousands apart, as the language does.
func (v *visit) count(n int) string {
	text := evidence.Thousands(n)
	if v.lang == "de" {
		return strings.ReplaceAll(text, ",", ".")
	}
	return text
}

// millis says how long answers took.
func millis(d time.Duration, sent int) string {
	if sent == 0 {
		return "–"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
}

// outMembers names the members that were out, each once.
func (u usersView) outMembers() (names []string) {
	for _, b := range u.Outages {
		if !slices.Contains(names, b.Name) {
			names = append(names, b.Name)
		}
	}
	return names
}
