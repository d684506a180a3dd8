package house

import (
	"go/ast"
	"go/token"
	"slices"
	"testing"
)

// clocks are what tells or waits for the time, or asks the machine's zone.
var clocks = []string{
	"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Local",
}

func TestCoreReadsNoClock(t *testing.T) {
	eachCoreFile(t, func(f file) {
		f.mentions("time", func(n *ast.SelectorExpr, name string) {
			if slices.Contains(clocks, name) {
				t.Errorf("%s: time.%s in the core: the same arguments must give the same answer, today and in a simulation; take now as an argument", f.where(n), name)
			}
		})
	})
}

func TestCoreStartsNothing(t *testing.T) {
	eachCoreFile(t, func(f file) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType:
				t.Errorf("%s: the core starts and awaits nothing: what runs beside belongs to engine or a hand", f.where(n))
			}
			return true
		})
	})
}

func TestCoreTypesHaveNoTags(t *testing.T) {
	eachCoreFile(t, func(f file) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok && field.Tag != nil {
				t.Errorf("%s: the core's types carry no tags: rows are the store's, wire structs their door's; map the type there", f.where(n))
			}
			return true
		})
	})
}

func TestCoreIsDocumented(t *testing.T) {
	eachCoreFile(t, func(f file) {
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if exported(d) && d.Doc == nil {
					t.Errorf("%s: say what %s is for, or don't export it", f.where(d), d.Name.Name)
				}
			case *ast.GenDecl:
				f.checkDocs(t, d)
			}
		}
	})
}

// checkDocs wants a word on every exported name: above it, beside it, or above
// its group if that is of constants or variables.
func (f file) checkDocs(t *testing.T, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			alone := d.Doc != nil && !d.Lparen.IsValid()
			if s.Name.IsExported() && s.Doc == nil && s.Comment == nil && !alone {
				t.Errorf("%s: say what %s is, or don't export it", f.where(s), s.Name.Name)
			}
		case *ast.ValueSpec:
			if d.Tok != token.IMPORT && s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
				t.Errorf("%s: say what %s is, or don't export it", f.where(s), s.Names[0].Name)
			}
		}
	}
}

// exported tells whether others can call a function: a method of a type that
// they can't name is the interface's to document.
func exported(d *ast.FuncDecl) bool {
	if !d.Name.IsExported() || d.Recv == nil {
		return d.Name.IsExported()
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

func eachCoreFile(t *testing.T, do func(file)) {
	t.Helper()
	n := 0
	for _, f := range tree(t) {
		if f.in(core) && !f.test {
			n++
			do(f)
		}
	}
	if n == 0 {
		t.Error("the core has no files: core in laws_test.go names the wrong folders")
	}
}
