// Package client speaks to an Upkeep server. Its methods and types are generated
// from the server's OpenAPI document, api/openapi.yaml, whose texts say what
// everything means.
//
// An error of the server is a [*Problem]: what kind it is, what is wrong, and
// which fields are to blame.
//
//	c, err := client.Dial("https://upkeep.example.net", token, "")
//	run, err := c.StartRun(ctx, client.RunInput{Server: "web-1", When: client.RunInputWhenNow, Duration: "1h"}, nil)
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Client speaks to one server with one token. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// Dial makes a client for the server at base, such as https://upkeep.example.net.
// If caFile is not empty, its PEM certificates are trusted in place of the
// system's. Nothing is sent yet.
func Dial(base, token, caFile string) (*Client, error) {
	t := transport()
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read whom to trust: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read whom to trust: %s holds no certificate", caFile)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return New(base, token, &http.Client{Transport: t, Timeout: 2 * time.Minute})
}

// New makes a client that uses h, which must let an answer take 45 seconds if
// history is to be waited for. Nothing is sent yet.
func New(base, token string, h *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no server's address: such as https://upkeep.example.net is needed", base)
	}
	if token != strings.TrimSpace(token) || strings.ContainsAny(token, "\r\n") {
		return nil, errors.New("the token has spaces or line ends around it")
	}
	// A token is for the server that it was given to: a redirect would carry it elsewhere.
	own := *h
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: strings.TrimRight(u.String(), "/"), token: token, http: &own}, nil
}

// ComplianceCSV is what GetCompliance answers, as CSV: a line for each server
// under a line of names. A text that a spreadsheet would take for a formula has
// an apostrophe before it.
//
// params may be nil.
func (c *Client) ComplianceCSV(ctx context.Context, params *GetComplianceParams) (string, error) {
	r := request{method: http.MethodGet, path: "/v1/compliance"}
	r.query("format", "csv")
	if params != nil {
		r.query("project", params.Project)
	}
	var out string
	err := c.do(ctx, r, &out)
	return out, err
}

// Error is the problem in a sentence, with the fields to blame.
func (p *Problem) Error() string {
	if p.ID != "" {
		return fmt.Sprintf("%s (%s, %d, id %s)", p.Detail, p.Kind, p.Status, p.ID)
	}
	return p.Detail
}

// Field is the part of the request to blame; empty if none is named. Errors has all of them.
func (p *Problem) Field() string {
	if len(p.Errors) == 0 {
		return ""
	}
	return p.Errors[0].Location
}

// Kinds of problems: what can be done about them.
const (
	KindInvalid     = "invalid"     // the same request fails again
	KindNotFound    = "not_found"   // there is no such thing, or the token may not know of it
	KindConflict    = "conflict"    // the present state forbids it; look again
	KindDenied      = "denied"      // the token is unknown, or may not do this
	KindUnavailable = "unavailable" // try again later
	KindLimited     = "limited"     // too many requests; slow down
	KindInternal    = "internal"    // a mistake of the server
)

// Is reports whether err is a problem of a kind.
func Is(err error, kind string) bool {
	var p *Problem
	return errors.As(err, &p) && p.Kind == kind
}
