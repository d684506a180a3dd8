package portal

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/window"
)

// How often a window opens, as the builder offers it.
const (
	repeatDaily    = "daily"
	repeatWeekly   = "weekly"
	repeatNth      = "nth"
	repeatMonthday = "monthday"
)

// How a window is said: by the builder's fields, or as an RRULE.
const (
	modeBuild  = "build"
	modeExpert = "expert"
	modeSpread = "spread" // of a policy: each server at its own time of the weekend
)

var (
	repeats  = []string{repeatDaily, repeatWeekly, repeatNth, repeatMonthday}
	dayCodes = []string{"MO", "TU", "WE", "TH", "FR", "SA", "SU"}
	nths     = []string{"1", "2", "3", "4", "-1"}
)

// maxRRule is the longest rule that is taken from a form, in bytes; the window
// package has the same limit and says so.
const maxRRule = 4096

// windowForm is the fields in which a person says when a window opens, as they
// were written. The builder's are kept while an expert writes, and the other
// way round.
type windowForm struct {
	Prefix string // of the fields' names: a form may have two windows

	Mode     string
	Repeat   string
	Every    string // every so many days, weeks or months
	Days     []string
	Nth      string
	NthDay   string
	Monthday string
	Time     string // 13:40
	Zone     string
	First    string // 2026-11-28
	Hours    string
	RRule    string

	CanSpread  bool   // the mode "spread" is offered
	SpreadZone string // in which zone the weekend is
}

// readWindow takes the fields out of a form that was sent.
func (v *visit) readWindow(prefix string) windowForm {
	field := func(name string) string { return v.field(prefix + name) }
	f := windowForm{
		Prefix: prefix, Mode: field("mode"), Repeat: field("repeat"), Every: field("every"), Days: v.several(prefix + "day"),
		Nth: field("nth"), NthDay: field("nthday"), Monthday: field("monthday"), Time: field("time"), Zone: field("zone"),
		First: field("first"), Hours: field("hours"), RRule: typed(v.r.PostFormValue(prefix + "rrule")),
	}
	if f.Mode != modeExpert {
		f.Mode = modeBuild
	}
	return f
}

// typed undoes what browsers do to a text area: they send every line end as two bytes.
func typed(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// newWindow is what the fields begin with: a quiet hour of the weekend.
func newWindow(prefix string, zone *time.Location, now time.Time) windowForm {
	return windowForm{
		Prefix: prefix, Mode: modeBuild, Repeat: repeatWeekly, Every: "1", Days: []string{"SA"}, Nth: "1", NthDay: "SA", Monthday: "1",
		Time: "03:00", Zone: zone.String(), First: now.In(zone).Format(time.DateOnly), Hours: "2",
	}
}

// windowOf shows a window that there is: in the builder if that can say it,
// else as the rule that it is.
func windowOf(prefix string, w window.Window, now time.Time) windowForm {
	if w.Recurrence.IsZero() {
		return newWindow(prefix, time.UTC, now)
	}
	text := w.Recurrence.String()
	f := newWindow(prefix, w.Recurrence.Zone(), now)
	if built, ok := buildable(text); ok {
		built.Prefix = prefix
		f = built
	} else {
		f.Mode = modeExpert
	}
	f.RRule, f.Hours = text, hoursText(w.Duration)
	return f
}

// hoursText writes a length in hours: "2", or "1:30".
func hoursText(d time.Duration) string {
	if d%time.Hour == 0 {
		return strconv.Itoa(int(d / time.Hour))
	}
	return fmt.Sprintf("%d:%02d", d/time.Hour, d%time.Hour/time.Minute)
}

// parseHours reads "2", "1.5", "1,5" and "1:30".
func parseHours(text string) (time.Duration, bool) {
	if h, m, ok := strings.Cut(text, ":"); ok {
		hours, err := strconv.ParseUint(h, 10, 16)
		minutes, err2 := strconv.ParseUint(m, 10, 8)
		return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute, err == nil && err2 == nil && len(m) == 2 && minutes < 60
	}
	if !decimal.MatchString(text) {
		return 0, false
	}
	hours, err := strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64)
	return time.Duration(hours * float64(time.Hour)).Round(time.Minute), err == nil
}

var decimal = regexp.MustCompile(`^[0-9]{1,4}([.,][0-9]{1,4})?$`)

// window is what the fields mean. What is like the text that is stored already
// stays as that is, byte for byte; was is empty where nothing is stored.
func (f windowForm) window(v *visit, was string) (w window.Window, wrong *formError) {
	text, wrong := f.text(v, was)
	if wrong != nil {
		return w, wrong
	}
	length, wrong := f.length(v)
	if wrong != nil {
		return w, wrong
	}
	r, err := window.ParseRRule(text)
	if err == nil {
		w, err = window.New(r, length)
	}
	if err != nil {
		return w, f.blame(v, err)
	}
	return w, nil
}

