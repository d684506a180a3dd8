package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"upkeep/client"
)

// Policies are, for those who type, what schedules are made from; the API calls
// them update policies.

func (a *app) getPolicies() *cobra.Command {
	return &cobra.Command{
		Use: "policies [NAME]", Aliases: []string{"policy"}, Short: "Policies that schedules are made from", Args: takes(0, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				p, err := s.policy(ctx, args[0])
				if err != nil {
					return err
				}
				return a.show(p, func(w io.Writer) { a.policyTable([]client.UpdatePolicy{*p}).print(w, "") })
			}
			all, err := s.policies(ctx, s.project)
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, "There are no policies.", a.policyTable)
		}),
	}
}

func (s *session) policy(ctx context.Context, ref string) (*client.UpdatePolicy, error) {
	return ask(ctx, func(ctx context.Context) (*client.UpdatePolicy, error) {
		return s.GetUpdatePolicy(ctx, ref, &client.GetUpdatePolicyParams{Project: s.project})
	})
}

func (a *app) policyTable(all []client.UpdatePolicy) *table {
	t := newTable("POLICY", "PROJECT", "DEFAULT", "ENABLED", "OPENS", "FOR", "MISSED", "UPDATES")
	for _, p := range all {
		enabled, isDefault, missed, updates := "yes", "", "", ""
		if !p.Enabled {
			enabled = a.paint("no", yellow)
		}
		if p.Default {
			isDefault = "yes"
		}
		if a.wide {
			missed, updates = string(p.Missed), policyWords(p.Policy)
		}
		t.add(clean(p.Name), first(p.Project, "all"), isDefault, enabled, p.Words, p.Duration, missed, updates)
	}
	return t.dropEmpty()
}

func (a *app) describePolicy() *cobra.Command {
	return &cobra.Command{
		Use: "policy NAME", Aliases: []string{"policies"}, Short: "A policy: its window, and how updates are done",
		Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			p, err := s.policy(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { a.tellPolicy(w, p) })
		}),
	}
}

func (a *app) tellPolicy(w io.Writer, p *client.UpdatePolicy) {
	kind, isDefault, enabled := "", "no", "yes"
	if p.BuiltIn {
		kind = "yes: it can't be changed"
	}
	if p.Default {
		isDefault = "yes: managed servers without a schedule are given one made from it"
	}
	if !p.Enabled {
		enabled = a.paint("no: it may not be used", yellow)
	}
	pairs(w, "Policy", clean(p.Name), "Project", first(p.Project, "all"), "ID", p.ID, "About", clean(p.Description),
		"Built in", kind, "Default", isDefault, "Enabled", enabled, "Opens", p.Words, "For", p.Duration, "RRULE", oneLine(p.RRule),
		"Updates", policyWords(p.Policy), "Reboots", p.RebootWords, "Missed", missedWords(p.Missed), "Created", at(p.Created, a.zone(p.Zone)))
}

func (a *app) deletePolicy() *cobra.Command {
	return &cobra.Command{
		Use: "policy NAME", Aliases: []string{"policies"}, Short: "Remove a policy; schedules that were made from it stay",
		Args: takes(1, 1),
		RunE: a.deleting("policy", func(ctx context.Context, s *session, ref, key string) error {
			return s.DeleteUpdatePolicy(ctx, ref, &client.DeleteUpdatePolicyParams{Project: s.project, IdempotencyKey: key})
		}),
	}
}

