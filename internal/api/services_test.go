package api_test

import (
	"net/http"
	"strings"
	"testing"

	"upkeep/client"
	"upkeep/internal/plan"
	"upkeep/internal/run"
)

// restart is a small runbook, with something in every phase.
func restart() client.RunbookInput {
	health := map[string]string{"url": "{{member.url}}{{param.health}}", "times": "2"}
	state := func(s string) map[string]string {
		return map[string]string{"proxy": "{{proxy.socket}}", "backend": "{{service.backend}}", "server": "{{member.name}}", "state": s}
	}
	return client.RunbookInput{
		Title: "Restart", Budget: "300s", ErrorBudget: client.RunbookErrors{Unanswered: "0.1%", Over: "120s", Optional: true},
		Params: []client.RunbookParam{{Name: "health", Type: "string", Default: "/healthcheck", Pattern: "/[a-z]*"}},
		Prove:  []client.RunbookCheck{{Name: "others-up", Kind: "http", On: "others", With: health, Settle: "10s", Fresh: "20s"}},
		Before: []client.RunbookStep{{Name: "all-up", Kind: "http", On: "all", With: health, Estimate: "2s", Timeout: "90s", Attempts: 3}},
		Member: client.RunbookMember{
			Drain: []client.RunbookStep{{Name: "drain", Kind: "balance", On: "proxies", With: state("drain")}},
			Do:    []client.RunbookStep{{Name: "restart", Kind: "command", On: "member", Command: "restart-api", Estimate: "20s"}},
			Await: []client.RunbookStep{{Name: "alive", Kind: "http", With: health}},
			Ready: []client.RunbookStep{{Name: "ready", Kind: "balance", On: "proxies", With: state("ready")}},
		},
		After: []client.RunbookStep{{Name: "contract", Kind: "command", On: "all", Command: "contract", NoReturn: true, Soak: "1h"}},
	}
}

// api makes a service of three members known, with the servers that they run on.
func (h *house) api(project string) client.ServiceInput {
	h.t.Helper()
	in := client.ServiceInput{
		Quorum: 2, With: map[string]string{"backend": "api_back"},
		Proxies: []client.ServiceProxy{{Name: "lb1", With: map[string]string{"socket": "unix:/run/haproxy.sock"}}},
	}
	for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
		h.server(project, name)
		in.Members = append(in.Members, client.ServiceMember{Name: name, Server: name, With: map[string]string{"url": "http://" + name + ":8090"}})
	}
	return in
}

