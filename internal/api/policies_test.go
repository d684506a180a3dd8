package api_test

import (
	"encoding/csv"
	"reflect"
	"strings"
	"testing"
	"time"

	"upkeep/client"
	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

const sundays = "DTSTART;TZID=Europe/Berlin:20260104T033000 RRULE:FREQ=WEEKLY;BYDAY=SU"

func everything() *client.Policy {
	return &client.Policy{
		Scope: client.All, Hold: []string{"postgresql-15", "linux-image-*"}, Reboot: client.OwnWindow,
		RebootWindow: &client.RebootWindow{RRule: sundays, Duration: "1h"}, Batch: 5, Prepare: "2h", NoticeLead: "72h",
		DryRun: true, Within: "14d", Backup: "snapshot", Before: []string{"drain", "quiet"}, After: []string{"undrain"}, Health: []string{"healthy"},
		Expect: map[string]string{"backup": "10m"},
	}
}

// TestPolicyComesBackAsItWasSent: what is answered can be sent again and is the same.
func TestPolicyComesBackAsItWasSent(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.server("red", "web-1")
	s, err := h.member.PutSchedule(ctx, "web-1", "weekly", client.ScheduleInput{RRule: weekly, Duration: "2h", Policy: everything()}, nil)
	h.must(err)
	want := everything()
	want.Within = "336h"
	if !reflect.DeepEqual(s.Policy, *want) {
		t.Errorf("sent\n%+v\nand it came back\n%+v", *want, s.Policy)
	}
	if s.RebootWords != "every week on Sunday at 03:30 (Europe/Berlin)" {
		t.Errorf("the reboot's window is told as %q", s.RebootWords)
	}
	again, err := h.member.PutSchedule(ctx, "web-1", "weekly", client.ScheduleInput{RRule: weekly, Duration: "2h", Policy: &s.Policy}, nil)
	h.must(err)
	if !reflect.DeepEqual(again.Policy, s.Policy) {
		t.Errorf("sent again it is %+v", again.Policy)
	}
	byDay, err := h.member.PutSchedule(ctx, "web-1", "weekly", client.ScheduleInput{RRule: weekly, Duration: "1d", Policy: &client.Policy{
		Reboot:       client.OwnWindow,
		RebootWindow: &client.RebootWindow{Weekly: &client.Weekly{DayOfTheWeek: client.Sunday, Time: "03:30", Zone: "Europe/Berlin"}, Duration: "1h"},
	}}, nil)
	h.must(err)
	if byDay.RebootWords != s.RebootWords || byDay.Policy.RebootWindow.Weekly != nil || byDay.Duration != "24h" {
		t.Errorf("by the day of the week: %q, %+v", byDay.RebootWords, byDay.Policy.RebootWindow)
	}
}

func TestScheduleIsMadeReplacedAndSwitched(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.server("red", "web-1")
	in := client.NamedScheduleInput{Name: "weekly", RRule: weekly, Duration: "2h", Missed: client.Skip}
	s, err := h.member.CreateSchedule(ctx, "web-1", in, nil)
	h.must(err)
	if s.Number != 1 || s.Missed != client.Skip || s.Changed.IsZero() || s.Resting || len(s.Overlaps) != 0 || s.Overlaps == nil {
		t.Errorf("made %+v", s)
	}
	if _, err := h.member.CreateSchedule(ctx, "web-1", in, nil); !client.Is(err, client.KindConflict) {
		t.Errorf("a second one of that name: %v", err)
	}
	in.Name, in.Missed = "saturdays", ""
	renamed, err := h.member.ReplaceSchedule(ctx, s.ID, in, nil)
	h.must(err)
	if renamed.ID != s.ID || renamed.Number != 1 || renamed.Name != "saturdays" || renamed.Missed != client.Late {
		t.Errorf("replaced %+v", renamed)
	}
	off, err := h.member.DisableSchedule(ctx, s.ID, nil)
	h.must(err)
	if off.Enabled || len(off.Occurrences) != 5 {
		t.Errorf("switched off %+v", off)
	}
	other, err := h.member.PutSchedule(ctx, "web-1", "other", client.ScheduleInput{RRule: weekly, Duration: "1h"}, nil)
	h.must(err)
	if off, err = h.member.GetSchedule(ctx, s.ID, nil); err != nil || len(off.Overlaps) != 3 || off.Overlaps[0].Schedule != other.ID || off.Overlaps[0].Name != "other" ||
		off.Overlaps[0].End.Sub(off.Overlaps[0].Start) != time.Hour {
		t.Errorf("what is off does not say what it would overlap: %+v, %v", off, err)
	}
	if _, err := h.member.EnableSchedule(ctx, s.ID, nil); !client.Is(err, client.KindConflict) || !strings.Contains(err.Error(), "allowOverlap") || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("switched on over another: %v", err)
	}
	on, err := h.member.EnableSchedule(ctx, s.ID, &client.EnableScheduleParams{AllowOverlap: true})
	h.must(err)
	if !on.Enabled {
		t.Errorf("switched on %+v", on)
	}
	if _, err := h.member.PutSchedule(ctx, "web-1", "third", client.ScheduleInput{RRule: weekly, Duration: "1h"}, nil); !client.Is(err, client.KindConflict) {
		t.Errorf("an overlap that nobody allowed: %v", err)
	}
	third, err := h.member.PutSchedule(ctx, "web-1", "third", client.ScheduleInput{RRule: weekly, Duration: "1h", AllowOverlap: true}, nil)
	h.must(err)
	if third.Number != 3 || len(third.Overlaps) != 6 {
		t.Errorf("with the overlap allowed: %+v", third)
	}
}

