package run

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"upkeep/internal/fleet"
	"upkeep/internal/plan"
)

// What is held is written as keys. Whoever holds a key keeps all others from
// it; a run holds its own from its first disruptive step on.
//
//	target/ID                     a server or a service
//	group/PROJECT/GROUP[#2, …]    one of the places of a redundancy group
//	name/PROJECT/KIND/NAME        what people have named, such as region/eu01
//	name/PROJECT/KIND/NAME@WHO    nothing by itself: WHO works within it
//
// Two runs within one region are possible, unless somebody holds the region:
// that waits until nobody works within it, and then nobody else begins to.

// TargetKey is what a run holds of a target while it disrupts it.
func TargetKey(target string) string { return "target/" + target }

// NameKey is what people have named in a project, such as database/keystone.
func NameKey(project, name string) string { return "name/" + project + "/" + name }

// WithinKey is the mark that who works within what a key stands for.
func WithinKey(key, who string) string { return key + "@" + who }

// Named reports whether a key is of what people have named, which others may
// work within.
func Named(key string) bool { return strings.HasPrefix(key, "name/") && !strings.Contains(key, "@") }

// CalledKey is what a key is called, for people; of a target, who knows its name
// says it.
func CalledKey(key string) string {
	parts := strings.SplitN(key, "/", 3)
	if len(parts) < 3 {
		return key
	}
	if parts[0] == "group" {
		group, _, _ := strings.Cut(parts[2], "#")
		return "group/" + group
	}
	return parts[2]
}

// PlaceKeys are the places of a redundancy group, of which who disrupts a
// member must hold one. room is how many of it may be disrupted at once.
func PlaceKeys(project, group string, room int) []string {
	first := "group/" + project + "/" + group
	keys := []string{first}
	for i := 2; i <= room; i++ {
		keys = append(keys, fmt.Sprintf("%s#%d", first, i))
	}
	return keys
}

// Within are the keys of the regions and clusters that targets say by their
// labels to be in.
func Within(targets ...fleet.Target) (keys []string) {
	for _, t := range targets {
		for _, label := range fleet.WholeLabels {
			name := label + "/" + t.Labels[label]
			if key := NameKey(t.Project, name); t.Labels[label] != "" && fleet.ValidClaim(label, name) == nil && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// ClaimKeys are what the run must hold, all of it, while it disrupts.
func (r Run) ClaimKeys() []string {
	keys := []string{TargetKey(r.Target)}
	add := func(key string) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if r.Book != nil {
		for _, member := range slices.Sorted(maps.Keys(r.Book.Hosts)) {
			add(TargetKey(r.Book.Hosts[member]))
		}
		if r.Book.Manager != "" {
			add(TargetKey(r.Book.Manager))
		}
	}
	for _, key := range r.Claims {
		add(key)
	}
	return keys
}

// GroupKeys are the places of the run's redundancy group, of which it must
// hold one while it disrupts; none if it is in no group. room is how many of
// the group may be disrupted at once.
func (r Run) GroupKeys(room int) []string {
	if r.Group == "" {
		return nil
	}
	return PlaceKeys(r.Project, r.Group, room)
}

// free are the keys that nobody else may hold: its own, and what it works within.
func (t *ticker) free() []string {
	keys := t.r.ClaimKeys()
	for _, key := range t.w.Within {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// duties are the services that need the server; none if it is down already, for
// then nothing is taken from them.
func (t *ticker) duties() []plan.Duty {
	if t.w.Target.Down(time.Time{}, t.w.Now, 0) != "" {
		return nil
	}
	return t.w.Duties
}

// hold takes what a disruptive step must hold.
func (t *ticker) hold() {
	t.r.Holds = t.r.ClaimKeys()
	if key, ok := t.world().FreeClaim(); ok {
		t.r.Holds = append(t.r.Holds, key)
	}
	for _, key := range t.w.Within {
		t.r.Holds = append(t.r.Holds, WithinKey(key, t.r.ID))
	}
}
