package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) describeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe KIND NAME", Short: "Tell all about a server, a service, a run, a runbook, a schedule, a policy and more",
		Example: `  upkeep describe server web-1
  upkeep describe run web-1
  upkeep describe schedule web-1/weekend
  upkeep describe image debian-12:2026.11`,
		Args: cobra.ArbitraryArgs, RunE: a.which("describe", "server, service, run, runbook, train, rollout, schedule, policy, group and image"),
	}
	server := &cobra.Command{
		Use: "server NAME", Aliases: []string{"servers"}, Short: "A server: its system, updates, schedules and open runs",
		Args: takes(1, 1), ValidArgsFunction: a.completeServers,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			server, err := s.findServer(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(server, func(w io.Writer) { a.tellServer(w, server) })
		}),
	}
	run := &cobra.Command{
		Use: "run RUN|SERVER|SERVICE", Aliases: []string{"runs"}, Short: "A run: its plan, what waits, and its result",
		Args: takes(1, 1), ValidArgsFunction: a.completeServers,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			run, err := s.findRun(ctx, args[0], true)
			if err != nil {
				return err
			}
			users, err := s.usersLine(ctx, run)
			if err != nil {
				return err
			}
			return a.show(run, func(w io.Writer) {
				a.tellRun(w, run)
				fmt.Fprint(w, users)
			})
		}),
	}
	schedule := &cobra.Command{
		Use: "schedule SERVER/NAME", Aliases: []string{"schedules"}, Short: "A schedule: its next windows and its policy",
		Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			sc, err := s.findSchedule(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(sc, func(w io.Writer) { a.tellSchedule(w, sc) })
		}),
	}
	cmd.AddCommand(server, run, schedule, a.describeService(), a.describeRunbook(), a.describeTrain(), a.describeRollout(), a.describePolicy(), a.describeGroup(), a.describeImage())
	return cmd
}

func (a *app) tellServer(w io.Writer, s *client.Server) {
	agent := `none; "upkeep enrol ` + s.Name + `" makes one known`
	if s.Agent != nil {
		agent = clean(s.Agent.Version) + ", " + a.seen(s.Agent)
	}
	pairs(w, "Name", s.Name, "Project", s.Project, "ID", s.ID, "Group", s.Group, "Labels", labels(s.Labels),
		"Created", at(s.Created, a.local), "Image", a.imageWords(s.Image),
		"Managed", managedWords(s.Management), "Agent", agent, "Last update", a.lastUpdate(s.LastUpdate))
	if o := s.Observed; o != nil {
		reboot := "not required"
		if o.RebootRequired {
			reboot = a.paint("required", yellow) + by(o.RebootPackages)
		}
		fmt.Fprintln(w)
		pairs(w, "System", clean(o.System), "Kernel", clean(o.Kernel), "Architecture", clean(o.Arch), "Hostname", clean(o.Hostname),
			"Looked at", ago(o.ObservedAt, a.now()), "Lists", listsAge(o), "Reboot", reboot,
			"Half done", a.paint(clean(strings.Join(o.HalfConfigured, ", ")), red), "Held there", clean(strings.Join(o.Held, ", ")),
			"Commands", clean(strings.Join(commandsOf(o), ", ")), "Updates", updatesOf(o))
		if len(o.Pending) > 0 {
			t := newTable("PACKAGE", "INSTALLED", "UPDATE", "FROM", "KNOWN")
			for _, p := range o.Pending {
				origin, known := clean(p.Origin), ""
				if !p.KnownSince.IsZero() {
					known = ago(p.KnownSince, a.now())
				}
				if p.Security {
					origin = first(origin, "security")
					origin = a.paint(origin, yellow)
				}
				t.add(clean(p.Name), clean(first(p.From, "-")), clean(p.To), origin, known)
			}
			t.dropEmpty().print(w, "  ")
		}
	}
	if len(s.Schedules) > 0 {
		fmt.Fprintln(w, "\nSchedules")
		t := newTable("NAME", "OPENS", "NEXT WINDOW")
		for _, sc := range s.Schedules {
			next := ""
			if sc.Next != nil {
				next = span(sc.Next.Start, sc.Next.End, a.zoneIn(sc.Words))
			}
			switch {
			case sc.Resting:
				next = a.paint("rests", yellow)
			case !sc.Enabled:
				next = a.paint("disabled", yellow)
			}
			t.add(clean(sc.Name), sc.Words, next)
		}
		t.print(w, "  ")
	}
	if len(s.OpenRuns) > 0 {
		fmt.Fprintln(w, "\nOpen runs")
		a.runTable(s.OpenRuns).print(w, "  ")
	}
}

func labels(l map[string]string) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(l)) {
		all = append(all, clean(k+"="+l[k]))
	}
	return strings.Join(all, ", ")
}

func by(packages []string) string {
	if len(packages) == 0 {
		return ""
	}
	return " by " + clean(strings.Join(packages, ", "))
}

