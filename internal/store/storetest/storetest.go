// Package storetest is what every database of the store must do: the suite, a
// model of the queue, and workers that are stopped and killed.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"upkeep/internal/fault"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

// Run runs the suite. open gives an empty database and closes it when its test ends.
func Run(t *testing.T, open func(t *testing.T) store.DB) {
	for _, part := range []struct {
		name string
		test func(*testing.T, func(*testing.T) store.DB)
	}{
		{"transactions", transactions},
		{"targets", targets},
		{"templates", templates},
		{"redundancy groups", redundancyGroups},
		{"numbers", numbers},
		{"schedules", schedules},
		{"freezes", freezes},
		{"images", images},
		{"trains", trains},
		{"rollouts", rollouts},
		{"runs", runs},
		{"claims", claims},
		{"holds", holds},
		{"services on a server", servicesOn},
		{"orders", orders},
		{"facts", facts},
		{"evidence", seconds},
		{"identities", identities},
		{"requests", requests},
		{"queue", queue},
		{"model", model},
		{"races", races},
		{"documents", documents},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.test(t, open)
		})
	}
}

// start is when the tests' things happened.
var start = time.Date(2026, time.March, 1, 12, 0, 0, 123456000, time.UTC)

func update(t testing.TB, db store.DB, f func(store.Tx) error) {
	t.Helper()
	if err := db.Update(context.Background(), f); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func view(t testing.TB, db store.DB, f func(store.Tx) error) {
	t.Helper()
	if err := db.View(context.Background(), f); err != nil {
		t.Fatalf("view: %v", err)
	}
}

// refused expects an update to fail with a fault of that kind.
func refused(t testing.TB, db store.DB, kind fault.Kind, f func(store.Tx) error) {
	t.Helper()
	wantKind(t, db.Update(context.Background(), f), kind)
}

// missing expects a view to find nothing.
func missing(t testing.TB, db store.DB, f func(store.Tx) error) {
	t.Helper()
	wantKind(t, db.View(context.Background(), f), fault.KindNotFound)
}

func wantKind(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	var f *fault.Error
	switch {
	case err == nil:
		t.Fatalf("no error; want %s", kind)
	case !errors.As(err, &f):
		t.Fatalf("%v is no fault; want %s", err, kind)
	case f.Kind != kind:
		t.Fatalf("%s: %v; want %s", f.Kind, err, kind)
	}
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	equal := cmp.Comparer(func(a, b window.Recurrence) bool { return a.Equal(b) })
	// Times must come back in UTC, so the location is compared too.
	exact := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) && a.Location() == b.Location() })
	if diff := cmp.Diff(want, got, equal, exact); diff != "" {
		t.Fatalf("%s differs (-want +got):\n%s", what, diff)
	}
}

// ids picks the ids of things, for lists.
func ids[T any](all []T, id func(T) string) []string {
	names := []string{}
	for _, one := range all {
		names = append(names, id(one))
	}
	return names
}
