package portal

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/run"
)

func TestEveryAnswerIsGuarded(t *testing.T) {
	h := newHouse(t, nil)
	for _, path := range []string{"/", "/servers", "/signin", "/nowhere", assetURLs["style.css"]} {
		got := h.browser().get(path)
		csp := got.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q lacks %s", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy %q allows what is unsafe", path, csp)
		}
		if got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Referrer-Policy") == "" {
			t.Errorf("%s: headers are missing: %v", path, got.header)
		}
	}
}

func TestPagesHaveNothingInline(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(5, true), time.Minute)
	s := h.schedule(server, "weekly", -10*time.Minute, time.Hour)
	id := h.open(server, s, time.Now().Add(-time.Minute))
	h.tick(id, time.Now().Add(-time.Minute))
	service, roll := h.rolled()
	b := h.as(identity.Operator)
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(>|[^>]*>[^<])|javascript:`)
	for _, path := range []string{"/servers", serverPath(server.ID), serverPath(server.ID) + "/update", runPath(id), runPath(id) + "/abort", "/signin", "/nowhere",
		historyPath(server.ID), schedulesPath(server.ID), schedulesPath(server.ID) + "/new", schedulePath(s), "/services", servicePath(service.ID), runPath(roll), "/compliance", "/groups", "/policies", "/policies/new", "/freezes"} {
		if found := inline.FindString(b.get(path).body); found != "" {
			t.Errorf("%s has %q in it", path, found)
		}
	}
}

func TestOnlyThoseWhoSignInLook(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	if got := b.get("/servers?q=web"); got.code != http.StatusSeeOther || got.header.Get("Location") != "/signin?next=%2Fservers%3Fq%3Dweb" {
		t.Fatalf("%d to %s", got.code, got.header.Get("Location"))
	}
	b.get("/runs/x/live").must(t, http.StatusForbidden)
	b.post("/runs/x/pause", nil).must(t, http.StatusForbidden)
	b.post("/signin", url.Values{"token": {"upk_wrong<script>"}, "next": {"/servers?q=web"}}).
		must(t, http.StatusForbidden, "The access token is unknown or has expired.", `value="/servers?q=web"`).
		mustNot(t, "upk_wrong")
	b.post("/signin", nil).must(t, http.StatusUnprocessableEntity, "Enter an access token.")

	got := b.post("/signin", url.Values{"token": {h.tokens[identity.Viewer] + "\n"}, "next": {"/servers?q=web"}})
	if got.code != http.StatusSeeOther || got.header.Get("Location") != "/servers?q=web" {
		t.Fatalf("%d to %s", got.code, got.header.Get("Location"))
	}
	cookie := got.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/", "Expires="} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %s", cookie, want)
		}
	}
	if strings.Contains(cookie, "Secure") {
		t.Errorf("without TLS no browser would send %q back", cookie)
	}
	b.get("/servers").must(t, http.StatusOK, "anna-viewer", "Enrol the first server", "upkeep agent")
	if got := b.post("/signout", nil); got.code != http.StatusSeeOther || b.cookies[sessionCookie] != "" {
		t.Fatalf("sign out: %d, cookie %q", got.code, b.cookies[sessionCookie])
	}
	b.get("/servers").must(t, http.StatusSeeOther)
}

func TestTheCookieIsSecureOverTLS(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	b.headers["X-Forwarded-Proto"] = "https"
	got := b.post("/signin", url.Values{"token": {h.tokens[identity.Viewer]}})
	if c := got.header.Get("Set-Cookie"); !strings.Contains(c, "Secure") {
		t.Fatalf("cookie %q", c)
	}
}

func TestAnonymousOnlyWhereConfigured(t *testing.T) {
	who := identity.Principal{Name: "guest", Role: identity.Viewer}
	h := newHouse(t, &who)
	server := h.server("shop", "web-1", look(2, false), time.Minute)
	b := h.browser()
	b.get("/servers").must(t, http.StatusOK, "web-1", "Looking without signing in")
	b.get(serverPath(server.ID)).must(t, http.StatusOK).mustNot(t, "Update now")
	b.post(serverPath(server.ID)+"/update", url.Values{"hours": {"1"}}).must(t, http.StatusForbidden, "Not allowed")
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	for _, next := range []string{"", "https://evil.test/", "//evil.test", "/\\evil.test", "\\\\evil.test", "/signin?next=/", "servers", "/\tx", "http:/x"} {
		if got := localPath(next); got != "/servers" {
			t.Errorf("localPath(%q) = %q", next, got)
		}
	}
	if got := localPath("/runs/1?lang=de#facts"); got != "/runs/1?lang=de#facts" {
		t.Errorf("a path of ours became %q", got)
	}
}

func TestAViewerOnlyLooks(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(3, false), time.Minute)
	other := h.server("bank", "vault-1", look(3, false), time.Minute)
	s := h.schedule(server, "weekly", time.Hour, time.Hour)
	id := h.open(server, s, time.Now())
	h.tick(id, time.Now())
	b := h.as(identity.Viewer)
	b.get("/servers").must(t, http.StatusOK, "web-1").mustNot(t, "vault-1")
	for _, path := range []string{serverPath(server.ID), runPath(id)} {
		b.get(path).must(t, http.StatusOK, "the window is closed").mustNot(t, "/pause", "/abort", `/update"`, "/manage")
	}
	b.get(serverPath(server.ID)+"/update").must(t, http.StatusForbidden)
	b.get(runPath(id)+"/abort").must(t, http.StatusForbidden)
	for _, path := range []string{runPath(id) + "/pause", runPath(id) + "/resume", runPath(id) + "/abort", serverPath(server.ID) + "/update"} {
		b.post(path, url.Values{"hours": {"1"}}).must(t, http.StatusForbidden)
	}
	// What it must not know of does not exist.
	b.get(serverPath(other.ID)).must(t, http.StatusNotFound)
	b.get(serverPath("nobody")).must(t, http.StatusNotFound, "Not found")
	b.get(runPath("nobody")).must(t, http.StatusNotFound)
}

