package limit

import (
	"fmt"
	"testing"
	"time"
)

func TestLimiterForgets(t *testing.T) {
	l, now := New(1, 2), time.Now()
	for range 2 {
		if !l.Take("a", now) {
			t.Fatal("the burst is not granted")
		}
	}
	if l.Take("a", now) || l.Has("a", now) || l.RetryAfter("a", now) != 1 {
		t.Error("more than the burst is granted")
	}
	if !l.Take("a", now.Add(time.Second)) {
		t.Error("a second later nothing is granted")
	}
	for i := range 5 * maxBuckets {
		l.Take(fmt.Sprint(i), now)
		if i%100 == 0 && l.Take("a", now) {
			t.Fatal("who calls all the time is forgotten")
		}
	}
	if n := len(l.now) + len(l.old); n > 2*maxBuckets {
		t.Errorf("%d buckets are kept", n)
	}
}

func TestAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:4711":              "address/192.0.2.7",
		"[::ffff:192.0.2.7]:4711":     "address/192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:4711": "address/2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:4711": "address/2001:db8:1:2::/64",
		"[fe80::1%eth0]:4711":         "address/fe80::/64",
		"@":                           "address/?",
	} {
		if got := Address(remote); got != want {
			t.Errorf("%s: %s, not %s", remote, got, want)
		}
	}
}
