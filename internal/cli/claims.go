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

func (a *app) getClaims() *cobra.Command {
	return &cobra.Command{
		Use: "claims", Aliases: []string{"claim"}, Short: "What is held: by runs, by hand, and by nodes that restart themselves", Args: takes(0, 0),
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			all, err := s.claims(ctx, false)
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, "Nothing is held.", a.claimTable)
		}),
	}
}

// claims lists what is held in the project, or only what no run holds.
func (s *session) claims(ctx context.Context, byHand bool) (*client.ClaimList, error) {
	params := &client.ListClaimsParams{Project: s.project, ByHand: byHand, Limit: pageSize}
	items, err := every(ctx, func(ctx context.Context, next string) ([]client.Claim, string, error) {
		params.After = next
		page, err := s.ListClaims(ctx, params)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
	return &client.ClaimList{Items: items}, err
}

func (a *app) claimTable(all []client.Claim) *table {
	t := newTable("CLAIM", "BY", "SINCE", "UNTIL", "REASON", "ID")
	for _, c := range all {
		what, until, id := clean(c.Claim), "its run ends", c.Run
		switch {
		case c.Within:
			what += " (within)"
		case c.Run != "":
		case c.Until.IsZero():
			until = "it is released"
		}
		if c.Run == "" {
			id = c.ID
			if !c.Until.IsZero() {
				until = at(c.Until, a.local)
			}
		}
		since := ""
		if !c.Since.IsZero() {
			since = ago(c.Since, a.now())
		}
		t.add(what, clean(c.By), since, until, clean(c.Reason), id)
	}
	return t.dropEmpty()
}

func (a *app) claimCommand() *cobra.Command {
	var in client.ClaimInput
	cmd := &cobra.Command{
		Use: "claim KIND/NAME… --for TIME --reason TEXT", Short: "Hold something, so that no run disrupts it meanwhile",
		Long: `Holds what is named, all of it or nothing, until its time is over or it is
released: for work that other tools do. Runs that need it wait, and say for whom.

  server/NAME               a server
  service/NAME              a service, with the servers of its members
  group/NAME                all places of a redundancy group
  region/NAME cluster/NAME  all whose label says that they are in it
  KIND/NAME                 what runbooks and services claim by that name

Who holds just that already holds it for so long from now. If somebody else holds
some of it, that is told, and nothing is held (exit code 5).`,
		Example: `  upkeep claim server/web-1 --for 2h --reason "new disk"
  upkeep claim region/eu01 --for 4h --reason PCO-1990`,
		Args: takes(1, 32),
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.For == "" || in.Reason == "" {
				return usagef("--for and --reason are needed: who waits reads them")
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			in.Claims, in.Project = args, s.project
			held, err := write(cmd.Context(), func(ctx context.Context, key string) (*client.HeldClaim, error) {
				return s.Claim(ctx, in, &client.ClaimParams{IdempotencyKey: key})
			})
			if err != nil {
				return err
			}
			return a.show(held, func(w io.Writer) {
				names := clean(strings.Join(held.Claims, " "))
				fmt.Fprintf(w, "%s held until %s (%s)\n  \"upkeep release %s\" gives it back\n", names, at(held.Until, a.local), ago(held.Until, a.now()), held.ID)
			})
		},
	}
	cmd.Flags().StringVar(&in.For, "for", "", "how long until it ends by itself, from 1m to 31d (required)")
	cmd.Flags().StringVar(&in.Reason, "reason", "", "what for; who waits reads it (required)")
	return cmd
}

func (a *app) releaseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "release ID|KIND/NAME|node/ID", Short: "Give back what is held by hand, or by a node that does not come back",
		Long: `Gives back what a person holds, all that was claimed together; or the lock of a
node that was to restart itself and does not come back. What a run holds it gives
back itself: "upkeep abort" ends a run. "upkeep get claims" has the names and ids.`,
		Example: `  upkeep release server/web-1
  upkeep release node/0123456789abcdef`,
		Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			c, err := s.claimNamed(ctx, args[0])
			if err != nil {
				return err
			}
			err = remove(ctx, func(ctx context.Context, key string) error {
				return s.ReleaseClaim(ctx, c.ID, &client.ReleaseClaimParams{IdempotencyKey: key})
			})
			if err != nil {
				return err
			}
			return a.say("%s released, which %s held", args[0], c.By)
		}),
	}
}

