package store

import (
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/rollout"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/window"
)

// Trains are how releases go through environments, and the releases.
type Trains interface {
	Train(project, name string) (rollout.StoredTrain, error)
	// Trains lists by project and name. Empty project: those of every project.
	Trains(project string) ([]rollout.StoredTrain, error)
	// PutTrain inserts (Revision 0) or replaces by compare-and-set, and
	// returns what is stored now.
	PutTrain(t rollout.StoredTrain) (rollout.StoredTrain, error)
	// DeleteTrain removes it with its releases. Its rollouts and facts stay.
	DeleteTrain(project, name string) error

	TrainRelease(project, train, version string) (rollout.StoredRelease, error)
	// TrainReleases lists by train and version. Empty train: those of every train.
	TrainReleases(project, train string) ([]rollout.StoredRelease, error)
	// PutTrainRelease inserts (Revision 0) or replaces by compare-and-set, and
	// returns what is stored now.
	PutTrainRelease(r rollout.StoredRelease) (rollout.StoredRelease, error)
	DeleteTrainRelease(project, train, version string) error
}

// Rollouts are releases on their way.
type Rollouts interface {
	Rollout(id string) (rollout.Rollout, error)
	// RolloutMark reads no documents: it is for those who look often whether a
	// rollout has changed.
	RolloutMark(id string) (RolloutMark, error)
	// Rollouts lists, newest first.
	Rollouts(f RolloutFilter) ([]rollout.Rollout, error)
	// PutRollout inserts (Revision 0) or replaces by compare-and-set, and
	// returns what is stored now.
	PutRollout(r rollout.Rollout) (rollout.Rollout, error)
}

// RolloutMark is another one when a rollout, its train or a release of that
// train has changed.
type RolloutMark struct {
	Project  string
	Rollout  int64 // its revision
	Train    int64 // its revision; 0: it was removed
	Releases int64 // all their revisions added up
}

// RolloutFilter selects rollouts; empty fields select all.
type RolloutFilter struct {
	Project string
	Train   string
	Open    bool   // only those that have not ended
	Before  string // only those older than this id; ids grow with time
	Limit   int    // 0: all
}

// RolloutWork begins the work rows that move rollouts.
const RolloutWork = "rollout/"

// RolloutKey is the work row that moves a rollout.
func RolloutKey(id string) string { return RolloutWork + id }

// OwnerKey is the work row of what an order is of: a run, by its id, or a
// rollout, by its key.
func OwnerKey(of string) string {
	if strings.HasPrefix(of, RolloutWork) {
		return of
	}
	return RunKey(of)
}

// RolloutWorld reads all that a tick of a rollout may know, but for the id of
// the run that it may open. Not found: its train or release was removed.
func RolloutWorld(tx Tx, r rollout.Rollout, now time.Time) (w rollout.World, err error) {
	w = rollout.World{
		Now: now, Freezes: map[string][]window.Freeze{}, Services: map[string]rollout.Service{},
		Books: map[string]runbook.Book{}, Runs: map[string]run.Run{}, Answers: map[string]action.Result{},
	}
	if w.Train, err = tx.Train(r.Project, r.Train); err != nil {
		return w, err
	}
	if w.Release, err = tx.TrainRelease(r.Project, r.Train, r.Version); err != nil {
		return w, err
	}
	for _, id := range r.OpenRuns() {
		one, err := tx.Run(id)
		if fault.Is(err, fault.KindNotFound) {
			continue
		}
		if err != nil {
			return w, err
		}
		w.Runs[id] = one
	}
	for _, key := range r.OpenOrders() {
		o, err := tx.Order(key)
		if err != nil && !fault.Is(err, fault.KindNotFound) {
			return w, err
		}
		if o.Result != nil {
			w.Answers[key] = *o.Result
		}
	}
	for _, e := range w.Train.Train.Environments {
		if err := environmentWorld(tx, r, e, &w); err != nil {
			return w, err
		}
	}
	others, err := tx.Rollouts(RolloutFilter{Project: r.Project, Open: true})
	for _, o := range others {
		if o.ID != r.ID {
			w.Elsewhere = append(w.Elsewhere, o.AtWork()...)
		}
	}
	return w, err
}

// environmentWorld reads what is done in one environment: its runbooks,
// services and freezes, each once.
func environmentWorld(tx Tx, r rollout.Rollout, e rollout.Environment, w *rollout.World) (err error) {
	uses := r.UsesOf(*w, e)
	if _, known := w.Freezes[uses.Project]; !known {
		if w.Freezes[uses.Project], err = tx.Freezes(uses.Project, w.Now); err != nil {
			return err
		}
	}
	for _, name := range uses.Books {
		key := uses.Project + "/" + name
		if _, known := w.Books[key]; known {
			continue
		}
		book, err := tx.Runbook(uses.Project, name)
		if fault.Is(err, fault.KindNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		w.Books[key] = book.Book
	}
	for _, name := range uses.Services {
		key := uses.Project + "/" + name
		if _, known := w.Services[key]; known {
			continue
		}
		s, err := rolloutService(tx, uses.Project, name)
		if fault.Is(err, fault.KindNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		w.Services[key] = s
	}
	for i := range uses.Services {
		if err := rolloutClaims(tx, w, uses.Project+"/"+uses.Services[i], uses.Project+"/"+uses.Books[i]); err != nil {
			return err
		}
	}
	return nil
}

// rolloutClaims reads what a run of a book on a service claims, both by their
// keys in w, once.
func rolloutClaims(tx Tx, w *rollout.World, service, name string) error {
	s, found := w.Services[service]
	book, known := w.Books[name]
	if _, read := s.Claims[book.Name]; !found || !known || read {
		return nil
	}
	keys, err := bookClaims(tx, run.Opening{Target: s.Target}, book)
	c := rollout.Claims{Keys: keys}
	if fault.Is(err, fault.KindInvalid) {
		c.Lacks, err = err.Error(), nil
	}
	s.Claims[book.Name] = c
	return err
}

func rolloutService(tx Tx, project, name string) (s rollout.Service, err error) {
	if s.Target, err = tx.TargetNamed(project, name); err != nil {
		return s, err
	}
	if s.Target.Service == nil {
		return s, fault.NotFound("service", name)
	}
	s.Claims = map[string]rollout.Claims{}
	s.Hosts, err = Hosts(tx, s.Target)
	if err == nil {
		s.Manager, err = Manager(tx, s.Target)
	}
	if fault.Is(err, fault.KindInvalid) {
		s.Lacks, err = err.Error(), nil
	}
	if err != nil {
		return s, err
	}
	if s.Seen, err = observations(tx, s.Hosts, s.Manager); err != nil {
		return s, err
	}
	open, err := tx.Runs(RunFilter{Target: s.Target.ID, Open: true, Limit: 1})
	if len(open) > 0 {
		s.Busy = open[0].ID
	}
	return s, err
}
