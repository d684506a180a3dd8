package fleet

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"upkeep/internal/fault"
)

// Hold is a claim that no run has: a person holds it, for work that other tools
// do, or a node that is about to restart itself.
type Hold struct {
	ID      string
	Project string
	Names   []string // as people say them, such as server/web-1
	Keys    []string // what that comes to
	By      string   // "user/NAME"
	Reason  string
	Group   string // of a node: the redundancy group of which it holds a place
	Node    string // empty: a person holds it
	Since   time.Time
	Until   time.Time // when it ends by itself; zero: when it is released
}

// Limits of what is claimed.
const (
	MaxClaims  = 32 // names in one hold, runbook or service
	MinHolding = time.Minute
	MaxHolding = 31 * 24 * time.Hour
	MaxHolds   = 1000 // of persons, in one project
	MaxNodeKey = 253  // bytes of a node's name
)

// Over reports whether the hold has ended by itself.
func (h Hold) Over(now time.Time) bool { return !h.Until.IsZero() && !now.Before(h.Until) }

// WholeLabels are the labels that say in what wholes a target is: who holds the
// whole keeps everybody else from working within it.
var WholeLabels = []string{ClaimRegion, "cluster"}

// Kinds of claims that stand for something known here; all others are names
// that people agree upon.
const (
	ClaimServer  = "server"
	ClaimService = "service"
	ClaimGroup   = "group"
	ClaimRegion  = "region" // whole, but for what works within it
)

var claimName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// ValidClaim blames field if a name can't be claimed. KIND alone is not one.
func ValidClaim(field, name string) error {
	if !claimName.MatchString(name) {
		return fault.Invalid(field, "%q can't be claimed: write KIND/NAME, such as server/web-1, region/eu01 or database/keystone", name)
	}
	return nil
}

// ValidClaims blames field if a runbook or a service can't claim these names.
// region and cluster alone are those that the service is in by its labels.
func ValidClaims(field string, names []string) error {
	if len(names) > MaxClaims {
		return fault.Invalid(field, "at most %d, not %d", MaxClaims, len(names))
	}
	for i, name := range names {
		kind, _, _ := strings.Cut(name, "/")
		switch {
		case slices.Contains(names[:i], name):
			return fault.Invalid(field, "%q stands twice", name)
		case slices.Contains(WholeLabels, name):
			continue
		case kind == ClaimGroup:
			return fault.Invalid(field, "%q: the places of a group are taken by the updates of its members; name something else", name)
		}
		if err := ValidClaim(field, name); err != nil {
			return err
		}
	}
	return nil
}
