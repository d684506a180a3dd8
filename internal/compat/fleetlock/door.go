// Package fleetlock is the door for nodes that restart themselves and ask first,
// by the FleetLock protocol: Zincati on Fedora CoreOS and agents for Flatcar. A
// group of theirs is a redundancy group here. It translates and no more; when a
// node may restart, the desk decides by the rules that hold for runs.
//
//	POST /v1/pre-reboot    200: the node has the lock, and keeps it; else it waits
//	POST /v1/steady-state  200: the node is up, and has no lock any more
//
// Who asks says so by basic authentication, for a URL is all that these clients
// can be told: the user is the project, the password a token, best one of the
// role node. A bearer token is taken as well.
//
// The package keeps no state but the limiter's, which a crash may forget.
package fleetlock

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
)

// Limits of what one request may cost.
const (
	maxBody       = 4 << 10
	answerTimeout = 15 * time.Second
	retrySeconds  = 2 // when to come back to a server that can't answer now
)

// The addresses of the door.
const (
	PreReboot   = "/v1/pre-reboot"
	SteadyState = "/v1/steady-state"
)

// groupName is what the protocol lets a group be called.
var groupName = regexp.MustCompile(`^[a-zA-Z0-9.-]+$`)

// Config is what the door needs.
type Config struct {
	Desk *desk.Desk
	// Authenticate says who presents a token's secret. Denied: nobody we know.
	Authenticate func(ctx context.Context, secret string) (identity.Principal, error)
	Log          *slog.Logger   // where mistakes of our own are told in full
	Limit        *limit.Limiter // may be shared with other doors
}

// New makes the door. It answers at PreReboot and SteadyState.
func New(cfg Config) http.Handler { return &door{cfg} }

type door struct{ Config }

// refusal is an answer that grants nothing, and the error of what leads to it.
type refusal struct {
	status int
	kind   string // in snake_case, for programs
	value  string // for people
	retry  int    // seconds; 0: not told
}

func (r refusal) Error() string { return r.value }

// request is what a node says.
type request struct {
	Params struct {
		Group string `json:"group"`
		ID    string `json:"id"`
	} `json:"client_params"`
}

// ServeHTTP finds out who asks, then what, and answers.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer d.rescue(w, r)
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	if err := d.answer(ctx, w, r); err != nil {
		d.refuse(ctx, w, err)
		return
	}
	_, _ = io.WriteString(w, "{}\n")
}

func (d *door) answer(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	who, project, err := d.admit(ctx, r)
	if err != nil {
		return err
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return refusal{status: http.StatusMethodNotAllowed, kind: "method_not_allowed", value: "only POST is for this address"}
	}
	asked, err := read(w, r)
	if err != nil {
		return err
	}
	c, group, node := desk.Caller{Principal: who}, asked.Params.Group, asked.Params.ID
	if r.URL.Path == SteadyState {
		return d.Desk.Unlock(ctx, c, project, group, node)
	}
	why, err := d.Desk.Lock(ctx, c, project, group, node)
	if err == nil && why.Code != "" {
		err = refusal{status: http.StatusConflict, kind: strings.ReplaceAll(string(why.Code), "-", "_"), value: why.Words("en", time.UTC)}
	}
	return err
}

// admit finds out who calls, and for which project. An address that presents
// wrong tokens uses its own bucket up; a good token has its own.
func (d *door) admit(ctx context.Context, r *http.Request) (who identity.Principal, project string, err error) {
	now, address := time.Now(), limit.Address(r.RemoteAddr)
	if !d.Limit.Has(address, now) {
		return who, "", tooMany(d.Limit.RetryAfter(address, now))
	}
	project, secret, ok := r.BasicAuth()
	if !ok {
		var scheme string
		scheme, secret, _ = strings.Cut(r.Header.Get("Authorization"), " ")
		ok = strings.EqualFold(scheme, "Bearer")
	}
	unknown := refusal{status: http.StatusUnauthorized, kind: "unauthenticated", value: "a token is needed: in the server's URL write https://PROJECT:TOKEN@HOST"}
	if !ok || secret == "" {
		d.Limit.Take(address, now)
		return who, "", unknown
	}
	who, err = d.Authenticate(ctx, strings.TrimSpace(secret))
	if fault.Is(err, fault.KindDenied) {
		d.Limit.Take(address, now)
		unknown.value = "the token is unknown or has expired"
		return who, "", unknown
	}
	if err != nil {
		return who, "", err
	}
	if token := limit.Token(secret); !d.Limit.Take(token, now) {
		return who, "", tooMany(d.Limit.RetryAfter(token, now))
	}
	return who, project, nil
}

