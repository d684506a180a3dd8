package fleet

import (
	"fmt"
	"hash/fnv"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/window"
)

// Template is a policy with a window, under a name, from which schedules are
// made. A schedule keeps what it was made with: changing a template later
// changes no schedule.
type Template struct {
	ID          string // a UUID
	Project     string // empty: for every project
	Name        string // unique in its project
	Description string
	Default     bool // what a managed server gets that has no schedule
	Enabled     bool // may be used
	Spread      bool // each server starts at its own time of the weekend; Window's recurrence is only an example
	Window      window.Window
	Policy      Policy
	Missed      MissedRule
	Created     time.Time
	Revision    int64
}

// Validate blames the first field that can't be.
func (t Template) Validate() error {
	if err := validTitle(t.Name); err != nil {
		return err
	}
	if len(t.Description) > MaxReasonBytes {
		return fault.Invalid("description", "must have at most %d bytes, not %d", MaxReasonBytes, len(t.Description))
	}
	if t.Project != "" {
		if err := ValidName("project", t.Project); err != nil {
			return err
		}
	}
	if !t.Missed.valid() {
		return fault.Invalid("missed", "must be %q, %q or %q, not %q", MissedLate, MissedSkip, MissedAsk, t.Missed)
	}
	return t.Policy.Validate()
}

// For is the window that the template gives a server.
func (t Template) For(target string) window.Window {
	if !t.Spread {
		return t.Window
	}
	return WeekendWindow(target, t.Window.Recurrence.Zone().String(), t.Window.Duration)
}

// The template that is there without anybody having made it.
const (
	BuiltinTemplate = "7b0c6f3e-5a1d-4c55-9d43-0f6d0f4d7c01"
	DefaultName     = "Default Update Schedule"
	DefaultDuration = 2 * time.Hour
)

// DefaultTemplate is what managed servers get where nobody made another one
// the default: all updates, once a weekend in the zone, at a time of its own
// for each server.
func DefaultTemplate(zone string) Template {
	return Template{
		ID: BuiltinTemplate, Name: DefaultName, Default: true, Enabled: true, Spread: true,
		Description: "All updates, once a weekend, at a start time of its own for each server.",
		Window:      WeekendWindow("", zone, DefaultDuration),
		Policy:      DefaultPolicy(),
	}
}

// slot is the grid on which default windows start.
const slot = 5 * time.Minute

// WeekendWindow is a weekly window that lies inside Saturday and Sunday of a
// zone. Its start is the same for the same target, whenever it is asked, and
// over many targets spread evenly: no target's start depends on another's.
// A zone that is unknown, or a length that no window can have, gives the zero Window.
func WeekendWindow(target, zone string, length time.Duration) window.Window {
	slots := int64((48*time.Hour - length) / slot)
	if slots < 1 {
		return window.Window{}
	}
	h := fnv.New64a()
	h.Write([]byte(target)) // a hash never fails to write
	// FNV's low bits differ little for names that differ in their last
	// letter; a multiplication mixes them upwards.
	mixed := (h.Sum64() * 0x9E3779B97F4A7C15) >> 32
	start := time.Duration(int64(mixed)%(slots+1)) * slot
	day := time.Saturday
	if start >= 24*time.Hour {
		day, start = time.Sunday, start-24*time.Hour
	}
	r, err := window.Weekly(day, fmt.Sprintf("%02d:%02d", start/time.Hour, start%time.Hour/time.Minute), zone)
	if err != nil {
		return window.Window{}
	}
	w, err := window.New(r, length)
	if err != nil {
		return window.Window{}
	}
	return w
}
