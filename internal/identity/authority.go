package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"time"

	"upkeep/internal/fault"
)

// How long certificates are good for.
const (
	AgentTTL     = 24 * time.Hour
	serverTTL    = 30 * 24 * time.Hour
	authorityTTL = 10 * 365 * 24 * time.Hour

	// backdate lets a host whose clock is behind ours trust what was just issued.
	backdate = time.Hour
)

// MaxCSR is the largest certificate request, in bytes of PEM.
const MaxCSR = 8 << 10

const authoritySecret = "authority"

// The names in an agent's certificate. The first says whose agent it is; the
// second, where it is there, which key of this agent asked for it.
const (
	agentURI   = "agent/"
	followsURI = "follows/"
)

// Authority signs the certificates of agents and of servers. Agents trust it
// alone, and servers trust it for agents alone.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pool *x509.CertPool
}

// LoadAuthority reads the authority from the database, or makes it (ECDSA
// P-256, ten years). Servers that start at once get the same one. Conflict: it
// was sealed with another key.
func LoadAuthority(ctx context.Context, db Updater, s *Sealer) (*Authority, error) {
	text, err := kept(ctx, db, s, authoritySecret, newAuthority)
	if err != nil {
		return nil, err
	}
	return parseAuthority(text)
}

// newAuthority makes a certificate and its key, in PEM.
func newAuthority() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	self := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Upkeep authority"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityTTL),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, self, self, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", keyDER)...), nil
}

func parseAuthority(text []byte) (*Authority, error) {
	certBlock, rest := pem.Decode(text)
	keyBlock, _ := pem.Decode(rest)
	if certBlock == nil || keyBlock == nil {
		return nil, fault.Internal("load the authority", errors.New("it is no PEM of a certificate and a key"))
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fault.Internal("load the authority", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fault.Internal("load the authority", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fault.Internal("load the authority", errors.New("its key can't sign"))
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &Authority{cert: cert, key: signer, pool: pool}, nil
}

// PEM is the authority's certificate, for whoever is to trust it.
func (a *Authority) PEM() []byte { return pemOf("CERTIFICATE", a.cert.Raw) }

// AgentCertificate is what SignAgent has signed.
type AgentCertificate struct {
	PEM      []byte
	Key      string // fingerprint of its public key
	NotAfter time.Time
}

// SignAgent signs a certificate request (PEM) for target's agent. Only its key
// is used: whatever else it asks for is not given. follows is the fingerprint
// of the agent's key that asks, empty at enrolment. Invalid: it is no request,
// its signature is wrong, or its key is of a kind that we do not take.
func (a *Authority) SignAgent(csr, target, follows string) (AgentCertificate, error) {
	pub, key, err := requestKey(csr)
	if err != nil {
		return AgentCertificate{}, err
	}
	now := time.Now()
	uris := []*url.URL{{Scheme: "upkeep", Opaque: agentURI + url.PathEscape(target)}}
	if follows != "" && follows != key {
		uris = append(uris, &url.URL{Scheme: "upkeep", Opaque: followsURI + follows})
	}
	notAfter := now.Add(AgentTTL)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: target},
		NotBefore: now.Add(-backdate), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, URIs: uris,
	}, a.cert, pub, a.key)
	if err != nil {
		return AgentCertificate{}, fault.Internal("sign an agent's certificate", err)
	}
	return AgentCertificate{PEM: pemOf("CERTIFICATE", der), Key: key, NotAfter: notAfter.Truncate(time.Second)}, nil
}

// RequestKey is the fingerprint of the key that a certificate request (PEM) is
// for, and signed with. Invalid: as for SignAgent.
func RequestKey(csr string) (string, error) {
	_, key, err := requestKey(csr)
	return key, err
}

func requestKey(csr string) (pub crypto.PublicKey, fingerprint string, err error) {
	if len(csr) > MaxCSR {
		return nil, "", fault.Invalid("csr", "at most %d bytes, not %d", MaxCSR, len(csr))
	}
	block, _ := pem.Decode([]byte(csr))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, "", fault.Invalid("csr", "is no certificate request in PEM")
	}
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, "", fault.Invalid("csr", "can't be read as a certificate request")
	}
	if !goodKey(req.PublicKey) {
		return nil, "", fault.Invalid("csr", "the key must be ECDSA P-256, P-384 or Ed25519")
	}
	if err := req.CheckSignature(); err != nil {
		return nil, "", fault.Invalid("csr", "is not signed with its own key")
	}
	return req.PublicKey, fingerprintOf(req.RawSubjectPublicKeyInfo), nil
}

func goodKey(pub crypto.PublicKey) bool {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384()
	case ed25519.PublicKey:
		return true
	}
	return false
}

// AgentPeer is what a verified agent's certificate says of its holder.
type AgentPeer struct {
	Target  string
	Key     string // fingerprint of its key
	Follows string // fingerprint of the agent's key that asked for it; empty: the same, or none did

	NotAfter time.Time // the end of its certificate
}

// PeerOf reads who is at the other end of a connection whose certificates were
// verified when it was made. Denied: no agent of ours, or its certificate has
// ended since.
func PeerOf(state *tls.ConnectionState) (AgentPeer, error) {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return AgentPeer{}, fault.Denied("an agent's certificate is needed")
	}
	leaf := state.VerifiedChains[0][0]
	if time.Now().After(leaf.NotAfter) {
		return AgentPeer{}, fault.Denied("the agent's certificate has ended")
	}
	p := AgentPeer{Key: fingerprintOf(leaf.RawSubjectPublicKeyInfo), NotAfter: leaf.NotAfter}
	for _, u := range leaf.URIs {
		if u.Scheme != "upkeep" {
			continue
		}
		if id, ok := strings.CutPrefix(u.Opaque, agentURI); ok {
			if id, err := url.PathUnescape(id); err == nil {
				p.Target = id
			}
		}
		if key, ok := strings.CutPrefix(u.Opaque, followsURI); ok {
			p.Follows = key
		}
	}
	if p.Target == "" {
		return AgentPeer{}, fault.Denied("the certificate is no agent's")
	}
	return p, nil
}

// fingerprintOf is the lower-case hex SHA-256 of a public key in PKIX form.
func fingerprintOf(spki []byte) string {
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:])
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // it never fails: crypto/rand ends the program instead
	b[0] &= 0x7f // positive, 128 bits at most
	return new(big.Int).SetBytes(b)
}
