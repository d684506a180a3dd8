package portal

import (
	"context"
	"encoding/csv"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// behind lets a server's updates be known for so long.
func (h *house) behind(t fleet.Target, known time.Duration) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		t, err := tx.Target(t.ID)
		if err != nil {
			return err
		}
		t.Seen = t.Seen.Note(t.Observed, time.Now().Add(-known))
		_, err = tx.PutTarget(t)
		return err
	})
}

// promise puts a schedule with a promise on a server.
func (h *house) promise(t fleet.Target, within time.Duration) {
	h.t.Helper()
	_, err := h.desk.CreateSchedule(context.Background(), boss, desk.ScheduleSpec{
		Project: t.Project, Server: t.ID, Name: "promised", Enabled: true, Duration: time.Hour,
		RRule: "DTSTART;TZID=Europe/Sofia:20260101T030000 RRULE:FREQ=DAILY", Policy: fleet.Policy{Within: within},
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

const day = 24 * time.Hour

func TestCompliance(t *testing.T) {
	h := newHouse(t, nil)
	late := h.server("shop", "web-1", look(5, false), time.Minute)
	h.behind(late, 20*day+time.Hour)
	h.promise(late, 14*day)
	h.behind(h.server("shop", "web-2", look(2, false), time.Minute), 3*day+time.Hour)
	h.server("shop", "db-1", look(0, false), time.Minute)
	h.server("shop", "new-1", nil, 0)
	h.server("bank", "vault-1", look(1, false), time.Minute)
	b := h.as(identity.Viewer)
	b.cookies[zoneCookie] = "Asia/Tokyo"
	page := b.get("/compliance").must(t, http.StatusOK, "overdue", "unknown", "behind", "up to date", "20 days", "3 days", "within 14 days", "5 updates", "2 security",
		"nothing promised", serverPath(late.ID), "Europe/Sofia", "your time", "4 servers", "/compliance.csv")
	page.mustNot(t, "vault-1")
	if web, db := strings.Index(page.body, ">web-1<"), strings.Index(page.body, ">db-1<"); web > db {
		t.Error("the worst is not first")
	}
	b.get("/compliance?show=overdue").must(t, http.StatusOK, "web-1", "1 server<", "/compliance.csv?show=overdue").mustNot(t, ">web-2<")
	b.get("/compliance?q=DB").must(t, http.StatusOK, "db-1").mustNot(t, ">web-1<")
	b.get("/compliance?lang=de").must(t, http.StatusOK, "überfällig", "20 Tage", "binnen 14 Tagen")

	got := b.get("/compliance.csv?q=web").must(t, http.StatusOK)
	if !strings.HasPrefix(got.header.Get("Content-Type"), "text/csv") || !strings.Contains(got.header.Get("Content-Disposition"), `attachment; filename="compliance-`) {
		t.Errorf("headers %v", got.header)
	}
	lines, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
	if err != nil || len(lines) != 3 || !slices.Equal(lines[0], complianceFields) {
		t.Fatalf("%d lines, %v: %s", len(lines), err, got.body)
	}
	if want := []string{"web-1", "shop", "", "by-hand", "overdue", "5", "2", "20"}; !slices.Equal(lines[1][:8], want) || lines[1][9] != "14" || lines[1][10] == "" || lines[1][11] == "" {
		t.Errorf("the first line is %q", lines[1])
	}
	h.browser().get("/compliance.csv").must(t, http.StatusSeeOther)
}

func TestNoCellIsAFormula(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "web-1": "web-1", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1",
	} {
		if got := harmless(cell); got != want {
			t.Errorf("%q became %q, want %q", cell, got, want)
		}
	}
	// A group may be called like a formula.
	cells := standingCells(desk.Standing{Server: desk.Server{Target: fleet.Target{Name: "web-1", Project: "shop", Group: "-2+3"}}}, time.Now())
	if cells[2] != "'-2+3" {
		t.Errorf("the group's cell is %q", cells[2])
	}
}

func TestGroups(t *testing.T) {
	h := newHouse(t, nil)
	ctx := context.Background()
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		h.server("shop", name, look(2, false), time.Minute)
		if _, _, err := h.desk.PutServer(ctx, boss, desk.ServerSpec{Project: "shop", Name: name, Group: "web"}); err != nil {
			t.Fatal(err)
		}
	}
	b := h.as(identity.Member)
	b.get("/groups").must(t, http.StatusOK, groupPath("shop", "web"), "1 group<", "nobody")
	path := groupPath("shop", "web")
	b.get(path).must(t, http.StatusOK, "web-1", "web-2", "web-3", "No update yet.", `name="maxunavailable"`, `value="1"`)
	form := url.Values{"maxunavailable": {"2"}, "canaries": {"web-3"}, "canaries-others": {"web-9"}, "soak": {"1:30"}, "stopafter": {"2"}}
	if got := b.post(path, form); got.header.Get("Location") != path+"?done=changed" {
		t.Fatalf("%d: %.3000s", got.code, got.body)
	}
	g, err := h.desk.Group(ctx, boss, "shop", "web")
	if err != nil || g.Rules.Room() != 2 || !slices.Equal(g.Rules.Canaries, []string{"web-3", "web-9"}) || g.Rules.Soak != 90*time.Minute || g.Rules.StopAfter != 2 {
		t.Errorf("rules %+v, %v", g.Rules, err)
	}
	b.get(path+"?done=changed").must(t, http.StatusOK, "rules were changed", `value="web-3" checked`, `value="web-9"`, `value="1:30"`, "goes first")
	for field, c := range map[string]struct{ value, want string }{
		"maxunavailable": {"none", "must be a whole number"}, "soak": {"long", "must be a number of hours"}, "stopafter": {"x", "must be a whole number"}, "canaries-others": {"a b/c", "is no name"},
	} {
		wrong := url.Values{"maxunavailable": {"2"}, "canaries-others": {""}, "soak": {""}, "stopafter": {""}}
		wrong.Set(field, c.value)
		b.post(path, wrong).must(t, http.StatusUnprocessableEntity, `id="`+strings.TrimSuffix(field, "-others")+`-mistake"`, c.want, `value="`+c.value+`"`)
	}

	// Who waits for whom stands at the member.
	web, err := h.desk.Server(ctx, boss, "shop", "web-1")
	if err != nil {
		t.Fatal(err)
	}
	h.tick(h.open(web.Target, h.schedule(web.Target, "weekly", time.Hour, time.Hour), time.Now()), time.Now())
	b.get(path).must(t, http.StatusOK, "Waiting", "It waits: the window is closed")
	b.get("/groups").must(t, http.StatusOK, "1 waits", "web-3, web-9")
	other, err := h.desk.Server(ctx, boss, "shop", "web-2")
	if err != nil {
		t.Fatal(err)
	}
	h.tick(h.open(other.Target, h.schedule(other.Target, "weekly", -time.Minute, time.Hour), time.Now()), time.Now())
	b.get(path).must(t, http.StatusOK, "Working").mustNot(t, "under way since")
	b.get("/groups").must(t, http.StatusOK, "1 is being updated", "1 waits")

	viewer := h.as(identity.Viewer)
	viewer.get(path).must(t, http.StatusOK, "Go first", "web-3, web-9").mustNot(t, `name="maxunavailable"`)
	viewer.post(path, form).must(t, http.StatusForbidden)
	b.get(groupPath("bank", "web")).must(t, http.StatusNotFound)
	b.get(groupPath("shop", "none")).must(t, http.StatusNotFound)
}

// policy is a policy's form as a browser sends it.
func policy(change ...string) url.Values {
	f := weekly("description", "for the night", "project", "", "spreadzone", "Europe/Berlin", "name", "Nightly")
	for i := 0; i < len(change); i += 2 {
		f.Set(change[i], change[i+1])
	}
	return f
}

func TestPolicies(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", nil, 0)
	b := h.as(identity.Operator)
	b.get("/policies").must(t, http.StatusOK, "Default Update Schedule", "Built in", "once a weekend, at a start time of its own", "default").mustNot(t, "/delete")
	b.get("/policies/new").must(t, http.StatusOK, "For every project", `value="shop"`, "every week on Saturday at 03:00 (UTC), for 2 h", "Spread over the weekend")
	b.post("/policies", policy("do", "preview", "name", "")).must(t, http.StatusOK, "every week on Saturday at 13:40 (Europe/Sofia)", "Sat 5 Jan 2030")
	b.post("/policies", policy("do", "preview", "mode", "spread")).must(t, http.StatusOK, "at a start time of its own for each server (Europe/Berlin), for 2 h")
	b.post("/policies", policy("within", "7", "backup", "snapshot", "health-others", "healthy")).must(t, http.StatusSeeOther)
	b.post("/policies", policy()).must(t, http.StatusUnprocessableEntity, `id="name-mistake"`, "there is one of that name already")
	for _, c := range [][3]string{{"name", "", "name"}, {"spreadzone", "x", "spreadzone"}, {"hours", "50", "hours"}, {"hold", "a/b", "hold"}, {"description", strings.Repeat("x", 1025), "description"}} {
		form := policy("name", "Other", c[0], c[1])
		if c[0] == "spreadzone" {
			form.Set("mode", "spread")
		}
		b.post("/policies", form).must(t, http.StatusUnprocessableEntity, `id="`+c[2]+`-mistake"`)
	}
	b.post("/policies", policy("name", "Other", "default", "yes", "enabled", "")).must(t, http.StatusUnprocessableEntity, `id="enabled-mistake"`)
	b.post("/policies", policy("name", "Weekend spread", "mode", "spread", "default", "yes")).must(t, http.StatusSeeOther)

	all, err := h.desk.Templates(context.Background(), boss, "shop")
	if err != nil || len(all) != 3 {
		t.Fatalf("%d policies, %v", len(all), err)
	}
	nightly := all[slices.IndexFunc(all, func(t fleet.Template) bool { return t.Name == "Nightly" })]
	if nightly.Policy.Within != 7*day || nightly.Policy.Backup != "snapshot" || nightly.Project != "" || nightly.Description != "for the night" {
		t.Errorf("%+v", nightly)
	}
	path := policyPath(nightly)
	b.get("/policies?done=created").must(t, http.StatusOK, "The policy was created.", "Nightly", "for the night", "patched within 7 days")
	b.get(path).must(t, http.StatusOK, `value="Nightly"`, "readonly", `value="healthy"`, `value="13:40"`)
	b.post(path, policy("name", "another name is not looked at", "time", "04:00", "within", "7")).must(t, http.StatusSeeOther)
	b.get("/policies").must(t, http.StatusOK, "at 04:00 (Europe/Sofia)").mustNot(t, "another name")

	// A schedule can start from it.
	b.get(schedulesPath(server.ID)+"/new?template="+nightly.ID).must(t, http.StatusOK, `value="Nightly"`, `value="04:00"`, `name="template" value="`+nightly.ID)
	b.post(schedulesPath(server.ID), weekly("template", nightly.ID, "name", "Mine")).must(t, http.StatusSeeOther)
	if s := h.only(server.ID); s.Template != nightly.ID || s.Name != "Mine" {
		t.Errorf("made from %q: %+v", s.Template, s)
	}
	// Members do not touch what is for every project, and make their own.
	member := h.as(identity.Member)
	member.get("/policies").must(t, http.StatusOK, "Nightly").mustNot(t, path+"/delete")
	member.get(path).must(t, http.StatusForbidden)
	member.post(path, policy()).must(t, http.StatusForbidden)
	member.post("/policies", policy("project", "bank", "name", "Ours")).must(t, http.StatusSeeOther)
	member.get("/policies").must(t, http.StatusOK, "Ours", "Project shop")
	viewer := h.as(identity.Viewer)
	viewer.get("/policies").must(t, http.StatusOK, "Nightly").mustNot(t, "/policies/new", "/delete")
	viewer.get("/policies/new").must(t, http.StatusForbidden)
	viewer.post("/policies", policy()).must(t, http.StatusForbidden)

	b.get(path+"/delete").must(t, http.StatusOK, "Delete policy “Nightly”?")
	b.post(path+"/delete", nil).must(t, http.StatusSeeOther)
	b.get(path).must(t, http.StatusNotFound)
	b.get("/policies/"+fleet.BuiltinTemplate).must(t, http.StatusForbidden)
}

func TestFreezes(t *testing.T) {
	h := newHouse(t, nil)
	h.server("bank", "vault-1", nil, 0)
	b := h.as(identity.Operator)
	b.cookies[zoneCookie] = "Europe/Berlin"
	b.get("/freezes").must(t, http.StatusOK, "There is none.", `value="Europe/Berlin"`, `value="bank"`, "For every project")
	form := func(change ...string) url.Values {
		f := url.Values{"project": {""}, "from-day": {"2030-12-20"}, "from-time": {"18:00"}, "to-day": {"2031-01-02"}, "to-time": {"06:00"}, "zone": {"Europe/Berlin"}, "reason": {"Christmas <b>"}}
		for i := 0; i < len(change); i += 2 {
			f.Set(change[i], change[i+1])
		}
		return f
	}
	for _, c := range [][3]string{{"from-day", "x", "from-day"}, {"to-time", "x", "to-day"}, {"zone", "x", "zone"}, {"reason", "", "reason"}, {"to-day", "2030-12-19", "to-day"}, {"to-day", "2035-12-19", "to-day"}} {
		b.post("/freezes", form(c[0], c[1])).must(t, http.StatusUnprocessableEntity, `id="`+c[2]+`-mistake"`, `value="18:00"`)
	}
	b.post("/freezes", form()).must(t, http.StatusSeeOther)
	b.post("/freezes", form("project", "bank", "reason", "Audit")).must(t, http.StatusSeeOther)
	b.get("/freezes?done=created").must(t, http.StatusOK, "The freeze was created.", "Christmas &lt;b&gt;", "Fri 20 Dec 2030, 18:00", "Thu 2 Jan 2031, 06:00", "(Europe/Berlin)", "Audit", "Project bank")
	all, err := h.desk.Freezes(context.Background(), boss, "")
	if err != nil || len(all) != 2 {
		t.Fatalf("%d freezes, %v", len(all), err)
	}
	one := all[slices.IndexFunc(all, func(f window.Freeze) bool { return f.Project == "" })]
	if want := time.Date(2030, 12, 20, 17, 0, 0, 0, time.UTC); !one.Span.Start.Equal(want) {
		t.Errorf("it begins %v, want %v", one.Span.Start, want)
	}
	viewer := h.as(identity.Viewer)
	viewer.get("/freezes").must(t, http.StatusOK, "Christmas").mustNot(t, "Audit", "/lift", `action="/freezes"`)
	viewer.post("/freezes", form()).must(t, http.StatusForbidden)
	viewer.post(freezePath(one), nil).must(t, http.StatusForbidden)
	member := h.as(identity.Member)
	member.get("/freezes").must(t, http.StatusOK, "Christmas", `action="/freezes"`).mustNot(t, "/lift", "Audit")
	member.get(freezePath(one)).must(t, http.StatusForbidden)

	b.get(freezePath(one)).must(t, http.StatusOK, "Lift this freeze?", "Christmas")
	b.post(freezePath(one), nil).must(t, http.StatusSeeOther)
	b.get("/freezes?done=lifted").must(t, http.StatusOK, "The freeze was lifted.", "Audit").mustNot(t, "Christmas")
	b.get(freezePath(one)).must(t, http.StatusNotFound)
}

func TestWrongTokensAreSlowedDown(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	wrong := url.Values{"token": {"upk_wrong"}}
	for range signInBurst {
		b.post("/signin", wrong).must(t, http.StatusForbidden)
	}
	got := b.post("/signin", wrong).must(t, http.StatusTooManyRequests, "Too many wrong tokens")
	if got.header.Get("Retry-After") == "" {
		t.Error("it is not said when to come again")
	}
	// A good token from there must wait as well: else nothing would be slowed down.
	b.post("/signin", url.Values{"token": {h.tokens[identity.Viewer]}}).must(t, http.StatusTooManyRequests)
	at := time.Now().Add(time.Hour)
	if !h.portal.attempts.Has(limit.Address("192.0.2.1:1234"), at) {
		t.Error("an hour later it still has to wait")
	}
	for range 3 * signInBurst { // who is right is not counted
		other := h.browser()
		other.address = "198.51.100.7:99"
		other.post("/signin", url.Values{"token": {h.tokens[identity.Viewer]}}).must(t, http.StatusSeeOther)
	}
}
