package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// maxAnswer is the largest answer, in bytes, that is read.
const maxAnswer = 256 << 20

// request is one call, as the generated methods make it.
type request struct {
	method, path string
	queries      url.Values
	headers      http.Header
	body         any
	err          error
}

// in puts a value into the path.
func (r *request) in(name, value string) {
	if value == "" || value == "." || value == ".." { // it would make another path
		r.err = &Problem{Kind: KindInvalid, Detail: fmt.Sprintf("%s: can't be %q", name, value),
			Errors: []Blame{{Location: name, Message: fmt.Sprintf("can't be %q", value)}}}
		return
	}
	r.path = strings.Replace(r.path, "{"+name+"}", url.PathEscape(value), 1)
}

// query adds a parameter unless it is zero, which is what every one is taken for if it is left out.
func (r *request) query(name string, value any) {
	if reflect.ValueOf(value).IsZero() {
		return
	}
	if r.queries == nil {
		r.queries = url.Values{}
	}
	r.queries.Set(name, fmt.Sprint(value))
}

// header adds a header unless it is empty.
func (r *request) header(name, value string) { //nolint:unparam // today's operations have one, the template knows no number
	if value == "" {
		return
	}
	if r.headers == nil {
		r.headers = http.Header{}
	}
	r.headers.Set(name, value)
}

// do makes the call and reads the answer into out, if there is one: as it is
// into a string, as JSON into everything else.
func (c *Client) do(ctx context.Context, r request, out any) error {
	req, err := c.prepare(ctx, r)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return unreached(c.base, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return unreached(c.base, err)
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return problemOf(res, body)
	}
	if out == nil || res.StatusCode == http.StatusNoContent {
		return nil
	}
	if text, ok := out.(*string); ok {
		*text = string(body)
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s answered what is not understood: %w", c.base, err)
	}
	return nil
}

func (c *Client) prepare(ctx context.Context, r request) (*http.Request, error) {
	if r.err != nil {
		return nil, r.err
	}
	var body io.Reader
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	u := c.base + r.path
	if len(r.queries) > 0 {
		u += "?" + r.queries.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u, body)
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	maps.Copy(req.Header, r.headers)
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("User-Agent", "upkeep-client")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// unreached says which server could not be asked, without the words of the HTTP library around the cause.
func unreached(base string, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("ask %s: %w", base, err)
}

// problemOf makes an error of what is no success.
func problemOf(res *http.Response, body []byte) error {
	p := &Problem{}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(body, p) != nil || p.Kind == "" {
		// Something between us and the server spoke, or another server.
		return &Problem{Kind: "unavailable", Status: int64(res.StatusCode), Title: res.Status,
			Detail: fmt.Sprintf("%s answered %q, which is not from Upkeep", res.Request.URL.Redacted(), res.Status)}
	}
	return p
}

// transport is the HTTP client's: an own one, since a program's default one may have been changed by others.
func transport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 45 * time.Second, // a held request is answered within 30 s
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   8,
		ForceAttemptHTTP2:     true,
	}
}
