// Package desk is WHAT CALLERS ASK: the one room behind every door. Each
// method authorises, validates, writes the intent and nudges, in that order;
// nothing is acted on here. Every method returns faults.
package desk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/store"
)

// Desk answers callers.
type Desk struct {
	db    store.DB
	newID func() string
	nudge func()
	zone  string // of the built-in template's weekend
}

// New makes a desk. newID gives ids that grow with time; nudge tells the
// engine that there may be work, and may get lost.
func New(db store.DB, newID func() string, nudge func()) *Desk {
	return &Desk{db: db, newID: newID, nudge: nudge, zone: "UTC"}
}

// In says in which zone's weekend managed servers are updated where nobody has
// made another template the default one.
func (d *Desk) In(zone string) *Desk {
	d.zone = zone
	return d
}

// Caller is who asks, and under which idempotency key, if any.
type Caller struct {
	identity.Principal
	Key string // the same key with the same request is answered the same, for a day
}

// DefaultProject is where things belong for whom a caller names no project.
const DefaultProject = "default"

// maxKey is the longest idempotency key, in bytes.
const maxKey = 255

// project is the one that a request is about: what it names, else the
// caller's own, else the default one.
func (c Caller) project(named string) string {
	switch {
	case named != "":
		return named
	case c.Project != "":
		return c.Project
	}
	return DefaultProject
}

// scope is the project that a list is confined to; empty: none.
func (c Caller) scope(named string) string {
	if named != "" {
		return named
	}
	return c.Project
}

// may is Principal.May, but what a caller must not know of is not found.
func (c Caller) may(verb identity.Verb, project, what, name string) error {
	if err := c.May(identity.Read, project); err != nil {
		return fault.NotFound(what, name)
	}
	return c.May(verb, project)
}

// once runs do in a transaction, unless the caller's key did so already: then
// found is called with what it did instead.
func (d *Desk) once(ctx context.Context, c Caller, request string, do func(store.Tx) (did string, err error), found func(tx store.Tx, did string) error) error {
	if len(c.Key) > maxKey {
		return fault.Invalid("Idempotency-Key", "must have at most %d bytes, not %d", maxKey, len(c.Key))
	}
	sum := sha256.Sum256([]byte(request))
	fingerprint := hex.EncodeToString(sum[:])
	err := d.db.Update(ctx, func(tx store.Tx) error {
		if c.Key != "" {
			did, repeated, err := tx.Repeated(c.Who(), c.Key, fingerprint)
			if err != nil {
				return err
			}
			if repeated {
				return found(tx, did)
			}
		}
		did, err := do(tx)
		if err != nil || c.Key == "" {
			return err
		}
		return tx.Remember(c.Who(), c.Key, fingerprint, did, time.Now())
	})
	if err == nil {
		d.nudge()
	}
	return err
}

// put says what a write of the put kind did: to which thing, and whether it is new.
func put(id string, made bool) string {
	if made {
		return "new " + id
	}
	return "old " + id
}

// wasPut reads what put has said.
func wasPut(did string) (id string, made bool) {
	kind, id, _ := strings.Cut(did, " ")
	return id, kind == "new"
}

// HistoryFilter selects facts.
type HistoryFilter struct {
	Project string
	Server  string // id or name
	Service string // id or name
	Run     string
	Rollout string // id, or a train's name
	After   int64  // only facts with a greater number
	Newest  bool
	Limit   int // 1 to MaxPage; 0: MaxPage
}

// MaxPage is the longest list that is answered at once.
const MaxPage = 1000

// waitStep is how often a held request looks whether there is news.
const waitStep = 250 * time.Millisecond

// History lists facts by number. If there are none yet it waits for up to wait.
func (d *Desk) History(ctx context.Context, c Caller, f HistoryFilter, wait time.Duration) ([]history.Fact, error) {
	if err := c.May(identity.Read, c.scope(f.Project)); err != nil {
		return nil, err
	}
	limit, err := page(f.Limit)
	if err != nil {
		return nil, err
	}
	filter := store.FactFilter{Project: c.scope(f.Project), Run: f.Run, After: f.After, Newest: f.Newest, Limit: limit}
	if f.Server != "" {
		t, err := d.Server(ctx, c, f.Project, f.Server)
		if err != nil {
			return nil, err
		}
		filter.Target = t.Target.ID
	}
	if f.Service != "" {
		s, err := d.Service(ctx, c, f.Project, f.Service)
		if err != nil {
			return nil, err
		}
		filter.Target = s.Target.ID
	}
	if f.Rollout != "" {
		r, err := d.Rollout(ctx, c, f.Project, f.Rollout)
		if err != nil {
			return nil, err
		}
		filter.Rollout = r.ID
	}
	deadline := time.Now().Add(wait)
	for {
		var facts []history.Fact
		err := d.db.View(ctx, func(tx store.Tx) error {
			var err error
			facts, err = tx.Facts(filter)
			return err
		})
		if err != nil || len(facts) > 0 || !time.Now().Before(deadline) {
			return facts, err
		}
		select {
		case <-ctx.Done():
			return nil, nil // the caller is gone or in no mood to wait: no news
		case <-time.After(waitStep):
		}
	}
}

func page(limit int) (int, error) {
	if limit < 0 || limit > MaxPage {
		return 0, fault.Invalid("limit", "must be from 1 to %d, not %d", MaxPage, limit)
	}
	if limit == 0 {
		return MaxPage, nil
	}
	return limit, nil
}

// fact is one that a caller made.
func (c Caller) fact(project, target string, kind history.Kind, format string, args ...any) []history.Fact {
	return []history.Fact{{
		At: time.Now(), Who: c.Who(), Project: project, Target: target, Kind: kind, Text: fmt.Sprintf(format, args...),
	}}
}
