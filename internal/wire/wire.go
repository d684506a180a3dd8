// Package wire is the words between the control plane and a host: what an
// agent sends and what it is answered, as JSON over HTTPS. The agent always
// dials; the control plane never does.
//
//	POST /agent/v1/enrol   one-time token and a certificate request → certificate
//	POST /agent/v1/renew   (mutual TLS) a certificate request → certificate
//	POST /agent/v1/poll    (mutual TLS) answers and what is under way → orders
//
// Fields may be added; none changes its meaning. Both ends ignore fields that
// they do not know.
package wire

import (
	"strings"
	"time"

	"upkeep/internal/action"
)

// Paths of the three calls.
const (
	EnrolPath = "/agent/v1/enrol"
	RenewPath = "/agent/v1/renew"
	PollPath  = "/agent/v1/poll"
)

// MaxBody is the largest body, in bytes, that either end reads.
const MaxBody = 4 << 20

// EnrolRequest asks for a first certificate. The token is used up by the first
// request that presents it; the same token with the same key is answered
// again, for the first answer may have been lost.
type EnrolRequest struct {
	Token   string `json:"token"`
	CSR     string `json:"csr"` // PEM
	Version string `json:"version"`
}

// RenewRequest asks for the next certificate, for the key that the connection
// shows or a new one. The old key stays good until the new one is first used,
// for the answer may be lost.
//
// A host that was off for longer than its certificate lasts shows none, and
// says instead which target it is. Then the request must be for, and thus
// signed with, the key that it had: nobody else can use the certificate.
type RenewRequest struct {
	CSR    string `json:"csr"` // PEM
	Target string `json:"target,omitempty"`
}

// Certificate answers both.
type Certificate struct {
	Target      string    `json:"target"`      // the target's id
	Name        string    `json:"name"`        // the target's name
	Certificate string    `json:"certificate"` // PEM, the leaf
	Authority   string    `json:"authority"`   // PEM, whom to trust from now on
	RenewAfter  time.Time `json:"renewAfter"`
	NotAfter    time.Time `json:"notAfter"`
	// After is the key of the newest order that the target had ended when it
	// was enrolled. An agent that has ended none itself says it in its
	// observations: they are newer than that order, whoever carried it out.
	After string `json:"after,omitempty"`
}

// PollRequest is what an agent has to say.
type PollRequest struct {
	Version     string       `json:"version"`
	BootID      string       `json:"bootId"`
	Generation  int64        `json:"generation"`            // the newest it has seen
	Holding     []string     `json:"holding,omitempty"`     // keys that its journal knows and that are not acknowledged yet, ended or not
	Answers     []Answer     `json:"answers,omitempty"`     // sent again until acknowledged
	Observation *Observation `json:"observation,omitempty"` // when it has looked since the last poll
	WaitMillis  int64        `json:"waitMillis,omitempty"`  // how long it is willing to wait; the control plane may answer sooner
}

// PollAnswer is what it is told.
type PollAnswer struct {
	Orders        []Order  `json:"orders,omitempty"`
	Acknowledged  []string `json:"acknowledged,omitempty"` // answers that are kept now and need not be sent again
	Observe       bool     `json:"observe,omitempty"`      // look, and poll again at once
	AfterMillis   int64    `json:"afterMillis"`            // pause before the next poll, jitter included
	HeldMillis    int64    `json:"heldMillis"`             // how long the request was held: the orders' BeginMillis may be counted from this long after it was sent, which is never later than the receipt
	ObserveMillis int64    `json:"observeMillis"`          // how often to look without being asked
}

// Order is action.Order, and how much time is left to begin it.
type Order struct {
	Key           string            `json:"key"`
	Run           string            `json:"run"`
	Step          string            `json:"step"`
	Attempt       int               `json:"attempt"`
	Generation    int64             `json:"generation"`
	Target        string            `json:"target"`
	Kind          string            `json:"kind"`
	Packages      []Package         `json:"packages,omitempty"`
	BootID        string            `json:"bootId,omitempty"`
	Command       string            `json:"command,omitempty"`
	With          map[string]string `json:"with,omitempty"`
	DryRun        bool              `json:"dryRun,omitempty"`
	Brief         bool              `json:"brief,omitempty"`
	TimeoutMillis int64             `json:"timeoutMillis"`
	// BeginMillis is how long after its receipt the order may begin; later it
	// is not begun but answered as expired. It is an elapsed time, for the
	// host's clock may be wrong. Less than zero asks what has become of an
	// order that was given before: if its key is unknown, it is not begun but
	// answered as expired.
	BeginMillis int64 `json:"beginMillis"`
}

// Package is action.Package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Answer is action.Result under its order's key.
type Answer struct {
	Key         string       `json:"key"`
	Outcome     string       `json:"outcome"`
	Started     time.Time    `json:"started"`
	Finished    time.Time    `json:"finished"`
	Changes     []Change     `json:"changes,omitempty"`
	Failures    []Failure    `json:"failures,omitempty"`
	Reason      string       `json:"reason,omitempty"`
	DryRun      bool         `json:"dryRun,omitempty"`
	Output      string       `json:"output,omitempty"`
	Observation *Observation `json:"observation,omitempty"`
}

