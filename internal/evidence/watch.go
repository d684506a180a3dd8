package evidence

import "time"

// How finely it is kept what a service answered: per second at first, later
// in sums, so that a run that is open for weeks stays small: some 51,000 rows
// per endpoint at most.
const (
	fineFor    = 2 * time.Hour
	middleFor  = 24 * time.Hour
	middleSpan = 10 * time.Second
	coarseSpan = time.Minute

	// AskedFor is how long a service is asked for one run, at most.
	AskedFor = 30 * 24 * time.Hour
)

// hole is the shortest stretch without an answer that is told as a gap: to
// begin to ask takes a moment.
const hole = 3 * time.Second

// Watch is how a service has answered all the while a run was open on it, so far.
type Watch struct {
	Run    string
	Began  time.Time     // when it was first to be asked
	On     bool          // it is to be asked now
	Since  time.Time     // when that was last switched on
	Newest time.Time     // what was sent before is known; zero: nothing is
	Late   time.Duration // how much later than it was sent a request may be known
	Gap    time.Duration // how long it was to be asked and was not
	Total  Total
}

// Start is the watch of a service that is asked from now on. late is how much
// later than it was sent a request may be known.
func (w Watch) Start(run string, late time.Duration, now time.Time) Watch {
	if w.Began.IsZero() {
		w.Run, w.Began = run, now
	}
	w.On, w.Since, w.Late = true, now, late
	return w
}

// Stop is the watch of a service that is not asked any more.
func (w Watch) Stop(now time.Time) Watch {
	if w.On && now.Sub(w.edge()) > w.Late {
		w.Gap += now.Sub(w.edge())
	}
	w.On = false
	return w
}

// edge is until when it is known how the service answered, or known why not.
func (w Watch) edge() time.Time {
	if w.Newest.After(w.Since) {
		return w.Newest
	}
	return w.Since
}

// Add counts seconds in, the oldest first.
func (w Watch) Add(seconds []Second) Watch {
	for _, s := range seconds {
		if gap := s.At.Sub(w.edge()); gap > hole {
			w.Gap += gap
		}
		if s.End().After(w.Newest) {
			w.Newest = s.End()
		}
		w.Total.Add(s)
	}
	return w
}

// Over reports whether the service has been asked for as long as it may be.
func (w Watch) Over(now time.Time) bool { return now.Sub(w.Began) > AskedFor }

// Row is where a second is kept: as it is, or in the sum that it belongs to.
func (w Watch) Row(s Second) Second {
	switch age := s.At.Sub(w.Began); {
	case age >= middleFor:
		s.At, s.Span = s.At.Truncate(coarseSpan), coarseSpan
	case age >= fineFor:
		s.At, s.Span = s.At.Truncate(middleSpan), middleSpan
	}
	return s
}

// Figures are what a decision may rely on.
type Figures struct {
	Watch
	Recent Total // of the requests since the instant that was asked for
}
