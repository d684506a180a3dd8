package window

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/fault"
)

// Here python-dateutil's starts are compared to ours. It is asked twice: for
// wall-clock times that have no zone, which its side then resolves by our rule
// and Python's zoneinfo, and for the same text with all that it makes of zones.
// The first shows whether we expand rules alike, the second where others who
// read the same text would start at other times. Every difference must be of a
// kind that docs/windows.md explains.

const (
	goldenFile = "testdata/dateutil.jsonl"
	stampForm  = "20060102T150405"
	startsEach = 20 // asked for of each rule
)

// sample is a rule, an instant, and what dateutil says about them.
type sample struct {
	Text    string  `json:"text"`
	After   string  `json:"after,omitempty"`   // what starts later is asked for
	Refused string  `json:"refused,omitempty"` // by us: the kind of refusal
	Answer  *answer `json:"answer"`
}

// answer is what testdata/dateutil.py prints.
type answer struct {
	Floating  []string   `json:"floating,omitempty"`
	AsWritten []string   `json:"as_written,omitempty"` // of a BYDAY as it stands
	Same      bool       `json:"same,omitempty"`       // Own is as Floating, and left out
	Own       [][]string `json:"own,omitempty"`        // wall, instant, and the instant by zoneinfo if another
	Error     string     `json:"error,omitempty"`
	Never     bool       `json:"never,omitempty"`

	Nanoseconds int64 `json:"ns,omitempty"` // of a benchmark
}

// TestDateutilRecorded compares to answers of dateutil that were written down. The
// whole comparison is TestDateutil, behind the tag e2e.
func TestDateutilRecorded(t *testing.T) {
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	n := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); n++ {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		kinds, err := s.compare()
		if err != nil {
			t.Errorf("%s\n%v", s.Text, err)
		}
		for _, kind := range kinds {
			seen[kind]++
		}
	}
	if n < 300 {
		t.Errorf("%d answers are recorded, want 300", n)
	}
	documented := documentedKinds(t)
	for kind := range documented {
		if seen[kind] == 0 {
			t.Errorf("docs/windows.md explains %q, which no recorded answer shows", kind)
		}
	}
	for kind := range seen {
		if !documented[kind] {
			t.Errorf("docs/windows.md does not explain %q", kind)
		}
	}
}

// documentedKinds are those that the tables of docs/windows.md begin with.
func documentedKinds(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/windows.md")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		kinds[m[1]] = true
	}
	return kinds
}

// compare finds of which kinds the differences are. An error is a difference
// that is of none.
func (s sample) compare() ([]string, error) {
	r, err := ParseRRule(s.Text)
	if s.Refused != "" {
		return s.compareRefusal(err)
	}
	if err != nil {
		return nil, err
	}
	kinds := map[string]bool{}
	if err := s.compareFloating(r, kinds); err != nil {
		return nil, fmt.Errorf("floating: %w", err)
	}
	if s.Answer.Error != "" {
		kind, err := s.refusal()
		kinds[kind] = true
		return slices.Sorted(maps.Keys(kinds)), err
	}
	if s.Answer.Same {
		return slices.Sorted(maps.Keys(kinds)), nil
	}
	if err := s.compareOwn(r, kinds); err != nil {
		return nil, fmt.Errorf("with its own zones: %w", err)
	}
	return slices.Sorted(maps.Keys(kinds)), nil
}

// compareFloating compares the expansion: but for two kinds it is the same.
func (s sample) compareFloating(r Recurrence, kinds map[string]bool) error {
	ours, theirs := s.ours(r), s.stamps(s.Answer.Floating)
	if n := len(theirs); n > 0 {
		last := theirs[n-1]
		theirs = slices.DeleteFunc(theirs, func(at time.Time) bool {
			return countedBeyond(r, wallOf(at, r.Zone())) && !slices.ContainsFunc(ours, at.Equal)
		})
		if len(theirs) < n {
			kinds["count-beyond-a-century"] = true
		}
		if len(theirs) < n && n == startsEach {
			ours = slices.DeleteFunc(ours, func(at time.Time) bool { return at.After(last) })
		}
	}
	if err := sameStarts(ours, theirs); err != nil {
		return err
	}
	if mixesDays(s.Text) && sameStarts(ours, s.stamps(s.Answer.AsWritten)) != nil {
		kinds["day-and-nth-day"] = true
	}
	return nil
}

