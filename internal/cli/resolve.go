package cli

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"upkeep/client"
)

// How people name things: a server by its name or id, a schedule as
// SERVER/NAME, by its id or, where that is not ambiguous, by its name alone; a
// run by its id, or by the server or service that it works on.

// pageSize is how much is asked for at once.
const pageSize = 1000

var idPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// findServer finds one by name or id.
func (s *session) findServer(ctx context.Context, ref string) (*client.Server, error) {
	return ask(ctx, func(ctx context.Context) (*client.Server, error) {
		return s.GetServer(ctx, ref, &client.GetServerParams{Project: s.project})
	})
}

// allServers lists every server of the project.
func (s *session) allServers(ctx context.Context) (*client.ServerList, error) {
	return s.serversOf(ctx, "", false)
}

// serversOf lists those made from an image, and those made from an old one.
func (s *session) serversOf(ctx context.Context, image string, old bool) (*client.ServerList, error) {
	params := &client.ListServersParams{Project: s.project, Image: image, OldImage: old, Limit: pageSize}
	items, err := every(ctx, func(ctx context.Context, next string) ([]client.Server, string, error) {
		params.After = next
		page, err := s.ListServers(ctx, params)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
	return &client.ServerList{Items: items}, err
}

// allSchedules lists those of a server, or of every server of the project.
func (s *session) allSchedules(ctx context.Context, server string) (*client.ScheduleList, error) {
	params := &client.ListSchedulesParams{Project: s.project, Server: server, Limit: pageSize}
	items, err := every(ctx, func(ctx context.Context, next string) ([]client.Schedule, string, error) {
		params.After = next
		page, err := s.ListSchedules(ctx, params)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
	return &client.ScheduleList{Items: items}, err
}

// findSchedule finds one by SERVER/NAME, by id, or by a name that only one has.
func (s *session) findSchedule(ctx context.Context, ref string) (*client.Schedule, error) {
	if idPattern.MatchString(ref) {
		return ask(ctx, func(ctx context.Context) (*client.Schedule, error) { return s.GetSchedule(ctx, ref, nil) })
	}
	server, name, ok := strings.Cut(ref, "/") // no server's name has a slash in it
	if !ok {
		server, name = "", ref
	}
	all, err := s.allSchedules(ctx, server)
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(all.Items, func(sc client.Schedule) bool { return sc.Name != name })
	switch {
	case len(found) == 0 && server == "":
		return nil, notFoundf("no schedule %q; say SERVER/NAME", name)
	case len(found) == 0:
		return nil, notFoundf("no schedule %q on server %s", name, server)
	case len(found) > 1:
		return nil, &coded{code: exitUsage, text: fmt.Sprintf("%d servers have a schedule %q: say which, such as %s", len(found), name, refOf(found[0]))}
	}
	return &found[0], nil
}

// refOf is how a person names a schedule.
func refOf(sc client.Schedule) string { return sc.ServerName + "/" + sc.Name }

// findRun finds a run by its id, or the run that a server's name stands for:
// the one that is at work, else one that is open, else (if ended says that it
// may have ended) the newest.
func (s *session) findRun(ctx context.Context, ref string, ended bool) (*client.Run, error) {
	if idPattern.MatchString(ref) {
		run, err := s.run(ctx, ref)
		if err == nil || !client.Is(err, client.KindNotFound) {
			return run, err
		}
	}
	open, err := s.runsOf(ctx, ref, true, pageSize)
	if err != nil {
		if client.Is(err, client.KindNotFound) {
			return nil, notFoundf("no run, no server and no service %q", ref)
		}
		return nil, err
	}
	if len(open) > 0 {
		return s.run(ctx, foremost(open).ID)
	}
	all, err := s.runsOf(ctx, ref, false, 1)
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, notFoundf("%s has had no run yet", ref)
	case !ended:
		last := all[0]
		return nil, notFoundf("%s has no open run; its last one, %s, %s %s", ref, last.ID, last.State, ago(last.Finished, s.app.now()))
	}
	return s.run(ctx, all[0].ID)
}

func (s *session) run(ctx context.Context, id string) (*client.Run, error) {
	return ask(ctx, func(ctx context.Context) (*client.Run, error) { return s.GetRun(ctx, id, nil) })
}

func (s *session) runsOf(ctx context.Context, server string, open bool, limit int64) ([]client.RunSummary, error) {
	list, err := s.runs(ctx, server, open, limit)
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// runs lists the newest of a server or service, at most limit; 0: all.
func (s *session) runs(ctx context.Context, server string, open bool, limit int64) (*client.RunList, error) {
	all := &client.RunList{Items: []client.RunSummary{}}
	params := &client.ListRunsParams{Project: s.project, Server: server, Open: open}
	for {
		params.Limit = pageSize
		if limit > 0 {
			params.Limit = min(pageSize, limit-int64(len(all.Items)))
		}
		page, err := ask(ctx, func(ctx context.Context) (*client.RunList, error) { return s.ListRuns(ctx, params) })
		if client.Is(err, client.KindNotFound) && params.Server != "" {
			params.Server, params.Service = "", params.Server
			page, err = ask(ctx, func(ctx context.Context) (*client.RunList, error) { return s.ListRuns(ctx, params) })
		}
		if err != nil {
			return nil, err
		}
		all.Items = append(all.Items, page.Items...)
		if page.Next == "" || limit > 0 && int64(len(all.Items)) >= limit {
			return all, nil
		}
		params.Before = page.Next
	}
}

// foremost is the run that a person means by the server's name: the one that
// works, else one that is held, else the newest.
func foremost(open []client.RunSummary) client.RunSummary {
	for _, state := range []client.State{client.Working, client.Paused} {
		if i := slices.IndexFunc(open, func(r client.RunSummary) bool { return r.State == state }); i >= 0 {
			return open[i]
		}
	}
	return open[0]
}
