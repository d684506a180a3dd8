package portal

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/plan"
	"upkeep/internal/rollout"
	"upkeep/internal/store"
)

const (
	newDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	oldDigest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// promoted is a release half way through six environments, on the service that
// rolled makes: each environment is at another stage.
func (h *house) promoted() desk.Rollout {
	h.t.Helper()
	ctx := context.Background()
	train := rollout.Train{
		Name: "region", Title: "All regions",
		Phases: []rollout.Phase{{Name: "api", Component: "api", Service: "api-extension", Runbook: "restart"}, {Name: "workers", Service: "api-extension", Runbook: "restart"}},
		Gates: []rollout.Gate{
			{Name: "answers", Kind: rollout.HTTPGate, At: []rollout.When{rollout.After, rollout.During}, With: map[string]string{"url": "http://api/{{environment.name}}"}},
			{Name: "latency-of-the-slowest-hundredth", Kind: rollout.HTTPGate, With: map[string]string{"url": "http://api/slow"}},
		},
	}
	for i, name := range []string{"dev", "stage", "prod1", "prod2", "prod3", "prod4"} {
		e := rollout.Environment{Name: name, Soak: 7 * 24 * time.Hour, Runs: "2026.1"}
		if i > 0 {
			e.After, e.Approvals = train.Environments[i-1].Name, 2
		}
		train.Environments = append(train.Environments, e)
	}
	if _, _, err := h.desk.PutTrain(ctx, boss, "shop", train); err != nil {
		h.t.Fatal(err)
	}
	release := rollout.Release{Train: "region", Version: "2026.2", Title: "Autumn", Digests: map[string]string{"api": newDigest}, Issues: []rollout.Issue{
		{ID: "UNIT-7", Text: "The unit file waits two minutes between stop and start."},
		{ID: "MQ-3", Text: "Queues may split after a week.", Before: "prod1", Veto: true},
	}}
	if _, _, err := h.desk.PutTrainRelease(ctx, boss, "shop", release); err != nil {
		h.t.Fatal(err)
	}
	r, err := h.desk.StartRollout(ctx, boss, "shop", "region", "2026.2", "PCO-2044")
	if err != nil {
		h.t.Fatal(err)
	}
	return h.stand(r, time.Now().Truncate(time.Second))
}

// stand puts the rollout where its engine would have brought it.
func (h *house) stand(r desk.Rollout, now time.Time) desk.Rollout {
	h.t.Helper()
	done := func(id string) rollout.PhaseState {
		return rollout.PhaseState{Stage: plan.Done, Attempt: 1, Run: id, Digests: map[string]string{"api": newDigest}, Opened: now.Add(-time.Hour), Ended: now.Add(-time.Minute)}
	}
	said := func(result rollout.Result, why string) rollout.GateState {
		return rollout.GateState{Attempt: 1, Asked: now, At: rollout.After, Result: result, Why: why}
	}
	r.Standings = map[string]rollout.Standing{
		"dev": {Stage: rollout.Soaked, Soaked: now.Add(-48 * time.Hour), Phases: map[string]rollout.PhaseState{"api": done("run-1"), "workers": done("run-2")},
			Gates:    map[string]rollout.GateState{"answers": said(rollout.Pass, "200 OK")},
			Evidence: []rollout.Evidence{{Gate: "answers", At: rollout.During, Result: rollout.Pass, Why: "200 OK", First: now.Add(-100 * time.Hour), Last: now, Times: 100}}},
		"stage": {Stage: rollout.Soaking, SoakFrom: now.Add(-24 * time.Hour), Phases: map[string]rollout.PhaseState{"api": done("run-3"), "workers": done("run-4")},
			Pins: map[string]string{"api": oldDigest}, Gates: map[string]rollout.GateState{"answers": said(rollout.Pass, "200 OK")}},
		"prod1": {Stage: rollout.Checking, Phases: map[string]rollout.PhaseState{"api": done("run-5"), "workers": done("run-6")},
			Gates: map[string]rollout.GateState{"answers": {Attempt: 1, Open: true, At: rollout.After}, "latency-of-the-slowest-hundredth": said(rollout.Inconclusive, "no figures <yet>")}},
		"prod2": {Stage: rollout.Failed, Failed: "gate answers failed: 503 Service Unavailable", Phases: map[string]rollout.PhaseState{"api": {Stage: plan.Failed, Attempt: 2, Run: "run-7"}},
			Gates: map[string]rollout.GateState{"answers": said(rollout.Fail, "503 Service Unavailable")}},
		"prod3": {Stage: rollout.Working, Phases: map[string]rollout.PhaseState{"api": {Stage: plan.Running, Attempt: 1, Run: "run-8"}}},
	}
	r.Waits = []rollout.Wait{
		{Environment: "prod4", Reason: rollout.Reason{Code: rollout.NotSoaked, By: "prod3"}},
		{Environment: "prod4", Reason: rollout.Reason{Code: rollout.NotApproved, Have: 0, Need: 2}},
		{Environment: "stage", Reason: rollout.Reason{Code: rollout.NotSoaked, By: "stage", Until: now.Add(6 * 24 * time.Hour)}},
	}
	t := r.World.Train
	t.Installed = map[string]rollout.Installed{}
	for _, name := range []string{"dev", "stage", "prod1"} {
		t.Installed[name] = rollout.Installed{Version: r.Version, Since: now.Add(-time.Minute)}
	}
	h.update(func(tx store.Tx) error {
		if _, err := tx.PutRollout(r.Rollout); err != nil {
			return err
		}
		if _, err := tx.PutTrain(t); err != nil {
			return err
		}
		return tx.AddFacts([]history.Fact{{At: now, Who: "engine", Project: r.Project, Rollout: r.ID, Kind: history.RolloutGate, Text: "stage: gate answers passes"}})
	})
	return h.seen(r.ID)
}

// seen is the rollout as it is now.
func (h *house) seen(id string) desk.Rollout {
	h.t.Helper()
	r, err := h.desk.Rollout(context.Background(), boss, "shop", id)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func TestRolloutPages(t *testing.T) {
	h := newHouse(t, nil)
	b := h.as(identity.Operator)
	b.get("/rollouts").must(t, http.StatusOK, "There are no rollouts yet")
	h.rolled()
	r := h.promoted()
	page := rolloutPath(r.ID)
	b.get("/rollouts").must(t, http.StatusOK, `href="`+page+`"`, "2026.2", "region", "prod3", "Working", "soaked in 1 of 6", "On its way")
	b.get("/rollouts?lang=de").must(t, http.StatusOK, "In Arbeit", "bewährt in 1 von 6", "Unterwegs")
	b.get(page+"?lang=en").must(t, http.StatusOK, "Release 2026.2 through train region", "Autumn", "PCO-2044", `data-stream="`+page+`/live"`,
		"lane-soaked", "lane-soaking", "lane-checking", "lane-failed", "lane-working", "lane-waiting", "Soaked", "Soaking", "Checking", "Failed", "Working", "Waiting",
		"still has 2026.1", `href="/runs/run-7"`, "attempt 2", "503 Service Unavailable", "100 times in a row", "during the soak",
		"Inconclusive", "no figures &lt;yet&gt;", gatePath(r.ID, "prod1", "latency-of-the-slowest-hundredth"), "sha256:222222222222…",
		"the release has not soaked in prod3", "0 of 2 approvals of this plan are there", "0 of 2 approvals", "UNIT-7", "Stops the release", "before prod1",
		environmentPath(r.ID, "prod2")+"/retry", "phase api: runbook restart on api-extension", "stage: gate answers passes", page+`/veto"`, page+`/abort"`)
	b.get(page+"?lang=de").must(t, http.StatusOK, "das Release hat sich in prod3 noch nicht bewährt", "Nicht eindeutig", "Hält das Release auf", "Festgehalten")
	b.get("/rollouts/nothing").must(t, http.StatusNotFound)
}

func TestWhoMayOnlyLookCantMoveARollout(t *testing.T) {
	h := newHouse(t, nil)
	h.rolled()
	r := h.promoted()
	page, v := rolloutPath(r.ID), h.as(identity.Viewer)
	v.get(page).must(t, http.StatusOK, "lane-failed", "Show the plan").mustNot(t, page+"/pause", page+"/abort", page+"/veto", "/approve", "/retry", "Decide", "Acknowledge …")
	gate := gatePath(r.ID, "prod1", "latency-of-the-slowest-hundredth")
	for _, path := range []string{page + "/abort", page + "/veto", page + "/lift-veto", ackPath(r.ID, "UNIT-7"), gate} {
		v.get(path).must(t, http.StatusForbidden)
		v.post(path, url.Values{"reason": {"because"}, "result": {"pass"}}).must(t, http.StatusForbidden)
	}
	prod4 := environmentPath(r.ID, "prod4")
	for _, path := range []string{page + "/pause", page + "/resume", prod4 + "/approve", prod4 + "/retry"} {
		v.post(path, url.Values{"plan": {r.PlanOf(r.World, r.World.Train.Train.Environments[5]).Hash}}).must(t, http.StatusForbidden)
	}
	if now := h.seen(r.ID); now.Revision != r.Revision || now.World.Release.Veto != nil {
		t.Error("something was done all the same")
	}
}

func TestPersonsMoveARollout(t *testing.T) {
	h := newHouse(t, nil)
	h.rolled()
	r := h.promoted()
	page, b := rolloutPath(r.ID), h.as(identity.Operator)

	// An approval is for the plan that the page has shown.
	prod4 := environmentPath(r.ID, "prod4")
	hash := r.PlanOf(r.World, r.World.Train.Train.Environments[5]).Hash
	b.get(page).must(t, http.StatusOK, `name="plan" value="`+hash+`"`, `action="`+prod4+`/approve"`)
	b.post(prod4+"/approve", url.Values{"plan": {"0000"}}).must(t, http.StatusConflict, "look at it again")
	b.post(prod4+"/approve", url.Values{"plan": {hash}}).must(t, http.StatusSeeOther)
	b.get(page).must(t, http.StatusOK, "1 of 2 approvals").mustNot(t, `action="`+prod4+`/approve"`)

	// A gate that could not tell is decided with a reason.
	gate := gatePath(r.ID, "prod1", "latency-of-the-slowest-hundredth")
	b.get(gate).must(t, http.StatusOK, "no figures &lt;yet&gt;", `name="result" value="pass"`)
	b.post(gate, url.Values{"result": {"pass"}}).must(t, http.StatusUnprocessableEntity, "Reason", `aria-invalid="true"`, "the evidence keeps why")
	b.post(gate, url.Values{"result": {"perhaps"}, "reason": {"seen by hand"}}).must(t, http.StatusUnprocessableEntity, "must be pass or fail", "seen by hand</textarea>")
	b.post(gate, url.Values{"result": {"pass"}, "reason": {"seen by hand"}}).must(t, http.StatusSeeOther)
	b.post(gate, url.Values{"result": {"fail"}, "reason": {"twice"}}).must(t, http.StatusConflict, "speaks for itself")
	b.get(page).must(t, http.StatusOK, "decided by anna-operator", "seen by hand")

	// An issue that stops the release is waived with a reason only.
	b.get(ackPath(r.ID, "MQ-3")).must(t, http.StatusOK, "Queues may split after a week.", "required")
	b.post(ackPath(r.ID, "MQ-3"), nil).must(t, http.StatusUnprocessableEntity, "Reason", `aria-invalid="true"`)
	b.post(ackPath(r.ID, "MQ-3"), url.Values{"reason": {"patched"}}).must(t, http.StatusSeeOther)
	b.post(ackPath(r.ID, "UNIT-7"), nil).must(t, http.StatusSeeOther)
	b.get(ackPath(r.ID, "NONE-1")).must(t, http.StatusNotFound)
	b.get(page).must(t, http.StatusOK, "Waived", "Acknowledged", "patched").mustNot(t, "Acknowledge …")

	b.post(environmentPath(r.ID, "prod2")+"/retry", nil).must(t, http.StatusSeeOther)
	b.post(environmentPath(r.ID, "prod2")+"/retry", nil).must(t, http.StatusConflict, "has not failed")
	b.post(page+"/pause", nil).must(t, http.StatusSeeOther)
	b.get(page).must(t, http.StatusOK, "Paused by anna-operator", `action="`+page+`/resume"`)
	b.post(page+"/resume", nil).must(t, http.StatusSeeOther)

	b.post(page+"/veto", nil).must(t, http.StatusUnprocessableEntity, "Reason", `aria-invalid="true"`)
	b.post(page+"/veto", url.Values{"reason": {"queues split in stage"}}).must(t, http.StatusSeeOther)
	b.get(page).must(t, http.StatusOK, "Veto by anna-operator:", "queues split in stage", page+`/lift-veto"`).mustNot(t, page+`/veto"`)
	b.get(page+"?lang=de").must(t, http.StatusOK, "Veto von anna-operator:")
	b.post(page+"/lift-veto", url.Values{"reason": {"mended"}}).must(t, http.StatusSeeOther)
	b.get(page+"?lang=en").mustNot(t, "Veto by")

	b.post(page+"/abort", url.Values{"reason": {strings.Repeat("x", 2000)}}).must(t, http.StatusUnprocessableEntity, "Reason")
	b.post(page+"/abort", url.Values{"reason": {"next release"}}).must(t, http.StatusSeeOther)
	b.get(page).must(t, http.StatusOK, "anna-operator is aborting it").mustNot(t, page+`/pause"`, "/retry")
}

func TestWhoStartsARolloutDoesNotApproveIt(t *testing.T) {
	h := newHouse(t, nil)
	h.rolled()
	r := h.promoted()
	h.update(func(tx store.Tx) error {
		r.By = "user/anna-operator"
		_, err := tx.PutRollout(r.Rollout)
		return err
	})
	b, prod4 := h.as(identity.Operator), environmentPath(r.ID, "prod4")
	b.get(rolloutPath(r.ID)).must(t, http.StatusOK, "0 of 2 approvals").mustNot(t, prod4+"/approve")
	b.post(prod4+"/approve", url.Values{"plan": {"0000"}}).must(t, http.StatusForbidden, "somebody else approves it")
}

func TestARolloutWhoseTrainIsGone(t *testing.T) {
	h := newHouse(t, nil)
	h.rolled()
	r := h.promoted()
	h.update(func(tx store.Tx) error {
		r.State, r.Finished, r.Text = rollout.Succeeded, time.Now(), "every environment has soaked"
		if _, err := tx.PutRollout(r.Rollout); err != nil {
			return err
		}
		return tx.DeleteTrain("shop", "region")
	})
	b := h.as(identity.Operator)
	b.get("/rollouts").must(t, http.StatusOK, "Through").mustNot(t, "soaked in")
	b.get(rolloutPath(r.ID)).must(t, http.StatusOK, "was removed", "lane-failed", "every environment has soaked", `href="/runs/run-7"`).mustNot(t, "/approve", "/veto", "data-stream")
}
