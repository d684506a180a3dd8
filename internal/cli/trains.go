package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) getTrains() *cobra.Command {
	return &cobra.Command{
		Use: "trains", Aliases: []string{"train"}, Short: "Trains: through which environments releases go", Args: takes(0, 0),
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			all, err := ask(ctx, func(ctx context.Context) (*client.TrainList, error) {
				return s.ListTrains(ctx, &client.ListTrainsParams{Project: s.project})
			})
			if err != nil {
				return err
			}
			return a.show(all, func(w io.Writer) {
				t := newTable("TRAIN", "ENVIRONMENTS", "TITLE")
				for _, one := range all.Items {
					var names []string
					for _, e := range one.Environments {
						names = append(names, e.Name)
					}
					t.add(clean(one.Name), clean(strings.Join(names, ", ")), clean(one.Title))
				}
				t.dropEmpty().print(w, "")
			})
		}),
	}
}

func (a *app) getReleases() *cobra.Command {
	return &cobra.Command{
		Use: "releases TRAIN", Aliases: []string{"release"}, Short: "Releases of a train", Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			all, err := ask(ctx, func(ctx context.Context) (*client.ReleaseList, error) {
				return s.ListReleases(ctx, args[0], &client.ListReleasesParams{Project: s.project})
			})
			if err != nil {
				return err
			}
			return a.show(all, func(w io.Writer) {
				t := newTable("RELEASE", "COMPONENTS", "ISSUES", "VETO", "TITLE")
				for _, r := range all.Items {
					t.add(clean(r.Version), fmt.Sprint(len(r.Digests)), fmt.Sprint(len(r.Issues)), clean(r.Veto.Reason), clean(r.Title))
				}
				t.dropEmpty().print(w, "")
			})
		}),
	}
}

func (a *app) getRollouts() *cobra.Command {
	var open bool
	var train string
	cmd := &cobra.Command{
		Use: "rollouts", Aliases: []string{"rollout"}, Short: "Rollouts, newest first", Args: takes(0, 0),
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			all, err := ask(ctx, func(ctx context.Context) (*client.RolloutList, error) {
				return s.ListRollouts(ctx, &client.ListRolloutsParams{Project: s.project, Train: train, Open: open})
			})
			if err != nil {
				return err
			}
			return a.show(all, func(w io.Writer) {
				t := newTable("ROLLOUT", "TRAIN", "RELEASE", "STATE", "STARTED", "BY", "RESULT")
				for _, r := range all.Items {
					t.add(r.ID, clean(r.Train), clean(r.Version), a.rolloutState(r.State), ago(r.Created, a.now()), clean(r.By), clean(r.Text))
				}
				t.dropEmpty().print(w, "")
			})
		}),
	}
	cmd.Flags().BoolVar(&open, "open", false, "only those that have not ended")
	cmd.Flags().StringVar(&train, "train", "", "only those of this train")
	return cmd
}

func (a *app) describeTrain() *cobra.Command {
	return &cobra.Command{
		Use: "train NAME", Aliases: []string{"trains"}, Short: "A train: its environments, and what they have", Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			train, err := ask(ctx, func(ctx context.Context) (*client.Train, error) {
				return s.GetTrain(ctx, args[0], &client.GetTrainParams{Project: s.project})
			})
			if err != nil {
				return err
			}
			return a.show(train, func(w io.Writer) { a.tellTrain(w, train) })
		}),
	}
}

func (a *app) tellTrain(w io.Writer, t *client.Train) {
	pairs(w, "Train", t.Name, "Project", t.Project, "Title", clean(t.Title), "Changed", at(t.Changed, a.local))
	fmt.Fprintln(w)
	table := newTable("ENVIRONMENT", "AFTER", "SOAK", "APPROVALS", "REGION", "HAS", "SINCE")
	for _, e := range t.Environments {
		region, since := "", ""
		if e.Region {
			region = "yes"
		}
		has := t.Installed[e.Name]
		if !has.Since.IsZero() {
			since = at(has.Since, a.local)
		}
		table.add(clean(e.Name), clean(e.After), e.Soak, fmt.Sprint(e.Approvals), region, clean(first(has.Version, e.Runs)), since)
	}
	table.dropEmpty().print(w, "")
}

func (a *app) describeRollout() *cobra.Command {
	return &cobra.Command{
		Use: "rollout ROLLOUT", Aliases: []string{"rollouts"}, Short: "A rollout: plans, evidence, approvals and what waits", Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			r, err := s.rollout(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(r, func(w io.Writer) { a.tellRollout(w, r) })
		}),
	}
}

func (a *app) deleteTrain() *cobra.Command {
	return &cobra.Command{
		Use: "train NAME", Short: "Remove a train with its releases", Args: takes(1, 1),
		RunE: a.deleting("train", func(ctx context.Context, s *session, ref, key string) error {
			return s.DeleteTrain(ctx, ref, &client.DeleteTrainParams{Project: s.project, IdempotencyKey: key})
		}),
	}
}

func (a *app) deleteRelease() *cobra.Command {
	return &cobra.Command{
		Use: "release TRAIN/VERSION", Short: "Remove a release", Args: takes(1, 1),
		RunE: a.deleting("release", func(ctx context.Context, s *session, ref, key string) error {
			train, version, ok := strings.Cut(ref, "/")
			if !ok {
				return usagef("say TRAIN/VERSION, not %q", ref)
			}
			return s.DeleteRelease(ctx, train, version, &client.DeleteReleaseParams{Project: s.project, IdempotencyKey: key})
		}),
	}
}
