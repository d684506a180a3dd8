package sim

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
	"upkeep/internal/agent/agenttest"
	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// A seed is one world of weeksPerSeed weeks; the last of them is free of
// faults, so that what was begun must come to its end.
const weeksPerSeed = 5

// everydayWeeks run with every "go test ./..."; UPKEEP_SIM_WEEKS asks for more.
const everydayWeeks = 40

// seedsThatFailed once found a fault, and stay.
var seedsThatFailed = []uint64{78, 1105, 1247}

func TestWeeks(t *testing.T) {
	weeks := everydayWeeks
	if s := os.Getenv("UPKEEP_SIM_WEEKS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		weeks = n
	}
	seeds := slices.Clone(seedsThatFailed)
	for n := range weeks / weeksPerSeed {
		seeds = append(seeds, uint64(n+1))
	}
	if s := os.Getenv("UPKEEP_SIM_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = []uint64{n}
	}
	var sum tally
	dir := t.TempDir()
	next := make(chan uint64)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for seed := range next {
				t.Run(fmt.Sprint("seed-", seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						simulate(t, seed, filepath.Join(dir, fmt.Sprint(seed, ".db")), &sum)
					})
					if t.Failed() {
						t.Logf("UPKEEP_SIM_SEED=%d repeats this", seed)
					}
				})
			}
		})
	}
	for _, seed := range seeds {
		next <- seed
	}
	close(next)
	workers.Wait()
	t.Logf("%d weeks: %d runs, %d packages installed, %d reboots, %d commands, %d crashes of a control plane", len(seeds)*weeksPerSeed,
		sum.runs.Load(), sum.installs.Load(), sum.reboots.Load(), sum.commands.Load(), sum.crashes.Load())
	if len(seeds) > 10 && (sum.installs.Load() == 0 || sum.reboots.Load() == 0 || sum.commands.Load() == 0 || sum.crashes.Load() == 0) {
		t.Error("the simulation simulates nothing")
	}
}

type tally struct{ runs, installs, reboots, commands, crashes atomic.Int64 }

// world is everything of one seed.
type world struct {
	t     *testing.T
	dice  *dice
	cloud *cloud
	desk  *desk.Desk
	hosts []*host
	room  int // how many of the redundancy group may be disrupted at once
	over  sync.WaitGroup
}

// host is one server with what was promised to its owner.
type host struct {
	*agenttest.World
	id       string
	name     string
	group    string
	schedule window.Window
	reboots  window.Window // the window that reboots have to themselves; zero: none
	nows     []now
}

// now is a person's explicit "now".
type now struct {
	span   window.Span
	freeze bool
}

var operator = desk.Caller{Principal: identity.Principal{Name: "ada", Role: identity.Operator}}

func simulate(t *testing.T, seed uint64, path string, sum *tally) {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	w := &world{t: t, dice: newDice(seed, "world")}
	w.cloud = &cloud{ctx: ctx, path: path, dice: newDice(seed, "cloud"), replicas: make([]*replica, 1+w.dice.n(2))}
	if err := w.cloud.open(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		end()
		w.over.Wait()
		w.cloud.over.Wait()
		if err := w.cloud.db.Close(); err != nil {
			t.Error(err)
		}
		_ = os.Remove(path)
	}()
	w.desk = desk.New(personsDB{w.cloud}, w.cloud.newID, w.cloud.nudgeEngines)
	w.furnish(seed)
	w.cloud.faults.Store(true)
	w.over.Go(w.cloud.keep)
	for _, h := range w.hosts {
		w.live(ctx, h, seed)
	}
	start := time.Now()
	for week := range weeksPerSeed {
		w.newWeek(week)
		if week == weeksPerSeed-1 {
			w.calm()
		}
		rest := time.Until(start.Add(time.Duration(week+1) * 7 * 24 * time.Hour))
		if week < weeksPerSeed-1 {
			w.disturb(rest)
		} else {
			time.Sleep(rest)
		}
	}
	w.judge(sum)
	sum.crashes.Add(int64(w.cloud.crashes))
}

// personsDB is the database as persons reach it: past the faults, whoever is up.
type personsDB struct{ c *cloud }

