package cli

import (
	"context"
	"encoding/json"

	"upkeep/client"
)

// Trains and releases are written in files as the API has them.

// TrainDoc is a train in a file. The YAML library embeds only what is exported.
type TrainDoc struct {
	Kind              string `yaml:"kind"`
	Project           string `yaml:"project"`
	Name              string `yaml:"name"`
	client.TrainInput `yaml:",inline"`
}

// ReleaseDoc is a release in a file.
type ReleaseDoc struct {
	Kind                string `yaml:"kind"`
	Project             string `yaml:"project"`
	Train               string `yaml:"train"`
	Version             string `yaml:"version"`
	client.ReleaseInput `yaml:",inline"`
}

func (d *document) checkTrain() error {
	switch {
	case d.train.Name == "":
		return d.missing("name")
	case len(d.train.Environments) == 0:
		return d.missing("environments")
	}
	return nil
}

func (d *document) checkRelease() error {
	switch {
	case d.release.Train == "":
		return d.missing("train")
	case d.release.Version == "":
		return d.missing("version")
	}
	return nil
}

func (s *session) compareTrain(ctx context.Context, d *document) (string, error) {
	have, err := ask(ctx, func(ctx context.Context) (*client.Train, error) {
		return s.GetTrain(ctx, d.train.Name, &client.GetTrainParams{Project: s.projectOf(d.train.Project)})
	})
	return verdict(err, func() bool {
		return plainTrain(d.train.TrainInput) == plainTrain(client.TrainInput{
			Title: have.Title, Environments: have.Environments, Phases: have.Phases, Gates: have.Gates, Catalogue: have.Catalogue,
		})
	})
}

func (s *session) compareRelease(ctx context.Context, d *document) (string, error) {
	have, err := ask(ctx, func(ctx context.Context) (*client.Release, error) {
		return s.GetRelease(ctx, d.release.Train, d.release.Version, &client.GetReleaseParams{Project: s.projectOf(d.release.Project)})
	})
	return verdict(err, func() bool {
		return plain(d.release.ReleaseInput) == plain(client.ReleaseInput{Title: have.Title, Digests: have.Digests, Issues: have.Issues})
	})
}

// plainTrain is a train as text, the same for all ways to write it.
func plainTrain(t client.TrainInput) string {
	gates := func(in []client.TrainGate) (out []client.TrainGate) {
		for _, g := range in {
			g.Every = plainLength(g.Every)
			out = append(out, g)
		}
		return out
	}
	t.Gates = gates(t.Gates)
	var environments []client.TrainEnvironment
	for _, e := range t.Environments {
		e.Soak, e.Window.Duration, e.Gates = plainLength(e.Soak), plainLength(e.Window.Duration), gates(e.Gates)
		environments = append(environments, e)
	}
	t.Environments = environments
	return plain(t)
}

// plain is what is sent, as text.
func plain(what any) string {
	text, err := json.Marshal(what)
	if err != nil {
		return err.Error() // not possible: these are texts and numbers
	}
	return string(text)
}
