package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/window"
)

// The rules of the house, held against random trees, windows, freezes, claims,
// clocks and failures. What a rule says is computed here by other means than
// Decide uses: from a record of what was under way when.

var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// drawTree makes a tree of sequences and rolling groups over numbered steps.
func drawTree(t *rapid.T, depth int, count *int, label string) Node {
	shape := rapid.SampledFrom([]Shape{Leaf, Leaf, Sequence, Rolling}).Draw(t, label+" shape")
	if depth == 0 {
		shape = Leaf
	}
	*count++
	id := fmt.Sprintf("n%d", *count)
	if shape == Leaf {
		return Node{ID: id, Shape: Leaf, Step: drawStep(t, id)}
	}
	n := Node{ID: id, Shape: shape}
	for i := range rapid.IntRange(1, 4).Draw(t, label+" children") {
		n.Children = append(n.Children, drawTree(t, depth-1, count, fmt.Sprintf("%s.%d", label, i)))
	}
	if shape == Rolling {
		n.Limits.MaxUnavailable = rapid.IntRange(1, 2).Draw(t, label+" maxUnavailable")
		n.Limits.Quorum = rapid.IntRange(0, len(n.Children)-1).Draw(t, label+" quorum")
		for i := range n.Children {
			n.Children[i].Member = fmt.Sprintf("%s-m%d", id, i)
			n.Children[i].Born = epoch.Add(time.Duration(i) * time.Hour)
		}
	}
	return n
}

func drawStep(t *rapid.T, id string) Step {
	est := time.Duration(rapid.IntRange(1, 90).Draw(t, id+" minutes")) * time.Minute
	s := Step{
		ID: "s-" + id, Target: "t", Action: action.Observe, Estimate: est, Timeout: 2 * est,
		Attempts: rapid.IntRange(1, 3).Draw(t, id+" attempts"),
	}
	if rapid.Bool().Draw(t, id+" disrupts") {
		s.Action, s.Disrupts = action.Install, true
	}
	switch rapid.IntRange(0, 9).Draw(t, id+" is special") {
	case 0:
		s.Action, s.Command, s.Disrupts, s.Closing = action.Command, "undrain", true, true
	case 1:
		s.Action, s.Command, s.Disrupts, s.Closing = action.Check, "healthy", false, true
	case 2:
		s.Action, s.Disrupts, s.OwnSlot = action.Reboot, true, true
	case 3:
		s.Tail = time.Duration(rapid.IntRange(1, 30).Draw(t, id+" tail")) * time.Minute
	}
	if rapid.IntRange(0, 3).Draw(t, id+" needs") == 0 {
		s.Needs = []string{"ready/" + id}
	}
	if rapid.Bool().Draw(t, id+" grace") {
		s.Grace = time.Hour
	}
	return s
}

// worldModel is a random world around one plan.
type worldModel struct {
	windows  []window.Span
	slots    []window.Span // those that reboots have to themselves
	missed   []bool        // by window: its start was missed, and it is to be left alone
	freezes  []window.Freeze
	override bool
	prepare  time.Duration
	lead     time.Duration
	notice   time.Time
	claimed  []window.Span // while another run holds the claim
	down     []string      // members that are down for other reasons, all the time
}

