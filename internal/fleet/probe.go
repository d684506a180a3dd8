package fleet

import (
	"net/url"
	"strings"
	"time"

	"upkeep/internal/fault"
)

// Probe is what a service's users would ask, and how often: it is asked all the
// while a run is open on the service. Without endpoints nothing is.
type Probe struct {
	Endpoints []Endpoint    // asked in turn
	Rate      int           // requests per second, of all together; 1 to MaxProbeRate
	Slow      time.Duration // an answer that takes longer is slow; 0: none is
	Timeout   time.Duration // an answer that takes longer is none; 0: DefaultProbeTimeout
}

// Endpoint is a URL that a service's users would ask.
type Endpoint struct {
	Name   string // in what is reported; unique
	URL    string
	Header map[string]string
	CA     string // certificates in PEM to trust instead of the system's; may be empty
}

// Limits of a probe. It is a witness and no benchmark: it must not be what
// brings a service down whose replicas are one fewer for a while.
const (
	MaxProbeRate        = 200
	MaxProbeEndpoints   = 20
	MaxProbeTimeout     = 30 * time.Second
	DefaultProbeTimeout = 5 * time.Second
	maxURL              = 2048
	maxHeaders          = 16
	maxCA               = 64 << 10
)

// Asks reports whether there is anything to ask.
func (p Probe) Asks() bool { return len(p.Endpoints) > 0 }

// WithDefaults says what was left out.
func (p Probe) WithDefaults() Probe {
	if p.Timeout == 0 {
		p.Timeout = DefaultProbeTimeout
	}
	return p
}

// Late is how much later than it was sent it may be known what became of a
// request: it may take its time, and answers are written down together.
func (p Probe) Late() time.Duration { return p.WithDefaults().Timeout + 10*time.Second }

// Validate blames the first field that can't be, by its path in the service.
func (p Probe) Validate() error {
	switch {
	case !p.Asks() && (p.Rate != 0 || p.Slow != 0 || p.Timeout != 0):
		return fault.Invalid("probe.endpoints", "is needed: there is nothing to ask")
	case !p.Asks():
		return nil
	case len(p.Endpoints) > MaxProbeEndpoints:
		return fault.Invalid("probe.endpoints", "at most %d, not %d", MaxProbeEndpoints, len(p.Endpoints))
	case p.Rate < 1 || p.Rate > MaxProbeRate:
		return fault.Invalid("probe.rate", "must be from 1 to %d requests per second, of all endpoints together, not %d", MaxProbeRate, p.Rate)
	case p.Timeout < 0 || p.Timeout > MaxProbeTimeout || p.Timeout > 0 && p.Timeout < time.Millisecond:
		return fault.Invalid("probe.timeout", "must be from 1ms to %s, not %s", MaxProbeTimeout, p.Timeout)
	case p.Slow < 0 || p.Slow >= p.WithDefaults().Timeout:
		return fault.Invalid("probe.slow", "must be less than the timeout of %s, after which an answer is none; not %s", p.WithDefaults().Timeout, p.Slow)
	}
	seen := map[string]bool{}
	for _, e := range p.Endpoints {
		if !memberName.MatchString(e.Name) || seen[e.Name] {
			return fault.Invalid("probe.endpoints", "%q is no name, or stands twice", e.Name)
		}
		seen[e.Name] = true
		if err := e.validate("probe.endpoints." + e.Name); err != nil {
			return err
		}
	}
	return nil
}

// validate never has a header's value in what it says: it may be a secret.
func (e Endpoint) validate(field string) error {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || len(e.URL) > maxURL:
		return fault.Invalid(field+".url", "must be http://… or https://…, of at most %d bytes", maxURL)
	case u.User != nil:
		return fault.Invalid(field+".url", "has a user in it; say so in the header Authorization")
	case len(e.Header) > maxHeaders:
		return fault.Invalid(field+".header", "at most %d, not %d", maxHeaders, len(e.Header))
	case len(e.CA) > maxCA || e.CA != "" && !strings.Contains(e.CA, "-----BEGIN CERTIFICATE-----"):
		return fault.Invalid(field+".ca", "must be certificates in PEM, of at most %d bytes", maxCA)
	}
	for name, value := range e.Header {
		if !isToken(name) || len(name) > 64 || len(value) > maxURL || strings.ContainsAny(value, "\r\n\x00") {
			return fault.Invalid(field+".header", "%q can't be sent as a header", name)
		}
	}
	return nil
}

// isToken reports whether a header may have this name.
func isToken(name string) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) {
			return false
		}
	}
	return name != ""
}
