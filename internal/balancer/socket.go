package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"upkeep/internal/reach"
)

const (
	answerTime = 5 * time.Second // for one answer of HAProxy, and for opening its socket
	maxAnswer  = 4 << 20         // bytes; a server's row has some 400
	maxQuote   = 200             // bytes of an answer in a reason
	prompt     = "\n> "          // ends each answer when asked to; no answer has it inside
)

// socket is a conversation with one HAProxy process.
type socket struct {
	ctx  context.Context // the order's
	conn net.Conn
	stop func() bool
	name string // for reasons
}

// open begins a conversation, which ends with ctx.
func open(ctx context.Context, h Hand, t terms) (*socket, error) {
	dial := h.Dial
	if dial == nil {
		dial = reach.Rule{}.Dial
	}
	dialCtx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	conn, err := dial(dialCtx, t.network, t.address)
	if denied, ok := errors.AsType[*reach.DeniedError](err); ok {
		return nil, refuse("the admin socket of HAProxy: %s", denied)
	}
	if err != nil {
		return nil, fmt.Errorf("the admin socket of HAProxy does not answer: %w", err)
	}
	s := &socket{ctx: ctx, conn: conn, name: "HAProxy at " + t.proxy()}
	s.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if _, err := s.ask("prompt"); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *socket) close() {
	s.stop()
	s.conn.Close()
}

// ask says one command and returns its answer.
func (s *socket) ask(command string) (string, error) {
	if err := s.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return "", s.broken(err)
	}
	if _, err := s.conn.Write([]byte(command + "\n")); err != nil {
		return "", s.broken(err)
	}
	var answer []byte
	chunk := make([]byte, 32<<10)
	for {
		n, err := s.conn.Read(chunk)
		answer = append(answer, chunk[:n]...)
		text, done := strings.CutSuffix(string(answer[max(0, len(answer)-len(prompt)):]), prompt)
		switch {
		case len(answer) > maxAnswer:
			return "", final("%s answers %q with more than %d bytes", s.name, command, maxAnswer)
		case done && text == "":
			return strings.Trim(string(answer[:len(answer)-len(prompt)]), "\n"), nil
		case err != nil:
			return "", s.broken(err)
		}
	}
}

// broken says why a conversation ended.
func (s *socket) broken(err error) error {
	switch {
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s did not answer within %s", s.name, answerTime)
	}
	return fmt.Errorf("%s broke the conversation off: %w", s.name, err)
}

// explain turns what HAProxy says instead of doing as told into a sentence;
// nil if it is nothing that we know. Then the next look tells.
func (s *socket) explain(said string, t terms) error {
	switch said, _, _ = strings.Cut(said, "\n"); said {
	case "Permission denied":
		return refuse(`%s may be asked but not told: the socket needs "level admin" in its configuration`, s.name)
	case "No such backend.", "Can't find backend.":
		return refuse("%s has no backend %q", s.name, t.backend)
	case "No such server.":
		return refuse("backend %q of %s has no server %q", t.backend, s.name, t.server)
	}
	return nil
}

// quoted is a part of what was said, for a reason; empty if nothing was.
func quoted(said string) string {
	if said == "" {
		return ""
	}
	return fmt.Sprintf(": %q", said[:min(len(said), maxQuote)])
}