func drawWorld(t *rapid.T, root Node) worldModel {
	m := worldModel{override: rapid.IntRange(0, 4).Draw(t, "override") == 0}
	at := epoch
	for i := range rapid.IntRange(1, 6).Draw(t, "windows") {
		start := at.Add(time.Duration(rapid.IntRange(30, 600).Draw(t, fmt.Sprintf("gap %d", i))) * time.Minute)
		end := start.Add(time.Duration(rapid.IntRange(10, 300).Draw(t, fmt.Sprintf("length %d", i))) * time.Minute)
		m.windows = append(m.windows, window.Span{Start: start, End: end})
		m.missed = append(m.missed, rapid.IntRange(0, 5).Draw(t, fmt.Sprintf("missed %d", i)) == 0)
		if rapid.Bool().Draw(t, fmt.Sprintf("slot %d", i)) {
			m.slots = append(m.slots, window.Span{Start: start.Add(-20 * time.Minute), End: start.Add(100 * time.Minute)})
		}
		at = end
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "freezes") {
		start := epoch.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, fmt.Sprintf("freeze %d", i))) * time.Minute)
		m.freezes = append(m.freezes, window.Freeze{ID: fmt.Sprint(i), Reason: "freeze", Span: window.Span{Start: start, End: start.Add(3 * time.Hour)}})
	}
	if rapid.Bool().Draw(t, "prepares") {
		m.prepare = time.Hour
	}
	if rapid.Bool().Draw(t, "notice wanted") {
		m.lead = 2 * time.Hour
		if rapid.Bool().Draw(t, "notice published") {
			m.notice = epoch.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "notice at")) * time.Minute)
		}
	}
	if rapid.Bool().Draw(t, "claimed") {
		start := m.windows[rapid.IntRange(0, len(m.windows)-1).Draw(t, "claim in")].Start.Add(-30 * time.Minute)
		m.claimed = append(m.claimed, window.Span{Start: start, End: start.Add(2 * time.Hour)})
	}
	for _, n := range groups(root) {
		if rapid.IntRange(0, 3).Draw(t, n.ID+" has one down") == 0 {
			m.down = append(m.down, n.Children[rapid.IntRange(0, len(n.Children)-1).Draw(t, n.ID+" down")].Member)
		}
	}
	return m
}

func (m worldModel) at(now time.Time, lastAction time.Time, known map[string]Fact) World {
	w := World{
		Now: now, Length: 5 * time.Hour, Prepare: m.prepare, Freezes: m.freezes, NoticeLead: m.lead, NoticeAt: m.notice,
		ClaimKeys: []string{"target/t"}, Claims: map[string]string{}, Down: map[string]string{},
		Known: known, LastAction: lastAction, Override: Override{By: "user/ada", Freeze: m.override},
	}
	w.SlotLength = 2 * time.Hour
	for _, s := range m.slots {
		if s.Contains(now) {
			w.Slot = s
		}
		if s.Start.After(now) && w.SlotNext.IsZero() {
			w.SlotNext = s
		}
	}
	for i, s := range m.windows {
		if s.Contains(now) {
			w.Window, w.MissedStart = s, m.missed[i]
		}
		if s.Start.After(now) && w.Next.IsZero() {
			w.Next = s
		}
	}
	for _, s := range m.claimed {
		if s.Contains(now) {
			w.Claims["target/t"] = "other"
		}
	}
	for _, member := range m.down {
		w.Down[member] = "unreachable"
	}
	return w
}

func groups(n Node) []Node {
	var all []Node
	if n.Shape == Rolling {
		all = append(all, n)
	}
	for _, c := range n.Children {
		all = append(all, groups(c)...)
	}
	return all
}

// execution walks a plan through a random world and records what happened.
type execution struct {
	t        *rapid.T
	plan     Plan
	m        worldModel
	now      time.Time
	progress Progress
	known    map[string]Fact
	last     time.Time
	running  map[string]Step
	paused   bool
	failed   bool
	began    map[string][]string // rolling group → members in the order in which they began
}

func TestRulesHoldOnRandomTrees(t *testing.T) {
	started := 0
	rapid.Check(t, func(t *rapid.T) {
		count := 0
		root := drawTree(t, 3, &count, "root")
		p := Plan{ID: "p", Generation: 1, Root: root}
		if err := Check(p, Plan{}); err != nil {
			t.Fatalf("the checker refuses a sound plan: %v", err)
		}
		x := &execution{
			t: t, plan: p, m: drawWorld(t, root), now: epoch, progress: Progress{},
			known: map[string]Fact{}, running: map[string]Step{}, began: map[string][]string{},
		}
		for range 60 {
			started += x.turn()
		}
	})
	if started == 0 {
		t.Fatal("no step was ever started: the test looks at nothing")
	}
}

