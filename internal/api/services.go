package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

// Service is replicas that do the same, of which a quorum must always be up.
type Service struct {
	ID        string            `json:"id" doc:"Given by Upkeep; never changes." example:"0199f3c2-7d1a-7c3e-9b52-0d3c8a1e4f60"`
	Project   string            `json:"project" doc:"Whose it is." example:"default"`
	Name      string            `json:"name" doc:"Unique among the servers and services of its project." example:"api-extension"`
	Labels    map[string]string `json:"labels" doc:"Free to use."`
	Quorum    int               `json:"quorum" doc:"How many members must always stay up." example:"2"`
	Manager   string            `json:"manager,omitempty" doc:"The server on which things are run that are about the whole service; missing if there is none." example:"mgr1"`
	With      map[string]string `json:"with" doc:"What runbooks may ask of the service, as {{service.KEY}}."`
	Members   []ServiceMember   `json:"members" doc:"The replicas, in the order in which they are maintained; where their ages are known, the oldest goes first."`
	Proxies   []ServiceProxy    `json:"proxies" doc:"The load balancers in front of it."`
	Probe     *ServiceProbe     `json:"probe,omitempty" doc:"What is asked all the while a run is open on it; missing if nothing is."`
	Claims    []string          `json:"claims,omitempty" doc:"What every run on it claims besides its servers." example:"[\"database/keystone\"]"`
	Schedules []ScheduleBrief   `json:"schedules" doc:"Its schedules."`
	OpenRuns  []RunSummary      `json:"openRuns" doc:"Runs that have not ended."`
	Created   time.Time         `json:"created,omitzero" doc:"When it was made known."`
	Revision  int64             `json:"revision" doc:"Counts its changes." example:"1"`
}

// ServiceMember is one replica of a service.
type ServiceMember struct {
	Name   string            `json:"name" minLength:"1" maxLength:"63" doc:"Unique in the service; {{member.name}} unless with says otherwise." example:"ctl1"`
	Server string            `json:"server,omitempty" maxLength:"63" doc:"The name of the server on which it runs; missing if commands are never run for it." example:"ctl1"`
	Labels map[string]string `json:"labels,omitempty" doc:"Free to use; runbooks choose members by them." example:"{\"role\":\"control\"}"`
	Born   time.Time         `json:"born,omitzero" doc:"When it was made: the oldest is maintained first. Missing if that is not known." example:"2026-01-03T02:30:00Z"`
	With   map[string]string `json:"with,omitempty" doc:"What runbooks may ask of it, as {{member.KEY}}."`
}

// ServiceProxy is a load balancer in front of a service.
type ServiceProxy struct {
	Name string            `json:"name" minLength:"1" maxLength:"63" doc:"Unique in the service; {{proxy.name}} unless with says otherwise." example:"lb1"`
	With map[string]string `json:"with,omitempty" doc:"What runbooks may ask of it, as {{proxy.KEY}}, such as where its admin socket is."`
}

// ServiceProbe is what a service's users would ask, and how often.
type ServiceProbe struct {
	Endpoints []ServiceEndpoint `json:"endpoints" minItems:"1" maxItems:"20" doc:"What is asked, in turn."`
	Rate      int               `json:"rate" minimum:"1" maximum:"200" doc:"Requests per second, of all endpoints together." example:"10"`
	Slow      string            `json:"slow,omitempty" doc:"An answer that takes longer is slow, a duration less than the timeout; none is if left out." example:"1s"`
	Timeout   string            `json:"timeout,omitempty" doc:"An answer that takes longer is none, a duration up to 30s; 5s if left out." example:"5s"`
}

// ServiceEndpoint is a URL that a service's users would ask.
type ServiceEndpoint struct {
	Name   string            `json:"name" minLength:"1" maxLength:"63" doc:"What it is called in the evidence; unique." example:"list"`
	URL    string            `json:"url" minLength:"1" maxLength:"2048" doc:"What is asked, with GET: as users do, through the load balancer." example:"https://api.example.net/v3/projects"`
	Header map[string]string `json:"header,omitempty" maxProperties:"16" doc:"Headers to send. Everybody who may look at the service sees them: put no secrets there that matter."`
	CA     string            `json:"ca,omitempty" maxLength:"65536" doc:"Certificates in PEM to trust instead of the system's."`
}

// ServiceList is all services of a project.
type ServiceList struct {
	Items []Service `json:"items" doc:"The services, by name."`
}

