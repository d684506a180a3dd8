package api

import (
	"errors"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/window"
)

// Policy is how an update is to be done. What is left out is as usual.
type Policy struct {
	Scope        string            `json:"scope,omitempty" enum:"all,security" doc:"Which updates are wanted; all if left out." example:"all"`
	Hold         []string          `json:"hold,omitempty" maxItems:"200" doc:"Packages that are never touched, by name or by a pattern of names." example:"[\"postgresql-15\",\"linux-image-*\"]"`
	Reboot       string            `json:"reboot,omitempty" enum:"if-required,never,always,own-window" doc:"When the server is restarted: if-required (if left out), never, always (after every update that has installed something), own-window (if required, and only in rebootWindow)." example:"if-required"`
	RebootWindow *RebootWindow     `json:"rebootWindow,omitempty" doc:"When a required reboot is made; with reboot own-window, and needed there."`
	Batch        int               `json:"batch,omitempty" minimum:"0" maximum:"500" doc:"Packages in one installation step; 25 if left out." example:"25"`
	Prepare      string            `json:"prepare,omitempty" doc:"How long before the window lists and packages may be fetched, a duration up to 24h; only inside it if left out." example:"2h"`
	NoticeLead   string            `json:"noticeLead,omitempty" doc:"How long before it disrupts a run must have been announced, a duration up to 90d; no notice is wanted if left out." example:"72h"`
	DryRun       bool              `json:"dryRun,omitempty" doc:"Say what would be installed, and change nothing."`
	Within       string            `json:"within,omitempty" doc:"How soon after its release an update is to be installed, a duration from 1d to 365d. Of the occurrences before that is over one is picked, the same whenever it is asked and spread evenly over many servers; every occurrence is used if left out." example:"14d"`
	Backup       string            `json:"backup,omitempty" maxLength:"63" doc:"The command, by its name in the server's own list, that makes a copy before anything is installed; if it fails nothing is." example:"snapshot"`
	Before       []string          `json:"before,omitempty" maxItems:"16" doc:"Commands, by their names in the server's own list, in this order before the first package of an occurrence." example:"[\"drain\"]"`
	After        []string          `json:"after,omitempty" maxItems:"16" doc:"Commands in this order after the last package of an occurrence, also if the update went wrong." example:"[\"undrain\"]"`
	Health       []string          `json:"health,omitempty" maxItems:"16" doc:"Commands after all that; one that keeps failing makes the run a failed one." example:"[\"healthy\"]"`
	Expect       map[string]string `json:"expect,omitempty" doc:"How long an action takes here, per package where it has packages, until this server's own history says better: a duration by action." example:"{\"reboot\":\"3m\"}"`
}

// RebootWindow is a window of a policy's own, for the reboot.
type RebootWindow struct {
	RRule    string  `json:"rrule,omitempty" maxLength:"4096" doc:"When it opens, as RFC 5545 writes it." example:"DTSTART;TZID=Europe/Berlin:20260104T033000 RRULE:FREQ=WEEKLY;BYDAY=SU"`
	Weekly   *Weekly `json:"weekly,omitempty" doc:"When it opens, in place of rrule: once a week. It is answered as rrule."`
	Duration string  `json:"duration" doc:"How long it stays open, a duration from 1m to 24h." example:"1h"`
}

// Weekly is a window that opens once a week.
type Weekly struct {
	DayOfTheWeek string `json:"dayOfTheWeek" enum:"Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday" doc:"The day of its start." example:"Saturday"`
	Time         string `json:"time" maxLength:"8" doc:"The wall-clock time of its start, HH:MM or HH:MM:SS." example:"13:40"`
	Zone         string `json:"zone" maxLength:"64" doc:"The time zone." example:"Europe/Berlin"`
}

