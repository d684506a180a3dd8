package api_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"upkeep/internal/api"
)

// TestGenerated holds the checked-in document and the client to the code.
func TestGenerated(t *testing.T) {
	const again = "is not what the code says; run: go generate ./internal/api"
	doc, err := api.Document()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != string(doc) {
		t.Errorf("api/openapi.yaml %s", again)
	}
	if !strings.Contains(string(doc), "\nopenapi: 3.1.0\n") {
		t.Error("the document is not OpenAPI 3.1")
	}
	schema, err := api.RunbookSchema()
	if err != nil {
		t.Fatal(err)
	}
	if kept, err = os.ReadFile("../../api/runbook.schema.json"); err != nil || string(kept) != string(schema) {
		t.Errorf("api/runbook.schema.json %s (%v)", again, err)
	}
	for30, err := api.DocumentForClient()
	if err != nil {
		t.Fatal(err)
	}
	generated, err := os.ReadFile("../../client/client.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(generated), fmt.Sprintf("SHA-256 %x.\n", sha256.Sum256(for30))) {
		t.Errorf("client/client.gen.go %s", again)
	}
}

// TestDocumentSaysEverything: every schema and every field of it is described,
// and no name of the framework is in it.
func TestDocumentSaysEverything(t *testing.T) {
	for _, missing := range api.Undescribed() {
		t.Errorf("nothing is said of %s", missing)
	}
	doc, err := api.Document()
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?i)huma|ErrorModel|\$schema|unpkg|nullable|"null"|- null`).FindAllString(string(doc), 5); found != nil {
		t.Errorf("the document has %q", found)
	}
}

func TestDocumentIsServed(t *testing.T) {
	h := newHouse(t)
	doc, err := api.Document()
	h.must(err)
	a := h.ask("GET /openapi.yaml", "", "")
	if a.status != 200 || a.text != string(doc) || a.header.Get("Content-Type") != "application/openapi+yaml" {
		t.Errorf("%d %v %.200s", a.status, a.header, a.text)
	}
	if again := h.ask("GET /openapi.yaml", "", "", "If-None-Match", a.header.Get("ETag")); again.status != 304 || again.text != "" {
		t.Errorf("asked again: %d %.200s", again.status, again.text)
	}
	if a := h.ask("GET /openapi.json", "", ""); a.status != 200 || !strings.HasPrefix(a.text, `{"`) {
		t.Errorf("%d %.200s", a.status, a.text)
	}
}

// TestDocumentNamesEveryReason holds the codes that callers are told of to those that there are.
func TestDocumentNamesEveryReason(t *testing.T) {
	source, err := os.ReadFile("../plan/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := api.Document()
	if err != nil {
		t.Fatal(err)
	}
	_, codes, _ := strings.Cut(string(doc), "description: \"The reason: ")
	codes, _, _ = strings.Cut(codes, ". More may come")
	var want []string
	for _, m := range regexp.MustCompile(`Code = "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
		want = append(want, m[1])
	}
	if len(want) < 10 || codes != strings.Join(want, ", ") {
		t.Errorf("the document names the reasons\n%s\nand there are\n%s", codes, strings.Join(want, ", "))
	}
}