// Change is action.Change.
type Change struct {
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Failure is action.Failure.
type Failure struct {
	Name   string `json:"name,omitempty"`
	Reason string `json:"reason"`
}

// Observation is action.Observation.
type Observation struct {
	After          string    `json:"after,omitempty"`
	BootID         string    `json:"bootId"`
	Hostname       string    `json:"hostname"`
	System         string    `json:"system"`
	Kernel         string    `json:"kernel"`
	Arch           string    `json:"arch"`
	Manager        string    `json:"manager"`
	Pending        []Pending `json:"pending,omitempty"`
	Held           []string  `json:"held,omitempty"`
	HalfConfigured []string  `json:"halfConfigured,omitempty"`
	RebootRequired bool      `json:"rebootRequired,omitempty"`
	RebootPackages []string  `json:"rebootPackages,omitempty"`
	ListsAgeMillis int64     `json:"listsAgeMillis"`
	Commands       []string  `json:"commands,omitempty"`
	Offers         []Offer   `json:"offers,omitempty"`
}

// Offer is action.Offer.
type Offer struct {
	Kind  string   `json:"kind"`
	Name  string   `json:"name"`
	Needs []string `json:"needs,omitempty"`
	May   []string `json:"may,omitempty"`
}

// Pending is action.Pending.
type Pending struct {
	Name     string    `json:"name"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to"`
	Security bool      `json:"security,omitempty"`
	Origin   string    `json:"origin,omitempty"`
	Bytes    int64     `json:"bytes,omitempty"`
	Released time.Time `json:"released,omitzero"`
}

// Problem is the body of every answer that is no success.
type Problem struct {
	Kind   string `json:"kind"` // a fault's kind
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
}

// millis and back: durations travel as whole milliseconds.
func millis(d time.Duration) int64 { return d.Milliseconds() }

func duration(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// withValues ends the kind of an order that gives values to a named command.
// An agent of before values would run the command without them; it does not
// know this kind, and refuses.
const withValues = " with values"

// FromOrder packs an order that may begin within the given time.
func FromOrder(o action.Order, begin time.Duration) Order {
	w := Order{
		Key: o.Key(), Run: o.Run, Step: o.Step, Attempt: o.Attempt, Generation: o.Generation,
		Target: o.Target, Kind: string(o.Kind), BootID: o.BootID, Command: o.Command, With: o.With, DryRun: o.DryRun,
		Brief: o.Brief, TimeoutMillis: millis(o.Timeout), BeginMillis: millis(begin),
	}
	if o.Kind.Names() && len(o.With) > 0 {
		w.Kind += withValues
	}
	for _, p := range o.Packages {
		w.Packages = append(w.Packages, Package(p))
	}
	return w
}

// Order unpacks it.
func (w Order) Order() action.Order {
	o := action.Order{
		Run: w.Run, Step: w.Step, Attempt: w.Attempt, Generation: w.Generation,
		Target: w.Target, Kind: action.Kind(strings.TrimSuffix(w.Kind, withValues)), BootID: w.BootID,
		Command: w.Command, With: w.With, DryRun: w.DryRun, Brief: w.Brief, Timeout: duration(w.TimeoutMillis),
	}
	for _, p := range w.Packages {
		o.Packages = append(o.Packages, action.Package(p))
	}
	return o
}

// Begin is how long after its receipt the order may begin.
func (w Order) Begin() time.Duration { return duration(w.BeginMillis) }

// FromResult packs the answer to an order.
func FromResult(key string, r action.Result) Answer {
	w := Answer{
		Key: key, Outcome: string(r.Outcome), Started: r.Started, Finished: r.Finished,
		Reason: r.Reason, DryRun: r.DryRun, Output: r.Output, Observation: FromObservation(r.Observation),
	}
	for _, c := range r.Changes {
		w.Changes = append(w.Changes, Change(c))
	}
	for _, f := range r.Failures {
		w.Failures = append(w.Failures, Failure(f))
	}
	return w
}

// Result unpacks it.
func (w Answer) Result() action.Result {
	r := action.Result{
		Outcome: action.Outcome(w.Outcome), Started: w.Started, Finished: w.Finished,
		Reason: w.Reason, DryRun: w.DryRun, Output: w.Output, Observation: w.Observation.Observation(),
	}
	for _, c := range w.Changes {
		r.Changes = append(r.Changes, action.Change(c))
	}
	for _, f := range w.Failures {
		r.Failures = append(r.Failures, action.Failure(f))
	}
	return r
}

// FromObservation packs what a host looks like; nil stays nil.
func FromObservation(o *action.Observation) *Observation {
	if o == nil {
		return nil
	}
	w := Observation{
		After: o.After, BootID: o.BootID, Hostname: o.Hostname, System: o.System, Kernel: o.Kernel,
		Arch: o.Arch, Manager: o.Manager, Held: o.Held, HalfConfigured: o.HalfConfigured,
		RebootRequired: o.RebootRequired, RebootPackages: o.RebootPackages, ListsAgeMillis: millis(o.ListsAge), Commands: o.Commands,
	}
	for _, p := range o.Pending {
		w.Pending = append(w.Pending, Pending(p))
	}
	for _, f := range o.Offers {
		w.Offers = append(w.Offers, Offer{Kind: string(f.Kind), Name: f.Name, Needs: f.Needs, May: f.May})
	}
	return &w
}

// Observation unpacks it; nil stays nil.
func (w *Observation) Observation() *action.Observation {
	if w == nil {
		return nil
	}
	o := action.Observation{
		After: w.After, BootID: w.BootID, Hostname: w.Hostname, System: w.System, Kernel: w.Kernel,
		Arch: w.Arch, Manager: w.Manager, Held: w.Held, HalfConfigured: w.HalfConfigured,
		RebootRequired: w.RebootRequired, RebootPackages: w.RebootPackages, ListsAge: duration(w.ListsAgeMillis), Commands: w.Commands,
	}
	for _, p := range w.Pending {
		o.Pending = append(o.Pending, action.Pending(p))
	}
	for _, f := range w.Offers {
		o.Offers = append(o.Offers, action.Offer{Kind: action.Kind(f.Kind), Name: f.Name, Needs: f.Needs, May: f.May})
	}
	return &o
}
