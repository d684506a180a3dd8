//go:build e2e

package portal

import (
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
	"upkeep/internal/identity"
)

// soon is how long a page may take to show something.
const soon = 15 * time.Second

// fill writes into a field and tells the page's scripts.
func fill(selector, value string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](`(() => {
		const e = document.querySelector(` + quote(selector) + `);
		if (e.type === "checkbox" || e.type === "radio") e.checked = ` + quote(value) + ` === "yes"; else e.value = ` + quote(value) + `;
		e.dispatchEvent(new Event("input", {bubbles: true}));
	})()`)
}

// says waits until a part of the page says something.
func says(ctx context.Context, t *testing.T, selector, text string) {
	t.Helper()
	question := `(document.querySelector(` + quote(selector) + `)?.innerText ?? "").toLowerCase().includes(` + quote(text) + `.toLowerCase())`
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](question, chromedp.WithPollingTimeout(soon))); err != nil {
		said, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector(`+quote(selector)+`)?.innerText ?? "(there is none)"`))
		t.Fatalf("%s does not say %q: %v; it says %s", selector, text, err, said)
	}
}

// goes does steps that lead to another page.
func goes(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) int {
	t.Helper()
	res, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		t.Fatal(err)
	}
	return int(res.Status)
}

// do does steps that stay on the page.
func do(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// fresh is a server without schedules on a street.
func (s street) fresh(name string) fleet.Target {
	s.t.Helper()
	obs := look(5, false)
	obs.Commands = []string{"snapshot", "healthy"}
	return s.house.server("shop", name, obs, time.Minute)
}

func (s street) schedulesOf(server string) []fleet.Schedule {
	s.t.Helper()
	all, err := s.desk.Schedules(context.Background(), boss, "", server, "", 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func TestAScheduleFromTheBuilderToItsEnd(t *testing.T) {
	s, ctx := newStreet(t), chrome(t)
	s.signIn(ctx, t, identity.Operator)
	for _, lang := range languages {
		w := words{lang}
		sentence := map[string]string{"en": "every week on Saturday and Sunday at 03:00 (Europe/Sofia)", "de": "jede Woche am Samstag und Sonntag um 03:00 Uhr (Europe/Sofia)"}[lang]
		nightly := map[string]string{"en": "every month on the second Tuesday at 04:30", "de": "jeden Monat am zweiten Dienstag um 04:30 Uhr"}[lang]
		server := s.fresh("fresh-" + lang)
		pane := s.web.URL + schedulesPath(server.ID)

		// What the fields mean is seen before anything is stored.
		do(ctx, t, chromedp.Navigate(withLang(pane, lang)))
		goes(ctx, t, chromedp.Click("#create"))
		do(ctx, t, chromedp.WaitNotVisible("#rrule"), chromedp.WaitNotVisible("#monthday"), chromedp.WaitVisible("#day-SU"), chromedp.WaitNotVisible("#reboot-time"),
			fill("#name", "Weekend"), fill("#zone", "Europe/Sofia"), fill("#day-SU", "yes"))
		says(ctx, t, "#preview", sentence)
		count, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll("#preview ol li").length`))
		if err != nil || count != 5 {
			t.Errorf("%d occurrences are shown, %v", count, err)
		}
		if n := len(s.schedulesOf(server.ID)); n != 0 {
			t.Fatalf("%d schedules are stored by a preview", n)
		}
		do(ctx, t, fill("#hours", "many"))
		says(ctx, t, "#preview", w.T("wrong.hours"))
		do(ctx, t, fill("#hours", "2"), fill("#reboot", "own-window"), chromedp.WaitVisible("#reboot-time"), fill("#reboot", "never"))
		says(ctx, t, "#preview", sentence)
		goes(ctx, t, chromedp.Click("#save"))
		says(ctx, t, ".note", w.T("schedule.note-created"))

		// One that overlaps is refused with what it overlaps, and can be allowed.
		goes(ctx, t, chromedp.Click("#create"))
		do(ctx, t, fill("#name", "Nightly"), fill("#zone", "Europe/Sofia"), fill("#repeat", "daily"), fill("#time", "04:30"))
		says(ctx, t, "#preview .clash", "Weekend")
		if status := goes(ctx, t, chromedp.Click("#save")); status != 409 {
			t.Errorf("an overlap is answered with %d", status)
		}
		says(ctx, t, "#allow-mistake", "Weekend")
		if n := len(s.schedulesOf(server.ID)); n != 1 {
			t.Fatalf("%d schedules after the refusal", n)
		}
		goes(ctx, t, chromedp.Click("#allow"), chromedp.Click("#save"))
		says(ctx, t, "#live-schedules", w.T("schedule.overlaps", "Weekend"))

		// Edit on the side; then it does not overlap any more.
		goes(ctx, t, chromedp.Click(`[aria-label=`+quote(w.T("schedule.edit-it", "Nightly"))+`]`))
		do(ctx, t, fill("#repeat", "nth"), chromedp.WaitVisible("#nth"), fill("#nth", "2"), fill("#nthday", "TU"))
		says(ctx, t, "#preview", nightly)
		goes(ctx, t, chromedp.Click("#save"))
		says(ctx, t, ".note", w.T("schedule.note-changed"))
		says(ctx, t, "#live-schedules", nightly)

		goes(ctx, t, chromedp.Click(`[aria-label=`+quote(w.T("schedule.disable-it", "Nightly"))+`]`))
		says(ctx, t, ".note", w.T("schedule.note-disabled"))
		goes(ctx, t, chromedp.Click(`[aria-label=`+quote(w.T("schedule.delete-it", "Nightly"))+`]`))
		says(ctx, t, "h2", w.T("schedule.delete-title", "Nightly"))
		goes(ctx, t, chromedp.Click("button.danger"))
		says(ctx, t, ".note", w.T("schedule.note-deleted"))
		left := s.schedulesOf(server.ID)
		if len(left) != 1 || left[0].Name != "Weekend" || !left[0].Enabled || left[0].Policy.Reboot != fleet.RebootNever {
			t.Errorf("left are %+v", left)
		}
	}
}