// length is how long the window is open.
func (f windowForm) length(v *visit) (time.Duration, *formError) {
	length, ok := parseHours(f.Hours)
	if !ok || length > 10_000*time.Hour {
		return 0, v.wrong(f.Prefix+"hours", v.T("wrong.hours"))
	}
	return length, nil
}

// text is the rule that the fields mean.
func (f windowForm) text(v *visit, was string) (string, *formError) {
	if f.Mode == modeExpert {
		if typed(was) == f.RRule {
			return was, nil
		}
		return f.RRule, nil
	}
	text, wrong := f.build(v)
	if wrong != nil {
		return "", wrong
	}
	if stored, ok := buildable(was); ok {
		if again, wrong := stored.build(v); wrong == nil && again == text {
			return was, nil
		}
	}
	return text, nil
}

// blame finds the field that a refused window is about.
func (f windowForm) blame(v *visit, err error) *formError {
	wrong := v.mistake(err)
	if wrong == nil {
		return v.wrong(f.Prefix+"rrule", v.T("form.refused"))
	}
	wrong.Field = f.fieldOf(wrong.Field)
	wrong.Label = v.label(wrong.Field)
	return wrong
}

// fieldOf is the field that stands for the desk's name of it.
func (f windowForm) fieldOf(name string) string {
	switch {
	case name == "duration":
		return f.Prefix + "hours"
	case f.Mode == modeExpert:
		return f.Prefix + "rrule"
	}
	return f.Prefix + "repeat"
}

// build makes a rule of the builder's fields. The first day that fits, on the
// first date or after it, is the rule's start, so that none is in doubt.
func (f windowForm) build(v *visit) (string, *formError) {
	every, err := strconv.Atoi(f.Every)
	if err != nil || every < 1 || every > 100 {
		return "", v.wrong(f.Prefix+"every", v.T("wrong.every"))
	}
	zone, ok := loadZone(f.Zone)
	if !ok {
		return "", v.wrong(f.Prefix+"zone", v.T("wrong.zone"))
	}
	first, err := time.Parse(time.DateOnly, f.First)
	if err != nil {
		return "", v.wrong(f.Prefix+"first", v.T("wrong.date"))
	}
	clock, err := time.Parse("15:04", f.Time)
	if err != nil {
		if clock, err = time.Parse("15:04:05", f.Time); err != nil {
			return "", v.wrong(f.Prefix+"time", v.T("wrong.time"))
		}
	}
	rule, fits, wrong := f.rule(v)
	if wrong != nil {
		return "", wrong
	}
	for days := 0; !fits(first); days++ {
		if days > 400 {
			return "", v.wrong(f.Prefix+"first", v.T("wrong.date"))
		}
		first = first.AddDate(0, 0, 1)
	}
	freq, by, _ := strings.Cut(rule, ";")
	if by != "" {
		by = ";" + by
	}
	return fmt.Sprintf("DTSTART;TZID=%s:%sT%s RRULE:FREQ=%s;INTERVAL=%d%s", zone, first.Format("20060102"), clock.Format("150405"), freq, every, by), nil
}

// rule is what recurs ("FREQ;BY…"), and whether a day is one of its days.
func (f windowForm) rule(v *visit) (rule string, fits func(time.Time) bool, wrong *formError) {
	switch f.Repeat {
	case repeatDaily:
		return "DAILY", func(time.Time) bool { return true }, nil
	case repeatWeekly:
		var days []string
		for _, code := range dayCodes {
			if slices.Contains(f.Days, code) {
				days = append(days, code)
			}
		}
		if len(days) == 0 {
			return "", nil, v.wrong(f.Prefix+"day", v.T("wrong.days"))
		}
		return "WEEKLY;BYDAY=" + strings.Join(days, ","), func(t time.Time) bool { return slices.Contains(days, codeOf(t)) }, nil
	case repeatNth:
		if !slices.Contains(nths, f.Nth) || !slices.Contains(dayCodes, f.NthDay) {
			return "", nil, v.wrong(f.Prefix+"nth", v.T("wrong.choice"))
		}
		return "MONTHLY;BYDAY=" + f.Nth + f.NthDay, func(t time.Time) bool { return codeOf(t) == f.NthDay && f.isNth(t) }, nil
	case repeatMonthday:
		n, err := strconv.Atoi(f.Monthday)
		if err != nil || n != -1 && (n < 1 || n > 31) {
			return "", nil, v.wrong(f.Prefix+"monthday", v.T("wrong.choice"))
		}
		return "MONTHLY;BYMONTHDAY=" + f.Monthday, func(t time.Time) bool {
			return t.Day() == n || n == -1 && t.AddDate(0, 0, 1).Day() == 1
		}, nil
	}
	return "", nil, v.wrong(f.Prefix+"repeat", v.T("wrong.choice"))
}

