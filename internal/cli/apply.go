package cli

import (
	"context"
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
	// Images and policies first, for servers and schedules are made from them;
	// then servers, their groups and services, before the schedules that stand on them;
	// else as they were written.
	slices.SortStableFunc(all, func(x, y *document) int { return rank(x) - rank(y) })
	return all, nil
}

func rank(d *document) int {
	switch {
	case d.image != nil, d.policy != nil:
		return 0
	case d.server != nil:
		return 1
	case d.group != nil, d.service != nil, d.runbook != nil:
		return 2
	case d.release != nil: // after its train
		return 4
	}
	return 3
}

// What becomes of a document.
const (
	created   = "created"
	changed   = "changed"
	unchanged = "unchanged"
	over      = "unchanged: it has ended"
)

// Applied is what apply says of a document, for programs.
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
		if verdicts[i], err = s.compare(ctx, d, docs); err == nil {
			manages[i], err = s.management(ctx, d)
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
				return errors.Join(s.report(done, dry), todo.doc.refused(err))
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
	return s.report(done, dry)
}

// deeds are what is to be done, in order. Who manages a server is said last:
// one that has a schedule by then is not given the default one. But an
// unmanaged server takes no schedules, so there it is said before them.
func (s *session) deeds(docs []*document, verdicts []string, manages []management) []deed {
	var all, last []deed
	for i, d := range docs {
		first := deed{doc: d, result: verdicts[i]}
		if verdicts[i] == created || verdicts[i] == changed {
			first.do = func(ctx context.Context) error { return s.send(ctx, d) }
		}
		all = append(all, first)
		switch m := manages[i]; {
		case m.want == "":
		case m.early:
			all = append(all, deed{d, m.want, func(ctx context.Context) error { return s.sendManagement(ctx, d) }})
		default:
			last = append(last, deed{d, m.want, func(ctx context.Context) error { return s.sendManagement(ctx, d) }})
		}
	}
	return append(all, last...)
}

// management is what is to be said of who manages a server; nothing if it is so.
type management struct {
	want  string
	early bool
}

func (s *session) management(ctx context.Context, d *document) (m management, err error) {
	if d.server == nil || d.server.Management == "" {
		return m, nil
	}
	have, err := s.serverIn(ctx, d.server.Project, d.server.Name)
	switch {
	case client.Is(err, client.KindNotFound):
		return management{want: d.server.Management}, nil
	case err != nil || string(have.Management) == d.server.Management:
		return m, err
	}
	return management{want: d.server.Management, early: have.Management == client.Unmanaged}, nil
}

func (s *session) sendManagement(ctx context.Context, d *document) error {
	_, err := s.manage(ctx, d.server.Name, s.projectOf(d.server.Project), d.server.Management == string(client.Managed), d.server.UpdatePolicy)
	return err
}

// report is what became of everything, as one document. For a person it was told already.
func (s *session) report(done []applied, _ bool) error {
	if s.app.format == "table" {
		return nil
	}
	return s.app.document(struct {
		Items []applied `json:"items"`
	}{append([]applied{}, done...)}, true)
}

// refused says which document an error is about.
func (d *document) refused(err error) error { return d.refusedIn("", err) }

// refusedIn is refused for what the server was asked of a part of the document.
func (d *document) refusedIn(part string, err error) error {
	var p *client.Problem
	if !errors.As(err, &p) {
		return err
	}
	text, line := sentence(err), d.lineOf(p.Field())
	if part != "" {
		text, line = part+"."+text, d.lineOf(part)
	}
	return &coded{code: exitCode(err), cause: err, text: fmt.Sprintf("%s:%d: %s: %s", d.file, line, clean(d.name()), text)}
}

