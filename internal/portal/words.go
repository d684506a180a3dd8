package portal

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// The catalogue: files per language, LANG.json for what all pages say and
// PAGES.LANG.json for some of them, key → text. A text for a number has two
// forms, "one|many"; both may use the number as %d.
//
//go:embed words/*.json
var wordFiles embed.FS

// languages are those that we speak; the first is for whom none of them fits.
var languages = []string{"en", "de"}

var (
	catalogue = loadCatalogue()
	matcher   = language.NewMatcher([]language.Tag{language.English, language.German})
)

// loadCatalogue reads what is embedded: only a mistake of ours can make it panic.
func loadCatalogue() map[string]map[string]string {
	all := map[string]map[string]string{}
	files, err := wordFiles.ReadDir("words")
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		text, err := wordFiles.ReadFile("words/" + file.Name())
		if err != nil {
			panic(err)
		}
		var m map[string]string
		if err := json.Unmarshal(text, &m); err != nil {
			panic(fmt.Sprintf("words/%s: %v", file.Name(), err))
		}
		name := strings.TrimSuffix(file.Name(), ".json")
		lang := name[strings.LastIndexByte(name, '.')+1:]
		if all[lang] == nil {
			all[lang] = map[string]string{}
		}
		for key, said := range m {
			if _, twice := all[lang][key]; twice {
				panic(fmt.Sprintf("words/%s: %q stands in another file as well", file.Name(), key))
			}
			all[lang][key] = said
		}
	}
	return all
}

// words says texts in one language.
type words struct{ lang string }

// T is the text of a key, with its arguments.
func (w words) T(key string, args ...any) string {
	text, ok := catalogue[w.lang][key]
	if !ok {
		return "⟦" + key + "⟧" // seen at once, by a reader and by the tests
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// N is the text of a key for a number of things.
func (w words) N(key string, n int) string {
	one, many, two := strings.Cut(w.T(key), "|")
	if n == 1 || !two {
		many = one
	}
	if !strings.Contains(many, "%d") {
		return many
	}
	return fmt.Sprintf(many, n)
}

// chooseWords finds the reader's language: what the address asks for, which is
// then kept; else what was kept; else what the browser asks for.
func chooseWords(w http.ResponseWriter, r *http.Request) words {
	if lang := r.URL.Query().Get("lang"); speaks(lang) {
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // it holds a language, and is secure where there is TLS
			Name: langCookie, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600,
			HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: overTLS(r),
		})
		return words{lang}
	}
	if c, err := r.Cookie(langCookie); err == nil && speaks(c.Value) {
		return words{c.Value}
	}
	_, i := language.MatchStrings(matcher, r.Header.Get("Accept-Language"))
	return words{languages[i]}
}

func speaks(lang string) bool {
	_, ok := catalogue[lang]
	return ok
}

// inLanguage is the address of this page in another language.
func (v *visit) inLanguage(lang string) string {
	path, query := v.r.URL.Path, url.Values{}
	if v.r.Method == http.MethodGet {
		query = v.r.URL.Query()
	}
	query.Set("lang", lang)
	return (&url.URL{Path: path, RawQuery: query.Encode()}).String()
}

// at says an instant in zone: "Sat 1 Aug 2026, 13:40"; today's only by its time.
func (v *visit) at(t time.Time, zone *time.Location) string {
	t, today := t.In(zone), v.now.In(zone)
	clock := t.Format("15:04")
	if t.YearDay() == today.YearDay() && t.Year() == today.Year() {
		return v.T("time.today", clock)
	}
	return v.T("time.at", v.day(t), clock)
}

// day says a date: "Sat 1 Aug 2026", without the year where it is this one.
func (v *visit) day(t time.Time) string {
	weekday, month := v.T("day."+dayKeys[t.Weekday()]), v.T("month."+monthKeys[t.Month()-1])
	if t.Year() == v.now.In(t.Location()).Year() {
		return v.T("time.day", weekday, t.Day(), month)
	}
	return v.dayYear(t)
}

// dayYear says a date with its year: "Sat 1 Aug 2026".
func (v *visit) dayYear(t time.Time) string {
	return v.T("time.day-year", v.T("day."+dayKeys[t.Weekday()]), t.Day(), v.T("month."+monthKeys[t.Month()-1]), t.Year())
}

// shortDay says a date without its year, for the axis of a picture.
func (v *visit) shortDay(t time.Time) string {
	return v.T("time.short-day", t.Day(), v.T("month."+monthKeys[t.Month()-1]))
}

var (
	dayKeys   = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	monthKeys = [12]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
)

// stamp says an instant to the second, for a list in order.
func (v *visit) stamp(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02 15:04:05")
}

// ago says how long ago t was.
func (v *visit) ago(t time.Time) string {
	d := v.now.Sub(t)
	if d < time.Minute {
		return v.T("time.just-now")
	}
	return v.T("time.ago", v.took(d, true))
}

// took says a duration in one or two units: "1 h 20 min". dative is for what
// German says after "vor".
func (v *visit) took(d time.Duration, dative bool) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return v.N("time.seconds", int(d.Round(time.Second)/time.Second))
	case d < time.Hour:
		return v.N("time.minutes", int(d.Round(time.Minute)/time.Minute))
	case d < 48*time.Hour:
		d = d.Round(time.Minute)
		h, m := int(d/time.Hour), int(d%time.Hour/time.Minute)
		if m == 0 {
			return v.N("time.hours", h)
		}
		return v.N("time.hours", h) + " " + v.N("time.minutes", m)
	}
	days := int(d.Round(time.Hour) / (24 * time.Hour))
	if dative {
		return v.N("time.days-dative", days)
	}
	return v.N("time.days", days)
}

// exactly says how long something took that is over: a minute and a half is not two.
func (v *visit) exactly(d time.Duration) string {
	d = d.Round(time.Second)
	if d < time.Minute || d >= 10*time.Minute || d%time.Minute == 0 {
		return v.took(d, false)
	}
	return v.N("time.minutes", int(d/time.Minute)) + " " + v.N("time.seconds", int(d%time.Minute/time.Second))
}

// size says how many bytes something has.
func (v *visit) size(bytes int64) string {
	const unit = 1000
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	value, name := float64(bytes)/unit, "kB"
	for _, next := range []string{"MB", "GB", "TB"} {
		if value < unit {
			break
		}
		value, name = value/unit, next
	}
	text := fmt.Sprintf("%.1f %s", value, name)
	if v.lang == "de" {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text
}
