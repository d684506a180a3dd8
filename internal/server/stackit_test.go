package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stackitcloud/stackit-sdk-go/core/config"
	"github.com/stackitcloud/stackit-sdk-go/services/serverupdate/v2api"
	"golang.org/x/time/rate"

	"upkeep/internal/agent"
	"upkeep/internal/agent/agenttest"
	"upkeep/internal/desk"
	"upkeep/internal/identity"
)

// A customer's program, made with STACKIT's SDK, has a host updated that has a
// real agent: from the service's activation to the result.
func TestUpdateBySTACKITsClient(t *testing.T) {
	s, stop := start(t, t.TempDir())
	defer stop()
	world := agenttest.New(agenttest.Config{
		Name: "web-1", Commands: []agenttest.Command{{Name: "backup"}},
		Packages: []agenttest.Package{
			{Name: "curl", Installed: "1", Candidate: "2", Security: true},
			{Name: "libc6", Installed: "1", Candidate: "2", WantsReboot: true},
			{Name: "nano", Installed: "1", Candidate: "1"},
		},
	})
	id := attach(t, s, world)
	path, _ := s.TokenFile()
	token, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := v2api.NewAPIClient(config.WithEndpoint("http://"+s.Address()+"/"), config.WithToken(strings.TrimSpace(string(token))))
	if err != nil {
		t.Fatal(err)
	}
	api := client.DefaultAPI
	const project, region = "default", "eu01"
	if err := api.EnableServiceResource(t.Context(), project, id, region).EnableServiceResourcePayload(v2api.EnableServiceResourcePayload{}).Execute(); err != nil {
		t.Fatal(err)
	}
	asking := rate.NewLimiter(20, 1) // a client that asks without a pause is sent away
	// run asks for an update and waits for its end.
	run := func(backup bool) v2api.Update {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		u, err := api.CreateUpdate(ctx, project, id, region).CreateUpdatePayload(v2api.CreateUpdatePayload{MaintenanceWindow: 2, BackupBeforeUpdate: &backup}).Execute()
		for err == nil && u.Status == "running" {
			if err := asking.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			u, err = api.GetUpdate(ctx, project, id, strconv.Itoa(int(u.Id)), region).Execute()
		}
		if err != nil {
			t.Fatal(err)
		}
		return *u
	}
	wait(t, "the agent says which commands it has", func() bool {
		one, err := s.Desk().Server(t.Context(), operator, project, id)
		return err == nil && one.Target.Observed != nil
	})
	first := run(true)
	if first.Id != 1 || first.Status != "Successful" || first.GetInstalledUpdates() != 2 || first.GetFailedUpdates() != 0 || first.GetFailReason() != "" {
		t.Errorf("the first update: %+v", first)
	}
	began, err := time.Parse(time.RFC3339, first.StartDate)
	ended, err2 := time.Parse(time.RFC3339, first.GetEndDate())
	if err := errors.Join(err, err2); err != nil || ended.Before(began) {
		t.Errorf("from %q to %q: %v", first.StartDate, first.GetEndDate(), err)
	}
	if world.Version("curl") != "2" || world.Version("libc6") != "2" || world.Boots() != 2 {
		t.Errorf("curl %s, libc6 %s, %d boots", world.Version("curl"), world.Version("libc6"), world.Boots())
	}
	backups := 0
	for _, e := range world.Events() {
		if e.What == agenttest.Finished && e.Command == "backup" {
			backups++
		}
	}
	if backups != 1 {
		t.Errorf("%d backups", backups)
	}
	second := run(false) // nothing is left to install
	if second.Id != 2 || second.Status != "Successful" || !second.HasInstalledUpdates() || second.GetInstalledUpdates() != 0 || second.GetFailedUpdates() != 0 {
		t.Errorf("the second update: %+v", second)
	}
	all, err := api.ListUpdates(t.Context(), project, id, region).Execute()
	if err != nil || len(all.Items) != 2 || all.Items[0].Id != 2 {
		t.Errorf("the newest first: %+v %v", all, err)
	}
}

var operator = desk.Caller{Principal: identity.Principal{Name: "operator", Role: identity.Operator}}

// attach enrols an agent on a pretended host, and lets the host live until the test ends.
func attach(t *testing.T, s *Server, world *agenttest.World) (id string) {
	t.Helper()
	server, _, err := s.Desk().PutServer(t.Context(), operator, desk.ServerSpec{Name: "web-1"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Desk().Enrol(t.Context(), operator, "", server.ID)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	dir, url := filepath.Join(t.TempDir(), "agent"), "https://"+s.Address()
	if _, err := agent.Enrol(t.Context(), dir, url, e.Secret, agent.Trust{CA: ca}, "test"); err != nil {
		t.Fatal(err)
	}
	door, err := agent.Dial(dir, url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- world.Run(ctx, func(l *agenttest.Life) agent.Config {
			return agent.Config{Target: server.ID, Hands: l.Hands(), Journal: l.Journal(), Door: door, Version: "test"}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		door.Close()
	})
	return server.ID
}

// wait looks until something holds.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for looking := rate.NewLimiter(50, 1); !holds(); {
		if looking.Wait(ctx) != nil {
			t.Fatalf("it never came that %s", what)
		}
	}
}
