package store

import (
	"time"

	"upkeep/internal/evidence"
)

// ProbeWork begins the keys of the work rows that have a run's service asked
// what its users would ask.
const ProbeWork = "probe/"

// ProbeKey is the work row that has a run's service asked.
func ProbeKey(run string) string { return ProbeWork + run }

// Evidence is what users of services saw while runs were open on them.
type Evidence interface {
	// Watch says how a run's service has answered so far; zero if it was never
	// to be asked.
	Watch(run string) (evidence.Watch, error)
	// PutWatch inserts or replaces it.
	PutWatch(w evidence.Watch) error
	// AddSeconds keeps what became of requests. What is known already of the
	// same instant and endpoint is added to.
	AddSeconds(run string, seconds []evidence.Second) error
	// SumSeconds is the sum of a run's seconds that ended after the given time.
	SumSeconds(run string, after time.Time) (evidence.Total, error)
	// Seconds lists by time and endpoint.
	Seconds(f SecondFilter) ([]evidence.Second, error)
	// ForgetSeconds removes the seconds of at most n runs whose services were
	// first asked before the given time, and leaves their watches.
	ForgetSeconds(before time.Time, n int) error
}

// SecondFilter selects the seconds of a run.
type SecondFilter struct {
	Run      string
	After    time.Time // only those that began after this, or then and of a later endpoint; zero: all
	Endpoint string    // with After
	Limit    int       // 0: all
}
