package start

import (
	"slices"
	"testing"

	"upkeep/internal/action"
)

// The demo shows the form that the shipped runbooks have: before a member is
// taken out the others answer by themselves and serve at the proxy.
func TestDemoProvesThatTheOthersServe(t *testing.T) {
	b := restartBook()
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	var kinds []action.Kind
	for _, p := range b.Prove {
		kinds = append(kinds, p.Kind)
	}
	if want := []action.Kind{action.HTTP, action.Serving}; !slices.Equal(kinds, want) {
		t.Errorf("it proves by %v, want %v", kinds, want)
	}
}
