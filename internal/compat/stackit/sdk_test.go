package stackit_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
)

const (
	seedRule = "DTSTART;TZID=Europe/Sofia:20200803T134000 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SA"
	cliRule  = "DTSTART;TZID=Europe/Sofia:20200803T023000 RRULE:FREQ=DAILY;INTERVAL=1"
)

// every calls a test with each way in which the SDK can be pointed at us: both
// versions, version 1 with its first addresses too, with a slash at the end of
// the endpoint and below a prefix.
func every(t *testing.T, do func(t *testing.T, h *house, server fleet.Target, c sdk)) {
	for _, way := range []struct{ name, version, prefix string }{
		{"v2", "v2", ""}, {"v2 with a slash", "v2", "/"}, {"v2 below a prefix", "v2", "/clouds/stackit/"},
		{"v1", "v1", ""}, {"v1 with a slash", "v1", "/"}, {"v1's first addresses", "old", "/stackit"},
	} {
		t.Run(way.name, func(t *testing.T) {
			h := newHouse(t)
			server := h.server("web-1", nil)
			c := h.v2("mara", way.prefix, server.ID)
			if way.version != "v2" {
				c = h.v1("mara", way.prefix, server.Name, way.version == "old")
			}
			do(t, h, server, c)
		})
	}
}

func TestSDKEnablesAndDisables(t *testing.T) {
	every(t, func(t *testing.T, h *house, server fleet.Target, c sdk) {
		_, err := c.service()
		refused(t, err, http.StatusNotFound, `"status":"Not Found"`, "not enabled", "web-1")
		h.must(c.enable(nil))
		if on, err := c.service(); err != nil || !on {
			t.Fatal(on, err)
		}
		err = c.enable(nil)
		refused(t, err, http.StatusConflict, `{"status":"Conflict","message":"Tried to activate already active service"}`)
		given, err := c.schedules()
		h.must(err)
		if len(given) != 1 || given[0].Name != "Default Update Schedule" || !given[0].Enabled || given[0].ID != 1 {
			t.Fatalf("a managed server's schedules: %+v", given)
		}
		for _, o := range given[0].Occurrences {
			start, err := time.Parse(time.RFC3339, o.Start)
			h.must(err)
			if day := start.Weekday(); day != time.Saturday && day != time.Sunday {
				t.Errorf("the default schedule starts on a %s", day)
			}
		}
		h.must(c.disable())
		_, err = c.service()
		refused(t, err, http.StatusNotFound)
		_, err = c.update(2, nil)
		refused(t, err, http.StatusConflict, "unmanaged", "its owner installs its updates", "enable its update service first")
		_, err = c.schedule("mine", seedRule, true, 2)
		refused(t, err, http.StatusConflict, "unmanaged", "enable its update service first")
		_, err = c.replace("1", "mine", seedRule, true, 2)
		refused(t, err, http.StatusConflict, "unmanaged", "enable its update service first")
		if still, err := c.getSchedule("1"); err != nil || !still.Resting || len(still.Occurrences) != 0 {
			t.Errorf("a schedule of a server without service: %+v %v", still, err)
		}
		h.must(c.disable())
		h.must(c.enable(nil))
		if again, err := c.schedules(); err != nil || len(again) != 1 || again[0].Resting {
			t.Errorf("enabled again: %+v %v", again, err)
		}
	})
}

func TestSDKPolicies(t *testing.T) {
	every(t, func(t *testing.T, h *house, server fleet.Target, c sdk) {
		const rule = "DTSTART;TZID=Europe/Berlin:20260101T040000 RRULE:FREQ=WEEKLY;BYDAY=TU"
		nightly, _, err := h.desk.PutTemplate(t.Context(), operator, desk.TemplateSpec{
			Project: red, Name: "Tuesdays", Description: "every Tuesday night", Enabled: true, RRule: rule, Duration: 3 * time.Hour,
		})
		h.must(err)
		off, _, err := h.desk.PutTemplate(t.Context(), operator, desk.TemplateSpec{Project: red, Name: "off", RRule: rule, Duration: time.Hour})
		h.must(err)
		all, err := c.policies()
		h.must(err)
		i := slices.IndexFunc(all, func(p Policy) bool { return p.ID == nightly.ID })
		want := Policy{nightly.ID, "Tuesdays", "every Tuesday night", false, true, rule, 3}
		if i < 0 || all[i] != want || len(all) != 3 || !all[0].Default || all[0].Name != "Default Update Schedule" {
			t.Fatalf("%+v", all)
		}
		unknown := newUUID()
		for _, id := range []string{unknown, off.ID, "Tuesdays", "'; --"} {
			refused(t, c.enable(&id), http.StatusBadRequest, `"field":"updatePolicyId"`, "updatePolicyId: ")
		}
		if _, err := c.service(); err == nil {
			t.Error("a refused policy enabled the service")
		}
		h.must(c.enable(&nightly.ID))
		given, err := c.schedules()
		h.must(err)
		if len(given) != 1 || given[0].Name != "Tuesdays" || given[0].RRule != rule || given[0].MaintenanceWindow != 3 {
			t.Errorf("%+v", given)
		}
	})
}

