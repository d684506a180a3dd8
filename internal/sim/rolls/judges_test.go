package rolls

import (
	"maps"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/run"
	"upkeep/internal/window"
)

// memory is what the judges of a run remember: what was answered and asked for,
// never what the run believes.
type memory struct {
	failed   string               // the key of a check or step that failed for good; empty: none
	failedAt time.Time            // when that was known
	pausedAt time.Time            // when a person said pause
	abortAt  time.Time            // when a person said abort
	heldAt   time.Time            // since when the run knows of one of them; zero: it does not
	resumed  time.Time            // when a person last said resume
	tries    map[string]int       // by step id: answers since then
	approved map[string]bool      // by part.key
	ended    map[string]time.Time // by member: when a step was last answered; "": any
	done     map[string]bool      // what was done to members, by member and step; false: its run may not have waited for it
	began    map[string]bool      // by part.key: it was ordered before
	kept     map[string]time.Time // by member: since when it is known that it did not show that it is ready, or could not be put back
	knew     time.Time            // when its last tick looked at the world
	frozen   map[int]time.Time    // by number of the freeze: since when the run knows of it
	halted   bool                 // when it was last looked at
}

func (j *job) remember() {
	j.memory = memory{
		tries: map[string]int{}, approved: map[string]bool{}, ended: map[string]time.Time{},
		done: map[string]bool{}, began: map[string]bool{}, kept: map[string]time.Time{}, frozen: map[int]time.Time{},
	}
}

// judgeOrder judges what is ordered by what could be known when it was decided.
func (w *world) judgeOrder(o *order) {
	j, p := o.job, o.part
	switch {
	case p.step.Name == "":
		w.blame("world", "nobody knows the step of %s", o.Key())
	case p.closing() || p.phase == proving:
		return
	}
	if at := j.held(); !at.IsZero() && o.knew.After(at) {
		w.blame("rule 7", "%s is ordered, though %s", o.Key(), j.why())
	}
	if m := j.overBudget(o.knew); m != nil {
		w.blame("budget", "%s is ordered, and %s is out since %v", o.Key(), m.name, m.out)
	}
	if (p.step.Approval || p.step.NoReturn) && !j.approved[p.key] {
		w.blame("approval", "%s is ordered, and nobody has approved it", o.Key())
	}
	last := j.ended[p.member]
	if p.phase == afterwards {
		last = j.ended[""]
	}
	if p.step.Soak > 0 && !j.began[p.key] && o.knew.Before(last.Add(p.step.Soak)) {
		w.blame("soak", "%s is ordered %v after the step before it, not %v", o.Key(), o.knew.Sub(last), p.step.Soak)
	}
	j.began[p.key] = true
	if p.phase == doing && j.done[p.member+"/"+p.step.Name] {
		w.blame("rule 6", "%s: it was done already", o.Key())
	}
}

// overBudget is a member that is out for longer than it may be; nil: none is.
func (j *job) overBudget(now time.Time) *member {
	for _, m := range j.service.members {
		since := m.out
		if j.resumed.After(since) {
			since = j.resumed
		}
		if budget := j.service.book.Budget; budget > 0 && m.outBy == j && now.Sub(since) > budget {
			return m
		}
	}
	return nil
}

