package sqlstore

import (
	"errors"
	"slices"
	"strings"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/store"
	"upkeep/internal/window"
)

const selectTarget = `SELECT doc, observed, generation, revision FROM targets`

func scanTarget(row scanner) (fleet.Target, error) {
	var text string
	var observed *string
	var generation, revision int64
	if err := row.Scan(&text, &observed, &generation, &revision); err != nil {
		return fleet.Target{}, err
	}
	var d targetDoc
	if err := decode(text, &d); err != nil {
		return fleet.Target{}, err
	}
	t := d.Target
	t.Generation, t.Revision = generation, revision
	if observed != nil {
		t.Observed = new(action.Observation)
		if err := decode(*observed, t.Observed); err != nil {
			return fleet.Target{}, err
		}
	}
	return t, nil
}

// Target implements store.Targets.
func (t *tx) Target(id string) (fleet.Target, error) {
	return one(t, "target", id, selectTarget+` WHERE id = $1`, []any{id}, scanTarget)
}

// TargetNamed implements store.Targets.
func (t *tx) TargetNamed(project, name string) (fleet.Target, error) {
	return one(t, "target", name, selectTarget+` WHERE project = $1 AND name = $2`, []any{project, name}, scanTarget)
}

// Targets implements store.Targets.
func (t *tx) Targets(f store.TargetFilter) ([]fleet.Target, error) {
	if f.Images != nil {
		return t.targetsOf(f)
	}
	w := whichTargets(f)
	return list(t, "list targets", w.query(selectTarget, "id", f.Limit), w.args, scanTarget)
}

func whichTargets(f store.TargetFilter) (w filter) {
	w.equal("project", f.Project)
	w.equal("kind", string(f.Kind))
	w.equal("grp", f.Group)
	if f.After != "" {
		w.add("id > ?", f.After)
	}
	return w
}

// targetsOf lists those that are made from one of the images, however many
// these are: each part of them is asked for its first ones.
func (t *tx) targetsOf(f store.TargetFilter) (all []fleet.Target, err error) {
	for _, part := range chunks(f.Images) {
		w := whichTargets(f)
		var cond string
		cond, w.args = in("image", part, w.args)
		w.conds = append(w.conds, cond)
		some, err := list(t, "list targets", w.query(selectTarget, "id", f.Limit), w.args, scanTarget)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b fleet.Target) int { return strings.Compare(a.ID, b.ID) })
	if f.Limit > 0 && len(all) > f.Limit {
		all = all[:f.Limit]
	}
	return all, nil
}

// PutTarget implements store.Targets.
func (t *tx) PutTarget(target fleet.Target) (fleet.Target, error) {
	if err := t.SetTarget(target); err != nil {
		return fleet.Target{}, err
	}
	return t.Target(target.ID)
}

// SetTarget implements store.Targets.
func (t *tx) SetTarget(target fleet.Target) error {
	err := t.setTarget(target)
	if err == nil && target.Service != nil {
		err = t.setMembers(target)
	}
	return err
}

func (t *tx) setTarget(target fleet.Target) error {
	doc, err := encode(targetDoc{Target: target})
	if err != nil {
		return fault.Internal("write target", err)
	}
	var observed any
	if target.Observed != nil {
		text, err := encode(target.Observed)
		if err != nil {
			return fault.Internal("write target", err)
		}
		observed = text
	}
	args := []any{target.ID, target.Project, target.Name, target.Group, doc, observed, target.Image, string(target.Kind)}
	done, err := t.redo("target", target.Revision, `UPDATE targets SET doc = $5, observed = $6, revision = revision + 1
		WHERE id = $1 AND revision = $9 AND project = $2 AND name = $3 AND grp = $4 AND image = $7 AND kind = $8`, args)
	if done || err != nil {
		return err
	}
	if err := t.free("target", target.Name, `SELECT id FROM targets WHERE project = $1 AND name = $2 AND id <> $3`,
		target.Project, target.Name, target.ID); err != nil {
		return err
	}
	insert := `INSERT INTO targets (id, project, name, grp, doc, observed, image, kind, generation, numbered, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 1) ON CONFLICT DO NOTHING`
	update := `UPDATE targets SET project = $2, name = $3, grp = $4, doc = $5, observed = $6, image = $7, kind = $8, revision = revision + 1
		WHERE id = $1 AND revision = $9`
	return t.put("target", target.ID, target.Revision, insert, update, args)
}