func TestServicesAndRunbooks(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	in := h.api("red")
	s, err := h.member.PutService(ctx, "api", in, nil)
	h.must(err)
	if s.Project != "red" || s.Name != "api" || s.Quorum != 2 || len(s.Members) != 3 || s.Members[1].Server != "ctl2" || s.Members[1].With["url"] != "http://ctl2:8090" ||
		s.With["backend"] != "api_back" || s.Proxies[0].With["socket"] == "" || s.Revision != 1 || !s.Members[0].Born.IsZero() {
		t.Errorf("made %+v", s)
	}
	in.Probe = client.ServiceProbe{Rate: 10, Slow: "1000ms", Endpoints: []client.ServiceEndpoint{{Name: "list", URL: "https://api/v3", Header: map[string]string{"X": "y"}}}}
	in.Labels = map[string]string{"site": "fra1"}
	in.Manager, in.Members[0].Labels = "ctl3", map[string]string{"role": "control"}
	if s, err = h.member.PutService(ctx, "api", in, nil); err != nil || s.Revision != 2 || s.Labels["site"] != "fra1" ||
		s.Manager != "ctl3" || s.Members[0].Labels["role"] != "control" || s.Probe.Rate != 10 || s.Probe.Slow != "1s" || s.Probe.Timeout != "" || s.Probe.Endpoints[0].Header["X"] != "y" {
		t.Errorf("changed %+v, %v", s, err)
	}
	in.Probe.Endpoints[0].URL = "ftp://api"
	if _, err := h.member.PutService(ctx, "api", in, nil); !client.Is(err, client.KindInvalid) || !strings.Contains(err.Error(), "probe.endpoints.list.url") {
		t.Errorf("a probe of what is no web server: %v", err)
	}
	for _, ref := range []string{"api", s.ID} {
		if got, err := h.viewer.GetService(ctx, ref, nil); err != nil || got.ID != s.ID {
			t.Errorf("found by %s: %+v, %v", ref, got, err)
		}
	}
	if l, err := h.viewer.ListServices(ctx, nil); err != nil || len(l.Items) != 1 || l.Items[0].Name != "api" {
		t.Errorf("listed %+v, %v", l, err)
	}
	if l, err := h.viewer.ListServers(ctx, nil); err != nil || len(l.Items) != 3 {
		t.Errorf("a service is no server: %+v, %v", l, err)
	}

	b, err := h.member.PutRunbook(ctx, "restart", restart(), nil)
	h.must(err)
	// What comes back can be sent again, and is the same.
	if b.Name != "restart" || b.Budget != "5m" || b.ErrorBudget != (client.RunbookErrors{Unanswered: "0.1%", Over: "2m", Optional: true}) || b.MaxUnavailable != 1 || b.Prove[0].Settle != "10s" || b.Prove[0].With["times"] != "2" || b.Before[0].Attempts != 3 ||
		b.Member.Drain[0].On != "proxies" || b.Member.Do[0].Command != "restart-api" || !b.After[0].NoReturn || b.After[0].Soak != "1h" || b.Params[0].Pattern != "/[a-z]*" || b.Revision != 1 || b.Changed.IsZero() {
		t.Errorf("made %+v", b)
	}
	if l, err := h.viewer.ListRunbooks(ctx, nil); err != nil || len(l.Items) != 1 || l.Items[0].Title != "Restart" {
		t.Errorf("listed %+v, %v", l, err)
	}
	h.must(h.member.DeleteRunbook(ctx, "restart", nil))
	if _, err := h.viewer.GetRunbook(ctx, "restart", nil); !client.Is(err, client.KindNotFound) {
		t.Errorf("a deleted one: %v", err)
	}
	h.must(h.member.DeleteService(ctx, "api", nil))
	if _, err := h.viewer.GetService(ctx, "api", nil); !client.Is(err, client.KindNotFound) {
		t.Errorf("a deleted one: %v", err)
	}
}

