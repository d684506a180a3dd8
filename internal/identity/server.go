package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"upkeep/internal/fault"
)

// ServerTLS is how a server listens: with a certificate of the authority that
// renews itself, and asking callers for an agent's certificate without wanting
// one (people bring none). hosts are names and addresses that it is reached by,
// besides localhost and its own name.
func (a *Authority) ServerTLS(hosts ...string) (*tls.Config, error) {
	get, err := a.ServerCertificate(hosts...)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: get,
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      a.pool,
	}, nil
}

// ServerCertificate issues the server's certificate now, and gives a
// tls.Config's GetCertificate that issues the next one once two thirds of its
// time are over. Each server has its own key, kept in memory only.
func (a *Authority) ServerCertificate(hosts ...string) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	s := &serving{authority: a, hosts: hosts}
	if _, err := s.get(nil); err != nil {
		return nil, err
	}
	return s.get, nil
}

type serving struct {
	authority *Authority
	hosts     []string

	mu    sync.Mutex
	cert  *tls.Certificate
	renew time.Time
}

func (s *serving) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.cert != nil && now.Before(s.renew) {
		return s.cert, nil
	}
	cert, err := s.authority.issueServer(s.hosts, now)
	if err != nil {
		return nil, err
	}
	s.cert, s.renew = cert, now.Add(serverTTL*2/3)
	return cert, nil
}

func (a *Authority) issueServer(hosts []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fault.Internal("make the server's key", err)
	}
	names, addrs := sans(hosts)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Upkeep server"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(serverTTL),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, DNSNames: names, IPAddresses: addrs,
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fault.Internal("sign the server's certificate", err)
	}
	// The authority goes along, so that an agent can pin it by its hash.
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, nil
}

// sans sorts hosts into names and addresses, and adds those that every server has.
func sans(hosts []string) (names []string, addrs []net.IP) {
	all := append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	if own, err := os.Hostname(); err == nil {
		all = append(all, own)
	}
	slices.Sort(all)
	for _, h := range slices.Compact(all) {
		switch ip := net.ParseIP(h); {
		case ip != nil && !ip.IsUnspecified():
			addrs = append(addrs, ip)
		case ip == nil && h != "":
			names = append(names, h)
		}
	}
	return names, addrs
}
