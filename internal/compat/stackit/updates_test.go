package stackit_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

// keep stores a run of a server as it is at some moment.
func (h *house) keep(t fleet.Target, r run.Run) {
	h.t.Helper()
	r.Project, r.Target, r.Name, r.By, r.Policy = t.Project, t.ID, t.Name, "user/mara", fleet.DefaultPolicy()
	r.Created = time.Date(2026, 3, 7, 2, 30, 0, 500, time.UTC)
	h.must(h.db.Update(context.Background(), func(tx store.Tx) error {
		_, err := tx.PutRun(r)
		return err
	}))
}

// Each state of a run, as clients are told of it.
func TestStatesOfUpdates(t *testing.T) {
	h := newHouse(t)
	s := h.server("web-1", nil)
	started, finished := time.Date(2026, 3, 7, 2, 31, 7, 0, time.UTC), time.Date(2026, 3, 7, 3, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		run  run.Run
		want string // of the body, in this order
	}{
		{run.Run{State: run.Waiting, Waits: []plan.Wait{{Reason: plan.Reason{Code: plan.WindowClosed, Until: started}}}},
			`"status":"running","startDate":"2026-03-07T02:30:00Z","installedUpdates":0,"failedUpdates":0,"reboots":0,"by":"user/mara","waits":["`},
		{run.Run{State: run.Working, Started: started, Result: run.Result{Changes: []action.Change{{Name: "curl", From: "1", To: "2"}}}},
			`"status":"running","startDate":"2026-03-07T02:31:07Z","installedUpdates":1,"failedUpdates":0,`},
		{run.Run{State: run.Paused, PausedBy: "user/mara"}, `"status":"running"`},
		{run.Run{State: run.Succeeded, Started: started, Finished: finished, Result: run.Result{
			Changes: []action.Change{{Name: "curl", From: "1", To: "2"}, {Name: "nano", From: "1", To: "2"}, {Name: "nano", From: "2", To: "1"}},
			Reboots: 1, Text: "1 package installed, 0 failed, 1 reboot",
		}}, `"status":"Successful","startDate":"2026-03-07T02:31:07Z","endDate":"2026-03-07T03:00:00Z","installedUpdates":1,"failedUpdates":0,"result":"1 package installed, 0 failed, 1 reboot","reboots":1`},
		{run.Run{State: run.Failed, Finished: finished, Result: run.Result{
			Failures: []action.Failure{{Name: "mariadb", Reason: "postinst ended with 1"}, {Reason: "the command \"health\" failed"}},
			Text:     "0 packages installed, 1 failed; the command \"health\" failed",
		}}, `"status":"Failed","startDate":"2026-03-07T02:30:00Z","endDate":"2026-03-07T03:00:00Z","installedUpdates":0,"failedUpdates":1,"failReason":"0 packages installed, 1 failed; the command \"health\" failed; mariadb: postinst ended with 1"`},
		{run.Run{State: run.Aborted, Finished: finished, Result: run.Result{Text: "aborted by user/mara"}},
			`"status":"Aborted","startDate":"2026-03-07T02:30:00Z","endDate":"2026-03-07T03:00:00Z","installedUpdates":0,"failedUpdates":0,"failReason":"aborted by user/mara"`},
	} {
		c.run.ID = strings.Repeat("0", 35) + string(rune('a'+i))
		h.keep(s, c.run)
		a := h.ask("GET /v1/service-instances/"+s.ID+"/updates/"+string(rune('1'+i)), "vera", "").is(http.StatusOK)
		if !strings.Contains(a.text, c.want) {
			t.Errorf("%s is told as %s, want %s", c.run.State, a.text, c.want)
		}
	}
	var all items[Update]
	h.ask("GET /v1/service-instances/"+s.ID+"/updates", "vera", "").is(http.StatusOK).into(&all)
	for i, u := range all.Items {
		if int(u.ID) != len(all.Items)-i || len(u.Packages) > 0 {
			t.Errorf("%d: %+v", i, u)
		}
	}
	var failed Update
	h.ask("GET /v1/service-instances/"+s.ID+"/updates/5", "vera", "").is(http.StatusOK).into(&failed)
	if len(failed.Packages) != 1 || failed.Packages[0].Name != "mariadb" || failed.Packages[0].Failure == "" {
		t.Errorf("%+v", failed)
	}
}