func listsAge(o *client.Observed) string {
	if o.ListsAge == "" {
		return ""
	}
	return short(length(o.ListsAge)) + " old when looked at"
}

func (a *app) tellRun(w io.Writer, r *client.Run) {
	zone := a.zone(r.Window.Zone)
	opened := second(r.Created, zone) + " by " + clean(r.By)
	if r.OverriddenBy != "" {
		opened += ", at once"
	}
	if r.OverrideFreeze {
		opened += ", freezes overridden"
	}
	window := ""
	if r.Window.Words != "" && r.OverriddenBy == "" {
		window = r.Window.Words + ", for " + r.Window.Duration
	}
	left := ""
	if !r.Window.OpenTill.IsZero() {
		left = fmt.Sprintf("until %s, %s left", second(r.Window.OpenTill, zone), short(length(r.Window.Left)))
	}
	dry := ""
	if r.DryRun {
		dry = "yes: it changes nothing"
	}
	on, policy := "Server", policyWords(r.Policy)
	if r.Runbook != "" {
		on, policy = "Service", ""
	}
	pairs(w, "Run", r.ID, "Number", fmt.Sprint(r.Number), "Dry run", dry, on, r.ServerName, "Project", r.Project, "State", a.state(r.State), "Opened", opened,
		"Reason", clean(r.Reason), "Window", window, "Open", left, "Started", moment(r.Started, zone), "Ended", moment(r.Finished, zone),
		"Took", took(summaryOf(r), a.now()), "Announced", moment(r.AnnouncedAt, zone), "Paused by", clean(r.PausedBy),
		"Aborted by", clean(r.AbortedBy), "Policy", policy, "Reboots", r.RebootWords,
		"Missed start", moment(r.MissedStart, zone), "Ending", clean(r.Ending), "Result", clean(r.Result.Text))
	a.tellBook(w, r)
	if r.Plan != nil && len(r.Plan.Steps) > 0 {
		fmt.Fprintf(w, "\nPlan %d: %s\n", r.Plan.Generation, clean(r.Plan.Why))
		a.stepTable(r.Plan.Steps).print(w, "  ")
	}
	if len(r.Waits) > 0 {
		fmt.Fprintln(w, "\nWaits")
		a.tellWaits(w, r.Waits)
	}
	a.tellResult(w, &r.Result)
}

func (a *app) stepTable(steps []client.Step) *table {
	t := newTable("STEP", "STAGE", "WHAT", "EXPECTED", "TOOK", "TRIES")
	for _, st := range steps {
		tries := ""
		if st.Attempt > 1 {
			tries = fmt.Sprintf("%d of %d", st.Attempt, st.Attempts)
		}
		t.add(st.ID, a.mark(st.Stage), stepWords(st)+a.noReturn(st.Title, st.Undo), short(length(st.Estimate)), a.stepTook(st), tries)
	}
	return t.dropEmpty()
}

// stepWords is what a step does: "install of 3 packages: curl, openssl, vim",
// "check healthy".
func stepWords(st client.Step) string {
	if st.DryRun {
		st.DryRun, st.Action = false, "dry run of "+st.Action
		return stepWords(st)
	}
	if st.Title != "" {
		return clean(st.Title + ": " + strings.TrimSpace(st.Action+" "+st.Command))
	}
	if len(st.Packages) == 0 {
		return clean(strings.TrimSpace(st.Action + " " + st.Command))
	}
	names := make([]string, 0, len(st.Packages))
	for _, p := range st.Packages {
		names = append(names, p.Name)
	}
	return clean(fmt.Sprintf("%s of %s: %s", st.Action, count(len(names), "package"), some(names, 4)))
}

// noReturn marks a step of a runbook from which nothing leads back.
func (a *app) noReturn(title, undo string) string {
	if title == "" || undo != "forward-only" {
		return ""
	}
	return a.paint(" (no way back)", red)
}

// some names the first few of many.
func some(names []string, n int) string {
	if len(names) <= n+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}

func (a *app) stepTook(st client.Step) string {
	switch {
	case st.OrderedAt.IsZero():
		return ""
	case st.Stage == "running":
		return short(a.now().Sub(st.OrderedAt))
	case st.EndedAt.Before(st.OrderedAt):
		return ""
	}
	return short(st.EndedAt.Sub(st.OrderedAt))
}

// tellWaits says what waits and why, each reason once with its steps.
func (a *app) tellWaits(w io.Writer, waits []client.Wait) {
	for i, wait := range waits {
		if slices.ContainsFunc(waits[:i], func(e client.Wait) bool { return e.Words == wait.Words }) {
			continue
		}
		var steps []string
		for _, same := range waits[i:] {
			if same.Words == wait.Words && same.Step != "" {
				steps = append(steps, same.Step)
			}
		}
		line := a.paint(clean(wait.Words), yellow)
		// Of what is under way, "until" is when it is given up: no promise.
		if !wait.Until.IsZero() && wait.Code != "under-way" && wait.Code != "silent" && wait.Code != "not-fetched" {
			line += " (" + ago(wait.Until, a.now()) + ")"
		}
		if len(steps) > 0 {
			line = some(steps, 4) + ": " + line
		}
		fmt.Fprintf(w, "  %s\n", line)
	}
}

