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

func (a *app) rolloutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rollout COMMAND", Short: "Promote a release over environments, and say what persons say to it",
		Long: `A rollout carries one release through a train. ROLLOUT is its id, or the train's
name, which means the newest. "upkeep why ROLLOUT" says what it waits for.`,
		Example: `  upkeep rollout start scs R4 --reason PCO-2023
  upkeep rollout approve scs prod1
  upkeep rollout veto scs R4 --reason "RabbitMQ splits under load"`,
		Args: cobra.ArbitraryArgs, RunE: a.which("rollout", "start, approve, ack, decide, retry, pin, veto, lift-veto, pause, resume and abort"),
	}
	cmd.AddCommand(a.rolloutStart(), a.rolloutApprove(), a.rolloutAck(), a.rolloutDecide(), a.rolloutRetry(), a.rolloutPin(),
		a.rolloutVeto(false), a.rolloutVeto(true), a.rolloutPause(), a.rolloutResume(), a.rolloutAbort())
	return cmd
}

// saying is what a person says to a rollout.
type saying func(ctx context.Context, s *session, args []string, key string) (*client.Rollout, error)

// says is a command that says something to a rollout, and shows what it waits
// for then.
func (a *app) says(use, short string, args int, say saying) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: takes(args, args),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			r, err := write(ctx, func(ctx context.Context, key string) (*client.Rollout, error) { return say(ctx, s, args, key) })
			if err != nil {
				return err
			}
			return a.show(r, func(w io.Writer) { a.tellRolloutWhy(w, r) })
		}),
	}
}

