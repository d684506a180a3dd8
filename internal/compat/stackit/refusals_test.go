package stackit_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// badRules are recurrences that are refused, with a part of the reason.
var badRules = map[string]string{
	"": "is missing",
	"DTSTART;TZID=Mars/Olympus:20260103T020000 RRULE:FREQ=WEEKLY":                          "DTSTART;TZID",
	"DTSTART:20260103T020000 RRULE:FREQ=WEEKLY":                                            "has no time zone",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:INTERVAL=1":                          "FREQ is missing",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=FORTNIGHTLY":                    "FREQ must be one of",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;INTERVAL=0":              "INTERVAL must be",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;INTERVAL=-1":             "INTERVAL must be",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31": "never occurs",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=HOURLY":                         "too often",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=MINUTELY;INTERVAL=30":           "too often",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=SECONDLY":                       "too often",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=DAILY;BYMINUTE=0,30":            "at least 1h apart",
	"DTSTART;TZID=Europe/Berlin:20260103T020000":                                           "needs an RRULE",
	"RRULE:FREQ=WEEKLY": "DTSTART is missing",
	"FREQ=WEEKLY":       "is not understood",
	"every Saturday":    "is not understood",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;BYDAY=XX":                                              "BYDAY",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;BYDAY=":                                                "BYDAY has no value",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;FOO=1":                                                 "FOO",
	"DTSTART;TZID=Europe/Berlin:20260103T250000 RRULE:FREQ=WEEKLY":                                                       "DTSTART must be a time",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY EXRULE:FREQ=DAILY":                                     "EXRULE is not supported",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;COUNT=0":                                               "COUNT",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;UNTIL=20250101T000000Z":                                "UNTIL is before",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;COUNT=1 EXDATE;TZID=Europe/Berlin:20260103T020000":     "never occurs",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY " + strings.Repeat("EXDATE:20260103T020000Z ", 200):    "longer than 4096 bytes",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY\u0000":                                                 "must not have a NUL",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY":            "is there twice",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 " + strings.Repeat("RRULE:FREQ=WEEKLY ", 9):                              "more than 8 times",
	"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;INTERVAL=99999999999999999999999999999999999999999999": "INTERVAL",
}

// refusal is a request that is refused: what it blames, and why.
type refusal struct {
	name, call, body string
	status           int
	field, reason    string
}

func refusals() (all []refusal) {
	const server = "/v2/projects/" + red + "/regions/eu01/servers/web-1"
	add := func(name, call, body string, status int, field, reason string) {
		all = append(all, refusal{name, call, body, status, field, reason})
	}
	schedule := func(key, value string) string {
		o := map[string]json.RawMessage{
			"name": json.RawMessage(`"mine"`), "rrule": json.RawMessage(`"` + seedRule + `"`), "enabled": json.RawMessage("true"), "maintenanceWindow": json.RawMessage("2"),
		}
		delete(o, key)
		if value != "" {
			o[key] = json.RawMessage(value)
		}
		text, err := json.Marshal(o)
		if err != nil {
			panic(fmt.Sprint(key, value, err))
		}
		return string(text)
	}
	for _, call := range []string{"POST " + server + "/update-schedules", "PUT " + server + "/update-schedules/1", "POST /v1/service-instances/" + firstID + "/update-schedules"} {
		for rule, why := range badRules {
			text, _ := json.Marshal(rule)
			add("a rule", call, schedule("rrule", string(text)), 400, "rrule", why)
		}
		for _, field := range []string{"name", "rrule", "enabled", "maintenanceWindow"} {
			add("no "+field, call, schedule(field, ""), 400, field, "is missing")
			add(field+" null", call, schedule(field, "null"), 400, field, "is missing")
			add(field+" of another kind", call, schedule(field, `{"a":[1]}`), 400, field, "must be ")
		}
		for _, value := range []string{"99", "25", "0", "-1", "2.5", `"2"`, "true", "1e99", "99999999999999999999", "[2]"} {
			add("window "+value, call, schedule("maintenanceWindow", value), 400, "maintenanceWindow", "from 1 to 24")
		}
		add("enabled in words", call, schedule("enabled", `"yes"`), 400, "enabled", "true or false")
		add("a name of spaces", call, schedule("name", `"   "`), 400, "name", "must have 1 to 126 bytes")
		add("a name of nothing", call, schedule("name", `""`), 400, "name", "must have 1 to 126 bytes")
		add("a long name", call, schedule("name", `"`+strings.Repeat("x", 127)+`"`), 400, "name", "not 127")
		add("a NUL", call, schedule("name", `"a\u0000b"`), 400, "name", "NUL")
		for name, body := range badBodies {
			add(name, call, body, 400, "body", "")
		}
		add("too long", call, schedule("name", `"`+strings.Repeat("x", 70_000)+`"`), 413, "body", "longer than 65536")
	}
	for _, call := range []string{"POST " + server + "/updates", "POST /v1/projects/" + red + "/servers/web-1/updates"} {
		for _, value := range []string{"99", "25", "0", "-1", "2.5", `"2"`, "null", "{}"} {
			add("window "+value, call, `{"maintenanceWindow":`+value+`}`, 400, "maintenanceWindow", "from 1 to 24")
		}
		add("no window", call, `{}`, 400, "maintenanceWindow", "is missing")
		add("a backup in words", call, `{"maintenanceWindow":2,"backupBeforeUpdate":"yes"}`, 400, "backupBeforeUpdate", "true or false")
		add("no backup command", call, `{"maintenanceWindow":2,"backupBeforeUpdate":true}`, 409, "backupBeforeUpdate", "no command named")
		for name, body := range badBodies {
			add(name, call, body, 400, "body", "")
		}
	}
	add("a policy that is none", "POST "+server+"/service", `{"updatePolicyId":"x"}`, 400, "updatePolicyId", "there is no policy")
	add("a policy of another kind", "POST "+server+"/service", `{"updatePolicyId":7}`, 400, "updatePolicyId", "must be a string")
	add("a list", "POST "+server+"/service", `[]`, 400, "body", "object")
	return append(all, addresses(schedule("none", ""))...)
}

