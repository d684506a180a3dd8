package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/fault"
)

func authority(t *testing.T) *Authority {
	t.Helper()
	s, err := NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	a, err := LoadAuthority(t.Context(), open(t), s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// request makes a certificate request that asks for more than it gets.
func request(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "root"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pemOf("CERTIFICATE REQUEST", der))
}

func ecKey(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func leafOf(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestAuthorityIsMadeOnce(t *testing.T) {
	s, _ := NewSealer([32]byte{1})
	db := open(t)
	made := make([]*Authority, 4)
	var all sync.WaitGroup
	for i := range made {
		all.Go(func() {
			var err error
			if made[i], err = LoadAuthority(t.Context(), db, s); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for _, a := range made {
		if !a.cert.Equal(made[0].cert) {
			t.Error("two servers have two authorities")
		}
	}
	c := made[0].cert
	if !c.IsCA || !c.MaxPathLenZero || c.NotAfter.Before(time.Now().Add(9*365*24*time.Hour)) {
		t.Errorf("authority: CA %v, path %d, until %v", c.IsCA, c.MaxPathLen, c.NotAfter)
	}
}

func TestSignAgent(t *testing.T) {
	a := authority(t)
	key := ecKey(t, elliptic.P256())
	got, err := a.SignAgent(request(t, key), "t1", "")
	if err != nil {
		t.Fatal(err)
	}
	leaf := leafOf(t, got.PEM)
	if leaf.Subject.CommonName != "t1" || len(leaf.DNSNames)+len(leaf.IPAddresses) != 0 ||
		len(leaf.URIs) != 1 || leaf.URIs[0].String() != "upkeep:agent/t1" || leaf.IsCA {
		t.Errorf("subject %v, names %v %v %v", leaf.Subject, leaf.DNSNames, leaf.IPAddresses, leaf.URIs)
	}
	if life := time.Until(leaf.NotAfter); life > AgentTTL || life < AgentTTL-time.Minute || !leaf.NotAfter.Equal(got.NotAfter) {
		t.Errorf("it lasts %v, said to end %v", life, got.NotAfter)
	}
	verify := func(usage x509.ExtKeyUsage) error {
		_, err := leaf.Verify(x509.VerifyOptions{Roots: a.pool, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	if err := verify(x509.ExtKeyUsageClientAuth); err != nil {
		t.Error(err)
	}
	if verify(x509.ExtKeyUsageServerAuth) == nil {
		t.Error("an agent could pass for a server")
	}
	p, err := PeerOf(&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf, a.cert}}})
	if err != nil || p != (AgentPeer{Target: "t1", Key: got.Key, NotAfter: leaf.NotAfter}) {
		t.Errorf("PeerOf = %+v, %v", p, err)
	}
	if key, err := RequestKey(request(t, key)); err != nil || key != got.Key {
		t.Errorf("RequestKey = %q, %v, want %q", key, err, got.Key)
	}

	// A new key says which one it follows; the same one does not.
	next, err := a.SignAgent(request(t, ecKey(t, elliptic.P384())), "t/2", got.Key)
	if err != nil {
		t.Fatal(err)
	}
	p, err = PeerOf(&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leafOf(t, next.PEM)}}})
	if err != nil || p.Target != "t/2" || p.Follows != got.Key || p.Key != next.Key {
		t.Errorf("PeerOf = %+v, %v", p, err)
	}
	same, err := a.SignAgent(request(t, key), "t1", got.Key)
	if err != nil || len(leafOf(t, same.PEM).URIs) != 1 {
		t.Errorf("the same key follows itself: %v", err)
	}
}

func TestSignAgentRefuses(t *testing.T) {
	a := authority(t)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	if _, err := a.SignAgent(request(t, ed), "t1", ""); err != nil {
		t.Errorf("Ed25519: %v", err)
	}
	forged := []byte(request(t, ecKey(t, elliptic.P256())))
	block, _ := pem.Decode(forged)
	block.Bytes[len(block.Bytes)-1] ^= 1
	for what, csr := range map[string]string{
		"nothing":        "",
		"a certificate":  string(a.PEM()),
		"garbage":        string(pemOf("CERTIFICATE REQUEST", []byte("x"))),
		"too long":       string(make([]byte, MaxCSR+1)),
		"RSA":            request(t, weak),
		"P-224":          request(t, ecKey(t, elliptic.P224())),
		"wrongly signed": string(pem.EncodeToMemory(block)),
	} {
		if _, err := a.SignAgent(csr, "t1", ""); !fault.Is(err, fault.KindInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPeerOfRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := authority(t)
		server, err := a.issueServer(nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.SignAgent(request(t, ecKey(t, elliptic.P256())), "t1", "")
		if err != nil {
			t.Fatal(err)
		}
		agent, notAgent := leafOf(t, got.PEM), leafOf(t, pemOf("CERTIFICATE", server.Certificate[0]))
		time.Sleep(AgentTTL + time.Second)
		for what, state := range map[string]*tls.ConnectionState{
			"no TLS":             nil,
			"no certificate":     {},
			"not verified":       {PeerCertificates: []*x509.Certificate{agent}},
			"a server's":         {VerifiedChains: [][]*x509.Certificate{{notAgent}}},
			"one that has ended": {VerifiedChains: [][]*x509.Certificate{{agent}}},
		} {
			if _, err := PeerOf(state); !fault.Is(err, fault.KindDenied) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestServerCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := authority(t)
		conf, err := a.ServerTLS("upkeep.example", "192.0.2.1", "0.0.0.0", "", "localhost")
		if err != nil {
			t.Fatal(err)
		}
		if conf.ClientAuth != tls.VerifyClientCertIfGiven || !conf.ClientCAs.Equal(a.pool) {
			t.Error("agents are not asked for their certificate")
		}
		get := func() (*x509.Certificate, *tls.Certificate) {
			c, err := conf.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(c.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			return leaf, c
		}
		first, chain := get()
		if len(chain.Certificate) != 2 || string(pemOf("CERTIFICATE", chain.Certificate[1])) != string(a.PEM()) {
			t.Error("the chain does not show the authority")
		}
		for _, name := range []string{"localhost", "127.0.0.1", "::1", "upkeep.example", "192.0.2.1"} {
			if err := first.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
		if _, err := first.Verify(x509.VerifyOptions{Roots: a.pool, DNSName: "localhost"}); err != nil {
			t.Error(err)
		}
		if _, err := first.Verify(x509.VerifyOptions{Roots: a.pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
			t.Error("a server could pass for an agent")
		}
		// At every instant of half a year the certificate shown is good, and
		// a new one is not made each time.
		seen := map[string]bool{}
		for range 180 {
			time.Sleep(24 * time.Hour)
			now, _ := get()
			seen[now.SerialNumber.String()] = true
			if time.Until(now.NotAfter) < 9*24*time.Hour {
				t.Fatalf("it ends in %v", time.Until(now.NotAfter))
			}
		}
		if len(seen) > 10 {
			t.Errorf("%d certificates in 180 days", len(seen))
		}
	})
}
