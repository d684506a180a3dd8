package rolls

import (
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
)

// host is a server with an agent.
type host struct {
	id      string
	open    []*order // ordered and without an answer, oldest first
	holds   *order   // what its agent is at
	offline time.Time
	calling bool
}

func (w *world) host(id string) *host {
	i := slices.IndexFunc(w.hosts, func(h *host) bool { return h.id == id })
	return w.hosts[i]
}

// done answers well.
func (w *world) done(took time.Duration) action.Result {
	return action.Result{Outcome: action.Done, Started: w.now, Finished: w.now.Add(took)}
}

// no answers badly.
func (w *world) no(took time.Duration, why string) action.Result {
	return action.Result{Outcome: action.Failed, Reason: why, Started: w.now, Finished: w.now.Add(took)}
}

// leaseOver is when an order of which a control plane died is taken up by the next.
func (w *world) leaseOver(o *order) {
	at := w.now.Add(w.between(time.Second, 20*time.Second))
	if at.Before(w.downUntil) {
		at = w.downUntil.Add(w.between(0, time.Second))
	}
	w.on(at, func() { w.take(o) })
}

// take carries out an order of the control plane's own hands, as the engine
// does: under a lease, and once more if who had it died.
func (w *world) take(o *order) {
	switch {
	case o.result != nil:
		return
	case w.down():
		w.leaseOver(o)
		return
	case w.now.After(o.StartBy) && o.handedAt().IsZero():
		w.answer(o, action.Result{Outcome: action.Expired})
		return
	case w.now.After(o.StartBy):
		w.answer(o, action.Result{Outcome: action.Interrupted, Reason: "the control plane stopped"})
		return
	}
	if o.handedAt().IsZero() {
		o.job.handed[o.Key()] = w.now
	}
	died := !w.calm && w.chance(0.01)
	if died && w.chance(0.5) {
		w.leaseOver(o) // before it did anything
		return
	}
	w.happen(o)
	took := w.took(o.part.step.Estimate, 15*time.Second)
	w.change(o, took)
	var r action.Result
	switch o.Kind {
	case action.Balance:
		r = w.balance(o, took)
	case action.HTTP, action.Query:
		r = w.look(o, took)
	}
	epoch := w.epoch
	if died {
		w.leaseOver(o)
		return
	}
	w.after(took, func() {
		if w.epoch != epoch {
			w.leaseOver(o) // the control plane was down meanwhile
			return
		}
		w.answer(o, r)
	})
}

// change notes until when an order changes something: for a while after that,
// checks do not tell.
func (w *world) change(o *order, took time.Duration) {
	if o.part.disrupts() || o.part.phase == readying {
		o.job.service.changed = w.now.Add(took)
	}
}

// took is how long something takes of which so much is expected.
func (w *world) took(estimate, at time.Duration) time.Duration {
	if w.calm || w.chance(0.9) {
		return min(w.between(estimate/8, estimate), at)
	}
	return min(w.between(estimate, 4*estimate), at)
}

// poll is an agent's call: it is given the oldest order that it may still
// begin, one at a time.
func (w *world) poll(h *host) {
	switch {
	case h.holds != nil || h.calling:
		return
	case w.down() || w.now.Before(h.offline):
		at := w.downUntil
		if h.offline.After(at) {
			at = h.offline
		}
		h.calling = true
		w.on(at.Add(w.between(0, time.Second)), func() { h.calling = false; w.poll(h) })
		return
	}
	h.open = slices.DeleteFunc(h.open, func(o *order) bool { return o.result != nil })
	if len(h.open) == 0 {
		return
	}
	o := h.open[0]
	switch {
	case w.now.After(o.StartBy): // never handed out, or the agent says that it has never had it
		w.answer(o, action.Result{Outcome: action.Expired})
		w.after(0, func() { w.poll(h) })
		return
	case o.handedAt().IsZero():
		o.job.handed[o.Key()] = w.now
	}
	if !w.calm && w.chance(0.02) { // the answer that carries the order is lost
		h.calling = true
		w.after(w.spell(), func() { h.calling = false; w.poll(h) })
		return
	}
	h.holds = o
	w.after(w.between(time.Millisecond, 30*time.Millisecond), func() { w.begin(h, o) })
}

// begin is an agent's: it begins what it holds, unless it is too late.
func (w *world) begin(h *host, o *order) {
	if w.now.After(o.StartBy) {
		w.deliver(h, o, action.Result{Outcome: action.Expired})
		return
	}
	w.happen(o)
	took := w.took(o.part.step.Estimate, o.Timeout)
	w.change(o, took)
	var r action.Result
	switch o.Kind {
	case action.Check:
		r = w.look(o, took)
	case action.Backup:
		r = w.done(took)
		if !w.calm && w.chance(0.05) {
			r = w.no(took, "no space left")
		}
	default:
		r = w.command(o, took)
	}
	w.after(took, func() { w.deliver(h, o, r) })
}

// cut takes a host's way to the control plane away.
func (w *world) cut(h *host, s *service) {
	d := w.spell()
	h.offline = w.now.Add(d)
	w.tell("%s is offline until %s", h.id, h.offline.Format("15:04:05"))
	w.mayDie(s, 0.3, d/2)
}