// turn lets something happen in the world, decides, checks the rules, and acts.
func (x *execution) turn() int {
	t := x.t
	x.now = x.now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "minutes pass")) * time.Minute)
	x.paused = rapid.IntRange(0, 9).Draw(t, "paused") == 0
	x.finishSome()
	for _, s := range x.plan.Root.Steps() {
		for _, need := range s.Needs {
			if rapid.Bool().Draw(t, "learn "+need) {
				x.known[need] = Fact{Holds: rapid.IntRange(0, 3).Draw(t, need) > 0, Seen: x.now}
			}
		}
	}
	w := x.m.at(x.now, x.last, x.known)
	if x.paused {
		w.PausedBy = "user/ada"
	}
	d := Decide(x.plan, x.progress, w)
	x.everythingIsAccountedFor(d)
	for _, s := range d.Start {
		x.mayStart(s, w)
	}
	for _, s := range d.Start {
		st := x.progress[s.Step.ID]
		st.Stage, st.Attempt, st.Ordered = Running, s.Attempt, x.now
		if st.First.IsZero() {
			st.First = x.now
		}
		x.progress[s.Step.ID] = st
		x.running[s.Step.ID] = s.Step
	}
	x.groupsAreWithinBudget(d)
	return len(d.Start)
}

func (x *execution) finishSome() {
	for _, s := range x.plan.Root.Steps() {
		if _, ok := x.running[s.ID]; !ok || !rapid.Bool().Draw(x.t, s.ID+" ends") {
			continue
		}
		delete(x.running, s.ID)
		st := x.progress[s.ID]
		switch {
		case rapid.IntRange(0, 4).Draw(x.t, s.ID+" fails") > 0:
			st.Stage = Done
		case st.Attempt < s.Attempts:
			st.Stage, st.RetryAt = Todo, x.now.Add(time.Minute)
		default:
			st.Stage, x.failed = Failed, x.failed || !s.Closing
		}
		st.Ended, x.last = x.now, x.now
		x.progress[s.ID] = st
	}
}

// mayStart asks every rule about one start.
func (x *execution) mayStart(start Start, w World) {
	t, s, now := x.t, start.Step, x.now
	st := x.progress[s.ID]
	if st.Stage == Running || st.Stage == Done || st.Stage == Failed {
		t.Fatalf("rule 6: %s is started and it is %s", s.ID, st.Stage)
	}
	if s.Closing {
		return // rule 10: it brings back what was taken away, whatever forbids the rest
	}
	if x.failed {
		t.Fatalf("rule 7: %s is started after a failure", s.ID)
	}
	if x.paused {
		t.Fatalf("%s is started while paused", s.ID)
	}
	open, slot := window.Span{}, window.Span{}
	for i, span := range x.m.windows {
		if span.Contains(now) {
			open = span
			if s.Disrupts && !s.OwnSlot && x.m.missed[i] {
				t.Fatalf("%s disrupts in a window that was missed", s.ID)
			}
		}
	}
	for _, span := range x.m.slots {
		if span.Contains(now) {
			slot = span
		}
	}
	switch {
	case s.OwnSlot:
		x.mayDisrupt(s, slot)
	case s.Disrupts:
		x.mayDisrupt(s, open)
	}
	if !s.Disrupts && open.IsZero() {
		early := false
		for _, span := range x.m.windows {
			early = early || x.m.prepare > 0 && now.Before(span.Start) && !now.Before(span.Start.Add(-x.m.prepare))
		}
		if !early {
			t.Fatalf("rule 1: %s prepares at %v, outside every window and its preparation", s.ID, now)
		}
	}
	for _, need := range s.Needs {
		f, ok := x.known[need]
		if !ok || !f.Holds || f.Seen.Before(x.last) {
			t.Fatalf("rule 4: %s is started and %q is %+v, last action at %v", s.ID, need, f, x.last)
		}
	}
	if start.Force && (st.First.IsZero() || now.Before(st.First.Add(time.Hour))) {
		t.Fatalf("rule 5: %s is forced %v after its first attempt", s.ID, now.Sub(st.First))
	}
	if !start.Force && s.Grace > 0 && !st.First.IsZero() && !now.Before(st.First.Add(time.Hour)) {
		t.Fatalf("rule 5: %s is not forced %v after its first attempt", s.ID, now.Sub(st.First))
	}
}

