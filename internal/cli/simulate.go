package cli

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) simulateCommand() *cobra.Command {
	var in client.SimulationInput
	var policy policyFlags
	var params paramFlags
	var only string
	cmd := &cobra.Command{
		Use: "simulate SERVER | SERVICE RUNBOOK | SERVICE --schedule NAME", Short: "What a run would do, in which order, and when; touches nothing",
		Long: `Forecasts a run with the planner that real runs use, from what the server looked
like when it was last looked at: in the windows of a schedule, in those that a
policy would give the server, in a window that nobody has yet, or now. Of a runbook
on a service, as if every check held and every approval was given at once. Nothing
is touched.

The exit code is 0 if the run would succeed, 12 if not.`,
		Example: `  upkeep simulate web-1 --schedule weekend
  upkeep simulate web-1 --duration 1h --security-only
  upkeep simulate web-1 --policy "Security on Tuesdays"
  upkeep simulate api-extension api-extension-restart --duration 3h
  upkeep simulate web-1 --rrule "DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA" --duration 2h`,
		Args: takes(1, 2), ValidArgsFunction: a.completeServers,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				if in.Schedule != "" || in.UpdatePolicy != "" || in.RRule != "" || policy.policy() != nil {
					return usagef("a runbook takes --param, --only, --duration and --override-freeze only")
				}
				return a.simulateRunbook(cmd.Context(), args[0], client.ServiceForecastInput{
					Runbook: args[1], Only: only, Duration: first(in.Duration, defaultRun), OverrideFreeze: in.OverrideFreeze,
				}, params)
			}
			if len(params.all) > 0 || only != "" {
				return usagef("--param and --only go with a runbook: simulate SERVICE RUNBOOK")
			}
			in.Server, in.Policy = args[0], policy.policy()
			if err := policy.check(); err != nil {
				return err
			}
			if err := checkSimulation(in); err != nil {
				return err
			}
			if in.Schedule == "" && in.UpdatePolicy == "" && in.Duration == "" {
				in.Duration = defaultRun
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			in.Project = s.project
			sim, err := ask(cmd.Context(), func(ctx context.Context) (*client.Simulation, error) { return s.Simulate(ctx, in, nil) })
			if client.Is(err, client.KindNotFound) && in.Schedule != "" {
				if _, missing := s.service(cmd.Context(), in.Server); missing == nil {
					sim, err = s.simulateRunbook(cmd.Context(), in.Server, client.ServiceForecastInput{Schedule: in.Schedule})
				}
			}
			if err != nil {
				return err
			}
			return a.foretell(sim, func() *time.Location { return s.forecastZone(cmd.Context(), in) })
		},
	}
	params.add(cmd.Flags())
	cmd.Flags().StringVar(&only, "only", "", "the one member of the service that would be maintained")
	cmd.Flags().StringVar(&in.Schedule, "schedule", "", "in the windows of this schedule of the server or service")
	cmd.Flags().StringVar(&in.UpdatePolicy, "policy", "", "as this policy, by name or id, says, in the windows that it would give the server")
	cmd.Flags().StringVar(&in.RRule, "rrule", "", "in a window that nobody has yet, as RFC 5545 writes it")
	cmd.Flags().StringVar(&in.Duration, "duration", "", "how long the window is open, or a run that starts now may take; 2h if not said")
	cmd.Flags().BoolVar(&in.OverrideFreeze, "override-freeze", false, "as if freezes were overridden; for a run that starts now")
	policy.add(cmd.Flags())
	cmd.AddCommand(a.simulateRollout())
	return cmd
}