func TestFormsWorkWithoutScripts(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(3, false), time.Minute)
	b := h.as(identity.Member)
	page := b.get(serverPath(server.ID)+"/update").must(t, http.StatusOK, "What would be done", "install 3 packages", "3 packages would be installed", "1 security", "1.4 MB to download", "takes about", "1.0-1+deb12u2", `value="2"`)
	key := regexp.MustCompile(`name="key" value="([^"]+)"`).FindStringSubmatch(page.body)[1]
	form := url.Values{"hours": {"1"}, "scope": {"all"}, "reboot": {"if-required"}, "reason": {"CVE <b>now</b>"}, "key": {key}}
	got := b.post(serverPath(server.ID)+"/update", form)
	if got.code != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/runs/") {
		t.Fatalf("%d: %s", got.code, got.body)
	}
	where := got.header.Get("Location")
	if again := b.post(serverPath(server.ID)+"/update", form); again.header.Get("Location") != where {
		t.Fatalf("the form sent twice led to %q, first to %q", again.header.Get("Location"), where)
	}
	b.get(where).must(t, http.StatusOK, "Update of web-1", "anna-member", "CVE &lt;b&gt;now&lt;/b&gt;", "Pause", "Abort")
	b.post(where+"/pause", nil).must(t, http.StatusSeeOther)
	h.tick(strings.TrimPrefix(where, "/runs/"), time.Now())
	b.get(where).must(t, http.StatusOK, "Paused", "paused by user/anna-member", "Resume")
	b.post(where+"/resume", nil).must(t, http.StatusSeeOther)
	b.get(where+"/abort").must(t, http.StatusOK, "Abort the update of web-1")
	b.post(where+"/abort", url.Values{"reason": {strings.Repeat("x", 1025)}}).
		must(t, http.StatusUnprocessableEntity, "Reason:", strings.Repeat("x", 1025), `aria-invalid="true"`)
	b.post(where+"/abort", url.Values{"reason": {"wrong night"}}).must(t, http.StatusSeeOther)
	h.tick(strings.TrimPrefix(where, "/runs/"), time.Now())
	b.get(where).must(t, http.StatusOK, "Aborted", "wrong night").mustNot(t, where+"/abort")
	b.post(where+"/pause", nil).must(t, http.StatusConflict, "Not possible now")
}

