package window

// Freeze is a span in which nothing disruptive starts.
type Freeze struct {
	ID      string
	Project string // "" is every project
	Span    Span
	Reason  string
}

// Applies reports whether f holds for a project.
func (f Freeze) Applies(project string) bool { return f.Project == "" || f.Project == project }

// Frozen is the freeze that overlaps span, or holds at its start if span is
// empty (an instant). Of several it is the one that ends last. It takes every
// freeze it is given to apply.
func Frozen(freezes []Freeze, span Span) (Freeze, bool) {
	var found Freeze
	var ok bool
	for _, f := range freezes {
		hit := f.Span.Overlaps(span)
		if !span.Start.Before(span.End) {
			hit = f.Span.Contains(span.Start)
		}
		if hit && (!ok || f.Span.End.After(found.Span.End)) {
			found, ok = f, true
		}
	}
	return found, ok
}
