package hub

import (
	"net"
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// How often one address may enrol or renew late, and one agent poll. A roll-out
// behind one address gets through; a loop gone wrong does not cost a server.
const (
	enrolsPerSecond = 5
	enrolsAtOnce    = 50
	pollsPerSecond  = 20
	pollsAtOnce     = 100
)

// limiterKeys bounds what a limiter remembers: twice as many.
const limiterKeys = 4096

// limiter limits by key in bounded memory. It has two maps; once the younger is
// full, the older is forgotten. A forgotten key starts anew, which is as much
// as somebody with that many addresses has anyway.
type limiter struct {
	limit rate.Limit
	burst int

	mu         sync.Mutex
	young, old map[string]*rate.Limiter
}

func newLimiter(limit rate.Limit, burst int) *limiter {
	return &limiter{limit: limit, burst: burst, young: map[string]*rate.Limiter{}}
}

// allow counts one call of key, and says whether it may be made.
func (l *limiter) allow(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := l.young[key]
	if lim == nil {
		if lim = l.old[key]; lim == nil {
			lim = rate.NewLimiter(l.limit, l.burst)
		}
		if len(l.young) >= limiterKeys {
			l.young, l.old = map[string]*rate.Limiter{}, l.young
		}
		l.young[key] = lim
	}
	return lim.Allow()
}

// addressOf is whom a call is counted for: an IPv4 address, or the 64 bits of
// an IPv6 one that its owner got.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return clip(r.RemoteAddr, maxName)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return clip(host, maxName)
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