// deliver brings an agent's answer home, late if there is no way, and twice at times.
func (w *world) deliver(h *host, o *order, r action.Result) {
	if !w.calm && w.chance(0.01) {
		w.cut(h, o.job.service)
	}
	if w.down() || w.now.Before(h.offline) {
		at := w.downUntil
		if h.offline.After(at) {
			at = h.offline
		}
		w.on(at.Add(w.between(0, time.Second)), func() { w.deliver(h, o, r) })
		return
	}
	w.after(w.between(time.Millisecond, 50*time.Millisecond), func() {
		w.answer(o, r)
		if r.Outcome == action.Done && w.chance(0.02) { // a doubled answer, and not the same: the first counts
			w.answer(o, action.Result{Outcome: action.Failed, Reason: "doubled"})
		}
		h.holds = nil
		w.poll(h)
	})
}

// balance is HAProxy's truth.
func (w *world) balance(o *order, took time.Duration) action.Result {
	m := o.job.service.member(o.With["server"])
	proxy := o.With["proxy"]
	if !w.calm && w.chance(0.02) {
		return w.no(took, "the socket is not reachable")
	}
	if o.With["state"] == "ready" {
		w.judgeReady(o, m)
		delete(m.drained, proxy)
		w.backIfReady(m)
		return w.done(took)
	}
	if !m.drained[proxy] {
		w.judgeTaking(o, m)
		w.takeOut(o, m)
		m.drained[proxy] = true
		w.record(m)
	}
	if !w.calm && w.chance(0.02) {
		return w.no(took, "sessions do not end")
	}
	return w.done(took)
}

// command is what a command does on its host.
func (w *world) command(o *order, took time.Duration) action.Result {
	if o.Kind == action.Command && !w.calm && w.chance(0.01) {
		return w.no(took, "exit status 126")
	}
	if o.Command == "flags" {
		return w.done(took)
	}
	m := o.job.service.on(o.Target)
	switch o.Command {
	case "cordon":
		if !m.cordoned {
			w.judgeTaking(o, m)
			w.takeOut(o, m)
			m.cordoned = true
			w.record(m)
		}
	case "uncordon":
		w.judgeReady(o, m)
		m.cordoned = false
		w.backIfReady(m)
	case "restart":
		return w.restart(o, m, took)
	}
	return w.done(took)
}

// restart takes a member's process down and brings it up again, as a rule.
func (w *world) restart(o *order, m *member, took time.Duration) action.Result {
	w.judgeRestart(o, m)
	w.takeOut(o, m)
	m.touched, m.up, m.broken, m.died = true, false, false, time.Time{}
	clear(m.proved)
	m.restarts++
	nth := m.restarts
	w.record(m)
	if !w.calm && w.chance(0.04) {
		m.broken = true
		w.tell("%s does not come back from its restart", m.name)
		if w.chance(0.5) {
			return w.no(took, "exit status 1")
		}
		return w.done(took)
	}
	loads := w.between(0, 5*time.Second)
	if !w.calm && w.chance(0.05) {
		loads = w.between(0, 2*time.Minute)
	}
	w.after(took+loads, func() {
		if m.restarts == nth && !m.broken {
			m.up = true
			w.record(m)
		}
	})
	if !w.calm && w.chance(0.01) {
		r := w.no(took, "the host went down meanwhile")
		r.Outcome = action.Interrupted
		return r
	}
	return w.done(took)
}

// look is what a check says: the truth of some seconds ago, and yes for a
// while after a change.
func (w *world) look(o *order, took time.Duration) action.Result {
	s := o.job.service
	if !w.calm && w.chance(0.02) {
		return w.no(took, "no answer")
	}
	lag := time.Duration(0)
	if o.part.phase == proving {
		lag = s.lag
		if w.now.Before(s.changed.Add(s.wrong)) {
			return w.done(took)
		}
	}
	at := w.now.Add(-lag)
	good := true
	what, name, _ := strings.Cut(o.With["url"], "://")
	switch {
	case o.Kind == action.Query:
		good = s.serving(at) >= s.enough()
	case o.Kind == action.Check && o.Command == "ok-to-stop":
		self := s.on(o.Target)
		for _, m := range s.members {
			good = good && (m == self || m.was(at).up)
		}
	case o.Kind == action.Check:
		m := s.on(o.Target)
		good = m.was(at).up
		w.proved(o, m, good)
	case what == "member":
		m := s.member(name)
		good = m.was(at).up
		w.proved(o, m, good)
	}
	if !good {
		return w.no(took, "it does not hold")
	}
	return w.done(took)
}

// proved keeps that a member has shown that it is ready.
func (w *world) proved(o *order, m *member, good bool) {
	if o.part.phase == awaiting && good {
		m.proved[o.part.step.Name] = true
		if len(o.job.service.book.Member.Ready) == 0 && len(m.proved) == len(o.job.service.book.Member.Await) {
			m.touched = false
			w.backIfReady(m)
		}
	}
}
