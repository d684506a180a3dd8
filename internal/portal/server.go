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
)

// How much a server's page shows of what may be long.
const (
	pastPerPage  = 20
	nextShown    = 2
	pendingShown = 8 // a longer list is folded
)

// The parts of a server's page.
const (
	tabOverview  = "overview"
	tabHistory   = "history"
	tabSchedules = "schedules"
)

// headView is what stands above all of a server's pages.
type headView struct {
	Server   desk.Server
	Zone     *time.Location // in which the page tells its times
	Contact  desk.Contact
	MayRun   bool
	MayWrite bool
}

// Unmanaged reports whether the server's owner patches it.
func (h headView) Unmanaged() bool { return h.Server.Target.Management == fleet.Unmanaged }

// serverView is a server's page.
type serverView struct {
	headView
	Security  int
	Schedules []scheduleView
	Now       *progressView // the open run that matters most
	Others    []run.Run     // the other open runs
	Last      *run.Run      // the newest that has ended
}

// historyView is the pane of a server's runs.
type historyView struct {
	headView
	Open   []run.Run
	Past   []run.Run
	Older  string // the address of older runs; empty: there are none
	Newest bool   // the newest past runs are shown
}

// scheduleView is a schedule with what it has ahead.
type scheduleView struct {
	fleet.Schedule
	Words    string
	Zone     *time.Location
	Next     []desk.Occurrence
	Overlaps []desk.Overlap
}

func (p *Portal) viewHead(v *visit) (h headView, err error) {
	if h.Server, err = p.cfg.Desk.Server(v.r.Context(), v.caller, "", v.r.PathValue("id")); err != nil {
		return h, err
	}
	t := h.Server.Target
	h.MayRun = v.caller.May(identity.Run, t.Project) == nil
	h.MayWrite = v.caller.May(identity.Write, t.Project) == nil
	h.Contact, h.Zone = h.Server.Agent.Contact(v.now), pageZone(h.Server)
	return h, nil
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
	if view.headView, err = p.viewHead(v); err != nil {
		return view, err
	}
	_, view.Security = pendingOf(view.Server.Target)
	if view.Schedules, err = p.viewSchedules(v, view.Server.Schedules); err != nil {
		return view, err
	}
	if open := byConcern(view.Server.Open); len(open) > 0 {
		story, err := p.cfg.Desk.RunStory(ctx, v.caller, open[0].ID)
		if err != nil {
			return view, err
		}
		now := v.follow(story.Run, story.Answers)
		view.Now, view.Others = &now, open[1:]
	}
	ended, err := p.ended(v, view.Server, "", 1)
	if len(ended) > 0 {
		view.Last = &ended[0]
	}
	return view, err
}

func (p *Portal) history(v *visit) error {
	head, err := p.viewHead(v)
	if err != nil {
		return err
	}
	view := historyView{headView: head, Open: byConcern(head.Server.Open)}
	before := v.r.URL.Query().Get("before")
	view.Newest = before == ""
	if view.Past, err = p.ended(v, head.Server, before, pastPerPage+1); err != nil {
		return err
	}
	if len(view.Past) > pastPerPage {
		view.Past = view.Past[:pastPerPage]
		view.Older = historyPath(head.Server.Target.ID) + "?" + url.Values{"before": {view.Past[pastPerPage-1].ID}}.Encode()
	}
	v.live = serverPath(head.Server.Target.ID) + "/live"
	return v.paint(http.StatusOK, historyPage(v, view))
}

// ended lists at most limit runs of a server that have ended, the newest first.
func (p *Portal) ended(v *visit, s desk.Server, before string, limit int) ([]run.Run, error) {
	// Open ones are among them; there are few, so a few more are asked for.
	filter := desk.RunFilter{Server: s.Target.ID, Before: before, Limit: limit + len(s.Open)}
	runs, err := p.cfg.Desk.Runs(v.r.Context(), v.caller, filter)
	if err != nil {
		return nil, err
	}
	runs = slices.DeleteFunc(runs, func(r run.Run) bool { return !r.State.Ended() })
	return runs[:min(limit, len(runs))], nil
}

func (p *Portal) viewSchedules(v *visit, schedules []fleet.Schedule) (all []scheduleView, err error) {
	futures, err := p.cfg.Desk.Futures(v.r.Context(), v.caller, schedules...)
	if err != nil {
		return nil, err
	}
	for _, s := range schedules {
		all = append(all, scheduleView{
			Schedule: s, Words: s.Window.Recurrence.Words(v.lang), Zone: s.Window.Recurrence.Zone(),
			Next: futures[s.ID].Occurrences, Overlaps: futures[s.ID].Overlaps,
		})
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

func historyPath(server string) string { return serverPath(server) + "/updates" }

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
