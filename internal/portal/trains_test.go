package portal

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
	"upkeep/internal/rollout"
	"upkeep/internal/store"
)

// older keeps the release that the environments had, with another digest, and
// ends what is on its way, so that the train is free.
func (h *house) older(r desk.Rollout) {
	h.t.Helper()
	_, _, err := h.desk.PutTrainRelease(context.Background(), boss, "shop", rollout.Release{Train: "region", Version: "2026.1", Digests: map[string]string{"api": oldDigest}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.update(func(tx store.Tx) error {
		// What was running on the service stands in no forecast's way.
		open, err := tx.Runs(store.RunFilter{Project: "shop", Open: true})
		if err != nil {
			return err
		}
		for _, one := range open {
			one.State, one.Finished = "succeeded", time.Now()
			if err := tx.SetRun(one); err != nil {
				return err
			}
		}
		r.State, r.Finished = rollout.Aborted, time.Now()
		_, err = tx.PutRollout(r.Rollout)
		return err
	})
}

func TestATrainTellsWhatAReleaseWouldDo(t *testing.T) {
	h := newHouse(t, nil)
	h.rolled()
	r := h.promoted()
	path, v := trainPath("shop", "region"), h.as(identity.Viewer)
	v.get("/rollouts").must(t, http.StatusOK, `href="`+path+`"`, "dev → stage → prod1")
	v.get(rolloutPath(r.ID)).must(t, http.StatusOK, "Forecast and changes", aheadPath("shop", "region", "2026.2"))
	// It is on its way: nobody is offered to start it once more.
	h.as(identity.Operator).get(path).must(t, http.StatusOK, "Release 2026.2 is on its way through it", `href="`+rolloutPath(r.ID)+`"`).mustNot(t, "/start?")
	h.older(r)

	got := v.get(path+"?version=2026.2").must(t, http.StatusOK, "What release 2026.2 would do if it were started now",
		"api: runbook restart on api-extension", "Soak", "no way back after restart", "ctl1 ", "Persons are asked",
		"0 of 2 approvals of this plan are there", "known issue MQ-3 is to be acknowledged", "It would have soaked everywhere",
		"When something is done in 6 environments; the table below has the same", "prod1 – persons are asked",
		"What release 2026.2 changes of what runs", "runs 2026.2", "runs 2026.1", "release 2026.2", "gone:")
	got.mustNot(t, "/start?", "is on its way")
	v.get(path+"?version=2026.2&from=2026.2").must(t, http.StatusOK, "What changes from release 2026.2 to 2026.2", "Nothing changes.")
	v.get(path+"?version=2026.2&from=2026.1&lang=de").must(t, http.StatusOK, "Menschen werden gefragt", "Bewährung", "kein Zurück nach restart", "Was sich von Release 2026.1 zu 2026.2 ändert")
	v.get(path+"?version=2099.1").must(t, http.StatusNotFound)
	v.get(path+"?version=2026.2&from=2099.1").must(t, http.StatusNotFound)
	v.get(trainPath("shop", "none")).must(t, http.StatusNotFound)
	v.get(trainPath("another", "region")).must(t, http.StatusNotFound)
	if now := h.seen(r.ID); now.State != rollout.Aborted {
		t.Error("to look has started something")
	}
}

// TestWhatCouldNotBeStarted: the page says what is missing, and so does the form.
func TestWhatCouldNotBeStarted(t *testing.T) {
	h := newHouse(t, nil)
	h.rolled()
	r := h.promoted()
	h.older(r)
	h.update(func(tx store.Tx) error { return tx.DeleteRunbook("shop", "restart") })
	b := h.as(identity.Operator)
	b.get(aheadPath("shop", "region", "2026.2")).must(t, http.StatusOK, "It could not be started as things are", "environment dev, phase api")
	b.post(trainPath("shop", "region")+"/start", url.Values{"version": {"2026.2"}, "reason": {"PCO-7"}}).must(t, http.StatusUnprocessableEntity,
		"Train:", "environment dev, phase api", "PCO-7</textarea>")
}

func TestStartingARollout(t *testing.T) {
	h := newHouse(t, nil)
	h.rolled()
	r := h.promoted()
	start, b := trainPath("shop", "region")+"/start", h.as(identity.Operator)
	ask := url.Values{"version": {"2026.1"}, "reason": {"PCO-2050"}, "key": {"one"}}
	b.post(start, ask).must(t, http.StatusConflict, "is on its way through train region", "PCO-2050</textarea>")
	h.older(r)

	v := h.as(identity.Viewer)
	v.get(start).must(t, http.StatusForbidden)
	v.post(start, ask).must(t, http.StatusForbidden)
	b.get(aheadPath("shop", "region", "2026.1")).must(t, http.StatusOK, strings.ReplaceAll(startPath("shop", "region", "2026.1"), "&", "&amp;"))
	form := b.get(startPath("shop", "region", "2026.1")).must(t, http.StatusOK, "Start a release through train region", `<option value="2026.1" selected>`)
	if !regexp.MustCompile(`name="key" value="[A-Z2-7]{20,}"`).MatchString(form.body) {
		t.Error("the form has no key: sent twice it would start two")
	}
	b.get(start+"?lang=de").must(t, http.StatusOK, "Ein Release durch Zug region schicken")
	b.get(start + "?lang=en")
	b.post(start, url.Values{"version": {"2026.1"}, "reason": {strings.Repeat("x", 2000)}}).must(t, http.StatusUnprocessableEntity, `id="reason-mistake"`, "must have at most 1024 bytes")
	b.post(start, url.Values{"version": {"2099.1"}}).must(t, http.StatusNotFound)
	if open := h.onTheirWay(); len(open) != 0 {
		t.Fatalf("something was started all the same: %+v", open)
	}
	got := b.post(start, ask).must(t, http.StatusSeeOther)
	again := b.post(start, ask).must(t, http.StatusSeeOther)
	open := h.onTheirWay()
	if len(open) != 1 || open[0].Version != "2026.1" || open[0].Reason != "PCO-2050" || open[0].By != "user/anna-operator" {
		t.Fatalf("started %+v", open)
	}
	for _, a := range []answer{got, again} {
		if where := a.header.Get("Location"); where != rolloutPath(open[0].ID) {
			t.Errorf("it leads to %s", where)
		}
	}
}

// onTheirWay are the rollouts that are on their way.
func (h *house) onTheirWay() []rollout.Rollout {
	h.t.Helper()
	all, err := h.desk.Rollouts(context.Background(), boss, desk.RolloutFilter{Project: "shop", Open: true})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func TestPinningAComponent(t *testing.T) {
	h := newHouse(t, nil)
	h.rolled()
	r := h.promoted()
	page, b := rolloutPath(r.ID), h.as(identity.Operator)
	dev := environmentPath(r.ID, "dev")
	b.get(page).must(t, http.StatusOK, `href="`+dev+`/pin"`, pinsPath(r.ID, "stage", "api")).mustNot(t, environmentPath(r.ID, "prod4")+"/pin")
	b.get(dev+"/pin").must(t, http.StatusOK, "Pin a component in dev", `<option value="api">`, newDigest, "api of release 2026.2")
	for _, c := range []struct {
		says  string
		form  url.Values
		wrong string
	}{
		{"no digest", url.Values{"component": {"api"}, "digest": {"latest"}, "reason": {"split"}}, "digest"},
		{"no reason", url.Values{"component": {"api"}, "digest": {oldDigest}}, "reason"},
		{"unknown component", url.Values{"component": {"db"}, "digest": {oldDigest}, "reason": {"split"}}, "component"},
	} {
		got := b.post(dev+"/pin", c.form).must(t, http.StatusUnprocessableEntity, `id="`+c.wrong+`-mistake"`, `aria-invalid="true"`)
		if !strings.Contains(got.body, c.form.Get("digest")) {
			t.Errorf("%s: what was written is gone", c.says)
		}
	}
	if now := h.seen(r.ID); now.Revision != r.Revision {
		t.Error("a pin that was refused has changed something")
	}
	b.post(dev+"/pin", url.Values{"component": {"api"}, "digest": {oldDigest}, "reason": {"queues split"}, "now": {"yes"}}).must(t, http.StatusSeeOther)
	st := h.seen(r.ID).Standings["dev"]
	if st.Pins["api"] != oldDigest || !st.Now || st.PinnedBy != "user/anna-operator" {
		t.Errorf("pinned %+v", st)
	}
	b.get(page).must(t, http.StatusOK, "queues split", pinsPath(r.ID, "dev", "api"))

	lift := pinsPath(r.ID, "dev", "api")
	b.get(lift).must(t, http.StatusOK, "Lift the pin of api in dev", "sha256:111111111111…", oldDigest)
	b.get(lift+"?lang=de").must(t, http.StatusOK, "api in dev nicht mehr festhalten")
	b.get(lift + "?lang=en")
	b.post(lift, nil).must(t, http.StatusUnprocessableEntity, `id="reason-mistake"`)
	b.post(lift, url.Values{"reason": {"mended"}}).must(t, http.StatusSeeOther)
	if pins := h.seen(r.ID).Standings["dev"].Pins; len(pins) != 0 {
		t.Errorf("still pinned: %v", pins)
	}
	b.get(lift).must(t, http.StatusNotFound)
	b.get(environmentPath(r.ID, "nowhere")+"/pin").must(t, http.StatusNotFound)

	v := h.as(identity.Viewer)
	v.get(page).must(t, http.StatusOK).mustNot(t, "/pin")
	for _, path := range []string{dev + "/pin", pinsPath(r.ID, "stage", "api")} {
		v.get(path).must(t, http.StatusForbidden)
		v.post(path, url.Values{"component": {"api"}, "digest": {oldDigest}, "reason": {"no"}}).must(t, http.StatusForbidden)
	}
}