func TestSDKSchedules(t *testing.T) {
	every(t, func(t *testing.T, h *house, server fleet.Target, c sdk) {
		if all, err := c.schedules(); err != nil || len(all) != 0 {
			t.Fatalf("at first: %v %v", all, err)
		}
		made, err := c.schedule("nightly <&> \"ä\"", cliRule, true, 23)
		h.must(err)
		if made.ID != 1 || made.Name != "nightly <&> \"ä\"" || made.RRule != cliRule || !made.Enabled || made.MaintenanceWindow != 23 {
			t.Fatalf("%+v", made)
		}
		if made.WindowText != "every day at 02:30 (Europe/Sofia); starts 02:30, ends 01:30 the next day" {
			t.Error(made.WindowText)
		}
		if len(made.Occurrences) != 5 || !strings.Contains(made.Occurrences[0].Start, "T02:30:00+0") {
			t.Errorf("%+v", made.Occurrences)
		}
		if got, err := c.getSchedule("1"); err != nil || got.RRule != cliRule {
			t.Errorf("%+v %v", got, err)
		}
		changed, err := c.replace("1", "weekly", seedRule, false, 2)
		h.must(err)
		if changed.ID != 1 || changed.Name != "weekly" || changed.RRule != seedRule || changed.Enabled || changed.MaintenanceWindow != 2 {
			t.Errorf("%+v", changed)
		}
		second, err := c.schedule("second", seedRule, true, 1)
		h.must(err)
		all, err := c.schedules()
		h.must(err)
		if len(all) != 2 || all[0].ID != 1 || all[1].ID != second.ID || second.ID != 2 {
			t.Errorf("%+v", all)
		}
		h.must(c.deleteSchedule("2"))
		refused(t, c.deleteSchedule("2"), http.StatusNotFound, `"status":"Not Found"`, "scheduleId", "2")
		_, err = c.getSchedule("2")
		refused(t, err, http.StatusNotFound)
		_, err = c.replace("2", "x", seedRule, true, 2)
		refused(t, err, http.StatusNotFound)
		third, err := c.schedule("second", seedRule, true, 1)
		h.must(err)
		if third.ID != 3 {
			t.Errorf("the id of a deleted schedule was used again: %d", third.ID)
		}
	})
}

func TestSDKUpdates(t *testing.T) {
	every(t, func(t *testing.T, h *house, server fleet.Target, c sdk) {
		if all, err := c.updates(); err != nil || len(all) != 0 {
			t.Fatalf("at first: %v %v", all, err)
		}
		before := time.Now().Add(-time.Second)
		made, err := c.update(2, nil)
		h.must(err)
		start, err := time.Parse(time.RFC3339, made.StartDate)
		if made.ID != 1 || made.Status != "running" || err != nil || start.Before(before.Truncate(time.Second)) || made.EndDate != "" {
			t.Fatalf("%+v %v", made, err)
		}
		_, err = c.update(2, nil)
		refused(t, err, http.StatusConflict, `{"status":"Conflict","message":"Update already running"`)
		got, err := c.getUpdate("1")
		if err != nil || got.ID != 1 || got.Status != "running" {
			t.Errorf("%+v %v", got, err)
		}
		_, err = c.getUpdate("2")
		refused(t, err, http.StatusNotFound, "updateId", "no update 2")
		if all, err := c.updates(); err != nil || len(all) != 1 || all[0].ID != 1 {
			t.Errorf("%+v %v", all, err)
		}
		runs, err := h.desk.Runs(t.Context(), operator, desk.RunFilter{Project: red, Server: server.ID})
		h.must(err)
		if len(runs) != 1 || runs[0].Window.Duration != 2*time.Hour || runs[0].By != "user/mara" || runs[0].Policy.Backup != "" {
			t.Errorf("%+v", runs)
		}
	})
}

