package sqlite

import (
	"path/filepath"
	"testing"
)

// What a commit is worth depends on settings that are easily lost.
func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	unsafe := options{}
	Unsafe()(&unsafe)
	for _, c := range []struct {
		o         options
		more      string
		sync      string
		queryOnly string
	}{
		{defaults, forWriting, "2", "0"},
		{defaults, forReading, "2", "1"},
		{unsafe, forWriting, "0", "0"},
	} {
		db := connect(path, c.o, c.more)
		for pragma, want := range map[string]string{
			"synchronous": c.sync, "query_only": c.queryOnly, "journal_mode": "wal", "foreign_keys": "1", "busy_timeout": "5000",
		} {
			var got string
			if err := db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%+v%s: %s is %q, want %q (%v)", c.o, c.more, pragma, got, want, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
