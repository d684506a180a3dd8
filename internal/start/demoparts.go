package start

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"upkeep/internal/demo"
)

// demoParts are what the demo's processes run. They are not for people.
func demoParts() []*cobra.Command {
	return []*cobra.Command{demoReplica(), demoProxy(), demoRestart()}
}

func demoReplica() *cobra.Command {
	var r demo.Replica
	cmd := &cobra.Command{
		Use: "replica NAME", Short: "A replica of the demo's service", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name = args[0]
			return r.Run(whileRead(cmd.Context(), cmd.InOrStdin()), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&r.Listen, "listen", "127.0.0.1:0", "HOST:PORT")
	cmd.Flags().IntVar(&r.Start, "start", 1, "how many times it was started")
	cmd.Flags().DurationVar(&r.Pace.Loading, "loading", 0, "how long it is not ready after its start")
	cmd.Flags().DurationVar(&r.Pace.Stopping, "stopping", 0, "how long it takes to stop")
	return cmd
}

func demoProxy() *cobra.Command {
	var listen, admin string
	cmd := &cobra.Command{
		Use: "proxy NAME=HOST:PORT...", Short: "The small proxy of the demo's service", Hidden: true, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := demo.NewProxy(args)
			if err != nil {
				return err
			}
			return p.Run(whileRead(cmd.Context(), cmd.InOrStdin()), cmd.OutOrStdout(), listen, admin)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "HOST:PORT")
	cmd.Flags().StringVar(&admin, "admin", "", "path of the admin socket")
	return cmd
}

func demoRestart() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use: "restart NAME", Short: "Restart a replica of the demo's service", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return demo.AskRestart(cmd.Context(), socket, args[0])
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "where the demo hears it")
	return cmd
}

// whileRead is a context that ends when in does, too: the demo holds the other
// end, so its processes end with it, even if it is killed.
func whileRead(ctx context.Context, in io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in) // an error is an end as well
	}()
	return ctx
}
