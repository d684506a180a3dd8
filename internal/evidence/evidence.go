// Package evidence is what the users of a service saw while it was maintained:
// how its endpoints answered second by second, and while which member was out.
// It is pure. A second in which nobody asked proves nothing: it is told as a
// gap, and never as a good one.
package evidence

import (
	"fmt"
	"strconv"
	"time"
)

// Second is what became of the requests to one endpoint that were sent in one
// second. Each of those is either answered or unanswered; failed and slow ones
// are among the answered. One that was not sent proves nothing, and is skipped.
type Second struct {
	At         time.Time     // when it began
	Span       time.Duration // how long it is: more than a second where several were summed
	Endpoint   string        // its name; empty: a sum over several
	Answered   int           // a whole answer came in time, whatever it says
	Unanswered int           // none did
	Failed     int           // the answer is a 5xx
	Slow       int           // the answer took longer than it should
	Skipped    int           // not sent, for too many were without an answer or the machine was busy; or the asker stood still meanwhile
	P50, P99   time.Duration // of the answered; 0 if none was. In sums: the mean of the medians, the greatest P99
	Why        string        // of the last that failed or was not answered
}

// Sent is how many requests were sent.
func (s Second) Sent() int { return s.Answered + s.Unanswered }

// Bad is how many requests were not answered, or answered with a failure.
func (s Second) Bad() int { return s.Unanswered + s.Failed }

// End is when it was over.
func (s Second) End() time.Time { return s.At.Add(s.Span) }

// Plus is the sum of two, from the first one's beginning to the last one's end.
func (s Second) Plus(o Second) Second {
	if s.At.IsZero() {
		o.Endpoint = s.Endpoint
		return o
	}
	from, to := s.At, s.End()
	if o.At.Before(from) {
		from = o.At
	}
	if o.End().After(to) {
		to = o.End()
	}
	if n := s.Answered + o.Answered; n > 0 {
		s.P50 = (s.P50*time.Duration(s.Answered) + o.P50*time.Duration(o.Answered)) / time.Duration(n)
	}
	s.P99 = max(s.P99, o.P99)
	s.At, s.Span = from, to.Sub(from)
	s.Answered += o.Answered
	s.Unanswered += o.Unanswered
	s.Failed += o.Failed
	s.Slow += o.Slow
	s.Skipped += o.Skipped
	if o.Why != "" {
		s.Why = o.Why
	}
	return s
}

// Total is the sum over seconds. Its zero value is none.
type Total struct {
	Sent, Unanswered, Failed, Slow, Skipped int
}

// Add counts a second in.
func (t *Total) Add(s Second) {
	t.Sent += s.Sent()
	t.Unanswered += s.Unanswered
	t.Failed += s.Failed
	t.Slow += s.Slow
	t.Skipped += s.Skipped
}

// Minus is what has come since an earlier total.
func (t Total) Minus(o Total) Total {
	return Total{
		Sent: t.Sent - o.Sent, Unanswered: t.Unanswered - o.Unanswered, Failed: t.Failed - o.Failed,
		Slow: t.Slow - o.Slow, Skipped: t.Skipped - o.Skipped,
	}
}

// Bad is how many requests were not answered, or answered with a failure.
func (t Total) Bad() int { return t.Unanswered + t.Failed }

// String has all figures.
func (t Total) String() string {
	text := fmt.Sprintf("%d of %d requests unanswered, %d failed, %d slow", t.Unanswered, t.Sent, t.Failed, t.Slow)
	if t.Skipped > 0 {
		text += fmt.Sprintf("; %d more prove nothing", t.Skipped)
	}
	return text
}

// Words are for people, such as "0 of 1,925 requests unanswered, 3 slow".
func (t Total) Words() string {
	text := fmt.Sprintf("%s of %s requests unanswered", Thousands(t.Unanswered), Thousands(t.Sent))
	if t.Failed > 0 {
		text += fmt.Sprintf(", %s failed", Thousands(t.Failed))
	}
	if t.Slow > 0 {
		text += fmt.Sprintf(", %s slow", Thousands(t.Slow))
	}
	if t.Skipped > 0 {
		text += fmt.Sprintf(", %s more prove nothing", Thousands(t.Skipped))
	}
	return text
}

// Thousands writes a count with commas: 1,925.
func Thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
