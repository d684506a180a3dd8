package cli

import (
	"context"
	"maps"
	"slices"

	"upkeep/client"
)

type scheduleDoc struct {
	Head         `yaml:",inline"`
	Server       string            `yaml:"server"`
	Service      string            `yaml:"service"` // in place of a server
	Name         string            `yaml:"name"`
	Runbook      string            `yaml:"runbook"`
	Params       map[string]string `yaml:"params"`
	Enabled      *bool             `yaml:"enabled"`
	WindowDoc    `yaml:",inline"`
	Missed       string     `yaml:"missed"`
	UpdatePolicy string     `yaml:"updatePolicy"`
	AllowOverlap bool       `yaml:"allowOverlap"`
	Policy       *policyDoc `yaml:"policy"`
}

func (d *scheduleDoc) name() string { return "schedule " + d.on() + "/" + d.Name }

func (d *scheduleDoc) check() error {
	if d.Server != "" && d.Service != "" {
		return wrongf("service", "goes without server: a schedule is on one of them")
	}
	if err := needs("server", d.on(), "name", d.Name); err != nil {
		return err
	}
	switch made := d.UpdatePolicy != ""; {
	case d.Runbook == "" && d.Service != "":
		return missing("runbook")
	case d.RRule == "" && d.Weekly == nil && !made:
		return missing("rrule")
	case d.Duration == "" && !made:
		return missing("duration")
	}
	lengths := map[string]string{}
	d.WindowDoc.durations(lengths, "")
	d.Policy.durations(lengths)
	return checkDurations(lengths)
}

// on is the name of the server or service.
func (d *scheduleDoc) on() string { return first(d.Server, d.Service) }

// input is the document as the API takes it.
func (d *scheduleDoc) input() client.ScheduleInput {
	return client.ScheduleInput{
		RRule: d.RRule, Weekly: d.weekly(), Duration: d.Duration, Enabled: d.Enabled, Missed: client.Missed(d.Missed),
		UpdatePolicy: d.UpdatePolicy, AllowOverlap: d.AllowOverlap, Policy: d.Policy.input(), Runbook: d.Runbook, Params: d.Params,
	}
}

func (d *scheduleDoc) compare(ctx context.Context, s *session, docs []*document) (string, error) {
	schedules, err := d.neighbours(ctx, s)
	if client.Is(err, client.KindNotFound) && slices.ContainsFunc(docs, d.standsOn) {
		return created, nil
	}
	if err != nil {
		return "", err
	}
	from, err := d.madeFrom(ctx, s, docs)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(schedules, func(b client.ScheduleBrief) bool { return b.Name == d.Name })
	if i < 0 {
		return created, nil
	}
	have, err := ask(ctx, func(ctx context.Context) (*client.Schedule, error) {
		return s.GetSchedule(ctx, schedules[i].ID, nil)
	})
	return verdict(err, func() bool { return d.is(have, from) })
}

// neighbours are the schedules of the server or service that it is on.
func (d *scheduleDoc) neighbours(ctx context.Context, s *session) ([]client.ScheduleBrief, error) {
	if d.Service == "" {
		server, err := s.serverIn(ctx, s.projectOf(d), d.Server)
		if err != nil {
			return nil, err
		}
		return server.Schedules, nil
	}
	service, err := s.serviceIn(ctx, s.projectOf(d), d.Service)
	if err != nil {
		return nil, err
	}
	return service.Schedules, nil
}

// standsOn reports whether a document makes what the schedule is on.
func (d *scheduleDoc) standsOn(o *document) bool {
	switch on := o.subject.(type) {
	case *serverDoc:
		return on.Name == d.Server && on.Project == d.Project
	case *serviceDoc:
		return on.Name == d.Service && on.Project == d.Project
	}
	return false
}

func (d *scheduleDoc) send(ctx context.Context, s *session) error {
	_, err := write(ctx, func(ctx context.Context, key string) (*client.Schedule, error) {
		project := s.projectOf(d)
		if d.Service == "" {
			return s.PutSchedule(ctx, d.Server, d.Name, d.input(), &client.PutScheduleParams{Project: project, IdempotencyKey: key})
		}
		return s.PutServiceSchedule(ctx, d.Service, d.Name, d.input(), &client.PutServiceScheduleParams{Project: project, IdempotencyKey: key})
	})
	return err
}

// madeFrom is the id of the update policy that it names; empty if it names
// none, or one that is only made by what is applied together with it.
func (d *scheduleDoc) madeFrom(ctx context.Context, s *session, docs []*document) (string, error) {
	if d.UpdatePolicy == "" {
		return "", nil
	}
	p, err := ask(ctx, func(ctx context.Context) (*client.UpdatePolicy, error) {
		return s.GetUpdatePolicy(ctx, d.UpdatePolicy, &client.GetUpdatePolicyParams{Project: s.projectOf(d)})
	})
	if err == nil {
		return p.ID, nil
	}
	made := func(o *document) bool {
		policy, is := o.subject.(*updatePolicyDoc)
		return is && policy.Name == d.UpdatePolicy
	}
	if client.Is(err, client.KindNotFound) && slices.ContainsFunc(docs, made) {
		return "", nil
	}
	return "", err
}

// is reports whether a schedule is as the document says. What the document
// leaves out is as usual; should a server's usual be another, the schedule is
// sent once more than needed, which does no harm. With an update policy, what
// is left out is as the schedule was made from it, whatever that says today.
func (d *scheduleDoc) is(have *client.Schedule, from string) bool {
	if isOn(d.Enabled) != have.Enabled || d.Runbook != have.Runbook || !maps.Equal(d.Params, have.Params) || from != have.UpdatePolicy || d.UpdatePolicy != "" && from == "" {
		return false
	}
	made := d.UpdatePolicy != ""
	return (made && d.RRule == "" || d.RRule == have.RRule) &&
		(made && d.Duration == "" || sameLength(d.Duration, have.Duration)) &&
		(made && d.Missed == "" || first(d.Missed, "late") == string(have.Missed)) &&
		(made && d.Policy == nil || d.Policy.is(have.Policy))
}

// spot is a window of a document, and the field that it is in.
type spot struct {
	field  string
	window *WindowDoc
}

// windowed is what a subject with windows is besides.
type windowed interface {
	// windows are all that it has, to be read and to be set.
	windows() []spot
}

func (d *scheduleDoc) windows() []spot { return spots(&d.WindowDoc, d.Policy) }

// windows are all of a document's.
func (d *document) windows() []spot {
	if w, ok := d.subject.(windowed); ok {
		return w.windows()
	}
	return nil
}

// spots are the windows that a document has itself and in its policy.
func spots(w *WindowDoc, p *policyDoc) (all []spot) {
	if w.RRule != "" || w.Weekly != nil {
		all = append(all, spot{"", w})
	}
	if p != nil && p.RebootWindow != nil {
		all = append(all, spot{"policy.rebootWindow", p.RebootWindow})
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
	in := client.WindowInput{Project: s.projectOf(d), RRule: w.RRule, Weekly: w.weekly(), Duration: w.Duration, Limit: 1}
	if in.Duration == "" {
		in.Duration = "1m" // an update policy gives it
	}
	return ask(ctx, func(ctx context.Context) (*client.WindowPreview, error) { return s.PreviewWindows(ctx, in, nil) })
}
