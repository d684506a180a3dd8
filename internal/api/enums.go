package api

import (
	"github.com/danielgtaylor/huma/v2"
)

// Role is what a token may do.
type Role string

// State is where a run is.
type State string

// Schema puts the roles into the document once, under a name.
func (Role) Schema(r huma.Registry) *huma.Schema {
	return named(r, "Role", "What a token may do: an operator everything, everywhere; a member everything in its project but tokens; a viewer looks at its project.",
		"operator", "member", "viewer")
}

// Schema puts the states into the document once, under a name.
func (State) Schema(r huma.Registry) *huma.Schema {
	return named(r, "State", "waiting: something is left, and nothing of it may start yet. working: something is under way. paused: a person holds it. The others are ends.",
		"waiting", "working", "paused", "succeeded", "failed", "aborted")
}

func named(r huma.Registry, name, doc string, values ...any) *huma.Schema {
	if r.Map()[name] == nil {
		s := &huma.Schema{Type: huma.TypeString, Description: doc, Enum: values}
		s.PrecomputeMessages()
		r.Map()[name] = s
	}
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}
