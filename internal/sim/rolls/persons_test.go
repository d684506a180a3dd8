package rolls

import (
	"time"

	"upkeep/internal/history"
	"upkeep/internal/run"
)

// die lets a member die by itself, now.
func (w *world) die(m *member) {
	if !m.up {
		return
	}
	w.tally.Deaths++
	m.up, m.died = false, w.now
	w.tell("%s dies by itself", m.name)
	w.record(m)
	if w.chance(0.5) { // its own supervisor
		w.after(w.between(second, 12*time.Hour), func() { w.mend(m) })
	}
}

// mayDie lets one of a service's members die within a time, at times.
func (w *world) mayDie(s *service, p float64, within time.Duration) {
	if !w.chance(p) {
		return
	}
	m := s.members[w.IntN(len(s.members))]
	w.after(w.between(0, within), func() {
		if !w.calm {
			w.die(m)
		}
	})
}

// mend brings a member's process up, unless it is being restarted.
func (w *world) mend(m *member) {
	if m.up || m.died.IsZero() && !m.broken {
		return
	}
	m.up, m.broken, m.died = true, false, time.Time{}
	w.record(m)
}

// move does what a person asks for.
func (w *world) move(j *job, what string, f func(run.Run) (run.Run, []history.Fact, error)) bool {
	r, facts, err := f(j.run)
	if err != nil || len(facts) == 0 {
		return false
	}
	w.set(j, r)
	for _, f := range facts {
		w.tell("%s  %s: %s", j.run.ID, f.Who, f.Text)
	}
	w.judgePerson(j, what)
	w.nudge(j, w.now)
	return true
}

func (w *world) resume(j *job) {
	w.move(j, "resume", func(r run.Run) (run.Run, []history.Fact, error) { return r.Resume("user/ada", w.now) })
}

func (w *world) pause(j *job) {
	w.move(j, "pause", func(r run.Run) (run.Run, []history.Fact, error) { return r.Pause("user/bob", w.now) })
}

func (w *world) abort(j *job) {
	w.move(j, "abort", func(r run.Run) (run.Run, []history.Fact, error) { return r.Abort("user/bob", "enough", w.now) })
}

func (w *world) approve(j *job) {
	for _, wait := range j.run.Waits {
		if step, ok := wait.Reason.Approval(); ok {
			if w.move(j, "approve", func(r run.Run) (run.Run, []history.Fact, error) { return r.Approve("user/eve", step, w.now) }) {
				j.approved[j.service.part(step).key] = true
			}
		}
	}
}

// wanted reports whether a run waits for a person.
func wanted(j *job) bool {
	if j.run.PausedBy != "" || j.run.Halted() != "" {
		return true
	}
	for _, wait := range j.run.Waits {
		if _, ok := wait.Reason.Approval(); ok {
			return true
		}
	}
	return false
}

// callPerson has a person come who sees to a run, sooner or later.
func (w *world) callPerson(j *job) {
	if j.visit || !wanted(j) {
		return
	}
	j.visit = true
	d := w.between(second, 20*time.Minute)
	switch {
	case w.calm:
		d = w.between(second, 20*second)
	case w.chance(0.1):
		d = w.between(time.Hour, 4*24*time.Hour) // nobody changes anything for days
	case w.chance(0.3):
		d = w.between(20*time.Minute, 5*time.Hour)
	}
	w.after(d, func() {
		j.visit = false
		w.see(j)
		if !j.run.State.Ended() {
			w.callPerson(j)
		}
	})
}

// see is a person's visit.
func (w *world) see(j *job) {
	if j.run.State.Ended() || !wanted(j) {
		return
	}
	if w.calm {
		w.mendAll(j.service)
		w.approve(j)
		w.resume(j)
		return
	}
	switch w.IntN(10) {
	case 0:
		w.abort(j)
	case 1:
	case 2:
		w.resume(j) // and nothing was mended
	case 3:
		w.mendAll(j.service)
	default:
		w.mendAll(j.service)
		w.approve(j)
		w.resume(j)
	}
}

func (w *world) mendAll(s *service) {
	for _, m := range s.members {
		w.mend(m)
	}
}

// meddle has persons do what nobody expects, at any time.
func (w *world) meddle(j *job) {
	if w.chance(0.1) {
		w.after(w.between(0, 30*time.Minute), func() { w.pause(j); w.callPerson(j) })
	}
	if w.chance(0.05) {
		w.after(w.between(0, 30*time.Minute), func() { w.abort(j) })
	}
}

// happen is what may come between, whenever an order is begun.
func (w *world) happen(o *order) {
	w.judgeBegin(o)
	o.effects++
	s := o.job.service
	if w.calm {
		return
	}
	w.mayDie(s, 0.025, 30*second)
	if w.chance(0.003) {
		w.pause(o.job)
		w.callPerson(o.job)
	}
	if w.chance(0.002) {
		w.abort(o.job)
	}
}
