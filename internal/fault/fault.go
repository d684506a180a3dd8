// Package fault is the one vocabulary of errors: six kinds, and the field that
// is to blame. Doors turn a kind into their own status code at one place each;
// nobody else looks at an error's text.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what a caller can do about an error.
type Kind string

// The six kinds. There are no others.
const (
	KindInvalid     Kind = "invalid"     // the request is wrong; the same request fails again
	KindNotFound    Kind = "not_found"   // the thing does not exist, or the caller may not know of it
	KindConflict    Kind = "conflict"    // the thing is in a state that forbids this; look again
	KindDenied      Kind = "denied"      // the caller is unknown or may not
	KindUnavailable Kind = "unavailable" // try again later
	KindInternal    Kind = "internal"    // our mistake
)

// Error is one failure: what was being done, which field is to blame, and why.
type Error struct {
	Kind   Kind
	Op     string // what was being done, such as "open database"; may be empty
	Field  string // the input to blame, as the caller wrote it; may be empty
	Reason string // a sentence for a person
	Cause  error  // what is underneath; may be nil
}

// Error joins the parts that are there.
func (e *Error) Error() string {
	parts := make([]string, 0, 4)
	for _, p := range []string{e.Op, e.Field, e.Reason} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if e.Cause != nil {
		parts = append(parts, e.Cause.Error())
	}
	if len(parts) == 0 {
		return string(e.Kind)
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// Invalid blames a field of the request.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Kind: KindInvalid, Field: field, Reason: fmt.Sprintf(format, args...)}
}

// NotFound says that no such thing exists, e.g. NotFound("server", "web-1").
func NotFound(what, name string) *Error {
	return &Error{Kind: KindNotFound, Reason: fmt.Sprintf("no %s %q", what, name)}
}

// Conflict says that the present state forbids the request.
func Conflict(format string, args ...any) *Error {
	return &Error{Kind: KindConflict, Reason: fmt.Sprintf(format, args...)}
}

// Denied says that the caller may not.
func Denied(format string, args ...any) *Error {
	return &Error{Kind: KindDenied, Reason: fmt.Sprintf(format, args...)}
}

// Unavailable says that the same request may succeed later.
func Unavailable(op string, cause error) *Error {
	return &Error{Kind: KindUnavailable, Op: op, Cause: cause}
}

// Internal says that we are at fault. It keeps the kind of a cause that is
// already a fault, so that wrapping never hides what the caller can do.
func Internal(op string, cause error) *Error {
	if f, ok := errors.AsType[*Error](cause); ok {
		return &Error{Kind: f.Kind, Op: op, Field: f.Field, Cause: cause}
	}
	return &Error{Kind: KindInternal, Op: op, Cause: cause}
}

// KindOf is the kind of the outermost fault in err's chain; KindInternal for
// an error that is none, and the empty kind for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if f, ok := errors.AsType[*Error](err); ok {
		return f.Kind
	}
	return KindInternal
}

// Is reports whether err is a fault of kind k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }
