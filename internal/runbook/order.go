package runbook

import (
	"maps"
	"slices"
	"time"

	"upkeep/internal/fault"
)

// Order is in which order members are maintained.
type Order string

// The orders.
const (
	ByAge    Order = ""         // the oldest first where the ages of all are known, else as listed
	Oldest   Order = "oldest"   // the oldest first; the ages of all must be known
	Listed   Order = "listed"   // as the service lists them
	Reversed Order = "reversed" // from the last one that the service lists to the first
)

// Targets says which members of a service are maintained. The others are left
// as they are, and count for the quorum and for proofs as ever.
type Targets struct {
	Labels map[string]string // a member must have all of them; none: every member
}

// Matches reports whether a member with those labels is maintained.
func (t Targets) Matches(labels map[string]string) bool {
	for name, value := range t.Labels {
		if got, ok := labels[name]; !ok || got != value {
			return false
		}
	}
	return true
}

// Limits of targets and batches.
const (
	maxLabels     = 32
	maxLabelBytes = 256
	maxBatches    = 32
	MaxPause      = 24 * time.Hour
)

// Uses reports whether a step is done at such a place.
func (b Book) Uses(on On) bool {
	return slices.ContainsFunc(b.phases(), func(p phase) bool {
		return slices.ContainsFunc(p.steps, func(s Step) bool { return s.On == on })
	})
}

// validOrder is about which members are maintained, and in which order.
func (b Book) validOrder() error {
	if len(b.Targets.Labels) > maxLabels {
		return fault.Invalid("targets.labels", "at most %d, not %d", maxLabels, len(b.Targets.Labels))
	}
	for _, name := range slices.Sorted(maps.Keys(b.Targets.Labels)) {
		if value := b.Targets.Labels[name]; name == "" || len(name) > maxLabelBytes || len(value) > maxLabelBytes {
			return fault.Invalid("targets.labels", "name and value of %.20q must have 1 to %d bytes", name, maxLabelBytes)
		}
	}
	switch {
	case !slices.Contains([]Order{ByAge, Oldest, Listed, Reversed}, b.Order):
		return fault.Invalid("order", "must be oldest, listed, reversed or left out, not %q", b.Order)
	case len(b.Batches) > maxBatches:
		return fault.Invalid("batches", "at most %d, not %d", maxBatches, len(b.Batches))
	case b.Pause < 0 || b.Pause > MaxPause:
		return fault.Invalid("pause", "must be from 0 to %v, not %v", MaxPause, b.Pause)
	case b.Pause > 0 && len(b.Batches) == 0:
		return fault.Invalid("pause", "is between batches, and batches is missing")
	}
	for i, size := range b.Batches {
		if most := max(b.MaxUnavailable, 1); size < 1 || size > most {
			return fault.Invalid("batches["+itoa(i)+"]", "must be from 1 to maxUnavailable, which is %d, not %d", most, size)
		}
	}
	return nil
}

// BatchOf numbers the batch of the i-th member, from 0; all are in one where
// the runbook has no batches.
func (b Book) BatchOf(i int) int {
	if len(b.Batches) == 0 {
		return 0
	}
	for n, size := range b.Batches {
		if i < size {
			return n
		}
		i -= size
	}
	last := len(b.Batches) - 1
	return last + 1 + i/b.Batches[last]
}
