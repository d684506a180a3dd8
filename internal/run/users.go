package run

import (
	"fmt"
	"time"

	"upkeep/internal/evidence"
	"upkeep/internal/plan"
	"upkeep/internal/runbook"
)

// What the service's users see is a matter of its own: the service is asked
// while something may be done to it, a member is taken out only once it was
// seen how it answers with all of them, and an error budget stops the run
// before the next member.

// seenFirst is how long a service is asked before its first member is taken
// out, so that there is something to compare with.
const seenFirst = 5 * time.Second

// figuresAfter is how much of what came after a change must be known before
// the next member may be taken out.
const figuresAfter = time.Second

// lookAtFigures is how soon figures that are missing are looked for again.
const lookAtFigures = time.Second

// Asking reports whether the service is to be asked what its users would ask.
func (r Run) Asking() bool { return r.Book != nil && r.Book.Asking }

// FiguresSince is from when on requests count for the run's error budget: what
// was before a person said resume is forgiven. Zero: from the first.
func (r Run) FiguresSince(now time.Time) time.Time {
	since := r.Book.Renewed
	if over := r.Book.Runbook.ErrorBudget.Over; over > 0 && now.Add(-over).After(since) {
		since = now.Add(-over)
	}
	return since
}

// see decides whether the service is to be asked from now on.
func (t *ticker) see(d plan.Decision) {
	b := t.r.Book
	switch {
	case !b.Service.Probe.Asks():
	case t.begins(d):
		if !b.Asking {
			b.Asking, b.Asked = true, t.w.Now
		}
	case t.quiet() && len(t.outside()) == 0 && len(d.Waits) > 0:
		if code := d.Waits[0].Reason.Code; code == plan.WindowClosed || code == plan.Frozen {
			b.Asking = false // it only waits, perhaps for a week
		}
	}
}

// begins reports whether something is begun, or would be but for what is to be
// known first.
func (t *ticker) begins(d plan.Decision) bool {
	if len(d.Start) > 0 {
		return true
	}
	for _, w := range d.Waits {
		if _, proof := t.r.Plan.Proofs[w.Reason.What]; proof || w.Reason.What == plan.FactWatched {
			return true
		}
	}
	return false
}

// known adds what is known of the service's users.
func (t *ticker) known(facts map[string]plan.Fact) {
	b := t.r.Book
	if !b.Service.Probe.Asks() {
		return
	}
	facts[plan.FactWatched] = plan.Fact{Holds: b.Asking && !t.w.Now.Before(b.Asked.Add(seenFirst)), Seen: t.w.Now}
	facts[plan.FactBudget] = plan.Fact{Holds: b.Spent == "", Seen: t.w.Now}
	if t.fresh() {
		facts[plan.FactFigures] = plan.Fact{Holds: b.Spent == "", Seen: t.w.Now}
	}
}

// fresh reports whether it is known how the service answers now, with
// everything in it that the run has changed.
func (t *ticker) fresh() bool {
	u, b := t.w.Users, t.r.Book
	return u.Recent.Sent > 0 && t.w.Now.Sub(u.Newest) <= b.Service.Probe.Late() && !u.Newest.Before(b.Changed.Add(figuresAfter))
}

// tellUsers completes the reason of a step that waits for what users see.
func (t *ticker) tellUsers(r *plan.Reason) {
	switch r.What {
	case plan.FactWatched:
		if t.r.Book.Asking {
			r.Until = t.r.Book.Asked.Add(seenFirst)
		}
		t.again(t.w.Now.Add(seenFirst))
	case plan.FactFigures, plan.FactBudget:
		r.Since, r.By = t.w.Users.Newest, t.r.Book.Spent
		t.again(t.w.Now.Add(lookAtFigures))
	}
}

// spend notes that the error budget is used up. That is kept: users do not
// forget because they are well again when the next member's turn comes.
func (t *ticker) spend() {
	b := t.r.Book
	if b.Spent != "" || !b.Service.Probe.Asks() {
		return
	}
	budget, sum := b.Runbook.ErrorBudget, t.w.Users.Recent
	since := "since the run began"
	switch {
	case budget.Over > 0:
		since = fmt.Sprintf("in the last %ds", budget.Over/time.Second)
	case !b.Renewed.IsZero():
		since = "since the run was resumed"
	}
	switch {
	case over(sum.Bad(), sum.Sent, budget.Unanswered):
		b.Spent = fmt.Sprintf("%s of %s requests %s were unanswered or failed, and %s may be",
			evidence.Thousands(sum.Bad()), evidence.Thousands(sum.Sent), since, budget.Unanswered)
	case over(sum.Slow, sum.Sent, budget.Slow):
		b.Spent = fmt.Sprintf("%s of %s requests %s were slow, and %s may be",
			evidence.Thousands(sum.Slow), evidence.Thousands(sum.Sent), since, budget.Slow)
	}
}

// over reports whether n of all is more than a percentage.
func over(n, all int, percent string) bool {
	p, limited := runbook.Percent(percent)
	return limited && all > 0 && float64(n)*100 > p*float64(all)
}

// lastFigures reports whether the run, of which nothing is left to do, must
// wait until it is known what its last change has cost. It does not wait for
// ever: whoever asks may be gone.
func (t *ticker) lastFigures() bool {
	b := t.r.Book
	if !b.Asking || !t.w.Users.Newest.Before(b.Changed.Add(figuresAfter)) || b.Changed.IsZero() || t.w.Now.After(b.Changed.Add(b.Service.Probe.Late())) {
		return false
	}
	t.again(t.w.Now.Add(lookAtFigures))
	return true
}

// usersWords is what users saw, for the run's result; empty if nobody asked.
func (t *ticker) usersWords() string {
	b, u := t.r.Book, t.w.Users
	if b.Asked.IsZero() {
		return ""
	}
	text := "; " + u.Total.Words()
	if u.Total.Sent == 0 {
		text = "; how it answered its users is not known"
	}
	if gap := u.Stop(t.w.Now).Gap; gap > 0 && u.Total.Sent > 0 {
		text += ", not asked for " + plan.Round(gap)
	}
	return text
}

// takeOut notes since when a member is out, for the evidence.
func (t *ticker) takeOut(member string) {
	t.r.Book.Outages = append(t.r.Book.Outages, evidence.Outage{Member: member, From: t.w.Now})
}

// back notes that a member is back. If it never was out, nothing is kept of it.
func (t *ticker) back(member string, never bool) {
	for i, o := range t.r.Book.Outages {
		if o.Member != member || !o.To.IsZero() {
			continue
		}
		if never {
			t.r.Book.Outages = append(t.r.Book.Outages[:i], t.r.Book.Outages[i+1:]...)
			return
		}
		t.r.Book.Outages[i].To = t.w.Now
	}
}