func TestFormErrorsNameTheFieldAndLoseNothing(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(3, false), time.Minute)
	b := h.as(identity.Operator)
	path := serverPath(server.ID) + "/update"
	form := func(change ...string) url.Values {
		f := url.Values{"hours": {"1"}, "scope": {"security"}, "reboot": {"never"}, "reason": {"because"}, "key": {"k"}}
		for i := 0; i < len(change); i += 2 {
			f.Set(change[i], change[i+1])
		}
		return f
	}
	b.post(path, form("hours", "an hour")).must(t, http.StatusUnprocessableEntity,
		"Window length:", "must be a number of hours", `value="an hour"`, ">because</textarea>", `value="security" selected`, `value="never" selected`, `aria-describedby="hours-help hours-mistake"`)
	b.post(path, form("hours", "99")).must(t, http.StatusUnprocessableEntity, "Window length:", "must be between", `value="99"`)
	b.post(path, form("scope", "none")).must(t, http.StatusUnprocessableEntity, "Scope:")
	b.post(path, form("override", "yes", "reason", "")).must(t, http.StatusUnprocessableEntity, "Reason:", "is needed to override a freeze")
	b.post(path, form()).must(t, http.StatusSeeOther)
	b.post(path, form("key", "other")).must(t, http.StatusConflict, "Not done:", "is being updated already", ">because</textarea>")
	b.post(path, form("reason", strings.Repeat("x", 2*maxForm))).must(t, http.StatusRequestEntityTooLarge)
}

func TestAnotherSiteSendsNoForms(t *testing.T) {
	h := newHouse(t, nil)
	b := h.as(identity.Operator)
	b.headers["Sec-Fetch-Site"] = "cross-site"
	b.post("/runs/x/pause", nil).must(t, http.StatusForbidden, "Not allowed")
	b.get("/servers").must(t, http.StatusOK) // a link from a mail
}

func TestNothingFromOutsideIsMarkup(t *testing.T) {
	h := newHouse(t, nil)
	const evil = `"><script>alert(1)</script>`
	obs := look(3, true)
	obs.System, obs.Kernel, obs.Hostname = evil, evil, evil
	obs.RebootPackages, obs.HalfConfigured, obs.Held = []string{evil}, []string{evil}, []string{evil}
	for i := range obs.Pending {
		obs.Pending[i].Origin, obs.Pending[i].From = evil, evil
	}
	server := h.server("shop", "web-1", obs, time.Minute)
	s := h.schedule(server, evil, time.Hour, time.Hour)
	_, err := h.desk.CreateFreeze(context.Background(), boss, desk.FreezeSpec{Start: time.Now(), End: time.Now().Add(100 * time.Hour), Reason: evil})
	if err != nil {
		t.Fatal(err)
	}
	waiting := h.open(server, s, time.Now())
	h.tick(waiting, time.Now())
	clean := h.server("shop", "web-2", look(3, true), time.Minute)
	r, err := h.desk.StartRun(context.Background(), boss, desk.RunSpec{Project: "shop", Server: clean.ID, Duration: time.Hour, Reason: evil, OverrideFreeze: true})
	if err != nil {
		t.Fatal(err)
	}
	h.finish(r.ID, time.Now(), map[string]string{"openssl": evil})
	b := h.as(identity.Operator)
	for _, path := range []string{"/servers?q=" + url.QueryEscape(evil) + "&show=" + url.QueryEscape(evil), "/servers", serverPath(server.ID), serverPath(server.ID) + "/update", historyPath(server.ID), schedulesPath(server.ID), schedulePath(s), schedulePath(s) + "/delete", "/compliance?q=" + url.QueryEscape(evil), "/freezes", "/policies", "/groups", runPath(waiting), runPath(r.ID), "/signin?next=" + url.QueryEscape("/"+evil), "/" + url.PathEscape(evil), runPath(evil)} {
		got := b.get(path)
		got.mustNot(t, "<script>alert")
		if got.code >= 500 {
			t.Errorf("%s: %d", path, got.code)
		}
	}
	b.get(runPath(r.ID)).must(t, http.StatusOK, "&lt;script&gt;alert(1)", "&lt;script&gt;alert(4)")
}

