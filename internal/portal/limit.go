package portal

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How often a sign-in may fail from one address: so many times at once, then
// once in a while. Who signs in with a good token is never counted.
const (
	signInBurst = 10
	signInEvery = 6 * time.Second
	maxBuckets  = 10_000 // addresses remembered; two generations of so many
)

// attempts counts failed sign-ins by address. When a generation of addresses
// is full the one before it is forgotten, so memory stays bounded however many
// addresses somebody has.
type attempts struct {
	mu       sync.Mutex
	now, old map[string]*rate.Limiter
}

// bucket is what an address has left.
func (a *attempts) bucket(address string) *rate.Limiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.now[address]
	if b == nil {
		if b = a.old[address]; b == nil {
			b = rate.NewLimiter(rate.Every(signInEvery), signInBurst)
		}
		if len(a.now) >= maxBuckets || a.now == nil {
			a.old, a.now = a.now, map[string]*rate.Limiter{}
		}
		a.now[address] = b
	}
	return b
}

// wait is how long an address has to wait before it may try again; 0: it need not.
func (a *attempts) wait(address string, at time.Time) time.Duration {
	missing := 1 - a.bucket(address).TokensAt(at)
	if missing <= 0 {
		return 0
	}
	return max(time.Duration(missing*float64(signInEvery)), time.Second)
}

// failed counts a try that was wrong.
func (a *attempts) failed(address string, at time.Time) { a.bucket(address).AllowN(at, 1) }

// addressOf is who is counted as one: an address, or of IPv6 a /64, which one
// customer has whole. What proxies say of others is not believed.
func addressOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "?"
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