func (p personsDB) View(_ context.Context, f func(store.Tx) error) error   { return p.c.view(f) }
func (p personsDB) Update(_ context.Context, f func(store.Tx) error) error { return p.c.update(f) }
func (p personsDB) Claim(context.Context, string, int, time.Duration) ([]store.Lease, time.Time, error) {
	return nil, time.Time{}, nil
}
func (p personsDB) Extend(context.Context, store.Lease, time.Duration) error { return nil }
func (p personsDB) Close() error                                             { return nil }

// furnish makes the servers with their schedules.
func (w *world) furnish(seed uint64) {
	d := w.dice
	group := ""
	if w.room = 1; d.chance(0.5) {
		group = "pair"
		w.describe(group)
	}
	for i := range 1 + d.n(3) {
		h := &host{name: fmt.Sprint("web-", i), group: group}
		cfg := agenttest.Config{
			Name: h.name, LookTakes: 200 * time.Millisecond, RefreshTakes: d.between(time.Second, time.Minute),
			FetchTakes: d.between(time.Second, 20*time.Second), Shutdown: time.Second,
			Down: d.between(20*time.Second, 3*time.Minute), Restart: time.Second,
		}
		for _, name := range []string{backupCommand, stopCommand, startCommand, healthCommand} {
			cfg.Commands = append(cfg.Commands, agenttest.Command{Name: name, Takes: d.between(0, time.Minute)})
		}
		for p := range 3 + d.n(6) {
			cfg.Packages = append(cfg.Packages, agenttest.Package{Name: fmt.Sprint("pkg-", p), Installed: "1.0", Candidate: "1.0"})
		}
		h.World = agenttest.New(cfg)
		t, _, err := w.desk.PutServer(w.cloud.ctx, operator, desk.ServerSpec{Name: h.name, Group: h.group})
		w.must(err)
		h.id = t.ID
		w.must(w.cloud.update(func(tx store.Tx) error { return tx.PutAgent(store.Agent{Target: t.ID, Key: agentKey}) }))
		at := time.Now().AddDate(0, 0, 1+d.n(6)).Add(d.between(0, 24*time.Hour)).Truncate(time.Second)
		zone := []string{"Europe/Berlin", "America/New_York", "UTC", "Asia/Kolkata"}[d.n(4)]
		rrule := "DTSTART;TZID=" + zone + ":" + at.Format("20060102T150405") + " RRULE:FREQ=WEEKLY"
		if d.chance(0.2) {
			rrule = "DTSTART;TZID=" + zone + ":" + at.Format("20060102T150405") + " RRULE:FREQ=DAILY"
		}
		s, _, err := w.desk.PutSchedule(w.cloud.ctx, operator, desk.ScheduleSpec{
			Server: h.id, Name: "weekly", Enabled: true, RRule: rrule,
			Duration: d.between(20*time.Minute, 4*time.Hour).Truncate(time.Second), Policy: w.schedulePolicy(at),
			Missed: []fleet.MissedRule{fleet.MissedLate, fleet.MissedLate, fleet.MissedSkip, fleet.MissedAsk}[d.n(4)],
		})
		w.must(err)
		h.schedule, h.reboots = s.Window, s.Policy.RebootWindow
		w.hosts = append(w.hosts, h)
	}
}

func (w *world) policy() fleet.Policy {
	p := fleet.Policy{Batch: 1 + w.dice.n(5)}
	if w.dice.chance(0.3) {
		p.Prepare = 30 * time.Minute
	}
	p.Reboot = []fleet.RebootRule{fleet.RebootIfRequired, fleet.RebootIfRequired, fleet.RebootNever, fleet.RebootAlways}[w.dice.n(4)]
	if w.dice.chance(0.3) {
		p.Backup = backupCommand
	}
	if w.dice.chance(0.4) {
		p.Before, p.After = []string{stopCommand}, []string{startCommand}
	}
	if w.dice.chance(0.4) {
		p.Health = []string{healthCommand}
	}
	return p
}