func TestServersList(t *testing.T) {
	h := newHouse(t, nil)
	for _, name := range []string{"web-2", "db-1", "web-1"} {
		h.server("shop", name, look(4, name == "db-1"), time.Minute)
	}
	h.server("shop", "idle-1", look(0, false), 3*time.Hour)
	h.server("shop", "new-1", nil, 0)
	web, err := h.desk.Server(context.Background(), boss, "shop", "web-1")
	if err != nil {
		t.Fatal(err)
	}
	s := h.schedule(web.Target, "weekly", 26*time.Hour, 2*time.Hour)
	h.tick(h.open(web.Target, s, time.Now()), time.Now())
	b := h.as(identity.Viewer)
	all := b.get("/servers").must(t, http.StatusOK, "5 servers", "4 updates", "2 security", "reboot required", "in touch", "never seen", "silent",
		"Europe/Sofia", "Waiting", "the window is closed", "Debian GNU/Linux 12", `scope="col"`, "<caption>")
	if db, web := strings.Index(all.body, "db-1"), strings.Index(all.body, "web-1"); db > web {
		t.Error("they are not in the order of their names")
	}
	b.get("/servers?q=WEB").must(t, http.StatusOK, "2 servers", `value="WEB"`).mustNot(t, "db-1")
	b.get("/servers?show=reboot").must(t, http.StatusOK, "1 server<", "db-1").mustNot(t, "web-1")
	b.get("/servers?show=silent&q=new").must(t, http.StatusOK, "new-1").mustNot(t, "idle-1")
	b.get("/servers?q=zzz").must(t, http.StatusOK, "No server fits.")
	b.get("/servers?page=-3").must(t, http.StatusOK, "5 servers")
}

func TestServersPages(t *testing.T) {
	h := newHouse(t, nil)
	var all []desk.Server
	for i := range 120 {
		all = append(all, desk.Server{Target: fleet.Target{Name: "web-" + string(rune('a'+i/26)) + string(rune('a'+i%26))}})
	}
	view := listServers(all, url.Values{"page": {"3"}, "q": {"web"}}, time.Now())
	if view.Pages != 3 || len(view.Rows) != 20 || view.Rows[0].Name != "web-dw" || view.address(view.Show, 2) != "/servers?page=2&q=web" {
		t.Fatalf("page 3 of %d has %d rows from %s", view.Pages, len(view.Rows), view.Rows[0].Name)
	}
	_ = h
}

func TestAServersPage(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(12, true), 3*time.Minute)
	s := h.schedule(server, "Default Update Schedule", -5*time.Minute, 2*time.Hour)
	_, err := h.desk.CreateFreeze(context.Background(), boss, desk.FreezeSpec{Start: time.Now().Add(6 * 24 * time.Hour), End: time.Now().Add(8 * 24 * time.Hour), Reason: "Black Friday"})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now().Add(-90 * time.Second)
	id := h.open(server, s, start)
	_, next := h.tick(id, start)
	h.do(next.Orders[0], start, 12*time.Second, nil)
	h.tick(id, start.Add(15*time.Second))
	h.tick(id, start.Add(16*time.Second))
	b := h.as(identity.Operator)
	b.get(serverPath(server.ID)).must(t, http.StatusOK,
		"Debian GNU/Linux 12", "6.1.0-40-amd64", "3 min ago", "3 h 1 min old", "wanted by linux-image-6.1.0-40-amd64", "postgresql-15", "site=fra1",
		"12 updates", "4 security", "1.0-1+deb12u2", "234.6 kB",
		"Default Update Schedule", "every week on", "(Europe/Sofia)", "open now", "freeze: Black Friday", ", starts ", ", ends ",
		"Under way", "Step 1 of 2: download 12 packages", "fetch the package lists", "it comes after", "<progress", "<svg", "Timeline as a table",
		"Update now", "/pause", "/abort", `role="status"`, "/updates", "managed by hand", `data-stream="/servers/`+server.ID+`/live"`).
		mustNot(t, `http-equiv="refresh"`)
	// Without a script the run's page is loaded again by itself; it has no field that this could empty.
	b.get(runPath(id)).must(t, http.StatusOK, `<noscript><meta http-equiv="refresh"`).mustNot(t, "<input", "<textarea")
}

