package api

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// outline is the document before the operations are in it.
func outline() *huma.OpenAPI {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Upkeep", Version: "1",
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			Description: `Upkeep maintains things inside their windows, one at a time, and says why anything waits.

**Conventions.** Times are RFC 3339; those of windows are told in the window's own zone. Durations are texts of
numbers with the units h, m, s and ms, such as "90m" or "2h30m"; in what is sent they may begin with days of 24 hours, such as "14d".
Fields and query parameters that are not in this document are refused. Lists are answered in pages: ask again with ` + "`after` or `before`" + ` set to the page's ` + "`next`" + `; there
are no more when it is missing. Fields, and values of texts that are not an enum, may be added at any time.

**Projects.** Servers belong to projects. A token for one project sees that project only; what it may not see is not found.
Where no project is named it is the token's own, or ` + "`default`" + `; in lists of a token for every project, all of them.

**Repeating writes.** A write with an ` + "`Idempotency-Key`" + ` can be sent again for a day: it is done once. The same key with
another request is a conflict.

**Errors** are problems of RFC 9457, and blame the fields that are wrong.`,
		},
		Components: &huma.Components{
			Schemas: schemas,
			SecuritySchemes: map[string]*huma.SecurityScheme{bearer: {
				Type: "http", Scheme: "bearer",
				Description: "A token that an operator made. The names beside it are the rights that the operation needs: read (viewer, member, operator), write and run (member, operator), admin (operator).",
			}},
		},
		Tags: []*huma.Tag{
			{Name: "servers", Description: "What is maintained."},
			{Name: "schedules", Description: "When, and what is to be done then."},
			{Name: "policies", Description: "What schedules are made from."},
			{Name: "groups", Description: "What a redundancy group may cost, and who goes first."},
			{Name: "rollouts", Description: "Releases that are promoted through the environments of a train: soak, gates, approvals, vetoes, pins."},
			{Name: "services", Description: "Replicas that do the same, behind proxies, and what is done to them member after member."},
			{Name: "runs", Description: "Executions: what is done, what waits and why."},
			{Name: "images", Description: "What servers are made from, in channels, and who still runs an old one."},
			{Name: "freezes", Description: "Spans in which nothing disruptive starts."},
			{Name: "planning", Description: "Questions about the future. Nothing is changed."},
			{Name: "history", Description: "All that happened."},
			{Name: "access", Description: "Who may talk to the server."},
			{Name: "about", Description: "The server itself."},
		},
	}
}

// taken are the schemas that stand in what we take, beside those called Input.
var taken = map[string]bool{
	"Policy": true, "RebootWindow": true, "Weekly": true, "ServiceMember": true, "ServiceProxy": true, "ServiceProbe": true, "ServiceEndpoint": true,
	"BookTargets": true, "RunbookParam": true, "RunbookCheck": true, "RunbookMember": true, "RunbookStep": true, "RunbookErrors": true,
	"TrainEnvironment": true, "TrainWindow": true, "TrainPhase": true, "TrainGate": true, "TrainCatalogue": true, "CatalogueRelease": true, "CatalogueRule": true, "CatalogueJump": true, "ReleaseIssue": true,
}

// finish sets right what the framework says otherwise of every operation.
func finish(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas
	blame := schemas.Schema(problemType, true, "Problem")
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // the framework's own, which we never send
		delete(schemas.Map(), unused)
	}
	doc.Components.Responses = map[string]*huma.Response{"Problem": {
		Description: "What went wrong, and which part of the request is to blame.",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: blame}},
	}}
	for name, s := range schemas.Map() {
		if s.Description == "" {
			s.Description = descriptions[name]
		}
		// What we take we check whole; what we send may have more one day.
		if !strings.HasSuffix(name, "Input") && !taken[name] && s.AdditionalProperties == false {
			s.AdditionalProperties = nil
		}
		for _, p := range s.Properties {
			// A list is empty, never null, in what we send and in what we take.
			if p.Type == huma.TypeArray {
				p.Nullable = false
			}
		}
	}
	for _, item := range doc.Paths {
		for _, o := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete} {
			if o == nil {
				continue
			}
			for _, p := range o.Parameters {
				p.Schema.Description = "" // the parameter has it
			}
			// Who creates or replaces is answered the same, with one status or the other.
			if made := o.Responses["201"]; made != nil && made.Content == nil && o.Responses["200"] != nil {
				made.Content = o.Responses["200"].Content
			}
		}
	}
}

// serveDocument serves the document. It is made once, and nothing of it is secret.
func serveDocument(mux *http.ServeMux, doc *huma.OpenAPI) {
	asJSON, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("the API can't be described: %v", err)) // only code can cause this
	}
	asYAML, err := doc.YAML()
	if err != nil {
		panic(fmt.Sprintf("the API can't be described: %v", err))
	}
	serve := func(path, contentType string, body []byte) {
		tag := fmt.Sprintf(`"%x"`, sha256.Sum256(body))
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", tag)
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("Content-Type", contentType)
			if r.Header.Get("If-None-Match") == tag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = w.Write(body) // the caller is gone if this fails
		})
	}
	serve("/openapi.json", "application/openapi+json", asJSON)
	serve("/openapi.yaml", "application/openapi+yaml", asYAML)
}
