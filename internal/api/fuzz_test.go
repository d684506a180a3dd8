package api_test

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// FuzzRequests sends anything to every operation of the document: as the name in
// its path, as its query and as its body. The answer is one of ours and never a
// mistake of ours, and what is refused has written nothing.
func FuzzRequests(f *testing.F) {
	h := newHouse(f)
	h.server("red", "web-1")
	written := writes(f, h.file)
	var doc struct {
		Paths map[string]map[string]operation `json:"paths"`
	}
	h.must(json.Unmarshal([]byte(h.ask("GET /openapi.json", "", "").text), &doc))
	var all []operation
	for path, methods := range doc.Paths {
		for method, o := range methods {
			o.method, o.path = strings.ToUpper(method), path
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.ID, b.ID) })
	for i, o := range all {
		body := bodies[o.ID]
		f.Add(i, "web-1", "", body)
		f.Add(i, "web-1", "project=red", strings.ReplaceAll(body, "nothing", "web-1"))
		f.Add(i, "%00", "limit=-1&cursor=x", strings.ReplaceAll(body, `"`, ``))
		f.Add(i, "..", "project=%ff&project=blue", `{"server":"web-1","rrule":"DTSTART:20200101T000000Z RRULE:FREQ=HOURLY;INTERVAL=4;BYHOUR=9","duration":"1h"}`)
		f.Add(i, "a/b", ";", `{"server":"web-1","duration":"9999999h","rrule":"`+weekly+`","policy":{"batch":-1,"expect":{"reboot":"1ns"}}}`)
		f.Add(i, strings.Repeat("ü", 64), "wait=9999h&since=2026-02-30T00:00:00Z", `[{"":null}]`)
	}
	f.Fuzz(func(t *testing.T, i int, name, query, body string) {
		h.t = t
		o := all[uint(i)%uint(len(all))]
		// Nobody waits here for what a run may do.
		if values, _ := url.ParseQuery(query); values.Has("wait") && o.has("query", "wait") {
			return
		}
		// Who may do least that gets there.
		who := "mara"
		if o.scope(t) == "admin" {
			who = "olga"
		}
		call := o.method + " " + place(o.path, name, query)
		before := written()
		a := h.ask(call, who, body)
		switch {
		case a.status >= 200 && a.status < 300:
		case a.status == http.StatusTemporaryRedirect && stays(a.header.Get("Location")):
			// The path has // or .. in it, and Go's own server says how to write it.
		case a.status < 400 || a.status >= 500:
			t.Errorf("%s %q: %d %s", call, body, a.status, a.text)
		case written() != before:
			t.Errorf("%s %q: is refused with %d %s, and has written something", call, body, a.status, a.text)
		}
	})
}

// stays reports whether a redirect leads to a path of the same server.
func stays(location string) bool {
	u, err := url.Parse(location)
	return err == nil && u.Host == "" && strings.HasPrefix(u.Path, "/") && !strings.HasPrefix(u.Path, "//")
}

// place puts a name into a path, and a query behind it: as they are, if that is
// an address, or else with their odd characters escaped.
func place(path, name, query string) string {
	into := func(name, query string) string {
		at := path
		for strings.Contains(at, "{") {
			start, end := strings.Index(at, "{"), strings.Index(at, "}")
			at = at[:start] + strings.NewReplacer("{", "", "}", "").Replace(name) + at[end+1:]
		}
		if query != "" {
			at += "?" + query
		}
		return at
	}
	raw := into(name, query)
	if _, err := http.NewRequest(http.MethodGet, "http://localhost"+raw, nil); err == nil && !strings.Contains(raw, " ") {
		return raw
	}
	return into(url.PathEscape(name), url.QueryEscape(query))
}

// writes tells states of a database apart: SQLite counts, for each connection,
// the commits of all others.
func writes(t testing.TB, file string) func() int64 {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return func() (n int64) {
		if err := db.QueryRow("PRAGMA data_version").Scan(&n); err != nil {
			panic(err)
		}
		return n
	}
}