func TestAxeFindsNothingInFormsWithMistakes(t *testing.T) {
	checker, s, ctx := axe(t), newStreet(t), chrome(t)
	s.signIn(ctx, t, identity.Operator)
	check := func(what string) {
		t.Helper()
		found, err := chromedp.Run(ctx, chromedp.Evaluate[string](checker+violations, chromedp.EvalAwaitPromise))
		if err != nil || found != "[]" {
			t.Errorf("%s: %v %s", what, err, found)
		}
	}
	server := s.fresh("fresh")
	s.house.schedule(server, "Weekly", 26*time.Hour, 2*time.Hour)
	do(ctx, t, chromedp.Navigate(s.web.URL+schedulesPath(server.ID)+"/new?lang=en"), fill("#name", "Daily"), fill("#repeat", "daily"), fill("#hours", "24"), fill("#reboot", "own-window"))
	says(ctx, t, "#preview", "Weekly:")
	check("a schedule that overlaps")
	goes(ctx, t, chromedp.Click("#save"))
	check("a schedule that was refused")
	do(ctx, t, fill("#mode-expert", "yes"), fill("#rrule", "RRULE:FREQ=NEVER"), fill("#reboot-hours", "x"), fill("#backup", "tape"))
	goes(ctx, t, chromedp.Click("#save"))
	says(ctx, t, "#form-error", "RRULE")
	check("a rule that can't be read")
	goes(ctx, t, chromedp.Navigate(s.web.URL+"/policies/new"))
	do(ctx, t, fill("#name", "x"), fill("#mode-spread", "yes"), fill("#spreadzone", "Mars"))
	goes(ctx, t, chromedp.Click("#save"))
	check("a policy in no zone")
	goes(ctx, t, chromedp.Navigate(s.web.URL+"/freezes"))
	goes(ctx, t, fill("#to-day", "2001-01-01"), fill("#reason", "x"), chromedp.Click(".fields button"))
	says(ctx, t, "#to-day-mistake", "after")
	check("a freeze that ends before it begins")
	goes(ctx, t, chromedp.Navigate(s.web.URL+serverPath(server.ID)+"/update"))
	goes(ctx, t, fill("#hours", "99"), chromedp.Click(".card form .actions button"))
	says(ctx, t, "#hours-mistake", "24h")
	check("an update that is too long")
}

