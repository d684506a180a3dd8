package host

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"upkeep/internal/action"
)

// maxSaid is how many bytes of a failed task's own words make a reason.
const maxSaid = 256

var (
	// taskLine, mishapLine and recapLine are what Ansible's own callback prints:
	//
	//	TASK [migrate the database] ****
	//	fatal: [ctl2]: FAILED! => {"msg": "non-zero return code", …}
	//	failed: [ctl2 -> localhost] (item=a) => {"msg": …}
	//	ctl1    : ok=2    changed=1    unreachable=0    failed=0 …
	taskLine   = regexp.MustCompile(`^(?:TASK|RUNNING HANDLER) \[(.*)\] \*+$`)
	mishapLine = regexp.MustCompile(`^(?:fatal|failed): \[([^\]]+)\](?:.*?)( UNREACHABLE!)?(?: FAILED!)? => ?(.*)$`)
	recapLine  = regexp.MustCompile(`(?m)^\S+ +: ok=\d+ `)
	unknown    = regexp.MustCompile(`(?m)^\[WARNING\]: Could not match supplied host pattern, ignoring: (\S+)`)
)

// mishap is a task that has failed on a host.
type mishap struct {
	task, host  string
	unreachable bool
	said        string
}

func (m mishap) String() string {
	what := fmt.Sprintf("%q failed on %s", m.task, m.host)
	if m.unreachable {
		what = fmt.Sprintf("%s was unreachable in %q", m.host, m.task)
	}
	if m.said != "" {
		what += ": " + m.said
	}
	return what
}

// playbookFailed says for people what went wrong in a playbook that did not end
// well: its last lines are a table of figures.
func playbookFailed(output string) string {
	all, last := mishaps(output)
	var words []string
	for _, m := range all[:min(len(all), maxFailures)] {
		words = append(words, m.String())
	}
	if more := len(all) - maxFailures; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	if len(words) == 0 {
		words = errorLines(output)
	}
	if len(words) == 0 && last != "" {
		words = []string{fmt.Sprintf("its last task was %q", last)}
	}
	if len(words) == 0 {
		return lastLines(output)
	}
	return strings.Join(words, "; ")
}

// mishaps are the tasks that have failed, without those whose failures the
// playbook ignores, and the last task that was begun.
func mishaps(output string) (all []mishap, task string) {
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		if m := taskLine.FindStringSubmatch(line); m != nil {
			task = m[1]
		} else if m := mishapLine.FindStringSubmatch(line); m != nil {
			host, _, _ := strings.Cut(m[1], " -> ") // to which the task was delegated
			all = append(all, mishap{task, host, m[2] != "", taskSaid(m[3])})
		} else if line == "...ignoring" && len(all) > 0 {
			last := all[len(all)-1]
			all = slices.DeleteFunc(all, func(m mishap) bool { return m.task == last.task && m.host == last.host })
		}
	}
	return all, task
}

// taskSaid is what a failed task has said of itself.
func taskSaid(text string) string {
	var is struct {
		Msg      any
		Stderr   string
		Stdout   string
		Module   string `json:"module_stderr"`
		Censored string
	}
	if json.Unmarshal([]byte(text), &is) != nil {
		return brief(text)
	}
	if is.Censored != "" {
		return is.Censored
	}
	var words []string
	if is.Msg != nil {
		words = append(words, brief(fmt.Sprint(is.Msg)))
	}
	for _, said := range []string{is.Stderr, is.Module, is.Stdout} {
		if said = lastLine(said); said != "" {
			words = append(words, brief(said))
			break
		}
	}
	return strings.Join(words, ": ")
}

// errorLines are what Ansible says of a playbook that it can't run, and where
// in which file that is.
func errorLines(output string) (words []string) {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if said, ok := strings.CutPrefix(line, "ERROR! "); ok {
			words = append(words, brief(said))
		} else if strings.HasPrefix(line, "The error appears to be in ") || unknown.MatchString(line) {
			words = append(words, brief(strings.TrimPrefix(line, "[WARNING]: ")))
		}
	}
	return words[:min(len(words), reasonLines)]
}

// playbookMissed says what is missing from a playbook that ended well: for
// Ansible it is no failure to find nobody to do it to. Empty if nothing is.
func playbookMissed(o action.Order, output string) string {
	limit := strings.Split(o.With["limit"], ",")
	for _, m := range unknown.FindAllStringSubmatch(output, -1) {
		if slices.Contains(limit, m[1]) {
			return fmt.Sprintf("was run, but its inventory does not know %q, which the limit names", m[1])
		}
	}
	if strings.Contains(output, "skipping: no hosts matched") && !recapLine.MatchString(output) {
		return "has found no host to run on"
	}
	return ""
}

// brief is the beginning of a text, in one line.
func brief(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return text
}
