package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"upkeep/client"
)

func (a *app) getServices() *cobra.Command {
	return &cobra.Command{
		Use: "services [NAME]", Aliases: []string{"service"}, Short: "Services: replicas that do the same, with what goes on", Args: takes(0, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				service, err := s.service(ctx, args[0])
				if err != nil {
					return err
				}
				return a.show(service, func(w io.Writer) { a.serviceTable([]client.Service{*service}).print(w, "") })
			}
			all, err := ask(ctx, func(ctx context.Context) (*client.ServiceList, error) {
				return s.ListServices(ctx, &client.ListServicesParams{Project: s.project})
			})
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, `There are no services. "upkeep help files" shows how one is written.`, a.serviceTable)
		}),
	}
}

// service finds one by name or id.
func (s *session) service(ctx context.Context, ref string) (*client.Service, error) {
	return ask(ctx, func(ctx context.Context) (*client.Service, error) {
		return s.GetService(ctx, ref, &client.GetServiceParams{Project: s.project})
	})
}

func (a *app) serviceTable(all []client.Service) *table {
	t := newTable("SERVICE", "PROJECT", "MEMBERS", "QUORUM", "PROXIES", "NOW")
	many := slices.ContainsFunc(all, func(s client.Service) bool { return s.Project != all[0].Project })
	for _, s := range all {
		project, now, members := "", "", fmt.Sprint(len(s.Members))
		if many {
			project = s.Project
		}
		if len(s.OpenRuns) > 0 {
			r := foremost(s.OpenRuns)
			now = r.Runbook + " " + a.state(r.State)
		}
		if a.wide {
			var names []string
			for _, m := range s.Members {
				names = append(names, m.Name)
			}
			members = strings.Join(names, ", ")
		}
		t.add(s.Name, project, clean(members), fmt.Sprint(s.Quorum), fmt.Sprint(len(s.Proxies)), now)
	}
	return t.dropEmpty()
}

func (a *app) describeService() *cobra.Command {
	return &cobra.Command{
		Use: "service NAME", Aliases: []string{"services"}, Short: "A service: its members, its proxies and its open runs",
		Args: takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			service, err := s.service(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(service, func(w io.Writer) { a.tellService(w, service) })
		}),
	}
}

func (a *app) tellService(w io.Writer, s *client.Service) {
	pairs(w, "Service", s.Name, "Project", s.Project, "ID", s.ID, "Labels", labels(s.Labels), "Quorum", fmt.Sprintf("%d of %d must stay up", s.Quorum, len(s.Members)),
		"Manager", s.Manager, "With", labels(s.With), "Created", at(s.Created, a.local))
	fmt.Fprintln(w, "\nMembers")
	t := newTable("NAME", "SERVER", "LABELS", "SINCE", "WITH")
	for _, m := range s.Members {
		t.add(clean(m.Name), m.Server, labels(m.Labels), moment(m.Born, a.local), labels(m.With))
	}
	t.dropEmpty().print(w, "  ")
	if len(s.Proxies) > 0 {
		fmt.Fprintln(w, "\nProxies")
		t := newTable("NAME", "WITH")
		for _, p := range s.Proxies {
			t.add(clean(p.Name), labels(p.With))
		}
		t.dropEmpty().print(w, "  ")
	}
	if p := s.Probe; len(p.Endpoints) > 0 {
		fmt.Fprintf(w, "\nAsked %d times a second while a run is open on it\n", p.Rate)
		t := newTable("NAME", "URL", "SLOW", "TIMEOUT")
		for _, e := range p.Endpoints {
			t.add(clean(e.Name), clean(e.URL), p.Slow, first(p.Timeout, "5s"))
		}
		t.dropEmpty().print(w, "  ")
	}
	if len(s.Schedules) > 0 {
		fmt.Fprintln(w, "\nSchedules")
		a.tellNext(w, s.Schedules)
	}
	if len(s.OpenRuns) > 0 {
		fmt.Fprintln(w, "\nOpen runs")
		a.runTable(s.OpenRuns).print(w, "  ")
	}
}

func (a *app) deleteService() *cobra.Command {
	return &cobra.Command{
		Use: "service NAME", Aliases: []string{"services"}, Short: "Remove a service on which no run is open; its history stays",
		Args: takes(1, 1),
		RunE: a.deleting("service", func(ctx context.Context, s *session, ref, key string) error {
			return s.DeleteService(ctx, ref, &client.DeleteServiceParams{Project: s.project, IdempotencyKey: key})
		}),
	}
}

// whyService says what a service's open runs wait for, and how far their
// members are.
func (s *session) whyService(ctx context.Context, service *client.Service) error {
	var runs []*client.Run
	for _, r := range service.OpenRuns {
		run, err := s.run(ctx, r.ID)
		if err != nil {
			return err
		}
		runs = append(runs, run)
	}
	held, err := s.heldOf(ctx, "service/"+service.Name)
	if err != nil {
		return err
	}
	return s.app.show(service, func(w io.Writer) {
		s.app.tellHeld(w, held)
		for _, r := range runs {
			s.app.tellRunWhy(w, r)
		}
		if len(runs) == 0 {
			fmt.Fprintf(w, "%s  no run is open\n", service.Name)
		}
		s.app.tellNext(w, service.Schedules)
		if len(runs) == 0 {
			fmt.Fprintf(w, "  \"upkeep roll %s RUNBOOK\" carries a runbook out on it\n", service.Name)
		}
	})
}

// tellBook is what a run has that carries a runbook out.
func (a *app) tellBook(w io.Writer, r *client.Run) {
	if r.Runbook == "" {
		return
	}
	var params, approvals []string
	for _, name := range slices.Sorted(maps.Keys(r.Params)) {
		params = append(params, name+"="+r.Params[name])
	}
	for _, p := range r.Approvals {
		approvals = append(approvals, p.Step+" by "+p.By)
	}
	pairs(w, "Runbook", r.Runbook, "Params", clean(strings.Join(params, ", ")), "Approved", clean(strings.Join(approvals, ", ")), "Halted", clean(r.Halt))
	a.tellMembers(w, r)
}
