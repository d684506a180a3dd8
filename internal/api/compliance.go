package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
)

// Standing is how far a server is behind.
type Standing struct {
	Project        string      `json:"project" doc:"Whose server it is." example:"default"`
	Server         string      `json:"server" doc:"The server's id." example:"0199f3c2-7d1a-7c3e-9b52-0d3c8a1e4f60"`
	ServerName     string      `json:"serverName" doc:"The server's name." example:"web-1"`
	Group          string      `json:"group,omitempty" doc:"Its redundancy group." example:"web"`
	Management     Management  `json:"management" doc:"Who sees to its updates."`
	Level          Level       `json:"level" doc:"The standing in a word."`
	Pending        int         `json:"pending" doc:"How many updates could be installed, those left out that come along with others." example:"12"`
	Security       int         `json:"security" doc:"How many of them come from a security archive." example:"3"`
	RebootRequired bool        `json:"rebootRequired" doc:"Whether it wants to be restarted."`
	Oldest         time.Time   `json:"oldest,omitzero" doc:"Since when the update is known that has been pending for longest; missing if there is none, or nobody knows."`
	DaysBehind     int         `json:"daysBehind" doc:"Whole days since then." example:"9"`
	Within         string      `json:"within,omitempty" doc:"How soon an update is to be installed by the strictest of its enabled schedules, a duration; missing if none says so." example:"336h"`
	Due            time.Time   `json:"due,omitzero" doc:"When that is over for the oldest update; missing if nothing is due."`
	Next           *Span       `json:"next,omitempty" doc:"The next occurrence of its enabled schedules; missing if there is none."`
	ObservedAt     time.Time   `json:"observedAt,omitzero" doc:"When it was last looked at; missing if it never was."`
	Last           *LastUpdate `json:"lastUpdate,omitempty" doc:"How its newest update ended; missing if it had none."`
}

// Compliance is how far each server is behind.
type Compliance struct {
	Items []Standing `json:"items" doc:"The servers' standings, the worst first."`
}

type (
	complianceIn struct {
		InProject
		Format string `query:"format" enum:"json,csv" doc:"json, or csv: a line for each server under a line of names. Otherwise what Accept says, else json."`
		Accept string `header:"Accept" hidden:"true" maxLength:"1000"`
	}
	complianceOut struct {
		ContentType string `header:"Content-Type" hidden:"true"`
		Body        any    // a Compliance, or the bytes of a text
	}
)

const (
	complianceCall = "/v1/compliance"
	csvType        = "text/csv; charset=utf-8"
)

func (d *door) compliance() {
	register(d, op{
		id: "getCompliance", call: "GET " + complianceCall, scope: identity.Read, tag: "planning",
		summary: "Show who is behind",
		description: "Tells how far each server is behind: what is pending, for how long it has been known, and when it is due. The worst come first. " +
			"In CSV a text that a spreadsheet would take for a formula has an apostrophe before it.",
	}, d.getCompliance)
	// The answer has two forms, of which the framework can tell neither.
	doc := d.huma.OpenAPI()
	doc.Paths[complianceCall].Get.Responses["200"].Content = map[string]*huma.MediaType{
		"application/json": {Schema: doc.Components.Schemas.Schema(reflect.TypeFor[Compliance](), true, "Compliance")},
		"text/csv":         {Schema: &huma.Schema{Type: huma.TypeString}},
	}
}

func (d *door) getCompliance(ctx context.Context, c desk.Caller, in *complianceIn) (*complianceOut, error) {
	all, err := d.desk.Compliance(ctx, c, in.Project)
	if err != nil {
		return nil, err
	}
	told := Compliance{list(all, standingOf)}
	if in.Format == "csv" || in.Format == "" && strings.HasPrefix(in.Accept, "text/csv") {
		return &complianceOut{csvType, complianceCSV(told.Items)}, nil
	}
	return &complianceOut{"application/json", told}, nil
}

func standingOf(s desk.Standing) Standing {
	t := s.Server.Target
	out := Standing{
		Project: t.Project, Server: t.ID, ServerName: t.Name, Group: t.Group, Management: managementOf(t.Management),
		Level: Level(s.Level), Pending: s.Pending, Security: s.Security, Oldest: s.Oldest.UTC(), DaysBehind: s.Behind,
		Within: optional(s.Within), Due: s.Due.UTC(), Next: spanOf(s.Next), Last: lastOf(t.Last),
	}
	if t.Observed != nil {
		out.RebootRequired, out.ObservedAt = t.Observed.RebootRequired, t.ObservedAt.UTC()
	}
	return out
}

// complianceCSV is one line for each server under a line of names. The names
// are those of the fields in JSON; what is added, is added at the end.
func complianceCSV(all []Standing) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{
		"project", "server", "serverName", "group", "management", "level", "pending", "security", "rebootRequired",
		"oldest", "daysBehind", "within", "due", "next", "observedAt", "lastState", "lastFinished",
	}}
	for _, s := range all {
		next, lastState, lastFinished := "", "", ""
		if s.Next != nil {
			next = s.Next.Start.Format(time.RFC3339)
		}
		if s.Last != nil {
			lastState, lastFinished = string(s.Last.State), instant(s.Last.Finished)
		}
		rows = append(rows, []string{
			s.Project, s.Server, s.ServerName, s.Group, string(s.Management), string(s.Level),
			strconv.Itoa(s.Pending), strconv.Itoa(s.Security), strconv.FormatBool(s.RebootRequired),
			instant(s.Oldest), strconv.Itoa(s.DaysBehind), s.Within, instant(s.Due), next, instant(s.ObservedAt), lastState, lastFinished,
		})
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = harmless(cell)
		}
		_ = w.Write(row) // a buffer takes everything
	}
	w.Flush()
	return b.Bytes()
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// harmless keeps a spreadsheet from taking a text for a formula.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
