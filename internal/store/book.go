package store

import (
	"maps"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/history"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
)

// OpenBook opens a run of a runbook on a service, with the book, the service
// and its hosts as they are now. It stores nothing. Not found: there is no such
// runbook. Invalid: the runbook can't be carried out on the service.
func OpenBook(tx interface {
	Targets
	Runbooks
}, o run.Opening, name string, params map[string]string, now time.Time) (r run.Run, facts []history.Fact, err error) {
	book, err := tx.Runbook(o.Target.Project, name)
	if err != nil {
		return r, nil, err
	}
	hosts, err := Hosts(tx, o.Target)
	if err != nil {
		return r, nil, err
	}
	if o.Claims, err = bookClaims(tx, o, book.Book); err != nil {
		return r, nil, err
	}
	manager := ""
	if book.Book.Uses(runbook.Manager) { // else it is nothing to hold
		if manager, err = Manager(tx, o.Target); err != nil {
			return r, nil, err
		}
	}
	r, facts, err = run.OpenBook(o, run.Book{Runbook: book.Book, Service: *o.Target.Service, Hosts: hosts, Manager: manager, Only: o.Only}, maps.Clone(params), now)
	if err != nil {
		return r, nil, err
	}
	seen, err := observations(tx, hosts, manager)
	if err != nil {
		return r, nil, err
	}
	return r, facts, r.Offered(seen)
}

// observations are what the hosts of a service looked like last, by the ids of
// their servers.
func observations(tx Targets, hosts map[string]string, manager string) (map[string]*action.Observation, error) {
	seen := map[string]*action.Observation{}
	for _, id := range append(slices.Collect(maps.Values(hosts)), manager) {
		if id == "" {
			continue
		}
		t, err := tx.Target(id)
		if err != nil {
			return nil, err
		}
		seen[id] = t.Observed
	}
	return seen, nil
}

// bookClaims are the keys that a run of a book claims: what the service, the
// book and who opens it have named.
func bookClaims(tx Targets, o run.Opening, b runbook.Book) (keys []string, err error) {
	for _, from := range []struct {
		field string
		names []string
	}{{"claims", o.Claims}, {"claims", o.Target.Service.Claims}, {"runbook.claims", b.Claims}} {
		for _, name := range from.names {
			key, err := claimKey(tx, o.Target, from.field, name)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys, nil
}

// claimKey is what a name comes to that is claimed for a service.
func claimKey(tx Targets, service fleet.Target, field, name string) (string, error) {
	kind, of, _ := strings.Cut(name, "/")
	switch {
	case of == "":
		if name += "/" + service.Labels[kind]; fleet.ValidClaim(field, name) != nil {
			return "", fault.Invalid("labels."+kind, "must name the %s of service %s, for it is claimed", kind, service.Name)
		}
	case kind == fleet.ClaimServer || kind == fleet.ClaimService:
		t, err := tx.TargetNamed(service.Project, of)
		if fault.Is(err, fault.KindNotFound) || err == nil && string(t.Kind) != kind {
			return "", fault.Invalid(field, "there is no %s %q in project %s", kind, of, service.Project)
		}
		return run.TargetKey(t.ID), err
	}
	return run.NameKey(service.Project, name), nil
}

// Hosts are the ids of the servers that a service's members run on, by member.
// Invalid: a member names a server that there is not.
func Hosts(tx Targets, service fleet.Target) (map[string]string, error) {
	all := map[string]string{}
	for _, m := range service.Service.Members {
		if m.Server == "" {
			continue
		}
		srv, err := tx.TargetNamed(service.Project, m.Server)
		if fault.Is(err, fault.KindNotFound) || err == nil && srv.Kind != fleet.Server {
			return nil, fault.Invalid("members."+m.Name+".server", "there is no server %q in project %s", m.Server, service.Project)
		}
		if err != nil {
			return nil, err
		}
		all[m.Name] = srv.ID
	}
	return all, nil
}

// Manager is the id of the server that a service names as its manager; empty if
// it names none. Invalid: it names a server that there is not.
func Manager(tx Targets, service fleet.Target) (string, error) {
	name := service.Service.Manager
	if name == "" {
		return "", nil
	}
	srv, err := tx.TargetNamed(service.Project, name)
	if fault.Is(err, fault.KindNotFound) || err == nil && srv.Kind != fleet.Server {
		return "", fault.Invalid("manager", "there is no server %q in project %s", name, service.Project)
	}
	return srv.ID, err
}
