// Package balancer is the hand that sets a server's state at an HAProxy, by the
// runtime API of its admin socket, and looks there who serves.
//
// It keeps nothing. HAProxy is authoritative, and loses the state when it
// restarts: each look is a new connection, which reaches the process that is
// there now, sets what is not as asked, and looks again. So an order may be
// carried out twice, and after a crash by somebody else.
//
//	look ──▶ others UP ≥ min? ──no──▶ failed (and ready again, if we had drained it)
//	            │ yes
//	            ▼
//	         set, look ──▶ sessions gone, or UP? ──no──▶ pause, look …  until wait is over
//	                          │ yes
//	                          ▼
//	                        done
package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"upkeep/internal/action"
)

// Hand carries out orders of the kinds action.Balance and action.Serving. Its
// zero value is ready.
type Hand struct {
	// Dial opens an admin socket; nil dials what the order names, by the zero rule of reach.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Between two looks while sessions run dry or a server comes up.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// refusalError is why an order is not tried: trying it again would not help.
type refusalError struct{ reason string }

func (e *refusalError) Error() string { return e.reason }

func refuse(format string, args ...any) error {
	return &refusalError{fmt.Sprintf(format, args...)}
}

// finalError ends an order that was begun: waiting longer would not help.
type finalError struct{ reason string }

func (e *finalError) Error() string { return e.reason }

func final(format string, args ...any) error {
	return &finalError{fmt.Sprintf(format, args...)}
}

// Do carries one order out. It ends with ctx at the latest.
func (h Hand) Do(ctx context.Context, o action.Order) action.Result {
	r := action.Result{Outcome: action.Done, Started: time.Now(), DryRun: o.DryRun}
	t, err := read(o)
	if err == nil {
		w := work{hand: h, terms: t, begun: r.Started}
		switch {
		case o.Kind == action.Serving:
			err = w.others(ctx)
		case o.DryRun:
			err = w.pretend(ctx)
		default:
			err = w.carry(ctx)
		}
		r.Output = w.story(o)
	}
	r.Finished = time.Now()
	var refusal *refusalError
	switch {
	case err == nil:
		return r
	case errors.As(err, &refusal):
		r.Outcome, r.Started = action.Refused, time.Time{}
	case errors.Is(ctx.Err(), context.Canceled):
		r.Outcome = action.Interrupted // nobody waits for us any more; who comes next looks
	default:
		r.Outcome = action.Failed
	}
	r.Reason = err.Error()
	r.Failures = []action.Failure{{Reason: r.Reason}}
	return r
}

// work is one order under way.
type work struct {
	hand  Hand
	terms terms
	begun time.Time
	was   look // before we touched anything; zero until then
	now   look // the newest
	sets  int  // how often the state was set
}

// carry makes the state so and waits for what the order waits for.
func (w *work) carry(ctx context.Context) error {
	err := w.round(ctx)
	switch {
	case err != nil && w.sets > 0 && w.now.own.state() != w.terms.state:
		return fmt.Errorf("%w; %s may be in %s now: it was told, and nobody has looked since", err, w.terms.name(), w.terms.state)
	case err != nil:
		return err
	}
	pause, missing := firstPause, ""
	for {
		if err == nil {
			if missing, err = w.terms.missing(w.now); err != nil || missing == "" {
				return err
			}
		}
		if left := w.terms.wait - time.Since(w.begun); left <= 0 {
			return fmt.Errorf("%s after %s; %s", missing, w.terms.wait, w.stays())
		} else if !sleep(ctx, min(pause, left)) {
			return fmt.Errorf("%s when the order's time was over; %s: %w", missing, w.stays(), ctx.Err())
		}
		pause = min(2*pause, lastPause)
		var refusal *refusalError
		var end *finalError
		switch err = w.round(ctx); {
		case errors.As(err, &refusal):
			return final("%s", refusal.reason) // no more a refusal: it was begun
		case errors.As(err, &end):
			return err
		case err != nil && ctx.Err() == nil:
			missing = err.Error() // it may be restarting
		}
	}
}

// pretend looks and says what would hinder the order.
func (w *work) pretend(ctx context.Context) error {
	if err := w.peek(ctx); err != nil {
		return err
	}
	return w.terms.guard(w.now)
}

// others looks and says which of the other servers do not serve.
func (w *work) others(ctx context.Context) error {
	if err := w.peek(ctx); err != nil {
		return err
	}
	return w.terms.lacking(w.now)
}

// peek looks once, and touches nothing.
func (w *work) peek(ctx context.Context) error {
	s, err := open(ctx, w.hand, w.terms)
	if err != nil {
		return err
	}
	defer s.close()
	if w.now, err = s.look(w.terms); err != nil {
		return err
	}
	w.was = w.now
	return nil
}

// round looks and sets what is not as asked, all in one connection: what was
// looked at just before belongs to the very process that is told.
func (w *work) round(ctx context.Context) error {
	s, err := open(ctx, w.hand, w.terms)
	if err != nil {
		return err
	}
	defer s.close()
	before, err := s.look(w.terms)
	if err != nil {
		return err
	}
	first := w.was.own.name == ""
	if !first && w.now.same(before) && before.own.state() != w.terms.state {
		w.now = before
		return final("somebody else set %s to %s meanwhile, so it is left so", w.terms.name(), before.own.state())
	}
	if first {
		w.was = before
	}
	w.now = before
	if err := w.terms.guard(before); err != nil {
		return w.giveBack(s, err)
	}
	if before.own.state() == w.terms.state {
		return nil
	}
	w.sets++
	if err := w.set(s, w.terms.state); err != nil {
		if _, ok := errors.AsType[*refusalError](err); ok {
			w.sets-- // HAProxy did not take it
		}
		return err
	}
	// Another server may have gone between the look and the set.
	if err := w.terms.guard(w.now); err != nil {
		return w.giveBack(s, err)
	}
	return nil
}

// set sets the server's state and looks whether it is so.
func (w *work) set(s *socket, state string) error {
	said, err := s.ask(fmt.Sprintf("set server %s state %s", w.terms.name(), state))
	if err != nil {
		return err
	}
	if err := s.explain(said, w.terms); err != nil {
		return err
	}
	after, err := s.look(w.terms)
	if err != nil {
		return err
	}
	w.now = after
	if got := after.own.state(); got != state {
		return final("%s took the command to set %s to %s, and says that it is %s%s", s.name, w.terms.name(), state, got, quoted(said))
	}
	return nil
}

// giveBack makes a server ready again whose capacity is missed, if it was we
// who took it away.
func (w *work) giveBack(s *socket, why error) error {
	if w.sets == 0 || w.was.own.state() != stateReady {
		return why
	}
	if err := w.set(s, stateReady); err != nil {
		return final("%v; the server should be ready again, but %v: a person must look", why, err)
	}
	return final("%v; %s was set ready again", why, w.terms.name())
}

// stays says what an order leaves behind that did not reach its end.
func (w *work) stays() string {
	switch {
	case w.terms.state == stateReady:
		return w.terms.name() + " gets no new requests until it is UP"
	case w.sets == 0:
		return fmt.Sprintf("%s was in %s already and stays so", w.terms.name(), w.terms.state)
	}
	return fmt.Sprintf("%s stays in %s until it is set ready", w.terms.name(), w.terms.state)
}

// story tells what was seen and done; empty if nothing was seen.
func (w *work) story(o action.Order) string {
	if w.was.own.name == "" {
		return ""
	}
	var b strings.Builder
	if o.Kind == action.Serving {
		fmt.Fprintf(&b, "other servers of %s at %s: %s\n", w.terms.backend, w.terms.proxy(), w.now.listOthers())
		return b.String()
	}
	fmt.Fprintf(&b, "%s at %s was %s\n", w.terms.name(), w.terms.proxy(), w.was.own)
	switch {
	case o.DryRun && w.was.own.state() != w.terms.state:
		fmt.Fprintf(&b, "would be set to %s\n", w.terms.state)
	case o.DryRun || w.sets == 0:
		fmt.Fprintf(&b, "is in state %s already\n", w.terms.state)
	case w.sets > 1:
		fmt.Fprintf(&b, "set to %s %d times, for HAProxy had lost it\n", w.terms.state, w.sets)
	default:
		fmt.Fprintf(&b, "set to %s\n", w.terms.state)
	}
	if !o.DryRun {
		fmt.Fprintf(&b, "%s later it is %s\n", time.Since(w.begun).Round(time.Millisecond), w.now.own)
	}
	fmt.Fprintf(&b, "other servers UP: %s\n", orNone(w.now.serving()))
	return b.String()
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// sleep waits, and reports whether ctx is still there.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