// DeleteTarget implements store.Targets. Schedules and orders go by themselves.
func (t *tx) DeleteTarget(id string) error {
	if _, err := t.exec("delete target", `DELETE FROM agents WHERE target = $1`, id); err != nil {
		return err
	}
	if _, err := t.exec("delete target", `DELETE FROM enrolments WHERE target = $1`, id); err != nil {
		return err
	}
	return t.remove("target", id, `DELETE FROM targets WHERE id = $1`)
}

// redo replaces by compare-and-set the document of what has been there before
// and keeps the columns that it is found by: those are in indexes, which would
// be written as well. done is false if it was not as simple as that. Arguments
// are those of put.
func (t *tx) redo(what string, revision int64, update string, args []any) (done bool, err error) {
	if revision == 0 {
		return false, nil
	}
	n, err := t.exec("write "+what, update, append(slices.Clip(args), revision)...)
	return n > 0, err
}

// put inserts (revision 0) or replaces by compare-and-set. The id is the first
// of args; revision comes after the last.
func (t *tx) put(what, id string, revision int64, insert, update string, args []any) error {
	if id == "" {
		return fault.Internal("write "+what, errors.New("it has no id"))
	}
	if revision == 0 {
		n, err := t.exec("write "+what, insert, args...)
		if err == nil && n == 0 {
			err = fault.Conflict("%s %q exists already", what, id)
		}
		return err
	}
	n, err := t.exec("write "+what, update, append(slices.Clip(args), revision)...)
	if err != nil || n > 0 {
		return err
	}
	found, err := t.get("read "+what, `SELECT revision FROM `+what+`s WHERE id = $1`, []any{id}, new(int64))
	switch {
	case err != nil:
		return err
	case !found:
		return fault.NotFound(what, id)
	}
	return fault.Conflict("%s %q has been changed by somebody else meanwhile", what, id)
}

// free reports a conflict if the query finds another thing of that name.
func (t *tx) free(what, name, query string, args ...any) error {
	found, err := t.get("look for "+what, query, args, new(string))
	if err == nil && found {
		err = fault.Conflict("there is a %s named %q already", what, name)
	}
	return err
}

// remove deletes one thing by its id.
func (t *tx) remove(what, id, query string) error {
	n, err := t.exec("delete "+what, query, id)
	if err == nil && n == 0 {
		err = fault.NotFound(what, id)
	}
	return err
}

const selectSchedule = `SELECT doc, number, revision FROM schedules`

func scanSchedule(row scanner) (fleet.Schedule, error) {
	var text string
	var number, revision int64
	if err := row.Scan(&text, &number, &revision); err != nil {
		return fleet.Schedule{}, err
	}
	var d scheduleDoc
	if err := decode(text, &d); err != nil {
		return fleet.Schedule{}, err
	}
	s := d.Schedule
	s.Number, s.Revision = number, revision
	var err error
	if s.Window, err = d.Window.window(); err != nil {
		return s, err
	}
	s.Policy, err = d.Policy.policy()
	return s, err
}

// Schedule implements store.Schedules.
func (t *tx) Schedule(id string) (fleet.Schedule, error) {
	return one(t, "schedule", id, selectSchedule+` WHERE id = $1`, []any{id}, scanSchedule)
}

// Schedules implements store.Schedules.
func (t *tx) Schedules(f store.ScheduleFilter) ([]fleet.Schedule, error) {
	var w filter
	w.equal("project", f.Project)
	w.equal("target", f.Target)
	if f.After != "" {
		w.add("id > ?", f.After)
	}
	return list(t, "list schedules", w.query(selectSchedule, "id", f.Limit), w.args, scanSchedule)
}

