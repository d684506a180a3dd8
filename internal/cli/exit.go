package cli

import (
	"context"
	"errors"
	"fmt"

	"upkeep/client"
)

// Exit codes: what a script can rely on. topics.go and docs/cli.md tell them;
// this is the only place that gives them.
const (
	exitOK          = 0
	exitFailed      = 1   // anything that has no code of its own
	exitUsage       = 2   // the command line or the configuration is wrong
	exitNotFound    = 3   // there is no such thing, or the token may not know of it
	exitDenied      = 4   // the token is missing, unknown, or may not do this
	exitConflict    = 5   // the present state forbids it
	exitUnavailable = 6   // the server can't be reached, or can't answer now
	exitInvalid     = 7   // what was said is wrong, by our or the server's judgement
	exitRunFailed   = 10  // the run that was watched failed
	exitRunAborted  = 11  // the run that was watched was aborted
	exitForecast    = 12  // the simulated run would not succeed
	exitRunHalted   = 13  // the run that was watched is halted, until a person says resume
	exitTimeout     = 124 // the time that --timeout gave is over, as timeout(1) says it
	exitInterrupted = 130 // Ctrl-C
)

// coded is an error that knows its exit code.
type coded struct {
	code   int
	text   string // one line; empty: all was said already
	cause  error
	synops bool // the command's synopsis is worth showing
}

// Error is the line that a person reads.
func (e *coded) Error() string { return e.text }

// Unwrap is what is underneath.
func (e *coded) Unwrap() error { return e.cause }

// usagef says that the command line is wrong.
func usagef(format string, args ...any) error {
	return &coded{code: exitUsage, text: fmt.Sprintf(format, args...), synops: true}
}

// configf says that the configuration is wrong: no synopsis helps there.
func configf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &coded{code: exitUsage, text: err.Error(), cause: errors.Unwrap(err)}
}

// invalidf says that an input is wrong.
func invalidf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &coded{code: exitInvalid, text: err.Error(), cause: errors.Unwrap(err)}
}

// notFoundf says that there is no such thing.
func notFoundf(format string, args ...any) error {
	return &coded{code: exitNotFound, text: fmt.Sprintf(format, args...)}
}

// exitCode is the one mapping from errors to exit codes.
func exitCode(err error) int {
	var c *coded
	var p *client.Problem
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &p):
		return problemCode(p.Kind)
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

func problemCode(kind string) int {
	switch kind {
	case client.KindInvalid:
		return exitInvalid
	case client.KindNotFound:
		return exitNotFound
	case client.KindConflict:
		return exitConflict
	case client.KindDenied:
		return exitDenied
	case client.KindUnavailable, client.KindLimited:
		return exitUnavailable
	}
	return exitFailed
}

// sentence is an error as one line for a person, with what can be done about it.
func sentence(err error) string {
	var p *client.Problem
	var c *coded
	switch {
	case errors.As(err, &c):
		return oneLine(c.text)
	case errors.As(err, &p):
		return oneLine(p.Detail) + advice(p)
	case errors.Is(err, context.DeadlineExceeded):
		return "the time that --timeout gives is over"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	return oneLine(err.Error())
}

// advice is what can be done about a problem, where the problem does not say it.
func advice(p *client.Problem) string {
	switch {
	case p.Status == 401:
		return `; "upkeep help connection" says where the token comes from`
	case p.Kind == client.KindConflict:
		return ""
	case p.Kind == client.KindLimited:
		return "; other programs may use the same token"
	}
	return ""
}
