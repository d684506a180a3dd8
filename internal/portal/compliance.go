package portal

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
)

// complianceView is the page of how far servers are behind.
type complianceView struct {
	Totals []total
	Search string
	Show   string // which level is looked at; empty: all
	Rows   []standingRow
	Found  int
	Page   int
	Pages  int
}

// standingRow is one server's standing, with the zone that its times are told in.
type standingRow struct {
	desk.Standing
	Zone *time.Location
	Next opening
}

// levels are the standings that a reader can choose, the worst first.
var levels = []struct {
	level desk.Level
	bad   bool
}{{desk.LevelOverdue, true}, {desk.LevelUnknown, true}, {desk.LevelBehind, false}, {desk.LevelCurrent, false}}

// levelLooks are the glyphs of the levels.
var levelLooks = map[desk.Level]string{
	desk.LevelOverdue: "failed", desk.LevelUnknown: "warning", desk.LevelBehind: "waiting", desk.LevelCurrent: "done",
}

func (p *Portal) compliance(v *visit) error {
	all, err := p.cfg.Desk.Compliance(v.r.Context(), v.caller, "")
	if err != nil {
		return err
	}
	return v.paint(http.StatusOK, compliancePage(v, listStandings(all, v.r.URL.Query(), v.now)))
}

// chosenStandings are those that the address asks for, in their order.
func chosenStandings(all []desk.Standing, query url.Values) (view complianceView, found []desk.Standing) {
	view.Search = strings.TrimSpace(query.Get("q"))
	if len(view.Search) > fleet.MaxNameBytes {
		view.Search = strings.ToValidUTF8(view.Search[:fleet.MaxNameBytes], "")
	}
	view.Totals = []total{{Count: len(all)}}
	for _, l := range levels {
		if query.Get("show") == string(l.level) {
			view.Show = string(l.level)
		}
		t := total{Show: string(l.level), Bad: l.bad}
		for _, s := range all {
			if s.Level == l.level {
				t.Count++
			}
		}
		view.Totals = append(view.Totals, t)
	}
	for _, s := range all {
		if (view.Show == "" || view.Show == string(s.Level)) && strings.Contains(strings.ToLower(s.Server.Target.Name), strings.ToLower(view.Search)) {
			found = append(found, s)
		}
	}
	return view, found
}

// listStandings chooses a page of them.
func listStandings(all []desk.Standing, query url.Values, now time.Time) complianceView {
	view, found := chosenStandings(all, query)
	view.Found = len(found)
	view.Pages = max(1, (len(found)+perPage-1)/perPage)
	view.Page, _ = strconv.Atoi(query.Get("page")) // what is no number is the first page
	view.Page = min(max(view.Page, 1), view.Pages)
	first := (view.Page - 1) * perPage
	for _, s := range found[first:min(first+perPage, len(found))] {
		view.Rows = append(view.Rows, standingRow{Standing: s, Zone: pageZone(s.Server), Next: nextOpening(s.Server.Schedules, now)})
	}
	return view
}

// address is the address of this list, or of its file, with one thing changed.
func (c complianceView) address(path, show string, page int) string {
	q := url.Values{}
	if c.Search != "" {
		q.Set("q", c.Search)
	}
	if show != "" {
		q.Set("show", show)
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// complianceFields are the columns of the file. They are the same in every
// language: programs read them.
var complianceFields = []string{
	"server", "project", "group", "management", "level", "pending", "security", "behind_days", "oldest_known_since",
	"within_days", "due", "next_window_start", "next_window_end", "observed_at", "id",
}

// complianceCSV is the list as a file for a spreadsheet.
func (p *Portal) complianceCSV(v *visit) error {
	all, err := p.cfg.Desk.Compliance(v.r.Context(), v.caller, "")
	if err != nil {
		return err
	}
	_, found := chosenStandings(all, v.r.URL.Query())
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	v.w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", "compliance-"+v.now.UTC().Format(time.DateOnly)+".csv"))
	out := csv.NewWriter(v.w)
	_ = out.Write(complianceFields) // Error tells below
	for _, s := range found {
		_ = out.Write(standingCells(s, v.now))
	}
	out.Flush()
	_ = out.Error() // the reader may have gone: nothing to be done
	return nil
}

// standingCells is one line of the file.
func standingCells(s desk.Standing, now time.Time) []string {
	next := nextOpening(s.Server.Schedules, now).Span
	t := s.Server.Target
	cells := []string{
		t.Name, t.Project, t.Group, managementName(t.Management), string(s.Level), strconv.Itoa(s.Pending), strconv.Itoa(s.Security), strconv.Itoa(s.Behind), stampCell(s.Oldest),
		"", stampCell(s.Due), stampCell(next.Start), stampCell(next.End), stampCell(t.ObservedAt), t.ID,
	}
	if s.Within > 0 {
		cells[9] = strconv.Itoa(int(s.Within / (24 * time.Hour)))
	}
	for i := range cells {
		cells[i] = harmless(cells[i])
	}
	return cells
}

// managementName is a kind of management for programs.
func managementName(m fleet.Management) string {
	if m == fleet.ByHand {
		return "by-hand"
	}
	return string(m)
}

// stampCell is an instant for programs; empty: there is none.
func stampCell(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// formulaStarts are what makes a spreadsheet take a text for a formula.
var formulaStarts = []byte{'=', '+', '-', '@', '\t', '\r', '\n'}

// harmless is a cell that no spreadsheet takes for a formula.
func harmless(cell string) string {
	if cell != "" && slices.Contains(formulaStarts, cell[0]) {
		return "'" + cell
	}
	return cell
}
