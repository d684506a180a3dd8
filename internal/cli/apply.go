package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) applyCommand() *cobra.Command {
	var files []string
	var dry bool
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Create or change servers, schedules, freezes and images from YAML",
		Long: `Reads YAML documents and makes them so. For each is said whether it was created,
changed or unchanged. What is already so is not sent.

All documents are checked before the first is sent: their form here, and the
recurrences and names by the server. What a document may hold is told by
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
	// Images first, for servers are made from them, and servers before the
	// schedules that stand on them; else as they were written.
	slices.SortStableFunc(all, func(x, y *document) int { return rank(x) - rank(y) })
	return all, nil
}

func rank(d *document) int {
	switch {
	case d.image != nil:
		return 0
	case d.server != nil:
		return 1
	}
	return 2
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

// apply looks at what there is, has the server check what it alone can, and
// then sends what is to change.
func (s *session) apply(ctx context.Context, docs []*document, dry bool) error {
	verdicts := make([]string, len(docs))
	for i, d := range docs {
		var err error
		if verdicts[i], err = s.compare(ctx, d, docs); err != nil {
			return d.refused(err)
		}
	}
	if err := s.checkWindows(ctx, docs, verdicts); err != nil {
		return err
	}
	var done []applied
	for i, d := range docs {
		if !dry && (verdicts[i] == created || verdicts[i] == changed) {
			if err := s.send(ctx, d); err != nil {
				return errors.Join(s.report(done, dry), d.refused(err))
			}
		}
		kind, name, _ := strings.Cut(d.name(), " ")
		done = append(done, applied{Kind: kind, Name: name, Result: verdicts[i], DryRun: dry})
		if s.app.format == "table" {
			suffix := ""
			if dry {
				suffix = " (dry run)"
			}
			fmt.Fprintf(s.app.out, "%s %s%s\n", clean(d.name()), verdicts[i], suffix)
		}
	}
	return s.report(done, dry)
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
func (d *document) refused(err error) error {
	var p *client.Problem
	if !errors.As(err, &p) {
		return err
	}
	line := d.line
	if l, ok := d.lines[strings.SplitN(p.Field(), ".", 2)[0]]; ok {
		line = l
	}
	return &coded{code: exitCode(err), cause: err, text: fmt.Sprintf("%s:%d: %s: %s", d.file, line, clean(d.name()), sentence(err))}
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
	}
	return s.compareFreeze(ctx, d)
}

func (s *session) compareSchedule(ctx context.Context, d *document, docs []*document) (string, error) {
	want := d.schedule
	server, err := s.serverIn(ctx, want.Project, want.Server)
	if client.Is(err, client.KindNotFound) {
		for _, other := range docs {
			if other.server != nil && other.server.Name == want.Server && other.server.Project == want.Project {
				return created, nil
			}
		}
	}
	if err != nil {
		return "", err
	}
	for _, brief := range server.Schedules {
		if brief.Name != want.Name {
			continue
		}
		have, err := ask(ctx, func(ctx context.Context) (*client.Schedule, error) { return s.GetSchedule(ctx, brief.ID, nil) })
		if err != nil || want.is(have) {
			return unchanged, err
		}
		return changed, nil
	}
	return created, nil
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

// checkWindows has the server judge the recurrences that are to be sent, each
// once: a wrong one in the last document must not be found when the others are
// sent already.
func (s *session) checkWindows(ctx context.Context, docs []*document, verdicts []string) error {
	checked := map[string]bool{}
	for i, d := range docs {
		if d.schedule == nil || verdicts[i] == unchanged {
			continue
		}
		key := d.schedule.Duration + " " + d.schedule.RRule
		if checked[key] {
			continue
		}
		checked[key] = true
		in := client.WindowInput{RRule: d.schedule.RRule, Duration: d.schedule.Duration, Limit: 1, Project: s.projectOf(d.schedule.Project)}
		if _, err := ask(ctx, func(ctx context.Context) (*client.WindowPreview, error) { return s.PreviewWindows(ctx, in, nil) }); err != nil {
			return d.refused(err)
		}
	}
	return nil
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
			return s.PutSchedule(ctx, d.schedule.Server, d.schedule.Name, d.schedule.input(),
				&client.PutScheduleParams{Project: s.projectOf(d.schedule.Project), IdempotencyKey: key})
		}
		return s.CreateFreeze(ctx, client.FreezeInput{
			Project: s.projectOf(d.freeze.Project), Start: d.start, End: d.end, Reason: d.freeze.Reason,
		}, &client.CreateFreezeParams{IdempotencyKey: key})
	})
	return err
}

// is reports whether a schedule is as the document says. What the document
// leaves out is as usual; should a server's usual be another, the schedule is
// sent once more than needed, which does no harm.
func (s *scheduleDoc) is(have *client.Schedule) bool {
	enabled := s.Enabled == nil || *s.Enabled
	return enabled == have.Enabled && s.RRule == have.RRule && sameLength(s.Duration, have.Duration) && s.Policy.is(have.Policy)
}

func (p *policyDoc) is(have client.Policy) bool {
	if p == nil {
		p = &policyDoc{}
	}
	batch := p.Batch
	if batch == 0 {
		batch = 25
	}
	if len(p.Expect) != len(have.Expect) {
		return false
	}
	for action, text := range p.Expect {
		if !sameLength(text, have.Expect[action]) {
			return false
		}
	}
	return first(p.Scope, "all") == string(have.Scope) && first(p.Reboot, "if-required") == string(have.Reboot) &&
		batch == have.Batch && slices.Equal(p.Hold, have.Hold) &&
		sameLength(p.Prepare, have.Prepare) && sameLength(p.NoticeLead, have.NoticeLead)
}

// sameLength reports whether two durations are, however they are written.
func sameLength(a, b string) bool {
	read := func(s string) (time.Duration, bool) {
		if s == "" {
			return 0, true
		}
		d, err := time.ParseDuration(s)
		return d, err == nil
	}
	x, okX := read(a)
	y, okY := read(b)
	return okX && okY && x == y
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
