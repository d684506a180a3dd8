package portal

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/window"
)

// weekly is a schedule's form as a browser sends it, with changes to it.
func weekly(change ...string) url.Values {
	f := url.Values{
		"do": {"save"}, "key": {"k1"}, "name": {"Weekend"}, "enabled": {"yes"}, "mode": {"build"}, "repeat": {"weekly"}, "every": {"1"}, "day": {"SA"},
		"nth": {"1"}, "nthday": {"MO"}, "monthday": {"1"}, "time": {"13:40"}, "zone": {"Europe/Sofia"}, "first": {"2030-01-01"}, "hours": {"2"}, "rrule": {""},
		"scope": {"all"}, "hold": {""}, "reboot": {"if-required"}, "within": {""}, "backup": {""}, "before-others": {""}, "after-others": {""}, "health-others": {""}, "missed": {"late"},
		"reboot-mode": {"build"}, "reboot-repeat": {"daily"}, "reboot-every": {"1"}, "reboot-time": {"04:00"}, "reboot-zone": {"UTC"}, "reboot-first": {"2030-01-01"}, "reboot-hours": {"1"},
	}
	for i := 0; i < len(change); i += 2 {
		f.Set(change[i], change[i+1])
	}
	return f
}

// only is the one schedule that a server has.
func (h *house) only(server string) fleet.Schedule {
	h.t.Helper()
	all, err := h.desk.Schedules(context.Background(), boss, "", server, "", 0)
	if err != nil || len(all) != 1 {
		h.t.Fatalf("%d schedules, %v", len(all), err)
	}
	return all[0]
}

func TestAScheduleIsBuiltChangedAndDeleted(t *testing.T) {
	h := newHouse(t, nil)
	obs := look(3, false)
	obs.Commands = []string{"snapshot", "drain", "healthy"}
	server := h.server("shop", "web-1", obs, time.Minute)
	b := h.as(identity.Member)
	path := schedulesPath(server.ID)
	b.get(path).must(t, http.StatusOK, "There is no schedule.", "Create schedule", "Nothing is planned.")
	b.get(path+"/new").must(t, http.StatusOK, "every week on Saturday at 03:00 (UTC), for 2 h", "The next five times (UTC)", "Default Update Schedule", "This server offers: snapshot, drain, healthy")

	// What it would be is shown before anything is stored.
	b.post(path, weekly("do", "preview", "hours", "1:30")).must(t, http.StatusOK,
		"every week on Saturday at 13:40 (Europe/Sofia), for 1 h 30 min", "Sat 5 Jan 2030, starts 13:40, ends 15:10", "Sat 2 Feb 2030", `value="1:30"`).
		mustNot(t, "Sat 9 Feb 2030")
	if all, _ := h.desk.Schedules(context.Background(), boss, "", server.ID, "", 0); len(all) != 0 {
		t.Fatal("a preview stores a schedule")
	}
	form := weekly("hold", "nginx, linux-image-*", "within", "14", "backup", "snapshot", "before-others", "lock", "reboot", "own-window", "missed", "ask")
	form["before"] = []string{"drain"}
	form["health"] = []string{"healthy"}
	for range 2 { // the second time is the same form, sent again
		if got := b.post(path, form); got.code != http.StatusSeeOther || got.header.Get("Location") != path+"?done=created" {
			t.Fatalf("%d: %.3000s", got.code, got.body)
		}
	}
	s := h.only(server.ID)
	if got, want := s.Window.Recurrence.String(), "DTSTART;TZID=Europe/Sofia:20300105T134000 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SA"; got != want {
		t.Errorf("rrule %q, want %q", got, want)
	}
	p := s.Policy
	if strings.Join(p.Hold, " ") != "nginx linux-image-*" || p.Within != 14*24*time.Hour || p.Backup != "snapshot" || strings.Join(p.Before, " ") != "drain lock" ||
		strings.Join(p.Health, " ") != "healthy" || p.RebootWindow.Recurrence.String() != "DTSTART;TZID=UTC:20300101T040000 RRULE:FREQ=DAILY;INTERVAL=1" || s.Missed != fleet.MissedAsk {
		t.Errorf("policy %+v, missed %q", p, s.Missed)
	}
	b.get(path+"?done=created").must(t, http.StatusOK, "The schedule was created.", "every week on Saturday at 13:40", "before: drain, lock", "patched within 14 days", "a missed start asks a person")

	// The form shows it as it is; names that the agent does not offer are warned of.
	edit := schedulePath(s)
	b.get(edit).must(t, http.StatusOK, "Number 1 on this server", `value="Weekend"`, `value="13:40"`, `value="2030-01-05"`, `value="lock"`, `value="drain" checked`, ">nginx\nlinux-image-*</textarea>",
		`value="own-window" selected`, `value="04:00"`, "does not offer “lock”")
	changed := weekly("name", "Nights", "repeat", "nth", "nth", "-1", "nthday", "FR", "enabled", "", "key", "k2")
	b.post(edit, changed).must(t, http.StatusSeeOther)
	if s = h.only(server.ID); s.Name != "Nights" || s.Enabled || s.Window.Recurrence.Words("en") != "every month on the last Friday at 13:40 (Europe/Sofia)" || s.Policy.Reboot != fleet.RebootIfRequired {
		t.Errorf("after the change: %+v, %s", s, s.Window.Recurrence.Words("en"))
	}
	b.get(path).must(t, http.StatusOK, "Nights", "disabled")
	b.post(edit+"/enabled", url.Values{"enabled": {"yes"}}).must(t, http.StatusSeeOther)
	if !h.only(server.ID).Enabled {
		t.Error("it is still off")
	}
	b.get(edit+"/delete").must(t, http.StatusOK, "Delete schedule “Nights”?")
	if got := b.post(edit+"/delete", nil); got.header.Get("Location") != path+"?done=deleted" {
		t.Fatalf("%d to %q", got.code, got.header.Get("Location"))
	}
	b.get(path+"?done=deleted").must(t, http.StatusOK, "The schedule was deleted.", "There is no schedule.")
	b.get(edit).must(t, http.StatusNotFound)
}

