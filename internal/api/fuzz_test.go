package api_test

import (
	"strings"
	"testing"
)

// FuzzBodies: whatever is sent, the answer is one of ours and never a mistake of ours.
func FuzzBodies(f *testing.F) {
	h := newHouse(f)
	h.server("red", "web-1")
	calls := []string{
		"PUT /v1/servers/web-1", "PUT /v1/servers/web-1/schedules/s", "POST /v1/freezes", "POST /v1/runs",
		"POST /v1/runs/nothing/abort", "POST /v1/runs/nothing/announce", "POST /v1/windows", "POST /v1/simulations", "POST /v1/tokens",
	}
	for i := range calls {
		for _, body := range bodies {
			f.Add(i, body)
			f.Add(i, strings.ReplaceAll(body, `"`, ``))
		}
		f.Add(i, `{"server":"web-1","rrule":"DTSTART:20200101T000000Z RRULE:FREQ=HOURLY;INTERVAL=4;BYHOUR=9","duration":"1h"}`)
		f.Add(i, `{"server":"web-1","duration":"9999999h","rrule":"`+weekly+`","policy":{"batch":-1,"expect":{"reboot":"1ns"}}}`)
	}
	f.Fuzz(func(t *testing.T, i int, body string) {
		h.t = t
		call := calls[uint(i)%uint(len(calls))]
		// Who may do least that gets there: an operator's tokens would pile up.
		who := "mara"
		if strings.HasSuffix(call, "tokens") {
			who = "olga"
		}
		if a := h.ask(call, who, body); a.status >= 500 || a.status < 200 || a.status >= 300 && a.status < 400 {
			t.Errorf("%s %q: %d %s", call, body, a.status, a.text)
		}
	})
}