func TestUpdateNowAndReadTheResult(t *testing.T) {
	s, ctx := newStreet(t), chrome(t)
	s.signIn(ctx, t, identity.Operator)
	for _, lang := range languages {
		w := words{lang}
		server := s.fresh("fresh-" + lang)
		do(ctx, t, chromedp.Navigate(withLang(s.web.URL+serverPath(server.ID), lang)))
		goes(ctx, t, chromedp.Click(`.head a[href$="/update"]`))
		says(ctx, t, "#preview", w.N("forecast.packages", 5))
		do(ctx, t, fill("#scope", "security"))
		says(ctx, t, "#preview", w.N("forecast.packages", 2))
		do(ctx, t, fill("#backup", "tape"))
		says(ctx, t, "#preview", w.T("preview.unknown", "tape"))
		do(ctx, t, fill("#backup", "snapshot"), fill("#reason", "CVE of today"))
		says(ctx, t, "#preview", "snapshot")
		goes(ctx, t, chromedp.Click(".card form .actions button"))
		says(ctx, t, "h1", w.T("run.title", server.Name))
		address, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.pathname`))
		if err != nil {
			t.Fatal(err)
		}
		id := strings.TrimPrefix(address, "/runs/")
		s.finish(id, time.Now(), nil)
		says(ctx, t, "#live-now", w.T("state.succeeded")) // the open page follows
		says(ctx, t, "#live-result", w.N("run.changes", 2))
		goes(ctx, t, chromedp.Navigate(s.web.URL+historyPath(server.ID)))
		says(ctx, t, "#live-history", w.N("result.installed", 2))
	}
}

func TestComplianceIsDownloaded(t *testing.T) {
	s, ctx, dir := newStreet(t), chrome(t), t.TempDir()
	s.signIn(ctx, t, identity.Operator)
	for _, lang := range languages {
		progress := chromedp.Events(ctx, cdbrowser.DownloadProgress)
		events := true
		do(ctx, t, chromedp.Navigate(withLang(s.web.URL+"/compliance?show=behind", lang)),
			send(cdbrowser.SetDownloadBehavior, cdbrowser.SetDownloadBehaviorParams{Behavior: cdbrowser.SetDownloadBehaviorBehaviorAllowAndName, DownloadPath: dir, EventsEnabled: &events}),
			chromedp.Click("#csv"))
		name := ""
		for event, err := range progress {
			if err != nil {
				t.Fatal(err)
			}
			if event.State == cdbrowser.DownloadProgressStateCompleted {
				name = event.GUID
				break
			}
		}
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		lines, err := csv.NewReader(file).ReadAll()
		if err != nil || len(lines) < 3 || lines[0][0] != "server" {
			t.Fatalf("%v: %q", err, lines)
		}
		for _, line := range lines[1:] {
			if line[4] != string(desk.LevelBehind) {
				t.Errorf("%q is not among those asked for", line)
			}
		}
	}
}

// tabTo presses Tab until the field is reached.
func tabTo(ctx context.Context, t *testing.T, id string) {
	t.Helper()
	for range 120 {
		do(ctx, t, chromedp.KeyEvent(kb.Tab))
		at, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.activeElement.id`))
		if err != nil {
			t.Fatal(err)
		}
		if at == id {
			return
		}
	}
	t.Fatalf("Tab never leads to %s", id)
}

func TestAScheduleByKeyboardOnly(t *testing.T) {
	s, ctx := newStreet(t), chrome(t)
	s.signIn(ctx, t, identity.Operator)
	server := s.fresh("fresh")
	do(ctx, t, chromedp.Navigate(withLang(s.web.URL+schedulesPath(server.ID), "en")))
	tabTo(ctx, t, "create")
	goes(ctx, t, chromedp.KeyEvent(kb.Enter))
	tabTo(ctx, t, "name")
	do(ctx, t, chromedp.KeyEvent("Weekend"))
	tabTo(ctx, t, "day-SU")
	do(ctx, t, chromedp.KeyEvent(" "))
	says(ctx, t, "#preview", "Saturday and Sunday")
	tabTo(ctx, t, "save")
	goes(ctx, t, chromedp.KeyEvent(kb.Enter))
	says(ctx, t, ".note", "The schedule was created.")
	if all := s.schedulesOf(server.ID); len(all) != 1 || all[0].Name != "Weekend" {
		t.Errorf("stored are %+v", all)
	}
}

func TestAScheduleWithoutScripts(t *testing.T) {
	s, ctx := newStreet(t), chrome(t)
	do(ctx, t, send(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	s.signIn(ctx, t, identity.Operator)
	server := s.fresh("fresh")
	do(ctx, t, chromedp.Navigate(withLang(s.web.URL+schedulesPath(server.ID), "en")))
	goes(ctx, t, chromedp.Click("#create"))
	do(ctx, t, chromedp.SetValue("#name", "Nightly"), chromedp.SetValue("#repeat", "daily"))
	goes(ctx, t, chromedp.Click(`button[value="preview"]`))
	text, err := chromedp.Run(ctx, chromedp.Text("#preview"))
	if err != nil || !strings.Contains(strings.ToLower(text), "every day at 03:00") {
		t.Fatalf("the preview says %q, %v", text, err)
	}
	if n := len(s.schedulesOf(server.ID)); n != 0 {
		t.Fatalf("%d schedules are stored by a preview", n)
	}
	goes(ctx, t, chromedp.Click("#save"))
	if all := s.schedulesOf(server.ID); len(all) != 1 || all[0].Name != "Nightly" {
		t.Errorf("stored are %+v", all)
	}
	// The reader's zone is asked for in the footer.
	goes(ctx, t, chromedp.SetValue("#reader-zone", "Asia/Tokyo"), chromedp.Click(".zone button"))
	if text, err = chromedp.Run(ctx, chromedp.Text("#live-schedules")); err != nil || !strings.Contains(text, "(Asia/Tokyo)") {
		t.Errorf("the schedules say %q, %v", text, err)
	}
}

func TestTheBrowserTellsItsZone(t *testing.T) {
	s, ctx := newStreet(t), chrome(t)
	do(ctx, t, send(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "America/New_York"}))
	s.signIn(ctx, t, identity.Viewer)
	do(ctx, t, chromedp.Navigate(withLang(s.web.URL+schedulesPath(s.id), "en")))
	says(ctx, t, "#live-schedules", "(America/New_York)")
}
