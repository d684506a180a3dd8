// Package api is the native door: HTTP and JSON under /v1, in front of the desk.
// It translates and no more: what a caller may do and what a request means is
// decided at the desk.
//
// The code is authoritative for what the API is: api/openapi.yaml and the
// client are generated from it (go generate ./internal/api), and a test holds
// them equal. The package keeps no state but the rate limiter's, which a crash
// may forget.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
)

//go:generate go run ./gen ../..

// Authenticate says who presents a bearer token's secret. Denied: nobody we know.
type Authenticate func(ctx context.Context, secret string) (identity.Principal, error)

// Limits of what one request may cost. How long a request's header may be and
// take is for the HTTP server to say, who owns the connection: MaxHeaderBytes
// and HeaderTimeout are what this door was made for.
const (
	MaxBodyBytes   = 1 << 20
	MaxHeaderBytes = 16 << 10
	HeaderTimeout  = 10 * time.Second
	bodyTimeout    = 10 * time.Second // to read a body
	answerTimeout  = 15 * time.Second // to answer, beside the time that a caller chose to wait
	maxWait        = 30 * time.Second // that a caller may choose to wait
)

// door is the API with what it needs.
type door struct {
	desk    *desk.Desk
	auth    Authenticate
	log     *slog.Logger
	version string
	limit   *limit.Limiter
	huma    huma.API
}

// Option changes a door.
type Option func(*door)

// WithLog says where mistakes of our own are told in full; slog.Default is where otherwise.
func WithLog(l *slog.Logger) Option { return func(d *door) { d.log = l } }

// WithVersion says which version of Upkeep answers; otherwise the build's.
func WithVersion(v string) Option { return func(d *door) { d.version = v } }

// WithRate allows each token, and each address without one, so many requests a
// second, and burst of them at once; otherwise 100 and 200.
func WithRate(perSecond float64, burst int) Option {
	return func(d *door) { d.limit = limit.New(perSecond, burst) }
}

// WithLimiter counts requests in a limiter that other doors have too.
func WithLimiter(l *limit.Limiter) Option { return func(d *door) { d.limit = l } }

// New makes the door: it serves /v1/…, /openapi.yaml and /openapi.json.
func New(at *desk.Desk, auth Authenticate, options ...Option) http.Handler {
	d := &door{desk: at, auth: auth, log: slog.Default(), version: buildVersion(), limit: limit.New(100, 200)}
	for _, o := range options {
		o(d)
	}
	mux := http.NewServeMux()
	d.open(mux)
	serveDocument(mux, d.huma.OpenAPI())
	return d.guard(mux)
}

// Document is the OpenAPI 3.1 document of the API, as YAML.
func Document() ([]byte, error) { return document().YAML() }

// DocumentForClient is the document as the client's generator reads it: OpenAPI
// 3.0 as JSON, with a word on what is a pointer in Go. Whatever else may be left
// out means the same when it is zero.
func DocumentForClient() ([]byte, error) {
	doc := document()
	schemas := doc.Components.Schemas.Map()
	for _, s := range []*huma.Schema{
		schemas["LastUpdate"], schemas["RebootWindow"], schemas["Weekly"],
		schemas["NamedScheduleInput"].Properties["enabled"], schemas["SchedulePreviewInput"].Properties["enabled"],
		schemas["UpdatePolicyInput"].Properties["enabled"],
		schemas["Agent"], schemas["Observed"], schemas["Plan"], schemas["Policy"], schemas["Span"],
		schemas["ServerImage"], schemas["ImageBrief"],
		schemas["ScheduleInput"].Properties["enabled"],
	} {
		s.Extensions = map[string]any{"x-go-type-skip-optional-pointer": false}
	}
	// What a step of a runbook may be would take common words from the client's names.
	for _, s := range []*huma.Schema{
		schemas["RunbookStep"].Properties["kind"], schemas["RunbookStep"].Properties["on"],
		schemas["RunbookCheck"].Properties["kind"], schemas["RunbookCheck"].Properties["on"],
		schemas["RunbookParam"].Properties["type"],
	} {
		s.Enum = nil
	}
	// The client has a method for each form of this answer.
	get := doc.Paths[complianceCall].Get
	get.Parameters = slices.DeleteFunc(get.Parameters, func(p *huma.Param) bool { return p.Name == "format" })
	return doc.Downgrade()
}

// document describes the API without a desk behind it.
func document() *huma.OpenAPI {
	d := &door{limit: limit.New(1, 1)}
	d.open(http.NewServeMux())
	return d.huma.OpenAPI()
}

// open registers every operation.
func (d *door) open(mux *http.ServeMux) {
	d.huma = humago.New(mux, d.config())
	d.huma.UseMiddleware(d.oneStatus, d.admit)
	d.servers()
	d.schedules()
	d.updatePolicies()
	d.groups()
	d.services()
	d.runbooks()
	d.trains()
	d.rollouts()
	d.freezes()
	d.claims()
	d.clashes()
	d.images()
	d.channels()
	d.runs()
	d.evidence()
	d.history()
	d.windows()
	d.compliance()
	d.tokens()
	d.about()
	finish(d.huma.OpenAPI())
}

// buildVersion is what the build says of itself.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
