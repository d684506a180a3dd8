package sqlstore

import (
	"upkeep/internal/fault"
	"upkeep/internal/runbook"
	"upkeep/internal/store"
)

const selectRunbook = `SELECT doc, revision FROM runbooks`

func scanRunbook(row scanner) (runbook.Stored, error) {
	var text string
	var revision int64
	if err := row.Scan(&text, &revision); err != nil {
		return runbook.Stored{}, err
	}
	var d runbookDoc
	err := decode(text, &d)
	g := d.Stored
	g.Revision = revision
	return g, err
}

// Runbook implements store.Runbooks.
func (t *tx) Runbook(project, name string) (runbook.Stored, error) {
	return one(t, "runbook", name, selectRunbook+` WHERE id = $1`, []any{groupID(project, name)}, scanRunbook)
}

// Runbooks implements store.Runbooks.
func (t *tx) Runbooks(project string) ([]runbook.Stored, error) {
	var w filter
	w.equal("project", project)
	return list(t, "list runbooks", w.query(selectRunbook, "project, name", 0), w.args, scanRunbook)
}

// PutRunbook implements store.Runbooks.
func (t *tx) PutRunbook(g runbook.Stored) (runbook.Stored, error) {
	none := runbook.Stored{}
	doc, err := encode(runbookDoc{Stored: g})
	if err != nil {
		return none, fault.Internal("write runbook", err)
	}
	id := groupID(g.Project, g.Book.Name)
	args := []any{id, g.Project, g.Book.Name, doc}
	insert := `INSERT INTO runbooks (id, project, name, doc, revision)
		VALUES ($1, $2, $3, $4, 1) ON CONFLICT DO NOTHING`
	update := `UPDATE runbooks SET project = $2, name = $3, doc = $4, revision = revision + 1
		WHERE id = $1 AND revision = $5`
	if err := t.put("runbook", id, g.Revision, insert, update, args); err != nil {
		return none, err
	}
	return t.Runbook(g.Project, g.Book.Name)
}

// DeleteRunbook implements store.Runbooks.
func (t *tx) DeleteRunbook(project, name string) error {
	return t.remove("runbook", groupID(project, name), `DELETE FROM runbooks WHERE id = $1`)
}

var _ store.Runbooks = (*tx)(nil)
