package desk

import (
	"context"
	"fmt"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// RunSpec is what a caller says of a run.
type RunSpec struct {
	Project        string
	Server         string        // id or name
	Schedule       string        // id or name; empty: the caller's "now"
	Duration       time.Duration // of a "now": how long it may take
	Policy         fleet.Policy  // of a "now"
	Reason         string
	OverrideFreeze bool // of a "now"
}

// StartRun opens a run: in the schedule's window if one is named, else now.
func (d *Desk) StartRun(ctx context.Context, c Caller, s RunSpec) (run.Run, error) {
	if err := reasoned(s.Reason, s.OverrideFreeze); err != nil {
		return run.Run{}, err
	}
	return d.start(ctx, c, fmt.Sprintf("run %+v", s), func(tx store.Tx) (r run.Run, facts []history.Fact, err error) {
		t, err := findServer(tx, c, identity.Run, s.Project, s.Server)
		if err != nil {
			return r, nil, err
		}
		o, err := d.opening(tx, c, t, s, time.Now())
		if err != nil {
			return r, nil, err
		}
		r, facts = run.Open(o, time.Now())
		return r, facts, nil
	})
}

// reasoned refuses a reason that is too long, or missing where one is owed.
func reasoned(reason string, overrides bool) error {
	switch {
	case len(reason) > fleet.MaxReasonBytes:
		return fault.Invalid("reason", "must have at most %d bytes, not %d", fleet.MaxReasonBytes, len(reason))
	case overrides && reason == "":
		return fault.Invalid("reason", "is needed to override a freeze: the history keeps it")
	}
	return nil
}

// start keeps the run that open makes, and returns it as it is kept.
func (d *Desk) start(ctx context.Context, c Caller, request string, open func(store.Tx) (run.Run, []history.Fact, error)) (out run.Run, err error) {
	err = d.once(ctx, c, request, func(tx store.Tx) (string, error) {
		r, facts, err := open(tx)
		if err != nil {
			return "", err
		}
		if err := putRun(tx, r, facts); err != nil {
			return "", err
		}
		out, err = tx.Run(r.ID)
		return r.ID, err
	}, func(tx store.Tx, id string) error {
		out, err = tx.Run(id)
		return err
	})
	return out, err
}

// opening turns a request into what is to be opened.
func (d *Desk) opening(tx store.Tx, c Caller, t fleet.Target, s RunSpec, now time.Time) (run.Opening, error) {
	if err := managed(t); err != nil {
		return run.Opening{}, err
	}
	if s.Schedule == "" {
		p := s.Policy.WithDefaults()
		if err := p.Validate(); err != nil {
			return run.Opening{}, err
		}
		open, err := tx.Runs(store.RunFilter{Target: t.ID, Open: true})
		if err != nil {
			return run.Opening{}, err
		}
		for _, r := range open {
			if r.Schedule == "" || r.State == run.Working {
				return run.Opening{}, fault.Conflict("server %s is being updated already, by run %s", t.Name, r.ID)
			}
		}
		return run.Now(d.newID(), t, p, c.Who(), s.Reason, s.Duration, s.OverrideFreeze, now)
	}
	if s.OverrideFreeze {
		return run.Opening{}, fault.Invalid("overrideFreeze", "goes with a run that starts now, not with a schedule's window")
	}
	schedule, err := scheduleOn(tx, t, s.Schedule)
	if err != nil {
		return run.Opening{}, err
	}
	open, err := tx.Runs(store.RunFilter{Schedule: schedule.ID, Open: true, Limit: 1})
	if err != nil {
		return run.Opening{}, err
	}
	if len(open) > 0 {
		return run.Opening{}, fault.Conflict("run %s waits for the next window of schedule %q already", open[0].ID, schedule.Name)
	}
	o := run.ForSchedule(d.newID(), schedule, t, window.Span{Start: now})
	o.By, o.Reason = c.Who(), s.Reason
	return o, nil
}

// Run finds one by its id.
func (d *Desk) Run(ctx context.Context, c Caller, id string) (r run.Run, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		r, err = findRun(tx, c, identity.Read, id)
		return err
	})
	return r, err
}

// RunFilter selects runs.
type RunFilter struct {
	Project string
	Server  string // id or name
	Service string // id or name
	Number  int64  // of the server's or service's runs; 0: all
	Open    bool
	Before  string // only runs older than this id
	Limit   int
}

// Runs lists, newest first.
func (d *Desk) Runs(ctx context.Context, c Caller, f RunFilter) (all []run.Run, err error) {
	if err := c.May(identity.Read, c.scope(f.Project)); err != nil {
		return nil, err
	}
	limit, err := page(f.Limit)
	if err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		sf := store.RunFilter{Project: c.scope(f.Project), Open: f.Open, Before: f.Before, Limit: limit}
		if f.Server != "" {
			t, err := findServer(tx, c, identity.Read, f.Project, f.Server)
			if err != nil {
				return err
			}
			sf.Target, sf.Number = t.ID, f.Number
		}
		if f.Service != "" {
			t, err := findService(tx, c, identity.Read, f.Project, f.Service)
			if err != nil {
				return err
			}
			sf.Target, sf.Number = t.ID, f.Number
		}
		all, err = tx.Runs(sf)
		return err
	})
	return all, err
}