// compare says what is to be done with a document.
func (s *session) compare(ctx context.Context, d *document, docs []*document) (string, error) {
	switch {
	case d.server != nil:
		have, err := s.serverIn(ctx, d.server.Project, d.server.Name)
		if client.Is(err, client.KindNotFound) {
			return created, nil
		}
		if err != nil || have.Group == d.server.Group && equalMaps(have.Labels, d.server.Labels) && isImage(have.Image, d.server.Image) {
			return unchanged, err
		}
		return changed, nil
	case d.schedule != nil:
		return s.compareSchedule(ctx, d, docs)
	case d.image != nil:
		return s.compareImage(ctx, d)
	case d.policy != nil:
		return s.comparePolicy(ctx, d)
	case d.group != nil:
		return s.compareGroup(ctx, d)
	case d.service != nil:
		return s.compareService(ctx, d)
	case d.runbook != nil:
		return s.compareRunbook(ctx, d)
	case d.train != nil:
		return s.compareTrain(ctx, d)
	case d.release != nil:
		return s.compareRelease(ctx, d)
	}
	return s.compareFreeze(ctx, d)
}

func (s *session) compareFreeze(ctx context.Context, d *document) (string, error) {
	if d.end.Before(s.app.now()) {
		return over, nil // the server no longer lists it, and it would have no effect
	}
	all, err := s.freezes(ctx, s.projectOf(d.freeze.Project))
	if err != nil {
		return "", err
	}
	for _, f := range all.Items {
		same := f.Start.Equal(d.start) && f.End.Equal(d.end) && f.Reason == d.freeze.Reason
		if same && (f.Project == s.projectOf(d.freeze.Project) || s.projectOf(d.freeze.Project) == "") {
			return unchanged, nil
		}
	}
	return created, nil
}

// projectOf is the project that a document names, else the command's.
func (s *session) projectOf(named string) string { return first(named, s.project) }

func (s *session) serverIn(ctx context.Context, project, name string) (*client.Server, error) {
	return ask(ctx, func(ctx context.Context) (*client.Server, error) {
		return s.GetServer(ctx, name, &client.GetServerParams{Project: s.projectOf(project)})
	})
}

// send makes one document so.
func (s *session) send(ctx context.Context, d *document) error {
	if d.image != nil {
		return s.sendImage(ctx, d)
	}
	_, err := write(ctx, func(ctx context.Context, key string) (any, error) {
		switch {
		case d.server != nil:
			return s.PutServer(ctx, d.server.Name, client.ServerInput{Group: d.server.Group, Labels: d.server.Labels, Image: d.server.Image},
				&client.PutServerParams{Project: s.projectOf(d.server.Project), IdempotencyKey: key})
		case d.schedule != nil:
			return s.sendSchedule(ctx, d.schedule, key)
		case d.policy != nil:
			return s.PutUpdatePolicy(ctx, d.policy.Name, d.policy.input(),
				&client.PutUpdatePolicyParams{Project: s.projectOf(d.policy.Project), IdempotencyKey: key})
		case d.group != nil:
			return s.PutGroup(ctx, d.group.Name, d.group.input(),
				&client.PutGroupParams{Project: s.projectOf(d.group.Project), IdempotencyKey: key})
		case d.service != nil:
			return s.PutService(ctx, d.service.Name, d.service.ServiceInput,
				&client.PutServiceParams{Project: s.projectOf(d.service.Project), IdempotencyKey: key})
		case d.runbook != nil:
			return s.PutRunbook(ctx, d.runbook.Name, d.runbook.input(),
				&client.PutRunbookParams{Project: s.projectOf(d.runbook.Project), IdempotencyKey: key})
		case d.train != nil:
			return s.PutTrain(ctx, d.train.Name, d.train.TrainInput,
				&client.PutTrainParams{Project: s.projectOf(d.train.Project), IdempotencyKey: key})
		case d.release != nil:
			return s.PutRelease(ctx, d.release.Train, d.release.Version, d.release.ReleaseInput,
				&client.PutReleaseParams{Project: s.projectOf(d.release.Project), IdempotencyKey: key})
		}
		return s.CreateFreeze(ctx, client.FreezeInput{
			Project: s.projectOf(d.freeze.Project), Start: d.start, End: d.end, Reason: d.freeze.Reason,
		}, &client.CreateFreezeParams{IdempotencyKey: key})
	})
	return err
}

func equalMaps(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}
