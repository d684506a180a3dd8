package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/store"
)

// Secrets say by their first letters what they are, so that a person who finds
// one, or a program that looks for leaked ones, knows whose it is.
const (
	tokenPrefix     = "upk_"
	enrolmentPrefix = "upe_"
)

// secretBytes of randomness make a secret that nobody guesses, so a plain hash
// of it is enough: there is no dictionary to try.
const secretBytes = 32

// Reader reads the database; store.DB is one.
type Reader interface {
	View(ctx context.Context, f func(store.Tx) error) error
}

// errUnknownToken is the same for every reason, so that it helps nobody to guess.
var errUnknownToken = fault.Denied("the token is unknown or has expired")

// NewToken makes a token and the secret that it is known by; the secret is in
// nobody's hands but the caller's. expires may be zero: never. Invalid: a name,
// role or project that can't be.
func NewToken(name string, role Role, project string, expires, now time.Time) (secret string, t store.Token, err error) {
	if err := fleet.ValidName("name", name); err != nil {
		return "", store.Token{}, err
	}
	if may[role] == nil {
		return "", store.Token{}, fault.Invalid("role", "must be %q, %q, %q or %q, not %q", Operator, Member, Viewer, Node, role)
	}
	if role == Operator && project != "" {
		return "", store.Token{}, fault.Invalid("project", "an operator's token is for every project")
	}
	if project != "" {
		if err := fleet.ValidName("project", project); err != nil {
			return "", store.Token{}, err
		}
	}
	if !expires.IsZero() && !expires.After(now) {
		return "", store.Token{}, fault.Invalid("expires", "must be in the future")
	}
	secret = newSecret(tokenPrefix)
	return secret, store.Token{
		ID: "tok-" + randomHex(8), Hash: hashOf(secret), Name: name, Role: string(role), Project: project,
		Created: now, Expires: expires,
	}, nil
}

// Authenticate says who presents a token's secret. It asks the database every
// time (one row by its index), so that a deleted token ends at once. Denied:
// the token is unknown or has expired. Unavailable: try again.
func Authenticate(ctx context.Context, db Reader, secret string) (Principal, error) {
	t, err := tokenOf(ctx, db, secret)
	if err != nil {
		return Principal{}, err
	}
	return principalOf(t), nil
}

// tokenOf finds the living token of a secret.
func tokenOf(ctx context.Context, db Reader, secret string) (store.Token, error) {
	// What has not even the shape of a token costs no query.
	if !strings.HasPrefix(secret, tokenPrefix) || len(secret) != len(tokenPrefix)+2*secretBytes {
		return store.Token{}, errUnknownToken
	}
	return tokenByHash(ctx, db, hashOf(secret), time.Now())
}

func tokenByHash(ctx context.Context, db Reader, hash string, now time.Time) (store.Token, error) {
	var t store.Token
	err := db.View(ctx, func(tx store.Tx) (err error) {
		t, err = tx.TokenByHash(hash)
		return err
	})
	switch {
	case fault.Is(err, fault.KindNotFound):
		return store.Token{}, errUnknownToken
	case err != nil:
		return store.Token{}, fault.Internal("look for the token", err)
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return store.Token{}, errUnknownToken
	}
	return t, nil
}

func principalOf(t store.Token) Principal {
	return Principal{Name: t.Name, Role: Role(t.Role), Project: t.Project}
}

func newSecret(prefix string) string { return prefix + randomHex(secretBytes) }

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // it never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
