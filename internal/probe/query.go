package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/action"
)

const maxQuery = 4 << 10 // bytes; it travels in the URL

// operators are the comparisons that a query may be held against.
var operators = map[string]func(is, want float64) bool{
	"<":  func(is, want float64) bool { return is < want },
	"<=": func(is, want float64) bool { return is <= want },
	">":  func(is, want float64) bool { return is > want },
	">=": func(is, want float64) bool { return is >= want },
	"==": func(is, want float64) bool { return is == want },
}

// query is a PromQL check: one instant query, whose one figure is compared. Its
// With: url (where the Prometheus is, before /api/v1), query, op (one of
// operators), value, and if need be timeout, ca and header.X as in a check. With
// baseline, a second query, what is compared is how many times that one's
// figure it is: a value before, or a control at the same time.
func (h Hand) query(ctx context.Context, with map[string]string) (string, error) {
	if err := only(with, "url", "query", "op", "value", "baseline", "timeout", "ca"); err != nil {
		return "", err
	}
	compare := operators[with["op"]]
	want, err := strconv.ParseFloat(with["value"], 64)
	switch text := with["query"]; {
	case strings.TrimSpace(text) == "" || len(text) > maxQuery:
		return "", wrong("query", "must have from 1 to %d bytes", maxQuery)
	case len(with["baseline"]) > maxQuery:
		return "", wrong("baseline", "must have at most %d bytes", maxQuery)
	case compare == nil:
		return "", wrong("op", "want <, <=, >, >= or ==, not %q", with["op"])
	case err != nil || math.IsNaN(want) || math.IsInf(want, 0):
		return "", wrong("value", "%q is no number", with["value"])
	}
	timeout, err := duration(with, "timeout", defaultTimeout, time.Millisecond, maxTimeout)
	if err != nil {
		return "", err
	}
	t, err := targetOf(with)
	if err != nil {
		return "", err
	}
	t.url = t.url.JoinPath("api", "v1", "query")
	is, err := h.figureOf(ctx, t, with["query"], timeout)
	if err != nil {
		return "", err
	}
	said := fmt.Sprintf("%s is %s, want %s %s", with["query"], number(is), with["op"], number(want))
	if with["baseline"] != "" {
		base, err := h.figureOf(ctx, t, with["baseline"], timeout)
		switch {
		case err != nil:
			return "", err
		case base == 0:
			return "", fmt.Errorf(action.Inconclusive+"the baseline %s is 0: nothing can be a multiple of it", with["baseline"])
		}
		said = fmt.Sprintf("%s is %s, %s times the %s of %s, want %s %s", with["query"], number(is), number(is/base), number(base), with["baseline"], with["op"], number(want))
		is /= base
	}
	if !compare(is, want) {
		return said, errors.New(said)
	}
	return said, nil
}

// figureOf is the figure of one query; without one the error is inconclusive.
func (h Hand) figureOf(ctx context.Context, t target, query string, timeout time.Duration) (float64, error) {
	u := *t.url
	t.url = &u
	form := u.Query()
	form.Set("query", query)
	form.Set("timeout", strconv.FormatFloat(timeout.Seconds(), 'f', -1, 64)+"s")
	t.url.RawQuery = form.Encode()
	is, err := h.figure(ctx, t, timeout)
	if err != nil {
		return 0, fmt.Errorf(action.Inconclusive+"%s: %w", query, err)
	}
	return is, nil
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// reply is what a Prometheus answers.
type reply struct {
	Status    string `json:"status"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
	Warnings []string `json:"warnings"`
}

// sample is a series' value, or a native histogram, which is no figure.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  value             `json:"value"`
}

// value is a time and a figure; the figure is nil if there is none.
type value struct{ figure *float64 }

// UnmarshalJSON reads [seconds, "figure"].
func (v *value) UnmarshalJSON(text []byte) error {
	var pair []json.RawMessage
	var words string
	if err := json.Unmarshal(text, &pair); err != nil || len(pair) != 2 {
		return fmt.Errorf("a value that is no pair: %s", cut(string(text)))
	}
	if err := json.Unmarshal(pair[1], &words); err != nil {
		return fmt.Errorf("a value that is no text: %s", cut(string(pair[1])))
	}
	f, err := strconv.ParseFloat(words, 64)
	if err != nil {
		return fmt.Errorf("a value %q that is no figure", cut(words))
	}
	v.figure = &f
	return nil
}

// figure asks for the one figure. The error says why there is none.
func (h Hand) figure(ctx context.Context, t target, timeout time.Duration) (float64, error) {
	a, err := t.ask(ctx, h.client(ctx, t, timeout), timeout)
	if err != nil {
		return 0, fmt.Errorf("the Prometheus does not answer: %w", err)
	}
	var r reply
	err = json.Unmarshal(a.body, &r)
	switch {
	case a.more:
		return 0, fmt.Errorf("an answer of more than %d bytes", maxBody)
	case err != nil:
		return 0, fmt.Errorf("%s, and no answer of a Prometheus: %w", a.status, err)
	case r.Status == "error":
		return 0, fmt.Errorf("the Prometheus says %s: %s", r.ErrorType, cut(r.Error))
	case r.Status != "success" || a.code != http.StatusOK:
		return 0, fmt.Errorf("%s with the status %q", a.status, cut(r.Status))
	case len(r.Warnings) > 0:
		return 0, fmt.Errorf("the Prometheus is not sure: %s", cut(strings.Join(r.Warnings, "; ")))
	}
	return r.figure()
}

// figure is the one figure of a reply.
func (r reply) figure() (float64, error) {
	var v value
	switch r.Data.ResultType {
	case "scalar":
		if err := json.Unmarshal(r.Data.Result, &v); err != nil {
			return 0, err
		}
	case "vector":
		var samples []sample
		if err := json.Unmarshal(r.Data.Result, &samples); err != nil {
			return 0, err
		}
		switch len(samples) {
		case 0:
			return 0, errors.New("no data")
		case 1:
			v = samples[0].Value
		default:
			return 0, fmt.Errorf("%d series where one is wanted", len(samples))
		}
	default:
		return 0, fmt.Errorf("a %s where one figure is wanted", r.Data.ResultType)
	}
	switch {
	case v.figure == nil:
		return 0, errors.New("a histogram where one figure is wanted")
	case math.IsNaN(*v.figure) || math.IsInf(*v.figure, 0):
		return 0, fmt.Errorf("%s, as when nothing is divided by nothing", number(*v.figure))
	}
	return *v.figure, nil
}
