package api

import (
	"context"
	"net/http"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/run"
)

// Server is a server and what concerns it now.
type Server struct {
	ID       string            `json:"id" doc:"Given by Upkeep; never changes." example:"0199f3c2-7d1a-7c3e-9b52-0d3c8a1e4f60"`
	Project  string            `json:"project" doc:"Whose it is." example:"default"`
	Name     string            `json:"name" doc:"Unique in its project." example:"web-1"`
	Group    string            `json:"group,omitempty" doc:"Its redundancy group, whose rules say how many members are disrupted at once: one, unless they say otherwise." example:"web"`
	Labels   map[string]string `json:"labels,omitempty" doc:"Free to use." example:"{\"site\":\"fra1\"}"`
	Created  time.Time         `json:"created" doc:"When it was made known."`
	Revision int64             `json:"revision" doc:"Counts its changes; 1 when it is new." example:"1"`

	Management Management  `json:"management" doc:"Who sees to its updates."`
	Last       *LastUpdate `json:"lastUpdate,omitempty" doc:"How its newest update ended; missing if it had none. Dry runs do not count."`

	Image     *ServerImage    `json:"image,omitempty" doc:"The image that it was made from; missing if that is not known."`
	Agent     *Agent          `json:"agent,omitempty" doc:"The agent on it; missing if none was enrolled."`
	Observed  *Observed       `json:"observed,omitempty" doc:"What it looked like when it was last looked at; missing if it never was."`
	Schedules []ScheduleBrief `json:"schedules" doc:"When something is to be done."`
	OpenRuns  []RunSummary    `json:"openRuns" doc:"Runs that have not ended."`
}

// LastUpdate is how a server's newest update ended.
type LastUpdate struct {
	Run      string    `json:"run" doc:"The run's id." example:"0199f3c8-44e1-7b57-b6d0-2ce8f91a7d34"`
	State    State     `json:"state" doc:"How it ended."`
	Finished time.Time `json:"finished" doc:"When it ended."`
}

// Agent is the host's end of a server.
type Agent struct {
	Version            string    `json:"version" doc:"The agent's version." example:"0.1.0"`
	LastSeen           time.Time `json:"lastSeen,omitzero" doc:"When it last spoke, to the minute; to five minutes where very many are connected."`
	CertificateExpires time.Time `json:"certificateExpires,omitzero" doc:"When its certificate ends unless it renews it."`
}

// Observed is what a server looks like.
type Observed struct {
	ObservedAt      time.Time       `json:"observedAt" doc:"When this was learnt, by the control plane's clock."`
	Hostname        string          `json:"hostname,omitempty" doc:"What it calls itself." example:"web-1.example.net"`
	System          string          `json:"system" doc:"The operating system." example:"Debian GNU/Linux 12 (bookworm)"`
	Kernel          string          `json:"kernel" doc:"The kernel that runs." example:"6.1.0-28-amd64"`
	Arch            string          `json:"arch,omitempty" doc:"The processor's architecture." example:"amd64"`
	PackageManager  string          `json:"packageManager,omitempty" doc:"What installs packages there." example:"apt"`
	BootID          string          `json:"bootId" doc:"Changes with every boot."`
	PendingUpdates  int             `json:"pendingUpdates" doc:"How many updates could be installed." example:"12"`
	SecurityUpdates int             `json:"securityUpdates" doc:"How many of them come from a security archive." example:"3"`
	Pending         []PendingUpdate `json:"pending,omitempty" doc:"The updates; left out in lists of servers."`
	Held            []string        `json:"held" doc:"Packages that the server's administrator holds back."`
	HalfConfigured  []string        `json:"halfConfigured" doc:"Packages that an installation left half done."`
	RebootRequired  bool            `json:"rebootRequired" doc:"Whether it wants to be restarted."`
	RebootPackages  []string        `json:"rebootPackages" doc:"The packages that want it."`
	ListsAge        string          `json:"listsAge,omitempty" doc:"How old its package lists were, a duration." example:"3h"`
	Commands        []string        `json:"commands" doc:"The names of the commands that the server's owner allows policies to use."`
	Offers          []Offer         `json:"offers" doc:"What on it takes values from runbooks."`
}

