package window

import (
	"testing"
	"time"
)

func TestFrozen(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, time.December, 24, hour, 0, 0, 0, time.UTC) }
	freezes := []Freeze{{ID: "short", Span: Span{at(4), at(6)}}, {ID: "long", Span: Span{at(5), at(9)}}}
	for _, tt := range []struct {
		span Span
		want string
	}{
		{Span{at(0), at(4)}, ""}, {Span{at(0), at(5)}, "short"}, {Span{at(0), at(6)}, "long"}, {Span{at(9), at(12)}, ""},
		{Span{at(4), at(4)}, "short"}, {Span{at(5), at(5)}, "long"}, {Span{at(9), at(9)}, ""},
		{Span{Start: at(8)}, "long"}, // an instant
	} {
		f, ok := Frozen(freezes, tt.span)
		if f.ID != tt.want || ok != (tt.want != "") {
			t.Errorf("%v is frozen by %q, %v, want %q", tt.span, f.ID, ok, tt.want)
		}
	}
}
