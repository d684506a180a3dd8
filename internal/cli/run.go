package cli

import (
	"context"
	"fmt"
	"io"
	"reflect"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"upkeep/client"
)

// defaultRun is how long a run that starts now may take unless it is said.
const defaultRun = "2h"

// policyFlags are how a run that starts now is to be done.
type policyFlags struct {
	securityOnly bool
	noReboot     bool
	hold         []string
	reboot       string
	dryRun       bool
	backup       string
	before       []string
	after        []string
	health       []string
}

func (p *policyFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&p.securityOnly, "security-only", false, "only what comes from a security archive")
	f.BoolVar(&p.noReboot, "no-reboot", false, "no reboot, even if one is required")
	f.StringSliceVar(&p.hold, "hold", nil, "packages, or patterns such as linux-image-*, that are not touched")
	f.StringVar(&p.reboot, "reboot", "", "if-required, never or always; if-required if not said")
	f.BoolVar(&p.dryRun, "dry-run", false, "say what would be installed, and change nothing")
	f.StringVar(&p.backup, "backup", "", "a command of the server's own list that makes a copy first; if it fails nothing is installed")
	f.StringSliceVar(&p.before, "before", nil, "commands of the server's own list, before the first package")
	f.StringSliceVar(&p.after, "after", nil, "and after the last one, also if it went wrong")
	f.StringSliceVar(&p.health, "health", nil, "checks after all that; one that keeps failing makes the run a failed one")
}

// policyFlagNames are the flags of a policy, for those who say them in the wrong place.
const policyFlagNames = "--security-only, --no-reboot, --hold, --dry-run, --backup and other flags of a policy"

// check refuses flags that say two things.
func (p *policyFlags) check() error {
	if p.noReboot && p.reboot != "" {
		return usagef("--no-reboot and --reboot: say one of them")
	}
	return nil
}

// policy is nil if nothing was said.
func (p *policyFlags) policy() *client.Policy {
	out := &client.Policy{
		Hold: p.hold, Reboot: client.PolicyReboot(p.reboot), DryRun: p.dryRun,
		Backup: p.backup, Before: p.before, After: p.after, Health: p.health,
	}
	if p.securityOnly {
		out.Scope = client.Security
	}
	if p.noReboot {
		out.Reboot = client.Never
	}
	if reflect.DeepEqual(*out, client.Policy{}) {
		return nil
	}
	return out
}

func (a *app) runCommand() *cobra.Command {
	var in client.RunInput
	var policy policyFlags
	var watch bool
	cmd := &cobra.Command{
		Use: "run SERVER", Short: "Update a server: now, or in the next window of a schedule",
		Long: `Opens a run that updates a server: now, whatever the schedules say, recorded under
your name; or with --in-window in the next window of one of its schedules, with
that schedule's policy.

With --watch the command ends with the run: exit code 0 if it succeeded, 10 if it
failed, 11 if it was aborted.`,
		Example: `  upkeep run web-1 --duration 1h --reason CVE-2026-0001 --security-only --watch
  upkeep run web-1 --in-window weekend`,
		Args: takes(1, 1), ValidArgsFunction: a.completeServers,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Server, in.Policy, in.When = args[0], policy.policy(), client.RunInputWhenNow
			if in.Schedule != "" {
				in.When = client.RunInputWhenWindow
			}
			if err := policy.check(); err != nil {
				return err
			}
			if err := checkRun(in); err != nil {
				return err
			}
			if in.Schedule == "" && in.Duration == "" {
				in.Duration = defaultRun
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			in.Project = s.project
			ctx, cancel := a.within(cmd.Context(), watch)
			defer cancel()
			run, err := write(ctx, func(ctx context.Context, key string) (*client.Run, error) {
				return s.StartRun(ctx, in, &client.StartRunParams{IdempotencyKey: key})
			})
			if err != nil {
				return err
			}
			if watch {
				return s.watch(ctx, run)
			}
			return a.show(run, func(w io.Writer) { a.tellWhy(w, summaryOf(run)) })
		},
		Annotations: map[string]string{endless: "with --watch"},
	}
	f := cmd.Flags()
	f.StringVar(&in.Schedule, "in-window", "", "in the next window of this schedule of the server")
	f.StringVar(&in.Duration, "duration", "", "how long a run that starts now may take, from 1m to 24h; 2h if not said")
	f.StringVar(&in.Reason, "reason", "", "why; the history keeps it")
	f.BoolVar(&in.OverrideFreeze, "override-freeze", false, "start although a freeze is in force; needs --reason")
	f.BoolVarP(&watch, "watch", "w", false, "watch it until it ends")
	policy.add(f)
	return cmd
}

