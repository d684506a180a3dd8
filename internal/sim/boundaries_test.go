package sim

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/agent/agenttest"
	"upkeep/internal/desk"
	"upkeep/internal/engine"
	"upkeep/internal/fleet"
	"upkeep/internal/plan"
	"upkeep/internal/run"
	"upkeep/internal/runbook"
	"upkeep/internal/store"
)

// TestKilledAtEveryBoundary rolls a service of three once for every boundary of
// every step, and kills the control plane there: when the order is written and
// was not handed out, when it was handed out and is not answered, while the host
// carries it out, and when the answer is kept and nobody has looked at it, which
// is before the next order is written. Each time every member is restarted once,
// never two are out, and all are back at the end.
func TestKilledAtEveryBoundary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upkeep.db")
	play := func(target boundary) (steps []plan.Step) {
		synctest.Test(t, func(t *testing.T) {
			s := newRoll(t, path, target)
			defer s.end()
			steps = s.play()
		})
		return steps
	}
	kills := 0
	for _, step := range play(boundary{}) {
		stages := []stage{ordered, handedOut, answered}
		if step.Action == action.Command {
			stages = append(stages, underWay)
		}
		for _, at := range stages {
			play(boundary{step.ID, at, !step.Here})
			kills++
		}
	}
	if want := 3 * (3 + 4 + 3 + 3); kills != want {
		t.Errorf("killed at %d boundaries, want %d: 3 members, each drained, restarted, awaited, put back", kills, want)
	}
}

// boundary is where the control plane dies; zero: nowhere.
type boundary struct {
	step   string
	stage  stage
	byHost bool // a host does it, not the control plane itself
}

// stage is how far a step's order is.
type stage string

const (
	ordered   stage = "ordered"
	handedOut stage = "handed out"
	underWay  stage = "under way" // on a host
	answered  stage = "answered"
)

// roll is one restart of a service of three.
type roll struct {
	t       *testing.T
	cloud   *cloud
	desk    *desk.Desk
	over    sync.WaitGroup
	stop    context.CancelFunc
	run     string
	hosts   map[string]*agenttest.World // by member
	service *service
	target  boundary

	mu    sync.Mutex
	dying bool // it has died where the order may be handed out
	died  bool // at the target
}

func newRoll(t *testing.T, path string, target boundary) *roll {
	t.Helper()
	s := &roll{t: t, target: target, hosts: map[string]*agenttest.World{}}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.service = &service{t: t, hosts: s.hosts, out: map[string]bool{}}
	s.cloud = &cloud{
		ctx: ctx, path: path, dice: newDice(1, "cloud"), replicas: make([]*replica, 1), away: time.Second, idle: time.Second, die: s.die,
		hands: map[action.Kind]engine.Hand{action.Balance: s.service, action.HTTP: s.service},
	}
	s.must(s.cloud.open())
	s.desk = desk.New(personsDB{s.cloud}, s.cloud.newID, s.cloud.nudgeEngines)
	w := &world{t: t, dice: newDice(1, "world"), cloud: s.cloud}
	spec := desk.ServiceSpec{Name: "api", Service: fleet.Service{Quorum: 2, Proxies: []fleet.Proxy{{Name: "edge"}}}}
	for _, name := range []string{"ctl1", "ctl2", "ctl3"} {
		target, _, err := s.desk.PutServer(ctx, operator, desk.ServerSpec{Name: name})
		s.must(err)
		s.must(s.cloud.update(func(tx store.Tx) error { return tx.PutAgent(store.Agent{Target: target.ID, Key: agentKey}) }))
		h := &host{name: name, id: target.ID, World: agenttest.New(agenttest.Config{
			Name: name, Commands: []agenttest.Command{{Name: "restart", Takes: 2 * time.Second}}, LookTakes: 100 * time.Millisecond, Restart: time.Second,
		})}
		s.hosts[name] = h.World
		spec.Service.Members = append(spec.Service.Members, fleet.Member{Name: name, Server: name})
		w.live(ctx, h, 1)
	}
	s.over.Go(func() { w.over.Wait() })
	_, _, err := s.desk.PutService(ctx, operator, spec)
	s.must(err)
	_, _, err = s.desk.PutRunbook(ctx, operator, "", rollBook())
	s.must(err)
	s.over.Go(s.cloud.keep)
	time.Sleep(time.Minute) // the agents have told what they are
	return s
}

func rollBook() runbook.Book {
	state := func(state string) map[string]string {
		return map[string]string{"proxy": "unix:/edge", "backend": "api", "server": "{{member.name}}", "state": state}
	}
	health := map[string]string{"url": "http://{{member.name}}/healthcheck"}
	return runbook.Book{
		Name:   "restart",
		Budget: 30 * time.Minute,
		Prove:  []runbook.Check{{Step: runbook.Step{Name: "others-up", Kind: action.HTTP, On: runbook.Others, With: health}, Settle: time.Second}},
		Member: runbook.Member{
			Drain: []runbook.Step{{Name: "drain", Kind: action.Balance, On: runbook.Proxies, With: state("drain")}},
			Do:    []runbook.Step{{Name: "restart", Kind: action.Command, On: runbook.Self, Command: "restart"}},
			Await: []runbook.Step{{Name: "alive", Kind: action.HTTP, With: health}},
			Ready: []runbook.Step{{Name: "ready", Kind: action.Balance, On: runbook.Proxies, With: state("ready")}},
		},
	}
}

