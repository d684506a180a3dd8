package probe

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
)

// A stand-in Prometheus: it looks at what it is asked, and answers as it is told.
type standInPrometheus struct {
	t    *testing.T
	code int
	text string
}

const errorRatio = `sum(rate(api_errors[5m])) / sum(rate(api_requests[5m]))`

func (p standInPrometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	form := r.URL.Query()
	if r.Method != http.MethodGet || r.URL.Path != "/prom/api/v1/query" || form.Get("query") != errorRatio || form.Get("timeout") != "5s" ||
		len(form) != 2 || r.Header.Get("Authorization") != "Bearer secret" {
		p.t.Errorf("asked %s %s %v", r.Method, r.URL, r.Header)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.code)
	fmt.Fprint(w, p.text)
}

func vector(samples ...string) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(samples, ",") + `]}}`
}

func series(name, value string) string {
	return `{"metric":{"instance":"` + name + `"},"value":[1718000000.123,"` + value + `"]}`
}

func TestQuery(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		text string
		op   string
		want action.Outcome
		why  string
	}{
		"less":         {200, vector(series("a", "0.002")), "<", action.Done, ""},
		"not less":     {200, vector(series("a", "0.023")), "<", action.Failed, errorRatio + " is 0.023, want < 0.01"},
		"same":         {200, vector(series("a", "0.01")), "<", action.Failed, "is 0.01, want < 0.01"},
		"at most":      {200, vector(series("a", "0.01")), "<=", action.Done, ""},
		"not at most":  {200, vector(series("a", "1e-1")), "<=", action.Failed, "is 0.1, want <= 0.01"},
		"more":         {200, vector(series("a", "0.02")), ">", action.Done, ""},
		"not more":     {200, vector(series("a", "0.01")), ">", action.Failed, "want >"},
		"at least":     {200, vector(series("a", "0.01")), ">=", action.Done, ""},
		"not at least": {200, vector(series("a", "-5")), ">=", action.Failed, "is -5, want >= 0.01"},
		"equal":        {200, vector(series("a", "0.0100")), "==", action.Done, ""},
		"not equal":    {200, vector(series("a", "0")), "==", action.Failed, "is 0, want == 0.01"},
		"scalar":       {200, `{"status":"success","data":{"resultType":"scalar","result":[1718000000,"0"]}}`, "<", action.Done, ""},
		"infos":        {200, `{"status":"success","infos":["might not be a counter"],"data":{"resultType":"scalar","result":[1,"0"]}}`, "<", action.Done, ""},

		"no data":        {200, vector(), "<", action.Failed, "inconclusive: " + errorRatio + ": no data"},
		"no result":      {200, `{"status":"success","data":{"resultType":"vector"}}`, "<", action.Failed, "inconclusive: "},
		"several":        {200, vector(series("a", "0"), series("b", "0")), "<", action.Failed, "2 series where one is wanted"},
		"NaN":            {200, vector(series("a", "NaN")), "<", action.Failed, "NaN, as when nothing is divided by nothing"},
		"infinite":       {200, vector(series("a", "+Inf")), ">", action.Failed, "inconclusive: "},
		"below all":      {200, vector(series("a", "-Inf")), "<", action.Failed, "inconclusive: "},
		"too large":      {200, vector(series("a", "1e999")), ">", action.Failed, "inconclusive: "},
		"a word":         {200, vector(series("a", "few")), "<", action.Failed, `a value "few" that is no figure`},
		"a number":       {200, vector(`{"metric":{},"value":[1,0]}`), "<", action.Failed, "a value that is no text"},
		"no pair":        {200, vector(`{"metric":{},"value":["0"]}`), "<", action.Failed, "a value that is no pair"},
		"null":           {200, vector(`{"metric":{},"value":null}`), "<", action.Failed, "inconclusive: "},
		"null figure":    {200, vector(`{"metric":{},"value":[1,null]}`), "<", action.Failed, "inconclusive: "},
		"histogram":      {200, vector(`{"metric":{},"histogram":[1,{"count":"0","sum":"0"}]}`), "<", action.Failed, "a histogram where one figure is wanted"},
		"a range":        {200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`, "<", action.Failed, "a matrix where one figure"},
		"text":           {200, `{"status":"success","data":{"resultType":"string","result":[1,"0"]}}`, "<", action.Failed, "a string where"},
		"in part":        {200, `{"status":"success","warnings":["store 2 did not answer"],"data":{"resultType":"scalar","result":[1,"0"]}}`, "<", action.Failed, "not sure: store 2"},
		"misunderstood":  {400, `{"status":"error","errorType":"bad_data","error":"1:5: parse error"}`, "<", action.Failed, "says bad_data: 1:5: parse error"},
		"error and 200":  {200, `{"status":"error","errorType":"timeout","error":"slow"}`, "<", action.Failed, "says timeout: slow"},
		"figure and 503": {503, vector(series("a", "0")), "<", action.Failed, "inconclusive: "},
		"another server": {200, "<html>login</html>", "<", action.Failed, "200 OK, and no answer of a Prometheus"},
		"empty":          {200, "", "<", action.Failed, "inconclusive: "},
		"nothing":        {200, "{}", "<", action.Failed, "inconclusive: "},
		"too much":       {200, vector(series(strings.Repeat("a", maxBody), "0")), "<", action.Failed, "more than 1048576 bytes"},
		"moved":          {302, vector(series("a", "0")), "<", action.Failed, "inconclusive: "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(t, standInPrometheus{t, c.code, c.text}.ServeHTTP)
				r := Hand{Dial: s.dial}.Do(t.Context(), question(c.op))
				is(t, r, c.want, c.why)
				if c.want == action.Done && r.Output == "" {
					t.Error("nothing is said of the figure")
				}
			})
		})
	}
}

func question(op string) action.Order {
	return order(action.Query, "url", "http://prometheus:9090/prom/", "query", errorRatio, "op", op, "value", "0.01", "header.Authorization", "Bearer secret")
}

// A baseline is another query, and what is compared is how many times its
// figure the first one is.
func TestBaseline(t *testing.T) {
	for name, c := range map[string]struct {
		base string
		want action.Outcome
		why  string
	}{
		"as before":     {vector(series("a", "2")), action.Done, ""},
		"slower":        {vector(series("a", "1.5")), action.Failed, "p95 is 2.1, 1.4000000000000001 times the 1.5 of p95 offset 1w, want <= 1.2"},
		"none before":   {vector(), action.Failed, "inconclusive: p95 offset 1w: no data"},
		"nothing then":  {vector(series("a", "0")), action.Failed, "inconclusive: the baseline p95 offset 1w is 0"},
		"several there": {vector(series("a", "1"), series("b", "1")), action.Failed, "inconclusive: p95 offset 1w: 2 series"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				figures := map[string]string{"p95": vector(series("a", "2.1")), "p95 offset 1w": c.base}
				s := newService(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, figures[r.URL.Query().Get("query")]) })
				o := order(action.Query, "url", "http://prometheus:9090", "query", "p95", "baseline", "p95 offset 1w", "op", "<=", "value", "1.2")
				is(t, Hand{Dial: s.dial}.Do(t.Context(), o), c.want, c.why)
			})
		})
	}
}

func TestPrometheusAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is(t, Hand{Dial: blackHole}.Do(t.Context(), question("<")), action.Failed, "inconclusive: "+errorRatio+": the Prometheus does not answer: no answer within 5s")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		is(t, Hand{Dial: blackHole}.Do(ctx, question("<")), action.Interrupted, "inconclusive: ")
	})
}

func TestQuestionsAreRefused(t *testing.T) {
	for why, with := range map[string][]string{
		"with.query":           {"query", " "},
		"with.op":              {"op", "~"},
		`with.value: "few"`:    {"value", "few"},
		`with.value: "NaN"`:    {"value", "NaN"},
		"with.timeout":         {"timeout", "1d"},
		"with.url":             {"url", "prometheus:9090"},
		"with.status: unknown": {"status", "200"},
	} {
		o := question("<")
		o.With[with[0]] = with[1]
		is(t, Hand{Dial: blackHole}.Do(t.Context(), o), action.Refused, why)
	}
}

func blackHole(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
