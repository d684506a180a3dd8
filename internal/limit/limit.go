// Package limit counts what callers do, so that a loop gone wrong, or somebody
// who guesses, does not cost the others their answers. The doors share it: a
// caller has one bucket, whichever door it comes to. What it remembers is in
// memory only; a crash may forget it.
package limit

import (
	"crypto/sha256"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets bounds what is remembered of callers: two generations of so many.
const maxBuckets = 10_000

// Limiter gives every key a bucket of its own. When a generation of buckets is
// full the one before it is forgotten: memory stays bounded however many
// addresses somebody has, and who is forgotten begins with a full bucket.
type Limiter struct {
	perSecond rate.Limit
	burst     int

	mu       sync.Mutex
	now, old map[string]*rate.Limiter
}

// New allows each key so many requests a second, and burst of them at once.
func New(perSecond float64, burst int) *Limiter {
	return &Limiter{perSecond: rate.Limit(perSecond), burst: burst, now: map[string]*rate.Limiter{}}
}

func (l *Limiter) bucket(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.now[key]
	if b == nil {
		if b = l.old[key]; b == nil {
			b = rate.NewLimiter(l.perSecond, l.burst)
		}
		if len(l.now) >= maxBuckets {
			l.old, l.now = l.now, make(map[string]*rate.Limiter, maxBuckets)
		}
		l.now[key] = b
	}
	return b
}

// Take takes a request from key's bucket, if there is one in it.
func (l *Limiter) Take(key string, at time.Time) bool { return l.bucket(key).AllowN(at, 1) }

// Has reports whether there is a request in key's bucket, and takes none.
func (l *Limiter) Has(key string, at time.Time) bool { return l.bucket(key).TokensAt(at) >= 1 }

// RetryAfter is in how many whole seconds key's bucket has a request in it.
func (l *Limiter) RetryAfter(key string, at time.Time) int {
	missing := 1 - l.bucket(key).TokensAt(at)
	return int(math.Max(1, math.Ceil(missing/float64(l.perSecond))))
}

// Address is the bucket of a remote address. One customer has a whole /64 of
// IPv6, so that is one caller. What proxies say of others is not believed here.
func Address(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "address/?"
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return "address/" + p.String()
		}
	}
	return "address/" + addr.String()
}

// Token is the bucket of who has a token, wherever it comes from.
func Token(secret string) string { return fmt.Sprintf("token/%x", sha256.Sum256([]byte(secret))) }