// The commands that every host's owner has named.
const (
	backupCommand = "snapshot"
	stopCommand   = "stop"
	startCommand  = "start"
	healthCommand = "healthy"
)

// schedulePolicy is one that may have a window for reboots, some days after at.
func (w *world) schedulePolicy(at time.Time) fleet.Policy {
	p := w.policy()
	if !w.dice.chance(0.2) {
		return p
	}
	r, err := window.Weekly((at.Weekday()+time.Weekday(1+w.dice.n(5)))%7, at.Format("15:04"), "UTC")
	w.must(err)
	p.Reboot = fleet.RebootOwnWindow
	p.RebootWindow, err = window.New(r, w.dice.between(30*time.Minute, 3*time.Hour).Truncate(time.Second))
	w.must(err)
	return p
}

// describe gives the group its rules.
func (w *world) describe(group string) {
	d := w.dice
	w.room = 1 + d.n(2)
	spec := desk.GroupSpec{Name: group, MaxUnavailable: w.room}
	if d.chance(0.3) {
		spec.Canaries, spec.Soak = []string{"web-0"}, d.between(0, 3*24*time.Hour)
	}
	if d.chance(0.3) {
		spec.StopAfter = 1
	}
	_, _, err := w.desk.PutGroup(w.cloud.ctx, operator, spec)
	w.must(err)
}

// live lets a host boot and its agent dial.
func (w *world) live(ctx context.Context, h *host, seed uint64) {
	d := way{c: w.cloud, target: h.id, dice: newDice(seed, "way "+h.name)}
	jitter := newDice(seed, "agent "+h.name).r
	w.over.Go(func() {
		err := h.Run(ctx, func(l *agenttest.Life) agent.Config {
			return agent.Config{Hands: l.Hands(), Journal: l.Journal(), Door: d, Target: h.id, Rand: jitter, PollWait: 6 * time.Hour, ObserveEvery: 24 * time.Hour}
		})
		if err != nil && ctx.Err() == nil {
			w.t.Errorf("%s: %v", h.name, err)
		}
	})
}

// newWeek is what a week brings: packages, freezes.
func (w *world) newWeek(week int) {
	d := w.dice
	for _, h := range w.hosts {
		for p := range 3 {
			if !d.chance(0.6) {
				continue
			}
			pkg := agenttest.Package{
				Name: fmt.Sprint("pkg-", p), Candidate: fmt.Sprintf("%d.0", week+2),
				Takes: d.between(time.Second, 4*time.Minute), Security: d.chance(0.3), WantsReboot: d.chance(0.3),
			}
			if d.chance(0.15) && week < weeksPerSeed-1 {
				pkg.Fails = "post-installation script returned error exit status 1"
			}
			h.Publish(pkg)
		}
	}
	if d.chance(0.3) && week < weeksPerSeed-1 {
		start := time.Now().Add(d.between(0, 6*24*time.Hour))
		_, err := w.desk.CreateFreeze(w.cloud.ctx, operator, desk.FreezeSpec{Start: start, End: start.Add(d.between(time.Hour, 48*time.Hour)), Reason: "quarter's end"})
		w.must(err)
	}
}

// disturb is what goes wrong, and what persons do, until the week is over.
func (w *world) disturb(rest time.Duration) {
	end := time.Now().Add(rest)
	for {
		pause := w.dice.between(time.Minute, 30*time.Hour)
		// Most of it where it hurts: while windows are open.
		if h := w.hosts[w.dice.n(len(w.hosts))]; w.dice.chance(0.7) {
			if next, ok := h.schedule.Next(time.Now()); ok {
				pause = time.Until(next.Start.Add(w.dice.between(0, 20*time.Minute)))
			}
		}
		if time.Now().Add(pause).After(end) {
			time.Sleep(time.Until(end))
			return
		}
		time.Sleep(pause)
		w.mischief(w.hosts[w.dice.n(len(w.hosts))])
	}
}

