package run

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/window"
)

// Booking is that a schedule or a rollout may disrupt in one of its windows, or
// that something is held by hand.
type Booking struct {
	Who     string // for people: web-1/weekend
	Rollout string // of whose environments it is one: they come one after the other; empty: of none
	Held    bool   // it has what it wants, whatever freezes say
	Anytime bool   // it has no window: it may begin at any time in Open
	Open    window.Span
	Need    time.Duration // about how long it needs what it claims
	Whole   []string      // what it claims whole, by what people call it
	Within  []string      // what it works within, as others may
	Places  []string      // of what it takes one place
}

// ClashKind is a sort of clash; part of the public interface.
type ClashKind string

// The kinds of clashes.
const (
	ClashClaim   ClashKind = "claim"   // more than one wants it at once
	ClashPlaces  ClashKind = "places"  // more want a place of it at once than it has
	ClashFreeze  ClashKind = "freeze"  // freezes leave too little of a window
	ClashUnable  ClashKind = "unable"  // its run can't be opened
	ClashAnytime ClashKind = "anytime" // who is named last may begin at any time, so also then
)

// Clash is that not all can have what they want in one time.
type Clash struct {
	Kind   ClashKind
	What   string // what is wanted; empty for a freeze
	Span   window.Span
	Who    []string      // who wants it, the first maxWho of them
	More   int           // how many more
	Most   int           // how many want it at once
	Places int           // and how many can have it
	Short  time.Duration // how much longer they need, one after the other, than they have; 0: they fit
	Why    string        // of a freeze, or of what can't be opened
}

// maxWho bounds how many are named.
const maxWho = 10

// Clashes finds what is wanted at once in the given bookings, by start. places
// is how many places there are of what has several; freezes are those that
// hold for all of them.
func Clashes(all []Booking, places map[string]int, freezes []window.Freeze) (found []Clash) {
	wanted := map[string]*wants{}
	of := func(what string) *wants {
		if wanted[what] == nil {
			wanted[what] = &wants{places: 1}
		}
		return wanted[what]
	}
	var anytime, timed []Booking
	all = slices.Clone(all)
	for i := range all {
		b := &all[i]
		if b.Anytime {
			anytime = append(anytime, *b)
			continue
		}
		free := b.Open
		if !b.Held {
			free = window.Longest(b.Open, freezes)
		}
		if left := free.End.Sub(free.Start); free != b.Open && left < b.need() {
			f, _ := window.Frozen(freezes, b.Open)
			found = append(found, Clash{Kind: ClashFreeze, Span: b.Open, Who: []string{b.Who}, Most: 1, Places: 1, Short: b.need() - left, Why: f.Reason})
			continue
		}
		b.Open = free
		timed = append(timed, *b)
		for _, what := range b.Whole {
			w := of(what)
			w.whole++
			w.by = append(w.by, want{b, true})
		}
		for _, what := range b.Within {
			w := of(what)
			w.by = append(w.by, want{b, false})
		}
		for _, what := range b.Places {
			w := of(what)
			w.kind, w.places = ClashPlaces, places[what]
			w.by = append(w.by, want{b, true})
		}
	}
	found = append(found, meetings(anytime, timed)...)
	for what, w := range wanted {
		for _, c := range w.clashes() {
			c.What = what
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b Clash) int {
		return cmp.Or(a.Span.Start.Compare(b.Span.Start), strings.Compare(a.What, b.What), slices.Compare(a.Who, b.Who))
	})
	return found
}

// need is at most the whole window: what needs more goes on in the next one.
func (b Booking) need() time.Duration { return min(b.Need, b.Open.End.Sub(b.Open.Start)) }

// wants are all that want one thing.
type wants struct {
	kind   ClashKind
	places int
	whole  int // how many want it whole
	by     []want
}

type want struct {
	*Booking
	alone bool // it wants the thing, or a place of it, for itself
}

