package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/client"
	"upkeep/internal/fleet"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

func TestClaims(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.server("red", "web-1")
	_, err := h.member.PutService(ctx, "api", h.api("red"), nil)
	h.must(err)
	held, err := h.member.Claim(ctx, client.ClaimInput{Claims: []string{"server/web-1", "database/keystone"}, For: "2h", Reason: "new disk"}, nil)
	h.must(err)
	if held.By != "user/mara" || held.Project != "red" || time.Until(held.Until) < 119*time.Minute || len(held.Claims) != 2 {
		t.Errorf("claimed %+v", held)
	}
	again, err := h.member.Claim(ctx, client.ClaimInput{Claims: []string{"server/web-1", "database/keystone"}, For: "4h", Reason: "it takes longer"}, nil)
	if err != nil || again.ID != held.ID || time.Until(again.Until) < 3*time.Hour {
		t.Errorf("for longer: %+v, %v", again, err)
	}
	h.update(func(tx store.Tx) error {
		_, err := tx.PutRun(run.Run{ID: "r1", Project: "red", Target: "x", Name: "web-2", Holds: []string{"target/x", "name/red/region/eu01@r1"}})
		return err
	})
	l, err := h.viewer.ListClaims(ctx, nil)
	h.must(err)
	var told []string
	for _, c := range l.Items {
		told = append(told, c.Claim+" "+c.By)
	}
	if got := strings.Join(told, ", "); got != "database/keystone user/mara, region/eu01 web-2, server/web-1 user/mara, node/x web-2" && got != "database/keystone user/mara, region/eu01 web-2, node/x web-2, server/web-1 user/mara" {
		t.Errorf("listed %s", got)
	}
	if l, err = h.viewer.ListClaims(ctx, &client.ListClaimsParams{ByHand: true, Limit: 1}); err != nil || len(l.Items) != 1 || l.Items[0].ID != held.ID || l.Next == "" {
		t.Errorf("by hand: %+v, %v", l, err)
	}
	for body, says := range map[string]string{
		`{"claims":["server/web-1"],"for":"1h","reason":"x"}`:           "server/web-1: user/mara holds web-1: it takes longer",
		`{"claims":["region/eu01"],"for":"1h","reason":"x"}`:            "region/eu01: run r1 of web-2 is working on region/eu01",
		`{"claims":["service/api","group/web"],"for":"1h","reason":""}`: "",
	} {
		if a := h.ask("POST /v1/claims", "mara", body); says != "" && (a.status != http.StatusConflict || !strings.Contains(a.problem.Detail, says)) {
			t.Errorf("%s: want %q: %d %s", body, says, a.status, a.text)
		}
	}
	for body, field := range map[string]string{
		`{"claims":[],"for":"1h","reason":"x"}`:               "claims",
		`{"claims":["web-1"],"for":"1h","reason":"x"}`:        "claims",
		`{"claims":["server/none"],"for":"1h","reason":"x"}`:  "claims",
		`{"claims":["group/none"],"for":"1h","reason":"x"}`:   "claims",
		`{"claims":["region/eu02"],"for":"","reason":"x"}`:    "for",
		`{"claims":["region/eu02"],"for":"10s","reason":"x"}`: "for",
		`{"claims":["region/eu02"],"for":"32d","reason":"x"}`: "for",
		`{"claims":["region/eu02"],"for":"1h","reason":""}`:   "reason",
		`{"claims":["region/../x"],"for":"1h","reason":"x"}`:  "claims",
		`{"claims":["a/b/c"],"for":"1h","reason":"x"}`:        "claims",
	} {
		if a := h.ask("POST /v1/claims", "mara", body); a.status != http.StatusBadRequest || len(a.problem.Errors) == 0 || a.problem.Errors[0].Location != field {
			t.Errorf("%s: want %s blamed: %d %s", body, field, a.status, a.text)
		}
	}
	if a := h.ask("DELETE /v1/claims/"+held.ID, "bert", ""); a.status != http.StatusNotFound && a.status != http.StatusUnauthorized {
		t.Errorf("released by who may not know of it: %d %s", a.status, a.text)
	}
	h.must(h.member.ReleaseClaim(ctx, held.ID, nil))
	if l, err = h.viewer.ListClaims(ctx, &client.ListClaimsParams{ByHand: true}); err != nil || len(l.Items) != 0 {
		t.Errorf("released: %+v, %v", l, err)
	}
}

