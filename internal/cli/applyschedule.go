package cli

import (
	"context"
	"slices"

	"upkeep/client"
)

type scheduleDoc struct {
	Kind         string            `yaml:"kind"`
	Project      string            `yaml:"project"`
	Server       string            `yaml:"server"`
	Service      string            `yaml:"service"` // in place of a server
	Name         string            `yaml:"name"`
	Runbook      string            `yaml:"runbook"`
	Params       map[string]string `yaml:"params"`
	Enabled      *bool             `yaml:"enabled"`
	Missed       string            `yaml:"missed"`
	UpdatePolicy string            `yaml:"updatePolicy"`
	AllowOverlap bool              `yaml:"allowOverlap"`
	Policy       *policyDoc        `yaml:"policy"`
	WindowDoc    `yaml:",inline"`
}

func (d *document) checkSchedule() error {
	s := d.schedule
	if s.Server != "" && s.Service != "" {
		return d.blame("service", "goes without server: a schedule is on one of them")
	}
	for _, f := range []struct {
		field string
		said  bool
	}{
		{"server", s.on() != ""},
		{"name", s.Name != ""},
		{"runbook", s.Runbook != "" || s.Service == ""},
		{"rrule", s.RRule != "" || s.Weekly != nil || s.UpdatePolicy != ""},
		{"duration", s.Duration != "" || s.UpdatePolicy != ""},
	} {
		if !f.said {
			return d.missing(f.field)
		}
	}
	lengths := map[string]string{}
	s.WindowDoc.durations(lengths, "")
	s.Policy.durations(lengths)
	return d.checkDurations(lengths)
}

// on is the name of the server or service.
func (s *scheduleDoc) on() string { return first(s.Server, s.Service) }

// input is the document as the API takes it.
func (s *scheduleDoc) input() client.ScheduleInput {
	return client.ScheduleInput{
		RRule: s.RRule, Weekly: s.weekly(), Duration: s.Duration, Enabled: s.Enabled, Missed: client.Missed(s.Missed),
		UpdatePolicy: s.UpdatePolicy, AllowOverlap: s.AllowOverlap, Policy: s.Policy.input(), Runbook: s.Runbook, Params: s.Params,
	}
}

func (s *session) compareSchedule(ctx context.Context, d *document, docs []*document) (string, error) {
	want := d.schedule
	schedules, err := s.briefsOf(ctx, want)
	if client.Is(err, client.KindNotFound) && slices.ContainsFunc(docs, want.standsOn) {
		return created, nil
	}
	if err != nil {
		return "", err
	}
	from, err := s.madeFrom(ctx, d, docs)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(schedules, func(b client.ScheduleBrief) bool { return b.Name == want.Name })
	if i < 0 {
		return created, nil
	}
	have, err := ask(ctx, func(ctx context.Context) (*client.Schedule, error) {
		return s.GetSchedule(ctx, schedules[i].ID, nil)
	})
	if err != nil || want.is(have, from) {
		return unchanged, err
	}
	return changed, nil
}

// briefsOf are the schedules of the server or service that a document is about.
func (s *session) briefsOf(ctx context.Context, want *scheduleDoc) ([]client.ScheduleBrief, error) {
	if want.Service == "" {
		server, err := s.serverIn(ctx, want.Project, want.Server)
		if err != nil {
			return nil, err
		}
		return server.Schedules, nil
	}
	service, err := ask(ctx, func(ctx context.Context) (*client.Service, error) {
		return s.GetService(ctx, want.Service, &client.GetServiceParams{Project: s.projectOf(want.Project)})
	})
	if err != nil {
		return nil, err
	}
	return service.Schedules, nil
}

// standsOn reports whether a document makes what the schedule is on.
func (s *scheduleDoc) standsOn(d *document) bool {
	switch {
	case d.server != nil:
		return d.server.Name == s.Server && d.server.Project == s.Project
	case d.service != nil:
		return d.service.Name == s.Service && d.service.Project == s.Project
	}
	return false
}

// sendSchedule makes it so.
func (s *session) sendSchedule(ctx context.Context, doc *scheduleDoc, key string) (any, error) {
	project := s.projectOf(doc.Project)
	if doc.Service == "" {
		return s.PutSchedule(ctx, doc.Server, doc.Name, doc.input(), &client.PutScheduleParams{Project: project, IdempotencyKey: key})
	}
	return s.PutServiceSchedule(ctx, doc.Service, doc.Name, doc.input(), &client.PutServiceScheduleParams{Project: project, IdempotencyKey: key})
}