// play rolls to the end, and returns the run's steps.
func (s *roll) play() []plan.Step {
	s.t.Helper()
	r, err := s.desk.StartBook(s.cloud.ctx, operator, desk.BookSpec{Service: "api", Runbook: "restart", Duration: time.Hour})
	s.must(err)
	s.mu.Lock()
	s.run = r.ID
	s.mu.Unlock()
	for range 300 {
		time.Sleep(time.Second)
		s.must(s.cloud.view(func(tx store.Tx) (err error) { r, err = tx.Run(s.run); return err }))
		if r.State.Ended() {
			break
		}
	}
	if r.State != run.Succeeded {
		s.t.Errorf("killed at %+v: %s, %s\n%s", s.target, r.State, r.Result.Text, s.story())
	}
	for member, h := range s.hosts {
		if n := begun(h); n != 1 {
			s.t.Errorf("killed at %+v: %s was restarted %d times\n%s", s.target, member, n, s.story())
		}
	}
	if len(s.service.out) > 0 {
		s.t.Errorf("killed at %+v: still out: %v", s.target, s.service.out)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.died && s.target.step != "" {
		s.t.Errorf("it was never at %+v", s.target)
	}
	return r.Plan.Root.Steps()
}

// story is the run's history.
func (s *roll) story() (text string) {
	s.must(s.cloud.view(func(tx store.Tx) error {
		facts, err := tx.Facts(store.FactFilter{Run: s.run})
		text = tell(facts)
		return err
	}))
	return text
}

func (s *roll) end() {
	s.stop()
	s.over.Wait()
	s.cloud.over.Wait()
	s.must(s.cloud.db.Close())
	s.must(os.Remove(s.cloud.path))
}

// die says whether the control plane dies before or after the write that it
// begins. What it hands to a host it hands out after a write, and while the host
// is at work nothing is written: there it dies by time.
func (s *roll) die(r *replica) (dieBefore, dieAfter bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == "" || s.died || s.target.step == "" {
		return false, false
	}
	at := s.stage()
	switch {
	case !s.target.byHost || s.target.stage == ordered || s.target.stage == answered:
		s.died = at == s.target.stage
		return s.died, false
	case s.target.stage == handedOut && s.dying:
		s.died = at == handedOut // else it was another write, and it dies again
		return false, at == ordered
	case at != ordered:
		return false, false
	case s.target.stage == handedOut:
		s.dying = true
		return false, true
	}
	s.died = true
	s.cloud.over.Go(func() {
		time.Sleep(500 * time.Millisecond)
		if at := s.stage(); at != underWay {
			s.t.Errorf("half a second after %s was handed out it is %s", s.target.step, at)
		}
		r.crash()
	})
	return false, false
}

// stage is how far the target's step is; empty if its order is not there, or
// its answer was looked at.
func (s *roll) stage() (at stage) {
	err := s.cloud.db.View(context.Background(), func(tx store.Tx) error {
		r, err := tx.Run(s.run)
		if err != nil {
			return err
		}
		step, ok := r.Plan.Step(s.target.step)
		st := r.Progress[step.ID]
		if !ok || st.Stage != plan.Running {
			return nil
		}
		o, err := tx.Order(action.Order{Run: r.ID, Step: step.ID, Attempt: st.Attempt}.Key())
		switch {
		case err != nil:
		case o.Result != nil:
			at = answered
		case o.HandedAt.IsZero():
			at = ordered
		case step.Action == action.Command && begun(s.hosts[step.Member]) > 0:
			at = underWay
		default:
			at = handedOut
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	return at
}

func (s *roll) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// begun is how often the restart was begun on a host.
func begun(h *agenttest.World) (n int) {
	for _, e := range h.Events() {
		if e.What == agenttest.Began && e.Kind == action.Command {
			n++
		}
	}
	return n
}

// service is the pretended balancer and the members' health: a member answers
// again two seconds after its restart.
type service struct {
	t     *testing.T
	hosts map[string]*agenttest.World

	mu  sync.Mutex
	out map[string]bool
}

const loads = 2 * time.Second

func (s *service) Do(ctx context.Context, o action.Order) action.Result {
	r := action.Result{Outcome: action.Done, Started: time.Now()}
	if o.Kind == action.HTTP {
		name := strings.TrimSuffix(strings.TrimPrefix(o.With["url"], "http://"), "/healthcheck")
		if !s.up(name) {
			r.Outcome, r.Reason = action.Failed, "connection refused"
		}
	} else {
		s.balance(o.With["server"], o.With["state"] == "ready")
	}
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	r.Finished = time.Now()
	return r
}

func (s *service) balance(name string, ready bool) {
	up := s.up(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ready {
		if !up {
			s.t.Errorf("%s is put back and does not answer", name)
		}
		delete(s.out, name)
		return
	}
	if s.out[name] = true; len(s.out) > 1 {
		s.t.Errorf("rule 3: %v are out at once", s.out)
	}
}

func (s *service) up(name string) bool {
	for _, e := range slices.Backward(s.hosts[name].Events()) {
		switch {
		case e.Kind != action.Command:
		case e.What == agenttest.Began:
			return false
		case e.What == agenttest.Finished:
			return time.Since(e.At) >= loads
		}
	}
	return true
}
