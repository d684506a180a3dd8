package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"upkeep/client"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func step(id, action, stage, estimate string) client.Step {
	return client.Step{ID: id, Action: action, Stage: stage, Estimate: estimate, OrderedAt: noon.Add(-30 * time.Second), EndedAt: noon, Attempt: 1, Attempts: 1}
}

func TestFraction(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []client.Step
		done  string
		left  time.Duration
		ok    bool
	}{
		{"nothing known", nil, "0.00", 0, false},
		{"finding out", []client.Step{step("g1-1-refresh", "refresh", "running", "1m")}, "0.00", 0, false},
		{"half of the time", []client.Step{step("a", "install", "done", "1m"), step("b", "install", "todo", "1m")}, "0.50", time.Minute, true},
		{"what takes long counts more", []client.Step{step("a", "download", "done", "1m"), step("b", "install", "todo", "3m")}, "0.25", 3 * time.Minute, true},
		{"half under way", []client.Step{step("a", "install", "running", "1m")}, "0.50", 30 * time.Second, true},
		{"over its estimate, and still not done", []client.Step{step("a", "install", "running", "10s")}, "0.95", 500 * time.Millisecond, true},
		{"all", []client.Step{step("a", "install", "done", "1m"), step("b", "reboot", "failed", "1m")}, "1.00", 0, true},
	} {
		done, left, ok := fraction(c.steps, noon)
		if got := fmt.Sprintf("%.2f", done); got != c.done || left != c.left || ok != c.ok {
			t.Errorf("%s: got %s, %v, %v, want %s, %v, %v", c.name, got, left, ok, c.done, c.left, c.ok)
		}
	}
}

func TestVisibleStepsAreThoseAroundTheWork(t *testing.T) {
	var steps []client.Step
	for i := range 20 {
		stage := "done"
		if i >= 12 {
			stage = "todo"
		}
		steps = append(steps, step(fmt.Sprint(i), "install", stage, "1m"))
	}
	for n, want := range map[int]string{0: "12", 1: "12", 4: "10 11 12 13", 30: "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"} {
		var ids []string
		for _, st := range visible(steps, n) {
			ids = append(ids, st.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%d lines: %s, want %s", n, got, want)
		}
	}
}

func watched() (*view, *bytes.Buffer) {
	var out bytes.Buffer
	a := &app{out: &out, err: &out, format: "table", now: func() time.Time { return noon }, local: time.UTC}
	run := &client.Run{
		ID: "r1", ServerName: "web-1", State: client.Working, Revision: 3,
		Window: client.Window{OpenTill: noon.Add(72 * time.Minute)},
		Plan: &client.Plan{ID: "p1", Steps: []client.Step{
			step("g2-1-download", "download", "done", "30s"), step("g2-2-install", "install", "running", "1m"), step("g2-3-install", "install", "todo", "1m30s"),
		}},
	}
	return &view{app: a, run: run, zone: time.UTC, screen: &screen{out: &out}}, &out
}

func TestViewLines(t *testing.T) {
	v, _ := watched()
	got := strings.Join(v.lines(80, 24), "\n")
	want := `
web-1  ▶ working  window open until 13:12 UTC, 1h12m left
[████████░░░░░░░░░░░░░░░░░░]  33 %  1 of 3 steps, about 2m of work left
  ✓ download  30s
  ▶ install  30s of about 1m
  ○ install  about 1m30s`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, columns := range []int{1, 5, 20, 40} {
		for _, l := range v.lines(columns, 4) {
			if displayWidth(l) >= max(columns, 2) {
				t.Errorf("%d columns: %q is %d wide, and would take two lines", columns, l, displayWidth(l))
			}
		}
	}
}

// TestViewRemembersWhatEarlierPlansDid keeps the bar from forgetting work when
// the server has made a new plan.
func TestViewRemembersWhatEarlierPlansDid(t *testing.T) {
	v, _ := watched()
	v.see(&client.Run{ID: "r1", Revision: 4, State: client.Working, Plan: &client.Plan{ID: "p2", Steps: []client.Step{step("g3-1-reboot", "reboot", "todo", "1m")}}})
	var all []string
	for _, st := range v.steps() {
		all = append(all, st.ID+" "+st.Stage)
	}
	if got, want := strings.Join(all, ", "), "g2-1-download done, g2-2-install done, g3-1-reboot todo"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	v.see(&client.Run{ID: "r1", Revision: 3, State: client.Waiting})
	if v.run.Revision != 4 {
		t.Error("an older look replaced a newer one")
	}
}

// TestScreenLeavesOnlyFacts plays what was written on a pretended terminal.
func TestScreenLeavesOnlyFacts(t *testing.T) {
	v, out := watched()
	v.draw()
	if err := v.take(news{facts: []client.Fact{{At: noon, Who: "engine", Kind: "plan.made", Text: "3 packages to be installed"}}}); err != nil {
		t.Fatal(err)
	}
	during := play(out.String())
	if !strings.HasPrefix(during, "2026-11-21 12:00:00 UTC  engine  3 packages to be installed\n\nweb-1  ▶ working") || strings.Count(during, "web-1  ▶ working") != 1 {
		t.Errorf("while it runs:\n%s", during)
	}
	size := out.Len()
	v.draw()
	if out.Len() != size {
		t.Error("drawn again though nothing has changed: that flickers")
	}
	v.screen.wipe()
	v.conclude(&client.Run{ServerName: "web-1", State: client.Failed, Started: noon.Add(-time.Minute), Finished: noon, Result: client.Result{Text: "1 failed", Failures: []client.Failure{{Name: "nginx", Reason: "status 1"}}, Left: []string{"nginx"}}})
	want := "2026-11-21 12:00:00 UTC  engine  3 packages to be installed\nweb-1  ✗ failed after 1m: 1 failed\n  ✗ nginx: status 1\n  not done: nginx\n"
	if got := play(out.String()); got != want {
		t.Errorf("in the end:\n%s\nwant\n%s", got, want)
	}
}

// play is what a terminal shows after such an output: it knows the one sequence
// that moves up and clears, and no colours.
func play(written string) string {
	var lines []string
	for written != "" {
		var up int
		if _, err := fmt.Sscanf(written, "\x1b[%dA\r\x1b[J", &up); err == nil {
			written = written[strings.Index(written, "J")+1:]
			lines = lines[:len(lines)-up]
			continue
		}
		line, rest, _ := strings.Cut(written, "\n")
		lines, written = append(lines, line), rest
	}
	return strings.Join(lines, "\n") + "\n"
}
