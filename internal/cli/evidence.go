package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) evidenceCommand() *cobra.Command {
	return &cobra.Command{
		Use: "evidence RUN|SERVICE", Short: "What a service's users saw during a run of a runbook",
		Long: `Tells how a service answered its probe all the while a run was open on it: before
the first member was taken out, while each was out, and as a chart. Of a service
the run that works is meant, else its newest. What nobody asked is told as a
gap, never as good.

-o wide adds the endpoints; -o json has the figures second by second.`,
		Example: `  upkeep evidence api-extension
  upkeep evidence api-extension -o json`,
		Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			run, err := s.findRun(ctx, args[0], true)
			if err != nil {
				return err
			}
			if run.Runbook == "" {
				return notFoundf("run %s updates a server: nobody asks what its users see", run.ID)
			}
			e, err := s.evidence(ctx, run.ID)
			if err != nil {
				return err
			}
			return a.show(e, func(w io.Writer) { a.tellEvidence(w, run, e) })
		}),
	}
}

func (s *session) evidence(ctx context.Context, run string) (*client.Evidence, error) {
	return ask(ctx, func(ctx context.Context) (*client.Evidence, error) { return s.GetEvidence(ctx, run, nil) })
}

// usersLine is the last line of a described run; empty if nobody was asked.
func (s *session) usersLine(ctx context.Context, r *client.Run) (string, error) {
	if r.Runbook == "" || s.app.format != "table" {
		return "", nil
	}
	e, err := s.evidence(ctx, r.ID)
	if err != nil || e.Words == "" {
		return "", err
	}
	return fmt.Sprintf("\nUsers: %s (\"upkeep evidence %s\")\n", s.app.usersWords(e), r.ID), nil
}

// usersWords is the sum in words, with what is not known.
func (a *app) usersWords(e *client.Evidence) string {
	text := clean(e.Words)
	if e.Total.Unanswered+e.Total.Failed > 0 {
		text = a.paint(text, red)
	}
	if e.Gap != "" {
		text += a.paint(", not asked for "+e.Gap, yellow)
	}
	return text
}

func (a *app) tellEvidence(w io.Writer, r *client.Run, e *client.Evidence) {
	zone := a.zone(r.Window.Zone)
	if e.Began.IsZero() {
		fmt.Fprintf(w, "%s  %s  nobody has asked yet: the service has no probe, or nothing has begun\n", e.ServiceName, a.state(e.State))
		return
	}
	asked := second(e.Began, zone)
	if e.Asking {
		asked += ", still"
	}
	pairs(w, "Service", e.ServiceName, "Run", e.Run, "Runbook", e.Runbook, "State", a.state(e.State), "Asked since", asked,
		"Known until", moment(e.Until, zone), "Users", a.usersWords(e), "The last bad one", clean(e.Total.Why))
	fmt.Fprintln(w)
	t := newTable("WHILE OUT", "FROM", "FOR", "REQUESTS", "UNANSWERED", "FAILED", "SLOW", "P50", "P99")
	row := func(name, from, took string, sum client.EvidenceSum) {
		t.add(clean(name), from, took, fmt.Sprint(sum.Sent), a.bad(sum.Unanswered, red), a.bad(sum.Failed, red), a.bad(sum.Slow, yellow), millis(sum.P50, sum.Sent), millis(sum.P99, sum.Sent))
	}
	row("(before)", "", "", e.Before)
	for _, m := range e.Members {
		from, took := m.Out.In(zone).Format("15:04:05"), "still out"
		if !m.Back.IsZero() {
			took = short(m.Back.Sub(m.Out))
		}
		row(m.Name, from, took, sumOfMember(m))
	}
	row("(all)", "", "", e.Total)
	t.print(w, "")
	if a.wide {
		fmt.Fprintln(w)
		t = newTable("ENDPOINT", "REQUESTS", "UNANSWERED", "FAILED", "SLOW", "P50", "P99", "THE LAST BAD ONE")
		for _, p := range e.Endpoints {
			t.add(clean(p.Name), fmt.Sprint(p.Sent), a.bad(p.Unanswered, red), a.bad(p.Failed, red), a.bad(p.Slow, yellow), millis(p.P50, p.Sent), millis(p.P99, p.Sent), clean(p.Why))
		}
		t.print(w, "")
	}
	a.chart(w, e, zone)
}

func sumOfMember(m client.EvidenceMember) client.EvidenceSum {
	return client.EvidenceSum{Sent: m.Sent, Unanswered: m.Unanswered, Failed: m.Failed, Slow: m.Slow, P50: m.P50, P99: m.P99}
}

// bad is a count of what should not be.
func (a *app) bad(n int64, colour string) string {
	if n == 0 {
		return "0"
	}
	return a.paint(fmt.Sprint(n), colour)
}

// millis is a time that answers took; a dash if there was none.
func millis(ms float64, sent int64) string {
	if sent == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0fms", ms)
}

// chartColumns is how wide a chart is at most.
const chartColumns = 72

// The marks of a chart, the worst last.
const (
	markNone = ' '
	markGood = '▁'
	markGap  = '·' // not even the rest of it is known: never shown as good
	markSlow = '▄'
	markBad  = '█'
)

// chart shows what became of the requests over time, and who was out when.
func (a *app) chart(w io.Writer, e *client.Evidence, zone *time.Location) {
	if len(e.Series) == 0 {
		return
	}
	last := e.Series[len(e.Series)-1]
	from, to := e.Series[0].At, last.At.Add(length(last.Span))
	each := max(length(e.Series[0].Span), to.Sub(from)/chartColumns+1)
	columns := int((to.Sub(from) + each - 1) / each)
	column := func(at time.Time) int { return min(max(int(at.Sub(from)/each), 0), columns-1) }
	cells := []rune(strings.Repeat(string(markNone), columns))
	for _, p := range e.Series {
		mark := markGood
		switch {
		case p.Unanswered+p.Failed > 0:
			mark = markBad
		case p.Slow > 0:
			mark = markSlow
		case p.Sent == 0:
			mark = markNone
		}
		if i := column(p.At); worse(mark) > worse(cells[i]) {
			cells[i] = mark
		}
	}
	for _, g := range e.Gaps {
		for i := column(g.From); i <= column(g.To.Add(-1)); i++ {
			if worse(markGap) > worse(cells[i]) {
				cells[i] = markGap
			}
		}
	}
	var line strings.Builder
	for _, c := range cells {
		line.WriteString(a.paint(string(c), map[rune]string{markSlow: yellow, markBad: red}[c]))
	}
	fmt.Fprintf(w, "\n%s\n", line.String())
	for _, m := range e.Members {
		end := to
		if !m.Back.IsZero() {
			end = m.Back
		}
		first := column(m.Out)
		fmt.Fprintf(w, "%s%s %s\n", strings.Repeat(" ", first), strings.Repeat("▔", column(end)-first+1), clean(m.Name))
	}
	fmt.Fprintf(w, "%s to %s, %s a column: %c answered  %c some slow  %c some unanswered or failed  %c not asked\n",
		from.In(zone).Format("15:04:05"), to.In(zone).Format("15:04:05 MST"), short(each), markGood, markSlow, markBad, markGap)
}

// worse orders marks by how bad they are.
func worse(mark rune) int {
	return strings.IndexRune(string([]rune{markNone, markGood, markGap, markSlow, markBad}), mark)
}
