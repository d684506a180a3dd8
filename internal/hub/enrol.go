package hub

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/limit"
	"upkeep/internal/store"
	"upkeep/internal/wire"
)

// maxVersion is the longest version that an agent can have, in bytes.
const maxVersion = 64

// errNotAgent is what every caller hears who is not the target's agent, or not
// any more.
var errNotAgent = fault.Denied("this key is not, or no longer, that of the server's agent; enrol it anew")

// enrol gives an agent its first certificate for a one-time secret.
func (h *Hub) enrol(w http.ResponseWriter, r *http.Request) (any, time.Duration, error) {
	if !h.enrols.Take(limit.Address(r.RemoteAddr), time.Now()) {
		return nil, 0, errTooOften
	}
	req, err := read[wire.EnrolRequest](w, r)
	if err != nil {
		return nil, 0, err
	}
	key, err := identity.RequestKey(req.CSR)
	if err != nil {
		return nil, 0, err
	}
	var answer wire.Certificate
	err = h.cfg.DB.Update(r.Context(), func(tx store.Tx) (err error) {
		answer, err = h.admit(tx, req, key, time.Now())
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	h.cfg.Woken() // perhaps: see replace
	return answer, 0, nil
}

// admit makes the holder of a key the agent of the target that its secret is for.
func (h *Hub) admit(tx store.Tx, req wire.EnrolRequest, key string, now time.Time) (wire.Certificate, error) {
	none := wire.Certificate{}
	id, repeated, err := identity.Redeem(tx, req.Token, key, now)
	if err != nil {
		return none, err
	}
	target, err := tx.Target(id)
	if err != nil {
		return none, err
	}
	agent := store.Agent{Target: id}
	switch had, err := tx.Agent(id); {
	case fault.Is(err, fault.KindNotFound):
	case err != nil:
		return none, err
	case had.Key == key:
		agent = had
	default:
		if target, err = replace(tx, target, now); err != nil {
			return none, err
		}
	}
	cert, err := h.cfg.Authority.SignAgent(req.CSR, id, "")
	if err != nil {
		return none, err
	}
	agent.Key, agent.Version, agent.Expires = key, clip(req.Version, maxVersion), cert.NotAfter
	if err := tx.PutAgent(agent); err != nil {
		return none, err
	}
	answer := h.certificate(target, cert)
	if answer.After, err = lastEnded(tx, target); err != nil || repeated {
		return answer, err
	}
	return answer, tx.AddFacts([]history.Fact{{
		At: now, Who: agentName(target), Project: target.Project, Target: id,
		Kind: history.Enrolled, Text: "the server's agent was enrolled with key " + key[:16],
	}})
}

// replace ends what another key's agent had been told. What this server looks
// like is unknown now, and so is what became of orders that were handed out:
// the journal that knew them may be gone, so they are not handed out again.
func replace(tx store.Tx, target fleet.Target, now time.Time) (fleet.Target, error) {
	open, err := tx.OpenOrders(target.ID)
	if err != nil {
		return target, err
	}
	for _, o := range open {
		if o.HandedAt.IsZero() {
			continue
		}
		_, err := tx.Answer(o.Key(), action.Result{
			Outcome: action.Interrupted, Finished: now,
			Reason: "the server was enrolled anew while this was under way; what became of it is not known",
		}, now)
		if err == nil {
			err = tx.Wake(store.RunKey(o.Run), now)
		}
		if err != nil {
			return target, err
		}
	}
	target.Observed, target.ObservedAt = nil, time.Time{}
	return tx.PutTarget(target)
}

// lastEnded is the newest order that ended on a target, as far as open runs ask
// after it: taken in by them, or waiting to be. It is what a new agent says that
// its observations follow, so that those runs go on.
func lastEnded(tx store.Tx, target fleet.Target) (string, error) {
	runs, err := openRuns(tx, target.ID)
	if err != nil {
		return "", err
	}
	var keys []string
	for _, r := range runs {
		answers, err := tx.Answers(r.ID)
		if err != nil {
			return "", err
		}
		keys = slices.AppendSeq(keys, maps.Keys(answers))
	}
	key, _, err := newestOf(tx, target.ID, keys)
	return key, err
}

// renew gives an agent its next certificate.
func (h *Hub) renew(w http.ResponseWriter, r *http.Request) (any, time.Duration, error) {
	peer, err := h.peer(r)
	known := err == nil
	// Without a certificate this costs an address what an enrolment costs it.
	if known && !h.polls.Take(peer.Key, time.Now()) || !known && !h.enrols.Take(limit.Address(r.RemoteAddr), time.Now()) {
		return nil, 0, errTooOften
	}
	req, rerr := read[wire.RenewRequest](w, r)
	if rerr != nil {
		return nil, 0, rerr
	}
	if !known {
		// The agent's certificate has ended. That the request is signed with
		// the agent's key is proof enough, for the certificate is good for
		// nobody else; a recorded request brings its finder nothing.
		if req.Target == "" || len(req.Target) > maxName {
			return nil, 0, err
		}
		key, kerr := identity.RequestKey(req.CSR)
		if kerr != nil {
			return nil, 0, kerr
		}
		peer = identity.AgentPeer{Target: req.Target, Key: key}
	}
	target, err := h.targetOf(r.Context(), peer)
	if !known && fault.Is(err, fault.KindNotFound) {
		err = errNotAgent // strangers do not learn which targets there are
	}
	if err != nil {
		return nil, 0, err
	}
	cert, err := h.cfg.Authority.SignAgent(req.CSR, target.ID, peer.Key)
	if err != nil {
		return nil, 0, err
	}
	// Nothing is written: a poll with the new certificate tells its end, and
	// its key, if that is new, becomes the agent's by being used.
	return h.certificate(target, cert), 0, nil
}

// targetOf finds the target of a peer that is its agent. A new key that calls
// for the first time becomes the agent's.
func (h *Hub) targetOf(ctx context.Context, peer identity.AgentPeer) (fleet.Target, error) {
	var target fleet.Target
	changed := false
	look := func(tx store.Tx) error {
		had, err := tx.Agent(peer.Target)
		if err != nil {
			return err
		}
		next, err := succeed(had, peer)
		if err != nil {
			return err
		}
		if target, err = tx.Target(peer.Target); err != nil {
			return err
		}
		if changed { // since the look before this one
			return tx.PutAgent(next)
		}
		changed = next.Key != had.Key
		return nil
	}
	err := h.cfg.DB.View(ctx, look)
	if err == nil && changed {
		err = h.cfg.DB.Update(ctx, look)
	}
	return target, err
}

func (h *Hub) certificate(t fleet.Target, c identity.AgentCertificate) wire.Certificate {
	return wire.Certificate{
		Target: t.ID, Name: t.Name, Certificate: string(c.PEM), Authority: string(h.cfg.Authority.PEM()),
		RenewAfter: c.NotAfter.Add(-identity.AgentTTL / 3), NotAfter: c.NotAfter,
	}
}

// peer says who is calling. Denied: no agent of ours.
func (h *Hub) peer(r *http.Request) (identity.AgentPeer, error) {
	if h.cfg.Peer == nil {
		return identity.PeerOf(r.TLS)
	}
	target, key, err := h.cfg.Peer(r)
	return identity.AgentPeer{Target: target, Key: key}, err
}

// succeed checks a peer against what is known of its target's agent, and gives
// what is to be known from now on. A certificate for a new key names the key
// that asked for it: as long as that one is the agent's, the new one may take
// its place, and from then on the old one is refused. Until then both are
// good, for the answer that carried the certificate may have been lost. Denied:
// the agent has another key.
func succeed(agent store.Agent, peer identity.AgentPeer) (store.Agent, error) {
	if agent.Key == "" || peer.Key != agent.Key && peer.Follows != agent.Key {
		return agent, errNotAgent
	}
	agent.Key = peer.Key
	if !peer.NotAfter.IsZero() {
		agent.Expires = peer.NotAfter
	}
	return agent, nil
}

func agentName(t fleet.Target) string { return "agent/" + t.Name }