func (a *app) tellResult(w io.Writer, r *client.Result) {
	for _, of := range []struct {
		head string
		all  []client.Change
	}{{"Changes", r.Changes}, {"Would be changed", r.Would}} {
		if len(of.all) == 0 {
			continue
		}
		fmt.Fprintln(w, "\n"+of.head)
		t := newTable("PACKAGE", "FROM", "TO")
		for _, c := range of.all {
			t.add(clean(c.Name), clean(first(c.From, "new")), clean(first(c.To, "removed")))
		}
		t.print(w, "  ")
	}
	if len(r.Failures) > 0 {
		fmt.Fprintln(w, "\nFailures")
		a.tellFailures(w, r)
	}
	if len(r.Left) > 0 {
		fmt.Fprintf(w, "\nNot done: %s\n", clean(strings.Join(r.Left, ", ")))
	}
}

func (a *app) tellFailures(w io.Writer, r *client.Result) {
	for _, f := range r.Failures {
		text := clean(f.Reason)
		if f.Name != "" {
			text = clean(f.Name) + ": " + text
		}
		fmt.Fprintf(w, "  %s\n", a.paint("✗ "+text, red))
	}
}

func (a *app) tellSchedule(w io.Writer, sc *client.Schedule) {
	zone := a.zone(sc.Zone)
	enabled := "yes"
	switch {
	case !sc.Enabled:
		enabled = a.paint("no: it opens no runs", yellow)
	case sc.Resting:
		enabled = a.paint("yes, and it rests: the server is unmanaged", yellow)
	}
	on, policy := "Server", policyWords(sc.Policy)
	if sc.Runbook != "" {
		on, policy = "Service", ""
	}
	pairs(w, "Schedule", clean(sc.Name), "Number", fmt.Sprint(sc.Number), on, sc.ServerName, "Project", sc.Project, "ID", sc.ID, "Enabled", enabled,
		"Opens", sc.Words, "For", sc.Duration, "RRULE", oneLine(sc.RRule), "Runbook", sc.Runbook, "Params", labels(sc.Params), "Announced", noticeWords(sc), "Refused", a.paint(clean(sc.Refused), red), "Policy", policy, "Reboots", sc.RebootWords, "Missed", missedWords(sc.Missed),
		"Made from", sc.UpdatePolicy, "Created", at(sc.Created, zone))
	fmt.Fprintln(w, "\nNext windows")
	a.tellOccurrences(w, sc.Occurrences, zone)
	if len(sc.Overlaps) > 0 {
		fmt.Fprintln(w, "\nOverlaps")
	}
	for _, o := range sc.Overlaps {
		fmt.Fprintf(w, "  %s: %s\n", a.paint(clean(o.Name), yellow), span(o.Start, o.End, zone))
	}
}

// noticeWords is how long before its start a runbook's run must have been announced.
func noticeWords(sc *client.Schedule) string {
	if sc.Runbook == "" || sc.Policy.NoticeLead == "" {
		return ""
	}
	return sc.Policy.NoticeLead + " before"
}

// managedWords is who sees to a server's updates.
func managedWords(m client.Management) string {
	switch m {
	case client.Managed:
		return "yes: it always has a schedule"
	case client.Unmanaged:
		return "no: its owner installs its updates"
	case client.ByHand:
		return "by hand"
	}
	return clean(string(m))
}

func (a *app) tellOccurrences(w io.Writer, all []client.Occurrence, zone *time.Location) {
	if len(all) == 0 {
		fmt.Fprintln(w, "  none: it does not open again")
	}
	for _, o := range all {
		line := span(o.Start, o.End, zone)
		if now := a.now(); !now.Before(o.Start) && now.Before(o.End) {
			line += a.paint(" (open now)", green)
		}
		if o.Frozen != "" {
			line += a.paint(" (frozen: "+clean(o.Frozen)+")", yellow)
		}
		fmt.Fprintf(w, "  %s\n", line)
	}
}

// commandsOf are the commands that a server's owner has named, with the values
// that they take; those with a default there stand in brackets.
func commandsOf(o *client.Observed) []string {
	all := slices.Clone(o.Commands)
	for i, name := range all {
		for _, f := range o.Offers {
			if f.Kind != "command" || f.Name != name {
				continue
			}
			takes := slices.Clone(f.Needs)
			for _, v := range f.May {
				takes = append(takes, "["+v+"]")
			}
			all[i] += "(" + strings.Join(takes, ", ") + ")"
		}
	}
	return all
}
