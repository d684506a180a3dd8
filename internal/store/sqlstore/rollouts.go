package sqlstore

import (
	"slices"

	"upkeep/internal/fault"
	"upkeep/internal/rollout"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

type trainDoc struct {
	rollout.StoredTrain
	Windows  map[string]windowDoc // by environment; those without one are missing
	Revision absent               `json:",omitempty"`
}

func trainToDoc(s rollout.StoredTrain) trainDoc {
	d := trainDoc{StoredTrain: s, Windows: map[string]windowDoc{}}
	d.Train.Environments = slices.Clone(s.Train.Environments)
	for i, e := range d.Train.Environments {
		if !e.Window.Recurrence.IsZero() {
			d.Windows[e.Name] = windowToDoc(e.Window)
		}
		d.Train.Environments[i].Window = window.Window{}
	}
	return d
}

type releaseDoc struct {
	rollout.StoredRelease
	Revision absent `json:",omitempty"`
}

type rolloutDoc struct {
	rollout.Rollout
	Revision absent `json:",omitempty"`
}

const selectTrain = `SELECT doc, revision FROM trains`

func scanTrain(row scanner) (rollout.StoredTrain, error) {
	var text string
	var revision int64
	if err := row.Scan(&text, &revision); err != nil {
		return rollout.StoredTrain{}, err
	}
	var d trainDoc
	if err := decode(text, &d); err != nil {
		return rollout.StoredTrain{}, err
	}
	s := d.StoredTrain
	s.Revision = revision
	for i, e := range s.Train.Environments {
		w, ok := d.Windows[e.Name]
		if !ok {
			continue
		}
		var err error
		if s.Train.Environments[i].Window, err = w.window(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Train implements store.Trains.
func (t *tx) Train(project, name string) (rollout.StoredTrain, error) {
	return one(t, "train", name, selectTrain+` WHERE id = $1`, []any{groupID(project, name)}, scanTrain)
}

// Trains implements store.Trains.
func (t *tx) Trains(project string) ([]rollout.StoredTrain, error) {
	var w filter
	w.equal("project", project)
	return list(t, "list trains", w.query(selectTrain, "project, name", 0), w.args, scanTrain)
}

// PutTrain implements store.Trains.
func (t *tx) PutTrain(s rollout.StoredTrain) (rollout.StoredTrain, error) {
	doc, err := encode(trainToDoc(s))
	if err != nil {
		return rollout.StoredTrain{}, fault.Internal("write train", err)
	}
	id := groupID(s.Project, s.Train.Name)
	insert := `INSERT INTO trains (id, project, name, doc, revision) VALUES ($1, $2, $3, $4, 1) ON CONFLICT DO NOTHING`
	update := `UPDATE trains SET project = $2, name = $3, doc = $4, revision = revision + 1 WHERE id = $1 AND revision = $5`
	if err := t.put("train", id, s.Revision, insert, update, []any{id, s.Project, s.Train.Name, doc}); err != nil {
		return rollout.StoredTrain{}, err
	}
	return t.Train(s.Project, s.Train.Name)
}

// DeleteTrain implements store.Trains.
func (t *tx) DeleteTrain(project, name string) error {
	if err := t.remove("train", groupID(project, name), `DELETE FROM trains WHERE id = $1`); err != nil {
		return err
	}
	_, err := t.exec("delete releases", `DELETE FROM releases WHERE project = $1 AND train = $2`, project, name)
	return err
}

const selectRelease = `SELECT doc, revision FROM releases`

func scanRelease(row scanner) (rollout.StoredRelease, error) {
	var text string
	var revision int64
	if err := row.Scan(&text, &revision); err != nil {
		return rollout.StoredRelease{}, err
	}
	var d releaseDoc
	err := decode(text, &d)
	s := d.StoredRelease
	s.Revision = revision
	return s, err
}

func releaseID(project, train, version string) string { return project + "/" + train + "/" + version }

// TrainRelease implements store.Trains.
func (t *tx) TrainRelease(project, train, version string) (rollout.StoredRelease, error) {
	return one(t, "release", version, selectRelease+` WHERE id = $1`, []any{releaseID(project, train, version)}, scanRelease)
}

// TrainReleases implements store.Trains.
func (t *tx) TrainReleases(project, train string) ([]rollout.StoredRelease, error) {
	var w filter
	w.add("project = ?", project)
	w.equal("train", train)
	return list(t, "list releases", w.query(selectRelease, "train, version", 0), w.args, scanRelease)
}

// PutTrainRelease implements store.Trains.
func (t *tx) PutTrainRelease(s rollout.StoredRelease) (rollout.StoredRelease, error) {
	doc, err := encode(releaseDoc{StoredRelease: s})
	if err != nil {
		return rollout.StoredRelease{}, fault.Internal("write release", err)
	}
	id := releaseID(s.Project, s.Release.Train, s.Release.Version)
	insert := `INSERT INTO releases (id, project, train, version, doc, revision) VALUES ($1, $2, $3, $4, $5, 1) ON CONFLICT DO NOTHING`
	update := `UPDATE releases SET project = $2, train = $3, version = $4, doc = $5, revision = revision + 1 WHERE id = $1 AND revision = $6`
	if err := t.put("release", id, s.Revision, insert, update, []any{id, s.Project, s.Release.Train, s.Release.Version, doc}); err != nil {
		return rollout.StoredRelease{}, err
	}
	return t.TrainRelease(s.Project, s.Release.Train, s.Release.Version)
}

// DeleteTrainRelease implements store.Trains.
func (t *tx) DeleteTrainRelease(project, train, version string) error {
	return t.remove("release", releaseID(project, train, version), `DELETE FROM releases WHERE id = $1`)
}

const selectRollout = `SELECT doc, revision FROM rollouts`

func scanRollout(row scanner) (rollout.Rollout, error) {
	var text string
	var revision int64
	if err := row.Scan(&text, &revision); err != nil {
		return rollout.Rollout{}, err
	}
	var d rolloutDoc
	err := decode(text, &d)
	r := d.Rollout
	r.Revision = revision
	return r, err
}

// Rollout implements store.Rollouts.
func (t *tx) Rollout(id string) (rollout.Rollout, error) {
	return one(t, "rollout", id, selectRollout+` WHERE id = $1`, []any{id}, scanRollout)
}

// selectMark reads by primary keys, but for the releases: there are few.
const selectMark = `SELECT r.project, r.revision,
	COALESCE((SELECT t.revision FROM trains t WHERE t.id = r.project || '/' || r.train), 0),
	CAST(COALESCE((SELECT SUM(s.revision) FROM releases s WHERE s.project = r.project AND s.train = r.train), 0) AS BIGINT)
	FROM rollouts r WHERE r.id = $1`

// RolloutMark implements store.Rollouts.
func (t *tx) RolloutMark(id string) (store.RolloutMark, error) {
	return one(t, "rollout", id, selectMark, []any{id}, func(row scanner) (m store.RolloutMark, err error) {
		err = row.Scan(&m.Project, &m.Rollout, &m.Train, &m.Releases)
		return m, err
	})
}

// Rollouts implements store.Rollouts.
func (t *tx) Rollouts(f store.RolloutFilter) ([]rollout.Rollout, error) {
	var w filter
	w.equal("project", f.Project)
	w.equal("train", f.Train)
	if f.Open {
		w.conds = append(w.conds, "ended = 0")
	}
	if f.Before != "" {
		w.add("id < ?", f.Before)
	}
	return list(t, "list rollouts", w.query(selectRollout, "id DESC", f.Limit), w.args, scanRollout)
}

// PutRollout implements store.Rollouts.
func (t *tx) PutRollout(r rollout.Rollout) (rollout.Rollout, error) {
	doc, err := encode(rolloutDoc{Rollout: r})
	if err != nil {
		return rollout.Rollout{}, fault.Internal("write rollout", err)
	}
	ended := 0
	if r.State.Ended() {
		ended = 1
	}
	insert := `INSERT INTO rollouts (id, project, train, ended, doc, revision) VALUES ($1, $2, $3, $4, $5, 1) ON CONFLICT DO NOTHING`
	update := `UPDATE rollouts SET project = $2, train = $3, ended = $4, doc = $5, revision = revision + 1 WHERE id = $1 AND revision = $6`
	if err := t.put("rollout", r.ID, r.Revision, insert, update, []any{r.ID, r.Project, r.Train, ended, doc}); err != nil {
		return rollout.Rollout{}, err
	}
	return t.Rollout(r.ID)
}

var (
	_ store.Trains   = (*tx)(nil)
	_ store.Rollouts = (*tx)(nil)
)