func (w *world) mischief(h *host) {
	d := w.dice
	switch d.n(11) {
	case 0:
		h.Kill()
	case 1:
		h.CutPower()
	case 2:
		h.CrashAfter(1+d.n(40), agenttest.KillAgent)
	case 3:
		h.CrashAfter(1+d.n(40), agenttest.CutPower)
	case 4:
		h.Busy(d.between(time.Second, 10*time.Minute))
	case 5:
		h.Repository("the repository is dead")
		w.over.Go(func() {
			select {
			case <-time.After(30 * time.Minute):
			case <-w.cloud.ctx.Done():
			}
			h.Repository("")
		})
	case 6:
		w.person(h)
	case 7:
		w.updateNow(h)
	case 8:
		h.BreakPackage("pkg-0")
	case 9, 10:
		h.FailCommand([]string{backupCommand, stopCommand, startCommand, healthCommand}[d.n(4)], "no luck today", 1+d.n(8))
	}
}

// person pauses a run for a while, or aborts it.
func (w *world) person(h *host) {
	runs, err := w.desk.Runs(w.cloud.ctx, operator, desk.RunFilter{Server: h.id, Open: true})
	if err != nil || len(runs) == 0 {
		return
	}
	id := runs[0].ID
	if w.dice.chance(0.3) {
		_, _ = w.desk.Abort(w.cloud.ctx, operator, id, "changed my mind")
		return
	}
	if _, err := w.desk.Pause(w.cloud.ctx, operator, id); err != nil {
		return
	}
	pause := w.dice.between(time.Minute, 2*time.Hour)
	w.over.Go(func() {
		select {
		case <-time.After(pause):
		case <-w.cloud.ctx.Done():
			return
		}
		_, _ = w.desk.Resume(w.cloud.ctx, operator, id)
	})
}

func (w *world) updateNow(h *host) {
	length := w.dice.between(5*time.Minute, 2*time.Hour).Truncate(time.Second)
	n := now{freeze: w.dice.chance(0.5)}
	// The database may go down under the request, which is then made again:
	// without a key nobody could tell whether the first one was heard.
	caller := operator
	caller.Key = w.cloud.newID()
	r, err := w.desk.StartRun(w.cloud.ctx, caller, desk.RunSpec{
		Server: h.id, Duration: length, Reason: "urgent", OverrideFreeze: n.freeze, Policy: w.policy(),
	})
	switch {
	case err == nil:
		n.span, _ = r.Window.Next(r.Created.Add(-length))
		h.nows = append(h.nows, n)
	case !fault.Is(err, fault.KindConflict):
		w.t.Error(err)
	}
}

