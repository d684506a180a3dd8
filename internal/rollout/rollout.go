// Package rollout promotes a release over environments, and is pure: (rollout,
// world, now) → rollout, runs to open, orders, facts. The engine feeds it.
//
// An environment goes round this, by itself:
//
//	         promoted            phases done          gates pass        time
//	waiting ─────────▶ working ─────────────▶ checking ─────────▶ soaking ──▶ soaked
//	   ▲                  │  ▲                    │                  │          │
//	   │          failed ◀┴──┼── a run or a gate ─┴──────────────────┘          │
//	   │             └ retry ┘                                                  │
//	   └──────────── another digest, or a changed plan ◀────────────────────────┘
//
// What is done in an environment are ordinary runs of runbooks, which keep to
// windows, freezes, claims and quorums by themselves. A phase is done once its
// run has succeeded with the very values that are wanted now; so a new digest
// or a pin makes exactly the phases due that use it.
//
// The stored rollout is authoritative; a crash loses nothing but the tick that
// was under way, which has no effect until it is committed whole.
package rollout

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

// State is where a rollout is.
type State string

// The states of a rollout; the last two are ends.
const (
	Active    State = "active"
	Paused    State = "paused" // a person holds it
	Succeeded State = "succeeded"
	Aborted   State = "aborted"
)

// Ended reports whether s is an end.
func (s State) Ended() bool { return s == Succeeded || s == Aborted }

// Rollout is one release on its way through its train.
type Rollout struct {
	ID        string
	Project   string
	Train     string
	Version   string
	By        string // who started it
	Reason    string
	State     State
	PausedBy  string
	AbortedBy string

	Standings map[string]Standing // by environment; one that is missing was not begun
	Acks      map[string]Ack      // by issue
	Waits     []Wait              // what waited at the last tick, and why

	Created  time.Time
	Finished time.Time
	Text     string // one sentence, once it has ended
	Revision int64  // for compare-and-set; the store counts it
}

// Ack is a person's word that an issue is known and accepted.
type Ack struct {
	By     string
	Reason string
	Text   string // what the issue said: it was acknowledged as that
	At     time.Time
}

// Stage is how far an environment is.
type Stage string

// The stages of an environment.
const (
	Waiting  Stage = "waiting"  // it is not promoted into yet
	Working  Stage = "working"  // its phases are done
	Checking Stage = "checking" // its gates are asked after the last phase
	Soaking  Stage = "soaking"  // time and gates tell
	Soaked   Stage = "soaked"   // the release may go on from here
	Failed   Stage = "failed"   // nothing more is begun until a person says retry
)

// Standing is how far an environment is.
type Standing struct {
	Stage     Stage
	Granted   string // the hash of the plan that is carried out; empty: none
	Begun     bool   // something was done, and is not proved good by the gates yet
	Region    bool   // it is a region, of which one is worked at, at a time
	Phases    map[string]PhaseState
	Gates     map[string]GateState
	Evidence  []Evidence
	Approvals []Approval

	Pins     map[string]string // component → the digest that is wanted here instead of the release's
	Pinning  string            // the component that is being brought to what is wanted here, by a pin; empty: none
	PinnedBy string            // who has ordered that
	Now      bool              // and ordered it now, whatever windows, freezes and other regions say

	SoakFrom time.Time // zero: the soak has not begun
	Soaked   time.Time // when it was over; zero: it is not
	Broke    bool      // a gate has failed since the last phase ended: the soak starts when it passes
	Failed   string    // why nothing more is begun until a person says retry; empty: it goes on
	Halted   string    // why its run is halted; empty: it is not
}

// PhaseState is what has become of a phase.
type PhaseState struct {
	Stage   plan.Stage
	Attempt int               // of its run, from 1
	Run     string            // the newest run's id
	Wanted  string            // what that run was to do, with all values
	Digests map[string]string // by component: those that it was given
	Opened  time.Time
	Ended   time.Time
}

// Result is what a gate says.
type Result string

// The results of gates. What could not be told is never a pass.
const (
	Pass         Result = "pass"
	Fail         Result = "fail"
	Inconclusive Result = "inconclusive" // a person decides
)

// GateState is what a gate has said last.
type GateState struct {
	Attempt int
	Asked   time.Time
	At      When   // what it was asked for
	For     string // before the first phase: the hash of the plan that it was asked for
	Open    bool   // there is no answer yet
	Run     string // of the kind runbook: its run
	Result  Result
	Why     string
	By      string // the person who has decided; empty: it speaks for itself
}

// Evidence is what a gate has said, once or several times in a row.
type Evidence struct {
	Gate   string
	At     When
	Result Result
	Why    string // what it said last
	By     string // the person who has decided; empty: it speaks for itself
	First  time.Time
	Last   time.Time
	Times  int
}

// maxEvidence is how many are kept of an environment: the newest.
const maxEvidence = 100

// Approval is a person's word for one plan.
type Approval struct {
	By    string
	Plan  string   // the plan's hash: another plan was not approved
	Lines []string // the plan
	At    time.Time
}

// World is all that a tick knows of the world, read in one transaction.
type World struct {
	Now       time.Time
	ID        string // for the run that the tick may open; it opens one at most
	Train     StoredTrain
	Release   StoredRelease
	Freezes   map[string][]window.Freeze // by project
	Services  map[string]Service         // by project, a slash and the name
	Books     map[string]runbook.Book    // likewise
	Runs      map[string]run.Run         // the rollout's runs that are under way
	Answers   map[string]action.Result   // by order key
	Elsewhere []string                   // regions that other rollouts of the project work at, for people
}

