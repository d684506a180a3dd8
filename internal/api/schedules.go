package api

import (
	"context"
	"errors"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/window"
)

// Schedule is a window on a server, and what is to be done in it.
type Schedule struct {
	ID          string       `json:"id" doc:"Given by Upkeep; never changes." example:"0199f3c4-10aa-7e02-8c41-5f7b2a9d6e13"`
	Project     string       `json:"project" doc:"Whose it is." example:"default"`
	Server      string       `json:"server" doc:"The server's id." example:"0199f3c2-7d1a-7c3e-9b52-0d3c8a1e4f60"`
	ServerName  string       `json:"serverName" doc:"The server's name." example:"web-1"`
	Name        string       `json:"name" doc:"Unique on its server." example:"weekly"`
	Enabled     bool         `json:"enabled" doc:"Whether it opens runs."`
	RRule       string       `json:"rrule" doc:"When the window opens, as RFC 5545 writes it." example:"DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA"`
	Duration    string       `json:"duration" doc:"How long it stays open, a duration." example:"2h"`
	Zone        string       `json:"zone" doc:"The time zone that the window is told in." example:"Europe/Berlin"`
	Words       string       `json:"words" doc:"When the window opens, in words." example:"every week on Saturday at 02:30 (Europe/Berlin)"`
	Policy      Policy       `json:"policy" doc:"How the update is done."`
	Next        *Span        `json:"next,omitempty" doc:"The occurrence that it waits for; missing if there is none, or if it was not looked for yet."`
	Occurrences []Occurrence `json:"occurrences" doc:"The next five occurrences of its window, the one that is open included."`
	Created     time.Time    `json:"created" doc:"When it was made."`
	Revision    int64        `json:"revision" doc:"Counts its changes; 1 when it is new." example:"1"`
}

// ScheduleBrief is a schedule where it is not what was asked for.
type ScheduleBrief struct {
	ID      string `json:"id" doc:"Its id." example:"0199f3c4-10aa-7e02-8c41-5f7b2a9d6e13"`
	Name    string `json:"name" doc:"Its name." example:"weekly"`
	Enabled bool   `json:"enabled" doc:"Whether it opens runs."`
	Words   string `json:"words" doc:"When its window opens, in words." example:"every week on Saturday at 02:30 (Europe/Berlin)"`
	Next    *Span  `json:"next,omitempty" doc:"The occurrence that it waits for."`
}

// ScheduleList is a page of schedules.
type ScheduleList struct {
	Items []Schedule `json:"items" doc:"The schedules, by id."`
	Next  string     `json:"next,omitempty" doc:"What to give as after for the next page; missing on the last."`
}

// ScheduleInput is what a caller says of a schedule.
type ScheduleInput struct {
	Enabled  *bool   `json:"enabled,omitempty" doc:"Whether it opens runs; true if left out. Disabling aborts a run that it has open."`
	RRule    string  `json:"rrule,omitempty" maxLength:"4096" doc:"When the window opens: DTSTART with a TZID or in UTC, RRULE, RDATE and EXDATE of RFC 5545, joined by spaces or line ends." example:"DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA"`
	Weekly   *Weekly `json:"weekly,omitempty" doc:"When the window opens, in place of rrule: once a week."`
	Duration string  `json:"duration" doc:"How long it stays open, a duration from 1m to 24h of elapsed time." example:"2h"`
	Policy   *Policy `json:"policy,omitempty" doc:"How the update is done."`
}

// Weekly is a window that opens once a week.
type Weekly struct {
	DayOfTheWeek string `json:"dayOfTheWeek" enum:"Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday" doc:"The day of its start." example:"Saturday"`
	Time         string `json:"time" maxLength:"8" doc:"The wall-clock time of its start, HH:MM or HH:MM:SS." example:"13:40"`
	Zone         string `json:"zone" maxLength:"64" doc:"The time zone." example:"Europe/Berlin"`
}

// rrule is the recurrence that a schedule asks for, as RFC 5545 writes it.
func (in ScheduleInput) rrule() (string, error) {
	switch {
	case in.Weekly != nil && in.RRule != "":
		return "", fault.Invalid("weekly", "says when the window opens, and so does rrule; give one of them")
	case in.Weekly == nil && in.RRule == "":
		return "", fault.Invalid("rrule", "is missing, and so is weekly; give one of them")
	case in.Weekly == nil:
		return in.RRule, nil
	}
	for day := range time.Weekday(7) {
		if day.String() == in.Weekly.DayOfTheWeek {
			r, err := window.Weekly(day, in.Weekly.Time, in.Weekly.Zone)
			return r.String(), blameWeekly(err)
		}
	}
	return "", fault.Invalid("weekly.dayOfTheWeek", "must be a day such as Saturday, not %q", in.Weekly.DayOfTheWeek)
}

// blameWeekly gives the window's fields the names that they have here.
func blameWeekly(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		field := map[string]string{"at": "weekly.time", "zone": "weekly.zone", "day": "weekly.dayOfTheWeek"}[f.Field]
		return fault.Invalid(field, "%s", f.Reason)
	}
	return err
}

