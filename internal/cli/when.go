package cli

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones are told by name on machines that have none, too

	"upkeep/client"
)

// zone is where times of a window are told; where it has none of its own worth
// naming (a run that was started now), it is the reader's.
func (a *app) zone(name string) *time.Location {
	if name == "" || name == "UTC" {
		return a.local
	}
	if z, err := time.LoadLocation(name); err == nil {
		return z
	}
	return a.local
}

// at is an instant to the minute, with the zone's name.
func at(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("2006-01-02 15:04 MST")
}

// day is at with the day of the week.
func day(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("Mon 2006-01-02 15:04 MST")
}

// second is an instant to the second, with the zone's name.
func second(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02 15:04:05 MST")
}

// span is a stretch of time in a sentence. The zone is named once, unless it has
// another name at the end: that is the night when clocks change.
func span(start, end time.Time, zone *time.Location) string {
	start, end = start.In(zone), end.In(zone)
	from, till := "Mon 2006-01-02 15:04", "15:04 MST"
	if start.Format("MST") != end.Format("MST") {
		from += " MST"
	}
	if start.Format("2006-01-02") != end.Format("2006-01-02") {
		till = "Mon 15:04 MST"
	}
	return "starts " + start.Format(from) + ", ends " + end.Format(till)
}

// ago says how far t is from now: "3 minutes ago", "in 2 hours".
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	switch {
	case d >= 0 && d < time.Second, d < 0 && d > -time.Second:
		return "just now"
	case d < 0:
		return "in " + roughly(-d)
	}
	return roughly(d) + " ago"
}

// roughly is a duration in its largest unit.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return count(int(d/time.Second), "second")
	case d < time.Hour:
		return count(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour")
	}
	return count(int(d/(24*time.Hour)), "day")
}

// short is a duration for a column: 12s, 3m05s, 2h10m, 3d4h.
func short(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int(d/time.Hour), int(d/time.Minute)%60, int(d/time.Second)%60
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", s)
	case d < time.Hour && s == 0:
		return fmt.Sprintf("%dm", m)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", m, s)
	case h < 48 && m == 0:
		return fmt.Sprintf("%dh", h)
	case h < 48:
		return fmt.Sprintf("%dh%02dm", h, m)
	case h%24 == 0:
		return fmt.Sprintf("%dd", h/24)
	}
	return fmt.Sprintf("%dd%dh", h/24, h%24)
}

// length reads a duration of the API; 0 if it is not understood.
func length(text string) time.Duration {
	d, _ := parseLength(text)
	return d
}

// took is how long a run has taken, or takes so far.
func took(r client.RunSummary, now time.Time) string {
	switch {
	case r.Started.IsZero():
		return ""
	case r.Finished.IsZero():
		return short(now.Sub(r.Started))
	}
	return short(r.Finished.Sub(r.Started))
}

// zoneIn is the zone that a window's words end with, as in "daily at 02:30
// (Europe/Berlin)": the brief form of a schedule has no field for it.
func (a *app) zoneIn(words string) *time.Location {
	i := strings.LastIndexByte(words, '(')
	if i < 0 || !strings.HasSuffix(words, ")") {
		return a.local
	}
	return a.zone(words[i+1 : len(words)-1])
}

// moment is an instant to the second, or nothing.
func moment(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return second(t, zone)
}
