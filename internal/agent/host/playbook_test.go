package host

import (
	"strings"
	"testing"

	"upkeep/internal/action"
	"upkeep/internal/agent/process"
)

const recap = "\nPLAY RECAP *********************************************************************\n" +
	"ctl1                       : ok=2    changed=2    unreachable=0    failed=0    skipped=0    rescued=0    ignored=1   \n"

// TestWhatAnsibleSays: a reason names task, host and message. The outputs are
// Debian's ansible-core's, shortened.
func TestWhatAnsibleSays(t *testing.T) {
	for name, c := range map[string]struct {
		code         int
		output, want string
	}{
		"one": {2, "TASK [migrate the database] ****\n" +
			`fatal: [ctl2]: FAILED! => {"changed": true, "msg": "non-zero return code", "rc": 3, "stderr": "at 1\nthe database is locked", "stdout": "begun"}` + "\n" + recap,
			`ended with exit code 2: "migrate the database" failed on ctl2: non-zero return code: the database is locked`},
		"what is ignored": {2, "TASK [look] ***\n" + `fatal: [ctl2]: FAILED! => {"msg": "no"}` + "\n...ignoring\n" +
			"TASK [migrate] ***\n" + `fatal: [ctl2 -> localhost]: FAILED! => {"msg": ["a", "b"]}` + "\n" + recap,
			`ended with exit code 2: "migrate" failed on ctl2: [a b]`},
		"items": {2, "RUNNING HANDLER [copies : copy] ***\n" + `failed: [ctl1] (item=keys) => {"item": "keys", "msg": "no keys"}` + "\n" + recap,
			`ended with exit code 2: "copies : copy" failed on ctl1: no keys`},
		"ignored items": {4, "TASK [copy] ***\n" + `failed: [ctl1] (item=a) => {"msg": "no a"}` + "\n" + `failed: [ctl1] (item=b) => {"msg": "no b"}` + "\n...ignoring\n" +
			"TASK [look] ***\n" + `fatal: [ctl3]: UNREACHABLE! => {"changed": false, "msg": "No route to host", "unreachable": true}` + "\n" + recap,
			`ended with exit code 4: ctl3 was unreachable in "look": No route to host`},
		"hidden": {2, "TASK [set] ***\n" + `fatal: [ctl1]: FAILED! => {"censored": "the output has been hidden", "changed": true}` + "\n" + recap,
			`ended with exit code 2: "set" failed on ctl1: the output has been hidden`},
		"another form":    {2, "TASK [set] ***\nfatal: [ctl1]: FAILED! =>\n  msg: no\n" + recap, `ended with exit code 2: "set" failed on ctl1`},
		"many":            {2, "TASK [set] ***\n" + strings.Repeat(`fatal: [ctl1]: FAILED! => {}`+"\n", 7), `ended with exit code 2: ` + strings.Repeat(`"set" failed on ctl1; `, 5) + "and 2 more"},
		"long":            {2, "TASK [set] ***\nfatal: [ctl1]: FAILED! => {\"msg\": \"" + strings.Repeat("ä\\n", 300) + "\"}\n", `ended with exit code 2: "set" failed on ctl1: ` + strings.TrimSpace(strings.Repeat("ä ", 86))[:255] + "…"},
		"not begun":       {4, "ERROR! no such module\n\nThe error appears to be in '/a.yml': line 4\n", `ended with exit code 4: no such module; The error appears to be in '/a.yml': line 4`},
		"nobody":          {1, "[WARNING]: Could not match supplied host pattern, ignoring: ctl9\nERROR! no hosts\n", `ended with exit code 1: Could not match supplied host pattern, ignoring: ctl9; no hosts`},
		"no task failed":  {99, "TASK [set] ***\nUser interrupted execution\n", `ended with exit code 99: its last task was "set"`},
		"nothing of that": {127, "ansible-playbook: not found\n", `ended with exit code 127: ansible-playbook: not found`},
		"well":            {0, "TASK [look] ***\n" + `fatal: [ctl1]: FAILED! => {"msg": "no"}` + "\n...ignoring\n" + recap, ""},
		"one is unknown":  {0, "[WARNING]: Could not match supplied host pattern, ignoring: ctl9\n" + recap, `was run, but its inventory does not know "ctl9", which the limit names`},
		"another unknown": {0, "[WARNING]: Could not match supplied host pattern, ignoring: web\n" + recap, ""},
		"none matched":    {0, "PLAY [web] ***\nskipping: no hosts matched\n\nPLAY RECAP ***\n", "has found no host to run on"},
		"one matched":     {0, "PLAY [web] ***\nskipping: no hosts matched\n" + recap, ""},
	} {
		o := action.Order{Kind: action.Playbook, With: map[string]string{"playbook": "upgrade", "limit": "ctl1,ctl9"}}
		r := ended(o, process.Exit{Known: true, Code: c.code}, c.output, nil)
		if c.want != "" {
			c.want = `the playbook "upgrade" ` + c.want
		}
		if r.Reason != c.want || (r.Outcome == action.Done) != (c.want == "") {
			t.Errorf("%s: %s, and not\n%s", name, r.Reason, c.want)
		}
	}
}