// countedBeyond reports whether a COUNT of r's goes on at wall, where we stop.
func countedBeyond(r Recurrence, wall time.Time) bool {
	counts := slices.ContainsFunc(r.set.rules, func(r rule) bool { return r.count > 0 })
	return counts && wall.After(r.set.dtstart.AddDate(reachYears, 0, 0))
}

// compareOwn compares to what dateutil makes of the text by itself.
func (s sample) compareOwn(r Recurrence, kinds map[string]bool) error {
	after, _ := time.Parse(stampForm+"Z", s.After)
	ours := s.ours(r)
	theirs := s.readOwn(s.Answer.Own)
	full := 0
	seen := map[int64]bool{}
	for _, b := range theirs {
		if b.at.After(after) {
			full++
			if seen[b.at.Unix()] {
				kinds["start-twice"] = true
			}
			seen[b.at.Unix()] = true
		}
	}
	// Beyond the shorter of two lists that were cut nothing can be compared.
	horizon := after.AddDate(1000, 0, 0)
	if len(ours) == startsEach {
		horizon = ours[startsEach-1]
	}
	if full == startsEach && theirs[len(theirs)-1].at.Before(horizon) {
		horizon = theirs[len(theirs)-1].at
	}
	has := func(at time.Time) bool { return slices.ContainsFunc(ours, at.Equal) }
	for _, b := range theirs {
		if !b.at.After(after) || b.at.After(horizon) || has(b.at) || countedBeyond(r, b.wall) {
			continue
		}
		kind, err := s.explain(r, b)
		if err != nil {
			return err
		}
		kinds[kind] = true
	}
	for _, at := range ours {
		if at.After(horizon) || seen[at.Unix()] {
			continue
		}
		i := slices.IndexFunc(theirs, func(b start) bool { return resolve(b.wall, r.Zone()).Equal(at) })
		if i < 0 && excludesSkipped(r, at) {
			kinds["exdate-in-a-gap"] = true
			continue
		}
		if i < 0 {
			return fmt.Errorf("only we start at %s", at)
		}
		kind, err := s.explain(r, theirs[i])
		if err != nil {
			return err
		}
		kinds[kind] = true
	}
	return nil
}

// start is one of dateutil's own.
type start struct {
	wall, at time.Time
	byTZ     time.Time // the instant by zoneinfo
}

// explain says why dateutil begins at another instant than we do, and makes sure
// that it is so.
func (s sample) explain(r Recurrence, b start) (string, error) {
	zone := r.Zone()
	rule11 := resolve(b.wall, zone)
	_, excluded := r.set.excluded[rule11.Unix()]
	after, _ := time.Parse(stampForm+"Z", s.After)
	ours := s.ours(r)
	// What we begin instead, we do begin, if it is not too early or too late to
	// be on the list.
	begun := excluded || !rule11.After(after) || slices.ContainsFunc(ours, rule11.Equal) ||
		len(ours) == startsEach && rule11.After(ours[startsEach-1])
	skipped := !wallOf(rule11, zone).Equal(b.wall)
	_, before := rule11.Add(-time.Second).Zone()
	_, behind := rule11.Zone()
	shown := b.wall.Unix() - b.at.Unix() // the offset that dateutil takes
	switch {
	case !begun:
	case skipped && (shown == int64(before) || shown == int64(behind)) && excluded:
		return "exdate-in-a-gap", nil
	case skipped && (shown == int64(before) || shown == int64(behind)):
		return "skipped-start", nil
	case !skipped && !b.at.Equal(rule11) && b.byTZ.Equal(rule11) && b.wall.Year() >= 2037:
		return "clocks-after-2037", nil
	case !skipped && !b.at.Equal(rule11) && b.byTZ.Equal(rule11):
		return "another-offset", nil
	case !skipped && b.at.Equal(rule11) && excluded && s.namesSkipped(r):
		return "exdate-in-a-gap", nil
	case !skipped && b.at.Equal(rule11) && excluded && twice(b.wall, zone):
		return "exdate-of-what-is-twice", nil
	}
	return "", fmt.Errorf("dateutil starts at %s, the clock showing %s; by rule 11 that is %s", b.at, b.wall.Format(stampForm), rule11)
}

