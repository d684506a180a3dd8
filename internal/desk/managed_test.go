package desk_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/run"
	"upkeep/internal/store/sqlite"
)

var ada = desk.Caller{Principal: identity.Principal{Name: "ada", Role: identity.Operator}}

// room is a desk with one server.
func room(t *testing.T) (*desk.Desk, fleet.Target) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "upkeep.db"), sqlite.Unsafe())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	ids := 0
	d := desk.New(db, func() string { ids++; return fmt.Sprintf("id-%04d", ids) }, func() {}).In("Europe/Berlin")
	srv, _, err := d.PutServer(t.Context(), ada, desk.ServerSpec{Project: "shop", Name: "web-1"})
	must(t, err)
	return d, srv
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wants fails unless err is of a kind and says all the words.
func wants(t *testing.T, err error, kind fault.Kind, words ...string) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%v is not %s", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func schedules(t *testing.T, d *desk.Desk, srv fleet.Target) []fleet.Schedule {
	t.Helper()
	all, err := d.Schedules(t.Context(), ada, "", srv.ID, "", 0)
	must(t, err)
	return all
}

func weekly(name, at string, length time.Duration) desk.ScheduleSpec {
	return desk.ScheduleSpec{
		Project: "shop", Server: "web-1", Name: name, Enabled: true, Duration: length,
		RRule: "DTSTART;TZID=Europe/Berlin:20260105T" + at + " RRULE:FREQ=WEEKLY;BYDAY=MO",
	}
}

func TestManaging(t *testing.T) {
	d, _ := room(t)
	srv, err := d.Manage(t.Context(), ada, "shop", "web-1", "")
	must(t, err)
	made := schedules(t, d, srv)
	if srv.Management != fleet.Managed || len(made) != 1 || made[0].Name != fleet.DefaultName || made[0].Number != 1 || !made[0].Enabled {
		t.Fatalf("managed %q with %+v", srv.Management, made)
	}
	next, ok := made[0].Window.Next(time.Now())
	end := next.End.Add(-time.Nanosecond)
	weekend := []time.Weekday{time.Saturday, time.Sunday}
	if !ok || next.Start.Location().String() != "Europe/Berlin" || !slices.Contains(weekend, next.Start.Weekday()) || !slices.Contains(weekend, end.Weekday()) {
		t.Errorf("the default window is %v", next)
	}
	_, err = d.Manage(t.Context(), ada, "shop", "web-1", "")
	wants(t, err, fault.KindConflict, "managed already")

	open, err := d.StartRun(t.Context(), ada, desk.RunSpec{Project: "shop", Server: "web-1", Duration: time.Hour})
	must(t, err)
	srv, err = d.Unmanage(t.Context(), ada, "shop", "web-1")
	must(t, err)
	_, err = d.Unmanage(t.Context(), ada, "shop", "web-1")
	must(t, err)
	if s := schedules(t, d, srv); len(s) != 1 || !s[0].Resting || run.Look(s[0], false, time.Now()).Open {
		t.Errorf("unmanaged, its schedules are %+v", s)
	}
	if r, err := d.Run(t.Context(), ada, open.ID); err != nil || r.AbortedBy == "" {
		t.Errorf("its open run is %+v, %v", r, err)
	}
	_, err = d.StartRun(t.Context(), ada, desk.RunSpec{Project: "shop", Server: "web-1", Duration: time.Hour})
	wants(t, err, fault.KindConflict, "unmanaged", "its owner", "upkeep manage web-1")
	_, _, err = d.PutSchedule(t.Context(), ada, weekly("mine", "030000", time.Hour))
	wants(t, err, fault.KindConflict, "unmanaged", "its owner", "upkeep manage web-1")

	_, err = d.Manage(t.Context(), ada, "shop", "web-1", "")
	must(t, err)
	if s := schedules(t, d, srv); len(s) != 1 || s[0].Resting {
		t.Errorf("managed again, its schedules are %+v", s)
	}
}

func TestTemplates(t *testing.T) {
	d, srv := room(t)
	nightly := desk.TemplateSpec{
		Project: "shop", Name: "Nightly", Enabled: true, Default: true, Duration: time.Hour, Missed: fleet.MissedSkip,
		RRule:  "DTSTART;TZID=Europe/Berlin:20260101T030000 RRULE:FREQ=DAILY",
		Policy: fleet.Policy{Scope: fleet.ScopeSecurity, Backup: "snapshot"},
	}
	made, isNew, err := d.PutTemplate(t.Context(), ada, nightly)
	must(t, err)
	if !isNew {
		t.Error("it is not new")
	}
	all, err := d.Templates(t.Context(), ada, "shop")
	must(t, err)
	if len(all) != 2 || all[0].Default || !all[1].Default {
		t.Errorf("templates %+v", all)
	}
	other, err := d.Templates(t.Context(), ada, "elsewhere")
	must(t, err)
	if len(other) != 1 || !other[0].Default {
		t.Errorf("another project has %+v", other)
	}

	_, err = d.Manage(t.Context(), ada, "shop", "web-1", "")
	must(t, err)
	s := schedules(t, d, srv)
	if len(s) != 1 || s[0].Template != made.ID || s[0].Policy.Backup != "snapshot" || s[0].Missed != fleet.MissedSkip || !s[0].Window.Recurrence.Equal(made.Window.Recurrence) {
		t.Fatalf("made from the project's default: %+v", s)
	}
	// What a schedule was made with stays, whatever becomes of the template.
	nightly.Policy.Backup = ""
	_, isNew, err = d.PutTemplate(t.Context(), ada, nightly)
	must(t, err)
	must(t, d.DeleteTemplate(t.Context(), ada, "shop", "Nightly"))
	if s := schedules(t, d, srv); isNew || s[0].Policy.Backup != "snapshot" {
		t.Errorf("changed with its template: %+v", s)
	}
	wants(t, d.DeleteTemplate(t.Context(), ada, "shop", "Nightly"), fault.KindNotFound)
	wants(t, d.DeleteTemplate(t.Context(), ada, "shop", fleet.DefaultName), fault.KindConflict, "built in")

	nightly.Enabled = false
	_, _, err = d.PutTemplate(t.Context(), ada, nightly)
	wants(t, err, fault.KindInvalid, "enabled")
	nightly.Default = false
	_, _, err = d.PutTemplate(t.Context(), ada, nightly)
	must(t, err)
	spec := weekly("x", "030000", time.Hour)
	spec.Template = "Nightly"
	_, _, err = d.PutSchedule(t.Context(), ada, spec)
	wants(t, err, fault.KindConflict, "not enabled")
	spec.Template = "None"
	_, _, err = d.PutSchedule(t.Context(), ada, spec)
	wants(t, err, fault.KindNotFound, "None")
}

