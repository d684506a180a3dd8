package portal

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/desk"
	"upkeep/internal/evidence"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/store"
)

// rolled is a service of three members: the first is through, the second is
// out, and its users saw something of it. The last one begins when somebody
// approves it.
func (h *house) rolled() (service fleet.Target, id string) {
	h.t.Helper()
	ctx := context.Background()
	s := fleet.Service{Quorum: 2, Probe: fleet.Probe{Rate: 10, Slow: time.Second, Endpoints: []fleet.Endpoint{{Name: "list", URL: "http://api/"}}}}
	for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
		seen := look(1, false)
		seen.Commands = []string{"restart"}
		h.server("shop", name, seen, time.Minute)
		s.Members = append(s.Members, fleet.Member{Name: name, Server: name})
	}
	service, _, err := h.desk.PutService(ctx, boss, desk.ServiceSpec{Project: "shop", Name: "api-extension", Service: s})
	if err != nil {
		h.t.Fatal(err)
	}
	ask := map[string]string{"url": "http://api/"}
	_, _, err = h.desk.PutRunbook(ctx, boss, "shop", runbook.Book{Name: "restart", Member: runbook.Member{
		Do:    []runbook.Step{{Name: "restart", Kind: action.Command, On: runbook.Self, Command: "restart", NoReturn: true}},
		Await: []runbook.Step{{Name: "alive", Kind: action.HTTP, With: ask}},
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	r, err := h.desk.StartBook(ctx, boss, desk.BookSpec{Project: "shop", Service: "api-extension", Runbook: "restart", Duration: time.Hour, Reason: "PCO-1981"})
	if err != nil {
		h.t.Fatal(err)
	}
	began := time.Now().Add(-3 * time.Minute).Truncate(time.Second)
	r, _ = run.Tick(r, run.World{Now: time.Now(), Target: service})
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	r.Book.Members = map[string]run.Member{"ctl1": {Through: true}, "ctl2": {Out: true, Did: true, First: at(120)}}
	r.Book.Outages = []evidence.Outage{{Member: "ctl1", From: at(10), To: at(64)}, {Member: "ctl2", From: at(120)}}
	r.Book.Asking, r.Book.Asked = true, began
	r.Waits = []plan.Wait{{Step: "g1.ctl3.restart", Reason: plan.Reason{Code: plan.NotYet, What: plan.FactApproved + "g1.ctl3.restart"}}}
	w := evidence.Watch{}.Start(r.ID, 15*time.Second, began)
	var all []evidence.Second
	for i := range 178 {
		s := evidence.Second{At: at(i), Span: time.Second, Endpoint: "list", Answered: 10, P50: 4 * time.Millisecond, P99: 30 * time.Millisecond}
		switch {
		case i >= 80 && i < 95:
			continue // nobody asked
		case i == 30 || i == 31:
			s.Slow, s.P99 = 4, 1200*time.Millisecond
		case i == 130:
			s.Answered, s.Unanswered, s.Why = 8, 2, "connection refused"
		}
		all = append(all, s)
	}
	w = w.Add(all)
	h.update(func(tx store.Tx) error {
		if err := tx.SetRun(r); err != nil {
			return err
		}
		if err := tx.AddSeconds(r.ID, all); err != nil {
			return err
		}
		return tx.PutWatch(w)
	})
	return service, r.ID
}

func TestServicePages(t *testing.T) {
	h := newHouse(t, nil)
	none := h.as(identity.Operator)
	none.get("/services").must(t, http.StatusOK, "There are no services yet")
	service, id := h.rolled()
	b := h.as(identity.Operator)
	b.get("/services").must(t, http.StatusOK, `href="`+servicePath(service.ID)+`"`, "1 service", "1 member out", "Runbook restart on api-extension")
	page := servicePath(service.ID)
	b.get(page).must(t, http.StatusOK, "2 of 3 members must stay up", "Through, back in service", "Out of service", "Not begun",
		"2 of 1,630 requests unanswered", "8 slow", "not asked for", `class="bad"`, `class="slow"`, `class="gap"`, "▼ ctl2", "connection refused", "still out",
		`action="`+runPath(id)+`/pause"`, `href="`+runPath(id)+`/abort"`, "Nothing leads back from there", `data-stream="`+page+`/live"`)
	b.get(page+"?lang=de").must(t, http.StatusOK, "2 von 3 Mitgliedern müssen in Betrieb bleiben", "Fertig, wieder in Betrieb", "Außer Betrieb", "2 von 1.630 Anfragen unbeantwortet", "Von dort führt nichts zurück")
	b.get(runPath(id)+"?lang=en").must(t, http.StatusOK, `href="`+page+`"`, `href="/services"`, "approve-g1.ctl3.restart")

	// Who may only look has no buttons, and can't approve.
	v := h.as(identity.Viewer)
	v.get(page).must(t, http.StatusOK, "Out of service").mustNot(t, "approve-g1", "/pause")
	v.post(runPath(id)+"/approve", url.Values{"step": {"g1.ctl3.restart"}}).must(t, http.StatusForbidden)
	b.post(runPath(id)+"/approve", url.Values{"step": {"g1.ctl3.nothing"}}).must(t, http.StatusNotFound)
	b.post(runPath(id)+"/approve", url.Values{"step": {"g1.ctl3.restart"}}).must(t, http.StatusSeeOther)
	r, err := h.desk.Run(context.Background(), boss, id)
	if err != nil || !strings.HasPrefix(r.Book.Approvals["g1.ctl3.restart"], "user/anna-") {
		t.Errorf("approved by %v, %v", r.Book.Approvals, err)
	}
	b.get("/services/nothing").must(t, http.StatusNotFound)
}

func TestAServiceThatNobodyAsks(t *testing.T) {
	h := newHouse(t, nil)
	s := fleet.Service{Members: []fleet.Member{{Name: "one"}, {Name: "two"}}}
	service, _, err := h.desk.PutService(context.Background(), boss, desk.ServiceSpec{Project: "shop", Name: "quiet", Service: s})
	if err != nil {
		t.Fatal(err)
	}
	h.as(identity.Viewer).get(servicePath(service.ID)).must(t, http.StatusOK, "Not being worked on", "Nothing is being done to it", "the service has no probe").mustNot(t, "<figure")
}
