package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/client"
	"upkeep/internal/action"
	"upkeep/internal/api"
	"upkeep/internal/desk"
	"upkeep/internal/engine"
	"upkeep/internal/identity"
	"upkeep/internal/probe"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
)

// landscape is a real desk, door, engine and database in a bubble, and three small
// services, one for each environment, that are really asked over HTTP.
type landscape struct {
	t    *testing.T
	db   store.DB
	path string
	door http.Handler
	ids  atomic.Int64

	stop  context.CancelFunc
	ended chan error
	edge  *proxy

	mu      sync.Mutex
	image   map[string]string // environment → what it runs
	rolled  []string          // "ENVIRONMENT IMAGE", as it was brought
	slow    map[string]bool   // environments whose latency is bad
	dark    map[string]bool   // environments whose Prometheus has no figure
	clients map[string]*client.Client
}

func newLandscape(t *testing.T, path string) *landscape {
	t.Helper()
	c := &landscape{t: t, path: path, image: map[string]string{}, slow: map[string]bool{}, dark: map[string]bool{}, clients: map[string]*client.Client{}, edge: &proxy{t: t}}
	c.start()
	for _, name := range []string{"ada", "bob", "eve"} {
		secret, row, err := identity.NewToken(name, identity.Operator, "", time.Time{}, time.Now())
		c.must(err)
		c.must(c.db.Update(c.t.Context(), func(tx store.Tx) error { return tx.PutToken(row) }))
		c.clients[name], err = client.New("http://upkeep", secret, &http.Client{Transport: c})
		c.must(err)
	}
	return c
}

// start starts a control plane on the database. It looks for work once an hour,
// or these weeks would cost the race detector a minute.
func (c *landscape) start() {
	c.t.Helper()
	db, err := sqlite.Open(context.Background(), c.path, sqlite.Unsafe())
	c.must(err)
	c.db = db
	hand := probe.Hand{Dial: c.dial}
	newID := func() string { return fmt.Sprintf("id-%06d", c.ids.Add(1)) }
	e := engine.New(engine.Config{
		DB: db, Owner: "one", NewID: newID, Orders: func(string) {}, Log: slog.New(slog.DiscardHandler), Idle: time.Hour,
		Hands: map[action.Kind]engine.Hand{action.HTTP: hand, action.Query: hand, action.Balance: c.edge},
	})
	c.door = api.New(desk.New(db, newID, e.Nudge), func(ctx context.Context, secret string) (identity.Principal, error) {
		return identity.Authenticate(ctx, db, secret)
	}, api.WithLog(slog.New(slog.DiscardHandler)), api.WithRate(1e6, 1e6))
	ctx, cancel := context.WithCancel(context.Background())
	c.stop, c.ended = cancel, make(chan error, 1)
	go func() { c.ended <- e.Run(ctx) }()
}

// end ends the control plane.
func (c *landscape) end() {
	c.t.Helper()
	c.stop()
	c.must(<-c.ended)
	c.must(c.db.Close())
}

func (c *landscape) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// RoundTrip asks the door without a network.
func (c *landscape) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	c.door.ServeHTTP(w, r)
	return w.Result(), nil
}

// dial answers a connection as the service of that host does, and ends with it.
func (c *landscape) dial(_ context.Context, _, address string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	env, _, _ := strings.Cut(address, ".")
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(env, w, r) }), ReadHeaderTimeout: time.Second}
	s.SetKeepAlivesEnabled(false)
	go s.Serve(&once{conn: theirs, done: make(chan struct{})}) // it ends when its one connection has
	return ours, nil
}

