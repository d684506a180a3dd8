package rolls

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/window"
)

// began is when every world begins: a Monday.
var began = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// world is everything of one seed.
type world struct {
	*rand.Rand
	now    time.Time
	events queue
	count  int

	hosts    []*host
	services []*service
	jobs     []*job
	claims   map[string]*job // who holds what, as the store keeps it
	orders   map[string]*order
	freezes  []freeze
	group    fleet.Group

	downUntil time.Time // the control plane is down until then
	epoch     int       // how often it went down
	calm      bool      // no faults any more, and persons see to everything
	broke     string    // the first rule that was broken, and how; empty: none
	told      *strings.Builder
	tally     tally
}

// tally is what the worlds had in them, so that a test can tell that it looked at something.
type tally struct {
	Runs, Ticks, Orders, Through, Failed, Aborted, Halted, Deaths, Lost, Doubled, Conflicts, Outages, Left int
}

// freeze is a freeze, and since when anybody could know of it.
type freeze struct {
	window.Freeze
	known time.Time
}

// job is a run with what the store keeps of it, and what its judges remember.
type job struct {
	run      run.Run
	service  *service
	spans    []window.Span // its window's occurrences, reckoned by other means than the core's
	answers  map[string]action.Result
	handed   map[string]time.Time
	revision int
	ticks    int
	idle     int       // looks in a row that found nothing to do
	due      time.Time // when it is ticked next
	visit    bool      // a person is on the way
	history  strings.Builder
	memory
}

// order is an order as the store keeps it.
type order struct {
	run.Order
	job     *job
	part    part
	at      time.Time // when it was committed
	knew    time.Time // when the tick that made it looked at the world
	result  *action.Result
	effects int // how often it was begun
}

func (o *order) handedAt() time.Time { return o.job.handed[o.Key()] }

func newWorld(seed uint64, tell bool) *world {
	w := &world{
		Rand: rand.New(rand.NewPCG(seed, 0x726f6c6c)), now: began,
		claims: map[string]*job{}, orders: map[string]*order{},
	}
	if tell {
		w.told = &strings.Builder{}
	}
	return w
}

func (w *world) chance(p float64) bool { return w.Float64() < p }

func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.Int64N(int64(most-least)+1))
}

// tell keeps a line for who looks at a failing seed.
func (w *world) tell(format string, args ...any) {
	if w.told != nil {
		fmt.Fprintf(w.told, "%s  %s\n", w.now.Format("Jan 02 15:04:05.000"), fmt.Sprintf(format, args...))
	}
}

// blame says that a rule was broken. The world ends with the first one.
func (w *world) blame(rule, format string, args ...any) {
	if w.broke == "" {
		w.broke = rule + ": " + fmt.Sprintf(format, args...)
		w.tell("BROKEN %s", w.broke)
	}
}