func TestPreviewSchedule(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.server("red", "web-1")
	s := h.schedule("red", "web-1")
	_, err := h.member.CreateFreeze(ctx, client.FreezeInput{Start: s.Occurrences[1].Start, End: s.Occurrences[1].End, Reason: "closing"}, nil)
	h.must(err)
	in := client.SchedulePreviewInput{Server: "web-1", Name: "new", RRule: weekly, Duration: "3h", Policy: everything()}
	p, err := h.viewer.PreviewSchedule(ctx, in, nil)
	h.must(err)
	if p.Name != "new" || p.Words != s.Words || len(p.Occurrences) != 5 || p.Occurrences[1].Frozen != "closing" || p.Occurrences[0].Frozen != "" || len(p.Overlaps) != 3 || p.RebootWords == "" {
		t.Errorf("preview %+v", p)
	}
	in.Replaces = s.ID
	if p, err = h.viewer.PreviewSchedule(ctx, in, nil); err != nil || len(p.Overlaps) != 0 {
		t.Errorf("in the other's place: %+v, %v", p, err)
	}
	if p, err = h.viewer.PreviewSchedule(ctx, client.SchedulePreviewInput{Server: "web-1", UpdatePolicy: fleet.DefaultName}, nil); err != nil || p.Name != fleet.DefaultName || p.Duration != "2h" {
		t.Errorf("from an update policy: %+v, %v", p, err)
	}
	l, err := h.viewer.ListSchedules(ctx, nil)
	h.must(err)
	if len(l.Items) != 1 {
		t.Errorf("a preview left %+v", l.Items)
	}
}

