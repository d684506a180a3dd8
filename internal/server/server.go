// Package server is the wiring: configuration → parts → Run, Close. It is the
// only place that knows every part; nothing is decided here.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"upkeep/internal/action"
	"upkeep/internal/api"
	"upkeep/internal/balancer"
	"upkeep/internal/compat/fleetlock"
	"upkeep/internal/compat/stackit"
	"upkeep/internal/desk"
	"upkeep/internal/engine"
	"upkeep/internal/fault"
	"upkeep/internal/hub"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
	"upkeep/internal/portal"
	"upkeep/internal/probe"
	"upkeep/internal/reach"
	"upkeep/internal/store"
	"upkeep/internal/store/postgres"
	"upkeep/internal/store/sqlite"
)

// Config is what a server needs to know.
type Config struct {
	Data     string // folder of keys, tokens and the embedded database; made if missing
	Listen   string // HOST:PORT; port 0 takes a free one
	Database string // URL of a PostgreSQL database; empty: SQLite in Data
	Hosts    []string
	Version  string
	Log      *slog.Logger

	// Zone is where managed servers have their weekends until somebody makes
	// another policy the default one. Empty: UTC.
	Zone string

	// MayCall are prefixes of the addresses that runbooks, proxies and probes may
	// have it call. Empty: all. Link-local ones are never called.
	MayCall []string

	// Anonymous lets everybody look at the portal without signing in. It is
	// refused on an address that others can reach.
	Anonymous bool
}

// The files in the data folder.
const (
	databaseFile = "upkeep.db"
	keyFile      = "secret.key"
	tokenFile    = "operator.token"
	caFile       = "ca.pem"
)

// What each token, and each address without a good one, may ask of the doors.
const (
	requestsPerSecond = 100
	requestsAtOnce    = 200
)

// Server is a running control plane.
type Server struct {
	cfg    Config
	db     store.DB
	engine *engine.Engine
	hub    *hub.Hub
	desk   *desk.Desk

	secure, plain net.Listener
	secureHTTP    *http.Server
	plainHTTP     *http.Server
	made          bool
}

// New opens the database, makes what a first start needs, and listens. Run
// serves. The caller closes what New returns.
func New(ctx context.Context, cfg Config) (s *Server, err error) {
	if _, err := time.LoadLocation(cfg.Zone); err != nil || cfg.Zone == "Local" {
		return nil, fault.Invalid("zone", "%q is no time zone such as Europe/Berlin", cfg.Zone)
	}
	calls, err := reach.Only(cfg.MayCall)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, fault.Internal("make the data folder", err)
	}
	sealer, err := identity.OpenKey(filepath.Join(cfg.Data, keyFile))
	if err != nil {
		return nil, err
	}
	db, err := open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s = &Server{cfg: cfg, db: db}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	authority, err := identity.LoadAuthority(ctx, db, sealer)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(cfg.Data, caFile), authority.PEM(), 0o644); err != nil { //nolint:gosec // a certificate is for everybody
		return nil, fault.Internal("write the authority's certificate", err)
	}
	if s.made, err = operatorToken(ctx, db, filepath.Join(cfg.Data, tokenFile)); err != nil {
		return nil, err
	}
	sessions, err := identity.LoadSessions(ctx, db, sealer)
	if err != nil {
		return nil, err
	}
	s.build(authority, sessions, calls)
	return s, s.listen(ctx, authority)
}

func open(ctx context.Context, cfg Config) (store.DB, error) {
	if cfg.Database != "" {
		return postgres.Open(ctx, cfg.Database)
	}
	return sqlite.Open(ctx, filepath.Join(cfg.Data, databaseFile))
}

// build joins the parts.
func (s *Server) build(authority *identity.Authority, sessions *identity.Sessions, calls reach.Rule) {
	s.hub = hub.New(hub.Config{
		DB: s.db, Authority: authority, Log: s.cfg.Log, Woken: func() { s.engine.Nudge() },
	})
	proxies, asks := balancer.Hand{Dial: calls.Dial}, probe.Hand{Dial: calls.Dial}
	s.engine = engine.New(engine.Config{
		DB: s.db, Owner: uuid.NewString(), NewID: newID, Log: s.cfg.Log, Orders: s.hub.Nudge,
		Hands: map[action.Kind]engine.Hand{
			action.Balance: proxies, action.Serving: proxies, action.HTTP: asks, action.Query: asks,
		},
		Prober: probe.Probe(asks),
	})
	s.desk = desk.New(s.db, newID, s.engine.Nudge).In(cmp.Or(s.cfg.Zone, "UTC"))

	mux := http.NewServeMux()
	mux.Handle("/agent/", s.hub.Handler())
	known := func(ctx context.Context, secret string) (identity.Principal, error) {
		return identity.Authenticate(ctx, s.db, secret)
	}
	callers := limit.New(requestsPerSecond, requestsAtOnce)
	doors := api.New(s.desk, known, api.WithLog(s.cfg.Log), api.WithVersion(s.cfg.Version), api.WithLimiter(callers))
	for _, path := range []string{"/v1/", "/openapi.yaml", "/openapi.json"} {
		mux.Handle(path, doors)
	}
	locks := fleetlock.New(fleetlock.Config{Desk: s.desk, Authenticate: known, Log: s.cfg.Log, Limit: callers})
	mux.Handle(fleetlock.PreReboot, locks)
	mux.Handle(fleetlock.SteadyState, locks)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	rooms := portal.Config{
		Desk: s.desk, SignIn: sessions.Issue, Verify: sessions.Verify, Version: s.cfg.Version, Log: s.cfg.Log,
	}
	if s.cfg.Anonymous {
		rooms.Anonymous = &identity.Principal{Name: "visitor", Role: identity.Viewer}
	}
	pages := portal.New(rooms)
	mux.Handle("/", pages)

	all := before(mux, stackit.New(stackit.Config{Desk: s.desk, Authenticate: known, Log: s.cfg.Log, Limit: callers}))
	s.secureHTTP = s.http(all)
	s.plainHTTP = s.http(onlyHere(all))
	s.secureHTTP.RegisterOnShutdown(pages.Close)
}

