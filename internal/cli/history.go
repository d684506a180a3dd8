package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) historyCommand() *cobra.Command {
	var follow bool
	var limit int64
	cmd := &cobra.Command{
		Use: "history [RUN|SERVER|SERVICE]", Short: "What happened: who, when, what, why",
		Long: `Lists what happened, oldest first: of all servers, of one, or of one run.

With --follow what happens from now on is told as it happens, until Ctrl-C. JSON
is then one document a line.`,
		Example: `  upkeep history web-1
  upkeep history --follow -o json | jq -r 'select(.kind == "package.failed") | .text'`,
		Args: takes(0, 1), ValidArgsFunction: a.completeServers,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 || limit > pageSize {
				return usagef("--limit: must be from 0 (which is %d) to %d, not %d", pageSize, pageSize, limit)
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := a.within(cmd.Context(), follow)
			defer cancel()
			params := client.ListHistoryParams{Project: s.project, Newest: true, Limit: limit}
			if err := s.about(ctx, args, &params); err != nil {
				return err
			}
			list, err := ask(ctx, func(ctx context.Context) (*client.FactList, error) { return s.ListHistory(ctx, &params) })
			if err != nil {
				return err
			}
			slices.Reverse(list.Items)
			if follow {
				params.Newest, params.Limit = false, 0
				return s.followHistory(ctx, list, params)
			}
			if len(list.Items) == 0 && a.format == "table" {
				a.note("Nothing has happened yet.")
				return nil
			}
			names := s.names(ctx)
			return a.show(list, func(w io.Writer) {
				for _, f := range list.Items {
					a.printFact(w, f, names(f.Server), a.local)
				}
			})
		},
		Annotations: map[string]string{endless: "with --follow"},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens from now on")
	cmd.Flags().Int64Var(&limit, "limit", 100, "the newest so many; 0 is as many as the server gives at once")
	return cmd
}

// about narrows history to a run or a server.
func (s *session) about(ctx context.Context, args []string, params *client.ListHistoryParams) error {
	if len(args) == 0 {
		return nil
	}
	if idPattern.MatchString(args[0]) {
		_, err := s.run(ctx, args[0])
		if err == nil {
			params.Run = args[0]
			return nil
		}
		if !client.Is(err, client.KindNotFound) {
			return err
		}
	}
	_, err := s.findServer(ctx, args[0])
	if client.Is(err, client.KindNotFound) {
		if _, err := s.service(ctx, args[0]); err == nil {
			params.Service = args[0]
			return nil
		}
	}
	params.Server = args[0]
	return nil
}

// names finds the names of servers and services by their ids, asking once and again only for one
// that is new. A server that was removed has no name any more.
func (s *session) names(ctx context.Context) func(id string) string {
	known := map[string]string{}
	return func(id string) string {
		if name, ok := known[id]; ok || id == "" {
			return name
		}
		if all, err := s.allServers(ctx); err == nil {
			for _, server := range all.Items {
				known[server.ID] = server.Name
			}
		}
		if all, err := s.ListServices(ctx, &client.ListServicesParams{Project: s.project}); err == nil && known[id] == "" {
			for _, service := range all.Items {
				known[service.ID] = service.Name
			}
		}
		if known[id] == "" {
			known[id] = "(removed)"
		}
		return known[id]
	}
}

// printFact is a fact in a line.
func (a *app) printFact(w io.Writer, f client.Fact, server string, zone *time.Location) {
	colour := ""
	switch f.Kind {
	case "package.failed", "occurrence.missed":
		colour = red
	case "run.waiting", "run.paused", "run.aborting":
		colour = yellow
	case "run.ended", "run.opened":
		colour = bold
	}
	if server != "" {
		server = "  " + clean(server)
	}
	fmt.Fprintf(w, "%s%s  %s  %s\n", a.paint(second(f.At, zone), faint), server, clean(f.Who), a.paint(clean(f.Text), colour))
}

// holdSeconds is how long the server is asked to hold a request for news.
const holdSeconds = 20

// patience is how long a server may be out of reach while it is watched.
const patience = 5 * time.Minute

// next waits for facts after params.After and moves it on. It bears with a
// server that can't be reached for a while; trouble is told when that begins,
// and with nil when it is over.
func (s *session) next(ctx context.Context, params *client.ListHistoryParams, trouble func(error)) ([]client.Fact, error) {
	params.Wait = holdSeconds
	var since time.Time
	for {
		list, err := s.ListHistory(ctx, params)
		switch {
		case err == nil:
			if !since.IsZero() {
				trouble(nil)
			}
			params.After = list.Last
			return list.Items, nil
		case !passing(err) || ctx.Err() != nil:
			return nil, told(ctx, err)
		case since.IsZero():
			since = time.Now()
			trouble(err)
		case time.Since(since) > patience:
			return nil, told(ctx, err)
		}
		if err := pause(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

// followHistory prints what there is and what comes, until it is interrupted.
func (s *session) followHistory(ctx context.Context, list *client.FactList, params client.ListHistoryParams) error {
	facts, names := list.Items, s.names(ctx)
	params.After = list.Last
	for {
		for _, f := range facts {
			if s.app.format != "table" {
				if err := s.app.document(f, false); err != nil {
					return err
				}
				continue
			}
			s.app.printFact(s.app.out, f, names(f.Server), s.app.local)
		}
		var err error
		if facts, err = s.next(ctx, &params, s.app.trouble); err != nil {
			if errors.Is(err, context.Canceled) {
				return &coded{code: exitInterrupted}
			}
			return err
		}
	}
}

// trouble says that the server can't be reached, and that it can again.
func (a *app) trouble(err error) {
	if err == nil {
		a.note("upkeep: the server answers again")
		return
	}
	a.note("upkeep: %s; trying again for %s", oneLine(err.Error()), roughly(patience))
}
