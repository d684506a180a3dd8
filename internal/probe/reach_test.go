package probe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"upkeep/internal/action"
	"upkeep/internal/reach"
)

// What clouds hand credentials out at is not asked, whoever writes the runbook
// and however the address is written. It is said so at once, for waiting longer
// does not help.
func TestLinkLocalIsNeverAsked(t *testing.T) {
	for _, host := range []string{"169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::a9fe:a9fe%25lo]"} {
		url := "http://" + host + "/latest/meta-data/"
		is(t, Hand{}.Do(t.Context(), order(action.HTTP, "url", url, "wait", "5s")), action.Refused, "is a link-local address, and those are never called")
		is(t, Hand{}.Do(t.Context(), order(action.Query, "url", url, "query", "up", "op", "==", "value", "1")), action.Refused, "is a link-local address")
	}
	b, err := Probe{}.newBook(Spec{Rate: 1, Endpoints: []Endpoint{{Name: "list", URL: "http://169.254.169.254/"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.targets[0].ask(context.Background(), b.clients[0], defaultTimeout); err == nil || err.Error() != reason(t) {
		t.Errorf("the probe of a service is told %v", err)
	}
}

func reason(t *testing.T) string {
	t.Helper()
	_, err := reach.Rule{}.Dial(t.Context(), "tcp", "169.254.169.254:80")
	if err == nil {
		t.Fatal("it was dialled")
	}
	return err.Error()
}

// Who may be called can't send the control plane elsewhere, and what the
// operator has left out is not called.
func TestNobodySendsItElsewhere(t *testing.T) {
	s := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/", http.StatusFound))
	defer s.Close()
	is(t, Hand{}.Do(t.Context(), order(action.HTTP, "url", s.URL)), action.Failed, "302 Found to http://169.254.169.254/")
	only, err := reach.Only([]string{"192.0.2.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	is(t, Hand{Dial: only.Dial}.Do(t.Context(), order(action.HTTP, "url", s.URL)), action.Refused, "127.0.0.1 is none of the addresses that this control plane may call")
}
