package cli

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"upkeep/client"
)

// TestAnyDifferenceIsAChange changes one thing at a time: what is not noticed
// would never be applied.
func TestAnyDifferenceIsAChange(t *testing.T) {
	full := func() *scheduleDoc {
		return &scheduleDoc{Missed: "ask", WindowDoc: WindowDoc{RRule: "R", Duration: "2h"}, Policy: fullPolicyDoc()}
	}
	have := &client.Schedule{RRule: "R", Duration: "2h", Enabled: true, Missed: client.Ask, Policy: *fullPolicyDoc().input()}
	if !full().is(have, "") {
		t.Fatal("the same is said to differ")
	}
	off := false
	for name, change := range map[string]func(*scheduleDoc){
		"rrule": func(s *scheduleDoc) { s.RRule = "S" }, "duration": func(s *scheduleDoc) { s.Duration = "3h" }, "enabled": func(s *scheduleDoc) { s.Enabled = &off },
		"missed": func(s *scheduleDoc) { s.Missed = "" }, "updatePolicy": func(s *scheduleDoc) { s.UpdatePolicy = "p" },
		"policy": func(s *scheduleDoc) { s.Policy = nil }, "another expect": func(s *scheduleDoc) { s.Policy.Expect = map[string]string{"install": "3m"} },
		"expect": func(s *scheduleDoc) { s.Policy.Expect["reboot"] = "4m" }, "hold": func(s *scheduleDoc) { s.Policy.Hold = []string{"a"} },
		"reboot window": func(s *scheduleDoc) { s.Policy.RebootWindow.RRule = "S" }, "its length": func(s *scheduleDoc) { s.Policy.RebootWindow.Duration = "2h" },
	} {
		s := full()
		if change(s); s.is(have, "") {
			t.Errorf("a change of %s is not noticed", name)
		}
	}
	for i := range reflect.TypeFor[policyDoc]().NumField() {
		s := full()
		if reflect.ValueOf(s.Policy).Elem().Field(i).SetZero(); s.is(have, "") {
			t.Errorf("that %s is no longer said is not noticed", reflect.TypeFor[policyDoc]().Field(i).Name)
		}
	}
	plain := &client.Schedule{RRule: "R", Duration: "2h", Enabled: true, Missed: client.Late, Policy: client.Policy{Scope: "all", Reboot: "if-required", Batch: 25}}
	if s := (&scheduleDoc{WindowDoc: WindowDoc{RRule: "R", Duration: "120m"}}); !s.is(plain, "") {
		t.Error("what is left out is not taken to be as usual")
	}
	have.UpdatePolicy = "id"
	from := &scheduleDoc{UpdatePolicy: "p"}
	if !from.is(have, "id") || from.is(have, "other") || from.is(have, "") {
		t.Error("what is left out is not taken from the update policy")
	}
	if from.Duration = "3h"; from.is(have, "id") {
		t.Error("what is said beside the update policy is not looked at")
	}
}

// fullPolicyDoc says something of everything.
func fullPolicyDoc() *policyDoc {
	return &policyDoc{
		Scope: "security", Hold: []string{"a", "b"}, Reboot: "own-window", RebootWindow: &WindowDoc{RRule: "R", Duration: "1h"},
		Batch: 10, Prepare: "1h", NoticeLead: "72h", DryRun: true, Within: "14d", Backup: "b", Before: []string{"c"}, After: []string{"d"},
		Health: []string{"e"}, Expect: map[string]string{"reboot": "3m"},
	}
}

