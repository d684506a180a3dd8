// Package cli is the command line. Its commands speak to a server through
// client/ alone, so that they work from anywhere, with a token's rights, and can
// do nothing that any other client could not. They keep no state; a command
// that dies leaves the server's work to go on.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is one invocation of the program.
type app struct {
	version string
	in      io.Reader
	out     io.Writer
	err     io.Writer
	getenv  func(string) string
	now     func() time.Time
	term    terminal
	local   *time.Location // where times are told that have no zone of their own

	conn   connection
	format string
	wide   bool // tables with all their columns
	ran    bool // the command line was right: the command itself was reached
}

// Main runs one command and returns the process's exit code. extra are commands
// that speak to no server, such as the one that is a server.
func Main(ctx context.Context, args []string, version string, stdin io.Reader, stdout, stderr io.Writer, extra ...*cobra.Command) int {
	a := &app{
		version: version, in: stdin, out: stdout, err: stderr,
		getenv: os.Getenv, now: time.Now, term: terminalOf(stdout, os.Getenv), local: time.Local,
	}
	return a.main(ctx, args, extra...)
}

func (a *app) main(ctx context.Context, args []string, extra ...*cobra.Command) int {
	root := a.root(extra)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if !a.ran { // cobra's own errors: flags, arguments, unknown commands
		if _, ok := errors.AsType[*coded](err); !ok {
			err = usagef("%s", missingFlags(err.Error()))
		}
	}
	a.complain(cmd, err)
	return exitCode(err)
}

// missingFlags says in our words what cobra says of flags that must be set.
func missingFlags(text string) string {
	names, ok := strings.CutPrefix(text, "required flag(s) ")
	if !ok {
		return text
	}
	names = strings.TrimSuffix(names, " not set")
	return strings.NewReplacer(`"`, "", ", ", ", --").Replace("--"+names) + " must be set"
}

// complain says an error in one line, and for a wrong command line how it is right.
func (a *app) complain(cmd *cobra.Command, err error) {
	var c *coded
	if errors.As(err, &c) && c.text == "" {
		return
	}
	text := sentence(err)
	suggestion := ""
	if errors.As(err, &c) && c.synops {
		text, suggestion, _ = strings.Cut(c.text, "\n\n") // cobra's "Did you mean this?"
		text = oneLine(text)
	}
	fmt.Fprintf(a.err, "upkeep: %s\n", text)
	if c != nil && c.synops {
		if suggestion = strings.TrimSpace(suggestion); suggestion != "" {
			fmt.Fprintf(a.err, "\n%s\n", suggestion)
		}
		fmt.Fprintf(a.err, "\nUsage: %s\nSee \"%s --help\".\n", cmd.UseLine(), cmd.CommandPath())
	}
}

// Groups of commands in the help.
const (
	groupLook    = "look"
	groupChange  = "change"
	groupRun     = "run"
	groupProcess = "process"
)

