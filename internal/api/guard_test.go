package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"upkeep/internal/api"
)

// operation is one of the document.
type operation struct {
	ID          string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Description string                `json:"description"`
	Tags        []string              `json:"tags"`
	Security    []map[string][]string `json:"security"`
	Parameters  []struct {
		Name        string `json:"name"`
		In          string `json:"in"`
		Description string `json:"description"`
	} `json:"parameters"`
	RequestBody *struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			} `json:"schema"`
		} `json:"content"`
	} `json:"requestBody"`
	Responses map[string]any `json:"responses"`

	method, path string
}

// call is the operation with something in its path.
func (o operation) call() string {
	path := o.path
	for strings.Contains(path, "{") {
		start, end := strings.Index(path, "{"), strings.Index(path, "}")
		path = path[:start] + "nothing" + path[end+1:]
	}
	return o.method + " " + path
}

func (o operation) has(in, name string) bool {
	for _, p := range o.Parameters {
		if p.In == in && p.Name == name {
			return true
		}
	}
	return false
}

// scope is the right that the operation says it needs; empty if anybody may call it.
func (o operation) scope(t *testing.T) string {
	t.Helper()
	if len(o.Security) != 1 {
		t.Fatalf("%s declares no scope", o.ID)
	}
	scopes := o.Security[0]["bearer"]
	if len(scopes) == 0 {
		return ""
	}
	return scopes[0]
}

// bodies are good ones, for the operations that want one; what they name does not exist.
var bodies = map[string]string{
	"claim":              `{"claims":["database/nothing"],"for":"1h","reason":"because"}`,
	"abortRun":           `{"reason":"because"}`,
	"announceRun":        `{"text":"told"}`,
	"approveRun":         `{"step":"g1.contract"}`,
	"createFreeze":       `{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z","reason":"closing","project":"red"}`,
	"createSchedule":     `{"name":"nightly","rrule":"` + weekly + `","duration":"2h"}`,
	"createToken":        `{"name":"nina","role":"viewer"}`,
	"deprecateImage":     `{"successor":"nothing","reason":"because"}`,
	"manageServer":       `{"updatePolicy":""}`,
	"previewSchedule":    `{"server":"nothing","name":"nightly","rrule":"` + weekly + `","duration":"2h"}`,
	"previewWindows":     `{"rrule":"` + weekly + `","duration":"2h"}`,
	"putChannel":         `{}`,
	"putGroup":           `{}`,
	"putRunbook":         `{"member":{"do":[{"name":"restart","kind":"command","on":"member","command":"restart"}],"await":[{"name":"up","kind":"http","with":{"url":"{{member.url}}"}}]}}`,
	"putTrain":           `{"environments":[{"name":"dev"}],"phases":[{"name":"all","service":"api","runbook":"roll"}]}`,
	"putRelease":         `{"title":"x"}`,
	"vetoRelease":        `{"reason":"no"}`,
	"liftVeto":           `{"reason":"yes"}`,
	"startRollout":       `{"train":"nothing","version":"R1"}`,
	"approveRollout":     `{"environment":"dev","plan":"abc"}`,
	"acknowledgeIssue":   `{"issue":"gh1"}`,
	"decideGate":         `{"environment":"dev","gate":"login","result":"pass","reason":"seen"}`,
	"pinComponent":       `{"environment":"dev","component":"api","digest":"sha256:0","reason":"split"}`,
	"retryRollout":       `{"environment":"dev"}`,
	"abortRollout":       `{"reason":"no"}`,
	"simulateRollout":    `{"version":"R1"}`,
	"putService":         `{"quorum":0,"members":[{"name":"a"}]}`,
	"runRunbook":         `{"runbook":"nothing","duration":"1h"}`,
	"simulateRunbook":    `{"runbook":"nothing","duration":"1h"}`,
	"validateRunbook":    `{"name":"restart","member":{"do":[{"name":"restart","kind":"command","on":"member","command":"restart"}],"await":[{"name":"up","kind":"http","with":{"url":"{{member.url}}"}}]}}`,
	"putSchedule":        `{"rrule":"` + weekly + `","duration":"2h"}`,
	"putServer":          `{}`,
	"putServiceSchedule": `{"runbook":"nothing","rrule":"` + weekly + `","duration":"2h"}`,
	"putUpdatePolicy":    `{"rrule":"` + weekly + `","duration":"2h"}`,
	"releaseImage":       `{"channel":"debian-12","version":"1","project":"red"}`,
	"replaceSchedule":    `{"name":"nightly","rrule":"` + weekly + `","duration":"2h"}`,
	"simulate":           `{"server":"nothing","duration":"1h"}`,
	"startRun":           `{"server":"nothing","when":"now","duration":"1h"}`,
	"withdrawImage":      `{"reason":"because"}`,
}

