package cli

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) deleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete KIND NAME", Short: "Remove a server, a service, a runbook, a schedule, a policy, a group or a freeze",
		Example: `  upkeep delete schedule web-1/weekend
  upkeep delete server web-1`,
		Args: cobra.ArbitraryArgs, RunE: a.which("delete", "server, schedule, policy, group, service, runbook, train, release, freeze and token"),
	}
	server := &cobra.Command{
		Use: "server NAME", Short: "Remove a server with its schedules; its history stays",
		Args: takes(1, 1), ValidArgsFunction: a.completeServers,
		RunE: a.deleting("server", func(ctx context.Context, s *session, ref, key string) error {
			return s.DeleteServer(ctx, ref, &client.DeleteServerParams{Project: s.project, IdempotencyKey: key})
		}),
	}
	schedule := &cobra.Command{
		Use: "schedule SERVER/NAME", Short: "Remove a schedule; the run that it has open is aborted",
		Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			sc, err := s.findSchedule(ctx, args[0])
			if err != nil {
				return err
			}
			err = remove(ctx, func(ctx context.Context, key string) error {
				return s.DeleteSchedule(ctx, sc.ID, &client.DeleteScheduleParams{IdempotencyKey: key})
			})
			if err != nil {
				return err
			}
			return a.say("schedule %s deleted", refOf(*sc))
		}),
	}
	freeze := &cobra.Command{
		Use: "freeze ID", Short: "Lift a freeze; what waited for its end goes on",
		Args: takes(1, 1),
		RunE: a.deleting("freeze", func(ctx context.Context, s *session, ref, key string) error {
			return s.DeleteFreeze(ctx, ref, &client.DeleteFreezeParams{IdempotencyKey: key})
		}),
	}
	cmd.AddCommand(server, schedule, a.deletePolicy(), a.deleteGroup(), a.deleteService(), a.deleteRunbook(), a.deleteTrain(), a.deleteRelease(), freeze, a.deleteToken("token ID"))
	return cmd
}

// deleting is a command that removes one thing and says so.
func (a *app) deleting(what string, request func(ctx context.Context, s *session, ref, key string) error) func(*cobra.Command, []string) error {
	return a.with(func(ctx context.Context, s *session, args []string) error {
		err := remove(ctx, func(ctx context.Context, key string) error { return request(ctx, s, args[0], key) })
		if err != nil {
			return err
		}
		return a.say("%s %s deleted", what, args[0])
	})
}

// say confirms to a person; programs have the exit code.
func (a *app) say(format string, args ...any) error {
	if a.format != "table" {
		return nil
	}
	_, err := fmt.Fprintln(a.out, clean(fmt.Sprintf(format, args...)))
	return err
}

func (a *app) enrolCommand() *cobra.Command {
	var image string
	cmd := &cobra.Command{
		Use: "enrol NAME", Aliases: []string{"enroll"}, Short: "Make a server known, and a one-time token for its agent",
		Long: `Makes a server known if it is not yet, and a token with which its agent becomes
this server's. The token can be used once, and only for a while. It is shown
with the commands that are to be run on the host.`,
		Example: `  upkeep enrol web-1
  upkeep enrol web-1 --image debian-12`,
		Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			return s.enrol(ctx, args[0], image)
		}),
	}
	cmd.Flags().StringVar(&image, "image", "", "what it was made from: CHANNEL:VERSION, or CHANNEL for its active image")
	return cmd
}

func (s *session) enrol(ctx context.Context, name, image string) error {
	server, err := s.findServer(ctx, name)
	isNew := client.Is(err, client.KindNotFound)
	if isNew || err == nil && image != "" {
		in := client.ServerInput{Image: image}
		if !isNew {
			name, in.Group, in.Labels = server.Name, server.Group, server.Labels
		}
		server, err = write(ctx, func(ctx context.Context, key string) (*client.Server, error) {
			return s.PutServer(ctx, name, in, &client.PutServerParams{Project: s.project, IdempotencyKey: key})
		})
	}
	if err != nil {
		return err
	}
	// Without a key: a lost answer's token expires unused, and another is made.
	e, err := ask(ctx, func(ctx context.Context) (*client.Enrolment, error) { return s.EnrolServer(ctx, server.ID, nil) })
	if err != nil {
		return err
	}
	return s.app.show(e, func(w io.Writer) {
		if isNew {
			fmt.Fprintf(w, "server %s created\n", server.Name)
		}
		if server.Agent != nil {
			fmt.Fprintf(w, "server %s has an agent already: this token replaces it, once used\n", server.Name)
		}
		fmt.Fprintf(w, "token %s\n  can be used once, until %s (%s)\n\nOn %s, as root:\n", e.Token, at(e.Expires, s.app.local), ago(e.Expires, s.app.now()), server.Name)
		fmt.Fprintf(w, "  %s\n", s.agentCommand(e.Token))
		if s.ca == "" {
			fmt.Fprintln(w, "where ca.pem is a copy of the file of that name in the control plane's data folder")
		}
	})
}

// agentCommand is what is to be pasted into the host's shell. The token goes
// through a pipe, not the command line, which everybody there can read; echo is
// the shell's own and no process.
func (s *session) agentCommand(token string) string {
	trust := " --ca ca.pem"
	if pin := pinOf(s.ca); pin != "" {
		trust = " --ca-pin " + pin
	}
	return "echo " + quote(token) + " | upkeep agent --server " + quote(s.server) + trust + " --token-file /dev/stdin"
}

// pinOf is the fingerprint by which an agent knows the authority in a file:
// the file itself need not be copied to the host. Empty if there is none.
func pinOf(file string) string {
	text, err := readSmall(file)
	if err != nil {
		return ""
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return ""
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(block.Bytes))
}

// quote makes a word safe to paste into a shell.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@[]%+=,", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
