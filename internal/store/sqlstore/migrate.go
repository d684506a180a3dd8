package sqlstore

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"sort"
	"strconv"
	"strings"

	"upkeep/internal/fault"
)

//go:embed migrations
var migrations embed.FS

// step is what brings the schema to a version: one text for both databases,
// and after it what only this one needs.
type step struct {
	version int
	texts   []string
}

// steps reads the migrations: NNNN_name.sql is for every database,
// NNNN_name.DIALECT.sql for one.
func steps(files fs.FS, d Dialect) ([]step, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	sort.Slice(names, func(i, j int) bool { // 0001_a.sql before 0001_a.sqlite.sql
		return strings.TrimSuffix(names[i], ".sql") < strings.TrimSuffix(names[j], ".sql")
	})
	var all []step
	for _, name := range names {
		base := strings.TrimPrefix(strings.TrimSuffix(name, ".sql"), "migrations/")
		number, rest, _ := strings.Cut(base, "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number", name)
		}
		if len(all) == 0 || all[len(all)-1].version != version {
			all = append(all, step{version: version})
		}
		if version != len(all) {
			return nil, fmt.Errorf("migration %s: number %d is missing", name, len(all))
		}
		if _, only, ok := strings.Cut(rest, "."); ok && only != d.Name() {
			continue // the number counts all the same
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		last := &all[len(all)-1]
		last.texts = append(last.texts, d.Schema(string(text)))
	}
	return all, nil
}

// migrate brings the schema to the newest version. Whoever holds the row of
// schema_version migrates; others wait for it and then find nothing to do.
func (db *DB) migrate(ctx context.Context) error {
	all, err := steps(migrations, db.dialect)
	if err != nil {
		return fault.Internal("read migrations", err)
	}
	err = db.run(ctx, db.write, claiming, func(t *tx) error {
		if _, err := t.exec("migrate", `CREATE TABLE IF NOT EXISTS schema_version (one BIGINT PRIMARY KEY, version BIGINT NOT NULL)`); err != nil {
			return err
		}
		_, err := t.exec("migrate", `INSERT INTO schema_version (one, version) VALUES (1, 0) ON CONFLICT DO NOTHING`)
		return err
	})
	if err != nil {
		return err
	}
	return db.run(ctx, db.write, claiming, func(t *tx) error {
		var version int
		if _, err := t.get("migrate", `SELECT version FROM schema_version WHERE one = 1`+t.dialect.LockRows(), nil, &version); err != nil {
			return err
		}
		switch {
		case version > len(all):
			return fault.Conflict("the database has schema %d, and this program knows no newer one than %d: use the newer program that has opened it before", version, len(all))
		case version == len(all):
			t.idle = true
			return nil
		}
		for _, s := range all[version:] {
			for _, text := range s.texts {
				for _, stmt := range statements(text) {
					if _, err := t.exec(fmt.Sprintf("migrate to schema %d", s.version), stmt); err != nil {
						return err
					}
				}
			}
		}
		_, err := t.exec("migrate", `UPDATE schema_version SET version = $1 WHERE one = 1`, len(all))
		return err
	})
}

// statements cuts a migration at the semicolons that end its lines.
func statements(text string) []string {
	var all []string
	for s := range strings.SplitSeq(text, ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	return all
}
