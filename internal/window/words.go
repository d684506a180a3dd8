package window

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

// brief writes a duration without its zeros: 1h rather than 1h0m0s.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Words says in a language, "en" or "de" (else English), when r occurs: "every
// week on Saturday at 13:40 (Europe/Sofia)". A rule too complicated to be told
// in one sentence is said to be one.
func (r Recurrence) Words(lang string) string {
	t := &english
	if lang == "de" || strings.HasPrefix(lang, "de-") {
		t = &german
	}
	if r.set == nil {
		return t.never
	}
	said := r.set.words(t)
	if n := len(r.set.excluded); n > 0 {
		said += t.except(n)
	}
	return fmt.Sprintf("%s (%s)", said, r.set.zone)
}

// words is what recurs, without exceptions and zone.
func (s *set) words(t *tongue) string {
	switch {
	case len(s.rules) == 0 && len(s.added) == 1:
		once := s.added[0]
		return t.once(t.date(once)) + t.at + clock(once.Clock()) + t.oClock
	case len(s.rules) != 1 || len(s.added) > 0:
		return t.complicated(t.date(s.dtstart))
	}
	r := &s.rules[0]
	days, ok := r.words(t)
	if !ok {
		return t.complicated(t.date(s.dtstart))
	}
	var clocks []string
	for _, hour := range r.options.Byhour {
		clocks = append(clocks, clock(hour, r.options.Byminute[0], r.options.Bysecond[0]))
	}
	said := days + t.at + t.list(clocks) + t.oClock
	switch {
	case r.count > 0:
		said += t.times(r.count)
	case !r.lastAt.IsZero():
		said += t.until(t.date(r.lastAt))
	case !r.lastWall.IsZero():
		said += t.until(t.date(r.lastWall))
	}
	return said
}

// words is on which days a rule occurs, if that can be said simply.
func (r *rule) words(t *tongue) (string, bool) {
	o := &r.options
	yearly := o.Freq == rrule.YEARLY
	if len(o.Bysetpos)+len(o.Byyearday)+len(o.Byweekno) > 0 || len(o.Bymonth) > 0 != yearly || len(o.Bymonth) > 1 {
		return "", false
	}
	if len(o.Byweekday) > 0 && len(o.Bymonthday) > 0 {
		return "", false
	}
	every := t.every[o.Freq](o.Interval)
	weekly := o.Freq == rrule.WEEKLY
	if o.Freq == rrule.DAILY && o.Interval == 1 && len(o.Byweekday) > 0 {
		every, weekly = t.every[rrule.WEEKLY](1), true
	}
	switch {
	case yearly && len(o.Bymonthday) == 1 && o.Bymonthday[0] > 0:
		return every + t.on + t.day(o.Bymonthday[0], time.Month(o.Bymonth[0])), true
	case weekly && len(o.Byweekday) > 0:
		return every + t.on + t.list(t.weekdays(o.Byweekday)), true
	case o.Freq == rrule.MONTHLY && len(o.Byweekday) > 0:
		names, ok := t.nthDays(o.Byweekday)
		return every + t.onThe + t.list(names), ok
	case o.Freq == rrule.MONTHLY:
		names, ok := t.monthDays(o.Bymonthday)
		return every + t.onThe + t.list(names), ok
	}
	return every, o.Freq == rrule.DAILY && len(o.Byweekday)+len(o.Bymonthday) == 0
}

// clock writes a time of day, with seconds only where there are some.
func clock(hour, minute, second int) string {
	if second == 0 {
		return fmt.Sprintf("%02d:%02d", hour, minute)
	}
	return fmt.Sprintf("%02d:%02d:%02d", hour, minute, second)
}

// tongue is what a language says.
type tongue struct {
	never, at, oClock, on, onThe, and string

	every    map[rrule.Frequency]func(n int) string
	days     [7]string // Monday first, as the library counts
	nth      map[int]string
	lastDay  string
	monthDay func(n int) string
	day      func(day int, month time.Month) string

	date        func(t time.Time) string
	once        func(date string) string
	until       func(date string) string
	times       func(n int) string
	except      func(n int) string
	complicated func(from string) string
}

// list joins words as the language does.
func (t *tongue) list(words []string) string {
	n := len(words)
	if n < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n-1], ", ") + t.and + words[n-1]
}