func TestBackupBeforeUpdate(t *testing.T) {
	every(t, func(t *testing.T, h *house, server fleet.Target, c sdk) {
		yes, no := true, false
		for _, know := range []func(){
			func() {}, // nobody has looked at it yet
			func() { h.observe(server.ID, "healthy") },
		} {
			know()
			_, err := c.update(2, &yes)
			refused(t, err, http.StatusConflict, "backupBeforeUpdate: ", "no command named", "agent's file", "leave this field out")
		}
		if all, err := c.updates(); err != nil || len(all) != 0 {
			t.Fatalf("a refusal has begun an update: %+v %v", all, err)
		}
		h.observe(server.ID, "backup")
		made, err := c.update(2, &yes)
		h.must(err)
		r, err := h.desk.Runs(t.Context(), operator, desk.RunFilter{Project: red, Server: server.ID, Number: int64(made.ID)})
		if err != nil || len(r) != 1 || r[0].Policy.Backup != "backup" {
			t.Errorf("%+v %v", r, err)
		}
		other := h.server("web-2", nil)
		a := h.ask(fmt.Sprintf("POST /v1/service-instances/%s/updates", other.ID), "mara", `{"maintenanceWindow":1,"backupBeforeUpdate":`+strconv.FormatBool(no)+`}`)
		a.is(http.StatusAccepted)
	})
}

// An update that is asked for is done as the project's default policy has it.
func TestDefaultPolicyCounts(t *testing.T) {
	h := newHouse(t)
	server := h.server("web-1", nil)
	_, _, err := h.desk.PutTemplate(t.Context(), operator, desk.TemplateSpec{
		Project: red, Name: "careful", Default: true, Enabled: true, RRule: seedRule, Duration: time.Hour,
		Policy: fleet.Policy{Hold: []string{"mariadb-server"}, Within: 7 * 24 * time.Hour},
	})
	h.must(err)
	c := h.v2("mara", "", server.ID)
	_, err = c.schedule("mine", seedRule, true, 2)
	h.must(err)
	_, err = c.update(1, nil)
	h.must(err)
	s, err := h.desk.Server(t.Context(), operator, red, server.ID)
	h.must(err)
	p, now := s.Schedules[0].Policy, s.Open[0].Policy
	if !slices.Equal(p.Hold, []string{"mariadb-server"}) || p.Within != 7*24*time.Hour {
		t.Errorf("the schedule's policy: %+v", p)
	}
	if !slices.Equal(now.Hold, []string{"mariadb-server"}) || now.Within != 0 {
		t.Errorf("the policy of the update now: %+v", now)
	}
	// A change through this door leaves alone what this door has no word for.
	p.Hold = []string{"linux-image-*"}
	_, _, err = h.desk.PutSchedule(t.Context(), operator, desk.ScheduleSpec{
		Project: red, Server: server.ID, Name: "mine", Enabled: true, RRule: seedRule, Duration: 90 * time.Minute, Policy: p, Missed: fleet.MissedAsk,
	})
	h.must(err)
	if told, err := c.getSchedule("1"); err != nil || told.MaintenanceWindow != 2 || !strings.Contains(told.WindowText, "starts 13:40, ends 15:10") {
		t.Errorf("90 minutes are told as %+v %v", told, err)
	}
	_, err = c.replace("1", "mine", seedRule, false, 2)
	h.must(err)
	s, err = h.desk.Server(t.Context(), operator, red, server.ID)
	h.must(err)
	kept := s.Schedules[0]
	if kept.Enabled || kept.Missed != fleet.MissedAsk || kept.Policy.Hold[0] != "linux-image-*" || kept.Window.Duration != 90*time.Minute {
		t.Errorf("%+v", kept)
	}
}

func TestSDKReadsErrors(t *testing.T) {
	h := newHouse(t)
	server := h.server("web-1", nil)
	for who, status := range map[string]int{"nobody": http.StatusUnauthorized, "vera": http.StatusForbidden, "bert": http.StatusNotFound} {
		h.tokens["nobody"] = "upk_" + strings.Repeat("0", 64)
		for _, c := range []sdk{h.v2(who, "", server.ID), h.v1(who, "", server.ID, false)} {
			_, err := c.update(2, nil)
			refused(t, err, status, `"status":"`+http.StatusText(status)+`"`, `"message":"`)
			_, err = c.schedule("x", seedRule, true, 2)
			refused(t, err, status)
			refused(t, c.enable(nil), status)
			refused(t, c.disable(), status)
		}
	}
	if all, err := h.v2("vera", "", server.ID).updates(); err != nil || len(all) != 0 {
		t.Errorf("a viewer may look: %v %v", all, err)
	}
	if h.log.Len() > 0 {
		t.Errorf("refusals were logged as mistakes: %s", h.log)
	}
}
