package evidence

import (
	"testing"
	"time"
)

var begin = time.Date(2026, 6, 25, 18, 0, 0, 0, time.UTC)

// sec is one second after begin.
func sec(at, answered, unanswered int) Second {
	return Second{At: begin.Add(time.Duration(at) * time.Second), Span: time.Second, Endpoint: "list", Answered: answered, Unanswered: unanswered, P50: 10 * time.Millisecond, P99: 20 * time.Millisecond}
}

func TestWords(t *testing.T) {
	for words, total := range map[string]Total{
		"0 of 1,925 requests unanswered":                            {Sent: 1925},
		"12 of 1,234,567 requests unanswered, 1,000 failed, 3 slow": {Sent: 1234567, Unanswered: 12, Failed: 1000, Slow: 3},
		"0 of 999 requests unanswered, 5 more prove nothing":        {Sent: 999, Skipped: 5},
	} {
		if got := total.Words(); got != words {
			t.Errorf("%q, want %q", got, words)
		}
	}
}

// What nobody asked is a gap: while the asker was away, and at the end.
func TestGapsAreNeverGood(t *testing.T) {
	w := Watch{}.Start("r", 15*time.Second, begin)
	w = w.Add([]Second{sec(1, 10, 0), sec(2, 10, 0)})
	if w.Gap != 0 || w.Total.Sent != 20 || !w.Newest.Equal(begin.Add(3*time.Second)) {
		t.Fatalf("%+v", w)
	}
	w = w.Add([]Second{sec(33, 10, 1)})
	if w.Gap != 30*time.Second {
		t.Errorf("away for %s", w.Gap)
	}
	off := w.Stop(begin.Add(40 * time.Second))
	if off.Gap != 30*time.Second || off.On {
		t.Errorf("what is known late is no gap: %+v", off)
	}
	// While it was not to be asked there is no gap.
	on := off.Start("r", 15*time.Second, begin.Add(time.Hour)).Add([]Second{sec(3601, 10, 0)})
	if on.Gap != 30*time.Second || !on.Began.Equal(begin) {
		t.Errorf("%+v", on)
	}
	if w = w.Stop(begin.Add(2 * time.Minute)); w.Gap != 30*time.Second+86*time.Second {
		t.Errorf("at the end %s", w.Gap)
	}
}

func TestLongRunsAreKeptInSums(t *testing.T) {
	w := Watch{}.Start("r", 0, begin)
	rows := map[time.Time]bool{}
	for s := 0; s < int(AskedFor/time.Second); s += 7 {
		rows[w.Row(sec(s, 1, 0)).At] = true
	}
	if len(rows) > 51_000 {
		t.Errorf("%d rows", len(rows))
	}
	if r := w.Row(sec(7201, 1, 0)); r.Span != 10*time.Second || !r.At.Equal(begin.Add(2*time.Hour)) {
		t.Errorf("%+v", r)
	}
	if r := w.Row(sec(7199, 1, 0)); r.Span != time.Second {
		t.Errorf("%+v", r)
	}
}

func TestReport(t *testing.T) {
	w := Watch{}.Start("r", 5*time.Second, begin)
	all := []Second{sec(0, 10, 0), sec(1, 10, 0), sec(2, 8, 2), sec(3, 9, 1), sec(4, 10, 0), sec(20, 10, 0)}
	other := sec(3, 5, 0)
	other.Endpoint, other.P50, other.P99, other.Failed, other.Why = "token", 30*time.Millisecond, time.Second, 4, "502 Bad Gateway"
	all = append(all[:4], append([]Second{other}, all[4:]...)...)
	w = w.Add(all)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	r := NewReport(w, []Outage{{Member: "ctl1", From: at(2), To: at(3)}, {Member: "ctl2", From: at(3).Add(time.Millisecond)}}, 600, at(30))
	for _, s := range all {
		r.Add(s)
	}
	r.End(at(30))
	if r.Sum.Sent() != 65 || r.Sum.Unanswered != 3 || r.Sum.Bad() != 7 || r.Sum.P99 != time.Second || r.Sum.Why != "502 Bad Gateway" {
		t.Errorf("sum %+v", r.Sum)
	}
	if r.Before.Sent() != 20 || r.Before.Bad() != 0 {
		t.Errorf("before %+v", r.Before)
	}
	if one, two := r.Shares[0].Sum, r.Shares[1].Sum; one.Sent() != 10 || one.Unanswered != 2 || two.Unanswered != 1 || two.Failed != 4 || two.Sent() != 35 {
		t.Errorf("shares %+v", r.Shares)
	}
	if len(r.Endpoints) != 2 || r.Endpoints[1].Endpoint != "token" || r.Endpoints[0].Sent() != 60 {
		t.Errorf("endpoints %+v", r.Endpoints)
	}
	if len(r.Series) != 6 || r.Series[3].Sent() != 15 || r.Series[3].P50 != (10*9+30*5)*time.Millisecond/14 {
		t.Errorf("series %+v", r.Series)
	}
	if len(r.Gaps) != 2 || r.Gaps[0] != (Gap{at(5), at(20)}) || r.Gaps[1] != (Gap{at(21), at(30)}) {
		t.Errorf("gaps %+v", r.Gaps)
	}
	few := NewReport(w, nil, 3, at(30))
	for _, s := range all {
		few.Add(s)
	}
	if len(few.Series) != 2 || few.Series[0].Span != 10*time.Second || few.Series[0].Sent() != 55 {
		t.Errorf("a short series %+v", few.Series)
	}
}
