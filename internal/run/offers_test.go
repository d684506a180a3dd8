package run

import (
	"errors"
	"strings"
	"testing"
	"time"

	"upkeep/internal/action"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
	"upkeep/internal/runbook"
)

// TestOffered: what a host is known not to offer is told when the run is opened.
func TestOffered(t *testing.T) {
	now := time.Date(2025, 6, 25, 16, 0, 0, 0, time.UTC)
	image := action.Offer{Kind: action.Command, Name: "restart", Needs: []string{"image"}, May: []string{"count"}}
	all := &action.Observation{Commands: []string{"restart", "well"}, Offers: []action.Offer{image}}
	for _, c := range []struct {
		says string
		obs  *action.Observation
		with map[string]string
	}{
		{"", all, map[string]string{"image": "x"}},
		{"", all, map[string]string{"image": "x", "count": "1"}},
		{"", nil, map[string]string{"colour": "red"}},
		{"needs the value image", all, nil},
		{"takes no value colour", all, map[string]string{"image": "x", "colour": "red"}},
		{"takes no value image", &action.Observation{Commands: []string{"restart", "well"}}, map[string]string{"image": "x"}},
		{"no command restart", &action.Observation{Commands: []string{"well"}}, nil},
		{"no command well", &action.Observation{Commands: []string{"restart"}}, nil},
	} {
		b := runbook.Book{
			Name:  "b",
			Prove: []runbook.Check{{Step: runbook.Step{Name: "well", Kind: action.Check, On: runbook.Self, Command: "well"}}},
			Member: runbook.Member{
				Do:    []runbook.Step{{Name: "restart", Kind: action.Command, On: runbook.Self, Command: "restart", With: c.with}},
				Await: []runbook.Step{{Name: "up", Kind: action.HTTP, With: map[string]string{"url": "http://a"}}},
			},
		}
		svc := fleet.Service{Members: []fleet.Member{{Name: "a", Server: "host"}}}
		target := fleet.Target{ID: "svc", Name: "api", Kind: fleet.ServiceKind, Service: &svc}
		o, err := Now("r", target, fleet.DefaultPolicy(), "ada", "", 3*time.Hour, false, now)
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := OpenBook(o, Book{Runbook: b, Service: svc, Hosts: map[string]string{"a": "h1"}}, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		err = r.Offered(map[string]*action.Observation{"h1": c.obs})
		var f *fault.Error
		if c.says == "" && err != nil || c.says != "" && (!errors.As(err, &f) || f.Field != "hosts.a" || !strings.Contains(f.Reason, c.says)) {
			t.Errorf("%q: %v", c.says, err)
		}
	}
}