// operations are all that the document has.
func operations(t *testing.T, h *house) []operation {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]operation `json:"paths"`
	}
	if err := json.Unmarshal([]byte(h.ask("GET /openapi.json", "", "").text), &doc); err != nil {
		t.Fatal(err)
	}
	var all []operation
	for path, methods := range doc.Paths {
		for method, o := range methods {
			o.method, o.path = strings.ToUpper(method), path
			if o.RequestBody != nil && bodies[o.ID] == "" {
				t.Errorf("%s wants a body: put a good one into bodies, or its checks say nothing", o.ID)
			}
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.ID, b.ID) })
	if len(all) < 20 {
		t.Fatalf("the document has %d operations", len(all))
	}
	return all
}

func TestEveryOperationDeclaresItself(t *testing.T) {
	h := newHouse(t)
	seen := map[string]bool{}
	for _, o := range operations(t, h) {
		if seen[o.ID] || o.ID == "" || o.Summary == "" || !strings.HasSuffix(o.Description, ".") || len(o.Tags) != 1 || o.Responses["default"] == nil {
			t.Errorf("%s %s: id, summary, description, tag and problems are to be told: %+v", o.method, o.path, o)
		}
		seen[o.ID] = true
		switch scope := o.scope(t); {
		case scope == "" && o.ID != "getVersion":
			t.Errorf("%s can be called by anybody", o.ID)
		case !slices.Contains([]string{"", "read", "write", "run", "admin"}, scope):
			t.Errorf("%s wants the right %q, which nobody has", o.ID, scope)
		}
		for _, p := range o.Parameters {
			if p.Description == "" {
				t.Errorf("%s: nothing is said of %s", o.ID, p.Name)
			}
		}
		// What is made by enrolServer is shown once, and another one is harmless.
		writes := o.scope(t) != "read" && o.scope(t) != ""
		if changes := writes && o.ID != "enrolServer" && o.ID != "listTokens"; changes != o.has("header", "Idempotency-Key") {
			t.Errorf("%s changes things: %v, takes Idempotency-Key: %v", o.ID, changes, o.has("header", "Idempotency-Key"))
		}
	}
}

func TestNothingIsAnsweredWithoutAToken(t *testing.T) {
	h := newHouse(t)
	h.tokens["nobody"] = "upk_" + strings.Repeat("0", 64)
	h.tokens["basic"] = "x"
	for _, o := range operations(t, h) {
		if o.scope(t) == "" {
			continue
		}
		for who, challenge := range map[string]string{"": `Bearer realm="upkeep"`, "nobody": `Bearer realm="upkeep", error="invalid_token"`} {
			a := h.ask(o.call(), who, bodies[o.ID])
			if a.status != http.StatusUnauthorized || a.problem.Kind != "denied" || a.header.Get("WWW-Authenticate") != challenge {
				t.Errorf("%s as %q: %d, %q, %s", o.ID, who, a.status, a.header.Get("WWW-Authenticate"), a.text)
			}
		}
		// Who is unknown learns nothing of what a good request would be.
		if a := h.ask(o.call()+"?no=such", "", "{"); a.status != http.StatusUnauthorized {
			t.Errorf("%s with a bad request and without a token: %d", o.ID, a.status)
		}
		if a := h.ask(o.call(), "", bodies[o.ID], "Authorization", "Basic "+h.tokens["olga"]); a.status != http.StatusUnauthorized {
			t.Errorf("%s with another scheme: %d", o.ID, a.status)
		}
	}
}

