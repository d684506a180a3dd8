package run

import (
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/window"
)

// weekly is a window of Berlin's.
func weekly(t *testing.T, day time.Weekday, at string, length time.Duration) window.Window {
	t.Helper()
	r, err := window.Weekly(day, at, "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	w, err := window.New(r, length)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestPolicyStories tells what each part of a policy does, and what becomes of
// it when something fails.
func TestPolicyStories(t *testing.T) {
	week := 8 * 24 * time.Hour
	around := fleet.DefaultPolicy()
	around.Backup, around.Before, around.After, around.Health = "snapshot", []string{"drain", "stop-shop"}, []string{"start-shop", "undrain"}, []string{"shop-answers"}
	short := map[action.Kind]time.Duration{
		action.Refresh: 5 * time.Second, action.Download: 5 * time.Second, action.Install: time.Minute, action.Reboot: 2 * time.Minute,
		action.Backup: 5 * time.Minute, action.Command: 5 * time.Second, action.Check: 5 * time.Second,
	}
	stories := map[string]func(t *testing.T) *story{
		"commands-around": func(t *testing.T) *story {
			s := newStory(t, around, 2*time.Hour, pending("linux-image-amd64", "curl")...)
			s.host.reboots["linux-image-amd64"] = true
			s.host.breaks["shop-answers"] = 2
			s.play(week)
			return s
		},
		"nothing-pending-with-commands": func(t *testing.T) *story {
			s := newStory(t, around, 2*time.Hour)
			s.play(week)
			return s
		},
		"backup-fails": func(t *testing.T) *story {
			s := newStory(t, around, 2*time.Hour, pending("curl")...)
			s.host.breaks["snapshot"] = 9
			s.play(week)
			return s
		},
		"before-fails": func(t *testing.T) *story {
			s := newStory(t, around, 2*time.Hour, pending("curl")...)
			s.host.breaks["stop-shop"] = 9
			s.play(week)
			return s
		},
		"health-fails": func(t *testing.T) *story {
			s := newStory(t, around, 2*time.Hour, pending("curl")...)
			s.host.breaks["shop-answers"] = 99
			s.play(week)
			return s
		},
		"after-fails": func(t *testing.T) *story {
			s := newStory(t, around, 2*time.Hour, pending("curl")...)
			s.host.breaks["start-shop"] = 99
			s.play(week)
			return s
		},
		"window-ends-between": func(t *testing.T) *story {
			p := around
			p.Backup, p.Batch, p.Expect = "", 1, short
			s := newStory(t, p, 4*time.Minute, pending("a", "b", "c", "d", "e")...)
			s.host.takes[action.Install] = 50 * time.Second
			s.play(3 * week)
			return s
		},
		"health-at-the-end-of-each-window": func(t *testing.T) *story {
			p := fleet.DefaultPolicy()
			p.Health, p.Batch, p.Expect = []string{"shop-answers"}, 1, short
			s := newStory(t, p, 2*time.Minute, pending("a", "b", "c")...)
			s.host.takes[action.Install] = 50 * time.Second
			s.play(3 * week)
			return s
		},
		"a-backup-for-each-window": func(t *testing.T) *story {
			p := around
			p.Batch, p.Expect = 1, short
			s := newStory(t, p, 7*time.Minute, pending("a", "b", "c", "d")...)
			s.host.takes[action.Install] = 50 * time.Second
			s.play(3 * week)
			return s
		},
		"now-and-its-health-fails": func(t *testing.T) *story {
			p := around
			p.Backup, p.Batch, p.Expect = "", 1, short
			s := newStory(t, p, time.Hour, pending("a")...)
			o, err := Now("r2", s.target, p, "user/ada", "customer asked", 2*time.Minute, false, s.now)
			if err != nil {
				t.Fatal(err)
			}
			s.log.Reset()
			r, facts := Open(o, s.now)
			s.run = r
			s.tell(Next{Facts: facts})
			s.host.takes[action.Install] = 5 * time.Minute // it overruns: the window is over when it ends
			s.host.breaks["shop-answers"] = 99
			s.play(time.Hour)
			return s
		},
		"aborted-between": func(t *testing.T) *story {
			p := around
			p.Batch = 1
			s := newStory(t, p, 2*time.Hour, pending("a", "b", "c")...)
			for s.target.Observed.After != "r1/g2-5-install/1" {
				next := s.tick()
				if len(s.orders) == 0 {
					s.now = next.Wake
					continue
				}
				o := s.orders[0]
				s.orders = nil
				s.carryOut(o)
			}
			r, facts, err := s.run.Abort("user/ada", "the shop is open", s.now)
			if err != nil {
				t.Fatal(err)
			}
			s.run = r
			s.tell(Next{Facts: facts})
			s.play(time.Hour)
			return s
		},
		"reboot-always": func(t *testing.T) *story {
			p := fleet.DefaultPolicy()
			p.Reboot = fleet.RebootAlways
			s := newStory(t, p, 2*time.Hour, pending("curl")...)
			s.play(week)
			return s
		},
		"reboot-always-nothing-installed": func(t *testing.T) *story {
			p := fleet.DefaultPolicy()
			p.Reboot = fleet.RebootAlways
			s := newStory(t, p, 2*time.Hour)
			s.play(week)
			return s
		},
		"reboot-in-its-own-window": func(t *testing.T) *story {
			p := around
			p.Reboot, p.RebootWindow = fleet.RebootOwnWindow, weekly(t, time.Tuesday, "03:00", time.Hour)
			s := newStory(t, p, 2*time.Hour, pending("linux-image-amd64", "curl")...)
			s.host.reboots["linux-image-amd64"] = true
			s.play(2 * week)
			return s
		},
		"reboot-window-while-packages-wait": func(t *testing.T) *story {
			p := fleet.DefaultPolicy()
			p.Batch, p.Expect = 1, short
			p.Reboot, p.RebootWindow = fleet.RebootOwnWindow, weekly(t, time.Tuesday, "03:00", time.Hour)
			s := newStory(t, p, 2*time.Minute, pending("linux-image-amd64", "curl", "bash")...)
			s.host.reboots["linux-image-amd64"] = true
			s.host.takes[action.Install] = 55 * time.Second
			s.play(3 * week)
			return s
		},
		"dry-run": func(t *testing.T) *story {
			p := around
			p.DryRun = true
			s := newStory(t, p, 2*time.Hour, pending("linux-image-amd64", "curl")...)
			s.target.Observed.RebootRequired = true
			s.play(week)
			return s
		},
		"held-by-pattern": func(t *testing.T) *story {
			p := fleet.DefaultPolicy()
			p.Hold = []string{"linux-image-*", "mariadb-server"}
			s := newStory(t, p, 2*time.Hour, pending("linux-image-amd64", "mariadb-server", "curl")...)
			s.play(week)
			return s
		},
		"not-due-yet": func(t *testing.T) *story {
			p := fleet.DefaultPolicy()
			p.Within = 60 * 24 * time.Hour
			s := newStory(t, p, 2*time.Hour, pending("curl")...)
			s.target.Seen = fleet.Seen{"curl 2.0": s.now.Add(-24 * time.Hour)}
			s.play(week)
			return s
		},
		"due-now": func(t *testing.T) *story {
			p := fleet.DefaultPolicy()
			p.Within = 7 * 24 * time.Hour
			s := newStory(t, p, 2*time.Hour, pending("curl")...)
			s.target.Seen = fleet.Seen{"curl 2.0": s.now.Add(-20 * 24 * time.Hour)}
			s.play(week)
			return s
		},
		"missed-skip": func(t *testing.T) *story { return missed(t, fleet.MissedSkip) },
		"missed-late": func(t *testing.T) *story { return missed(t, fleet.MissedLate) },
		"missed-ask": func(t *testing.T) *story {
			s := missed(t, fleet.MissedAsk)
			if s.run.State != Paused {
				t.Fatalf("it is %s", s.run.State)
			}
			r, facts, err := s.run.Resume("user/ada", s.now)
			if err != nil {
				t.Fatal(err)
			}
			s.run = r
			s.tell(Next{Facts: facts})
			s.play(week)
			return s
		},
	}
	stories["missed-ask-and-resumed-inside"] = func(t *testing.T) *story {
		s := newStory(t, fleet.DefaultPolicy(), 2*time.Hour, pending("curl")...)
		s.run.Missed = fleet.MissedAsk
		s.host.deaf = true
		s.play(40*time.Minute + time.Hour)
		s.host.deaf = false
		r, facts, err := s.run.Resume("user/ada", s.now)
		if err != nil {
			t.Fatal(err)
		}
		s.run = r
		s.tell(Next{Facts: facts})
		s.play(week)
		return s
	}
	// Nobody ticked for an hour; the server had begun all the same.
	stories["answered-while-nobody-looked"] = func(t *testing.T) *story {
		s := newStory(t, fleet.DefaultPolicy(), 2*time.Hour, pending("curl")...)
		s.run.Missed = fleet.MissedSkip
		for len(s.orders) == 0 {
			s.now = s.tick().Wake
		}
		s.now = saturday.Add(40 * time.Minute)
		s.carryOut(s.orders[0])
		s.orders, s.now = nil, s.now.Add(time.Hour)
		s.play(week)
		return s
	}
	for name, tell := range stories {
		t.Run(name, func(t *testing.T) { tell(t).golden(name) })
	}
}

// missed is a server that is off when its window opens, and comes up an hour later.
func missed(t *testing.T, rule fleet.MissedRule) *story {
	s := newStory(t, fleet.DefaultPolicy(), 2*time.Hour, pending("curl")...)
	s.run.Missed = rule
	s.host.deaf = true
	s.play(40*time.Minute + time.Hour)
	s.host.deaf = false
	s.play(8 * 24 * time.Hour)
	return s
}

// TestGroupStories tells what the members of a redundancy group do for each other.
func TestGroupStories(t *testing.T) {
	ago := func(d time.Duration) fleet.Last {
		return fleet.Last{Run: "r0", Succeeded: true, Finished: saturday.Add(-d)}
	}
	bad := fleet.Last{Run: "r0", Finished: saturday.Add(-time.Hour)}
	canary := fleet.Group{MaxUnavailable: 1, Canaries: []string{"web-0"}, Soak: 48 * time.Hour, StopAfter: 1}
	for name, world := range map[string]struct {
		group  plan.Group
		claims map[string]string
	}{
		"group-canary-never-updated":  {group: plan.Group{Rules: canary, Others: []plan.Member{{Name: "web-0"}}}},
		"group-canary-not-there":      {group: plan.Group{Rules: canary}},
		"group-canary-soaks":          {group: plan.Group{Rules: canary, Others: []plan.Member{{Name: "web-0", Last: ago(24 * time.Hour)}}}},
		"group-canary-proved":         {group: plan.Group{Rules: canary, Others: []plan.Member{{Name: "web-0", Last: ago(72 * time.Hour)}}}},
		"group-canary-long-ago":       {group: plan.Group{Rules: canary, Others: []plan.Member{{Name: "web-0", Last: ago(90 * 24 * time.Hour)}}}},
		"group-stopped":               {group: plan.Group{Rules: fleet.Group{StopAfter: 1}, Others: []plan.Member{{Name: "web-2", Last: bad}}}},
		"group-failure-allowed":       {group: plan.Group{Rules: fleet.Group{StopAfter: 2}, Others: []plan.Member{{Name: "web-2", Last: bad}}}},
		"group-member-down":           {group: plan.Group{Others: []plan.Member{{Name: "web-2", Down: "not heard of"}}}},
		"group-member-down-and-spare": {group: plan.Group{Rules: fleet.Group{MaxUnavailable: 2}, Others: []plan.Member{{Name: "web-2", Down: "not heard of"}}}},
		"group-second-place": {
			group:  plan.Group{Rules: fleet.Group{MaxUnavailable: 2}, Others: []plan.Member{{Name: "web-2", Busy: true, Down: "not heard of"}}},
			claims: map[string]string{"group/shop/web": "r7"},
		},
		"group-full": {
			group:  plan.Group{Rules: fleet.Group{MaxUnavailable: 2}, Others: []plan.Member{{Name: "web-2", Busy: true}, {Name: "web-3", Busy: true}}},
			claims: map[string]string{"group/shop/web": "r7", "group/shop/web#2": "r8"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t, fleet.DefaultPolicy(), 2*time.Hour, pending("curl")...)
			world.group.Self = s.target.Name
			s.world.Group, s.world.Claims = world.group, world.claims
			s.play(time.Hour)
			s.golden(name)
		})
	}
}