// event is something that happens.
type event struct {
	at time.Time
	no int
	do func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if c := q[i].at.Compare(q[j].at); c != 0 {
		return c < 0
	}
	return q[i].no < q[j].no
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// after makes something happen later.
func (w *world) after(d time.Duration, do func()) { w.on(w.now.Add(d), do) }

func (w *world) on(at time.Time, do func()) {
	w.count++
	heap.Push(&w.events, event{at, w.count, do})
}

// live lets happen what happens until every run has ended, at most until the
// given time.
func (w *world) live(until time.Time) {
	for len(w.events) > 0 && w.broke == "" && !w.over() {
		e := heap.Pop(&w.events).(event)
		if e.at.After(until) {
			break
		}
		w.now = e.at
		e.do()
	}
	if w.broke == "" && !w.over() {
		for _, j := range w.jobs {
			if !j.run.State.Ended() {
				w.blame("ends", "%s is %s for ever: %+v, halted %q", j.run.ID, j.run.State, j.run.Waits[:min(1, len(j.run.Waits))], j.run.Halted())
			}
		}
	}
}

func (w *world) over() bool {
	for _, j := range w.jobs {
		if !j.run.State.Ended() {
			return false
		}
	}
	return true
}

// nudge has a run ticked at the given time at the latest.
func (w *world) nudge(j *job, at time.Time) {
	if at.Before(w.now) {
		at = w.now
	}
	if j.run.State.Ended() || !j.due.IsZero() && !at.Before(j.due) {
		return
	}
	j.due = at
	w.on(at, func() {
		if j.due.Equal(at) {
			j.due = time.Time{}
			w.tick(j)
		}
	})
}

// down reports whether the control plane is down.
func (w *world) down() bool { return w.now.Before(w.downUntil) }

// outage takes the control plane down.
func (w *world) outage(d time.Duration) {
	w.tally.Outages++
	w.epoch++
	w.downUntil = w.now.Add(d)
	w.tell("the control plane is down for %v", d)
	for _, s := range w.services {
		w.mayDie(s, 0.3, d/2) // when nobody looks
	}
}

// most bounds the ticks of one run: who needs more turns in circles.
const most = 20_000

// tick moves a run, as an engine does that may die at any instant.
func (w *world) tick(j *job) {
	switch {
	case j.run.State.Ended():
		return
	case w.down():
		w.nudge(j, w.downUntil.Add(w.between(0, time.Second)))
		return
	}
	j.ticks++
	w.tally.Ticks++
	if j.ticks > most {
		w.blame("ends", "%s turns in circles: %+v", j.run.ID, j.run.Waits[:min(1, len(j.run.Waits))])
		return
	}
	knew := w.now
	moved, next := run.Tick(j.run, w.seen(j))
	if w.chance(0.02) {
		if _, second := run.Tick(moved, w.seen(j)); len(second.Orders) > 0 {
			w.blame("once", "a second tick orders %s", second.Orders[0].Key())
		}
	}
	switch revision := j.revision; {
	case !w.calm && w.chance(0.01): // lost before it was committed: its lease runs out
		w.tally.Lost++
		w.nudge(j, w.now.Add(w.between(time.Second, 30*time.Second)))
	case !w.calm && w.chance(0.02): // committed late, while another replica ticks it too
		w.nudge(j, w.now.Add(w.between(0, 10*time.Second)))
		w.after(w.between(0, 8*time.Second), func() { w.commit(j, revision, moved, next, knew) })
	default:
		w.commit(j, revision, moved, next, knew)
		if !w.calm && w.chance(0.02) {
			w.tally.Doubled++
			w.nudge(j, w.now)
		}
		if !w.calm && w.chance(0.002) {
			w.outage(w.spell())
		}
	}
}

// spell is how long something is away: seconds as a rule, hours at times.
func (w *world) spell() time.Duration {
	switch w.IntN(6) {
	case 0:
		return w.between(time.Minute, 3*time.Hour)
	case 1, 2:
		return w.between(10*time.Second, 5*time.Minute)
	}
	return w.between(100*time.Millisecond, 10*time.Second)
}

// seen is what a tick may know.
func (w *world) seen(j *job) run.World {
	s := run.World{Now: w.now, Target: j.service.target, Answers: j.answers, Handed: j.handed, Claims: map[string]string{}}
	for _, f := range w.freezes {
		if !f.known.After(w.now) && f.Span.End.After(w.now) {
			s.Freezes = append(s.Freezes, f.Freeze)
		}
	}
	keys := j.run.ClaimKeys()
	if j.run.Group != "" {
		s.Group = plan.Group{Rules: w.group, Self: j.run.Name}
		keys = append(keys, j.run.GroupKeys(w.group.Room())...)
	}
	for _, key := range keys {
		if by := w.claims[key]; by != nil && by != j {
			s.Claims[key] = by.run.ID
		}
	}
	return s
}

// commit writes down what a tick has come to, if nobody else has moved the run
// meanwhile and nobody else holds what it claims.
func (w *world) commit(j *job, revision int, moved run.Run, next run.Next, knew time.Time) {
	if w.broke != "" {
		return
	}
	held := false
	for _, key := range moved.Holds {
		held = held || w.claims[key] != nil && w.claims[key] != j
	}
	if j.revision != revision || held || w.down() {
		w.tally.Conflicts++
		w.nudge(j, w.now.Add(w.between(0, 10*time.Second)))
		return
	}
	w.set(j, moved)
	for _, f := range next.Facts {
		w.tell("%s  %s: %s", j.run.ID, f.Who, f.Text)
		j.history.WriteString(f.Text + "\n")
	}
	for _, o := range next.Orders {
		w.add(j, o, knew)
	}
	for _, key := range next.Withdraw {
		o := w.orders[key]
		if o != nil && o.result == nil && o.handedAt().IsZero() {
			w.answer(o, action.Result{Outcome: action.Expired})
		}
	}
	w.judgeTick(j, knew)
	switch {
	case j.run.State.Ended():
		w.judgeEnd(j)
	case !next.Wake.After(knew):
		w.blame("ends", "%s wants to be woken at %v, which is over", j.run.ID, next.Wake)
	default:
		w.nudge(j, w.lazily(j, next))
		w.callPerson(j)
	}
}

// lazily is when a run is looked at again. Where look after look has found
// nothing to do, the engine is busy elsewhere: it comes later and later, half an
// hour at most, but when it is known that something may begin. Whoever changes
// something nudges it all the same.
func (w *world) lazily(j *job, next run.Next) time.Time {
	soon := next.Wake.Sub(w.now) < 15*time.Minute
	if len(next.Orders)+len(next.Facts)+len(next.Withdraw) > 0 || !soon {
		j.idle = 0
		return next.Wake
	}
	j.idle++
	if j.idle < 8 {
		return next.Wake
	}
	at := next.Wake.Add(min(second<<min(j.idle-8, 12), 30*time.Minute))
	for _, wait := range j.run.Waits {
		if u := wait.Reason.Until; u.After(w.now) && u.Before(at) {
			at = u
		}
	}
	return at
}

// set stores a run, and makes its claims exactly those that it holds.
func (w *world) set(j *job, r run.Run) {
	for key, by := range w.claims {
		if by == j {
			delete(w.claims, key)
		}
	}
	for _, key := range r.Holds {
		w.claims[key] = j
	}
	j.run = r
	j.revision++
}

// add writes an order down and has it carried out.
func (w *world) add(j *job, ro run.Order, knew time.Time) {
	o := &order{Order: ro, job: j, part: j.service.part(ro.Step), at: w.now, knew: knew}
	if w.orders[o.Key()] != nil {
		w.blame("once", "%s is ordered twice", o.Key())
		return
	}
	w.orders[o.Key()] = o
	w.tally.Orders++
	w.tell("%s  orders %s %v, to be begun by %s", j.run.ID, o.Key(), o.With, o.StartBy.Format("15:04:05.000"))
	w.judgeOrder(o)
	if o.Here {
		w.after(w.between(0, 50*time.Millisecond), func() { w.take(o) })
		return
	}
	h := w.host(o.Target)
	h.open = append(h.open, o)
	if !w.calm && w.chance(0.01) {
		w.cut(h, j.service)
	}
	w.after(w.between(time.Millisecond, 100*time.Millisecond), func() { w.poll(h) })
}

// answer keeps the first answer to an order, and wakes its run.
func (w *world) answer(o *order, r action.Result) {
	if o.result != nil {
		return
	}
	o.result = &r
	o.job.answers[o.Key()] = r
	delete(o.job.handed, o.Key())
	w.tell("%s  is answered %s %s %s", o.job.run.ID, o.Key(), r.Outcome, r.Reason)
	w.judgeAnswer(o, r)
	if w.calm || !w.chance(0.02) { // a nudge gets lost at times, but the row is due
		w.nudge(o.job, w.now)
	} else {
		w.nudge(o.job, w.now.Add(time.Second))
	}
}