func (a *app) root(extra []*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:   "upkeep COMMAND",
		Short: "Maintenance of servers, inside their windows",
		Long: `Upkeep knows when each server may be touched, touches one at a time, stops when
the window closes and goes on in the next one.

Start with "upkeep get servers" and "upkeep enrol NAME".`,
		Version: a.version, SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return a.unknown(cmd, args[0])
		},
	}
	root.AddGroup(
		&cobra.Group{ID: groupLook, Title: "Look:"}, &cobra.Group{ID: groupChange, Title: "Say what is to be:"},
		&cobra.Group{ID: groupRun, Title: "Runs:"}, &cobra.Group{ID: groupProcess, Title: "Processes:"},
	)
	a.flags(root.PersistentFlags())
	in := func(group string, all ...*cobra.Command) {
		for _, c := range all {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	in(groupLook, a.getCommand(), a.describeCommand(), a.whyCommand(), a.historyCommand(), a.windowsCommand(), a.simulateCommand(), a.diffCommand(), a.clashesCommand(), a.validateCommand())
	in(groupChange, a.applyCommand(), a.deleteCommand(), a.enrolCommand(), a.manageCommand(), a.unmanageCommand(), a.enableCommand(), a.disableCommand(), a.imageCommand(), a.tokensCommand())
	in(groupRun, a.runCommand(), a.rollCommand(), a.rolloutCommand(), a.approveCommand(), a.evidenceCommand(), a.watchCommand(), a.pauseCommand(), a.resumeCommand(), a.abortCommand(), a.announceCommand(), a.claimCommand(), a.releaseCommand())
	in(groupProcess, extra...)
	root.AddCommand(a.versionCommand(), a.whoamiCommand(), a.docsCommand())
	root.AddCommand(topics()...)
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpCommand(a.helpCommand(root))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%v", err) })
	root.CompletionOptions.HiddenDefaultCmd = false
	a.prepare(root)
	return root
}

// helpCommand is cobra's, but what it does not know is a wrong command line.
func (a *app) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND | TOPIC]", Short: "Help about any command", Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				a.ran = false
				return usagef("there is no help on %q", strings.Join(args, " "))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// takes says how many arguments a command has; its Use names them.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("%s needs %s", strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" "), strings.TrimPrefix(cmd.Use, cmd.Name()+" "))
		case len(args) > most:
			return usagef("%q is one argument too many", args[most])
		}
		return nil
	}
}

// unknown refuses a command that is none, with the ones that may have been meant.
func (a *app) unknown(cmd *cobra.Command, name string) error {
	text := fmt.Sprintf("there is no command %q", name)
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s", text)
}

// prepare has every command note that it was reached, keep to --timeout, and
// refuse the connection's flags where there is no connection.
func (a *app) prepare(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if isProcess(cmd) {
				if err := refuseConnection(cmd); err != nil {
					return err
				}
				a.ran = true
				return run(cmd, args)
			}
			if err := a.checkFlags(cmd); err != nil {
				return err
			}
			a.ran = true
			return a.timed(cmd, args, run)
		}
	}
	cmd.SuggestionsMinimumDistance = 2
	for _, c := range cmd.Commands() {
		a.prepare(c)
	}
}

// isProcess reports whether a command, or what it is a part of, speaks to no server.
func isProcess(cmd *cobra.Command) bool {
	return cmd != nil && (cmd.GroupID == groupProcess || isProcess(cmd.Parent()))
}

// endless marks commands that take as long as what they look at.
const endless = "endless"

// defaultTimeout is how long a command may take that does not say otherwise.
const defaultTimeout = time.Minute

// timed runs a command within --timeout.
func (a *app) timed(cmd *cobra.Command, args []string, run func(*cobra.Command, []string) error) error {
	limit := a.conn.timeout
	if !cmd.Flags().Changed("timeout") && cmd.Annotations[endless] == "" {
		limit = defaultTimeout
	}
	if limit == 0 {
		return run(cmd, args)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), limit)
	defer cancel()
	cmd.SetContext(ctx)
	return run(cmd, args)
}

// refuseConnection keeps "upkeep serve --token X" from looking as if it meant something.
func refuseConnection(cmd *cobra.Command) (err error) {
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && f.Name != "help" && err == nil {
			err = usagef("%s does not know --%s", cmd.CommandPath(), f.Name)
		}
	})
	return err
}

// usageTemplate is cobra's, with one line in place of the list of flags that
// every command has.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}{{if eq (len .Groups) 0}}

Commands:{{range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{else}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if (and (eq .GroupID $group.ID) .IsAvailableCommand)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}

Others:{{range $cmds}}{{if (and (eq .GroupID "") (or .IsAvailableCommand (eq .Name "help")))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasHelpSubCommands}}

Topics:{{range .Commands}}{{if .IsAdditionalHelpTopicCommand}}
  {{rpad .CommandPath .CommandPathPadding}} {{.Short}}{{end}}{{end}}{{end}}{{if and .HasAvailableInheritedFlags (ne .GroupID "process")}}

Every command also knows -o, --server, --token-file, --ca, --project, --timeout
and more: see "{{.Root.Name}} help connection".{{end}}
`
