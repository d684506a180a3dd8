package rollout

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/fault"
)

// Release is what a train carries: a version, and what exactly it consists of.
type Release struct {
	Train   string
	Version string
	Title   string
	Digests map[string]string // component → the digest of its image
	Issues  []Issue
}

// Issue is something known of a release that a person must see to before it
// goes on.
type Issue struct {
	ID     string
	Text   string
	Before string // the environment before which it must be acknowledged; empty: every one
	Veto   bool   // it stops the release there unless a person waives it, with a reason
}

// StoredRelease is a release as it is kept.
type StoredRelease struct {
	Project  string
	Release  Release // its version is unique in its train
	Veto     *Veto   // nil: nobody objects
	Changed  time.Time
	Revision int64
}

// Veto is a person's objection to a release: it goes nowhere any more.
type Veto struct {
	By     string
	Reason string
	At     time.Time
}

// Limits of a release.
const (
	MaxComponents = 200
	MaxIssues     = 100
)

var digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Validate blames the first field that can't be.
func (r Release) Validate() error {
	switch {
	case !name.MatchString(r.Train):
		return fault.Invalid("train", "%q is no train's name", r.Train)
	case !version.MatchString(r.Version):
		return fault.Invalid("version", "%q is no version: 1 to 63 letters, digits, dots, dashes, pluses and underscores", r.Version)
	case len(r.Title) > 200:
		return fault.Invalid("title", "may have 200 bytes, not %d", len(r.Title))
	case len(r.Digests) > MaxComponents:
		return fault.Invalid("digests", "at most %d, not %d", MaxComponents, len(r.Digests))
	case len(r.Issues) > MaxIssues:
		return fault.Invalid("issues", "at most %d, not %d", MaxIssues, len(r.Issues))
	}
	for _, c := range slices.Sorted(maps.Keys(r.Digests)) {
		if !component.MatchString(c) {
			return fault.Invalid("digests."+c, "%q is no component's name: 1 to 63 small letters, digits and dashes", c)
		}
		if err := ValidDigest("digests."+c, r.Digests[c]); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for i, issue := range r.Issues {
		field := "issues[" + strconv.Itoa(i) + "]"
		switch {
		case !version.MatchString(issue.ID):
			return fault.Invalid(field+".id", "%q is no name: 1 to 63 letters, digits, dots, dashes, pluses and underscores", issue.ID)
		case seen[issue.ID]:
			return fault.Invalid(field+".id", "%q stands twice", issue.ID)
		case issue.Text == "" || len(issue.Text) > maxText:
			return fault.Invalid(field+".text", "must have from 1 to %d bytes: it is what a person acknowledges", maxText)
		case issue.Before != "" && !name.MatchString(issue.Before):
			return fault.Invalid(field+".before", "%q is no environment's name", issue.Before)
		}
		seen[issue.ID] = true
	}
	return nil
}

// ValidDigest refuses what is no digest of an image.
func ValidDigest(field, text string) error {
	if !digest.MatchString(text) {
		return fault.Invalid(field, "must be sha256: and 64 hex digits, not %q", text)
	}
	return nil
}

// Fits refuses a release that its train can't carry: a digest that a phase asks
// for is missing, an issue names no environment, or the catalogue does not
// know the version.
func (r Release) Fits(t Train) error {
	if len(t.Catalogue.Releases) > 0 && t.Catalogue.at(r.Version) < 0 {
		return fault.Invalid("version", "%q is not in the catalogue of train %s", r.Version, t.Name)
	}
	for i, issue := range r.Issues {
		if _, ok := t.Environment(issue.Before); issue.Before != "" && !ok {
			return fault.Invalid("issues["+strconv.Itoa(i)+"].before", "%q is no environment of train %s", issue.Before, t.Name)
		}
	}
	for _, e := range t.Environments {
		for _, p := range t.PhasesOf(e) {
			for _, k := range slices.Sorted(maps.Keys(p.Params)) {
				for _, m := range place.FindAllStringSubmatch(p.Params[k], -1) {
					c, ok := strings.CutPrefix(strings.TrimSpace(m[1]), "digest.")
					if ok && r.Digests[c] == "" {
						return fault.Invalid("digests."+c, "is missing: phase %s of environment %s asks for it", p.Name, e.Name)
					}
				}
			}
		}
	}
	return nil
}

// before lists the issues that must be seen to before an environment.
func (r Release) before(environment string) (all []Issue) {
	for _, i := range r.Issues {
		if i.Before == "" || i.Before == environment {
			all = append(all, i)
		}
	}
	return all
}