func (x *execution) mayDisrupt(s Step, open window.Span) {
	t, now := x.t, x.now
	if open.IsZero() {
		t.Fatalf("rule 1: %s disrupts at %v, outside every window", s.ID, now)
	}
	if now.Add(s.Estimate + s.Tail).After(open.End) {
		t.Fatalf("rule 2: %s of %v is started %v before the end", s.ID, s.Estimate, open.End.Sub(now))
	}
	for _, f := range x.m.freezes {
		if x.m.override {
			break
		}
		if f.Span.Overlaps(window.Span{Start: now, End: now.Add(s.Estimate)}) {
			t.Fatalf("rule 1: %s disrupts in a freeze", s.ID)
		}
	}
	for _, c := range x.m.claimed {
		if c.Contains(now) {
			t.Fatalf("rule 8: %s disrupts what another run holds", s.ID)
		}
	}
	if x.m.lead > 0 && (x.m.notice.IsZero() || now.Sub(x.m.notice) < x.m.lead) {
		t.Fatalf("rule 9: %s disrupts without a notice %v before", s.ID, x.m.lead)
	}
}

// groupsAreWithinBudget counts, after the starts, who is down in every group.
func (x *execution) groupsAreWithinBudget(d Decision) {
	for _, g := range groups(x.plan.Root) {
		down, ours := 0, 0
		for _, m := range g.Children {
			ended, begun := true, false
			for _, s := range m.Steps() {
				st := x.progress[s.ID]
				ended = ended && (st.Stage == Done || st.Stage == Failed && s.Closing)
				begun = begun || st.Attempt > 0
			}
			elsewhere := false
			for _, name := range x.m.down {
				elsewhere = elsewhere || name == m.Member
			}
			if begun && !ended || elsewhere {
				down++
			}
			if begun && !ended && !elsewhere {
				ours++
			}
			if begun && !contains(x.began[g.ID], m.Member) {
				x.began[g.ID] = append(x.began[g.ID], m.Member)
			}
		}
		if ours > 0 && down > g.Limits.MaxUnavailable {
			x.t.Fatalf("rule 3: %d of group %s are down, at most %d may be", down, g.ID, g.Limits.MaxUnavailable)
		}
		if ours > 0 && len(g.Children)-down < g.Limits.Quorum {
			x.t.Fatalf("rule 3: %d of group %s are up, quorum is %d", len(g.Children)-down, g.ID, g.Limits.Quorum)
		}
		for i, member := range x.began[g.ID] {
			if want := g.Children[i].Member; member != want {
				x.t.Fatalf("rule 4: %s began before the older %s", member, want)
			}
		}
	}
}

// everythingIsAccountedFor: a step starts, or waits for one typed reason, or has ended.
func (x *execution) everythingIsAccountedFor(d Decision) {
	seen := map[string]int{}
	for _, s := range d.Start {
		seen[s.Step.ID]++
	}
	for _, w := range d.Waits {
		seen[w.Step]++
		if words := w.Reason.Words("de", time.UTC); w.Reason.Code == "" || words == "" || words == string(w.Reason.Code) {
			x.t.Fatalf("step %s waits without words for %q", w.Step, w.Reason.Code)
		}
	}
	done := true
	for _, s := range x.plan.Root.Steps() {
		want := 1
		switch x.progress[s.ID].Stage {
		case Done, Failed:
			want = 0
		}
		done = done && (x.progress[s.ID].Stage == Done || x.progress[s.ID].Stage == Failed && s.Closing)
		if seen[s.ID] != want {
			x.t.Fatalf("step %s in stage %q stands %d times in the decision", s.ID, x.progress[s.ID].Stage, seen[s.ID])
		}
	}
	if d.Done != done {
		x.t.Fatalf("done is %v, it should be %v", d.Done, done)
	}
}

