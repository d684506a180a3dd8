// Package agenttest pretends to be a host, for tests and simulation: packages
// that are pending, that fail, that want a reboot, commands that have names,
// work that takes its time,
// an agent that is killed at any write, power that fails. It keeps book of
// every installation and reboot with its instant, so that a test can say what
// must never have happened.
//
// Time is package time's: in a testing/synctest bubble a week takes no time.
// The real agent runs on it; only hands and disk are pretended.
package agenttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent"
)

// ErrKilled is the error of everything that a killed process still tries.
var ErrKilled = errors.New("the process was killed")

// Package is a package of a pretended host.
type Package struct {
	Name        string
	Installed   string        // version
	Candidate   string        // the version that the repository has
	Security    bool          // the candidate comes from a security archive
	Takes       time.Duration // to install
	Fails       string        // why the candidate's postinst fails; empty: it does not
	WantsReboot bool          // the candidate wants one
	Held        bool
}

// Command is a command that the pretended host's owner has a name for.
type Command struct {
	Name  string
	Takes time.Duration
	Fails string // what it says before it ends with exit code 1; empty: it succeeds
}

// Config is what a pretended host is like. Durations may be zero.
type Config struct {
	Name         string
	Packages     []Package
	Commands     []Command
	LookTakes    time.Duration
	RefreshTakes time.Duration
	FetchTakes   time.Duration // of each package that is downloaded
	Shutdown     time.Duration // from the reboot command to the end of all processes
	Down         time.Duration // from there to the next boot
	Restart      time.Duration // from the agent's end to its next start
}

// Event is one thing that happened to the host, with its instant.
type Event struct {
	At      time.Time
	What    What
	Key     string      // the order that did it
	Kind    action.Kind // of the order
	Package string
	Version string
	Command string // the name, of an order that runs one
}

// What an event is.
type What string

// The events.
const (
	Began     What = "began"     // an order's work began
	Finished  What = "finished"  // an order's work ended by itself
	Installed What = "installed" // a package has another version
	Pretended What = "pretended" // a dry run was answered
	PowerOff  What = "power off" // all processes are gone
	Booted    What = "booted"
)

// World is one pretended host. All methods may be called from any goroutine.
type World struct {
	cfg Config

	mu       sync.Mutex
	disk     map[string][]byte // the agent's journal
	packages map[string]*pack
	commands map[string]Command
	failing  map[string]failing // by command
	again    map[string]bool    // checks that were made a second time
	boot     int
	reboot   []string // packages that want one; gone after a boot
	fresh    time.Time
	dead     string // why the repository does not answer
	stuck    int    // reboots that will not happen
	locked   time.Time
	events   []Event
	works    map[string]*work
	agent    *Life
	powerCut context.CancelFunc
	steps    int
	crashAt  int
	crash    Crash
}

// pack is a package with the state that it is in.
type pack struct {
	Package
	listed string // the candidate that the host's lists know
	secure bool
	half   bool // unpacked, not configured
}

// failing is how often a command will fail yet, and what it says.
type failing struct {
	why   string
	times int
}

// work is what an order set going. It outlives the agent, not the boot.
type work struct {
	ended  chan struct{}
	result action.Result // valid once ended is closed; zero if the power failed before
}

// Crash is how a crash comes.
type Crash int

// The crashes.
const (
	KillAgent Crash = iota // kill -9 of the agent
	CutPower               // of the host
)

// New makes a host that is off, with lists as fresh as its repository.
func New(cfg Config) *World {
	w := &World{
		cfg: cfg, disk: map[string][]byte{}, packages: map[string]*pack{}, works: map[string]*work{}, fresh: time.Now(),
		commands: map[string]Command{}, failing: map[string]failing{}, again: map[string]bool{},
	}
	w.Publish(cfg.Packages...)
	w.Name(cfg.Commands...)
	w.list()
	return w
}

// Run is the host's life until ctx ends: it boots, starts the agent that
// configure describes, starts it again when it was killed, and boots again
// after a reboot or a power cut. configure must use the hands and journal of
// the life that it is given.
func (w *World) Run(ctx context.Context, configure func(*Life) agent.Config) error {
	for ctx.Err() == nil {
		power, cut := context.WithCancel(ctx)
		w.mu.Lock()
		w.boot++
		w.reboot, w.powerCut, w.works = nil, cut, map[string]*work{}
		w.note(Event{What: Booted})
		w.mu.Unlock()
		var err error
		for power.Err() == nil && err == nil {
			err = w.live(power, configure)
			sleep(power, w.cfg.Restart)
		}
		cut()
		w.settle()
		if err != nil {
			return err
		}
		sleep(ctx, w.cfg.Down)
	}
	return nil
}

// live is one life of the agent.
func (w *World) live(power context.Context, configure func(*Life) agent.Config) error {
	l := &Life{world: w, power: power}
	l.ctx, l.kill = context.WithCancel(power)
	defer l.kill()
	w.mu.Lock()
	w.agent = l
	w.mu.Unlock()
	a, err := agent.New(configure(l))
	if l.ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	return a.Run(l.ctx)
}

