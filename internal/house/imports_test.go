package house

import (
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryPackageIsOnTheMap(t *testing.T) {
	built := map[string]bool{}
	strangers := map[string]bool{}
	for _, f := range tree(t) {
		if s := within(f.dir, stations); s != "" {
			built[s] = true
		} else {
			strangers[f.dir] = true
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(strangers)) {
		t.Errorf("%s is no station: name it in stations, and give it its line in ARCHITECTURE.md", dir)
	}
	for _, s := range stations {
		isPlanned := slices.Contains(planned, s)
		switch {
		case built[s] && isPlanned:
			t.Errorf("%s is built: take it off the planned ones", s)
		case !built[s] && !isPlanned:
			t.Errorf("%s has no Go file: take it, and what the laws say of it, off this map, .golangci.yml and ARCHITECTURE.md", s)
		}
	}
	for _, s := range planned {
		if !slices.Contains(stations, s) {
			t.Errorf("%s is planned but on no map", s)
		}
	}
}

func TestLawsSpeakOfStations(t *testing.T) {
	for _, l := range laws {
		for _, s := range slices.Concat(l.bind, l.never, l.only) {
			if !slices.Contains(stations, s) {
				t.Errorf("a law speaks of %s, which is no station: %s", s, l.why)
			}
		}
	}
	for _, dir := range testOnly {
		if _, err := os.Stat(filepath.Join(root, dir)); err != nil {
			t.Errorf("%s is only for tests, and gone: take it off testOnly", dir)
		}
	}
}

func TestImportsKeepTheLaws(t *testing.T) {
	for _, f := range tree(t) {
		if f.test || within(f.dir, testOnly) != "" {
			continue
		}
		own := within(f.dir, stations)
		f.imports(func(spec *ast.ImportSpec, name string, ours bool) {
			if ours {
				f.checkOwn(t, spec, own, name)
			} else {
				f.checkForeign(t, spec, name)
			}
		})
	}
}

// checkOwn holds an import of one of our own packages against the laws.
func (f file) checkOwn(t *testing.T, spec *ast.ImportSpec, from, name string) {
	t.Helper()
	to := within(name, stations)
	for _, l := range laws {
		if to == from || !slices.Contains(l.bind, from) {
			continue
		}
		if slices.Contains(l.never, to) || l.only != nil && !slices.Contains(l.only, to) {
			t.Errorf("%s: %s never imports %s: %s", f.where(spec), from, name, l.why)
		}
	}
	if within(name, testOnly) != "" {
		t.Errorf("%s: %s is for tests alone: it must not get into the program", f.where(spec), name)
	}
}

// checkForeign holds an import of other people's package against pure and reserved.
func (f file) checkForeign(t *testing.T, spec *ast.ImportSpec, name string) {
	t.Helper()
	if f.in(core) && !slices.Contains(pure, name) {
		t.Errorf("%s: the core does not import %s: it does no I/O and reads no clock; take the value as an argument, or add the package to pure if it is", f.where(spec), name)
	}
	for _, r := range reserved {
		if within(name, r.paths) != "" && !f.in(r.to) {
			t.Errorf("%s: %s is not for %s: %s", f.where(spec), name, f.dir, r.why)
		}
	}
}

// TestLinterKnowsTheSameStations keeps .golangci.yml, which tells the nevers in
// editors, from speaking of what is gone or missing what a law binds.
func TestLinterKnowsTheSameStations(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	bound := map[string]bool{}
	for _, m := range regexp.MustCompile(`"\*\*/([a-z0-9/]+)/\*\*"`).FindAllStringSubmatch(string(text), -1) {
		bound[m[1]] = true
		if !onMap(m[1]) {
			t.Errorf(".golangci.yml speaks of %s, which is no station", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`pkg: "?`+module+`/([a-z0-9/]+)`).FindAllStringSubmatch(string(text), -1) {
		if !onMap(m[1]) {
			t.Errorf(".golangci.yml speaks of %s, which is no station", m[1])
		}
	}
	for _, l := range laws {
		if len(l.bind) > len(stations)/2 {
			continue // all but some: the linter has no word for that
		}
		for _, s := range l.bind {
			if !bound[s] {
				t.Errorf("a law binds %s, but no depguard rule in .golangci.yml does: %s", s, l.why)
			}
		}
	}
}

// onMap tells whether a path is of a station, or holds some.
func onMap(dir string) bool {
	holds := slices.ContainsFunc(stations, func(s string) bool { return strings.HasPrefix(s, dir+"/") })
	return holds || within(dir, stations) != ""
}