func TestUpdatePolicies(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.server("red", "web-1")
	l, err := h.viewer.ListUpdatePolicies(ctx, nil)
	h.must(err)
	if len(l.Items) != 1 || !l.Items[0].BuiltIn || !l.Items[0].Default || !l.Items[0].Spread || l.Items[0].RRule != "" ||
		l.Items[0].Words != "once a weekend, at each server's own time (UTC)" || l.Items[0].ID != fleet.BuiltinTemplate {
		t.Errorf("at first there is %+v", l.Items)
	}
	in := client.UpdatePolicyInput{
		Description: "Only what matters", Default: true, Duration: "90m", Missed: client.Ask, Policy: everything(),
		Weekly: &client.Weekly{DayOfTheWeek: client.Tuesday, Time: "22:00", Zone: "Europe/Berlin"},
	}
	p, err := h.member.PutUpdatePolicy(ctx, "Security on Tuesdays", in, nil)
	h.must(err)
	if p.Project != "red" || !p.Default || !p.Enabled || p.Duration != "1h30m" || p.Missed != client.Ask || p.Words != "every week on Tuesday at 22:00 (Europe/Berlin)" ||
		p.RebootWords == "" || p.Policy.Backup != "snapshot" || p.Revision != 1 || p.BuiltIn {
		t.Errorf("made %+v", p)
	}
	if a := h.ask("PUT /v1/policies/Security%20on%20Tuesdays", "mara", `{"duration":"2h","spread":true,"zone":"Europe/Berlin"}`); a.status != 200 || !strings.Contains(a.text, `"zone":"Europe/Berlin"`) {
		t.Errorf("replaced: %d %s", a.status, a.text)
	}
	for _, ref := range []string{p.ID, p.Name} {
		if got, err := h.viewer.GetUpdatePolicy(ctx, ref, &client.GetUpdatePolicyParams{Lang: "de"}); err != nil || !got.Spread || !strings.HasPrefix(got.Words, "einmal am Wochenende") {
			t.Errorf("found by %s: %+v, %v", ref, got, err)
		}
	}
	s, err := h.member.CreateSchedule(ctx, "web-1", client.NamedScheduleInput{UpdatePolicy: p.Name}, nil)
	h.must(err)
	if s.Name != p.Name || s.UpdatePolicy != p.ID || s.Duration != "2h" || s.Zone != "Europe/Berlin" {
		t.Errorf("made from it %+v", s)
	}
	// What is said beside it goes first.
	own, err := h.member.PutSchedule(ctx, "web-1", "own", client.ScheduleInput{UpdatePolicy: p.Name, RRule: weekly, Duration: "1h", AllowOverlap: true}, nil)
	h.must(err)
	if own.RRule != weekly || own.Duration != "1h" || own.UpdatePolicy != p.ID {
		t.Errorf("with words of its own %+v", own)
	}
	h.must(h.member.DeleteUpdatePolicy(ctx, p.Name, nil))
	if _, err := h.viewer.GetUpdatePolicy(ctx, p.ID, nil); !client.Is(err, client.KindNotFound) {
		t.Errorf("a deleted one: %v", err)
	}
	if err := h.member.DeleteUpdatePolicy(ctx, fleet.BuiltinTemplate, nil); !client.Is(err, client.KindConflict) {
		t.Errorf("the built-in one: %v", err)
	}
}

// TestPolicyOfEveryProject: what an operator makes for all is there for all,
// and nobody else's to change.
func TestPolicyOfEveryProject(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	all, err := h.operator.PutUpdatePolicy(ctx, "nightly", client.UpdatePolicyInput{RRule: weekly, Duration: "2h"}, nil)
	h.must(err)
	got, err := h.viewer.GetUpdatePolicy(ctx, "nightly", nil)
	h.must(err)
	if all.Project != "" || got.ID != all.ID {
		t.Errorf("made %+v, red sees %+v", all, got)
	}
	if err := h.member.DeleteUpdatePolicy(ctx, "nightly", nil); !client.Is(err, client.KindDenied) {
		t.Errorf("a member of one project removes it: %v", err)
	}
	own, err := h.member.PutUpdatePolicy(ctx, "nightly", client.UpdatePolicyInput{RRule: sundays, Duration: "1h"}, nil)
	h.must(err)
	if got, err = h.viewer.GetUpdatePolicy(ctx, "nightly", nil); err != nil || got.ID != own.ID {
		t.Errorf("the project's own goes first: %+v, %v", got, err)
	}
	// An operator who names no project does not remove what is red's.
	h.must(h.operator.DeleteUpdatePolicy(ctx, "nightly", nil))
	if got, err = h.viewer.GetUpdatePolicy(ctx, "nightly", nil); err != nil || got.ID != own.ID {
		t.Errorf("red's own is gone: %+v, %v", got, err)
	}
}