// TestRunOfARunbook: it shows how far each member is, halts, waits for
// approvals and keeps who gave them.
func TestRunOfARunbook(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	in := h.api("red")
	_, err := h.member.PutService(ctx, "api", in, nil)
	h.must(err)
	_, err = h.member.PutRunbook(ctx, "restart", restart(), nil)
	h.must(err)

	forecast, err := h.viewer.SimulateRunbook(ctx, "api", client.ServiceForecastInput{Runbook: "restart", Duration: "3h"}, nil)
	h.must(err)
	var order []string
	for _, st := range forecast.Steps {
		order = append(order, st.Title)
	}
	want := "all-up ctl1, all-up ctl2, all-up ctl3, ctl1 drain lb1, ctl1 restart, ctl1 alive, ctl1 ready lb1, ctl2 drain lb1, ctl2 restart, ctl2 alive, ctl2 ready lb1, " +
		"ctl3 drain lb1, ctl3 restart, ctl3 alive, ctl3 ready lb1, contract ctl1, contract ctl2, contract ctl3"
	if got := strings.Join(order, ", "); got != want || forecast.Outcome != "succeeded" || forecast.Steps[3].Member != "ctl1" ||
		forecast.Steps[3].Undo != "reverse" || forecast.Steps[4].Undo != "none" || forecast.Steps[len(forecast.Steps)-1].Undo != "forward-only" {
		t.Errorf("it would be %s: %s\n%+v", forecast.Outcome, got, forecast.Waits)
	}
	if l, err := h.viewer.ListRuns(ctx, nil); err != nil || len(l.Items) != 0 {
		t.Errorf("a simulation left %+v", l.Items)
	}

	forecast, err = h.viewer.SimulateRunbook(ctx, "api", client.ServiceForecastInput{Runbook: "restart", Only: "ctl2", Duration: "3h"}, nil)
	h.must(err)
	if n := len(forecast.Steps); n != 7 || forecast.Steps[n-1].Title != "ctl2 ready lb1" || forecast.Outcome != "succeeded" {
		t.Errorf("of one member it would be %s: %+v", forecast.Outcome, forecast.Steps)
	}

	ask := client.ServiceRunInput{Runbook: "restart", Duration: "3h", Reason: "PCO-1981"}
	params := &client.RunRunbookParams{IdempotencyKey: "night"}
	r, err := h.member.RunRunbook(ctx, "api", ask, params)
	h.must(err)
	if again, err := h.member.RunRunbook(ctx, "api", ask, params); err != nil || again.ID != r.ID {
		t.Errorf("two runs for one key: %s and %+v, %v", r.ID, again, err)
	}
	if _, err := h.member.RunRunbook(ctx, "api", ask, nil); !client.Is(err, client.KindConflict) {
		t.Errorf("two runs on one service: %v", err)
	}
	if err := h.member.DeleteService(ctx, "api", nil); !client.Is(err, client.KindConflict) {
		t.Errorf("removed while a run is open: %v", err)
	}
	if r.Runbook != "restart" || r.ServerName != "api" || r.Params["health"] != "/healthcheck" || len(r.Members) != 3 || r.Members[2].Name != "ctl3" || r.Number != 1 {
		t.Errorf("opened %+v", r)
	}
	h.tick(r.ID)
	r, err = h.viewer.GetRun(ctx, r.ID, nil)
	h.must(err)
	drain := r.Plan.Steps[3]
	if drain.Title != "ctl1 drain lb1" || drain.Member != "ctl1" || drain.Phase != "drain" || drain.Action != "balance" || drain.With["backend"] != "api_back" || drain.With["server"] != "ctl1" || drain.With["proxy"] != "unix:/run/haproxy.sock" {
		t.Errorf("step %+v", drain)
	}
	for name, want := range map[string]int{"api": 1, s(t, h): 1} {
		l, err := h.viewer.ListRuns(ctx, &client.ListRunsParams{Service: name, Open: true})
		h.must(err)
		f, err := h.viewer.ListHistory(ctx, &client.ListHistoryParams{Service: name, Run: r.ID})
		h.must(err)
		if len(l.Items) != want || len(f.Items) == 0 {
			t.Errorf("of the service %s: %+v, %+v", name, l.Items, f.Items)
		}
	}

	contract := r.Plan.Steps[len(r.Plan.Steps)-3].ID
	h.change(r.ID, func(r *run.Run) {
		r.Book.Halt = "ctl2 alive failed"
		r.Book.Members = map[string]run.Member{"ctl1": {Through: true}, "ctl2": {Out: true, Did: true, First: r.Created}}
		r.Waits = []plan.Wait{{Step: contract, Reason: plan.Reason{Code: plan.NotYet, What: plan.FactApproved + contract}}}
	})
	r, err = h.viewer.GetRun(ctx, r.ID, nil)
	h.must(err)
	if r.Halt != "ctl2 alive failed" || !r.Members[0].Through || !r.Members[1].Out || !r.Members[1].Did || r.Members[1].Since.IsZero() || r.Members[2].Out || len(r.Unapproved) != 1 || r.Unapproved[0] != contract {
		t.Errorf("halted %+v", r)
	}
	for range 2 { // it may be said again
		r, err = h.member.ApproveRun(ctx, r.ID, client.ApproveInput{Step: contract}, nil)
		h.must(err)
	}
	if len(r.Approvals) != 1 || r.Approvals[0].Step != contract || r.Approvals[0].By != "user/mara" {
		t.Errorf("approved %+v", r.Approvals)
	}
	if _, err := h.viewer.ApproveRun(ctx, r.ID, client.ApproveInput{Step: contract}, nil); !client.Is(err, client.KindDenied) {
		t.Errorf("approved by who may only look: %v", err)
	}
	for _, step := range []string{"g1.nothing", drain.ID} {
		if _, err := h.member.ApproveRun(ctx, r.ID, client.ApproveInput{Step: step}, nil); !client.Is(err, client.KindNotFound) {
			t.Errorf("approved %s: %v", step, err)
		}
	}
}

