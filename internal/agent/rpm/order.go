package rpm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"upkeep/internal/action"
)

// Memo is what is known of the time before an order.
type Memo struct {
	Before State            `json:"before,omitempty"` // all packages
	Todo   []action.Package `json:"todo,omitempty"`   // those of the order that are to be brought to their version
	Mend   []action.Package `json:"mend,omitempty"`   // for Repair: those that are to be installed once more
}

// ReadMemo reads what Memo.Text wrote; of nothing it reads nothing.
func ReadMemo(text json.RawMessage) (Memo, error) {
	var m Memo
	if len(text) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read what the journal knows of the order: %w", err)
	}
	return m, nil
}

// Changes reports whether a kind of order changes packages.
func Changes(k action.Kind) bool {
	return k == action.Install || k == action.Repair || k == action.Restore
}

// Todo is which of an order's packages are not yet as it wants them. One that
// is not installed is never installed for it: an update is not how a package
// comes to a host.
func (s State) Todo(o action.Order) []action.Package {
	var todo []action.Package
	for _, p := range o.Packages {
		if has := s.Newest(p.Name); has != "" && !satisfied(o.Kind, has, p.Version) {
			todo = append(todo, p)
		}
	}
	return todo
}

// satisfied reports whether a version is as good as the wanted one. Somebody
// else may have installed a newer one since the order was planned; going back
// is for Restore alone.
func satisfied(k action.Kind, has, wanted string) bool {
	c := Compare(has, wanted)
	return c == 0 || c > 0 && k != action.Restore
}

// Missing lists what an order asks for and is not so. half are the packages
// that are half done.
func (s State) Missing(o action.Order, half []string) []action.Failure {
	var all []action.Failure
	add := func(name, format string, args ...any) {
		all = append(all, action.Failure{Name: name, Reason: fmt.Sprintf(format, args...)})
	}
	if o.Kind == action.Repair {
		for _, name := range half {
			add(name, "it is left half done in version %s", strings.Join(s[name], " and "))
		}
	}
	if o.Kind != action.Install && o.Kind != action.Restore {
		return all
	}
	for _, p := range o.Packages {
		has := s.Newest(p.Name)
		switch {
		case has == "":
			add(p.Name, "it is not installed")
		case slices.Contains(half, p.Name):
			add(p.Name, "it is left half done in version %s", strings.Join(s[p.Name], " and "))
		case !satisfied(o.Kind, has, p.Version):
			add(p.Name, "it stays in version %s", has)
		}
	}
	return all
}

// Difference is what has changed from one state to another. A further version
// of a package, such as a kernel, is a change from its newest one; an old one
// that had to go for it is a change to nothing.
func Difference(before, after State) []action.Change {
	var all []action.Change
	names := slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		from := before.Newest(name)
		come, gone := without(after[name], before[name]), without(before[name], after[name])
		for _, to := range come {
			all = append(all, action.Change{Name: name, From: from, To: to})
		}
		for _, v := range gone {
			if len(come) == 0 || v != from {
				all = append(all, action.Change{Name: name, From: v})
			}
		}
	}
	return all
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(v string) bool { return slices.Contains(some, v) })
}

// Removed lists the packages, without their architecture, that would be gone
// after an order with these effects. Of several kernels the oldest may go.
func (s State) Removed(effects []action.Change) []string {
	stays := map[string]bool{}
	for _, e := range effects {
		if bare, _ := Split(e.Name); e.To != "" {
			stays[bare] = true
		}
	}
	var gone []string
	for _, e := range effects {
		if bare, _ := Split(e.Name); e.To == "" && !stays[bare] && len(s[e.Name]) < 2 {
			gone = append(gone, bare)
		}
	}
	slices.Sort(gone)
	return slices.Compact(gone)
}

// Objection says why an order with these effects is not to be tried; empty if it
// is. An update removes no package, not even for one that replaces it, and
// touches none that the host's owner holds.
func (s State) Objection(effects []action.Change, holds func(string) bool) string {
	if gone := s.Removed(effects); len(gone) > 0 {
		return fmt.Sprintf("it would remove %s, and an update removes no package", strings.Join(gone, ", "))
	}
	for _, e := range effects {
		if e.To != "" && holds(e.Name) {
			return fmt.Sprintf("it would bring %s to %s along, which this host's owner holds", e.Name, e.To)
		}
	}
	return ""
}

// Scriptlets reads which packages' scriptlets failed, and how, from what rpm
// printed through dnf or zypper:
//
//	warning: %post(bad-2.0-1.noarch) scriptlet failed, exit status 1
//	error: %prein(badpre-2.0-1.noarch) scriptlet failed, exit status 3
//	error: badpre-2.0-1.noarch: install failed
func Scriptlets(text, native string) []action.Failure {
	var all []action.Failure
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		_, what, ok := strings.Cut(line, "warning: %")
		if !ok {
			_, what, ok = strings.Cut(line, "error: %")
		}
		kind, rest, cut := strings.Cut(what, "(")
		nevra, reason, closed := strings.Cut(rest, ") scriptlet failed")
		if ok && cut && closed {
			reason = strings.TrimPrefix(reason, ", ")
			all = addFailure(all, nevra, native, "the scriptlet %"+kind+" failed: "+reason)
			continue
		}
		if nevra, ok := strings.CutPrefix(line, "error: "); ok {
			if nevra, ok := strings.CutSuffix(nevra, ": install failed"); ok {
				all = addFailure(all, nevra, native, "rpm could not install it")
			}
		}
	}
	return all
}

// addFailure adds one to what has failed, unless it is known of the package already.
func addFailure(all []action.Failure, nevra, native, reason string) []action.Failure {
	name, _, arch, ok := ParseNEVRA(nevra)
	if !ok {
		return all
	}
	name = Name(name, arch, native)
	if slices.ContainsFunc(all, func(f action.Failure) bool { return f.Name == name }) {
		return all
	}
	return append(all, action.Failure{Name: name, Reason: reason})
}
