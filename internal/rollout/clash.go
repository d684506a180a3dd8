package rollout

import (
	"slices"
	"time"

	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/window"
)

// Bookings are the next windows of the environments in a project that the
// release has not come to yet, as far as the time until the given one, with the
// keys of all that their runs claim; of an environment without a window, all the
// time from when it may begin. The soaks before them count; approvals and gates
// are taken for given.
func (r Rollout) Bookings(w World, project string, until time.Time) (all []run.Booking) {
	if r.State.Ended() || r.AbortedBy != "" || w.Release.Veto != nil {
		return nil
	}
	from := map[string]time.Time{} // when the release is through an environment at the soonest
	for _, e := range w.Train.Train.Environments {
		begin := w.Now
		if at := from[e.After]; at.After(begin) {
			begin = at
		}
		st := r.Standings[e.Name]
		switch {
		case !st.Soaked.IsZero():
			continue
		case !st.SoakFrom.IsZero():
			from[e.Name] = st.SoakFrom.Add(e.Soak)
			continue
		}
		one, due := r.booking(w, e)
		spans := r.windows(e, begin, until, one.Need)
		end := begin.Add(one.Need)
		if len(spans) > 0 {
			end = spans[len(spans)-1].End
		}
		from[e.Name] = end.Add(e.Soak)
		if !due || r.project(e) != project {
			continue
		}
		if e.Window.Recurrence.IsZero() && begin.Before(until) {
			one.Anytime, one.Open = true, window.Span{Start: begin, End: until}
			all = append(all, one)
		}
		for _, span := range spans {
			one.Open = span
			all = append(all, one)
		}
	}
	return all
}

// windows are as many occurrences of an environment's window as the work takes.
// One that is always open has none: its runs begin when nothing else forbids it.
func (r Rollout) windows(e Environment, from, until time.Time, need time.Duration) []window.Span {
	if e.Window.Recurrence.IsZero() || !from.Before(until) {
		return nil
	}
	n := int(need/e.Window.Duration) + 1
	return e.Window.Between(from, until, n)
}

// booking is what the phases claim that are still to be done in an environment;
// false: none is, or none can be.
func (r Rollout) booking(w World, e Environment) (one run.Booking, due bool) {
	t := ticker{r: r, w: w}
	one.Rollout = r.ID
	one.Who = "rollout of " + r.Version + " in " + r.at(e.Name)
	v, project := r.values(w, e), r.project(e)
	in := e.Window
	if in.Recurrence.IsZero() {
		in = always(w.Now)
	}
	for _, p := range w.Train.Train.PhasesOf(e) {
		does := v.work(p.Service, p.Runbook, p.Params)
		if was := r.Standings[e.Name].Phases[p.Name]; was.Stage == plan.Done && was.Wanted == does.text() {
			continue
		}
		s, found := w.Services[project+"/"+does.service]
		planned, _, err := t.bookRun(project, does, s, found, run.Opening{ID: "booking", Target: s.Target, Window: in, Claims: t.regionOf(e, does)})
		if err != nil {
			continue // it is told when the run is opened
		}
		need, err := run.BookNeeds(planned, s.Target.Pace)
		if err != nil {
			continue
		}
		due, one.Need = true, one.Need+need
		one.Whole = append(one.Whole, planned.ClaimKeys()...)
		one.Within = append(one.Within, run.Within(s.Target)...)
	}
	slices.Sort(one.Whole)
	one.Whole = slices.Compact(one.Whole)
	slices.Sort(one.Within)
	one.Within = slices.DeleteFunc(slices.Compact(one.Within), func(key string) bool { return slices.Contains(one.Whole, key) })
	return one, due
}
