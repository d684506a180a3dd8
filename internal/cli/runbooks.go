package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"upkeep/client"
)

func (a *app) validateCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use: "validate -f FILE", Short: "Say whether runbooks can be; nothing is kept",
		Long: `Has the server check runbooks, all of all files, and names each field that is wrong
by its path, with the line. Nothing is kept. api/runbook.schema.json is for
editors, which check while somebody types.

The exit code is 0 if all of them can be, 7 if not.`,
		Example: `  upkeep validate -f restart.yaml
  upkeep validate -f restart.yaml -f upgrade.yaml`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				a.ran = false
				return usagef("-f FILE is needed; - is standard input")
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			return s.validateFiles(cmd.Context(), files)
		},
	}
	cmd.Flags().StringSliceVarP(&files, "file", "f", nil, "the file; - is standard input; may be repeated")
	return cmd
}

// verdictOn is what "upkeep validate" says of a document, for programs.
type verdictOn struct {
	File   string         `json:"file"`
	Line   int            `json:"line"`
	Name   string         `json:"name"`
	Valid  bool           `json:"valid"`
	Errors []client.Blame `json:"errors,omitempty"`
}

// blamesOf are the fields that the server blames; ok tells whether it did.
func blamesOf(err error) ([]client.Blame, bool) {
	var p *client.Problem
	if !errors.As(err, &p) || p.Kind != client.KindInvalid {
		return nil, false
	}
	if len(p.Errors) == 0 {
		return []client.Blame{{Message: p.Detail}}, true
	}
	return p.Errors, true
}

// validateFiles checks every document of every file: one that is wrong does
// not hide the next.
func (s *session) validateFiles(ctx context.Context, files []string) error {
	var all []verdictOn
	bad := false
	wrong := func(format string, args ...any) {
		bad = true
		fmt.Fprintf(s.app.err, "upkeep: "+format+"\n", args...)
	}
	for _, file := range files {
		docs, err := s.app.readDocuments([]string{file})
		if err != nil && exitCode(err) != exitInvalid {
			return err
		}
		if err != nil {
			wrong("%s", sentence(err))
			all = append(all, verdictOn{File: file, Errors: []client.Blame{{Message: sentence(err)}}})
			continue
		}
		for _, d := range docs {
			book, is := d.subject.(*runbookDoc)
			if !is {
				wrong("%s:%d: %s is no runbook; \"upkeep apply --dry-run\" checks it", d.file, d.line, clean(d.name()))
				all = append(all, verdictOn{File: d.file, Line: d.line, Errors: []client.Blame{{Message: "is no runbook"}}})
				continue
			}
			err := book.validate(ctx, s)
			blames, blamed := blamesOf(err)
			if err != nil && !blamed {
				return err
			}
			for _, b := range blames {
				wrong("%s:%d: %s: %s: %s", d.file, d.lineOf(b.Location), clean(d.name()), clean(b.Location), clean(b.Message))
			}
			if err == nil && s.app.format == "table" {
				fmt.Fprintf(s.app.out, "%s: %s is valid\n", d.file, clean(d.name()))
			}
			all = append(all, verdictOn{File: d.file, Line: d.line, Name: book.Name, Valid: err == nil, Errors: blames})
		}
	}
	if s.app.format != "table" {
		if err := s.app.document(struct {
			Items []verdictOn `json:"items"`
		}{all}, true); err != nil {
			return err
		}
	}
	if bad {
		return &coded{code: exitInvalid}
	}
	return nil
}

func (a *app) getRunbooks() *cobra.Command {
	return &cobra.Command{
		Use: "runbooks [NAME]", Aliases: []string{"runbook"}, Short: "Runbooks: how members of services are maintained", Args: takes(0, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				b, err := s.runbook(ctx, args[0])
				if err != nil {
					return err
				}
				return a.show(b, func(w io.Writer) { a.runbookTable([]client.Runbook{*b}).print(w, "") })
			}
			all, err := ask(ctx, func(ctx context.Context) (*client.RunbookList, error) {
				return s.ListRunbooks(ctx, &client.ListRunbooksParams{Project: s.project})
			})
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, `There are no runbooks. Apply one of the folder runbooks/, or write one: "upkeep help files".`, a.runbookTable)
		}),
	}
}