// twice reports whether clocks show wall twice.
func twice(wall time.Time, zone *time.Location) bool {
	first := resolve(wall, zone)
	_, change := first.ZoneBounds()
	_, before := first.Zone()
	_, behind := change.Zone()
	second := first.Add(time.Duration(before-behind) * time.Second)
	return !change.IsZero() && second.After(first) && wallOf(second, zone).Equal(wall)
}

// excludesSkipped reports whether, for dateutil, an EXDATE is an instant that
// belongs to a start that is skipped and that we have at the gap's end.
func excludesSkipped(r Recurrence, end time.Time) bool {
	_, before := end.Add(-time.Second).Zone()
	_, behind := end.Zone()
	for at := range r.set.excluded {
		for _, offset := range []int{before, behind} {
			wall := time.Unix(at+int64(offset), 0).UTC()
			if resolve(wall, r.Zone()).Equal(end) && !wallOf(end, r.Zone()).Equal(wall) {
				return true
			}
		}
	}
	return false
}

// namesSkipped reports whether an EXDATE names a time that clocks skip.
func (s sample) namesSkipped(r Recurrence) bool {
	for _, m := range regexp.MustCompile(`EXDATE(?:;TZID=([^:]*))?:(\S+)`).FindAllStringSubmatch(s.Text, -1) {
		zone := r.Zone()
		if m[1] != "" {
			zone, _ = loadZone("", m[1])
		}
		for text := range strings.SplitSeq(m[2], ",") {
			wall, err := time.Parse(stampForm, text)
			if err == nil && !wallOf(resolve(wall, zone), zone).Equal(wall) {
				return true
			}
		}
	}
	return false
}

// refusal is the kind of text that we take and dateutil does not.
func (s sample) refusal() (string, error) {
	bare := regexp.MustCompile(`\b(RDATE|EXDATE):(\S*,)?\d{8}T\d{6}(,|\s|$)`).MatchString(s.Text)
	switch reason := s.Answer.Error; {
	case strings.Contains(reason, "UNTIL values must be specified in UTC") && regexp.MustCompile(`UNTIL=\d{8}T\d{6}(;|\s|$)`).MatchString(s.Text):
		return "until-on-the-wall", nil
	case strings.Contains(reason, "unsupported RDATE parm: TZID") && strings.Contains(s.Text, "RDATE;TZID="):
		return "rdate-with-zone", nil
	case strings.Contains(reason, "offset-naive and offset-aware") && bare:
		return "date-without-zone", nil
	}
	return "", fmt.Errorf("dateutil refuses: %s", s.Answer.Error)
}

// ours are our first starts.
func (s sample) ours(r Recurrence) []time.Time {
	after, _ := time.Parse(stampForm+"Z", s.After)
	var list []time.Time
	for at := range r.starts(after) {
		if at.Year() > s.lastYear() || len(list) == startsEach {
			break
		}
		list = append(list, at)
	}
	return list
}

// lastYear is how far dateutil is told to look, which is slow for it.
func (s sample) lastYear() int {
	after, _ := time.Parse(stampForm+"Z", s.After)
	if strings.Contains(s.Text, "FREQ=YEARLY") {
		return after.Year() + 150
	}
	return after.Year() + 40
}

// stamps reads instants.
func (s sample) stamps(texts []string) []time.Time {
	var list []time.Time
	for _, text := range texts {
		if at, err := time.Parse(stampForm+"Z", text); err == nil && at.Year() <= s.lastYear() {
			list = append(list, at)
		}
	}
	return list
}

// readOwn reads dateutil's own starts.
func (s sample) readOwn(entries [][]string) []start {
	var list []start
	for _, e := range entries {
		wall, _ := time.Parse(stampForm, e[0])
		at, _ := time.Parse(stampForm+"Z", e[1])
		b := start{wall, at, at}
		if len(e) == 3 {
			b.byTZ, _ = time.Parse(stampForm+"Z", e[2])
		}
		if at.Year() <= s.lastYear() {
			list = append(list, b)
		}
	}
	return list
}

