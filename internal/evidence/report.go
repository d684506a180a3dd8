package evidence

import (
	"slices"
	"time"
)

// Outage is a stretch in which a member of the service was out.
type Outage struct {
	Member string
	From   time.Time
	To     time.Time // zero: it is still out
}

// covers reports whether any of a second lies in the outage.
func (o Outage) covers(s Second) bool {
	return s.End().After(o.From) && (o.To.IsZero() || s.At.Before(o.To))
}

// Share is what users saw while one member was out.
type Share struct {
	Outage
	Sum Second
}

// Gap is a stretch in which the service was to be asked and was not.
type Gap struct{ From, To time.Time }

// Report is what users saw, from the first second to the last.
type Report struct {
	Watch     Watch
	Sum       Second   // of all
	Before    Second   // of what was before any member was out: to compare with
	Shares    []Share  // one for each outage, in order
	Endpoints []Second // sums, in the order in which they were first seen
	Series    []Second // sums over all endpoints, each of the same length; seconds in which nobody asked are missing
	Gaps      []Gap

	width time.Duration // of the series
	edge  time.Time
	first time.Time // when the first member was taken out
}

// widths are the lengths of what a series has.
var widths = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour,
}

// NewReport begins a report until now, with a series of at most so many points.
// The seconds are added one by one, the oldest first.
func NewReport(w Watch, outages []Outage, points int, now time.Time) *Report {
	r := &Report{Watch: w, edge: w.Began, width: widths[len(widths)-1]}
	end := w.Newest
	if end.IsZero() {
		end = now
	}
	for _, width := range widths {
		if end.Sub(w.Began)/width < time.Duration(points) {
			r.width = width
			break
		}
	}
	for _, o := range outages {
		r.Shares = append(r.Shares, Share{Outage: o})
		if r.first.IsZero() || o.From.Before(r.first) {
			r.first = o.From
		}
	}
	return r
}

// Add counts a second in.
func (r *Report) Add(s Second) {
	if s.At.Sub(r.edge) > hole {
		r.Gaps = append(r.Gaps, Gap{From: r.edge, To: s.At})
	}
	if s.End().After(r.edge) {
		r.edge = s.End()
	}
	r.Sum = r.Sum.Plus(anonymous(s))
	if r.first.IsZero() || !s.End().After(r.first) {
		r.Before = r.Before.Plus(anonymous(s))
	}
	for i := range r.Shares {
		if r.Shares[i].covers(s) {
			r.Shares[i].Sum = r.Shares[i].Sum.Plus(anonymous(s))
		}
	}
	i := slices.IndexFunc(r.Endpoints, func(e Second) bool { return e.Endpoint == s.Endpoint })
	if i < 0 {
		r.Endpoints = append(r.Endpoints, s)
	} else {
		r.Endpoints[i] = r.Endpoints[i].Plus(s)
	}
	r.plot(s)
}

// plot puts a second into the series.
func (r *Report) plot(s Second) {
	s = anonymous(s)
	at := s.At.Truncate(r.width)
	if n := len(r.Series); n > 0 && !r.Series[n-1].At.Before(at) {
		p := r.Series[n-1].Plus(s)
		p.At, p.Span = r.Series[n-1].At, r.width
		r.Series[n-1] = p
		return
	}
	s.At, s.Span = at, max(r.width, s.Span)
	r.Series = append(r.Series, s)
}

// End tells of what is missing at the end: the service was still to be asked at
// the given time, or until it was not any more.
func (r *Report) End(at time.Time) {
	if r.Watch.Began.IsZero() || at.Sub(r.edge) <= r.Watch.Late {
		return
	}
	r.Gaps = append(r.Gaps, Gap{From: r.edge, To: at})
	r.edge = at
}

func anonymous(s Second) Second {
	s.Endpoint = ""
	return s
}