// Offer is something on a server that takes values from runbooks.
type Offer struct {
	Kind  string   `json:"kind" doc:"The kind of the step that uses it." example:"command"`
	Name  string   `json:"name" doc:"Its name in the server owner's file." example:"set-image"`
	Needs []string `json:"needs" doc:"The names of the values that a step must give."`
	May   []string `json:"may" doc:"And of those that have a default there."`
}

// PendingUpdate is one update that could be installed.
type PendingUpdate struct {
	Name     string `json:"name" doc:"The package." example:"openssl"`
	From     string `json:"from,omitempty" doc:"The version that is installed; missing if it would be new." example:"3.0.14-1"`
	To       string `json:"to" doc:"The version that could be installed." example:"3.0.15-1"`
	Security bool   `json:"security" doc:"Whether it comes from a security archive."`
	Origin   string `json:"origin,omitempty" doc:"The archive." example:"Debian-Security:12/stable-security"`
	Bytes    int64  `json:"bytes,omitempty" doc:"How many bytes are to be fetched; missing if none or unknown." example:"1423360"`

	Released   time.Time `json:"released,omitzero" doc:"When the archive published this version; missing if unknown."`
	KnownSince time.Time `json:"knownSince,omitzero" doc:"Since when it could have been installed: its release, or when it was first seen; missing if unknown."`
}

// ServerList is a page of servers.
type ServerList struct {
	Items []Server `json:"items" doc:"The servers, by id."`
	Next  string   `json:"next,omitempty" doc:"What to give as after for the next page; missing on the last."`
}

// ServerInput is what a caller says of a server.
type ServerInput struct {
	Group  string            `json:"group,omitempty" maxLength:"63" doc:"Its redundancy group, whose rules say how many members are disrupted at once." example:"web"`
	Labels map[string]string `json:"labels,omitempty" doc:"Free to use: at most 32, each name and value at most 256 bytes." example:"{\"site\":\"fra1\"}"`
	Image  string            `json:"image,omitempty" maxLength:"150" doc:"The image that it was made from: an id, CHANNEL:VERSION or CHANNEL:VERSION@ARCH; CHANNEL is its active image, for a server that has none of that channel yet. none: it is not known. What was said before stays if left out." example:"debian-12:2026.11"`
}

// Enrolment is a one-time token for an agent.
type Enrolment struct {
	Token   string    `json:"token" doc:"What the agent is started with. It can be used once and is not shown again."`
	Expires time.Time `json:"expires" doc:"Until when it can be used."`
}

// ManageInput says how a server is to be managed.
type ManageInput struct {
	UpdatePolicy string `json:"updatePolicy,omitempty" maxLength:"126" doc:"An update policy, by its id or name, from which a schedule is made as well; the default one, for a server without a schedule, if left out." example:"Default Update Schedule"`
}

type ServerPath struct {
	Server string `path:"server" maxLength:"63" doc:"The server's id, or its name in the project." example:"web-1"`
	InProject
}

type (
	listServersIn struct {
		InProject
		Page
		Tongue
		After    string `query:"after" maxLength:"63" doc:"Only servers after this id: a page's next."`
		Image    string `query:"image" maxLength:"150" doc:"Only servers made from this image: an id, CHANNEL:VERSION or CHANNEL:VERSION@ARCH; CHANNEL is all of its versions."`
		OldImage bool   `query:"oldImage" doc:"Only servers made from an image that was deprecated, withdrawn or passed over."`
	}
	listServersOut struct{ Body ServerList }
	serverIn       struct {
		ServerPath
		Tongue
	}
	serverOut   struct{ Body Server }
	putServerIn struct {
		Name string `path:"server" maxLength:"63" doc:"The server's name: letters, digits, dots, dashes and underscores." example:"web-1"`
		InProject
		Tongue
		Keyed
		Body ServerInput
	}
	putServerOut struct {
		Status int
		Body   Server
	}
	deleteServerIn struct {
		ServerPath
		Keyed
	}
	enrolOut       struct{ Body Enrolment }
	manageServerIn struct {
		ServerPath
		Tongue
		Keyed
		Body *ManageInput
	}
	unmanageServerIn struct {
		ServerPath
		Tongue
		Keyed
	}
)

