package portal

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/window"
)

// perPage is how many servers one page lists.
const perPage = 50

// serversView is the page of all servers.
type serversView struct {
	Totals []total
	Search string // part of a name
	Show   string // which total is looked at; empty: all
	Image  string // only servers made from the image of this id; empty: all
	Ref    string // what that image is called
	Rows   []serverRow
	Found  int
	Page   int
	Pages  int
	None   bool // there is no server at all
}

// total is a figure above the list, and the list that it leads to.
type total struct {
	Show  string // what the list is confined to; empty: all
	Count int
	Bad   bool // a figure that should be zero
}

// serverRow is one server in the list.
type serverRow struct {
	ID, Name, Project, Group string

	Looked   bool // it was observed at least once
	System   string
	Image    string // what it was made from; empty: unknown
	OldImage bool
	Pending  int
	Security int
	Reboot   bool

	Contact  desk.Contact
	LastSeen time.Time

	Next opening
	Run  *run.Run // the open run that matters most
}

// opening is a window that is open or opens next.
type opening struct {
	Span window.Span
	Zone *time.Location
	Open bool
}

// shows are the lists that a reader can choose, with who belongs to each.
var shows = []struct {
	name string
	bad  bool
	has  func(s desk.Server, now time.Time) bool
}{
	{"", false, func(desk.Server, time.Time) bool { return true }},
	{"working", false, func(s desk.Server, _ time.Time) bool {
		return slices.ContainsFunc(s.Open, isWorking)
	}},
	{"pending", false, func(s desk.Server, _ time.Time) bool { all, _ := pendingOf(s.Target); return all > 0 }},
	{"security", true, func(s desk.Server, _ time.Time) bool { _, security := pendingOf(s.Target); return security > 0 }},
	{"reboot", true, func(s desk.Server, _ time.Time) bool {
		return s.Target.Observed != nil && s.Target.Observed.RebootRequired
	}},
	{"old-image", true, func(s desk.Server, _ time.Time) bool { return s.Image != nil && s.Image.Outdated }},
	{"silent", true, func(s desk.Server, now time.Time) bool { return s.Agent.Contact(now) != desk.Fresh }},
}

func isWorking(r run.Run) bool { return r.State == run.Working }

func (p *Portal) servers(v *visit) error {
	all, err := p.cfg.Desk.Overview(v.r.Context(), v.caller, "")
	if err != nil {
		return err
	}
	return v.paint(http.StatusOK, serversPage(v, listServers(all, v.r.URL.Query(), v.now)))
}

// listServers chooses, sorts and counts.
func listServers(all []desk.Server, query url.Values, now time.Time) serversView {
	view := serversView{Search: strings.TrimSpace(query.Get("q")), None: len(all) == 0}
	if len(view.Search) > fleet.MaxNameBytes {
		view.Search = strings.ToValidUTF8(view.Search[:fleet.MaxNameBytes], "")
	}
	if view.Image = query.Get("image"); view.Image != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(s desk.Server) bool { return s.Target.Image != view.Image })
		view.Ref = view.Image
		if len(all) > 0 {
			view.Ref = all[0].Image.Image.Ref()
		}
	}
	belongs := shows[0].has
	for _, s := range shows {
		if s.name == query.Get("show") {
			view.Show, belongs = s.name, s.has
		}
		t := total{Show: s.name, Bad: s.bad}
		for _, server := range all {
			if s.has(server, now) {
				t.Count++
			}
		}
		view.Totals = append(view.Totals, t)
	}
	var found []desk.Server
	for _, s := range all {
		if belongs(s, now) && strings.Contains(strings.ToLower(s.Target.Name), strings.ToLower(view.Search)) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b desk.Server) int {
		return cmp.Or(strings.Compare(a.Target.Name, b.Target.Name), strings.Compare(a.Target.Project, b.Target.Project))
	})
	view.Found = len(found)
	view.Pages = max(1, (len(found)+perPage-1)/perPage)
	view.Page, _ = strconv.Atoi(query.Get("page")) // what is no number is the first page
	view.Page = min(max(view.Page, 1), view.Pages)
	first := (view.Page - 1) * perPage
	for _, s := range found[first:min(first+perPage, len(found))] {
		view.Rows = append(view.Rows, rowOf(s, now))
	}
	return view
}

func rowOf(s desk.Server, now time.Time) serverRow {
	t := s.Target
	row := serverRow{
		ID: t.ID, Name: t.Name, Project: t.Project, Group: t.Group,
		Contact: s.Agent.Contact(now), LastSeen: s.Agent.LastSeen,
		Next: nextOpening(s.Schedules, now),
	}
	if o := t.Observed; o != nil {
		row.Looked, row.System, row.Reboot = true, o.System, o.RebootRequired
	}
	if s.Image != nil {
		row.Image, row.OldImage = s.Image.Image.Ref(), s.Image.Outdated
	}
	row.Pending, row.Security = pendingOf(t)
	if open := byConcern(s.Open); len(open) > 0 {
		row.Run = &open[0]
	}
	return row
}

// pendingOf counts the updates that a server could have, and those of them
// that close a hole.
func pendingOf(t fleet.Target) (all, security int) {
	if t.Observed == nil {
		return 0, 0
	}
	for _, u := range t.Observed.Pending {
		if u.Security {
			security++
		}
	}
	return len(t.Observed.Pending), security
}

// nextOpening is the window that is open, else the one that opens next.
func nextOpening(schedules []fleet.Schedule, now time.Time) opening {
	var best opening
	for _, s := range schedules {
		if !s.Enabled || s.Resting {
			continue
		}
		o := opening{Zone: s.Window.Recurrence.Zone()}
		if o.Span, o.Open = s.Window.Current(now); !o.Open {
			if o.Span = s.Next; !o.Span.Start.After(now) {
				o.Span, _ = s.Window.Next(now)
			}
		}
		if !o.Span.IsZero() && (best.Span.IsZero() || o.Span.Start.Before(best.Span.Start)) {
			best = o
		}
	}
	return best
}

// byConcern puts first what a person wants to see first: what is under way,
// then what is held, then what waits, each by age.
func byConcern(open []run.Run) []run.Run {
	rank := map[run.State]int{run.Working: 0, run.Paused: 1, run.Waiting: 2}
	sorted := slices.Clone(open)
	slices.SortStableFunc(sorted, func(a, b run.Run) int {
		return cmp.Or(rank[a.State]-rank[b.State], strings.Compare(a.ID, b.ID))
	})
	return sorted
}

// mainReason is the reason that says most of why a run is where it is: what is
// under way, else what the first step waits for.
func mainReason(r run.Run) (plan.Wait, bool) {
	for _, w := range r.Waits {
		if w.Reason.Code == plan.UnderWay || w.Reason.Code == plan.Silent {
			return w, true
		}
	}
	if len(r.Waits) > 0 {
		return r.Waits[0], true
	}
	return plan.Wait{}, false
}

// address is this list's address with one thing changed.
func (s serversView) address(show string, page int) string {
	q := url.Values{}
	if s.Search != "" {
		q.Set("q", s.Search)
	}
	if show != "" {
		q.Set("show", show)
	}
	if s.Image != "" {
		q.Set("image", s.Image)
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if len(q) == 0 {
		return "/servers"
	}
	return "/servers?" + q.Encode()
}

// enrolCommands are how the first server gets in.
var enrolCommands = []string{
	"upkeep enrol web-1",
	"upkeep agent --server https://upkeep.example:8443 --ca ca.pem --token-file token",
}
