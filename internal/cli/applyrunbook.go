package cli

import (
	"context"

	"upkeep/client"
)

// runbookDoc has what the API has of a runbook.
type runbookDoc struct {
	Head                     `yaml:",inline"`
	client.NamedRunbookInput `yaml:",inline"`
}

func (d *runbookDoc) name() string { return "runbook " + d.Name }

func (d *runbookDoc) check() error {
	// A list that is left out is empty: the server says what that means.
	for _, steps := range []*[]client.RunbookStep{&d.Member.Do, &d.Member.Await} {
		if *steps == nil {
			*steps = []client.RunbookStep{}
		}
	}
	return needs("name", d.Name)
}

// compare looks whether it is so already, and has the server check it if it is
// to be sent.
func (d *runbookDoc) compare(ctx context.Context, s *session, _ []*document) (string, error) {
	have, err := ask(ctx, func(ctx context.Context) (*client.Runbook, error) {
		return s.GetRunbook(ctx, d.Name, &client.GetRunbookParams{Project: s.projectOf(d)})
	})
	result, err := verdict(err, func() bool { return d.is(have) })
	if err == nil && result != unchanged {
		err = d.validate(ctx, s)
	}
	return result, err
}

// validate has the server say whether a runbook can be.
func (d *runbookDoc) validate(ctx context.Context, s *session) error {
	_, err := ask(ctx, func(ctx context.Context) (*client.Runbook, error) {
		return s.ValidateRunbook(ctx, d.NamedRunbookInput)
	})
	return err
}

func (d *runbookDoc) send(ctx context.Context, s *session) error {
	_, err := write(ctx, func(ctx context.Context, key string) (*client.Runbook, error) {
		return s.PutRunbook(ctx, d.Name, d.input(), &client.PutRunbookParams{Project: s.projectOf(d), IdempotencyKey: key})
	})
	return err
}

// input is what is sent under the runbook's name.
func (d *runbookDoc) input() client.RunbookInput {
	return client.RunbookInput{
		Title: d.Title, Description: d.Description, Params: d.Params, Claims: d.Claims, MaxUnavailable: d.MaxUnavailable, Budget: d.Budget, ErrorBudget: d.ErrorBudget,
		Targets: d.Targets, Order: d.Order, Batches: d.Batches, Pause: d.Pause,
		Prove: d.Prove, Before: d.Before, Member: d.Member, After: d.After,
	}
}

// is reports whether a runbook is as the document says, however its durations
// are written.
func (d *runbookDoc) is(have *client.Runbook) bool {
	return plainBook(d.input()) == plainBook(client.RunbookInput{
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
	return plain(b)
}