func TestGroupsWindowForNodes(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	g, err := h.member.PutGroup(ctx, "core-os", client.GroupInput{RRule: weekly, Duration: "4h"}, nil)
	h.must(err)
	if g.Window.RRule != weekly || g.Window.Duration != "4h" || !strings.Contains(g.Window.Words, day.String()) {
		t.Errorf("made %+v", g)
	}
	for body, field := range map[string]string{
		`{"rrule":"x","duration":"1h"}`: "rrule", `{"duration":"1h"}`: "duration", `{"rrule":"` + weekly + `"}`: "duration", `{"rrule":"` + weekly + `","duration":"25h"}`: "duration",
	} {
		if a := h.ask("PUT /v1/groups/core-os", "mara", body); a.status != http.StatusBadRequest || a.problem.Errors[0].Location != field {
			t.Errorf("%s: want %s blamed: %d %s", body, field, a.status, a.text)
		}
	}
	if g, err = h.member.PutGroup(ctx, "core-os", client.GroupInput{}, nil); err != nil || g.Window.RRule != "" {
		t.Errorf("without: %+v, %v", g, err)
	}
}

func TestClashesOfSchedules(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	in := h.api("red")
	_, err := h.member.PutService(ctx, "api", in, nil)
	h.must(err)
	_, err = h.member.PutRunbook(ctx, "restart", restart(), nil)
	h.must(err)
	for _, name := range []string{"web-1", "web-2"} {
		h.server("red", name)
		_, err := h.member.PutServer(ctx, name, client.ServerInput{Group: "web"}, nil)
		h.must(err)
	}
	put := func(server, duration string) {
		_, err := h.member.PutSchedule(ctx, server, "weekend", client.ScheduleInput{RRule: weekly, Duration: duration}, nil)
		h.must(err)
	}
	put("ctl1", "2h")
	put("ctl2", "2h")
	put("web-1", "2h")
	put("web-2", "8m")
	if l, err := h.viewer.ListClashes(ctx, &client.ListClashesParams{Days: 7}); err != nil || l.Looked != 4 || !has(l.Items, "group/web", "web-2/weekend, web-1/weekend") || !has(l.Items, "quorum of api", "ctl1/weekend, ctl2/weekend") {
		t.Errorf("of servers: %+v, %v", l, err)
	}
	_, err = h.member.PutServiceSchedule(ctx, "api", "weekly", client.ScheduleInput{Runbook: "restart", RRule: weekly, Duration: "2h"}, nil)
	h.must(err)
	l, err := h.viewer.ListClashes(ctx, nil)
	h.must(err)
	if !has(l.Items, "server/ctl1", "api/weekly, ctl1/weekend") || l.Total != int64(len(l.Items)) || l.Partial {
		t.Errorf("with the service's: %+v", l)
	}
	next := l.Items[0].Start
	h.must(h.member.DeleteRunbook(ctx, "restart", nil))
	_, err = h.member.CreateFreeze(ctx, client.FreezeInput{Start: next.Add(-time.Hour), End: next.Add(24 * time.Hour), Reason: "sale"}, nil)
	h.must(err)
	l, err = h.viewer.ListClashes(ctx, &client.ListClashesParams{Days: 7})
	h.must(err)
	kinds := map[string]int{}
	for _, c := range l.Items {
		kinds[c.Kind]++
	}
	if kinds["unable"] != 1 || kinds["freeze"] != 4 || kinds["claim"] != 0 {
		t.Errorf("frozen, and without the runbook: %+v", l.Items)
	}
	if a := h.ask("GET /v1/clashes?days=32", "vera", ""); a.status != http.StatusBadRequest {
		t.Errorf("too many days: %d %s", a.status, a.text)
	}
}

