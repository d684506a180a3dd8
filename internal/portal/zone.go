package portal

import (
	"net/http"
	"regexp"
	"slices"
	"time"
)

// The cookies of the reader's zone: what the browser says, through a script,
// and what the reader has chosen, which goes first.
const (
	browserZoneCookie = "upkeep_browser_zone"
	zoneCookie        = "upkeep_zone"
)

// commonZones are offered where a zone is to be chosen; more are known.
var commonZones = []string{
	"UTC",
	"Africa/Cairo", "Africa/Johannesburg", "Africa/Lagos", "Africa/Nairobi",
	"America/Argentina/Buenos_Aires", "America/Bogota", "America/Chicago", "America/Denver", "America/Halifax",
	"America/Los_Angeles", "America/Mexico_City", "America/New_York", "America/Sao_Paulo", "America/Toronto",
	"Asia/Dubai", "Asia/Hong_Kong", "Asia/Jakarta", "Asia/Jerusalem", "Asia/Karachi", "Asia/Kolkata",
	"Asia/Manila", "Asia/Seoul", "Asia/Shanghai", "Asia/Singapore", "Asia/Tokyo",
	"Australia/Melbourne", "Australia/Perth", "Australia/Sydney",
	"Europe/Amsterdam", "Europe/Athens", "Europe/Berlin", "Europe/Brussels", "Europe/Bucharest", "Europe/Dublin",
	"Europe/Helsinki", "Europe/Istanbul", "Europe/Kyiv", "Europe/Lisbon", "Europe/London", "Europe/Madrid",
	"Europe/Paris", "Europe/Prague", "Europe/Rome", "Europe/Sofia", "Europe/Stockholm", "Europe/Vienna",
	"Europe/Warsaw", "Europe/Zurich",
	"Pacific/Auckland", "Pacific/Honolulu",
}

var zoneName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

// loadZone finds a zone by its name; one that means another zone on another
// host is none.
func loadZone(name string) (*time.Location, bool) {
	if len(name) > 64 || !zoneName.MatchString(name) || name == "Local" {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

// readerZone is the zone that the reader lives in; nil: nobody knows.
func readerZone(r *http.Request) *time.Location {
	for _, name := range []string{zoneCookie, browserZoneCookie} {
		if c, err := r.Cookie(name); err == nil {
			if zone, ok := loadZone(c.Value); ok {
				return zone
			}
		}
	}
	return nil
}

// chooseZone keeps the zone that a reader has chosen in the footer; none means
// that the browser's is good enough.
func (*Portal) chooseZone(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	name, until := v.field("zone"), v.now.AddDate(1, 0, 0)
	if _, ok := loadZone(name); !ok {
		name, until = "", time.Unix(1, 0)
	}
	v.setCookie(zoneCookie, name, until)
	return v.goTo(localPath(v.field("next")))
}

// chosenZone is what the reader has chosen; empty: nothing.
func (v *visit) chosenZone() string {
	c, err := v.r.Cookie(zoneCookie)
	if err != nil {
		return ""
	}
	if _, ok := loadZone(c.Value); !ok {
		return ""
	}
	return c.Value
}

// zonesWith are the common zones, and another one that is to be among them.
func zonesWith(name string) []string {
	if name == "" || slices.Contains(commonZones, name) {
		return commonZones
	}
	return append([]string{name}, commonZones...)
}

// foreign reports whether the reader's clock shows something else than one in zone.
func (v *visit) foreign(t time.Time, zone *time.Location) bool {
	if v.reader == nil {
		return false
	}
	_, ours := t.In(zone).Zone()
	_, theirs := t.In(v.reader).Zone()
	return ours != theirs
}

// mine says an instant on the reader's clock: "12:40 in Europe/Berlin", with
// the day where it is another one; empty if it is the same as in zone.
func (v *visit) mine(t time.Time, zone *time.Location) string {
	if !v.foreign(t, zone) {
		return ""
	}
	here, there := t.In(v.reader), t.In(zone)
	said := here.Format("15:04")
	if here.YearDay() != there.YearDay() {
		said = v.T("time.at", v.day(here), said)
	}
	return v.T("time.mine", said, v.reader)
}

// mineSpan says a span on the reader's clock; empty if it is the same as in zone.
func (v *visit) mineSpan(start, end time.Time, zone *time.Location) string {
	if !v.foreign(start, zone) && !v.foreign(end, zone) {
		return ""
	}
	here := start.In(v.reader)
	from, to := here.Format("15:04"), end.In(v.reader).Format("15:04")
	if here.YearDay() != start.In(zone).YearDay() {
		from = v.day(here) + ", " + from
	}
	return v.T("time.mine-span", from, to, v.reader)
}
