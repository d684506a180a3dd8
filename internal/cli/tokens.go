package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) tokensCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tokens COMMAND", Aliases: []string{"token"}, Short: "List, create or delete the tokens of people and programs",
		Example: `  upkeep tokens create alice --role member --only default --expires 2027-01-01
  upkeep tokens list`,
		Args: cobra.ArbitraryArgs, RunE: a.which("tokens", "list, create and delete"),
	}
	cmd.AddCommand(a.listTokens("list"), a.createToken(), a.deleteToken("delete ID"))
	return cmd
}

func (a *app) listTokens(use string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: "Tokens, without their secrets", Args: takes(0, 0),
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			all, err := ask(ctx, s.ListTokens)
			if err != nil {
				return err
			}
			return a.show(all, func(w io.Writer) {
				t := newTable("TOKEN", "NAME", "ROLE", "PROJECT", "CREATED", "EXPIRES")
				for _, k := range all.Items {
					expires := "never"
					if !k.Expires.IsZero() {
						expires = at(k.Expires, a.local)
					}
					t.add(k.ID, clean(k.Name), string(k.Role), first(k.Project, "all"), ago(k.Created, a.now()), expires)
				}
				t.print(w, "")
			})
		}),
	}
}

func (a *app) createToken() *cobra.Command {
	var in client.TokenInput
	var role, expires string
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Make a token; its secret is shown this once",
		Long: `Makes a token for a person or program, and prints its secret, once.

  operator  may do everything, everywhere
  member    may do everything in its project but make tokens
  viewer    may look at its project
  node      may ask whether a node may restart itself (FleetLock), and no more`,
		Example: `  upkeep tokens create ci --role member --only default --expires 2160h`,
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.Role = args[0], client.Role(role)
			var err error
			if d, bad := time.ParseDuration(expires); bad == nil && expires != "" {
				in.Expires = a.now().Add(d).UTC().Truncate(time.Second)
			} else if in.Expires, err = parseInstant("--expires", expires, a.local); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			t, err := write(cmd.Context(), func(ctx context.Context, key string) (*client.NewToken, error) {
				return s.CreateToken(ctx, in, &client.CreateTokenParams{IdempotencyKey: key})
			})
			if err != nil {
				return err
			}
			if t.Secret == "" { // the first answer was lost, and nobody knows the secret any more
				return fmt.Errorf("token %s was made, but the answer with its secret was lost: \"upkeep tokens delete %s\" and make another", t.ID, t.ID)
			}
			return a.show(t, func(w io.Writer) {
				a.note("token %s made for %s, %s. Its secret is not shown again:", t.ID, clean(t.Name), t.Role)
				fmt.Fprintln(w, t.Secret) // alone on standard output, to be sent into a file
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "operator, member, viewer or node (required)")
	cmd.Flags().StringVar(&in.Project, "only", "", "the only project that it may touch; every one if not said")
	cmd.Flags().StringVar(&expires, "expires", "", "when it ends: a time, a day, or a duration such as 2160h; never if not said")
	_ = cmd.MarkFlagRequired("role")
	return cmd
}

func (a *app) deleteToken(use string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: "End a token at once", Args: takes(1, 1),
		RunE: a.deleting("token", func(ctx context.Context, s *session, ref, key string) error {
			return s.DeleteToken(ctx, ref, &client.DeleteTokenParams{IdempotencyKey: key})
		}),
	}
}
