package chart

import "time"

// Requests is what became of the requests of one stretch of time.
type Requests struct {
	Start, End      time.Time
	Good, Slow, Bad int
}

// Column is a stretch of requests on an axis: where it stands, and how high its
// parts are, one upon the other, in per cent of the highest column.
type Column struct {
	Bar
	Good, Slow, Bad float64
}

// MinHeight is the lowest part of a column that is not nothing, in per cent: one
// bad answer among a thousand is to be seen.
const MinHeight = 3

// Columns puts requests on the axis. What lies outside of it is left out.
func (a Axis) Columns(all []Requests) []Column {
	most := 0
	for _, r := range all {
		most = max(most, r.Good+r.Slow+r.Bad)
	}
	var columns []Column
	for _, r := range all {
		if most == 0 || !r.End.After(a.From) || !r.Start.Before(a.To) {
			continue
		}
		from, to := a.X(r.Start), a.X(r.End)
		part := func(n int) float64 {
			if n == 0 {
				return 0
			}
			return max(100*float64(n)/float64(most), MinHeight)
		}
		c := Column{Bar: Bar{X: from, Width: to - from}, Slow: part(r.Slow), Bad: part(r.Bad)}
		// What must be seen takes its room from what is good.
		c.Good = min(part(r.Good), max(100-c.Slow-c.Bad, 0))
		columns = append(columns, c)
	}
	return columns
}