// badBodies are no JSON objects.
var badBodies = map[string]string{
	"nothing": "", "a list": `[1]`, "a text": `"x"`, "null": "null", "cut off": `{"name":"x"`, "two": `{"maintenanceWindow":2} {}`,
	"trailing": `{"maintenanceWindow":2}x`, "a form": "maintenanceWindow=2", "not UTF-8": "{\"name\":\"\xff\xfe\"}", "deep": strings.Repeat(`{"a":`, 9000) + "1",
}

// addresses are requests for what does not exist.
func addresses(schedule string) (all []refusal) {
	const window = `{"maintenanceWindow":2}`
	for root, fields := range map[string][2]string{
		"/v2/projects/" + red + "/regions/eu01/servers/gone":   {"serverId", "no server"},
		"/v2/projects/" + red + "/regions/eu02/servers/web-1":  {"region", "its label says"},
		"/v2/projects/blue/regions/eu01/servers/web-1":         {"serverId", "no server"},
		"/v1/projects/" + red + "/servers/gone":                {"serverId", "no server"},
		"/v1/projects/elsewhere/servers/" + firstID:            {"serverId", "no server"},
		"/v1/service-instances/gone":                           {"instanceId", "no server"},
		"/v2/projects/%E2%98%83/regions/eu01/servers/web-1":    {"serverId", "no server"},
		"/v2/projects/" + red + "/regions/eu01/servers/a%2Fb":  {"serverId", "no server"},
		"/v2/projects/" + red + "/regions/eu01/servers/..%2fa": {"serverId", "no server"},
	} {
		for call, body := range map[string]string{
			"POST %s/updates": window, "GET %s/updates": "", "GET %s/updates/1": "", "POST %s/update-schedules": schedule, "GET %s/update-schedules": "",
			"GET %s/update-schedules/1": "", "PUT %s/update-schedules/1": schedule, "DELETE %s/update-schedules/1": "",
			"POST %s/service": "{}", "GET %s/service": "", "DELETE %s/service": "", "GET %s": "",
		} {
			all = append(all, refusal{"no such server", fmt.Sprintf(call, root), body, 404, fields[0], fields[1]})
		}
	}
	const server = "/v1/projects/" + red + "/servers/web-1"
	for _, id := range []string{"9", "0", "-1", "01", "+1", "1.0", "x", "99999999999", "1%20", "%00"} {
		why := "no id"
		if id == "9" {
			why = "has no update"
		}
		field, updateField := "scheduleId", "updateId"
		if id == "%00" { // no text at all
			field, updateField, why = "", "", "there is nothing at"
		}
		for _, call := range []string{"GET ", "PUT ", "DELETE "} {
			body := ""
			if call == "PUT " {
				body = schedule
			}
			all = append(all, refusal{"no such schedule", call + server + "/update-schedules/" + id, body, 404, field, why})
		}
		all = append(all, refusal{"no such update", "GET " + server + "/updates/" + id, "", 404, updateField, why})
	}
	return all
}

