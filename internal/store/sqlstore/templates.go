package sqlstore

import (
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/store"
)

const selectTemplate = `SELECT doc, revision FROM templates`

func scanTemplate(row scanner) (fleet.Template, error) {
	var text string
	var revision int64
	if err := row.Scan(&text, &revision); err != nil {
		return fleet.Template{}, err
	}
	var d templateDoc
	if err := decode(text, &d); err != nil {
		return fleet.Template{}, err
	}
	t := d.Template
	t.Revision = revision
	var err error
	if t.Window, err = d.Window.window(); err != nil {
		return t, err
	}
	t.Policy, err = d.Policy.policy()
	return t, err
}

// Template implements store.Templates.
func (t *tx) Template(id string) (fleet.Template, error) {
	return one(t, "template", id, selectTemplate+` WHERE id = $1`, []any{id}, scanTemplate)
}

// Templates implements store.Templates.
func (t *tx) Templates(project string) ([]fleet.Template, error) {
	var w filter
	if project != "" {
		w.add("(project = '' OR project = ?)", project)
	}
	return list(t, "list templates", w.query(selectTemplate, "id", 0), w.args, scanTemplate)
}

// PutTemplate implements store.Templates.
func (t *tx) PutTemplate(m fleet.Template) (fleet.Template, error) {
	none := fleet.Template{}
	doc, err := encode(templateDoc{Template: m, Window: windowToDoc(m.Window), Policy: policyToDoc(m.Policy)})
	if err != nil {
		return none, fault.Internal("write template", err)
	}
	if err := t.free("template", m.Name, `SELECT id FROM templates WHERE project = $1 AND name = $2 AND id <> $3`,
		m.Project, m.Name, m.ID); err != nil {
		return none, err
	}
	args := []any{m.ID, m.Project, m.Name, doc}
	insert := `INSERT INTO templates (id, project, name, doc, revision)
		VALUES ($1, $2, $3, $4, 1) ON CONFLICT DO NOTHING`
	update := `UPDATE templates SET project = $2, name = $3, doc = $4, revision = revision + 1
		WHERE id = $1 AND revision = $5`
	if err := t.put("template", m.ID, m.Revision, insert, update, args); err != nil {
		return none, err
	}
	return t.Template(m.ID)
}

// DeleteTemplate implements store.Templates.
func (t *tx) DeleteTemplate(id string) error {
	return t.remove("template", id, `DELETE FROM templates WHERE id = $1`)
}

const selectGroup = `SELECT doc, revision FROM groups`

func scanGroup(row scanner) (fleet.Group, error) {
	var text string
	var revision int64
	if err := row.Scan(&text, &revision); err != nil {
		return fleet.Group{}, err
	}
	var d groupDoc
	if err := decode(text, &d); err != nil {
		return fleet.Group{}, err
	}
	g := d.Group
	g.Revision = revision
	if d.Window == nil {
		return g, nil
	}
	var err error
	g.Window, err = d.Window.window()
	return g, err
}

// groupID is a group's row: neither part of it can have a slash.
func groupID(project, name string) string { return project + "/" + name }

// Group implements store.Groups.
func (t *tx) Group(project, name string) (fleet.Group, error) {
	return one(t, "group", name, selectGroup+` WHERE id = $1`, []any{groupID(project, name)}, scanGroup)
}

// Groups implements store.Groups.
func (t *tx) Groups(project string) ([]fleet.Group, error) {
	var w filter
	w.equal("project", project)
	return list(t, "list groups", w.query(selectGroup, "project, name", 0), w.args, scanGroup)
}

// PutGroup implements store.Groups.
func (t *tx) PutGroup(g fleet.Group) (fleet.Group, error) {
	none := fleet.Group{}
	d := groupDoc{Group: g}
	if !g.Window.Recurrence.IsZero() {
		w := windowToDoc(g.Window)
		d.Window = &w
	}
	doc, err := encode(d)
	if err != nil {
		return none, fault.Internal("write group", err)
	}
	id := groupID(g.Project, g.Name)
	args := []any{id, g.Project, g.Name, doc}
	insert := `INSERT INTO groups (id, project, name, doc, revision)
		VALUES ($1, $2, $3, $4, 1) ON CONFLICT DO NOTHING`
	update := `UPDATE groups SET project = $2, name = $3, doc = $4, revision = revision + 1
		WHERE id = $1 AND revision = $5`
	if err := t.put("group", id, g.Revision, insert, update, args); err != nil {
		return none, err
	}
	return t.Group(g.Project, g.Name)
}

// DeleteGroup implements store.Groups.
func (t *tx) DeleteGroup(project, name string) error {
	return t.remove("group", groupID(project, name), `DELETE FROM groups WHERE id = $1`)
}

var (
	_ store.Templates = (*tx)(nil)
	_ store.Groups    = (*tx)(nil)
)
