package store

import (
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
)

// ReadWorld reads what a run may know besides its target, which is t, and its
// own orders. silent is how long an agent may be unheard of before its server
// counts as down.
func ReadWorld(tx Tx, r run.Run, t fleet.Target, now time.Time, silent time.Duration) (run.World, error) {
	w := run.World{Now: now, Target: t}
	var err error
	if w.Freezes, err = tx.Freezes(r.Project, now); err != nil {
		return w, err
	}
	if r.Group != "" {
		if w.Group, err = readGroup(tx, r, now, silent); err != nil {
			return w, err
		}
	}
	if r.Book != nil {
		err = readService(tx, r, &w, silent)
	} else {
		w.Within = run.Within(t)
		err = readDuties(tx, r, &w, silent)
	}
	if err != nil {
		return w, err
	}
	return w, readClaims(tx, r, &w)
}

// readClaims reads who else holds what the run needs. Most often nobody does,
// and then it is one query.
func readClaims(tx Tx, r run.Run, w *run.World) (err error) {
	own := r.ClaimKeys()
	keys := append(append(own, w.Within...), r.GroupKeys(w.Group.Rules.Room())...)
	if w.Claims, err = tx.ClaimsOn(keys); err != nil {
		return err
	}
	for _, key := range own {
		if !run.Named(key) || w.Claims[key] != "" {
			continue
		}
		who, err := tx.ClaimWithin(key, r.ID)
		if err != nil {
			return err
		}
		if who != "" {
			w.Claims[key] = who
		}
	}
	for key, holder := range w.Claims {
		if holder == r.ID {
			delete(w.Claims, key)
		}
	}
	return readHolders(tx, w)
}

// readHolders reads who holds what, for people.
func readHolders(tx Tx, w *run.World) error {
	for key, id := range w.Claims {
		if w.Holders == nil {
			w.Holders, w.Called = map[string]plan.Holder{}, map[string]string{}
		}
		called, err := CalledKey(tx, key)
		if err != nil {
			return err
		}
		w.Called[key] = called
		if _, known := w.Holders[id]; known {
			continue
		}
		if w.Holders[id], err = HolderOf(tx, id); err != nil {
			return err
		}
	}
	return nil
}

// HolderOf is who holds something, by the id of a run or a hold.
func HolderOf(tx interface {
	Claims
	Runs
}, id string) (plan.Holder, error) {
	h, err := tx.Hold(id)
	if err == nil {
		return plan.Holder{By: h.By, Reason: h.Reason, Until: h.Until}, nil
	}
	if !fault.Is(err, fault.KindNotFound) {
		return plan.Holder{}, err
	}
	r, err := tx.Run(id)
	if fault.Is(err, fault.KindNotFound) {
		return plan.Holder{}, nil
	}
	return plan.Holder{Name: r.Name}, err
}

// CalledKey is what a key is called.
func CalledKey(tx Targets, key string) (string, error) {
	id, ok := strings.CutPrefix(key, run.TargetKey(""))
	if !ok {
		return run.CalledKey(key), nil
	}
	t, err := tx.Target(id)
	if fault.Is(err, fault.KindNotFound) {
		return "", nil
	}
	return t.Name, err
}

// readService reads, for the run of a runbook, the servers of its members:
// which of them are down for reasons of their own, and in what wholes they are.
func readService(tx Tx, r run.Run, w *run.World, silent time.Duration) error {
	targets := []fleet.Target{w.Target}
	w.Down = map[string]string{}
	hosts, seen, err := hostsOf(tx, r.Book.Hosts)
	if err != nil {
		return err
	}
	for member, t := range hosts {
		targets = append(targets, t)
		if why := t.Down(seen[t.ID], w.Now, silent); why != "" {
			w.Down[member] = why
		}
	}
	w.Within = run.Within(targets...)
	return nil
}

// hostsOf are servers by member, and when their agents were last heard of, by
// id. One that was removed is missing.
func hostsOf(tx Tx, ids map[string]string) (hosts map[string]fleet.Target, seen map[string]time.Time, err error) {
	hosts, seen = make(map[string]fleet.Target, len(ids)), make(map[string]time.Time, len(ids))
	all := make([]string, 0, len(ids))
	for member, id := range ids {
		t, err := tx.Target(id)
		if fault.Is(err, fault.KindNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		hosts[member] = t
		all = append(all, id)
	}
	agents, err := tx.Agents(all)
	for _, a := range agents {
		seen[a.Target] = a.LastSeen
	}
	return hosts, seen, err
}

// readDuties reads which services need the server that a run updates.
func readDuties(tx Tx, r run.Run, w *run.World, silent time.Duration) error {
	services, err := tx.ServicesOn(r.Project, r.Name)
	if err != nil {
		return err
	}
	for _, t := range services {
		if t.Service == nil || t.Service.Quorum == 0 {
			continue
		}
		duty, err := readDuty(tx, r, t, w.Now, silent)
		if err != nil {
			return err
		}
		w.Duties = append(w.Duties, duty)
	}
	return nil
}

// readDuty counts the members of a service that stay up while the run's server is
// down. A member that has no server here counts as up.
func readDuty(tx Tx, r run.Run, service fleet.Target, now time.Time, silent time.Duration) (plan.Duty, error) {
	d := plan.Duty{Service: service.Name, Quorum: service.Service.Quorum}
	ids := map[string]string{}
	for _, m := range service.Service.Members {
		if m.Server == r.Name {
			continue
		}
		d.Left++
		if m.Server == "" {
			continue
		}
		t, err := tx.TargetNamed(service.Project, m.Server)
		if err == nil {
			ids[m.Name] = t.ID
		} else if !fault.Is(err, fault.KindNotFound) {
			return d, err
		}
	}
	hosts, seen, err := hostsOf(tx, ids)
	if err != nil {
		return d, err
	}
	keys := make([]string, 0, len(ids))
	for _, id := range ids {
		keys = append(keys, run.TargetKey(id))
	}
	held, err := tx.ClaimsOn(keys)
	for _, m := range service.Service.Members {
		t, known := hosts[m.Name]
		if known && (held[run.TargetKey(t.ID)] != "" || t.Down(seen[t.ID], now, silent) != "") {
			d.Left--
			d.Down = append(d.Down, m.Name)
		}
	}
	return d, err
}