// held is since when nothing more is to be begun; zero if it may.
func (j *job) held() (at time.Time) {
	for _, t := range []time.Time{j.failedAt, j.pausedAt, j.abortAt} {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

// why is what holds a run up.
func (j *job) why() string {
	switch {
	case j.failed != "":
		return j.failed + " failed"
	case !j.abortAt.IsZero():
		return "it is aborted"
	case !j.pausedAt.IsZero():
		return "it is paused"
	}
	return "its budget is over"
}

// judgeTick notes what the run has come to know.
func (w *world) judgeTick(j *job, knew time.Time) {
	j.knew = knew
	at := j.held()
	if j.heldAt.IsZero() && (!at.IsZero() && knew.After(at) || j.overBudget(knew) != nil) {
		j.heldAt = w.now
	}
	halted := j.run.Halted() != ""
	if halted && !j.halted {
		w.tally.Halted++
	}
	j.halted = halted
	for i, f := range w.freezes {
		if j.frozen[i].IsZero() && f.known.Before(knew) {
			j.frozen[i] = w.now
		}
	}
}

// judgePerson notes what a person has said.
func (w *world) judgePerson(j *job, what string) {
	switch what {
	case "pause":
		j.pausedAt = w.now
	case "abort":
		j.abortAt = w.now
	case "resume":
		j.failed, j.failedAt, j.pausedAt, j.heldAt, j.resumed = "", time.Time{}, time.Time{}, time.Time{}, w.now
		if !j.abortAt.IsZero() {
			j.heldAt = w.now
		}
		maps.DeleteFunc(j.kept, func(_ string, at time.Time) bool { return at.Before(j.knew) }) // of the others the run does not know yet
		for id, tries := range j.tries {                                                        // what failed is tried anew, the others go on
			if tries >= j.service.part(id).allowed() {
				delete(j.tries, id)
			}
		}
	}
}

// judgeAnswer notes what was answered.
func (w *world) judgeAnswer(o *order, r action.Result) {
	j, p := o.job, o.part
	if r.Outcome == action.Expired || p.phase == proving {
		if o.effects > 0 && r.Outcome == action.Expired {
			w.blame("world", "%s is taken back, and was begun", o.Key())
		}
		return
	}
	j.ended[p.member], j.ended[""] = w.now, w.now
	if r.Outcome == action.Done {
		if p.phase == doing {
			j.done[p.member+"/"+p.step.Name] = !w.abandoned(o)
		}
		return
	}
	j.tries[o.Step]++
	allowed := p.allowed()
	if p.closing() && j.tries[o.Step] >= allowed {
		j.kept[p.member] = w.now
	}
	if (j.tries[o.Step] >= allowed || r.Outcome == action.Refused) && j.failed == "" && !w.abandoned(o) {
		j.failed, j.failedAt = o.Key(), w.now
	}
}

// abandoned reports whether an order was handed out so long ago that its run
// waits for its answer no more.
func (w *world) abandoned(o *order) bool {
	return o.knew.Add(o.Timeout + time.Hour).Before(w.now)
}

// judgeBegin judges what is really begun, by when it is.
func (w *world) judgeBegin(o *order) {
	j, p := o.job, o.part
	if p.closing() || p.phase == proving {
		return
	}
	handed := o.handedAt() // what was handed out counts as under way
	if !j.heldAt.IsZero() && handed.After(j.heldAt) && o.effects == 0 {
		w.blame("rule 7", "%s is begun, though %s", o.Key(), j.why())
	}
	if !p.disrupts() || p.phase == draining && o.Kind == action.Balance && j.service.member(o.With["server"]).drained[o.With["proxy"]] {
		return
	}
	i := slices.IndexFunc(j.spans, func(s window.Span) bool { return s.Contains(w.now) })
	if i < 0 {
		w.blame("rule 1", "%s is begun outside of its window", o.Key())
		return
	}
	end := j.spans[i].End
	if !j.run.Override.Freeze {
		for i, f := range w.freezes {
			if f.Span.Contains(w.now) && (!f.known.After(o.knew) || !j.frozen[i].IsZero() && handed.After(j.frozen[i])) {
				w.blame("rule 1", "%s is begun in a freeze", o.Key())
			}
			if !f.known.After(o.knew) && f.Span.Start.After(w.now) && f.Span.Start.Before(end) {
				end = f.Span.Start
			}
		}
	}
	if p.need > end.Sub(w.now) {
		w.blame("rule 2", "%s is begun, needs %v, and %v are left", o.Key(), p.need, end.Sub(w.now))
	}
	w.judgeClaims(o)
}

// judgeClaims is rule 8: nobody else is at work on the same hosts or on what
// both claim, nor on more of the redundancy group than may be.
func (w *world) judgeClaims(o *order) {
	j := o.job
	group := 0
	for _, other := range w.jobs {
		if other == j || !other.atWork() {
			continue
		}
		for _, h := range other.service.hosts() {
			if slices.Contains(j.service.hosts(), h) {
				w.blame("rule 8", "%s is begun, and %s is at work on %s", o.Key(), other.run.ID, h.id)
			}
		}
		if len(other.service.book.Claims) > 0 && len(j.service.book.Claims) > 0 {
			w.blame("rule 8", "%s is begun, and %s is at work on %s", o.Key(), other.run.ID, other.service.book.Claims[0])
		}
		if other.run.Group != "" {
			group++
		}
	}
	if j.run.Group != "" && group+1 > w.group.Room() {
		w.blame("rule 8", "%s is begun, and %d others of the group are at work", o.Key(), group)
	}
}

// atWork reports whether a run has taken something out that is not back.
func (j *job) atWork() bool {
	return !j.run.State.Ended() && slices.ContainsFunc(j.service.members, func(m *member) bool { return m.outBy == j })
}

// judgeTaking is rule 3, at the instant when a member begins to be taken out.
// Its drains at other proxies follow from that: who wants to know anew before
// each says so to the balancer (min).
func (w *world) judgeTaking(o *order, m *member) {
	j, s := o.job, o.job.service
	if m.outBy != nil {
		return
	}
	w.judgeTurn(o, m)
	out, dead := 1, 0
	for _, other := range s.members {
		if other != m && other.outBy == j {
			out++
		}
		if other != m && other.outBy == nil && s.noticed(other, w.now) {
			dead++
		}
	}
	if out > s.most() {
		w.blame("rule 3", "%s: %d are out, %d may be", o.Key(), out, s.most())
	}
	if s.proof == proveOthers && dead > 0 {
		w.blame("rule 3", "%s: it is taken out, and %d others are down", o.Key(), dead)
	}
	for _, proxy := range append([]string{""}, s.proxies...) {
		serve := 0
		for _, other := range s.members {
			if other != m && (other.at(proxy) || other.outBy == nil && !s.noticed(other, w.now)) {
				serve++
			}
		}
		if m.at(proxy) && serve < s.target.Service.Quorum { // one that serves nobody is not missed
			w.blame("rule 3", "%s: only %d others serve, and the quorum is %d", o.Key(), serve, s.target.Service.Quorum)
		}
	}
}

// judgeTurn is about a member's place in the order: those of earlier batches
// are through, and the pause after them is over.
func (w *world) judgeTurn(o *order, m *member) {
	j, s := o.job, o.job.service
	mine := s.batch(m)
	if mine < 0 {
		w.blame("turn", "%s: the runbook is not for %s", o.Key(), m.name)
	}
	for _, other := range s.turns {
		if s.batch(other) >= mine {
			continue
		}
		if !j.through(other) {
			w.blame("turn", "%s: %s is of an earlier batch and is not through", o.Key(), other.name)
		}
		if s.batch(other) == mine-1 && !j.touchedIn(mine) && o.knew.Before(j.ended[other.name].Add(s.book.Pause)) {
			w.blame("turn", "%s: %s was put back %v ago, and the pause is %v", o.Key(), other.name, o.knew.Sub(j.ended[other.name]), s.book.Pause)
		}
	}
}

// through reports whether all was done to a member and it is back.
func (j *job) through(m *member) bool {
	for _, st := range j.service.book.Member.Do {
		if _, did := j.done[m.name+"/"+st.Name]; !did {
			return false
		}
	}
	return m.outBy != j
}

// touchedIn reports whether a batch was begun: it has had its pause.
func (j *job) touchedIn(batch int) bool {
	return slices.ContainsFunc(j.service.turns, func(m *member) bool { return j.service.batch(m) == batch && !j.ended[m.name].IsZero() })
}

// judgeRestart judges the work on a member.
func (w *world) judgeRestart(o *order, m *member) {
	s := o.job.service
	if len(s.book.Member.Drain) > 0 {
		drained := m.cordoned || len(s.proxies) > 0 && len(m.drained) == len(s.proxies)
		if !drained {
			w.blame("drained", "%s: it still serves", o.Key())
		}
		return
	}
	w.judgeTaking(o, m)
}

// judgeReady is about putting a member back: one that was touched has shown
// that it is ready.
func (w *world) judgeReady(o *order, m *member) {
	if await := o.job.service.book.Member.Await; m.touched && len(m.proved) < len(await) {
		w.blame("ready", "%s: %s has shown only %v", o.Key(), m.name, slices.Sorted(maps.Keys(m.proved)))
	}
}

// judgeEnd judges what a run leaves behind.
func (w *world) judgeEnd(j *job) {
	switch j.run.State {
	case run.Succeeded:
		w.tally.Through++
	case run.Failed:
		w.tally.Failed++
	case run.Aborted:
		w.tally.Aborted++
	}
	for key, by := range w.claims {
		if by == j {
			w.blame("rule 8", "%s has ended and holds %s", j.run.ID, key)
		}
	}
	for _, o := range w.orders {
		switch {
		case o.job != j || o.result != nil || o.part.phase == proving:
		case w.abandoned(o):
			j.kept[o.part.member] = w.now
		default:
			w.blame("rule 10", "%s has ended, and %s is under way", j.run.ID, o.Key())
		}
	}
	succeeded := j.run.State == run.Succeeded
	for _, m := range j.service.members {
		out := m.outBy == j
		told := strings.Contains(j.run.Result.Text, m.name) && strings.Contains(j.run.Result.Text, "put it back")
		switch {
		case out && succeeded:
			w.blame("rule 10", "%s has succeeded, and %s is out", j.run.ID, m.name)
		case out && !told:
			w.blame("rule 10", "%s has ended, %s is out, and nobody is told: %q", j.run.ID, m.name, j.run.Result.Text)
		case out && j.kept[m.name].IsZero():
			w.blame("rule 10", "%s has ended, and %s is left out, though nothing says that it is not ready", j.run.ID, m.name)
		case out:
			w.tally.Left++
		}
		if succeeded && j.service.batch(m) >= 0 && !j.through(m) {
			w.blame("through", "%s has succeeded, and not all was done to %s", j.run.ID, m.name)
		}
	}
}