// firstID is the id of the first thing that a house makes.
const firstID = "00000000-0000-7000-8000-000000000001"

// Every refusal is a 4xx whose message names the field and the reason, and
// nothing is stored.
func TestRefusals(t *testing.T) {
	h := newHouse(t)
	s := h.server("web-1", map[string]string{"region": "eu01"})
	if s.ID != firstID {
		t.Fatal(s.ID)
	}
	c := h.v2("mara", "", s.ID)
	_, err := c.schedule("kept", cliRule, true, 2)
	h.must(err)
	all := refusals()
	if len(all) < 250 {
		t.Fatalf("only %d refusals", len(all))
	}
	before := h.everything(s.ID)
	for _, r := range all {
		a := h.ask(r.call, "olga", r.body)
		var told struct{ Status, Message, Field, Reason string }
		a.into(&told)
		short := r.body[:min(len(r.body), 200)]
		switch {
		case a.status != r.status || told.Status != http.StatusText(r.status):
			t.Errorf("%s: %s %s: %d %s, want %d", r.name, r.call, short, a.status, a.text, r.status)
		case told.Field != r.field || !strings.HasPrefix(told.Message, r.field) || !strings.Contains(told.Message, r.reason):
			t.Errorf("%s: %s %s: %s, want %s to be blamed: %s", r.name, r.call, short, a.text, r.field, r.reason)
		case len(a.text) > 500:
			t.Errorf("%s: the SDK cuts the middle out of %s", r.name, a.text)
		}
		if now := h.everything(s.ID); now != before {
			t.Fatalf("%s: %s %s was refused and changed something:\n%s\n%s", r.name, r.call, short, before, now)
		}
	}
	if h.log.Len() > 0 {
		t.Errorf("refusals were logged as mistakes: %s", h.log)
	}
}

// everything is what is stored of a server, as text.
func (h *house) everything(server string) string {
	h.t.Helper()
	var b strings.Builder
	for _, path := range []string{"", "/update-schedules", "/updates"} {
		b.WriteString(h.ask("GET /v1/service-instances/"+server+path, "olga", "").is(http.StatusOK).text)
	}
	return b.String()
}

// A server that is left to its owner refuses updates and schedules with the
// same sentence at all addresses.
func TestUnmanagedServersAreRefused(t *testing.T) {
	h := newHouse(t)
	// With a name this long, the message twice would be more than the SDK shows.
	s := h.server("web-1."+strings.Repeat("x", 57), nil)
	_, err := h.desk.Unmanage(t.Context(), operator, red, s.ID)
	h.must(err)
	body := `{"name":"x","rrule":"` + seedRule + `","enabled":true,"maintenanceWindow":2}`
	before := h.everything(s.ID)
	for _, root := range []string{"/v2/projects/" + red + "/regions/eu01/servers/" + s.Name, "/v1/projects/" + red + "/servers/" + s.Name, "/v1/service-instances/" + s.ID} {
		for _, path := range []string{"/updates", "/update-schedules"} {
			a := h.ask("POST "+root+path, "mara", body).is(http.StatusConflict)
			if len(a.text) > 500 {
				t.Errorf("%s%s: the SDK cuts the middle out of %s", root, path, a.text)
			}
			for _, want := range []string{`"status":"Conflict"`, s.Name + " is unmanaged: its owner installs its updates", "enable its update service first"} {
				if !strings.Contains(a.text, want) {
					t.Errorf("%s%s: %s does not say %q", root, path, a.text, want)
				}
			}
		}
	}
	if now := h.everything(s.ID); now != before {
		t.Errorf("a refusal changed something: %s", now)
	}
}