func s(t *testing.T, h *house) string {
	t.Helper()
	s, err := h.viewer.GetService(t.Context(), "api", nil)
	h.must(err)
	return s.ID
}

// step is a runbook's body with one step in place of the one that restarts.
func step(text string) string {
	return `{"member":{"do":[` + text + `],"await":[{"name":"up","kind":"http","with":{"url":"{{member.url}}"}}]}}`
}

// TestRunbooksAreRefused: each by the path of the field, and nothing is stored.
func TestRunbooksAreRefused(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	in := h.api("red")
	_, err := h.member.PutService(ctx, "api", in, nil)
	h.must(err)
	in.Proxies, in.Members[1].With = nil, nil
	_, err = h.member.PutService(ctx, "bare", in, nil)
	h.must(err)
	_, err = h.member.PutRunbook(ctx, "restart", restart(), nil)
	h.must(err)
	small := restart()
	small.Member.Drain, small.Member.Ready = nil, nil
	_, err = h.member.PutRunbook(ctx, "small", small, nil)
	h.must(err)
	good := `{"name":"restart","kind":"command","on":"member","command":"restart"}`
	written := writes(t, h.file)
	before := written()
	for _, c := range []struct{ call, body, field, says string }{
		{"PUT /v1/runbooks/Restart", step(good), "name", "no name"},
		{"PUT /v1/runbooks/r", `{}`, "member", "is required"},
		{"PUT /v1/runbooks/r", step(""), "member.do", "does nothing"},
		{"PUT /v1/runbooks/r", step(`{"kind":"command"}`), "member.do[0].name", "is required"},
		{"PUT /v1/runbooks/r", step(`{"name":"x","kind":"reboot"}`), "member.do[0].kind", "command, check, backup"},
		{"PUT /v1/runbooks/r", step(`{"name":"x","kind":"command","on":"everywhere"}`), "member.do[0].on", "member, first"},
		{"PUT /v1/runbooks/r", step(`{"name":"x","kind":"command","on":"member"}`), "member.do[0].command", "goes with"},
		{"PUT /v1/runbooks/r", step(`{"name":"x","kind":"http"}`), "member.do[0].with.url", "is needed"},
		{"PUT /v1/runbooks/r", step(`{"name":"x","kind":"http","with":{"url":"{{param.x}}"}}`), "member.do[0].with.url", "no parameter"},
		{"PUT /v1/runbooks/r", step(`{"name":"x","kind":"http","with":{"url":3}}`), "member.do[0].with.url", "expected string"},
		{"PUT /v1/runbooks/r", step(good + `,{"name":"x","kind":"http","with":{"url":"u"},"timeout":"soon"}`), "member.do[1].timeout", "such as 14d"},
		{"PUT /v1/runbooks/r", step(good + `,{"name":"x","kind":"http","with":{"url":"u"},"soak":"61d"}`), "member.do[1].soak", "from 0 to"},
		{"PUT /v1/runbooks/r", step(`{"name":"x","kind":"command","on":"member","command":"rm -rf"}`), "member.do[0].command", "no command's name"},
		{"PUT /v1/runbooks/r", strings.Replace(step(good), "{", `{"gap":"1m",`, 1), "gap", "unexpected"},
		{"PUT /v1/runbooks/r", strings.Replace(step(good), "{", `{"prove":[{"name":"p","kind":"http","with":{"url":"u"},"attempts":2}],`, 1), "prove[0].attempts", "unexpected"},
		{"PUT /v1/runbooks/r", strings.Replace(step(good), "{", `{"params":[{"name":"x","type":"text"}],`, 1), "params[0].type", "string, integer"},
		{"POST /v1/runbooks/validate", strings.Replace(step(good), "{", `{"name":"r","params":[{"name":"x","type":"string"}],`, 1), "params[0]", "no step uses"},
		{"PUT /v1/services/new", `{}`, "members", "is required"},
		{"PUT /v1/services/new", `{"quorum":1,"members":[{"name":"a"}]}`, "quorum", "less than the 1 members"},
		{"PUT /v1/services/new", `{"members":[{"name":"a","server":"ctl9"}]}`, "members.a.server", "no server"},
		{"PUT /v1/services/new", `{"members":[{"name":"a","port":"1"}]}`, "members[0].port", "unexpected"},
		{"POST /v1/services/api/runs", `{"runbook":"restart"}`, "duration", "is required"},
		{"POST /v1/services/api/runs", `{"runbook":"restart","duration":"1m"}`, "duration", "takes about"},
		{"POST /v1/services/api/runs", `{"runbook":"restart","duration":"1h","overrideFreeze":true}`, "reason", "is needed"},
		{"POST /v1/services/api/runs", `{"runbook":"restart","duration":"1h","params":{"health":"x"}}`, "params.health", "text that matches"},
		{"POST /v1/services/api/runs", `{"runbook":"restart","duration":"1h","params":{"colour":"red"}}`, "params.colour", "no parameter"},
		{"POST /v1/services/bare/runs", `{"runbook":"restart","duration":"1h"}`, "members.ctl2.with.url", "{{member.url}}"},
		{"POST /v1/services/bare/simulate", `{"runbook":"small","duration":"1h"}`, "members.ctl2.with.url", "{{member.url}}"},
		{"POST /v1/services/api/runs", `{"runbook":"restart","duration":"1h","only":"ctl9"}`, "only", "no member that"},
		{"PUT /v1/services/new", `{"members":[{"name":"a"}],"manager":"ctl9"}`, "manager", "no server"},
		{"PUT /v1/services/new", `{"members":[{"name":"a","labels":{"":"x"}}]}`, "members.a.labels", "1 to 256"},
		{"PUT /v1/runbooks/r", strings.Replace(step(good), "{", `{"batches":[2],`, 1), "batches[0]", "maxUnavailable"},
		{"PUT /v1/runbooks/r", strings.Replace(step(good), "{", `{"targets":{"labels":{"role":""},"names":[]},`, 1), "targets.names", "unexpected"},
		{"GET /v1/runs?server=ctl1&service=api", "", "service", "goes without server"},
		{"GET /v1/schedules?server=ctl1&service=api", "", "service", "goes without server"},
		{"PUT /v1/services/api/schedules/w", onService(``), "runbook", "is missing"},
		{"PUT /v1/services/api/schedules/w", onService(`"runbook":"nothing"`), "runbook", "no runbook \"nothing\""},
		{"PUT /v1/services/bare/schedules/w", onService(`"runbook":"small"`), "members.ctl2.with.url", "{{member.url}}"},
		{"PUT /v1/services/api/schedules/w", onService(`"runbook":"restart","params":{"health":"x"}`), "params.health", "text that matches"},
		{"PUT /v1/services/api/schedules/w", strings.Replace(onService(`"runbook":"restart"`), "2h", "1m", 1), "duration", "takes about"},
		{"PUT /v1/services/api/schedules/w", onService(`"runbook":"restart","policy":{"hold":["nginx"]}`), "policy.hold", "updates of servers"},
		{"PUT /v1/services/api/schedules/w", onService(`"runbook":"restart","policy":{"reboot":"never"}`), "policy.reboot", "updates of servers"},
		{"PUT /v1/services/api/schedules/w", onService(`"runbook":"restart","updatePolicy":"x"`), "updatePolicy", "goes with a server"},
		{"PUT /v1/servers/ctl1/schedules/w", onService(`"runbook":"restart"`), "runbook", "goes with a service"},
		{"PUT /v1/servers/ctl1/schedules/w", onService(`"params":{"a":"b"}`), "params", "go with a runbook"},
		{"POST /v1/services/api/runs", `{"schedule":"w","runbook":"restart"}`, "runbook", "goes without a schedule"},
		{"POST /v1/services/api/simulate", `{"schedule":"w","duration":"1h"}`, "duration", "goes without a schedule"},
		{"POST /v1/previews", onService(`"name":"w"`), "server", "is required"},
	} {
		a := h.ask(c.call, "mara", c.body)
		if a.status != http.StatusBadRequest || len(a.problem.Errors) == 0 || a.problem.Errors[0].Location != c.field || !strings.Contains(a.problem.Errors[0].Message, c.says) {
			t.Errorf("%s %s: want %q of %s: %d %s", c.call, c.body, c.says, c.field, a.status, a.text)
		}
	}
	for _, c := range [][2]string{
		{"PUT /v1/services/ctl1", `{"members":[{"name":"a"}]}`}, {"PUT /v1/servers/api", `{}`},
	} {
		if a := h.ask(c[0], "mara", c[1]); a.status != http.StatusConflict {
			t.Errorf("%s: one name, two things: %d %s", c[0], a.status, a.text)
		}
	}
	if a := h.ask("POST /v1/services/api/runs", "mara", `{"runbook":"nothing","duration":"1h"}`); a.status != http.StatusNotFound {
		t.Errorf("no such runbook: %d %s", a.status, a.text)
	}
	if written() != before {
		t.Error("what was refused has written something")
	}
	if b, err := h.viewer.ValidateRunbook(ctx, client.NamedRunbookInput{Name: "r", Member: restart().Member}); err == nil || b != nil {
		t.Errorf("a runbook whose parameter is gone: %+v", b)
	}
	if a := h.ask("POST /v1/runbooks/validate", "vera", strings.Replace(step(good), "{", `{"name":"r",`, 1)); a.status != http.StatusOK || written() != before {
		t.Errorf("validated by who may only look: %d %s", a.status, a.text)
	}
}

