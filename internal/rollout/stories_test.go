package rollout

import (
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/window"
)

const day = 24 * time.Hour

func TestStories(t *testing.T) {
	stories := map[string]func(t *testing.T) *story{
		"to-production": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			s.play(9 * day)
			s.approve("prod1", "bob", "eve")
			s.approve("prod2", "bob")
			s.play(3 * day)
			s.approve("prod2", "eve")
			s.play(20 * day)
			return s
		},
		// The seed's own: what the checks on stage find does not come to production.
		"stage-fails-a-non-functional-check": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			s.approve("prod1", "bob", "eve")
			s.gate = func(env, gate string) action.Result {
				if env == "stage" && gate == "latency" && s.now.After(monday.Add(4*day)) && s.now.Before(monday.Add(5*day)) {
					return action.Result{Outcome: action.Failed, Reason: "p95 over p95 offset 1w is 1.9, want <= 1.2"}
				}
				return pass(env, gate)
			}
			s.play(14 * day)
			s.untouched("prod1", "prod2")
			s.person(s.r.Retry("stage", "user/ada", s.now))
			s.play(6 * day)
			s.untouched("prod1", "prod2")
			s.play(3 * day)
			return s
		},
		"veto-after-three-days-of-soak": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			s.approve("prod1", "bob", "eve")
			s.play(day + 2*time.Hour + 3*day)
			s.veto("user/eve", "a split of RabbitMQ was seen elsewhere with this version")
			s.play(9 * day)
			s.untouched("prod1", "prod2")
			return s
		},
		"veto-while-production-is-worked-at": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			s.approve("prod1", "bob", "eve")
			s.play(8*day + 10*time.Hour)
			s.veto("user/eve", "support has calls")
			s.play(day)
			s.w.Release.Veto = nil
			s.play(2 * day)
			return s
		},
		"phase-fails-in-stage": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			broken := true
			s.fails = func(env, phase string) bool { return broken && env == "stage" && phase == "keystone" }
			s.play(5 * day)
			broken = false
			s.person(s.r.Retry("stage", "user/ada", s.now))
			s.play(day)
			s.untouched("prod1", "prod2")
			return s
		},
		"figure-is-missing": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			s.gate = func(env, gate string) action.Result {
				if env == "dev" && gate == "latency" {
					return action.Result{Outcome: action.Failed, Reason: action.Inconclusive + "p95: no data"}
				}
				return pass(env, gate)
			}
			s.play(3 * day)
			s.untouched("stage")
			s.gate = pass
			s.person(s.r.Decide("dev", "latency", Pass, "nobody uses dev, so there is no figure", "user/bob", s.now))
			s.play(2 * day)
			return s
		},
		"new-digest-during-the-soak": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			s.approve("prod1", "bob", "eve")
			s.play(4 * day)
			s.w.Release.Release.Digests = map[string]string{"keystone": sha("a"), "rabbitmq": sha("c")}
			s.play(9 * day)
			s.untouched("prod1")
			s.play(day)
			s.approve("prod1", "bob", "eve")
			s.play(day)
			return s
		},
		"rollback-of-one-component": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			s.approve("prod1", "bob", "eve")
			s.approve("prod2", "bob", "eve")
			s.play(11 * day)
			s.w.Now = s.now
			s.person(s.r.Pin(s.w, Pinning{Environment: "prod1", Component: "rabbitmq", Digest: sha("9"), Now: true, Reason: "RabbitMQ has split"}, "user/ada"))
			s.play(10 * day)
			// The next build of the release has a RabbitMQ that is good.
			s.w.Release.Release.Digests = map[string]string{"keystone": sha("a"), "rabbitmq": sha("9")}
			s.play(11 * day)
			s.approve("prod2", "bob", "eve")
			s.play(10 * day)
			return s
		},
		"known-issues-and-path": func(t *testing.T) *story {
			release := zed()
			release.Version = "R5"
			release.Issues = []Issue{
				{ID: "gh973", Text: "volumes must be migrated first", Before: "dev"},
				{ID: "rabbitmq-3.9.9", Text: "splits under load", Before: "stage", Veto: true},
			}
			train := region(t)
			train.Environments[0].Runs = "R4"
			s := newStory(t, train, release)
			s.play(time.Hour)
			s.w.Now = s.now
			s.person(s.r.Ack(s.w, "gh973", "", "user/ada"))
			s.play(2 * day)
			if _, _, err := s.r.Ack(s.w, "rabbitmq-3.9.9", "", "user/ada"); err == nil || !strings.Contains(err.Error(), "reason") {
				t.Errorf("a veto is waived without a reason: %v", err)
			}
			s.w.Now = s.now
			s.person(s.r.Ack(s.w, "rabbitmq-3.9.9", "we have 3.9.10", "user/bob"))
			s.play(time.Hour)
			s.untouched("stage") // R3 to R5 is no path
			return s
		},
		"approval-is-void-when-the-plan-changes": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			s.approve("prod1", "bob", "eve")
			book := s.w.Books["cloud/roll"]
			book.MaxUnavailable = 2
			s.w.Books["cloud/roll"] = book
			s.play(12 * day)
			s.untouched("prod1")
			return s
		},
		"freeze-and-budget": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			s.approve("prod1", "bob", "eve")
			s.w.Freezes = map[string][]window.Freeze{"cloud": {{
				ID: "f", Reason: "first of Advent", Span: window.Span{Start: monday.Add(6 * day), End: monday.Add(15 * day)},
			}}}
			s.gate = func(env, gate string) action.Result {
				if gate == "error-budget" && s.now.Before(monday.Add(17*day)) {
					return action.Result{Outcome: action.Failed, Reason: "budget is 0.1, want > 0.3"}
				}
				return pass(env, gate)
			}
			s.play(18 * day)
			return s
		},
		"paused-and-aborted": func(t *testing.T) *story {
			s := newStory(t, region(t), zed())
			s.play(time.Hour)
			s.person(s.r.Pause("user/bob", s.now))
			s.play(time.Hour)
			s.person(s.r.Resume("user/bob", s.now))
			s.play(30 * time.Minute)
			s.person(s.r.Abort("user/bob", "the release is withdrawn", s.now))
			s.play(time.Hour)
			return s
		},
	}
	for name, tell := range stories {
		t.Run(name, func(t *testing.T) { tell(t).golden(t, name) })
	}
}

