package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"upkeep/client"
)

// view is a run as its watcher sees it.
type view struct {
	app     *app
	run     *client.Run
	zone    *time.Location
	past    []client.Step // done under earlier plans
	screen  *screen       // nil: lines only
	poke    func()        // asks for a fresh look at the run; may be nil
	trouble string        // why the server can't be asked now
}

// take shows what was learnt.
func (v *view) take(n news) error {
	if n.trouble != nil {
		v.troubled(*n.trouble)
	}
	if n.run != nil {
		v.see(n.run)
	}
	for _, f := range n.facts {
		if v.app.format != "table" {
			if err := v.app.document(f, false); err != nil {
				return err
			}
			continue
		}
		var b strings.Builder
		v.app.printFact(&b, f, "", v.zone)
		if v.screen == nil {
			if _, err := io.WriteString(v.app.out, b.String()); err != nil {
				return err // nobody reads it any more
			}
			continue
		}
		v.screen.above(b.String())
	}
	if len(n.facts) > 0 && v.poke != nil {
		v.poke()
	}
	v.draw()
	return nil
}

func (v *view) troubled(err error) {
	if v.screen == nil {
		v.app.trouble(err)
		return
	}
	v.trouble = ""
	if err != nil {
		v.trouble = oneLine(err.Error())
	}
}

// see takes over a newer look at the run. Steps that an earlier plan has done
// are remembered: the server forgets them with the plan.
func (v *view) see(run *client.Run) {
	if run.Revision < v.run.Revision {
		return // two looks overtook each other
	}
	if v.run.Plan != nil && run.Plan != nil && run.Plan.ID != v.run.Plan.ID {
		for _, st := range v.run.Plan.Steps {
			if st.Stage == "done" || st.Stage == "running" { // what ran has ended, or there would be no new plan
				st.Stage = "done"
				v.past = append(v.past, st)
			}
		}
	}
	v.run = run
}

func (v *view) draw() {
	if v.screen != nil {
		columns, lines := v.screen.term.size()
		v.screen.below(v.lines(columns, lines-1))
	}
}

// lines are what stands below: the state, the bar, the steps, what waits.
func (v *view) lines(columns, most int) []string {
	a, now := v.app, v.app.now()
	head := fmt.Sprintf("%s  %s", a.paint(v.run.ServerName, bold), a.state(v.run.State))
	if !v.run.Window.OpenTill.IsZero() && !ended(v.run.State) {
		head += fmt.Sprintf("  window open until %s, %s left", v.run.Window.OpenTill.In(v.zone).Format("15:04 MST"), short(v.run.Window.OpenTill.Sub(now)))
	}
	all := []string{"", clip(head, columns)}
	steps := v.steps()
	all = append(all, clip(barLine(steps, min(30, columns/3), now), columns))
	tail := v.tail(columns)
	for _, st := range visible(steps, most-len(all)-len(tail)) {
		all = append(all, clip(a.stepLine(st), columns))
	}
	return append(all, tail...)
}

// tail is what waits, and trouble.
func (v *view) tail(columns int) []string {
	var all []string
	if len(v.run.Waits) > 0 && v.run.State != client.Working {
		all = append(all, clip("  "+v.app.paint("waits: "+clean(v.run.Waits[0].Words), yellow), columns))
	}
	if v.trouble != "" {
		all = append(all, clip("  "+v.app.paint(v.trouble+"; trying again", red), columns))
	}
	return all
}

// steps are those of earlier plans that are done, and the present plan's.
func (v *view) steps() []client.Step {
	all := slices.Clone(v.past)
	if v.run.Plan != nil {
		all = append(all, v.run.Plan.Steps...)
	}
	return all
}

// visible are at most n steps: those around the first that is not done.
func visible(steps []client.Step, n int) []client.Step {
	n = max(n, 1)
	if len(steps) <= n {
		return steps
	}
	at := slices.IndexFunc(steps, func(st client.Step) bool { return st.Stage != "done" })
	if at < 0 {
		at = len(steps)
	}
	from := min(max(at-n/2, 0), len(steps)-n)
	return steps[from : from+n]
}