// onService is a schedule with more in it.
func onService(more string) string {
	return strings.Replace(`{`+more+`,"rrule":"`+weekly+`","duration":"2h"}`, "{,", "{", 1)
}

// TestSchedulesOfServices: a service has schedules as servers have, which say
// what is carried out.
func TestSchedulesOfServices(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	svc, err := h.member.PutService(ctx, "api", h.api("red"), nil)
	h.must(err)
	_, err = h.member.PutRunbook(ctx, "restart", restart(), nil)
	h.must(err)
	in := client.ScheduleInput{
		Runbook: "restart", Params: map[string]string{"health": "/alive"}, RRule: weekly, Duration: "2h", Missed: client.Ask, Policy: &client.Policy{NoticeLead: "72h"},
	}
	s, err := h.member.PutServiceSchedule(ctx, "api", "weekly", in, nil)
	h.must(err)
	if s.Server != svc.ID || s.ServerName != "api" || s.Runbook != "restart" || s.Params["health"] != "/alive" || s.Policy.NoticeLead != "72h" || s.Missed != client.Ask || len(s.Occurrences) != 5 {
		t.Errorf("made %+v", s)
	}
	if a := h.ask("PUT /v1/services/api/schedules/weekly", "mara", onService(`"runbook":"restart"`)); a.status != http.StatusOK {
		t.Errorf("replaced: %d %s", a.status, a.text)
	}
	if a := h.ask("PUT /v1/services/api/schedules/other", "mara", onService(`"runbook":"restart"`)); a.status != http.StatusConflict || !strings.Contains(a.text, "overlap") {
		t.Errorf("two at once: %d %s", a.status, a.text)
	}
	if l, err := h.viewer.ListSchedules(ctx, &client.ListSchedulesParams{Service: "api"}); err != nil || len(l.Items) != 1 || l.Items[0].ID != s.ID {
		t.Errorf("listed %+v, %v", l, err)
	}
	if svc, err = h.viewer.GetService(ctx, "api", nil); err != nil || len(svc.Schedules) != 1 || svc.Schedules[0].Runbook != "restart" {
		t.Errorf("the service: %+v, %v", svc, err)
	}
	p, err := h.viewer.PreviewSchedule(ctx, client.SchedulePreviewInput{Service: "api", Name: "new", Runbook: "restart", RRule: weekly, Duration: "1h"}, nil)
	if err != nil || p.Runbook != "restart" || len(p.Overlaps) == 0 {
		t.Errorf("preview %+v, %v", p, err)
	}
	f, err := h.viewer.SimulateRunbook(ctx, "api", client.ServiceForecastInput{Schedule: "weekly"}, nil)
	if err != nil || f.Outcome != "succeeded" || f.Waits[0].Why.Code != "window-closed" || f.Steps[0].Start.Weekday() != day {
		t.Errorf("forecast %+v, %v", f, err)
	}
	r, err := h.member.RunRunbook(ctx, "api", client.ServiceRunInput{Schedule: "weekly", Reason: "early"}, nil)
	if err != nil || r.Schedule != s.ID || r.Runbook != "restart" || r.Window.RRule != weekly || r.State != client.Waiting {
		t.Errorf("opened ahead of its window: %+v, %v", r, err)
	}
	if _, err = h.member.RunRunbook(ctx, "api", client.ServiceRunInput{Schedule: "weekly"}, nil); !client.Is(err, client.KindConflict) {
		t.Errorf("opened twice: %v", err)
	}
	// What waits for its window, with nobody out, keeps nobody from rolling now.
	if _, err = h.member.RunRunbook(ctx, "api", client.ServiceRunInput{Runbook: "restart", Duration: "3h"}, nil); err != nil {
		t.Error(err)
	}
	h.must(h.member.DeleteSchedule(ctx, s.ID, nil))
	if got, err := h.viewer.GetRun(ctx, r.ID, nil); err != nil || got.AbortedBy != "user/mara" {
		t.Errorf("the run of a removed schedule: %+v, %v", got, err)
	}
	if a := h.ask("PUT /v1/services/nothing/schedules/w", "mara", onService(`"runbook":"restart"`)); a.status != http.StatusNotFound {
		t.Errorf("no such service: %d %s", a.status, a.text)
	}
}