// ServiceInput is what a caller says of a service.
type ServiceInput struct {
	Labels  map[string]string `json:"labels,omitempty" doc:"Free to use: at most 32, each name and value at most 256 bytes." example:"{\"site\":\"fra1\"}"`
	Quorum  int               `json:"quorum,omitempty" minimum:"0" maximum:"200" doc:"How many members must always stay up; less than there are. Those that a runbook's maxUnavailable leaves, if left out." example:"2"`
	Manager string            `json:"manager,omitempty" maxLength:"63" doc:"The name of the server on which things are run that are about the whole service, such as the one with Ansible or the OpenStack client." example:"mgr1"`
	Claims  []string          `json:"claims,omitempty" maxItems:"32" doc:"What every run on it claims besides its servers, so that no two hold it at once: KIND/NAME; region or cluster alone for the one that its label names." example:"[\"database/keystone\"]"`
	With    map[string]string `json:"with,omitempty" maxProperties:"32" doc:"What runbooks may ask of the service, as {{service.KEY}}: keys of letters and digits, values of up to 1024 bytes."`
	Members []ServiceMember   `json:"members" maxItems:"200" doc:"The replicas, in the order in which they are to be maintained."`
	Probe   *ServiceProbe     `json:"probe,omitempty" doc:"What is asked all the while a run is open on it, so that it is known what its users saw; nothing if left out."`
	Proxies []ServiceProxy    `json:"proxies,omitempty" maxItems:"20" doc:"The load balancers in front of it: a step on proxies is done at each."`
}

// ServiceRunInput asks for a runbook to be carried out on a service.
type ServiceRunInput struct {
	ServiceForecastInput
	Reason string `json:"reason,omitempty" maxLength:"1024" doc:"Why; the history keeps it. Needed to override a freeze." example:"PCO-1981"`
}

// ServiceForecastInput asks what a runbook would do on a service.
type ServiceForecastInput struct {
	Runbook        string            `json:"runbook,omitempty" maxLength:"63" doc:"The runbook's name; needed unless schedule is named." example:"api-extension-restart"`
	Params         map[string]string `json:"params,omitempty" maxProperties:"32" doc:"Values of the runbook's parameters, as texts."`
	Only           string            `json:"only,omitempty" maxLength:"63" doc:"The one member that is maintained. Steps of before and after that change something are left out then. All that the runbook is for, if left out." example:"ctl2"`
	Duration       string            `json:"duration,omitempty" doc:"How long it may take from now, a duration from 1m to 24h; needed unless schedule is named." example:"3h"`
	Schedule       string            `json:"schedule,omitempty" maxLength:"126" doc:"In the windows of this schedule of the service, with its runbook and parameters: its id or name." example:"weekly"`
	OverrideFreeze bool              `json:"overrideFreeze,omitempty" doc:"Start although a freeze is in force."`
}

func (in ServiceForecastInput) spec(at ServicePath) (s desk.BookSpec, err error) {
	s = desk.BookSpec{Project: at.Project, Service: at.Service, Runbook: in.Runbook, Params: in.Params, Schedule: in.Schedule, Only: in.Only, OverrideFreeze: in.OverrideFreeze}
	switch {
	case in.Schedule == "" && in.Runbook == "":
		return s, fault.Invalid("runbook", "is required: say it, or a schedule")
	case in.Schedule == "" && in.Duration == "":
		return s, fault.Invalid("duration", "is required, between 1m and 24h")
	}
	s.Duration, err = parseDuration("duration", in.Duration)
	return s, err
}

type (
	listServicesIn struct {
		InProject
		Tongue
	}
	listServicesOut struct{ Body ServiceList }
	ServicePath     struct {
		Service string `path:"service" maxLength:"63" doc:"The service's id, or its name in the project." example:"api-extension"`
		InProject
	}
	serviceIn struct {
		ServicePath
		Tongue
	}
	serviceOut   struct{ Body Service }
	putServiceIn struct {
		ServicePath
		Tongue
		Keyed
		Body ServiceInput
	}
	putServiceOut struct {
		Status int
		Body   Service
	}
	deleteServiceIn struct {
		ServicePath
		Keyed
	}
	runServiceIn struct {
		ServicePath
		Tongue
		Keyed
		Body ServiceRunInput
	}
	simulateServiceIn struct {
		ServicePath
		Tongue
		Body ServiceForecastInput
	}
)

func (d *door) services() {
	register(d, op{
		id: "listServices", call: "GET /v1/services", scope: identity.Read, tag: "services",
		summary: "List services", description: "Lists services by name.",
	}, d.listServices)
	register(d, op{
		id: "putService", call: "PUT /v1/services/{service}", scope: identity.Write, tag: "services",
		summary: "Create or replace a service",
		description: "Makes a service known under a name, or replaces what is said of it. The servers that its members name must be there. " +
			"A run that is open goes on with the service as it was when it was opened.",
		made: "It was created.",
	}, d.putService)
	register(d, op{
		id: "getService", call: "GET /v1/services/{service}", scope: identity.Read, tag: "services",
		summary: "Show a service", description: "Shows a service with its open runs.",
	}, d.getService)
	register(d, op{
		id: "deleteService", call: "DELETE /v1/services/{service}", scope: identity.Write, tag: "services",
		summary: "Remove a service", description: "Removes a service. It is a conflict while a run is open on it.",
	}, d.deleteService)
	register(d, op{
		id: "runRunbook", call: "POST /v1/services/{service}/runs", scope: identity.Run, tag: "services", creates: true,
		summary: "Run a runbook on a service",
		description: "Opens a run of a runbook on a service: now, or in the windows of one of its schedules. It is planned at once, so that what the service lacks is refused here. " +
			"It is a conflict if a run is at work on the service already.",
	}, d.runRunbook)
	register(d, op{
		id: "simulateRunbook", call: "POST /v1/services/{service}/simulate", scope: identity.Read, tag: "planning",
		summary: "Simulate a runbook on a service",
		description: "Forecasts a run of a runbook with the planner that real runs use, as if every check held and every approval was given at once. " +
			"Nothing is touched, and nothing is kept.",
	}, d.simulateRunbook)
}

