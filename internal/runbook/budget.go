package runbook

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/fault"
)

// ErrorBudget is what a run may cost the service's users. What was seen so far
// is held against it before each member; used up, the run halts. Its zero value
// is none.
type ErrorBudget struct {
	Unanswered string        // per cent of the requests that may be unanswered or failed, such as "0.1%"; empty: any
	Slow       string        // per cent of the requests that may be slow; empty: any
	Over       time.Duration // of the requests of the last so long; 0: since the run began
	Optional   bool          // it does not apply to a service without a probe; else such a service is refused
}

// IsZero reports whether there is no budget.
func (b ErrorBudget) IsZero() bool { return b == ErrorBudget{} }

// Limits of an error budget's span.
const (
	minOver = 10 * time.Second
	maxOver = time.Hour
)

var percent = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,4})?%$`)

// Percent reads a percentage such as "0.1%".
func Percent(text string) (p float64, ok bool) {
	if !percent.MatchString(text) {
		return 0, false
	}
	p, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	return p, err == nil && p <= 100
}

func (b ErrorBudget) validate() error {
	const want = `must be from "0%%" to "100%%", not %q`
	_, unanswered := Percent(b.Unanswered)
	_, slow := Percent(b.Slow)
	switch {
	case b.IsZero():
		return nil
	case b.Unanswered == "" && b.Slow == "":
		return fault.Invalid("errorBudget.unanswered", "is needed, or slow: nothing would use the budget up")
	case b.Unanswered != "" && !unanswered:
		return fault.Invalid("errorBudget.unanswered", want, b.Unanswered)
	case b.Slow != "" && !slow:
		return fault.Invalid("errorBudget.slow", want, b.Slow)
	case b.Over != 0 && (b.Over < minOver || b.Over > maxOver):
		return fault.Invalid("errorBudget.over", "must be from %v to %v, not %v", minOver, maxOver, b.Over)
	}
	return nil
}