func TestAnyDifferenceOfAPolicyOrAGroupIsAChange(t *testing.T) {
	off := false
	full := func() *updatePolicyDoc {
		return &updatePolicyDoc{Description: "d", Default: true, Missed: "skip", WindowDoc: WindowDoc{RRule: "R", Duration: "2h"}, Policy: fullPolicyDoc()}
	}
	have := client.UpdatePolicy{Description: "d", Default: true, Enabled: true, Missed: client.Skip, RRule: "R", Duration: "2h", Policy: *fullPolicyDoc().input()}
	if !full().is(have) {
		t.Fatal("the same is said to differ")
	}
	for name, change := range map[string]func(*updatePolicyDoc){
		"description": func(p *updatePolicyDoc) { p.Description = "" }, "default": func(p *updatePolicyDoc) { p.Default = false },
		"enabled": func(p *updatePolicyDoc) { p.Enabled = &off }, "spread": func(p *updatePolicyDoc) { p.Spread = true },
		"rrule": func(p *updatePolicyDoc) { p.RRule = "S" }, "duration": func(p *updatePolicyDoc) { p.Duration = "3h" },
		"missed": func(p *updatePolicyDoc) { p.Missed = "" }, "policy": func(p *updatePolicyDoc) { p.Policy = nil },
	} {
		p := full()
		if change(p); p.is(have) {
			t.Errorf("a change of a policy's %s is not noticed", name)
		}
	}
	have.Spread, have.Zone, have.RRule = true, "Europe/Berlin", ""
	spread := full()
	spread.Spread, spread.Zone, spread.RRule = true, "Europe/Berlin", ""
	if !spread.is(have) {
		t.Error("the same spread is said to differ")
	}
	if spread.Zone = "UTC"; spread.is(have) {
		t.Error("another zone is not noticed")
	}
	group := func() *groupDoc { return &groupDoc{Canaries: []string{"a"}, Soak: "1d", StopAfter: 2} }
	is := &client.Group{MaxUnavailable: 1, Canaries: []string{"a"}, Soak: "24h", StopAfter: 2}
	if !group().is(is) {
		t.Fatal("the same group is said to differ")
	}
	for name, change := range map[string]func(*groupDoc){
		"maxUnavailable": func(g *groupDoc) { g.MaxUnavailable = 2 }, "canaries": func(g *groupDoc) { g.Canaries = nil },
		"soak": func(g *groupDoc) { g.Soak = "2d" }, "stopAfter": func(g *groupDoc) { g.StopAfter = 0 },
	} {
		g := group()
		if change(g); g.is(is) {
			t.Errorf("a change of a group's %s is not noticed", name)
		}
	}
}

// TestExitCodesStay: scripts rely on the numbers.
func TestExitCodesStay(t *testing.T) {
	got := []int{exitOK, exitFailed, exitUsage, exitNotFound, exitDenied, exitConflict, exitUnavailable, exitInvalid, badEnds[client.Failed], badEnds[client.Aborted], exitForecast, exitTimeout, exitInterrupted}
	for i, want := range []int{0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 124, 130} {
		if got[i] != want {
			t.Errorf("code %d of the list is %d, want %d", i, got[i], want)
		}
	}
}

func TestOnlyWhatWatchesIsWithoutEnd(t *testing.T) {
	left := func(args ...string) (time.Duration, bool) {
		a := &app{getenv: func(string) string { return "" }, now: time.Now, local: time.UTC}
		root := a.root(nil)
		cmd, _, err := root.Find(args)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		cmd.SetContext(t.Context())
		var deadline time.Time
		var limited bool
		err = a.timed(cmd, nil, func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.within(cmd.Context(), cmd.Name() == "watch")
			defer cancel()
			deadline, limited = ctx.Deadline()
			return context.Cause(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(deadline), limited
	}
	for _, c := range []struct {
		args    []string
		most    time.Duration
		limited bool
	}{
		{[]string{"whoami"}, defaultTimeout, true}, {[]string{"history"}, defaultTimeout, true}, {[]string{"watch"}, 0, false},
		{[]string{"watch", "--timeout", "5s"}, 5 * time.Second, true}, {[]string{"whoami", "--timeout", "5s"}, 5 * time.Second, true},
	} {
		d, limited := left(c.args...)
		if limited != c.limited || limited && (d > c.most || d < c.most-4*time.Second) {
			t.Errorf("%v: limited %v, %v left; want %v, about %v", c.args, limited, d, c.limited, c.most)
		}
	}
}