func TestARuleIsKeptByteForByte(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", nil, 0)
	b := h.as(identity.Operator)
	path := schedulesPath(server.ID)
	const typed = "\ndtstart;tzid=Europe/Sofia:20300803T134000\n RRULE:FREQ=MONTHLY;BYDAY=SA,SU;BYSETPOS=2  EXDATE:20310101T000000\n"
	sent := strings.ReplaceAll(typed, "\n", "\r\n") // as browsers send a text area
	b.post(path, weekly("mode", "expert", "rrule", sent)).must(t, http.StatusSeeOther)
	s := h.only(server.ID)
	if got := s.Window.Recurrence.String(); got != typed {
		t.Fatalf("kept %q, want %q", got, typed)
	}
	// A text area drops the first line end after its tag, so one more stands there.
	b.get(schedulePath(s)).must(t, http.StatusOK, `value="expert" checked`, `name="rrule"`, ">\n"+typed+"</textarea>")

	// What the builder could say stays as it was written if nothing of it is changed.
	const program = "DTSTART;TZID=Europe/Sofia:20300803T134000\r\nRRULE:FREQ=WEEKLY;BYDAY=SA"
	spec := desk.ScheduleSpec{Project: "shop", Server: server.ID, Name: "Weekend", Enabled: true, RRule: program, Duration: time.Hour}
	if _, err := h.desk.ReplaceSchedule(context.Background(), boss, s.ID, spec); err != nil {
		t.Fatal(err)
	}
	for i, form := range []url.Values{
		weekly("first", "2030-08-03", "hours", "3"),
		weekly("mode", "expert", "rrule", "DTSTART;TZID=Europe/Sofia:20300803T134000\r\nRRULE:FREQ=WEEKLY;BYDAY=SA", "hours", "4"),
	} {
		form.Set("key", string(rune('x'+i)))
		b.post(schedulePath(s), form).must(t, http.StatusSeeOther)
		if got := h.only(server.ID); got.Window.Recurrence.String() != program || got.Window.Duration != time.Duration(3+i)*time.Hour {
			t.Errorf("%d: kept %q for %v", i, got.Window.Recurrence, got.Window.Duration)
		}
	}
	b.post(schedulePath(s), weekly("first", "2030-08-03", "time", "13:41", "key", "z")).must(t, http.StatusSeeOther)
	if got := h.only(server.ID).Window.Recurrence.String(); !strings.Contains(got, "T134100") {
		t.Errorf("the change of time was lost: %q", got)
	}
}

