package cli

import (
	"context"
	"strings"

	"upkeep/client"
)

type imageDoc struct {
	Head       `yaml:",inline"`
	Channel    string `yaml:"channel"`
	Version    string `yaml:"version"`
	Arch       string `yaml:"arch"`
	Active     bool   `yaml:"active"`
	Name       string `yaml:"name"`
	Distro     string `yaml:"distro"`
	OSVersion  string `yaml:"osVersion"`
	DiskFormat string `yaml:"diskFormat"`
	MinDiskGB  int64  `yaml:"minDiskGB"`
	MinRAMMB   int64  `yaml:"minRAMMB"`
	Checksum   string `yaml:"checksum"`
	Source     string `yaml:"source"`
	Notes      string `yaml:"notes"`
}

func (d *imageDoc) name() string { return "image " + d.ref() }

// ref is how people name the image of a document.
func (d *imageDoc) ref() string {
	return d.Channel + ":" + d.Version + "@" + first(d.Arch, "amd64")
}

func (d *imageDoc) check() error { return needs("channel", d.Channel, "version", d.Version) }

// input is the document as the API takes it.
func (d *imageDoc) input(project string) client.ImageInput {
	return client.ImageInput{
		Project: project, Channel: d.Channel, Version: d.Version, Arch: d.Arch, Name: d.Name, Distro: d.Distro, OSVersion: d.OSVersion,
		DiskFormat: d.DiskFormat, MinDiskGB: d.MinDiskGB, MinRAMMB: d.MinRAMMB, Checksum: d.Checksum, Source: d.Source, Notes: d.Notes,
	}
}

// compare says what is to be done with an image. What it is, never changes;
// whether it is active does. A document without "active" leaves that to whoever
// moves images.
func (d *imageDoc) compare(ctx context.Context, s *session, _ []*document) (string, error) {
	have, err := d.image(ctx, s)
	switch {
	case client.Is(err, client.KindNotFound):
		return created, nil
	case err != nil:
		return "", err
	}
	for _, f := range []struct {
		name string
		same bool
	}{
		{"name", d.Name == have.Name}, {"distro", d.Distro == have.Distro}, {"osVersion", d.OSVersion == have.OSVersion},
		{"diskFormat", first(d.DiskFormat, "qcow2") == have.DiskFormat}, {"minDiskGB", d.MinDiskGB == have.MinDiskGB},
		{"minRAMMB", d.MinRAMMB == have.MinRAMMB}, {"checksum", d.Checksum == have.Checksum},
		{"source", d.Source == have.Source}, {"notes", d.Notes == have.Notes},
	} {
		if !f.same {
			return "", wrongf(f.name, "is not what was released under this version: what is new needs a new version")
		}
	}
	if d.Active && have.State != client.ImageStateActive {
		return changed, nil
	}
	return unchanged, nil
}

func (d *imageDoc) image(ctx context.Context, s *session) (*client.Image, error) {
	return ask(ctx, func(ctx context.Context) (*client.Image, error) {
		return s.GetImage(ctx, d.ref(), &client.GetImageParams{Project: s.projectOf(d)})
	})
}

func (d *imageDoc) send(ctx context.Context, s *session) error {
	i, err := d.image(ctx, s)
	if client.Is(err, client.KindNotFound) {
		i, err = s.release(ctx, d.input(s.projectOf(d)))
	}
	if err == nil && d.Active && i.State != client.ImageStateActive {
		_, err = s.activate(ctx, i)
	}
	return err
}

// isImage reports whether a server is made from what a document says: nothing
// said is right whatever it is, and a channel if it is any image of it.
func isImage(have *client.ServerImage, want string) bool {
	switch {
	case want == "":
		return true
	case have == nil:
		return want == "none"
	}
	channel, _, _ := strings.Cut(have.Ref, ":")
	arch := have.Ref[strings.LastIndexByte(have.Ref, '@'):]
	bare := strings.TrimSuffix(have.Ref, arch)
	return want == have.ID || want == have.Ref || want == bare || want == channel || want == channel+arch
}
