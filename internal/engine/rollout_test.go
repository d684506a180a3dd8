package engine

import (
	"testing"
	"time"

	"upkeep/internal/plan"
	"upkeep/internal/run"
)

// A rollout is told at once when its run waits for something else: people look
// at the rollout for what it waits for.
func TestRolloutIsToldWhatItsRunWaitsFor(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	waits := func(why plan.Reason) run.Run {
		return run.Run{Rollout: "r", State: run.Waiting, Waits: []plan.Wait{{Step: "s", Reason: why}}}
	}
	held := plan.Reason{Code: plan.Held, By: "user/eve", What: "region/prod", Until: now}
	for name, c := range map[string]struct {
		moved func(*plan.Reason)
		want  bool
	}{
		"nothing has changed":    {func(*plan.Reason) {}, false},
		"the zone is another":    {func(r *plan.Reason) { r.Until = now.In(time.FixedZone("CET", 3600)) }, false},
		"another reason":         {func(r *plan.Reason) { r.Code = plan.Claimed }, true},
		"another holder":         {func(r *plan.Reason) { r.By = "user/bob" }, true},
		"another thing":          {func(r *plan.Reason) { r.What = "service/api" }, true},
		"it takes longer":        {func(r *plan.Reason) { r.Until = now.Add(time.Hour) }, true},
		"it is held up no more":  {func(r *plan.Reason) { *r = plan.Reason{} }, true},
		"it looks again at once": {func(r *plan.Reason) { r.Code, r.By, r.What, r.Until = plan.Stale, "", "", time.Time{} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			next := held
			c.moved(&next)
			if got := tells(waits(held), waits(next)); got != c.want {
				t.Errorf("the rollout is told: %v, want %v", got, c.want)
			}
		})
	}
}
