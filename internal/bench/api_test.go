package bench

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What BenchmarkAPI asks of a server.
const (
	apiServers  = 1000
	apiClients  = 50
	apiRequests = 5000
)

// request is one of the API's calls; kind is what it is counted as.
type request struct {
	kind, method, path string
	body               any
}

// someDay is a day of the week on which the schedules' windows are not open now.
var someDay = time.Now().AddDate(0, 0, 3).Weekday().String()

// requestNo is one of a mix: of ten, four read a server, two list fifty, three
// replace a schedule and one starts a run.
func requestNo(i int) request {
	name := fmt.Sprintf("web-%06d", i*7%apiServers)
	switch i % 10 {
	case 0, 2, 4, 6:
		return request{"get", http.MethodGet, "/v1/servers/" + name + "?project=shop", nil}
	case 1, 5:
		return request{"list", http.MethodGet, "/v1/servers?project=shop&limit=50", nil}
	case 3, 7, 8:
		return request{"put", http.MethodPut, "/v1/servers/" + name + "/schedules/weekly?project=shop", map[string]any{
			"weekly":   map[string]any{"dayOfTheWeek": someDay, "time": fmt.Sprintf("%02d:%02d", i%24, i%60), "zone": "Europe/Berlin"},
			"duration": "4h",
		}}
	}
	return request{"run", http.MethodPost, "/v1/runs", map[string]any{
		"server": fmt.Sprintf("web-%06d", i/10%apiServers), "project": "shop", "when": "now", "duration": "1h",
	}}
}

// BenchmarkAPI is a server that fifty clients call at once, each with a token of
// its own, for tokens are limited, and over a connection of its own, with TLS.
// They share the machine with it.
func BenchmarkAPI(b *testing.B) {
	program := build(b)
	for b.Loop() {
		dir := b.TempDir()
		enrolled(b, dir, apiServers)
		server, plane := serve(b, program, dir)
		spent := processorTime(b, server.cmd.Process.Pid)
		took, elapsed := callAll(b, plane)
		spent = processorTime(b, server.cmd.Process.Pid) - spent
		server.stop(b)
		b.ReportMetric(float64(spent.Microseconds())/apiRequests, "server-cpu-µs/request")
		var all []time.Duration
		for _, kind := range []string{"get", "list", "put", "run"} {
			slices.Sort(took[kind])
			b.ReportMetric(millis(took[kind], 50), kind+"-p50-ms")
			b.ReportMetric(millis(took[kind], 99), kind+"-p99-ms")
			all = append(all, took[kind]...)
		}
		slices.Sort(all)
		b.ReportMetric(millis(all, 50), "p50-ms")
		b.ReportMetric(millis(all, 99), "p99-ms")
		b.ReportMetric(float64(len(all))/elapsed.Seconds(), "requests/s")
	}
}

// millis is a percentile of sorted durations, in milliseconds.
func millis(sorted []time.Duration, percent int) float64 {
	return float64(sorted[len(sorted)*percent/100].Microseconds()) / 1000
}

// callAll makes all requests and says how long each has taken, by kind.
func callAll(b *testing.B, p plane) (took map[string][]time.Duration, elapsed time.Duration) {
	b.Helper()
	clients, own := make([]*http.Client, apiClients), make([]plane, apiClients)
	for i := range clients { // their handshakes are not counted
		clients[i], own[i] = p.client(), p
		var token struct{ Secret string }
		in := map[string]any{"name": fmt.Sprint("client-", i), "role": "operator"}
		if err := p.call(b.Context(), clients[i], http.MethodPost, "/v1/tokens", in, &token); err != nil {
			b.Fatal(err)
		}
		own[i].token = token.Secret
	}
	var mu sync.Mutex
	took = map[string][]time.Duration{}
	var next atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for worker, c := range clients {
		all.Go(func() {
			defer c.CloseIdleConnections()
			for i := int(next.Add(1)) - 1; i < apiRequests; i = int(next.Add(1)) - 1 {
				r := requestNo(i)
				sent := time.Now()
				err := own[worker].call(context.WithoutCancel(b.Context()), c, r.method, r.path, r.body, nil)
				d := time.Since(sent)
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				took[r.kind] = append(took[r.kind], d)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return took, time.Since(began)
}
