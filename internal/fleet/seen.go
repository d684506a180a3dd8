package fleet

import (
	"hash/fnv"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/window"
)

// Seen is since when each pending update is known, by package and version.
// apt does not say when an update was released; that it was not pending before
// does.
type Seen map[string]time.Time

func seenKey(p action.Pending) string { return p.Name + " " + p.To }

// Note is what is known after an observation that arrived at now: what was
// pending before keeps its time, what is no longer pending is forgotten.
func (s Seen) Note(o *action.Observation, now time.Time) Seen {
	if o == nil {
		return s
	}
	next := make(Seen, len(o.Pending))
	for _, p := range o.Pending {
		key := seenKey(p)
		if at, ok := s[key]; ok {
			next[key] = at
			continue
		}
		next[key] = now
	}
	return next
}

// Known is since when an update could have been installed: its release, where
// the package manager knows it, else when it was first seen; zero if neither
// is known.
func (s Seen) Known(p action.Pending) time.Time {
	if !p.Released.IsZero() {
		return p.Released
	}
	return s[seenKey(p)]
}

// maxSlots bounds how many occurrences are looked at for a pick.
const maxSlots = 400

// Pick is the occurrence in which a target is to be updated, so that an update
// known since the given time is installed within the given time: one of those
// that end before that, the same whenever it is asked, and over many targets
// spread evenly. If that one has passed, or there is none, it is the first that
// is open at now or later; false if there is none any more.
func Pick(target string, w window.Window, known time.Time, within time.Duration, now time.Time) (window.Span, bool) {
	deadline := known.Add(within)
	var slots []window.Span
	for _, s := range w.Between(known, deadline, maxSlots) {
		if !s.Start.Before(known) && !s.End.After(deadline) {
			slots = append(slots, s)
		}
	}
	if len(slots) > 0 {
		h := fnv.New32a()
		h.Write([]byte(target)) // a hash never fails to write
		if s := slots[h.Sum32()%uint32(len(slots))]; s.End.After(now) {
			return s, true
		}
	}
	if open, ok := w.Current(now); ok {
		return open, true
	}
	return w.Next(now)
}
