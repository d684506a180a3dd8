package runbook_test

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/balancer"
	"upkeep/internal/fault"
	"upkeep/internal/probe"
	"upkeep/internal/runbook"
)

// whole is a runbook with something in every phase.
func whole() runbook.Book {
	look := runbook.Step{Name: "up", Kind: action.HTTP, With: map[string]string{"url": "{{member.url}}{{ param.path }}"}}
	named := func(name string) runbook.Step { l := look; l.Name = name; return l }
	set := func(name, state string) runbook.Step {
		return runbook.Step{Name: name, Kind: action.Balance, On: runbook.Proxies, With: map[string]string{
			"proxy": "{{proxy.socket}}", "backend": "{{service.backend}}", "server": "{{member.name}}", "state": state,
		}}
	}
	all := named("every")
	all.On = runbook.All
	others := named("others")
	others.On = runbook.Others
	return runbook.Book{
		Name:   "restart",
		Budget: 5 * time.Minute,
		Params: []runbook.Param{{Name: "path", Type: action.String, Default: "/health", Pattern: "/[a-z]*"}},
		Prove:  []runbook.Check{{Step: others, Settle: time.Second}},
		Before: []runbook.Step{all},
		Member: runbook.Member{
			Drain: []runbook.Step{set("drain", "drain")},
			Do:    []runbook.Step{{Name: "restart", Kind: action.Command, On: runbook.Self, Command: "restart-api"}},
			Await: []runbook.Step{look},
			Ready: []runbook.Step{set("ready", "ready")},
		},
		After: []runbook.Step{{Name: "contract", Kind: action.Command, On: runbook.All, Command: "contract", NoReturn: true, Soak: time.Hour}},
	}
}