// policyWords is a policy in a line, without what is as usual.
func policyWords(p client.Policy) string {
	scope := "all updates"
	if p.Scope == client.Security {
		scope = "security updates only"
	}
	if p.DryRun {
		scope += " told and not installed"
	}
	reboot, known := map[client.PolicyReboot]string{
		client.Never: "no reboot", client.Always: "reboot after every update", client.OwnWindow: "reboot if required, in its own window",
	}[p.Reboot]
	if !known {
		reboot = "reboot if required"
	}
	all := []string{scope, reboot}
	if len(p.Hold) > 0 {
		all = append(all, "without "+some(p.Hold, 5))
	}
	if p.Batch > 0 {
		all = append(all, count(p.Batch, "package")+" at a time")
	}
	if p.Within != "" {
		all = append(all, "within "+short(length(p.Within))+" of the release")
	}
	if p.Prepare != "" {
		all = append(all, "fetched up to "+p.Prepare+" before")
	}
	if p.NoticeLead != "" {
		all = append(all, "announced "+p.NoticeLead+" before")
	}
	for _, c := range []struct {
		word  string
		names []string
	}{{"backup", one(p.Backup)}, {"before", p.Before}, {"after", p.After}, {"health", p.Health}} {
		if len(c.names) > 0 {
			all = append(all, c.word+" "+strings.Join(c.names, " "))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(p.Expect)) {
		all = append(all, kind+" takes about "+p.Expect[kind])
	}
	return clean(strings.Join(all, ", "))
}

// one is a list of a text, unless it is empty.
func one(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// missedWords is what becomes of a missed start.
func missedWords(m client.Missed) string {
	switch m {
	case client.Skip:
		return "a missed start is left to the next window"
	case client.Ask:
		return `a missed start waits until somebody says "upkeep resume"`
	case client.Late:
		return "a missed start is made late, in what is left of the window"
	}
	return clean(string(m))
}

func (a *app) getGroups() *cobra.Command {
	return &cobra.Command{
		Use: "groups [NAME]", Aliases: []string{"group"}, Short: "Redundancy groups, with what they may cost", Args: takes(0, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				g, err := s.group(ctx, args[0])
				if err != nil {
					return err
				}
				return a.show(g, func(w io.Writer) { a.groupTable([]client.Group{*g}).print(w, "") })
			}
			all, err := ask(ctx, func(ctx context.Context) (*client.GroupList, error) {
				return s.ListGroups(ctx, &client.ListGroupsParams{Project: s.project})
			})
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, "There are no groups.", a.groupTable)
		}),
	}
}

func (s *session) group(ctx context.Context, name string) (*client.Group, error) {
	return ask(ctx, func(ctx context.Context) (*client.Group, error) {
		return s.GetGroup(ctx, name, &client.GetGroupParams{Project: s.project})
	})
}

func (a *app) groupTable(all []client.Group) *table {
	t := newTable("GROUP", "MEMBERS", "DOWN AT ONCE", "CANARIES", "SOAK", "STOPS AFTER")
	for _, g := range all {
		stops := ""
		if g.StopAfter > 0 {
			stops = count(g.StopAfter, "failure")
		}
		members := fmt.Sprint(len(g.Members))
		if a.wide {
			names := make([]string, 0, len(g.Members))
			for _, m := range g.Members {
				names = append(names, m.Name)
			}
			members = strings.Join(names, ", ")
		}
		t.add(g.Name, members, fmt.Sprint(g.MaxUnavailable), strings.Join(g.Canaries, ", "), g.Soak, stops)
	}
	return t.dropEmpty()
}

func (a *app) describeGroup() *cobra.Command {
	return &cobra.Command{
		Use: "group NAME", Aliases: []string{"groups"}, Short: "A redundancy group: its rules and its members", Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			g, err := s.group(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(g, func(w io.Writer) { a.tellGroup(w, g) })
		}),
	}
}

func (a *app) tellGroup(w io.Writer, g *client.Group) {
	described, stops := "", "never"
	if g.Revision == 0 {
		described = "no: it has the usual rules"
	}
	if g.StopAfter > 0 {
		stops = "after " + count(g.StopAfter, "failure")
	}
	pairs(w, "Group", g.Name, "Project", g.Project, "Described", described, "Down at once", fmt.Sprint(g.MaxUnavailable),
		"Canaries", strings.Join(g.Canaries, ", "), "Soak", g.Soak, "Stops", stops, "Nodes restart", restartWords(g.Window))
	if len(g.Held) > 0 {
		fmt.Fprintln(w, "\nHeld")
		a.claimTable(g.Held).print(w, "  ")
	}
	if len(g.Members) == 0 {
		return
	}
	fmt.Fprintln(w, "\nMembers")
	t := newTable("SERVER", "CANARY", "LAST UPDATE")
	for _, m := range g.Members {
		canary := ""
		if m.Canary {
			canary = "yes"
		}
		t.add(m.Name, canary, a.lastUpdate(m.LastUpdate))
	}
	t.dropEmpty().print(w, "  ")
}

