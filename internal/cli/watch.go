package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use: "watch RUN|SERVER|SERVICE", Short: "Watch a run until it ends; the exit code tells how",
		Long: `Watches a run until it ends: on a terminal with a bar and its steps, in a pipe with
a line for each thing that happens. With -o json each is a document on a line.

The exit code is 0 if the run succeeded, 10 if it failed, 11 if it was aborted, 13
if it is halted: then nothing more happens until a person says resume or abort.
Ctrl-C ends the watching (130); the run goes on.`,
		Example: `  upkeep watch web-1`,
		Args:    takes(1, 1), ValidArgsFunction: a.completeServers,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			run, err := s.findRun(ctx, args[0], false)
			if err != nil {
				return err
			}
			return s.watch(ctx, run)
		}),
		Annotations: map[string]string{endless: "always"},
	}
}

// watch tells of a run until it ends, or is halted: then it goes on when a person
// says so, which may be days. What it returns tells how it ended.
func (s *session) watch(ctx context.Context, run *client.Run) error {
	a := s.app
	v := &view{app: a, run: run, zone: a.zone(run.Window.Zone)}
	if a.format == "table" && a.term.is {
		v.screen = &screen{out: a.out, term: a.term}
		defer v.screen.wipe()
	}
	run, err := s.follow(ctx, v)
	if v.screen != nil {
		v.screen.wipe()
	}
	switch {
	case errors.Is(err, context.Canceled):
		a.note("upkeep: no longer watching; the run goes on: \"upkeep watch %s\" looks again, \"upkeep abort %s\" ends it", v.run.ID, v.run.ID)
		return &coded{code: exitInterrupted}
	case errors.Is(err, context.DeadlineExceeded):
		return &coded{code: exitTimeout, text: fmt.Sprintf("the time that --timeout gives is over; run %s goes on, it is %s", v.run.ID, v.run.State)}
	case err != nil:
		return err
	}
	if a.format == "table" {
		v.conclude(run)
	}
	if halted(run) {
		return &coded{code: exitRunHalted, text: fmt.Sprintf(
			"run %s is halted: %s; when it is mended \"upkeep resume %s\" goes on where it was, \"upkeep abort %s\" ends it", run.ID, clean(run.Halt), run.ServerName, run.ServerName)}
	}
	if code, bad := badEnds[run.State]; bad {
		return &coded{code: code}
	}
	return nil
}

// badEnds are the exit codes of runs that did not succeed.
var badEnds = map[client.State]int{client.Failed: exitRunFailed, client.Aborted: exitRunAborted}

// refresh is how often a terminal is told what has become of the steps, beside
// every time that something happens.
const refresh = 2 * time.Second

// news is what a watcher learns.
type news struct {
	facts   []client.Fact
	run     *client.Run
	trouble *error // that the server can't be reached; nil in it: that it can again
	err     error
	last    bool // run has ended or is halted, and all its facts were told
}

// follow shows what is learnt, until the run has ended.
func (s *session) follow(ctx context.Context, v *view) (*client.Run, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := make(chan news)
	tell := func(n news) {
		select {
		case in <- n:
		case <-ctx.Done():
		}
	}
	go s.listen(ctx, v.run.ID, tell)
	var beat <-chan time.Time
	if v.screen != nil {
		poke := make(chan struct{}, 1)
		go s.look(ctx, v.run.ID, poke, tell)
		v.poke = func() {
			select {
			case poke <- struct{}{}:
			default:
			}
		}
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		beat = t.C
		v.draw()
	}
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-beat:
			v.draw()
		case n := <-in:
			if n.err != nil {
				return nil, n.err
			}
			if err := v.take(n); err != nil {
				return nil, err
			}
			if n.last {
				return n.run, nil
			}
		}
	}
}

func ended(s client.State) bool {
	return slices.Contains([]client.State{client.Succeeded, client.Failed, client.Aborted}, s)
}

// halted reports whether a run waits for a person, with nothing under way.
func halted(r *client.Run) bool { return r.Halt != "" && r.State == client.Paused }

// listen passes on every fact of a run, and then the run as it ended or halted.
func (s *session) listen(ctx context.Context, id string, tell func(news)) {
	params := client.ListHistoryParams{Project: s.project, Run: id}
	for {
		facts, err := s.next(ctx, &params, func(err error) { tell(news{trouble: &err}) })
		if err != nil {
			tell(news{err: err})
			return
		}
		tell(news{facts: facts})
		over := slices.ContainsFunc(facts, func(f client.Fact) bool { return f.Kind == "run.ended" || f.Kind == "run.halted" })
		if !over && len(facts) > 0 {
			continue
		}
		// Asked as well when no news came for a while, not to rely on one fact.
		run, err := s.run(ctx, id)
		var p *client.Problem
		switch {
		case err == nil && (ended(run.State) || halted(run)):
			tell(news{run: run, last: true})
			return
		case errors.As(err, &p) && !passing(err):
			tell(news{err: err})
			return
		}
	}
}

// look passes on what the run looks like now and then.
func (s *session) look(ctx context.Context, id string, poke <-chan struct{}, tell func(news)) {
	for {
		if run, err := s.GetRun(ctx, id, nil); err == nil {
			tell(news{run: run})
		}
		select {
		case <-ctx.Done():
			return
		case <-poke:
		case <-time.After(refresh):
		}
	}
}
