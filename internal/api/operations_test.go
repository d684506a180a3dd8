package api_test

import (
	"strings"
	"testing"
	"time"

	"upkeep/client"
	"upkeep/internal/action"
	"upkeep/internal/run"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

func TestServers(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	made, err := h.member.PutServer(ctx, "web-1", client.ServerInput{Group: "web", Labels: map[string]string{"site": "fra1"}}, nil)
	h.must(err)
	if made.Project != "red" || made.Name != "web-1" || made.Group != "web" || made.Labels["site"] != "fra1" || made.Revision != 1 || made.Agent != nil || made.Observed != nil {
		t.Errorf("made %+v", made)
	}
	again, err := h.member.PutServer(ctx, "web-1", client.ServerInput{Group: "front"}, nil)
	h.must(err)
	if again.ID != made.ID || again.Group != "front" || len(again.Labels) != 0 || again.Revision != 2 {
		t.Errorf("replaced %+v", again)
	}
	if got := h.ask("PUT /v1/servers/web-1", "mara", `{}`).status; got != 200 {
		t.Errorf("replacing answers %d", got)
	}
	if got := h.ask("PUT /v1/servers/web-2", "mara", `{}`).status; got != 201 {
		t.Errorf("creating answers %d", got)
	}

	e, err := h.member.EnrolServer(ctx, "web-1", nil)
	h.must(err)
	if !strings.HasPrefix(e.Token, "upe_") || time.Until(e.Expires) < time.Hour {
		t.Errorf("enrolment %+v", e)
	}

	h.observe(made.ID)
	seen := time.Now().Truncate(time.Second).UTC()
	h.update(func(tx store.Tx) error {
		return tx.PutAgent(store.Agent{Target: made.ID, Key: "ab", Version: "0.1.0", LastSeen: seen, Expires: seen.Add(time.Hour)})
	})
	h.schedule("red", "web-1")
	s, err := h.viewer.GetServer(ctx, "web-1", nil)
	h.must(err)
	byID, err := h.viewer.GetServer(ctx, made.ID, nil)
	h.must(err)
	if byID.Name != "web-1" || s.ID != made.ID {
		t.Errorf("by name %s, by id %s", s.ID, byID.Name)
	}
	if s.Agent == nil || s.Agent.Version != "0.1.0" || !s.Agent.LastSeen.Equal(seen) || !s.Agent.CertificateExpires.Equal(seen.Add(time.Hour)) {
		t.Errorf("agent %+v", s.Agent)
	}
	checkObserved(t, s.Observed)
	if len(s.Schedules) != 1 || s.Schedules[0].Name != "weekly" || !strings.Contains(s.Schedules[0].Words, day.String()) {
		t.Errorf("schedules %+v", s.Schedules)
	}

	h.must(h.member.DeleteServer(ctx, "web-1", nil))
	if _, err := h.viewer.GetServer(ctx, "web-1", nil); !client.Is(err, client.KindNotFound) {
		t.Errorf("a deleted server: %v", err)
	}
}

func checkObserved(t *testing.T, o *client.Observed) {
	t.Helper()
	if o == nil {
		t.Fatal("nothing observed")
	}
	if o.BootID != "boot-1" || o.Hostname != "web-1.example.net" || !strings.Contains(o.System, "Debian") || o.Kernel != "6.1.0-28-amd64" ||
		o.Arch != "amd64" || o.PackageManager != "apt" || o.ListsAge != "3h" || time.Since(o.ObservedAt) > time.Minute {
		t.Errorf("observed %+v", o)
	}
	if !o.RebootRequired || len(o.RebootPackages) != 1 || len(o.Held) != 1 || o.HalfConfigured == nil || o.PendingUpdates != 2 || o.SecurityUpdates != 1 {
		t.Errorf("observed %+v", o)
	}
	want := client.PendingUpdate{Name: "openssl", From: "3.0.14-1", To: "3.0.15-1", Security: true, Origin: "Debian-Security", Bytes: 1024}
	if len(o.Pending) != 2 || o.Pending[0] != want {
		t.Errorf("pending %+v", o.Pending)
	}
}

func TestServerPages(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	for _, name := range []string{"a", "b", "c"} {
		h.observe(h.server("red", name).ID)
	}
	h.server("blue", "d")
	var names []string
	p := &client.ListServersParams{Limit: 2}
	for pages := 1; ; pages++ {
		l, err := h.viewer.ListServers(ctx, p)
		h.must(err)
		for _, s := range l.Items {
			names = append(names, s.Name)
			if s.Observed == nil || s.Observed.PendingUpdates != 2 || s.Observed.Pending != nil {
				t.Errorf("in a list: %+v", s.Observed)
			}
		}
		if p.After = l.Next; l.Next == "" {
			if pages != 2 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if got := strings.Join(names, ""); got != "abc" {
		t.Errorf("listed %s", got)
	}
	all, err := h.operator.ListServers(ctx, nil)
	h.must(err)
	blue, err := h.operator.ListServers(ctx, &client.ListServersParams{Project: "blue"})
	h.must(err)
	if len(all.Items) != 4 || len(blue.Items) != 1 || blue.Items[0].Name != "d" {
		t.Errorf("an operator sees %d and in blue %+v", len(all.Items), blue.Items)
	}
}

func TestSchedules(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	server := h.server("red", "web-1")
	off := false
	in := client.ScheduleInput{RRule: weekly, Duration: "2h30m", Policy: &client.Policy{
		Scope: client.Security, Hold: []string{"nginx"}, Reboot: client.Never, Batch: 10, Prepare: "90m", NoticeLead: "72h",
		Expect: map[string]string{"reboot": "3m"},
	}}
	s, err := h.member.PutSchedule(ctx, "web-1", "weekly", in, nil)
	h.must(err)
	if s.Server != server.ID || s.ServerName != "web-1" || s.Project != "red" || !s.Enabled || s.RRule != weekly || s.Duration != "2h30m" || s.Zone != "Europe/Berlin" || s.Revision != 1 {
		t.Errorf("made %+v", s)
	}
	p := s.Policy
	if p.Scope != client.Security || p.Hold[0] != "nginx" || p.Reboot != client.Never || p.Batch != 10 || p.Prepare != "1h30m" || p.NoticeLead != "72h" || p.Expect["reboot"] != "3m" {
		t.Errorf("policy %+v", p)
	}
	if s.Words != "every week on "+day.String()+" at 02:30 (Europe/Berlin)" || len(s.Occurrences) != 5 {
		t.Fatalf("%q and %d occurrences", s.Words, len(s.Occurrences))
	}
	for i, o := range s.Occurrences {
		if o.End.Sub(o.Start) != 150*time.Minute || o.Start.Weekday() != day || o.Start.Format("15:04") != "02:30" || i > 0 && !o.Start.After(s.Occurrences[i-1].Start) {
			t.Errorf("occurrence %d: %+v", i, o)
		}
	}

	if s.Next == nil || !s.Next.Start.Equal(s.Occurrences[0].Start) {
		t.Errorf("it waits for %+v, want the first of %+v", s.Next, s.Occurrences)
	}
	_, err = h.member.CreateFreeze(ctx, client.FreezeInput{Start: s.Occurrences[1].Start, End: s.Occurrences[1].End, Reason: "closing"}, nil)
	h.must(err)
	s, err = h.viewer.GetSchedule(ctx, s.ID, &client.GetScheduleParams{Lang: "de"})
	h.must(err)
	if !strings.Contains(s.Words, "jede Woche am ") || s.Occurrences[0].Frozen != "" || s.Occurrences[1].Frozen != "closing" {
		t.Errorf("in German, frozen: %+v", s)
	}

	plain, err := h.member.PutSchedule(ctx, "web-1", "plain", client.ScheduleInput{
		Weekly: &client.Weekly{DayOfTheWeek: "Friday", Time: "15:39:01", Zone: "Europe/Berlin"}, Duration: "4h",
	}, nil)
	if err != nil || plain.Words != "every week on Friday at 15:39:01 (Europe/Berlin)" {
		t.Errorf("a weekly window: %+v, %v", plain, err)
	}
	if err := h.member.DeleteSchedule(ctx, plain.ID, nil); err != nil {
		t.Error(err)
	}
	replaced, err := h.member.PutSchedule(ctx, server.ID, "weekly", client.ScheduleInput{RRule: weekly, Duration: "1h", Enabled: &off}, nil)
	h.must(err)
	if replaced.ID != s.ID || replaced.Enabled || replaced.Duration != "1h" || replaced.Policy.Batch != 25 || replaced.Policy.Prepare != "" {
		t.Errorf("replaced %+v", replaced)
	}
	h.schedule("blue", h.server("blue", "other").ID)
	l, err := h.viewer.ListSchedules(ctx, &client.ListSchedulesParams{Server: "web-1", Limit: 1})
	h.must(err)
	if len(l.Items) != 1 || l.Items[0].ServerName != "web-1" || l.Next != s.ID {
		t.Errorf("listed %+v", l)
	}
	l, err = h.viewer.ListSchedules(ctx, &client.ListSchedulesParams{After: l.Next})
	h.must(err)
	if len(l.Items) != 0 || l.Items == nil {
		t.Errorf("the next page %+v", l)
	}
	next := window.Span{Start: time.Now().Add(time.Hour).Truncate(time.Second), End: time.Now().Add(2 * time.Hour).Truncate(time.Second)}
	h.update(func(tx store.Tx) error { // as the engine does
		kept, err := tx.Schedule(s.ID)
		if err != nil {
			return err
		}
		kept.Next = next
		_, err = tx.PutSchedule(kept)
		return err
	})
	s, err = h.viewer.GetSchedule(ctx, s.ID, nil)
	h.must(err)
	if s.Next == nil || !s.Next.Start.Equal(next.Start) || !s.Next.End.Equal(next.End) {
		t.Errorf("it waits for %+v", s.Next)
	}
	h.must(h.member.DeleteSchedule(ctx, s.ID, nil))
	if _, err := h.viewer.GetSchedule(ctx, s.ID, nil); !client.Is(err, client.KindNotFound) {
		t.Errorf("a deleted schedule: %v", err)
	}
}

func TestFreezes(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	start := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	own, err := h.member.CreateFreeze(ctx, client.FreezeInput{Start: start, End: start.Add(time.Hour), Reason: "closing"}, nil)
	h.must(err)
	all, err := h.operator.CreateFreeze(ctx, client.FreezeInput{Start: start.Add(time.Minute), End: start.Add(time.Hour), Reason: "holidays"}, nil)
	h.must(err)
	if own.Project != "red" || all.Project != "" || !own.Start.Equal(start) || own.Reason != "closing" {
		t.Errorf("made %+v and %+v", own, all)
	}
	l, err := h.viewer.ListFreezes(ctx, nil)
	h.must(err)
	if len(l.Items) != 2 || l.Items[0] != *own || l.Items[1] != *all {
		t.Errorf("listed %+v", l.Items)
	}
	if err := h.member.DeleteFreeze(ctx, all.ID, nil); err == nil {
		t.Error("a member of one project lifts a freeze of all")
	}
	h.must(h.operator.DeleteFreeze(ctx, all.ID, nil))
	l, err = h.viewer.ListFreezes(ctx, nil)
	h.must(err)
	if len(l.Items) != 1 {
		t.Errorf("after lifting one: %+v", l.Items)
	}
}

func TestRunNow(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	server := h.server("red", "web-1")
	h.observe(server.ID)
	before := h.nudges.Load()
	r, err := h.member.StartRun(ctx, client.RunInput{
		Server: "web-1", When: client.RunInputWhenNow, Duration: "1h", Reason: "CVE-2026-0001", OverrideFreeze: true, Policy: &client.Policy{Batch: 1},
	}, nil)
	h.must(err)
	if r.State != client.Waiting || r.Server != server.ID || r.ServerName != "web-1" || r.By != "user/mara" || r.OverriddenBy != "user/mara" || !r.OverrideFreeze ||
		r.Reason != "CVE-2026-0001" || r.Plan != nil || r.Policy.Batch != 1 || r.Window.Duration != "1h" || r.Window.Left == "" || r.Window.OpenTill.IsZero() {
		t.Errorf("opened %+v", r)
	}
	if h.nudges.Load() == before {
		t.Error("the engine was not nudged")
	}
	if _, err := h.member.StartRun(ctx, client.RunInput{Server: "web-1", When: client.RunInputWhenNow, Duration: "1h"}, nil); !client.Is(err, client.KindConflict) {
		t.Errorf("a second one beside it: %v", err)
	}
	h.tick(r.ID)
	r, err = h.viewer.GetRun(ctx, r.ID, &client.GetRunParams{Lang: "de"})
	h.must(err)
	if r.State != client.Working || r.Plan == nil || len(r.Plan.Steps) != 1 || r.Plan.Generation != 1 || r.Plan.Why == "" || r.Started.IsZero() {
		t.Fatalf("ticked %+v", r)
	}
	step := r.Plan.Steps[0]
	if step.Action != "refresh" || step.Stage != "running" || step.Attempt != 1 || step.Attempts != 3 || step.Estimate != "1m" || step.OrderedAt.IsZero() || step.Disrupts || step.Undo != "none" {
		t.Errorf("step %+v", step)
	}
	if len(r.Waits) != 1 || r.Waits[0].Code != "under-way" || r.Waits[0].Step != step.ID || !strings.HasPrefix(r.Waits[0].Words, "läuft seit") || r.Waits[0].Since.IsZero() {
		t.Errorf("waits %+v", r.Waits)
	}
	s, err := h.viewer.GetServer(ctx, "web-1", nil)
	h.must(err)
	if len(s.OpenRuns) != 1 || s.OpenRuns[0].ID != r.ID || !strings.HasPrefix(s.OpenRuns[0].Waits[0].Words, "under way since") {
		t.Errorf("open runs %+v", s.OpenRuns)
	}
}

func TestRunInWindow(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	server := h.server("red", "web-1")
	h.observe(server.ID)
	schedule := h.schedule("red", "web-1")
	r, err := h.member.StartRun(ctx, client.RunInput{Server: "web-1", When: client.RunInputWhenWindow, Schedule: "weekly"}, nil)
	h.must(err)
	if r.Schedule != schedule.ID || r.By != "user/mara" || r.OverriddenBy != "" || r.Window.RRule != weekly || r.Window.Zone != "Europe/Berlin" {
		t.Errorf("opened %+v", r)
	}
	h.change(r.ID, func(r *run.Run) { r.Waits = nil })
	h.tick(r.ID)
	r, err = h.viewer.GetRun(ctx, r.ID, nil)
	h.must(err)
	if len(r.Waits) == 0 || r.Waits[0].Code != "window-closed" || !r.Waits[0].Until.Equal(schedule.Occurrences[0].Start) || !strings.Contains(r.Waits[0].Words, "the window is closed; it opens") {
		t.Errorf("waits %+v, the window opens %v", r.Waits, schedule.Occurrences[0].Start)
	}
}

func TestRunIsMoved(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.server("red", "web-1")
	r, err := h.member.StartRun(ctx, client.RunInput{Server: "web-1", When: client.RunInputWhenNow, Duration: "1h"}, nil)
	h.must(err)
	paused, err := h.member.PauseRun(ctx, r.ID, nil)
	h.must(err)
	resumed, err := h.member.ResumeRun(ctx, r.ID, nil)
	h.must(err)
	announced, err := h.member.AnnounceRun(ctx, r.ID, client.AnnounceInput{Text: "https://status.example.net/42"}, nil)
	h.must(err)
	aborted, err := h.member.AbortRun(ctx, r.ID, client.AbortInput{Reason: "asked to"}, nil)
	h.must(err)
	if paused.PausedBy != "user/mara" || resumed.PausedBy != "" || announced.AnnouncedAt.IsZero() || aborted.AbortedBy != "user/mara" {
		t.Errorf("paused %q, resumed %q, announced %v, aborted %q", paused.PausedBy, resumed.PausedBy, announced.AnnouncedAt, aborted.AbortedBy)
	}
	if _, err := h.member.AnnounceRun(ctx, r.ID, client.AnnounceInput{Text: "again"}, nil); !client.Is(err, client.KindConflict) {
		t.Errorf("announced twice: %v", err)
	}
	h.tick(r.ID)
	if _, err := h.member.PauseRun(ctx, r.ID, nil); !client.Is(err, client.KindConflict) {
		t.Errorf("paused after its end: %v", err)
	}
	if got := h.ask("POST /v1/runs/"+r.ID+"/abort", "mara", ""); got.status != 409 { // it has ended; and no body is no mistake
		t.Errorf("abort without a body: %d %s", got.status, got.text)
	}
	facts, err := h.viewer.ListHistory(ctx, &client.ListHistoryParams{Run: r.ID})
	h.must(err)
	var kinds []string
	for _, f := range facts.Items {
		kinds = append(kinds, f.Kind)
	}
	if got := strings.Join(kinds, " "); got != "run.opened run.paused run.resumed notice.told run.aborting run.ended" {
		t.Errorf("history %s", got)
	}
	h.change(r.ID, func(r *run.Run) {
		r.Result.Changes = []action.Change{{Name: "nginx", From: "1", To: "2"}}
		r.Result.Failures = []action.Failure{{Name: "openssl", Reason: "postinst"}}
		r.Result.Reboots, r.Result.Left = 1, []string{"vim"}
	})
	ended, err := h.viewer.GetRun(ctx, r.ID, nil)
	h.must(err)
	if ended.State != client.Aborted || ended.Finished.IsZero() || ended.Result.Text == "" || ended.Window.Left != "" {
		t.Errorf("ended %+v", ended)
	}
	res := ended.Result
	if res.Changes[0] != (client.Change{Name: "nginx", From: "1", To: "2"}) || res.Failures[0] != (client.Failure{Name: "openssl", Reason: "postinst"}) || res.Reboots != 1 || res.Left[0] != "vim" {
		t.Errorf("result %+v", res)
	}
}

func TestRunPages(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	ids := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		h.server("red", name)
		r, err := h.member.StartRun(ctx, client.RunInput{Server: name, When: client.RunInputWhenNow, Duration: "1h"}, nil)
		h.must(err)
		ids[name] = r.ID
	}
	h.change(ids["b"], func(r *run.Run) { r.State, r.Finished = run.Succeeded, time.Now() })
	first, err := h.viewer.ListRuns(ctx, &client.ListRunsParams{Limit: 2})
	h.must(err)
	second, err := h.viewer.ListRuns(ctx, &client.ListRunsParams{Limit: 2, Before: first.Next})
	h.must(err)
	if len(first.Items) != 2 || first.Items[0].ID != ids["c"] || first.Items[1].ID != ids["b"] || len(second.Items) != 1 || second.Items[0].ID != ids["a"] || second.Next != "" {
		t.Errorf("pages %+v and %+v", first, second)
	}
	open, err := h.viewer.ListRuns(ctx, &client.ListRunsParams{Open: true})
	h.must(err)
	one, err := h.viewer.ListRuns(ctx, &client.ListRunsParams{Server: "a"})
	h.must(err)
	if len(open.Items) != 2 || len(one.Items) != 1 || one.Items[0].ServerName != "a" {
		t.Errorf("open %+v, of one server %+v", open.Items, one.Items)
	}
}

func TestHistory(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.server("red", "web-1")
	h.server("red", "web-2")
	h.server("blue", "db-1")
	all, err := h.viewer.ListHistory(ctx, nil)
	h.must(err)
	if len(all.Items) != 2 || all.Items[0].Kind != "target.changed" || all.Items[0].Who != "user/olga" || all.Items[0].Project != "red" || all.Last != all.Items[1].Seq {
		t.Errorf("red's history %+v", all)
	}
	newest, err := h.viewer.ListHistory(ctx, &client.ListHistoryParams{Newest: true, Limit: 1})
	h.must(err)
	one, err := h.viewer.ListHistory(ctx, &client.ListHistoryParams{Server: "web-1"})
	h.must(err)
	if newest.Items[0].Seq != all.Last || len(one.Items) != 1 || one.Items[0].Seq != all.Items[0].Seq {
		t.Errorf("newest %+v, of one server %+v", newest, one)
	}
	began := time.Now()
	none, err := h.viewer.ListHistory(ctx, &client.ListHistoryParams{After: all.Last, Wait: 1})
	h.must(err)
	if len(none.Items) != 0 || none.Last != all.Last || time.Since(began) < time.Second {
		t.Errorf("after %v: %+v", time.Since(began), none)
	}
	type result struct {
		facts *client.FactList
		err   error
	}
	news := make(chan result, 1)
	go func() {
		facts, err := h.viewer.ListHistory(ctx, &client.ListHistoryParams{After: all.Last, Wait: 30})
		news <- result{facts, err}
	}()
	h.server("red", "web-3")
	got := <-news
	h.must(got.err)
	if len(got.facts.Items) != 1 || !strings.Contains(got.facts.Items[0].Text, "web-3") {
		t.Errorf("news %+v", got.facts)
	}
}

func TestPreviewWindows(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	from := time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC)
	w, err := h.viewer.PreviewWindows(ctx, client.WindowInput{RRule: saturdays, Duration: "2h", From: from, Limit: 2}, nil)
	h.must(err)
	if w.Zone != "Europe/Berlin" || w.Duration != "2h" || len(w.Occurrences) != 2 || w.Words == "" {
		t.Errorf("preview %+v", w)
	}
	// The clocks change on the 29th, a Sunday: from +01:00 to +02:00 between the second and the third.
	if got := w.Occurrences[1].Start.Format(time.RFC3339); got != "2026-03-28T02:30:00+01:00" {
		t.Errorf("the second opens %s", got)
	}
	w, err = h.viewer.PreviewWindows(ctx, client.WindowInput{RRule: yearly, Duration: "2h", From: from}, &client.PreviewWindowsParams{Lang: "de"})
	h.must(err)
	if len(w.Occurrences) != 0 || w.Occurrences == nil || !strings.Contains(w.Words, "jedes Jahr") {
		t.Errorf("a rule that has ended: %+v", w)
	}
}

func TestLanguage(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct{ query, accept, says string }{
		{"", "", "every week on Saturday"},
		{"", "de-CH, en;q=0.5", "jede Woche am Samstag"},
		{"", "fr, de;q=0.5", "jede Woche am Samstag"},
		{"", "fr", "every week on Saturday"},
		{"", ";;;", "every week on Saturday"},
		{"?lang=en", "de", "every week on Saturday"},
	} {
		a := h.ask("POST /v1/windows"+c.query, "vera", scheduleAt(saturdays), "Accept-Language", c.accept)
		if a.status != 200 || !strings.Contains(a.text, c.says) || strings.Count(a.text, `"start"`) != 5 {
			t.Errorf("lang %q, Accept-Language %q: %d %s", c.query, c.accept, a.status, a.text)
		}
	}
}

func TestSimulate(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	server := h.server("red", "web-1")
	h.observe(server.ID)
	schedule := h.schedule("red", "web-1")
	f, err := h.viewer.Simulate(ctx, client.SimulationInput{Server: "web-1", Duration: "2h"}, nil)
	h.must(err)
	var did []string
	for i, s := range f.Steps {
		did = append(did, s.Action)
		if !s.End.After(s.Start) || i > 0 && s.Start.Before(f.Steps[i-1].End) {
			t.Errorf("step %d: %+v", i, s)
		}
	}
	if got := strings.Join(did, " "); got != "refresh download install reboot" || f.Outcome != "succeeded" || f.Windows != 1 || f.End.IsZero() || f.Text == "" {
		t.Errorf("now: %s, %+v", got, f)
	}
	f, err = h.viewer.Simulate(ctx, client.SimulationInput{Server: "web-1", Schedule: "weekly"}, &client.SimulateParams{Lang: "de"})
	h.must(err)
	if len(f.Waits) == 0 || f.Outcome != "succeeded" {
		t.Fatalf("in the window: %+v", f)
	}
	first, w := schedule.Occurrences[0].Start, f.Waits[0]
	if w.Why.Code != "window-closed" || !w.End.Equal(first) || !strings.Contains(w.Why.Words, "das Fenster ist geschlossen; es öffnet "+first.Format("2006-01-02 15:04")) {
		t.Errorf("it waits %+v until %v, the window opens %v", w.Why, w.End, first)
	}
	tiny, err := h.viewer.Simulate(ctx, client.SimulationInput{Server: "web-1", RRule: weekly, Duration: "1m"}, nil)
	h.must(err)
	if tiny.Outcome != "" || !tiny.End.IsZero() || len(tiny.Waits) == 0 {
		t.Errorf("a window too short: %+v", tiny)
	}
	if runs, err := h.viewer.ListRuns(ctx, nil); err != nil || len(runs.Items) != 0 {
		t.Errorf("a simulation left %+v, %v", runs, err)
	}
}

func TestTokens(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	until := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	made, err := h.operator.CreateToken(ctx, client.TokenInput{Name: "nina", Role: client.Viewer, Project: "red", Expires: until}, nil)
	h.must(err)
	if made.Secret == "" || made.Name != "nina" || made.Role != client.Viewer || made.Project != "red" || !made.Expires.Equal(until) {
		t.Errorf("made %+v", made)
	}
	me, err := h.with(made.Secret).Whoami(ctx)
	h.must(err)
	if *me != (client.Whoami{Name: "nina", Role: client.Viewer, Project: "red"}) {
		t.Errorf("whoami %+v", me)
	}
	l, err := h.operator.ListTokens(ctx)
	h.must(err)
	if len(l.Items) != 4 {
		t.Errorf("tokens %+v", l.Items)
	}
	if raw := h.ask("GET /v1/tokens", "olga", "").text; strings.Contains(raw, made.Secret) || strings.Contains(raw, "ash\"") {
		t.Errorf("the list tells secrets: %s", raw)
	}
	h.must(h.operator.DeleteToken(ctx, made.ID, nil))
	if _, err := h.with(made.Secret).Whoami(ctx); !client.Is(err, client.KindDenied) {
		t.Errorf("a deleted token: %v", err)
	}
	for _, token := range l.Items {
		if token.Role == client.Operator {
			if err := h.operator.DeleteToken(ctx, token.ID, nil); !client.Is(err, client.KindConflict) {
				t.Errorf("the last operator's token: %v", err)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	h := newHouse(t)
	v, err := h.with("").GetVersion(t.Context())
	h.must(err)
	if *v != (client.Version{Version: "1.2.3", API: "v1"}) {
		t.Errorf("version %+v", v)
	}
}