// What a phase's run waits for is said of the rollout, by the run's own words,
// and is awaited; what the rollout itself has done to the run is not.
func TestTellsWhatItsRunWaitsFor(t *testing.T) {
	s := newStory(t, region(t), zed())
	for len(s.opened) == 0 {
		s.now = s.tick().Wake
	}
	id := s.r.OpenRuns()[0]
	why := func(state run.State, by string, reason plan.Reason) string {
		r := s.runs[id]
		r.State, r.PausedBy, r.Waits = state, by, []plan.Wait{{Step: "g1.first", Reason: reason}}
		s.runs[id] = r
		s.tick()
		w := s.r.Waits[0].Reason
		return w.Words("en", berlin) + "; " + w.Words("de", berlin)
	}
	until := s.now.Add(time.Hour)
	held := plan.Reason{Code: plan.Held, By: "user/eve", Name: "a new uplink", What: "name/cloud/region/dev", Thing: "region/dev", Until: until}
	at := until.In(berlin).Format("2006-01-02 15:04:05 MST")
	under := "run run-1 of phase backup is under way; Lauf run-1 von phase backup ist im Gange"
	for _, c := range []struct {
		state  run.State
		by     string
		reason plan.Reason
		want   string
	}{
		{run.Waiting, "", held, "run run-1 of phase backup waits: user/eve holds region/dev until " + at + " at the latest: a new uplink; " +
			"Lauf run-1 von phase backup wartet: user/eve hält region/dev bis spätestens " + at + ": a new uplink"},
		{run.Paused, "user/bob", plan.Reason{Code: plan.Paused, By: "user/bob"}, "run run-1 of phase backup waits: paused by user/bob; Lauf run-1 von phase backup wartet: angehalten von user/bob"},
		{run.Paused, s.r.who(), plan.Reason{Code: plan.Paused, By: s.r.who()}, under},
		{run.Waiting, "", plan.Reason{Code: plan.Stale, What: "others-up"}, under},
		{run.Working, "", held, under},
	} {
		if got := why(c.state, c.by, c.reason); got != c.want {
			t.Errorf("of a run that is %s by %q for %s it says\n%s, want\n%s", c.state, c.by, c.reason.Code, got, c.want)
		}
	}
	why(run.Waiting, "", held)
	if next := s.tick(); next.Wake.After(until) {
		t.Errorf("it looks again at %v, and what its run waits for is over at %v", next.Wake, until)
	}
}
