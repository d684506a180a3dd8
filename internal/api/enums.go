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