func TestMistakesStandAtTheirFields(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", nil, 0)
	b := h.as(identity.Operator)
	for _, c := range []struct{ field, value, want string }{
		{"name", "", "must not be empty"},
		{"name", strings.Repeat("n", 200), "must have 1 to 126 bytes"},
		{"every", "0", "must be a whole number from 1 to 100"},
		{"day", "XX", "choose one day at least"},
		{"time", "noon", "must be a time of day"},
		{"first", "soon", "must be a date"},
		{"zone", "Mars/Base", "no such time zone"},
		{"zone", "Local", "no such time zone"},
		{"hours", "two", "must be a number of hours"},
		{"hours", "25", "must be between"},
		{"scope", "some", "must be"},
		{"hold", "not a/package", "is no package name"},
		{"within", "400", "from 1 to 365"},
		{"backup", "rm -rf", "is no command"},
		{"before-others", "A", "is no command"},
		{"missed", "never", "must be"},
		{"reboot", "sometimes", "must be one of"},
	} {
		got := b.post(schedulesPath(server.ID), weekly(c.field, c.value))
		field := strings.TrimSuffix(c.field, "-others")
		got.must(t, http.StatusUnprocessableEntity, `id="`+field+`-mistake"`, c.want)
		if c.field != "name" || c.value != "" { // a name changes nothing of when it is open
			got.must(t, http.StatusUnprocessableEntity, "Nothing to show yet.")
		}
		if c.field != "day" && c.field != "scope" && c.field != "missed" && c.field != "reboot" && c.field != "hold" {
			got.must(t, http.StatusUnprocessableEntity, `value="`+c.value+`"`)
		}
		if c.field != "day" {
			got.must(t, http.StatusUnprocessableEntity, field+`-mistake" aria-invalid="true"`)
		}
	}
	expert := func(rule string) answer {
		return b.post(schedulesPath(server.ID), weekly("mode", "expert", "rrule", rule))
	}
	expert("RRULE:FREQ=WEEKLY").must(t, http.StatusUnprocessableEntity, `id="rrule-mistake"`, ">\nRRULE:FREQ=WEEKLY</textarea>")
	expert("").must(t, http.StatusUnprocessableEntity, `id="rrule-mistake"`, "is missing")
	b.post(schedulesPath(server.ID), weekly("reboot", "own-window", "reboot-time", "x")).must(t, http.StatusUnprocessableEntity, `id="reboot-time-mistake"`, "Starts at (reboot):")
	b.post(schedulesPath(server.ID), weekly("hold", strings.Repeat("x ", maxForm))).must(t, http.StatusRequestEntityTooLarge)
}

func TestOverlapsAreRefusedUnlessAllowed(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", nil, 0)
	b := h.as(identity.Operator)
	path := schedulesPath(server.ID)
	saturday := time.Now().AddDate(0, 0, 2)
	for saturday.Weekday() != time.Saturday {
		saturday = saturday.AddDate(0, 0, 1)
	}
	at := (&visit{words: words{"en"}}).dayYear(saturday) + ", starts 14:30, ends 15:40"
	b.post(path, weekly("first", saturday.Format(time.DateOnly))).must(t, http.StatusSeeOther)
	first := h.only(server.ID)
	second := weekly("name", "Backup window", "time", "14:30", "repeat", "daily", "key", "k2", "first", saturday.Format(time.DateOnly))
	second.Set("do", "preview")
	b.post(path, second).must(t, http.StatusOK, "open together with other schedules", "Weekend:", at, `name="allow"`)
	second.Set("do", "save")
	b.post(path, second).must(t, http.StatusConflict, "It would be open together with “Weekend”, first on "+at+".", `id="allow-mistake"`, `value="Backup window"`)
	second.Set("name", "Weekend")
	b.post(path, second).must(t, http.StatusConflict, `id="name-mistake"`, "there is one of that name already")
	second.Set("name", "Backup window")
	second.Set("enabled", "")
	b.post(path, second).must(t, http.StatusSeeOther)
	all, err := h.desk.Schedules(context.Background(), boss, "", server.ID, "", 0)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d schedules, %v", len(all), err)
	}
	other := all[0]
	if other.ID == first.ID {
		other = all[1]
	}
	b.post(schedulePath(other)+"/enabled", url.Values{"enabled": {"yes"}}).must(t, http.StatusConflict, "open together with “Weekend”", `name="allow" value="yes"`, "Enable it all the same")
	b.post(schedulePath(other)+"/enabled", url.Values{"enabled": {"yes"}, "allow": {"yes"}}).must(t, http.StatusSeeOther)
	b.get(path).must(t, http.StatusOK, "at times open together with “Weekend”", "at times open together with “Backup window”", "clash")
	// Who edits it later need not allow it again.
	b.get(schedulePath(other)).must(t, http.StatusOK, `id="allow" name="allow" type="checkbox" value="yes" checked`)
}

