package api

import (
	"context"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
)

// Whoami is who a token stands for.
type Whoami struct {
	Name    string `json:"name" doc:"The name that the history will show." example:"alice"`
	Role    Role   `json:"role" doc:"What it may do."`
	Project string `json:"project,omitempty" doc:"The only project that it may touch; missing: every one." example:"default"`
}

// Version is what answers.
type Version struct {
	Version string `json:"version" doc:"The server's version." example:"0.1.0"`
	API     string `json:"api" doc:"The version of this interface." example:"v1"`
}

type (
	nothing    struct{}
	whoamiOut  struct{ Body Whoami }
	versionOut struct{ Body Version }
)

func (d *door) about() {
	register(d, op{
		id: "whoami", call: "GET /v1/whoami", scope: identity.Read, tag: "access",
		summary: "Show who I am", description: "Shows whose token it is and what it may do.",
	}, d.whoami)
	register(d, op{
		id: "getVersion", call: "GET /v1/version", scope: anybody, tag: "about",
		summary: "Show the version", description: "Shows which version answers. It needs no token.",
	}, d.getVersion)
}

func (d *door) whoami(_ context.Context, c desk.Caller, _ *nothing) (*whoamiOut, error) {
	return &whoamiOut{Whoami{Name: c.Name, Role: Role(c.Role), Project: c.Project}}, nil
}

func (d *door) getVersion(context.Context, desk.Caller, *nothing) (*versionOut, error) {
	return &versionOut{Version{Version: d.version, API: "v1"}}, nil
}
