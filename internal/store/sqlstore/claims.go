package sqlstore

import (
	"slices"
	"strconv"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/store"
)

// hold makes the claims of a run, or of a hold, exactly those.
func (t *tx) hold(id, project string, keys []string) error {
	held, err := list(t, "read claims", `SELECT key FROM claims WHERE run = $1`, []any{id}, func(row scanner) (key string, err error) {
		return key, row.Scan(&key)
	})
	if err != nil {
		return err
	}
	for _, key := range held {
		if !slices.Contains(keys, key) {
			if _, err := t.exec("drop claim", `DELETE FROM claims WHERE key = $1 AND run = $2`, key, id); err != nil {
				return err
			}
		}
	}
	for _, part := range chunks(keys) {
		for _, key := range part {
			if slices.Contains(held, key) {
				continue
			}
			if _, err := t.exec("take claim", `INSERT INTO claims (key, run, project) VALUES ($1, $2, $3)`, key, id, project); err != nil {
				return err
			}
		}
	}
	return nil
}

// mayHold refuses keys that somebody else holds.
func (t *tx) mayHold(id string, keys []string) error {
	holders, err := t.ClaimsOn(keys)
	if err != nil {
		return err
	}
	for _, key := range keys { // in the caller's order, so that the answer is always the same
		if other, ok := holders[key]; ok && other != id {
			return fault.Conflict("run %s holds %s", other, key)
		}
	}
	return nil
}

// ClaimsOn implements store.Claims.
func (t *tx) ClaimsOn(keys []string) (map[string]string, error) {
	holders := make(map[string]string)
	for _, part := range chunks(keys) {
		cond, args := in("key", part, nil)
		err := t.each("read claims", `SELECT key, run FROM claims WHERE `+cond, args, func(row scanner) error {
			var key, id string
			err := row.Scan(&key, &id)
			holders[key] = id
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return holders, nil
}

// ClaimWithin implements store.Claims.
func (t *tx) ClaimWithin(key, but string) (holder string, err error) {
	// What follows the key in the marks is an @, and A comes after it.
	_, err = t.get("read claims", `SELECT run FROM claims WHERE key >= $1 AND key < $2 AND run <> $3 ORDER BY key LIMIT 1`,
		[]any{key + "@", key + "A", but}, &holder)
	return holder, err
}

// Claims implements store.Claims.
func (t *tx) Claims(f store.ClaimFilter) ([]store.Claim, error) {
	var w filter
	w.equal("project", f.Project)
	if f.After != "" {
		w.add("key > ?", f.After)
	}
	return list(t, "list claims", w.query(`SELECT key, run, project FROM claims`, "key", f.Limit), w.args, func(row scanner) (c store.Claim, err error) {
		return c, row.Scan(&c.Key, &c.Holder, &c.Project)
	})
}

func scanHold(row scanner) (h fleet.Hold, err error) {
	var text string
	if err := row.Scan(&text); err != nil {
		return h, err
	}
	return h, decode(text, &h)
}

// Hold implements store.Claims.
func (t *tx) Hold(id string) (fleet.Hold, error) {
	return one(t, "claim", id, `SELECT doc FROM holds WHERE id = $1`, []any{id}, scanHold)
}

// Holds implements store.Claims.
func (t *tx) Holds(project string) ([]fleet.Hold, error) {
	var w filter
	w.equal("project", project)
	return list(t, "list claims", w.query(`SELECT doc FROM holds`, "id", 0), w.args, scanHold)
}

// AddHold implements store.Claims.
func (t *tx) AddHold(h fleet.Hold) error {
	doc, err := encode(h)
	if err != nil {
		return fault.Internal("write claim", err)
	}
	if err := t.mayHold(h.ID, h.Keys); err != nil {
		return err
	}
	insert := `INSERT INTO holds (id, project, doc) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	if err := t.put("claim", h.ID, 0, insert, "", []any{h.ID, h.Project, doc}); err != nil {
		return err
	}
	return t.hold(h.ID, h.Project, h.Keys)
}

// DropHold implements store.Claims.
func (t *tx) DropHold(id string) error {
	if err := t.hold(id, "", nil); err != nil {
		return err
	}
	return t.remove("claim", id, `DELETE FROM holds WHERE id = $1`)
}

// setMembers keeps which servers a service has members on.
func (t *tx) setMembers(service fleet.Target) error {
	if _, err := t.exec("write members", `DELETE FROM service_members WHERE service = $1`, service.ID); err != nil {
		return err
	}
	for _, m := range service.Service.Members {
		if m.Server == "" {
			continue
		}
		if _, err := t.exec("write members", `INSERT INTO service_members (service, project, server) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			service.ID, service.Project, m.Server); err != nil {
			return err
		}
	}
	return nil
}

// ServicesOn implements store.Targets.
func (t *tx) ServicesOn(project, server string) ([]fleet.Target, error) {
	return list(t, "list services", selectTarget+` WHERE id IN (SELECT service FROM service_members WHERE project = $1 AND server = $2) ORDER BY id`,
		[]any{project, server}, scanTarget)
}

// SharedTargets implements store.Targets.
func (t *tx) SharedTargets(project string, limit int) ([]string, error) {
	query := `SELECT id FROM targets WHERE project = $1 AND (kind = $2 OR grp <> '' OR name IN (SELECT server FROM service_members WHERE project = $1))
		ORDER BY CASE kind WHEN $2 THEN 0 ELSE 1 END, id LIMIT ` + strconv.Itoa(limit)
	return list(t, "list targets", query, []any{project, string(fleet.ServiceKind)}, func(row scanner) (id string, err error) {
		return id, row.Scan(&id)
	})
}