// serve is a small service: it takes an image, says how it is, and its
// Prometheus tells its latency. The image is a stand-in for a container's.
func (c *landscape) serve(env string, w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.URL.Path {
	case "/bring":
		c.image[env] = r.URL.Query().Get("image")
		c.rolled = append(c.rolled, env+" "+c.image[env][7:8])
	case "/health":
		if c.image[env] == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	case "/api/v1/query":
		figure := map[bool]string{false: "0.2", true: "1.9"}[c.slow[env]]
		if c.dark[env] {
			io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
			return
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"scalar","result":[1,"%s"]}}`, figure)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// answers has what an environment's Prometheus says change.
func (c *landscape) answers(how map[string]bool, env string, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	how[env] = on
}

// once is a listener with one connection.
type once struct {
	conn net.Conn
	mu   sync.Mutex
	gave bool
	done chan struct{}
}

func (o *once) Accept() (net.Conn, error) {
	o.mu.Lock()
	first := !o.gave
	o.gave = true
	o.mu.Unlock()
	if first {
		return &closing{Conn: o.conn, done: o.done}, nil
	}
	<-o.done
	return nil, net.ErrClosed
}

func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return o.conn.LocalAddr() }

// closing tells when its connection is closed.
type closing struct {
	net.Conn
	once sync.Once
	done chan struct{}
}

func (c *closing) Close() error {
	c.once.Do(func() { close(c.done) })
	return c.Conn.Close()
}

// later lets time go on.
func (c *landscape) later(d time.Duration) {
	time.Sleep(d) // in a bubble: no time passes
	synctest.Wait()
}

func digestOf(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// build makes services, runbook, train and release known, as a person would.
func (c *landscape) build() {
	ctx, ada := c.t.Context(), c.clients["ada"]
	_, err := ada.PutRunbook(ctx, "bring", client.RunbookInput{
		Params: []client.RunbookParam{{Name: "image", Type: "digest", Required: true}},
		Member: client.RunbookMember{
			Do:    []client.RunbookStep{{Name: "bring", Kind: "http", With: map[string]string{"url": "{{member.url}}/bring?image={{param.image}}"}}},
			Await: []client.RunbookStep{{Name: "healthy", Kind: "http", With: map[string]string{"url": "{{member.url}}/health"}}},
		},
	}, &client.PutRunbookParams{})
	c.must(err)
	var environments []client.TrainEnvironment
	after := ""
	for i, env := range []string{"dev", "stage", "prod"} {
		_, err := ada.PutService(ctx, "api-"+env, client.ServiceInput{Members: []client.ServiceMember{{Name: "a", With: map[string]string{"url": "http://" + env + ".test"}}}}, &client.PutServiceParams{})
		c.must(err)
		environments = append(environments, client.TrainEnvironment{
			Name: env, After: after, Soak: []string{"1d", "7d", "3d"}[i], Approvals: []int64{0, 0, 1}[i], Region: env == "prod",
		})
		after = env
	}
	_, err = ada.PutTrain(ctx, "cloud", client.TrainInput{
		Environments: environments,
		Phases:       []client.TrainPhase{{Name: "api", Component: "api", Service: "api-{{environment.name}}", Runbook: "bring", Params: map[string]string{"image": "{{digest.api}}"}}},
		Gates: []client.TrainGate{
			{Name: "health", Kind: "http", With: map[string]string{"url": "http://{{environment.name}}.test/health"}},
			{Name: "latency", Kind: "query", At: []string{"after", "soak"}, Every: "6h", With: map[string]string{
				"url": "http://{{environment.name}}.test", "query": "p95", "op": "<", "value": "1",
			}},
		},
	}, &client.PutTrainParams{})
	c.must(err)
	_, err = ada.PutRelease(ctx, "cloud", "R4", client.ReleaseInput{Digests: map[string]string{"api": digestOf("a")}}, &client.PutReleaseParams{})
	c.must(err)
	_, err = ada.StartRollout(ctx, client.RolloutInput{Train: "cloud", Version: "R4"}, &client.StartRolloutParams{})
	c.must(err)
}

func (c *landscape) rollout() *client.Rollout {
	c.t.Helper()
	r, err := c.clients["ada"].GetRollout(c.t.Context(), "cloud", &client.GetRolloutParams{})
	c.must(err)
	return r
}

// at is an environment, which must be in that stage.
func (c *landscape) at(env, stage string) client.RolloutEnvironment {
	c.t.Helper()
	r := c.rollout()
	for _, e := range r.Environments {
		if e.Name == env {
			if e.Stage != stage {
				c.t.Fatalf("%s is %s, want %s: %+v\n%+v", env, e.Stage, stage, e, r.Waits)
			}
			return e
		}
	}
	c.t.Fatalf("there is no %s", env)
	return client.RolloutEnvironment{}
}

// brought fails unless exactly that was brought, in order.
func (c *landscape) brought(want ...string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if fmt.Sprint(c.rolled) != fmt.Sprint(want) {
		c.t.Fatalf("brought %v, want %v", c.rolled, want)
	}
}

func inLandscape(t *testing.T, f func(c *landscape)) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	synctest.Test(t, func(t *testing.T) {
		c := newLandscape(t, path)
		defer func() { c.end() }()
		c.build()
		f(c)
	})
}

// What stage's users would feel is found on stage: production is not touched,
// and what was measured is shown. Mended, it goes on and arrives.
func TestStageFailsAndProductionIsUntouched(t *testing.T) {
	inLandscape(t, func(c *landscape) {
		c.later(2 * time.Hour)
		c.at("dev", "soaking")
		c.later(25 * time.Hour)
		c.at("stage", "soaking")
		c.later(2 * 24 * time.Hour)
		c.answers(c.slow, "stage", true)
		c.later(7 * time.Hour)
		stage := c.at("stage", "failed")
		last := stage.Evidence[len(stage.Evidence)-1]
		if last.Gate != "latency" || last.Result != "fail" || last.Why != "p95 is 1.9, want < 1" {
			c.t.Errorf("the evidence is %+v", stage.Evidence)
		}
		c.end()
		c.start() // the control plane may well be started anew meanwhile
		c.later(8 * 24 * time.Hour)
		c.at("prod", "waiting")
		c.brought("dev a", "stage a")

		c.answers(c.slow, "stage", false)
		_, err := c.clients["bob"].RetryRollout(c.t.Context(), "cloud", client.RolloutRetryInput{Environment: "stage"}, &client.RetryRolloutParams{})
		c.must(err)
		prod := c.at("prod", "waiting")
		if _, err := c.clients["ada"].ApproveRollout(c.t.Context(), "cloud", client.RolloutApprovalInput{Environment: "prod", Plan: prod.Plan}, &client.ApproveRolloutParams{}); !client.Is(err, client.KindDenied) {
			c.t.Errorf("who has started it approves it: %v", err)
		}
		_, err = c.clients["bob"].ApproveRollout(c.t.Context(), "cloud", client.RolloutApprovalInput{Environment: "prod", Plan: prod.Plan}, &client.ApproveRolloutParams{})
		c.must(err)
		c.later(6 * 24 * time.Hour)
		c.brought("dev a", "stage a") // the soak began anew
		c.later(26 * time.Hour)
		c.brought("dev a", "stage a", "prod a")
		c.later(4 * 24 * time.Hour)
		if r := c.rollout(); r.State != "succeeded" {
			c.t.Errorf("it is %s: %+v", r.State, r.Waits)
		}
		facts, err := c.clients["ada"].ListHistory(c.t.Context(), &client.ListHistoryParams{Rollout: "cloud"})
		c.must(err)
		if n := len(facts.Items); n < 15 || facts.Items[n-1].Kind != "rollout.ended" {
			c.t.Errorf("%d facts, and the last is %+v", n, facts.Items[n-1])
		}
	})
}

// A veto after three days of soak stops the release; lifted, it goes on.
func TestVetoAfterThreeDaysOfSoak(t *testing.T) {
	inLandscape(t, func(c *landscape) {
		ctx := c.t.Context()
		prod := c.at("prod", "waiting")
		_, err := c.clients["bob"].ApproveRollout(ctx, "cloud", client.RolloutApprovalInput{Environment: "prod", Plan: prod.Plan}, &client.ApproveRolloutParams{})
		c.must(err)
		c.later(25*time.Hour + 3*24*time.Hour)
		c.at("stage", "soaking")
		_, err = c.clients["eve"].VetoRelease(ctx, "cloud", "R4", client.VetoInput{Reason: "splits under load"}, &client.VetoReleaseParams{})
		c.must(err)
		c.later(8 * 24 * time.Hour)
		c.brought("dev a", "stage a")
		r := c.rollout()
		if len(r.Waits) != 1 || r.Waits[0].Code != "veto" || r.Waits[0].Environment != "prod" || !strings.Contains(r.Waits[0].Text, "splits under load") {
			c.t.Errorf("it waits for %+v", r.Waits)
		}
		_, err = c.clients["eve"].LiftVeto(ctx, "cloud", "R4", client.VetoInput{Reason: "it was the lab's network"}, &client.LiftVetoParams{})
		c.must(err)
		c.later(time.Hour)
		c.brought("dev a", "stage a", "prod a")
	})
}

// One component of production is taken back, and a figure that is missing is
// for a person to judge.
func TestPinAndMissingFigure(t *testing.T) {
	inLandscape(t, func(c *landscape) {
		ctx := c.t.Context()
		c.answers(c.dark, "dev", true)
		c.later(2 * 24 * time.Hour) // twice its soak
		c.at("dev", "checking")
		c.answers(c.dark, "dev", false)
		_, err := c.clients["bob"].DecideGate(ctx, "cloud", client.RolloutDecisionInput{Environment: "dev", Gate: "latency", Result: "pass", Reason: "nobody uses it"}, &client.DecideGateParams{})
		c.must(err)
		c.later(25 * time.Hour)
		c.at("stage", "soaking")
		if _, err := c.clients["bob"].PinComponent(ctx, "cloud", client.RolloutPinInput{Environment: "prod", Component: "api", Digest: digestOf("9"), Reason: "x"}, &client.PinComponentParams{}); !client.Is(err, client.KindInvalid) {
			c.t.Errorf("what was never brought is pinned: %v", err)
		}
		_, err = c.clients["bob"].PinComponent(ctx, "cloud", client.RolloutPinInput{Environment: "stage", Component: "api", Digest: digestOf("9"), Reason: "it leaks"}, &client.PinComponentParams{})
		c.must(err)
		c.later(8 * 24 * time.Hour)
		c.brought("dev a", "stage a", "stage 9")
		if r := c.rollout(); r.Waits[0].Code != "digests" {
			c.t.Errorf("prod waits for %+v", r.Waits)
		}
		_, err = c.clients["ada"].PutRelease(ctx, "cloud", "R4", client.ReleaseInput{Digests: map[string]string{"api": digestOf("9")}}, &client.PutReleaseParams{})
		c.must(err)
		c.later(25 * time.Hour) // dev soaks with what stage has by now
		c.brought("dev a", "stage a", "stage 9", "dev 9")
		f, err := c.clients["ada"].SimulateRollout(ctx, "cloud", client.RolloutForecastInput{Version: "R4"}, &client.SimulateRolloutParams{})
		c.must(err)
		if len(f.Items) != 6 || f.End.IsZero() || len(f.Asks) != 1 {
			c.t.Errorf("forecast %+v", f)
		}
	})
}
