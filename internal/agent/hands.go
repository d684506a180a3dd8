package agent

import (
	"context"
	"encoding/json"
	"fmt"

	"upkeep/internal/action"
)

// Hands touch the host. The agent calls Prepare, Begin, Adopt and Look one
// after the other, never at once; BootID and Forget at any time.
type Hands interface {
	// BootID tells this boot of the host from every other.
	BootID() (string, error)

	// Look says what the host looks like. It changes nothing. An error says
	// why the host can't tell.
	Look(ctx context.Context) (action.Observation, error)

	// Prepare waits until the host is free for the order (nobody else holds
	// the package manager's lock), and reads what Begin and Adopt must know of
	// the time before it. It changes nothing. ctx ends when the order may no
	// longer begin. A *RefusalError says that the order is not to be tried.
	Prepare(ctx context.Context, o action.Order) (memo json.RawMessage, err error)

	// Begin carries an order out and returns its end: any outcome but Expired.
	// It is called once for a key, ever. It returns an error only if ctx
	// ended first: the work goes on then, and Adopt asks after it.
	//
	// A reboot that succeeds does not return; one that has not happened
	// after the order's timeout has failed.
	//
	// An order that is a dry run changes nothing: its result says so, and
	// what would be done.
	Begin(ctx context.Context, o action.Order, memo json.RawMessage) (action.Result, error)

	// Adopt waits for the end of an order that was, or was about to be, begun
	// by an earlier process of this agent, and returns what Begin would have.
	// It begins nothing, but a Check and a dry run, which change nothing, may
	// be done again. If nobody knows how the work ended (the host crashed, or
	// it was never begun) the outcome is Interrupted, unless all that was
	// asked for is so.
	Adopt(ctx context.Context, o action.Order, memo json.RawMessage) (action.Result, error)

	// Forget removes what Begin left behind for Adopt. It may be called again.
	Forget(key string) error
}

// RefusalError is the error of an order that is not to be tried.
type RefusalError struct {
	Reason string // a sentence
}

// Error is the reason.
func (r *RefusalError) Error() string { return r.Reason }

// Refuse makes a RefusalError.
func Refuse(format string, args ...any) *RefusalError {
	return &RefusalError{Reason: fmt.Sprintf(format, args...)}
}
