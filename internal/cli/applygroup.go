package cli

import (
	"context"
	"slices"

	"upkeep/client"
)

type groupDoc struct {
	Head           `yaml:",inline"`
	Name           string   `yaml:"name"`
	MaxUnavailable int64    `yaml:"maxUnavailable"`
	Canaries       []string `yaml:"canaries"`
	Soak           string   `yaml:"soak"`
	StopAfter      int64    `yaml:"stopAfter"`
	WindowDoc      `yaml:",inline"`
}

func (d *groupDoc) name() string { return "group " + d.Name }

func (d *groupDoc) check() error {
	if d.Name == "" {
		return missing("name")
	}
	if (d.RRule != "" || d.Weekly != nil) && d.Duration == "" {
		return missing("duration")
	}
	return checkDurations(map[string]string{"soak": d.Soak, "duration": d.Duration})
}

func (d *groupDoc) windows() []spot { return spots(&d.WindowDoc, nil) }

func (d *groupDoc) compare(ctx context.Context, s *session, _ []*document) (string, error) {
	have, err := ask(ctx, func(ctx context.Context) (*client.Group, error) {
		return s.GetGroup(ctx, d.Name, &client.GetGroupParams{Project: s.projectOf(d)})
	})
	if err == nil && have.Revision == 0 { // servers are in it, and nobody has said anything of it
		return created, nil
	}
	return verdict(err, func() bool { return d.is(have) })
}

func (d *groupDoc) is(have *client.Group) bool {
	return max(d.MaxUnavailable, 1) == have.MaxUnavailable && slices.Equal(d.Canaries, have.Canaries) &&
		sameLength(d.Soak, have.Soak) && d.StopAfter == have.StopAfter && d.RRule == have.Window.RRule && sameLength(d.Duration, have.Window.Duration)
}

func (d *groupDoc) send(ctx context.Context, s *session) error {
	_, err := write(ctx, func(ctx context.Context, key string) (*client.Group, error) {
		in := client.GroupInput{
			MaxUnavailable: d.MaxUnavailable, Canaries: d.Canaries, Soak: d.Soak, StopAfter: d.StopAfter,
			RRule: d.RRule, Weekly: d.weekly(), Duration: d.Duration,
		}
		return s.PutGroup(ctx, d.Name, in, &client.PutGroupParams{Project: s.projectOf(d), IdempotencyKey: key})
	})
	return err
}
