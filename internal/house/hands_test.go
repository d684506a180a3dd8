package house

import (
	"go/ast"
	"slices"
	"testing"
)

// dials are what opens connections without asking anybody where to.
var dials = map[string][]string{
	"net":      {"Dial", "DialTimeout", "Dialer", "DialTCP", "DialUDP", "DialUnix", "DialIP"},
	"net/http": {"Get", "Head", "Post", "PostForm", "DefaultClient", "DefaultTransport"},
	"net/smtp": {"Dial", "SendMail"},
}

func TestHandsDialByReach(t *testing.T) {
	for _, f := range tree(t) {
		if f.test || !f.in(hands) {
			continue
		}
		for pkg, names := range dials {
			f.mentions(pkg, func(n *ast.SelectorExpr, name string) {
				if slices.Contains(names, name) {
					t.Errorf("%s: %s.%s in a hand: others name the addresses that hands call, and reach refuses those that nobody may have called; use reach.Rule", f.where(n), pkg, name)
				}
			})
		}
	}
}
