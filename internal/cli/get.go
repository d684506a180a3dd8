package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) getCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get KIND", Short: "List servers, services, schedules, policies, runbooks, runs, who is behind, and more",
		Example: `  upkeep get servers
  upkeep get server web-1 -o yaml
  upkeep get schedules web-1
  upkeep get runs --open -o json`,
		Args: cobra.ArbitraryArgs,
		RunE: a.which("get", "servers, schedules, policies, groups, services, runbooks, trains, releases, rollouts, compliance, runs, freezes, claims, images, channels, history and tokens"),
	}
	history := a.historyCommand()
	cmd.AddCommand(a.getServers(), a.getSchedules(), a.getPolicies(), a.getGroups(), a.getServices(), a.getRunbooks(), a.getTrains(), a.getReleases(), a.getRollouts(), a.getCompliance(), a.getRuns(), a.getFreezes(), a.getClaims(), a.getImages(), a.getChannels(), history, a.listTokens("tokens"))
	return cmd
}

// which refuses a command that needs one of several words after it.
func (a *app) which(verb, known string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.ran = false
		if len(args) == 0 {
			return usagef("%s what? Known are %s", verb, known)
		}
		text := fmt.Sprintf("%s: there is no %q; known are %s", verb, args[0], known)
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return usagef("%s", text)
	}
}

func (a *app) getServers() *cobra.Command {
	var image string
	var old bool
	cmd := &cobra.Command{
		Use: "servers [NAME]", Aliases: []string{"server"}, Short: "Servers, with what they wait for",
		Example: `  upkeep get servers
  upkeep get servers --old-image
  upkeep get servers --image debian-12:2026.10`,
		Args: takes(0, 1), ValidArgsFunction: a.completeServers,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				server, err := s.findServer(ctx, args[0])
				if err != nil {
					return err
				}
				return a.show(server, func(w io.Writer) { a.serverTable([]client.Server{*server}).print(w, "") })
			}
			all, err := s.serversOf(ctx, image, old)
			if err != nil {
				return err
			}
			nothing := `There are no servers. Make one known with "upkeep enrol NAME".`
			if old || image != "" {
				nothing = "There are no such servers."
			}
			slices.SortStableFunc(all.Items, func(x, y client.Server) int {
				return strings.Compare(x.Project+"/"+x.Name, y.Project+"/"+y.Name)
			})
			return listed(a, all, all.Items, nothing, a.serverTable)
		}),
	}
	cmd.Flags().StringVar(&image, "image", "", "only those made from this image; a channel's name is all of its versions")
	cmd.Flags().BoolVar(&old, "old-image", false, "only those made from an image that was deprecated, withdrawn or passed over")
	return cmd
}

func (a *app) serverTable(all []client.Server) *table {
	t := newTable("NAME", "PROJECT", "GROUP", "SYSTEM", "IMAGE", "UPDATES", "REBOOT", "AGENT", "NOW", "NEXT WINDOW", "MANAGED", "LAST UPDATE")
	many := slices.ContainsFunc(all, func(s client.Server) bool { return s.Project != all[0].Project })
	for _, s := range all {
		project, system, updates, reboot, agent, now, managed, last := "", "", "", "", "not enrolled", "", "", ""
		next := a.nextWindow(s.Schedules)
		if s.Management == client.Unmanaged {
			next = a.paint("unmanaged", yellow)
		}
		if a.wide {
			managed, last = string(s.Management), a.lastUpdate(s.LastUpdate)
		}
		if many {
			project = s.Project
		}
		if s.Observed != nil {
			system, updates = clean(s.Observed.System), updatesOf(s.Observed)
			if s.Observed.RebootRequired {
				reboot = a.paint("wanted", yellow)
			}
		}
		if s.Agent != nil {
			agent = a.seen(s.Agent)
		}
		if len(s.OpenRuns) > 0 {
			now = a.state(foremost(s.OpenRuns).State)
		}
		t.add(s.Name, project, s.Group, system, a.imageWords(s.Image), updates, reboot, agent, now, next, managed, last)
	}
	return t.dropEmpty()
}

// seen is when an agent last spoke.
func (a *app) seen(agent *client.Agent) string {
	if agent.LastSeen.IsZero() {
		return "enrolled, not heard of yet"
	}
	return "seen " + ago(agent.LastSeen, a.now())
}

func updatesOf(o *client.Observed) string {
	return pendingWords(o.PendingUpdates, o.SecurityUpdates)
}

// nextWindow is the first of what several schedules wait for.
func (a *app) nextWindow(all []client.ScheduleBrief) string {
	var next *client.ScheduleBrief
	for i, sc := range all {
		if sc.Enabled && sc.Next != nil && (next == nil || sc.Next.Start.Before(next.Next.Start)) {
			next = &all[i]
		}
	}
	if next == nil {
		return ""
	}
	return day(next.Next.Start, a.zoneIn(next.Words))
}

func (a *app) getSchedules() *cobra.Command {
	return &cobra.Command{
		Use: "schedules [SERVER | SERVICE | SERVER/NAME]", Aliases: []string{"schedule"}, Short: "Schedules, with their next windows",
		Args: takes(0, 1), ValidArgsFunction: a.completeServers,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			server := ""
			if len(args) == 1 {
				server = args[0]
			}
			if strings.Contains(server, "/") || idPattern.MatchString(server) {
				sc, err := s.findSchedule(ctx, server)
				if err != nil {
					return err
				}
				return a.show(sc, func(w io.Writer) { a.scheduleTable([]client.Schedule{*sc}).print(w, "") })
			}
			all, err := s.allSchedules(ctx, server)
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, `There are no schedules. "upkeep help files" shows how one is written.`, a.scheduleTable)
		}),
	}
}

