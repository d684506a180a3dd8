package api

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/limit"
)

// guard is what every request passes, whether or not there is such an operation.
func (d *door) guard(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer d.rescue(w, r)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			w.Header().Set("Cache-Control", "no-store")
		}
		if p := readable(r); p != nil {
			p.write(w)
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			unrouted(mux, w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// rescue answers for a handler that panicked.
func (d *door) rescue(w http.ResponseWriter, r *http.Request) {
	what := recover()
	if what == nil {
		return
	}
	if what == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		panic(what)
	}
	d.problemOf(r.Context(), fmt.Errorf("panic: %v\n%s", what, debug.Stack())).write(w)
}

// readable refuses what no text field of ours, and no database, can hold.
func readable(r *http.Request) *Problem {
	if !text(r.URL.Path) {
		return problem(fault.KindInvalid, "the path is no readable text")
	}
	for name, values := range r.URL.Query() {
		if !text(name) || !text(strings.Join(values, "")) {
			return problem(fault.KindInvalid, fmt.Sprintf("%q: is no readable text", name), Blame{Location: strings.ToValidUTF8(name, "?"), Message: "is no readable text"})
		}
	}
	for _, b := range []byte(r.Header.Get(keyHeader)) {
		if b < ' ' || b > '~' {
			return problem(fault.KindInvalid, keyHeader+": must be printable ASCII", Blame{Location: keyHeader, Message: "must be printable ASCII"})
		}
	}
	return nil
}

func text(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// unrouted answers in our own words where the router has no handler.
func unrouted(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	probe := &probe{header: http.Header{}}
	mux.ServeHTTP(probe, r)
	if probe.status != http.StatusMethodNotAllowed {
		problem(fault.KindNotFound, fmt.Sprintf("there is nothing at %s; /openapi.yaml says what there is", r.URL.Path)).write(w)
		return
	}
	p := problem(fault.KindInvalid, fmt.Sprintf("%s is not for %s; allowed: %s", r.URL.Path, r.Method, probe.header.Get("Allow")))
	p.Status, p.Title = http.StatusMethodNotAllowed, "This method is not for this path"
	p.header.Set("Allow", probe.header.Get("Allow"))
	p.write(w)
}

// probe sees what the router would answer.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }
func (p *probe) WriteHeader(status int)      { p.status = status }

type callerKey struct{}

// admit finds out who calls, before anything of the request is looked at. An
// address that presents wrong tokens uses its own bucket up, and is then no
// longer looked at; a good token has its own, wherever it comes from.
func (d *door) admit(ctx huma.Context, next func(huma.Context)) {
	now, address := time.Now(), limit.Address(ctx.RemoteAddr())
	within, cancel := context.WithTimeout(ctx.Context(), answerTimeout+patience(ctx.Operation()))
	defer cancel()
	ctx = huma.WithContext(ctx, within)
	if public(ctx.Operation()) {
		if !d.limit.Take(address, now) {
			d.refuse(ctx, limited(d.limit.RetryAfter(address, now)))
			return
		}
		next(ctx)
		return
	}
	if !d.limit.Has(address, now) {
		d.refuse(ctx, limited(d.limit.RetryAfter(address, now)))
		return
	}
	scheme, secret, _ := strings.Cut(ctx.Header("Authorization"), " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" {
		d.limit.Take(address, now)
		d.refuse(ctx, unauthenticated("a token is needed: Authorization: Bearer TOKEN", ""))
		return
	}
	who, err := d.auth(ctx.Context(), secret)
	if fault.Is(err, fault.KindDenied) {
		d.limit.Take(address, now)
		d.refuse(ctx, unauthenticated(told(fault.KindDenied, err).Detail, "invalid_token"))
		return
	}
	if err != nil {
		d.refuse(ctx, d.problemOf(ctx.Context(), err))
		return
	}
	token := limit.Token(secret)
	if !d.limit.Take(token, now) {
		d.refuse(ctx, limited(d.limit.RetryAfter(token, now)))
		return
	}
	next(huma.WithValue(ctx, callerKey{}, desk.Caller{Principal: who}))
}

// refuse writes a problem in place of an operation's answer.
func (d *door) refuse(ctx huma.Context, p *Problem) {
	for name, values := range p.header {
		for _, v := range values {
			ctx.AppendHeader(name, v)
		}
	}
	ctx.SetHeader("Content-Type", p.ContentType(""))
	ctx.SetStatus(p.Status)
	_ = d.huma.Marshal(ctx.BodyWriter(), "application/json", p) // the caller is gone if this fails
}

// callerOf is who admit found. An operation that anybody may call has nobody.
func callerOf(ctx context.Context) desk.Caller {
	c, _ := ctx.Value(callerKey{}).(desk.Caller)
	return c
}