func (s *session) runbook(ctx context.Context, name string) (*client.Runbook, error) {
	return ask(ctx, func(ctx context.Context) (*client.Runbook, error) {
		return s.GetRunbook(ctx, name, &client.GetRunbookParams{Project: s.project})
	})
}

func (a *app) runbookTable(all []client.Runbook) *table {
	t := newTable("RUNBOOK", "TITLE", "OUT AT ONCE", "BUDGET", "PARAMETERS", "CHANGED")
	for _, b := range all {
		var params []string
		for _, p := range b.Params {
			params = append(params, p.Name)
		}
		t.add(b.Name, clean(b.Title), fmt.Sprint(b.MaxUnavailable), b.Budget, clean(strings.Join(params, ", ")), ago(b.Changed, a.now()))
	}
	return t.dropEmpty()
}

func (a *app) describeRunbook() *cobra.Command {
	return &cobra.Command{
		Use: "runbook NAME", Aliases: []string{"runbooks"}, Short: "A runbook: its parameters, and its steps phase by phase",
		Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			b, err := s.runbook(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(b, func(w io.Writer) { a.tellRunbook(w, b) })
		}),
	}
}

func (a *app) tellRunbook(w io.Writer, b *client.Runbook) {
	pairs(w, "Runbook", b.Name, "Project", b.Project, "Title", clean(b.Title), "About", clean(b.Description),
		"Members", labels(b.Targets.Labels), "Order", string(b.Order), "Out at once", fmt.Sprint(b.MaxUnavailable), "Batches", batchWords(b), "Budget", b.Budget, "Error budget", errorsWords(b.ErrorBudget), "Changed", at(b.Changed, a.local))
	if len(b.Params) > 0 {
		fmt.Fprintln(w, "\nParameters")
		t := newTable("NAME", "TYPE", "IF LEFT OUT", "ABOUT")
		for _, p := range b.Params {
			t.add(p.Name, p.Type, clean(needed(p)), clean(p.Description))
		}
		t.dropEmpty().print(w, "  ")
	}
	proofs := make([]client.RunbookStep, 0, len(b.Prove))
	for _, c := range b.Prove {
		proofs = append(proofs, client.RunbookStep{Name: c.Name, Kind: c.Kind, On: c.On, Command: c.Command, With: c.With})
	}
	for _, phase := range []struct {
		head  string
		steps []client.RunbookStep
	}{
		{"Once, before", b.Before}, {"Before each member is proved", proofs}, {"Each member is taken out", b.Member.Drain}, {"What is done to it", b.Member.Do},
		{"It is ready when", b.Member.Await}, {"It is put back", b.Member.Ready}, {"Once, after", b.After},
	} {
		if len(phase.steps) == 0 {
			continue
		}
		fmt.Fprintln(w, "\n"+phase.head)
		t := newTable("STEP", "WHAT", "ON", "WAITS FOR")
		for _, s := range phase.steps {
			t.add(s.Name, bookStepWords(s), first(s.On, "control plane"), heldBy(s))
		}
		t.dropEmpty().print(w, "  ")
	}
}

// batchWords is "1, 2, 2, … with 10m between"; empty if there are none.
func batchWords(b *client.Runbook) string {
	if len(b.Batches) == 0 {
		return ""
	}
	var sizes []string
	for _, n := range b.Batches {
		sizes = append(sizes, fmt.Sprint(n))
	}
	words := strings.Join(append(sizes, sizes[len(sizes)-1], "…"), ", ")
	if b.Pause != "" {
		words += " with " + b.Pause + " between"
	}
	return words
}

func needed(p client.RunbookParam) string {
	if p.Required {
		return "(needed)"
	}
	return p.Default
}

