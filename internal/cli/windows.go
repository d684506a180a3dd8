package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) windowsCommand() *cobra.Command {
	var in client.WindowInput
	var from string
	cmd := &cobra.Command{
		Use: "windows [SERVER | SERVER/SCHEDULE]", Short: "When windows open: of a schedule, or of a rule nobody has yet",
		Example: `  upkeep windows web-1/weekend -n 10
  upkeep windows --rrule "DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA" --duration 2h`,
		Args: takes(0, 1), ValidArgsFunction: a.completeServers,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && in.RRule != "":
				return usagef("a schedule and --rrule: say one of them")
			case len(args) == 1 && in.Duration != "":
				return usagef("--duration goes with --rrule; a schedule has its own")
			case len(args) == 0 && in.RRule == "":
				return usagef("which windows? Say SERVER, SERVER/SCHEDULE or --rrule")
			case len(args) == 0 && in.Duration == "":
				return usagef("--duration is needed with --rrule: how long the window stays open, such as 2h")
			case in.Limit < 1:
				return usagef("-n: must be 1 or more")
			}
			var err error
			if in.From, err = parseInstant("--from", from, a.local); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			in.Project = s.project
			if len(args) == 1 {
				return s.windowsOf(cmd.Context(), args[0], in)
			}
			return s.preview(cmd.Context(), in)
		},
	}
	cmd.Flags().StringVar(&in.RRule, "rrule", "", "when it opens: DTSTART with a TZID, RRULE, RDATE and EXDATE of RFC 5545")
	cmd.Flags().StringVar(&in.Duration, "duration", "", "how long it stays open, from 1m to 24h")
	cmd.Flags().Int64VarP(&in.Limit, "number", "n", 5, "how many windows")
	cmd.Flags().StringVar(&from, "from", "", "the first instant to look at, such as 2026-12-01 or 2026-12-01T08:00:00+01:00; now if not said")
	return cmd
}

// parseInstant reads an instant: a day begins at midnight in zone.
func parseInstant(field, text string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalidf("%s: %q is no time: 2026-12-01 or 2026-12-01T08:00:00+01:00 is one", field, text)
}

func (s *session) preview(ctx context.Context, in client.WindowInput) error {
	p, err := ask(ctx, func(ctx context.Context) (*client.WindowPreview, error) { return s.PreviewWindows(ctx, in, nil) })
	if err != nil {
		return err
	}
	return s.app.show(p, func(w io.Writer) { s.app.tellPreview(w, p) })
}

// windowsOf previews the windows of a server's schedules, or of one schedule.
func (s *session) windowsOf(ctx context.Context, ref string, in client.WindowInput) error {
	all, err := s.schedulesNamed(ctx, ref)
	if err != nil {
		return err
	}
	previews := make([]*client.WindowPreview, 0, len(all))
	for _, sc := range all {
		in.RRule, in.Duration, in.Project = sc.RRule, sc.Duration, sc.Project
		p, err := ask(ctx, func(ctx context.Context) (*client.WindowPreview, error) { return s.PreviewWindows(ctx, in, nil) })
		if err != nil {
			return err
		}
		previews = append(previews, p)
	}
	var doc any = previews
	if len(previews) == 1 {
		doc = previews[0]
	}
	return s.app.show(doc, func(w io.Writer) {
		for i, p := range previews {
			if i > 0 {
				fmt.Fprintln(w)
			}
			disabled := ""
			if !all[i].Enabled {
				disabled = " (disabled)"
			}
			fmt.Fprintf(w, "%s%s: ", clean(refOf(all[i])), disabled)
			s.app.tellPreview(w, p)
		}
	})
}

// schedulesNamed are a server's, or the one that is named.
func (s *session) schedulesNamed(ctx context.Context, ref string) ([]client.Schedule, error) {
	if !strings.Contains(ref, "/") {
		list, err := s.allSchedules(ctx, ref)
		switch {
		case err == nil && len(list.Items) == 0:
			return nil, notFoundf("server %s has no schedule", ref)
		case err == nil:
			return list.Items, nil
		case !client.Is(err, client.KindNotFound):
			return nil, err
		}
	}
	sc, err := s.findSchedule(ctx, ref)
	var missing *coded
	if errors.As(err, &missing) && missing.code == exitNotFound && !strings.Contains(ref, "/") {
		return nil, notFoundf("no server and no schedule %q", ref)
	}
	if err != nil {
		return nil, err
	}
	return []client.Schedule{*sc}, nil
}

func (a *app) tellPreview(w io.Writer, p *client.WindowPreview) {
	fmt.Fprintf(w, "%s, for %s\n", p.Words, p.Duration)
	a.tellOccurrences(w, p.Occurrences, a.zone(p.Zone))
}
