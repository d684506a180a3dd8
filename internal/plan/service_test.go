package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/runbook"
)

// four is a service of four members; the ages of all are known, and c is the oldest.
func four() ServiceView {
	v := ServiceView{ID: "svc", Name: "api", Hosts: map[string]string{}, Manager: "srv-mgr", Service: fleet.Service{Quorum: 2, Manager: "mgr"}}
	for i, name := range []string{"a", "b", "c", "d"} {
		m := fleet.Member{Name: name, Server: name, Labels: map[string]string{"role": "control"}, Born: epoch.Add(time.Duration(i+1) * time.Hour)}
		v.Service.Members = append(v.Service.Members, m)
		v.Hosts[name] = "srv-" + name
	}
	v.Service.Members[2].Born = epoch
	v.Service.Members[1].Labels = map[string]string{"role": "compute"}
	run := func(name string, on runbook.On) runbook.Step {
		return runbook.Step{Name: name, Kind: action.Command, On: on, Command: name}
	}
	v.Book = runbook.Book{
		Name: "b", MaxUnavailable: 2,
		Before: []runbook.Step{run("expand", runbook.First)},
		Prove:  []runbook.Check{{Step: runbook.Step{Name: "others", Kind: action.Check, On: runbook.Others, Command: "up"}}},
		Member: runbook.Member{
			Drain: []runbook.Step{{Name: "move", Kind: action.Command, On: runbook.Manager, Command: "move", With: map[string]string{"host": "{{member.name}}"}}},
			Do:    []runbook.Step{run("do", runbook.Self)},
			Await: []runbook.Step{{Name: "up", Kind: action.Check, On: runbook.Self, Command: "up"}},
			Ready: []runbook.Step{run("back", runbook.Manager)},
		},
		After: []runbook.Step{run("contract", runbook.Last), {Name: "look", Kind: action.Check, On: runbook.Manager, Command: "look"}},
	}
	return v
}

// outline is a plan in a line: where the first and last steps are done, and the
// members, batch by batch.
func outline(root Node) string {
	var words []string
	for _, n := range root.Children {
		if n.Shape == Leaf {
			words = append(words, n.Step.Command+"@"+n.Step.Target)
			continue
		}
		var members []string
		for _, m := range n.Children {
			members = append(members, m.Member)
		}
		words = append(words, fmt.Sprintf("%s/%d,%d", strings.Join(members, "+"), n.Limits.MaxUnavailable, n.Limits.Quorum))
	}
	return strings.Join(words, " ")
}