// What is held by hand is in the way of schedules until its end, or all the
// while; a rollout's next window wants the region, the service and its servers.
func TestClashesOfClaimsAndRollouts(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.member.PutService(ctx, "api", h.api("red"), nil)
	h.must(err)
	_, err = h.member.PutRunbook(ctx, "restart", restart(), nil)
	h.must(err)
	h.server("red", "web-1")
	_, err = h.member.PutServer(ctx, "web-1", client.ServerInput{Group: "web"}, nil)
	h.must(err)
	for _, name := range []string{"ctl1", "web-1"} {
		_, err := h.member.PutSchedule(ctx, name, "weekend", client.ScheduleInput{RRule: weekly, Duration: "2h"}, nil)
		h.must(err)
	}
	claim := func(what, long string) {
		_, err := h.member.Claim(ctx, client.ClaimInput{Claims: []string{what}, For: long, Reason: "new disk"}, nil)
		h.must(err)
	}
	claim("server/ctl1", "31d")
	claim("region/prod", "31d")
	claim("database/api", "1m")
	h.update(func(tx store.Tx) error {
		return tx.AddHold(fleet.Hold{ID: "node", Project: "red", Names: []string{"group/web"}, Keys: []string{"group/red/web", run.TargetKey("node-7")}, By: "node/7", Reason: "it restarts itself", Since: time.Now()})
	})
	_, err = h.member.PutTrain(ctx, "cloud", client.TrainInput{
		Environments: []client.TrainEnvironment{
			{Name: "prod", Region: true, Soak: "1h", Window: client.TrainWindow{RRule: weekly, Duration: "2h"}},
			{Name: "later", After: "prod", Soak: "1h", Window: client.TrainWindow{RRule: weekly, Duration: "2h"}},
		},
		Phases: []client.TrainPhase{{Name: "api", Service: "api", Runbook: "restart"}},
	}, nil)
	h.must(err)
	_, err = h.member.PutRelease(ctx, "cloud", "R1", client.ReleaseInput{}, nil)
	h.must(err)
	_, err = h.member.StartRollout(ctx, client.RolloutInput{Train: "cloud", Version: "R1"}, nil)
	h.must(err)

	l, err := h.viewer.ListClashes(ctx, &client.ListClashesParams{Days: 7})
	h.must(err)
	const prod = "rollout of R1 in prod of train cloud"
	for what, who := range map[string]string{
		"server/ctl1": "claim of user/mara, ctl1/weekend, " + prod,
		"group/web":   "claim of node/7, web-1/weekend",
		"region/prod": "claim of user/mara, " + prod,
	} {
		if !has(l.Items, what, who) {
			t.Errorf("no clash of %s about %s in %+v", who, what, l.Items)
		}
	}
	if len(l.Items) != 3 {
		t.Errorf("%d clashes: %+v", len(l.Items), l.Items)
	}

	// Without a window the rollout may begin at any time: it meets the schedule
	// and who holds what it wants, each once, and never itself.
	_, err = h.member.PutTrain(ctx, "cloud", client.TrainInput{
		Environments: []client.TrainEnvironment{{Name: "prod", Region: true, Soak: "1h"}, {Name: "later", After: "prod", Soak: "1h"}},
		Phases:       []client.TrainPhase{{Name: "api", Service: "api", Runbook: "restart"}},
	}, nil)
	h.must(err)
	l, err = h.viewer.ListClashes(ctx, &client.ListClashesParams{Days: 14})
	h.must(err)
	var met []string
	for _, c := range l.Items {
		if c.Kind == "anytime" {
			met = append(met, c.What+": "+strings.Join(c.Who, ", "))
		}
	}
	slices.Sort(met)
	const later = "rollout of R1 in later of train cloud"
	if want := []string{
		"region/prod: claim of user/mara, " + prod,
		"server/ctl1: claim of user/mara, " + later, "server/ctl1: claim of user/mara, " + prod,
		"server/ctl1: ctl1/weekend, " + later, "server/ctl1: ctl1/weekend, " + prod,
	}; !slices.Equal(met, want) {
		t.Errorf("it may meet\n%s, want\n%s", strings.Join(met, "\n"), strings.Join(want, "\n"))
	}
}

// has reports whether there is a clash of those about a thing.
func has(all []client.Clash, what, who string) bool {
	for _, c := range all {
		if c.What == what && strings.Join(c.Who, ", ") == who {
			return true
		}
	}
	return false
}
