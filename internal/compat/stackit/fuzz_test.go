package stackit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"upkeep/internal/compat/stackit"
	"upkeep/internal/store"
)

// tried is a house that remembers what was stored after the last request.
type tried struct {
	*house
	server string
	kept   string
}

func newTried(f *testing.F) *tried {
	h := newHouse(f)
	t := &tried{house: h, server: h.server("web-1", nil).ID}
	_, err := h.v2("mara", "", t.server).schedule("kept", cliRule, true, 2)
	h.must(err)
	t.kept = t.stored()
	return t
}

// stored is a mark of all that requests can change.
func (h *tried) stored() (mark string) {
	h.t.Helper()
	h.must(h.db.View(context.Background(), func(tx store.Tx) error {
		t, err := tx.Target(h.server)
		if err != nil {
			return err
		}
		schedules, err := tx.Schedules(store.ScheduleFilter{Target: h.server})
		if err != nil {
			return err
		}
		runs, err := tx.Runs(store.RunFilter{Target: h.server, Limit: 1})
		if err != nil {
			return err
		}
		facts, err := tx.Facts(store.FactFilter{Newest: true, Limit: 1})
		mark = fmt.Sprintf("%+v\n%+v\n%+v\n%+v", t, schedules, runs, facts)
		return err
	}))
	return mark
}

// send asks the door itself, and holds the answer: never a mistake of ours, and
// what is refused changes nothing.
func (h *tried) send(t *testing.T, method, path, body string) answer {
	t.Helper()
	h.t = t
	at, err := url.ParseRequestURI(path)
	if err != nil || !stackit.Serves(at.EscapedPath()) {
		return answer{}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Method, r.URL = method, at
	r.Header.Set("Authorization", "Bearer "+h.tokens["mara"])
	rec := httptest.NewRecorder()
	h.door.ServeHTTP(rec, r)
	a := answer{t, rec.Code, rec.Header(), rec.Body.String()}
	a.wellFormed(method + " " + path)
	if a.status >= 500 || a.status < 200 || a.status >= 300 && a.status < 400 || h.log.Len() > 0 {
		t.Errorf("%s %q %q: %d %s %s", method, path, body, a.status, a.text, h.log)
	}
	now := h.stored()
	if a.status >= 400 && now != h.kept {
		t.Errorf("%s %q %q was refused with %d and changed something:\n%s\n%s", method, path, body, a.status, h.kept, now)
	}
	h.kept = now
	return a
}

// FuzzBodies: whatever is sent where a body is read.
func FuzzBodies(f *testing.F) {
	h := newTried(f)
	root := "/v1/projects/" + red + "/servers/" + h.server
	calls := []string{"POST " + root + "/update-schedules", "PUT " + root + "/update-schedules/1", "POST " + root + "/updates", "POST " + root + "/service"}
	for i := range calls {
		for _, body := range badBodies {
			f.Add(i, body)
		}
		f.Add(i, `{"name":"n","rrule":"`+seedRule+`","enabled":true,"maintenanceWindow":2}`)
		f.Add(i, `{"name":"n #1","rrule":"`+cliRule+`","enabled":false,"maintenanceWindow":24,"x":[{}]}`)
		f.Add(i, `{"maintenanceWindow":1,"backupBeforeUpdate":false}`)
		f.Add(i, `{"updatePolicyId":"7b0c6f3e-5a1d-4c55-9d43-0f6d0f4d7c01"}`)
		f.Add(i, `{"name":"\ud800","rrule":null,"enabled":1,"maintenanceWindow":1e2}`)
	}
	f.Fuzz(func(t *testing.T, i int, body string) {
		method, path, _ := strings.Cut(calls[uint(i)%uint(len(calls))], " ")
		a := h.send(t, method, path, body)
		switch a.status {
		case http.StatusCreated:
			var made Schedule
			a.into(&made)
			h.remove(t, made.ID)
		case http.StatusNoContent:
			h.send(t, http.MethodDelete, path, "")
		}
	})
}

func (h *tried) remove(t *testing.T, id int32) {
	t.Helper()
	text, err := json.Marshal(id)
	h.must(err)
	h.send(t, http.MethodDelete, "/v1/service-instances/"+h.server+"/update-schedules/"+string(text), "").is(http.StatusNoContent)
}

// FuzzRules: a recurrence is refused, or comes back byte for byte.
func FuzzRules(f *testing.F) {
	h := newTried(f)
	for rule := range badRules {
		f.Add(rule)
	}
	for _, rule := range []string{
		seedRule, cliRule, "DTSTART;TZID=Europe/Berlin:20260103T020000\nRRULE:FREQ=WEEKLY;BYDAY=SA,SU\r\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1",
		"DTSTART:20260103T020000Z RRULE:FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO", "DTSTART:20260103T020000Z RDATE:20300101T000000Z EXDATE:20300101T000000Z",
		"DTSTART;TZID=\"America/Santiago\":20260103T020000 RRULE:FREQ=DAILY;BYHOUR=0,3,22;COUNT=5000;WKST=SU",
		"DTSTART:20000229T020000Z RRULE:FREQ=YEARLY;INTERVAL=3;BYMONTH=2;BYMONTHDAY=29;BYSETPOS=-1",
	} {
		f.Add(rule)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		h.t = t
		body, err := json.Marshal(map[string]any{"name": "n", "rrule": rule, "enabled": true, "maintenanceWindow": 3})
		h.must(err)
		a := h.send(t, http.MethodPost, "/v1/service-instances/"+h.server+"/update-schedules", string(body))
		if a.status != http.StatusCreated {
			return
		}
		var made Schedule
		a.into(&made)
		if made.RRule != rule && utf8.ValidString(rule) {
			t.Errorf("%q came back as %q", rule, made.RRule)
		}
		h.remove(t, made.ID)
	})
}

// FuzzPaths: whatever address is asked for, and how.
func FuzzPaths(f *testing.F) {
	h := newTried(f)
	methods := []string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "x"}
	bodies := []string{`{"name":"n","rrule":"` + seedRule + `","enabled":true,"maintenanceWindow":2}`, "{}", ""}
	for i := range methods {
		for _, root := range []string{
			"/v2/projects/" + red + "/regions/eu01/servers/web-1", "//v1/projects/" + red + "/servers/" + h.server, "/p/v1/service-instances/web-1", "/v1/projects/" + red, "/v2/projects/" + red + "/regions/%00",
		} {
			for _, tail := range []string{"", "/", "/service", "/updates", "/updates/1", "/update-schedules", "/update-schedules/1", "/update-schedules/%2e%2e", "/update-policies", "/images", "/images?all=true&label_selector=a=b", "/images/debian-12:1", "/%zz", "/../x"} {
				f.Add(i, 0, root+tail)
			}
		}
	}
	f.Fuzz(func(t *testing.T, method, body int, path string) {
		h.send(t, methods[uint(method)%uint(len(methods))], path, bodies[uint(body)%uint(len(bodies))])
	})
}
