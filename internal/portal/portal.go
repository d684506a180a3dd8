// Package portal is the door for people with a browser: servers, a server with
// its schedules and history, a run with its live progress and the reasons for
// waits. It asks the desk and paints what it says; no rule lives here.
//
// Pages are made on the server and work without JavaScript. The script only
// swaps the parts of a page that have changed, when an event stream says so.
// Nothing is kept between requests: a crash loses open streams, and browsers
// open them again by themselves.
package portal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/a-h/templ"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
)

// How often a sign-in may fail from one address: so many times at once, then
// once in a while. Who signs in with a good token is never counted.
const (
	signInBurst = 10
	signInEvery = 6 * time.Second
)

// Config is what a portal needs.
type Config struct {
	Desk *desk.Desk

	// SignIn exchanges a token for the value of a cookie, good until expires.
	SignIn func(ctx context.Context, token string) (cookie string, expires time.Time, p identity.Principal, err error)
	// Verify says whose cookie it is. Denied: nobody's.
	Verify func(ctx context.Context, cookie string) (identity.Principal, error)
	// Anonymous is who looks without having signed in; nil: nobody may.
	Anonymous *identity.Principal

	Version string
	Log     *slog.Logger
}

// Portal serves pages. It is an http.Handler for all paths that no other door has.
type Portal struct {
	cfg     Config
	handler http.Handler
	closing context.Context
	close   context.CancelFunc
	streams chan struct{} // one place per open event stream

	attempts *limit.Limiter // sign-ins that failed, by address
}

// New makes a portal.
func New(cfg Config) *Portal {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Portal{cfg: cfg, streams: make(chan struct{}, maxStreams), attempts: limit.New(1/signInEvery.Seconds(), signInBurst)}
	p.closing, p.close = context.WithCancel(context.Background())

	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{file}", serveStatic)
	mux.Handle("GET /signin", p.open(p.signInForm))
	mux.Handle("POST /signin", p.open(p.signIn))
	mux.Handle("POST /signout", p.open(p.signOut))
	mux.Handle("POST /zone", p.open(p.chooseZone))
	mux.Handle("GET /{$}", p.open(func(v *visit) error { return v.goTo("/servers") }))
	p.ofServers(mux)
	p.ofServices(mux)
	mux.Handle("GET /images", p.known(p.images))
	mux.Handle("GET /compliance", p.known(p.compliance))
	mux.Handle("GET /compliance.csv", p.known(p.complianceCSV))
	mux.Handle("GET /groups", p.known(p.groups))
	mux.Handle("GET /groups/{project}/{name}", p.known(p.group))
	mux.Handle("POST /groups/{project}/{name}", p.known(p.saveGroup))
	mux.Handle("GET /policies", p.known(p.policies))
	mux.Handle("POST /policies", p.known(p.savePolicy))
	mux.Handle("GET /policies/new", p.known(p.newPolicy))
	mux.Handle("GET /policies/{policy}", p.known(p.editPolicy))
	mux.Handle("POST /policies/{policy}", p.known(p.savePolicy))
	mux.Handle("GET /policies/{policy}/delete", p.known(p.deletePolicyForm))
	mux.Handle("POST /policies/{policy}/delete", p.known(p.deletePolicy))
	mux.Handle("GET /clashes", p.known(p.clashes))
	mux.Handle("GET /freezes", p.known(p.freezes))
	mux.Handle("POST /freezes", p.known(p.createFreeze))
	mux.Handle("GET /freezes/{freeze}/lift", p.known(p.liftFreezeForm))
	mux.Handle("POST /freezes/{freeze}/lift", p.known(p.liftFreeze))
	mux.Handle("GET /runs/{id}", p.known(p.run))
	mux.Handle("GET /runs/{id}/live", p.known(p.runLive))
	mux.Handle("POST /runs/{id}/pause", p.known(p.pause))
	mux.Handle("POST /runs/{id}/resume", p.known(p.resume))
	mux.Handle("POST /runs/{id}/approve", p.known(p.approve))
	mux.Handle("GET /runs/{id}/abort", p.known(p.abortForm))
	mux.Handle("POST /runs/{id}/abort", p.known(p.abort))
	mux.Handle("/", p.open(func(*visit) error { return errNoPage }))

	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(p.open(func(*visit) error { return errForeignForm }))
	p.handler = origins.Handler(mux)
	return p
}

