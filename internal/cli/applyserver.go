package cli

import (
	"context"
	"maps"

	"upkeep/client"
)

type serverDoc struct {
	Head   `yaml:",inline"`
	Name   string            `yaml:"name"`
	Group  string            `yaml:"group"`
	Labels map[string]string `yaml:"labels"`
	Image  string            `yaml:"image"`

	Management   string `yaml:"management"`
	UpdatePolicy string `yaml:"updatePolicy"`
}

func (d *serverDoc) name() string { return "server " + d.Name }

func (d *serverDoc) check() error {
	switch {
	case d.Name == "":
		return missing("name")
	case d.Management != "" && d.Management != string(client.Managed) && d.Management != string(client.Unmanaged):
		return wrongf("management", "must be managed or unmanaged, not %q", clean(d.Management))
	case d.UpdatePolicy != "" && d.Management != string(client.Managed):
		return wrongf("updatePolicy", "goes with management: managed")
	}
	return nil
}

func (d *serverDoc) compare(ctx context.Context, s *session, _ []*document) (string, error) {
	have, err := s.serverIn(ctx, s.projectOf(d), d.Name)
	return verdict(err, func() bool {
		return have.Group == d.Group && maps.Equal(have.Labels, d.Labels) && isImage(have.Image, d.Image)
	})
}

func (d *serverDoc) send(ctx context.Context, s *session) error {
	_, err := write(ctx, func(ctx context.Context, key string) (*client.Server, error) {
		return s.PutServer(ctx, d.Name, client.ServerInput{Group: d.Group, Labels: d.Labels, Image: d.Image},
			&client.PutServerParams{Project: s.projectOf(d), IdempotencyKey: key})
	})
	return err
}

func (s *session) serverIn(ctx context.Context, project, name string) (*client.Server, error) {
	return ask(ctx, func(ctx context.Context) (*client.Server, error) {
		return s.GetServer(ctx, name, &client.GetServerParams{Project: project})
	})
}

// management is what is to be said of who manages a server; nothing if it is so.
type management struct {
	want  string
	early bool
	send  func(context.Context) error
}

func (s *session) management(ctx context.Context, about subject) (m management, err error) {
	d, ok := about.(*serverDoc)
	if !ok || d.Management == "" {
		return m, nil
	}
	have, err := s.serverIn(ctx, s.projectOf(d), d.Name)
	switch {
	case client.Is(err, client.KindNotFound):
	case err != nil || string(have.Management) == d.Management:
		return m, err
	default:
		m.early = have.Management == client.Unmanaged
	}
	m.want = d.Management
	m.send = func(ctx context.Context) error {
		_, err := s.manage(ctx, d.Name, s.projectOf(d), d.Management == string(client.Managed), d.UpdatePolicy)
		return err
	}
	return m, nil
}
