package api

import (
	"github.com/danielgtaylor/huma/v2"
)

// Role is what a token may do.
type Role string

// State is where a run is.
type State string

// Missed is what becomes of an occurrence whose start was missed.
type Missed string

// Management is who sees to a server's updates.
type Management string

// Level sums up how far a server is behind.
type Level string

// Schema puts the roles into the document once, under a name.
func (Role) Schema(r huma.Registry) *huma.Schema {
	return named(r, "Role", "What a token may do: an operator everything, everywhere; a member everything in its project but tokens; a viewer looks at its project; a node asks whether it may restart itself (FleetLock), and no more.",
		"operator", "member", "viewer", "node")
}

// ImageState is where an image is in its life.
type ImageState string

// Cadence is how often a channel gets a new image.
type Cadence string

// Schema puts the states of images into the document once, under a name.
func (ImageState) Schema(r huma.Registry) *huma.Schema {
	return named(r, "ImageState", "released: it can be used by its version. active: new servers of its channel are made from it. deprecated: use its successor. withdrawn: nothing may be made from it, and there is no way back.",
		"released", "active", "deprecated", "withdrawn")
}

// Schema puts the cadences into the document once, under a name.
func (Cadence) Schema(r huma.Registry) *huma.Schema {
	return named(r, "Cadence", "monthly and quarterly: a release is due until the end of the calendar month or quarter after the last one's. as-needed: nothing is ever due.",
		"monthly", "quarterly", "as-needed")
}

// MemberOrder is in which order the members of a service are maintained.
type MemberOrder string

// Schema puts the orders into the document once, under a name.
func (MemberOrder) Schema(r huma.Registry) *huma.Schema {
	return named(r, "MemberOrder", "oldest: the oldest member first; the ages of all must be known. listed: as the service lists them. reversed: from the last to the first.",
		"oldest", "listed", "reversed")
}

// Schema puts the states into the document once, under a name.
func (State) Schema(r huma.Registry) *huma.Schema {
	return named(r, "State", "waiting: something is left, and nothing of it may start yet. working: something is under way. paused: a person holds it. The others are ends.",
		"waiting", "working", "paused", "succeeded", "failed", "aborted")
}

// Schema puts the rules for missed starts into the document once, under a name.
func (Missed) Schema(r huma.Registry) *huma.Schema {
	return named(r, "Missed", "late: it begins late, in what is left of the window. skip: it is left to the next occurrence. ask: it waits until a person says resume. "+
		"A start is missed if the server has begun nothing a quarter of an hour after the window opened.",
		"late", "skip", "ask")
}

// Schema puts the kinds of management into the document once, under a name.
func (Management) Schema(r huma.Registry) *huma.Schema {
	return named(r, "Management", "managed: it always has a schedule, the default one if no other. unmanaged: its owner patches it, and nothing is done to it from here. "+
		"by-hand: whoever may gives it schedules; it gets none by itself.",
		"managed", "unmanaged", "by-hand")
}

// Schema puts the levels into the document once, under a name.
func (Level) Schema(r huma.Registry) *huma.Schema {
	return named(r, "Level", "overdue: an update is not installed in the time that a schedule's policy promises. unknown: the server was not looked at in the last two days. "+
		"behind: updates are pending. current: none is.",
		"overdue", "unknown", "behind", "current")
}

func named(r huma.Registry, name, doc string, values ...any) *huma.Schema {
	if r.Map()[name] == nil {
		s := &huma.Schema{Type: huma.TypeString, Description: doc, Enum: values}
		s.PrecomputeMessages()
		r.Map()[name] = s
	}
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}
