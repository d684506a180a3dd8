package api

import (
	"context"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

type (
	listSchedulesIn struct {
		InProject
		Page
		Tongue
		Server  string `query:"server" maxLength:"63" doc:"Only those of this server: its id, or its name in the project."`
		Service string `query:"service" maxLength:"63" doc:"Only those of this service: its id, or its name in the project."`
		After   string `query:"after" maxLength:"63" doc:"Only schedules after this id: a page's next."`
	}
	listSchedulesOut struct{ Body ScheduleList }
	SchedulePath     struct {
		ID string `path:"schedule" maxLength:"63" doc:"The schedule's id." example:"0199f3c4-10aa-7e02-8c41-5f7b2a9d6e13"`
	}
	scheduleIn struct {
		SchedulePath
		Tongue
	}
	scheduleOut   struct{ Body Schedule }
	putScheduleIn struct {
		ServerPath
		Name string `path:"name" maxLength:"126" doc:"The schedule's name on the server." example:"weekly"`
		Tongue
		Keyed
		Body ScheduleInput
	}
	putServiceScheduleIn struct {
		ServicePath
		Name string `path:"name" maxLength:"126" doc:"The schedule's name on the service." example:"weekly"`
		Tongue
		Keyed
		Body ScheduleInput
	}
	putScheduleOut struct {
		Status int
		Body   Schedule
	}
	createScheduleIn struct {
		ServerPath
		Tongue
		Keyed
		Body NamedScheduleInput
	}
	replaceScheduleIn struct {
		SchedulePath
		Tongue
		Keyed
		Body NamedScheduleInput
	}
	SwitchScheduleIn struct {
		SchedulePath
		Tongue
		Keyed
	}
	enableScheduleIn struct {
		SwitchScheduleIn
		AllowOverlap bool `query:"allowOverlap" doc:"Switch it on although another schedule of the server is open at the same time."`
	}
	deleteScheduleIn struct {
		SchedulePath
		Keyed
	}
	previewScheduleIn struct {
		Tongue
		Body SchedulePreviewInput
	}
	previewScheduleOut struct{ Body SchedulePreview }
)

func (d *door) schedules() {
	register(d, op{
		id: "listSchedules", call: "GET /v1/schedules", scope: identity.Read, tag: "schedules",
		summary: "List schedules", description: "Lists the schedules of a project, or of a server or service, by id.",
	}, d.listSchedules)
	register(d, op{
		id: "putSchedule", call: "PUT /v1/servers/{server}/schedules/{name}", scope: identity.Write, tag: "schedules",
		summary: "Create or replace a schedule",
		description: "Makes a schedule on a server, or replaces it whole. A run that it has open follows its new window. " +
			"It is a conflict if the server is unmanaged, or if it would be open while another schedule of the server is, unless allowOverlap says so.",
		made: "It was created.",
	}, d.putSchedule)
	register(d, op{
		id: "putServiceSchedule", call: "PUT /v1/services/{service}/schedules/{name}", scope: identity.Write, tag: "schedules",
		summary: "Create or replace a service's schedule",
		description: "Makes a schedule on a service, or replaces it whole: at the start of each window a run of the runbook is opened, which goes on in the next window if it does not fit into one. " +
			"What the service or the runbook lacks is refused here. It is a conflict if it would be open while another schedule of the service is, unless allowOverlap says so.",
		made: "It was created.",
	}, d.putServiceSchedule)
	register(d, op{
		id: "createSchedule", call: "POST /v1/servers/{server}/schedules", scope: identity.Write, tag: "schedules", creates: true,
		summary: "Create a schedule", description: "Makes a schedule on a server. It is a conflict if the server has one of that name.",
	}, d.createSchedule)
	register(d, op{
		id: "getSchedule", call: "GET /v1/schedules/{schedule}", scope: identity.Read, tag: "schedules",
		summary: "Show a schedule", description: "Shows a schedule with its next five occurrences and its overlaps.",
	}, d.getSchedule)
	register(d, op{
		id: "replaceSchedule", call: "PUT /v1/schedules/{schedule}", scope: identity.Write, tag: "schedules",
		summary: "Replace a schedule", description: "Replaces a schedule whole, its name included. It keeps its id and number.",
	}, d.replaceSchedule)
	register(d, op{
		id: "enableSchedule", call: "POST /v1/schedules/{schedule}/enable", scope: identity.Write, tag: "schedules",
		summary: "Switch a schedule on", description: "Lets a schedule open runs. One that is on stays so. It is a conflict if it overlaps another, as when it is made.",
	}, d.enableSchedule)
	register(d, op{
		id: "disableSchedule", call: "POST /v1/schedules/{schedule}/disable", scope: identity.Write, tag: "schedules",
		summary: "Switch a schedule off", description: "Keeps a schedule from opening runs, and aborts the run that it has open.",
	}, d.disableSchedule)
	register(d, op{
		id: "deleteSchedule", call: "DELETE /v1/schedules/{schedule}", scope: identity.Write, tag: "schedules",
		summary: "Remove a schedule", description: "Removes a schedule and aborts the run that it has open.",
	}, d.deleteSchedule)
	register(d, op{
		id: "previewSchedule", call: "POST /v1/previews", scope: identity.Read, tag: "planning",
		summary:     "Preview a schedule",
		description: "Says what a schedule would be: its window in words, its next occurrences, and when it would overlap others of the server. Nothing is kept.",
	}, d.previewSchedule)
}

func (d *door) listSchedules(ctx context.Context, c desk.Caller, in *listSchedulesIn) (*listSchedulesOut, error) {
	if in.Server != "" && in.Service != "" {
		return nil, fault.Invalid("service", "goes without server: say one of them")
	}
	all, err := d.desk.Schedules(ctx, c, in.Project, in.Server+in.Service, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	items, err := d.scheduleWords(ctx, c, all, in.lang())
	if err != nil {
		return nil, err
	}
	return &listSchedulesOut{ScheduleList{
		Items: items,
		Next:  next(items, in.Limit, func(s Schedule) string { return s.ID }),
	}}, nil
}

func (d *door) getSchedule(ctx context.Context, c desk.Caller, in *scheduleIn) (*scheduleOut, error) {
	return d.tellSchedule(ctx, c, in.lang())(d.desk.Schedule(ctx, c, in.ID))
}

func (d *door) putSchedule(ctx context.Context, c desk.Caller, in *putScheduleIn) (*putScheduleOut, error) {
	spec, err := in.Body.spec()
	if err != nil {
		return nil, err
	}
	spec.Project, spec.Server, spec.Name = in.Project, in.Server, in.Name
	return d.keepSchedule(ctx, c, spec, in.lang())
}

func (d *door) putServiceSchedule(ctx context.Context, c desk.Caller, in *putServiceScheduleIn) (*putScheduleOut, error) {
	spec, err := in.Body.spec()
	if err != nil {
		return nil, err
	}
	spec.Project, spec.Service, spec.Name = in.Project, in.Service, in.Name
	return d.keepSchedule(ctx, c, spec, in.lang())
}

// keepSchedule puts a schedule and answers with it.
func (d *door) keepSchedule(ctx context.Context, c desk.Caller, spec desk.ScheduleSpec, lang string) (*putScheduleOut, error) {
	s, made, err := d.desk.PutSchedule(ctx, c, spec)
	out, err := d.tellSchedule(ctx, c, lang)(s, err)
	if err != nil {
		return nil, err
	}
	return &putScheduleOut{created(made), out.Body}, nil
}

func (d *door) createSchedule(ctx context.Context, c desk.Caller, in *createScheduleIn) (*scheduleOut, error) {
	spec, err := in.Body.named()
	if err != nil {
		return nil, err
	}
	spec.Project, spec.Server = in.Project, in.Server
	return d.tellSchedule(ctx, c, in.lang())(d.desk.CreateSchedule(ctx, c, spec))
}

func (d *door) replaceSchedule(ctx context.Context, c desk.Caller, in *replaceScheduleIn) (*scheduleOut, error) {
	spec, err := in.Body.named()
	if err != nil {
		return nil, err
	}
	return d.tellSchedule(ctx, c, in.lang())(d.desk.ReplaceSchedule(ctx, c, in.ID, spec))
}

func (d *door) enableSchedule(ctx context.Context, c desk.Caller, in *enableScheduleIn) (*scheduleOut, error) {
	return d.tellSchedule(ctx, c, in.lang())(d.desk.EnableSchedule(ctx, c, in.ID, true, in.AllowOverlap))
}

func (d *door) disableSchedule(ctx context.Context, c desk.Caller, in *SwitchScheduleIn) (*scheduleOut, error) {
	return d.tellSchedule(ctx, c, in.lang())(d.desk.EnableSchedule(ctx, c, in.ID, false, false))
}

func (d *door) deleteSchedule(ctx context.Context, c desk.Caller, in *deleteScheduleIn) (*done, error) {
	return nil, d.desk.DeleteSchedule(ctx, c, in.ID)
}

func (d *door) previewSchedule(ctx context.Context, c desk.Caller, in *previewScheduleIn) (*previewScheduleOut, error) {
	spec, err := in.Body.spec()
	if err != nil {
		return nil, err
	}
	spec.Project, spec.Server, spec.Service, spec.Name = in.Body.Project, in.Body.Server, in.Body.Service, in.Body.Name
	if spec.Server == "" && spec.Service == "" {
		return nil, fault.Invalid("server", "is required, or service: what the schedule is on")
	}
	s, f, err := d.desk.Preview(ctx, c, in.Body.Replaces, spec)
	if err != nil {
		return nil, err
	}
	return &previewScheduleOut{SchedulePreview{
		Name: s.Name, ScheduleBody: scheduleBodyOf(s, f, in.lang()),
	}}, nil
}

// tellSchedule answers with a schedule.
func (d *door) tellSchedule(ctx context.Context, c desk.Caller, lang string) func(fleet.Schedule, error) (*scheduleOut, error) {
	return func(s fleet.Schedule, err error) (*scheduleOut, error) {
		if err != nil {
			return nil, err
		}
		told, err := d.scheduleWords(ctx, c, []fleet.Schedule{s}, lang)
		if err != nil {
			return nil, err
		}
		return &scheduleOut{told[0]}, nil
	}
}

// scheduleWords tells schedules with what is around them: names, freezes, and
// the others of their servers. One that is off, or rests, is told with what it
// would have ahead if it were on.
func (d *door) scheduleWords(ctx context.Context, c desk.Caller, all []fleet.Schedule, lang string) ([]Schedule, error) {
	names, err := d.desk.ServerNames(ctx, c, list(all, func(s fleet.Schedule) string { return s.Target }))
	if err != nil {
		return nil, err
	}
	futures, err := d.desk.Futures(ctx, c, list(all, func(s fleet.Schedule) fleet.Schedule {
		s.Enabled, s.Resting = true, false
		return s
	})...)
	if err != nil {
		return nil, err
	}
	return list(all, func(s fleet.Schedule) Schedule {
		return Schedule{
			ID: s.ID, Number: s.Number, Project: s.Project, Server: s.Target, ServerName: names[s.Target], Name: s.Name,
			Resting: s.Resting, Next: spanOf(s.Next), Refused: s.Refused, Created: s.Created.UTC(), Changed: s.Changed.UTC(), Revision: s.Revision,
			ScheduleBody: scheduleBodyOf(s, futures[s.ID], lang),
		}
	}), nil
}
