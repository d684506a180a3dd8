package balancer

import (
	"context"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
)

// proxy is an HAProxy with a backend "api" of the servers ctl1, ctl2 and ctl3,
// all UP: the real one and the demo's small one behind the tag e2e, else a stand-in.
type proxy interface {
	hand() Hand
	address() string                                   // of the admin socket
	userAddress() string                               // of a socket that may only be asked; empty: there is none
	hold(t *testing.T, server string) (release func()) // one request that stays there
	stop(t *testing.T, server string)                  // and waits until HAProxy knows
	start(t *testing.T, server string)                 // and does not wait
	restart(t *testing.T)                              // HAProxy itself
	status(t *testing.T, server string) (state, status string)
	person(t *testing.T, server, state string) // sets it by hand
}

// order is one for ctl1, with more in pairs.
func order(p proxy, state string, more ...string) action.Order {
	with := map[string]string{"proxy": p.address(), "backend": "api", "server": "ctl1", "state": state, "wait": "20s"}
	if state == stateDrain {
		with["sessions"], with["min"] = "0", "2"
	}
	for i := 0; i < len(more); i += 2 {
		with[more[i]] = more[i+1]
	}
	return action.Order{Run: "r", Step: "s", Attempt: 1, Target: "api", Kind: action.Balance, With: with, Timeout: time.Minute}
}

// suite is what holds at every HAProxy. fresh makes one for each story.
func suite(t *testing.T, run func(t *testing.T, story func(*testing.T, proxy))) {
	for name, story := range map[string]func(*testing.T, proxy){
		"drain and ready twice":      drainAndReady,
		"sessions run dry":           runDry,
		"sessions that stay":         sessionsStay,
		"too few others":             tooFew,
		"another goes meanwhile":     anotherGoes,
		"maint and back":             maintAndBack,
		"ready but down":             readyButDown,
		"who else serves":            whoServes,
		"HAProxy forgets":            forgets,
		"a person decides otherwise": person,
		"no such thing":              noSuchThing,
		"played":                     played,
		"cut off":                    cutOff,
	} {
		t.Run(name, func(t *testing.T) { run(t, story) })
	}
}

func drainAndReady(t *testing.T, p proxy) {
	for range 2 {
		done(t, p.hand().Do(t.Context(), order(p, stateDrain)))
		is(t, p, "ctl1", stateDrain, "DRAIN")
	}
	for range 2 {
		done(t, p.hand().Do(t.Context(), order(p, stateReady)))
		is(t, p, "ctl1", stateReady, "UP")
	}
}

func runDry(t *testing.T, p proxy) {
	release := p.hold(t, "ctl1")
	answer := begin(t.Context(), p, order(p, stateDrain))
	await(t, p, "ctl1", stateDrain, "DRAIN")
	select {
	case r := <-answer:
		t.Fatalf("answered with a session there: %+v", r)
	default:
	}
	release()
	r := <-answer
	done(t, r)
	if !strings.Contains(r.Output, "was ready (UP, 1 sessions)") || !strings.Contains(r.Output, "it is drain (DRAIN, 0 sessions)") || !strings.Contains(r.Output, "other servers UP: ctl2, ctl3") {
		t.Fatalf("story:\n%s", r.Output)
	}
}

func sessionsStay(t *testing.T, p proxy) {
	defer p.hold(t, "ctl1")()
	failed(t, p.hand().Do(t.Context(), order(p, stateDrain, "wait", "300ms")), "api/ctl1 still has 1 sessions after 300ms; api/ctl1 stays in drain until it is set ready")
	is(t, p, "ctl1", stateDrain, "DRAIN")
	failed(t, p.hand().Do(t.Context(), order(p, stateDrain, "wait", "0s")), "was in drain already")
}