// weekdays names days of the week, Monday first.
func (t *tongue) weekdays(days []rrule.Weekday) []string {
	var names []string
	for i, name := range t.days {
		for _, d := range days {
			if d.Day() == i {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

// nthDays names the nth days of a month; not ok if one has no plain name.
func (t *tongue) nthDays(days []rrule.Weekday) (names []string, ok bool) {
	for _, d := range days {
		nth := t.nth[d.N()]
		if nth == "" {
			return nil, false
		}
		names = append(names, nth+" "+t.days[d.Day()])
	}
	return names, true
}

// monthDays names days of a month; not ok if one has no plain name.
func (t *tongue) monthDays(days []int) (names []string, ok bool) {
	for _, d := range days {
		switch {
		case d > 0:
			names = append(names, t.monthDay(d))
		case d == -1:
			names = append(names, t.lastDay)
		default:
			return nil, false
		}
	}
	return names, true
}

// everyEnglish makes "every week" and "every 2 weeks".
func everyEnglish(unit string) func(int) string {
	return func(n int) string {
		if n == 1 {
			return "every " + unit
		}
		return fmt.Sprintf("every %d %ss", n, unit)
	}
}

// everyGerman makes "jede Woche" and "alle 2 Wochen".
func everyGerman(one, many string) func(int) string {
	return func(n int) string {
		if n == 1 {
			return one
		}
		return fmt.Sprintf("alle %d %s", n, many)
	}
}

// ordinal writes 1st, 2nd, 3rd, 4th.
func ordinal(n int) string {
	suffix := "th"
	if n/10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}

var english = tongue{
	never: "never", at: " at ", on: " on ", onThe: " on the ", and: " and ",
	every: map[rrule.Frequency]func(int) string{
		rrule.DAILY: everyEnglish("day"), rrule.WEEKLY: everyEnglish("week"),
		rrule.MONTHLY: everyEnglish("month"), rrule.YEARLY: everyEnglish("year"),
	},
	days:     [7]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"},
	nth:      map[int]string{1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", -1: "last"},
	lastDay:  "last day",
	monthDay: ordinal,
	day:      func(day int, month time.Month) string { return fmt.Sprintf("%d %s", day, month) },

	date:        func(t time.Time) string { return fmt.Sprintf("%d %s %d", t.Day(), t.Month(), t.Year()) },
	once:        func(date string) string { return "once on " + date },
	until:       func(date string) string { return ", until " + date },
	complicated: func(from string) string { return "by a rule of its own, from " + from },
	times: func(n int) string {
		if n == 1 {
			return ", once"
		}
		return fmt.Sprintf(", %d times", n)
	},
	except: func(n int) string {
		if n == 1 {
			return ", except once"
		}
		return fmt.Sprintf(", except %d times", n)
	},
}

var german = tongue{
	never: "nie", at: " um ", oClock: " Uhr", on: " am ", onThe: " am ", and: " und ",
	every: map[rrule.Frequency]func(int) string{
		rrule.DAILY: everyGerman("jeden Tag", "Tage"), rrule.WEEKLY: everyGerman("jede Woche", "Wochen"),
		rrule.MONTHLY: everyGerman("jeden Monat", "Monate"), rrule.YEARLY: everyGerman("jedes Jahr", "Jahre"),
	},
	days:     [7]string{"Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"},
	nth:      map[int]string{1: "ersten", 2: "zweiten", 3: "dritten", 4: "vierten", 5: "fünften", -1: "letzten"},
	lastDay:  "letzten Tag",
	monthDay: func(n int) string { return fmt.Sprintf("%d.", n) },
	day:      func(day int, month time.Month) string { return fmt.Sprintf("%d. %s", day, germanMonths[month-1]) },

	date: func(t time.Time) string {
		return fmt.Sprintf("%d. %s %d", t.Day(), germanMonths[t.Month()-1], t.Year())
	},
	once:        func(date string) string { return "einmal am " + date },
	until:       func(date string) string { return ", bis " + date },
	times:       func(n int) string { return fmt.Sprintf(", %d-mal", n) },
	except:      func(n int) string { return fmt.Sprintf(", außer %d-mal", n) },
	complicated: func(from string) string { return "nach eigener Regel ab dem " + from },
}

var germanMonths = [12]string{"Januar", "Februar", "März", "April", "Mai", "Juni",
	"Juli", "August", "September", "Oktober", "November", "Dezember"}
