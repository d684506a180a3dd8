package api

import (
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
)

// Schedule is a window on a server or service, and what is to be done in it.
type Schedule struct {
	ID         string `json:"id" doc:"Given by Upkeep; never changes." example:"0199f3c4-10aa-7e02-8c41-5f7b2a9d6e13"`
	Number     int64  `json:"number" doc:"1, 2, … on its server or service, never given again." example:"1"`
	Project    string `json:"project" doc:"Whose it is." example:"default"`
	Server     string `json:"server" doc:"The id of the server; of the service, if a runbook is carried out." example:"0199f3c2-7d1a-7c3e-9b52-0d3c8a1e4f60"`
	ServerName string `json:"serverName" doc:"The name of the server or service." example:"web-1"`
	Name       string `json:"name" doc:"Unique on its server or service." example:"weekly"`
	ScheduleBody
	Resting  bool      `json:"resting,omitempty" doc:"Whether it opens no runs because its server is unmanaged."`
	Next     *Span     `json:"next,omitempty" doc:"The occurrence that it waits for; missing if there is none."`
	Refused  string    `json:"refused,omitempty" doc:"Why its newest occurrence opened no run; missing if it did, or none has come yet. The next one is tried again." example:"there is no runbook \"restart\""`
	Created  time.Time `json:"created" doc:"When it was made."`
	Changed  time.Time `json:"changed,omitzero" doc:"When a person last changed it."`
	Revision int64     `json:"revision" doc:"Counts its changes; 1 when it is new." example:"1"`
}

// ScheduleBody is what schedules and previews of them have in common.
type ScheduleBody struct {
	Enabled      bool              `json:"enabled" doc:"Whether it opens runs."`
	RRule        string            `json:"rrule" doc:"When the window opens, as RFC 5545 writes it." example:"DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA"`
	Duration     string            `json:"duration" doc:"How long it stays open, a duration." example:"2h"`
	Zone         string            `json:"zone" doc:"The time zone that the window is told in." example:"Europe/Berlin"`
	Words        string            `json:"words" doc:"When the window opens, in words." example:"every week on Saturday at 02:30 (Europe/Berlin)"`
	Runbook      string            `json:"runbook,omitempty" doc:"The runbook that is carried out, on a service; missing on a server, which is updated." example:"api-extension-restart"`
	Params       map[string]string `json:"params,omitempty" doc:"The values that the runbook is given."`
	Policy       Policy            `json:"policy" doc:"How the update is done; on a service only its noticeLead means anything."`
	RebootWords  string            `json:"rebootWords,omitempty" doc:"When the policy's own reboot window opens, in words; missing if it has none." example:"every week on Sunday at 03:30 (Europe/Berlin)"`
	Missed       Missed            `json:"missed" doc:"What becomes of an occurrence whose start was missed."`
	UpdatePolicy string            `json:"updatePolicy,omitempty" doc:"The id of the update policy that it was made from, if any." example:"7b0c6f3e-5a1d-4c55-9d43-0f6d0f4d7c01"`
	Occurrences  []Occurrence      `json:"occurrences" doc:"The next five occurrences of its window, the one that is open included, whether or not it is enabled."`
	Overlaps     []Overlap         `json:"overlaps" doc:"The first three times, with each other enabled schedule of the server, at which both are open within a year; of one that is not enabled: would be if it were."`
}

// Overlap is a time at which another schedule of the same server or service is open too.
type Overlap struct {
	Schedule string    `json:"schedule" doc:"The other schedule's id." example:"0199f3c4-10aa-7e02-8c41-5f7b2a9d6e14"`
	Name     string    `json:"name" doc:"The other schedule's name." example:"monthly"`
	Start    time.Time `json:"start" doc:"From when both are open." example:"2026-03-07T02:30:00+02:00"`
	End      time.Time `json:"end" doc:"Until when." example:"2026-03-07T04:30:00+02:00"`
}

// ScheduleBrief is a schedule where it is not what was asked for.
type ScheduleBrief struct {
	ID      string `json:"id" doc:"Its id." example:"0199f3c4-10aa-7e02-8c41-5f7b2a9d6e13"`
	Number  int64  `json:"number" doc:"Its number on the server." example:"1"`
	Name    string `json:"name" doc:"Its name." example:"weekly"`
	Enabled bool   `json:"enabled" doc:"Whether it opens runs."`
	Resting bool   `json:"resting,omitempty" doc:"Whether it opens no runs because its server is unmanaged."`
	Words   string `json:"words" doc:"When its window opens, in words." example:"every week on Saturday at 02:30 (Europe/Berlin)"`
	Next    *Span  `json:"next,omitempty" doc:"The occurrence that it waits for."`
	Runbook string `json:"runbook,omitempty" doc:"The runbook that is carried out, on a service." example:"api-extension-restart"`
	Refused string `json:"refused,omitempty" doc:"Why its newest occurrence opened no run; missing if it did." example:"there is no runbook \"restart\""`
}

// ScheduleList is a page of schedules.
type ScheduleList struct {
	Items []Schedule `json:"items" doc:"The schedules, by id."`
	Next  string     `json:"next,omitempty" doc:"What to give as after for the next page; missing on the last."`
}

