package portal

import (
	"context"
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

// TestGroupsPageKeepsTheNodesWindow: it shows it and who holds a place, and a
// form without it leaves it.
func TestGroupsPageKeepsTheNodesWindow(t *testing.T) {
	h := newHouse(t, nil)
	ctx := context.Background()
	at := time.Now().Add(-time.Hour).UTC().Format("20060102T150405Z")
	_, _, err := h.desk.PutGroup(ctx, boss, desk.GroupSpec{Project: "shop", Name: "core-os", RRule: "DTSTART:" + at + " RRULE:FREQ=DAILY", Duration: 4 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if why, err := h.desk.Lock(ctx, boss, "shop", "core-os", "node-1"); err != nil || why.Code != "" {
		t.Fatalf("%+v, %v", why, err)
	}
	b := h.as(identity.Member)
	path := groupPath("shop", "core-os")
	b.get(path).must(t, http.StatusOK, "They may every day", ", for 4", "group/core-os: node/node-1, until it is released")
	b.post(path, url.Values{"maxunavailable": {"3"}}).must(t, http.StatusSeeOther)
	g, err := h.desk.Group(ctx, boss, "shop", "core-os")
	if err != nil || g.Rules.Room() != 3 || g.Rules.Window.Duration != 4*time.Hour {
		t.Errorf("saved %+v, %v", g.Rules, err)
	}
}