// isNth reports whether a day is the nth of its kind in its month.
func (f windowForm) isNth(t time.Time) bool {
	if f.Nth == "-1" {
		return t.AddDate(0, 0, 7).Month() != t.Month()
	}
	return strconv.Itoa((t.Day()+6)/7) == f.Nth
}

// codeOf is a day of the week as RFC 5545 writes it.
func codeOf(t time.Time) string { return dayCodes[(int(t.Weekday())+6)%7] }

var simpleRule = regexp.MustCompile(`^DTSTART(?:;TZID=([^:;\s]+))?:(\d{8})T(\d{4})00(Z?)\s+RRULE:(\S+)$`)

// buildable shows a rule in the builder's fields, if they can say it.
func buildable(text string) (f windowForm, ok bool) {
	m := simpleRule.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil || (m[1] == "") != (m[4] == "Z") {
		return f, false
	}
	f = newWindow("", time.UTC, time.Time{})
	if m[1] != "" {
		f.Zone = m[1]
	}
	at, err := time.Parse("20060102T1504", m[2]+"T"+m[3])
	if err != nil {
		return f, false
	}
	f.First, f.Time = at.Format(time.DateOnly), at.Format("15:04")
	parts := map[string]string{"INTERVAL": "1"}
	for part := range strings.SplitSeq(m[5], ";") {
		key, value, _ := strings.Cut(part, "=")
		if !slices.Contains([]string{"FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "WKST"}, key) {
			return f, false
		}
		parts[key] = value
	}
	f.Every = parts["INTERVAL"]
	if week := parts["WKST"]; week != "" && week != "MO" {
		return f, false
	}
	return f, f.fill(parts, at)
}

// fill takes the days out of a rule's parts; false if the builder has no field
// for them.
func (f *windowForm) fill(parts map[string]string, at time.Time) bool {
	byDay, byMonthday := parts["BYDAY"], parts["BYMONTHDAY"]
	nth, isNth := cutNth(byDay)
	switch {
	case parts["FREQ"] == "DAILY" && byDay == "" && byMonthday == "":
		f.Repeat = repeatDaily
	case parts["FREQ"] == "WEEKLY" && byMonthday == "":
		f.Repeat, f.Days = repeatWeekly, strings.Split(byDay, ",")
		if byDay == "" {
			f.Days = []string{codeOf(at)}
		}
		return !slices.ContainsFunc(f.Days, func(code string) bool { return !slices.Contains(dayCodes, code) })
	case parts["FREQ"] == "MONTHLY" && isNth && byMonthday == "":
		f.Repeat, f.Nth, f.NthDay = repeatNth, nth, strings.TrimPrefix(strings.TrimPrefix(byDay, "+"), nth)
	case parts["FREQ"] == "MONTHLY" && byDay == "":
		f.Repeat, f.Monthday = repeatMonthday, byMonthday
		if byMonthday == "" {
			f.Monthday = strconv.Itoa(at.Day())
		}
		n, err := strconv.Atoi(f.Monthday)
		return err == nil && (n == -1 || n >= 1 && n <= 31) && f.Monthday == strconv.Itoa(n)
	default:
		return false
	}
	return true
}

// cutNth takes "2" out of "2TU".
func cutNth(byDay string) (string, bool) {
	bare := strings.TrimPrefix(byDay, "+")
	for _, nth := range nths {
		if code, ok := strings.CutPrefix(bare, nth); ok && slices.Contains(dayCodes, code) {
			return nth, true
		}
	}
	return "", false
}

// wrong is a mistake that the portal itself finds in a field.
func (v *visit) wrong(field, reason string) *formError {
	return &formError{Field: field, Label: v.label(field), Reason: reason}
}

// ownWindow is the prefix of the fields of a policy's own window for reboots.
const ownWindow = "reboot-"

// label is a field's name for a person.
func (v *visit) label(field string) string {
	if field == "" {
		return ""
	}
	name, own := strings.CutPrefix(field, ownWindow)
	said, ours := catalogue[v.lang]["field."+name]
	switch {
	case !ours:
		return field
	case own:
		return v.T("field.of-reboot", said)
	}
	return said
}

// isConflict reports whether the present state forbids what was asked for.
func isConflict(err error) bool { return fault.Is(err, fault.KindConflict) }
