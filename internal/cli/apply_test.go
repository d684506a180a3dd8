package cli

import (
	"context"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"upkeep/client"
)

// TestAnyDifferenceIsAChange changes one thing at a time: what is not noticed
// would never be applied.
func TestAnyDifferenceIsAChange(t *testing.T) {
	full := func() *scheduleDoc {
		return &scheduleDoc{RRule: "R", Duration: "2h", Policy: &policyDoc{
			Scope: "security", Hold: []string{"a", "b"}, Reboot: "never", Batch: 10, Prepare: "1h", NoticeLead: "72h", Expect: map[string]string{"reboot": "3m"},
		}}
	}
	have := &client.Schedule{RRule: "R", Duration: "2h", Enabled: true, Policy: client.Policy{
		Scope: "security", Hold: []string{"a", "b"}, Reboot: "never", Batch: 10, Prepare: "1h", NoticeLead: "72h", Expect: map[string]string{"reboot": "3m"},
	}}
	if !full().is(have) {
		t.Fatal("the same is said to differ")
	}
	off := false
	for name, change := range map[string]func(*scheduleDoc){
		"rrule": func(s *scheduleDoc) { s.RRule = "S" }, "duration": func(s *scheduleDoc) { s.Duration = "3h" }, "enabled": func(s *scheduleDoc) { s.Enabled = &off },
		"policy": func(s *scheduleDoc) { s.Policy = nil }, "scope": func(s *scheduleDoc) { s.Policy.Scope = "" }, "hold": func(s *scheduleDoc) { s.Policy.Hold = []string{"a"} },
		"reboot": func(s *scheduleDoc) { s.Policy.Reboot = "" }, "batch": func(s *scheduleDoc) { s.Policy.Batch = 0 }, "prepare": func(s *scheduleDoc) { s.Policy.Prepare = "" },
		"noticeLead": func(s *scheduleDoc) { s.Policy.NoticeLead = "71h" }, "expect": func(s *scheduleDoc) { s.Policy.Expect["reboot"] = "4m" },
		"another expect": func(s *scheduleDoc) { s.Policy.Expect = map[string]string{"install": "3m"} }, "no expect": func(s *scheduleDoc) { s.Policy.Expect = nil },
	} {
		s := full()
		if change(s); s.is(have) {
			t.Errorf("a change of %s is not noticed", name)
		}
	}
	plain := &client.Schedule{RRule: "R", Duration: "2h", Enabled: true, Policy: client.Policy{Scope: "all", Reboot: "if-required", Batch: 25}}
	if s := (&scheduleDoc{RRule: "R", Duration: "120m"}); !s.is(plain) {
		t.Error("what is left out is not taken to be as usual")
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
