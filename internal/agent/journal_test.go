package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/wire"
)

func openFolder(t testing.TB, dir string) *folder {
	t.Helper()
	j, err := OpenJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := j.(*folder)
	if !ok {
		t.Fatalf("it is a %T", j)
	}
	return f
}

func TestJournalFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := openFolder(t, dir)
	if _, err := OpenJournal(dir); !fault.Is(err, fault.KindConflict) {
		t.Errorf("a second agent: %v", err)
	}
	one := Record{Key: "../../a run/s/1", Seq: 1, Stage: Waiting, Order: wire.Order{Kind: "refresh"}, Memo: json.RawMessage(`{"a":1}`)}
	two := Record{Key: "two", Seq: 2, Stage: Ended, Answer: &wire.Answer{Key: "two", Outcome: "done"}}
	for _, r := range []Record{one, two} {
		if err := j.Save(r); err != nil {
			t.Fatal(err)
		}
	}
	// A crash in the middle of a write leaves the record before it.
	if err := os.WriteFile(j.file(one.Key)+".tmp", []byte(`{"key":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openFolder(t, dir)
	all, err := j.Load()
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, r := range all {
		if r.Key == one.Key && !reflect.DeepEqual(r, one) || r.Key == two.Key && !reflect.DeepEqual(r, two) {
			t.Errorf("got %+v", r)
		}
	}
	for range 2 {
		if err := j.Delete(one.Key); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if all, err = j.Load(); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	files, err := filepath.Glob(dir + "/*")
	if err != nil || len(files) != 3 { // lock, reserve, two
		t.Errorf("files: %q, %v", files, err)
	}
	// To go on without a record could do something twice.
	if err := os.WriteFile(j.file("two"), []byte(`{"key":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Load(); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged record: %v", err)
	}
}

// memory is a journal of which every write can fail, before or after it is kept.
type memory struct {
	kept  map[string][]byte
	fails func() (before, after bool)
}

func (m *memory) Load() ([]Record, error) {
	var all []Record
	for _, text := range m.kept {
		var r Record
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (m *memory) write(f func()) error {
	before, after := m.fails()
	if before {
		return os.ErrDeadlineExceeded
	}
	f()
	if after {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (m *memory) Save(r Record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return m.write(func() { m.kept[r.Key] = text })
}

func (m *memory) Delete(key string) error { return m.write(func() { delete(m.kept, key) }) }

// The book's promises, over any sequence of calls, failing writes and crashes:
// an order begins at most once, its answer never changes, what it told to have
// seen stays seen, and what it forgot can't begin again.
func TestBook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk := &memory{kept: map[string][]byte{}}
		disk.fails = func() (bool, bool) {
			return rapid.IntRange(0, 9).Draw(t, "fails before") == 0, rapid.IntRange(0, 9).Draw(t, "fails after") == 0
		}
		open := func() *book {
			b, err := openBook(disk, "")
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		b := open()
		key := rapid.Custom(func(t *rapid.T) string { return rapid.StringMatching(`[a-h]`).Draw(t, "key") })
		begun, answers, orders := map[string]bool{}, map[string]string{}, map[string]wire.Order{}
		newest := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if g := b.generation(); g < newest {
					t.Fatalf("generation %d was seen, now %d", newest, g)
				}
				newest = b.generation()
				for _, a := range b.unsent(99) {
					text, err := json.Marshal(a)
					if err != nil {
						t.Fatal(err)
					}
					if old, ok := answers[a.Key]; ok && old != string(text) {
						t.Fatalf("the answer to %s was %s, is %s", a.Key, old, text)
					}
					answers[a.Key] = string(text)
				}
			},
			"accept": func(t *rapid.T) {
				o := wire.Order{Key: key.Draw(t, "key"), Generation: rapid.Int64Range(newest, newest+1).Draw(t, "generation")}
				if old, ok := orders[o.Key]; ok {
					o = old // the same key is the same order, for ever
				}
				orders[o.Key] = o
				if isNew, err := b.accept(o); err == nil && isNew && begun[o.Key] && o.Generation >= b.generation() {
					t.Fatalf("%s was begun before, and is taken as new", o.Key)
				}
			},
			"begin": func(t *rapid.T) {
				r, ok := b.next()
				if !ok || r.Stage != Waiting || r.Order.Generation < b.generation() {
					return
				}
				if b.begin(r.Key, "boot", r.Started, nil) == nil {
					if begun[r.Key] {
						t.Fatalf("%s begins twice", r.Key)
					}
					begun[r.Key] = true
				}
			},
			"end": func(t *rapid.T) {
				if r, ok := b.next(); ok {
					answer := wire.Answer{Key: r.Key, Outcome: string(action.Done), Output: rapid.String().Draw(t, "output")}
					for b.end(r.Key, answer) != nil { // as the agent does
					}
				}
			},
			"acknowledge": func(t *rapid.T) { _ = b.acknowledge(key.Draw(t, "key")) },
			"forget": func(t *rapid.T) {
				for _, k := range b.forgettable() {
					_ = b.forget(k)
				}
			},
			"crash": func(t *rapid.T) { b = open() },
		})
	})
}