func tooFew(t *testing.T, p proxy) {
	p.stop(t, "ctl3")
	failed(t, p.hand().Do(t.Context(), order(p, stateDrain)), "of the other servers of api only 1 are UP (ctl2), and 2 must be while ctl1 is in drain; they are: ctl2 UP, ctl3 DOWN")
	is(t, p, "ctl1", stateReady, "UP")
	done(t, p.hand().Do(t.Context(), order(p, stateDrain, "min", "1")))
	// Drained by another, it is no more there to serve.
	failed(t, p.hand().Do(t.Context(), order(p, stateDrain, "min", "1", "server", "ctl2")), "only 0 are UP (none), and 1 must be")
	// What is drained already may not be told to be well, either.
	failed(t, p.hand().Do(t.Context(), order(p, stateDrain)), "only 1 are UP")
	is(t, p, "ctl1", stateDrain, "DRAIN")
}

func anotherGoes(t *testing.T, p proxy) {
	defer p.hold(t, "ctl1")()
	answer := begin(t.Context(), p, order(p, stateDrain))
	await(t, p, "ctl1", stateDrain, "DRAIN")
	p.stop(t, "ctl3")
	failed(t, <-answer, "only 1 are UP (ctl2)", "api/ctl1 was set ready again")
	is(t, p, "ctl1", stateReady, "UP")
}

func maintAndBack(t *testing.T, p proxy) {
	done(t, p.hand().Do(t.Context(), order(p, stateMaint, "min", "2")))
	is(t, p, "ctl1", stateMaint, "MAINT")
	// HAProxy takes it for up before it has checked it; the hand does not.
	p.stop(t, "ctl1")
	failed(t, p.hand().Do(t.Context(), order(p, stateReady, "wait", "700ms")), "not UP")
	p.start(t, "ctl1")
	done(t, p.hand().Do(t.Context(), order(p, stateReady)))
	is(t, p, "ctl1", stateReady, "UP")
}

func readyButDown(t *testing.T, p proxy) {
	done(t, p.hand().Do(t.Context(), order(p, stateDrain)))
	p.stop(t, "ctl1")
	failed(t, p.hand().Do(t.Context(), order(p, stateReady, "wait", "200ms")), `api/ctl1 is set ready, but is "DOWN" and not UP after 200ms`)
	answer := begin(t.Context(), p, order(p, stateReady))
	p.start(t, "ctl1")
	done(t, <-answer)
}

// whoServes: it is only looked at, whoever drained what, and who is well by
// himself and drained does not serve.
func whoServes(t *testing.T, p proxy) {
	look := func(more ...string) action.Result {
		o := order(p, stateReady, more...)
		o.Kind = action.Serving
		delete(o.With, "state")
		delete(o.With, "wait")
		return p.hand().Do(t.Context(), o)
	}
	done(t, look())
	p.person(t, "ctl1", stateDrain) // it is not asked about itself
	r := look()
	done(t, r)
	if !strings.Contains(r.Output, "ctl2 UP, ctl3 UP") {
		t.Errorf("it says %q", r.Output)
	}
	p.person(t, "ctl3", stateDrain)
	failed(t, look(), "of the other servers of api 1 serve (ctl2), and 2 must; they are: ctl2 UP, ctl3 DRAIN")
	done(t, look("min", "1"))
	p.stop(t, "ctl2")
	failed(t, look("min", "1"), "0 serve (none), and 1 must")
	is(t, p, "ctl1", stateDrain, "DRAIN")
	is(t, p, "ctl3", stateDrain, "DRAIN")
	if r := look("sessions", "0"); r.Outcome != action.Refused || !strings.Contains(r.Reason, "with.sessions: unknown") {
		t.Errorf("%s: %s", r.Outcome, r.Reason)
	}
	p.person(t, "ctl3", stateReady)
	p.person(t, "ctl1", stateReady)
	p.start(t, "ctl2")
}

func forgets(t *testing.T, p proxy) {
	release := p.hold(t, "ctl1")
	answer := begin(t.Context(), p, order(p, stateDrain, "min", "0"))
	await(t, p, "ctl1", stateDrain, "DRAIN")
	p.restart(t)
	await(t, p, "ctl1", stateDrain, "DRAIN")
	release()
	done(t, <-answer)
}

