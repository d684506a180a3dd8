package portal

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
	"upkeep/internal/rollout"
	"upkeep/internal/store"
)

// counted is a database that counts how often rollouts and trains are read, and
// how often anything is.
type counted struct {
	store.DB
	views, documents *atomic.Int64
}

func (c counted) View(ctx context.Context, f func(store.Tx) error) error {
	c.views.Add(1)
	return c.DB.View(ctx, func(tx store.Tx) error { return f(countedTx{tx, c.documents}) })
}

type countedTx struct {
	store.Tx
	documents *atomic.Int64
}

func (t countedTx) Rollout(id string) (rollout.Rollout, error) {
	t.documents.Add(1)
	return t.Tx.Rollout(id)
}

func (t countedTx) Train(project, name string) (rollout.StoredTrain, error) {
	t.documents.Add(1)
	return t.Tx.Train(project, name)
}

// TestAQuietBoardIsNotReadAgain: open boards ask for a mark, and read nothing
// else until it is another one.
func TestAQuietBoardIsNotReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.rolled()
		r := h.promoted()
		db := counted{h.db, new(atomic.Int64), new(atomic.Int64)}
		p := New(Config{Desk: desk.New(db, nil, func() {}), Anonymous: &boss.Principal})
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		boards := make([]*httptest.ResponseRecorder, 100)
		for i := range boards {
			boards[i] = httptest.NewRecorder()
			go p.ServeHTTP(boards[i], httptest.NewRequestWithContext(ctx, http.MethodGet, rolloutPath(r.ID)+"/live", nil))
		}
		time.Sleep(time.Minute + lookEvery/2)
		synctest.Wait()
		if got := db.documents.Load(); got != 0 {
			t.Errorf("a minute without news has read %d documents", got)
		}
		if db.views.Load() < 60 {
			t.Errorf("nobody looked: %d times", db.views.Load())
		}
		if got := boards[7].Body.String(); strings.Contains(got, "changed") || !strings.Contains(got, "still here") {
			t.Errorf("nothing has happened, and it said %q", got)
		}
		if _, err := h.desk.PauseRollout(ctx, boss, desk.RolloutSpec{Rollout: r.ID}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		synctest.Wait()
		for i, b := range boards {
			if !strings.Contains(b.Body.String(), "data: changed") {
				t.Fatalf("board %d does not tell that the rollout is paused: %q", i, b.Body.String())
			}
		}
	})
}

// TestABoardIsForThoseWhoMayRead: its stream tells others nothing.
func TestABoardIsForThoseWhoMayRead(t *testing.T) {
	h := newHouse(t, &identity.Principal{Name: "guest", Role: identity.Viewer, Project: "another"})
	h.rolled()
	h.browser().get(rolloutPath(h.promoted().ID)+"/live").must(t, http.StatusNotFound)
	h.browser().get(rolloutPath("none")+"/live").must(t, http.StatusNotFound)
}
