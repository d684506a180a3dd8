package portal

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/rollout"
	"upkeep/internal/run"
)

// fieldNames are the fields of forms that a mistake can be about.
var fieldNames = []string{
	"reason", "version", "train", "component", "digest",
	"name", "repeat", "every", "day", "nth", "monthday", "time", "first", "zone", "rrule", "hours",
	"maxunavailable", "canaries", "soak", "stopafter", "description", "project", "spreadzone", "from-day", "to-day",
	"scope", "reboot", "hold", "within", "backup", "before", "after", "health", "missed", "allow", "enabled",
}

// families are the keys that the code makes of a beginning and a value.
func families() map[string][]string {
	f := map[string][]string{
		"total.":   {"all"},
		"step.":    {"done", "running", "todo", "waiting", "failed", "undone"},
		"day.":     dayKeys[:],
		"month.":   monthKeys[:],
		"action.":  {"download-n", "install-n", "restore-n"},
		"field.":   fieldNames,
		"contact.": {string(desk.Fresh), string(desk.Stale), string(desk.Never)},
		"outcome.": {string(action.Done), string(action.Failed), string(action.Refused), string(action.Interrupted), string(action.Expired)},
		"state.":   {string(run.Waiting), string(run.Working), string(run.Paused), string(run.Succeeded), string(run.Failed), string(run.Aborted)},
		"status.":  {string(run.Succeeded), string(run.Failed), string(run.Aborted)},

		"images.cadence-": {string(fleet.Monthly), string(fleet.Quarterly), string(fleet.AsNeeded)},
		"images.state-":   {string(fleet.ImageReleased), string(fleet.ImageActive), string(fleet.ImageDeprecated), string(fleet.ImageWithdrawn)},

		"stage.":         {string(rollout.Waiting), string(rollout.Working), string(rollout.Checking), string(rollout.Soaking), string(rollout.Soaked), string(rollout.Failed)},
		"rollout.state-": {string(rollout.Active), string(rollout.Paused), string(rollout.Succeeded), string(rollout.Aborted)},
		"gate.":          {string(rollout.Pass), string(rollout.Fail), string(rollout.Inconclusive)},
		"gate.at-":       {string(rollout.Before), string(rollout.After), string(rollout.During)},

		"policy.scope-":  {string(fleet.ScopeAll), string(fleet.ScopeSecurity)},
		"repeat.":        repeats,
		"weekday.":       dayCodes,
		"nth.":           nths,
		"schedule.note-": scheduleNotes,
	}
	for _, l := range levels {
		f["level."] = append(f["level."], string(l.level))
	}
	for _, r := range rebootRules {
		f["policy.reboot-"] = append(f["policy.reboot-"], string(r))
	}
	for _, m := range missedRules {
		f["missed."] = append(f["missed."], string(m))
		f["missed-choice."] = append(f["missed-choice."], string(m))
	}
	for _, s := range shows[1:] {
		f["total."] = append(f["total."], s.name)
	}
	for _, k := range action.Kinds {
		f["action."] = append(f["action."], string(k))
	}
	for _, k := range []fault.Kind{fault.KindInvalid, fault.KindNotFound, fault.KindConflict, fault.KindDenied, fault.KindUnavailable, fault.KindInternal} {
		f["error."] = append(f["error."], string(k), string(k)+"-text")
	}
	for i := range enrolCommands {
		f["empty.step-"] = append(f["empty.step-"], fmt.Sprint(i+1))
	}
	return f
}

// used lists the keys that the code asks for.
func used(t *testing.T) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`\bv\.[TN]\("([^"]+)"( ?\+)?`)
	keys := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".templ") && (!strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_templ.go")) {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			if m[2] == "" {
				keys[m[1]] = true
				continue
			}
			values := families()[m[1]]
			if values == nil {
				t.Errorf("%s makes keys that begin with %q: name their ends in families", name, m[1])
			}
			for _, v := range values {
				keys[m[1]+v] = true
			}
		}
	}
	if len(keys) < 100 {
		t.Fatalf("only %d keys were found in the code: the search is broken", len(keys))
	}
	return keys
}

func TestBothLanguagesSayEverything(t *testing.T) {
	asked := used(t)
	for _, lang := range languages {
		for key := range asked {
			if catalogue[lang][key] == "" {
				t.Errorf("words in %s lack %q", lang, key)
			}
		}
		for key := range catalogue[lang] {
			if !asked[key] {
				t.Errorf("words in %s have %q, which nobody asks for", lang, key)
			}
		}
	}
}

func TestTranslationsTakeTheSameArguments(t *testing.T) {
	verb := regexp.MustCompile(`%[a-z]`)
	for key, en := range catalogue["en"] {
		de := catalogue["de"][key]
		if got, want := verb.FindAllString(de, -1), verb.FindAllString(en, -1); !slices.Equal(got, want) {
			t.Errorf("%s takes %v in German and %v in English", key, got, want)
		}
		if strings.Count(en, "|") != strings.Count(de, "|") {
			t.Errorf("%s has other forms in German than in English", key)
		}
	}
}

func TestGermanHasItsLetters(t *testing.T) {
	poor := regexp.MustCompile(`(?i)\b(fuer|ueber|koennen|naechst\w*|oeffn\w*|moeglich|zurueck)\b|\bss\b`)
	for key, de := range catalogue["de"] {
		if found := poor.FindString(de); found != "" {
			t.Errorf("%s: %q is written without umlauts", key, found)
		}
	}
}

func TestTimesAndSizes(t *testing.T) {
	sofia, err := time.LoadLocation("Europe/Sofia")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, time.August, 1, 22, 30, 0, 0, time.UTC) // 01:30 of the next day in Sofia
	for _, c := range []struct{ lang, got, want string }{
		{"en", (&visit{words: words{"en"}, now: now}).at(now, sofia), "today, 01:30"},
		{"en", (&visit{words: words{"en"}, now: now}).at(now.Add(-4*time.Hour), sofia), "Sat 1 Aug, 21:30"},
		{"de", (&visit{words: words{"de"}, now: now}).at(now.Add(-4*time.Hour), sofia), "Sa, 1. Aug., 21:30 Uhr"},
		{"en", (&visit{words: words{"en"}, now: now}).at(now.AddDate(1, 0, 0), sofia), "Mon 2 Aug 2027, 01:30"},
		{"en", (&visit{words: words{"en"}, now: now}).ago(now.Add(-5 * 24 * time.Hour)), "5 days ago"},
		{"de", (&visit{words: words{"de"}, now: now}).ago(now.Add(-5 * 24 * time.Hour)), "vor 5 Tagen"},
		{"en", (&visit{words: words{"en"}, now: now}).ago(now.Add(time.Second)), "just now"},
		{"en", (&visit{words: words{"en"}}).took(90*time.Minute, false), "1 h 30 min"},
		{"en", (&visit{words: words{"en"}}).took(40*time.Second, false), "40 s"},
		{"en", (&visit{words: words{"en"}}).exactly(90 * time.Second), "1 min 30 s"},
		{"en", (&visit{words: words{"en"}}).exactly(2 * time.Minute), "2 min"},
		{"de", (&visit{words: words{"de"}}).size(1_234_567), "1,2 MB"},
		{"en", (&visit{words: words{"en"}}).size(999), "999 B"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.lang, c.got, c.want)
		}
	}
}