func (d *door) listServices(ctx context.Context, c desk.Caller, in *listServicesIn) (*listServicesOut, error) {
	all, err := d.desk.Services(ctx, c, in.Project)
	if err != nil {
		return nil, err
	}
	return &listServicesOut{ServiceList{list(all, func(s desk.Service) Service { return serviceOf(s, in.lang()) })}}, nil
}

func (d *door) getService(ctx context.Context, c desk.Caller, in *serviceIn) (*serviceOut, error) {
	s, err := d.desk.Service(ctx, c, in.Project, in.Service)
	if err != nil {
		return nil, err
	}
	return &serviceOut{serviceOf(s, in.lang())}, nil
}

func (d *door) putService(ctx context.Context, c desk.Caller, in *putServiceIn) (*putServiceOut, error) {
	service, err := in.Body.fleet()
	if err != nil {
		return nil, err
	}
	t, made, err := d.desk.PutService(ctx, c, desk.ServiceSpec{
		Project: in.Project, Name: in.Service, Labels: in.Body.Labels, Service: service,
	})
	if err != nil {
		return nil, err
	}
	s, err := d.desk.Service(ctx, c, t.Project, t.ID)
	if err != nil {
		return nil, err
	}
	return &putServiceOut{created(made), serviceOf(s, in.lang())}, nil
}

func (d *door) deleteService(ctx context.Context, c desk.Caller, in *deleteServiceIn) (*done, error) {
	return nil, d.desk.DeleteService(ctx, c, in.Project, in.Service)
}

func (d *door) runRunbook(ctx context.Context, c desk.Caller, in *runServiceIn) (*runOut, error) {
	spec, err := in.Body.spec(in.ServicePath)
	if err != nil {
		return nil, err
	}
	spec.Reason = in.Body.Reason
	return d.tell(in.lang())(d.desk.StartBook(ctx, c, spec))
}

func (d *door) simulateRunbook(ctx context.Context, c desk.Caller, in *simulateServiceIn) (*simulateOut, error) {
	spec, err := in.Body.spec(in.ServicePath)
	if err != nil {
		return nil, err
	}
	f, err := d.desk.SimulateBook(ctx, c, spec)
	if err != nil {
		return nil, err
	}
	return &simulateOut{simulationOf(f, in.lang())}, nil
}

func (in ServiceInput) fleet() (fleet.Service, error) {
	var l lengths
	s := fleet.Service{
		Quorum: in.Quorum, Manager: in.Manager, Claims: in.Claims, With: in.With,
		Members: list(in.Members, func(m ServiceMember) fleet.Member { return fleet.Member(m) }),
		Proxies: list(in.Proxies, func(p ServiceProxy) fleet.Proxy { return fleet.Proxy(p) }),
	}
	if p := in.Probe; p != nil {
		s.Probe = fleet.Probe{
			Endpoints: list(p.Endpoints, func(e ServiceEndpoint) fleet.Endpoint { return fleet.Endpoint(e) }),
			Rate:      p.Rate, Slow: l.read("probe.slow", p.Slow), Timeout: l.read("probe.timeout", p.Timeout),
		}
	}
	return s, l.err
}

func probeOf(p fleet.Probe) *ServiceProbe {
	if !p.Asks() {
		return nil
	}
	return &ServiceProbe{
		Endpoints: list(p.Endpoints, func(e fleet.Endpoint) ServiceEndpoint { return ServiceEndpoint(e) }),
		Rate:      p.Rate, Slow: optional(p.Slow), Timeout: optional(p.Timeout),
	}
}

func serviceOf(s desk.Service, lang string) Service {
	t := s.Target
	return Service{
		ID: t.ID, Project: t.Project, Name: t.Name, Labels: notNil(t.Labels), Quorum: t.Service.Quorum, Manager: t.Service.Manager, Claims: t.Service.Claims, With: notNil(t.Service.With),
		Members: list(t.Service.Members, func(m fleet.Member) ServiceMember {
			m.Born = m.Born.UTC()
			return ServiceMember(m)
		}),
		Proxies: list(t.Service.Proxies, func(p fleet.Proxy) ServiceProxy { return ServiceProxy(p) }),
		Probe:   probeOf(t.Service.Probe), Schedules: list(s.Schedules, scheduleBriefIn(lang)),
		OpenRuns: list(s.Open, runSummaryIn(lang)), Created: t.Created.UTC(), Revision: t.Revision,
	}
}

// notNil is never null.
func notNil(in map[string]string) map[string]string {
	if in == nil {
		return map[string]string{}
	}
	return in
}