// ofServers are the pages of servers.
func (p *Portal) ofServers(mux *http.ServeMux) {
	mux.Handle("GET /servers", p.known(p.servers))
	mux.Handle("GET /servers/{id}", p.known(p.server))
	mux.Handle("GET /servers/{id}/live", p.known(p.serverLive))
	mux.Handle("GET /servers/{id}/updates", p.known(p.history))
	mux.Handle("GET /servers/{id}/schedules", p.known(p.schedules))
	mux.Handle("POST /servers/{id}/schedules", p.known(p.saveSchedule))
	mux.Handle("GET /servers/{id}/schedules/new", p.known(p.newSchedule))
	mux.Handle("GET /servers/{id}/schedules/{schedule}", p.known(p.editSchedule))
	mux.Handle("POST /servers/{id}/schedules/{schedule}", p.known(p.saveSchedule))
	mux.Handle("POST /servers/{id}/schedules/{schedule}/enabled", p.known(p.enableSchedule))
	mux.Handle("GET /servers/{id}/schedules/{schedule}/delete", p.known(p.deleteScheduleForm))
	mux.Handle("POST /servers/{id}/schedules/{schedule}/delete", p.known(p.deleteSchedule))
	mux.Handle("GET /servers/{id}/manage", p.known(p.manageForm))
	mux.Handle("POST /servers/{id}/manage", p.known(p.manage))
	mux.Handle("GET /servers/{id}/unmanage", p.known(p.unmanageForm))
	mux.Handle("POST /servers/{id}/unmanage", p.known(p.unmanage))
	mux.Handle("GET /servers/{id}/update", p.known(p.updateForm))
	mux.Handle("POST /servers/{id}/update", p.known(p.update))
}

// ofServices are the pages of services, and of the releases that are brought to them.
func (p *Portal) ofServices(mux *http.ServeMux) {
	mux.Handle("GET /services", p.known(p.services))
	mux.Handle("GET /services/{id}", p.known(p.service))
	mux.Handle("GET /services/{id}/live", p.known(p.serviceLive))
	mux.Handle("GET /rollouts", p.known(p.rollouts))
	mux.Handle("GET /rollouts/{id}", p.known(p.rollout))
	mux.Handle("GET /rollouts/{id}/live", p.known(p.rolloutLive))
	mux.Handle("POST /rollouts/{id}/pause", p.known(p.pauseRollout))
	mux.Handle("POST /rollouts/{id}/resume", p.known(p.resumeRollout))
	mux.Handle("POST /rollouts/{id}/environments/{env}/approve", p.known(p.approveRollout))
	mux.Handle("POST /rollouts/{id}/environments/{env}/retry", p.known(p.retryRollout))
	mux.Handle("GET /trains/{project}/{train}", p.known(p.train))
	for address, of := range p.sayings() {
		mux.Handle("GET "+address, p.known(p.sayForm(of)))
		mux.Handle("POST "+address, p.known(p.say(of)))
	}
}

// Close ends the open event streams, so that a server can shut down. Give it
// to http.Server.RegisterOnShutdown.
func (p *Portal) Close() { p.close() }

// ServeHTTP answers one request.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	// A page shows what its reader may see: no cache between us may keep it.
	h.Set("Cache-Control", "no-store")
	if r.Body != nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	}
	p.handler.ServeHTTP(w, r)
}

// maxForm is the longest form, in bytes; the longest that makes sense has two
// recurrences of four kilobytes and two hundred held packages, which three
// times that many bytes may encode.
const maxForm = 96 << 10

var (
	errNoPage      = fault.NotFound("page", "")
	errForeignForm = fault.Denied("this form was sent by another site")
)

// visit is one request of one person: who looks, in which language, when.
type visit struct {
	words
	w http.ResponseWriter
	r *http.Request

	caller   desk.Caller
	known    bool // somebody looks, perhaps anonymously
	signedIn bool
	now      time.Time
	version  string
	reader   *time.Location // where the reader lives; nil: nobody knows

	// What a page says about itself before it is painted.
	live    string // the address of its event stream; empty: none
	refresh bool   // without a script it is to be loaded again in a while
	preview bool   // it has a form that shows what it means
}