// sameStarts is an error where two lists of instants differ.
func sameStarts(ours, theirs []time.Time) error {
	for i := range max(len(ours), len(theirs)) {
		switch {
		case i >= len(ours):
			return fmt.Errorf("start %d: only dateutil has %s", i, theirs[i])
		case i >= len(theirs):
			return fmt.Errorf("start %d: only we have %s", i, ours[i])
		case !ours[i].Equal(theirs[i]):
			return fmt.Errorf("start %d: we have %s, dateutil %s", i, ours[i], theirs[i])
		}
	}
	return nil
}

// numbered and plain are days in BYDAY lists.
var (
	byday    = regexp.MustCompile(`BYDAY=([^;\s]*)`)
	numbered = regexp.MustCompile(`\d[A-Z]`)
)

// mixesDays reports whether a BYDAY has both a day and an nth day.
func mixesDays(text string) bool {
	for _, m := range byday.FindAllStringSubmatch(text, -1) {
		days := strings.Split(m[1], ",")
		with := slices.ContainsFunc(days, numbered.MatchString)
		if with && slices.ContainsFunc(days, func(d string) bool { return !numbered.MatchString(d) }) {
			return true
		}
	}
	return false
}

// kindOfRefusal is told by the field that is blamed, if it names one, and by
// words of the reason.
type kindOfRefusal struct {
	name, field, reason string
	never               bool // it never starts: dateutil must find no start either
}

// refusals are what we refuse, in the order in which they are looked for.
var refusals = []kindOfRefusal{
	{"too-often", "rrule: FREQ", "too often", false},
	{"starts-too-close", "", "at least 1h apart", false},
	{"never-occurs", "rrule: RRULE", "never occurs", true},
	{"all-excluded", "rrule", "never occurs: every start", true},
	{"until-before-start", "rrule: UNTIL", "before the first start", true},
	{"count-and-until", "rrule: COUNT", "together with UNTIL", false},
	{"interval-out-of-range", "rrule: INTERVAL", "from 1 to", false},
	{"count-out-of-range", "rrule: COUNT", "from 1 to", false},
	{"nth-day-without-month", "rrule: BYDAY", "needs FREQ=MONTHLY or YEARLY", false},
	{"nth-day-too-large", "rrule: BYDAY", "at most", false},
	{"nth-day-too-large", "rrule: BYDAY", "must be a number from", false},
	{"nth-day-and-week", "rrule: BYDAY", "can't be together with BYWEEKNO", false},
	{"part-needs-a-year", "", "needs FREQ=YEARLY", false},
	{"week-without-day", "rrule: BYWEEKNO", "needs BYDAY", false},
	{"out-of-range", "", "must be from", false},
	{"no-zone", "rrule: DTSTART", "no time zone", false},
	{"unknown-zone", "rrule: DTSTART;TZID", "unknown time zone", false},
	{"dates-without-time", "", "VALUE=DATE is not supported", false},
	{"easter-and-others", "rrule", "is no part of an RRULE", false},
	{"exrule", "rrule: EXRULE", "not supported", false},
	{"nothing-recurs", "rrule", "needs an RRULE", false},
}

// refusalKind is the kind of an error of ours.
func refusalKind(err error) (kindOfRefusal, bool) {
	var f *fault.Error
	for _, kind := range refusals {
		if errors.As(err, &f) && (kind.field == "" || kind.field == f.Field) && strings.Contains(f.Reason, kind.reason) {
			return kind, true
		}
	}
	return kindOfRefusal{}, false
}

// compareRefusal makes sure that what we refuse is of a kind that is documented.
func (s sample) compareRefusal(err error) ([]string, error) {
	if err == nil {
		return nil, fmt.Errorf("is accepted, and was refused as %s", s.Refused)
	}
	kind, ok := refusalKind(err)
	if !ok || kind.name != s.Refused {
		return nil, fmt.Errorf("is refused as %q, and was as %q: %w", kind.name, s.Refused, err)
	}
	if kind.never && !s.Answer.Never {
		return nil, fmt.Errorf("dateutil finds a start: %w", err)
	}
	return []string{kind.name}, nil
}
