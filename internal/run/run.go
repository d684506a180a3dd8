// Package run is a run's state machine, and pure: (run, event, now) → run,
// orders, facts. The engine feeds it; nothing here acts or reads a clock.
//
//	         ┌──────── next occurrence ────────┐
//	         ▼                                 │
//	open → waiting ⇄ working ── nothing left ──┴→ succeeded | failed
//	          │  ▲       │
//	       paused┘       └─ abort, once nothing is under way → aborted
//
// The stored run is authoritative; a crash loses nothing but the tick that was
// under way, which has no effect until it is committed whole.
package run

import (
	"fmt"
	"maps"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/plan"
	"upkeep/internal/window"
)

// State is where a run is.
type State string

// The states of a run; the last three are ends.
const (
	Waiting   State = "waiting" // something is left, and nothing of it may start yet
	Working   State = "working" // something is under way
	Paused    State = "paused"  // a person holds it
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Aborted   State = "aborted"
)

// Ended reports whether s is an end.
func (s State) Ended() bool { return s == Succeeded || s == Failed || s == Aborted }

// Run is one execution of a maintenance.
type Run struct {
	ID       string
	Number   int64 // 1, 2, … on its target
	Project  string
	Target   string // the target's id
	Name     string // the target's name, for people
	Group    string // the target's redundancy group
	Schedule string // the schedule's id; empty for a run that a person asked for
	Rollout  string // the id of the rollout that has opened it; empty: none
	By       string // "schedule/NAME", "rollout/TRAIN" or "user/NAME"
	Reason   string // why a person asked for it
	State    State
	Policy   fleet.Policy
	Missed   fleet.MissedRule
	Since    time.Time // it can't have missed a start before this
	Window   window.Window
	Override plan.Override
	NoticeAt time.Time // when the notice was published

	Plan     plan.Plan
	Progress plan.Progress
	Waits    []plan.Wait // what waited at the last tick, and why
	Claims   []string    // keys that it must hold besides its target's
	Holds    []string    // the claims it holds

	Book   *Book // of a run of a runbook; nil of a server's update
	Made   Made
	Result Result

	PausedBy  string
	AbortedBy string

	Created  time.Time
	Started  time.Time // the first order
	Finished time.Time
	Revision int64 // for compare-and-set; the store counts it
}

// Made is what a run has done so far, as its recipe needs to know it.
type Made struct {
	RefreshedFor time.Time // the start of the occurrence that the lists were fetched for
	LastOrder    string    // the key of the last order that ended
	LastEnded    time.Time // when we learnt of its end
	LastSeen     bool      // its answer showed what the target looks like since
	Settled      map[string]string
	Failed       map[string]string
	Before       map[string]string
	Repairs      int
	Restores     int
	DryRun       bool // the host only says what it would do
	Idle         int  // installations in a row that changed nothing and named nobody
	Silent       time.Time

	BegunFor  time.Time // the start of the newest occurrence in which the server has answered
	MissedFor time.Time // the start of the newest occurrence that was missed
	Entered   bool      // the commands that come before have begun, and those that come after are due
	BackedFor time.Time // the start of the newest occurrence for which a backup was made
	Postponed bool      // what is pending is left to the occurrence that was picked for it
	Unproved  bool      // something was changed since the health was last checked
	Stop      string    // why the run ends once what is to be brought back has been; empty: it goes on
	StopState State     // and how
}

// Result is what a run has come to; it grows while the run works.
type Result struct {
	Changes  []action.Change
	Would    []action.Change // what a dry run would have changed
	Failures []action.Failure
	Reboots  int
	Left     []string // wanted, and not done when the run ended
	Text     string   // one sentence, once it has ended
}

// Next is what a tick wants done, in the transaction that stores the run.
type Next struct {
	Orders   []Order
	Withdraw []string // keys of orders that may no longer begin: expire them unless they were handed out
	Facts    []history.Fact
	Samples  []Sample    // what the target's pace has shown
	Last     *fleet.Last // how the run ended, if it has and it says something of the target
	Wake     time.Time   // when to tick again at the latest; zero: never
}

// Order is an order, and the instant after which it may not begin.
type Order struct {
	action.Order
	StartBy time.Time
	Here    bool // for the control plane's own hands, not for an agent
}

// Sample is one duration for the target's pace.
type Sample struct {
	Kind action.Kind
	fleet.Sample
}

// Opening says what run to open.
type Opening struct {
	ID       string
	Target   fleet.Target
	Schedule string
	By       string
	Reason   string
	Policy   fleet.Policy
	Missed   fleet.MissedRule
	Since    time.Time // when it could have begun at the earliest; zero: now
	Window   window.Window
	Override plan.Override
	Only     string   // of a runbook: the one member that is maintained; empty: all that it is for
	Claims   []string // keys that it must hold besides its target's; store.OpenBook takes names, such as region/eu01
}