func (a *app) simulateRunbook(ctx context.Context, service string, in client.ServiceForecastInput, params paramFlags) (err error) {
	if in.Params, err = params.values(); err != nil {
		return err
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	sim, err := s.simulateRunbook(ctx, service, in)
	if err != nil {
		return err
	}
	return a.foretell(sim, func() *time.Location { return a.local })
}

func (s *session) simulateRunbook(ctx context.Context, service string, in client.ServiceForecastInput) (*client.Simulation, error) {
	return ask(ctx, func(ctx context.Context) (*client.Simulation, error) {
		return s.SimulateRunbook(ctx, service, in, &client.SimulateRunbookParams{Project: s.project})
	})
}

// foretell shows a forecast; a run that would not succeed is an exit code.
func (a *app) foretell(sim *client.Simulation, zone func() *time.Location) error {
	if err := a.show(sim, func(w io.Writer) { a.tellSimulation(w, sim, zone()) }); err != nil {
		return err
	}
	if sim.Outcome != string(client.Succeeded) {
		return &coded{code: exitForecast}
	}
	return nil
}

// checkSimulation refuses flags that say two things.
func checkSimulation(in client.SimulationInput) error {
	switch {
	case in.UpdatePolicy != "" && (in.Schedule != "" || in.RRule != "" || in.Duration != "" || in.Policy != nil || in.OverrideFreeze):
		return usagef("--policy says when and how: it goes without the other flags")
	case in.Schedule != "" && in.RRule != "":
		return usagef("--schedule and --rrule: say one of them")
	case in.Schedule != "" && in.Duration != "":
		return usagef("--duration goes without --schedule, which has its own")
	case in.Schedule != "" && in.Policy != nil:
		return usagef("%s go without --schedule, which has its own policy", policyFlagNames)
	case in.RRule != "" && in.Duration == "":
		return usagef("--duration is needed with --rrule: how long the window stays open, such as 2h")
	case in.OverrideFreeze && (in.Schedule != "" || in.RRule != ""):
		return usagef("--override-freeze goes with a run that starts now, not with a window")
	}
	return nil
}

// line is one thing of a forecast: a step or a wait.
type line struct {
	start time.Time
	cells []string
}

// maxLines of a forecast are told: one that goes round in circles has shown it by then.
const maxLines = 40

func (a *app) tellSimulation(w io.Writer, sim *client.Simulation, zone *time.Location) {
	var lines []line
	var last []string // the steps from which nothing leads back
	for _, st := range sim.Steps {
		disrupts := ""
		if st.Disrupts {
			disrupts = "disrupts"
		}
		words := stepWords(client.Step{Title: st.Title, Action: st.Action, Packages: st.Packages, Command: st.Command, DryRun: st.DryRun})
		lines = append(lines, line{st.Start, []string{second(st.Start, zone), short(st.End.Sub(st.Start)), words + a.noReturn(st.Title, st.Undo), disrupts}})
		if a.noReturn(st.Title, st.Undo) != "" {
			last = append(last, fmt.Sprintf("%s, %s", clean(st.Title), second(st.Start, zone)))
		}
	}
	for _, wait := range sim.Waits {
		lasts := "for good"
		if !wait.End.IsZero() {
			lasts = short(wait.End.Sub(wait.Start))
		}
		lines = append(lines, line{wait.Start, []string{second(wait.Start, zone), lasts, a.paint("waits: "+clean(wait.Why.Words), yellow), ""}})
	}
	slices.SortStableFunc(lines, func(x, y line) int { return x.start.Compare(y.start) })
	rest := max(len(lines)-maxLines, 0)
	lines = lines[:len(lines)-rest]
	if len(lines) > 0 {
		t := newTable("FROM", "TAKES", "WHAT", "")
		for _, l := range lines {
			t.add(l.cells...)
		}
		t.print(w, "")
		if rest > 0 {
			fmt.Fprintf(w, "… and %d more; -o json has them all\n", rest)
		}
		fmt.Fprintln(w)
	}
	if len(last) > 0 {
		fmt.Fprintf(w, "%s %s\n", a.paint("Nothing leads back from:", red), strings.Join(last, "; "))
	}
	if sim.End.IsZero() {
		fmt.Fprintln(w, a.paint("It would not end within 120 days.", red))
		return
	}
	fmt.Fprintf(w, "%s %s, in %s", a.mark(sim.Outcome), second(sim.End, zone), count(sim.Windows, "window"))
	if sim.Text != "" {
		fmt.Fprintf(w, ": %s", clean(sim.Text))
	}
	fmt.Fprintln(w)
}

var tzid = regexp.MustCompile(`TZID=([^:;\s]+)`)

// forecastZone is where a forecast's times are told: where its windows are.
func (s *session) forecastZone(ctx context.Context, in client.SimulationInput) *time.Location {
	if m := tzid.FindStringSubmatch(in.RRule); m != nil {
		return s.app.zone(m[1])
	}
	if in.UpdatePolicy != "" {
		if p, err := s.policy(ctx, in.UpdatePolicy); err == nil {
			return s.app.zone(p.Zone)
		}
	}
	if in.Schedule == "" {
		return s.app.local
	}
	ref := in.Server + "/" + in.Schedule
	if idPattern.MatchString(in.Schedule) {
		ref = in.Schedule
	}
	if sc, err := s.findSchedule(ctx, ref); err == nil {
		return s.app.zone(sc.Zone)
	}
	return s.app.local // the forecast is worth more than its zone
}