func TestManagement(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	if made := h.server("red", "web-1"); made.Management != client.ByHand {
		t.Errorf("at first it is %s", made.Management)
	}
	s, err := h.member.ManageServer(ctx, "web-1", client.ManageInput{}, nil)
	h.must(err)
	if s.Management != client.Managed || len(s.Schedules) != 1 || s.Schedules[0].Name != fleet.DefaultName || s.Schedules[0].Number != 1 {
		t.Errorf("managed %+v", s)
	}
	if a := h.ask("POST /v1/servers/web-1/manage", "mara", ""); a.status != 409 { // and no body is no mistake
		t.Errorf("managed twice: %d %s", a.status, a.text)
	}
	for range 2 { // it may be asked again
		s, err = h.member.UnmanageServer(ctx, "web-1", nil)
		h.must(err)
	}
	if s.Management != client.Unmanaged || !s.Schedules[0].Resting {
		t.Errorf("unmanaged %+v", s)
	}
	rests, err := h.viewer.GetSchedule(ctx, s.Schedules[0].ID, nil)
	h.must(err)
	if !rests.Resting || !rests.Enabled || len(rests.Occurrences) != 5 {
		t.Errorf("its schedule %+v", rests)
	}
	for what, err := range map[string]error{
		"a schedule": func() error {
			_, err := h.member.PutSchedule(ctx, "web-1", "s", client.ScheduleInput{RRule: weekly, Duration: "2h"}, nil)
			return err
		}(),
		"a run": func() error {
			_, err := h.member.StartRun(ctx, client.RunInput{Server: "web-1", When: client.RunInputWhenNow, Duration: "1h"}, nil)
			return err
		}(),
		"a preview": func() error {
			_, err := h.member.PreviewSchedule(ctx, client.SchedulePreviewInput{Server: "web-1", Name: "s", RRule: weekly, Duration: "2h"}, nil)
			return err
		}(),
	} {
		if !client.Is(err, client.KindConflict) || !strings.Contains(err.Error(), "web-1 is unmanaged") {
			t.Errorf("%s on an unmanaged server: %v", what, err)
		}
	}
	_, err = h.member.PutUpdatePolicy(ctx, "second", client.UpdatePolicyInput{RRule: weekly, Duration: "2h"}, nil)
	h.must(err)
	if s, err = h.member.ManageServer(ctx, "web-1", client.ManageInput{UpdatePolicy: "second"}, nil); err != nil || len(s.Schedules) != 2 || s.Schedules[0].Resting {
		t.Errorf("managed again, with a policy: %+v, %v", s, err)
	}
}

func TestGroups(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	for _, name := range []string{"web-2", "web-1"} {
		_, err := h.member.PutServer(ctx, name, client.ServerInput{Group: "web"}, nil)
		h.must(err)
	}
	g, err := h.viewer.GetGroup(ctx, "web", nil)
	h.must(err)
	if g.MaxUnavailable != 1 || g.Revision != 0 || len(g.Members) != 2 || g.Members[0].Name != "web-1" || g.Canaries == nil {
		t.Errorf("one that nobody has described: %+v", g)
	}
	g, err = h.member.PutGroup(ctx, "web", client.GroupInput{MaxUnavailable: 2, Canaries: []string{"web-1"}, Soak: "1d", StopAfter: 3}, nil)
	h.must(err)
	if g.Project != "red" || g.MaxUnavailable != 2 || g.Soak != "24h" || g.StopAfter != 3 || !g.Members[0].Canary || g.Members[1].Canary || g.Revision != 1 {
		t.Errorf("described %+v", g)
	}
	if got := h.ask("PUT /v1/groups/db", "mara", `{}`).status; got != 201 {
		t.Errorf("described for the first time: %d", got)
	}
	if got := h.ask("PUT /v1/groups/db", "mara", `{}`).status; got != 200 {
		t.Errorf("described anew: %d", got)
	}
	l, err := h.viewer.ListGroups(ctx, nil)
	h.must(err)
	if len(l.Items) != 2 || l.Items[0].Name != "db" || l.Items[0].Members == nil || l.Items[1].StopAfter != 3 {
		t.Errorf("listed %+v", l.Items)
	}
	h.must(h.member.DeleteGroup(ctx, "web", nil))
	if g, err = h.viewer.GetGroup(ctx, "web", nil); err != nil || g.Revision != 0 || len(g.Members) != 2 {
		t.Errorf("described no more: %+v, %v", g, err)
	}
}