// Open makes a run. It does nothing yet; its first tick does.
func Open(o Opening, now time.Time) (Run, []history.Fact) {
	r := Run{
		ID: o.ID, Project: o.Target.Project, Target: o.Target.ID, Name: o.Target.Name, Group: o.Target.Group,
		Schedule: o.Schedule, By: o.By, Reason: o.Reason, State: Waiting,
		Policy: o.Policy.WithDefaults(), Missed: o.Missed, Since: o.Since, Window: o.Window, Override: o.Override, Claims: o.Claims,
		Created: now, Progress: plan.Progress{},
	}
	if r.Since.IsZero() {
		r.Since = now
	}
	text := fmt.Sprintf("update of %s opened by %s", r.Name, r.By)
	if o.Override.By != "" {
		text = fmt.Sprintf("update of %s now, outside its schedule, by %s", r.Name, o.Override.By)
		if o.Override.Freeze {
			text += ", freezes overridden"
		}
	}
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return r, []history.Fact{r.fact(now, o.By, history.RunOpened, "", text)}
}

// Pause holds the run: what is under way ends, nothing more starts.
func (r Run) Pause(by string, now time.Time) (Run, []history.Fact, error) {
	switch {
	case r.State.Ended():
		return r, nil, fault.Conflict("run %s has ended: %s", r.ID, r.State)
	case r.AbortedBy != "":
		return r, nil, fault.Conflict("run %s is being aborted by %s", r.ID, r.AbortedBy)
	case r.PausedBy != "":
		return r, nil, nil
	}
	r.PausedBy = by
	return r, []history.Fact{r.fact(now, by, history.RunPaused, "", "paused: what is under way ends, nothing more starts")}, nil
}

// Resume lets a paused run go on where it was.
func (r Run) Resume(by string, now time.Time) (Run, []history.Fact, error) {
	switch {
	case r.State.Ended():
		return r, nil, fault.Conflict("run %s has ended: %s", r.ID, r.State)
	case r.PausedBy == "" && r.Halted() == "":
		return r, nil, nil
	}
	r.PausedBy = ""
	r.Since = now // whoever says resume means now, too
	if r.Book != nil {
		r = r.takeUp(now)
	}
	return r, []history.Fact{r.fact(now, by, history.RunResumed, "", "resumed")}, nil
}

// Abort ends the run as soon as nothing is under way.
func (r Run) Abort(by, reason string, now time.Time) (Run, []history.Fact, error) {
	switch {
	case r.State.Ended():
		return r, nil, fault.Conflict("run %s has ended: %s", r.ID, r.State)
	case r.AbortedBy != "":
		return r, nil, nil
	}
	r.AbortedBy = by
	text := "abort asked for: what is under way ends, nothing more starts"
	if reason != "" {
		text += ": " + reason
	}
	return r, []history.Fact{r.fact(now, by, history.RunAborting, "", text)}, nil
}

// Announce records that people were told of the run.
func (r Run) Announce(by, text string, now time.Time) (Run, []history.Fact, error) {
	switch {
	case r.State.Ended():
		return r, nil, fault.Conflict("run %s has ended: %s", r.ID, r.State)
	case !r.NoticeAt.IsZero():
		return r, nil, fault.Conflict("run %s was announced at %s", r.ID, r.NoticeAt.UTC().Format(time.RFC3339))
	}
	r.NoticeAt = now
	return r, []history.Fact{r.fact(now, by, history.NoticeTold, "", "notice published: "+text)}, nil
}

// Reschedule gives a run that its schedule opened the schedule's new window,
// policy and rule for missed starts.
func (r Run) Reschedule(by string, s fleet.Schedule, now time.Time) (Run, []history.Fact) {
	r.Window, r.Policy, r.Missed, r.Since = s.Window, s.Policy.WithDefaults(), s.Missed, now
	return r, []history.Fact{r.fact(now, by, history.RunWaiting, "", "the schedule was changed; the rest follows its new window and policy")}
}

func (r Run) fact(now time.Time, who string, kind history.Kind, step, text string) history.Fact {
	return history.Fact{At: now, Who: who, Project: r.Project, Target: r.Target, Run: r.ID, Step: step, Kind: kind, Text: text}
}

// own gives the run maps of its own, so that a tick never changes its input.
func (r Run) own() Run {
	r.Progress = clone(r.Progress)
	r.Made.Settled = clone(r.Made.Settled)
	r.Made.Failed = clone(r.Made.Failed)
	r.Made.Before = clone(r.Made.Before)
	r.Result.Changes = append([]action.Change(nil), r.Result.Changes...)
	r.Result.Would = append([]action.Change(nil), r.Result.Would...)
	r.Result.Failures = append([]action.Failure(nil), r.Result.Failures...)
	r.Holds = append([]string(nil), r.Holds...)
	if r.Book != nil {
		r.Book = r.Book.own()
	}
	return r
}

func clone[M ~map[K]V, K comparable, V any](m M) M {
	if m == nil {
		return M{}
	}
	return maps.Clone(m)
}
