package portal

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/window"
)

// How much a server's page shows of what may be long.
const (
	pastPerPage  = 20
	nextShown    = 3
	pendingShown = 8 // a longer list is folded
)

// serverView is a server's page.
type serverView struct {
	Server    desk.Server
	Zone      *time.Location // in which the page tells its times
	Contact   desk.Contact
	Security  int
	Schedules []scheduleView
	Now       *progressView // the open run that matters most
	Others    []run.Run     // the other open runs
	Past      []run.Run
	Older     string // the address of older runs; empty: there are none
	Newest    bool   // the newest past runs are shown
	MayRun    bool
}

// scheduleView is a schedule with its next occurrences.
type scheduleView struct {
	fleet.Schedule
	Words string
	Zone  *time.Location
	Next  []desk.Occurrence
}

func (p *Portal) server(v *visit) error {
	view, err := p.viewServer(v)
	if err != nil {
		return err
	}
	v.live = serverPath(view.Server.Target.ID) + "/live"
	return v.paint(http.StatusOK, serverPage(v, view))
}

func (p *Portal) viewServer(v *visit) (view serverView, err error) {
	ctx := v.r.Context()
	if view.Server, err = p.cfg.Desk.Server(ctx, v.caller, "", v.r.PathValue("id")); err != nil {
		return view, err
	}
	t := view.Server.Target
	view.MayRun = v.caller.May(identity.Run, t.Project) == nil
	view.Contact = view.Server.Agent.Contact(v.now)
	_, view.Security = pendingOf(t)
	if view.Schedules, err = p.viewSchedules(v, view.Server); err != nil {
		return view, err
	}
	open := byConcern(view.Server.Open)
	view.Zone = pageZone(view.Server)
	if len(open) > 0 {
		story, err := p.cfg.Desk.RunStory(ctx, v.caller, open[0].ID)
		if err != nil {
			return view, err
		}
		now := v.follow(story.Run, story.Answers)
		view.Now, view.Others = &now, open[1:]
	}
	return view, p.viewPast(v, &view)
}

// viewPast lists the runs that have ended.
func (p *Portal) viewPast(v *visit, view *serverView) error {
	id := view.Server.Target.ID
	before := v.r.URL.Query().Get("before")
	view.Newest = before == ""
	// Open ones stand above; there are few of them, so a few more are asked for.
	limit := pastPerPage + len(view.Server.Open) + 1
	runs, err := p.cfg.Desk.Runs(v.r.Context(), v.caller, desk.RunFilter{Server: id, Before: before, Limit: limit})
	if err != nil {
		return err
	}
	view.Past = slices.DeleteFunc(runs, func(r run.Run) bool { return !r.State.Ended() })
	if len(view.Past) > pastPerPage {
		view.Past = view.Past[:pastPerPage]
		view.Older = serverPath(id) + "?" + url.Values{"before": {view.Past[pastPerPage-1].ID}}.Encode() + "#history"
	}
	return nil
}

func (p *Portal) viewSchedules(v *visit, s desk.Server) (all []scheduleView, err error) {
	for _, schedule := range s.Schedules {
		view := scheduleView{Schedule: schedule, Words: schedule.Window.Recurrence.Words(v.lang), Zone: schedule.Window.Recurrence.Zone()}
		if schedule.Enabled {
			_, view.Next, err = p.cfg.Desk.Windows(v.r.Context(), v.caller, schedule.Project,
				schedule.Window.Recurrence.String(), schedule.Window.Duration, v.now, nextShown)
			if err != nil {
				return nil, err
			}
		}
		all = append(all, view)
	}
	return all, nil
}

// pageZone is the zone of the server's first schedule: it is where its people are.
func pageZone(s desk.Server) *time.Location {
	for _, enabled := range []bool{true, false} {
		for _, schedule := range s.Schedules {
			if schedule.Enabled == enabled {
				return schedule.Window.Recurrence.Zone()
			}
		}
	}
	if len(s.Open) > 0 {
		return desk.Zone(s.Open[0])
	}
	return time.UTC
}

// spanWords says a span: "Sat 1 Aug, 13:40 – 15:40 (Europe/Sofia)".
func (v *visit) spanWords(s window.Span, zone *time.Location) string {
	start, end := s.Start.In(zone), s.End.In(zone)
	if start.YearDay() == end.YearDay() {
		return v.T("time.span", v.day(start), start.Format("15:04"), end.Format("15:04"), zone)
	}
	return v.T("time.span-days", v.day(start), start.Format("15:04"), v.day(end), end.Format("15:04"), zone)
}

// pendingSorted puts security first, as it is installed, then by name.
func pendingSorted(o *action.Observation) []action.Pending {
	all := slices.Clone(o.Pending)
	slices.SortStableFunc(all, func(a, b action.Pending) int {
		if a.Security != b.Security {
			if a.Security {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all
}

func serverPath(id string) string { return "/servers/" + url.PathEscape(id) }

func runPath(id string) string { return "/runs/" + url.PathEscape(id) }

// sortedKeys are a map's keys in order.
func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// zoneOr is zone, or UTC where there is none.
func zoneOr(zone *time.Location) *time.Location {
	if zone == nil {
		return time.UTC
	}
	return zone
}