// bookStepWords is what a step of a runbook does: "command restart-api",
// "balance state=drain".
func bookStepWords(s client.RunbookStep) string {
	words := []string{s.Kind}
	if s.Command != "" {
		words = append(words, s.Command)
	}
	for _, key := range slices.Sorted(maps.Keys(s.With)) {
		words = append(words, key+"="+s.With[key])
	}
	return clean(strings.Join(words, " "))
}

func heldBy(s client.RunbookStep) string {
	var all []string
	switch {
	case s.NoReturn:
		all = append(all, "an approval, for nothing leads back")
	case s.Approval:
		all = append(all, "an approval")
	}
	if s.Soak != "" {
		all = append(all, s.Soak+" without anything done")
	}
	return strings.Join(all, ", then ")
}

func (a *app) deleteRunbook() *cobra.Command {
	return &cobra.Command{
		Use: "runbook NAME", Aliases: []string{"runbooks"}, Short: "Remove a runbook; runs that are open go on with theirs",
		Args: takes(1, 1),
		RunE: a.deleting("runbook", func(ctx context.Context, s *session, ref, key string) error {
			return s.DeleteRunbook(ctx, ref, &client.DeleteRunbookParams{Project: s.project, IdempotencyKey: key})
		}),
	}
}

// paramFlags are the values of a runbook's parameters.
type paramFlags struct{ all []string }

func (p *paramFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&p.all, "param", nil, "a value of the runbook, NAME=VALUE; may be repeated")
}

func (p *paramFlags) values() (map[string]string, error) {
	out := map[string]string{}
	for _, text := range p.all {
		name, value, ok := strings.Cut(text, "=")
		_, twice := out[name]
		switch {
		case !ok || name == "":
			return nil, usagef("--param: want NAME=VALUE, not %q", text)
		case twice:
			return nil, usagef("--param: %s is said twice", name)
		}
		out[name] = value
	}
	return out, nil
}

func (a *app) rollCommand() *cobra.Command {
	var in client.ServiceRunInput
	var params paramFlags
	var watch bool
	cmd := &cobra.Command{
		Use: "roll SERVICE RUNBOOK | roll SERVICE --in-window SCHEDULE", Short: "Run a runbook on a service, member after member, now",
		Long: `Carries a runbook out on a service: before each member it proves that the others are
up, takes it out, does what is to be done, waits until it is ready and puts it back.
If a member does not come back the run halts: "upkeep why SERVICE" says what to do,
and "upkeep resume SERVICE" goes on there. "upkeep simulate SERVICE RUNBOOK" shows
all of it before anything is touched. With --in-window the run of one of its
schedules is opened ahead: it begins in the next window.

With --watch the command ends with the run: exit code 0 if it succeeded, 10 if it
failed, 11 if it was aborted, 13 if it is halted and waits for a person.`,
		Example: `  upkeep roll api-extension api-extension-restart --duration 3h --reason PCO-1981 --watch
  upkeep roll keystone keystone-restart --param port=5000
  upkeep roll keystone keystone-restart --only ctl2`,
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Params, err = params.values(); err != nil {
				return err
			}
			switch ahead := in.Schedule != ""; {
			case ahead && (len(args) == 2 || len(in.Params) > 0 || in.Duration != "" || in.OverrideFreeze):
				return usagef("--in-window goes without a runbook, --param, --duration and --override-freeze: the schedule says them")
			case !ahead && len(args) < 2:
				return usagef("say a runbook, or a schedule with --in-window")
			case !ahead:
				in.Runbook, in.Duration = args[1], first(in.Duration, defaultRun)
			}
			if in.OverrideFreeze && in.Reason == "" {
				return usagef("--override-freeze needs --reason: the history keeps it")
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := a.within(cmd.Context(), watch)
			defer cancel()
			run, err := write(ctx, func(ctx context.Context, key string) (*client.Run, error) {
				return s.RunRunbook(ctx, args[0], in, &client.RunRunbookParams{Project: s.project, IdempotencyKey: key})
			})
			if err != nil {
				return err
			}
			if watch {
				return s.watch(ctx, run)
			}
			return a.show(run, func(w io.Writer) { a.tellRunWhy(w, run) })
		},
		Annotations: map[string]string{endless: "with --watch"},
	}
	f := cmd.Flags()
	params.add(f)
	f.StringVar(&in.Duration, "duration", "", "how long it may take, from 1m to 24h; what is left then is not begun; 2h if not said")
	f.StringVar(&in.Schedule, "in-window", "", "in the next window of this schedule of the service, with its runbook")
	f.StringVar(&in.Only, "only", "", "the one member to maintain; what changes the service as a whole is left out then")
	f.StringVar(&in.Reason, "reason", "", "why; the history keeps it")
	f.BoolVar(&in.OverrideFreeze, "override-freeze", false, "start although a freeze is in force; needs --reason")
	f.BoolVarP(&watch, "watch", "w", false, "watch it until it ends")
	return cmd
}

