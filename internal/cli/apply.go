package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) applyCommand() *cobra.Command {
	var files []string
	var dry bool
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Create or change servers, schedules, policies, groups, services, runbooks and more",
		Long: `Reads YAML documents and makes them so. For each is said whether it was created,
changed or unchanged. What is already so is not sent.

All documents are checked before the first is sent: their form here, and the
recurrences, names and runbooks by the server. What a document may hold is told by
"upkeep help files".`,
		Example: `  upkeep apply -f fleet.yaml
  upkeep apply -f fleet.yaml --dry-run
  generate | upkeep apply -f -`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				a.ran = false
				return usagef("-f FILE is needed; - is standard input")
			}
			docs, err := a.readDocuments(files)
			if err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			return s.apply(cmd.Context(), docs, dry)
		},
	}
	cmd.Flags().StringSliceVarP(&files, "file", "f", nil, "the file; - is standard input; may be repeated")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check everything and say what would be done, but do nothing")
	return cmd
}

// maxDocuments is the longest input, in bytes, that apply reads.
const maxDocuments = 16 << 20

func (a *app) readDocuments(files []string) (all []*document, err error) {
	for _, file := range files {
		var text []byte
		if file == "-" {
			file = "standard input"
			text, err = io.ReadAll(io.LimitReader(a.in, maxDocuments+1))
		} else {
			text, err = readUpTo(file, maxDocuments)
		}
		if err != nil {
			return nil, configf("%w", err)
		}
		if len(text) > maxDocuments {
			return nil, configf("%s has more than %d bytes", file, maxDocuments)
		}
		docs, err := parseDocuments(file, text)
		if err != nil {
			return nil, err
		}
		all = append(all, docs...)
	}
	// Of one rank they stay as they were written.
	slices.SortStableFunc(all, func(x, y *document) int { return x.rank - y.rank })
	return all, nil
}

// What becomes of a document.
const (
	created   = "created"
	changed   = "changed"
	unchanged = "unchanged"
	over      = "unchanged: it has ended"
)

// applied is what apply says of a document, for programs.
type applied struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Result string `json:"result"`
	DryRun bool   `json:"dryRun,omitempty"`
}

// deed is one thing that apply does.
type deed struct {
	doc    *document
	result string
	do     func(context.Context) error
}

// apply looks at what there is, has the server check what it alone can, and
// then sends what is to change.
func (s *session) apply(ctx context.Context, docs []*document, dry bool) error {
	if err := s.settle(ctx, docs); err != nil {
		return err
	}
	verdicts := make([]string, len(docs))
	manages := make([]management, len(docs))
	for i, d := range docs {
		var err error
		if verdicts[i], err = d.compare(ctx, s, docs); err == nil {
			manages[i], err = s.management(ctx, d.subject)
		}
		if err != nil {
			return d.refused(err)
		}
	}
	if err := s.checkWindows(ctx, docs, verdicts); err != nil {
		return err
	}
	var done []applied
	for _, todo := range s.deeds(docs, verdicts, manages) {
		if !dry && todo.do != nil {
			if err := todo.do(ctx); err != nil {
				return errors.Join(s.report(done), todo.doc.refused(err))
			}
		}
		kind, name, _ := strings.Cut(todo.doc.name(), " ")
		done = append(done, applied{Kind: kind, Name: name, Result: todo.result, DryRun: dry})
		if s.app.format == "table" {
			suffix := ""
			if dry {
				suffix = " (dry run)"
			}
			fmt.Fprintf(s.app.out, "%s %s%s\n", clean(todo.doc.name()), todo.result, suffix)
		}
	}
	return s.report(done)
}

// deeds are what is to be done, in order. Who manages a server is said last:
// one that has a schedule by then is not given the default one. But an
// unmanaged server takes no schedules, so there it is said before them.
func (s *session) deeds(docs []*document, verdicts []string, manages []management) []deed {
	var all, last []deed
	for i, d := range docs {
		first := deed{doc: d, result: verdicts[i]}
		if verdicts[i] == created || verdicts[i] == changed {
			first.do = func(ctx context.Context) error { return d.send(ctx, s) }
		}
		all = append(all, first)
		m := manages[i]
		switch also := (deed{d, m.want, m.send}); {
		case m.want == "":
		case m.early:
			all = append(all, also)
		default:
			last = append(last, also)
		}
	}
	return append(all, last...)
}

// report is what became of everything, as one document. For a person it was told already.
func (s *session) report(done []applied) error {
	if s.app.format == "table" {
		return nil
	}
	return s.app.document(struct {
		Items []applied `json:"items"`
	}{append([]applied{}, done...)}, true)
}

// projectOf is the project that a document names, else the command's.
func (s *session) projectOf(d subject) string { return first(d.in(), s.project) }

// verdict is what is to be done with a document that was asked for.
func verdict(err error, same func() bool) (string, error) {
	switch {
	case client.Is(err, client.KindNotFound):
		return created, nil
	case err != nil:
		return "", err
	case same():
		return unchanged, nil
	}
	return changed, nil
}

// plain is what is sent as text, by which two are compared.
func plain(what any) string {
	text, err := json.Marshal(what)
	if err != nil {
		return err.Error() // not possible: these are texts and numbers
	}
	return string(text)
}

// plainLength writes a duration in one way; what is none stays, and the server
// says so.
func plainLength(text string) string {
	d, ok := parseLength(text)
	switch {
	case !ok:
		return text
	case d == 0:
		return ""
	}
	return d.String()
}