// calm ends all faults.
func (w *world) calm() {
	w.cloud.faults.Store(false)
	for _, h := range w.hosts {
		h.Repository("")
	}
	var paused []string
	w.must(w.cloud.view(func(tx store.Tx) error {
		runs, err := tx.Runs(store.RunFilter{Open: true})
		for _, r := range runs {
			if r.PausedBy != "" {
				paused = append(paused, r.ID)
			}
		}
		return err
	}))
	for _, id := range paused {
		_, err := w.desk.Resume(w.cloud.ctx, operator, id)
		if !fault.Is(err, fault.KindConflict) {
			w.must(err)
		}
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// judge holds the rules against what the hosts have seen.
func (w *world) judge(sum *tally) {
	var freezes []window.Freeze
	orders := map[string]store.Order{}
	w.must(w.cloud.view(func(tx store.Tx) error {
		var err error
		freezes, err = tx.Freezes("", time.Time{})
		return err
	}))
	for _, h := range w.hosts {
		for _, s := range h.Twice() {
			w.t.Errorf("rule 6: %s: %s", h.name, s)
		}
		for _, e := range h.Events() {
			if e.What == agenttest.Installed {
				sum.installs.Add(1)
			}
			if e.What == agenttest.Began && e.Command != "" {
				sum.commands.Add(1)
			}
			// What brings back is done whenever it must be.
			if e.What == agenttest.Began && e.Kind.Disrupts() && e.Command != startCommand {
				w.inTime(h, e, freezes, orders)
				if e.Kind == action.Reboot {
					sum.reboots.Add(1)
				}
			}
		}
		w.installedOnce(h)
		w.runsOf(h, sum)
	}
	w.neverBoth()
}

// inTime is rules 1 and 2.
func (w *world) inTime(h *host, e agenttest.Event, freezes []window.Freeze, orders map[string]store.Order) {
	freeze, frozen := window.Frozen(freezes, window.Span{Start: e.At, End: e.At.Add(1)})
	if _, ok := h.schedule.Current(e.At); ok && !frozen {
		w.startBy(h, e, orders)
		return
	}
	if _, ok := h.reboots.Current(e.At); ok && !frozen && (e.Kind == action.Reboot || e.Command == stopCommand) {
		w.startBy(h, e, orders)
		return
	}
	for _, n := range h.nows {
		if n.span.Contains(e.At) && (!frozen || n.freeze) {
			w.startBy(h, e, orders)
			return
		}
	}
	w.t.Errorf("rule 1: %s: %s %s began at %v, outside every window or in a freeze (%q)", h.name, e.Kind, e.Key, e.At, freeze.Reason)
}

func (w *world) startBy(h *host, e agenttest.Event, orders map[string]store.Order) {
	o, ok := orders[e.Key]
	if !ok {
		w.must(w.cloud.view(func(tx store.Tx) error {
			var err error
			o, err = tx.Order(e.Key)
			return err
		}))
		orders[e.Key] = o
	}
	if e.At.After(o.StartBy) {
		w.t.Errorf("rule 2: %s: %s began %v after the last instant that leaves it time", h.name, e.Key, e.At.Sub(o.StartBy))
	}
}

// installedOnce: no package is brought to the same version twice, unless it
// was put back in between.
func (w *world) installedOnce(h *host) {
	at := map[string]string{}
	for _, e := range h.Events() {
		if e.What != agenttest.Installed {
			continue
		}
		// What somebody else has broken may be put back once more.
		if at[e.Package] == e.Version && e.Kind == action.Install {
			w.t.Errorf("rule 6: %s: %s %s was installed twice, again by %s", h.name, e.Package, e.Version, e.Key)
		}
		at[e.Package] = e.Version
	}
}

// neverBoth is rules 3 and 8: of the redundancy group never more members are
// disrupted at once than there is room for.
func (w *world) neverBoth() {
	type edge struct {
		at    time.Time
		by    int // +1 where a disruption begins, -1 where it ends
		which string
	}
	var all []edge
	for _, h := range w.hosts {
		if h.group == "" {
			return
		}
		// What one host does at once counts once: one order at a time is under
		// way on it.
		under := map[string]bool{}
		for _, e := range h.Events() {
			switch {
			case e.What == agenttest.Began && e.Kind.Disrupts():
				under[e.Key] = true
				all = append(all, edge{e.At, 1, h.name + " " + e.Key})
			case e.What == agenttest.Finished || e.What == agenttest.PowerOff:
				for key := range under {
					if e.Key == key || e.What == agenttest.PowerOff {
						delete(under, key)
						all = append(all, edge{e.At, -1, h.name + " " + key})
					}
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.by, b.by)) })
	down := 0
	for _, e := range all {
		if down += e.by; down > w.room {
			w.t.Errorf("rule 3: %d members are disrupted at once, %d may be: %s began at %v", down, w.room, e.which, e.at)
		}
	}
}

// runsOf: every run has one beginning, at most one end, and a history that
// says what its result says; after a week without faults nothing is left.
func (w *world) runsOf(h *host, sum *tally) {
	var runs []run.Run
	facts := map[string][]history.Fact{}
	w.must(w.cloud.view(func(tx store.Tx) error {
		var err error
		if runs, err = tx.Runs(store.RunFilter{Target: h.id}); err != nil {
			return err
		}
		for _, r := range runs {
			if facts[r.ID], err = tx.Facts(store.FactFilter{Run: r.ID}); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, r := range runs {
		sum.runs.Add(1)
		count := map[history.Kind]int{}
		for _, f := range facts[r.ID] {
			count[f.Kind]++
		}
		ended := 0
		if r.State.Ended() {
			ended = 1
		}
		if count[history.RunOpened] != 1 || count[history.RunEnded] != ended || count[history.PackageSet] != len(r.Result.Changes) {
			w.t.Errorf("the history of %s (%s, %d changes) is not whole: %v\n%s", r.ID, r.State, len(r.Result.Changes), count, tell(facts[r.ID]))
		}
		w.aroundIt(h, r, facts[r.ID])
		_, open := h.schedule.Current(time.Now())
		if !r.State.Ended() && !open && (r.State != run.Waiting || len(r.Holds) > 0) {
			w.t.Errorf("after a calm week run %s is %s and holds %v; it waits for %+v\n%s", r.ID, r.State, r.Holds, r.Waits, tell(facts[r.ID]))
		}
	}
	if len(runs) == 0 {
		w.t.Errorf("%s was never updated", h.name)
	}
	w.nothingLeft(h, runs, facts)
}

// aroundIt: what a run does around its installations is done, and in order. A
// run that has ended has brought back what it took away (rule 10).
func (w *world) aroundIt(h *host, r run.Run, facts []history.Fact) {
	var stopped, started, installed, checked time.Time
	for _, e := range h.Events() {
		if id, _, _ := strings.Cut(e.Key, "/"); id != r.ID || e.What != agenttest.Began && e.What != agenttest.Installed {
			continue
		}
		switch {
		case e.Command == stopCommand:
			stopped = e.At
		case e.Command == startCommand:
			started = e.At
		case e.Command == healthCommand:
			checked = e.At
		case e.What == agenttest.Installed && e.Kind == action.Install:
			installed = e.At
			if slices.Contains(r.Policy.Before, stopCommand) && !stopped.After(started) {
				w.t.Errorf("%s: run %s installs %s at %v, and what comes before was not done\n%s", h.name, r.ID, e.Package, e.At, tell(facts))
			}
		}
	}
	if !r.State.Ended() {
		return
	}
	if !stopped.IsZero() && !started.After(stopped) {
		w.t.Errorf("rule 10: run %s has ended, stopped %s at %v and has not started it again\n%s", r.ID, h.name, stopped, tell(facts))
	}
	if r.State == run.Succeeded && len(r.Policy.Health) > 0 && !installed.IsZero() && !checked.After(installed) {
		w.t.Errorf("rule 7: run %s has succeeded and nobody looked whether %s is well after %v\n%s", r.ID, h.name, installed, tell(facts))
	}
}

// nothingLeft: in the last week, free of faults, packages that do not fail
// were installed, if the windows had time for them.
func (w *world) nothingLeft(h *host, runs []run.Run, facts map[string][]history.Fact) {
	target, err := w.desk.Server(w.cloud.ctx, operator, "", h.id)
	w.must(err)
	obs := target.Target.Observed
	for _, r := range runs {
		if r.State.Ended() {
			continue
		}
		open, ok := h.schedule.Current(time.Now())
		if ok && open.Start.Equal(r.Made.RefreshedFor) {
			return // it is at it
		}
		for _, wait := range r.Waits {
			if wait.Reason.Code == plan.Stale {
				w.t.Errorf("%s: run %s waits for facts in a calm week: %+v\n%s", h.name, r.ID, r.Waits, tell(facts[r.ID]))
			}
		}
		if r.Plan.ID == "" || r.Created.Before(time.Now().AddDate(0, 0, -15)) && !tried(facts[r.ID], 8) {
			w.t.Errorf("%s: run %s of %v does not move: %+v\n%s", h.name, r.ID, r.Created, r.Waits, tell(facts[r.ID]))
		}
	}
	if obs == nil {
		w.t.Errorf("%s was never looked at", h.name)
	}
}

// tried reports whether a run has started something within so many days.
func tried(facts []history.Fact, days int) bool {
	for _, f := range facts {
		if f.Kind == history.StepStarted && f.At.After(time.Now().AddDate(0, 0, -days)) {
			return true
		}
	}
	return false
}

func tell(facts []history.Fact) string {
	var b strings.Builder
	for _, f := range facts {
		fmt.Fprintf(&b, "%s %s %s %s\n", f.At.UTC().Format("01-02 15:04:05.000"), f.Who, f.Step, f.Text)
	}
	return b.String()
}
