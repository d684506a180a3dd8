package api_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"upkeep/client"
	"upkeep/internal/api"
	"upkeep/internal/run"
)

var long = strings.Repeat("x", 2000)

func scheduleWith(fields string) string {
	return `{"rrule":"` + weekly + `","duration":"2h"` + fields + `}`
}
func scheduleAt(rrule string) string { return `{"rrule":"` + rrule + `","duration":"2h"}` }

// badInputs are mistakes, the field to blame, and a part of what is said of it.
var badInputs = []struct{ call, body, field, says string }{
	{"PUT /v1/servers/-web", `{}`, "name", "is no name"},
	{"PUT /v1/servers/a%20b", `{}`, "name", "is no name"},
	{"PUT /v1/servers/" + long, `{}`, "server", "length"},
	{"PUT /v1/servers/web-1?project=%20", `{}`, "project", "is no name"},
	{"PUT /v1/servers/web-1", `{"group":"a b"}`, "group", "is no group name"},
	{"PUT /v1/servers/web-1", `{"group":1}`, "group", "expected string"},
	{"PUT /v1/servers/web-1", `{"labels":{"":"x"}}`, "labels", "1 to 256"},
	{"PUT /v1/servers/web-1", `{"labels":{"a":1}}`, "labels.a", "expected string"},
	{"PUT /v1/servers/web-1", `{"labels":{"a":"\u0000"}}`, "body", "labels.a must not contain the character U+0000"},
	{"POST /v1/simulations", `{"server":"web-1","duration":"1h","policy":{"hold":["a","\u0000"]}}`, "body", "policy.hold must not contain"},
	{"PUT /v1/servers/web-1", `{"labels":{"\u0000":"x"}}`, "body", "no name may contain"},
	{"GET /v1/servers?limit=1001", "", "limit", "<= 1000"},
	{"GET /v1/servers?limit=-1", "", "limit", ">= 0"},
	{"GET /v1/servers?limit=many", "", "limit", "integer"},
	{"GET /v1/servers?lang=fr", "", "lang", "en or de"},
	{"GET /v1/history?wait=31", "", "wait", "<= 30"},
	{"GET /v1/history?after=-1", "", "after", ">= 0"},

	{"PUT /v1/servers/web-1/schedules/s", scheduleAt("RRULE:FREQ=WEEKLY"), "rrule", "DTSTART is missing"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleAt("every saturday"), "rrule", "is not understood"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleAt("DTSTART;TZID=Europe/Nowhere:20260103T023000 RRULE:FREQ=DAILY"), "rrule", "unknown time zone"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleAt("DTSTART;TZID=Europe/Berlin:20260230T023000 RRULE:FREQ=DAILY"), "rrule", "must be a time"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleAt("DTSTART:20260103T023000Z RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), "rrule", "never"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleAt("DTSTART:20260103T023000Z RRULE:FREQ=SECONDLY"), "rrule", ""},
	{"PUT /v1/servers/web-1/schedules/s", `{"duration":"2h"}`, "rrule", "is missing, and so is weekly"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"weekly":{"dayOfTheWeek":"Friday","time":"15:39","zone":"UTC"}`), "weekly", "give one of them"},
	{"PUT /v1/servers/web-1/schedules/s", `{"duration":"2h","weekly":{"dayOfTheWeek":"Freitag","time":"15:39","zone":"UTC"}}`, "weekly.dayOfTheWeek", "Friday"},
	{"PUT /v1/servers/web-1/schedules/s", `{"duration":"2h","weekly":{"dayOfTheWeek":"Friday","time":"25:00","zone":"UTC"}}`, "weekly.time", "15:39"},
	{"PUT /v1/servers/web-1/schedules/s", `{"duration":"2h","weekly":{"dayOfTheWeek":"Friday","time":"15:39","zone":"Mars"}}`, "weekly.zone", "Mars"},
	{"PUT /v1/servers/web-1/schedules/s", `{"rrule":"` + weekly + `","duration":"0s"}`, "duration", "between 1m and 24h, not 0s"},
	{"PUT /v1/servers/web-1/schedules/s", `{"rrule":"` + weekly + `","duration":""}`, "duration", "between 1m and 24h"},
	{"PUT /v1/servers/web-1/schedules/s", `{"rrule":"` + weekly + `","duration":"25h"}`, "duration", "between 1m and 24h"},
	{"PUT /v1/servers/web-1/schedules/s", `{"rrule":"` + weekly + `","duration":"2 hours"}`, "duration", "90m or 2h30m"},
	{"PUT /v1/servers/web-1/schedules/s", `{"rrule":"` + weekly + `","duration":2}`, "duration", "expected string"},
	{"PUT /v1/servers/web-1/schedules/s", `{"rrule":"` + weekly + `"}`, "duration", "is required"},
	{"PUT /v1/servers/web-1/schedules/s", `{"rrule":"` + long + long + long + `","duration":"2h"}`, "rrule", "length"},
	{"PUT /v1/servers/web-1/schedules/" + strings.Repeat("x", 127), scheduleWith(""), "name", "length"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"enabled":"yes"`), "enabled", "expected boolean"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"scope":"some"}`), "policy.scope", "all, security"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"reboot":"sometimes"}`), "policy.reboot", "if-required, never, always, own-window"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"reboot":"own-window"}`), "policy.rebootWindow", "is needed"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"rebootWindow":{"rrule":"` + weekly + `","duration":"1h"}}`), "policy.rebootWindow", "goes only with"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"reboot":"own-window","rebootWindow":{"duration":"1h"}}`), "policy.rebootWindow.rrule", "is missing, and so is weekly"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"reboot":"own-window","rebootWindow":{"rrule":"x","duration":"1h"}}`), "policy.rebootWindow.rrule", "is not understood"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"reboot":"own-window","rebootWindow":{"rrule":"` + weekly + `","duration":"25h"}}`), "policy.rebootWindow.duration", "between 1m and 24h"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"reboot":"own-window","rebootWindow":{"rrule":"` + weekly + `","duration":"soon"}}`), "policy.rebootWindow.duration", "90m or 2h30m"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"reboot":"own-window","rebootWindow":{"weekly":{"dayOfTheWeek":"Friday","time":"25:00","zone":"UTC"},"duration":"1h"}}`), "policy.rebootWindow.weekly.time", "15:39"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"dryRun":"yes"}`), "policy.dryRun", "expected boolean"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"within":"12h"}`), "policy.within", "from 1 to 365 days"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"within":"366d"}`), "policy.within", "from 1 to 365 days"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"within":"P14D"}`), "policy.within", "such as 14d"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"within":"14d-1h"}`), "policy.within", "such as 14d"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"backup":"rm -rf"}`), "policy.backup", "is no command's name"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"before":["a","a"]}`), "policy.before", "stands twice"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"after":["/bin/sh"]}`), "policy.after", "is no command's name"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"health":[""]}`), "policy.health", "is no command's name"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"health":"ok"}`), "policy.health", "expected array"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"missed":"sometimes"`), "missed", "late, skip, ask"},
	{"POST /v1/servers/web-1/schedules", scheduleWith(``), "name", "must have 1 to 126 bytes"},
	{"POST /v1/servers/web-1/schedules", `{"name":"s","rrule":"` + weekly + `"}`, "duration", "is required"},
	{"POST /v1/previews", scheduleWith(`,"name":"s"`), "server", "is required"},
	{"POST /v1/previews", scheduleWith(`,"server":"web-1"`), "name", "must have 1 to 126 bytes"},
	{"POST /v1/previews", `{"server":"web-1","name":"s","rrule":"x","duration":"1h"}`, "rrule", "is not understood"},

	{"PUT /v1/policies/p", `{"rrule":"` + weekly + `"}`, "duration", "is required"},
	{"PUT /v1/policies/p", `{"duration":"2h"}`, "rrule", "is missing, and so is weekly"},
	{"PUT /v1/policies/p", scheduleWith(`,"spread":true`), "rrule", "goes without spread"},
	{"PUT /v1/policies/p", `{"spread":true,"duration":"2h","weekly":{"dayOfTheWeek":"Friday","time":"15:39","zone":"UTC"}}`, "weekly", "goes without spread"},
	{"PUT /v1/policies/p", `{"spread":true,"duration":"2h"}`, "zone", "is needed with spread"},
	{"PUT /v1/policies/p", `{"spread":true,"duration":"2h","zone":"Mars"}`, "zone", "Mars"},
	{"PUT /v1/policies/p", `{"spread":true,"duration":"50h","zone":"UTC"}`, "duration", "fit into a weekend"},
	{"PUT /v1/policies/p", scheduleWith(`,"zone":"UTC"`), "zone", "goes with spread"},
	{"PUT /v1/policies/p", scheduleWith(`,"default":true,"enabled":false`), "enabled", "must be true for the default"},
	{"PUT /v1/policies/p", scheduleWith(`,"policy":{"scope":"security","within":"1h"}`), "policy.within", "from 1 to 365 days"},
	{"PUT /v1/policies/p", scheduleWith(`,"missed":"never"`), "missed", "late, skip, ask"},
	{"PUT /v1/policies/" + strings.Repeat("x", 127), scheduleWith(``), "policy", "length"},

	{"PUT /v1/groups/a%20b", `{}`, "name", "is no group name"},
	{"PUT /v1/groups/web", `{"maxUnavailable":501}`, "maxUnavailable", "<= 500"},
	{"PUT /v1/groups/web", `{"maxUnavailable":-1}`, "maxUnavailable", ">= 0"},
	{"PUT /v1/groups/web", `{"stopAfter":501}`, "stopAfter", "<= 500"},
	{"PUT /v1/groups/web", `{"soak":"1h"}`, "soak", "goes with canaries"},
	{"PUT /v1/groups/web", `{"soak":"61d","canaries":["a"]}`, "soak", "must be from 0 to"},
	{"PUT /v1/groups/web", `{"soak":"long","canaries":["a"]}`, "soak", "such as 14d"},
	{"PUT /v1/groups/web", `{"canaries":["a","a"]}`, "canaries", "stands twice"},
	{"PUT /v1/groups/web", `{"canaries":["a b"]}`, "canaries", "is no name"},

	{"GET /v1/compliance?format=xml", "", "format", "json, csv"},
	{"GET /v1/runs?number=1", "", "number", "goes with server"},
	{"GET /v1/runs?server=web-1&number=x", "", "number", "integer"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"batch":501}`), "policy.batch", "<= 500"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"batch":1.5}`), "policy.batch", "integer"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"hold":["A B"]}`), "policy.hold", "is no package name"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"hold":"nginx"}`), "policy.hold", "expected array"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"prepare":"25h"}`), "policy.prepare", "must be from 0 to"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"prepare":"soon"}`), "policy.prepare", "90m or 2h30m"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"noticeLead":"-1h"}`), "policy.noticeLead", "must be from 0 to"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"expect":{"dance":"1m"}}`), "policy.expect", "is no action"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"expect":{"reboot":"-"}}`), "policy.expect.reboot", "90m or 2h30m"},
	{"PUT /v1/servers/web-1/schedules/s", scheduleWith(`,"policy":{"colour":"red"}`), "policy.colour", "unexpected property"},

	{"POST /v1/freezes", `{"start":"tomorrow","end":"2026-01-02T00:00:00Z","reason":"r"}`, "start", "date-time"},
	{"POST /v1/freezes", `{"start":"2026-01-02T00:00:00Z","end":"2026-01-02T00:00:00Z","reason":"r"}`, "end", "after the start"},
	{"POST /v1/freezes", `{"start":"2026-01-02T00:00:00Z","end":"2028-01-02T00:00:00Z","reason":"r"}`, "end", "at most 366 days"},
	{"POST /v1/freezes", `{"start":"2026-01-02T00:00:00Z","end":"2026-01-03T00:00:00Z","reason":""}`, "reason", "people will read it"},

	{"POST /v1/runs", `{"when":"now","duration":"1h"}`, "server", "is required"},
	{"POST /v1/runs", `{"server":"","when":"now","duration":"1h"}`, "server", "length"},
	{"POST /v1/runs", `{"server":"web-1","when":"later"}`, "when", "now, window"},
	{"POST /v1/runs", `{"server":"web-1","when":"now"}`, "duration", "is needed"},
	{"POST /v1/runs", `{"server":"web-1","when":"now","duration":"0s"}`, "duration", "between 1m and 24h"},
	{"POST /v1/runs", `{"server":"web-1","when":"now","duration":"1h","schedule":"weekly"}`, "schedule", "in a window"},
	{"POST /v1/runs", `{"server":"web-1","when":"now","duration":"1h","overrideFreeze":true}`, "reason", "to override a freeze"},
	{"POST /v1/runs", `{"server":"web-1","when":"now","duration":"1h","policy":{"hold":["?"]}}`, "policy.hold", "is no package name"},
	{"POST /v1/runs", `{"server":"web-1","when":"window"}`, "schedule", "is needed"},
	{"POST /v1/runs", `{"server":"web-1","when":"window","schedule":"weekly","duration":"1h"}`, "duration", "starts now"},
	{"POST /v1/runs", `{"server":"web-1","when":"window","schedule":"weekly","policy":{}}`, "policy", "starts now"},
	{"POST /v1/runs", `{"server":"web-1","when":"window","schedule":"weekly","overrideFreeze":true,"reason":"r"}`, "overrideFreeze", "starts now"},

	{"POST /v1/windows", scheduleAt("RRULE:FREQ=WEEKLY"), "rrule", "DTSTART"},
	{"POST /v1/windows", scheduleWith(`,"limit":101`), "limit", "<= 100"},
	{"POST /v1/windows", scheduleWith(`,"from":"now"`), "from", "date-time"},
	{"POST /v1/windows", `{"duration":"1h"}`, "rrule", "is missing, and so is weekly"},
	{"POST /v1/simulations", `{"server":"web-1","updatePolicy":"p","schedule":"weekly"}`, "updatePolicy", "goes without a schedule"},
	{"POST /v1/simulations", `{"server":"web-1","updatePolicy":"p","duration":"1h"}`, "duration", "without an update policy"},
	{"POST /v1/simulations", `{"server":"web-1"}`, "duration", "between 1m and 24h"},
	{"POST /v1/simulations", `{"server":"web-1","rrule":"x","duration":"1h"}`, "rrule", "is not understood"},
	{"POST /v1/simulations", `{"server":"web-1","schedule":"weekly","rrule":"x"}`, "rrule", "without a schedule"},
	{"POST /v1/simulations", `{"server":"web-1","schedule":"weekly","duration":"1h"}`, "duration", "without a schedule"},
	{"POST /v1/simulations", `{"server":"web-1","schedule":"weekly","policy":{}}`, "policy", "without a schedule"},
	{"POST /v1/simulations", `{"server":"web-1","schedule":"weekly","overrideFreeze":true}`, "overrideFreeze", "starts now"},

	{"POST /v1/tokens", `{"name":"n","role":"king"}`, "role", "operator, member, viewer"},
	{"POST /v1/tokens", `{"name":"a b","role":"viewer"}`, "name", "is no name"},
	{"POST /v1/tokens", `{"name":"n","role":"operator","project":"red"}`, "project", "every project"},
	{"POST /v1/tokens", `{"name":"n","role":"viewer","expires":"2020-01-01T00:00:00Z"}`, "expires", "in the future"},
}

// TestBadInputIsBlamed: every mistake is answered with 400 and the field's name,
// wherever it was found.
func TestBadInputIsBlamed(t *testing.T) {
	h := newHouse(t)
	h.server("red", "web-1")
	h.schedule("red", "web-1")
	for _, c := range badInputs {
		who := "olga"
		if strings.HasPrefix(c.call, "PUT /v1/servers/web-1/") || strings.HasPrefix(c.call, "POST /v1/servers/web-1/") || strings.HasSuffix(c.call, "previews") || strings.HasSuffix(c.call, "runs") || strings.HasSuffix(c.call, "simulations") {
			who = "mara" // whose project it is
		}
		a := h.ask(c.call, who, c.body)
		if a.status != http.StatusBadRequest || a.problem.Kind != client.KindInvalid {
			t.Errorf("%s %s: %d %s", c.call, c.body, a.status, a.text)
			continue
		}
		if len(a.problem.Errors) == 0 || a.problem.Errors[0].Location != c.field || !strings.Contains(a.problem.Errors[0].Message, c.says) ||
			!strings.Contains(a.problem.Detail, a.problem.Errors[0].Message) || !strings.HasPrefix(a.problem.Detail, c.field+": ") {
			t.Errorf("%s %.300s\nblame %q, say %q; got %s", c.call, c.body, c.field, c.says, a.text)
		}
	}
}

func TestNotFound(t *testing.T) {
	h := newHouse(t)
	h.server("red", "web-1")
	h.server("red", "web-2")
	other := h.schedule("red", "web-2")
	for call, says := range map[string]string{
		"GET /v1/servers/nothing":               `no server "nothing"`,
		"DELETE /v1/servers/nothing":            `no server "nothing"`,
		"POST /v1/servers/nothing/enrolments":   `no server "nothing"`,
		"PUT /v1/servers/nothing/schedules/s":   `no server "nothing"`,
		"GET /v1/schedules/nothing":             "schedule",
		"POST /v1/schedules/nothing/enable":     "schedule",
		"POST /v1/schedules/nothing/disable":    "schedule",
		"PUT /v1/schedules/nothing":             "schedule",
		"POST /v1/servers/nothing/schedules":    `no server "nothing"`,
		"POST /v1/servers/nothing/manage":       `no server "nothing"`,
		"POST /v1/servers/nothing/unmanage":     `no server "nothing"`,
		"GET /v1/policies/nothing":              `no policy "nothing"`,
		"DELETE /v1/policies/nothing":           `no policy "nothing"`,
		"GET /v1/groups/nothing":                `no group "nothing"`,
		"DELETE /v1/groups/nothing":             "group",
		"GET /v1/schedules?server=nothing":      `no server or service "nothing"`,
		"DELETE /v1/schedules/nothing":          "schedule",
		"DELETE /v1/freezes/nothing":            "freeze",
		"GET /v1/runs/nothing":                  "run",
		"GET /v1/runs?server=nothing":           `no server "nothing"`,
		"POST /v1/runs/nothing/pause":           "run",
		"GET /v1/history?server=nothing":        `no server "nothing"`,
		"GET /v1/nowhere":                       "there is nothing at /v1/nowhere",
		"GET /v2/servers":                       "there is nothing at /v2/servers",
		"GET /v1/servers/":                      "there is nothing at",
		"GET /docs":                             "there is nothing at",
		"POST /v1/runs (web-1, other schedule)": `no schedule "` + other.ID + `"`,
		"POST /v1/runs (nothing)":               `no server "nothing"`,
	} {
		body := ""
		switch {
		case strings.HasPrefix(call, "PUT"):
			body = bodies["putSchedule"]
		case strings.HasSuffix(call, "/schedules"):
			body = bodies["createSchedule"]
		case strings.HasSuffix(call, "schedule)"):
			call, body = "POST /v1/runs", `{"server":"web-1","when":"window","schedule":"`+other.ID+`"}`
		case strings.HasSuffix(call, "(nothing)"):
			call, body = "POST /v1/runs", bodies["startRun"]
		}
		a := h.ask(call, "mara", body)
		if a.status != http.StatusNotFound || a.problem.Kind != client.KindNotFound || !strings.Contains(a.problem.Detail, says) {
			t.Errorf("%s: want 404 and %q, got %d %s", call, says, a.status, a.text)
		}
	}
	if a := h.ask("DELETE /v1/tokens/nothing", "olga", ""); a.status != http.StatusNotFound {
		t.Errorf("a token that is not there: %d", a.status)
	}
}

func TestMethods(t *testing.T) {
	h := newHouse(t)
	a := h.ask("PATCH /v1/servers/web-1", "olga", `{}`)
	if a.status != http.StatusMethodNotAllowed || !strings.Contains(a.header.Get("Allow"), "PUT") || !strings.Contains(a.problem.Detail, "PATCH") {
		t.Errorf("%d %v %s", a.status, a.header, a.text)
	}
	if a := h.ask("HEAD /v1/version", "", ""); a.status != http.StatusOK || a.text != "" {
		t.Errorf("HEAD: %d %q", a.status, a.text)
	}
}

func TestUnreadable(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/v1/servers/%00", "/v1/servers/%ff", "/v1/servers?project=%00", "/v1/servers?%ff=1", "/v1/runs/a%00b"} {
		if a := h.ask("GET "+path, "olga", ""); a.status != http.StatusBadRequest || !strings.Contains(a.problem.Detail, "readable text") {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	if a := h.ask("PUT /v1/servers/a", "olga", `{}`, "Idempotency-Key", "schlüssel"); a.status != http.StatusBadRequest || a.problem.Errors[0].Location != "Idempotency-Key" {
		t.Errorf("a key that is no ASCII: %d %s", a.status, a.text)
	}
	if a := h.ask("PUT /v1/servers/a", "olga", `{}`, "Idempotency-Key", strings.Repeat("k", 256)); a.status != http.StatusBadRequest || a.problem.Errors[0].Location != "Idempotency-Key" {
		t.Errorf("a key that is too long: %d %s", a.status, a.text)
	}
	if a := h.ask("PUT /v1/servers/a", "olga", "a=b", "Content-Type", "application/x-www-form-urlencoded"); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("a form: %d %s", a.status, a.text)
	}
	big := `{"group":"` + strings.Repeat("x", api.MaxBodyBytes) + `"}`
	if a := h.ask("PUT /v1/servers/a", "olga", big); a.status != http.StatusRequestEntityTooLarge || len(a.text) > 1000 {
		t.Errorf("a big body: %d %.300s", a.status, a.text)
	}
	// What was sent is not sent back: it may hold what nobody else should see.
	if a := h.ask("PUT /v1/servers/a", "olga", `{"group":"hunter2"`); strings.Contains(a.text, "hunter2") {
		t.Errorf("the answer repeats the request: %s", a.text)
	}
}

// TestProjectsAreApart: what belongs to another project is not there.
func TestProjectsAreApart(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	server := h.server("blue", "db-1")
	schedule := h.schedule("blue", "db-1")
	freeze, err := h.operator.CreateFreeze(ctx, client.FreezeInput{Project: "blue", Start: time.Now(), End: time.Now().Add(time.Hour), Reason: "closing"}, nil)
	h.must(err)
	r, err := h.operator.StartRun(ctx, client.RunInput{Server: server.ID, When: client.RunInputWhenNow, Duration: "1h"}, nil)
	h.must(err)
	policy, err := h.operator.PutUpdatePolicy(ctx, "blue-policy", client.UpdatePolicyInput{RRule: weekly, Duration: "2h"}, &client.PutUpdatePolicyParams{Project: "blue"})
	h.must(err)
	_, err = h.operator.PutGroup(ctx, "pair", client.GroupInput{}, &client.PutGroupParams{Project: "blue"})
	h.must(err)
	calls := []string{
		"GET /v1/servers/" + server.ID, "GET /v1/servers/db-1", "GET /v1/servers/db-1?project=blue", "DELETE /v1/servers/" + server.ID,
		"PUT /v1/servers/db-1?project=blue", "POST /v1/servers/" + server.ID + "/enrolments", "PUT /v1/servers/" + server.ID + "/schedules/weekly",
		"GET /v1/schedules/" + schedule.ID, "DELETE /v1/schedules/" + schedule.ID, "GET /v1/schedules?server=" + server.ID,
		"DELETE /v1/freezes/" + freeze.ID, "GET /v1/runs/" + r.ID, "GET /v1/runs?server=" + server.ID, "GET /v1/history?server=" + server.ID,
		"POST /v1/runs/" + r.ID + "/pause", "POST /v1/runs/" + r.ID + "/resume", "POST /v1/runs/" + r.ID + "/abort", "POST /v1/runs/" + r.ID + "/announce",
		"POST /v1/runs", "POST /v1/simulations", "POST /v1/previews", "POST /v1/servers/" + server.ID + "/schedules",
		"PUT /v1/schedules/" + schedule.ID, "POST /v1/schedules/" + schedule.ID + "/enable", "POST /v1/schedules/" + schedule.ID + "/disable",
		"POST /v1/servers/" + server.ID + "/manage", "POST /v1/servers/" + server.ID + "/unmanage",
		"GET /v1/policies/blue-policy", "GET /v1/policies/blue-policy?project=blue", "DELETE /v1/policies/" + policy.ID,
		"GET /v1/groups/pair", "GET /v1/groups/pair?project=blue", "PUT /v1/groups/pair?project=blue", "DELETE /v1/groups/pair?project=blue",
	}
	for _, call := range calls {
		body := ""
		switch {
		case strings.HasSuffix(call, "/announce"):
			body = `{"text":"t"}`
		case strings.Contains(call, "/schedules/weekly"):
			body = bodies["putSchedule"]
		case strings.HasPrefix(call, "PUT /v1/schedules/"), strings.HasSuffix(call, "/schedules"):
			body = bodies["createSchedule"]
		case strings.HasSuffix(call, "previews"):
			body = strings.Replace(bodies["previewSchedule"], "nothing", server.ID, 1)
		case strings.HasPrefix(call, "PUT"):
			body = `{}`
		case strings.HasSuffix(call, "/v1/runs"):
			body = `{"server":"` + server.ID + `","when":"now","duration":"1h"}`
		case strings.HasSuffix(call, "simulations"):
			body = `{"server":"` + server.ID + `","duration":"1h"}`
		}
		if a := h.ask(call, "mara", body); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", call, a.status, a.text)
		}
	}
	for _, call := range []string{"GET /v1/servers", "GET /v1/schedules", "GET /v1/freezes", "GET /v1/runs", "GET /v1/history", "GET /v1/compliance"} {
		if a := h.ask(call, "mara", ""); a.status != http.StatusOK || !strings.Contains(a.text, `"items":[]`) {
			t.Errorf("%s shows %d %s", call, a.status, a.text)
		}
		if a := h.ask(call+"?project=blue", "mara", ""); a.status != http.StatusForbidden {
			t.Errorf("%s of blue: %d %s", call, a.status, a.text)
		}
		if a := h.ask(call+"?project=blue", "olga", ""); a.status != http.StatusOK || strings.Contains(a.text, `"items":[]`) {
			t.Errorf("%s of blue by an operator: %d %s", call, a.status, a.text)
		}
	}
	if got, err := h.operator.GetRun(ctx, r.ID, nil); err != nil || got.PausedBy != "" || got.AbortedBy != "" || got.State != client.State(run.Waiting) {
		t.Errorf("the run was touched: %+v, %v", got, err)
	}
}

func TestWritesAreRepeated(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	key := "key-1"
	h.server("red", "web-1")
	start := func(reason string) (*client.Run, error) {
		return h.member.StartRun(ctx, client.RunInput{Server: "web-1", When: client.RunInputWhenNow, Duration: "1h", Reason: reason}, &client.StartRunParams{IdempotencyKey: key})
	}
	first, err := start("a")
	h.must(err)
	second, err := start("a")
	h.must(err)
	if first.ID != second.ID {
		t.Errorf("two runs for one key: %s and %s", first.ID, second.ID)
	}
	if _, err := start("b"); !client.Is(err, client.KindConflict) {
		t.Errorf("another request with the same key: %v", err)
	}
	// Somebody else's key is another one.
	if _, err := h.operator.PutServer(ctx, "web-9", client.ServerInput{}, &client.PutServerParams{IdempotencyKey: key}); err != nil {
		t.Errorf("the same key of somebody else: %v", err)
	}
	abort := &client.AbortRunParams{IdempotencyKey: "key-2"}
	_, err = h.member.AbortRun(ctx, first.ID, client.AbortInput{}, abort)
	h.must(err)
	h.tick(first.ID)
	if again, err := h.member.AbortRun(ctx, first.ID, client.AbortInput{}, abort); err != nil || again.State != client.Aborted {
		t.Errorf("an abort that was heard twice: %+v, %v", again, err)
	}

	freeze := func(reason string) (*client.Freeze, error) {
		start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
		return h.member.CreateFreeze(ctx, client.FreezeInput{Start: start, End: start.Add(time.Hour), Reason: reason}, &client.CreateFreezeParams{IdempotencyKey: "key-3"})
	}
	f1, err := freeze("a")
	h.must(err)
	f2, err := freeze("a")
	h.must(err)
	if _, err := freeze("b"); f1.ID != f2.ID || !client.Is(err, client.KindConflict) {
		t.Errorf("freezes %s and %s, another: %v", f1.ID, f2.ID, err)
	}
	gone := &client.DeleteFreezeParams{IdempotencyKey: "key-4"}
	h.must(h.member.DeleteFreeze(ctx, f1.ID, gone))
	h.must(h.member.DeleteFreeze(ctx, f1.ID, gone))
	if err := h.member.DeleteFreeze(ctx, f1.ID, nil); !client.Is(err, client.KindNotFound) {
		t.Errorf("without a key: %v", err)
	}

	in := client.TokenInput{Name: "nina", Role: client.Viewer}
	t1, err := h.operator.CreateToken(ctx, in, &client.CreateTokenParams{IdempotencyKey: "key-5"})
	h.must(err)
	t2, err := h.operator.CreateToken(ctx, in, &client.CreateTokenParams{IdempotencyKey: "key-5"})
	h.must(err)
	if t1.ID != t2.ID || t1.Secret == "" || t2.Secret != "" {
		t.Errorf("tokens %+v and %+v", t1, t2)
	}
}

func TestProblemsAreErrors(t *testing.T) {
	h := newHouse(t)
	_, err := h.member.StartRun(t.Context(), client.RunInput{Server: "web-1", When: client.RunInputWhenNow}, nil)
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != 400 || p.Field() != "duration" || !strings.HasPrefix(err.Error(), "duration: is needed") || !client.Is(err, client.KindInvalid) {
		t.Errorf("%v, %+v", err, p)
	}
}
