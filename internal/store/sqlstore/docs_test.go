package sqlstore

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/evidence"
	"upkeep/internal/fleet"
	"upkeep/internal/rollout"
	"upkeep/internal/run"
	"upkeep/internal/store/storetest"
	"upkeep/internal/window"
)

var rewrite = flag.Bool("update", false, "write the documents in testdata anew")

func filled[T any]() T {
	var v T
	storetest.Fill(&v)
	return v
}

// kept are the sorts of documents, each with everything in it that can be.
func kept() map[string]any {
	s, r := filled[fleet.Schedule](), filled[run.Run]()
	return map[string]any{
		"target":      targetDoc{Target: filled[fleet.Target]()},
		"observation": filled[action.Observation](),
		"schedule":    scheduleDoc{Schedule: s, Window: windowToDoc(s.Window)},
		"freeze":      filled[window.Freeze](),
		"image":       imageDoc{Image: filled[fleet.Image]()},
		"channel":     channelDoc{Channel: filled[fleet.Channel]()},
		"run":         runDoc{Run: r, Window: windowToDoc(r.Window)},
		"order":       filled[run.Order](),
		"train":       trainToDoc(filled[rollout.StoredTrain]()),
		"release":     releaseDoc{StoredRelease: filled[rollout.StoredRelease]()},
		"rollout":     rolloutDoc{Rollout: filled[rollout.Rollout]()},
		"result":      filled[action.Result](),
		"watch":       filled[evidence.Watch](),
	}
}

// Databases in the field hold documents under the names that fields had when
// they were written. A field that is renamed would come back empty.
func TestStoredNames(t *testing.T) {
	for name, doc := range kept() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".json")
			text, err := encode(doc)
			if err != nil {
				t.Fatal(err)
			}
			if *rewrite {
				writeGolden(t, path, text)
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			was, is := names(t, string(golden)), names(t, text)
			for _, field := range slices.Sorted(maps.Keys(was)) {
				if !is[field] {
					t.Errorf("%s: documents in the field have %s, and it would be lost. Give the field its name back, or write a migration "+
						"that renames it in every stored document; then go test ./internal/store/sqlstore -update", name, field)
				}
			}
			for _, field := range slices.Sorted(maps.Keys(is)) {
				if !was[field] {
					t.Errorf("%s: %s is new, and documents in the field don't have it. See that its zero value means what they mean "+
						"(or write a migration); then go test ./internal/store/sqlstore -update", name, field)
				}
			}
		})
	}
}

func writeGolden(t *testing.T, path, text string) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	pretty, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(pretty, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// names lists the paths of all fields in a document with the sort of value, such
// as "Plan.Root.Shape (string)": both belong to the format.
func names(t *testing.T, text string) map[string]bool {
	all := map[string]bool{}
	walk(t, text, func(_, field string, v any) { all[fmt.Sprintf("%s (%T)", field, v)] = true })
	return all
}

// leaves lists the values of a document by their paths.
func leaves(t *testing.T, text string) map[string]string {
	all := map[string]string{}
	walk(t, text, func(path, _ string, v any) { all[path] = fmt.Sprint(v) })
	return all
}

// walk calls f with every value that has none below it: its path, and its path
// without numbers and keys.
func walk(t *testing.T, text string, f func(path, field string, v any)) {
	t.Helper()
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	var down func(path, field string, v any)
	down = func(path, field string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, below := range v {
				name := key
				if strings.Contains(key, "[key]") { // storetest.Fill's keys of maps
					name = "*"
				}
				down(strings.TrimPrefix(path+"."+key, "."), strings.TrimPrefix(field+"."+name, "."), below)
			}
		case []any:
			for i, below := range v {
				down(fmt.Sprintf("%s[%d]", path, i), field+"[]", below)
			}
		default:
			f(path, field, v)
		}
	}
	down("", "", doc)
}

// What a document from the field says is still there after it was read and
// written, value by value.
func TestStoredDocuments(t *testing.T) {
	again := func(name string, doc any) {
		golden, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := decode(string(golden), doc); err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		text, err := encode(doc)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		was, is := leaves(t, string(golden)), leaves(t, text)
		for _, path := range slices.Sorted(maps.Keys(was)) {
			if is[path] != was[path] {
				t.Errorf("%s: %s was %q and is read as %q", name, path, was[path], is[path])
			}
		}
	}
	again("target", new(targetDoc))
	again("observation", new(action.Observation))
	again("schedule", new(scheduleDoc))
	again("freeze", new(window.Freeze))
	again("image", new(imageDoc))
	again("channel", new(channelDoc))
	again("run", new(runDoc))
	again("order", new(run.Order))
	again("result", new(action.Result))
}

// TestWindow keeps what documents say of windows: the text of the rule, and a
// duration that is exact.
func TestWindow(t *testing.T) {
	for _, want := range []window.Window{{}, storetest.Window(time.Friday), {Duration: time.Hour + 1}} {
		got, err := windowToDoc(want).window()
		if err != nil || !got.Recurrence.Equal(want.Recurrence) || got.Duration != want.Duration {
			t.Errorf("%+v is read as %+v, %v", want, got, err)
		}
	}
	if _, err := (windowDoc{RRule: "nonsense", Duration: "1h"}).window(); err == nil {
		t.Error("a rule that can't be read is no error")
	}
}
