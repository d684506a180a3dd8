// Package probe is the hand that asks: whether a URL answers as it should,
// whether a figure of a Prometheus is as it should be, and, all the while a
// service is worked on, how it answers its own requests.
//
// It changes nothing and keeps nothing, so an order may be carried out twice.
// What could not be asked is never taken for a good answer.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/reach"
)

const (
	defaultTimeout = 5 * time.Second // of one request
	maxTimeout     = time.Minute
	maxWait        = time.Hour
	maxBody        = 1 << 20 // bytes of an answer that are read
	maxQuote       = 200     // bytes of an answer, or of an error, in a reason
	maxLines       = 20      // answers in a result's output
)

// Hand carries out orders of the kinds action.HTTP and action.Query. Its zero
// value is ready.
type Hand struct {
	// Dial opens connections; nil dials as the URL says, by the zero rule of reach.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// termError is an order that can't be meant so: it is refused.
type termError struct{ name, reason string }

func (e *termError) Error() string { return "with." + e.name + ": " + e.reason }

func wrong(name, format string, args ...any) error {
	return &termError{name, fmt.Sprintf(format, args...)}
}

// Do carries one order out. It ends with ctx at the latest.
func (h Hand) Do(ctx context.Context, o action.Order) action.Result {
	r := action.Result{Outcome: action.Done, Started: time.Now(), DryRun: o.DryRun}
	var err error
	switch o.Kind {
	case action.HTTP:
		r.Output, err = h.check(ctx, o.With)
	case action.Query:
		r.Output, err = h.query(ctx, o.With)
	default:
		err = wrong("kind", "a probe can't be told to %q", o.Kind)
	}
	r.Finished = time.Now()
	if err == nil {
		return r
	}
	var term *termError
	var denied *reach.DeniedError
	switch {
	case errors.As(err, &term), errors.As(err, &denied):
		r.Outcome, r.Started = action.Refused, time.Time{}
	case errors.Is(ctx.Err(), context.Canceled):
		r.Outcome = action.Interrupted // nobody waits for us any more
	default:
		r.Outcome = action.Failed
	}
	r.Reason = err.Error()
	r.Failures = []action.Failure{{Reason: r.Reason}}
	return r
}

// headerPrefix is before a header's name in With: "header.X-Auth-Token".
const headerPrefix = "header."

// only says which name of With nobody knows; nil if all are known.
func only(with map[string]string, known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(with)) {
		if !slices.Contains(known, name) && !strings.HasPrefix(name, headerPrefix) {
			return wrong(name, "unknown; known are %s, and header.NAME", strings.Join(known, ", "))
		}
	}
	return nil
}

// duration reads a span from With.
func duration(with map[string]string, name string, otherwise, least, most time.Duration) (time.Duration, error) {
	text, ok := with[name]
	if !ok {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		return 0, wrong(name, "%q is no duration from %s to %s", text, least, most)
	}
	return d, nil
}

// target is a URL that may be asked.
type target struct {
	url    *url.URL
	header http.Header
	pool   *x509.CertPool // nil: the system's
}

// newTarget reads what is to be asked. Header values are never part of a reason.
func newTarget(text string, header map[string]string, ca string) (target, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return target{}, wrong("url", "want http://… or https://…")
	case u.User != nil:
		return target{}, wrong("url", "has a user in it; say so in header.Authorization")
	}
	t := target{url: u, header: http.Header{}}
	for name, value := range header {
		if !isToken(name) || strings.ContainsAny(value, "\r\n\x00") {
			return target{}, wrong(headerPrefix+name, "can't be sent as a header")
		}
		t.header.Set(name, value)
	}
	if ca != "" {
		t.pool = x509.NewCertPool()
		if !t.pool.AppendCertsFromPEM([]byte(ca)) {
			return target{}, wrong("ca", "has no certificate in PEM")
		}
	}
	return t, nil
}

// isToken reports whether a header may have this name.
func isToken(name string) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) {
			return false
		}
	}
	return name != ""
}

// targetOf reads what an order asks.
func targetOf(with map[string]string) (target, error) {
	header := map[string]string{}
	for name, value := range with {
		if name, ok := strings.CutPrefix(name, headerPrefix); ok {
			header[name] = value
		}
	}
	return newTarget(with["url"], header, with["ca"])
}

// client asks a target: a new connection for each request, as strangers come,
// so that none is silently tried again; no proxy, and no way elsewhere. It is of
// no use any more when ctx has ended.
func (h Hand) client(ctx context.Context, t target, timeout time.Duration) *http.Client {
	dial := h.Dial
	if dial == nil {
		dial = reach.Rule{}.Dial
	}
	return &http.Client{
		Transport: &http.Transport{
			// Without its own limits, what a request dials outlives the request.
			DialContext: func(dialed context.Context, network, address string) (net.Conn, error) {
				dialed, cancel := context.WithTimeout(dialed, timeout)
				defer cancel()
				defer context.AfterFunc(ctx, cancel)()
				return dial(dialed, network, address)
			},
			TLSHandshakeTimeout:    timeout,
			DisableKeepAlives:      true,
			DisableCompression:     true, // what is read is what was sent, and no more
			MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig:        &tls.Config{RootCAs: t.pool, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what came of one request.
type answer struct {
	code   int
	status string // such as "503 Service Unavailable"
	where  string // where a redirection leads
	body   []byte // maxBody at most
	more   bool   // there was more
	took   time.Duration
}

// ask sends one request. The error is that no whole answer came.
func (t target) ask(ctx context.Context, c *http.Client, timeout time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url.String(), nil)
	if err != nil {
		return answer{}, err
	}
	req.Header = t.header.Clone()
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host // to ask one member as if through the service's own name
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{took: time.Since(began)}, silence(ctx, err, timeout)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	a := answer{code: resp.StatusCode, status: resp.Status, where: resp.Header.Get("Location"), body: body, took: time.Since(began)}
	if err != nil {
		return a, fmt.Errorf("%s was broken off: %w", resp.Status, silence(ctx, err, timeout))
	}
	if len(body) > maxBody {
		a.body, a.more = body[:maxBody], true
	}
	return a, nil
}

// silence says why no answer came, without the URL, which may hold secrets.
func silence(ctx context.Context, err error, timeout time.Duration) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", timeout)
	}
	if asked, ok := errors.AsType[*url.Error](err); ok {
		err = asked.Err
	}
	return err
}

// where is a target for reasons: its query may hold secrets.
func (t target) where() string {
	u := *t.url
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	u.Fragment = ""
	return u.String()
}

func cut(text string) string {
	if len(text) <= maxQuote {
		return text
	}
	return strings.ToValidUTF8(text[:maxQuote], "") + "…"
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// sleep waits, and reports whether ctx is still there.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
