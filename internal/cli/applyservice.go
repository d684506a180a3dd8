package cli

import (
	"context"
	"maps"
	"slices"

	"upkeep/client"
)

// serviceDoc has what the API has of a service.
type serviceDoc struct {
	Head                `yaml:",inline"`
	Name                string `yaml:"name"`
	client.ServiceInput `yaml:",inline"`
}

func (d *serviceDoc) name() string { return "service " + d.Name }

func (d *serviceDoc) check() error {
	switch {
	case d.Name == "":
		return missing("name")
	case len(d.Members) == 0:
		return missing("members")
	}
	return nil
}

func (d *serviceDoc) compare(ctx context.Context, s *session, _ []*document) (string, error) {
	have, err := s.serviceIn(ctx, s.projectOf(d), d.Name)
	return verdict(err, func() bool { return d.is(have) })
}

func (s *session) serviceIn(ctx context.Context, project, name string) (*client.Service, error) {
	return ask(ctx, func(ctx context.Context) (*client.Service, error) {
		return s.GetService(ctx, name, &client.GetServiceParams{Project: project})
	})
}

func (d *serviceDoc) send(ctx context.Context, s *session) error {
	_, err := write(ctx, func(ctx context.Context, key string) (*client.Service, error) {
		return s.PutService(ctx, d.Name, d.ServiceInput, &client.PutServiceParams{Project: s.projectOf(d), IdempotencyKey: key})
	})
	return err
}

// is reports whether a service is as the document says.
func (d *serviceDoc) is(have *client.Service) bool {
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
	return plain(p)
}
