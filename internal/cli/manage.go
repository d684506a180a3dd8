package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) manageCommand() *cobra.Command {
	var policy string
	cmd := &cobra.Command{
		Use: "manage SERVER", Short: "Have a server's updates seen to: it always has a schedule",
		Long: `Has a server's updates seen to from here. If it has no schedule it is given one
made from the default policy; schedules that rested while it was unmanaged go on.
With --policy a schedule is made from that one as well.`,
		Example: `  upkeep manage web-1
  upkeep manage web-1 --policy "Security on Tuesdays"`,
		Args: takes(1, 1), ValidArgsFunction: a.completeServers,
		RunE: func(cmd *cobra.Command, args []string) error { return a.managing(cmd.Context(), args[0], true, policy) },
	}
	cmd.Flags().StringVar(&policy, "policy", "", "a policy, by name or id, that a schedule is made from")
	return cmd
}

func (a *app) unmanageCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unmanage SERVER", Short: "Leave a server to its owner: nothing is done to it from here",
		Long: `Leaves a server to its owner. Runs that it has open are aborted, its schedules rest,
and runs and new schedules are refused until "upkeep manage" is said.`,
		Example: `  upkeep unmanage web-1`,
		Args:    takes(1, 1), ValidArgsFunction: a.completeServers,
		RunE: func(cmd *cobra.Command, args []string) error { return a.managing(cmd.Context(), args[0], false, "") },
	}
}

func (a *app) managing(ctx context.Context, ref string, managed bool, policy string) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	server, err := s.manage(ctx, ref, s.project, managed, policy)
	if err != nil {
		return err
	}
	return a.show(server, func(w io.Writer) {
		fmt.Fprintf(w, "server %s %s\n", server.Name, server.Management)
		for _, sc := range server.Schedules {
			fmt.Fprintf(w, "  %s\n", a.briefly(sc))
		}
	})
}

func (s *session) manage(ctx context.Context, server, project string, managed bool, policy string) (*client.Server, error) {
	return write(ctx, func(ctx context.Context, key string) (*client.Server, error) {
		if managed {
			return s.ManageServer(ctx, server, client.ManageInput{UpdatePolicy: policy}, &client.ManageServerParams{Project: project, IdempotencyKey: key})
		}
		return s.UnmanageServer(ctx, server, &client.UnmanageServerParams{Project: project, IdempotencyKey: key})
	})
}

// briefly is a schedule in a line, with what it waits for.
func (a *app) briefly(sc client.ScheduleBrief) string {
	name := "schedule " + clean(sc.Name)
	switch {
	case sc.Resting:
		return name + " rests: the server is unmanaged"
	case !sc.Enabled:
		return name + " is disabled"
	case sc.Next != nil:
		return fmt.Sprintf("%s %s (%s)", name, span(sc.Next.Start, sc.Next.End, a.zoneIn(sc.Words)), ago(sc.Next.Start, a.now()))
	}
	return name + " opens " + sc.Words
}

func (a *app) enableCommand() *cobra.Command {
	var overlap bool
	cmd := a.switching("enable", "Switch a schedule on", func(ctx context.Context, s *session, id, key string) (*client.Schedule, error) {
		return s.EnableSchedule(ctx, id, &client.EnableScheduleParams{AllowOverlap: overlap, IdempotencyKey: key})
	})
	cmd.Commands()[0].Flags().BoolVar(&overlap, "allow-overlap", false, "although another schedule of the server is open at the same time")
	return cmd
}

func (a *app) disableCommand() *cobra.Command {
	return a.switching("disable", "Switch a schedule off; the run that it has open is aborted",
		func(ctx context.Context, s *session, id, key string) (*client.Schedule, error) {
			return s.DisableSchedule(ctx, id, &client.DisableScheduleParams{IdempotencyKey: key})
		})
}

// switching is a command that switches a schedule and says so.
func (a *app) switching(verb, short string, request func(ctx context.Context, s *session, id, key string) (*client.Schedule, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: verb + " schedule SERVER/NAME", Short: short,
		Example: "  upkeep " + verb + " schedule web-1/weekend",
		Args:    cobra.ArbitraryArgs, RunE: a.which(verb, "schedule"),
	}
	cmd.AddCommand(&cobra.Command{
		Use: "schedule SERVER/NAME", Aliases: []string{"schedules"}, Short: short, Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			sc, err := s.findSchedule(ctx, args[0])
			if err != nil {
				return err
			}
			sc, err = write(ctx, func(ctx context.Context, key string) (*client.Schedule, error) { return request(ctx, s, sc.ID, key) })
			if err != nil {
				return err
			}
			return a.show(sc, func(w io.Writer) { fmt.Fprintf(w, "schedule %s %sd\n", clean(refOf(*sc)), verb) })
		}),
	})
	return cmd
}