func TestARunsPage(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(6, true), time.Minute)
	s := h.schedule(server, "weekly", -30*time.Minute, 2*time.Hour)
	start := time.Now().Add(-20 * time.Minute)
	id := h.open(server, s, start)
	r := h.finish(id, start, map[string]string{"curl": "postinst returned 1"})
	if r.State != run.Failed {
		t.Fatalf("the run is %s", r.State)
	}
	b := h.as(identity.Operator)
	b.get(runPath(id)).must(t, http.StatusOK,
		"Failed", "5 packages changed", "1.0-1+deb12u2", "What did not work", "curl", "postinst returned 1",
		"Output of commands", "Reading package lists", "schedule “weekly”", "agent of web-1", "What happened", "Times in Europe/Sofia").
		mustNot(t, "<progress", "data-stream", "/abort")
	b.get(serverPath(server.ID)).must(t, http.StatusOK, runPath(id), "Last update", "5 packages installed, 1 failed")
	b.get(historyPath(server.ID)).must(t, http.StatusOK, runPath(id), "Failed", "5 packages installed, 1 failed", "schedule “weekly”")
	// The run outlives its server.
	if err := h.desk.DeleteServer(context.Background(), boss, "shop", "web-1"); err != nil {
		t.Fatal(err)
	}
	b.get(runPath(id)).must(t, http.StatusOK, "Update of web-1").mustNot(t, serverPath(server.ID))
}

func TestADryRunSaysWhatItWouldDo(t *testing.T) {
	h := newHouse(t, nil)
	obs := look(3, true)
	obs.Commands = []string{"snapshot"}
	server := h.server("shop", "web-1", obs, time.Minute)
	b := h.as(identity.Operator)
	path := serverPath(server.ID) + "/update"
	form := url.Values{"hours": {"1"}, "scope": {"all"}, "reboot": {"always"}, "backup": {"snapshot"}, "key": {"k1"}, "do": {"preview"}}
	b.post(path, form).must(t, http.StatusOK, "3 packages would be installed", "backup “snapshot”", "reboot").mustNot(t, "does not offer")
	form.Set("backup", "tape")
	b.post(path, form).must(t, http.StatusOK, "backup “tape”", "does not offer “tape”")
	form.Set("dryrun", "yes")
	b.post(path, form).must(t, http.StatusOK, "it would be said of 3 packages, and nothing changed", "say what installing 3 packages would change").mustNot(t, "may disrupt")
	form.Del("do")
	form.Set("backup", "")
	where := b.post(path, form).header.Get("Location")
	r := h.finish(strings.TrimPrefix(where, "/runs/"), time.Now(), nil)
	if r.State != run.Succeeded || len(r.Result.Would) != 3 || len(r.Result.Changes) != 0 {
		t.Fatalf("%s, %d would change, %d changed", r.State, len(r.Result.Would), len(r.Result.Changes))
	}
	b.get(where).must(t, http.StatusOK, "3 packages would be changed", "dry run: changes nothing", "1.0-1+deb12u2")
	b.get(historyPath(server.ID)).must(t, http.StatusOK, "would change 3 packages", "dry run")
}

func TestAnUnmanagedServerIsNotUpdated(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(3, false), time.Minute)
	if _, err := h.desk.Unmanage(context.Background(), boss, "shop", "web-1"); err != nil {
		t.Fatal(err)
	}
	b := h.as(identity.Member)
	path := serverPath(server.ID)
	b.get(path).must(t, http.StatusOK, "unmanaged", "Manage this server").mustNot(t, "/update\"")
	for _, got := range []answer{b.get(path + "/update"), b.post(path+"/update", url.Values{"hours": {"1"}, "scope": {"all"}, "reboot": {"never"}})} {
		got.must(t, http.StatusConflict, "its owner installs its updates", path+"/manage", "Manage this server").mustNot(t, "Start the update")
	}
}

func TestHistoryGoesBack(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(1, false), time.Minute)
	s := h.schedule(server, "weekly", -time.Hour, 3*time.Hour)
	var ids []string
	for i := range pastPerPage + 5 {
		ids = append(ids, h.open(server, s, time.Now()))
		h.finish(ids[i], time.Now(), nil)
	}
	b := h.as(identity.Viewer)
	first := b.get(historyPath(server.ID)).must(t, http.StatusOK, runPath(ids[len(ids)-1]), "Older runs")
	first.mustNot(t, runPath(ids[4])+`"`, "Newest runs")
	b.get(historyPath(server.ID)+"?before="+ids[5]).must(t, http.StatusOK, runPath(ids[4]), runPath(ids[0]), "Newest runs").
		mustNot(t, runPath(ids[5])+`"`, "Older runs")
}