// checkRun refuses flags that say two things.
func checkRun(in client.RunInput) error {
	switch {
	case in.Schedule != "" && in.Duration != "":
		return usagef("--duration goes with a run that starts now; --in-window has the schedule's")
	case in.Schedule != "" && in.Policy != nil:
		return usagef("%s go with a run that starts now; --in-window has the schedule's policy", policyFlagNames)
	case in.Schedule != "" && in.OverrideFreeze:
		return usagef("--override-freeze goes with a run that starts now, not with --in-window")
	case in.OverrideFreeze && in.Reason == "":
		return usagef("--override-freeze needs --reason: the history keeps it")
	}
	return nil
}

// within is the time of a command that is endless only sometimes.
func (a *app) within(ctx context.Context, endless bool) (context.Context, context.CancelFunc) {
	if endless || a.conn.timeout != 0 {
		return ctx, func() {} // without end, or --timeout is in ctx already
	}
	return context.WithTimeout(ctx, defaultTimeout)
}

func (a *app) pauseCommand() *cobra.Command {
	return a.moving("pause RUN|SERVER|SERVICE", "Hold a run: what is under way ends, nothing more starts", nil,
		func(ctx context.Context, s *session, id, key string) (*client.Run, error) {
			return s.PauseRun(ctx, id, &client.PauseRunParams{IdempotencyKey: key})
		})
}

func (a *app) resumeCommand() *cobra.Command {
	return a.moving("resume RUN|SERVER|SERVICE", "Let a paused run go on where it was", nil,
		func(ctx context.Context, s *session, id, key string) (*client.Run, error) {
			return s.ResumeRun(ctx, id, &client.ResumeRunParams{IdempotencyKey: key})
		})
}

func (a *app) abortCommand() *cobra.Command {
	var in client.AbortInput
	return a.moving("abort RUN|SERVER|SERVICE", "End a run as soon as nothing of it is under way",
		func(f *pflag.FlagSet) { f.StringVar(&in.Reason, "reason", "", "why; the history keeps it") },
		func(ctx context.Context, s *session, id, key string) (*client.Run, error) {
			return s.AbortRun(ctx, id, in, &client.AbortRunParams{IdempotencyKey: key})
		})
}

func (a *app) announceCommand() *cobra.Command {
	var in client.AnnounceInput
	cmd := a.moving("announce RUN|SERVER --text TEXT", "Record that people were told of a run",
		func(f *pflag.FlagSet) {
			f.StringVar(&in.Text, "text", "", "what they were told, or where, such as a notice's address (required)")
		},
		func(ctx context.Context, s *session, id, key string) (*client.Run, error) {
			return s.AnnounceRun(ctx, id, in, &client.AnnounceRunParams{IdempotencyKey: key})
		})
	_ = cmd.MarkFlagRequired("text")
	return cmd
}

// moving is a command that does something to an open run and shows it then.
func (a *app) moving(use, short string, flags func(*pflag.FlagSet), request func(ctx context.Context, s *session, id, key string) (*client.Run, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: takes(1, 1), ValidArgsFunction: a.completeServers,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			run, err := s.findRun(ctx, args[0], false)
			if err != nil {
				return err
			}
			run, err = write(ctx, func(ctx context.Context, key string) (*client.Run, error) {
				return request(ctx, s, run.ID, key)
			})
			if err != nil {
				return err
			}
			return a.show(run, func(w io.Writer) { a.tellMoved(w, run) })
		}),
	}
	if flags != nil {
		flags(cmd.Flags())
	}
	return cmd
}

// tellMoved shows a run after somebody asked something of it. What is under way
// ends first, so its state may not show the wish yet.
func (a *app) tellMoved(w io.Writer, r *client.Run) {
	a.tellRunWhy(w, r)
	switch {
	case ended(r.State):
	case r.AbortedBy != "":
		fmt.Fprintf(w, "  to be aborted, for %s: what is under way ends first\n", clean(r.AbortedBy))
	case r.PausedBy != "":
		fmt.Fprintf(w, "  to be held, for %s: what is under way ends first\n", clean(r.PausedBy))
	case !r.AnnouncedAt.IsZero():
		fmt.Fprintf(w, "  announced %s\n", second(r.AnnouncedAt, a.zone(r.Window.Zone)))
	}
}
