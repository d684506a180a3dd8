package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"upkeep/client"
	"upkeep/internal/api"
	"upkeep/internal/desk"
	"upkeep/internal/identity"
	"upkeep/internal/store"
	"upkeep/internal/store/sqlite"
)

// A server is made known, gets a window on Saturdays, and is asked when that opens.
func Example() {
	address, token, stop := upkeep()
	defer stop()
	ctx := context.Background()

	c, err := client.Dial(address, token, "")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.PutServer(ctx, "web-1", client.ServerInput{Group: "web"}, nil); err != nil {
		log.Fatal(err)
	}
	saturdays := client.ScheduleInput{
		RRule:    "DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA",
		Duration: "2h",
		Policy:   &client.Policy{Scope: client.Security},
	}
	s, err := c.PutSchedule(ctx, "web-1", "weekly", saturdays, &client.PutScheduleParams{IdempotencyKey: "weekly-web-1"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.ServerName, "may be touched", s.Words, "for", s.Duration)

	_, err = c.StartRun(ctx, client.RunInput{Server: "web-1", When: client.RunInputWhenNow}, nil)
	if p, ok := errors.AsType[*client.Problem](err); ok {
		fmt.Println(p.Kind, "-", p)
	}
	// Output:
	// web-1 may be touched every week on Saturday at 02:30 (Europe/Berlin) for 2h
	// invalid - duration: is needed for a run that starts now: how long it may take, such as 1h
}

// What happens is followed without missing anything: ask, and ask again after
// the last fact that was told.
func ExampleClient_ListHistory() {
	address, token, stop := upkeep()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(address, token, "")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.PutServer(ctx, "web-1", client.ServerInput{}, nil); err != nil {
		log.Fatal(err)
	}
	for last := int64(0); ; {
		page, err := c.ListHistory(ctx, &client.ListHistoryParams{After: last, Wait: 30})
		if err != nil {
			log.Fatal(err)
		}
		for _, fact := range page.Items {
			fmt.Println(fact.Who, fact.Kind, fact.Text)
		}
		if last = page.Last; last > 0 {
			break // a program that follows goes on
		}
	}
	// Output:
	// user/operator target.changed server web-1 created
}

// upkeep starts a server for the examples, without an engine or agents.
func upkeep() (address, token string, stop func()) {
	dir, err := os.MkdirTemp("", "upkeep-example-")
	if err != nil {
		log.Fatal(err)
	}
	db, err := sqlite.Open(context.Background(), filepath.Join(dir, "upkeep.db"), sqlite.Unsafe())
	if err != nil {
		log.Fatal(err)
	}
	token, row, err := identity.NewToken("operator", identity.Operator, "", time.Time{}, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	if err := db.Update(context.Background(), func(tx store.Tx) error { return tx.PutToken(row) }); err != nil {
		log.Fatal(err)
	}
	ids := 0
	at := desk.New(db, func() string { ids++; return fmt.Sprint("id-", ids) }, func() {})
	s := httptest.NewServer(api.New(at, func(ctx context.Context, secret string) (identity.Principal, error) {
		return identity.Authenticate(ctx, db, secret)
	}))
	return s.URL, token, func() {
		s.Close()
		_ = db.Close()
		_ = os.RemoveAll(dir)
	}
}