// restartWords is when a group's nodes may restart themselves; empty if they may not.
func restartWords(w client.Window) string {
	if w.RRule == "" {
		return ""
	}
	return w.Words + ", for " + w.Duration
}

// lastUpdate is how a server's newest update ended, and when.
func (a *app) lastUpdate(l *client.LastUpdate) string {
	if l == nil {
		return ""
	}
	return a.state(l.State) + " " + ago(l.Finished, a.now())
}

func (a *app) deleteGroup() *cobra.Command {
	return &cobra.Command{
		Use: "group NAME", Aliases: []string{"groups"}, Short: "Forget a group's rules; its members stay in it, one down at a time",
		Args: takes(1, 1),
		RunE: a.deleting("group", func(ctx context.Context, s *session, ref, key string) error {
			return s.DeleteGroup(ctx, ref, &client.DeleteGroupParams{Project: s.project, IdempotencyKey: key})
		}),
	}
}

func (a *app) getCompliance() *cobra.Command {
	return &cobra.Command{
		Use: "compliance", Short: "Who is behind with updates, and by how many days; the worst first", Args: takes(0, 0),
		Example: `  upkeep get compliance
  upkeep get compliance -o csv > compliance.csv`,
		Annotations: map[string]string{sheet: "a line for each server"},
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			params := &client.GetComplianceParams{Project: s.project}
			if a.format == "csv" {
				text, err := ask(ctx, func(ctx context.Context) (string, error) { return s.ComplianceCSV(ctx, params) })
				if err != nil {
					return err
				}
				_, err = io.WriteString(a.out, text)
				return err
			}
			all, err := ask(ctx, func(ctx context.Context) (*client.Compliance, error) { return s.GetCompliance(ctx, params) })
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, "There are no servers.", a.complianceTable)
		}),
	}
}

var levelColours = map[client.Level]string{client.Overdue: red, client.Unknown: yellow, client.Behind: yellow, client.Current: green}

func (a *app) complianceTable(all []client.Standing) *table {
	t := newTable("SERVER", "PROJECT", "GROUP", "LEVEL", "UPDATES", "BEHIND", "DUE", "NEXT WINDOW", "MANAGED", "WITHIN", "REBOOT", "LOOKED AT", "LAST UPDATE")
	many := slices.ContainsFunc(all, func(s client.Standing) bool { return s.Project != all[0].Project })
	for _, s := range all {
		project, behind, next, managed, within, reboot, looked, last := "", "", "", "", "", "", "", ""
		if many {
			project = s.Project
		}
		if !s.Oldest.IsZero() {
			behind = count(s.DaysBehind, "day")
		}
		if s.Next != nil {
			next = day(s.Next.Start, a.local)
		}
		if a.wide {
			managed, last = string(s.Management), a.lastUpdate(s.LastUpdate)
			looked = ago(s.ObservedAt, a.now())
			if s.Within != "" {
				within = short(length(s.Within))
			}
			if s.RebootRequired {
				reboot = a.paint("wanted", yellow)
			}
		}
		updates := ""
		if !s.ObservedAt.IsZero() {
			updates = pendingWords(s.Pending, s.Security)
		}
		t.add(s.ServerName, project, s.Group, a.paint(clean(string(s.Level)), levelColours[s.Level]), updates,
			behind, day(s.Due, a.local), next, managed, within, reboot, looked, last)
	}
	return t.dropEmpty()
}

// pendingWords is how many updates there are, and how many for security.
func pendingWords(all, security int64) string {
	if security > 0 {
		return fmt.Sprintf("%d (%d security)", all, security)
	}
	return fmt.Sprint(all)
}