// madeFrom is the id of the update policy that a schedule names; empty if it
// names none, or one that this file only makes.
func (s *session) madeFrom(ctx context.Context, d *document, docs []*document) (string, error) {
	name := d.schedule.UpdatePolicy
	if name == "" {
		return "", nil
	}
	p, err := ask(ctx, func(ctx context.Context) (*client.UpdatePolicy, error) {
		return s.GetUpdatePolicy(ctx, name, &client.GetUpdatePolicyParams{Project: s.projectOf(d.schedule.Project)})
	})
	if err == nil {
		return p.ID, nil
	}
	if client.Is(err, client.KindNotFound) && slices.ContainsFunc(docs, func(o *document) bool { return o.policy != nil && o.policy.Name == name }) {
		return "", nil
	}
	return "", err
}

// is reports whether a schedule is as the document says. What the document
// leaves out is as usual; should a server's usual be another, the schedule is
// sent once more than needed, which does no harm. With an update policy, what
// is left out is as the schedule was made from it, whatever that says today.
func (s *scheduleDoc) is(have *client.Schedule, from string) bool {
	if isOn(s.Enabled) != have.Enabled || s.Runbook != have.Runbook || !equalMaps(s.Params, have.Params) || from != have.UpdatePolicy || s.UpdatePolicy != "" && from == "" {
		return false
	}
	made := s.UpdatePolicy != ""
	return (made && s.RRule == "" || s.RRule == have.RRule) &&
		(made && s.Duration == "" || sameLength(s.Duration, have.Duration)) &&
		(made && s.Missed == "" || first(s.Missed, "late") == string(have.Missed)) &&
		(made && s.Policy == nil || s.Policy.is(have.Policy))
}

// spot is a window of a document, and the field that it is in.
type spot struct {
	field  string
	window *WindowDoc
}

// windows are all of a document's.
func (d *document) windows() (all []spot) {
	add := func(w *WindowDoc, p *policyDoc) {
		if w.RRule != "" || w.Weekly != nil {
			all = append(all, spot{"", w})
		}
		if p != nil && p.RebootWindow != nil {
			all = append(all, spot{"policy.rebootWindow", p.RebootWindow})
		}
	}
	switch {
	case d.schedule != nil:
		add(&d.schedule.WindowDoc, d.schedule.Policy)
	case d.policy != nil:
		add(&d.policy.WindowDoc, d.policy.Policy)
	case d.group != nil:
		add(&d.group.WindowDoc, nil)
	}
	return all
}

// settle turns every weekly window into the recurrence that the server makes
// of it, so that it can be compared.
func (s *session) settle(ctx context.Context, docs []*document) error {
	for _, d := range docs {
		for _, at := range d.windows() {
			if at.window.Weekly == nil || at.window.RRule != "" { // both is for the server to refuse
				continue
			}
			p, err := s.previewOf(ctx, d, at.window)
			if err != nil {
				return d.refusedIn(at.field, err)
			}
			at.window.RRule, at.window.Weekly = p.RRule, nil
		}
	}
	return nil
}

// checkWindows has the server judge the recurrences that are to be sent, each
// once: a wrong one in the last document must not be found when the others are
// sent already.
func (s *session) checkWindows(ctx context.Context, docs []*document, verdicts []string) error {
	checked := map[string]bool{}
	for i, d := range docs {
		if verdicts[i] == unchanged {
			continue
		}
		for _, at := range d.windows() {
			key := at.window.Duration + " " + at.window.RRule
			if checked[key] && at.window.Weekly == nil {
				continue
			}
			checked[key] = true
			if _, err := s.previewOf(ctx, d, at.window); err != nil {
				return d.refusedIn(at.field, err)
			}
		}
	}
	return nil
}

func (s *session) previewOf(ctx context.Context, d *document, w *WindowDoc) (*client.WindowPreview, error) {
	in := client.WindowInput{RRule: w.RRule, Weekly: w.weekly(), Duration: w.Duration, Limit: 1}
	if in.Duration == "" {
		in.Duration = "1m" // an update policy gives it
	}
	switch {
	case d.schedule != nil:
		in.Project = s.projectOf(d.schedule.Project)
	case d.policy != nil:
		in.Project = s.projectOf(d.policy.Project)
	case d.group != nil:
		in.Project = s.projectOf(d.group.Project)
	}
	return ask(ctx, func(ctx context.Context) (*client.WindowPreview, error) { return s.PreviewWindows(ctx, in, nil) })
}
