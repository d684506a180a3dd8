package stackit

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/window"
)

// scheduleBody is a schedule. What stands below windowText is more than STACKIT tells.
type scheduleBody struct {
	ID                int64  `json:"id"`
	Name              string `json:"name"`
	RRule             string `json:"rrule"`
	Enabled           bool   `json:"enabled"`
	MaintenanceWindow int    `json:"maintenanceWindow"`

	WindowText  string           `json:"windowText"`
	Occurrences []occurrenceBody `json:"occurrences"`
	Overlaps    []overlapBody    `json:"overlaps"`
	Resting     bool             `json:"resting,omitempty"` // the service is disabled
}

// occurrenceBody is one of the next windows, in the schedule's zone.
type occurrenceBody struct {
	Start  string `json:"start"`
	End    string `json:"end"`
	Frozen string `json:"frozen,omitempty"` // the reason of the freeze in which it falls
}

// overlapBody is when another schedule of the server is open too.
type overlapBody struct {
	Schedule int64  `json:"scheduleId"`
	Name     string `json:"name"`
	Start    string `json:"start"`
	End      string `json:"end"`
}

// asked is what a client says of a schedule; all of it is required.
type asked struct {
	name    string
	rrule   string
	enabled bool
	hours   int
}

func askedOf(body []byte) (a asked, err error) {
	o, err := objectOf(body, true)
	if err != nil {
		return a, err
	}
	if a.name, err = o.text("name"); err != nil {
		return a, err
	}
	if a.rrule, err = o.text("rrule"); err != nil {
		return a, err
	}
	if a.enabled, err = o.truth("enabled"); err != nil {
		return a, err
	}
	a.hours, err = o.hours()
	return a, err
}

// spec is the schedule for the desk. Overlaps and names that another schedule
// has are the customer's business here, as they are where the customer is from.
func (a asked) spec(s desk.Server, p fleet.Policy) desk.ScheduleSpec {
	return desk.ScheduleSpec{
		Project: s.Target.Project, Server: s.Target.ID, Name: a.name, Enabled: a.enabled, RRule: a.rrule,
		Duration: time.Duration(a.hours) * time.Hour, Policy: p, AllowOverlap: true, ShareName: true,
	}
}

func (d *door) createSchedule(ctx context.Context, c *call) (int, any, error) {
	s, err := d.server(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	a, err := askedOf(c.body)
	if err != nil {
		return 0, nil, err
	}
	p, err := d.defaultPolicy(ctx, c, s.Target.Project)
	if err != nil {
		return 0, nil, err
	}
	made, err := d.desk.CreateSchedule(ctx, c.who, a.spec(s, p))
	if err != nil {
		return 0, nil, unmanaged(s, err)
	}
	return d.tellSchedule(ctx, c, http.StatusCreated, s, made)
}

func (d *door) replaceSchedule(ctx context.Context, c *call) (int, any, error) {
	s, old, err := d.schedule(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	a, err := askedOf(c.body)
	if err != nil {
		return 0, nil, err
	}
	spec := a.spec(s, old.Policy)
	spec.Missed = old.Missed
	if a.hours == wholeHours(old.Window.Duration) {
		spec.Duration = old.Window.Duration // the client gives back what it was told
	}
	made, err := d.desk.ReplaceSchedule(ctx, c.who, old.ID, spec)
	if err != nil {
		return 0, nil, unmanaged(s, err)
	}
	return d.tellSchedule(ctx, c, http.StatusOK, s, made)
}

func (d *door) getSchedule(ctx context.Context, c *call) (int, any, error) {
	s, one, err := d.schedule(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	return d.tellSchedule(ctx, c, http.StatusOK, s, one)
}

func (d *door) listSchedules(ctx context.Context, c *call) (int, any, error) {
	s, err := d.server(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	items, err := d.tell(ctx, c, s, s.Schedules...)
	return http.StatusOK, listOf(items), err
}

func (d *door) deleteSchedule(ctx context.Context, c *call) (int, any, error) {
	_, one, err := d.schedule(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, d.desk.DeleteSchedule(ctx, c.who, one.ID)
}

// schedule finds the one that a call's address names.
func (d *door) schedule(ctx context.Context, c *call) (desk.Server, fleet.Schedule, error) {
	const field = "scheduleId"
	s, err := d.server(ctx, c)
	if err != nil {
		return s, fleet.Schedule{}, err
	}
	n, err := c.numberOf(field)
	if err != nil {
		return s, fleet.Schedule{}, err
	}
	for _, one := range s.Schedules {
		if one.Number == n {
			return s, one, nil
		}
	}
	return s, fleet.Schedule{}, missing(field, "server %s has no update schedule %d", s.Target.Name, n)
}

func (d *door) tellSchedule(ctx context.Context, c *call, status int, s desk.Server, one fleet.Schedule) (int, any, error) {
	items, err := d.tell(ctx, c, s, one)
	if err != nil {
		return 0, nil, err
	}
	return status, items[0], nil
}

// tell says what schedules of one server are and have ahead.
func (d *door) tell(ctx context.Context, c *call, s desk.Server, all ...fleet.Schedule) ([]scheduleBody, error) {
	futures, err := d.desk.Futures(ctx, c.who, all...)
	if err != nil {
		return nil, err
	}
	siblings := map[string]fleet.Schedule{}
	for _, o := range s.Schedules {
		siblings[o.ID] = o
	}
	var items []scheduleBody
	for _, one := range all {
		b := scheduleBody{
			ID: one.Number, Name: one.Title(), RRule: one.Window.Recurrence.String(), Enabled: one.Enabled,
			MaintenanceWindow: wholeHours(one.Window.Duration), WindowText: windowText(one.Window, time.Now()),
			Occurrences: []occurrenceBody{}, Overlaps: []overlapBody{}, Resting: one.Resting,
		}
		for _, o := range futures[one.ID].Occurrences {
			b.Occurrences = append(b.Occurrences, occurrenceBody{zoned(o.Span.Start), zoned(o.Span.End), o.Frozen})
		}
		for _, o := range futures[one.ID].Overlaps {
			b.Overlaps = append(b.Overlaps, overlapBody{siblings[o.Schedule].Number, siblings[o.Schedule].Title(), zoned(o.Span.Start), zoned(o.Span.End)})
		}
		items = append(items, b)
	}
	return items, nil
}

// zoned writes an instant in the zone that it is told in.
func zoned(t time.Time) string { return t.Format(time.RFC3339) }

// windowText says in words when a window opens and closes: its length in hours
// is easily mistaken for a time of day.
func windowText(w window.Window, now time.Time) string {
	words := w.Recurrence.Words("en")
	next, ok := w.Next(now)
	if !ok {
		return words + "; it does not open again"
	}
	zone := w.Recurrence.Zone()
	start, end := next.Start.In(zone), next.End.In(zone)
	text := fmt.Sprintf("%s; starts %s, ends %s", words, clock(start), clock(end))
	if start.Day() != end.Day() {
		text += " the next day"
	}
	return text
}

// clock writes a time of day, with seconds only where there are some.
func clock(t time.Time) string {
	if t.Second() != 0 {
		return t.Format("15:04:05")
	}
	return t.Format("15:04")
}
