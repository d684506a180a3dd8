package cli

import (
	"context"
	"strings"

	"upkeep/client"
)

// ref is how people name the image of a document.
func (d *imageDoc) ref() string {
	return d.Channel + ":" + d.Version + "@" + first(d.Arch, "amd64")
}

func (d *document) checkImage() error {
	for _, f := range []struct{ field, value string }{{"channel", d.image.Channel}, {"version", d.image.Version}} {
		if f.value == "" {
			return d.missing(f.field)
		}
	}
	return nil
}

// input is the document as the API takes it.
func (d *imageDoc) input(project string) client.ImageInput {
	return client.ImageInput{
		Project: project, Channel: d.Channel, Version: d.Version, Arch: d.Arch, Name: d.Name, Distro: d.Distro, OSVersion: d.OSVersion,
		DiskFormat: d.DiskFormat, MinDiskGB: d.MinDiskGB, MinRAMMB: d.MinRAMMB, Checksum: d.Checksum, Source: d.Source, Notes: d.Notes,
	}
}

// compareImage says what is to be done with an image. What it is, never
// changes; whether it is active does. A document without "active" leaves that
// to whoever moves images.
func (s *session) compareImage(ctx context.Context, d *document) (string, error) {
	have, err := s.imageOf(ctx, d)
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
		{"name", d.image.Name == have.Name}, {"distro", d.image.Distro == have.Distro}, {"osVersion", d.image.OSVersion == have.OSVersion},
		{"diskFormat", first(d.image.DiskFormat, "qcow2") == have.DiskFormat}, {"minDiskGB", d.image.MinDiskGB == have.MinDiskGB},
		{"minRAMMB", d.image.MinRAMMB == have.MinRAMMB}, {"checksum", d.image.Checksum == have.Checksum},
		{"source", d.image.Source == have.Source}, {"notes", d.image.Notes == have.Notes},
	} {
		if !f.same {
			return "", d.blame(f.name, "is not what was released under this version: what is new needs a new version")
		}
	}
	if d.image.Active && have.State != client.ImageStateActive {
		return changed, nil
	}
	return unchanged, nil
}

func (s *session) imageOf(ctx context.Context, d *document) (*client.Image, error) {
	return ask(ctx, func(ctx context.Context) (*client.Image, error) {
		return s.GetImage(ctx, d.image.ref(), &client.GetImageParams{Project: s.projectOf(d.image.Project)})
	})
}

func (s *session) sendImage(ctx context.Context, d *document) error {
	i, err := s.imageOf(ctx, d)
	if client.Is(err, client.KindNotFound) {
		i, err = s.release(ctx, d.image.input(s.projectOf(d.image.Project)))
	}
	if err == nil && d.image.Active && i.State != client.ImageStateActive {
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