func TestGermanIsGerman(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(12, true), 3*time.Minute)
	s := h.schedule(server, "Wochenende", 26*time.Hour, 2*time.Hour)
	id := h.open(server, s, time.Now())
	h.tick(id, time.Now())
	b := h.as(identity.Operator)
	b.headers["Accept-Language"] = "fr, de-AT;q=0.8, en;q=0.5"
	b.get("/servers").must(t, http.StatusOK, `<html lang="de">`, "Neustart erforderlich", "Nächstes Wartungsfenster")
	b.get(serverPath(server.ID)).must(t, http.StatusOK, "jede Woche am", "das Fenster ist geschlossen", "Jetzt aktualisieren", "beginnt ", "12 Aktualisierungen", "vor 3 min")
	b.get(runPath(id)).must(t, http.StatusOK, "Aktualisierung von web-1", "Zeitplan „Wochenende“")
	// What the address asks for is kept, and goes before what the browser asks for.
	b.get("/servers?lang=en").must(t, http.StatusOK, `<html lang="en">`)
	b.get("/servers").must(t, http.StatusOK, "Next window")
	b.get("/servers?lang=xx").must(t, http.StatusOK, "Next window")
}

func TestErrorsHavePages(t *testing.T) {
	h := newHouse(t, nil)
	b := h.as(identity.Operator)
	b.get("/nowhere").must(t, http.StatusNotFound, "Not found", "<nav", "Status 404")
	b.get("/static/style.0.css").must(t, http.StatusNotFound)
	kinds := map[fault.Kind]int{fault.KindConflict: 409, fault.KindDenied: 403, fault.KindInternal: 500, fault.KindUnavailable: 503, fault.KindInvalid: 422}
	for kind, code := range kinds {
		w := httptest.NewRecorder()
		h.portal.open(func(*visit) error { return &fault.Error{Kind: kind, Reason: "secret of " + string(kind)} }).
			ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
		if w.Code != code || !strings.Contains(w.Body.String(), words{"en"}.T("error."+string(kind))) {
			t.Errorf("%s became %d: %s", kind, w.Code, w.Body)
		}
		if kind == fault.KindInternal && strings.Contains(w.Body.String(), "secret") {
			t.Error("an error of ours tells its secrets")
		}
	}
	w := httptest.NewRecorder()
	h.portal.open(func(*visit) error { panic(errors.New("oh")) }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "Something went wrong") {
		t.Errorf("a panic became %d: %s", w.Code, w.Body)
	}
}

func TestStaticFilesAreKeptByBrowsers(t *testing.T) {
	h := newHouse(t, nil)
	for name, path := range assetURLs {
		got := h.browser().get(path)
		if got.code != http.StatusOK || !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", name, got.code, got.header)
		}
	}
	if got := h.browser().get("/signin"); got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a page may be kept: %v", got.header)
	}
	if lines := strings.Count(string(assets[strings.TrimPrefix(assetURLs["live.js"], "/static/")].body), "\n"); lines > 40 {
		t.Errorf("the script has grown to %d lines", lines)
	}
}

func TestThePageIsToldOfChanges(t *testing.T) {
	h := newHouse(t, nil)
	server := h.server("shop", "web-1", look(3, false), time.Minute)
	s := h.schedule(server, "weekly", time.Hour, time.Hour)
	id := h.open(server, s, time.Now())
	h.tick(id, time.Now())
	b := h.as(identity.Viewer)
	web := httptest.NewServer(h.portal)
	defer web.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	events := func(path string) <-chan string {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: b.cookies[sessionCookie]})
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%s: %d %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
		lines := make(chan string, 100)
		go func() {
			defer close(lines)
			for scan := bufio.NewScanner(res.Body); scan.Scan(); {
				if strings.HasPrefix(scan.Text(), "data: ") {
					lines <- scan.Text()
				}
			}
		}()
		return lines
	}
	ofRun, ofServer := events(runPath(id)+"/live"), events(serverPath(server.ID)+"/live")
	for _, lines := range []<-chan string{ofRun, ofServer} {
		if got := <-lines; got != "data: hello" {
			t.Fatalf("the stream begins with %q", got)
		}
	}
	if _, err := h.desk.Pause(ctx, boss, id); err != nil {
		t.Fatal(err)
	}
	for _, lines := range []<-chan string{ofRun, ofServer} {
		if got := <-lines; got != "data: changed" {
			t.Fatalf("after a change: %q", got)
		}
	}
	h.portal.Close()
	for _, lines := range []<-chan string{ofRun, ofServer} {
		if got, open := <-lines; open {
			t.Fatalf("after closing: %q", got)
		}
	}
}