func (a *app) rolloutStart() *cobra.Command {
	var reason string
	cmd := a.says("start TRAIN VERSION", "Start a release through its train", 2, func(ctx context.Context, s *session, args []string, key string) (*client.Rollout, error) {
		return s.StartRollout(ctx, client.RolloutInput{Train: args[0], Version: args[1], Reason: reason}, &client.StartRolloutParams{Project: s.project, IdempotencyKey: key})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why; the history keeps it")
	return cmd
}

func (a *app) rolloutApprove() *cobra.Command {
	var plan string
	cmd := a.says("approve ROLLOUT ENVIRONMENT", "Approve the plan of an environment", 2, func(ctx context.Context, s *session, args []string, key string) (*client.Rollout, error) {
		hash := plan
		if hash == "" {
			r, err := s.rollout(ctx, args[0])
			if err != nil {
				return nil, err
			}
			i := slices.IndexFunc(r.Environments, func(e client.RolloutEnvironment) bool { return e.Name == args[1] })
			if i < 0 {
				return nil, notFoundf("no environment %q in train %s", args[1], r.Train)
			}
			hash = r.Environments[i].Plan
		}
		return s.ApproveRollout(ctx, args[0], client.RolloutApprovalInput{Environment: args[1], Plan: hash}, &client.ApproveRolloutParams{Project: s.project, IdempotencyKey: key})
	})
	cmd.Long = `Approves the plan of an environment as it is now; "upkeep describe rollout ROLLOUT"
shows it, with its hash. With --plan it is approved only if it is still that one.
Who has started the rollout may not approve it, and an approval is void once the
plan changes.`
	cmd.Flags().StringVar(&plan, "plan", "", "the hash of the plan that you have seen; the plan that is now if not said")
	return cmd
}

func (a *app) rolloutAck() *cobra.Command {
	var reason string
	cmd := a.says("ack ROLLOUT ISSUE", "Acknowledge a known issue of the release", 2, func(ctx context.Context, s *session, args []string, key string) (*client.Rollout, error) {
		return s.AcknowledgeIssue(ctx, args[0], client.RolloutAckInput{Issue: args[1], Reason: reason}, &client.AcknowledgeIssueParams{Project: s.project, IdempotencyKey: key})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why it is accepted; needed if it is a veto")
	return cmd
}

func (a *app) rolloutDecide() *cobra.Command {
	var reason string
	cmd := a.says("decide ROLLOUT ENVIRONMENT GATE pass|fail", "Decide a gate that is inconclusive", 4, func(ctx context.Context, s *session, args []string, key string) (*client.Rollout, error) {
		return s.DecideGate(ctx, args[0], client.RolloutDecisionInput{Environment: args[1], Gate: args[2], Result: args[3], Reason: reason},
			&client.DecideGateParams{Project: s.project, IdempotencyKey: key})
	})
	return needsReason(cmd, &reason)
}

func (a *app) rolloutRetry() *cobra.Command {
	return a.says("retry ROLLOUT ENVIRONMENT", "Do once more what has failed in an environment", 2, func(ctx context.Context, s *session, args []string, key string) (*client.Rollout, error) {
		return s.RetryRollout(ctx, args[0], client.RolloutRetryInput{Environment: args[1]}, &client.RetryRolloutParams{Project: s.project, IdempotencyKey: key})
	})
}

func (a *app) rolloutPin() *cobra.Command {
	in := client.RolloutPinInput{}
	cmd := a.says("pin ROLLOUT ENVIRONMENT COMPONENT DIGEST", "Take one component of one environment to another digest", 4, func(ctx context.Context, s *session, args []string, key string) (*client.Rollout, error) {
		in.Environment, in.Component, in.Digest = args[1], args[2], args[3]
		return s.PinComponent(ctx, args[0], in, &client.PinComponentParams{Project: s.project, IdempotencyKey: key})
	})
	cmd.Long = `Rolls one component of one environment back, by the phases that bring it. What
comes after the environment waits until it has the release's digests again. The
release's own digest takes the pin away.`
	cmd.Flags().BoolVar(&in.Now, "now", false, "at once, whatever windows, freezes and other regions say")
	return needsReason(cmd, &in.Reason)
}

func needsReason(cmd *cobra.Command, reason *string) *cobra.Command {
	cmd.Flags().StringVar(reason, "reason", "", "why; it is kept")
	if err := cmd.MarkFlagRequired("reason"); err != nil {
		panic(err) // it was added in the line before
	}
	return cmd
}

func (a *app) rolloutPause() *cobra.Command {
	return a.says("pause ROLLOUT", "Hold a rollout and its runs", 1, func(ctx context.Context, s *session, args []string, key string) (*client.Rollout, error) {
		return s.PauseRollout(ctx, args[0], &client.PauseRolloutParams{Project: s.project, IdempotencyKey: key})
	})
}

func (a *app) rolloutResume() *cobra.Command {
	return a.says("resume ROLLOUT", "Let a paused rollout go on", 1, func(ctx context.Context, s *session, args []string, key string) (*client.Rollout, error) {
		return s.ResumeRollout(ctx, args[0], &client.ResumeRolloutParams{Project: s.project, IdempotencyKey: key})
	})
}

func (a *app) rolloutAbort() *cobra.Command {
	var reason string
	cmd := a.says("abort ROLLOUT", "End a rollout; what was promoted stays", 1, func(ctx context.Context, s *session, args []string, key string) (*client.Rollout, error) {
		return s.AbortRollout(ctx, args[0], client.RolloutAbortInput{Reason: reason}, &client.AbortRolloutParams{Project: s.project, IdempotencyKey: key})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why; the history keeps it")
	return cmd
}

func (a *app) rolloutVeto(lift bool) *cobra.Command {
	var reason string
	use, short, did := "veto TRAIN VERSION", "Stop a release in all environments", "stopped in all environments"
	if lift {
		use, short, did = "lift-veto TRAIN VERSION", "Let a release go on that was vetoed", "free to go on"
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: takes(2, 2),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			in := client.VetoInput{Reason: reason}
			r, err := write(ctx, func(ctx context.Context, key string) (*client.Release, error) {
				if lift {
					return s.LiftVeto(ctx, args[0], args[1], in, &client.LiftVetoParams{Project: s.project, IdempotencyKey: key})
				}
				return s.VetoRelease(ctx, args[0], args[1], in, &client.VetoReleaseParams{Project: s.project, IdempotencyKey: key})
			})
			if err != nil {
				return err
			}
			return a.show(r, func(w io.Writer) { fmt.Fprintf(w, "release %s/%s is %s\n", clean(r.Train), clean(r.Version), did) })
		}),
	}
	return needsReason(cmd, &reason)
}

// rollout finds one by its id, or the newest of a train.
func (s *session) rollout(ctx context.Context, ref string) (*client.Rollout, error) {
	return ask(ctx, func(ctx context.Context) (*client.Rollout, error) {
		return s.GetRollout(ctx, ref, &client.GetRolloutParams{Project: s.project})
	})
}

// tellRolloutWhy says in a few lines how far it is, and what it waits for.
func (a *app) tellRolloutWhy(w io.Writer, r *client.Rollout) {
	fmt.Fprintf(w, "%s %s  %s  rollout %s, started %s by %s\n", clean(r.Train), clean(r.Version), a.rolloutState(r.State), r.ID, ago(r.Created, a.now()), clean(r.By))
	if r.Text != "" {
		fmt.Fprintf(w, "  %s\n", clean(r.Text))
	}
	t := newTable("ENVIRONMENT", "IS", "WHY IT WAITS")
	for _, e := range r.Environments {
		stage := a.rolloutState(e.Stage)
		told := false
		for _, why := range r.Waits {
			if why.Environment == e.Name {
				name, is := clean(e.Name), stage
				if told {
					name, is = "", ""
				}
				t.add(name, is, clean(why.Text))
				told = true
			}
		}
		if !told {
			t.add(clean(e.Name), stage, "")
		}
	}
	t.print(w, "  ")
	for _, hint := range a.rolloutHints(r) {
		fmt.Fprintf(w, "  %s\n", hint)
	}
}

// rolloutHints say what a person can do about what waits.
func (a *app) rolloutHints(r *client.Rollout) (hints []string) {
	add := func(format string, args ...any) {
		if hint := clean(fmt.Sprintf(format, args...)); !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	for _, w := range r.Waits {
		switch w.Code {
		case "approval":
			add(`"upkeep describe rollout %s" shows the plan; "upkeep rollout approve %s %s" approves it`, r.Train, r.Train, w.Environment)
		case "issue":
			add(`"upkeep rollout ack %s %s" acknowledges it`, r.Train, w.By)
		case "inconclusive":
			add(`"upkeep rollout decide %s %s %s pass|fail --reason …" decides; "upkeep rollout retry %s %s" asks it anew`, r.Train, w.Environment, w.By, r.Train, w.Environment)
		case "failed":
			add(`mend it, then "upkeep rollout retry %s %s"; or "upkeep rollout abort %s"`, r.Train, w.By, r.Train)
		case "halted":
			add(`"upkeep describe rollout %s" names its run; "upkeep describe run RUN" says what to do, and "upkeep resume SERVICE" goes on`, r.Train)
		case "run-waits":
			add(`"upkeep describe run %s" says more of the run`, w.By)
		case "veto":
			add(`"upkeep rollout lift-veto %s %s --reason …" lets it go on`, r.Train, r.Version)
		case "paused":
			add(`"upkeep rollout resume %s" lets it go on`, r.Train)
		}
	}
	return hints
}

// rolloutState is a state or stage in its colour.
func (a *app) rolloutState(state string) string {
	switch state {
	case "succeeded", "soaked":
		return a.paint("✓ "+state, green)
	case "failed", "aborted":
		return a.paint("✗ "+state, red)
	case "paused":
		return a.paint("‖ "+state, yellow)
	}
	return clean(state)
}

func (a *app) tellRollout(w io.Writer, r *client.Rollout) {
	a.tellRolloutWhy(w, r)
	for _, i := range r.Issues {
		acked := "not acknowledged"
		if i.AcknowledgedBy != "" {
			acked = strings.TrimSpace("acknowledged by " + clean(i.AcknowledgedBy) + ": " + clean(i.Reason))
		}
		fmt.Fprintf(w, "  known issue %s: %s (%s)\n", clean(i.ID), clean(i.Text), strings.TrimSuffix(acked, ":"))
	}
	for _, e := range r.Environments {
		fmt.Fprintf(w, "\n%s  %s  plan %s\n", clean(e.Name), a.rolloutState(e.Stage), e.Plan)
		for _, line := range e.Lines {
			fmt.Fprintf(w, "  %s\n", clean(line))
		}
		t := newTable("PHASE", "IS", "RUN", "ENDED")
		for _, p := range e.Phases {
			ended := ""
			if !p.Ended.IsZero() {
				ended = at(p.Ended, a.local)
			}
			t.add(clean(p.Name), p.Stage, p.Run, ended)
		}
		t.print(w, "  ")
		if !e.SoakFrom.IsZero() {
			fmt.Fprintf(w, "  soaks from %s to %s\n", at(e.SoakFrom, a.local), at(e.SoakUntil, a.local))
		}
		if len(e.Pins) > 0 {
			fmt.Fprintf(w, "  pinned: %s\n", labels(e.Pins))
		}
		a.tellGates(w, e)
	}
}

// tellGates is what gates have said, and who has approved.
func (a *app) tellGates(w io.Writer, e client.RolloutEnvironment) {
	if len(e.Evidence) > 0 {
		t := newTable("GATE", "FOR", "SAID", "TIMES", "LAST", "IN ITS WORDS")
		for _, v := range e.Evidence {
			why := clean(v.Why)
			if v.By != "" {
				why = "decided by " + clean(v.By) + ": " + why
			}
			t.add(clean(v.Gate), v.At, v.Result, fmt.Sprint(v.Times), at(v.Last, a.local), why)
		}
		t.print(w, "  ")
	}
	for _, p := range e.Approvals {
		fmt.Fprintf(w, "  plan %s approved by %s, %s\n", p.Plan, clean(p.By), at(p.At, a.local))
		if p.Void {
			fmt.Fprintln(w, "    void: the plan has changed since")
			tellLines(w, "    ", p.Changes)
		}
	}
}

// tellLines shows what differs between two plans.
func tellLines(w io.Writer, indent string, lines []client.PlanLine) {
	for _, l := range lines {
		switch l.Op {
		case "added":
			fmt.Fprintf(w, "%s+ %s\n", indent, clean(l.Text))
		case "removed":
			fmt.Fprintf(w, "%s- %s\n", indent, clean(l.Text))
		}
	}
}

// comparedWith says what an environment runs, where a release is compared with that.
func comparedWith(d client.PlanDiff, runs bool) string {
	switch {
	case !runs:
		return ""
	case d.From == "":
		return ": nobody knows what runs there"
	case !d.Kept:
		return ": runs " + clean(d.From) + ", a release that is not kept here"
	}
	return ": runs " + clean(d.From)
}

func (a *app) diffCommand() *cobra.Command {
	return &cobra.Command{
		Use: "diff TRAIN [VERSION] VERSION", Short: "What differs between two releases, environment by environment",
		Long: `Compares what two releases mean for each environment. With one version it is
compared with what each environment runs, with the digests that it has.`,
		Example: `  upkeep diff scs R4
  upkeep diff scs R3 R4`, Args: takes(2, 3),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			params := &client.DiffReleasesParams{Project: s.project, To: args[len(args)-1]}
			if len(args) == 3 {
				params.From = args[1]
			}
			all, err := ask(ctx, func(ctx context.Context) (*client.PlanDiffList, error) {
				return s.DiffReleases(ctx, args[0], params)
			})
			if err != nil {
				return err
			}
			return a.show(all, func(w io.Writer) {
				for _, d := range all.Items {
					fmt.Fprintln(w, clean(d.Environment)+comparedWith(d, len(args) == 2))
					tellLines(w, "  ", d.Lines)
				}
			})
		}),
	}
}

func (a *app) simulateRollout() *cobra.Command {
	return &cobra.Command{
		Use: "rollout TRAIN VERSION", Short: "What a rollout would do, in which order and when; touches nothing",
		Long: `Forecasts a rollout with the state machine that real ones use, as if nothing failed
and persons did at once what is asked of them. The exit code is 0 if the release
would soak everywhere, 12 if not.`,
		Args: takes(2, 2),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			f, err := ask(ctx, func(ctx context.Context) (*client.RolloutForecast, error) {
				return s.SimulateRollout(ctx, args[0], client.RolloutForecastInput{Version: args[1]}, &client.SimulateRolloutParams{Project: s.project})
			})
			if err != nil {
				return err
			}
			if err := a.show(f, func(w io.Writer) { a.tellRolloutForecast(w, f) }); err != nil {
				return err
			}
			if f.End.IsZero() {
				return &coded{code: exitForecast}
			}
			return nil
		}),
	}
}

func (a *app) tellRolloutForecast(w io.Writer, f *client.RolloutForecast) {
	t := newTable("FROM", "TO", "ENVIRONMENT", "WHAT", "WINDOWS", "OUT OF SERVICE", "NO RETURN")
	for _, i := range f.Items {
		what, windows := "soak", ""
		if i.Phase != "" {
			what, windows = fmt.Sprintf("%s: %s on %s", i.Phase, i.Runbook, i.Service), fmt.Sprint(i.Windows)
		}
		var out []string
		for _, o := range i.Out {
			out = append(out, fmt.Sprintf("%s %s-%s", o.Member, o.Start.In(a.local).Format("15:04"), o.End.In(a.local).Format("15:04")))
		}
		t.add(at(i.Start, a.local), at(i.End, a.local), clean(i.Environment), clean(what), windows, clean(strings.Join(out, ", ")), clean(strings.Join(i.NoReturn, ", ")))
	}
	t.dropEmpty().print(w, "")
	for _, ask := range f.Asks {
		fmt.Fprintf(w, "before %s: %s\n", clean(ask.Environment), clean(ask.Text))
	}
	for _, s := range f.Stuck {
		fmt.Fprintf(w, "%s %s: %s\n", a.paint("✗", red), clean(s.Environment), clean(s.Text))
	}
	if !f.End.IsZero() {
		fmt.Fprintf(w, "%s soaked everywhere %s\n", a.paint("✓", green), at(f.End, a.local))
	}
}
