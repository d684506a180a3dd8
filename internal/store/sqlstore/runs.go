package sqlstore

import (
	"upkeep/internal/fault"
	"upkeep/internal/run"
	"upkeep/internal/store"
)

const selectRun = `SELECT doc, number, revision FROM runs`

func scanRun(row scanner) (run.Run, error) {
	var text string
	var number, revision int64
	if err := row.Scan(&text, &number, &revision); err != nil {
		return run.Run{}, err
	}
	var d runDoc
	if err := decode(text, &d); err != nil {
		return run.Run{}, err
	}
	r := d.Run
	r.Number, r.Revision = number, revision
	var err error
	if r.Window, err = d.Window.window(); err != nil {
		return r, err
	}
	r.Policy, err = d.Policy.policy()
	return r, err
}

// Run implements store.Runs.
func (t *tx) Run(id string) (run.Run, error) {
	return one(t, "run", id, selectRun+` WHERE id = $1`, []any{id}, scanRun)
}

// Runs implements store.Runs.
func (t *tx) Runs(f store.RunFilter) ([]run.Run, error) {
	var w filter
	w.equal("project", f.Project)
	w.equal("target", f.Target)
	w.equal("schedule", f.Schedule)
	if f.Number != 0 {
		w.add("number = ?", f.Number)
	}
	if f.Before != "" {
		w.add("id < ?", f.Before)
	}
	if f.Open {
		w.conds = append(w.conds, "ended = 0")
	}
	return list(t, "list runs", w.query(selectRun, "id DESC", f.Limit), w.args, scanRun)
}

// PutRun implements store.Runs.
func (t *tx) PutRun(r run.Run) (run.Run, error) {
	if err := t.SetRun(r); err != nil {
		return run.Run{}, err
	}
	return t.Run(r.ID)
}

// SetRun implements store.Runs.
func (t *tx) SetRun(r run.Run) error {
	doc, err := encode(runDoc{Run: r, Window: windowToDoc(r.Window), Policy: policyToDoc(r.Policy)})
	if err != nil {
		return fault.Internal("write run", err)
	}
	if err := t.mayHold(r.ID, r.Holds); err != nil {
		return err
	}
	ended := 0
	if r.State.Ended() {
		ended = 1
	}
	args := []any{r.ID, r.Project, r.Target, r.Schedule, ended, doc}
	done, err := t.redo("run", r.Revision, `UPDATE runs SET doc = $6, revision = revision + 1
		WHERE id = $1 AND revision = $7 AND project = $2 AND target = $3 AND schedule = $4 AND ended = $5`, args)
	if err != nil {
		return err
	}
	if done {
		return t.hold(r.ID, r.Project, r.Holds)
	}
	insert := `INSERT INTO runs (id, project, target, schedule, ended, doc, number, revision)
		VALUES ($1, $2, $3, $4, $5, $6, (SELECT COALESCE(MAX(number), 0) + 1 FROM runs WHERE target = $3), 1) ON CONFLICT DO NOTHING`
	update := `UPDATE runs SET project = $2, target = $3, schedule = $4, ended = $5, doc = $6, revision = revision + 1
		WHERE id = $1 AND revision = $7`
	if err := t.put("run", r.ID, r.Revision, insert, update, args); err != nil {
		return err
	}
	if r.Revision == 0 && len(r.Holds) == 0 {
		return nil
	}
	return t.hold(r.ID, r.Project, r.Holds)
}