// TestValidateBlamesTheField: each row spoils a good runbook in one place.
func TestValidateBlamesTheField(t *testing.T) {
	if err := whole().Validate(); err != nil {
		t.Fatal(err)
	}
	with := func(s *runbook.Step, key, value string) {
		s.With = maps.Clone(s.With)
		if s.With == nil {
			s.With = map[string]string{}
		}
		s.With[key] = value
	}
	for _, c := range []struct {
		field, says string
		spoil       func(*runbook.Book)
	}{
		{"name", "no name", func(b *runbook.Book) { b.Name = "Re start" }},
		{"errorBudget.unanswered", "is needed", func(b *runbook.Book) { b.ErrorBudget.Over = time.Minute }},
		{"errorBudget.unanswered", `not "1"`, func(b *runbook.Book) { b.ErrorBudget.Unanswered = "1" }},
		{"errorBudget.slow", `not "101%"`, func(b *runbook.Book) { b.ErrorBudget.Slow = "101%" }},
		{"errorBudget.over", "10s to 1h", func(b *runbook.Book) { b.ErrorBudget = runbook.ErrorBudget{Slow: "0%", Over: time.Second} }},
		{"budget", "24h", func(b *runbook.Book) { b.Budget = -1 }},
		{"budget", "is needed with member.drain", func(b *runbook.Book) { b.Budget = 0 }},
		{"maxUnavailable", "at least 1", func(b *runbook.Book) { b.MaxUnavailable = -1 }},
		{"member.do", "does nothing", func(b *runbook.Book) { b.Member.Do = nil }},
		{"member.await", "prove that a member is ready", func(b *runbook.Book) { b.Member.Await = nil }},
		{"member.ready", "put back", func(b *runbook.Book) { b.Member.Ready = nil }},
		{"params[0].name", "no name", func(b *runbook.Book) { b.Params[0].Name = "Path" }},
		{"params[1].name", "stands twice", func(b *runbook.Book) { b.Params = append(b.Params, b.Params[0]) }},
		{"params[1]", "no step uses {{param.image}}", func(b *runbook.Book) { b.Params = append(b.Params, runbook.Param{Name: "image", Type: action.Digest}) }},
		{"params[0].type", "must be string", func(b *runbook.Book) { b.Params[0].Type = "text" }},
		{"params[0].pattern", "strings only", func(b *runbook.Book) { b.Params[0].Type = action.Integer }},
		{"params[0].pattern", "missing closing", func(b *runbook.Book) { b.Params[0].Pattern = "(" }},
		{"params[0].default", "text that matches", func(b *runbook.Book) { b.Params[0].Default = "health" }},
		{"params[0].default", "without required", func(b *runbook.Book) { b.Params[0].Required = true }},
		{"prove[0].attempts", "asked again", func(b *runbook.Book) { b.Prove[0].Attempts = 3 }},
		{"prove[0].soak", "asked again", func(b *runbook.Book) { b.Prove[0].Soak = 3 }},
		{"prove[0].fresh", "0 to 24h", func(b *runbook.Book) { b.Prove[0].Fresh = -1 }},
		{"prove[0].settle", "0 to 24h", func(b *runbook.Book) { b.Prove[0].Settle = -1 }},
		{"prove[0].kind", "only what looks", func(b *runbook.Book) { b.Prove[0].Step = b.Member.Drain[0] }},
		{"before[0].on", "no member here", func(b *runbook.Book) { b.Before[0].On = runbook.Others }},
		{"before[0].with.url", "no member here", func(b *runbook.Book) { b.Before[0].On = runbook.Here }},
		{"before[0].with.url", "no member here", func(b *runbook.Book) { b.Before[0].On = runbook.Proxies }},
		{"member.drain[0].on", "only looked at", func(b *runbook.Book) { b.Member.Drain[0].On = runbook.All }},
		{"member.drain[0].with.proxy", "there is no proxy here", func(b *runbook.Book) { b.Member.Drain[0].On = runbook.Here }},
		{"member.drain[0].with.state", "is needed", func(b *runbook.Book) { with(&b.Member.Drain[0], "state", "") }},
		{"member.drain[0].with.server", "no parameter", func(b *runbook.Book) { with(&b.Member.Drain[0], "server", "{{param.server}}") }},
		{"member.drain[0].with.server", "do not match", func(b *runbook.Book) { with(&b.Member.Drain[0], "server", "{{member.name") }},
		{"member.do[0].kind", "no kind of step", func(b *runbook.Book) { b.Member.Do[0].Kind = action.Install }},
		{"member.do[0].command", "goes with", func(b *runbook.Book) { b.Member.Do[0].Command = "" }},
		{"member.do[0].command", "no command's name", func(b *runbook.Book) { b.Member.Do[0].Command = "rm -rf" }},
		{"member.do[0].on", "runs on a host", func(b *runbook.Book) { b.Member.Do[0].On = runbook.Here }},
		{"member.do[0].on", "only looked at", func(b *runbook.Book) { b.Member.Do[0].On = runbook.Others }},
		{"member.do[0].with.im-age", "no value's name", func(b *runbook.Book) { with(&b.Member.Do[0], "im-age", "x") }},
		{"member.do[0].with.image", "no parameter", func(b *runbook.Book) { with(&b.Member.Do[0], "image", "{{param.image}}") }},
		{"member.do[0].with", "at most 32", func(b *runbook.Book) {
			for i := range runbook.MaxValues + 1 {
				with(&b.Member.Do[0], "v"+strconv.Itoa(i), "x")
			}
		}},
		{"member.await[0].with.tmies", "is nothing that the kind http knows", func(b *runbook.Book) { with(&b.Member.Await[0], "tmies", "2") }},
		{"member.ready[0].with.header.Host", "is nothing that the kind balance knows", func(b *runbook.Book) { with(&b.Member.Ready[0], "header.Host", "x") }},
		{"member.do[0].timeout", "longer than the step itself waits, 5m0s", func(b *runbook.Book) {
			b.Member.Do[0] = runbook.Step{Name: "restart", Kind: action.Container, On: runbook.Self, Timeout: 5 * time.Minute,
				With: map[string]string{"container": "api", "do": "restart", "wait": "5m"}}
		}},
		{"member.do[0].timeout", "estimate", func(b *runbook.Book) { b.Member.Do[0].Estimate, b.Member.Do[0].Timeout = 2, 1 }},
		{"member.do[0].name", "stands twice", func(b *runbook.Book) { b.Member.Do[0].Name = "drain" }},
		{"member.await[0].on", "not on a host", func(b *runbook.Book) { b.Member.Await[0].On = runbook.Self }},
		{"member.await[0].approval", "brought back", func(b *runbook.Book) { b.Member.Await[0].Approval = true }},
		{"member.ready[0].noReturn", "brought back", func(b *runbook.Book) { b.Member.Ready[0].NoReturn = true }},
		{"member.do[0].with.state", "is needed by the kind unit", func(b *runbook.Book) {
			b.Member.Do[0] = runbook.Step{Name: "x", Kind: action.Unit, On: runbook.Self, With: map[string]string{"unit": "a.service"}}
		}},
		{"member.do[0].with.state", "must be one of restarted", func(b *runbook.Book) {
			b.Member.Do[0] = runbook.Step{Name: "x", Kind: action.Unit, On: runbook.Self, With: map[string]string{"unit": "a.service", "state": "restart"}}
		}},
		{"member.do[0].on", "runs on a host", func(b *runbook.Book) {
			b.Member.Do[0] = runbook.Step{Name: "x", Kind: action.Container, With: map[string]string{"container": "a", "do": "stop"}}
		}},
		{"member.do[0].command", "goes with", func(b *runbook.Book) {
			b.Member.Do[0] = runbook.Step{Name: "x", Kind: action.Playbook, On: runbook.Manager, Command: "x", With: map[string]string{"playbook": "a"}}
		}},
		{"member.await[0].kind", "only what looks", func(b *runbook.Book) {
			b.Member.Await[0] = runbook.Step{Name: "x", Kind: action.Playbook, On: runbook.Manager, With: map[string]string{"playbook": "a"}}
		}},
		{"member.do[0].rollback", "none, reverse", func(b *runbook.Book) { b.Member.Do[0].Rollback = "undo" }},
		{"member.do[0].noReturn", "a person approves", func(b *runbook.Book) { b.Member.Do[0].Rollback = runbook.ForwardOnly }},
		{"after[0].rollback", "is forward-only", func(b *runbook.Book) { b.After[0].Rollback = runbook.Reverse }},
		{"member.await[0].rollback", "changes nothing", func(b *runbook.Book) { b.Member.Await[0].Rollback = runbook.Restore }},
		{"targets.labels", "1 to 256", func(b *runbook.Book) { b.Targets.Labels = map[string]string{"": "x"} }},
		{"order", "oldest, listed, reversed", func(b *runbook.Book) { b.Order = "random" }},
		{"batches[1]", "from 1 to maxUnavailable, which is 1, not 2", func(b *runbook.Book) { b.Batches = []int{1, 2} }},
		{"batches[0]", "not 0", func(b *runbook.Book) { b.Batches = []int{0} }},
		{"pause", "batches is missing", func(b *runbook.Book) { b.Pause = 1 }},
		{"pause", "0 to 24h", func(b *runbook.Book) { b.Pause = -1 }},
		{"member.do[0].on", "each member has its own turn", func(b *runbook.Book) { b.Member.Do[0].On = runbook.First }},
		{"member.await[0].on", "not on a host", func(b *runbook.Book) { b.Member.Await[0].On = runbook.Manager }},
		{"after[0].on", "no member here", func(b *runbook.Book) { b.After[0].On = runbook.Self }},
		{"before[0].with.url", "no member here", func(b *runbook.Book) {
			b.Before[0].Kind, b.Before[0].Command, b.Before[0].On = action.Check, "c", runbook.Manager
		}},
		{"after[0].soak", "0 to", func(b *runbook.Book) { b.After[0].Soak = runbook.MaxSoak + 1 }},
	} {
		b := whole()
		c.spoil(&b)
		var f *fault.Error
		if err := b.Validate(); !errors.As(err, &f) || f.Field != c.field || !strings.Contains(f.Reason, c.says) {
			t.Errorf("%s, %q: %v", c.field, c.says, err)
		}
	}
}

