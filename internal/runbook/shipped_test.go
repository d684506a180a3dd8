package runbook_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"upkeep/internal/action"
	"upkeep/internal/agent"
)

// written is what the shipped runbooks say of steps that hosts do.
type written struct {
	Params []struct {
		Name, Type, Default string
	}
	Prove, Before, After []writtenStep
	Member               struct{ Drain, Do, Await, Ready []writtenStep }
}

type writtenStep struct {
	Name, Kind, Command string
	With                map[string]string
}

// TestHeads: the head of each shipped runbook is a file that an agent reads, and
// allows all that the runbook asks of hosts, with the values that it gives.
func TestHeads(t *testing.T) {
	files, err := filepath.Glob("../../runbooks/*.yaml")
	if err != nil || len(files) < 12 {
		t.Fatalf("there are %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var book written
		if err := yaml.Unmarshal(text, &book); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		owners := heads(t, string(text))
		for _, s := range slices.Concat(book.Prove, book.Before, book.Member.Drain, book.Member.Do, book.Member.Await, book.Member.Ready, book.After) {
			kind := action.Kind(s.Kind)
			if !kind.OnHost() {
				continue
			}
			o := action.Order{Kind: kind, Command: s.Command, With: map[string]string{}}
			for name, value := range s.With {
				o.With[name] = example(book, value)
			}
			var refused []error
			for _, w := range owners {
				if _, err := w.Argv(o, file); err != nil {
					refused = append(refused, err)
				}
			}
			if len(refused) == len(owners) {
				t.Errorf("%s: nobody allows the step %s: %v", filepath.Base(file), s.Name, refused)
			}
		}
	}
}

// heads are the owners' files in a runbook's comments: what is indented there.
func heads(t *testing.T, text string) (all []agent.Allow) {
	t.Helper()
	var block []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "#   ") {
			block = append(block, line[4:])
			continue
		}
		if len(block) > 0 && strings.HasSuffix(strings.TrimSpace(block[0]), ":") {
			file := filepath.Join(t.TempDir(), "agent.yaml")
			if err := os.WriteFile(file, []byte(strings.Join(block, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			allow, err := agent.LoadAllow(file)
			if err != nil {
				t.Errorf("%s\n%v", strings.Join(block, "\n"), err)
			}
			all = append(all, allow)
		}
		block = nil
	}
	return all
}

// example fills the places of a value with something that could stand there.
func example(book written, value string) string {
	value = strings.ReplaceAll(value, "{{member.name}}", "cmp-1")
	for _, p := range book.Params {
		like := p.Default
		switch action.Type(p.Type) {
		case action.Digest:
			like = "sha256:" + strings.Repeat("a", 64)
		case action.String:
			like = "quincy"
		case action.Integer, action.Boolean, action.Duration:
		}
		value = strings.ReplaceAll(value, fmt.Sprintf("{{param.%s}}", p.Name), like)
	}
	return value
}
