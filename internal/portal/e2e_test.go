//go:build e2e

package portal

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
	"upkeep/internal/rollout"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// axeVersion is the checker for accessibility that npm brings.
const axeVersion = "4.10.3"

// axe fetches axe-core through npm into the user's cache, once. It runs in the
// tests' browser only, and is no part of what we ship.
func axe(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "upkeep-tests")
	file := filepath.Join(dir, "axe-"+axeVersion+".js")
	if text, err := os.ReadFile(file); err == nil {
		return string(text)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Fatal("npm, which brings axe-core, is not installed: make setup brings it")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pack := exec.Command(npm, "pack", "--silent", "axe-core@"+axeVersion)
	pack.Dir = t.TempDir()
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("npm pack axe-core: %v: %s", err, out)
	}
	text := unpack(t, filepath.Join(pack.Dir, "axe-core-"+axeVersion+".tgz"), "package/axe.min.js")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// unpack reads one file of a packed archive.
func unpack(t *testing.T, archive, name string) []byte {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for entries := tar.NewReader(plain); ; {
		entry, err := entries.Next()
		if err != nil {
			t.Fatalf("%s has no %s: %v", archive, name, err)
		}
		if entry.Name == name {
			text, err := io.ReadAll(entries)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
	}
}

// chrome opens a browser with a profile of its own.
func chrome(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed: make setup brings it")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	// The browser lives as long as the context that starts it.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, stop = context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(stop)
	return ctx
}

// street is a house with all that pages can show.
type street struct {
	*house
	web                          *httptest.Server
	working, waiting, failed, id string
	service, roll                string
	rollout                      string
	update, abort                string
	weekend                      fleet.Schedule // one of the server's
	owners                       string         // a server that is left to its owner
	freeze                       window.Freeze
	policy                       string
}

func newStreet(t *testing.T) street {
	s := street{house: newHouse(t, nil)}
	s.web = httptest.NewServer(s.portal)
	// The portal closes its streams first: a test server waits for them.
	t.Cleanup(func() { s.portal.Close(); s.web.CloseClientConnections(); s.web.Close() })
	for i, name := range []string{"db-1", "db-2", "mail-1", "web-2", "web-3"} {
		server := s.server("shop", name, look(4*i, i == 2), time.Duration(1+i*i*2)*time.Minute)
		if i%2 == 0 {
			s.schedule(server, "Default Update Schedule", time.Duration(20+30*i)*time.Hour, 2*time.Hour)
		}
	}
	s.on(s.server("shop", "build-worker-with-a-long-name-42.internal", nil, 0), s.imagesOfYears())
	s.owners = s.server("shop", "lab-1", look(3, false), time.Minute).ID
	if _, err := s.desk.Unmanage(context.Background(), boss, "shop", "lab-1"); err != nil {
		t.Fatal(err)
	}

	obs := look(14, true)
	obs.Commands = []string{"snapshot", "drain", "healthy"}
	server := s.server("shop", "web-1", obs, 2*time.Minute)
	schedule := s.schedule(server, "Default Update Schedule", -9*time.Minute, 2*time.Hour)
	s.schedule(server, "Monthly reboot", 50*time.Hour, time.Hour)
	s.weekend = schedule
	var err error
	if s.freeze, err = s.desk.CreateFreeze(context.Background(), boss, desk.FreezeSpec{Start: time.Now().Add(6 * 24 * time.Hour), End: time.Now().Add(9 * 24 * time.Hour), Reason: "Black Friday: nothing may change"}); err != nil {
		t.Fatal(err)
	}
	s.rules()
	past := time.Now().Add(-7 * 24 * time.Hour)
	s.failed = s.open(server, s.once(server, past), past)
	s.finish(s.failed, past, map[string]string{"nginx": "installed nginx package post-installation script subprocess returned error exit status 1"})
	again := s.observe(server.ID, 14, true)
	again.Observed.Commands = obs.Commands
	s.house.update(func(tx store.Tx) (err error) { again, err = tx.PutTarget(again); return err })
	start := time.Now().Add(-5 * time.Minute)
	s.working = s.open(again, schedule, start)
	for i, took := range []time.Duration{14 * time.Second, 70 * time.Second} {
		_, next := s.tick(s.working, start)
		s.do(next.Orders[0], start, took, nil)
		start = start.Add(took + time.Duration(i+1)*10*time.Second)
	}
	s.tick(s.working, start)
	s.id = server.ID
	s.update, s.abort = serverPath(server.ID)+"/update", runPath(s.working)+"/abort"
	other, err := s.desk.Server(context.Background(), boss, "shop", "mail-1")
	if err != nil {
		t.Fatal(err)
	}
	s.waiting = s.open(other.Target, other.Schedules[0], time.Now())
	s.tick(s.waiting, time.Now())
	service, roll := s.rolled()
	s.service, s.roll = service.ID, roll
	promoted := s.promoted()
	if _, err := s.desk.Veto(context.Background(), boss, "shop", "region", promoted.Version, "messages were lost in stage after three days", false); err != nil {
		t.Fatal(err)
	}
	s.rollout = promoted.ID
	s.queues()
	return s
}

// queues is a train that a release could be started through, with windows.
func (s *street) queues() {
	ctx := context.Background()
	service := fleet.Service{Quorum: 2}
	for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
		service.Members = append(service.Members, fleet.Member{Name: name, Server: name})
	}
	if _, _, err := s.desk.PutService(ctx, boss, desk.ServiceSpec{Project: "shop", Name: "queues", Service: service}); err != nil {
		s.t.Fatal(err)
	}
	rule, err := window.ParseRRule("DTSTART;TZID=Europe/Berlin:20260105T180000 RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH")
	if err != nil {
		s.t.Fatal(err)
	}
	evenings, err := window.New(rule, 5*time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	train := rollout.Train{
		Name: "queues", Title: "Message queues",
		Environments: []rollout.Environment{{Name: "stage", Soak: 24 * time.Hour}, {Name: "prod", After: "stage", Soak: 24 * time.Hour, Approvals: 1, Window: evenings, Region: true}},
		Phases:       []rollout.Phase{{Name: "queues", Component: "queue", Service: "queues", Runbook: "restart"}},
		Gates:        []rollout.Gate{{Name: "answers", Kind: rollout.HTTPGate, With: map[string]string{"url": "http://queues/{{digest.queue}}"}}},
	}
	if _, _, err := s.desk.PutTrain(ctx, boss, "shop", train); err != nil {
		s.t.Fatal(err)
	}
	for version, digest := range map[string]string{"4.0": oldDigest, "4.1": newDigest} {
		if _, _, err := s.desk.PutTrainRelease(ctx, boss, "shop", rollout.Release{Train: "queues", Version: version, Digests: map[string]string{"queue": digest}}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// rules makes a group and a policy.
func (s *street) rules() {
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		if _, _, err := s.desk.PutServer(context.Background(), boss, desk.ServerSpec{Project: "shop", Name: name, Group: "web", Labels: map[string]string{"site": "fra1"}}); err != nil {
			s.t.Fatal(err)
		}
	}
	group := desk.GroupSpec{
		Project: "shop", Name: "web", Canaries: []string{"web-3", "web-9"}, Soak: 24 * time.Hour, StopAfter: 2, RRule: "DTSTART;TZID=Europe/Berlin:20260105T020000 RRULE:FREQ=DAILY;INTERVAL=1", Duration: 4 * time.Hour,
	}
	if _, _, err := s.desk.PutGroup(context.Background(), boss, group); err != nil {
		s.t.Fatal(err)
	}
	policy := fleet.Policy{Scope: fleet.ScopeSecurity, Within: 14 * 24 * time.Hour, Hold: []string{"postgresql-*"}, Backup: "snapshot", Health: []string{"healthy"}}
	t, _, err := s.desk.PutTemplate(context.Background(), boss, desk.TemplateSpec{
		Name: "Security at night", Description: "For what is reached from outside.", Enabled: true, Duration: 2 * time.Hour, Policy: policy,
		RRule: "DTSTART;TZID=Europe/Berlin:20260105T020000 RRULE:FREQ=DAILY;INTERVAL=1",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.policy = t.ID
}

// signIn signs a browser in through the form, with the keyboard.
func (s street) signIn(ctx context.Context, t *testing.T, role identity.Role) {
	t.Helper()
	err := chromedp.Do(ctx, send(network.ClearBrowserCookies, cdp.Empty{}), chromedp.Navigate(s.web.URL+"/servers"),
		chromedp.WaitVisible("#token"), chromedp.SendKeys("#token", s.tokens[role]+"\r"), chromedp.WaitVisible("table, #first"))
	if err != nil {
		t.Fatal(err)
	}
}

func (s street) pages() map[string]string {
	return map[string]string{
		"services": "/services", "service": servicePath(s.service), "run-of-a-runbook": runPath(s.roll),
		"train": aheadPath("shop", "queues", "4.1") + "&from=4.0", "train-busy": aheadPath("shop", "region", "2026.2"), "rollout-start": trainPath("shop", "queues") + "/start",
		"rollout-pin": environmentPath(s.rollout, "dev") + "/pin", "rollout-unpin": pinsPath(s.rollout, "stage", "api"),
		"clashes": "/clashes?project=shop", "rollouts": "/rollouts", "rollout": rolloutPath(s.rollout), "rollout-lift-veto": rolloutPath(s.rollout) + "/lift-veto",
		"rollout-decide": gatePath(s.rollout, "prod1", "latency-of-the-slowest-hundredth"), "rollout-waive": ackPath(s.rollout, "MQ-3"),
		"servers": "/servers", "server": serverPath(s.id), "run-working": runPath(s.working), "run-waiting": runPath(s.waiting),
		"history": historyPath(s.id), "schedules": schedulesPath(s.id), "schedule-new": schedulesPath(s.id) + "/new",
		"schedule-edit": schedulePath(s.weekend), "schedule-delete": schedulePath(s.weekend) + "/delete",
		"compliance": "/compliance", "groups": "/groups", "group": groupPath("shop", "web"), "policies": "/policies", "policy-new": "/policies/new",
		"policy-edit": "/policies/" + s.policy, "policy-delete": "/policies/" + s.policy + "/delete", "freezes": "/freezes", "freeze-lift": freezePath(s.freeze),
		"manage": serverPath(s.id) + "/manage", "unmanage": serverPath(s.id) + "/unmanage", "unmanaged": schedulesPath(s.owners),
		"images": "/images", "old-image": "/servers?show=old-image", "run-failed": runPath(s.failed), "update": s.update, "abort": s.abort, "nowhere": "/nowhere", "nothing-found": "/servers?q=zzz",
	}
}

func TestAxeFindsNothing(t *testing.T) {
	checker, s, ctx := axe(t), newStreet(t), chrome(t)
	s.signIn(ctx, t, identity.Operator)
	check := func(name, path string) {
		for _, lang := range languages {
			for _, theme := range []string{"light", "dark"} {
				found, err := ask(ctx, themed(theme), s.web.URL+withLang(path, lang), checker+violations)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if found != "[]" {
					t.Errorf("%s, %s, %s: %s", name, lang, theme, found)
				}
			}
		}
	}
	for name, path := range s.pages() {
		check(name, path)
	}
	if err := chromedp.Do(ctx, send(network.ClearBrowserCookies, cdp.Empty{})); err != nil {
		t.Fatal(err)
	}
	check("signin", "/signin")
}

// violations asks axe, on a page with everything unfolded.
const violations = ";" + openAll + `
	axe.run(document, {resultTypes: ["violations"]}).then(r => r.passes.length < 10 ? "axe looked at nothing" : JSON.stringify(r.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html + " " + n.failureSummary)])))`

func withLang(path, lang string) string {
	u, err := url.Parse(path)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	q.Set("lang", lang)
	u.RawQuery = q.Encode()
	return u.String()
}

func TestNoPageScrollsSideways(t *testing.T) {
	s, ctx := newStreet(t), chrome(t)
	s.signIn(ctx, t, identity.Operator)
	for name, path := range s.pages() {
		fits(ctx, t, name, s.web.URL+path)
	}
	if err := chromedp.Do(ctx, send(network.ClearBrowserCookies, cdp.Empty{})); err != nil {
		t.Fatal(err)
	}
	fits(ctx, t, "signin", s.web.URL+"/signin")
	empty := street{house: newHouse(t, &boss.Principal)}
	empty.web = httptest.NewServer(empty.portal)
	defer empty.web.Close()
	fits(ctx, t, "empty", empty.web.URL+"/servers")
}

// fits checks a page on screens of all sizes. Where UPKEEP_SCREENSHOTS names a
// folder, pictures for a person to look at are put there.
func fits(ctx context.Context, t *testing.T, name, address string) {
	t.Helper()
	shots := os.Getenv("UPKEEP_SCREENSHOTS")
	sizes := []struct {
		name          string
		width, height int64
	}{{"desktop", 1280, 900}, {"phone", 390, 844}, {"narrow", 320, 640}}
	for _, lang := range languages {
		for _, size := range sizes {
			for _, theme := range []string{"light", "dark"} {
				over, err := ask(ctx, chromedp.Steps(chromedp.EmulateViewport(size.width, size.height), themed(theme)), withLang(address, lang), openAll+`
					document.documentElement.scrollWidth <= innerWidth ? "" : [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className.toString()).join(" ")`)
				var shot []byte
				if err == nil && shots != "" && size.name != "narrow" {
					if err = chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](closeAll)); err == nil {
						shot, err = chromedp.Run(ctx, chromedp.FullScreenshot(100))
					}
				}
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if over != "" {
					t.Errorf("%s, %s, %s: wider than the screen: %s", name, lang, size.name, over)
				}
				if shot != nil {
					file := filepath.Join(shots, fmt.Sprintf("%s-%s-%s-%s.png", name, lang, size.name, theme))
					if err := os.WriteFile(file, shot, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

const (
	openAll  = `document.querySelectorAll("details").forEach(d => d.open = true);`
	closeAll = `document.querySelectorAll("details").forEach(d => d.open = false);`
)

// look opens a page and asks it something.
func ask(ctx context.Context, prepare chromedp.Action[chromedp.Void], address, question string) (string, error) {
	if err := chromedp.Do(ctx, prepare, chromedp.Navigate(address)); err != nil {
		return "", err
	}
	return chromedp.Run(ctx, chromedp.Evaluate[string](question, chromedp.EvalAwaitPromise))
}

// themed asks for light or dark colours.
func themed(theme string) chromedp.Action[chromedp.Void] {
	return send(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
}

// send tells the browser something.
func send[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

func TestThePageFollowsTheRun(t *testing.T) {
	s, ctx := newStreet(t), chrome(t)
	s.signIn(ctx, t, identity.Operator)
	before, err := ask(ctx, chromedp.Steps(), s.web.URL+serverPath(s.id), `window.mark = "the same page"; document.querySelector("#pending-all").open = true; document.querySelector("#live-status").textContent`)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.desk.Run(ctx, boss, s.working)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range r.Plan.Root.Steps() {
		if st := r.Progress[step.ID]; st.Stage == "running" {
			order := run.Order{}
			order.Run, order.Step, order.Attempt, order.Target, order.Kind, order.Packages = r.ID, step.ID, st.Attempt, step.Target, step.Action, step.Packages
			s.do(order, st.Ordered, 50*time.Second, nil)
		}
	}
	s.tick(s.working, time.Now())
	s.tick(s.working, time.Now())
	after, err := chromedp.Run(ctx, chromedp.Poll[string](`(now => now !== `+quote(before)+` && now)(document.querySelector("#live-status").textContent)`, chromedp.WithPollingTimeout(10*time.Second)))
	if err != nil {
		t.Fatalf("the page stays at %q: %v", before, err)
	}
	mark, err := chromedp.Run(ctx, chromedp.Evaluate[string](`window.mark + (document.querySelector("#pending-all")?.open === false ? ", shut" : "")`))
	if err != nil {
		t.Fatal(err)
	}
	if mark != "the same page" {
		t.Errorf("the page was loaded anew, or a list fell shut: %q", mark)
	}
	if before == after {
		t.Errorf("the page still says %q", after)
	}
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestItWorksWithoutScripts(t *testing.T) {
	s, ctx := newStreet(t), chrome(t)
	if err := chromedp.Do(ctx, send(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})); err != nil {
		t.Fatal(err)
	}
	s.signIn(ctx, t, identity.Operator)
	err := chromedp.Do(ctx, chromedp.Navigate(s.web.URL+runPath(s.waiting)),
		chromedp.Click("#pause-"+s.waiting), chromedp.WaitVisible("#resume-"+s.waiting),
		chromedp.Click("#abort-"+s.waiting), chromedp.WaitVisible("#reason"), chromedp.SendKeys("#reason", "wrong night"),
		chromedp.Click("button.danger"), chromedp.WaitVisible("#live-now"))
	if err != nil {
		t.Fatal(err)
	}
	heading, err := chromedp.Run(ctx, chromedp.Text("h1"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.desk.Run(context.Background(), boss, s.waiting)
	if err != nil {
		t.Fatal(err)
	}
	if r.AbortedBy != "user/anna-operator" || heading != "Update of mail-1" {
		t.Errorf("aborted by %q; the page is %q", r.AbortedBy, heading)
	}
}