// Service is a service as the world has it.
type Service struct {
	Target  fleet.Target
	Hosts   map[string]string              // member → the id of its server
	Manager string                         // the id of the server that it is managed from; empty: none
	Seen    map[string]*action.Observation // what those servers looked like last, by id
	Lacks   string                         // why runbooks can't be run on it; empty: they can
	Busy    string                         // a run that is under way on it
	Claims  map[string]Claims              // by runbook: what a run of it on the service claims
}

// Claims are what a run claims besides its service and servers.
type Claims struct {
	Keys  []string
	Lacks string // why that can't be claimed; empty: it can
}

// Next is what a tick wants done, in the transaction that stores the rollout.
type Next struct {
	Runs      []run.Run // to be opened
	Moves     []Move
	Orders    []run.Order
	Facts     []history.Fact
	Installed map[string]Installed // by environment: what it has now
	Wake      time.Time            // when to tick again at the latest; zero: never
}

// Move is what is to become of one of the rollout's runs.
type Move struct {
	Run  string
	Verb Verb
	By   string
}

// Verb is what is done to a run.
type Verb string

// What a rollout does to its runs.
const (
	PauseRun  Verb = "pause"
	ResumeRun Verb = "resume"
	AbortRun  Verb = "abort"
)

// Opening says what rollout to start.
type Opening struct {
	ID      string
	Project string
	By      string
	Reason  string
	Train   Train
	Release StoredRelease
}

// Open makes a rollout. It does nothing yet; its first tick does. Invalid: the
// train can't carry the release.
func Open(o Opening, now time.Time) (Rollout, []history.Fact, error) {
	if err := o.Release.Release.Fits(o.Train); err != nil {
		return Rollout{}, nil, err
	}
	r := Rollout{
		ID: o.ID, Project: o.Project, Train: o.Train.Name, Version: o.Release.Release.Version, By: o.By, Reason: o.Reason,
		State: Active, Standings: map[string]Standing{}, Acks: map[string]Ack{}, Created: now,
	}
	text := fmt.Sprintf("release %s starts through train %s", r.Version, r.Train)
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return r, []history.Fact{r.fact(now, o.By, history.RolloutOpened, text)}, nil
}

// Key is what the orders of its gates are of, and its row of work.
func (r Rollout) Key() string { return "rollout/" + r.ID }

// who is the rollout where it acts on its runs.
func (r Rollout) who() string { return "rollout/" + r.Train }

// project is where an environment's services are.
func (r Rollout) project(e Environment) string {
	if e.Project != "" {
		return e.Project
	}
	return r.Project
}

// OpenRuns lists the runs that the rollout has opened and whose end it has not seen.
func (r Rollout) OpenRuns() (ids []string) {
	for _, name := range slices.Sorted(maps.Keys(r.Standings)) {
		for id := range r.Standings[name].running() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// OpenOrders lists the keys of the gates' orders that it has no answer to.
func (r Rollout) OpenOrders() (keys []string) {
	for _, env := range slices.Sorted(maps.Keys(r.Standings)) {
		for _, gate := range slices.Sorted(maps.Keys(r.Standings[env].Gates)) {
			if g := r.Standings[env].Gates[gate]; g.Open && g.Run == "" {
				keys = append(keys, r.order(env, gate, g).Key())
			}
		}
	}
	return keys
}

// AtWork lists the regions that it works at.
func (r Rollout) AtWork() (regions []string) {
	for _, name := range slices.Sorted(maps.Keys(r.Standings)) {
		if st := r.Standings[name]; st.Begun && st.Region {
			regions = append(regions, r.at(name))
		}
	}
	return regions
}

// at names an environment where other trains are meant too.
func (r Rollout) at(env string) string { return env + " of train " + r.Train }

// Digests are what the environment has, by component, as its phases have put them.
func (s Standing) Digests() map[string]string {
	all := map[string]string{}
	for _, p := range s.Phases {
		if p.Stage == plan.Done {
			maps.Copy(all, p.Digests)
		}
	}
	return all
}

// running are the runs whose end was not seen yet; true: of a phase.
func (s Standing) running() map[string]bool {
	all := map[string]bool{}
	for _, p := range s.Phases {
		if p.Stage == plan.Running {
			all[p.Run] = true
		}
	}
	for _, g := range s.Gates {
		if g.Open && g.Run != "" {
			all[g.Run] = false
		}
	}
	return all
}

func (s Standing) own() Standing {
	s.Phases, s.Gates, s.Pins = clone(s.Phases), clone(s.Gates), clone(s.Pins)
	s.Evidence, s.Approvals = slices.Clone(s.Evidence), slices.Clone(s.Approvals)
	return s
}

// own gives the rollout maps of its own, so that a tick never changes its input.
func (r Rollout) own() Rollout {
	all := make(map[string]Standing, len(r.Standings))
	for name, s := range r.Standings {
		all[name] = s.own()
	}
	r.Standings, r.Acks = all, clone(r.Acks)
	return r
}

func clone[M ~map[K]V, K comparable, V any](m M) M {
	if m == nil {
		return M{}
	}
	return maps.Clone(m)
}

func (r Rollout) fact(now time.Time, who string, kind history.Kind, text string) history.Fact {
	return history.Fact{At: now, Who: who, Project: r.Project, Rollout: r.ID, Kind: kind, Text: text}
}