type (
	listSchedulesIn struct {
		InProject
		Page
		Tongue
		Server string `query:"server" maxLength:"63" doc:"Only those of this server: its id, or its name in the project."`
		After  string `query:"after" maxLength:"63" doc:"Only schedules after this id: a page's next."`
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
	putScheduleOut struct {
		Status int
		Body   Schedule
	}
	deleteScheduleIn struct {
		SchedulePath
		Keyed
	}
)

func (d *door) schedules() {
	register(d, op{
		id: "listSchedules", call: "GET /v1/schedules", scope: identity.Read, tag: "schedules",
		summary: "List schedules", description: "Lists the schedules of a project, or of a server, by id.",
	}, d.listSchedules)
	register(d, op{
		id: "putSchedule", call: "PUT /v1/servers/{server}/schedules/{name}", scope: identity.Write, tag: "schedules",
		summary:     "Create or replace a schedule",
		description: "Makes a schedule on a server, or replaces it whole. A run that it has open follows its new window.",
		made:        "It was created.",
	}, d.putSchedule)
	register(d, op{
		id: "getSchedule", call: "GET /v1/schedules/{schedule}", scope: identity.Read, tag: "schedules",
		summary: "Show a schedule", description: "Shows a schedule with its next five occurrences.",
	}, d.getSchedule)
	register(d, op{
		id: "deleteSchedule", call: "DELETE /v1/schedules/{schedule}", scope: identity.Write, tag: "schedules",
		summary: "Remove a schedule", description: "Removes a schedule and aborts the run that it has open.",
	}, d.deleteSchedule)
}

func (d *door) listSchedules(ctx context.Context, c desk.Caller, in *listSchedulesIn) (*listSchedulesOut, error) {
	all, err := d.desk.Schedules(ctx, c, in.Project, in.Server, in.After, in.Limit)
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
	s, err := d.desk.Schedule(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	told, err := d.scheduleWords(ctx, c, []fleet.Schedule{s}, in.lang())
	if err != nil {
		return nil, err
	}
	return &scheduleOut{told[0]}, nil
}

func (d *door) putSchedule(ctx context.Context, c desk.Caller, in *putScheduleIn) (*putScheduleOut, error) {
	length, err := parseDuration("duration", in.Body.Duration)
	if err != nil {
		return nil, err
	}
	policy, err := in.Body.Policy.fleet()
	if err != nil {
		return nil, err
	}
	rrule, err := in.Body.rrule()
	if err != nil {
		return nil, err
	}
	s, made, err := d.desk.PutSchedule(ctx, c, desk.ScheduleSpec{
		Project: in.Project, Server: in.Server, Name: in.Name,
		Enabled: in.Body.Enabled == nil || *in.Body.Enabled,
		RRule:   rrule, Duration: length, Policy: policy,
	})
	if err != nil {
		return nil, err
	}
	told, err := d.scheduleWords(ctx, c, []fleet.Schedule{s}, in.lang())
	if err != nil {
		return nil, err
	}
	return &putScheduleOut{created(made), told[0]}, nil
}

func (d *door) deleteSchedule(ctx context.Context, c desk.Caller, in *deleteScheduleIn) (*done, error) {
	return nil, d.desk.DeleteSchedule(ctx, c, in.ID)
}

// upcoming is how many occurrences a schedule is shown with.
const upcoming = 5

// scheduleWords tells schedules with what is around them: names and freezes.
func (d *door) scheduleWords(ctx context.Context, c desk.Caller, all []fleet.Schedule, lang string) ([]Schedule, error) {
	names, err := d.desk.ServerNames(ctx, c, list(all, func(s fleet.Schedule) string { return s.Target }))
	if err != nil {
		return nil, err
	}
	freezes, err := d.desk.Freezes(ctx, c, "")
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return list(all, func(s fleet.Schedule) Schedule {
		out := Schedule{
			ID: s.ID, Project: s.Project, Server: s.Target, ServerName: names[s.Target], Name: s.Name, Enabled: s.Enabled,
			RRule: s.Window.Recurrence.String(), Duration: duration(s.Window.Duration),
			Zone: s.Window.Recurrence.Zone().String(), Words: s.Window.Recurrence.Words(lang),
			Policy: policyOf(s.Policy), Next: spanOf(s.Next), Occurrences: []Occurrence{},
			Created: s.Created.UTC(), Revision: s.Revision,
		}
		var own []window.Freeze
		for _, f := range freezes {
			if f.Applies(s.Project) {
				own = append(own, f)
			}
		}
		for _, span := range s.Window.Between(now, now.AddDate(50, 0, 0), upcoming) {
			o := Occurrence{Start: span.Start, End: span.End}
			if f, ok := window.Frozen(own, span); ok {
				o.Frozen = f.Reason
			}
			out.Occurrences = append(out.Occurrences, o)
		}
		return out
	}), nil
}

func scheduleBriefIn(lang string) func(fleet.Schedule) ScheduleBrief {
	return func(s fleet.Schedule) ScheduleBrief {
		return ScheduleBrief{ID: s.ID, Name: s.Name, Enabled: s.Enabled, Words: s.Window.Recurrence.Words(lang), Next: spanOf(s.Next)}
	}
}