func (a *app) stepLine(st client.Step) string {
	m := marks[st.Stage]
	text := "  " + a.paint(m.glyph, m.colour) + " " + stepWords(st)
	took := a.stepTook(st)
	estimate := short(length(st.Estimate))
	switch st.Stage {
	case "running":
		text += fmt.Sprintf("  %s of about %s", took, estimate)
	case "todo":
		text += a.paint("  about "+estimate, faint)
	default:
		text += "  " + took
	}
	return text
}

// fraction is how much of the known work is done, by time; ok is false as long
// as what is to be done is still being found out.
func fraction(steps []client.Step, now time.Time) (done float64, left time.Duration, ok bool) {
	var total, over time.Duration
	for _, st := range steps {
		estimate := max(length(st.Estimate), time.Second)
		total += estimate
		ok = ok || st.Action != "refresh" && st.Action != "observe"
		switch st.Stage {
		case "done", "failed":
			over += estimate
		case "running":
			// What takes longer than expected is never said to be done.
			over += min(max(now.Sub(st.OrderedAt), 0), estimate*95/100)
		}
	}
	if total == 0 || !ok {
		return 0, 0, false
	}
	return float64(over) / float64(total), total - over, true
}

// barLine is the bar with its figures.
func barLine(steps []client.Step, width int, now time.Time) string {
	width = max(width, 4)
	done, left, ok := fraction(steps, now)
	full := int(done * float64(width))
	bar := "[" + strings.Repeat("█", full) + strings.Repeat("░", width-full) + "]"
	if !ok {
		return bar + "  finding out what is to be done"
	}
	n := 0
	for _, st := range steps {
		if st.Stage == "done" {
			n++
		}
	}
	line := fmt.Sprintf("%s %3d %%  %d of %s", bar, int(done*100), n, count(len(steps), "step"))
	if left > 0 {
		line += ", about " + short(left) + " of work left"
	}
	return line
}

// conclude says how the run ended.
func (v *view) conclude(run *client.Run) {
	a := v.app
	line := fmt.Sprintf("%s  %s", run.ServerName, a.state(run.State))
	if t := took(summaryOf(run), a.now()); t != "" {
		line += " after " + t
	}
	if run.Result.Text != "" {
		line += ": " + clean(run.Result.Text)
	}
	fmt.Fprintln(a.out, line)
	a.tellFailures(a.out, &run.Result)
	if len(run.Result.Left) > 0 {
		fmt.Fprintf(a.out, "  not done: %s\n", clean(strings.Join(run.Result.Left, ", ")))
	}
}

// clip cuts a line that may have colours to the terminal's width, so that it
// takes one line there: what is wiped is counted in lines.
func clip(s string, columns int) string {
	if displayWidth(s) < columns {
		return s
	}
	var b strings.Builder
	n, coloured := 0, false
	for i := 0; i < len(s); {
		if skip := escapeLen(s[i:]); skip > 0 {
			b.WriteString(s[i : i+skip])
			coloured = true
			i += skip
			continue
		}
		r := []rune(s[i:min(len(s), i+4)])[0]
		if n += displayWidth(string(r)); n > columns-2 {
			break
		}
		b.WriteRune(r)
		i += len(string(r))
	}
	b.WriteString("…")
	if coloured {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// screen keeps some lines at the bottom of a terminal, below all that is printed.
type screen struct {
	out   io.Writer
	term  terminal
	shown []string
}

// above prints text that stays, above the lines.
func (s *screen) above(text string) {
	shown := s.shown
	s.wipe()
	fmt.Fprint(s.out, text)
	s.below(shown)
}

// below replaces the lines; what has not changed is not printed again.
func (s *screen) below(lines []string) {
	if slices.Equal(lines, s.shown) {
		return
	}
	s.wipe()
	for _, l := range lines {
		fmt.Fprintln(s.out, l)
	}
	s.shown = slices.Clone(lines)
}

// wipe takes the lines away.
func (s *screen) wipe() {
	if n := len(s.shown); n > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\r\x1b[J", n)
	}
	s.shown = nil
}
