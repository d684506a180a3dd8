package house

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const maxLines = 800

func TestFilesAreShort(t *testing.T) {
	for _, f := range tree(t) {
		if f.lines > maxLines && !f.generated {
			t.Errorf("%s has %d lines: past %d there is a second idea in it; give it a file of its own", f.path, f.lines, maxLines)
		}
	}
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	said := map[string]bool{} // by package; a package of tests alone is not asked
	name := map[string]string{}
	for _, f := range tree(t) {
		if f.test {
			continue
		}
		name[f.dir] = f.syntax.Name.Name
		doc := f.syntax.Doc.Text()
		if strings.HasPrefix(doc, "Package "+f.syntax.Name.Name+" ") || f.syntax.Name.Name == "main" && doc != "" {
			said[f.dir] = true
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(name)) {
		switch {
		case said[dir]:
		case name[dir] == "main":
			t.Errorf("%s: a comment above \"package main\" should say what the command does", dir)
		default:
			t.Errorf("%s: a comment \"// Package %s …\" should say what it is for; if it has state, who is authoritative and what a crash does", dir, name[dir])
		}
	}
}

// TestChangelogEntries keeps entries such that scripts/changelog.sh can join them.
func TestChangelogEntries(t *testing.T) {
	head := regexp.MustCompile(`^(Security|Breaking|Fix|New): [A-Z].{10,90}[^.]$`)
	entries, err := filepath.Glob(filepath.Join(root, "changelog", "*", "*"))
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d entries in changelog/, %v", len(entries), err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(entry)
		if err != nil {
			t.Fatal(err)
		}
		first, rest, _ := strings.Cut(string(text), "\n")
		if filepath.Ext(entry) != ".md" || !head.MatchString(first) || !strings.HasPrefix(rest, "\n") || len(strings.TrimSpace(rest)) < 40 {
			t.Errorf("%s: want a .md file with \"Security|Breaking|Fix|New: What changed for users\" (no full stop, at most 100 characters), an empty line, and some sentences", entry)
		}
	}
}

// TestVersionsGoTogether compares what must be of one version but is named twice.
func TestVersionsGoTogether(t *testing.T) {
	ours := requirements(t, filepath.Join(root, "go.mod"))
	tool := requirements(t, filepath.Join(root, "tools", "templ", "go.mod"))
	const templ = "github.com/a-h/templ"
	if ours[templ] != tool[templ] {
		t.Errorf("%s is %q in go.mod and %q in tools/templ: generated code wants the generator's own version", templ, ours[templ], tool[templ])
	}

	const sqlite, libc = "modernc.org/sqlite", "modernc.org/libc"
	path, err := exec.Command("go", "list", "-m", "-f", "{{.GoMod}}", sqlite).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if want := requirements(t, strings.TrimSpace(string(path)))[libc]; ours[libc] != want {
		t.Errorf("%s is %q in go.mod, but %s %s was made and tested with %q: pin that", libc, ours[libc], sqlite, ours[sqlite], want)
	}
}

// requirements are the modules that a go.mod names, with their versions.
func requirements(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+(\S+\.\S+/\S+) (v\S+)`).FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = m[2]
	}
	return found
}
