package cli

import (
	"context"
	"fmt"
	"time"

	"upkeep/client"
)

type freezeDoc struct {
	Head   `yaml:",inline"`
	Start  string `yaml:"start"`
	End    string `yaml:"end"`
	Reason string `yaml:"reason"`

	start, end time.Time // what they say
}

func (d *freezeDoc) name() string { return fmt.Sprintf("freeze %q", d.Reason) }

func (d *freezeDoc) check() (err error) {
	if err := needs("start", d.Start, "end", d.End, "reason", d.Reason); err != nil {
		return err
	}
	if d.start, err = time.Parse(time.RFC3339, d.Start); err != nil {
		return wrongf("start", "must be a time such as 2026-12-20T00:00:00+01:00, not %q", clean(d.Start))
	}
	if d.end, err = time.Parse(time.RFC3339, d.End); err != nil {
		return wrongf("end", "must be a time such as 2027-01-04T00:00:00+01:00, not %q", clean(d.End))
	}
	if !d.end.After(d.start) {
		return wrongf("end", "must be after the start")
	}
	return nil
}

func (d *freezeDoc) compare(ctx context.Context, s *session, _ []*document) (string, error) {
	if d.end.Before(s.app.now()) {
		return over, nil // the server no longer lists it, and it would have no effect
	}
	project := s.projectOf(d)
	all, err := s.freezes(ctx, project)
	if err != nil {
		return "", err
	}
	for _, f := range all.Items {
		same := f.Start.Equal(d.start) && f.End.Equal(d.end) && f.Reason == d.Reason
		if same && (f.Project == project || project == "") {
			return unchanged, nil
		}
	}
	return created, nil
}

func (d *freezeDoc) send(ctx context.Context, s *session) error {
	_, err := write(ctx, func(ctx context.Context, key string) (*client.Freeze, error) {
		return s.CreateFreeze(ctx, client.FreezeInput{Project: s.projectOf(d), Start: d.start, End: d.end, Reason: d.Reason},
			&client.CreateFreezeParams{IdempotencyKey: key})
	})
	return err
}