// errorsWords is what a run may cost the service's users, in words.
func errorsWords(e client.RunbookErrors) string {
	var all []string
	if e.Unanswered != "" {
		all = append(all, e.Unanswered+" unanswered or failed")
	}
	if e.Slow != "" {
		all = append(all, e.Slow+" slow")
	}
	if len(all) == 0 {
		return ""
	}
	text := strings.Join(all, ", ") + ", since the run began"
	if e.Over != "" {
		text = strings.Join(all, ", ") + ", within " + e.Over
	}
	if e.Optional {
		text += "; for services with a probe"
	}
	return clean(text)
}

func (a *app) approveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "approve RUN|SERVICE STEP", Short: "Let a step of a runbook begin that waits for a person",
		Long: `Lets a step begin that waits for a person's approval; your name is kept with it.
"upkeep why SERVICE" names the steps that wait, and says where nothing leads back.`,
		Example: `  upkeep approve keystone g1.contract.ctl1`,
		Args:    takes(2, 2),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			run, err := s.findRun(ctx, args[0], false)
			if err != nil {
				return err
			}
			run, err = write(ctx, func(ctx context.Context, key string) (*client.Run, error) {
				return s.ApproveRun(ctx, run.ID, client.ApproveInput{Step: args[1]}, &client.ApproveRunParams{IdempotencyKey: key})
			})
			if err != nil {
				return err
			}
			return a.show(run, func(w io.Writer) { a.tellMoved(w, run) })
		}),
	}
}

// tellRunWhy says what a run waits for and, of one of a runbook, how far each
// member is and what waits for a person.
func (a *app) tellRunWhy(w io.Writer, r *client.Run) {
	a.tellWhy(w, summaryOf(r))
	a.tellMembers(w, r)
	if r.Halt != "" {
		fmt.Fprintf(w, "  %s\n", a.paint("halted: "+clean(r.Halt), red))
		fmt.Fprintf(w, "  \"upkeep resume %s\" goes on where it was, \"upkeep abort %s\" ends it\n", r.ServerName, r.ServerName)
	}
	for _, step := range r.Unapproved {
		back := ""
		if r.Plan != nil {
			if i := slices.IndexFunc(r.Plan.Steps, func(s client.Step) bool { return s.ID == step }); i >= 0 && r.Plan.Steps[i].Undo == "forward-only" {
				back = "; nothing leads back from there"
			}
		}
		fmt.Fprintf(w, "  \"upkeep approve %s %s\" lets it begin%s\n", r.ServerName, step, back)
	}
}

func (a *app) tellMembers(w io.Writer, r *client.Run) {
	if len(r.Members) == 0 || ended(r.State) {
		return
	}
	t := newTable("MEMBER", "IS")
	for _, m := range r.Members {
		is := "not begun"
		switch {
		case m.Out && m.Did:
			is = a.paint("out since "+second(m.Since, a.zone(r.Window.Zone))+", until it is proved ready", yellow)
		case m.Out:
			is = a.paint("out since "+second(m.Since, a.zone(r.Window.Zone))+", and nothing was done to it yet", yellow)
		case m.Through:
			is = a.paint("through", green)
		}
		t.add(clean(m.Name), is)
	}
	t.print(w, "  ")
}