// open serves those whom we know and those whom we do not.
func (p *Portal) open(h func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{w: w, r: r, words: chooseWords(w, r), now: time.Now(), version: p.cfg.Version, reader: readerZone(r)}
		defer p.recover(v)
		err := p.recognise(v)
		if err == nil {
			err = h(v)
		}
		if err != nil {
			p.fail(v, err)
		}
	})
}

// known serves those whom we know, and asks others to sign in.
func (p *Portal) known(h func(*visit) error) http.Handler {
	return p.open(func(v *visit) error {
		if v.known {
			return h(v)
		}
		if v.r.Method != http.MethodGet || strings.HasSuffix(v.r.URL.Path, "/live") {
			return fault.Denied("not signed in")
		}
		return v.goTo(signInPath(v.r.URL.RequestURI()))
	})
}

// fail answers with an error's page. Only our own mistakes are logged: the
// others are the caller's, who reads them.
func (p *Portal) fail(v *visit, err error) {
	kind := fault.KindOf(err)
	if errors.Is(err, context.Canceled) && v.r.Context().Err() != nil {
		return // nobody is there to read
	}
	if kind == fault.KindInternal || kind == fault.KindUnavailable {
		p.cfg.Log.ErrorContext(v.r.Context(), "portal: answer a request", "method", v.r.Method, "path", v.r.URL.Path, "error", err)
	}
	status := statusOf(kind)
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		status = http.StatusRequestEntityTooLarge
	}
	if kind == fault.KindUnavailable {
		v.w.Header().Set("Retry-After", "5")
	}
	if err := v.paint(status, errorPage(v, status, kind, reasonFor(err))); err != nil {
		p.cfg.Log.ErrorContext(v.r.Context(), "portal: paint an error", "error", err)
	}
}

// reasonFor is what a reader may know of an error.
func reasonFor(err error) string {
	var f *fault.Error
	if !errors.As(err, &f) || errors.Is(err, errNoPage) || errors.Is(err, errForeignForm) {
		return ""
	}
	switch fault.KindOf(err) {
	case fault.KindInternal, fault.KindUnavailable:
		return ""
	case fault.KindInvalid, fault.KindNotFound, fault.KindConflict, fault.KindDenied:
	}
	for f.Reason == "" {
		var under *fault.Error
		if !errors.As(f.Cause, &under) {
			break
		}
		f = under
	}
	return f.Reason
}

// statusOf is the one place where kinds of faults become HTTP.
func statusOf(k fault.Kind) int {
	switch k {
	case fault.KindInvalid:
		return http.StatusUnprocessableEntity
	case fault.KindNotFound:
		return http.StatusNotFound
	case fault.KindConflict:
		return http.StatusConflict
	case fault.KindDenied:
		return http.StatusForbidden
	case fault.KindUnavailable:
		return http.StatusServiceUnavailable
	case fault.KindInternal:
	}
	return http.StatusInternalServerError
}

// recover turns a panic into an error page.
func (p *Portal) recover(v *visit) {
	what := recover()
	if what == nil {
		return
	}
	if err, ok := what.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(what)
	}
	p.cfg.Log.ErrorContext(v.r.Context(), "portal: panic", "path", v.r.URL.Path, "panic", what, "stack", string(debug.Stack()))
	_ = v.paint(http.StatusInternalServerError, errorPage(v, http.StatusInternalServerError, fault.KindInternal, ""))
}

// paint writes a page. It is made whole first, so that a mistake in it is
// still an error page and not half a page.
func (v *visit) paint(status int, page templ.Component) error {
	var b bytes.Buffer
	if err := page.Render(v.r.Context(), &b); err != nil {
		return fault.Internal("paint", err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Content-Language", v.lang)
	v.w.Header().Add("Vary", "Accept-Language, Cookie")
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		_, _ = v.w.Write(b.Bytes()) // the reader may have gone: nothing to be done
	}
	return nil
}

// goTo sends the browser to another of our pages.
func (v *visit) goTo(path string) error {
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}