// TestGroupsKeepTheirRules looks at one member's step in random groups: rules 3, 7 and 8.
func TestGroupsKeepTheirRules(t *testing.T) {
	started := 0
	rapid.Check(t, func(t *rapid.T) {
		w, room := drawGroup(t)
		step := Step{ID: "s", Target: "t", Action: action.Install, Disrupts: true, Estimate: time.Minute, Timeout: time.Hour, Attempts: 1}
		d := Decide(Plan{ID: "p", Generation: 1, Root: Node{ID: "n", Shape: Leaf, Step: step}}, Progress{}, w)
		if len(d.Start) == 0 {
			if len(d.Waits) != 1 || d.Waits[0].Reason.By == "" {
				t.Fatalf("it waits and nobody is named: %+v", d.Waits)
			}
			return
		}
		started++
		free, gone, failed := 0, 0, 0
		for _, key := range w.ClaimOne {
			if w.Claims[key] == "" {
				free++
			}
		}
		for _, m := range w.Group.Others {
			if m.Down != "" && !m.Busy {
				gone++
			}
			if m.Last.Run != "" && !m.Last.Succeeded && !m.Last.Aborted {
				failed++
			}
		}
		switch {
		case free == 0:
			t.Fatal("rule 8: every place is taken")
		case gone > 0 && room-free+gone+1 > room:
			t.Fatalf("rule 3: %d places are taken, %d are down, and there are %d", room-free, gone, room)
		case w.Override.By == "" && w.Group.Rules.StopAfter > 0 && failed >= w.Group.Rules.StopAfter:
			t.Fatalf("rule 7: %d failed, and the group stops after %d", failed, w.Group.Rules.StopAfter)
		}
		for _, name := range w.Group.Rules.Canaries {
			i := slices.IndexFunc(w.Group.Others, func(m Member) bool { return m.Name == name })
			if w.Override.By != "" || slices.Contains(w.Group.Rules.Canaries, w.Group.Self) {
				break
			}
			if i < 0 || !w.Group.Others[i].Last.Succeeded || w.Now.Sub(w.Group.Others[i].Last.Finished) < w.Group.Rules.Soak {
				t.Fatalf("canary %s has not run well for %v", name, w.Group.Rules.Soak)
			}
		}
	})
	if started == 0 {
		t.Fatal("no step was ever started: the test looks at nothing")
	}
}

func drawGroup(t *rapid.T) (w World, room int) {
	room = rapid.IntRange(1, 3).Draw(t, "room")
	w = World{
		Now: epoch, Window: window.Span{Start: epoch, End: epoch.Add(time.Hour)}, Length: time.Hour, Claims: map[string]string{},
		Group: Group{Self: "self", Rules: fleet.Group{
			MaxUnavailable: room, StopAfter: rapid.IntRange(0, 2).Draw(t, "stop after"),
			Soak: time.Duration(rapid.IntRange(0, 2).Draw(t, "soak")) * 24 * time.Hour,
		}},
	}
	if rapid.IntRange(0, 5).Draw(t, "override") == 0 {
		w.Override.By = "user/ada"
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "canaries") {
		w.Group.Rules.Canaries = append(w.Group.Rules.Canaries, []string{"self", "m0", "m1"}[(i+rapid.IntRange(0, 2).Draw(t, "which"))%3])
	}
	for i := range room {
		key := fmt.Sprint("group/p/g#", i)
		w.ClaimOne = append(w.ClaimOne, key)
		if rapid.IntRange(0, 2).Draw(t, key) == 0 {
			w.Claims[key] = "other"
		}
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "others") {
		m := Member{Name: fmt.Sprint("m", i), Busy: rapid.Bool().Draw(t, "busy")}
		if rapid.IntRange(0, 3).Draw(t, "down") == 0 {
			m.Down = "not heard of"
		}
		if rapid.IntRange(0, 3).Draw(t, "updated") > 0 {
			m.Last = fleet.Last{Run: "r", Succeeded: rapid.IntRange(0, 3).Draw(t, "well") > 0, Finished: epoch.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "hours")) * time.Hour)}
		}
		w.Group.Others = append(w.Group.Others, m)
	}
	return w, room
}

