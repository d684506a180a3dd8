package fleet

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"upkeep/internal/fault"
)

// Cadence is how often a channel gets a new image.
type Cadence string

// The cadences.
const (
	Monthly   Cadence = "monthly"
	Quarterly Cadence = "quarterly"
	AsNeeded  Cadence = "as-needed" // nothing is ever due
)

// Cadences are all of them.
var Cadences = []Cadence{Monthly, Quarterly, AsNeeded}

// Channel is a series of images of one system, such as debian-12.
type Channel struct {
	Project     string // whose it is; empty: the platform's
	Name        string // unique in its project
	Description string
	Cadence     Cadence
	Created     time.Time
	Revision    int64 // for compare-and-set; the store counts it
}

// Validate blames the first field that can't be.
func (c Channel) Validate() error {
	if err := ValidChannel("channel", c.Name); err != nil {
		return err
	}
	if c.Project != "" {
		if err := ValidName("project", c.Project); err != nil {
			return err
		}
	}
	if !slices.Contains(Cadences, c.Cadence) {
		return fault.Invalid("cadence", "must be %s, %s or %s, not %q", Monthly, Quarterly, AsNeeded, c.Cadence)
	}
	if len(c.Description) > MaxReasonBytes {
		return fault.Invalid("description", "must have at most %d bytes, not %d", MaxReasonBytes, len(c.Description))
	}
	return nil
}

// Due is until when the release after one at last is expected: the end, in
// UTC, of the calendar month (or quarter) after the one of the last release. A
// calendar month, not thirty days: who releases on the 28th one month and on
// the 3rd another is not late. Zero: nothing is due.
func (c Cadence) Due(last time.Time) time.Time {
	months := 0
	switch c {
	case Monthly:
		months = 1
	case Quarterly:
		months = 3
	case AsNeeded:
	}
	if months == 0 || last.IsZero() {
		return time.Time{}
	}
	last = last.UTC()
	period := (last.Year()*12 + int(last.Month()) - 1) / months
	first := (period + 2) * months
	return time.Date(first/12, time.Month(first%12+1), 1, 0, 0, 0, 0, time.UTC)
}

// Line is the images of a channel for one architecture.
type Line struct {
	Channel Channel
	Arch    string  // empty: the channel has no image yet
	Images  []Image // the newest release first
	Due     time.Time
	Overdue bool
}

// Active is the image that new servers are made from.
func (l Line) Active() (Image, bool) {
	for _, i := range l.Images {
		if i.State == ImageActive {
			return i, true
		}
	}
	return Image{}, false
}

// Lines sorts images into the lines of their channels, by name, architecture and owner.
// A withdrawn image was no release: the next one is due as if it had not been.
func Lines(channels []Channel, images []Image, now time.Time) []Line {
	var all []Line
	for _, c := range channels {
		byArch := map[string][]Image{}
		for _, i := range images {
			if i.Project == c.Project && i.Channel == c.Name {
				byArch[i.Arch] = append(byArch[i.Arch], i)
			}
		}
		if len(byArch) == 0 {
			all = append(all, Line{Channel: c})
		}
		for arch, of := range byArch {
			slices.SortFunc(of, func(a, b Image) int {
				return cmp.Or(b.Released.Compare(a.Released), strings.Compare(b.ID, a.ID))
			})
			l := Line{Channel: c, Arch: arch, Images: of}
			if n := slices.IndexFunc(of, Image.Usable); n >= 0 {
				l.Due = c.Cadence.Due(of[n].Released)
				l.Overdue = !l.Due.IsZero() && !now.Before(l.Due)
			}
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b Line) int {
		return cmp.Or(strings.Compare(a.Channel.Name, b.Channel.Name), strings.Compare(a.Arch, b.Arch), strings.Compare(a.Channel.Project, b.Channel.Project))
	})
	return all
}
