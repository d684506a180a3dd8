package reach

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"upkeep/internal/fault"
)

func TestAllows(t *testing.T) {
	all := Rule{}
	some, err := Only([]string{"10.1.0.0/16", "192.0.2.7", "fd00::/8", "169.254.0.0/16", "::/127"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		address   string
		all, some bool
	}{
		{"10.1.2.3", true, true},
		{"::ffff:10.1.2.3", true, true},
		{"10.2.0.1", true, false},
		{"192.0.2.7", true, true},
		{"192.0.2.8", true, false},
		{"fd12::1", true, true},
		{"2001:db8::1", true, false},
		{"127.0.0.1", true, false},
		{"::1", true, true},
		{"169.253.255.255", true, false},
		{"169.254.169.254", false, false},
		{"::ffff:169.254.169.254", false, false},
		{"fe80::1", false, false},
		{"fe80::a9fe:a9fe%eth0", false, false},
		{"febf::1", false, false},
	} {
		to := netip.MustParseAddr(c.address)
		if got := all.allows(to) == nil; got != c.all {
			t.Errorf("without a rule %s is allowed: %v", c.address, got)
		}
		if got := some.allows(to) == nil; got != c.some {
			t.Errorf("by the rule %s is allowed: %v", c.address, got)
		}
	}
}

func TestOnlyRefusesWhatIsNoPrefix(t *testing.T) {
	for _, text := range []string{"", "ten", "10.0.0.0/33", "example.com", "10.0.0.1:80", "::ffff:10.0.0.0/104", "fe80::1%eth0"} {
		if _, err := Only([]string{"10.0.0.0/8", text}); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Only(make([]string, MaxPrefixes+1)); !fault.Is(err, fault.KindInvalid) {
		t.Errorf("too many: %v", err)
	}
}

// A name is looked at by what it means when it is dialled; what is refused is
// never connected to.
func TestDialLooksAtWhatANameMeans(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	elsewhere, err := Only([]string{"192.0.2.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost"} {
		conn, err := elsewhere.Dial(t.Context(), "tcp", net.JoinHostPort(host, port))
		if _, denied := errors.AsType[*DeniedError](err); conn != nil || !denied {
			t.Errorf("%s is dialled: %v", host, err)
		}
		conn, err = Rule{}.Dial(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		conn.Close()
	}
	socket := filepath.Join(t.TempDir(), "s")
	u, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	conn, err := elsewhere.Dial(t.Context(), "unix", socket)
	if err != nil {
		t.Fatalf("a Unix socket: %v", err)
	}
	conn.Close()
}