func (d *door) servers() {
	register(d, op{
		id: "listServers", call: "GET /v1/servers", scope: identity.Read, tag: "servers",
		summary:     "List servers",
		description: "Lists servers with what is known of them, by id.",
	}, d.listServers)
	register(d, op{
		id: "putServer", call: "PUT /v1/servers/{server}", scope: identity.Write, tag: "servers",
		summary:     "Create or replace a server",
		description: "Makes a server known under a name, or replaces its group and labels, and its image if one is named. Nothing happens on it until an agent is enrolled.",
		made:        "It was created.",
	}, d.putServer)
	register(d, op{
		id: "getServer", call: "GET /v1/servers/{server}", scope: identity.Read, tag: "servers",
		summary: "Show a server", description: "Shows a server with its pending updates, schedules and open runs.",
	}, d.getServer)
	register(d, op{
		id: "deleteServer", call: "DELETE /v1/servers/{server}", scope: identity.Write, tag: "servers",
		summary:     "Remove a server",
		description: "Removes a server with its schedules; its runs and history stay. It is a conflict while something is under way on it.",
	}, d.deleteServer)
	register(d, op{
		id: "manageServer", call: "POST /v1/servers/{server}/manage", scope: identity.Write, tag: "servers",
		summary: "Have a server managed",
		description: "Has a server's updates seen to from here: if it has no schedule it is given the default one, and schedules that rested go on. " +
			"It is a conflict if it is managed already.",
	}, d.manageServer)
	register(d, op{
		id: "unmanageServer", call: "POST /v1/servers/{server}/unmanage", scope: identity.Write, tag: "servers",
		summary:     "Leave a server to its owner",
		description: "Aborts the runs that a server has open, and lets its schedules rest until it is managed again. Runs and new schedules are refused meanwhile. It may be asked again.",
	}, d.unmanageServer)
	register(d, op{
		id: "enrolServer", call: "POST /v1/servers/{server}/enrolments", scope: identity.Write, tag: "servers", creates: true,
		summary:     "Make an enrolment token",
		description: "Makes a one-time token with which an agent becomes this server's. Every call makes another one; those that are not used expire.",
	}, d.enrolServer)
}

func (d *door) listServers(ctx context.Context, c desk.Caller, in *listServersIn) (*listServersOut, error) {
	all, err := d.serversAsked(ctx, c, in)
	if err != nil {
		return nil, err
	}
	out := ServerList{Items: list(all, func(s desk.Server) Server {
		w := serverOf(s, in.lang())
		if w.Observed != nil {
			w.Observed.Pending = nil
		}
		return w
	})}
	out.Next = next(out.Items, in.Limit, func(s Server) string { return s.ID })
	return &listServersOut{out}, nil
}

func (d *door) serversAsked(ctx context.Context, c desk.Caller, in *listServersIn) ([]desk.Server, error) {
	if in.Image == "" && !in.OldImage {
		return d.desk.Servers(ctx, c, in.Project, in.After, in.Limit)
	}
	return d.desk.ServersByImage(ctx, c, desk.ImageServers{Project: in.Project, Image: in.Image, Old: in.OldImage, After: in.After, Limit: in.Limit})
}

func (d *door) getServer(ctx context.Context, c desk.Caller, in *serverIn) (*serverOut, error) {
	return d.tellServer(in.lang())(d.desk.Server(ctx, c, in.Project, in.Server))
}

// tellServer answers with a server.
func (d *door) tellServer(lang string) func(desk.Server, error) (*serverOut, error) {
	return func(s desk.Server, err error) (*serverOut, error) {
		if err != nil {
			return nil, err
		}
		return &serverOut{serverOf(s, lang)}, nil
	}
}

func (d *door) manageServer(ctx context.Context, c desk.Caller, in *manageServerIn) (*serverOut, error) {
	policy := ""
	if in.Body != nil {
		policy = in.Body.UpdatePolicy
	}
	t, err := d.desk.Manage(ctx, c, in.Project, in.Server, policy)
	if err != nil {
		return nil, err
	}
	return d.tellServer(in.lang())(d.desk.Server(ctx, c, "", t.ID))
}

