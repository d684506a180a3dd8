package cli

import (
	"context"

	"upkeep/client"
)

// trainDoc has what the API has of a train.
type trainDoc struct {
	Head              `yaml:",inline"`
	Name              string `yaml:"name"`
	client.TrainInput `yaml:",inline"`
}

func (d *trainDoc) name() string { return "train " + d.Name }

func (d *trainDoc) check() error {
	switch {
	case d.Name == "":
		return missing("name")
	case len(d.Environments) == 0:
		return missing("environments")
	}
	return nil
}

func (d *trainDoc) compare(ctx context.Context, s *session, _ []*document) (string, error) {
	have, err := ask(ctx, func(ctx context.Context) (*client.Train, error) {
		return s.GetTrain(ctx, d.Name, &client.GetTrainParams{Project: s.projectOf(d)})
	})
	return verdict(err, func() bool {
		return plainTrain(d.TrainInput) == plainTrain(client.TrainInput{
			Title: have.Title, Environments: have.Environments, Phases: have.Phases, Gates: have.Gates, Catalogue: have.Catalogue,
		})
	})
}

func (d *trainDoc) send(ctx context.Context, s *session) error {
	_, err := write(ctx, func(ctx context.Context, key string) (*client.Train, error) {
		return s.PutTrain(ctx, d.Name, d.TrainInput, &client.PutTrainParams{Project: s.projectOf(d), IdempotencyKey: key})
	})
	return err
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

// releaseDoc has what the API has of a release.
type releaseDoc struct {
	Head                `yaml:",inline"`
	Train               string `yaml:"train"`
	Version             string `yaml:"version"`
	client.ReleaseInput `yaml:",inline"`
}

func (d *releaseDoc) name() string { return "release " + d.Train + "/" + d.Version }

func (d *releaseDoc) check() error { return needs("train", d.Train, "version", d.Version) }

func (d *releaseDoc) compare(ctx context.Context, s *session, _ []*document) (string, error) {
	have, err := ask(ctx, func(ctx context.Context) (*client.Release, error) {
		return s.GetRelease(ctx, d.Train, d.Version, &client.GetReleaseParams{Project: s.projectOf(d)})
	})
	return verdict(err, func() bool {
		return plain(d.ReleaseInput) == plain(client.ReleaseInput{Title: have.Title, Digests: have.Digests, Issues: have.Issues})
	})
}

func (d *releaseDoc) send(ctx context.Context, s *session) error {
	_, err := write(ctx, func(ctx context.Context, key string) (*client.Release, error) {
		return s.PutRelease(ctx, d.Train, d.Version, d.ReleaseInput, &client.PutReleaseParams{Project: s.projectOf(d), IdempotencyKey: key})
	})
	return err
}
