// Package action says HOW things are done, as data: what a hand can be told to
// do, and what it answers. It does nothing itself, and no hand is named here.
package action

import (
	"fmt"
	"slices"
	"time"
)

// Kind names what is done to a target.
type Kind string

// What a host's hands can do.
const (
	Observe  Kind = "observe"  // look: system, packages pending, reboot required; changes nothing
	Refresh  Kind = "refresh"  // fetch the package lists, then look
	Download Kind = "download" // fetch packages into the host's cache; installs nothing
	Install  Kind = "install"  // bring the named packages to the named versions
	Repair   Kind = "repair"   // finish what an interrupted installation left half done
	Restore  Kind = "restore"  // bring the named packages back to the named, older versions
	Reboot   Kind = "reboot"   // restart the host
	Backup   Kind = "backup"   // run the named command that makes a copy to come back to
	Command  Kind = "command"  // run the named command, which may interrupt what the host serves
	Check    Kind = "check"    // run the named command that says whether the host is well; changes nothing

	// These the host's owner allows by the names of what they touch.
	Unit      Kind = "unit"      // restart, reload, start or stop a unit of systemd
	Container Kind = "container" // restart, stop or start a container
	Playbook  Kind = "playbook"  // run one of Ansible's playbooks from the host
)

// What the control plane's own hands can do. No host is told these.
const (
	Balance Kind = "balance" // set a server's state at a load balancer
	Serving Kind = "serving" // look whether the other servers serve at a load balancer; changes nothing
	HTTP    Kind = "http"    // ask a URL whether it answers as it should; changes nothing
	Query   Kind = "query"   // ask a Prometheus whether a figure is as it should be; changes nothing
)

// Kinds lists every kind.
var Kinds = []Kind{
	Observe, Refresh, Download, Install, Repair, Restore, Reboot, Backup, Command, Check,
	Unit, Container, Playbook, Balance, Serving, HTTP, Query,
}

// Valid reports whether k is one of Kinds.
func (k Kind) Valid() bool {
	return slices.Contains(Kinds, k)
}

// Disrupts reports whether doing k can interrupt what the target serves.
// Installing does: it restarts services. Of a command nobody knows. A drained
// server takes its part of the capacity with it.
func (k Kind) Disrupts() bool {
	return k == Install || k == Repair || k == Restore || k == Reboot || k == Command || k == Balance ||
		k == Unit || k == Container || k == Playbook
}

// Names reports whether k runs a command that the host's owner has a name for.
func (k Kind) Names() bool { return k == Backup || k == Command || k == Check }

// OnHost reports whether a runbook's step of this kind is done by a host's
// agent, as its owner allows, and not by the control plane itself.
func (k Kind) OnHost() bool { return k.Names() || k == Unit || k == Container || k == Playbook }

// Package is a package and the version it is to have.
type Package struct {
	Name    string // as the host's package manager writes it, with ":arch" where it is foreign
	Version string // the version to install
}

// Order is one thing that a hand is told to do, once.
//
// Run, Step and Attempt make its key: a hand that is told the same key again
// gives the answer it gave before and does nothing. Generation only grows for
// a target; a hand refuses an order older than the newest it has seen.
type Order struct {
	Run        string
	Step       string
	Attempt    int // from 1
	Generation int64
	Target     string
	Kind       Kind
	Packages   []Package         // for Download, Install and Restore
	BootID     string            // for Reboot: only while the host still runs this boot
	Command    string            // for Backup, Command and Check: a name in the host's own list, never a command line
	With       map[string]string // typed values as text, with nothing left to fill in; the hand, or the host's owner, says which names are known
	DryRun     bool              // say what would be changed, and change nothing
	Brief      bool              // the answer is wanted at once: what the host is like now may come later
	Timeout    time.Duration     // the hand gives up after this long
}

// Key identifies the order for ever.
func (o Order) Key() string { return fmt.Sprintf("%s/%s/%d", o.Run, o.Step, o.Attempt) }

// Outcome is how an order ended.
type Outcome string

// The ends that an order can have.
const (
	Done        Outcome = "done"        // all that was asked for is so
	Failed      Outcome = "failed"      // it was tried; Failures says what is not so
	Refused     Outcome = "refused"     // it was not tried: not allowed, or too old
	Interrupted Outcome = "interrupted" // it was started and cut off; its effect is to be looked at
	Expired     Outcome = "expired"     // it was never started: it could no longer begin in time
)

// Inconclusive begins the reason of a check that has no figure to judge by: a
// person decides then, and it is never a pass.
const Inconclusive = "inconclusive: "

// Result is what a hand answers to an order. The answer to a key never changes.
type Result struct {
	Outcome  Outcome
	Started  time.Time // by the host's clock; zero if it never started
	Finished time.Time // by the host's clock
	Changes  []Change
	Failures []Failure
	Reason   string // why, in a sentence, where Outcome is not Done
	DryRun   bool   // nothing was changed: the host only said what it would do
	Output   string // the end of what the command printed, 16 KiB at most

	// Observation is what the host looks like after the order; nil if it
	// could not be looked at.
	Observation *Observation
}

// Took is how long the order was under way.
func (r Result) Took() time.Duration {
	if r.Started.IsZero() || r.Finished.Before(r.Started) {
		return 0
	}
	return r.Finished.Sub(r.Started)
}

// Change is one package that has another version now.
type Change struct {
	Name string
	From string // empty if it is newly installed
	To   string // empty if it was removed
}

// Failure is one thing that did not work: a package (Name), or the whole
// command (Name empty).
type Failure struct {
	Name   string
	Reason string
}

// Observation is what a host looks like. Nil slices mean "none", never
// "unknown": a host that can't tell sends no observation, and a sentence why.
type Observation struct {
	// After is the key of the last order that the host had ended when it
	// looked; empty if it had ended none. It orders observations and actions
	// without comparing clocks.
	After string

	BootID         string
	Hostname       string
	System         string // such as "Debian GNU/Linux 12 (bookworm)"
	Kernel         string // the running one
	Arch           string
	Manager        string // the package manager: apt
	Pending        []Pending
	Held           []string // packages that the host's administrator holds back
	HalfConfigured []string // packages in a state that needs Repair
	RebootRequired bool
	RebootPackages []string // which packages want the reboot
	ListsAge       time.Duration
	Commands       []string // the names of the commands that the host's owner allows
	Offers         []Offer  // what else of it an order must know, by kind and name
}

// Offer is something that takes values on a host. An agent that can't take any
// offers none.
type Offer struct {
	Kind  Kind
	Name  string
	Needs []string // the names of the values that an order must give
	May   []string // and of those that have a default there
}

// Pending is one update that could be installed.
type Pending struct {
	Name     string
	From     string
	To       string
	Security bool   // it comes from a security archive
	Origin   string // such as "Debian-Security:12/stable-security"
	Bytes    int64  // what is to be downloaded; 0 if unknown or already there

	// Released is when the archive published this version; zero where the
	// package manager does not know, as apt does not.
	Released time.Time
}
