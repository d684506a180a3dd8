//go:build linux && e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"upkeep/internal/lab"
)

// mix asks Keystone as its users do, with a new connection for each request and
// without waiting for the answers before: 85 % lists, 5 % tokens, 10 % projects
// that are created and deleted.
type mix struct {
	l      *lab.Lab
	client *http.Client
	token  string
	stop   context.CancelFunc
	sender sync.WaitGroup

	mu       sync.Mutex
	asked    []request
	flying   int
	projects []string  // created, oldest first
	bad      time.Time // when something was last not answered as it should be
	why      string    // and what came instead
}

// request is one that was sent, and what came of it.
type request struct {
	at   time.Time
	took time.Duration
	code int // 0: no whole answer came
	why  string
}

const (
	slow       = time.Second
	patience   = time.Minute // after which a request counts as unanswered
	passwordIn = `{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"admin","domain":{"id":"default"},"password":"adminpw"}}},` +
		`"scope":{"project":{"name":"admin","domain":{"id":"default"}}}}}`
)

// startMix begins to ask so many times a second, until the test ends.
func startMix(t testing.TB, l *lab.Lab, perSecond int) *mix {
	t.Helper()
	m := &mix{l: l, client: &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true}}}
	poll(t, time.Minute, "a token", func() bool {
		code, token, _, err := m.send("POST", "/v3/auth/tokens", passwordIn)
		m.token = token
		return err == nil && code == http.StatusCreated
	})
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.sender.Go(func() { m.run(ctx, perSecond) })
	t.Cleanup(m.end)
	return m
}

func (m *mix) end() {
	m.stop()
	m.sender.Wait()
}

// run sends requests when they are due, and waits for their answers at the end.
func (m *mix) run(ctx context.Context, perSecond int) {
	var flights sync.WaitGroup
	defer flights.Wait()
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m.mu.Lock()
		m.flying++
		m.mu.Unlock()
		flights.Go(func() { m.ask(i) })
	}
}

// ask sends the i-th request: of twenty, one is for a token and two are about projects.
func (m *mix) ask(i int) {
	a := request{at: time.Now()}
	var err error
	switch i % 20 {
	case 7:
		a.code, _, _, err = m.send("POST", "/v3/auth/tokens", passwordIn)
	case 3, 13:
		a.code, err = m.project(i)
	default:
		a.code, _, _, err = m.send("GET", "/v3/projects?name=admin", "")
	}
	a.took = time.Since(a.at)
	if err != nil {
		a.code, a.why = 0, err.Error()
	} else if a.code >= 300 {
		a.why = fmt.Sprint(a.code, " ", http.StatusText(a.code))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flying--
	m.asked = append(m.asked, a)
	if a.why != "" {
		m.bad, m.why = time.Now(), a.why
	}
}

// project creates a project, or deletes the oldest once there are some.
func (m *mix) project(i int) (code int, err error) {
	m.mu.Lock()
	oldest := ""
	if len(m.projects) > 20 {
		oldest, m.projects = m.projects[0], m.projects[1:]
	}
	m.mu.Unlock()
	if oldest != "" {
		code, _, _, err = m.send("DELETE", "/v3/projects/"+oldest, "")
		return code, err
	}
	code, _, body, err := m.send("POST", "/v3/projects", fmt.Sprintf(`{"project":{"name":"p%d-%d","domain_id":"default"}}`, time.Now().UnixNano(), i))
	var made struct{ Project struct{ ID string } }
	if err == nil && json.Unmarshal(body, &made) == nil && made.Project.ID != "" {
		m.mu.Lock()
		m.projects = append(m.projects, made.Project.ID)
		m.mu.Unlock()
	}
	return code, err
}

func (m *mix) send(method, path, body string) (code int, token string, text []byte, err error) {
	req, err := http.NewRequest(method, keystoneURL+path, strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	req.GetBody = nil // no silent second try
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if m.token != "" {
		req.Header.Set("X-Auth-Token", m.token)
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("X-Subject-Token"), text, err
}

// settle waits until everything has been answered for some seconds, and little
// is under way.
func (m *mix) settle(t testing.TB) {
	t.Helper()
	const quiet = 3 * time.Second
	from := time.Now()
	settled := func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return time.Since(from) > quiet && time.Since(m.bad) > quiet && m.flying < 20
	}
	for end := from.Add(3 * time.Minute); !settled(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			m.mu.Lock()
			defer m.mu.Unlock()
			t.Fatalf("Keystone does not settle: %d requests under way, the last that failed %s ago: %s", m.flying, time.Since(m.bad), m.why)
		}
	}
}

// during counts what was asked while f ran and three seconds longer.
func (m *mix) during(t testing.TB, f func()) answers {
	t.Helper()
	m.settle(t)
	from := time.Now()
	f()
	took := time.Since(from)
	m.settle(t)
	to := from.Add(took + 3*time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	a := answers{took: took, why: map[string]int{}}
	for _, q := range m.asked {
		if !q.at.Before(from) && q.at.Before(to) {
			a.add(q)
		}
	}
	slices.SortFunc(a.times, cmp.Compare[time.Duration])
	m.asked = nil
	return a
}

// answers is what came of the requests of a while.
type answers struct {
	took                           time.Duration // how long it was worked on the service
	sent, failed, unanswered, slow int           // failed: answered with something else than 2xx
	times                          []time.Duration
	why                            map[string]int
}

func (a *answers) add(q request) {
	a.sent++
	switch {
	case q.code == 0:
		a.unanswered++
	case q.code >= 300:
		a.failed++
	}
	if q.why != "" {
		a.why[q.why]++
	}
	if q.code != 0 {
		a.times = append(a.times, q.took)
	}
	if q.took > slow {
		a.slow++
	}
}

// rank is the time that so many percent of the answers did not exceed.
func (a answers) rank(percent int) time.Duration {
	if len(a.times) == 0 {
		return 0
	}
	return a.times[(len(a.times)*percent+99)/100-1]
}

func (a answers) String() string {
	return fmt.Sprintf("%s: %d requests, %d failed, %d unanswered, %d slow, p50 %s, p99 %s %v", a.took.Round(time.Millisecond), a.sent,
		a.failed, a.unanswered, a.slow, a.rank(50).Round(time.Millisecond), a.rank(99).Round(time.Millisecond), a.why)
}