// TestKindsAreWhatTheHandsKnow: a value is refused when it is written, and not
// when a member is out already.
func TestKindsAreWhatTheHandsKnow(t *testing.T) {
	listed := regexp.MustCompile(`known are ([a-z, ]+)`)
	for kind, do := range map[action.Kind]func(context.Context, action.Order) action.Result{
		action.Balance: balancer.Hand{}.Do, action.Serving: balancer.Hand{}.Do, action.HTTP: probe.Hand{}.Do, action.Query: probe.Hand{}.Do,
	} {
		r := do(t.Context(), action.Order{Kind: kind, With: map[string]string{"colour": "red"}})
		m := listed.FindStringSubmatch(r.Reason)
		if m == nil {
			t.Errorf("%s: it does not say what it knows: %+v", kind, r)
			continue
		}
		hand := strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' })
		for _, name := range append(hand, "header.Host", "colour", "proxy", "url", "query") {
			knows := slices.Contains(hand, name) || name == "header.Host" && (kind == action.HTTP || kind == action.Query)
			if name != "and" && name != "header" && runbook.Knows(kind, name) != knows {
				t.Errorf("%s and %s: the runbook knows it: %t, the hand: %t", kind, name, !knows, knows)
			}
		}
	}
}

func TestValues(t *testing.T) {
	b := runbook.Book{Name: "b", Params: []runbook.Param{
		{Name: "image", Type: action.Digest, Required: true, Description: "the new image"},
		{Name: "port", Type: action.Integer, Default: "80"},
		{Name: "fast", Type: action.Boolean},
		{Name: "wait", Type: action.Duration, Enum: []string{"1s", "2s"}},
	}}
	digest := "sha256:" + strings.Repeat("a", 64)
	got, err := b.Values(map[string]string{"image": digest, "wait": "2s"})
	if want := map[string]string{"image": digest, "port": "80", "fast": "", "wait": "2s"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for field, given := range map[string]map[string]string{
		"params.image":  {},
		"params.port":   {"image": digest, "port": "http"},
		"params.fast":   {"image": digest, "fast": "yes"},
		"params.wait":   {"image": digest, "wait": "3s"},
		"params.colour": {"image": digest, "colour": "red"},
	} {
		var f *fault.Error
		if _, err := b.Values(given); !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	// Whoever gives a value can't have it ask for another one.
	if _, err := b.Values(map[string]string{"image": digest, "fast": "{{member.url}}"}); err == nil {
		t.Error("a value with places in it is taken")
	}
}
