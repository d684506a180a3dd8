package fleet

import (
	"regexp"
	"time"

	"upkeep/internal/fault"
)

// Service is what a service consists of: members that do the same, of which a
// quorum must always be up, behind proxies.
type Service struct {
	Quorum  int               // members that must stay up; at least 1
	Manager string            // the name of the server on which things are run that are about all of it; empty: there is none
	With    map[string]string // what runbooks may ask of the service
	Members []Member          // oldest first where their ages are known, else in the order in which they are maintained
	Proxies []Proxy
	Claims  []string // what every run on it claims besides its members, such as database/keystone
	Probe   Probe    // what is asked all the while a run is open on it
}

// Member is one replica of a service.
type Member struct {
	Name   string
	Server string            // the name of the server on which it runs; empty: none that has an agent of ours
	Labels map[string]string // free to use; runbooks choose by them
	Born   time.Time         // zero: unknown
	With   map[string]string // what runbooks may ask of it, such as url or address
}

// Proxy is a balancer in front of a service.
type Proxy struct {
	Name string
	With map[string]string // such as the address of its runtime socket
}

// Limits of a service.
const (
	MaxReplicas  = 200
	MaxProxies   = 20
	maxWith      = 32
	maxWithBytes = 1024
)

var (
	memberName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)
	withKey    = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,31}$`)
)

// Validate blames the first field that can't be.
func (s Service) Validate() error {
	switch {
	case len(s.Members) == 0 || len(s.Members) > MaxReplicas:
		return fault.Invalid("members", "must be from 1 to %d, not %d", MaxReplicas, len(s.Members))
	case s.Quorum < 0 || s.Quorum >= len(s.Members):
		return fault.Invalid("quorum", "must be less than the %d members, or none could ever be taken out; not %d", len(s.Members), s.Quorum)
	case len(s.Proxies) > MaxProxies:
		return fault.Invalid("proxies", "at most %d, not %d", MaxProxies, len(s.Proxies))
	}
	if err := ValidClaims("claims", s.Claims); err != nil {
		return err
	}
	if err := validWith("with", s.With); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, m := range s.Members {
		switch {
		case !memberName.MatchString(m.Name):
			return fault.Invalid("members", "%q is no name: 1 to 63 letters, digits, dashes and underscores", m.Name)
		case seen[m.Name]:
			return fault.Invalid("members", "%q stands twice", m.Name)
		}
		seen[m.Name] = true
		if err := validLabels("members."+m.Name+".labels", m.Labels); err != nil {
			return err
		}
		if err := validWith("members."+m.Name+".with", m.With); err != nil {
			return err
		}
	}
	seen = map[string]bool{}
	for _, p := range s.Proxies {
		if !memberName.MatchString(p.Name) || seen[p.Name] {
			return fault.Invalid("proxies", "%q is no name, or stands twice", p.Name)
		}
		seen[p.Name] = true
		if err := validWith("proxies."+p.Name+".with", p.With); err != nil {
			return err
		}
	}
	return s.Probe.Validate()
}

func validWith(field string, with map[string]string) error {
	if len(with) > maxWith {
		return fault.Invalid(field, "at most %d values, not %d", maxWith, len(with))
	}
	for key, value := range with {
		if !withKey.MatchString(key) {
			return fault.Invalid(field, "%q is no key: a small letter, then up to 31 letters and digits", key)
		}
		if len(value) > maxWithBytes {
			return fault.Invalid(field+"."+key, "has %d bytes, %d may be", len(value), maxWithBytes)
		}
	}
	return nil
}
