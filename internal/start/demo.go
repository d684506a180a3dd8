package start

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/host"
	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/server"
)

// Demo is the command that shows it all on this very machine.
func Demo(version string) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show Upkeep at work on this very machine, changing nothing",
		Long: `Show Upkeep at work: a control plane with its embedded database, and an agent that looks at this very machine and its real pending updates.

A schedule's window is open now, so an update runs at once: as a dry run, which says what would be installed and changes nothing. It needs no root and nothing installed, stays up until it is interrupted, and leaves nothing behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), cmd.OutOrStdout(), version, listen)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "HOST:PORT of the portal, on this machine alone; port 0 takes a free one")
	return cmd
}

// demoWindow is how long the demo's window is open, from its start.
const demoWindow = 4 * time.Hour

var demoUser = desk.Caller{Principal: identity.Principal{Name: "demo", Role: identity.Operator}}

func demo(ctx context.Context, out io.Writer, version, listen string) (err error) {
	dir, err := os.MkdirTemp("", "upkeep-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	quiet := slog.New(slog.DiscardHandler)
	s, err := server.New(ctx, server.Config{
		Data: filepath.Join(dir, "server"), Listen: listen, Version: version, Log: quiet, Anonymous: true,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fmt.Fprintf(out, "Upkeep %s, on this machine alone. Portal:\n\n    http://%s/\n\n", version, s.Address())

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error { return demoAgent(ctx, out, s, filepath.Join(dir, "agent"), version, quiet) })
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	fmt.Fprintln(out, "\nStopped; nothing was changed and nothing is left behind.")
	return err
}

// demoAgent enrols an agent for this machine, gives it a schedule whose window
// is open, and tells what happens.
func demoAgent(ctx context.Context, out io.Writer, s *server.Server, dir, version string, log *slog.Logger) error {
	d := s.Desk()
	if err := demoImages(ctx, d); err != nil {
		return err
	}
	t, _, err := d.PutServer(ctx, demoUser, desk.ServerSpec{Name: hostName(), Labels: map[string]string{"demo": "this machine"}})
	if err != nil {
		return err
	}
	e, err := d.Enrol(ctx, demoUser, "", t.ID)
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(s.CAFile())
	if err != nil {
		return err
	}
	url := "https://" + s.Address()
	who, err := agent.Enrol(ctx, dir, url, e.Secret, agent.Trust{CA: ca}, version)
	if err != nil {
		return err
	}
	door, err := agent.Dial(dir, url)
	if err != nil {
		return err
	}
	defer door.Close()
	hands, err := host.New(host.Config{Dir: dir, DryRun: true, Log: log}, managers...)
	if err != nil {
		fmt.Fprintf(out, "The demo can't look at this machine (%v), so there is nothing to see; the portal is there all the same.\n", err)
		<-ctx.Done()
		return nil
	}
	a, err := agent.New(agent.Config{Dir: dir, Target: who.Target, After: who.After, Hands: hands, Door: door, Allow: agent.Allow{DryRun: true}, Version: version, Log: log})
	if err != nil {
		return err
	}
	opened := time.Now().UTC().Add(-time.Minute)
	_, _, err = d.PutSchedule(ctx, demoUser, desk.ScheduleSpec{
		Server: t.ID, Name: "demo: open now", Enabled: true, Duration: demoWindow,
		RRule:  "DTSTART:" + opened.Format("20060102T150405Z") + " RRULE:FREQ=WEEKLY",
		Policy: fleet.Policy{Expect: map[action.Kind]time.Duration{action.Install: 5 * time.Second}},
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Run(ctx) })
	g.Go(func() error { return narrate(ctx, out, d, t) })
	return g.Wait()
}

// hostName is this machine's name as a server may be called.
func hostName() string {
	name, err := os.Hostname()
	name, _, _ = strings.Cut(name, ".")
	if err != nil || fleet.ValidName("name", name) != nil {
		return "this-machine"
	}
	return name
}

// narrate prints the history as it is written.
func narrate(ctx context.Context, out io.Writer, d *desk.Desk, t fleet.Target) error {
	var after int64
	for ctx.Err() == nil {
		facts, err := d.History(ctx, demoUser, desk.HistoryFilter{Server: t.ID, After: after}, 20*time.Second)
		if err != nil {
			return err
		}
		for _, f := range facts {
			after = f.Seq
			fmt.Fprintf(out, "%s  %s\n", f.At.Local().Format("15:04:05"), f.Text)
			if f.Kind == history.RunEnded {
				fmt.Fprintf(out, "\nThat was one update, as a dry run. Look at it in the portal; press Ctrl-C to end.\n")
			}
		}
	}
	return nil
}