// TestServicesOfAnotherProject are not there.
func TestServicesOfAnotherProject(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	in := h.api("blue")
	blue, err := h.operator.PutService(ctx, "api", in, &client.PutServiceParams{Project: "blue"})
	h.must(err)
	_, err = h.operator.PutRunbook(ctx, "restart", restart(), &client.PutRunbookParams{Project: "blue"})
	h.must(err)
	r, err := h.operator.RunRunbook(ctx, blue.ID, client.ServiceRunInput{Runbook: "restart", Duration: "3h"}, nil)
	h.must(err)
	run := bodies["runRunbook"]
	for call, body := range map[string]string{
		"GET /v1/services/" + blue.ID: "", "DELETE /v1/services/" + blue.ID: "", "GET /v1/services/api": "", "GET /v1/services/api?project=blue": "",
		"POST /v1/services/" + blue.ID + "/runs": run, "POST /v1/services/" + blue.ID + "/simulate": run,
		"GET /v1/runbooks/restart": "", "GET /v1/runbooks/restart?project=blue": "", "DELETE /v1/runbooks/restart?project=blue": "",
		"POST /v1/runs/" + r.ID + "/approve": `{"step":"g1.contract.ctl1"}`, "GET /v1/runs?service=" + blue.ID: "", "GET /v1/history?service=" + blue.ID: "",
	} {
		if a := h.ask(call, "mara", body); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", call, a.status, a.text)
		}
	}
	if l, err := h.viewer.ListServices(ctx, nil); err != nil || len(l.Items) != 0 {
		t.Errorf("red sees %+v, %v", l, err)
	}
	if a := h.ask("GET /v1/runbooks?project=blue", "mara", ""); a.status != http.StatusNotFound && a.status != http.StatusForbidden {
		t.Errorf("blue's runbooks: %d %s", a.status, a.text)
	}
}