func tooMany(seconds int) refusal {
	return refusal{status: http.StatusTooManyRequests, kind: "too_many_requests", value: fmt.Sprintf("too many requests; try again in %d s", seconds), retry: seconds}
}

// read is what the protocol asks of a request.
func read(w http.ResponseWriter, r *http.Request) (asked request, err error) {
	if r.Header.Get("fleet-lock-protocol") != "true" {
		return asked, refusal{status: http.StatusBadRequest, kind: "invalid_protocol", value: "the header fleet-lock-protocol must be true"}
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return asked, refusal{status: http.StatusRequestEntityTooLarge, kind: "invalid_body", value: fmt.Sprintf("the body must not be longer than %d bytes", maxBody)}
	}
	if err == nil {
		err = json.Unmarshal(text, &asked)
	}
	switch {
	case err != nil:
		return asked, refusal{status: http.StatusBadRequest, kind: "invalid_body", value: `the body must be {"client_params": {"group": …, "id": …}}`}
	case !groupName.MatchString(asked.Params.Group):
		return asked, refusal{status: http.StatusBadRequest, kind: "invalid_group", value: "client_params.group must be letters, digits, dots and dashes"}
	}
	return asked, nil
}

// refuse answers with the reason. What we are at fault for is logged in full,
// and told by its id only.
func (d *door) refuse(ctx context.Context, w http.ResponseWriter, err error) {
	r, ok := errors.AsType[refusal](err)
	if !ok {
		r = d.refusalOf(ctx, err)
	}
	if r.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(r.retry))
	}
	if r.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="upkeep", charset="UTF-8"`)
	}
	w.WriteHeader(r.status)
	_ = json.NewEncoder(w).Encode(struct {
		Kind  string `json:"kind"`
		Value string `json:"value"`
	}{r.kind, r.value})
}

func (d *door) refusalOf(ctx context.Context, err error) refusal {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = fault.Unavailable("answer in time", err)
	}
	switch fault.KindOf(err) {
	case fault.KindInvalid:
		return refusal{status: http.StatusBadRequest, kind: "invalid_request", value: err.Error()}
	case fault.KindNotFound:
		return refusal{status: http.StatusNotFound, kind: "unknown_group", value: err.Error()}
	case fault.KindDenied:
		return refusal{status: http.StatusForbidden, kind: "denied", value: err.Error()}
	case fault.KindConflict:
		return refusal{status: http.StatusConflict, kind: "conflict", value: err.Error()}
	case fault.KindUnavailable:
		d.Log.WarnContext(ctx, "request failed", "error", err)
		return refusal{status: http.StatusServiceUnavailable, kind: "unavailable", retry: retrySeconds, value: "the server can't answer at the moment; ask again"}
	case fault.KindInternal:
	}
	id := rand.Text()[:10]
	d.Log.ErrorContext(ctx, "request failed", "id", id, "error", err)
	return refusal{status: http.StatusInternalServerError, kind: "internal", value: "the server made a mistake; its log tells more under the id " + id}
}

// rescue answers for a mistake of ours.
func (d *door) rescue(w http.ResponseWriter, r *http.Request) {
	what := recover()
	if what == nil {
		return
	}
	if what == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		panic(what)
	}
	d.refuse(r.Context(), w, fmt.Errorf("panic: %v\n%s", what, debug.Stack()))
}