// before lets the door of STACKIT's clients have its requests before the router
// sees them: it would redirect the double slashes with which they begin.
func before(mux, door http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stackit.Serves(r.URL.EscapedPath()) {
			door.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// http is a server with limits on everything that a stranger can make it wait for.
func (s *Server) http(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
}

func (s *Server) listen(ctx context.Context, authority *identity.Authority) error {
	host, _, err := net.SplitHostPort(s.cfg.Listen)
	if err != nil {
		return fault.Invalid("listen", "%q is not HOST:PORT", s.cfg.Listen)
	}
	if s.cfg.Anonymous && !loopback(host) {
		return fault.Invalid("listen", "anonymous visitors are for this machine alone, and %q can be reached by others", s.cfg.Listen)
	}
	s.secureHTTP.TLSConfig, err = authority.ServerTLS(append(s.cfg.Hosts, host)...)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fault.Unavailable("listen on "+s.cfg.Listen, err)
	}
	s.secure, s.plain = split(l)
	return nil
}

// onlyHere refuses to speak plainly with other machines: tokens would travel readable.
func onlyHere(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil || !loopback(host) {
			w.Header().Set("Upgrade", "TLS/1.3")
			http.Error(w, "This is https://. Only clients on the server's own machine may speak without TLS.", http.StatusUpgradeRequired)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ready says whether the database answers.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	err := s.db.View(ctx, func(tx store.Tx) error {
		_, err := tx.Targets(store.TargetFilter{Limit: 1})
		return err
	})
	if err != nil {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// Run serves until ctx ends, then lets what is under way come to an end.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.engine.Run(ctx) })
	g.Go(func() error { return s.hub.Run(ctx) })
	// Held requests end with the server, not after their time.
	base := func(net.Listener) context.Context { return ctx }
	s.secureHTTP.BaseContext, s.plainHTTP.BaseContext = base, base
	g.Go(func() error { return served(s.secureHTTP.ServeTLS(s.secure, "", "")) })
	g.Go(func() error { return served(s.plainHTTP.Serve(s.plain)) })
	g.Go(func() error {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return errors.Join(s.secureHTTP.Shutdown(ctx), s.plainHTTP.Shutdown(ctx))
	})
	return g.Wait()
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fault.Internal("serve", err)
}

// Close gives everything back. Run must have returned.
func (s *Server) Close() error {
	if s.secure != nil {
		_ = s.secure.Close()
	}
	return s.db.Close()
}

// Desk is the room behind the doors, for programs that carry a server inside.
func (s *Server) Desk() *desk.Desk { return s.desk }

// Address is where the server listens, HOST:PORT.
func (s *Server) Address() string { return s.secure.Addr().String() }

// TokenFile is the file of the operator's token; made says whether this start
// wrote it.
func (s *Server) TokenFile() (path string, made bool) {
	return filepath.Join(s.cfg.Data, tokenFile), s.made
}

// CAFile is the file of the certificate that clients and agents trust.
func (s *Server) CAFile() string { return filepath.Join(s.cfg.Data, caFile) }

// operatorToken writes a first token where the database has none.
func operatorToken(ctx context.Context, db store.DB, path string) (made bool, err error) {
	var secret string
	err = db.Update(ctx, func(tx store.Tx) error {
		made = false
		tokens, err := tx.Tokens()
		if err != nil || len(tokens) > 0 {
			return err
		}
		var row store.Token
		secret, row, err = identity.NewToken("operator", identity.Operator, "", time.Time{}, time.Now())
		if err != nil {
			return err
		}
		made = true
		// The file comes first: a token that nobody can read is of no use,
		// and one that was not committed opens nothing.
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			return fault.Internal("write the operator's token", err)
		}
		return tx.PutToken(row)
	})
	return made, err
}

// newID gives ids that grow with time, so that lists are in order of making.
func newID() string { return strings.ToLower(uuid.Must(uuid.NewV7()).String()) }
