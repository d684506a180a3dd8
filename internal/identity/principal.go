// Package identity says who may talk to us: people and programs by tokens and
// portal sessions, agents by certificates of an authority of our own, which
// they get for a one-time secret. Secrets are kept as hashes, or sealed.
//
// The database is authoritative: nothing here is remembered between calls, so a
// token that is deleted and an agent that is enrolled anew lose their rights at
// the next call, on every server. A crash loses nothing.
package identity

import (
	"upkeep/internal/fault"
)

// Role is what somebody may do.
type Role string

// The roles.
const (
	Operator Role = "operator" // everything, everywhere
	Member   Role = "member"   // targets, schedules and runs of its project
	Viewer   Role = "viewer"   // looks at its project
	Node     Role = "node"     // asks whether a node of its project may restart itself
)

// Verb is one kind of doing that needs a right.
type Verb string

// The verbs.
const (
	Read  Verb = "read"  // look
	Write Verb = "write" // change targets, schedules and freezes of a project
	Run   Verb = "run"   // start, pause, resume and abort runs; say that people were told
	Admin Verb = "admin" // tokens, and freezes of every project
	Lock  Verb = "lock"  // take the lock under which a node restarts itself, and give it back
)

// may is the whole table of rights. What is not in it is denied.
var may = map[Role]map[Verb]bool{
	Operator: {Read: true, Write: true, Run: true, Admin: true, Lock: true},
	Member:   {Read: true, Write: true, Run: true, Lock: true},
	Viewer:   {Read: true},
	Node:     {Lock: true},
}

// Principal is somebody whom we know.
type Principal struct {
	Name    string
	Role    Role
	Project string // the only project it may touch; empty: every one
}

// Who names the principal in the history.
func (p Principal) Who() string { return "user/" + p.Name }

// May says whether p may do verb to something of project; project is empty for
// what belongs to all of them. Denied: it may not.
func (p Principal) May(verb Verb, project string) error {
	if !may[p.Role][verb] {
		return fault.Denied("%s is %s and may not %s", p.Name, article(p.Role), verb)
	}
	if p.Project != "" && p.Project != project {
		return fault.Denied("%s may %s in project %q only", p.Name, verb, p.Project)
	}
	return nil
}

func article(r Role) string {
	switch r {
	case Operator:
		return "an operator"
	case Member, Viewer, Node:
		return "a " + string(r)
	}
	return "without a role"
}