// TestRunTellsWhatItIs: numbers, missed starts, dry runs, and what its steps are.
func TestRunTellsWhatItIs(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	server := h.server("red", "web-1")
	h.observe(server.ID)
	r, err := h.member.StartRun(ctx, client.RunInput{Server: "web-1", When: client.RunInputWhenNow, Duration: "1h", Policy: everything()}, nil)
	h.must(err)
	missed := time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	h.change(r.ID, func(r *run.Run) {
		r.Missed, r.Made.MissedFor, r.Made.Stop = fleet.MissedAsk, missed, "the backup failed"
		r.Result.Would = []action.Change{{Name: "nginx", From: "1", To: "2"}}
		r.Plan.ID = "p"
		r.Plan.Root = plan.Node{ID: "s", Shape: plan.Leaf, Step: plan.Step{ID: "s", Action: action.Check, Command: "healthy", Closing: true, OwnSlot: true, DryRun: true}}
		r.Waits = []plan.Wait{{Reason: plan.Reason{Code: plan.CanaryFirst, By: "web-2"}}}
	})
	r, err = h.viewer.GetRun(ctx, r.ID, nil)
	h.must(err)
	if r.Number != 1 || !r.DryRun || r.Missed != client.Ask || !r.MissedStart.Equal(missed) || r.Ending != "the backup failed" || r.RebootWords == "" ||
		len(r.Result.Would) != 1 || r.Result.Would[0].To != "2" || r.Waits[0].Code != "canary" || r.Waits[0].By != "web-2" {
		t.Errorf("run %+v", r)
	}
	st := r.Plan.Steps[0]
	if st.Command != "healthy" || !st.Closing || !st.OwnWindow || !st.DryRun {
		t.Errorf("step %+v", st)
	}
	h.server("red", "web-2")
	for number, found := range map[int64]int{1: 1, 2: 0} {
		l, err := h.viewer.ListRuns(ctx, &client.ListRunsParams{Server: "web-1", Number: number})
		h.must(err)
		if len(l.Items) != found {
			t.Errorf("number %d: %+v", number, l.Items)
		}
	}
}

func TestSimulateAPolicy(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	h.observe(h.server("red", "web-1").ID)
	steps := func(in client.SimulationInput) string {
		t.Helper()
		in.Server = "web-1"
		f, err := h.viewer.Simulate(ctx, in, nil)
		h.must(err)
		var did []string
		for _, s := range f.Steps {
			word := s.Action
			if s.Command != "" {
				word += " " + s.Command
			}
			if s.DryRun {
				word += " dry"
			}
			if s.Closing {
				word += " closing"
			}
			did = append(did, word)
		}
		return strings.Join(did, ", ")
	}
	commands := &client.Policy{Backup: "snapshot", Before: []string{"drain"}, After: []string{"undrain"}, Health: []string{"healthy"}}
	if got := steps(client.SimulationInput{Duration: "3h", Policy: commands}); got != "refresh, download, backup snapshot, command drain, install, reboot, command undrain closing, check healthy closing" {
		t.Errorf("with commands: %s", got)
	}
	if got := steps(client.SimulationInput{Duration: "2h", Policy: &client.Policy{DryRun: true}}); got != "refresh, install dry" {
		t.Errorf("a dry run: %s", got)
	}
	_, err := h.member.PutUpdatePolicy(ctx, "careful", client.UpdatePolicyInput{RRule: weekly, Duration: "3h", Policy: commands}, nil)
	h.must(err)
	if got := steps(client.SimulationInput{UpdatePolicy: "careful"}); !strings.Contains(got, "backup snapshot") {
		t.Errorf("as an update policy says: %s", got)
	}
}

