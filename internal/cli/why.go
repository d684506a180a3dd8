package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "why RUN|SERVER|SERVICE|ROLLOUT", Short: "What waits, and the reason in words",
		Example: `  upkeep why web-1`,
		Args:    takes(1, 1), ValidArgsFunction: a.completeServers,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			if idPattern.MatchString(args[0]) {
				run, err := s.run(ctx, args[0])
				if err == nil {
					return a.show(run, func(w io.Writer) { a.tellRunWhy(w, run) })
				}
				if !client.Is(err, client.KindNotFound) {
					return err
				}
			}
			return s.whyServer(ctx, args[0])
		}),
	}
}

// whyServer says what a server's open runs wait for; if there are none, what
// the server itself waits for.
func (s *session) whyServer(ctx context.Context, ref string) error {
	server, err := s.findServer(ctx, ref)
	if err != nil {
		if !client.Is(err, client.KindNotFound) {
			return err
		}
		service, err := s.service(ctx, ref)
		if client.Is(err, client.KindNotFound) {
			return s.whyRollout(ctx, ref)
		}
		if err != nil {
			return err
		}
		return s.whyService(ctx, service)
	}
	held, err := s.heldOf(ctx, "server/"+server.Name, "group/"+server.Group)
	if err != nil {
		return err
	}
	return s.app.show(server, func(w io.Writer) {
		for _, r := range server.OpenRuns {
			s.app.tellWhy(w, r)
		}
		s.app.tellHeld(w, held)
		if len(server.OpenRuns) == 0 {
			s.app.tellIdle(w, server)
		}
	})
}

// whyRollout says what a rollout waits for.
func (s *session) whyRollout(ctx context.Context, ref string) error {
	r, err := s.rollout(ctx, ref)
	if client.Is(err, client.KindNotFound) {
		return notFoundf("no run, no server, no service and no rollout %q", ref)
	}
	if err != nil {
		return err
	}
	return s.app.show(r, func(w io.Writer) { s.app.tellRolloutWhy(w, r) })
}

func (a *app) tellWhy(w io.Writer, r client.RunSummary) {
	kind := "run"
	if r.DryRun {
		kind = "dry run"
	}
	fmt.Fprintf(w, "%s  %s  %s %s, opened %s by %s\n", r.ServerName, a.state(r.State), kind, r.ID, ago(r.Created, a.now()), clean(r.By))
	switch {
	case r.Result.Text != "":
		fmt.Fprintf(w, "  %s\n", clean(r.Result.Text))
	case len(r.Waits) == 0 && r.State == client.Waiting:
		fmt.Fprintf(w, "  it is looked at in a moment: \"upkeep why %s\" says more then\n", r.ServerName)
	case len(r.Waits) == 0:
		fmt.Fprintln(w, "  nothing waits")
	}
	a.tellWaits(w, r.Waits)
	if slices.ContainsFunc(r.Waits, func(w client.Wait) bool { return w.Code == "paused" }) {
		fmt.Fprintf(w, "  \"upkeep resume %s\" lets it go on\n", r.ServerName)
	}
}

// tellIdle says why nothing happens on a server.
func (a *app) tellIdle(w io.Writer, s *client.Server) {
	fmt.Fprintf(w, "%s  no run is open\n", s.Name)
	switch {
	case s.Management == client.Unmanaged:
		fmt.Fprintf(w, "  it is unmanaged: its owner installs its updates; \"upkeep manage %s\" changes that\n", s.Name)
	case s.Agent == nil:
		fmt.Fprintf(w, "  no agent is enrolled: \"upkeep enrol %s\" says how\n", s.Name)
	case len(s.Schedules) == 0:
		fmt.Fprintf(w, "  it has no schedule: apply one, or \"upkeep run %s\" updates it now\n", s.Name)
	}
	a.tellNext(w, s.Schedules)
	if s.Observed != nil && s.Observed.PendingUpdates == 0 && !s.Observed.RebootRequired {
		fmt.Fprintln(w, "  nothing is pending there")
	}
}

// tellNext says what schedules wait for.
func (a *app) tellNext(w io.Writer, all []client.ScheduleBrief) {
	for _, sc := range all {
		name := clean(sc.Name)
		if sc.Refused != "" {
			fmt.Fprintf(w, "  %s\n", a.paint(fmt.Sprintf("schedule %s opened no run in its last window: %s", name, clean(sc.Refused)), red))
		}
		switch {
		case sc.Resting:
			fmt.Fprintf(w, "  schedule %s rests meanwhile\n", name)
		case !sc.Enabled:
			fmt.Fprintf(w, "  schedule %s is disabled\n", name)
		case sc.Next == nil:
			fmt.Fprintf(w, "  schedule %s has no window any more\n", name)
		default:
			fmt.Fprintf(w, "  schedule %s %s (%s)\n", name, span(sc.Next.Start, sc.Next.End, a.zoneIn(sc.Words)), ago(sc.Next.Start, a.now()))
		}
	}
}
