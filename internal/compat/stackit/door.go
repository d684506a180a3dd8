package stackit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
)

// Limits of what one request may cost.
const (
	maxBody       = 64 << 10
	answerTimeout = 15 * time.Second
	retrySeconds  = 2 // when to come back to a server that can't answer now
)

// keyHeader is an extension: the same key with the same request is answered the same.
const keyHeader = "Idempotency-Key"

// Config is what the door needs.
type Config struct {
	Desk *desk.Desk
	// Authenticate says who presents a bearer token's secret. Denied: nobody we know.
	Authenticate func(ctx context.Context, secret string) (identity.Principal, error)
	Log          *slog.Logger   // where mistakes of our own are told in full
	Limit        *limit.Limiter // may be shared with other doors
}

type door struct {
	desk  *desk.Desk
	limit *limit.Limiter
	auth  func(ctx context.Context, secret string) (identity.Principal, error)
	log   *slog.Logger
	table []route
}

// New makes the door. It answers whatever Serves says is for it.
func New(cfg Config) http.Handler {
	d := &door{desk: cfg.Desk, auth: cfg.Authenticate, log: cfg.Log, limit: cfg.Limit}
	d.table = d.routes()
	return d
}

// ServeHTTP finds out what is asked and who asks, in this order, and answers.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at, filled, found := d.find(r.URL.EscapedPath())
	say := teller{w: w, images: at.images}
	defer d.rescue(r.Context(), say)
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	who, err := d.admit(ctx, r)
	if err != nil {
		say.refuse(d.refusalOf(ctx, err))
		return
	}
	if !found {
		say.refuse(refusal{status: http.StatusNotFound, reason: fmt.Sprintf("there is nothing at %q", clip(r.URL.Path))})
		return
	}
	w.Header().Set("Allow", at.allow())
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	do := at.methods[method]
	switch {
	case method == http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
		return
	case do == nil:
		say.refuse(refusal{status: http.StatusMethodNotAllowed, reason: fmt.Sprintf("%s is not for this address; allowed: %s", clip(r.Method), at.allow())})
		return
	}
	w.Header().Del("Allow")
	c := &call{who: who, values: filled, query: r.URL.Query()}
	if c.body, err = bodyOf(w, r); err != nil {
		say.refuse(d.refusalOf(ctx, err))
		return
	}
	status, body, err := do(ctx, c)
	if err != nil {
		say.refuse(d.refusalOf(ctx, err))
		return
	}
	say.answer(status, body)
}

// admit finds out who calls. An address that presents wrong tokens uses its own
// bucket up, and is then no longer looked at; a good token has its own.
func (d *door) admit(ctx context.Context, r *http.Request) (desk.Caller, error) {
	now, address := time.Now(), limit.Address(r.RemoteAddr)
	if !d.limit.Has(address, now) {
		return desk.Caller{}, tooMany(d.limit.RetryAfter(address, now))
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" {
		d.limit.Take(address, now)
		return desk.Caller{}, refusal{status: http.StatusUnauthorized, field: "Authorization", reason: "a token is needed: Authorization: Bearer TOKEN"}
	}
	who, err := d.auth(ctx, secret)
	if fault.Is(err, fault.KindDenied) {
		d.limit.Take(address, now)
		return desk.Caller{}, refusal{status: http.StatusUnauthorized, field: "Authorization", reason: "the token is unknown or has expired"}
	}
	if err != nil {
		return desk.Caller{}, err
	}
	if token := limit.Token(secret); !d.limit.Take(token, now) {
		return desk.Caller{}, tooMany(d.limit.RetryAfter(token, now))
	}
	key := r.Header.Get(keyHeader)
	for _, b := range []byte(key) {
		if b < ' ' || b > '~' {
			return desk.Caller{}, fault.Invalid(keyHeader, "must be printable ASCII")
		}
	}
	return desk.Caller{Principal: who, Key: key}, nil
}

// tooMany tells a caller to slow down.
func tooMany(seconds int) refusal {
	return refusal{status: http.StatusTooManyRequests, reason: fmt.Sprintf("too many requests; try again in %d s", seconds), retry: seconds}
}

// bodyOf reads a request's body, where one counts.
func bodyOf(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		return nil, nil
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return nil, refusal{status: http.StatusRequestEntityTooLarge, field: "body", reason: fmt.Sprintf("must not be longer than %d bytes", maxBody)}
	}
	if err != nil {
		return nil, fault.Invalid("body", "could not be read to its end")
	}
	return text, nil
}

// rescue answers for a handler that panicked.
func (d *door) rescue(ctx context.Context, say teller) {
	what := recover()
	if what == nil {
		return
	}
	if what == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		panic(what)
	}
	say.refuse(d.refusalOf(ctx, fmt.Errorf("panic: %v\n%s", what, debug.Stack())))
}

// refusalOf turns an error of the desk into what is told. What we are at fault
// for is logged in full, and told by its id only.
func (d *door) refusalOf(ctx context.Context, err error) refusal {
	if r, ok := errors.AsType[refusal](err); ok {
		return r
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = fault.Unavailable("answer in time", err)
	}
	switch kind := fault.KindOf(err); kind {
	case fault.KindInvalid, fault.KindNotFound, fault.KindConflict, fault.KindDenied:
		return told(kind, err)
	case fault.KindUnavailable:
		d.log.WarnContext(ctx, "request failed", "error", err)
		return refusal{status: http.StatusServiceUnavailable, retry: retrySeconds, reason: "the server can't answer at the moment; the same request may succeed later"}
	case fault.KindInternal:
	}
	id := rand.Text()[:10]
	d.log.ErrorContext(ctx, "request failed", "id", id, "error", err)
	return refusal{status: http.StatusInternalServerError, reason: "the server made a mistake; its log tells more under the id " + id}
}

// clip shows what somebody wrote, but not all of it.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
