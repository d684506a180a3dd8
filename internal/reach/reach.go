// Package reach is how the control plane calls addresses that others name:
// those of runbooks' checks, of proxies, and of what a service is asked. It
// refuses addresses that nobody may have it call.
//
// It looks at the address that is dialled, after all names are resolved: a name
// may mean something else each time it is asked.
package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"upkeep/internal/fault"
)

// Rule says which addresses may be called. Its zero value allows all but the
// link-local ones, which no rule allows: metadata services of clouds are there,
// and hand out credentials to whoever asks from the machine. It says nothing
// about Unix sockets.
type Rule struct {
	only []netip.Prefix // nil: all others
}

// MaxPrefixes is how many prefixes a rule may have.
const MaxPrefixes = 256

// Only allows nothing but what has one of the prefixes, such as "10.0.0.0/8" or
// "192.0.2.7". Without any it allows all but link-local addresses. Invalid: a
// text is no prefix.
func Only(prefixes []string) (r Rule, err error) {
	if len(prefixes) > MaxPrefixes {
		return r, fault.Invalid("mayCall", "at most %d prefixes, not %d", MaxPrefixes, len(prefixes))
	}
	for _, text := range prefixes {
		p, err := netip.ParsePrefix(text)
		if one, alone := netip.ParseAddr(text); alone == nil && one.Zone() == "" {
			p, err = one.Prefix(one.BitLen())
		}
		if err != nil || p.Addr().Is4In6() {
			return Rule{}, fault.Invalid("mayCall", "%q is no prefix of addresses such as 10.0.0.0/8 or fd00::/8, and no address", text)
		}
		r.only = append(r.only, p.Masked())
	}
	return r, nil
}

// DeniedError is that an address may not be called. Trying again does not help.
type DeniedError struct{ reason string }

func (e *DeniedError) Error() string { return e.reason }

// Dial opens a connection as net.Dialer does. A *DeniedError: the rule does not
// allow it.
func (r Rule) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Control: r.control}
	conn, err := dialer.DialContext(ctx, network, address)
	if denied, ok := errors.AsType[*DeniedError](err); ok {
		return nil, denied
	}
	return conn, err
}

// control is asked just before each connection, with the address that a name
// has come to.
func (r Rule) control(network, address string, _ syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &DeniedError{fmt.Sprintf("%q is no address that could be looked at", address)}
	}
	return r.allows(to.Addr())
}

// allows says why an address may not be called; nil if it may.
func (r Rule) allows(to netip.Addr) error {
	to = to.Unmap().WithZone("")
	if to.IsLinkLocalUnicast() {
		return &DeniedError{fmt.Sprintf("%s is a link-local address, and those are never called: metadata services that hand out credentials are there", to)}
	}
	for _, p := range r.only {
		if p.Contains(to) {
			return nil
		}
	}
	if r.only != nil {
		return &DeniedError{fmt.Sprintf("%s is none of the addresses that this control plane may call: see --may-call of \"upkeep serve\"", to)}
	}
	return nil
}