func TestFreezesAreShownBeforeSaving(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", nil, 0)
	b := h.as(identity.Operator)
	soon := time.Now().UTC().AddDate(0, 0, 2)
	if _, err := h.desk.CreateFreeze(context.Background(), boss, desk.FreezeSpec{Start: soon.Add(-time.Hour), End: soon.Add(30 * time.Hour), Reason: "Black <Friday>"}); err != nil {
		t.Fatal(err)
	}
	b.post(schedulesPath(server.ID), weekly("do", "preview", "repeat", "daily", "zone", "UTC", "first", soon.Format(time.DateOnly))).
		must(t, http.StatusOK, "freeze: Black &lt;Friday&gt;", `class="frozen"`)
}

func TestTheReadersClockStandsBesideTheWindows(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", nil, 0)
	b := h.as(identity.Operator)
	form := weekly("do", "preview")
	b.post(schedulesPath(server.ID), form).must(t, http.StatusOK).mustNot(t, "your time")
	b.cookies[browserZoneCookie] = "Europe/Berlin" // the script's
	b.post(schedulesPath(server.ID), form).must(t, http.StatusOK, "Sat 5 Jan 2030, starts 13:40, ends 15:40", "your time: starts 12:40, ends 14:40 (Europe/Berlin)", "as the browser says: Europe/Berlin")
	// What a reader chooses goes first; the footer's form works without a script.
	if got := b.post("/zone", url.Values{"zone": {"Asia/Tokyo"}, "next": {"/servers?q=web"}}); got.header.Get("Location") != "/servers?q=web" {
		t.Fatalf("to %q", got.header.Get("Location"))
	}
	b.post(schedulesPath(server.ID), form).must(t, http.StatusOK, "your time: starts 20:40, ends 22:40 (Asia/Tokyo)")
	b.post("/zone", url.Values{"zone": {"Pacific/Auckland"}, "next": {"//evil.test"}}).must(t, http.StatusSeeOther)
	b.post(schedulesPath(server.ID), form).must(t, http.StatusOK, "your time: starts Sun 6 Jan 2030, 00:40, ends 02:40 (Pacific/Auckland)")
	for _, junk := range []string{"../../etc/passwd", "Local", "<script>", strings.Repeat("A", 5000)} {
		b.post("/zone", url.Values{"zone": {junk}}).must(t, http.StatusSeeOther)
		b.cookies[browserZoneCookie] = junk
		b.post(schedulesPath(server.ID), form).must(t, http.StatusOK).mustNot(t, "your time")
	}
}

func TestWhoMayNotWriteSeesNoForms(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", nil, 0)
	s := h.schedule(server, "weekly", time.Hour, time.Hour)
	b := h.as(identity.Viewer)
	b.get(schedulesPath(server.ID)).must(t, http.StatusOK, "weekly", "every week on").mustNot(t, "/new", "/delete", "/enabled", "Create schedule")
	for _, path := range []string{schedulesPath(server.ID) + "/new", schedulePath(s), schedulePath(s) + "/delete", serverPath(server.ID) + "/manage", serverPath(server.ID) + "/unmanage"} {
		b.get(path).must(t, http.StatusForbidden)
	}
	for _, path := range []string{schedulesPath(server.ID), schedulePath(s), schedulePath(s) + "/delete", schedulePath(s) + "/enabled", serverPath(server.ID) + "/manage", serverPath(server.ID) + "/unmanage"} {
		b.post(path, weekly()).must(t, http.StatusForbidden)
	}
	if got := h.only(server.ID); !got.Enabled || got.Name != "weekly" {
		t.Errorf("it was changed: %+v", got)
	}
	// A schedule is found on its own server only.
	other := h.server("shop", "web-2", nil, 0)
	h.as(identity.Operator).get(schedulesPath(other.ID)+"/"+s.ID).must(t, http.StatusNotFound)
}

func TestServersAreManagedOrLeftToTheirOwners(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(2, false), time.Minute)
	b := h.as(identity.Operator)
	path := serverPath(server.ID)
	b.get(path+"/manage").must(t, http.StatusOK, "Manage web-1", "Default Update Schedule")
	if got := b.post(path+"/manage", nil); got.header.Get("Location") != schedulesPath(server.ID) {
		t.Fatalf("%d: %.2000s", got.code, got.body)
	}
	b.get(schedulesPath(server.ID)).must(t, http.StatusOK, "managed", "Default Update Schedule", "enabled")
	b.post(path+"/manage", nil).must(t, http.StatusConflict, "is managed already")
	b.get(path).must(t, http.StatusOK, path+"/unmanage").mustNot(t, `/manage"`)
	b.get(path+"/unmanage").must(t, http.StatusOK, "Leave web-1 to its owner?")
	b.post(path+"/unmanage", nil).must(t, http.StatusSeeOther)
	b.get(schedulesPath(server.ID)).must(t, http.StatusOK, "unmanaged", "its owner installs its updates", "rests while the server is unmanaged", "Manage this server").
		mustNot(t, "Create schedule", "/delete")
	b.post(schedulesPath(server.ID), weekly()).must(t, http.StatusConflict, "is unmanaged").mustNot(t, "name-mistake")
}

