package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/fault"
)

// spec asks one endpoint.
func spec(rate int) Spec {
	return Spec{Endpoints: []Endpoint{{Name: "api", URL: "http://api/"}}, Rate: rate, Slow: time.Second, Timeout: 5 * time.Second}
}

// runs a probe for a while and returns what it reports.
func runs(t *testing.T, p Probe, s Spec, while time.Duration) (seconds []Second, sum Total) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), while)
	defer cancel()
	if err := p.Run(ctx, s, func(s Second) {
		seconds = append(seconds, s)
		sum.Add(s)
	}); err != nil {
		t.Fatal(err)
	}
	return seconds, sum
}

// just is short of a whole second, such that the next one's first request is
// not sent any more.
const just = -time.Millisecond

func TestLoadOfAHealthyService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, says(200, "well"))
		seconds, sum := runs(t, Probe{Dial: s.dial}, spec(50), 3*time.Second+just)
		if sum.String() != "0 of 150 requests unanswered, 0 failed, 0 slow" || s.dialed != 150 {
			t.Fatalf("%s; %d connections", sum, s.dialed)
		}
		begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		for i, got := range seconds {
			want := Second{At: got.At, Span: time.Second, Endpoint: "api", Answered: 50, P50: 12 * time.Millisecond, P99: 12 * time.Millisecond}
			if got != want || !got.At.Equal(begin.Add(time.Duration(i)*time.Second)) {
				t.Errorf("second %d: %+v", i, got)
			}
		}
		if len(seconds) != 3 {
			t.Errorf("%d seconds", len(seconds))
		}
	})
}

// What happens in a second is told of that second, however late it is known.
func TestLoadOfAServiceThatGoesAndComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ill atomic.Bool
		s := newService(t, func(w http.ResponseWriter, _ *http.Request) {
			if ill.Load() {
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		sp := spec(10)
		sp.Endpoints = append(sp.Endpoints, Endpoint{Name: "projects", URL: "http://api/projects"})
		time.AfterFunc(time.Second+just, s.stop)
		time.AfterFunc(2*time.Second+just, func() { ill.Store(true); s.start() })
		time.AfterFunc(3*time.Second+just, func() { ill.Store(false) })
		seconds, sum := runs(t, Probe{Dial: s.dial}, sp, 4*time.Second+just)
		if sum.String() != "10 of 40 requests unanswered, 10 failed, 0 slow" || len(seconds) != 8 {
			t.Fatalf("%s; %+v", sum, seconds)
		}
		for i, got := range seconds {
			want := Second{At: got.At, Span: time.Second, Endpoint: []string{"api", "projects"}[i%2], Answered: 5}
			switch i / 2 {
			case 1:
				want.Answered, want.Unanswered, want.Why = 0, 5, "dial tcp: connection refused"
			case 2:
				want.Failed, want.Why = 5, "502 Bad Gateway"
			}
			if got != want || got.At.Unix() != seconds[0].At.Unix()+int64(i/2) {
				t.Errorf("%d: %+v, want %+v", i, got, want)
			}
		}
	})
}

// A service that is slow, or does not answer at all, holds nothing up: requests
// go on being sent, up to a bound, and what is not sent is told.
func TestLoadOfASlowService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(2 * time.Second):
			case <-r.Context().Done():
			}
		})
		seconds, sum := runs(t, Probe{Dial: s.dial}, spec(20), 3*time.Second+just)
		if sum.String() != "0 of 60 requests unanswered, 0 failed, 60 slow" || seconds[2].P50 != 2*time.Second {
			t.Fatalf("%s; %+v", sum, seconds)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var flying, most atomic.Int64
		hole := func(ctx context.Context, network, address string) (net.Conn, error) {
			most.Store(max(most.Load(), flying.Add(1)))
			defer flying.Add(-1)
			return blackHole(ctx, network, address)
		}
		began := time.Now()
		_, sum := runs(t, Probe{Dial: hole}, spec(MaxRate), 4*time.Second+just)
		if sum.String() != fmt.Sprintf("%d of %[1]d requests unanswered, 0 failed, 0 slow; %d more prove nothing", MaxFlight, 4*MaxRate-MaxFlight) || most.Load() != MaxFlight {
			t.Fatalf("%s; %d at once", sum, most.Load())
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it ended after %s", took)
		}
	})
}

// Who takes long to write a second down does not change what is measured.
func TestLoadWithASlowReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, says(200, ""))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second+just)
		defer cancel()
		n := 0
		err := Probe{Dial: s.dial}.Run(ctx, spec(10), func(s Second) {
			time.Sleep(3 * time.Second)
			if n++; s.Answered != 10 || s.P99 != 12*time.Millisecond {
				t.Errorf("%+v", s)
			}
		})
		if err != nil || n != 5 {
			t.Errorf("%d seconds, %v", n, err)
		}
	})
}

// A machine that was away does not make up for it with a flood.
func TestLoadAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := Probe{Dial: blackHole}.newBook(spec(10))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		b.send(ctx, time.Now().Add(-10*time.Second))
		var sum Total
		for _, s := range b.over(time.Now(), true) {
			sum.Add(s)
		}
		if sum.Skipped != 90 || sum.Sent != 11 {
			t.Errorf("%+v", sum)
		}
	})
}

// What was under way while the asker itself stood still says nothing of the
// service; the same silence does when the asker was there all the while.
func TestLoadOfWhoStoodStill(t *testing.T) {
	for stands, want := range map[bool]string{
		true:  "0 of 0 requests unanswered, 0 failed, 0 slow; 1 more prove nothing",
		false: "1 of 1 requests unanswered, 0 failed, 0 slow",
	} {
		synctest.Test(t, func(t *testing.T) {
			b, err := Probe{Dial: blackHole}.newBook(spec(1))
			if err != nil {
				t.Fatal(err)
			}
			b.awake(time.Now())
			s := b.enter(0, false)
			end := make(chan struct{})
			go func() { b.fly(s, 0); close(end) }()
			if !stands {
				b.beat(end)
			}
			<-end
			var sum Total
			for _, s := range b.over(time.Now(), true) {
				sum.Add(s)
			}
			if sum.String() != want {
				t.Errorf("it stood still %t: %s, want %s", stands, sum, want)
			}
		})
	}
}

func TestSpecsAreRefused(t *testing.T) {
	for field, spoil := range map[string]func(*Spec){
		"probe.endpoints":     func(s *Spec) { s.Endpoints = nil },
		"probe.rate":          func(s *Spec) { s.Rate = MaxRate + 1 },
		"probe.endpoints.api": func(s *Spec) { s.Endpoints[0].CA = "-----BEGIN CERTIFICATE-----" },
	} {
		s := spec(1)
		spoil(&s)
		var f *fault.Error
		if err := (Probe{Dial: blackHole}).Run(t.Context(), s, nil); !errors.As(err, &f) || f.Kind != fault.KindInvalid || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestRank(t *testing.T) {
	var sorted []time.Duration
	for i := range 200 {
		sorted = append(sorted, time.Duration(i+1))
	}
	if rank(nil, 99) != 0 || rank(sorted[:1], 50) != 1 || rank(sorted[:3], 50) != 2 || rank(sorted, 50) != 100 || rank(sorted, 99) != 198 || rank(sorted[:50], 99) != 50 {
		t.Error(rank(sorted[:3], 50), rank(sorted, 50), rank(sorted, 99))
	}
}