// Pause holds a run.
func (d *Desk) Pause(ctx context.Context, c Caller, id string) (run.Run, error) {
	return d.move(ctx, c, id, "pause", func(r run.Run) (run.Run, []history.Fact, error) {
		return r.Pause(c.Who(), time.Now())
	})
}

// Resume lets a paused run go on.
func (d *Desk) Resume(ctx context.Context, c Caller, id string) (run.Run, error) {
	return d.move(ctx, c, id, "resume", func(r run.Run) (run.Run, []history.Fact, error) {
		return r.Resume(c.Who(), time.Now())
	})
}

// Abort ends a run as soon as nothing of it is under way.
func (d *Desk) Abort(ctx context.Context, c Caller, id, reason string) (run.Run, error) {
	if err := reasoned(reason, false); err != nil {
		return run.Run{}, err
	}
	return d.move(ctx, c, id, "abort "+reason, func(r run.Run) (run.Run, []history.Fact, error) {
		return r.Abort(c.Who(), reason, time.Now())
	})
}

// Announce records that people were told of a run; text is what they were told, or where.
func (d *Desk) Announce(ctx context.Context, c Caller, id, text string) (run.Run, error) {
	if text == "" || len(text) > fleet.MaxReasonBytes {
		return run.Run{}, fault.Invalid("text", "must have 1 to %d bytes, not %d", fleet.MaxReasonBytes, len(text))
	}
	return d.move(ctx, c, id, "announce "+text, func(r run.Run) (run.Run, []history.Fact, error) {
		return r.Announce(c.Who(), text, time.Now())
	})
}

func (d *Desk) move(ctx context.Context, c Caller, id, request string, f func(run.Run) (run.Run, []history.Fact, error)) (out run.Run, err error) {
	err = d.once(ctx, c, "run "+id+" "+request, func(tx store.Tx) (string, error) {
		r, err := findRun(tx, c, identity.Run, id)
		if err != nil {
			return "", err
		}
		moved, facts, err := f(r)
		if err != nil {
			return "", err
		}
		if len(facts) == 0 { // it was so already
			out = r
			return id, nil
		}
		if err := putRun(tx, moved, facts); err != nil {
			return "", err
		}
		out, err = tx.Run(id)
		return id, err
	}, func(tx store.Tx, id string) error {
		out, err = tx.Run(id)
		return err
	})
	return out, err
}

// SimulateSpec says what to forecast: a run in a schedule's windows, or one
// that a caller would start now, or a window that nobody has yet, or a schedule
// made from a template.
type SimulateSpec struct {
	RunSpec
	RRule    string // a window to try; empty: the schedule's, or now
	Template string // id or name; empty: none
}

// Simulate forecasts a run without touching anything.
func (d *Desk) Simulate(ctx context.Context, c Caller, s SimulateSpec) (f run.Forecast, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		t, err := findServer(tx, c, identity.Read, s.Project, s.Server)
		if err != nil {
			return err
		}
		now := time.Now()
		w := run.World{Now: now, Target: t}
		if w.Freezes, err = tx.Freezes(t.Project, now); err != nil {
			return err
		}
		o, err := d.forecastOpening(tx, c, t, s, now)
		if err != nil {
			return err
		}
		r, _ := run.Open(o, now)
		// What is forecast is the work, not whether people were told of it.
		r.Policy.NoticeLead = 0
		f = run.Predict(r, w)
		return nil
	})
	return f, err
}

func (d *Desk) forecastOpening(tx store.Tx, c Caller, t fleet.Target, s SimulateSpec, now time.Time) (run.Opening, error) {
	if s.Template != "" {
		m, err := d.template(tx, t.Project, s.Template)
		return run.Opening{ID: "forecast", Target: t, By: c.Who(), Policy: m.Policy, Window: m.For(t.ID)}, err
	}
	p := s.Policy.WithDefaults()
	if s.RRule != "" {
		w, err := parseWindow(s.RRule, s.Duration)
		if err == nil {
			err = p.Validate()
		}
		return run.Opening{ID: "forecast", Target: t, By: c.Who(), Policy: p, Window: w}, err
	}
	if s.Schedule != "" {
		schedule, err := scheduleOn(tx, t, s.Schedule)
		if err != nil {
			return run.Opening{}, err
		}
		return run.ForSchedule("forecast", schedule, t, window.Span{Start: now}), err
	}
	if err := p.Validate(); err != nil {
		return run.Opening{}, err
	}
	return run.Now("forecast", t, p, c.Who(), s.Reason, s.Duration, s.OverrideFreeze, now)
}

func findRun(tx store.Runs, c Caller, verb identity.Verb, id string) (run.Run, error) {
	r, err := tx.Run(id)
	if err != nil {
		return r, err
	}
	return r, c.may(verb, r.Project, "run", id)
}

// Zone is where a run's times are shown: its window's zone.
func Zone(r run.Run) *time.Location { return r.Window.Recurrence.Zone() }

// Left is what remains of a run's open window at now; zero if none is open.
func Left(r run.Run, now time.Time) (window.Span, time.Duration) {
	span, ok := r.Window.Current(now)
	if !ok {
		return window.Span{}, 0
	}
	return span, span.Left(now)
}
