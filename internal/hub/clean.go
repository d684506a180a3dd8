package hub

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/wire"
)

// Limits of what an agent can make us keep. Together with wire.MaxBody, with
// one answer per order and one observation per target, they bound what a
// hostile one can fill.
const (
	maxAnswers  = 64   // in one poll; the rest is said again
	maxHolding  = 1024 // keys
	maxKey      = 512  // bytes
	maxName     = 256  // bytes of a name, a version, an origin
	maxValues   = 64   // that one thing on a host takes
	maxReason   = 4 << 10
	maxOutput   = 16 << 10
	maxChanges  = 20_000
	maxFailures = 2_000
	maxPending  = 20_000 // and of every other list in an observation
)

// check blames what no agent of ours would send.
func check(req *wire.PollRequest) error {
	if len(req.Holding) > maxHolding {
		return fault.Invalid("holding", "at most %d, not %d", maxHolding, len(req.Holding))
	}
	for _, key := range req.Holding {
		if len(key) > maxKey {
			return fault.Invalid("holding", "a key has at most %d bytes, not %d", maxKey, len(key))
		}
	}
	for _, a := range req.Answers {
		if a.Key == "" || len(a.Key) > maxKey {
			return fault.Invalid("answers", "a key has 1 to %d bytes, not %d", maxKey, len(a.Key))
		}
	}
	if req.Observation != nil {
		return tooLong(req.Observation)
	}
	return nil
}

// tooLong blames the first list that is too long. A list is never cut: of what
// was left out it would say that it is not so.
func tooLong(o *wire.Observation) error {
	for _, l := range []struct {
		field string
		n     int
	}{
		{"pending", len(o.Pending)}, {"held", len(o.Held)},
		{"halfConfigured", len(o.HalfConfigured)}, {"rebootPackages", len(o.RebootPackages)},
		{"commands", len(o.Commands)}, {"offers", len(o.Offers)},
	} {
		if l.n > maxPending {
			return fault.Invalid("observation."+l.field, "at most %d, not %d", maxPending, l.n)
		}
	}
	for _, f := range o.Offers {
		if n := len(f.Needs) + len(f.May); n > maxValues {
			return fault.Invalid("observation.offers", "one may take %d values at most, not %d", maxValues, n)
		}
	}
	return nil
}

// resultOf takes an answer in: cut to its limits, and in a form that every
// database keeps. An observation that is too long is left out: to know the end
// of an order is worth more.
func resultOf(a wire.Answer) action.Result {
	if a.Observation != nil && tooLong(a.Observation) != nil {
		a.Observation = nil
	}
	r := action.Result{
		Outcome: action.Outcome(a.Outcome), Started: sane(a.Started), Finished: sane(a.Finished),
		Reason: clip(a.Reason, maxReason), DryRun: a.DryRun, Output: clipFront(a.Output, maxOutput),
		Observation: observationOf(a.Observation),
	}
	for _, c := range a.Changes[:min(len(a.Changes), maxChanges)] {
		r.Changes = append(r.Changes, action.Change{Name: clip(c.Name, maxName), From: clip(c.From, maxName), To: clip(c.To, maxName)})
	}
	for _, f := range a.Failures[:min(len(a.Failures), maxFailures)] {
		r.Failures = append(r.Failures, action.Failure{Name: clip(f.Name, maxName), Reason: clip(f.Reason, maxReason)})
	}
	switch r.Outcome {
	case action.Done, action.Failed, action.Refused, action.Interrupted, action.Expired:
	default:
		// The run must learn that it is over, whatever it was.
		r.Reason = clip(fmt.Sprintf("the agent answered %q, which this version does not know. %s", clip(a.Outcome, maxName), r.Reason), maxReason)
		r.Outcome = action.Interrupted
	}
	return r
}

// observationOf takes an observation in; nil stays nil.
func observationOf(w *wire.Observation) *action.Observation {
	o := w.Observation()
	if o == nil {
		return nil
	}
	for _, s := range []*string{&o.BootID, &o.Hostname, &o.System, &o.Kernel, &o.Arch, &o.Manager} {
		*s = clip(*s, maxName)
	}
	o.After = clip(o.After, maxKey)
	o.Held, o.HalfConfigured, o.RebootPackages = clipAll(o.Held), clipAll(o.HalfConfigured), clipAll(o.RebootPackages)
	o.Commands = clipAll(o.Commands)
	for i, f := range o.Offers {
		o.Offers[i] = action.Offer{Kind: action.Kind(clip(string(f.Kind), maxName)), Name: clip(f.Name, maxName), Needs: clipAll(f.Needs), May: clipAll(f.May)}
	}
	for i, p := range o.Pending {
		p.Name, p.From, p.To, p.Origin = clip(p.Name, maxName), clip(p.From, maxName), clip(p.To, maxName), clip(p.Origin, maxName)
		p.Bytes, p.Released = max(p.Bytes, 0), sane(p.Released)
		o.Pending[i] = p
	}
	o.ListsAge = max(o.ListsAge, 0)
	return o
}

// clip cuts s after at most n bytes, and drops what PostgreSQL can't keep.
func clip(s string, n int) string {
	s = printable(s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// clipFront cuts at the front: the end of what a command printed tells most.
func clipFront(s string, n int) string {
	s = printable(s)
	if len(s) <= n {
		return s
	}
	cut := len(s) - n
	for cut < len(s) && !utf8.RuneStart(s[cut]) {
		cut++
	}
	return s[cut:]
}

func clipAll(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, clip(s, maxName))
	}
	return out
}

func printable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// sane drops a time that no clock shows and no database keeps.
func sane(t time.Time) time.Time {
	if y := t.Year(); y < 1970 || y > 9000 {
		return time.Time{}
	}
	return t
}
