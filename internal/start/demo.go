package start

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
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
		Long: `Show Upkeep at work: a control plane with its embedded database, an agent that looks at this very machine and its real pending updates, and a small service of the demo's own.

A schedule's window is open now, so an update runs at once: as a dry run, which says what would be installed and changes nothing. The service is three replicas behind a small proxy, as processes; they are restarted one after the other while requests come, and none goes unanswered.

It needs no root and nothing installed, stays up until it is interrupted, and leaves nothing behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), version, listen)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "HOST:PORT of the portal, on this machine alone; port 0 takes a free one")
	cmd.AddCommand(demoParts()...)
	return cmd
}

// demoWindow is how long the demo's window is open, from its start.
const demoWindow = 4 * time.Hour

var demoUser = desk.Caller{Principal: identity.Principal{Name: "demo", Role: identity.Operator}}

// stage is what the acts of the demo share.
type stage struct {
	server  *server.Server
	dir     string // of the demo; each part has one below
	version string
	log     *slog.Logger

	mu   sync.Mutex // one line after the other
	out  io.Writer
	stop func() // ends the demo
}

func runDemo(ctx context.Context, out io.Writer, version, listen string) (err error) {
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
	ctx, stop := whileWatched(ctx)
	defer stop()
	d := &stage{server: s, dir: dir, version: version, log: quiet, out: out, stop: stop}
	d.say("Upkeep %s, on this machine alone. Portal:\n\n    http://%s/\n", version, s.Address())

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error { return d.updateThisMachine(ctx) })
	g.Go(func() error { return d.rollService(ctx) })
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	d.say("\nStopped; nothing was changed and nothing is left behind.")
	return err
}

// whileWatched is a context that ends when the terminal is closed. Who reads
// what the demo says may go away, too: then the demo must not be killed for
// saying more, but end and clean up.
func whileWatched(ctx context.Context) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	unheard := make(chan os.Signal, 1)
	signal.Notify(unheard, syscall.SIGPIPE)
	return ctx, stop
}

// say prints lines, and ends the demo if nobody reads them.
func (d *stage) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := fmt.Fprintf(d.out, format+"\n", args...); err != nil {
		d.stop()
	}
}

// tell says what happened, and to whom.
func (d *stage) tell(f history.Fact, whom, text string) {
	d.say("%s  %-*s  %s", f.At.Local().Format("15:04:05"), len(serviceName)+1, whom, text)
}

// updateThisMachine enrols an agent for this machine, gives it a schedule whose
// window is open, and tells what happens.
func (d *stage) updateThisMachine(ctx context.Context) error {
	if err := demoImages(ctx, d.server.Desk()); err != nil {
		return err
	}
	h, err := d.enrol(ctx, hostName(), "this machine")
	if err != nil {
		return err
	}
	defer h.door.Close()
	hands, err := host.New(host.Config{Dir: h.dir, DryRun: true, Log: d.log}, managers...)
	if err != nil {
		d.say("The demo can't look at this machine (%v), so there is no update to see.", err)
		<-ctx.Done()
		return nil
	}
	a, err := h.agent(hands, agent.Allow{DryRun: true})
	if err != nil {
		return err
	}
	opened := time.Now().UTC().Add(-time.Minute)
	_, _, err = d.server.Desk().PutSchedule(ctx, demoUser, desk.ScheduleSpec{
		Server: h.target.ID, Name: "demo: open now", Enabled: true, Duration: demoWindow,
		RRule:  "DTSTART:" + opened.Format("20060102T150405Z") + " RRULE:FREQ=WEEKLY",
		Policy: fleet.Policy{Expect: map[action.Kind]time.Duration{action.Install: 5 * time.Second}},
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Run(ctx) })
	g.Go(func() error {
		return d.follow(ctx, desk.HistoryFilter{Server: h.target.ID}, func(f history.Fact) error {
			d.tell(f, "host", f.Text)
			if f.Kind == history.RunEnded {
				d.say("\nThat was one update of this machine, as a dry run. Look at it in the portal; press Ctrl-C to end.\n")
			}
			return nil
		})
	})
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

// follow hands on the history as it is written, until ctx ends.
func (d *stage) follow(ctx context.Context, f desk.HistoryFilter, fact func(history.Fact) error) error {
	for ctx.Err() == nil {
		facts, err := d.server.Desk().History(ctx, demoUser, f, 20*time.Second)
		if err != nil {
			return err
		}
		for _, one := range facts {
			f.After = one.Seq
			if err := fact(one); err != nil {
				return err
			}
		}
	}
	return nil
}
