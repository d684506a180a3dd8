package chart

import (
	"testing"
	"time"
)

func TestColumns(t *testing.T) {
	at := func(s int) time.Time { return time.Date(2026, 6, 25, 18, 0, s, 0, time.UTC) }
	axis := Axis{From: at(0), To: at(10)}
	got := axis.Columns([]Requests{
		{Start: at(0), End: at(1), Good: 1000},
		{Start: at(1), End: at(2), Good: 999, Bad: 1},
		{Start: at(2), End: at(3), Slow: 500},
		{Start: at(4), End: at(5)},
		{Start: at(10), End: at(11), Good: 1000},
	})
	want := []Column{
		{Bar: Bar{0, 10}, Good: 100},
		{Bar: Bar{10, 10}, Good: 97, Bad: MinHeight},
		{Bar: Bar{20, 10}, Slow: 50},
		{Bar: Bar{40, 10}},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("column %d: %+v, want %+v", i, got[i], want[i])
		}
	}
	if none := axis.Columns([]Requests{{Start: at(0), End: at(1)}}); none != nil {
		t.Errorf("of nothing: %+v", none)
	}
}