// settle waits until the power cut has ended all work.
func (w *World) settle() {
	w.mu.Lock()
	works := slices.Collect(maps.Values(w.works))
	w.note(Event{What: PowerOff})
	w.mu.Unlock()
	for _, k := range works {
		<-k.ended
	}
}

// Kill is kill -9 of the agent; its work goes on.
func (w *World) Kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strike(KillAgent)
}

// CutPower ends everything on the host at once; it boots again.
func (w *World) CutPower() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strike(CutPower)
}

// CrashAfter lets the host crash after n more steps of the agent: a step is
// the instant before or after a write of the journal or a call of the hands.
func (w *World) CrashAfter(n int, how Crash) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.crashAt, w.crash = w.steps+n, how
}

// Steps is how many steps the agent has made.
func (w *World) Steps() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps
}

func (w *World) strike(how Crash) {
	if w.agent != nil {
		w.agent.kill()
	}
	if how == CutPower && w.powerCut != nil {
		w.powerCut()
	}
}

// Publish puts packages into the repository. The host learns of it when its
// lists are fetched. An empty Installed leaves what the host has.
func (w *World) Publish(packages ...Package) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range packages {
		known := w.packages[p.Name]
		if known == nil {
			known = &pack{listed: p.Installed}
			w.packages[p.Name] = known
		}
		if p.Installed == "" {
			p.Installed = known.Installed
		}
		known.Package = p
	}
}

// Repository lets the repository fail with a reason; an empty one mends it.
func (w *World) Repository(dead string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = dead
}

// Busy lets somebody else hold the package manager's lock for a while.
func (w *World) Busy(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.locked = time.Now().Add(d)
}

// StickReboots lets the next n reboot commands have no effect.
func (w *World) StickReboots(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stuck = n
}

// Name gives commands their names, or other commands to known names.
func (w *World) Name(commands ...Command) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range commands {
		w.commands[c.Name] = c
	}
}

// FailCommand lets a command fail the next n times, and say why.
func (w *World) FailCommand(name, why string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing[name] = failing{why, n}
}

// BreakPackage leaves a package half configured, as a cut-off dpkg does.
func (w *World) BreakPackage(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.packages[name]; p != nil {
		p.half = true
	}
}

// Version is the version of a package that the host has.
func (w *World) Version(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.packages[name]; p != nil {
		return p.Installed
	}
	return ""
}

// Boots says how often the host has booted.
func (w *World) Boots() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.boot
}

// JournalSize is how many orders the agent's journal knows.
func (w *World) JournalSize() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.disk)
}

// Events lists what has happened, oldest first.
func (w *World) Events() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

// Twice says what was done twice that must be done once: an order begun twice.
// It is empty on a host that was treated well. A check may be made again.
func (w *World) Twice() []string {
	begun := map[string]int{}
	var twice []string
	for _, e := range w.Events() {
		if e.What != Began || e.Kind == action.Check {
			continue
		}
		begun[e.Key]++
		if begun[e.Key] == 2 {
			twice = append(twice, fmt.Sprintf("%s %s was begun twice, again at %s", e.Kind, e.Key, e.At))
		}
	}
	return twice
}

// note keeps an event. The caller holds w.mu.
func (w *World) note(e Event) {
	e.At = time.Now()
	w.events = append(w.events, e)
}

// list lets the host's lists know what the repository has.
func (w *World) list() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fresh = time.Now()
	for _, p := range w.packages {
		p.listed, p.secure = p.Candidate, p.Security
	}
}

func (w *World) bootID() string { return fmt.Sprintf("%s-boot-%d", w.cfg.Name, w.boot) }

// step counts, and lets the crash come that CrashAfter has asked for. The caller holds w.mu.
func (w *World) step(l *Life) error {
	if l.ctx.Err() != nil {
		return ErrKilled
	}
	w.steps++
	if w.crashAt != 0 && w.steps >= w.crashAt {
		w.crashAt = 0
		w.strike(w.crash)
		return ErrKilled
	}
	return nil
}

// memory is the pretended disk as a journal.
type memory struct{ l *Life }

func (m memory) Load() ([]agent.Record, error) {
	w := m.l.world
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []agent.Record
	for _, key := range slices.Sorted(maps.Keys(w.disk)) {
		var r agent.Record
		if err := json.Unmarshal(w.disk[key], &r); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (m memory) Save(r agent.Record) error {
	return m.change(func() error {
		text, err := json.Marshal(r)
		m.l.world.disk[r.Key] = text
		return err
	})
}

func (m memory) Delete(key string) error {
	return m.change(func() error {
		delete(m.l.world.disk, key)
		return nil
	})
}

// change does one write, which a crash finds done or not done.
func (m memory) change(write func() error) error {
	w := m.l.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.step(m.l); err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	return w.step(m.l)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
