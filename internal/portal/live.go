package portal

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/run"
)

// How event streams behave.
const (
	maxStreams  = 256              // open at once; who comes later keeps a page without live parts
	lookEvery   = time.Second      // how often a stream looks whether something has changed
	moveEvery   = 5 * time.Second  // how often a page moves on while a run works: its bars grow
	pingEvery   = 15 * time.Second // how often a silent stream says that it lives
	streamLives = 10 * time.Minute // then the browser opens a new one, with its rights looked at anew
)

// seen is what a stream compares: it differs when the page would.
type seen struct {
	mark    string
	working bool
}

func (p *Portal) runLive(v *visit) error {
	id := v.r.PathValue("id")
	return p.stream(v, func(ctx context.Context) (seen, error) {
		r, err := p.cfg.Desk.Run(ctx, v.caller, id)
		return seen{mark: fmt.Sprint(r.Revision), working: r.State == run.Working}, err
	})
}

func (p *Portal) serverLive(v *visit) error {
	id := v.r.PathValue("id")
	return p.stream(v, func(ctx context.Context) (seen, error) {
		s, err := p.cfg.Desk.Server(ctx, v.caller, "", id)
		now := seen{mark: fmt.Sprint(s.Target.Revision, s.Target.ObservedAt.Unix(), s.Agent.LastSeen.Unix())}
		for _, schedule := range s.Schedules {
			now.mark += fmt.Sprint(" ", schedule.ID, schedule.Revision)
		}
		for _, r := range s.Open {
			now.mark += fmt.Sprint(" ", r.ID, r.Revision)
			now.working = now.working || r.State == run.Working
		}
		return now, err
	})
}

// stream tells a page when to refresh its parts. It says nothing of what has
// changed: the page asks for itself, with its reader's rights.
func (p *Portal) stream(v *visit, look func(context.Context) (seen, error)) error {
	select {
	case p.streams <- struct{}{}:
		defer func() { <-p.streams }()
	default:
		return fault.Unavailable("open an event stream", fmt.Errorf("%d are open", maxStreams))
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), streamLives)
	defer cancel()
	stop := context.AfterFunc(p.closing, cancel)
	defer stop()
	last, err := look(ctx)
	if err != nil {
		return err
	}
	out := http.NewResponseController(v.w)
	// A server's limits are for what ends soon; where they can't be lifted the
	// stream ends early and is opened again.
	_ = out.SetReadDeadline(time.Time{})
	_ = out.SetWriteDeadline(time.Now().Add(streamLives + time.Minute))
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.Header().Set("X-Accel-Buffering", "no")
	say := func(text string) bool {
		_, err := fmt.Fprint(v.w, text)
		return err == nil && out.Flush() == nil
	}
	// Whatever changed between the page and its stream is looked at again.
	if !say("retry: 3000\n\nevent: refresh\ndata: hello\n\n") {
		return nil
	}
	told := time.Now()
	ticks := time.NewTicker(lookEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		now, err := look(ctx)
		if err != nil {
			return nil // the stream is begun: it can only end, and is opened again
		}
		text := ""
		switch quiet := time.Since(told); {
		case now.mark != last.mark:
			text = "event: refresh\ndata: changed\n\n"
		case now.working && quiet >= moveEvery:
			text = "event: refresh\ndata: moved\n\n"
		case quiet >= pingEvery:
			text = ": still here\n\n"
		}
		if text != "" {
			if !say(text) {
				return nil
			}
			told = time.Now()
		}
		last = now
	}
}
