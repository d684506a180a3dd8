package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

// SessionTTL is how long a sign-in to the portal lasts.
const SessionTTL = 12 * time.Hour

const sessionSecret = "session-key"

// errUnknownSession is the same for every reason.
var errUnknownSession = fault.Denied("not signed in, or the session has ended")

// Sessions exchange a token for the value of a portal's cookie. A value names
// its token (by id and hash) and its end, and is signed; nothing is stored. It
// is good only as long as the token is.
type Sessions struct {
	db  Reader
	key []byte
}

// LoadSessions reads the key that signs cookies, or makes it.
func LoadSessions(ctx context.Context, db Updater, s *Sealer) (*Sessions, error) {
	key, err := kept(ctx, db, s, sessionSecret, func() ([]byte, error) {
		k := make([]byte, sha256.Size)
		_, err := rand.Read(k)
		return k, err
	})
	if err != nil {
		return nil, err
	}
	return &Sessions{db: db, key: key}, nil
}

// Issue exchanges a token's secret for a cookie's value, good until expires.
// Denied: the token is unknown or has expired.
func (s *Sessions) Issue(ctx context.Context, secret string) (cookie string, expires time.Time, p Principal, err error) {
	t, err := tokenOf(ctx, s.db, secret)
	if err != nil {
		return "", time.Time{}, Principal{}, err
	}
	expires = time.Now().Add(SessionTTL)
	if !t.Expires.IsZero() && t.Expires.Before(expires) {
		expires = t.Expires
	}
	body := fmt.Sprintf("1.%s.%s.%d", t.ID, t.Hash, expires.Unix())
	return body + "." + s.sign(body), expires, principalOf(t), nil
}

// Verify says whose cookie it is. It looks the token up each time. Denied: the
// value is not ours, has ended, or its token is gone.
func (s *Sessions) Verify(ctx context.Context, cookie string) (Principal, error) {
	cut := strings.LastIndexByte(cookie, '.')
	if cut < 0 || !hmac.Equal([]byte(cookie[cut+1:]), []byte(s.sign(cookie[:cut]))) {
		return Principal{}, errUnknownSession
	}
	// What we signed has our shape.
	part := strings.Split(cookie[:cut], ".")
	if len(part) != 4 || part[0] != "1" {
		return Principal{}, errUnknownSession
	}
	end, err := strconv.ParseInt(part[3], 10, 64)
	now := time.Now()
	if err != nil || now.Unix() >= end {
		return Principal{}, errUnknownSession
	}
	t, err := tokenByHash(ctx, s.db, part[2], now)
	switch {
	case fault.Is(err, fault.KindDenied):
		return Principal{}, errUnknownSession
	case err != nil:
		return Principal{}, err
	case t.ID != part[1]:
		return Principal{}, errUnknownSession
	}
	return principalOf(t), nil
}

func (s *Sessions) sign(body string) string {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte("session\x00" + body))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

var _ Updater = store.DB(nil)
