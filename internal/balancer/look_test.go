package balancer

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"upkeep/internal/action"
)

// oddWant is what is to be understood of a backend with one server of each kind.
var oddWant = map[string]string{
	"well":       "ready UP serves",
	"unchecked":  "ready no check", // nobody knows whether it is up
	"spare":      "ready UP",       // a backup server
	"weightless": "ready UP",       // it gets nothing
	"nobody":     "ready DOWN",
	"off":        "maint MAINT", // disabled in the configuration
}

func odd(t *testing.T, info, states, stat string) map[string]string {
	t.Helper()
	admin, _, err := parseStates(states, "odd")
	if err != nil {
		t.Fatal(err)
	}
	l, err := assemble(info, stat, admin, terms{backend: "odd", server: "none of them"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range l.others {
		got[s.name] = s.state() + " " + s.status
		if s.serves {
			got[s.name] += " serves"
		}
	}
	return got
}

func TestUnderstands(t *testing.T) {
	if diff := cmp.Diff(oddWant, odd(t, recorded(t, "info.txt"), recorded(t, "odd-states.txt"), recorded(t, "odd-stat.txt"))); diff != "" {
		t.Fatal(diff)
	}
}

// A figure that is missing is never a good one.
func TestMissingFigures(t *testing.T) {
	info, states, stat := recorded(t, "info.txt"), recorded(t, "states.txt"), recorded(t, "stat.txt")
	admin, _, err := parseStates(states, "api")
	if err != nil {
		t.Fatal(err)
	}
	api := terms{backend: "api", server: "ctl1"}
	if l, err := assemble(info, stat, admin, api); err != nil || l.own.name != "ctl1" || len(l.others) != 2 {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, column := range []string{"scur", "qcur", "act", "weight", "status", "svname", "pxname"} {
		if l, err := assemble(info, strings.Replace(stat, ","+column+",", ",other,", 1), admin, api); column != "pxname" && err == nil {
			t.Errorf("without %s: %+v", column, l)
		}
	}
	for name, text := range map[string]string{
		"nothing":    "",
		"no header":  "api,ctl1,0,0\n",
		"short line": "# pxname,svname,type\napi,ctl1\n",
		"twice":      stat + stat[strings.Index(stat, "\n")+1:],
		"a stranger": strings.ReplaceAll(stat, "ctl3", "ctl4"),
		"negative":   strings.Replace(stat, "api,ctl1,0,0,0", "api,ctl1,0,0,-1", 1),
	} {
		if l, err := assemble(info, text, admin, api); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
	for name, text := range map[string]string{"nothing": "", "no pid": "Uptime_sec: 3\n", "no uptime": "Pid: 3\n", "odd": "Pid: 3\nUptime_sec: a day\n"} {
		if l, err := assemble(text, stat, admin, api); err == nil {
			t.Errorf("info with %s: %+v", name, l)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "a header alone": strings.Join(strings.Split(states, "\n")[:2], "\n"), "no number": "1\n# be_id be_name srv_name srv_admin_state\n3 api ctl1 -\n",
		"another backend": "1\n# be_id be_name srv_name srv_admin_state\n3 apo ctl1 0\n", "short line": "1\n# be_id be_name srv_name srv_admin_state\n3 api ctl1\n",
	} {
		if admin, id, err := parseStates(text, "api"); err == nil {
			t.Errorf("states with %s: %v %s", name, admin, id)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add("Pid: 3\nUptime_sec: 4\n", "1\n# be_id be_name srv_name srv_admin_state\n3 api ctl1 0\n", "# pxname,svname,scur,qcur,act,weight,status,type\napi,ctl1,0,0,1,1,UP,2\n")
	f.Add("Pid: 3\nUptime_sec: 4\n", "1\n# be_id be_name srv_name srv_admin_state\n3 api ctl1 8\n", "# pxname,svname,scur,qcur,act,weight,status,type\napi,ctl1,0,0,1,1,UP,2\n")
	f.Fuzz(func(t *testing.T, info, states, stat string) {
		admin, _, err := parseStates(states, "api")
		if err != nil {
			return
		}
		l, err := assemble(info, stat, admin, terms{backend: "api", server: "ctl1"})
		for _, s := range append(l.others, l.own) {
			if err == nil && s.serves && (s.status != statusUp || s.admin&(forcedMaint|forcedDrain) != 0 || s.sessions < 0) {
				t.Errorf("%+v serves", s)
			}
		}
	})
}

func TestTermsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		more []string
		why  string
	}{
		"no proxy":      {[]string{"proxy", ""}, "with.proxy"},
		"odd proxy":     {[]string{"proxy", "http://10.0.0.1/"}, "with.proxy"},
		"no port":       {[]string{"proxy", "tcp:10.0.0.1"}, "with.proxy"},
		"relative":      {[]string{"proxy", "unix:run/../x"}, "with.proxy"},
		"two commands":  {[]string{"server", "ctl1;shutdown sessions server api/ctl2"}, "with.server"},
		"a line's end":  {[]string{"backend", "api\nhelp"}, "with.backend"},
		"a path":        {[]string{"backend", "api/x"}, "with.backend"},
		"state":         {[]string{"state", "off"}, "with.state"},
		"sessions":      {[]string{"sessions", "-1"}, "with.sessions"},
		"min":           {[]string{"min", "few"}, "with.min"},
		"no unit":       {[]string{"wait", "60"}, "with.wait"},
		"too long":      {[]string{"wait", "2h"}, "with.wait"},
		"unknown":       {[]string{"minimum", "2"}, "with.minimum: unknown"},
		"min for ready": {[]string{"state", stateReady}, "means nothing for ready"},
	} {
		o := order(newStandIn(t), stateDrain, c.more...)
		if r := (Hand{}).Do(t.Context(), o); r.Outcome != action.Refused || !strings.Contains(r.Reason, c.why) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	o := order(newStandIn(t), stateDrain)
	o.Kind = action.Command
	refused(t, Hand{}.Do(t.Context(), o), "command")
}

// The last one that serves is not taken away unless the order says so.
func TestTheLastOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newStandIn(t)
		p.stop(t, "ctl2")
		p.stop(t, "ctl3")
		o := order(p, stateDrain)
		delete(o.With, "min")
		failed(t, p.hand().Do(t.Context(), o), "and 1 must be")
		o.With["min"] = "0"
		done(t, p.hand().Do(t.Context(), o))
	})
}

// stories are answers that no real HAProxy gives when asked to.
func TestOddAnswers(t *testing.T) {
	unchecked := func(question, s string) string {
		if strings.HasPrefix(question, "show stat") {
			s = strings.ReplaceAll(s, ",UP,", ",no check,")
		}
		return s
	}
	for name, c := range map[string]struct {
		state  string
		spoil  func(p *standIn)
		reason string
	}{
		"slow":      {stateDrain, func(p *standIn) { p.answerAfter = 6 * time.Second }, "HAProxy at unix:/stand-in/admin.sock did not answer within 5s"},
		"no end":    {stateDrain, func(p *standIn) { p.change = func(_, _ string) string { return strings.Repeat("#", maxAnswer) } }, "with more than 4194304 bytes"},
		"unchecked": {stateReady, func(p *standIn) { p.change = unchecked }, "does not check it, so nothing says that it is up"},
		"unmoved": {stateDrain, func(p *standIn) {
			p.change = func(question, s string) string {
				if strings.HasPrefix(question, "set ") {
					p.person(t, "ctl1", stateReady)
					return "something new\n"
				}
				return s
			}
		}, `took the command to set api/ctl1 to drain, and says that it is ready: "something new"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newStandIn(t)
				c.spoil(p)
				o := order(p, c.state)
				failed(t, p.hand().Do(t.Context(), o), c.reason)
				time.Sleep(p.answerAfter) // the stand-in notices that nobody listens
			})
		})
	}
}

// Who closes the socket in the middle of an answer is not believed.
func TestBrokenOff(t *testing.T) {
	ours, theirs := net.Pipe()
	go func() {
		theirs.Read(make([]byte, 100))
		theirs.Write([]byte("\n> "))
		theirs.Read(make([]byte, 100))
		theirs.Write([]byte("Pid: 1\nUpt"))
		theirs.Close()
	}()
	o := order(newStandIn(t), stateDrain)
	r := Hand{Dial: dialer(ours)}.Do(t.Context(), o)
	failed(t, r, "broke the conversation off")
}

func dialer(c net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return c, nil }
}

// An admin socket is not looked for where clouds hand out credentials.
func TestLinkLocalIsNoProxy(t *testing.T) {
	for _, address := range []string{"tcp:169.254.169.254:80", "tcp:[fe80::1%lo]:9999"} {
		r := Hand{}.Do(t.Context(), action.Order{Kind: action.Balance, Timeout: time.Minute, With: map[string]string{
			"proxy": address, "backend": "api", "server": "ctl1", "state": stateDrain,
		}})
		if r.Outcome != action.Refused || !strings.Contains(r.Reason, "is a link-local address, and those are never called") {
			t.Errorf("%s: %+v", address, r)
		}
	}
}