// ScheduleInput is what a caller says of a schedule.
type ScheduleInput struct {
	Enabled      *bool             `json:"enabled,omitempty" doc:"Whether it opens runs; true if left out. Disabling aborts a run that it has open."`
	RRule        string            `json:"rrule,omitempty" maxLength:"4096" doc:"When the window opens: DTSTART with a TZID or in UTC, RRULE, RDATE and EXDATE of RFC 5545, joined by spaces or line ends." example:"DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA"`
	Weekly       *Weekly           `json:"weekly,omitempty" doc:"When the window opens, in place of rrule: once a week."`
	Duration     string            `json:"duration,omitempty" doc:"How long it stays open, a duration from 1m to 24h of elapsed time; needed unless updatePolicy gives it." example:"2h"`
	Runbook      string            `json:"runbook,omitempty" maxLength:"63" doc:"The runbook that is carried out; needed on a service, refused on a server." example:"api-extension-restart"`
	Params       map[string]string `json:"params,omitempty" maxProperties:"32" doc:"Values of the runbook's parameters, as texts."`
	Policy       *Policy           `json:"policy,omitempty" doc:"How the update is done, on a server; on a service it may say noticeLead and nothing else. If there is anything in it, it takes the place of the update policy's as a whole."`
	Missed       Missed            `json:"missed,omitempty" doc:"What becomes of an occurrence whose start was missed; late if left out."`
	UpdatePolicy string            `json:"updatePolicy,omitempty" maxLength:"126" doc:"An update policy, by its id or name, from which everything is taken that is left out here. Later changes of it change no schedule. On a server only." example:"Default Update Schedule"`
	AllowOverlap bool              `json:"allowOverlap,omitempty" doc:"Allow that it is open while another schedule of the same server or service is. Otherwise that is a conflict."`
}

// NamedScheduleInput is what a caller says of a schedule whose name is not in the path.
type NamedScheduleInput struct {
	Name string `json:"name,omitempty" maxLength:"126" doc:"Its name, unique on the server; needed unless updatePolicy gives one." example:"weekly"`
	ScheduleInput
}

// SchedulePreviewInput asks what a schedule would be.
type SchedulePreviewInput struct {
	Server   string `json:"server,omitempty" maxLength:"63" doc:"The server's id, or its name in the project." example:"web-1"`
	Service  string `json:"service,omitempty" maxLength:"63" doc:"The service's id, or its name in the project, in place of a server." example:"api-extension"`
	Project  string `json:"project,omitempty" maxLength:"63" doc:"The project of it; the token's own if left out."`
	Replaces string `json:"replaces,omitempty" maxLength:"63" doc:"The id of the schedule in whose place it would be, if any: that one is no overlap."`
	NamedScheduleInput
}

// SchedulePreview is what a schedule would be.
type SchedulePreview struct {
	Name string `json:"name" doc:"Its name." example:"weekly"`
	ScheduleBody
}

// spec is what is said of a schedule, without where and under which name.
func (in ScheduleInput) spec() (s desk.ScheduleSpec, err error) {
	s = desk.ScheduleSpec{
		Enabled: in.Enabled == nil || *in.Enabled, Missed: fleet.MissedRule(in.Missed), Runbook: in.Runbook, Params: in.Params,
		Template: in.UpdatePolicy, AllowOverlap: in.AllowOverlap,
	}
	if s.Policy, err = in.Policy.fleet(); err != nil {
		return s, err
	}
	if in.UpdatePolicy == "" || in.RRule != "" || in.Weekly != nil {
		if s.RRule, err = rruleOf(in.RRule, in.Weekly); err != nil {
			return s, err
		}
	}
	if in.UpdatePolicy == "" && in.Duration == "" {
		return s, fault.Invalid("duration", "is required, between 1m and 24h, unless updatePolicy gives it")
	}
	s.Duration, err = parseDuration("duration", in.Duration)
	return s, err
}

// named is what is said of a schedule that has its name beside it.
func (in NamedScheduleInput) named() (desk.ScheduleSpec, error) {
	s, err := in.spec()
	s.Name = in.Name
	return s, err
}

func scheduleBodyOf(s fleet.Schedule, f desk.Future, lang string) ScheduleBody {
	return ScheduleBody{
		Enabled: s.Enabled, RRule: s.Window.Recurrence.String(), Duration: duration(s.Window.Duration),
		Zone: s.Window.Recurrence.Zone().String(), Words: s.Window.Recurrence.Words(lang),
		Runbook: s.Runbook, Params: s.Params, Policy: policyOf(s.Policy), RebootWords: rebootWords(s.Policy, lang),
		Missed: missedOf(s.Missed), UpdatePolicy: s.Template,
		Occurrences: list(f.Occurrences, occurrenceOf), Overlaps: list(f.Overlaps, overlapOf),
	}
}

func occurrenceOf(o desk.Occurrence) Occurrence {
	return Occurrence{Start: o.Span.Start, End: o.Span.End, Frozen: o.Frozen}
}

func overlapOf(o desk.Overlap) Overlap {
	return Overlap{Schedule: o.Schedule, Name: o.Name, Start: o.Span.Start, End: o.Span.End}
}

// missedOf is the rule in its only spelling.
func missedOf(m fleet.MissedRule) Missed {
	if m == "" {
		m = fleet.MissedLate
	}
	return Missed(m)
}

func scheduleBriefIn(lang string) func(fleet.Schedule) ScheduleBrief {
	return func(s fleet.Schedule) ScheduleBrief {
		return ScheduleBrief{
			ID: s.ID, Number: s.Number, Name: s.Name, Enabled: s.Enabled, Resting: s.Resting,
			Words: s.Window.Recurrence.Words(lang), Next: spanOf(s.Next), Runbook: s.Runbook, Refused: s.Refused,
		}
	}
}
