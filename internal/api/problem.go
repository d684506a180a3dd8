package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"upkeep/internal/fault"
)

// Problem is how every error is told: RFC 9457, with the kind and the fields to blame.
type Problem struct {
	Type   string  `json:"type" doc:"What kind of problem it is, as a URI reference: urn:upkeep:problem:KIND." example:"urn:upkeep:problem:invalid"`
	Title  string  `json:"title" doc:"The kind of problem in words." example:"The request is wrong"`
	Status int     `json:"status" doc:"The HTTP status." example:"400"`
	Detail string  `json:"detail" doc:"A sentence for a person that says what is wrong here." example:"duration: must be between 1m and 24h, not 0s"`
	Kind   string  `json:"kind" doc:"What a caller can do about it: invalid (the same request fails again), not_found, conflict (look again), denied, unavailable (try again later), limited (slow down), internal (our mistake). More may come." example:"invalid"`
	ID     string  `json:"id,omitempty" doc:"Under which the server's log tells more; with internal errors only." example:"K3J5XQ2M7A"`
	Errors []Blame `json:"errors,omitempty" doc:"The parts of the request to blame, if any is."`

	header http.Header
}

// Blame is one part of a request that is wrong.
type Blame struct {
	Location string `json:"location" doc:"The field, parameter or header, as the caller wrote it; body for the body as a whole." example:"duration"`
	Message  string `json:"message" doc:"What is wrong with it." example:"must be between 1m and 24h, not 0s"`
}

// Error is the sentence.
func (p *Problem) Error() string { return p.Detail }

// GetStatus tells the framework the status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders tells the framework what goes with the status.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType tells the framework that this is a problem.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// kindLimited is the one kind that the desk does not know: too many requests.
const kindLimited fault.Kind = "limited"

// kinds says how each kind of error is told. It is the only such table.
var kinds = map[fault.Kind]struct {
	status int
	title  string
}{
	fault.KindInvalid:     {http.StatusBadRequest, "The request is wrong"},
	fault.KindNotFound:    {http.StatusNotFound, "There is no such thing"},
	fault.KindConflict:    {http.StatusConflict, "The present state forbids it"},
	fault.KindDenied:      {http.StatusForbidden, "Not allowed"},
	fault.KindUnavailable: {http.StatusServiceUnavailable, "Try again later"},
	fault.KindInternal:    {http.StatusInternalServerError, "A mistake of the server"},
	kindLimited:           {http.StatusTooManyRequests, "Too many requests"},
}

// problem makes one of a kind.
func problem(kind fault.Kind, detail string, blames ...Blame) *Problem {
	k := kinds[kind]
	return &Problem{
		Type: "urn:upkeep:problem:" + string(kind), Title: k.title, Status: k.status, Detail: detail,
		Kind: string(kind), Errors: blames, header: http.Header{},
	}
}

// unauthenticated asks for a token. code is RFC 6750's; empty if none came.
func unauthenticated(detail, code string) *Problem {
	p := problem(fault.KindDenied, detail)
	p.Status, p.Title = http.StatusUnauthorized, "Say who you are"
	challenge := `Bearer realm="upkeep"`
	if code != "" {
		challenge += `, error="` + code + `"`
	}
	p.header.Set("WWW-Authenticate", challenge)
	return p
}

// limited tells a caller to slow down.
func limited(seconds int) *Problem {
	p := problem(kindLimited, fmt.Sprintf("too many requests; try again in %d s", seconds))
	p.header.Set("Retry-After", strconv.Itoa(seconds))
	return p
}

// retrySeconds is when to come back to a server that can't answer now.
const retrySeconds = "2"

// problemOf tells an error of the desk. What we are at fault for is logged in
// full and told by its id only.
func (d *door) problemOf(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = fault.Unavailable("answer in time", err)
	}
	kind := fault.KindOf(err)
	switch kind {
	case fault.KindInvalid, fault.KindNotFound, fault.KindConflict, fault.KindDenied:
		return told(kind, err)
	case fault.KindUnavailable:
		d.log.WarnContext(ctx, "request failed", "error", err)
		p = problem(kind, "the server can't answer at the moment; the same request may succeed later")
		p.header.Set("Retry-After", retrySeconds)
		return p
	case fault.KindInternal:
	}
	p = problem(fault.KindInternal, "")
	p.ID = rand.Text()[:10]
	p.Detail = "the server made a mistake; its log tells more under the id " + p.ID
	d.log.ErrorContext(ctx, "request failed", "id", p.ID, "error", err)
	return p
}

// told says what a person wrote for the caller: the innermost reason, and the
// field to blame. What wraps it is for the log.
func told(kind fault.Kind, err error) *Problem {
	var field, reason string
	for f := (*fault.Error)(nil); errors.As(err, &f); err = f.Cause {
		if f.Reason != "" {
			reason = f.Reason
		}
		if f.Field != "" {
			field = f.Field
		}
		if f.Cause == nil {
			break
		}
	}
	if reason == "" {
		reason = strings.ToLower(kinds[kind].title)
	}
	if field == "" {
		return problem(kind, reason)
	}
	// "rrule: DTSTART" blames a part of the field rrule.
	location, part, ok := strings.Cut(field, ": ")
	message := reason
	if ok {
		message = part + " " + reason
	}
	return problem(kind, location+": "+message, Blame{Location: location, Message: message})
}

// uniform turns the framework's own errors into problems, so that a field is
// blamed the same way wherever it was found wrong.
func (d *door) uniform(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if m.Status >= http.StatusInternalServerError {
		return d.problemOf(ctx.Context(), fault.Internal(ctx.Operation().OperationID, m)), nil
	}
	var blames []Blame
	var said []string
	for _, e := range m.Errors {
		if e == nil {
			continue
		}
		b := Blame{Location: located(e.Location), Message: e.Message}
		if name, ok := missing(e.Message); ok {
			b = Blame{Location: strings.TrimPrefix(b.Location+"."+name, "body."), Message: "is required"}
		}
		blames = append(blames, b)
		said = append(said, b.Location+": "+b.Message)
	}
	if len(said) == 0 {
		said = []string{m.Detail}
	}
	p := problem(fault.KindInvalid, strings.Join(said, "; "), blames...)
	p.Status = statusOf(m.Status)
	return p, nil
}

// missing is the field that the framework says is not there: it blames what the
// field should be in.
func missing(message string) (field string, ok bool) {
	before, after, _ := strings.Cut(validation.MsgExpectedRequiredProperty, "%s")
	rest, ok := strings.CutPrefix(message, before)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, after)
}

// located writes a location as a caller would.
func located(l string) string {
	for _, prefix := range []string{"body.", "query.", "path.", "header."} {
		if rest, ok := strings.CutPrefix(l, prefix); ok {
			return rest
		}
	}
	if l == "" {
		return "body"
	}
	return l
}

// statusOf is 400 for everything that is wrong with a request's content: the
// framework tells text that does not parse from text that does not fit.
func statusOf(status int) int {
	if status == http.StatusUnprocessableEntity {
		return http.StatusBadRequest
	}
	return status
}

// oneStatus applies statusOf to what the framework writes.
func (d *door) oneStatus(ctx huma.Context, next func(huma.Context)) { next(statusContext{ctx}) }

// frame is the framework's context under a name that does not hide its method Context.
type frame = huma.Context

type statusContext struct{ frame }

func (c statusContext) SetStatus(status int) { c.frame.SetStatus(statusOf(status)) }

// write tells a problem where no operation is at hand.
func (p *Problem) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller is gone if this fails
}