// claimNamed finds what is held by hand: by its id, what it is, or whose it is.
func (s *session) claimNamed(ctx context.Context, ref string) (*client.Claim, error) {
	all, err := s.claims(ctx, false)
	if err != nil {
		return nil, err
	}
	is := func(c client.Claim) bool {
		return c.ID == ref || !c.Within && c.Claim == ref || c.Node != "" && c.By == ref
	}
	found := slices.DeleteFunc(all.Items, func(c client.Claim) bool { return !is(c) })
	ids := map[string]bool{}
	for _, c := range found {
		ids[c.ID] = true
	}
	switch {
	case len(found) == 0:
		return nil, notFoundf("nobody holds %q", ref)
	case len(ids) > 1:
		return nil, usagef("%d hold %s: say which by its id, as \"upkeep get claims\" shows it", len(ids), ref)
	case found[0].ID == "":
		return nil, &coded{code: exitConflict, text: fmt.Sprintf("run %s of %s holds %s, and gives it back when it ends", found[0].Run, clean(found[0].By), ref)}
	}
	return &found[0], nil
}

// heldOf is what of the given is held by hand, or by nodes.
func (s *session) heldOf(ctx context.Context, names ...string) ([]client.Claim, error) {
	all, err := s.claims(ctx, true)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all.Items, func(c client.Claim) bool { return c.ID == "" || c.Within || !slices.Contains(names, c.Claim) }), nil
}

// tellHeld says who holds something by hand.
func (a *app) tellHeld(w io.Writer, held []client.Claim) {
	for _, c := range held {
		until := "it is released"
		if !c.Until.IsZero() {
			until = at(c.Until, a.local)
		}
		fmt.Fprintf(w, "%s  %s\n", clean(c.Claim), a.paint(fmt.Sprintf("held by %s until %s: %s", clean(c.By), until, clean(c.Reason)), yellow))
	}
}

func (a *app) clashesCommand() *cobra.Command {
	var days int64
	cmd := &cobra.Command{
		Use: "clashes", Short: "Which schedules want the same thing at once in the coming days",
		Long: `Looks through the windows of all schedules of a project: which of them want the
same server, service, name or place of a group at once, or what somebody holds by
hand then, or a rollout on its way there, and by how much they do not fit one
after the other; which windows freezes leave no time of; and which
runs could not be opened. A rollout in an environment without a window may begin
at any time: whom it may meet is said once. Nothing breaks by a clash: one waits for the other.`,
		Example: `  upkeep clashes
  upkeep clashes --days 31 -o json`,
		Args: takes(0, 0),
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			all, err := ask(ctx, func(ctx context.Context) (*client.Clashes, error) {
				return s.ListClashes(ctx, &client.ListClashesParams{Project: s.project, Days: days})
			})
			if err != nil {
				return err
			}
			return a.show(all, func(w io.Writer) { a.tellClashes(w, all) })
		}),
	}
	cmd.Flags().Int64Var(&days, "days", 14, "how many days are looked through, up to 31")
	return cmd
}

func (a *app) tellClashes(w io.Writer, all *client.Clashes) {
	t := newTable("WHEN", "WHAT", "WHO", "HOW MUCH")
	for _, c := range all.Items {
		who := strings.Join(c.Who, ", ")
		if c.More > 0 {
			who += fmt.Sprintf(" and %d more", c.More)
		}
		t.add(span(c.Start, c.End, a.local), clean(c.What), clean(who), clean(clashWords(c)))
	}
	if len(all.Items) > 0 {
		t.dropEmpty().print(w, "")
		fmt.Fprintln(w)
	}
	clashes := "1 clash"
	if all.Total != 1 {
		clashes = fmt.Sprintf("%d clashes", all.Total)
	}
	fmt.Fprintf(w, "%s until %s, of %s\n", clashes, at(all.To, a.local), count(all.Looked, "schedule"))
	if n := all.Total - int64(len(all.Items)); n > 0 {
		fmt.Fprintf(w, "%d of them are not shown\n", n)
	}
	if all.Partial {
		fmt.Fprintln(w, a.paint("There are more schedules than were looked at.", yellow))
	}
}

func clashWords(c client.Clash) string {
	switch {
	case c.Kind == "freeze":
		return c.Short + " short: frozen, " + c.Why
	case c.Kind == "unable":
		return "no run could be opened: " + c.Why
	case c.Kind == "anytime" && c.Short != "":
		return fmt.Sprintf("the last may begin at any time; if it does then, %s short", c.Short)
	case c.Kind == "anytime":
		return "the last may begin at any time"
	case c.Short != "":
		return fmt.Sprintf("%d want %d at once, %s short", c.Most, c.Places, c.Short)
	}
	return fmt.Sprintf("%d want %d at once, and fit one after the other", c.Most, c.Places)
}