// TestBuilderReadsWhatItWrites holds for every rule that the builder can make.
func TestBuilderReadsWhatItWrites(t *testing.T) {
	v := &visit{words: words{"en"}}
	for _, f := range []windowForm{
		{Repeat: repeatDaily, Every: "3"},
		{Repeat: repeatWeekly, Every: "2", Days: []string{"SU", "MO"}},
		{Repeat: repeatNth, Every: "1", Nth: "2", NthDay: "TU"},
		{Repeat: repeatNth, Every: "2", Nth: "-1", NthDay: "FR"},
		{Repeat: repeatMonthday, Every: "1", Monthday: "31"},
		{Repeat: repeatMonthday, Every: "6", Monthday: "-1"},
	} {
		f.Mode, f.Time, f.Zone, f.First, f.Hours = modeBuild, "23:30", "Europe/Berlin", "2027-02-01", "1:30"
		w, wrong := f.window(v, "")
		if wrong != nil {
			t.Errorf("%+v: %+v", f, wrong)
			continue
		}
		again := windowOf("", w, time.Now())
		if again.Mode != modeBuild || again.Hours != "1:30" {
			t.Errorf("%s became %+v", w.Recurrence, again)
		}
		if text, wrong := again.text(v, ""); wrong != nil || text != w.Recurrence.String() {
			t.Errorf("%s became %s, %+v", w.Recurrence, text, wrong)
		}
		// The rule's start is its first occurrence, so that no reader of it is in doubt.
		next, ok := w.Next(time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC))
		if !ok || !strings.Contains(w.Recurrence.String(), next.Start.Format("20060102T150405")) {
			t.Errorf("%s first occurs at %v", w.Recurrence, next.Start)
		}
	}
	for _, text := range []string{
		"DTSTART;TZID=Europe/Berlin:20270201T233000 RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=3",
		"DTSTART;TZID=Europe/Berlin:20270201T233000 RRULE:FREQ=WEEKLY;WKST=SU;BYDAY=MO",
		"DTSTART;TZID=Europe/Berlin:20270201T233005 RRULE:FREQ=DAILY",
		"DTSTART;TZID=Europe/Berlin:20270201T233000 RRULE:FREQ=MONTHLY;BYDAY=5MO",
		"DTSTART;TZID=Europe/Berlin:20270201T233000 RRULE:FREQ=MONTHLY;BYDAY=1MO,3MO",
		"DTSTART;TZID=Europe/Berlin:20270201T233000 RRULE:FREQ=YEARLY",
		"DTSTART;TZID=Europe/Berlin:20270201T233000 RRULE:FREQ=DAILY RRULE:FREQ=WEEKLY",
	} {
		r, err := window.ParseRRule(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := windowOf("", window.Window{Recurrence: r, Duration: time.Hour}, time.Now()); got.Mode != modeExpert || got.RRule != text {
			t.Errorf("%s is shown in the builder: %+v", text, got)
		}
	}
}

// TestCommandsKeepTheirOrder holds whatever of them the agent offers.
func TestCommandsKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := func(label string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 0, 5, rapid.ID[string]).Draw(t, label)
		}
		names, offered := some("names"), some("offered")
		f := commandsOf(names, offered)
		if got := f.names(); !slices.Equal(got, names) {
			t.Fatalf("%v of %v offered became %v", names, offered, got)
		}
		// Browsers send what is ticked in the order of the page.
		sent := slices.DeleteFunc(slices.Clone(offered), func(name string) bool { return !slices.Contains(f.Ticked, name) })
		if !slices.Equal(sent, f.Ticked) {
			t.Fatalf("%v are ticked of %v: sent as %v", f.Ticked, offered, sent)
		}
	})
}

func TestARestingScheduleHasNoNextWindow(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(1, false), time.Minute)
	h.schedule(server, "weekly", 26*time.Hour, time.Hour)
	b := h.as(identity.Viewer)
	b.get("/servers").must(t, http.StatusOK, "Europe/Sofia")
	if _, err := h.desk.Unmanage(context.Background(), boss, "shop", "web-1"); err != nil {
		t.Fatal(err)
	}
	b.get("/servers").must(t, http.StatusOK).mustNot(t, `class="sub">Europe/Sofia`)
	b.get("/compliance").must(t, http.StatusOK, "unmanaged").mustNot(t, `class="sub">Europe/Sofia`)
}
