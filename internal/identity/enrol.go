package identity

import (
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

// EnrolmentTTL is how long an enrolment's secret can be used, unless its maker
// says otherwise.
const EnrolmentTTL = 24 * time.Hour

// repeatWithin is how long after its first use a secret is answered again, to
// the same key only: the first answer may have been lost.
const repeatWithin = time.Hour

// errUnknownEnrolment is the same for every reason.
var errUnknownEnrolment = fault.Denied("the enrolment token is unknown, was used, or has expired; ask for a new one")

// NewEnrolment makes a one-time secret by which an agent becomes target's. ttl
// is how long it can be used, EnrolmentTTL if it is 0. The caller stores e.
func NewEnrolment(target string, ttl time.Duration, now time.Time) (secret string, e store.Enrolment) {
	if ttl <= 0 {
		ttl = EnrolmentTTL
	}
	secret = newSecret(enrolmentPrefix)
	return secret, store.Enrolment{Hash: hashOf(secret), Target: target, Created: now, Expires: now.Add(ttl)}
}

// Redeem uses an enrolment's secret up for the agent with the key of the given
// fingerprint, and says whose agent it is. repeated tells that it had been used
// by this key before. The caller stores the agent in the same transaction.
//
// The first use binds the key. The same secret with the same key is answered
// again for an hour, as long as that key is still the agent's: a request that
// was delayed or recorded never brings back a key that was replaced since.
// Denied: anything else.
func Redeem(tx store.Identities, secret, key string, now time.Time) (target string, repeated bool, err error) {
	if !strings.HasPrefix(secret, enrolmentPrefix) || len(secret) != len(enrolmentPrefix)+2*secretBytes {
		return "", false, errUnknownEnrolment
	}
	e, err := tx.EnrolmentByHash(hashOf(secret))
	if fault.Is(err, fault.KindNotFound) {
		return "", false, errUnknownEnrolment
	}
	if err != nil {
		return "", false, err
	}
	if e.Used.IsZero() {
		if !now.Before(e.Expires) {
			return "", false, errUnknownEnrolment
		}
		e.Used, e.Key = now, key
		return e.Target, false, tx.PutEnrolment(e)
	}
	if e.Key != key || now.After(e.Used.Add(repeatWithin)) {
		return "", false, errUnknownEnrolment
	}
	a, err := tx.Agent(e.Target)
	if fault.Is(err, fault.KindNotFound) || err == nil && a.Key != key {
		return "", false, errUnknownEnrolment
	}
	return e.Target, true, err
}
