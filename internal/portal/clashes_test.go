package portal

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
)

// TestWhatIsPlannedOnAService: its page and its servers' calendars show its
// schedules, and what they and the servers' own want at once.
func TestWhatIsPlannedOnAService(t *testing.T) {
	h := newHouse(t, nil)
	service, _ := h.rolled()
	ctl1, err := h.desk.Server(context.Background(), boss, "shop", "ctl1")
	if err != nil {
		t.Fatal(err)
	}
	own := h.schedule(ctl1.Target, "weekend", 26*time.Hour, 2*time.Hour)
	_, _, err = h.desk.PutSchedule(context.Background(), boss, desk.ScheduleSpec{
		Project: "shop", Service: service.ID, Name: "monthly", Enabled: true, Runbook: "restart", RRule: own.Window.Recurrence.String(), Duration: 2 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := h.as(identity.Viewer)
	b.get(schedulesPath(ctl1.Target.ID)).must(t, http.StatusOK, "api-extension/monthly", "api-extension/monthly, ctl1/weekend want server/ctl1, and 1 can have it at once", "fit one after the other")
	b.get(servicePath(service.ID)).must(t, http.StatusOK, "monthly: runbook restart, every week", "want server/ctl1")
	b.get(schedulesPath(ctl1.Target.ID)+"?lang=de").must(t, http.StatusOK, "wollen server/ctl1, und 1 können es zugleich haben")
}

// TestTheWindowOfAGroupsNodes: its page shows it and who holds a place; the form
// keeps it as it was written, changes it, takes it away and says what is wrong.
func TestTheWindowOfAGroupsNodes(t *testing.T) {
	h := newHouse(t, nil)
	ctx := context.Background()
	at := time.Now().Add(-time.Hour).UTC().Format("20060102T150405Z")
	rule := "DTSTART:" + at + " RRULE:FREQ=DAILY"
	_, _, err := h.desk.PutGroup(ctx, boss, desk.GroupSpec{Project: "shop", Name: "core-os", RRule: rule, Duration: 4 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if why, err := h.desk.Lock(ctx, boss, "shop", "core-os", "node-1"); err != nil || why.Code != "" {
		t.Fatalf("%+v, %v", why, err)
	}
	b := h.as(identity.Member)
	path := groupPath("shop", "core-os")
	b.get(path).must(t, http.StatusOK, "They may every day", ", for 4", "group/core-os: node/node-1, until it is released", `id="restart" name="restart" type="checkbox" value="yes" checked`)
	form := url.Values{"maxunavailable": {"3"}, "restart": {"yes"}, "mode": {"expert"}, "rrule": {rule}, "hours": {"4"}}
	is := func(room int, text string, length time.Duration) {
		t.Helper()
		g, err := h.desk.Group(ctx, boss, "shop", "core-os")
		if err != nil || g.Rules.Room() != room || g.Rules.Window.Recurrence.String() != text || g.Rules.Window.Duration != length {
			t.Errorf("saved %+v, %v", g.Rules, err)
		}
	}
	b.post(path, form).must(t, http.StatusSeeOther)
	is(3, rule, 4*time.Hour)
	for field, bad := range map[string]string{"hours": "long", "rrule": "FREQ=HOURLY"} {
		wrong := maps.Clone(form)
		wrong.Set(field, bad)
		b.post(path, wrong).must(t, http.StatusUnprocessableEntity, `id="`+field+`-mistake"`, bad)
	}
	is(3, rule, 4*time.Hour)
	weekly := url.Values{
		"maxunavailable": {"3"}, "restart": {"yes"}, "mode": {"build"}, "repeat": {"weekly"}, "every": {"1"}, "day": {"TU"},
		"time": {"02:00"}, "zone": {"Europe/Berlin"}, "first": {"2026-12-01"}, "hours": {"2"},
	}
	b.post(path, weekly).must(t, http.StatusSeeOther)
	is(3, "DTSTART;TZID=Europe/Berlin:20261201T020000 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=TU", 2*time.Hour)
	b.post(path, url.Values{"maxunavailable": {"3"}, "mode": {"expert"}, "rrule": {rule}, "hours": {"4"}}).must(t, http.StatusSeeOther)
	is(3, "", 0)
}

// TestClashesOfAProject: the page tells what is wanted at once, of the projects
// that its reader may see.
func TestClashesOfAProject(t *testing.T) {
	h := newHouse(t, nil)
	service, _ := h.rolled()
	b := h.as(identity.Viewer)
	b.get("/clashes").must(t, http.StatusOK, "Nothing is wanted at once in the next fourteen days", "0 schedules")
	ctl1, err := h.desk.Server(context.Background(), boss, "shop", "ctl1")
	if err != nil {
		t.Fatal(err)
	}
	own := h.schedule(ctl1.Target, "weekend", 26*time.Hour, 2*time.Hour)
	spec := desk.ScheduleSpec{Project: "shop", Service: service.ID, Name: "monthly", Enabled: true, Runbook: "restart", RRule: own.Window.Recurrence.String(), Duration: 2 * time.Hour}
	if _, _, err := h.desk.PutSchedule(context.Background(), boss, spec); err != nil {
		t.Fatal(err)
	}
	start := time.Now().Add(8 * 24 * time.Hour)
	if _, err := h.desk.CreateFreeze(context.Background(), boss, desk.FreezeSpec{Project: "shop", Start: start, End: start.Add(24 * time.Hour), Reason: "Black Friday"}); err != nil {
		t.Fatal(err)
	}
	b.get("/clashes").must(t, http.StatusOK, "server/ctl1", "api-extension/monthly, ctl1/weekend", "1 can have it at once", "They fit one after the other", "Too little time is left", "Black Friday", "2 schedules")
	b.get("/clashes?lang=de").must(t, http.StatusOK, "Nacheinander passen sie", "Es bleibt zu wenig Zeit")
	b.get("/clashes?lang=en&project=another").must(t, http.StatusNotFound)

	operator := h.as(identity.Operator)
	operator.get("/clashes?project=shop").must(t, http.StatusOK, `<option value="shop" selected>`, "server/ctl1")
	operator.get("/clashes").must(t, http.StatusOK, `<option value="default" selected>`).mustNot(t, "server/ctl1")
}