// PutSchedule implements store.Schedules.
func (t *tx) PutSchedule(s fleet.Schedule) (fleet.Schedule, error) {
	if err := t.SetSchedule(s); err != nil {
		return fleet.Schedule{}, err
	}
	return t.Schedule(s.ID)
}

// SetSchedule implements store.Schedules.
func (t *tx) SetSchedule(s fleet.Schedule) error {
	doc, err := encode(scheduleDoc{Schedule: s, Window: windowToDoc(s.Window), Policy: policyToDoc(s.Policy)})
	if err != nil {
		return fault.Internal("write schedule", err)
	}
	args := []any{s.ID, s.Project, s.Target, s.Name, doc}
	done, err := t.redo("schedule", s.Revision, `UPDATE schedules SET doc = $5, revision = revision + 1
		WHERE id = $1 AND revision = $6 AND project = $2 AND target = $3 AND name = $4`, args)
	if done || err != nil {
		return err
	}
	found, err := t.get("look for target", `SELECT id FROM targets WHERE id = $1`, []any{s.Target}, new(string))
	if err == nil && !found {
		err = fault.NotFound("target", s.Target)
	}
	if err != nil {
		return err
	}
	if err := t.free("schedule", s.Name, `SELECT id FROM schedules WHERE target = $1 AND name = $2 AND id <> $3`,
		s.Target, s.Name, s.ID); err != nil {
		return err
	}
	if s.Revision == 0 {
		if _, err := t.exec("number schedule", `UPDATE targets SET numbered = numbered + 1 WHERE id = $1`, s.Target); err != nil {
			return err
		}
	}
	insert := `INSERT INTO schedules (id, project, target, name, doc, number, revision)
		VALUES ($1, $2, $3, $4, $5, (SELECT numbered FROM targets WHERE id = $3), 1) ON CONFLICT DO NOTHING`
	update := `UPDATE schedules SET project = $2, target = $3, name = $4, doc = $5, revision = revision + 1
		WHERE id = $1 AND revision = $6`
	return t.put("schedule", s.ID, s.Revision, insert, update, args)
}

// DeleteSchedule implements store.Schedules.
func (t *tx) DeleteSchedule(id string) error {
	return t.remove("schedule", id, `DELETE FROM schedules WHERE id = $1`)
}

const selectFreeze = `SELECT doc FROM freezes`

func scanFreeze(row scanner) (window.Freeze, error) {
	var f window.Freeze
	var text string
	if err := row.Scan(&text); err != nil {
		return f, err
	}
	return f, decode(text, &f)
}

// Freeze implements store.Freezes.
func (t *tx) Freeze(id string) (window.Freeze, error) {
	return one(t, "freeze", id, selectFreeze+` WHERE id = $1`, []any{id}, scanFreeze)
}

// Freezes implements store.Freezes.
func (t *tx) Freezes(project string, endAfter time.Time) ([]window.Freeze, error) {
	var w filter
	w.add("ends > ?", micros(endAfter))
	if project != "" {
		w.add("(project = '' OR project = ?)", project)
	}
	return list(t, "list freezes", w.query(selectFreeze, "starts, id", 0), w.args, scanFreeze)
}

// PutFreeze implements store.Freezes.
func (t *tx) PutFreeze(f window.Freeze) error {
	doc, err := encode(f)
	if err != nil {
		return fault.Internal("write freeze", err)
	}
	_, err = t.exec("write freeze", `INSERT INTO freezes (id, project, starts, ends, doc) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET project = excluded.project, starts = excluded.starts, ends = excluded.ends, doc = excluded.doc`,
		f.ID, f.Project, micros(f.Span.Start), micros(f.Span.End), doc)
	return err
}

// DeleteFreeze implements store.Freezes.
func (t *tx) DeleteFreeze(id string) error {
	return t.remove("freeze", id, `DELETE FROM freezes WHERE id = $1`)
}
