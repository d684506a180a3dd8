package house

import (
	"go/ast"
	"go/build/constraint"
	"slices"
	"strings"
	"testing"
)

func TestTestsDoNotSkip(t *testing.T) {
	eachTestFile(t, func(f file) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && isTesting(x) {
				t.Errorf("%s: a test that skips itself is green for nothing: make what it needs, or put it behind the tag e2e, which \"make test\" sets", f.where(n))
			}
			return true
		})
	})
}

// isTesting tells a *testing.T, B, F or testing.TB from others, such as
// *rapid.T, whose Skip throws away one try of many.
func isTesting(x *ast.Ident) bool {
	if x.Obj == nil {
		return false
	}
	field, ok := x.Obj.Decl.(*ast.Field)
	if !ok {
		return false
	}
	typ := field.Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	sel, ok := typ.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && pkg.Name == "testing"
}

// TestTestsDoNotSleep allows two sleeps: in a loop that asks again until what it
// waits for is so, and in packages whose tests run in bubbles of
// testing/synctest, where it takes no time.
func TestTestsDoNotSleep(t *testing.T) {
	bubbles := map[string]bool{}
	eachTestFile(t, func(f file) {
		f.imports(func(_ *ast.ImportSpec, name string, _ bool) {
			bubbles[f.dir] = bubbles[f.dir] || name == "testing/synctest"
		})
	})
	eachTestFile(t, func(f file) {
		if bubbles[f.dir] {
			return
		}
		polls := map[ast.Node]bool{}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if loop, ok := n.(*ast.ForStmt); ok {
				ast.Inspect(loop, func(n ast.Node) bool { polls[n] = true; return true })
			}
			return true
		})
		f.mentions("time", func(n *ast.SelectorExpr, name string) {
			if name == "Sleep" && !polls[n] {
				t.Errorf("%s: a test that sleeps is slow when all is well and red when the machine is busy: ask in a loop with a deadline, or run in a bubble of testing/synctest", f.where(n))
			}
		})
	})
}

// tags are those that "make test" sets, now or on the machines that we know.
var tags = []string{"e2e", "linux", "unix", "darwin", "windows", "race", "amd64", "arm64"}

func TestEveryTestFileRuns(t *testing.T) {
	eachTestFile(t, func(f file) {
		for _, group := range f.syntax.Comments {
			for _, c := range group.List {
				if !constraint.IsGoBuild(c.Text) || c.Pos() > f.syntax.Package {
					continue
				}
				expr, err := constraint.Parse(c.Text)
				if err != nil {
					t.Errorf("%s: %v", f.where(c), err)
					continue
				}
				expr.Eval(func(tag string) bool {
					if !slices.Contains(tags, tag) && !strings.HasPrefix(tag, "go1.") {
						t.Errorf("%s: nothing sets the tag %s, so these tests never run: use e2e, or have \"make test\" set it and name it in tags", f.where(c), tag)
					}
					return true
				})
			}
		}
	})
}

func eachTestFile(t *testing.T, do func(file)) {
	t.Helper()
	n := 0
	for _, f := range tree(t) {
		if f.test {
			n++
			do(f)
		}
	}
	if n == 0 {
		t.Error("no test files found")
	}
}
