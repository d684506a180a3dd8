package cli

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"upkeep/client"
)

// Services and runbooks are written in files as the API has them: what a file
// may say is what the client's types have.

// ServiceDoc is a service in a file. The YAML library embeds only what is exported.
type ServiceDoc struct {
	Kind                string `yaml:"kind"`
	Project             string `yaml:"project"`
	Name                string `yaml:"name"`
	client.ServiceInput `yaml:",inline"`
}

// RunbookDoc is a runbook in a file.
type RunbookDoc struct {
	Kind                     string `yaml:"kind"`
	Project                  string `yaml:"project"`
	client.NamedRunbookInput `yaml:",inline"`
}

func (d *document) checkService() error {
	switch {
	case d.service.Name == "":
		return d.missing("name")
	case len(d.service.Members) == 0:
		return d.missing("members")
	}
	return nil
}

func (d *document) checkRunbook() error {
	// A list that is left out is empty: the server says what that means.
	for _, steps := range []*[]client.RunbookStep{&d.runbook.Member.Do, &d.runbook.Member.Await} {
		if *steps == nil {
			*steps = []client.RunbookStep{}
		}
	}
	if d.runbook.Name == "" {
		return d.missing("name")
	}
	return nil
}

// input is what is sent under the runbook's name.
func (r *RunbookDoc) input() client.RunbookInput {
	return client.RunbookInput{
		Title: r.Title, Description: r.Description, Params: r.Params, Claims: r.Claims, MaxUnavailable: r.MaxUnavailable, Budget: r.Budget, ErrorBudget: r.ErrorBudget,
		Targets: r.Targets, Order: r.Order, Batches: r.Batches, Pause: r.Pause,
		Prove: r.Prove, Before: r.Before, Member: r.Member, After: r.After,
	}
}

// is reports whether a runbook is as the document says, however its durations
// are written.
func (r *RunbookDoc) is(have *client.Runbook) bool {
	return plainBook(r.input()) == plainBook(client.RunbookInput{
		Title: have.Title, Description: have.Description, Params: have.Params, Claims: have.Claims, MaxUnavailable: have.MaxUnavailable, Budget: have.Budget, ErrorBudget: have.ErrorBudget,
		Targets: have.Targets, Order: have.Order, Batches: have.Batches, Pause: have.Pause,
		Prove: have.Prove, Before: have.Before, Member: have.Member, After: have.After,
	})
}

// plainBook is a runbook as text, the same for all ways to write it.
func plainBook(b client.RunbookInput) string {
	b.MaxUnavailable, b.Budget, b.Pause = max(b.MaxUnavailable, 1), plainLength(b.Budget), plainLength(b.Pause)
	b.ErrorBudget.Over = plainLength(b.ErrorBudget.Over)
	checks := make([]client.RunbookCheck, 0, len(b.Prove))
	for _, c := range b.Prove {
		for _, text := range []*string{&c.Estimate, &c.Timeout, &c.Fresh, &c.Settle} {
			*text = plainLength(*text)
		}
		checks = append(checks, c)
	}
	b.Prove = checks
	for _, steps := range []*[]client.RunbookStep{&b.Before, &b.Member.Drain, &b.Member.Do, &b.Member.Await, &b.Member.Ready, &b.After} {
		plain := make([]client.RunbookStep, 0, len(*steps))
		for _, s := range *steps {
			for _, text := range []*string{&s.Estimate, &s.Timeout, &s.Soak} {
				*text = plainLength(*text)
			}
			plain = append(plain, s)
		}
		*steps = plain
	}
	text, err := json.Marshal(b)
	if err != nil {
		return err.Error() // not possible: these are texts and numbers
	}
	return string(text)
}

// plainLength writes a duration in one way; what is none stays, and the server
// says so.
func plainLength(text string) string {
	d, ok := parseLength(text)
	switch {
	case !ok:
		return text
	case d == 0:
		return ""
	}
	return d.String()
}

// is reports whether a service is as the document says.
func (d *ServiceDoc) is(have *client.Service) bool {
	same := d.Quorum == have.Quorum && d.Manager == have.Manager && slices.Equal(d.Claims, have.Claims) && maps.Equal(d.Labels, have.Labels) && maps.Equal(d.With, have.With) &&
		len(d.Members) == len(have.Members) && len(d.Proxies) == len(have.Proxies)
	for i := 0; same && i < len(d.Members); i++ {
		a, b := d.Members[i], have.Members[i]
		same = a.Name == b.Name && a.Server == b.Server && a.Born.Equal(b.Born) && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.With, b.With)
	}
	same = same && plainProbe(d.Probe) == plainProbe(have.Probe)
	for i := 0; same && i < len(d.Proxies); i++ {
		same = d.Proxies[i].Name == have.Proxies[i].Name && maps.Equal(d.Proxies[i].With, have.Proxies[i].With)
	}
	return same
}

// plainProbe is a probe as text, the same for all ways to write it.
func plainProbe(p client.ServiceProbe) string {
	p.Slow, p.Timeout = plainLength(p.Slow), plainLength(p.Timeout)
	text, err := json.Marshal(p)
	if err != nil {
		return err.Error() // not possible: these are texts and numbers
	}
	return string(text)
}

func (s *session) compareService(ctx context.Context, d *document) (string, error) {
	have, err := ask(ctx, func(ctx context.Context) (*client.Service, error) {
		return s.GetService(ctx, d.service.Name, &client.GetServiceParams{Project: s.projectOf(d.service.Project)})
	})
	return verdict(err, func() bool { return d.service.is(have) })
}

// compareRunbook looks whether it is so already, and has the server check it if
// it is to be sent.
func (s *session) compareRunbook(ctx context.Context, d *document) (string, error) {
	have, err := ask(ctx, func(ctx context.Context) (*client.Runbook, error) {
		return s.GetRunbook(ctx, d.runbook.Name, &client.GetRunbookParams{Project: s.projectOf(d.runbook.Project)})
	})
	result, err := verdict(err, func() bool { return d.runbook.is(have) })
	if err == nil && result != unchanged {
		err = s.validate(ctx, d)
	}
	return result, err
}

// verdict is what is to be done with a document that was asked for.
func verdict(err error, same func() bool) (string, error) {
	switch {
	case client.Is(err, client.KindNotFound):
		return created, nil
	case err != nil:
		return "", err
	case same():
		return unchanged, nil
	}
	return changed, nil
}

// validate has the server say whether a runbook can be.
func (s *session) validate(ctx context.Context, d *document) error {
	_, err := ask(ctx, func(ctx context.Context) (*client.Runbook, error) {
		return s.ValidateRunbook(ctx, d.runbook.NamedRunbookInput)
	})
	return err
}

// lineAt is where a field such as member.do[0].with.url stands in a document's
// text, or the next thing around it that does.
func lineAt(body ast.Node, field string) (line int, ok bool) {
	for path := field; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		at, err := yaml.PathString("$." + path)
		if err != nil {
			continue
		}
		node, err := at.FilterNode(body)
		if err != nil || node == nil {
			continue
		}
		if m, is := node.(*ast.MappingNode); is && len(m.Values) > 0 {
			node = m.Values[0].Key
		} else if v, is := node.(*ast.MappingValueNode); is {
			node = v.Key
		}
		return node.GetToken().Position.Line, true
	}
	return 0, false
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
