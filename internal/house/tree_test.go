package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "upkeep"

// file is one Go file of this module, whatever its build tags.
type file struct {
	path      string // from the root
	dir       string // its package's path in this module
	test      bool
	generated bool
	lines     int
	syntax    *ast.File
	pos       *token.FileSet
}

// tree returns all Go files, parsed once.
func tree(t *testing.T) []file {
	t.Helper()
	files, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var parsed = sync.OnceValues(func() (files []file, err error) {
	pos := token.NewFileSet()
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && foreign(name):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		syntax, err := parser.ParseFile(pos, filepath.Join(root, name), nil, parser.ParseComments)
		if err != nil {
			return fmt.Errorf("parse: %w", err)
		}
		files = append(files, file{
			path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			generated: ast.IsGenerated(syntax), lines: pos.File(syntax.Pos()).LineCount(),
			syntax: syntax, pos: pos,
		})
		return nil
	})
	if err == nil && len(files) < 10 {
		err = fmt.Errorf("%d Go files under %s: these tests look in the wrong place", len(files), root)
	}
	return files, err
})

// root is this module's folder: go test runs a package's tests in its folder.
const root = "../.."

// foreign tells folders that the go command passes over too.
func foreign(dir string) bool {
	base := path.Base(dir)
	if dir == "." {
		return false
	}
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" {
		return true
	}
	_, err := os.Stat(filepath.Join(root, dir, "go.mod"))
	return err == nil // a module of its own
}

// where is a position that editors understand.
func (f file) where(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.path, f.pos.Position(n.Pos()).Line)
}

// in tells whether the file's package belongs to one of the stations.
func (f file) in(stations []string) bool { return within(f.dir, stations) != "" }

// within returns the station that a package belongs to, or nothing.
func within(dir string, stations []string) string {
	i := slices.IndexFunc(stations, func(s string) bool { return dir == s || strings.HasPrefix(dir, s+"/") })
	if i < 0 {
		return ""
	}
	return stations[i]
}

// imports calls f with every path that the file imports; own are this
// module's, told by their path in it.
func (f file) imports(do func(spec *ast.ImportSpec, path string, own bool)) {
	for _, spec := range f.syntax.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser has seen it
		}
		own, ok := strings.CutPrefix(name, module+"/")
		do(spec, own, ok)
	}
}

// mentions calls do for every mention of pkg.Name in the file, pkg being told by
// its import path.
func (f file) mentions(pkg string, do func(n *ast.SelectorExpr, name string)) {
	local := ""
	f.imports(func(spec *ast.ImportSpec, name string, own bool) {
		switch {
		case own || name != pkg:
		case spec.Name != nil:
			local = spec.Name.Name
		default:
			local = path.Base(name)
		}
	})
	if local == "" {
		return
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			// An identifier that the file itself resolves is a variable of that name.
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local && x.Obj == nil {
				do(sel, sel.Sel.Name)
			}
		}
		return true
	})
}
