package rolls

import (
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/runbook"
)

// service is a service as it really is.
type service struct {
	target  fleet.Target
	members []*member
	turns   []*member // those that the runbook is for, in their order
	manager *host     // nil: none
	proxies []string
	book    runbook.Book
	parts   map[string]part // by the step's name
	lag     time.Duration   // a proof tells what was so long ago
	wrong   time.Duration   // so long after a change that a run has made a proof says yes, whatever is so
	changed time.Time       // when a run has last changed something
	proof   proofKind
}

// proofKind is what a service's runbook proves before a member is taken out.
type proofKind int

const (
	proveNothing proofKind = iota
	proveOthers            // that each other member answers
	proveEnough            // that so many serve that the quorum stays
)

// member is one replica as it really is.
type member struct {
	name    string
	host    *host
	service *service

	up       bool            // its process answers
	broken   bool            // its restart brought nothing back
	died     time.Time       // when it died by itself; zero: it did not
	drained  map[string]bool // by proxy: nothing is sent to it
	cordoned bool            // taken out by a command
	touched  bool            // restarted, and not put back since
	proved   map[string]bool // what has shown since its restart that it is ready
	restarts int
	past     []moment

	outBy *job      // who has taken it out
	out   time.Time // when
}

// moment is what a member was from an instant on.
type moment struct {
	at         time.Time
	up, serves bool
}

func (m *member) serves() bool { return m.up && len(m.drained) == 0 && !m.cordoned }

// at reports whether a proxy sends it requests that it answers; without
// proxies everybody does.
func (m *member) at(proxy string) bool {
	if proxy == "" {
		return m.serves()
	}
	return m.up && !m.drained[proxy] && !m.cordoned
}

// was is what the member was at an instant.
func (m *member) was(at time.Time) moment {
	for _, p := range slices.Backward(m.past) {
		if !p.at.After(at) {
			return p
		}
	}
	return m.past[0]
}

// record keeps what has become of a member.
func (w *world) record(m *member) {
	if len(m.past) > 16 {
		m.past = slices.Delete(m.past, 0, len(m.past)-16)
	}
	m.past = append(m.past, moment{w.now, m.up, m.serves()})
	w.tell("%s up=%v drained=%v cordoned=%v touched=%v", m.name, m.up, m.drained, m.cordoned, m.touched)
}

func (w *world) takeOut(o *order, m *member) {
	if m.outBy == nil {
		m.outBy, m.out = o.job, w.now
	}
}

// backIfReady notes that a member is back where it was.
func (w *world) backIfReady(m *member) {
	if len(m.drained) == 0 && !m.cordoned {
		m.touched, m.outBy = false, nil
	}
	w.record(m)
}

func (s *service) member(name string) *member {
	i := slices.IndexFunc(s.members, func(m *member) bool { return m.name == name })
	return s.members[i]
}

func (s *service) on(host string) *member {
	i := slices.IndexFunc(s.members, func(m *member) bool { return m.host.id == host })
	return s.members[i]
}

// hosts are those that nobody else may work on while a run works on the service.
func (s *service) hosts() (all []*host) {
	for _, m := range s.members {
		all = append(all, m.host)
	}
	if s.manager != nil {
		all = append(all, s.manager)
	}
	return all
}

// batch is in which of the runbook's batches a member is, as its author counts;
// -1: the runbook is not for it.
func (s *service) batch(m *member) (batch int) {
	turn, sizes := slices.Index(s.turns, m), s.book.Batches
	if turn < 0 || len(sizes) == 0 {
		return min(turn, 0)
	}
	for ; turn >= sizes[min(batch, len(sizes)-1)]; batch++ {
		turn -= sizes[min(batch, len(sizes)-1)]
	}
	return batch
}

// serving counts the members that served at an instant.
func (s *service) serving(at time.Time) (n int) {
	for _, m := range s.members {
		if m.was(at).serves {
			n++
		}
	}
	return n
}

// most is how many members the runbook lets be out at once.
func (s *service) most() int { return max(s.book.MaxUnavailable, 1) }

// enough is how many must serve before members are taken out.
func (s *service) enough() int { return min(s.target.Service.Quorum+s.most(), len(s.members)) }

// blind is for how long a death may stay unnoticed, at most.
func (s *service) blind() time.Duration {
	var fresh time.Duration
	for _, c := range s.book.Prove {
		f := c.Fresh
		if f == 0 {
			f = runbook.DefaultFresh
		}
		fresh = max(fresh, f)
	}
	return fresh + s.lag
}

// noticed reports whether a member died so long ago that whoever takes another
// one out must know.
func (s *service) noticed(m *member, now time.Time) bool {
	return s.proof != proveNothing && !m.died.IsZero() && now.Sub(m.died) > s.blind()
}

// phase is where in a runbook a step stands.
type phase int

const (
	before phase = iota
	proving
	draining
	doing
	awaiting
	readying
	afterwards
)

// part is a step of the runbook at one place, as its author would reckon it.
type part struct {
	step   runbook.Step
	phase  phase
	member string
	place  string        // the proxy or other member; empty: the only one
	key    string        // the step for that member, wherever it is done
	need   time.Duration // what it and all that must follow it take
}

func (p part) closing() bool { return p.phase == awaiting || p.phase == readying }

// allowed is how often it is tried.
func (p part) allowed() int { return max(p.step.Attempts, 1) }

// disrupts reports whether it takes something away or touches something.
func (p part) disrupts() bool {
	return !p.closing() && (p.step.Kind == action.Command || p.step.Kind == action.Balance)
}

// places is at how many places a step of a member is done.
func (s *service) places(st runbook.Step) int {
	switch st.On {
	case runbook.Proxies:
		return len(s.proxies)
	case runbook.All:
		return len(s.members)
	case runbook.Others:
		return len(s.members) - 1
	case runbook.Here, runbook.Self, runbook.First, runbook.Last, runbook.Manager:
	}
	return 1
}

// part finds what the author of the runbook knows of an order, by its step's
// id: gN.MEMBER.STEP.PLACE, without the member in what is done once.
func (s *service) part(id string) part {
	words := strings.Split(id, ".")[1:]
	for i, word := range words {
		p, ok := s.parts[word]
		if !ok {
			continue
		}
		p.key = strings.Join(strings.Split(id, ".")[:i+2], ".")
		if i > 0 {
			p.member = words[0]
		}
		p.place = strings.Join(words[i+1:], ".")
		if p.phase == draining && p.place != "" {
			p.need -= time.Duration(slices.Index(s.proxies, p.place)) * p.step.Estimate
		}
		return p
	}
	return part{}
}

// index fills parts.
func (s *service) index() {
	s.parts = map[string]part{}
	phases := []struct {
		phase phase
		steps []runbook.Step
	}{{readying, s.book.Member.Ready}, {awaiting, s.book.Member.Await}, {doing, s.book.Member.Do}, {draining, s.book.Member.Drain}}
	var need time.Duration
	for _, p := range phases {
		for _, st := range slices.Backward(p.steps) {
			need += time.Duration(s.places(st)) * st.Estimate
			s.parts[st.Name] = part{step: st, phase: p.phase, need: need}
			need += st.Soak
		}
	}
	for _, st := range s.book.Before {
		s.parts[st.Name] = part{step: st, phase: before, need: st.Estimate}
	}
	for _, st := range s.book.After {
		s.parts[st.Name] = part{step: st, phase: afterwards, need: st.Estimate}
	}
	for _, c := range s.book.Prove {
		s.parts[c.Name] = part{step: c.Step, phase: proving, need: c.Estimate}
	}
}