func person(t *testing.T, p proxy) {
	defer p.hold(t, "ctl1")()
	answer := begin(t.Context(), p, order(p, stateDrain))
	await(t, p, "ctl1", stateDrain, "DRAIN")
	p.person(t, "ctl1", stateReady)
	r := <-answer
	failed(t, r, "ready") // a real one may be in the middle of looking whether it is drained
	if _, pretended := p.(*standIn); pretended && !strings.Contains(r.Reason, "somebody else set api/ctl1 to ready meanwhile") {
		t.Fatal(r.Reason)
	}
	is(t, p, "ctl1", stateReady, "UP")
}

func noSuchThing(t *testing.T, p proxy) {
	refused(t, p.hand().Do(t.Context(), order(p, stateDrain, "backend", "apo")), `has no backend "apo"`)
	refused(t, p.hand().Do(t.Context(), order(p, stateDrain, "server", "ctl9")), `backend "api" of HAProxy at `+p.address()+` has no server "ctl9"`)
	if user := p.userAddress(); user != "" {
		refused(t, p.hand().Do(t.Context(), order(p, stateDrain, "proxy", user)), `the socket needs "level admin"`)
	}
	failed(t, p.hand().Do(t.Context(), order(p, stateDrain, "proxy", "unix:/nowhere/admin.sock")), "the admin socket of HAProxy does not answer")
	is(t, p, "ctl1", stateReady, "UP")
}

func played(t *testing.T, p proxy) {
	o := order(p, stateDrain)
	o.DryRun = true
	r := p.hand().Do(t.Context(), o)
	done(t, r)
	if !r.DryRun || !strings.Contains(r.Output, "would be set to drain") {
		t.Fatalf("%+v", r)
	}
	is(t, p, "ctl1", stateReady, "UP")
}

func cutOff(t *testing.T, p proxy) {
	defer p.hold(t, "ctl1")()
	ctx, cancel := context.WithCancel(t.Context())
	answer := begin(ctx, p, order(p, stateDrain))
	await(t, p, "ctl1", stateDrain, "DRAIN")
	cancel()
	if r := <-answer; r.Outcome != action.Interrupted || !strings.Contains(r.Reason, " in drain") {
		t.Fatalf("%+v", r)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	failed(t, p.hand().Do(ctx, order(p, stateDrain)), "when the order's time was over")
}

func begin(ctx context.Context, p proxy, o action.Order) <-chan action.Result {
	answer := make(chan action.Result, 1)
	go func() { answer <- p.hand().Do(ctx, o) }()
	return answer
}

func done(t *testing.T, r action.Result) {
	t.Helper()
	if r.Outcome != action.Done || r.Reason != "" || r.Started.IsZero() || r.Finished.Before(r.Started) {
		t.Fatalf("not done: %+v", r)
	}
}

func failed(t *testing.T, r action.Result, why ...string) {
	t.Helper()
	ended(t, r, action.Failed, why)
	if r.Started.IsZero() {
		t.Fatalf("it was never started: %+v", r)
	}
}

func refused(t *testing.T, r action.Result, why ...string) {
	t.Helper()
	ended(t, r, action.Refused, why)
	if !r.Started.IsZero() {
		t.Fatalf("it was started: %+v", r)
	}
}

func ended(t *testing.T, r action.Result, want action.Outcome, why []string) {
	t.Helper()
	if r.Outcome != want {
		t.Fatalf("want %s: %+v", want, r)
	}
	for _, part := range why {
		if !strings.Contains(r.Reason, part) {
			t.Fatalf("no %q in: %s", part, r.Reason)
		}
	}
}

// is holds what HAProxy itself says of a server.
func is(t *testing.T, p proxy, server, state, status string) {
	t.Helper()
	if gotState, gotStatus := p.status(t, server); gotState != state || gotStatus != status {
		t.Fatalf("%s is %s (%s), want %s (%s)", server, gotState, gotStatus, state, status)
	}
}

func await(t *testing.T, p proxy, server, state, status string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		gotState, gotStatus := p.status(t, server)
		if gotState == state && gotStatus == status {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is %s (%s), want %s (%s)", server, gotState, gotStatus, state, status)
		}
	}
}
