package run

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upkeep/internal/action"
	"upkeep/internal/fleet"
)

// TestBooksKeepTheRules rolls random services in a random world: members go
// down by themselves and come back, checks lie for a while after a change,
// restarts bring nothing back, windows are short, persons pause, resume and
// abort. Rules 1, 2, 3, 6 and 10 are asked at each order, by the pretended
// service itself.
func TestBooksKeepTheRules(t *testing.T) {
	through, halted, aborted := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawBookStory(t)
		for turn := range 8 {
			s.play(time.Duration(rapid.IntRange(1, 100).Draw(t, "minutes")) * time.Minute)
			if s.run.State.Ended() {
				break
			}
			s.happens(t, turn)
		}
		s.calm()
		switch {
		case !s.run.State.Ended():
			t.Fatalf("it does not end: %s, %+v\n%s", s.run.State, s.run.Waits, s.log.String())
		case s.run.State == Succeeded:
			through++
			for name, m := range s.members {
				if len(m.out) > 0 || m.restarts != 1 {
					t.Fatalf("%s is out at %v, after %d restarts\n%s", name, m.out, m.restarts, s.log.String())
				}
			}
		default:
			aborted++
			for name, m := range s.members {
				if len(m.out) > 0 && !strings.Contains(s.run.Result.Text, name) {
					t.Fatalf("rule 10: %s stays out and nobody is told: %q\n%s", name, s.run.Result.Text, s.log.String())
				}
			}
		}
		if strings.Contains(s.log.String(), "halted") {
			halted++
		}
	})
	if through == 0 || halted == 0 || aborted == 0 {
		t.Fatalf("the test looks at little: %d through, %d halted, %d aborted", through, halted, aborted)
	}
}

func drawBookStory(t *rapid.T) *bookStory {
	n := rapid.IntRange(2, 6).Draw(t, "members")
	service := fleet.Service{Quorum: rapid.IntRange(1, n-1).Draw(t, "quorum"), With: map[string]string{"backend": "api_back"}}
	for i := range n {
		name := fmt.Sprint("ctl", i+1)
		service.Members = append(service.Members, fleet.Member{Name: name, Server: name, With: map[string]string{"url": "http://" + name + ":8090"}})
	}
	for i := range rapid.IntRange(1, 2).Draw(t, "proxies") {
		name := string(rune('a' + i))
		service.Proxies = append(service.Proxies, fleet.Proxy{Name: name, With: map[string]string{"socket": "unix:/run/" + name}})
	}
	b := apiExtension()
	b.MaxUnavailable = rapid.IntRange(1, 2).Draw(t, "maxUnavailable")
	b.Member.Await[0].Attempts = rapid.IntRange(3, 20).Draw(t, "attempts")
	b.Prove[0].Settle = 5 * time.Second
	s := openBookStory(t, b, time.Duration(rapid.IntRange(3, 60).Draw(t, "window"))*time.Minute, service)
	s.lies = time.Duration(rapid.IntRange(0, 4).Draw(t, "lies")) * time.Second
	fails := rapid.SliceOfN(rapid.IntRange(0, 9), 40, 40).Draw(t, "what happens at each order")
	at := 0
	s.between = func(s *bookStory, o Order) {
		at++
		switch fails[at%len(fails)] {
		case 0: // somebody else's trouble, right when a member comes back
			if o.Kind == action.Balance && o.With["state"] == "ready" {
				s.trouble(fails[(at+1)%len(fails)])
			}
		case 1:
			if o.Kind == action.Command {
				s.members[strings.TrimPrefix(o.Target, "srv-")].broken = true
			}
		case 2:
			s.now = s.now.Add(time.Duration(fails[(at+3)%len(fails)]) * 10 * time.Second)
		}
	}
	return s
}

// trouble takes a member down that is not being maintained.
func (s *bookStory) trouble(which int) {
	m := s.service.Members[which%len(s.service.Members)]
	if r := s.members[m.Name]; len(r.out) == 0 && !r.broken {
		r.broken, r.broke, s.changed = true, s.now, s.now
	}
}

// happens is what persons do between.
func (s *bookStory) happens(t *rapid.T, turn int) {

	switch rapid.IntRange(0, 5).Draw(t, fmt.Sprint("person ", turn)) {
	case 0:
		s.run, _, _ = s.run.Pause("user/ada", s.now)
	case 1, 2:
		s.mend()
		s.run, _, _ = s.run.Resume("user/ada", s.now)
	case 3:
		if turn > 4 {
			s.run, _, _ = s.run.Abort("user/ada", "enough", s.now)
		}
	case 4:
		s.mend()
	}

}

func (s *bookStory) mend() {
	for _, m := range s.members {
		m.broken = false
	}
}

// calm mends everything, and lets the run come to its end.
func (s *bookStory) calm() {
	s.between = nil
	for range 20 {
		if s.run.State.Ended() {
			return
		}
		s.mend()
		s.run, _, _ = s.run.Resume("user/ada", s.now)
		s.play(3 * 24 * time.Hour)
	}
}
