package sqlstore

import (
	"encoding/base64"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/store"
)

const selectToken = `SELECT id, hash, name, role, project, created, expires FROM tokens`

func scanToken(row scanner) (store.Token, error) {
	var k store.Token
	var created, expires int64
	err := row.Scan(&k.ID, &k.Hash, &k.Name, &k.Role, &k.Project, &created, &expires)
	k.Created, k.Expires = instant(created), instant(expires)
	return k, err
}

// TokenByHash implements store.Identities.
func (t *tx) TokenByHash(hash string) (store.Token, error) {
	return one(t, "token", "", selectToken+` WHERE hash = $1`, []any{hash}, scanToken)
}

// Tokens implements store.Identities.
func (t *tx) Tokens() ([]store.Token, error) {
	return list(t, "list tokens", selectToken+` ORDER BY id`, nil, scanToken)
}

// PutToken implements store.Identities.
func (t *tx) PutToken(k store.Token) error {
	taken, err := t.get("look for token", `SELECT id FROM tokens WHERE hash = $1 AND id <> $2`, []any{k.Hash, k.ID}, new(string))
	if err == nil && taken {
		err = fault.Conflict("another token has the same secret")
	}
	if err != nil {
		return err
	}
	_, err = t.exec("write token", `INSERT INTO tokens (id, hash, name, role, project, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, name = excluded.name, role = excluded.role,
			project = excluded.project, created = excluded.created, expires = excluded.expires`,
		k.ID, k.Hash, k.Name, k.Role, k.Project, micros(k.Created), micros(k.Expires))
	return err
}

// DeleteToken implements store.Identities.
func (t *tx) DeleteToken(id string) error {
	return t.remove("token", id, `DELETE FROM tokens WHERE id = $1`)
}

// EnrolmentByHash implements store.Identities.
func (t *tx) EnrolmentByHash(hash string) (store.Enrolment, error) {
	return one(t, "enrolment", "", `SELECT hash, target, created, expires, used, key FROM enrolments WHERE hash = $1`, []any{hash},
		func(row scanner) (store.Enrolment, error) {
			var e store.Enrolment
			var created, expires, used int64
			err := row.Scan(&e.Hash, &e.Target, &created, &expires, &used, &e.Key)
			e.Created, e.Expires, e.Used = instant(created), instant(expires), instant(used)
			return e, err
		})
}

// PutEnrolment implements store.Identities.
func (t *tx) PutEnrolment(e store.Enrolment) error {
	_, err := t.exec("write enrolment", `INSERT INTO enrolments (hash, target, created, expires, used, key) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (hash) DO UPDATE SET target = excluded.target, created = excluded.created, expires = excluded.expires,
			used = excluded.used, key = excluded.key`,
		e.Hash, e.Target, micros(e.Created), micros(e.Expires), micros(e.Used), e.Key)
	return err
}

const selectAgent = `SELECT target, key, version, last_seen, expires FROM agents`

func scanAgent(row scanner) (store.Agent, error) {
	var a store.Agent
	var seen, expires int64
	err := row.Scan(&a.Target, &a.Key, &a.Version, &seen, &expires)
	a.LastSeen, a.Expires = instant(seen), instant(expires)
	return a, err
}

// Agent implements store.Identities.
func (t *tx) Agent(target string) (store.Agent, error) {
	return one(t, "agent of target", target, selectAgent+` WHERE target = $1`, []any{target}, scanAgent)
}

// Agents implements store.Identities.
func (t *tx) Agents(targets []string) ([]store.Agent, error) {
	if targets == nil {
		return list(t, "list agents", selectAgent+` ORDER BY target`, nil, scanAgent)
	}
	var all []store.Agent
	for _, part := range chunks(targets) {
		cond, args := in("target", part, nil)
		some, err := list(t, "list agents", selectAgent+` WHERE `+cond+` ORDER BY target`, args, scanAgent)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// PutAgent implements store.Identities.
func (t *tx) PutAgent(a store.Agent) error {
	_, err := t.exec("write agent", `INSERT INTO agents (target, key, version, last_seen, expires) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (target) DO UPDATE SET key = excluded.key, version = excluded.version,
			last_seen = excluded.last_seen, expires = excluded.expires`,
		a.Target, a.Key, a.Version, micros(a.LastSeen), micros(a.Expires))
	return err
}

// DeleteAgent implements store.Identities.
func (t *tx) DeleteAgent(target string) error {
	return t.remove("agent of target", target, `DELETE FROM agents WHERE target = $1`)
}

// Secret implements store.Identities.
func (t *tx) Secret(name string) ([]byte, error) {
	text, err := one(t, "secret", name, `SELECT sealed FROM secrets WHERE name = $1`, []any{name},
		func(row scanner) (text string, err error) { return text, row.Scan(&text) })
	if err != nil {
		return nil, err
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fault.Internal("read secret", err)
	}
	return sealed, nil
}

// PutSecret implements store.Identities.
func (t *tx) PutSecret(name string, sealed []byte) (kept []byte, err error) {
	_, err = t.exec("write secret", `INSERT INTO secrets (name, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		name, base64.StdEncoding.EncodeToString(sealed))
	if err != nil {
		return nil, err
	}
	return t.Secret(name)
}

// Repeated implements store.Requests.
func (t *tx) Repeated(who, key, fingerprint string) (made string, repeated bool, err error) {
	var earlier string
	found, err := t.get("look for request", `SELECT fingerprint, made FROM requests WHERE who = $1 AND key = $2`, []any{who, key}, &earlier, &made)
	switch {
	case err != nil || !found:
		return "", false, err
	case earlier != fingerprint:
		return "", false, fault.Conflict("another request was made with the idempotency key %q", key)
	}
	return made, true, nil
}

// Remember implements store.Requests.
func (t *tx) Remember(who, key, fingerprint, made string, at time.Time) error {
	n, err := t.exec("remember request", `INSERT INTO requests (who, key, fingerprint, made, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		who, key, fingerprint, made, micros(at))
	if err == nil && n == 0 {
		err = fault.Conflict("a request was made with the idempotency key %q already", key)
	}
	return err
}

// ForgetRequests implements store.Requests.
func (t *tx) ForgetRequests(before time.Time) error {
	_, err := t.exec("forget requests", `DELETE FROM requests WHERE at < $1`, micros(before))
	return err
}
