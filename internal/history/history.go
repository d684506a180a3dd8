// Package history holds facts that happened: who did what, when and why.
// Facts are only ever added.
package history

import "time"

// Fact is one thing that happened. It is written in the transaction that made
// it so; there is no other way to write one.
type Fact struct {
	Seq     int64 // given by the store; grows, never reused
	At      time.Time
	Who     string // "engine", "agent/NAME" or "user/NAME"
	Project string
	Target  string // a target's id; may be empty
	Run     string // a run's id; may be empty
	Step    string // a step of the run's plan; may be empty
	Rollout string // a rollout's id; may be empty
	Kind    Kind
	Text    string // one sentence for a person
}

// Kind says what sort of fact it is; part of the public interface.
type Kind string

// The kinds of facts.
const (
	RunOpened     Kind = "run.opened"
	RunWaiting    Kind = "run.waiting"
	RunPaused     Kind = "run.paused"
	RunResumed    Kind = "run.resumed"
	RunAborting   Kind = "run.aborting"
	RunEnded      Kind = "run.ended"
	PlanMade      Kind = "plan.made"
	StepStarted   Kind = "step.started"
	StepEnded     Kind = "step.ended"
	StepApproved  Kind = "step.approved"
	RunHalted     Kind = "run.halted"
	ServiceSet    Kind = "service.changed"
	RunbookSet    Kind = "runbook.changed"
	PackageSet    Kind = "package.changed"
	PackageFailed Kind = "package.failed"
	Rebooted      Kind = "server.rebooted"
	Enrolled      Kind = "server.enrolled"
	TargetChanged Kind = "target.changed"
	ScheduleSet   Kind = "schedule.changed"
	FreezeSet     Kind = "freeze.changed"
	NoticeTold    Kind = "notice.told"
	Missed        Kind = "occurrence.missed"
	TokenSet      Kind = "token.changed"
	TemplateSet   Kind = "policy.changed"
	GroupSet      Kind = "group.changed"
	ChannelSet    Kind = "channel.changed"
	ClaimTaken    Kind = "claim.taken"
	ClaimReleased Kind = "claim.released"

	TrainSet        Kind = "train.changed"
	ReleaseSet      Kind = "release.changed"
	ReleaseVetoed   Kind = "release.vetoed"
	RolloutOpened   Kind = "rollout.opened"
	RolloutWaiting  Kind = "rollout.waiting"
	RolloutPromoted Kind = "rollout.promoted"
	RolloutPhase    Kind = "rollout.phase"
	RolloutGate     Kind = "rollout.gate"
	RolloutSoaking  Kind = "rollout.soaking"
	RolloutFailed   Kind = "rollout.failed"
	RolloutApproved Kind = "rollout.approved"
	RolloutAcked    Kind = "rollout.acknowledged"
	RolloutRetried  Kind = "rollout.retried"
	RolloutPinned   Kind = "rollout.pinned"
	RolloutPaused   Kind = "rollout.paused"
	RolloutResumed  Kind = "rollout.resumed"
	RolloutAborting Kind = "rollout.aborting"
	RolloutEnded    Kind = "rollout.ended"

	ImageReleased   Kind = "image.released"
	ImageActivated  Kind = "image.activated"
	ImageDeprecated Kind = "image.deprecated"
	ImageWithdrawn  Kind = "image.withdrawn"
)