func TestCompliance(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	behind := h.server("red", "web-1")
	h.server("red", "web-2")
	h.server("blue", "db-1")
	h.observe(behind.ID)
	_, err := h.member.PutSchedule(ctx, "web-1", "s", client.ScheduleInput{RRule: weekly, Duration: "2h", Policy: &client.Policy{Within: "7d"}}, nil)
	h.must(err)
	since := time.Now().Add(-9 * 24 * time.Hour).Truncate(time.Second).UTC()
	h.update(func(tx store.Tx) error {
		t, err := tx.Target(behind.ID)
		if err != nil {
			return err
		}
		t.Group = "=cmd|' /C calc'!A0" // nobody can say so; a sheet is safe all the same
		t.Seen = fleet.Seen{"openssl 3.0.15-1": since, "nginx 1.22.1": since.Add(time.Hour)}
		t.Last = fleet.Last{Run: "r", Aborted: true, Finished: since}
		_, err = tx.PutTarget(t)
		return err
	})
	c, err := h.viewer.GetCompliance(ctx, nil)
	h.must(err)
	if len(c.Items) != 2 {
		t.Fatalf("red sees %+v", c.Items)
	}
	s := c.Items[0]
	if s.ServerName != "web-1" || s.Level != client.Overdue || s.Pending != 2 || s.Security != 1 || s.DaysBehind != 9 || !s.Oldest.Equal(since) ||
		s.Within != "168h" || !s.Due.Equal(since.Add(7*24*time.Hour)) || !s.RebootRequired || s.LastUpdate.State != client.Aborted || s.Management != client.ByHand {
		t.Errorf("standing %+v", s)
	}
	if c.Items[1].Level != client.Unknown || c.Items[1].LastUpdate != nil || !c.Items[1].ObservedAt.IsZero() {
		t.Errorf("one that was never looked at: %+v", c.Items[1])
	}
	server, err := h.viewer.GetServer(ctx, "web-1", nil)
	h.must(err)
	if !server.Observed.Pending[0].KnownSince.Equal(since) || server.LastUpdate.Run != "r" {
		t.Errorf("the server itself %+v", server)
	}

	text, err := h.viewer.ComplianceCSV(ctx, nil)
	h.must(err)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	h.must(err)
	if len(rows) != 3 || rows[0][2] != "serverName" || rows[1][2] != "web-1" || rows[1][3] != "'=cmd|' /C calc'!A0" || rows[1][10] != "9" || rows[2][9] != "" {
		t.Errorf("the sheet %q", rows)
	}
	for _, ask := range [][]string{{"GET /v1/compliance?format=csv", ""}, {"GET /v1/compliance", "text/csv"}, {"GET /v1/compliance", "text/csv, application/json;q=0.5"}} {
		a := h.ask(ask[0], "vera", "", "Accept", ask[1])
		if a.status != 200 || a.header.Get("Content-Type") != "text/csv; charset=utf-8" || a.text != text {
			t.Errorf("%q: %d %v %s", ask, a.status, a.header, a.text)
		}
	}
	if a := h.ask("GET /v1/compliance?format=json", "vera", "", "Accept", "text/csv"); !strings.HasPrefix(a.text, "{") || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("what is asked for goes before what is accepted: %v %s", a.header, a.text)
	}
	if a := h.ask("GET /v1/compliance?format=csv&project=blue", "vera", ""); a.status != 403 {
		t.Errorf("another project's: %d %s", a.status, a.text)
	}
}

// TestDryRunRepairsNothing: a dry run changes nothing, not even what is half done.
func TestDryRunRepairsNothing(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	server := h.server("red", "web-1")
	h.observe(server.ID)
	h.update(func(tx store.Tx) error {
		t, err := tx.Target(server.ID)
		if err != nil {
			return err
		}
		t.Observed.HalfConfigured = []string{"vim"}
		_, err = tx.PutTarget(t)
		return err
	})
	f, err := h.viewer.Simulate(ctx, client.SimulationInput{Server: "web-1", Duration: "2h", Policy: &client.Policy{DryRun: true}}, nil)
	h.must(err)
	for _, s := range f.Steps {
		if s.Disrupts {
			t.Errorf("a dry run would %s: %+v", s.Action, f)
		}
	}
	if f.Outcome != "succeeded" || !strings.Contains(f.Text, "2 packages would be installed") || !strings.Contains(f.Text, "half configured: vim") {
		t.Errorf("it comes to %s: %s", f.Outcome, f.Text)
	}
}