func TestOverlaps(t *testing.T) {
	d, srv := room(t)
	_, _, err := d.PutSchedule(t.Context(), ada, weekly("first", "030000", 2*time.Hour))
	must(t, err)
	second := weekly("second", "043000", time.Hour)
	_, _, err = d.PutSchedule(t.Context(), ada, second)
	wants(t, err, fault.KindConflict, "first", "04:30", "05:00", "allowOverlap")
	if s := schedules(t, d, srv); len(s) != 1 {
		t.Fatalf("refused, and stored: %+v", s)
	}
	_, f, err := d.Preview(t.Context(), ada, "", second)
	must(t, err)
	if len(f.Occurrences) != 5 || len(f.Overlaps) == 0 || f.Overlaps[0].Name != "first" || f.Overlaps[0].Span.End.Sub(f.Overlaps[0].Span.Start) != 30*time.Minute {
		t.Errorf("ahead of it: %+v", f)
	}
	second.AllowOverlap = true
	made, _, err := d.PutSchedule(t.Context(), ada, second)
	must(t, err)
	futures, err := d.Futures(t.Context(), ada, schedules(t, d, srv)...)
	must(t, err)
	if len(futures) != 2 || len(futures[made.ID].Overlaps) == 0 {
		t.Errorf("shown: %+v", futures)
	}
	// Off, it overlaps nothing; switched on again, it does.
	made, err = d.EnableSchedule(t.Context(), ada, made.ID, false, false)
	must(t, err)
	if f, err := d.Futures(t.Context(), ada, made); err != nil || len(f[made.ID].Occurrences) > 0 {
		t.Errorf("off, it has %+v ahead; %v", f, err)
	}
	_, err = d.EnableSchedule(t.Context(), ada, made.ID, true, false)
	wants(t, err, fault.KindConflict, "first")
	_, err = d.EnableSchedule(t.Context(), ada, made.ID, true, true)
	must(t, err)
	// Only touching is no overlap.
	_, _, err = d.PutSchedule(t.Context(), ada, weekly("third", "053000", time.Hour))
	must(t, err)
	// By its id it may be renamed, but not to a name that is taken.
	again := weekly("third", "080000", time.Hour)
	_, err = d.ReplaceSchedule(t.Context(), ada, made.ID, again)
	wants(t, err, fault.KindConflict, "third")
	again.Name = "fourth"
	made, err = d.ReplaceSchedule(t.Context(), ada, made.ID, again)
	must(t, err)
	if made.Name != "fourth" || made.Number != 2 {
		t.Errorf("renamed to %+v", made)
	}
}

func TestGroups(t *testing.T) {
	d, _ := room(t)
	for _, name := range []string{"db-2", "db-1"} {
		_, _, err := d.PutServer(t.Context(), ada, desk.ServerSpec{Project: "shop", Name: name, Group: "db"})
		must(t, err)
	}
	g, err := d.Group(t.Context(), ada, "shop", "db")
	must(t, err)
	if g.Rules.Room() != 1 || len(g.Members) != 2 || g.Members[0].Name != "db-1" {
		t.Errorf("a group that nobody described: %+v", g)
	}
	_, made, err := d.PutGroup(t.Context(), ada, desk.GroupSpec{Project: "shop", Name: "db", MaxUnavailable: 2, Canaries: []string{"db-1"}, Soak: time.Hour, StopAfter: 1})
	must(t, err)
	if !made {
		t.Error("it is not new")
	}
	if g, err = d.Group(t.Context(), ada, "shop", "db"); err != nil || g.Rules.Room() != 2 || len(g.Members) != 2 {
		t.Errorf("described: %+v, %v", g, err)
	}
	for field, s := range map[string]desk.GroupSpec{
		"maxUnavailable": {Name: "db", MaxUnavailable: -1},
		"soak":           {Name: "db", Soak: time.Hour},
		"canaries":       {Name: "db", Canaries: []string{"a", "a"}},
		"name":           {Name: "a/b"},
		"stopAfter":      {Name: "db", StopAfter: -1},
	} {
		s.Project = "shop"
		_, _, err := d.PutGroup(t.Context(), ada, s)
		wants(t, err, fault.KindInvalid, field)
	}
	must(t, d.DeleteGroup(t.Context(), ada, "shop", "db"))
	wants(t, d.DeleteGroup(t.Context(), ada, "shop", "db"), fault.KindNotFound, "db")
}

func TestCompliance(t *testing.T) {
	d, _ := room(t)
	all, err := d.Compliance(t.Context(), ada, "shop")
	must(t, err)
	if len(all) != 1 || all[0].Level != desk.LevelUnknown {
		t.Errorf("a server that nobody has looked at: %+v", all)
	}
}