func (d *door) unmanageServer(ctx context.Context, c desk.Caller, in *unmanageServerIn) (*serverOut, error) {
	t, err := d.desk.Unmanage(ctx, c, in.Project, in.Server)
	if err != nil {
		return nil, err
	}
	return d.tellServer(in.lang())(d.desk.Server(ctx, c, "", t.ID))
}

func (d *door) putServer(ctx context.Context, c desk.Caller, in *putServerIn) (*putServerOut, error) {
	t, made, err := d.desk.PutServer(ctx, c, desk.ServerSpec{Project: in.Project, Name: in.Name, Group: in.Body.Group, Labels: in.Body.Labels, Image: in.Body.Image})
	if err != nil {
		return nil, err
	}
	s, err := d.desk.Server(ctx, c, "", t.ID)
	if err != nil {
		return nil, err
	}
	return &putServerOut{created(made), serverOf(s, in.lang())}, nil
}

// created is the status of what was made, or replaced.
func created(made bool) int {
	if made {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (d *door) deleteServer(ctx context.Context, c desk.Caller, in *deleteServerIn) (*done, error) {
	return nil, d.desk.DeleteServer(ctx, c, in.Project, in.Server)
}

func (d *door) enrolServer(ctx context.Context, c desk.Caller, in *ServerPath) (*enrolOut, error) {
	e, err := d.desk.Enrol(ctx, c, in.Project, in.Server)
	if err != nil {
		return nil, err
	}
	return &enrolOut{Enrolment{Token: e.Secret, Expires: e.Expires.UTC()}}, nil
}

func serverOf(s desk.Server, lang string) Server {
	t := s.Target
	out := Server{
		ID: t.ID, Project: t.Project, Name: t.Name, Group: t.Group, Labels: t.Labels,
		Created: t.Created.UTC(), Revision: t.Revision, Management: managementOf(t.Management), Last: lastOf(t.Last),
		Schedules: list(s.Schedules, scheduleBriefIn(lang)), OpenRuns: list(s.Open, runSummaryIn(lang)),
	}
	if a := s.Agent; a != (desk.Agent{}) {
		out.Agent = &Agent{Version: a.Version, LastSeen: a.LastSeen.UTC(), CertificateExpires: a.Expires.UTC()}
	}
	out.Image = serverImageOf(s.Image)
	if t.Observed != nil {
		out.Observed = observedOf(*t.Observed, t.ObservedAt, t.Seen)
	}
	return out
}

func managementOf(m fleet.Management) Management {
	if m == fleet.ByHand {
		return "by-hand"
	}
	return Management(m)
}

func lastOf(l fleet.Last) *LastUpdate {
	if l.Run == "" {
		return nil
	}
	out := &LastUpdate{Run: l.Run, State: State(run.Failed), Finished: l.Finished.UTC()}
	switch {
	case l.Succeeded:
		out.State = State(run.Succeeded)
	case l.Aborted:
		out.State = State(run.Aborted)
	}
	return out
}

func observedOf(o action.Observation, at time.Time, seen fleet.Seen) *Observed {
	out := &Observed{
		ObservedAt: at.UTC(), Hostname: o.Hostname, System: o.System, Kernel: o.Kernel, Arch: o.Arch,
		PackageManager: o.Manager, BootID: o.BootID, PendingUpdates: len(o.Pending),
		Held: texts(o.Held), HalfConfigured: texts(o.HalfConfigured),
		RebootRequired: o.RebootRequired, RebootPackages: texts(o.RebootPackages), ListsAge: optional(o.ListsAge),
		Commands: texts(o.Commands),
		Offers: list(o.Offers, func(f action.Offer) Offer {
			return Offer{Kind: string(f.Kind), Name: f.Name, Needs: texts(f.Needs), May: texts(f.May)}
		}),
	}
	for _, p := range o.Pending {
		if p.Security {
			out.SecurityUpdates++
		}
		out.Pending = append(out.Pending, PendingUpdate{
			Name: p.Name, From: p.From, To: p.To, Security: p.Security, Origin: p.Origin, Bytes: p.Bytes,
			Released: p.Released.UTC(), KnownSince: seen.Known(p).UTC(),
		})
	}
	return out
}