// fleet is the policy as the house knows it.
func (p *Policy) fleet() (fleet.Policy, error) {
	if p == nil {
		return fleet.Policy{}, nil
	}
	out := fleet.Policy{
		Scope: fleet.Scope(p.Scope), Hold: p.Hold, Reboot: fleet.RebootRule(p.Reboot), Batch: p.Batch, DryRun: p.DryRun,
		Backup: p.Backup, Before: p.Before, After: p.After, Health: p.Health,
	}
	var err error
	if out.RebootWindow, err = p.RebootWindow.window(); err != nil {
		return out, err
	}
	if out.Prepare, err = parseDuration("policy.prepare", p.Prepare); err != nil {
		return out, err
	}
	if out.NoticeLead, err = parseDuration("policy.noticeLead", p.NoticeLead); err != nil {
		return out, err
	}
	if out.Within, err = parseDuration("policy.within", p.Within); err != nil {
		return out, err
	}
	for kind, text := range p.Expect {
		d, err := parseDuration("policy.expect."+kind, text)
		if err != nil {
			return out, err
		}
		if out.Expect == nil {
			out.Expect = map[action.Kind]time.Duration{}
		}
		out.Expect[action.Kind(kind)] = d
	}
	return out, nil
}

// window is the window as the house knows it; zero if there is none.
func (w *RebootWindow) window() (out window.Window, err error) {
	if w == nil {
		return out, nil
	}
	const at = "policy.rebootWindow."
	rrule, err := rruleOf(w.RRule, w.Weekly)
	if err != nil {
		return out, blameUnder(at, err)
	}
	length, err := parseDuration(at+"duration", w.Duration)
	if err != nil {
		return out, err
	}
	r, err := window.ParseRRule(rrule)
	if err != nil {
		return out, blameUnder(at, err)
	}
	out, err = window.New(r, length)
	return out, blameUnder(at, err)
}

// blameUnder gives the field that an error blames the name that it has in what
// it is a part of.
func blameUnder(prefix string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Field != "" {
		return fault.Invalid(prefix+f.Field, "%s", f.Reason)
	}
	return err
}

// rruleOf is a recurrence as RFC 5545 writes it, from the one of two ways in
// which it was said.
func rruleOf(rrule string, weekly *Weekly) (string, error) {
	switch {
	case weekly != nil && rrule != "":
		return "", fault.Invalid("weekly", "says when the window opens, and so does rrule; give one of them")
	case weekly == nil && rrule == "":
		return "", fault.Invalid("rrule", "is missing, and so is weekly; give one of them")
	case weekly == nil:
		return rrule, nil
	}
	for day := range time.Weekday(7) {
		if day.String() == weekly.DayOfTheWeek {
			r, err := window.Weekly(day, weekly.Time, weekly.Zone)
			return r.String(), blameWeekly(err)
		}
	}
	return "", fault.Invalid("weekly.dayOfTheWeek", "must be a day such as Saturday, not %q", weekly.DayOfTheWeek)
}

// blameWeekly gives the window's fields the names that they have here.
func blameWeekly(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		field := map[string]string{"at": "weekly.time", "zone": "weekly.zone", "day": "weekly.dayOfTheWeek"}[f.Field]
		return fault.Invalid(field, "%s", f.Reason)
	}
	return err
}

func policyOf(p fleet.Policy) Policy {
	out := Policy{
		Scope: string(p.Scope), Hold: p.Hold, Reboot: string(p.Reboot), Batch: p.Batch,
		Prepare: optional(p.Prepare), NoticeLead: optional(p.NoticeLead), DryRun: p.DryRun, Within: optional(p.Within),
		Backup: p.Backup, Before: p.Before, After: p.After, Health: p.Health,
	}
	if w := p.RebootWindow; !w.Recurrence.IsZero() {
		out.RebootWindow = &RebootWindow{RRule: w.Recurrence.String(), Duration: duration(w.Duration)}
	}
	for kind, d := range p.Expect {
		if out.Expect == nil {
			out.Expect = map[string]string{}
		}
		out.Expect[string(kind)] = duration(d)
	}
	return out
}

// rebootWords is when a policy's own reboot window opens, in words; empty if
// it has none.
func rebootWords(p fleet.Policy, lang string) string {
	if p.RebootWindow.Recurrence.IsZero() {
		return ""
	}
	return p.RebootWindow.Recurrence.Words(lang)
}
