// Package store keeps what Upkeep knows: small interfaces per aggregate, one
// transaction over all of them. store/sqlite and store/postgres implement it,
// and both pass the suite in store/storetest.
//
// Runs are the queue: a work row per key, written in the same transaction as
// the state and the history that it is about. A worker claims due rows, extends
// the lease while it works, and finishes or releases the row in the transaction
// of its result; the row's fence makes every write of a worker that has slept
// through its lease fail with a conflict.
//
// Times are kept to the microsecond and come back in UTC. Text that is no valid
// UTF-8, or has a NUL, is kept with U+FFFD in its place.
//
// All methods return faults: not_found, conflict (compare-and-set or fence
// lost, a name taken), unavailable (the database can't be reached or is busy;
// try again), internal.
package store

import (
	"context"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

// DB is an open database.
type DB interface {
	// View runs f in a read-only transaction that sees one state.
	View(ctx context.Context, f func(Tx) error) error
	// Update runs f in a transaction and commits if f returns nil. f may run
	// more than once: it must not have effects outside the transaction. All
	// updates happen as if one after the other; so keep them short, list in a
	// View, and never begin one within another. Unavailable may come from the
	// commit itself: then look whether it has happened.
	Update(ctx context.Context, f func(Tx) error) error

	Claimer

	// Close waits for what is under way and releases the database.
	Close() error
}

// MaxClaim bounds how many rows one Claim leases.
const MaxClaim = 256

// Claimer hands out work.
type Claimer interface {
	// Claim leases up to n due rows to owner, the longest due first, by the
	// database's clock. next is when the earliest row that was not claimed is
	// due or loses its lease; zero if there is none. At most MaxClaim are leased
	// at once. An empty owner, n below 1 or no lease is an internal fault.
	Claim(ctx context.Context, owner string, n int, lease time.Duration) (claimed []Lease, next time.Time, err error)
	// Extend renews a lease. Conflict: it was lost.
	Extend(ctx context.Context, l Lease, lease time.Duration) error
}

// Lease is the right to work on one key. It is lost once somebody else has
// claimed the key, which they may when it is over. Until they do, it is good
// even if it is over: nothing has happened in between.
type Lease struct {
	Key     string
	Fence   int64     // grows with every claim of the key
	WakeSeq int64     // how often the key had been woken when it was claimed
	Now     time.Time // the database's clock at the claim
	Until   time.Time
}

// Tx is one transaction. It is bound to the context it was begun with and must
// not be used after its function has returned.
type Tx interface {
	Targets
	Schedules
	Templates
	Groups
	Runbooks
	Trains
	Rollouts
	Freezes
	Images
	Runs
	Orders
	Claims
	Facts
	Evidence
	Work
	Identities
	Requests
}

// The keys of work rows: what kind of thing it is, and its id. Who changes a
// thing wakes its row; the engine moves it.
const (
	RunWork      = "run/"
	ScheduleWork = "schedule/"
	OrderWork    = "order/"
	HoldWork     = "hold/"
)

// RunKey is the work row that moves a run.
func RunKey(id string) string { return RunWork + id }

// ScheduleKey is the work row that opens a schedule's runs.
func ScheduleKey(id string) string { return ScheduleWork + id }

// HoldKey is the work row that ends a hold.
func HoldKey(id string) string { return HoldWork + id }

// OrderKey is the work row that has the control plane's own hands carry out an
// order.
func OrderKey(key string) string { return OrderWork + key }

// Work is the writing half of the queue.
type Work interface {
	// Wake makes key due at the given time or earlier. A key that is leased is
	// due again as soon as its lease is released.
	Wake(key string, at time.Time) error
	// Finish removes the key, unless it was woken since it was claimed: then
	// it is due at once. Conflict: the lease was lost.
	Finish(l Lease) error
	// Release gives the key back, due at the given time, or at once if it was
	// woken since it was claimed. Conflict: the lease was lost.
	Release(l Lease, due time.Time) error
}

// Targets are what is maintained.
type Targets interface {
	Target(id string) (fleet.Target, error)
	TargetNamed(project, name string) (fleet.Target, error)
	// Targets lists by id.
	Targets(f TargetFilter) ([]fleet.Target, error)
	// ServicesOn lists, by id, the services of a project that have a member on
	// the server of that name.
	ServicesOn(project, server string) ([]fleet.Target, error)
	// SharedTargets lists the ids of those of a project that others depend on:
	// its services, then the servers that are in a group or have members of a
	// service on them; at most limit.
	SharedTargets(project string, limit int) ([]string, error)
	// PutTarget inserts (Revision 0) or replaces by compare-and-set, and
	// returns what is stored now. It never touches Generation.
	PutTarget(t fleet.Target) (fleet.Target, error)
	// SetTarget is PutTarget for who does not want it back.
	SetTarget(t fleet.Target) error
	// DeleteTarget removes it with its schedules, its orders, its agent and
	// their enrolments. Its runs and facts stay.
	DeleteTarget(id string) error
}

// TargetFilter selects targets; empty fields select all.
type TargetFilter struct {
	Project string
	Kind    fleet.Kind
	Group   string   // with Project: names of groups are unique in a project only
	Images  []string // only those made from one of these images; nil: whichever
	After   string   // only ids after this one
	Limit   int      // 0: all
}

// Schedules are the windows on targets.
type Schedules interface {
	Schedule(id string) (fleet.Schedule, error)
	Schedules(f ScheduleFilter) ([]fleet.Schedule, error)
	// PutSchedule inserts (Revision 0) or replaces by compare-and-set, and
	// returns what is stored now. It gives a new schedule its Number: the
	// target's next one, never one that was given before.
	PutSchedule(s fleet.Schedule) (fleet.Schedule, error)
	// SetSchedule is PutSchedule for who does not want it back.
	SetSchedule(s fleet.Schedule) error
	DeleteSchedule(id string) error
}

// Templates are what schedules are made from.
type Templates interface {
	Template(id string) (fleet.Template, error)
	// Templates lists, by id, those of a project and those for all projects.
	// Empty project: those of every project.
	Templates(project string) ([]fleet.Template, error)
	// PutTemplate inserts (Revision 0) or replaces by compare-and-set, and
	// returns what is stored now.
	PutTemplate(t fleet.Template) (fleet.Template, error)
	DeleteTemplate(id string) error
}

// Runbooks are what is done to services.
type Runbooks interface {
	Runbook(project, name string) (runbook.Stored, error)
	// Runbooks lists by project and name. Empty project: those of every project.
	Runbooks(project string) ([]runbook.Stored, error)
	// PutRunbook inserts (Revision 0) or replaces by compare-and-set, and
	// returns what is stored now.
	PutRunbook(b runbook.Stored) (runbook.Stored, error)
	DeleteRunbook(project, name string) error
}

// Groups are the redundancy groups that somebody has described.
type Groups interface {
	Group(project, name string) (fleet.Group, error)
	// Groups lists by project and name. Empty project: those of every project.
	Groups(project string) ([]fleet.Group, error)
	// PutGroup inserts (Revision 0) or replaces by compare-and-set, and
	// returns what is stored now.
	PutGroup(g fleet.Group) (fleet.Group, error)
	DeleteGroup(project, name string) error
}

// ScheduleFilter selects schedules, by id; empty fields select all.
type ScheduleFilter struct {
	Project string
	Target  string
	After   string
	Limit   int
}

// Freezes are spans in which nothing disruptive starts.
type Freezes interface {
	Freeze(id string) (window.Freeze, error)
	// Freezes lists, by start, those of a project and those for all projects
	// that end after the given time. Empty project: those of every project.
	Freezes(project string, endAfter time.Time) ([]window.Freeze, error)
	PutFreeze(f window.Freeze) error
	DeleteFreeze(id string) error
}

// Runs are executions.
type Runs interface {
	Run(id string) (run.Run, error)
	// Runs lists, newest first.
	Runs(f RunFilter) ([]run.Run, error)
	// PutRun inserts (Revision 0) or replaces by compare-and-set, and sets
	// the run's claims to exactly r.Holds: conflict if another run holds one.
	// It gives a new run its Number: the target's next one.
	PutRun(r run.Run) (run.Run, error)
	// SetRun is PutRun for who does not want it back.
	SetRun(r run.Run) error
}

// RunFilter selects runs; empty fields select all.
type RunFilter struct {
	Project  string
	Target   string
	Schedule string
	Number   int64  // with Target; 0: any
	Open     bool   // only those that have not ended
	Before   string // only those older than this id; ids grow with time
	Limit    int    // 0: all
}

// Claims are what runs hold, and what persons and nodes hold by hand.
type Claims interface {
	// ClaimsOn says by their ids which runs and holds hold the keys; keys that
	// nobody holds are missing.
	ClaimsOn(keys []string) (map[string]string, error)
	// ClaimWithin is a run or hold, but not the given one, that has marked that
	// it works within what a key stands for; empty if none has.
	ClaimWithin(key, but string) (holder string, err error)
	// Claims lists by key.
	Claims(f ClaimFilter) ([]Claim, error)

	Hold(id string) (fleet.Hold, error)
	// Holds lists by id. Empty project: those of every project.
	Holds(project string) ([]fleet.Hold, error)
	// AddHold keeps a new one and takes its keys. Conflict: somebody holds one.
	AddHold(h fleet.Hold) error
	// DropHold gives its keys back and forgets it.
	DropHold(id string) error
}

// Claim is a key that is held.
type Claim struct {
	Key     string
	Holder  string // the id of a run, or of a hold
	Project string
}

// ClaimFilter selects claims; empty fields select all.
type ClaimFilter struct {
	Project string
	After   string // only keys after this one
	Limit   int    // 0: all
}

// Order is an order with what has become of it.
type Order struct {
	run.Order
	HandedAt   time.Time // when the host was first given it; zero: not yet
	AnsweredAt time.Time
	Result     *action.Result // nil: no answer yet
}

// Orders are what hosts are told to do.
type Orders interface {
	// AddOrder gives the order its target's next generation and keeps it. An
	// order that is there already stays as it is: no conflict.
	AddOrder(o run.Order) error
	// Order finds one by its key.
	Order(key string) (Order, error)
	// OpenOrders lists a target's orders without an answer, oldest generation first.
	OpenOrders(target string) ([]Order, error)
	// MarkHanded notes that the host may have seen the order from now on; the
	// first time counts. Conflict: it has an answer, such as Expired, and must
	// not be handed out.
	MarkHanded(key string, at time.Time) error
	// Answer keeps the first answer to an order; first is false if there was one.
	Answer(key string, r action.Result, at time.Time) (first bool, err error)
	// ExpireOrder answers Expired if the order was never handed out and has no
	// answer; expired is whether it did.
	ExpireOrder(key string, at time.Time) (expired bool, err error)
	// Answers are the answers to a run's orders that have one.
	Answers(run string) (map[string]action.Result, error)
	// Handed tells since when the host may have seen those of a run's orders
	// that were handed out and have no answer, by key.
	Handed(run string) (map[string]time.Time, error)
	// TargetsWithOrders lists the targets that have orders without an answer,
	// of those given; nil asks for all.
	TargetsWithOrders(targets []string) ([]string, error)
}

// Facts are the history.
type Facts interface {
	// AddFacts appends and gives each its Seq, in order; those that are passed
	// stay as they are. Whoever has seen a Seq will see no smaller one appear
	// later: a reader that goes on after the last one misses nothing.
	AddFacts(facts []history.Fact) error
	// Facts lists by Seq.
	Facts(f FactFilter) ([]history.Fact, error)
}

// FactFilter selects facts; empty fields select all.
type FactFilter struct {
	Project string
	Target  string
	Run     string
	Rollout string
	After   int64 // only those with a greater Seq
	Newest  bool  // the newest first
	Limit   int   // 0: all
}

// Token is a secret by which a person or program is known. Only its hash is kept.
type Token struct {
	ID      string
	Hash    string // lower-case hex SHA-256 of the secret
	Name    string // who it is, e.g. "operator"
	Role    string
	Project string // empty: every project
	Created time.Time
	Expires time.Time // zero: never
}

// Enrolment is a one-time secret by which an agent becomes known. Only its hash is kept.
type Enrolment struct {
	Hash    string // lower-case hex SHA-256 of the secret
	Target  string
	Created time.Time
	Expires time.Time
	Used    time.Time // zero: not yet
	Key     string    // fingerprint of the key that used it
}

// Agent is the host's end of a target.
type Agent struct {
	Target   string
	Key      string // fingerprint of the public key in its newest certificate, lower-case hex SHA-256
	Version  string
	LastSeen time.Time
	Expires  time.Time // of its newest certificate
}

// Identities are who may talk to us.
type Identities interface {
	TokenByHash(hash string) (Token, error)
	Tokens() ([]Token, error)
	PutToken(t Token) error
	DeleteToken(id string) error

	EnrolmentByHash(hash string) (Enrolment, error)
	PutEnrolment(e Enrolment) error

	Agent(target string) (Agent, error)
	// Agents lists those of the given targets; nil asks for all.
	Agents(targets []string) ([]Agent, error)
	PutAgent(a Agent) error
	DeleteAgent(target string) error

	// Secret is a small value under a name, such as the agents' authority,
	// sealed by the caller. PutSecret keeps the first value and returns it.
	Secret(name string) ([]byte, error)
	PutSecret(name string, sealed []byte) (kept []byte, err error)
}

// Requests remember writes that carried an idempotency key.
type Requests interface {
	// Repeated finds what an earlier request of who with this key made. It is
	// a conflict if that request had another fingerprint.
	Repeated(who, key, fingerprint string) (made string, repeated bool, err error)
	// Remember keeps what a request made, for Repeated. Conflict: there is one.
	Remember(who, key, fingerprint, made string, at time.Time) error
	// ForgetRequests removes those older than the given time.
	ForgetRequests(before time.Time) error
}
