package sqlite

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

func TestUnnumber(t *testing.T) {
	for text, want := range map[string]struct {
		plain string
		order []int
	}{
		`SELECT 1`:                              {`SELECT 1`, nil},
		`a = $1 AND b = $12 AND c=$1`:           {`a = ? AND b = ? AND c=?`, []int{1, 12, 1}},
		`VALUES ($2,'$1', "$1", 'it''s $3',$1)`: {`VALUES (?,'$1', "$1", 'it''s $3',?)`, []int{2, 1}},
		`$ and $x and $0 and '$1`:               {`$ and $x and $0 and '$1`, nil},
	} {
		plain, order := unnumber(text)
		if plain != want.plain || !slices.Equal(order, want.order) {
			t.Errorf("%s: %s %v", text, plain, order)
		}
	}
}

func TestStatementsAreKept(t *testing.T) {
	db := connect(filepath.Join(t.TempDir(), "db"), defaults, forWriting)
	defer db.Close()
	db.SetMaxOpenConns(1)
	ctx := t.Context()
	if _, err := db.ExecContext(ctx, `CREATE TABLE t (a TEXT, b BIGINT)`); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := tx.ExecContext(ctx, `INSERT INTO t (b, a) VALUES ($2, $1)`, fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	// The same text again while its rows are being read.
	const query = `SELECT a FROM t WHERE b >= $1 ORDER BY b`
	outer, err := tx.QueryContext(ctx, query, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	var got []string
	for outer.Next() {
		var a, first string
		if err := outer.Scan(&a); err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRowContext(ctx, query, 1).Scan(&first); err != nil {
			t.Fatal(err)
		}
		got = append(got, a+first)
	}
	if err := outer.Err(); err != nil || !slices.Equal(got, []string{"01", "11", "21"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO t (a) VALUES ($2)`, "one"); err == nil {
		t.Error("an argument is missing and nobody minds")
	}
	// More texts than are kept, and a schema that changes below them.
	for i := range maxStatements + 10 {
		var n int
		if err := tx.QueryRowContext(ctx, fmt.Sprintf(`SELECT COUNT(*) + %d FROM t`, i)).Scan(&n); err != nil || n != i+3 {
			t.Fatal(n, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, `ALTER TABLE t ADD COLUMN c TEXT NOT NULL DEFAULT 'x'`); err != nil {
		t.Fatal(err)
	}
	var a string
	if err := db.QueryRowContext(ctx, query, 2).Scan(&a); err != nil || a != "2" {
		t.Error(a, err)
	}
}