// Acknowledged orders of the newest generation are never forgotten: if asked
// for again they would be done again.
func TestForgettable(t *testing.T) {
	b, err := openBook(&memory{kept: map[string][]byte{}, fails: func() (bool, bool) { return false, false }}, "")
	if err != nil {
		t.Fatal(err)
	}
	end := func(key string, generation int64) {
		if _, err := b.accept(wire.Order{Key: key, Generation: generation}); err != nil {
			t.Fatal(err)
		}
		if err := b.end(key, wire.Answer{Key: key, Outcome: "done"}); err != nil {
			t.Fatal(err)
		}
		if err := b.acknowledge(key); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		end(strings.Repeat("x", i+1), 1)
	}
	if got := b.forgettable(); len(got) != 0 {
		t.Errorf("of the newest generation: %d", len(got))
	}
	end("new", 2)
	if got := b.forgettable(); len(got) != 100-keepAcknowledged || got[0] != "x" {
		t.Errorf("of an older generation: %d", len(got))
	}
}

// many is that many named commands.
func many(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "  c%d: [/bin/true]\n", i)
	}
	return text.String()
}

func TestAllow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yaml")
	load := func(text string) (Allow, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return LoadAllow(file)
	}
	if a, err := LoadAllow(file); err != nil || a.Kinds != nil || a.forbids(action.Order{Kind: action.Reboot}) != "" {
		t.Errorf("no file: %+v, %v", a, err)
	}
	a, err := load("allow: [refresh, install]\nhold: [curl, 'linux-image-*']\nrebootCommand: [systemctl, reboot]\ndryRun: true\n")
	if err != nil || !reflect.DeepEqual(a, Allow{
		Kinds: []action.Kind{action.Refresh, action.Install}, Hold: []string{"curl", "linux-image-*"},
		RebootCommand: []string{"systemctl", "reboot"}, DryRun: true,
	}) {
		t.Errorf("%+v, %v", a, err)
	}
	named, err := load("commands:\n  stop-shop: [/usr/local/bin/shop, stop]\n  wait: [/bin/sleep, '5', '']\n")
	if err != nil || !reflect.DeepEqual(named.Commands, map[string]Command{"stop-shop": {Run: []string{"/usr/local/bin/shop", "stop"}}, "wait": {Run: []string{"/bin/sleep", "5", ""}}}) || named.Kinds != nil {
		t.Errorf("%+v, %v", named, err)
	}
	if _, err := load("commands:\n" + many(64)); err != nil {
		t.Error(err)
	}
	if why := a.forbids(action.Order{Kind: action.Check, Command: "healthy"}); why != `this host's owner does not allow to run "healthy" as a check` {
		t.Error(why)
	}
	if !a.Holds("linux-image-6.1.0-1-amd64") || !a.Holds("curl:i386") || a.Holds("curlew") {
		t.Error("holds")
	}
	if a, err := load("# nothing\n"); err != nil || a.Kinds != nil {
		t.Errorf("empty: %+v, %v", a, err)
	}
	if a, err := load("allow: []\n"); err != nil || a.forbids(action.Order{Kind: action.Refresh}) == "" || a.forbids(action.Order{Kind: action.Observe}) != "" {
		t.Errorf("nothing allowed: %+v, %v", a, err)
	}
	for text, word := range map[string]string{
		"commands: {Stop: [/bin/true]}\n": `"Stop"`, "commands: {'a b': [/bin/true]}\n": `"a b"`, "commands: {a: [bin/true]}\n": "absolute", "commands: {a: [/bin/sleep, 010]}\n": "quotes", "commands: {a: []}\n": "no program",
		"commands: {a: [/usr/../bin/true]}\n": "absolute", "commands: {a: /bin/true}\n": "commands", "commands: {a: [\"/bin/echo\", \"\\0\"]}\n": "zero byte",
		"commands: {a: [/bin/true], a: [/bin/false]}\n": `"a"`, "commands: {" + strings.Repeat("a", 64) + ": [/bin/true]}\n": "1 to 63", "commands:\n" + many(65): "65",
		"alow: [install]\n": "alow", "allow: [upgrade]\n": "upgrade", "hold: ['[']\n": "hold", "dryRun: perhaps\n": "dryRun", "allow: {": "",
	} {
		if _, err := load(text); !fault.Is(err, fault.KindInvalid) || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