// clashes walks along time and notes while more want the thing than can have it.
func (w *wants) clashes() (found []Clash) {
	if len(w.by) < 2 || w.kind != ClashPlaces && w.whole == 0 {
		return nil
	}
	if !w.meet() {
		return nil
	}
	type event struct {
		at  time.Time
		i   int
		end bool
	}
	events := make([]event, 0, 2*len(w.by))
	for i, b := range w.by {
		events = append(events, event{b.Open.Start, i, false}, event{b.Open.End, i, true})
	}
	// Whoever ends when another begins makes room for it.
	slices.SortFunc(events, func(a, b event) int {
		return cmp.Or(a.at.Compare(b.at), -compareBool(a.end, b.end), cmp.Compare(a.i, b.i))
	})
	active, alone := map[int]bool{}, 0
	var c *Clash
	in := map[int]bool{}
	for _, e := range events {
		if e.end {
			delete(active, e.i)
		} else {
			active[e.i] = true
		}
		if w.by[e.i].alone {
			alone += map[bool]int{false: 1, true: -1}[e.end]
		}
		over := alone > w.places || alone > 0 && len(active) > max(w.places, 1)
		switch {
		case over && c == nil:
			c = &Clash{Kind: cmp.Or(w.kind, ClashClaim), Span: window.Span{Start: e.at}, Places: w.places}
			clear(in)
			for i := range active {
				in[i] = true
			}
		case over && !e.end:
			in[e.i] = true
		}
		switch {
		case c != nil && over:
			c.Most = max(c.Most, len(active))
		case c != nil:
			c.Span.End = e.at
			if c.Span.Start.Before(c.Span.End) {
				found = append(found, w.told(*c, in))
			}
			c = nil
		}
	}
	return found
}

// meet reports whether any two are open at once: most often none are, and then
// there is nothing to look at.
func (w *wants) meet() bool {
	slices.SortFunc(w.by, func(a, b want) int { return a.Open.Start.Compare(b.Open.Start) })
	for i := 1; i < len(w.by); i++ {
		if w.by[i].Open.Start.Before(w.by[i-1].Open.End) {
			return true
		}
	}
	return false
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// told completes a clash with who is in it, and by how much they do not fit.
func (w *wants) told(c Clash, in map[int]bool) Clash {
	who := make([]want, 0, len(in))
	for i := range in {
		who = append(who, w.by[i])
	}
	slices.SortFunc(who, func(a, b want) int {
		return cmp.Or(a.Open.Start.Compare(b.Open.Start), a.Open.End.Compare(b.Open.End), strings.Compare(a.Who, b.Who))
	})
	for _, b := range who {
		switch {
		case slices.Contains(c.Who, b.Who):
		case len(c.Who) < maxWho:
			c.Who = append(c.Who, b.Who)
		default:
			c.More++
		}
	}
	c.Short = late(who, w.places)
	return c
}

// late is by how much the last ones do not fit into their windows, if they are
// let in by their starts. Those that work within the thing go all at once.
func late(who []want, places int) (short time.Duration) {
	free := make([]time.Time, max(places, 1))
	var together time.Time // until when those within are at work
	for _, b := range who {
		soonest := 0
		for i := range free {
			if free[i].Before(free[soonest]) {
				soonest = i
			}
		}
		begin := b.Open.Start
		if free[soonest].After(begin) {
			begin = free[soonest]
		}
		if b.alone && together.After(begin) {
			begin = together
		}
		end := begin.Add(b.need())
		if b.alone {
			free[soonest] = end
		} else if end.After(together) {
			together = end
		}
		short = max(short, end.Sub(b.Open.End))
	}
	return short
}

// ServerNeeds is about how long an update holds a server, by what is pending
// there now and by the server's own pace.
func ServerNeeds(t fleet.Target, p fleet.Policy) time.Duration {
	pending := 1
	if t.Observed != nil {
		pending = max(1, len(t.Observed.Pending))
	}
	need := t.Pace.Estimate(action.Install, pending, p.Expect)
	if p.Reboot != fleet.RebootNever && p.Reboot != fleet.RebootOwnWindow {
		need += t.Pace.Estimate(action.Reboot, 1, p.Expect)
	}
	return need
}

// BookNeeds is about how long a run of a runbook takes that OpenBook has made.
func BookNeeds(r Run, pace fleet.Pace) (need time.Duration, err error) {
	root, _, err := plan.Service(r.serviceView(pace), 1)
	for _, s := range root.Steps() {
		need += s.Estimate
	}
	return need, err
}
