package rolls

import (
	"fmt"
	"slices"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

const second = time.Second

// draw makes a world's services, their runbooks and the runs on them.
func (w *world) draw() {
	for i := range 3 + w.IntN(8) {
		w.hosts = append(w.hosts, &host{id: fmt.Sprint("host", i+1)})
	}
	w.group = fleet.Group{Project: "p", Name: "g", MaxUnavailable: 1 + w.IntN(2)}
	for range w.IntN(3) {
		w.drawFreeze()
	}
	for i := range 2 + w.IntN(3) {
		s := w.drawService(fmt.Sprint("svc", i+1))
		w.services = append(w.services, s)
		at := began.Add(w.between(0, 2*time.Hour))
		w.on(at, func() { w.open(s) })
		// The run's place, until it is opened.
		j := &job{service: s, answers: map[string]action.Result{}, handed: map[string]time.Time{}}
		j.remember()
		w.jobs = append(w.jobs, j)
	}
}

func (w *world) drawFreeze() {
	start := began.Add(w.between(-time.Hour, 12*time.Hour))
	if w.chance(0.3) {
		start = began.Add(w.between(6*24*time.Hour, 8*24*time.Hour))
	}
	f := freeze{Freeze: window.Freeze{ID: "f", Span: window.Span{Start: start, End: start.Add(w.between(time.Minute, 12*time.Hour))}, Reason: "trade fair"}}
	if w.chance(0.4) { // somebody says so on the spot
		f.known = start
	}
	w.freezes = append(w.freezes, f)
}

func (w *world) drawService(name string) *service {
	s := &service{}
	n := min(2+w.IntN(6), len(w.hosts))
	quorum := w.IntN(n)
	fs := &fleet.Service{Quorum: quorum}
	labelled := w.chance(0.2)
	for i, h := range w.Perm(len(w.hosts))[:n] {
		m := &member{name: fmt.Sprint("m", i+1), host: w.hosts[h], service: s, up: true, drained: map[string]bool{}, proved: map[string]bool{}}
		m.past = []moment{{up: true, serves: true}}
		s.members = append(s.members, m)
		fm := fleet.Member{Name: m.name, Server: m.host.id, With: map[string]string{"url": "member://" + m.name}}
		if labelled && i > 0 && w.chance(0.3) {
			fm.Labels = map[string]string{"tier": "other"}
		} else {
			fm.Labels = map[string]string{"tier": "web"}
			s.turns = append(s.turns, m)
		}
		fs.Members = append(fs.Members, fm)
	}
	for i := range w.IntN(3) {
		p := fmt.Sprint("lb", i+1)
		s.proxies = append(s.proxies, p)
		fs.Proxies = append(fs.Proxies, fleet.Proxy{Name: p, With: map[string]string{"socket": p}})
	}
	if w.chance(0.3) {
		s.manager = w.hosts[w.IntN(len(w.hosts))]
		fs.Manager = s.manager.id
	}
	s.target = fleet.Target{ID: name, Project: "p", Name: name, Kind: fleet.ServiceKind, Service: fs}
	if w.chance(0.3) {
		s.target.Group = w.group.Name
	}
	w.drawBook(s)
	return s
}

// drawBook draws a runbook for a service.
func (w *world) drawBook(s *service) {
	b := runbook.Book{Name: "book", MaxUnavailable: w.IntN(4)}
	if w.chance(0.6) {
		b.Budget = w.between(time.Minute, 20*time.Minute)
	}
	b.Targets.Labels = map[string]string{"tier": "web"}
	if w.chance(0.15) {
		b.Order = runbook.Reversed
		slices.Reverse(s.turns)
	}
	if w.chance(0.25) {
		for range 1 + w.IntN(3) {
			b.Batches = append(b.Batches, 1+w.IntN(max(b.MaxUnavailable, 1)))
		}
		if w.chance(0.5) {
			b.Pause = w.between(second, 20*time.Minute)
		}
	}
	if w.chance(0.4) {
		b.Claims = []string{"database/main"}
	}
	s.book.MaxUnavailable = b.MaxUnavailable
	w.drawProofs(s, &b)
	for i := range w.IntN(3) {
		b.Before = append(b.Before, w.onceStep(s, fmt.Sprint("before", i+1)))
	}
	switch {
	case len(s.proxies) > 0 && w.chance(0.8):
		b.Member.Drain = append(b.Member.Drain, w.hold(w.balanceStep("drain"), 0.08))
		b.Member.Ready = append(b.Member.Ready, w.balanceStep("ready"))
	case w.chance(0.6):
		b.Member.Drain = append(b.Member.Drain, w.hold(w.commandStep("cordon"), 0.08))
		b.Member.Ready = append(b.Member.Ready, w.commandStep("uncordon"))
		b.Member.Ready[0].Attempts = 1 + w.IntN(5)
	}
	for i := range 1 + w.IntN(2) {
		st := w.commandStep(fmt.Sprint("restart", i+1))
		st.Command = "restart"
		if w.chance(0.2) {
			st.Attempts = 2 + w.IntN(2)
		}
		b.Member.Do = append(b.Member.Do, w.hold(st, 0.05))
	}
	alive := runbook.Step{Name: "alive", Kind: action.HTTP, With: map[string]string{"url": "{{member.url}}"}, Estimate: w.between(second, 10*second), Attempts: 3 + w.IntN(30)}
	b.Member.Await = append(b.Member.Await, alive)
	if w.chance(0.3) {
		b.Member.Await = append(b.Member.Await, runbook.Step{Name: "synced", Kind: action.Check, On: runbook.Self, Command: "synced", Estimate: w.between(second, 5*second), Attempts: 3 + w.IntN(20)})
	}
	for i := range w.IntN(3) {
		b.After = append(b.After, w.onceStep(s, fmt.Sprint("after", i+1)))
	}
	s.book = b
	s.index()
}

func (w *world) drawProofs(s *service, b *runbook.Book) {
	age := func(c runbook.Check) runbook.Check {
		c.Settle = w.between(0, 15*second)
		if w.chance(0.6) {
			c.Fresh = w.between(4*second, 40*second)
		}
		return c
	}
	quick := w.between(200*time.Millisecond, second)
	switch w.IntN(8) {
	case 0:
		return
	case 1, 2, 3:
		s.proof = proveOthers
		b.Prove = append(b.Prove, age(runbook.Check{Step: runbook.Step{Name: "others", Kind: action.HTTP, On: runbook.Others, With: map[string]string{"url": "{{member.url}}"}, Estimate: quick}}))
	case 4, 5:
		s.proof = proveOthers
		b.Prove = append(b.Prove, age(runbook.Check{Step: runbook.Step{Name: "ok-to-stop", Kind: action.Check, On: runbook.Self, Command: "ok-to-stop", Estimate: quick}}))
	default:
		s.proof = proveEnough
		b.Prove = append(b.Prove, age(runbook.Check{Step: runbook.Step{Name: "enough", Kind: action.Query, With: map[string]string{"url": "x", "query": "serving", "op": ">=", "value": fmt.Sprint(s.enough())}, Estimate: quick}}))
	}
	// What a check still says of before is what its runbook's author has to know.
	settle := b.Prove[0].Settle
	s.lag, s.wrong = w.between(0, settle), settle
}

// hold has a step wait for a person, or for time, at times.
func (w *world) hold(st runbook.Step, p float64) runbook.Step {
	st.Approval = w.chance(p)
	st.NoReturn = w.chance(p / 4)
	if w.chance(p / 2) {
		st.Soak = w.between(second, 20*time.Minute)
	}
	return st
}

func (w *world) onceStep(s *service, name string) runbook.Step {
	st := runbook.Step{Name: name, Kind: action.HTTP, On: runbook.All, With: map[string]string{"url": "{{member.url}}"}, Estimate: w.between(second, 5*second), Attempts: 2 + w.IntN(20)}
	switch w.IntN(4) {
	case 0:
		st.Kind, st.Command, st.With = action.Backup, "backup", nil
	case 1:
		st.Kind, st.Command, st.With = action.Command, "flags", nil
		if s.manager != nil && w.chance(0.5) {
			st.On = runbook.Manager
		}
	}
	if st.On == runbook.All && w.chance(0.3) {
		st.On = runbook.First
		if w.chance(0.5) {
			st.On = runbook.Last
		}
	}
	return w.hold(st, 0.1)
}

func (w *world) balanceStep(name string) runbook.Step {
	return runbook.Step{
		Name: name, Kind: action.Balance, On: runbook.Proxies, Estimate: w.between(second, 15*second), Attempts: 1 + w.IntN(8),
		With: map[string]string{"proxy": "{{proxy.socket}}", "backend": "back", "server": "{{member.name}}", "state": name},
	}
}

func (w *world) commandStep(name string) runbook.Step {
	return runbook.Step{Name: name, Kind: action.Command, On: runbook.Self, Command: name, Estimate: w.between(second, 40*second)}
}

// open opens the run on a service, in a window that is long enough.
func (w *world) open(s *service) {
	j := w.jobs[slices.Index(w.services, s)]
	hosts := map[string]string{}
	for _, m := range s.members {
		hosts[m.name] = m.host.id
	}
	written := s.book
	written.Budget = max(written.Budget, time.Minute) // those without are of former versions
	if err := written.Validate(); err != nil {
		w.blame("world", "%v", err)
		return
	}
	length := w.between(time.Minute, 30*time.Minute)
	if w.chance(0.5) {
		length = w.between(30*time.Minute, 8*time.Hour)
	}
	length = length.Truncate(second)
	weekly := w.chance(0.4)
	override := w.chance(0.1)
	lead := w.between(0, 30*time.Minute)
	var err error
	for ; length < 24*time.Hour; length *= 2 {
		var o run.Opening
		if o, err = w.opening(j, weekly, override, lead, length); err != nil {
			break
		}
		for _, name := range s.book.Claims {
			o.Claims = append(o.Claims, run.NameKey("p", name))
		}
		var r run.Run
		if r, _, err = run.OpenBook(o, run.Book{Runbook: s.book, Service: *s.target.Service, Hosts: hosts, Manager: s.target.Service.Manager}, nil, w.now); err == nil {
			j.run = r
			break
		}
		if !fault.Is(err, fault.KindInvalid) {
			break
		}
	}
	if err != nil {
		w.blame("world", "%v", err)
		return
	}
	w.tally.Runs++
	w.tell("%s  opens on %s: weekly %v, %v, %d members, quorum %d, group %q", j.run.ID, s.target.ID, weekly, length, len(s.members), s.target.Service.Quorum, s.target.Group)
	w.nudge(j, w.now)
	w.meddle(j)
}

// opening is for a window of that length: once, from now, or each week.
func (w *world) opening(j *job, weekly, override bool, lead, length time.Duration) (run.Opening, error) {
	id := "run-" + j.service.target.ID
	if !weekly {
		o, err := run.Now(id, j.service.target, fleet.DefaultPolicy(), "user/ada", "", length, override, w.now)
		start := w.now.Truncate(second)
		j.spans = []window.Span{{Start: start, End: start.Add(length)}}
		return o, err
	}
	start := w.now.Add(lead).Truncate(second)
	r, err := window.Weekly(start.Weekday(), start.Format("15:04:05"), "UTC")
	if err != nil {
		return run.Opening{}, err
	}
	j.spans = nil
	for week := range 40 {
		at := start.AddDate(0, 0, 7*week)
		j.spans = append(j.spans, window.Span{Start: at, End: at.Add(length)})
	}
	o := run.Opening{ID: id, Target: j.service.target, Schedule: "sch", By: "schedule/weekly", Policy: fleet.DefaultPolicy(), Window: window.Window{Recurrence: r, Duration: length}}
	if override {
		o.Override = plan.Override{By: "user/ada", Freeze: true}
	}
	return o, nil
}