// TestWhoAndInWhichOrder: which members are maintained, in which batches, and
// where the steps are done that are done once.
func TestWhoAndInWhichOrder(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(*ServiceView)
	}{
		{"oldest first", "expand@srv-c c+a+b+d/2,2 contract@srv-d look@srv-mgr", func(*ServiceView) {}},
		{"one of unknown age", "expand@srv-a a+b+c+d/2,2 contract@srv-d look@srv-mgr", func(v *ServiceView) { v.Service.Members[0].Born = time.Time{} }},
		{"as listed", "expand@srv-a a+b+c+d/2,2 contract@srv-d look@srv-mgr", func(v *ServiceView) { v.Book.Order = runbook.Listed }},
		{"reversed", "expand@srv-d d+c+b+a/2,2 contract@srv-a look@srv-mgr", func(v *ServiceView) { v.Book.Order = runbook.Reversed }},
		{"some only", "expand@srv-c c+a+d/2,2 contract@srv-d look@srv-mgr", func(v *ServiceView) { v.Book.Targets.Labels = map[string]string{"role": "control"} }},
		{"batches", "expand@srv-c c/2,2 a+b/2,2 d/2,2 contract@srv-d look@srv-mgr", func(v *ServiceView) { v.Book.Batches = []int{1, 2} }},
		{"batches, some through", "expand@srv-c b/2,2 d/2,2 contract@srv-d look@srv-mgr", func(v *ServiceView) {
			v.Book.Batches, v.Through = []int{1, 2}, map[string]bool{"c": true, "a": true}
		}},
		// What changes the service as a whole is not done for one member.
		{"one only", "a/2,2 look@srv-mgr", func(v *ServiceView) { v.Only = "a" }},
	} {
		v := four()
		c.change(&v)
		root, _, err := Service(v, 1)
		if err == nil {
			err = Check(Plan{ID: "p", Generation: 1, Root: root}, Plan{})
		}
		if got := outline(root); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

// TestOthersCount: members that the runbook is not for are proved up as ever.
func TestOthersCount(t *testing.T) {
	v := four()
	v.Book.Targets.Labels = map[string]string{"role": "compute"}
	root, proofs, err := Service(v, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "c", "d"} {
		if _, ok := proofs["g1.b.others."+name]; !ok {
			t.Errorf("%s is not proved up before b: %v", name, proofs)
		}
	}
	s, _ := (&Plan{Root: root}).Step("g1.b.move")
	if s.Target != "srv-mgr" || s.At != "mgr" || s.Here || s.With["host"] != "b" || s.Member != "b" {
		t.Errorf("on the manager, for a member: %+v", s)
	}
}

// TestPause: the first member of each batch but the first one waits, and asks
// for its proofs only then.
func TestPause(t *testing.T) {
	v := four()
	v.Book.Batches, v.Book.Pause = []int{1, 2}, 10*time.Minute
	waits := func() (who []string) {
		root, _, err := Service(v, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range root.Steps() {
			if s.Soak > 0 {
				who = append(who, fmt.Sprint(s.Member, s.Soak))
				if s.Needs[0] != FactSoaked+s.ID || len(s.Needs) < 2 {
					t.Errorf("%s needs %q", s.ID, s.Needs)
				}
			}
		}
		return who
	}
	if got := waits(); !slices.Equal(got, []string{"a10m0s", "d10m0s"}) {
		t.Errorf("%v wait", got)
	}
	// What is left of a batch that was begun follows at once.
	v.Through = map[string]bool{"c": true, "a": true}
	if got := waits(); !slices.Equal(got, []string{"d10m0s"}) {
		t.Errorf("%v wait", got)
	}
}

// TestTimeoutOutlastsTheWait: a step that waits itself, for a container to stop
// or for sessions to end, is given up some time after that at the earliest.
func TestTimeoutOutlastsTheWait(t *testing.T) {
	v := four()
	v.Params = map[string]string{"stops": "7m"}
	v.Book.Params = []runbook.Param{{Name: "stops", Type: action.Duration}}
	for name, c := range map[string]struct {
		step runbook.Step
		want time.Duration
	}{
		"nothing is waited for":  {runbook.Step{Kind: action.Unit, With: map[string]string{"unit": "a.service", "state": "stopped"}, Estimate: time.Second}, time.Minute},
		"longer by its estimate": {runbook.Step{Kind: action.Container, With: map[string]string{"container": "a", "do": "stop", "wait": "1s"}, Estimate: time.Minute}, 4 * time.Minute},
		"a container may stop":   {runbook.Step{Kind: action.Container, With: map[string]string{"container": "a", "do": "stop", "wait": "5m"}, Estimate: time.Second}, 6 * time.Minute},
		"as a parameter says":    {runbook.Step{Kind: action.Container, With: map[string]string{"container": "a", "do": "stop", "wait": "{{param.stops}}"}, Estimate: time.Second}, 8 * time.Minute},
		"sessions may end":       {runbook.Step{Kind: action.Balance, With: map[string]string{"state": "drain", "sessions": "0", "wait": "3m"}, Estimate: time.Second}, 4 * time.Minute},
		"a command's own value":  {runbook.Step{Kind: action.Command, Command: "stop", With: map[string]string{"wait": "1h"}, Estimate: time.Second}, time.Minute},
		"a playbook's own value": {runbook.Step{Kind: action.Playbook, With: map[string]string{"playbook": "stop", "wait": "1h"}, Estimate: time.Second}, time.Minute},
		"it is said":             {runbook.Step{Kind: action.Unit, With: map[string]string{"unit": "a.service", "state": "stopped"}, Timeout: 9 * time.Minute}, 9 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			c.step.Name = "stop"
			if c.step.Kind.OnHost() {
				c.step.On = runbook.Self
			}
			v.Book.Member.Do = []runbook.Step{c.step}
			root, _, err := Service(v, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range root.Steps() {
				if s.Action == c.step.Kind && strings.Contains(s.ID, ".stop") && s.Timeout != c.want {
					t.Errorf("%s is given up after %v, want %v", s.ID, s.Timeout, c.want)
				}
			}
		})
	}
}

func TestServiceRefuses(t *testing.T) {
	for _, c := range []struct {
		field, says string
		change      func(*ServiceView)
	}{
		{"manager", "names as its manager", func(v *ServiceView) { v.Manager = "" }},
		{"members.c.server", "done on its host", func(v *ServiceView) { delete(v.Hosts, "c") }},
		{"members", "none of them has the labels", func(v *ServiceView) { v.Book.Targets.Labels = map[string]string{"role": "x"} }},
		{"members", "the ages (born) of some", func(v *ServiceView) { v.Book.Order, v.Service.Members[3].Born = runbook.Oldest, time.Time{} }},
		{"only", `"x" is no member`, func(v *ServiceView) { v.Only = "x" }},
		{"only", `"b" is no member`, func(v *ServiceView) { v.Only, v.Book.Targets.Labels = "b", map[string]string{"role": "control"} }},
	} {
		v := four()
		c.change(&v)
		_, _, err := Service(v, 1)
		var f *fault.Error
		if !errors.As(err, &f) || f.Field != c.field || !strings.Contains(f.Reason, c.says) {
			t.Errorf("%s, %q: %v", c.field, c.says, err)
		}
	}
}
