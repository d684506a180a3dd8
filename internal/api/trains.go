package api

import (
	"context"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
)

type (
	listTrainsIn  struct{ InProject }
	listTrainsOut struct{ Body TrainList }
	TrainPath     struct {
		Train string `path:"train" maxLength:"63" doc:"The train's name." example:"scs"`
		InProject
	}
	trainOut   struct{ Body Train }
	putTrainIn struct {
		TrainPath
		Keyed
		Body TrainInput
	}
	putTrainOut struct {
		Status int
		Body   Train
	}
	deleteTrainIn struct {
		TrainPath
		Keyed
	}
	ReleasePath struct {
		TrainPath
		Version string `path:"version" maxLength:"63" doc:"The release's version." example:"R4"`
	}
	listReleasesOut struct{ Body ReleaseList }
	releaseOut      struct{ Body Release }
	putReleaseIn    struct {
		ReleasePath
		Keyed
		Body ReleaseInput
	}
	putReleaseOut struct {
		Status int
		Body   Release
	}
	deleteReleaseIn struct {
		ReleasePath
		Keyed
	}
	vetoIn struct {
		ReleasePath
		Keyed
		Body VetoInput
	}
)

// VetoInput is a person's word about a release.
type VetoInput struct {
	Reason string `json:"reason" minLength:"1" maxLength:"1024" doc:"Why; the history keeps it." example:"RabbitMQ splits under load"`
}

func (d *door) trains() {
	register(d, op{
		id: "listTrains", call: "GET /v1/trains", scope: identity.Read, tag: "rollouts",
		summary: "List trains", description: "Lists the trains of a project by name.",
	}, d.listTrains)
	register(d, op{
		id: "putTrain", call: "PUT /v1/trains/{train}", scope: identity.Write, tag: "rollouts",
		summary: "Create or replace a train",
		description: "Makes a train under a name, or replaces it whole. A rollout that is open follows it: what was approved of another plan is approved no more. " +
			"It takes the right to run things in every project that it works in.",
		made: "It was created.",
	}, d.putTrain)
	register(d, op{
		id: "getTrain", call: "GET /v1/trains/{train}", scope: identity.Read, tag: "rollouts",
		summary: "Show a train", description: "Shows a train, with what its environments have.",
	}, d.getTrain)
	register(d, op{
		id: "deleteTrain", call: "DELETE /v1/trains/{train}", scope: identity.Write, tag: "rollouts",
		summary: "Remove a train", description: "Removes a train with its releases. It is a conflict while a rollout is open.",
	}, d.deleteTrain)
	register(d, op{
		id: "listReleases", call: "GET /v1/trains/{train}/releases", scope: identity.Read, tag: "rollouts",
		summary: "List releases", description: "Lists the releases of a train by version.",
	}, d.listReleases)
	register(d, op{
		id: "putRelease", call: "PUT /v1/trains/{train}/releases/{version}", scope: identity.Write, tag: "rollouts",
		summary: "Create or replace a release",
		description: "Makes a release under a version, or replaces it whole; a veto stays. A rollout that is open follows it: " +
			"where a digest has changed it is brought in anew, and soaks anew.",
		made: "It was created.",
	}, d.putRelease)
	register(d, op{
		id: "getRelease", call: "GET /v1/trains/{train}/releases/{version}", scope: identity.Read, tag: "rollouts",
		summary: "Show a release", description: "Shows a release.",
	}, d.getRelease)
	register(d, op{
		id: "deleteRelease", call: "DELETE /v1/trains/{train}/releases/{version}", scope: identity.Write, tag: "rollouts",
		summary: "Remove a release", description: "Removes a release. It is a conflict while it is on its way.",
	}, d.deleteRelease)
	register(d, op{
		id: "vetoRelease", call: "POST /v1/trains/{train}/releases/{version}/veto", scope: identity.Run, tag: "rollouts",
		summary: "Veto a release",
		description: "Stops a release in all environments: its runs are paused, which brings members that are out back, and nothing more is begun. " +
			"A pin, which takes a component back, still goes.",
	}, d.vetoRelease)
	register(d, op{
		id: "liftVeto", call: "POST /v1/trains/{train}/releases/{version}/lift-veto", scope: identity.Run, tag: "rollouts",
		summary: "Lift a veto", description: "Lets a release go on against which there was a veto.",
	}, d.liftVeto)
}

func (d *door) listTrains(ctx context.Context, c desk.Caller, in *listTrainsIn) (*listTrainsOut, error) {
	all, err := d.desk.Trains(ctx, c, in.Project)
	if err != nil {
		return nil, err
	}
	return &listTrainsOut{TrainList{list(all, trainOf)}}, nil
}

func (d *door) putTrain(ctx context.Context, c desk.Caller, in *putTrainIn) (*putTrainOut, error) {
	t, err := in.Body.train(in.Train)
	if err != nil {
		return nil, err
	}
	s, made, err := d.desk.PutTrain(ctx, c, in.Project, t)
	if err != nil {
		return nil, err
	}
	return &putTrainOut{created(made), trainOf(s)}, nil
}

func (d *door) getTrain(ctx context.Context, c desk.Caller, in *TrainPath) (*trainOut, error) {
	s, err := d.desk.Train(ctx, c, in.Project, in.Train)
	if err != nil {
		return nil, err
	}
	return &trainOut{trainOf(s)}, nil
}

func (d *door) deleteTrain(ctx context.Context, c desk.Caller, in *deleteTrainIn) (*done, error) {
	return nil, d.desk.DeleteTrain(ctx, c, in.Project, in.Train)
}

func (d *door) listReleases(ctx context.Context, c desk.Caller, in *TrainPath) (*listReleasesOut, error) {
	all, err := d.desk.TrainReleases(ctx, c, in.Project, in.Train)
	if err != nil {
		return nil, err
	}
	return &listReleasesOut{ReleaseList{list(all, releaseOf)}}, nil
}

func (d *door) putRelease(ctx context.Context, c desk.Caller, in *putReleaseIn) (*putReleaseOut, error) {
	s, made, err := d.desk.PutTrainRelease(ctx, c, in.Project, in.Body.release(in.Train, in.Version))
	if err != nil {
		return nil, err
	}
	return &putReleaseOut{created(made), releaseOf(s)}, nil
}

func (d *door) getRelease(ctx context.Context, c desk.Caller, in *ReleasePath) (*releaseOut, error) {
	s, err := d.desk.TrainRelease(ctx, c, in.Project, in.Train, in.Version)
	if err != nil {
		return nil, err
	}
	return &releaseOut{releaseOf(s)}, nil
}

func (d *door) deleteRelease(ctx context.Context, c desk.Caller, in *deleteReleaseIn) (*done, error) {
	return nil, d.desk.DeleteTrainRelease(ctx, c, in.Project, in.Train, in.Version)
}

func (d *door) vetoRelease(ctx context.Context, c desk.Caller, in *vetoIn) (*releaseOut, error) {
	return d.veto(ctx, c, in, false)
}

func (d *door) liftVeto(ctx context.Context, c desk.Caller, in *vetoIn) (*releaseOut, error) {
	return d.veto(ctx, c, in, true)
}

func (d *door) veto(ctx context.Context, c desk.Caller, in *vetoIn, lift bool) (*releaseOut, error) {
	s, err := d.desk.Veto(ctx, c, in.Project, in.Train, in.Version, in.Body.Reason, lift)
	if err != nil {
		return nil, err
	}
	return &releaseOut{releaseOf(s)}, nil
}