func (a *app) scheduleTable(all []client.Schedule) *table {
	t := newTable("SCHEDULE", "RUNBOOK", "ENABLED", "OPENS", "FOR", "NEXT WINDOW", "OVERLAPS", "NUMBER", "MISSED", "UPDATES")
	for _, sc := range all {
		enabled, next := "yes", ""
		switch {
		case !sc.Enabled:
			enabled = a.paint("no", yellow)
		case sc.Resting:
			enabled = a.paint("rests", yellow)
		}
		if sc.Next != nil {
			next = day(sc.Next.Start, a.zone(sc.Zone))
		}
		overlaps, number, missed, updates := "", "", "", ""
		if names := overlapping(sc); sc.Enabled {
			overlaps = a.paint(clean(strings.Join(names, ", ")), yellow)
		}
		if a.wide {
			number, missed = fmt.Sprint(sc.Number), string(sc.Missed)
			if sc.Runbook == "" {
				updates = policyWords(sc.Policy)
			}
		}
		t.add(clean(refOf(sc)), sc.Runbook, enabled, sc.Words, sc.Duration, next, overlaps, number, missed, updates)
	}
	return t.dropEmpty()
}

// overlapping are the names of the schedules that a schedule overlaps.
func overlapping(sc client.Schedule) []string {
	var names []string
	for _, o := range sc.Overlaps {
		if !slices.Contains(names, o.Name) {
			names = append(names, o.Name)
		}
	}
	return names
}

func (a *app) getRuns() *cobra.Command {
	var open bool
	var limit int64
	cmd := &cobra.Command{
		Use: "runs [RUN|SERVER|SERVICE]", Aliases: []string{"run"}, Short: "Runs, newest first",
		Args: takes(0, 1), ValidArgsFunction: a.completeServers,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usagef("--limit: must not be negative")
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			if len(args) == 1 && idPattern.MatchString(args[0]) {
				run, err := s.findRun(cmd.Context(), args[0], true)
				if err != nil {
					return err
				}
				return a.show(run, func(w io.Writer) { a.runTable([]client.RunSummary{summaryOf(run)}).print(w, "") })
			}
			server := ""
			if len(args) == 1 {
				server = args[0]
			}
			all, err := s.runs(cmd.Context(), server, open, limit)
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, "There are no such runs.", a.runTable)
		},
	}
	cmd.Flags().BoolVar(&open, "open", false, "only those that have not ended")
	cmd.Flags().Int64Var(&limit, "limit", 20, "at most so many; 0 is all")
	return cmd
}

func (a *app) runTable(all []client.RunSummary) *table {
	t := newTable("RUN", "NUMBER", "SERVER", "RUNBOOK", "STATE", "OPENED", "BY", "TOOK", "RESULT")
	for _, r := range all {
		number := ""
		if a.wide {
			number = fmt.Sprint(r.Number)
		}
		t.add(r.ID, number, r.ServerName, r.Runbook, a.state(r.State), ago(r.Created, a.now()), clean(r.By), took(r, a.now()), outcome(r))
	}
	return t.dropEmpty()
}

// outcome is what there is to say of a run in a line: its result, or what it waits for.
func outcome(r client.RunSummary) string {
	if r.Result.Text != "" {
		return clean(r.Result.Text)
	}
	if r.Halt != "" {
		return clean(r.Halt)
	}
	if len(r.Waits) > 0 {
		return clean(r.Waits[0].Words)
	}
	return ""
}

func summaryOf(r *client.Run) client.RunSummary {
	return client.RunSummary{
		ID: r.ID, Number: r.Number, DryRun: r.DryRun, Project: r.Project, Server: r.Server, ServerName: r.ServerName, Runbook: r.Runbook, Halt: r.Halt, Schedule: r.Schedule, By: r.By,
		Reason: r.Reason, State: r.State, Waits: r.Waits, Result: r.Result,
		Created: r.Created, Started: r.Started, Finished: r.Finished,
	}
}

func (a *app) getFreezes() *cobra.Command {
	return &cobra.Command{
		Use: "freezes", Aliases: []string{"freeze"}, Short: "Freezes that have not ended", Args: takes(0, 0),
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			all, err := s.freezes(ctx, s.project)
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, "There are no freezes.", func(freezes []client.Freeze) *table {
				t := newTable("FREEZE", "PROJECT", "FROM", "UNTIL", "REASON")
				for _, f := range freezes {
					t.add(f.ID, first(f.Project, "all"), day(f.Start, a.local), day(f.End, a.local), clean(f.Reason))
				}
				return t
			})
		}),
	}
}

func (s *session) freezes(ctx context.Context, project string) (*client.FreezeList, error) {
	return ask(ctx, func(ctx context.Context) (*client.FreezeList, error) {
		return s.ListFreezes(ctx, &client.ListFreezesParams{Project: project})
	})
}

// completeServers offers the names of servers to the shell. It keeps silent when
// the server can't be asked: a shell's prompt is no place for errors.
func (a *app) completeServers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	all, err := s.allServers(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, server := range all.Items {
		names = append(names, server.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
