package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/wire"
)

// Trust says how the control plane is known before the host is enrolled.
// Exactly one of the two is set.
type Trust struct {
	CA  []byte // PEM, certificates of the authority
	Pin string // "sha256:" and the hexadecimal SHA-256 of the authority certificate's DER
}

// Identity is who this host is to the control plane, as kept in its folder.
type Identity struct {
	Server      string    `json:"server"` // URL
	Target      string    `json:"target"` // id
	Name        string    `json:"name"`
	After       string    `json:"after,omitempty"` // wire.Certificate.After
	Certificate string    `json:"certificate"`     // PEM
	Authority   string    `json:"authority"`       // PEM
	RenewAfter  time.Time `json:"renewAfter"`
	NotAfter    time.Time `json:"notAfter"`
}

const (
	keyFile      = "key.pem"
	identityFile = "identity.json"
	enrolTimeout = 30 * time.Second
)

// Enrol turns a one-time token into an identity in dir. The private key is made
// here, once, and never leaves; enrolling again after a lost answer presents
// the same key and gets the same answer. Errors: invalid (URL, trust), denied
// (token unknown or used up, or the server is not the trusted one), unavailable,
// internal (dir can't be written).
func Enrol(ctx context.Context, dir, serverURL, token string, trust Trust, version string) (Identity, error) {
	base, err := parseServer(serverURL)
	if err != nil {
		return Identity{}, err
	}
	config, err := trust.config(base.Hostname())
	if err != nil {
		return Identity{}, err
	}
	key, err := loadKey(dir, true)
	if err != nil {
		return Identity{}, fault.Internal("make the host's key", err)
	}
	csr, err := request(key)
	if err != nil {
		return Identity{}, fault.Internal("ask for a certificate", err)
	}
	client := newClient(config, nil)
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	var cert wire.Certificate
	err = call(ctx, client, base, wire.EnrolPath, wire.EnrolRequest{Token: token, CSR: csr, Version: version}, &cert)
	if err != nil {
		return Identity{}, fault.Internal("enrol", err)
	}
	id, err := newIdentity(base.String(), key, cert)
	if err != nil {
		return Identity{}, err
	}
	return id, saveIdentity(dir, id)
}

// LoadIdentity reads who this host is. Errors: not found if it was never
// enrolled, internal.
func LoadIdentity(dir string) (Identity, error) {
	text, err := os.ReadFile(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, &fault.Error{Kind: fault.KindNotFound, Reason: fmt.Sprintf("this host is not enrolled: %s has no %s", dir, identityFile)}
	}
	if err != nil {
		return Identity{}, fault.Internal("read the host's identity", err)
	}
	var id Identity
	if err := json.Unmarshal(text, &id); err != nil {
		return Identity{}, fault.Internal("read the host's identity", err)
	}
	return id, nil
}

func saveIdentity(dir string, id Identity) error {
	text, err := json.MarshalIndent(id, "", "  ")
	if err == nil {
		err = writeFile(filepath.Join(dir, identityFile), text)
	}
	if err != nil {
		return fault.Internal("keep the host's identity", err)
	}
	return nil
}

// newIdentity checks that a certificate is for our key before it is kept.
func newIdentity(server string, key *ecdsa.PrivateKey, c wire.Certificate) (Identity, error) {
	leaf, err := parseCertificate([]byte(c.Certificate))
	if err != nil {
		return Identity{}, fault.Internal("read the certificate that was issued", err)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return Identity{}, fault.Internal("read the certificate that was issued", errors.New("it is for another key"))
	}
	if _, err := parseCertificate([]byte(c.Authority)); err != nil {
		return Identity{}, fault.Internal("read the authority's certificate", err)
	}
	id := Identity{
		Server: server, Target: c.Target, Name: c.Name, After: c.After, Certificate: c.Certificate, Authority: c.Authority,
		RenewAfter: c.RenewAfter, NotAfter: leaf.NotAfter,
	}
	if id.RenewAfter.IsZero() || id.RenewAfter.After(leaf.NotAfter) {
		life := leaf.NotAfter.Sub(leaf.NotBefore)
		id.RenewAfter = leaf.NotBefore.Add(life * 2 / 3)
	}
	return id, nil
}

// config is how a server is recognised during enrolment.
func (t Trust) config(host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: host}
	switch {
	case len(t.CA) > 0 && t.Pin == "":
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(t.CA) {
			return nil, fault.Invalid("ca", "there is no certificate in it")
		}
		config.RootCAs = roots
	case len(t.CA) == 0 && t.Pin != "":
		word, ok := strings.CutPrefix(t.Pin, "sha256:")
		pin, err := hex.DecodeString(word)
		if !ok || err != nil || len(pin) != sha256.Size {
			return nil, fault.Invalid("ca-pin", "want sha256: and 64 hexadecimal digits")
		}
		// The usual verification knows no pins; verifyPinned does all of it.
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(s tls.ConnectionState) error { return verifyPinned(s, host, pin) }
	default:
		return nil, fault.Invalid("ca", "either the authority's certificate or its pin is needed")
	}
	return config, nil
}

// verifyPinned looks for the pinned authority in what the server has sent, and
// verifies the server's certificate with it as the only root.
func verifyPinned(s tls.ConnectionState, host string, pin []byte) error {
	opts := x509.VerifyOptions{DNSName: host, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	found := false
	for _, c := range s.PeerCertificates[1:] {
		if sum := sha256.Sum256(c.Raw); bytes.Equal(sum[:], pin) && c.IsCA {
			opts.Roots.AddCert(c)
			found = true
		} else {
			opts.Intermediates.AddCert(c)
		}
	}
	err := errors.New("the server did not present the pinned authority")
	if found {
		_, err = s.PeerCertificates[0].Verify(opts)
	}
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	return nil
}

// loadKey reads the host's key, or makes it.
func loadKey(dir string, create bool) (*ecdsa.PrivateKey, error) {
	name := filepath.Join(dir, keyFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && create {
		return makeKey(name)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s has no key in it", name)
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

func makeKey(name string) (*ecdsa.PrivateKey, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(name, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// request is a certificate request in PEM. The name in it is a hint only: who
// this is to the control plane follows from token or certificate.
func request(key *ecdsa.PrivateKey) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: host}}, key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("there is no certificate in it")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseServer(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fault.Invalid("server", "want an address such as https://upkeep.example.org:8443")
	}
	return u, nil
}

func newClient(config *tls.Config, dial Dialer) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dial, TLSClientConfig: config,
			TLSHandshakeTimeout: 15 * time.Second, ForceAttemptHTTP2: true, MaxIdleConns: 2, IdleConnTimeout: 5 * time.Minute,
			// A connection that died without a word is noticed within half a minute.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		},
		// The control plane does not redirect; who does is somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
