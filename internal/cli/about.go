package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"upkeep/client"
)

// versions are those of both ends; the server's is empty if none was asked.
type versions struct {
	Client string          `json:"client"`
	Server *client.Version `json:"server,omitempty"`
}

func (a *app) versionCommand() *cobra.Command {
	var own bool
	cmd := &cobra.Command{
		Use: "version", Short: "The version of this program, and of the server if one is set", Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versions{Client: a.version}
			set, err := a.settings()
			if err != nil && !own {
				return err
			}
			if set.Server != "" && !own {
				s, err := a.connect()
				if err != nil {
					return err
				}
				if v.Server, err = ask(cmd.Context(), s.GetVersion); err != nil {
					return err
				}
			}
			return a.show(v, func(w io.Writer) {
				fmt.Fprintf(w, "client %s\n", v.Client)
				if v.Server != nil {
					fmt.Fprintf(w, "server %s, API %s\n", clean(v.Server.Version), clean(v.Server.API))
				}
			})
		},
	}
	cmd.Flags().BoolVar(&own, "client", false, "ask no server")
	return cmd
}

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Whose token is used, and what it may do", Args: takes(0, 0),
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			me, err := ask(ctx, s.Whoami)
			if err != nil {
				return err
			}
			return a.show(me, func(w io.Writer) {
				pairs(w, "Name", clean(me.Name), "Role", string(me.Role), "Project", first(me.Project, "all"), "Server", s.server)
			})
		}),
	}
}