func contains(all []string, one string) bool {
	return slices.Contains(all, one)
}

func TestCheckRefusesUnsoundPlans(t *testing.T) {
	step := func(id string) Node {
		return Node{ID: id, Shape: Leaf, Step: Step{ID: "s-" + id, Target: "t", Action: action.Install, Disrupts: true, Estimate: time.Minute, Timeout: time.Hour, Attempts: 1}}
	}
	sound := func() Plan {
		a, b := step("a"), step("b")
		a.Member, b.Member = "a", "b"
		a.Born, b.Born = epoch, epoch.Add(time.Hour)
		return Plan{ID: "p", Generation: 1, Root: Node{ID: "r", Shape: Rolling, Limits: Limits{MaxUnavailable: 1, Quorum: 1}, Children: []Node{a, b}}}
	}
	if err := Check(sound(), Plan{}); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Plan){
		"no id":                 func(p *Plan) { p.ID = "" },
		"its parent is":         func(p *Plan) { p.Parent = "x" },
		"its generation is":     func(p *Plan) { p.Generation = 3 },
		"two nodes":             func(p *Plan) { p.Root.Children[1].ID = "a" },
		"stands twice":          func(p *Plan) { p.Root.Children[1].Step.ID = "s-a" },
		"is empty":              func(p *Plan) { p.Root.Children = nil },
		"unknown shape":         func(p *Plan) { p.Root.Shape = "star" },
		"not marked":            func(p *Plan) { p.Root.Children[0].Step.Disrupts = false },
		"the estimate":          func(p *Plan) { p.Root.Children[0].Step.Estimate = 0 },
		"the timeout":           func(p *Plan) { p.Root.Children[0].Step.Timeout = time.Second },
		"may be tried":          func(p *Plan) { p.Root.Children[0].Step.Attempts = 0 },
		"no target":             func(p *Plan) { p.Root.Children[0].Step.Target = "" },
		"no action":             func(p *Plan) { p.Root.Children[0].Step.Action = "" },
		"has package":           func(p *Plan) { p.Root.Children[0].Step.Packages = []action.Package{{Name: "x"}} },
		"has children":          func(p *Plan) { p.Root.Children[0].Children = []Node{step("c")} },
		"oldest first":          func(p *Plan) { p.Root.Children[0].Born = epoch.Add(9 * time.Hour) },
		"may never start":       func(p *Plan) { p.Root.Limits.MaxUnavailable = 0 },
		"never spare a member":  func(p *Plan) { p.Root.Limits.Quorum = 2 },
		"can bring nothing":     func(p *Plan) { p.Root.Children[0].Step.Closing = true },
		"with the command":      func(p *Plan) { p.Root.Children[0].Step.Command = "rm" },
		"twice or without a na": func(p *Plan) { p.Root.Children[1].Member = "a" },
		"deeper": func(p *Plan) {
			n := step("deep")
			for i := range 20 {
				n = Node{ID: fmt.Sprint("d", i), Shape: Sequence, Children: []Node{n}}
			}
			p.Root = n
		},
	} {
		p := sound()
		spoil(&p)
		err := Check(p, Plan{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a refusal with %q, got %v", want, err)
		}
	}
}

// What needs a whole window would never be begun in time: it is told before.
func TestNeverFitsCountsReaction(t *testing.T) {
	s := Step{ID: "s", Target: "t", Action: action.Install, Disrupts: true, Estimate: time.Minute, Timeout: time.Hour, Attempts: 1}
	p := Plan{ID: "p", Generation: 1, Root: Node{ID: "r", Shape: Leaf, Step: s}}
	for length, want := range map[time.Duration]int{time.Minute + Reaction - 1: 0, time.Minute + Reaction: 1} {
		d := Decide(p, Progress{}, World{Now: epoch, Window: window.Span{Start: epoch, End: epoch.Add(length)}, Length: length})
		if len(d.Start) != want || want == 0 && d.Waits[0].Reason.Code != NeverFits {
			t.Errorf("in %v: %+v", length, d)
		}
	}
}