// TestScopesAreWhatTheDeskAsksFor holds the document to the desk: every role
// is refused exactly what the scopes say.
func TestScopesAreWhatTheDeskAsksFor(t *testing.T) {
	h := newHouse(t)
	rights := map[string][]string{
		"vera": {"read"}, "mara": {"read", "write", "run"}, "olga": {"read", "write", "run", "admin"},
	}
	h.server("red", "nothing")
	// In this order: what an operator makes is every project's, and a member may
	// see it and not remove it.
	for _, who := range []string{"vera", "mara", "olga"} {
		may := rights[who]
		for _, o := range operations(t, h) {
			if o.scope(t) == "" || o.ID == "deleteServer" {
				continue
			}
			a := h.ask(o.call(), who, bodies[o.ID])
			allowed := slices.Contains(may, o.scope(t))
			// What does not exist is not found, whoever asks.
			if denied := a.status == http.StatusForbidden; denied == allowed && a.status != http.StatusNotFound {
				t.Errorf("%s, which needs %s, by %s: %d %s", o.ID, o.scope(t), who, a.status, a.text)
			}
			if a.status >= 500 {
				t.Errorf("%s by %s: %s", o.ID, who, a.text)
			}
		}
	}
}

func TestEveryAnswerIsPrivate(t *testing.T) {
	h := newHouse(t)
	calls := []string{"GET /v1/nowhere", "POST /v1/version"}
	for _, o := range operations(t, h) {
		calls = append(calls, o.call())
	}
	for _, call := range calls {
		a := h.ask(call, "vera", "")
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", call, a.header)
		}
	}
}

func TestWhatIsUnknownIsRefusedByName(t *testing.T) {
	h := newHouse(t)
	for _, o := range operations(t, h) {
		a := h.ask(o.call()+"?colour=red", "olga", bodies[o.ID])
		if a.status != http.StatusBadRequest || len(a.problem.Errors) != 1 || a.problem.Errors[0].Location != "colour" {
			t.Errorf("%s with an unknown parameter: %d %s", o.ID, a.status, a.text)
		}
		if o.RequestBody == nil {
			continue
		}
		body := strings.Replace(bodies[o.ID], "{", `{"colour":"red",`, 1)
		a = h.ask(o.call(), "olga", strings.Replace(body, ",}", "}", 1))
		if a.status != http.StatusBadRequest || len(a.problem.Errors) != 1 || a.problem.Errors[0].Location != "colour" {
			t.Errorf("%s with an unknown field: %d %s", o.ID, a.status, a.text)
		}
		for _, bad := range []string{"", "{", "[]", "null", `"x"`, `{"labels":{"a":"\u0000"},"text":"\u0000"}`, strings.Repeat("[", 20000)} {
			if bad == "" && (o.ID == "abortRun" || o.ID == "manageServer") {
				continue // all of it may be left out
			}
			if a := h.ask(o.call(), "olga", bad); a.status != http.StatusBadRequest || a.problem.Detail == "" || len(a.problem.Detail) > 1000 {
				t.Errorf("%s with the body %.20q: %d %.200s", o.ID, bad, a.status, a.text)
			}
		}
	}
}

// TestDeclareAScope: an operation without a scope must not come to life.
func TestDeclareAScope(t *testing.T) {
	if err := api.RegisterWithoutScope(); err == nil {
		t.Error("an operation that declares no scope is registered")
	} else if !strings.Contains(fmt.Sprint(err), "scope") {
		t.Errorf("it fails for another reason: %v", err)
	}
}
